//! Events: what a producer may send, what Annals records of itself, and the body that is kept of either.
//!
//! A body is one compact JSON object, its fields in a fixed order; the log puts its own fields in front of it when it
//! renders a line. Bodies are valid against WireMock Cloud's schema of audit events once so rendered.
//!
//! Strings are kept whatever they hold, `\u0000` among it: to refuse what somebody else can put into a name or a path would
//! give them the means to keep an event out of the log.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    fault::{Fault, Faults},
    json::{self, Members},
    time::Timestamp,
};

/// The largest event, in bytes of the JSON text that was sent.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;
/// The most events in one request.
pub const MAX_EVENTS: usize = 1000;
/// The largest request, in bytes.
pub const MAX_REQUEST_BYTES: usize = 5 * 1024 * 1024;
/// The longest name, id or type, in characters.
pub const MAX_NAME_CHARS: usize = 1024;

/// What is kept of one event: a compact JSON object without the fields that the log adds. It holds no newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(String);

impl Body {
    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How the events of a request are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One JSON object, or an array of them.
    Json,
    /// One JSON object a line (`application/x-ndjson`); blank lines are passed over.
    Ndjson,
}

/// Reads the events of one request: all of them, or none.
///
/// Faults of the n-th event of an array, or line of NDJSON, have pointers that begin with `/n`, counted from 0.
///
/// # Errors
/// Every fault of every event, at its place.
pub fn parse(request: &[u8], layout: Layout) -> Result<Vec<Body>, Faults> {
    if request.len() > MAX_REQUEST_BYTES {
        return Err(
            Fault::at("", format!("is larger than {MAX_REQUEST_BYTES} bytes: send fewer events at once")).into()
        );
    }
    let text = json::utf8(request)?;
    let mut faults = Vec::new();
    let mut bodies = Vec::new();
    match layout {
        Layout::Ndjson => {
            for (index, line) in text.lines().filter(|line| !line.trim().is_empty()).enumerate() {
                if index >= MAX_EVENTS || faults.len() >= Faults::MAX {
                    break;
                }
                bodies.extend(event(line, &format!("/{index}"), &mut faults));
            }
        }
        Layout::Json if text.trim_start().starts_with('[') => match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(items) => {
                for (index, item) in items.iter().enumerate().take(MAX_EVENTS) {
                    if faults.len() >= Faults::MAX {
                        break;
                    }
                    bodies.extend(event(item.get(), &format!("/{index}"), &mut faults));
                }
                if items.len() > MAX_EVENTS {
                    faults.insert(0, too_many());
                }
            }
            Err(error) => faults.push(Fault::at("", format!("is not valid JSON: {error}"))),
        },
        Layout::Json => bodies.extend(event(text, "", &mut faults)),
    }
    if layout == Layout::Ndjson && text.lines().filter(|line| !line.trim().is_empty()).count() > MAX_EVENTS {
        faults.insert(0, too_many());
    }
    if bodies.is_empty() && faults.is_empty() {
        faults.push(Fault::at("", "holds no event: send at least one"));
    }
    Faults::none_or(faults)?;
    Ok(bodies)
}

fn too_many() -> Fault {
    Fault::at("", format!("holds more than {MAX_EVENTS} events: send them in several requests"))
}

/// One event, where it has no fault.
fn event(text: &str, pointer: &str, faults: &mut Vec<Fault>) -> Option<Body> {
    if text.trim().is_empty() {
        faults.push(Fault::at(pointer, "is empty: send an event as a JSON object, an array of them, or NDJSON"));
        return None;
    }
    if text.len() > MAX_EVENT_BYTES {
        faults.push(Fault::at(pointer, format!("is larger than {MAX_EVENT_BYTES} bytes")));
        return None;
    }
    let before = faults.len();
    let mut members = Members::of(json::check(text, pointer, faults)?, pointer, faults)?;
    let name = |value| json::name(value, MAX_NAME_CHARS);

    let action = members.required("action", faults, name);
    let kind = members.optional("type", faults, name);
    let entity = entity(&mut members, "entity", Presence::Required, faults);
    let principal = entity_text(&mut members, "principal", Presence::Required, faults);
    let parent_entity = entity_text(&mut members, "parentEntity", Presence::Optional, faults);
    let subject = entity_text(&mut members, "subject", Presence::Optional, faults);
    let permission = members.optional("permission", faults, permission);
    let before_value = members.optional("before", faults, object);
    let after_value = members.optional("after", faults, object);
    let client_type = members.optional("clientType", faults, name);
    let occurred_at = members.optional("occurredAt", faults, |value| {
        let text = json::text(value)?;
        Timestamp::parse(&text).map_err(|error| error.to_string())?;
        Ok(json::quote(&text))
    });
    let context = members.optional("context", faults, object);
    let payload = members.optional("payload", faults, object);
    let metadata = string_map(&mut members, "metadata", faults);
    members.refuse_others(faults);

    let (Some(action), Some((entity, entity_type)), Some(principal)) = (action, entity, principal) else { return None };
    if faults.len() > before {
        return None;
    }
    let kind = kind.unwrap_or_else(|| format!("{entity_type}.{action}").to_lowercase());
    if kind.chars().count() > MAX_NAME_CHARS {
        let detail = format!("is needed: made of entityType and action it is longer than {MAX_NAME_CHARS} characters");
        faults.push(Fault::at(format!("{pointer}/type"), detail));
        return None;
    }
    let fields = [
        ("action", Some(json::quote(&action))),
        ("type", Some(json::quote(&kind))),
        ("entity", Some(entity)),
        ("principal", Some(principal)),
        ("parentEntity", parent_entity),
        ("subject", subject),
        ("permission", permission),
        ("before", before_value),
        ("after", after_value),
        ("clientType", Some(json::quote(client_type.as_deref().unwrap_or("API")))),
        ("occurredAt", occurred_at),
        ("context", context),
        ("payload", payload),
        ("metadata", metadata),
    ];
    let mut body = String::with_capacity(text.len() + 64);
    for (key, value) in &fields {
        if let Some(value) = value {
            body.push(if body.is_empty() { '{' } else { ',' });
            body.extend(["\"", key, "\":", value]);
        }
    }
    body.push('}');
    Some(Body(body))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Required,
    Optional,
}

/// The entity in member `key`: its text, and its entity type.
fn entity(
    members: &mut Members<'_>,
    key: &str,
    presence: Presence,
    faults: &mut Vec<Fault>,
) -> Option<(String, String)> {
    let pointer = members.pointer(key);
    let Some(value) = members.take(key) else {
        if presence == Presence::Required {
            faults.push(Fault::at(pointer, "is required"));
        }
        return None;
    };
    let before = faults.len();
    let mut inner = Members::of(value, &pointer, faults)?;
    let name = |value| json::name(value, MAX_NAME_CHARS);
    inner.required("id", faults, name);
    inner.required("name", faults, |value| json::text(value).map(drop));
    let entity_type = inner.required("entityType", faults, name);
    inner.optional("email", faults, name);
    entity_type.filter(|_| faults.len() == before).map(|entity_type| (json::compact(value), entity_type))
}

fn entity_text(members: &mut Members<'_>, key: &str, presence: Presence, faults: &mut Vec<Fault>) -> Option<String> {
    entity(members, key, presence, faults).map(|(text, _)| text)
}

fn object(value: &RawValue) -> Result<String, String> {
    if value.get().starts_with('{') {
        Ok(json::compact(value))
    } else {
        Err(format!("must be an object, not {}", json::kind(value)))
    }
}

/// `"ALL_PERMISSIONS"`, or an object whose `permissions` is an array (the schema of WireMock Cloud's events).
fn permission(value: &RawValue) -> Result<String, String> {
    #[derive(serde::Deserialize)]
    struct Permissions<'a> {
        #[serde(borrow)]
        permissions: Vec<Permission<'a>>,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Permission<'a> {
        #[serde(borrow, rename = "id")]
        _id: std::borrow::Cow<'a, str>,
        #[serde(borrow, rename = "friendlyId")]
        _friendly_id: std::borrow::Cow<'a, str>,
    }
    let all = json::text(value).is_ok_and(|text| text == "ALL_PERMISSIONS");
    if all || serde_json::from_str::<Permissions<'_>>(value.get()).is_ok_and(|value| !value.permissions.is_empty()) {
        Ok(json::compact(value))
    } else {
        Err(r#"must be "ALL_PERMISSIONS" or {"permissions":[{"id":"…","friendlyId":"…"}]}"#.into())
    }
}

/// An object whose values are all strings.
fn string_map(members: &mut Members<'_>, key: &str, faults: &mut Vec<Fault>) -> Option<String> {
    let pointer = members.pointer(key);
    let value = members.take(key)?;
    let strings = Members::of(value, &pointer, faults)?;
    strings.each(faults, |value| json::text(value).map(drop));
    Some(json::compact(value))
}

/// Something that an event is about, or that is near it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entity {
    /// Its id.
    pub id: String,
    /// Its name, as people know it.
    pub name: String,
    /// What kind of thing it is, in upper case.
    pub entity_type: &'static str,
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Principal {
    /// Its id.
    pub id: String,
    /// Its name, as people know it.
    pub name: String,
    /// What kind of principal it is, in upper case.
    pub entity_type: &'static str,
    /// Its e-mail address, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

impl Principal {
    /// A principal that is no person.
    #[must_use]
    pub fn machine(id: impl Into<String>, name: impl Into<String>, entity_type: &'static str) -> Self {
        Self { id: id.into(), name: name.into(), entity_type, email: None }
    }
}

/// Where a request came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    /// The address that the client had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// What the client called itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The request's id, as the logs have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// An event that Annals records of itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnEvent {
    /// What was done.
    pub action: &'static str,
    /// The type, such as `audit.read`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What it was done to.
    pub entity: Entity,
    /// Who did it.
    pub principal: Principal,
    /// The state before, where something changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<serde_json::Value>,
    /// The state after, where something changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<serde_json::Value>,
    /// How it came: `API`, `UI` from the organisation's page, or `SYSTEM` where Annals acted by itself.
    pub client_type: &'static str,
    /// Where the request came from, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// Details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<serde_json::Value>,
}

impl OwnEvent {
    /// What is kept of it.
    #[must_use]
    pub fn body(&self) -> Body {
        // Every part is a string, an object of strings or a JSON value already: it cannot fail to be written.
        Body(serde_json::to_string(self).unwrap_or_else(|_| "{}".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"{
        "occurredAt": "2026-11-22T10:00:00Z", "clientType": "UI", "action": "UPDATE", "type": "mock.renamed",
        "entity": {"id": "m1", "name": "Payments", "entityType": "MOCK_API"},
        "principal": {"id": "7", "name": "Ada", "entityType": "USER", "email": "ada@example.com"},
        "parentEntity": {"id": "t1", "name": "Core", "entityType": "TEAM"},
        "subject": {"id": "u2", "name": "Ben", "entityType": "USER"},
        "permission": {"permissions": [{"id": "p1", "friendlyId": "read"}]},
        "before": {"name": "Pay", "limit": 12345678901234567890123}, "after": {"name": "Payments"},
        "context": {"ipAddress": "192.0.2.1"}, "payload": {"a": [1, 2]}, "metadata": {"k": "v"}
    }"#;

    fn parsed(text: &str) -> String {
        match parse(text.as_bytes(), Layout::Json) {
            Ok(bodies) => bodies.iter().map(Body::as_str).collect::<Vec<_>>().join("\n"),
            Err(faults) => faults.as_slice().iter().map(|fault| format!("{fault:?}\n")).collect(),
        }
    }

    #[test]
    fn every_field_is_kept_in_a_fixed_order_and_unaltered() {
        insta::assert_snapshot!(parsed(FULL), @r#"{"action":"UPDATE","type":"mock.renamed","entity":{"id":"m1","name":"Payments","entityType":"MOCK_API"},"principal":{"id":"7","name":"Ada","entityType":"USER","email":"ada@example.com"},"parentEntity":{"id":"t1","name":"Core","entityType":"TEAM"},"subject":{"id":"u2","name":"Ben","entityType":"USER"},"permission":{"permissions":[{"id":"p1","friendlyId":"read"}]},"before":{"name":"Pay","limit":12345678901234567890123},"after":{"name":"Payments"},"clientType":"UI","occurredAt":"2026-11-22T10:00:00Z","context":{"ipAddress":"192.0.2.1"},"payload":{"a":[1,2]},"metadata":{"k":"v"}}"#);
    }

    #[test]
    fn the_type_defaults_to_entity_type_and_action_and_the_client_to_api() {
        let text = r#"{"action":"CREATE","entity":{"id":"1","name":"","entityType":"MOCK_API"},
            "principal":{"id":"1","name":"Ada","entityType":"USER"}}"#;
        insta::assert_snapshot!(parsed(text), @r#"{"action":"CREATE","type":"mock_api.create","entity":{"id":"1","name":"","entityType":"MOCK_API"},"principal":{"id":"1","name":"Ada","entityType":"USER"},"clientType":"API"}"#);
    }

    #[test]
    fn a_type_that_is_filled_in_is_no_longer_than_one_that_is_given() {
        // `İ` is two characters in lower case.
        for (entity_type, action, fits) in
            [("T", 1022, true), ("T", 1023, false), ("İ", 1021, true), ("İ", 1022, false)]
        {
            let event = format!(
                r#"{{"action":"{}","entity":{{"id":"1","name":"n","entityType":"{entity_type}"}},"principal":{{"id":"1","name":"n","entityType":"T"}}}}"#,
                "A".repeat(action)
            );
            let kept = parsed(&event);
            if fits {
                assert_eq!(parsed(&kept), kept, "what is kept would not be accepted");
            } else {
                assert_eq!(
                    kept,
                    "Fault { place: Pointer(\"/type\"), detail: \"is needed: made of entityType and action it is longer \
                     than 1024 characters\" }\n"
                );
            }
        }
    }

    #[test]
    fn all_faults_are_reported_at_once_with_pointers() {
        let text = r#"[{"action":"","entity":{"id":1,"name":"x"},"principal":"me","colour":"red","before":[],
            "metadata":{"a":1,"b/c":null},"permission":"SOME","occurredAt":"yesterday"}, 7, {"action":"A","action":"B"}]"#;
        insta::assert_snapshot!(parsed(text), @r#"
        Fault { place: Pointer("/0/action"), detail: "must not be empty" }
        Fault { place: Pointer("/0/entity/id"), detail: "must be a string, not a number" }
        Fault { place: Pointer("/0/entity/entityType"), detail: "is required" }
        Fault { place: Pointer("/0/principal"), detail: "must be an object, not a string" }
        Fault { place: Pointer("/0/permission"), detail: "must be \"ALL_PERMISSIONS\" or {\"permissions\":[{\"id\":\"…\",\"friendlyId\":\"…\"}]}" }
        Fault { place: Pointer("/0/before"), detail: "must be an object, not an array" }
        Fault { place: Pointer("/0/occurredAt"), detail: "is no RFC 3339 date and time, such as 2026-11-22T10:00:00Z, between the years 1970 and 9999" }
        Fault { place: Pointer("/0/metadata/a"), detail: "must be a string, not a number" }
        Fault { place: Pointer("/0/metadata/b~1c"), detail: "must be a string, not null" }
        Fault { place: Pointer("/0/colour"), detail: "is not a known field here" }
        Fault { place: Pointer("/1"), detail: "must be an object, not a number" }
        Fault { place: Pointer("/2/action"), detail: "is given twice: readers would disagree on which one counts" }
        Fault { place: Pointer("/2/entity"), detail: "is required" }
        Fault { place: Pointer("/2/principal"), detail: "is required" }
        "#);
    }

    #[test]
    fn ndjson_passes_over_blank_lines_and_counts_events_not_lines() {
        let line = r#"{"action":"A","entity":{"id":"1","name":"n","entityType":"T"},"principal":{"id":"1","name":"n","entityType":"T"}}"#;
        assert_eq!(parse(format!("\n{line}\r\n\n{line}\n").as_bytes(), Layout::Ndjson).unwrap().len(), 2);
        let faults = parse(format!("\n{line}\n\n{{\n").as_bytes(), Layout::Ndjson).unwrap_err();
        assert!(faults.to_string().starts_with("/1 is not valid JSON"), "{faults}");
    }

    #[test]
    fn what_holds_no_event_or_too_many_is_refused() {
        for (text, layout) in
            [("", Layout::Json), ("[]", Layout::Json), ("\n\n", Layout::Ndjson), ("null", Layout::Json)]
        {
            assert!(parse(text.as_bytes(), layout).is_err(), "{text:?}");
        }
        let line = r#"{"action":"A","entity":{"id":"1","name":"n","entityType":"T"},"principal":{"id":"1","name":"n","entityType":"T"}}"#;
        for (text, layout) in [
            (format!("[{}{line}]", format!("{line},").repeat(MAX_EVENTS)), Layout::Json),
            (format!("{line}\n").repeat(MAX_EVENTS + 1), Layout::Ndjson),
        ] {
            let faults = parse(text.as_bytes(), layout).unwrap_err();
            assert!(faults.to_string().contains("more than 1000 events"), "{faults}");
        }
        let large = format!(r#"{{"action":"{}"}}"#, "x".repeat(MAX_EVENT_BYTES));
        assert!(parsed(&large).contains("larger than 262144 bytes"));
        assert!(parsed("\u{feff}{}").contains("not valid JSON"));
        assert!(
            parse(b"{\"action\":\"\xff\"}", Layout::Json)
                .unwrap_err()
                .to_string()
                .contains("not UTF-8: see its byte 12")
        );
    }
}
