//! Which failures only the operator of a deployment can end. Owns how such a failure is found among the causes of an error, and
//! the list of all codes.

#![warn(missing_docs)]

use std::{error::Error, sync::Arc};

use crate::{
    destination::failure::{FailureCode, RemediedBy},
    log::store::StoreError,
    operator::{OperatorCode, OperatorFault},
    proof::{
        signer::{SignerError, SignerFault},
        signing::SigningError,
    },
};

/// Returns the code of the operator's page, if `error` or one of its causes is a failure that only the operator can end.
#[must_use]
pub fn code_of(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        let code = code_of_one(error);
        if code.is_some() {
            return code;
        }
        next = error.source();
    }
    None
}

fn code_of_one(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if let Some(fault) = error.downcast_ref::<OperatorFault>() {
        return Some(fault.code.as_str());
    }
    if let Some(SigningError::Signer(error)) = error.downcast_ref() {
        return code_of_signer(error.fault);
    }
    if let Some(SignerError { fault, .. }) = error.downcast_ref() {
        return code_of_signer(*fault);
    }
    let store = error.downcast_ref::<StoreError>();
    match store.or_else(|| error.downcast_ref::<Arc<StoreError>>().map(|error| &**error)) {
        Some(StoreError::Operator(fault)) => Some(fault.code.as_str()),
        Some(StoreError::Throttled(_)) => Some(OperatorCode::AwsThrottled.as_str()),
        _ => None,
    }
}

/// Returns the code of a fault of the signer that only the operator can end. Others end by themselves, and the log still has
/// to be signed an hour later.
#[must_use]
pub fn code_of_signer(fault: SignerFault) -> Option<&'static str> {
    (!fault.is_temporary()).then(|| fault.code())
}

/// Returns the code of a failed delivery that only the operator can end. A log that contradicts what was delivered is no lack,
/// and has a metric and an alarm of its own.
#[must_use]
pub fn code_of_delivery(code: FailureCode) -> Option<&'static str> {
    (code.remedied_by() == RemediedBy::Operator && !code.is_contradiction()).then(|| code.as_str())
}

/// Returns every code of the operator's page.
pub fn all_codes() -> impl Iterator<Item = &'static str> {
    let own = OperatorCode::ALL.iter().map(|code| code.as_str());
    let signer = SignerFault::ALL.into_iter().filter_map(code_of_signer);
    let delivery = FailureCode::ALL.iter().filter_map(|code| code_of_delivery(*code));
    own.chain(signer).chain(delivery)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{delivery::ship::ShipError, log::append::AppendError};

    fn fault() -> OperatorFault {
        OperatorFault::new(OperatorCode::PermissionMissing, "AccessDeniedException: not authorized")
    }

    #[test]
    fn a_fault_of_the_operator_is_found_below_other_errors() {
        let store = || StoreError::Operator(fault());
        let append = AppendError::Unavailable(Arc::new(store()));
        assert_eq!(code_of(&store()), Some("permission_missing"));
        assert_eq!(code_of(&append), Some("permission_missing"));
        assert_eq!(code_of(&ShipError::Append(append)), Some("permission_missing"));
        assert_eq!(code_of(&ShipError::Store(store())), Some("permission_missing"));
        let throttled = AppendError::Unavailable(Arc::new(StoreError::Throttled("slow".into())));
        assert_eq!(code_of(&ShipError::Append(throttled)), Some("aws_throttled"));
        for error in [StoreError::Unavailable("gone".into()), StoreError::Broken("odd".into())] {
            assert_eq!(code_of(&error), None);
        }
    }

    #[test]
    fn a_signer_needs_the_operator_unless_its_fault_passes() {
        let error = |fault| SigningError::Signer(SignerError { fault, answer: None });
        assert_eq!(code_of(&error(SignerFault::Denied)), Some("signing_denied"));
        assert_eq!(code_of(&error(SignerFault::Throttled)), None);
        assert_eq!(code_of(&error(SignerFault::Unavailable)), None);
    }

    #[test]
    fn codes_are_unique() {
        let unique: BTreeSet<&str> = all_codes().collect();
        assert_eq!(unique.len(), all_codes().count());
    }
}
