//! Any accepted event as a line, in every format, and as `GET /audit` shows it.
//!
//! General parsers can read the output. It has the values of the line, and the line itself where the format promises it.
//!
//! An input is an event as posted. If it is not one, it is read as the texts of an event's fields separated by U+001F, so
//! almost every input is an accepted event.

#![no_main]

use annals_core::{
    audit,
    event::{self, Body, Layout},
    format::Format,
    id::EventId,
    log::segment::{EncodedBodies, Line, LineHash},
    recorded_by::RecordedBy,
};
use annals_fuzz::{members, organisation, segment};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

fuzz_target!(|data: &[u8]| {
    let parse = |event: &[u8]| event::parse(event, Layout::Json, &RecordedBy::Platform);
    let Ok(bodies) = parse(data).or_else(|_| parse(event_of(data).to_string().as_bytes())) else {
        return;
    };
    let (segment, expected) = segment(bodies.iter().map(Body::as_str), EncodedBodies::encode(&bodies));
    let lines = segment.lines(&organisation()).expect("encoded bodies can be decoded");
    assert!(lines.iter().map(|line| &line.text).eq(&expected), "lines changed");

    let documents = Format::ALL.map(|format| (format, format.document(&lines)));
    for (format, document) in &documents {
        match format {
            Format::Csv => check_csv(document, &lines),
            _ => check_ndjson(*format, document, &lines),
        }
    }
    for line in &lines {
        check_view(line);
    }
});

/// Returns the event whose fields are the texts of `data`.
fn event_of(data: &[u8]) -> Value {
    const NAMES: [&str; 6] = ["action", "type", "clientType", "occurredAt", "outcome", "reason"];
    const THINGS: [&str; 4] = ["entity", "principal", "subject", "parentEntity"];
    const OBJECTS: [&str; 5] = ["before", "after", "context", "payload", "metadata"];
    let text = String::from_utf8_lossy(data);
    let mut texts = text.split('\u{1f}');
    let mut event = Map::new();
    let mut put = |name: &str, value: Option<Value>| event.extend(value.map(|value| (name.to_owned(), value)));
    let given = |text: &str| !text.trim().is_empty();

    for thing in THINGS {
        let [id, name, entity_type, email] = std::array::from_fn(|_| texts.next().unwrap_or_default());
        let id = if given(id) { id } else { "1" };
        let entity_type = if given(entity_type) { entity_type } else { "USER" };
        let mut members = json!({"id": id, "name": name, "entityType": entity_type});
        if given(email) {
            members["email"] = email.into();
        }
        let wanted = ["entity", "principal"].contains(&thing) || given(name);
        put(thing, wanted.then_some(members));
    }
    for name in NAMES {
        let text = texts.next().filter(|text| given(text));
        put(name, text.or((name == "action").then_some("UPDATE")).map(Value::from));
    }
    for name in OBJECTS {
        // One `name=value` pair per line; the last one wins.
        let pairs = texts.next().unwrap_or_default().lines().filter_map(|line| line.split_once('='));
        let object: Map<String, Value> = pairs.map(|(name, value)| (name.to_owned(), value.into())).collect();
        put(name, (!object.is_empty()).then_some(object.into()));
    }
    let permission = texts.next().filter(|text| given(text)).map(|text| match text {
        "ALL_PERMISSIONS" => text.into(),
        _ => json!({"permissions": [{"id": text, "friendlyId": text}]}),
    });
    put("permission", permission);
    event.into()
}

fn check_ndjson(format: Format, document: &str, lines: &[Line]) {
    assert_eq!(document.split_terminator('\n').count(), lines.len(), "{format:?}");
    assert!(document.ends_with('\n'));
    for (rendered, line) in document.split_terminator('\n').zip(lines) {
        let (rendered, original) = (members(rendered), members(&line.text));
        match format {
            Format::CloudEvents => {
                assert_eq!(rendered["data"], Value::from(original));
                assert_eq!(rendered["id"], line.id.to_string());
            }
            Format::Ocsf => {
                assert_eq!(rendered["raw_data"], line.text);
                assert_eq!(rendered["raw_data_hash"]["value"], LineHash::of(&line.text).to_string());
                assert_eq!(rendered["actor"]["user"]["uid"], original["principal"]["id"]);
            }
            Format::OcsfSlim => {
                assert_eq!(rendered["raw_data_hash"]["value"], LineHash::of(&line.text).to_string());
                assert_eq!(rendered["metadata"]["uid"], line.id.to_string());
            }
            Format::Lines | Format::Csv => assert_eq!(rendered, original),
        }
    }
}

fn check_csv(document: &str, lines: &[Line]) {
    let mut reader = csv::Reader::from_reader(document.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let records: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("records of equal length");
    assert_eq!(records.len(), lines.len());
    for (record, line) in records.iter().zip(lines) {
        let original = members(&line.text);
        let cell = |column: &str| header.iter().position(|name| name == column).and_then(|index| record.get(index));
        assert_eq!(cell("sequence"), Some(line.sequence().to_string().as_str()));
        assert_eq!(cell("eventId"), Some(line.id.to_string().as_str()));
        assert_eq!(cell("hash"), Some(LineHash::of(&line.text).to_string().as_str()));
        for column in ["permission", "before", "after", "context", "payload", "metadata"] {
            let json = cell(column).filter(|cell| !cell.is_empty());
            let value = json.map(|json| serde_json::from_str::<Value>(json).expect("a cell of JSON"));
            assert_eq!(value.as_ref(), original.get(column), "{column}");
        }
        for cell in record {
            let formula = cell.starts_with(['=', '+', '@', '\t', '\r', '\n', '＝', '＋', '＠']);
            assert!(!formula && (!cell.starts_with('-') || cell.parse::<f64>().is_ok()), "a formula: {cell:?}");
        }
    }
}

fn check_view(line: &Line) {
    let view = audit::view(line);
    let (shown, original) = (members(&view), members(&line.text));
    assert!(view.ends_with(&line.text[1..]), "the line is not in its view");
    for (name, value) in &original {
        assert_eq!(shown.get(name), Some(value), "{name}");
    }
    assert_eq!(shown["uuid"].as_str().map(EventId::parse), Some(Ok(line.id)));
    assert_eq!(shown["user_email"], original["principal"].get("email").cloned().unwrap_or_default());
    let id = original["principal"]["id"].as_str().expect("an id is a string");
    let number = shown["db_user_id"].as_i64().map(|number| number.to_string());
    assert_eq!(number.as_deref().or(shown["db_user_id"].as_str()), Some(id));
    assert!(shown["payload"].is_object());
}
