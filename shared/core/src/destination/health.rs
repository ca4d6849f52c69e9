//! The health of a destination in one word, from everything that is known: its state, the last test, and what waits. The
//! newest evidence decides, so that the word never contradicts another part of the page.

use std::time::Duration;

use super::{Destination, State, connection_test::ConnectionTestReport};
use crate::time::Timestamp;

/// An event that waits longer is late: three scheduled runs.
pub const LATE: Duration = Duration::from_secs(30 * 60);

/// How a destination is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The organisation's plan does not include delivery.
    Disabled,
    /// The owner has paused delivery.
    Paused,
    /// Nothing was delivered or tested yet.
    New,
    /// The newest evidence is a failed test.
    TestFailed { tested_at: Timestamp },
    /// The role accepts any external id, and it is not proven that it is meant for the organisation.
    Unproven,
    /// A test has passed, and the first delivery is due.
    Ready { tested_at: Timestamp },
    /// The last attempt to deliver failed. `retry_at` is the earliest time of the next attempt; `None` if that has passed.
    Failing { since: Timestamp, retry_at: Option<Timestamp> },
    /// Deliveries failed, but a test has passed since the last attempt.
    Recovering { tested_at: Timestamp },
    /// No attempt failed, but an event has waited for longer than [`LATE`].
    Late { since: Timestamp },
    /// The last attempt succeeded, and nothing waits for long.
    Healthy,
}

impl Health {
    /// `test` is the last connection test. `waiting_since` is when the first event that waits for delivery was recorded, if one
    /// does.
    #[must_use]
    pub fn of(
        destination: &Destination,
        test: Option<&ConnectionTestReport>,
        waiting_since: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        // A test of a pending change says nothing about what is in force.
        let in_force = destination.place();
        let test = test.filter(|test| test.is_of(&in_force));
        let late = waiting_since.map(|since| waits_since(destination, since));
        let late = late.filter(|since| now.since(*since) > LATE).map(|since| Self::Late { since });
        match destination.state() {
            State::Disabled => Self::Disabled,
            State::Paused => Self::Paused,
            State::Unproven { .. } => Self::Unproven,
            State::Failing { failing, .. } => match test {
                // A test that passes makes the next attempt due at once, and a later failure defers it again.
                Some(test)
                    if passed(test, destination)
                        && test.tested_at >= failing.since
                        && failing.retry_at <= test.tested_at =>
                {
                    Self::Recovering { tested_at: test.tested_at }
                }
                _ => Self::Failing {
                    since: failing.since,
                    retry_at: Some(failing.retry_at).filter(|retry_at| *retry_at > now),
                },
            },
            State::Sent { last_success } => match test {
                Some(test) if !passed(test, destination) && test.tested_at > last_success => {
                    Self::TestFailed { tested_at: test.tested_at }
                }
                _ => late.unwrap_or(Self::Healthy),
            },
            State::Pending => match test {
                Some(test) if test.needs_code && destination.proof.proven.is_none() => Self::Unproven,
                Some(test) if passed(test, destination) => late.unwrap_or(Self::Ready { tested_at: test.tested_at }),
                Some(test) => Self::TestFailed { tested_at: test.tested_at },
                None => Self::New,
            },
        }
    }
}

/// Returns the time from which an event recorded at `recorded_at` waits for Annals: not before the destination existed, and not
/// while something else held it up.
fn waits_since(destination: &Destination, recorded_at: Timestamp) -> Timestamp {
    let held_up_until = destination.progress.lag_from.unwrap_or(Timestamp::EPOCH);
    recorded_at.max(destination.created_at).max(held_up_until)
}

/// Whether the last test still says how things are.
#[must_use]
pub fn is_current(test: &ConnectionTestReport, destination: &Destination) -> bool {
    let progress = &destination.progress;
    let has_failed_since = progress
        .failing
        .as_ref()
        .is_some_and(|failing| failing.since > test.tested_at || failing.retry_at > test.tested_at);
    let has_succeeded_since = progress.last_success.is_some_and(|at| at > test.tested_at);
    if passed(test, destination) { !has_failed_since } else { !has_succeeded_since }
}

/// Returns whether a test passed, or would pass since its code was entered.
fn passed(test: &ConnectionTestReport, destination: &Destination) -> bool {
    test.passed || (test.needs_code && destination.proof.proven.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::{
        Checkpoints, Failing, Progress, Proof, ProvenBy, Settings,
        failure::{Failure, FailureCode},
    };

    const MINUTE: u64 = 60_000;

    fn at(minute: u64) -> Timestamp {
        Timestamp::from_millis((1_000_000 + minute) * MINUTE)
    }

    fn destination(last_success: Option<u64>, failing: Option<(u64, u64)>) -> Destination {
        let failure =
            Failure { code: FailureCode::PutDenied, cause: String::new(), fix: String::new().into(), aws: None };
        let failing =
            failing.map(|(since, retry_at)| Failing { failure, since: at(since), attempts: 1, retry_at: at(retry_at) });
        Destination {
            id: "d00000000001".parse().unwrap(),
            organisation: "acme".parse().unwrap(),
            bucket: "acme-audit".parse().unwrap(),
            role_arn: "arn:aws:iam::444455556666:role/annals".parse().unwrap(),
            settings: Settings::default(),
            paused: false,
            disabled: false,
            created_at: at(0),
            first_sequence: Some(1),
            next_sequence: 1,
            deliveries: 0,
            intent: None,
            replay: None,
            progress: Progress { last_success: last_success.map(at), failing, ..Progress::default() },
            checkpoints: Checkpoints::default(),
            version: 1,
            proof: Proof::of(ProvenBy::ExternalId, at(0)),
            pending: None,
        }
    }

    fn test(passed: bool, tested_at: u64) -> ConnectionTestReport {
        ConnectionTestReport {
            passed,
            steps: Vec::new(),
            key: "test".to_owned(),
            tested_at: at(tested_at),
            needs_code: false,
            place: None,
            learnt_region: None,
        }
    }

    fn health(destination: &Destination, report: Option<ConnectionTestReport>, waits: Option<u64>, now: u64) -> Health {
        Health::of(destination, report.as_ref(), waits.map(at), at(now))
    }

    #[test]
    fn the_newest_evidence_decides() {
        let new = destination(None, None);
        assert_eq!(health(&new, None, Some(5), 100), Health::New);
        assert_eq!(health(&new, Some(test(false, 7)), None, 8), Health::TestFailed { tested_at: at(7) });
        assert_eq!(health(&new, Some(test(true, 7)), Some(5), 8), Health::Ready { tested_at: at(7) });
        let sent = destination(Some(10), None);
        assert_eq!(health(&sent, Some(test(false, 9)), None, 12), Health::Healthy);
        assert_eq!(health(&sent, Some(test(false, 11)), None, 12), Health::TestFailed { tested_at: at(11) });
        let failing = destination(Some(10), Some((20, 30)));
        let told = |retry_at| Health::Failing { since: at(20), retry_at };
        assert_eq!(health(&failing, None, Some(11), 25), told(Some(at(30))));
        assert_eq!(health(&failing, None, Some(11), 30), told(None), "an attempt in the past is not announced");
        assert_eq!(health(&failing, Some(test(true, 19)), None, 25), told(Some(at(30))));
        let due = destination(Some(10), Some((20, 20)));
        assert_eq!(health(&due, Some(test(true, 26)), None, 27), Health::Recovering { tested_at: at(26) });
        let failed_again = destination(Some(10), Some((20, 40)));
        assert_eq!(health(&failed_again, Some(test(true, 26)), None, 33), told(Some(at(40))));
    }

    #[test]
    fn a_role_is_unproven_until_the_code_is_entered() {
        let proven = destination(None, None);
        let unproven = Destination { proof: Proof::default(), ..proven.clone() };
        let report = ConnectionTestReport { needs_code: true, ..test(false, 7) };
        assert_eq!(health(&unproven, Some(report.clone()), None, 8), Health::Unproven);
        assert_eq!(health(&proven, Some(report), None, 8), Health::Ready { tested_at: at(7) });
        let mut refused = destination(None, Some((5, 9)));
        if let Some(failing) = &mut refused.progress.failing {
            failing.failure.code = FailureCode::ExternalIdNotRequired;
        }
        assert_eq!(health(&refused, None, None, 8), Health::Unproven);
    }

    #[test]
    fn what_the_owner_switched_off_is_neither_failing_nor_late() {
        let failing = destination(None, Some((20, 30)));
        let paused = Destination { paused: true, ..failing.clone() };
        assert_eq!(health(&paused, Some(test(false, 40)), Some(1), 900), Health::Paused);
        assert_eq!(health(&Destination { disabled: true, ..paused }, None, Some(1), 900), Health::Disabled);
    }

    #[test]
    fn events_that_wait_without_a_failure_are_late_after_three_runs() {
        let sent = destination(Some(10), None);
        assert_eq!(health(&sent, None, Some(11), 41), Health::Healthy);
        assert_eq!(health(&sent, None, Some(11), 42), Health::Late { since: at(11) });
        // What was recorded before the destination existed, or while it was paused, has not waited for Annals.
        let new = Destination { created_at: at(30), ..sent.clone() };
        assert_eq!(health(&new, None, Some(11), 42), Health::Healthy);
        let progress = Progress { lag_from: Some(at(30)), ..sent.progress.clone() };
        assert_eq!(health(&Destination { progress, ..sent }, None, Some(11), 42), Health::Healthy);
    }

    #[test]
    fn a_test_is_current_until_a_delivery_says_otherwise() {
        assert!(is_current(&test(true, 5), &destination(Some(9), None)));
        assert!(!is_current(&test(false, 5), &destination(Some(9), None)));
        assert!(!is_current(&test(true, 5), &destination(None, Some((6, 7)))));
        assert!(is_current(&test(true, 5), &destination(None, Some((4, 4)))));
        assert!(!is_current(&test(true, 5), &destination(None, Some((4, 8)))), "it failed again after the test");
        assert!(is_current(&test(false, 5), &destination(None, Some((6, 7)))));
    }
}
