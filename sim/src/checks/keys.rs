//! One key, one effect, one answer: whatever a node said under a key first, it says again, and
//! another request under that key is refused.

use std::collections::BTreeMap;

use stockade::types::{Outcome, Refusal};

use super::{Checked, Property, ensure};

/// The node that was asked, and scope and key.
pub type KeyId = (usize, String, String);

#[derive(Debug, Default)]
pub struct Answers(BTreeMap<KeyId, Outcome>);

impl Answers {
    /// An answer left. `same_request`: the request is the first one under its key.
    ///
    /// # Errors
    /// When it is not the first answer.
    pub fn answered(&mut self, id: KeyId, same_request: bool, outcome: &Outcome) -> Checked {
        let known = self.0.get(&id);
        if !same_request {
            let refused = outcome.as_ref().is_err_and(|refusal| !refusal.is_remembered());
            return ensure(refused, Property::Keys, || {
                format!("{id:?}: another request under a used key was answered {outcome:?}")
            });
        }
        ensure(!matches!(outcome, Err(Refusal::KeyReused)), Property::Keys, || {
            format!("{id:?}: a repeat of one request was taken for another")
        })?;
        if outcome.as_ref().is_err_and(|refusal| !refusal.is_remembered()) {
            return Ok(());
        }
        match known {
            Some(first) => ensure(first == outcome, Property::Keys, || {
                format!("{id:?}: first {first:?}, then {outcome:?}")
            }),
            None => {
                self.0.insert(id, outcome.clone());
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> KeyId {
        (0, "POST /v1/sales".into(), "k".into())
    }

    #[test]
    fn another_answer_under_one_key_is_found() {
        let mut answers = Answers::default();
        assert_eq!(answers.answered(id(), true, &Err(Refusal::NotReady)), Ok(()));
        assert_eq!(answers.answered(id(), true, &Err(Refusal::ReservationNotFound)), Ok(()));
        assert_eq!(answers.answered(id(), true, &Err(Refusal::NotReady)), Ok(()));
        assert!(answers.answered(id(), true, &Err(Refusal::AlreadyConfirmed)).is_err());
    }

    #[test]
    fn another_request_under_one_key_must_be_refused() {
        let mut answers = Answers::default();
        assert_eq!(answers.answered(id(), false, &Err(Refusal::KeyReused)), Ok(()));
        assert!(answers.answered(id(), false, &Err(Refusal::AlreadyConfirmed)).is_err());
        assert!(answers.answered(id(), true, &Err(Refusal::KeyReused)).is_err());
    }
}
