//! A server in memory that keeps keys as the real one does, judges events with its code, and fails as it is told.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use annals_core::{
    event::{Layout, parse},
    fault::{Faults, Place},
};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    answer::Answer,
    http::{Request, Transport, Unanswered},
};

/// What happens to one request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Nothing goes wrong.
    None,
    /// The connection breaks before the request arrives.
    Refused,
    /// It is processed, and the answer is lost.
    AnswerLost,
    /// No answer, ever. It is not processed.
    Hangs,
    /// No answer, ever. It is processed.
    HangsProcessed,
    /// Another answer: status, `Retry-After` and body. It is not processed.
    Answers(u16, Option<u64>, &'static str),
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) key: String,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn labels(&self) -> Vec<String> {
        labels(&self.body)
    }
}

#[derive(Debug)]
struct State {
    requests: Vec<Seen>,
    /// The faults of the next requests.
    faults: VecDeque<Fault>,
    /// Until then nothing arrives.
    down_until: Option<Instant>,
    max_events: usize,
    token: String,
    answers: HashMap<String, (Bytes, Vec<u8>)>,
    log: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct MemoryServer(Arc<Mutex<State>>);

impl MemoryServer {
    /// Takes the token `token`.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            requests: Vec::new(),
            faults: VecDeque::new(),
            down_until: None,
            max_events: usize::MAX,
            token: "Bearer token".into(),
            answers: HashMap::new(),
            log: Vec::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// With these faults for the next requests.
    pub(crate) fn failing(self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.state().faults.extend(faults);
        self
    }

    pub(crate) fn goes_down(&self, duration: Duration) {
        self.state().down_until = Some(Instant::now() + duration);
    }

    pub(crate) fn set_max_events(&self, events: usize) {
        self.state().max_events = events;
    }

    pub(crate) fn set_token(&self, token: &str) {
        self.state().token = format!("Bearer {token}");
    }

    /// Remembers `key` for other events.
    pub(crate) fn knows(&self, key: String) {
        self.state().answers.insert(key, (Bytes::new(), Vec::new()));
    }

    /// The labels of what was recorded, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// The requests, where each key came with the same bytes whenever it came.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        let requests = self.state().requests.clone();
        let mut bodies = HashMap::new();
        for request in &requests {
            let body = bodies.entry(&request.key).or_insert(&request.body);
            assert_eq!(*body, &request.body, "key {} came with other bytes", request.key);
        }
        requests
    }

    fn process(state: &mut State, request: &Request) -> Answer {
        let answer = |status, body: Value| Answer { status, retry_after: None, body: body.to_string().into_bytes() };
        if request.token.to_str().unwrap() != state.token {
            return answer(401, json!({"code": "unauthorized", "detail": "Send a valid token."}));
        }
        if let Some((body, replayed)) = state.answers.get(&request.key) {
            return if *body == request.body {
                Answer { status: 201, retry_after: None, body: replayed.clone() }
            } else {
                answer(422, json!({"code": "idempotency_key_reused", "detail": "Used with other events."}))
            };
        }
        let labels = labels(&request.body);
        if labels.len() > state.max_events || labels.iter().any(|label| label == "huge") {
            return answer(413, json!({"code": "batch_too_large", "detail": "Too large."}));
        }
        if labels.iter().any(|label| label == "odd") {
            let errors = json!([{"pointer": "", "detail": "is odd"}]);
            return answer(400, json!({"code": "invalid_input", "detail": "is odd", "errors": errors}));
        }
        if let Err(faults) = parse(&request.body, Layout::Ndjson) {
            return answer(400, problem(&faults));
        }
        let first = state.log.len() + 1;
        let receipts = (first..first + labels.len())
            .map(|sequence| json!({"eventId": format!("id-{sequence}"), "uuid": "u", "sequence": sequence}));
        let recorded = answer(201, json!({"events": receipts.collect::<Value>()}));
        state.log.extend(labels);
        state.answers.insert(request.key.clone(), (request.body.clone(), recorded.body.clone()));
        recorded
    }
}

impl Transport for MemoryServer {
    async fn post(&self, request: Request) -> Result<Answer, Unanswered> {
        let (fault, answer) = {
            let mut state = self.state();
            let seen = Seen { at: Instant::now(), key: request.key.clone(), body: request.body.clone() };
            state.requests.push(seen);
            let fault = if state.down_until.is_some_and(|until| Instant::now() < until) {
                Fault::Refused
            } else {
                state.faults.pop_front().unwrap_or(Fault::None)
            };
            let processed = matches!(fault, Fault::None | Fault::AnswerLost | Fault::HangsProcessed);
            let answer = processed.then(|| Self::process(&mut state, &request));
            (fault, answer.unwrap_or_default())
        };
        match fault {
            Fault::None => Ok(answer),
            Fault::Refused => Err(Unanswered { detail: "connection refused".into(), in_doubt: false }),
            Fault::AnswerLost => Err(Unanswered { detail: "connection reset".into(), in_doubt: true }),
            Fault::Hangs | Fault::HangsProcessed => std::future::pending().await,
            Fault::Answers(status, retry_after, body) => {
                Ok(Answer { status, retry_after: retry_after.map(Duration::from_secs), body: body.into() })
            }
        }
    }
}

fn problem(faults: &Faults) -> Value {
    let error = |fault: &annals_core::fault::Fault| match &fault.place {
        Place::Pointer(pointer) => json!({"pointer": pointer, "detail": fault.detail}),
        Place::Parameter(name) => json!({"parameter": name, "detail": fault.detail}),
    };
    let errors: Vec<Value> = faults.as_slice().iter().map(error).collect();
    json!({"code": "invalid_input", "detail": faults.to_string(), "errors": errors})
}

/// The ids of the entities of NDJSON.
fn labels(body: &[u8]) -> Vec<String> {
    let lines = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    lines.map(|event| event.unwrap()["entity"]["id"].as_str().unwrap().to_owned()).collect()
}
