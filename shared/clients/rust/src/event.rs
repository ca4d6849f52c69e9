//! Events as a producer builds them, and the NDJSON line of each. The server validates events; this module checks only what
//! would affect other events of the batch: the size, and that each event is one JSON object on one line.

use std::{
    collections::BTreeMap,
    io,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::report::Refused;

/// The largest event, in bytes of JSON.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;

/// What an event is about, or who performed the action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entity {
    id: String,
    name: String,
    entity_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

impl Entity {
    /// Creates an entity with an id, a name for people to read, and a type such as `USER`. Each has at most 1,024 characters.
    pub fn new(id: impl Into<String>, name: impl Into<String>, entity_type: impl Into<String>) -> Self {
        Self { id: id.into(), name: name.into(), entity_type: entity_type.into(), email: None }
    }

    /// Sets the email address of the person.
    #[must_use]
    pub fn email(self, email: impl Into<String>) -> Self {
        Self { email: Some(email.into()), ..self }
    }
}

/// What happened: who did what to what.
///
/// ```
/// use annals_client::{Entity, Event};
/// use serde_json::json;
///
/// let event = Event::new(
///     "UPDATE",
///     Entity::new("m1", "Payments", "MOCK_API"),
///     Entity::new("7", "Ada", "USER").email("ada@example.com"),
/// )
/// .before(json!({"name": "Pay"}))
/// .after(json!({"name": "Payments"}))
/// .context(json!({"ipAddress": "192.0.2.1"}));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    action: String,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    entity: Entity,
    principal: Entity,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_entity: Option<Entity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Entity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permission: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "object")]
    before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "object")]
    after: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_type: Option<String>,
    #[serde(serialize_with = "rfc3339")]
    occurred_at: SystemTime,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "object")]
    context: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "object")]
    payload: Option<Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

impl Event {
    /// Creates an event: `principal` performed `action`, such as `UPDATE`, on `entity`. It occurred now, see
    /// [`occurred_at`](Self::occurred_at).
    #[expect(clippy::disallowed_methods, reason = "the event occurs at the time of the producer's own clock")]
    pub fn new(action: impl Into<String>, entity: Entity, principal: Entity) -> Self {
        Self {
            action: action.into(),
            event_type: None,
            entity,
            principal,
            parent_entity: None,
            subject: None,
            permission: None,
            before: None,
            after: None,
            client_type: None,
            occurred_at: SystemTime::now(),
            context: None,
            payload: None,
            metadata: BTreeMap::new(),
        }
    }

    /// Sets the type, such as `mock_api.rename`. Default: the entity type and the action in lower case, joined with a dot.
    #[must_use]
    pub fn event_type(self, event_type: impl Into<String>) -> Self {
        Self { event_type: Some(event_type.into()), ..self }
    }

    /// Sets the entity that the entity belongs to.
    #[must_use]
    pub fn parent_entity(self, parent: Entity) -> Self {
        Self { parent_entity: Some(parent), ..self }
    }

    /// Sets whom else the event concerns, such as the user who was granted a permission.
    #[must_use]
    pub fn subject(self, subject: Entity) -> Self {
        Self { subject: Some(subject), ..self }
    }

    /// Sets the permission that was granted or revoked: `"ALL_PERMISSIONS"` or
    /// `{"permissions":[{"id":"…","friendlyId":"…"}]}`.
    #[must_use]
    pub fn permission(self, permission: impl Into<Value>) -> Self {
        Self { permission: Some(permission.into()), ..self }
    }

    /// Sets the state before the change, a JSON object.
    #[must_use]
    pub fn before(self, before: impl Into<Value>) -> Self {
        Self { before: Some(before.into()), ..self }
    }

    /// Sets the state after the change, a JSON object.
    #[must_use]
    pub fn after(self, after: impl Into<Value>) -> Self {
        Self { after: Some(after.into()), ..self }
    }

    /// Sets the kind of client that was used, such as `UI`. Default: `API`.
    #[must_use]
    pub fn client_type(self, client_type: impl Into<String>) -> Self {
        Self { client_type: Some(client_type.into()), ..self }
    }

    /// Sets when the event occurred, between the years 1970 and 9999. Default: when [`new`](Self::new) was called. The log
    /// also stores when it recorded the event, which is later if the event was buffered. Accepts the time types of `std`,
    /// `time`, `chrono` and `jiff`.
    #[must_use]
    pub fn occurred_at(self, time: impl Into<SystemTime>) -> Self {
        Self { occurred_at: time.into(), ..self }
    }

    /// Sets the origin of the request, a JSON object with `ipAddress`, `userAgent`, `requestId` and others.
    #[must_use]
    pub fn context(self, context: impl Into<Value>) -> Self {
        Self { context: Some(context.into()), ..self }
    }

    /// Sets details, any JSON object.
    #[must_use]
    pub fn payload(self, payload: impl Into<Value>) -> Self {
        Self { payload: Some(payload.into()), ..self }
    }

    /// Adds one metadata entry.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

fn object<S: Serializer>(value: &Option<Value>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(Value::Object(members)) => members.serialize(serializer),
        _ => Err(S::Error::custom("before, after, context and payload must be JSON objects")),
    }
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since_epoch = time.duration_since(UNIX_EPOCH).ok();
    let nanoseconds = since_epoch.and_then(|duration| i128::try_from(duration.as_nanos()).ok());
    let time = nanoseconds.and_then(|nanoseconds| OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok());
    let text = time.and_then(|time| time.format(&Rfc3339).ok());
    text.ok_or_else(|| S::Error::custom("occurredAt must lie between the years 1970 and 9999"))?.serialize(serializer)
}

/// An event as one line of NDJSON, without the newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line(Box<str>);

impl Line {
    /// Serialises an event. Stops at [`MAX_EVENT_BYTES`]: a huge event is refused without being written to memory.
    pub(crate) fn of(event: &impl Serialize) -> Result<Self, Refused> {
        let mut sink = Bounded { bytes: Vec::with_capacity(512), overflowed: false };
        if let Err(error) = serde_json::to_writer(&mut sink, event) {
            return Err(if sink.overflowed { Refused::TooLarge } else { Refused::Unwritable(error) });
        }
        // A raw JSON value may contain newlines, but only between tokens: within strings they are escaped.
        for byte in &mut sink.bytes {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        match String::from_utf8(sink.bytes) {
            Ok(text) if text.trim_start().starts_with('{') => Ok(Self(text.into_boxed_str())),
            _ => Err(Refused::NotAnObject),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0.into_string()
    }

    /// Returns the size in a request, including the newline.
    pub(crate) fn size_bytes(&self) -> usize {
        self.0.len() + 1
    }
}

/// Accepts up to [`MAX_EVENT_BYTES`] and fails at the next byte.
struct Bounded {
    bytes: Vec<u8>,
    overflowed: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_EVENT_BYTES {
            self.overflowed = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use annals_core::{
        event::{Layout, parse},
        recorded_by::RecordedBy,
    };
    use serde_json::{json, value::RawValue};

    use super::*;

    fn minimal() -> Event {
        let event = Event::new("CREATE", Entity::new("m1", "Payments", "MOCK_API"), Entity::new("7", "Ada", "USER"));
        event.occurred_at(UNIX_EPOCH + Duration::from_millis(1_795_341_600_123))
    }

    fn full() -> Event {
        minimal()
            .event_type("mock.created")
            .parent_entity(Entity::new("t1", "Core", "TEAM"))
            .subject(Entity::new("u2", "Ben", "USER").email("ben@example.com"))
            .permission("ALL_PERMISSIONS")
            .before(json!({}))
            .after(json!({"name": "Payments", "note": "two\nlines"}))
            .client_type("UI")
            .context(json!({"ipAddress": "192.0.2.1"}))
            .payload(json!({"a": [1, 2]}))
            .metadata("k", "v")
    }

    #[test]
    fn an_event_is_written_as_the_api_accepts_it() {
        insta::assert_snapshot!(Line::of(&minimal()).unwrap().as_str(), @r#"{"action":"CREATE","entity":{"id":"m1","name":"Payments","entityType":"MOCK_API"},"principal":{"id":"7","name":"Ada","entityType":"USER"},"occurredAt":"2026-11-22T10:00:00.123Z"}"#);
        insta::assert_snapshot!(Line::of(&full()).unwrap().as_str(), @r#"{"action":"CREATE","type":"mock.created","entity":{"id":"m1","name":"Payments","entityType":"MOCK_API"},"principal":{"id":"7","name":"Ada","entityType":"USER"},"parentEntity":{"id":"t1","name":"Core","entityType":"TEAM"},"subject":{"id":"u2","name":"Ben","entityType":"USER","email":"ben@example.com"},"permission":"ALL_PERMISSIONS","before":{},"after":{"name":"Payments","note":"two\nlines"},"clientType":"UI","occurredAt":"2026-11-22T10:00:00.123Z","context":{"ipAddress":"192.0.2.1"},"payload":{"a":[1,2]},"metadata":{"k":"v"}}"#);
        for event in [minimal(), full(), Event::new("A", Entity::new("1", "", "T"), Entity::new("1", "n", "T"))] {
            let line = Line::of(&event).unwrap();
            assert_eq!(parse(line.as_str().as_bytes(), Layout::Ndjson, &RecordedBy::Platform).unwrap().len(), 1);
        }
    }

    #[test]
    fn an_event_may_be_as_large_as_the_server_accepts_and_no_larger() {
        assert_eq!(MAX_EVENT_BYTES, annals_core::event::MAX_EVENT_BYTES);
        let empty = Line::of(&minimal().payload(json!({"x": ""}))).unwrap().as_str().len();
        let sized = |size: usize| Line::of(&minimal().payload(json!({"x": "x".repeat(size - empty)})));
        let largest = sized(MAX_EVENT_BYTES).unwrap();
        assert_eq!(largest.as_str().len(), MAX_EVENT_BYTES);
        parse(largest.as_str().as_bytes(), Layout::Ndjson, &RecordedBy::Platform).unwrap();
        assert!(matches!(sized(MAX_EVENT_BYTES + 1), Err(Refused::TooLarge)));
    }

    #[test]
    fn an_event_that_is_not_an_object_is_refused() {
        for value in [json!(null), json!([{}]), json!("{}"), json!(7)] {
            assert!(matches!(Line::of(&value), Err(Refused::NotAnObject)), "{value}");
        }
        for event in [minimal().before(json!([])), minimal().payload("x"), minimal().context(json!(null))] {
            assert!(matches!(Line::of(&event), Err(Refused::Unwritable(_))), "{event:?}");
        }
    }

    #[test]
    fn a_raw_value_cannot_add_a_second_line() {
        let raw = RawValue::from_string("{\n\"action\":\r\n\"A\\n\"}".to_owned()).unwrap();
        assert_eq!(Line::of(&raw).unwrap().as_str(), r#"{ "action":  "A\n"}"#);
    }

    #[test]
    fn a_time_that_cannot_be_written_refuses_the_event_and_does_not_panic() {
        let far = Duration::from_secs(260_000_000_000);
        for time in [UNIX_EPOCH - Duration::from_nanos(1), UNIX_EPOCH + far] {
            assert!(matches!(Line::of(&minimal().occurred_at(time)), Err(Refused::Unwritable(_))), "{time:?}");
        }
    }
}
