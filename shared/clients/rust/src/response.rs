//! What a response means for the batch that was sent. A pure function: sends nothing and keeps nothing.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use crate::report::{DeliveryError, Fault, Receipt};

/// The longest `Retry-After` that the client honours.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5 * 60);
/// How much of a server's explanation is kept.
const DETAIL_MAX_CHARS: usize = 300;

/// An HTTP response.
#[derive(Debug, Clone, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The `Retry-After` header if it is a number of seconds.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

/// What a response means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The events are in the log. One receipt for each, in their order.
    Recorded(Vec<Receipt>),
    /// Nothing was recorded, because of these events, by index in the batch.
    Rejected(BTreeMap<usize, Vec<Fault>>),
    /// Nothing was recorded, because of the batch as a whole or because of an event that the response does not name.
    Indivisible(Fault),
    /// The server has seen the key with other events. Keys are random, so a proxy or a new server version changed the events.
    /// Under a new key they may be recorded twice, which is better than never.
    KeyReused(DeliveryError),
    /// The same request may succeed later.
    Failed { error: DeliveryError, retry_after: Duration },
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

/// Interprets the response to a batch of `events` events.
pub(crate) fn interpret(response: &Response, events: usize) -> Verdict {
    let status = response.status;
    let failed =
        |error| Verdict::Failed { error, retry_after: response.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX) };
    if status == 201 {
        // Any other successful response, such as a proxy's page, has recorded nothing.
        return match serde_json::from_slice::<Recorded>(&response.body) {
            Ok(recorded) if recorded.events.len() == events => Verdict::Recorded(recorded.events),
            _ => failed(DeliveryError::Configuration { status, detail: "no receipt for each event".into() }),
        };
    }
    let problem: Option<Problem> = serde_json::from_slice(&response.body).ok();
    let detail = problem.as_ref().map_or("not a response of Annals", |problem| &problem.detail);
    let detail: String = detail.chars().take(DETAIL_MAX_CHARS).collect();
    match (status, problem) {
        (413, _) => {
            Verdict::Indivisible(Fault { pointer: String::new(), detail: "is too large for the server".into() })
        }
        (400, Some(problem)) if problem.code == "body_cut_off" => failed(DeliveryError::Unreachable(detail)),
        (400 | 422, Some(problem)) if problem.errors.iter().any(|error| error.pointer.is_some()) => {
            rejected(problem.errors, events)
        }
        (422, Some(problem)) if problem.code == "idempotency_key_reused" => {
            Verdict::KeyReused(DeliveryError::Configuration { status, detail })
        }
        (408 | 425, _) => failed(DeliveryError::TimedOut),
        (429, _) => failed(DeliveryError::Throttled),
        (500.., _) => failed(DeliveryError::Server(status)),
        (401 | 403, _) => failed(DeliveryError::Token { status, detail }),
        _ => failed(DeliveryError::Configuration { status, detail }),
    }
}

/// Groups the faults by event. Each pointer begins with `/` and the event's index.
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
        interpret(&Response { status, retry_after: None, body: body.as_bytes().to_vec() }, 2)
    }

    fn error(verdict: Verdict) -> DeliveryError {
        match verdict {
            Verdict::Failed { error, .. } => error,
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
            assert!(matches!(error(of(status, &body)), DeliveryError::Configuration { .. }), "{status} {body}");
        }
    }

    #[test]
    fn faults_are_grouped_by_event_with_pointers_into_it() {
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
    fn faults_without_an_event_concern_the_batch() {
        for pointer in ["", "/2/action", "/x", "0"] {
            let body = format!(r#"{{"code":"invalid_input","errors":[{{"pointer":"{pointer}","detail":"is odd"}}]}}"#);
            assert!(matches!(of(400, &body), Verdict::Indivisible(_)), "{pointer}");
        }
        assert!(matches!(of(413, "<html>"), Verdict::Indivisible(_)));
    }

    #[test]
    fn a_failure_that_no_event_caused_is_retried() {
        assert!(!error(of(400, r#"{"code":"body_cut_off","detail":"d"}"#)).needs_attention());
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert!(!error(of(status, "")).needs_attention(), "{status}");
        }
        for status in [301, 400, 401, 403, 404, 405, 409, 410, 415, 422] {
            assert!(error(of(status, "")).needs_attention(), "{status}");
        }
        let parameter = r#"{"code":"invalid_input","errors":[{"parameter":"Idempotency-Key","detail":"d"}]}"#;
        assert!(matches!(error(of(400, parameter)), DeliveryError::Configuration { .. }));
        let reused = r#"{"code":"idempotency_key_reused","detail":"d"}"#;
        assert!(matches!(of(422, reused), Verdict::KeyReused(_)));
    }

    #[test]
    fn retry_after_is_honoured_up_to_a_limit() {
        let response = Response { status: 503, retry_after: Some(Duration::from_secs(86_400)), body: Vec::new() };
        assert!(matches!(interpret(&response, 1), Verdict::Failed { retry_after: RETRY_AFTER_MAX, .. }));
    }
}
