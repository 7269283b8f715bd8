//! What an admin sets is set: the answer shows it. (A setting that came later may take its place
//! later; one that came before may not.)

use stockade::types::{Answer, Command, Outcome};

use super::{Checked, Property, ensure};

/// # Errors
/// When an item was set, and its books show something else.
pub fn check(command: &Command, outcome: &Outcome) -> Checked {
    let (Command::SetItem { sku, policy }, Ok(Answer::Books { books, .. })) = (command, outcome) else {
        return Ok(());
    };
    ensure(books.policy == *policy, Property::Settings, || {
        format!("{sku} was set to {policy:?}, the answer shows {:?}", books.policy)
    })
}

#[cfg(test)]
mod tests {
    use stockade::types::{Books, Policy, Sku, Totals, Units};

    use super::*;

    #[test]
    fn an_answer_that_shows_another_setting_is_seen() {
        let sku = Sku::new("a").unwrap();
        let policy = Policy { low_stock: Some(Units(3)), ..Policy::default() };
        let shown = |policy: Policy| {
            let sku = sku.clone();
            let totals = Totals::default();
            let books = Books { sku, policy, balanced: true, totals, nodes: Vec::new(), last_refusal: None };
            Ok(Answer::Books { books, created: false })
        };
        let set = Command::SetItem { sku: sku.clone(), policy: policy.clone() };
        assert!(check(&set, &shown(policy)).is_ok());
        assert!(check(&set, &shown(Policy::default())).is_err());
    }
}
