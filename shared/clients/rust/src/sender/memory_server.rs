//! An in-memory server that remembers keys like the real one, validates events with the same code, and fails on demand.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use annals_core::{
    event::{Layout, parse},
    fault::{Faults, Place},
    recorded_by::RecordedBy,
};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    http::{NoResponse, Request, Transport},
    response::Response,
};

/// What happens to one request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    None,
    /// The connection breaks before the request arrives.
    Refused,
    /// The request is processed, and the response is lost.
    ResponseLost,
    /// There is no response. The request is not processed.
    Hangs,
    /// There is no response. The request is processed.
    HangsProcessed,
    /// Another response: status, `Retry-After` in seconds, and body. The request is not processed.
    Responds(u16, Option<u64>, &'static str),
}

/// A received request.
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
    /// The faults of the next requests, one each.
    faults: VecDeque<Fault>,
    /// Until then all connections are refused.
    down_until: Option<Instant>,
    max_events: usize,
    token: String,
    /// The request and the response of each key.
    responses: HashMap<String, (Bytes, Vec<u8>)>,
    log: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct MemoryServer(Arc<Mutex<State>>);

impl MemoryServer {
    /// Accepts the token `token`.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            requests: Vec::new(),
            faults: VecDeque::new(),
            down_until: None,
            max_events: usize::MAX,
            token: "Bearer token".into(),
            responses: HashMap::new(),
            log: Vec::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Sets the faults of the next requests.
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

    /// Remembers `key` with other events.
    pub(crate) fn remember(&self, key: String) {
        self.state().responses.insert(key, (Bytes::new(), Vec::new()));
    }

    /// Returns the labels of the recorded events, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// Returns all requests. Asserts that each key always came with the same bytes.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        let requests = self.state().requests.clone();
        let mut bodies = HashMap::new();
        for request in &requests {
            let body = bodies.entry(&request.key).or_insert(&request.body);
            assert_eq!(*body, &request.body, "key {} came with different bytes", request.key);
        }
        requests
    }

    fn process(state: &mut State, request: &Request) -> Response {
        let respond = |status, body: Value| Response { status, retry_after: None, body: body.to_string().into_bytes() };
        if request.token.to_str().unwrap() != state.token {
            return respond(401, json!({"code": "unauthorized", "detail": "Send a valid token."}));
        }
        if let Some((body, replayed)) = state.responses.get(&request.key) {
            return if *body == request.body {
                Response { status: 201, retry_after: None, body: replayed.clone() }
            } else {
                respond(422, json!({"code": "idempotency_key_reused", "detail": "Used with other events."}))
            };
        }
        let labels = labels(&request.body);
        if labels.len() > state.max_events || labels.iter().any(|label| label == "huge") {
            return respond(413, json!({"code": "batch_too_large", "detail": "Too large."}));
        }
        if labels.iter().any(|label| label == "odd") {
            let errors = json!([{"pointer": "", "detail": "is odd"}]);
            return respond(400, json!({"code": "invalid_input", "detail": "is odd", "errors": errors}));
        }
        if let Err(faults) = parse(&request.body, Layout::Ndjson, &RecordedBy::Platform) {
            return respond(400, problem(&faults));
        }
        let first = state.log.len() + 1;
        let receipts = (first..first + labels.len())
            .map(|sequence| json!({"eventId": format!("id-{sequence}"), "uuid": "u", "sequence": sequence}));
        let recorded = respond(201, json!({"events": receipts.collect::<Value>()}));
        state.log.extend(labels);
        state.responses.insert(request.key.clone(), (request.body.clone(), recorded.body.clone()));
        recorded
    }
}

impl Transport for MemoryServer {
    async fn post(&self, request: Request) -> Result<Response, NoResponse> {
        let (fault, response) = {
            let mut state = self.state();
            let seen = Seen { at: Instant::now(), key: request.key.clone(), body: request.body.clone() };
            state.requests.push(seen);
            let fault = if state.down_until.is_some_and(|until| Instant::now() < until) {
                Fault::Refused
            } else {
                state.faults.pop_front().unwrap_or(Fault::None)
            };
            let processed = matches!(fault, Fault::None | Fault::ResponseLost | Fault::HangsProcessed);
            let response = processed.then(|| Self::process(&mut state, &request));
            (fault, response.unwrap_or_default())
        };
        match fault {
            Fault::None => Ok(response),
            Fault::Refused => Err(NoResponse { detail: "connection refused".into(), in_doubt: false }),
            Fault::ResponseLost => Err(NoResponse { detail: "connection reset".into(), in_doubt: true }),
            Fault::Hangs | Fault::HangsProcessed => std::future::pending().await,
            Fault::Responds(status, retry_after, body) => {
                Ok(Response { status, retry_after: retry_after.map(Duration::from_secs), body: body.into() })
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

/// Returns the entity ids of NDJSON events.
fn labels(body: &[u8]) -> Vec<String> {
    let lines = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    lines.map(|event| event.unwrap()["entity"]["id"].as_str().unwrap().to_owned()).collect()
}
