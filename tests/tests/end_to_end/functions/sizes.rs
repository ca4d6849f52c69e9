//! The sizes of requests that pass API Gateway, Lambda, the API function and DynamoDB, and the answers to those that do not.

use annals_core::{
    event::{MAX_EVENT_BYTES, MAX_EVENTS, MAX_REQUEST_BYTES},
    log::append::{MAX_APPEND_UNITS, MAX_STORED_BYTES},
    organisation::Organisation,
};
use annals_http::gateway::MAX_JSON_BYTES;
use annals_local::demo;
use annals_tests::{
    deployment::{Deployment, PLATFORM_TOKEN},
    entropy::SeededEntropy,
    gateway::{self, Answer, Encoding, Request},
    sandbox::Sandbox,
};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_api-under-test");
const NDJSON: &str = "application/x-ndjson";
const JSON: &str = "application/json";

struct Service {
    deployment: Deployment,
    acme: Organisation,
    sandbox: Sandbox,
}

impl Service {
    async fn start() -> Self {
        let deployment = Deployment::start().await;
        let acme = deployment.organisation("acme").await;
        let sandbox = Sandbox::start(BINARY, &deployment, &[]).await;
        Self { deployment, acme, sandbox }
    }

    /// Sends a request through API Gateway.
    async fn post(&self, request: &Request) -> Answer {
        match request.accepted() {
            Ok(event) => Answer::of(&self.sandbox.function.invoke(&event).await.unwrap()),
            Err(refusal) => refusal,
        }
    }

    async fn tail(&self) -> u64 {
        self.deployment.api().log.tail(&self.acme.id).await.unwrap().last
    }
}

fn request(media_type: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::new("POST", "/organisations/acme/events").token(PLATFORM_TOKEN).body(
        media_type,
        body,
        Encoding::of(media_type),
    )
}

/// An event of so many bytes, of which nearly all are random letters.
fn incompressible(entropy: &SeededEntropy, bytes: usize) -> Value {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let event = |ballast: &str| {
        json!({
            "action": "UPDATE",
            "entity": {"id": "1", "name": "Payments", "entityType": "MOCK_API"},
            "principal": {"id": "7", "name": "Ada", "entityType": "USER"},
            "payload": {"ballast": ballast},
        })
    };
    let room = bytes - event("").to_string().len();
    let ballast: String = (0..room).map(|_| char::from(LETTERS[entropy.below(LETTERS.len())])).collect();
    event(&ballast)
}

/// Lines of exactly so many bytes, ended by blank lines.
fn lines(events: &[Value], bytes: usize) -> String {
    let mut text = String::new();
    for event in events.iter().cycle().take(MAX_EVENTS).map(Value::to_string) {
        if text.len() + event.len() + 1 > bytes {
            break;
        }
        text += &event;
        text.push('\n');
    }
    let blank = bytes - text.len();
    text + &"\n".repeat(blank)
}

/// Events as products send them, each with the state of a thing before and after a change, about 4 KB long.
fn large_realistic() -> Vec<Value> {
    let entropy = SeededEntropy::new(3);
    let mut events = demo::realistic_events(3, MAX_EVENTS);
    for event in &mut events {
        let state = |changed: u64| -> Value {
            let rules = (0..12).map(|rule| {
                json!({"id": format!("{:012x}", entropy.next() >> 16), "priority": rule, "enabled": changed.is_multiple_of(2),
                    "request": {"method": "GET", "urlPath": format!("/orders/{}", entropy.below(1000))}})
            });
            json!({"version": changed, "rules": rules.collect::<Vec<_>>()})
        };
        let (before, after) = (state(1), state(2));
        event["before"] = before;
        event["after"] = after;
    }
    events
}

#[tokio::test]
async fn the_largest_request_passes_api_gateway_and_is_recorded() {
    let service = Service::start().await;
    let events = large_realistic();
    let body = lines(&events, MAX_REQUEST_BYTES);
    let as_lines = request(NDJSON, body.clone());
    let event_bytes = as_lines.accepted().unwrap().to_string().len();
    println!("NDJSON: {} bytes, an event of {event_bytes} bytes", body.len());
    assert!(event_bytes + (64 << 10) <= gateway::MAX_EVENT_BYTES, "headers may take 10 KB, each character escaped");
    let count = service.post(&as_lines).await.expect(201)["events"].as_array().unwrap().len();

    let units = service.sandbox.dynamodb.passed().write_units;
    println!("{count} events of {} bytes on average: {units} write units", body.trim_end().len() / count);
    assert!(units <= MAX_APPEND_UNITS as u64, "{units}");

    let array = format!("[{}]", body.trim_end().replace('\n', ","));
    let as_json = request(JSON, format!("{array}{}", " ".repeat(MAX_REQUEST_BYTES - array.len())));
    let event_bytes = as_json.accepted().unwrap().to_string().len();
    println!("JSON: {MAX_REQUEST_BYTES} bytes, an event of {event_bytes} bytes");
    assert_eq!(service.post(&as_json).await.expect(201)["events"].as_array().unwrap().len(), count);
}

#[tokio::test]
async fn json_whose_characters_are_all_escaped_passes_up_to_the_limit_that_is_stated_for_it() {
    let service = Service::start().await;
    let event = |quotes: usize| {
        let text = "\\\"".repeat(quotes);
        format!(
            r#"{{"action":"A","entity":{{"id":"1","name":"n","entityType":"T"}},"principal":{{"id":"1","name":"n","entityType":"T"}},"payload":{{"":"{text}"}}}}"#
        )
    };
    // A text of quotes is twice as long in the body, and twice that in the event.
    let one = event((MAX_EVENT_BYTES - event(0).len()) / 2);
    let mut events = vec![one.clone(); MAX_JSON_BYTES / (one.len() + 1)];
    let room = MAX_JSON_BYTES - events.len() * (one.len() + 1) - 2;
    events.push(event((room - event(0).len()) / 2));
    let body = format!("[{}]", events.join(","));
    assert!(body.len() + 1 >= MAX_JSON_BYTES && body.len() <= MAX_JSON_BYTES, "{}", body.len());
    let largest = request(JSON, body.clone());
    assert!(largest.accepted().unwrap().to_string().len() + (64 << 10) <= gateway::MAX_EVENT_BYTES);
    assert_eq!(service.post(&largest).await.expect(201)["events"].as_array().unwrap().len(), events.len());

    // Beyond, it may be API Gateway that refuses. As NDJSON the same events pass.
    let more = [events.clone(), vec![one; 2]].concat();
    let refusal = service.post(&request(JSON, format!("[{}]", more.join(",")))).await;
    assert_eq!((refusal.status, refusal.body.as_str()), (413, r#"{"message": "Request Too Long"}"#));
    let recorded = service.post(&request(NDJSON, more.join("\n"))).await.expect(201);
    assert_eq!(recorded["events"].as_array().unwrap().len(), more.len());
}

#[tokio::test]
async fn a_request_beyond_a_limit_is_told_which_limit_and_what_to_do() {
    let service = Service::start().await;
    let before = service.tail().await;
    for media_type in [NDJSON, JSON] {
        let answer = service.post(&request(media_type, vec![b' '; MAX_REQUEST_BYTES + 1])).await;
        let problem = answer.expect(413);
        assert_eq!(problem["code"], "body_too_large");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(&MAX_REQUEST_BYTES.to_string()) && detail.contains("Split it"), "{detail}");
    }
    let entropy = SeededEntropy::new(1);
    let events: Vec<Value> = (0..16).map(|_| incompressible(&entropy, MAX_EVENT_BYTES - 1)).collect();
    let problem = service.post(&request(NDJSON, lines(&events, MAX_REQUEST_BYTES))).await.expect(413);
    assert_eq!(problem["code"], "batch_too_large");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(&(MAX_STORED_BYTES / 1024).to_string()) && detail.contains("Split"), "{detail}");
    println!("{detail}");
    let refused = service.sandbox.dynamodb.passed();
    assert_eq!((refused.puts, service.tail().await), (0, before), "nothing was written");

    for body in [vec![b' '; 5 << 20], vec![b' '; (10 << 20) + 1]] {
        let answer = service.post(&request(NDJSON, body)).await;
        assert_eq!(answer.status, 413, "API Gateway refuses it itself: {}", answer.body);
        assert!(!answer.body.contains("code"), "{}", answer.body);
    }
}

#[tokio::test]
async fn the_largest_incompressible_request_needs_no_more_than_a_partition_writes_in_a_second() {
    let service = Service::start().await;
    let entropy = SeededEntropy::new(2);
    // The random letters have six bits each, so they are stored in three quarters of their size.
    let (mut passes, mut refused) = (MAX_EVENT_BYTES, MAX_REQUEST_BYTES);
    while refused - passes > 4096 {
        let bytes = usize::midpoint(passes, refused);
        let count = bytes.div_ceil(MAX_EVENT_BYTES - 1);
        let events: Vec<Value> = (0..count).map(|_| incompressible(&entropy, bytes / count - 1)).collect();
        let answer = service.post(&request(NDJSON, lines(&events, bytes))).await;
        match answer.status {
            201 => passes = bytes,
            413 => refused = bytes,
            other => panic!("{other}: {}", answer.body),
        }
    }
    let used = service.sandbox.dynamodb.passed();
    println!(
        "{passes} incompressible bytes are recorded, {refused} are refused; {} write units at most",
        used.most_units
    );
    assert!(used.most_units <= MAX_APPEND_UNITS as u64, "{}", used.most_units);
    assert!(used.most_units * 10 >= MAX_APPEND_UNITS as u64 * 9, "the limit is not lower than it must be");
    assert!(passes >= MAX_STORED_BYTES, "{passes}");
}

#[tokio::test]
async fn an_environment_has_memory_for_as_many_of_the_largest_requests_as_it_takes_at_once() {
    let service = Service::start().await;
    service.sandbox.function.ready().await;
    let idle = service.sandbox.function.resident_memory_bytes();
    let answer = service.post(&request(NDJSON, lines(&large_realistic(), MAX_REQUEST_BYTES))).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let one = service.sandbox.function.peak_memory_bytes() - idle;
    println!("{} MB idle, {:.1} MB more for one of the largest requests", idle >> 20, one as f64 / 1e6);
    let (_, function) = include_str!("../../../../template.yaml").split_once("\n  ApiInstancesFunction:\n").unwrap();
    let number = |name: &str| -> u64 {
        let (_, value) = function.split_once(&format!("{name}: ")).unwrap();
        value.split_whitespace().next().unwrap().parse().unwrap()
    };
    let (memory, at_once) = (number("MemorySize") << 20, number("PerExecutionEnvironmentMaxConcurrency"));
    assert!(idle + at_once * one <= memory / 2, "{at_once} times {one} bytes");
}
