//! Whether customers' roles refuse us because of ourselves. STS gives one answer if a customer's role does not trust us and if our
//! own role may not assume it. One customer's role can stop working at any time; those of several customers do not at once.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use crate::{
    destination::{Failing, failure::FailureCode},
    organisation::OrganisationId,
};

/// So many customers do not change a role that worked between two deliveries of one process.
const MANY: usize = 3;

/// The customers whose roles worked and stopped working since this process last delivered anything.
#[derive(Debug, Default)]
pub(super) struct Suspicion(Mutex<BTreeSet<OrganisationId>>);

impl Suspicion {
    /// Clears the suspicion: a role was assumed.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Adds a failed delivery. Returns whether the cause is probably on our side.
    pub(super) fn is_ours(&self, organisation: &OrganisationId, failing: &Failing, worked: Worked) -> bool {
        if failing.failure.code != FailureCode::RoleNotAssumable {
            return false;
        }
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if worked == Worked::Before && failing.attempts == 1 && refused.len() < MANY {
            refused.insert(organisation.clone());
        }
        refused.len() >= MANY
    }
}

/// Whether a destination has ever worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worked {
    Before,
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        destination::{advice::Advice, failure::Failure},
        time::Timestamp,
    };

    fn failing(code: FailureCode, attempts: u32) -> Failing {
        let failure = Failure { code, cause: String::new(), fix: Advice::from(""), aws: None };
        Failing { failure, since: Timestamp::EPOCH, attempts, retry_at: Timestamp::EPOCH }
    }

    fn note(suspicion: &Suspicion, organisation: &str, attempts: u32, worked: Worked) -> bool {
        let failing = failing(FailureCode::RoleNotAssumable, attempts);
        suspicion.is_ours(&organisation.parse().unwrap(), &failing, worked)
    }

    #[test]
    fn several_roles_that_stop_working_at_once_are_our_fault() {
        let suspicion = Suspicion::default();
        assert!(!note(&suspicion, "a", 1, Worked::Before));
        assert!(!note(&suspicion, "b", 1, Worked::Before));
        assert!(!note(&suspicion, "b", 2, Worked::Before), "one customer counts once");
        assert!(note(&suspicion, "c", 1, Worked::Before));
        assert!(note(&suspicion, "a", 2, Worked::Before), "and so does every later attempt");
        suspicion.clear();
        assert!(!note(&suspicion, "c", 2, Worked::Before));
    }

    #[test]
    fn roles_that_never_worked_or_have_failed_for_long_are_not_our_fault() {
        let suspicion = Suspicion::default();
        for organisation in ["a", "b", "c", "d"] {
            assert!(!note(&suspicion, organisation, 1, Worked::Never));
            assert!(!note(&suspicion, organisation, 9, Worked::Before));
            let other = failing(FailureCode::BucketMissing, 1);
            assert!(!suspicion.is_ours(&organisation.parse().unwrap(), &other, Worked::Before));
        }
    }
}
