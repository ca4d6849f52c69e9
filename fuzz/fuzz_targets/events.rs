//! Any bytes as the body of `POST /events`, in both formats.
//!
//! The stored body of an accepted event has everything that was sent, unaltered but for what is `null`, unnamed or half a
//! character, in one line of JSON that would be accepted again. A refusal is short. Both take memory in proportion to the size of the request.

#![no_main]

use annals_core::{
    event::{self, Body, Layout, MAX_EVENT_BYTES, MAX_EVENTS},
    fault::Faults,
    json,
    recorded_by::RecordedBy,
};
use annals_fuzz::{check_refusal, members};
use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;
use serde_json::Value;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

fuzz_target!(|request: &[u8]| {
    for layout in [Layout::Json, Layout::Ndjson] {
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        let outcome = parse(request, layout);
        // An item of an array or a member of an object takes 16 to 64 bytes in memory and at least two in the request.
        let used = MEMORY.peak_usage().saturating_sub(before);
        assert!(used <= 256 * 1024 + 512 * request.len(), "{used} bytes for a request of {}", request.len());
        match outcome {
            Ok(bodies) => check_accepted(request, layout, &bodies),
            Err(faults) => check_refusal(&faults),
        }
    }
});

fn parse(request: &[u8], layout: Layout) -> Result<Vec<Body>, Faults> {
    event::parse(request, layout, &RecordedBy::Platform)
}

fn check_accepted(request: &[u8], layout: Layout, bodies: &[Body]) {
    let text = std::str::from_utf8(request).expect("an accepted request is UTF-8");
    let sent: Vec<Value> = events_in(&json::with_whole_characters(text), layout).into_iter().map(filled_in).collect();
    assert!((1..=MAX_EVENTS).contains(&bodies.len()));
    assert_eq!(sent.len(), bodies.len());
    for (sent, body) in sent.iter().zip(bodies) {
        let event = body.event();
        assert_eq!(body.as_str(), event.replacen('{', r#"{"recordedBy":"platform","#, 1));
        let body = &*event;
        assert!(!body.bytes().any(|byte| byte < b' '), "white space or an end of line in {body}");
        let kept = members(body);
        for (name, value) in sent.as_object().expect("an event is an object") {
            assert_eq!(kept.get(name), Some(value), "{name}");
        }
        for name in kept.keys() {
            assert!(sent.get(name).is_some() || ["type", "clientType"].contains(&name.as_str()), "{name}");
        }
        // Default values can make a stored body larger than the limit.
        if body.len() <= MAX_EVENT_BYTES {
            let again = parse(body.as_bytes(), Layout::Json);
            assert_eq!(again.as_deref().map(<[Body]>::len), Ok(1), "{body}");
            assert_eq!(again.as_deref().ok().and_then(<[Body]>::first).map(Body::event).as_deref(), Some(body));
        }
    }
    let texts: Vec<String> = bodies.iter().map(Body::event).collect();
    assert_eq!(parse(texts.join("\n").as_bytes(), Layout::Ndjson).as_deref(), Ok(bodies));
    assert_eq!(parse(format!("[{}]", texts.join(",")).as_bytes(), Layout::Json).as_deref(), Ok(bodies));
}

/// Returns an event without what is the same as absent, and with the default names.
fn filled_in(mut event: Value) -> Value {
    let members = event.as_object_mut().expect("an event is an object");
    members.retain(|_, value| !value.is_null());
    for thing in ["entity", "principal", "parentEntity", "subject"] {
        let Some(thing) = members.get_mut(thing).and_then(Value::as_object_mut) else { continue };
        thing.retain(|name, value| !(value.is_null() && ["name", "email"].contains(&name.as_str())));
        let id = thing["id"].clone();
        thing.entry("name").or_insert(id);
    }
    if let Some(context) = members.get_mut("context").and_then(Value::as_object_mut) {
        let known = ["ipAddress", "userAgent", "requestId", "location"];
        context.retain(|name, value| !(value.is_null() && known.contains(&name.as_str())));
    }
    if let Some(metadata) = members.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|_, value| !value.is_null());
    }
    event
}

/// Returns the events of a request as read by a general JSON parser.
fn events_in(text: &str, layout: Layout) -> Vec<Value> {
    let value = |text: &str| serde_json::from_str::<Value>(text).expect("an accepted request is JSON");
    match layout {
        Layout::Ndjson => text.lines().filter(|line| !line.trim().is_empty()).map(value).collect(),
        Layout::Json => match value(text) {
            Value::Array(items) => items,
            other => vec![other],
        },
    }
}
