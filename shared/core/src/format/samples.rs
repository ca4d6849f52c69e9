//! Events for tests of formats, and a reader of CSV.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::csv;
use crate::{
    event::{Layout, parse},
    log::{
        rate::RateState,
        segment::{AppendId, EncodedBodies, Line, LineHash, Segment},
    },
    time::Timestamp,
};

/// An event with every field.
pub(super) const RICH: &str = r#"{
    "action": "UPDATE", "type": "user.role_changed", "occurredAt": "2026-11-22T11:59:58.5+02:00", "clientType": "UI",
    "entity": {"id": "u2", "name": "=Ben; \"the\" Builder, 日本", "entityType": "USER", "email": "ben@example.com"},
    "principal": {"id": "7", "name": "Ada", "entityType": "USER", "email": "ada@example.com"},
    "parentEntity": {"id": "t1", "name": "Core", "entityType": "TEAM"},
    "subject": {"id": "k1", "name": "Key", "entityType": "API_KEY"},
    "permission": {"permissions": [{"id": "p1", "friendlyId": "read"}]},
    "before": {"role": "editor", "limit": 12345678901234567890123}, "after": {"role": "owner;=1+1"},
    "context": {"ipAddress": "192.0.2.1", "userAgent": "Mozilla/5.0 (X11; Linux)", "requestId": "r-1", "location": "Oslo"},
    "payload": {"method": "PUT", "path": "/users/u2", "queryString": "a=1", "referer": "https://app.example/", "n": 1.50},
    "metadata": {"ticket": "T-1"}
}"#;

/// An event with only the required fields.
pub(super) const MINIMAL: &str = r#"{"action":"CREATE","entity":{"id":"m1","name":"","entityType":"MOCK_API"},
    "principal":{"id":"ci","name":"","entityType":"ROBOT"}}"#;

/// Who records the events of [`lines`].
pub(super) const RECORDED_BY: &str = "token/0123456789AB";

/// Returns the lines of events as producers post them.
pub(super) fn lines(events: &[&str]) -> Vec<Line> {
    lines_by(RECORDED_BY, events)
}

/// Returns the lines of events that `recorded_by` posts.
pub(super) fn lines_by(recorded_by: &str, events: &[&str]) -> Vec<Line> {
    let acme = "acme".parse().unwrap();
    let recorded_by = recorded_by.parse().unwrap();
    let bodies: Vec<_> =
        events.iter().flat_map(|event| parse(event.as_bytes(), Layout::Json, &recorded_by).expect(event)).collect();
    let recorded_at = Timestamp::parse("2026-11-22T10:00:00.123Z").unwrap();
    let segment = Segment {
        first: 7,
        count: bodies.len().try_into().unwrap(),
        recorded_at,
        previous_hash: LineHash::ORIGIN,
        hash: Segment::chain(&acme, "Acme, \"Ltd\"", recorded_at, 7, LineHash::ORIGIN, &bodies),
        append: AppendId([7; 16]),
        rate: RateState::FULL,
        usage: None,
        claimed: Vec::new(),
        organisation_name: "Acme, \"Ltd\"".into(),
        bodies: EncodedBodies::encode(&bodies),
        resumes_after: None,
        expires_at: 2_000_000_000,
    };
    segment.lines(&acme).unwrap()
}

/// Returns the lines of very different events.
pub(super) fn all() -> Vec<Line> {
    const SIGN_IN: &str = r#"{"action":"LOGIN","type":"user.login.mfa","entity":{"id":"1","entityType":"USER","ID":[1]},
        "principal":{"id":"1","name":"\u005a\u0000","entityType":"USER","Name":{"a":1,"A":2}},"outcome":"DENIED","reason":"no"}"#;
    const GRANT: &str = r#"{"action":"GRANT_ROLE","entity":{"id":"u","entityType":"USER"},"permission":"ALL_PERMISSIONS",
        "principal":{"id":"1","entityType":"USER"},"before":{"A":1,"a":2},"after":{"":1,"a.b":[{}]},"occurredAt":null}"#;
    let mut all = lines(&[RICH, MINIMAL, SIGN_IN, GRANT]);
    all.extend(lines_by("annals", &[RICH, MINIMAL]));
    // A line of version 0.1, which did not say who recorded it.
    let [mut old, ..] = <[Line; 4]>::try_from(lines(&[RICH, MINIMAL, SIGN_IN, GRANT])).unwrap();
    old.text = old.text.replace(&format!(r#""recordedBy":"{RECORDED_BY}","#), "");
    all.push(old);
    all
}

/// Any string, often with characters that a format has to escape.
fn text() -> impl Strategy<Value = String> {
    let hostile = prop::sample::select(vec![
        "=1+1",
        "@x",
        "-5",
        "a;=b",
        "\"",
        "\\",
        "a\r\nb",
        "\t",
        "\0",
        "\u{85}",
        "\u{2028}",
        "\u{feff}=1",
        "＝1",
        "\u{ffff}",
        "USER",
        "TEAM",
        "DELETE",
        "LOGIN",
        "::1",
        "192.0.2.1",
        "a@b.example",
        "failed",
    ]);
    prop_oneof![3 => any::<String>(), 1 => "[ -~]{0,20}", 2 => hostile.prop_map(str::to_owned)]
}

/// Any string that is not blank.
fn name() -> impl Strategy<Value = String> {
    text().prop_map(|text| if text.trim().is_empty() { format!("{text}x") } else { text })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(text(), inner, 0..4).prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

/// Any object, often with members of the given names.
fn object(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let member = (prop_oneof![prop::sample::select(names).prop_map(str::to_owned), text()], value());
    prop::collection::vec(member, 0..5).prop_map(|members| members.into_iter().collect::<Value>())
}

/// Any context: its known members are strings.
fn context() -> impl Strategy<Value = Value> {
    let known = prop::sample::select(vec!["ipAddress", "userAgent", "requestId", "location"]).prop_map(str::to_owned);
    let known = prop::collection::hash_map(known, text().prop_map(Value::from), 0..4);
    let others = prop::collection::hash_map(text(), value(), 0..3);
    (others, known).prop_map(|(others, known)| others.into_iter().chain(known).collect::<Value>())
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from), text().prop_map(Value::from)]
}

fn entity() -> impl Strategy<Value = Value> {
    (name(), text(), name(), prop::option::of(name())).prop_map(|(id, name, kind, email)| {
        let mut entity = json!({"id": id, "name": name, "entityType": kind});
        if let Some(email) = email {
            entity["email"] = email.into();
        }
        entity
    })
}

/// Any accepted events.
pub(super) fn events() -> impl Strategy<Value = Vec<Value>> {
    let permission = prop_oneof![
        Just(json!("ALL_PERMISSIONS")),
        (text(), text()).prop_map(|(id, friendly)| json!({"permissions": [{"id": id, "friendlyId": friendly}]})),
    ];
    let occurred_at = prop::sample::select(vec!["2026-11-22T10:00:00Z", "1999-01-01t00:00:00.123456789+11:00"]);
    let objects = (
        prop::option::of(object(&["name"])),
        prop::option::of(object(&["name"])),
        prop::option::of(context()),
        prop::option::of(object(&["method", "path", "queryString", "userAgent", "referer", "outcome"])),
        prop::option::of(prop::collection::hash_map(text(), scalar(), 0..4)),
    );
    let optional = (
        (prop::option::of(name()), prop::option::of(text())),
        prop::option::of(name()),
        prop::option::of(name()),
        prop::option::of(entity()),
        prop::option::of(entity()),
        prop::option::of(permission),
        prop::option::of(occurred_at),
    );
    let event = (name(), entity(), entity(), optional, objects).prop_map(
        |(
            action,
            entity,
            principal,
            ((outcome, reason), kind, client, parent, subject, permission, occurred_at),
            objects,
        )| {
            let (before, after, context, payload, metadata) = objects;
            let members = [
                ("action", Some(action.into())),
                ("type", kind.map(Value::from)),
                ("entity", Some(entity)),
                ("principal", Some(principal)),
                ("outcome", outcome.map(Value::from)),
                ("reason", reason.map(Value::from)),
                ("parentEntity", parent),
                ("subject", subject),
                ("permission", permission),
                ("before", before),
                ("after", after),
                ("clientType", client.map(Value::from)),
                ("occurredAt", occurred_at.map(Value::from)),
                ("context", context),
                ("payload", payload),
                ("metadata", metadata.map(|metadata| json!(metadata))),
            ];
            let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            Value::Object(given.collect::<Map<_, _>>())
        },
    );
    prop::collection::vec(event, 1..4)
}

/// Returns the records of a CSV document (RFC 4180, section 2) with unquoted cells.
pub(super) fn records(document: &str) -> Vec<Vec<String>> {
    let mut records = vec![vec![String::new()]];
    let mut characters = document.chars().peekable();
    let mut quoted = false;
    while let Some(character) = characters.next() {
        let record = records.last_mut().unwrap();
        let cell = record.last_mut().unwrap();
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(String::new()),
            '\r' if !quoted && characters.next_if_eq(&'\n').is_some() => records.push(vec![String::new()]),
            _ => cell.push(character),
        }
    }
    assert!(!quoted && records.pop() == Some(vec![String::new()]), "the document ends within a record");
    records
}

/// Returns the value of a cell: a string or JSON; null if the cell is empty.
pub(super) fn value_of(column: &str, cell: &str) -> Value {
    match column {
        _ if cell.is_empty() => Value::Null,
        "sequence" => cell.parse::<u64>().unwrap().into(),
        "permission" | "before" | "after" | "context" | "payload" | "metadata" => serde_json::from_str(cell).unwrap(),
        _ => csv::tests::undo(cell).into(),
    }
}

/// Returns the expected value of a column for a line; null if the cell must be empty.
pub(super) fn expected(column: &str, original: &Value, line: &Line) -> Value {
    let in_context = matches!(column, "ipAddress" | "userAgent" | "requestId");
    let of_a_thing = ["organisation", "entity", "principal", "parentEntity", "subject"].iter().find_map(|thing| {
        let member = match column.strip_prefix(thing)? {
            "Id" => "id",
            "Name" => "name",
            "Type" => "entityType",
            "Email" => "email",
            _ => return None,
        };
        Some(&original[*thing][member])
    });
    let value = match of_a_thing {
        _ if column == "hash" => &LineHash::of(&line.text).to_string().into(),
        _ if in_context => &original["context"][column],
        Some(value) => value,
        None => &original[column],
    };
    // A value that is not a string has no cell of its own, and an empty text is an empty cell.
    if value == "" || in_context && !value.is_string() { Value::Null } else { value.clone() }
}
