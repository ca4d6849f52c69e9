//! A proxy between a function and DynamoDB. It counts what passes, and holds back the writes to one table until a test lets
//! them pass, so that a test decides which requests run at the same time.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{Response, StatusCode},
};
use serde_json::{Map, Value};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// The most bytes of a request and its answer (Amazon DynamoDB, "Quotas").
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Dropping it ends the proxy.
#[derive(Debug)]
pub struct DynamoProxy {
    url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    http: reqwest::Client,
    table: String,
    holds: watch::Sender<bool>,
    latency: watch::Sender<Duration>,
    passed: watch::Sender<Passed>,
}

/// What has passed so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// Writes to the table that are held back.
    pub held: u64,
    /// Answered reads of single items of any table.
    pub gets: u64,
    /// Answered writes of items to the table, failed conditions included.
    pub puts: u64,
    /// Of these the failed conditions.
    pub lost: u64,
    /// Their write units: 1 KB each, of the stored item if the condition failed, and twice in a transaction.
    pub write_units: u64,
    /// Those of the write that took the most.
    pub most_units: u64,
}

impl DynamoProxy {
    /// Starts a proxy to `upstream` that counts the writes to `table`.
    pub async fn start(upstream: &str, table: &str) -> Self {
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            table: table.to_owned(),
            holds: watch::Sender::new(false),
            latency: watch::Sender::new(Duration::ZERO),
            passed: watch::Sender::new(Passed::default()),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(forward).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, server }
    }

    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Holds back writes to the table from now on.
    pub fn hold(&self) {
        self.shared.holds.send_replace(true);
    }

    /// Makes every call take this much longer.
    pub fn slow_down(&self, latency: Duration) {
        self.shared.latency.send_replace(latency);
    }

    /// Lets all writes pass.
    pub fn release(&self) {
        self.shared.holds.send_replace(false);
    }

    #[must_use]
    pub fn passed(&self) -> Passed {
        *self.shared.passed.borrow()
    }

    /// Waits until `condition` holds for what has passed.
    pub async fn until(&self, condition: impl Fn(&Passed) -> bool) {
        self.shared.passed.subscribe().wait_for(|passed| condition(passed)).await.unwrap();
    }
}

impl Drop for DynamoProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn forward(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BYTES).await.unwrap();
    let target = parts.headers.get("x-amz-target").map(|target| target.to_str().unwrap().to_owned());
    let operation = target.as_deref().and_then(|target| target.split('.').nth(1)).unwrap_or_default();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let puts = puts(operation, &asked, &shared.table);
    let is_counted = !puts.is_empty();
    if is_counted && *shared.holds.borrow() {
        shared.passed.send_modify(|passed| passed.held += 1);
        shared.holds.subscribe().wait_for(|holds| !holds).await.unwrap();
        shared.passed.send_modify(|passed| passed.held -= 1);
    }
    let latency = *shared.latency.borrow();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    // The signature covers the host that the function has called, so the header stays as it is.
    let call = shared.http.request(parts.method, format!("{}{}", shared.upstream, parts.uri));
    let answer = call.headers(parts.headers).body(body).send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let answer: Bytes = answer.bytes().await.unwrap();
    shared.passed.send_modify(|passed| {
        passed.gets += u64::from(operation == "GetItem");
        if is_counted {
            let units = units(operation, &puts, status, &answer);
            passed.puts += 1;
            passed.lost += u64::from(!status.is_success());
            passed.write_units += units;
            passed.most_units = passed.most_units.max(units);
        }
    });
    let mut response = Response::new(Body::from(answer));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The items that a call puts into `table`.
fn puts<'a>(operation: &str, asked: &'a Value, table: &str) -> Vec<&'a Map<String, Value>> {
    let actions = match operation {
        "PutItem" => vec![asked],
        "TransactWriteItems" => {
            asked["TransactItems"].as_array().into_iter().flatten().map(|item| &item["Put"]).collect()
        }
        _ => Vec::new(),
    };
    actions.into_iter().filter(|put| put["TableName"] == table).filter_map(|put| put["Item"].as_object()).collect()
}

/// The write units of a write that was answered. A write that failed for another reason than its condition costs nothing.
fn units(operation: &str, puts: &[&Map<String, Value>], status: StatusCode, answer: &[u8]) -> u64 {
    let units = |item: &Map<String, Value>| item_bytes(item).div_ceil(1024).max(1) as u64;
    if status.is_success() {
        let factor = if operation == "TransactWriteItems" { 2 } else { 1 };
        return factor * puts.iter().map(|item| units(item)).sum::<u64>();
    }
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let is_refused = answer["__type"].as_str().is_some_and(|kind| kind.ends_with("ConditionalCheckFailedException"));
    if is_refused { answer["Item"].as_object().map_or(1, units) } else { 0 }
}

/// Returns the size of an item in DynamoDB's JSON as it counts it (Amazon DynamoDB, "DynamoDB item sizes and formats").
fn item_bytes(item: &Map<String, Value>) -> usize {
    let value = |value: &Value| match value.as_object().and_then(|value| value.iter().next()) {
        Some((kind, Value::String(text))) => match kind.as_str() {
            "N" => text.len().div_ceil(2) + 1,
            "B" => text.trim_end_matches('=').len() * 3 / 4,
            _ => text.len(),
        },
        Some((_, other)) => other.to_string().len(),
        None => 1,
    };
    item.iter().map(|(name, attribute)| name.len() + value(attribute)).sum()
}
