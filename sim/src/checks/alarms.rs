//! Nothing happens that must not: no alarm, and in a world whose disks never go back in time no
//! replica takes its disk for an old one.

use stockade::replica::Output;

use super::{Checked, Property, Violation};

/// # Errors
/// When this output should never be.
pub fn check(node: usize, output: &Output) -> Checked {
    match output {
        Output::Alarm(text) => Err(Violation::of(Property::Alarms, format!("node {node}: {text}"))),
        Output::RolledBack(proof) => {
            let detail = format!("node {node} believes that its disk went back: {proof}");
            Err(Violation::of(Property::Alarms, detail))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_are_found() {
        assert!(check(0, &Output::Alarm("fire".into())).is_err());
        assert!(check(0, &Output::RolledBack("old".into())).is_err());
        assert_eq!(check(0, &Output::Ready), Ok(()));
    }
}
