//! Lines, pages and hostile texts for the samples and tests of this section.

use std::time::Duration;

use annals_core::{
    audit::{
        Page, Resume, Start,
        browse::{Browsed, Detail, Stretch, Timeline},
    },
    format::Format,
    id::EventId,
    log::segment::Line,
    organisation::OrganisationId,
    time::Timestamp,
};
use serde_json::{Value, json};

use super::{
    list::List,
    query::{LIST_PARAMETERS, View},
};

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);

pub(super) fn organisation() -> OrganisationId {
    "acme".parse().unwrap()
}

/// Returns a line with the members of Annals and then `members`.
pub(super) fn line(sequence: u64, members: &str) -> Line {
    let at = NOW.minus(Duration::from_secs(100_000)).plus(Duration::from_secs(sequence));
    let id = EventId::new(&organisation(), at, sequence, 0);
    let hash = "0123456789abcdef".repeat(4);
    let text = format!(
        r#"{{"sequence":{sequence},"eventId":"{id}","timestamp":"{at}","previousHash":"{hash}","organisation":{{"id":"acme","name":"Acme","entityType":"ORGANISATION"}},{members}}}"#
    );
    Line { id, recorded_at: at, text }
}

/// Returns a line with the members of `event`.
pub(super) fn line_of(sequence: u64, event: &Value) -> Line {
    let text = event.to_string();
    line(sequence, text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap())
}

pub(super) fn update() -> Value {
    json!({
        "recordedBy": "token/0123456789AB",
        "action": "UPDATE",
        "type": "mock_api.update",
        "entity": {"id": "m-1", "name": "Payments", "entityType": "MOCK_API"},
        "principal": {"id": "42", "name": "Ada Bell", "entityType": "USER", "email": "ada@example.com"},
        "parentEntity": {"id": "t-1", "name": "Core", "entityType": "TEAM"},
        "subject": {"id": "7", "name": "Ben", "entityType": "USER"},
        "permission": {"permissions": [{"id": "p1", "friendlyId": "read"}]},
        "before": {"name": "Payment", "limits": {"rate": 10, "burst": 5}, "tags": ["a", "b"], "gone": true},
        "after": {"name": "Payments", "limits": {"rate": 20, "burst": 5}, "tags": ["b"], "new": null},
        "clientType": "UI",
        "occurredAt": "2026-11-22T09:59:58.5+02:00",
        "context": {"ipAddress": "192.0.2.1", "userAgent": "Mozilla/5.0"},
        "payload": {"method": "PUT", "path": "/apis/m-1"},
        "metadata": {"ticket": "T-1"},
    })
}

/// Returns an event that contains `text` everywhere.
pub(super) fn hostile(text: &str) -> Value {
    let thing = json!({"id": text, "name": text, "entityType": text, "email": text});
    let state = |other: &str| json!({text: text, "same": {text: [text]}, "a": {format!("{text}{other}"): other}});
    json!({
        "action": text, "type": text, "entity": thing, "principal": thing, "parentEntity": thing, "subject": thing,
        "permission": {text: text}, "before": state("1"), "after": state("2"), "clientType": text, "occurredAt": text,
        "context": {text: text}, "payload": {text: text, "path": text}, "metadata": {text: text},
    })
}

pub(super) fn page(lines: Vec<Line>, has_more: bool) -> Page {
    let id = EventId::new(&organisation(), NOW.minus(HOUR * 30), 1, 0);
    Page {
        shown: lines.iter().map(|line| Format::Lines.document([line])).collect(),
        lines,
        next: has_more.then_some(id),
        skip: 0,
        through: Some(id),
        resume: Resume::Onward(Start::Edge),
    }
}

pub(super) fn timeline(hours: u32, counted_since: Option<Timestamp>) -> Timeline {
    let since = NOW.minus(HOUR * hours);
    let stretch = |index: u32| {
        let since = since.plus(HOUR * index);
        Stretch { since, until: since.plus(HOUR), events: u64::from(index % 7) * 123_456 }
    };
    Timeline {
        since,
        until: NOW,
        step: HOUR,
        stretches: (0..hours).map(stretch).collect(),
        counted_since,
        counts_excluded: false,
    }
}

pub(super) fn view(query: &str) -> View {
    View::parse(query, LIST_PARAMETERS, &["format", "part"], NOW).0
}

pub(super) fn newest(query: &str, lines: Vec<Line>, has_more: bool, timeline: Timeline) -> List {
    let browsed = Browsed { page: page(lines, has_more), timeline, log_is_empty: false, occurring: None };
    List::newest(&view(query), &browsed)
}

pub(super) fn detail(event: &Value) -> Detail {
    Detail { line: line_of(7, event), previous: None, next: Some(line_of(8, event).id) }
}

/// Names and texts that are hard to show.
pub(super) fn hard_texts() -> [(&'static str, String); 8] {
    [
        ("script", "<script>alert(1)</script>\"'&".to_owned()),
        ("url", "javascript:alert(1)".to_owned()),
        ("hidden", "a\0b\u{202e}c\u{2066}d\u{7f}\n".to_owned()),
        ("long", "x".repeat(1000)),
        ("quotes", "\"".repeat(1000)),
        ("wide", "日本語".repeat(300)),
        ("empty", String::new()),
        ("blank", " ".to_owned()),
    ]
}

pub(super) fn fifty(event: &Value) -> Vec<Line> {
    (0..50).map(|index| line_of(100 - index, event)).collect()
}
