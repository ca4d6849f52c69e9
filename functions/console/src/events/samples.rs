//! A sample of every state of the event viewer's pages, and the lines they are made of.

use std::time::Duration;

use annals_core::{
    audit::{
        Page, PageRequest, Shape, Start,
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
    detail::{EventPage, Gone},
    export::{self, ExportPage},
    list::List,
    query::{OF_LISTS, View},
};
use crate::{every_page::Sample, layout::Section};

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);
const HOUR: Duration = Duration::from_secs(60 * 60);

fn organisation() -> OrganisationId {
    "acme".parse().unwrap()
}

/// The line of an event, of which `members` are its own.
pub(super) fn line(sequence: u64, members: &str) -> Line {
    let at = NOW.minus(Duration::from_secs(100_000)).plus(Duration::from_secs(sequence));
    let id = EventId::new(&organisation(), at, sequence, 0);
    let hash = "0123456789abcdef".repeat(4);
    let text = format!(
        r#"{{"sequence":{sequence},"eventId":"{id}","timestamp":"{at}","previousHash":"{hash}","organisation":{{"id":"acme","name":"Acme","entityType":"ORGANISATION"}},{members}}}"#
    );
    Line { id, recorded_at: at, text }
}

/// The line of an event that is `value`.
pub(super) fn line_of(sequence: u64, event: &Value) -> Line {
    let text = event.to_string();
    line(sequence, text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap())
}

fn update() -> Value {
    json!({
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

/// An event that is `text` wherever it may be.
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
        resume: Start::Edge,
    }
}

fn timeline(hours: u32, counted_since: Option<Timestamp>) -> Timeline {
    let since = NOW.minus(HOUR * hours);
    let stretch = |index: u32| {
        let since = since.plus(HOUR * index);
        Stretch { since, until: since.plus(HOUR), events: u64::from(index % 7) * 123_456 }
    };
    Timeline { since, until: NOW, step: HOUR, stretches: (0..hours).map(stretch).collect(), counted_since }
}

pub(super) fn view(query: &str) -> View {
    View::parse(query, OF_LISTS, &["format", "part"], NOW).0
}

pub(super) fn newest(query: &str, lines: Vec<Line>, has_more: bool, timeline: Timeline) -> List {
    let browsed = Browsed { page: page(lines, has_more), timeline, log_is_empty: false };
    List::newest(&view(query), &browsed)
}

pub(super) fn detail(event: &Value) -> Detail {
    Detail { line: line_of(7, event), previous: None, next: Some(line_of(8, event).id) }
}

fn exported(query: &str, lines: Vec<Line>, has_more: bool) -> ExportPage {
    let request = PageRequest { shape: Shape::Format(Format::Csv), ..PageRequest::default() };
    ExportPage::of(&view(query), &request, &page(lines, has_more), (Format::Csv, "csv"), &organisation())
}

/// Texts that pages must bear.
pub(super) fn hard_texts() -> Vec<String> {
    vec![
        "<script>alert(1)</script>\"'&".to_owned(),
        "javascript:alert(1)".to_owned(),
        "a\0b\u{202e}c\u{2066}d\u{7f}\n".to_owned(),
        "x".repeat(1000),
        "\"".repeat(1000),
        "日本語".repeat(300),
        String::new(),
        " ".to_owned(),
    ]
}

pub(crate) fn samples() -> Vec<Sample> {
    let shell = Shell::sample(Section::Events);
    let mut samples: Vec<Sample> = Vec::new();
    let mut list = |name: &'static str, list: List| samples.push((name, list.render(&shell)));

    let none = Timeline { stretches: Vec::new(), ..timeline(24, None) };
    let empty = Browsed { page: page(vec![], false), timeline: none.clone(), log_is_empty: true };
    list("events: an empty log", List::newest(&view(""), &empty));
    list("events: none", newest("range=1h", vec![], false, none.clone()));
    list("events: none that match", newest("type=a&q=x", vec![], false, none.clone()));
    list("events: none yet that match", newest("type=a", vec![], true, timeline(24, Some(NOW.minus(HOUR * 3)))));
    list("events: one", newest("", vec![line_of(1, &update())], false, timeline(24, None)));
    let many = |event: &Value| (0..50).map(|number| line_of(100 - number, event)).collect::<Vec<_>>();
    list("events: fifty", newest("range=all", many(&update()), true, timeline(61, None)));
    let all = "range=30d&type=a&type=b&excludeType=audit.read&excludeType=c&action=UPDATE&entityType=MOCK_API\
               &entityId=m-1&principalId=42&userUuid=7&q=pay";
    list("events: everything asked for", newest(all, many(&update()), true, timeline(61, Some(NOW.minus(HOUR)))));
    let times = "since=2026-11-20T10:00&until=2026-11-22T10:00:30";
    list("events: between two times", newest(times, many(&update()), false, timeline(48, None)));
    let older = format!("range=7d&from={}", line(1, "").id.short());
    list("events: older ones", List::of(&view(&older), &page(many(&update()), true)));
    list("events: the end", List::of(&view(&older), &page(vec![line_of(1, &update())], false)));
    list("events: looked back", List::of(&view(&format!("{older}&q=x")), &page(vec![line_of(1, &update())], true)));
    for (name, query) in [
        ("events: times that are none", "since=yesterday&until=%22%3E%3Cscript%3E"),
        ("events: the end before the beginning", "since=2026-11-22&until=2026-11-21&q=x"),
        ("events: unknown parameters", "%3Cscript%3E=1&sort=asc&range=2h&from=x&skip=y"),
    ] {
        let (view, request) = View::parse(query, OF_LISTS, &[], NOW);
        list(name, List::refused(&view, &request.unwrap_err()));
    }
    let long: String = (0..2).map(|_| format!("&type={}", "%22".repeat(320))).collect();
    list("events: a long filter", newest(&long[1..], many(&hostile("日本\"\"")), true, timeline(61, None)));
    let (too_long, request) = View::parse(&long.repeat(4), OF_LISTS, &[], NOW);
    list("events: too long a filter", List::refused(&too_long, &request.unwrap_err()));
    let names = ["script", "url", "hidden", "long", "quotes", "wide", "empty", "blank"];
    for (name, text) in names.iter().zip(hard_texts()) {
        let beginning: String = text.chars().take(150).collect();
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("q", &beginning).finish();
        let name: &'static str = format!("events: {name}").leak();
        list(name, newest(&query, many(&hostile(&text)), true, timeline(61, Some(NOW.minus(HOUR)))));
    }

    let mut event = |name: &'static str, event: &Value| {
        samples.push((name, EventPage::of(&detail(event), &view("type=a&range=7d")).render(&shell)));
    };
    event("event", &update());
    for (name, text) in names.iter().zip(hard_texts()) {
        event(format!("event: {name}").leak(), &hostile(&text));
    }
    let with = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let mut event = update();
        change(event.as_object_mut().unwrap());
        event
    };
    event("event: created", &with(&|event| drop(event.remove("before"))));
    event("event: deleted", &with(&|event| drop(event.remove("after"))));
    event("event: nothing changed", &with(&|event| drop(event.insert("after".into(), event["before"].clone()))));
    event(
        "event: the least",
        &json!({"action": "READ", "type": "audit.read", "entity": {"id": "acme", "name": "Acme", "entityType": "AUDIT_LOG"},
            "principal": {"id": "siem", "name": "SIEM", "entityType": "API_KEY"}, "clientType": "API"}),
    );
    let state = |start: usize| -> Value {
        (0..800).map(|number| (format!("member <{number}>"), json!("\"x".repeat(start + number % 90)))).collect()
    };
    event(
        "event: very large",
        &with(&|event| {
            event.insert("before".into(), state(1));
            event.insert("after".into(), state(2));
            for name in ["context", "payload", "metadata", "permission"] {
                event.insert(name.into(), state(3));
            }
        }),
    );
    let mut same = state(1);
    same["new"] = json!(1);
    event(
        "event: very large, with one change",
        &with(&|event| {
            event.insert("before".into(), state(1));
            event.insert("after".into(), same.clone());
        }),
    );

    samples.push(("event: unknown", Gone::Unknown.render(&shell)));
    samples.push(("event: expired, as all", Gone::Expired { oldest: None }.render(&shell)));
    let oldest = Some("/console/events/x".to_owned());
    samples.push(("event: expired", Gone::Expired { oldest }.render(&shell)));

    let mut export = |name: &'static str, page: ExportPage| samples.push((name, page.render(&shell)));
    export("export: whole", exported("format=csv&type=a", many(&update()), false));
    export("export: nothing", exported("format=csv&type=a", vec![], false));
    export("export: the first part", exported("format=csv", many(&hostile("\"<b>")), true));
    export("export: an empty part", exported("format=csv&part=2", vec![], true));
    export("export: the last part", exported("format=csv&part=12345", many(&update()), false));
    assert_eq!(export::part(&view("part=0")), 1);
    samples
}
