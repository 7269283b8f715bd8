//! Lines of an import: each applied once under its key, whatever is sent again.

use super::bed::*;
use crate::types::*;

fn import_line(name: &str, quantity: Option<u64>, repeat: u32) -> ImportLine {
    let label = Some(format!("the {name}"));
    ImportLine { sku: sku(name), name: label, quantity: quantity.map(Units), repeat }
}

fn import(key: Option<&str>, lines: &[ImportLine]) -> Command {
    Command::Import { key: key.map(str::to_owned), lines: lines.to_vec() }
}

fn applied(outcome: Outcome) -> Vec<Result<Applied, Refusal>> {
    match outcome {
        Ok(Answer::Imported(lines)) => lines,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_line_is_applied_once_under_its_key_also_after_a_restart_and_elsewhere_in_the_file() {
    let mut bed = Bed::new(2);
    let tee = import_line("TEE", Some(5), 0);
    let mug = import_line("MUG", None, 0);
    let again = import_line("TEE", Some(7), 1);
    let all = [tee.clone(), mug.clone(), again.clone()];
    assert_eq!(applied(bed.call(0, import(Some("k"), &all))), vec![Ok(Applied::Now); 3]);
    assert_eq!(applied(bed.call(0, import(Some("k"), &all))), vec![Ok(Applied::Before); 3]);
    bed.restart(0);
    bed.rejoin(0);
    bed.run(4_000);
    let turned = [again, mug, tee.clone()];
    assert_eq!(applied(bed.call(0, import(Some("k"), &turned))), vec![Ok(Applied::Before); 3]);
    let books = bed.books(0, "TEE");
    assert_eq!((books.totals.received, books.policy.name.as_deref()), (Units(12), Some("the TEE")));
    assert_eq!(bed.books(0, "MUG").totals.received, Units(0));
    let other = import_line("TEE", Some(6), 0);
    assert_eq!(applied(bed.call(0, import(Some("k"), &[other]))), [Err(Refusal::KeyReused)]);
    assert_eq!(applied(bed.call(0, import(Some("k2"), std::slice::from_ref(&tee)))), [Ok(Applied::Now)]);
    assert_eq!(applied(bed.call(0, import(None, &[tee.clone(), tee]))), vec![Ok(Applied::Now); 2]);
    assert_eq!(bed.books(0, "TEE").totals.received, Units(27));
}

#[test]
fn what_an_admin_set_stays_but_for_the_name_and_a_count_that_would_not_fit_is_refused_alone() {
    let mut bed = Bed::new(1);
    let policy = Policy { low_stock: Some(Units(3)), name: Some("old".into()), ..Policy::default() };
    bed.call(0, Command::SetItem { sku: sku("TEE"), policy: policy.clone() }).unwrap();
    bed.call(0, Command::Receive(movement("TEE", u64::MAX - 4))).unwrap();
    let lines = [import_line("TEE", Some(5), 0), import_line("MUG", Some(1), 0)];
    let outcomes = applied(bed.call(0, import(Some("k"), &lines)));
    assert!(matches!(&outcomes[0], Err(Refusal::Invalid { field, .. }) if field == "quantity"));
    assert_eq!(outcomes[1], Ok(Applied::Now));
    assert_eq!(bed.books(0, "TEE").policy, policy, "nothing of a refused line is done");
    let named = ImportLine { quantity: None, ..lines[0].clone() };
    assert_eq!(applied(bed.call(0, import(Some("k"), &[named]))), [Ok(Applied::Now)]);
    assert_eq!(bed.books(0, "TEE").policy, Policy { name: Some("the TEE".into()), ..policy });
}
