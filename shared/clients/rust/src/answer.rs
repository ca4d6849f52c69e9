//! What the server's answer means for the batch that it answers. A pure function: nothing is sent or kept here.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use crate::report::{Fault, Receipt, Trouble};

/// The longest pause that a server is granted.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5 * 60);
/// The longest detail that is kept of what a server says.
const DETAIL_MAX_CHARS: usize = 300;

/// An answer as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The `Retry-After` header, where it is a number of seconds.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The events are in the log, each where its receipt says.
    Recorded(Vec<Receipt>),
    /// Nothing was recorded, because of these events, by their index in the batch.
    Rejected(BTreeMap<usize, Vec<Fault>>),
    /// Nothing was recorded, because of all together, or because of one that was not named.
    Indivisible(Fault),
    /// The server knows the key with other events. Keys being random, what is between it and us, or a new version of it,
    /// has changed the events: under another key they are perhaps recorded twice, which is better than never.
    KeyReused(Trouble),
    /// It may succeed when it is sent again as it is.
    Failed { trouble: Trouble, retry_after: Duration },
}

#[derive(Deserialize)]
struct Recorded {
    events: Vec<Receipt>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    detail: String,
    errors: Vec<ProblemError>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ProblemError {
    pointer: Option<String>,
    detail: String,
}

/// Judges the answer to a batch of `events` events.
pub(crate) fn judge(answer: &Answer, events: usize) -> Verdict {
    let status = answer.status;
    let failed =
        |trouble| Verdict::Failed { trouble, retry_after: answer.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX) };
    if status == 201 {
        // Whatever else answers with success, such as a proxy's page, has recorded nothing.
        return match serde_json::from_slice::<Recorded>(&answer.body) {
            Ok(recorded) if recorded.events.len() == events => Verdict::Recorded(recorded.events),
            _ => failed(Trouble::Setup { status, detail: "no receipt for each event".into() }),
        };
    }
    let problem: Option<Problem> = serde_json::from_slice(&answer.body).ok();
    let detail = problem.as_ref().map_or("no problem description of Annals", |problem| &problem.detail);
    let detail: String = detail.chars().take(DETAIL_MAX_CHARS).collect();
    match (status, problem) {
        (413, _) => {
            Verdict::Indivisible(Fault { pointer: String::new(), detail: "is too large for the server".into() })
        }
        (400, Some(problem)) if problem.code == "body_cut_off" => failed(Trouble::Unreachable(detail)),
        (400 | 422, Some(problem)) if problem.errors.iter().any(|error| error.pointer.is_some()) => {
            rejected(problem.errors, events)
        }
        (422, Some(problem)) if problem.code == "idempotency_key_reused" => {
            Verdict::KeyReused(Trouble::Setup { status, detail })
        }
        (408 | 425, _) => failed(Trouble::TimedOut),
        (429, _) => failed(Trouble::Throttled),
        (500.., _) => failed(Trouble::Server(status)),
        (401 | 403, _) => failed(Trouble::Token { status, detail }),
        _ => failed(Trouble::Setup { status, detail }),
    }
}

/// The faults by event. Pointers begin with `/n`, the event's index.
fn rejected(errors: Vec<ProblemError>, events: usize) -> Verdict {
    let mut named: BTreeMap<usize, Vec<Fault>> = BTreeMap::new();
    let mut unnamed = None;
    for error in errors {
        let Some(pointer) = error.pointer else { continue };
        let (index, rest) = pointer
            .strip_prefix('/')
            .map_or(("", ""), |path| path.find('/').map_or((path, ""), |end| path.split_at(end)));
        match index.parse().ok().filter(|index| *index < events) {
            Some(index) => {
                named.entry(index).or_default().push(Fault { pointer: rest.to_owned(), detail: error.detail });
            }
            None => unnamed = Some(Fault { pointer, detail: error.detail }),
        }
    }
    match unnamed {
        Some(fault) if named.is_empty() => Verdict::Indivisible(fault),
        _ => Verdict::Rejected(named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Verdict {
        judge(&Answer { status, retry_after: None, body: body.as_bytes().to_vec() }, 2)
    }

    fn trouble(verdict: Verdict) -> Trouble {
        match verdict {
            Verdict::Failed { trouble, .. } => trouble,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_a_receipt_for_each_event_is_a_success() {
        let receipt = r#"{"eventId":"a","uuid":"b","sequence":7}"#;
        let receipts = format!(r#"{{"events":[{receipt},{receipt}]}}"#);
        assert!(matches!(of(201, &receipts), Verdict::Recorded(receipts) if receipts[1].sequence == 7));
        for (status, body) in [
            (201, format!(r#"{{"events":[{receipt}]}}"#)),
            (201, "<html>".into()),
            (200, receipts),
            (302, String::new()),
        ] {
            assert!(matches!(trouble(of(status, &body)), Trouble::Setup { .. }), "{status} {body}");
        }
    }

    #[test]
    fn faults_are_sorted_to_their_events_with_pointers_into_them() {
        let body = r#"{"code":"invalid_input","detail":"3 faults","errors":[
            {"pointer":"/1/entity/id","detail":"is required"},{"pointer":"/0","detail":"is empty"},
            {"pointer":"/1/action","detail":"is required"}]}"#;
        let fault = |pointer: &str, detail: &str| Fault { pointer: pointer.into(), detail: detail.into() };
        let first = vec![fault("", "is empty")];
        let second = vec![fault("/entity/id", "is required"), fault("/action", "is required")];
        for status in [400, 422] {
            let faults = BTreeMap::from([(0, first.clone()), (1, second.clone())]);
            assert_eq!(of(status, body), Verdict::Rejected(faults));
        }
    }

    #[test]
    fn faults_that_name_no_event_are_narrowed_down() {
        for pointer in ["", "/2/action", "/x", "0"] {
            let body = format!(r#"{{"code":"invalid_input","errors":[{{"pointer":"{pointer}","detail":"is odd"}}]}}"#);
            assert!(matches!(of(400, &body), Verdict::Indivisible(_)), "{pointer}");
        }
        assert!(matches!(of(413, "<html>"), Verdict::Indivisible(_)));
    }

    #[test]
    fn what_is_not_the_events_fault_is_tried_again() {
        assert!(!trouble(of(400, r#"{"code":"body_cut_off","detail":"d"}"#)).needs_attention());
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert!(!trouble(of(status, "")).needs_attention(), "{status}");
        }
        for status in [301, 400, 401, 403, 404, 405, 409, 410, 415, 422] {
            assert!(trouble(of(status, "")).needs_attention(), "{status}");
        }
        let parameter = r#"{"code":"invalid_input","errors":[{"parameter":"Idempotency-Key","detail":"d"}]}"#;
        assert!(matches!(trouble(of(400, parameter)), Trouble::Setup { .. }));
        let reused = r#"{"code":"idempotency_key_reused","detail":"d"}"#;
        assert!(matches!(of(422, reused), Verdict::KeyReused(_)));
    }

    #[test]
    fn a_server_is_granted_a_pause_but_no_eternity() {
        let answer = Answer { status: 503, retry_after: Some(Duration::from_secs(86_400)), body: Vec::new() };
        assert!(matches!(judge(&answer, 1), Verdict::Failed { retry_after: RETRY_AFTER_MAX, .. }));
    }
}
