//! Events: those that a producer may send, those that Annals records about itself, and the body that is stored of each.
//!
//! A body is a compact JSON object with its fields in a fixed order, after the field `recordedBy`, which Annals sets and
//! producers cannot. When the log renders a line, it puts its own fields in front. The rendered line is valid against
//! WireMock Cloud's schema of audit events.
//!
//! What other audit logs hold is accepted as it is: `null` is the same as absent, a thing without a name is named by its id,
//! and half a character (an unpaired surrogate) becomes U+FFFD.
//!
//! Strings may contain any character, including `\u0000`. If such a character made an event invalid, a person who
//! controls a name or a path could keep events about it out of the log.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    fault::{Fault, Faults},
    input::{
        AnyObject, Describer, Fields, Input, Kind, Name, ObjectMember, OrNull, Presence, Reader, Schema, Text, Time,
    },
    json::{self, Members},
    recorded_by::RecordedBy,
};

/// The maximum size of an event's JSON text as sent.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;
/// The maximum number of events in a request.
pub const MAX_EVENTS: usize = 1000;
/// The maximum size of a request. API Gateway passes it on in Base64, and Lambda accepts 6 MB of that.
pub const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;
/// The maximum length of a name, an id or a type, in characters.
pub const MAX_NAME_CHARS: usize = 1024;

/// The part of an event that is stored: a compact JSON object without the fields that the log adds and without a newline.
/// Its first field is `recordedBy`. Bodies that were stored before there was this field begin with the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(String);

impl Body {
    /// Creates a body from `event`, a JSON object with at least one field.
    fn new(recorded_by: &RecordedBy, event: &str) -> Self {
        let members = event.strip_prefix('{').unwrap_or(event);
        // None of the forms has a character that JSON escapes.
        Self(format!("{RECORDED_BY}{recorded_by}\",{members}"))
    }

    /// Returns the text that is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the event without who recorded it.
    #[must_use]
    pub fn event(&self) -> String {
        format!("{{{}", split(&self.0).1)
    }

    /// Returns whether Annals recorded the event by itself.
    pub(crate) fn is_own(&self) -> bool {
        split(&self.0).0 == Some(RecordedBy::ANNALS)
    }

    /// Returns whether it records a read of the log.
    pub(crate) fn is_read(&self) -> bool {
        // Annals' own events begin with these fields, in this order.
        self.is_own() && split(&self.0).1.starts_with(&format!(r#""action":"READ","type":"{READ}","#))
    }

    /// Returns the size of the event without who recorded it, in bytes.
    pub(crate) fn event_bytes(&self) -> usize {
        split(&self.0).1.len() + 1
    }
}

/// The type of the events that record reads of the log.
pub(crate) const READ: &str = "audit.read";

/// How a stored body begins, up to who recorded it.
const RECORDED_BY: &str = r#"{"recordedBy":""#;

/// Splits a stored body into who recorded it, if it says so, and the event without its first brace.
pub(crate) fn split(body: &str) -> (Option<&str>, &str) {
    let split = body.strip_prefix(RECORDED_BY).and_then(|rest| rest.split_once("\","));
    split.map_or_else(
        || (None, body.strip_prefix('{').unwrap_or(body)),
        |(recorded_by, members)| (Some(recorded_by), members),
    )
}

/// The format of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One JSON object, or an array of them.
    Json,
    /// One JSON object per line (`application/x-ndjson`). Blank lines are ignored.
    Ndjson,
}

/// Parses the events of a request by `recorded_by`. A batch is all or nothing.
///
/// # Errors
/// Returns every fault of every event. Pointers into event n of an array or NDJSON, counted from 0, begin with `/n`.
pub fn parse(request: &[u8], layout: Layout, recorded_by: &RecordedBy) -> Result<Vec<Body>, Faults> {
    if request.len() > MAX_REQUEST_BYTES {
        return Err(
            Fault::at("", format!("is larger than {MAX_REQUEST_BYTES} bytes: send fewer events at once")).into()
        );
    }
    let text = json::with_whole_characters(json::utf8(request)?);
    let text = text.as_ref();
    let mut faults = Vec::new();
    let mut events = Vec::new();
    match layout {
        Layout::Ndjson => {
            for (index, line) in text.lines().filter(|line| !line.trim().is_empty()).enumerate() {
                if index >= MAX_EVENTS || faults.len() >= Faults::MAX {
                    break;
                }
                events.extend(event(line, &format!("/{index}"), &mut faults));
            }
        }
        Layout::Json if text.trim_start().starts_with('[') => match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(items) => {
                for (index, item) in items.iter().enumerate().take(MAX_EVENTS) {
                    if faults.len() >= Faults::MAX {
                        break;
                    }
                    events.extend(event(item.get(), &format!("/{index}"), &mut faults));
                }
                if items.len() > MAX_EVENTS {
                    faults.insert(0, too_many());
                }
            }
            Err(error) => faults.push(Fault::at("", format!("is not valid JSON: {error}"))),
        },
        Layout::Json => events.extend(event(text, "", &mut faults)),
    }
    if layout == Layout::Ndjson && text.lines().filter(|line| !line.trim().is_empty()).count() > MAX_EVENTS {
        faults.insert(0, too_many());
    }
    if events.is_empty() && faults.is_empty() {
        faults.push(Fault::at("", "holds no event: send at least one"));
    }
    Faults::none_or(faults)?;
    Ok(events.iter().map(|event| Body::new(recorded_by, event)).collect())
}

fn too_many() -> Fault {
    Fault::at("", format!("holds more than {MAX_EVENTS} events: send them in several requests"))
}

/// Parses an event and returns it as compact JSON with its fields in order. Returns `None` and adds to `faults` if it is not
/// valid.
fn event(text: &str, pointer: &str, faults: &mut Vec<Fault>) -> Option<String> {
    if text.trim().is_empty() {
        faults.push(Fault::at(pointer, "is empty: send an event as a JSON object, an array of them, or NDJSON"));
        return None;
    }
    if text.len() > MAX_EVENT_BYTES {
        faults.push(Fault::at(pointer, format!("is larger than {MAX_EVENT_BYTES} bytes")));
        return None;
    }
    let count = faults.len();
    let members = Members::parse(text, pointer, faults)?;
    let mut reader = Reader::new(members, std::mem::take(faults));
    let event = EventInput::fields(&mut reader);
    *faults = reader.into_faults();
    let event = event.filter(|_| faults.len() == count)?;
    let kind = event.kind.unwrap_or_else(|| format!("{}.{}", event.entity_type, event.action).to_lowercase());
    if kind.chars().count() > MAX_NAME_CHARS {
        let detail =
            format!("is required: its default, of entityType and action, is longer than {MAX_NAME_CHARS} characters");
        faults.push(Fault::at(format!("{pointer}/type"), detail));
        return None;
    }
    let fields = [
        ("action", Some(json::quote(&event.action))),
        ("type", Some(json::quote(&kind))),
        ("entity", Some(event.entity)),
        ("principal", Some(event.principal)),
        ("outcome", event.outcome.as_deref().map(json::quote)),
        ("reason", event.reason.as_deref().map(json::quote)),
        ("parentEntity", event.parent_entity),
        ("subject", event.subject),
        ("permission", event.permission),
        ("before", event.before),
        ("after", event.after),
        ("clientType", Some(json::quote(event.client_type.as_deref().unwrap_or("API")))),
        ("occurredAt", event.occurred_at),
        ("context", event.context),
        ("payload", event.payload),
        ("metadata", event.metadata),
    ];
    let mut body = String::with_capacity(text.len() + 64);
    for (key, value) in &fields {
        if let Some(value) = value {
            body.push(if body.is_empty() { '{' } else { ',' });
            body.extend(["\"", key, "\":", value]);
        }
    }
    body.push('}');
    Some(body)
}

/// An event as it was sent. Its parts are JSON text, except those from which the default of the type is made.
#[derive(Debug)]
pub struct EventInput {
    action: String,
    kind: Option<String>,
    entity_type: String,
    entity: String,
    principal: String,
    outcome: Option<String>,
    reason: Option<String>,
    parent_entity: Option<String>,
    subject: Option<String>,
    permission: Option<String>,
    before: Option<String>,
    after: Option<String>,
    client_type: Option<String>,
    occurred_at: Option<String>,
    context: Option<String>,
    payload: Option<String>,
    metadata: Option<String>,
}

impl EventInput {
    fn fields<F: Fields>(fields: &mut F) -> Option<Self> {
        const NAME: Name = Name { max_chars: MAX_NAME_CHARS };
        let action = "What was done, such as `CREATE`, `UPDATE`, `DELETE`, `LOGIN`. Other values are allowed.";
        let action = fields.required("action", action, NAME);
        let kind =
            "The event's type; by default the entity's type and the action in lower case, with a dot between them.";
        let kind = fields.optional("type", kind, OrNull(NAME)).flatten();
        let entity = entity_member(fields, "entity", "What was acted on.", Presence::Required);
        let principal = entity_member(fields, "principal", "Who acted.", Presence::Required);
        let outcome = "Whether it worked: `SUCCESS`, `FAILURE` or `DENIED`. Other values are allowed.";
        let outcome = fields.optional("outcome", outcome, OrNull(NAME)).flatten();
        let reason = fields.optional("reason", "Why it was done, or why it failed.", OrNull(Text)).flatten();
        let parent = entity_member(fields, "parentEntity", "What the entity belongs to.", Presence::Optional);
        let subject = "Who else is concerned, such as an invited user.";
        let subject = entity_member(fields, "subject", subject, Presence::Optional);
        let permission = fields.optional("permission", "What was granted or revoked.", OrNull(Permission)).flatten();
        let before = fields.optional("before", "The state before.", OrNull(AnyObject)).flatten();
        let after = fields.optional("after", "The state after.", OrNull(AnyObject)).flatten();
        let client = "The kind of client: `UI`, `API` (default), `CLI`, `SYSTEM`, `ADMIN`. Other values are allowed.";
        let client_type = fields.optional("clientType", client, OrNull(NAME)).flatten();
        let occurred_at = "When it happened, if that is not when it is recorded.";
        let occurred_at = fields.optional("occurredAt", occurred_at, OrNull(TimeAsSent)).flatten();
        let context = context_member(fields);
        let payload = fields.optional("payload", "Any object.", OrNull(AnyObject)).flatten();
        let metadata = fields.scalar_map("metadata", "Strings, numbers and booleans by name.");
        let (entity_type, entity) = entity?;
        Some(Self {
            action: action?,
            kind,
            entity_type,
            entity,
            principal: principal?.1,
            outcome,
            reason,
            parent_entity: parent.map(|(_, text)| text),
            subject: subject.map(|(_, text)| text),
            permission,
            before,
            after,
            client_type,
            occurred_at,
            context,
            payload,
            metadata,
        })
    }
}

impl Input for EventInput {
    const NAME: &'static str = "EventInput";
    const DESCRIPTION: &'static str = "An event, without further members.";

    fn describe(describer: &mut Describer) {
        Self::fields(describer);
    }
}

/// Reads or describes an entity. Returns its entity type and its text.
fn entity_member<F: Fields>(
    fields: &mut F,
    name: &'static str,
    description: &'static str,
    presence: Presence,
) -> Option<(String, String)> {
    const NAME: Name = Name { max_chars: MAX_NAME_CHARS };
    const SCHEMA: Schema =
        Schema { name: "EntityInput", description: "A thing or a person. Further members are kept." };
    fields
        .open_object(ObjectMember { name, description, presence, schema: SCHEMA }, |entity| {
            let id = entity.required("id", "The id.", NAME);
            let name = entity.optional("name", "The name that people know; by default the id.", OrNull(Text));
            let kind = "The kind of thing or person, such as `USER`, `TEAM`, `MOCK_API`. Other values are allowed.";
            let kind = entity.required("entityType", kind, NAME);
            let email = entity.optional("email", "A person's email address.", OrNull(NAME));
            let is_complete = name.flatten().is_some() && email != Some(None);
            Some((kind?, id?, is_complete))
        })
        .map(|((kind, id, is_complete), text)| (kind, if is_complete { text } else { complete(&text, &id) }))
}

/// Returns the text of an entity with its id as its name, if it has none, and without members that are the same as absent.
fn complete(entity: &str, id: &str) -> String {
    let value = serde_json::from_str::<&RawValue>(entity);
    let members = value.ok().and_then(json::members).unwrap_or_default();
    let is_kept = |(key, value): &&json::Member<'_>| !(json::is_null(value) && matches!(&**key, "name" | "email"));
    let is_named = members.iter().filter(is_kept).any(|(key, _)| key == "name");
    let name = (!is_named).then(|| ("name", json::quote(id)));
    json::object(members.iter().filter(is_kept).flat_map(|(key, value)| {
        let name = name.clone().filter(|_| key == "id");
        [Some((&**key, json::compact(value))), name].into_iter().flatten()
    }))
}

/// Reads or describes the origin. Returns its text.
fn context_member<F: Fields>(fields: &mut F) -> Option<String> {
    const MEMBERS: [(&str, &str); 4] = [
        ("ipAddress", "The address of the caller."),
        ("userAgent", "The program of the caller."),
        ("requestId", "The id of the request."),
        ("location", "Where the caller is."),
    ];
    const MEMBER: ObjectMember = ObjectMember {
        name: "context",
        description: "Where the request came from.",
        presence: Presence::Optional,
        schema: Schema { name: "ContextInput", description: "The origin of a request. Further members are kept." },
    };
    let context = fields.open_object(MEMBER, |context| {
        for (name, description) in MEMBERS {
            let _ = context.optional(name, description, OrNull(PlainText));
        }
        Some(())
    });
    let text = context?.1;
    let value = serde_json::from_str::<&RawValue>(&text).ok()?;
    Some(json::without_nulls(value, |key| MEMBERS.iter().any(|(name, _)| *name == key)))
}

/// Any string of a known place. Tools that index events expect one type in each place.
#[derive(Debug, Clone, Copy)]
struct PlainText;

impl Kind for PlainText {
    type Value = ();

    fn read(&self, value: &RawValue) -> Result<(), String> {
        match value.get().as_bytes().first() {
            Some(b'{' | b'[') => Err(format!("{}: put it into payload", json::text(value).err().unwrap_or_default())),
            _ => json::text(value).map(drop),
        }
    }

    fn schema(&self) -> serde_json::Value {
        Text.schema()
    }
}

/// A time. Its text is stored as it was sent.
#[derive(Debug, Clone, Copy)]
struct TimeAsSent;

impl Kind for TimeAsSent {
    type Value = String;

    fn read(&self, value: &RawValue) -> Result<String, String> {
        Time.read(value)?;
        Ok(json::quote(&json::text(value)?))
    }

    fn schema(&self) -> serde_json::Value {
        Time.schema()
    }
}

/// `"ALL_PERMISSIONS"`, or an object whose `permissions` is an array (the schema of WireMock Cloud's events).
#[derive(Debug, Clone, Copy)]
pub struct Permission;

impl Kind for Permission {
    type Value = String;

    fn read(&self, value: &RawValue) -> Result<String, String> {
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
        if all || serde_json::from_str::<Permissions<'_>>(value.get()).is_ok_and(|some| !some.permissions.is_empty()) {
            Ok(json::compact(value))
        } else {
            Err(r#"must be "ALL_PERMISSIONS" or {"permissions":[{"id":"…","friendlyId":"…"}]}"#.into())
        }
    }

    fn schema(&self) -> serde_json::Value {
        serde_json::json!({
            "oneOf": [
                {"type": "string", "const": "ALL_PERMISSIONS"},
                {"type": "object", "required": ["permissions"], "properties": {"permissions": {
                    "type": "array", "minItems": 1, "items": {
                        "type": "object",
                        "required": ["id", "friendlyId"],
                        "properties": {"id": {"type": "string"}, "friendlyId": {"type": "string"}},
                    },
                }}},
            ],
        })
    }
}

/// A thing that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entity {
    pub id: String,
    pub name: String,
    /// In upper case.
    pub entity_type: &'static str,
}

/// The person or program that acted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Principal {
    pub id: String,
    pub name: String,
    /// In upper case.
    pub entity_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

impl Principal {
    /// Creates a principal that is not a person.
    #[must_use]
    pub fn machine(id: impl Into<String>, name: impl Into<String>, entity_type: &'static str) -> Self {
        Self { id: id.into(), name: name.into(), entity_type, email: None }
    }
}

/// The origin of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The id under which the request is logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// An event that Annals records about itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnEvent {
    pub action: &'static str,
    /// The type, such as `audit.read`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub entity: Entity,
    pub principal: Principal,
    /// The state before a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<serde_json::Value>,
    /// The state after a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<serde_json::Value>,
    /// `API`, `UI` for the organisation's page, or `SYSTEM` if Annals acted without a request.
    pub client_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<serde_json::Value>,
}

impl OwnEvent {
    #[must_use]
    pub fn body(&self) -> Body {
        // Every part is a string, an object of strings or a JSON value, so serialisation cannot fail.
        Body::new(&RecordedBy::Annals, &serde_json::to_string(self).unwrap_or_else(|_| "{}".into()))
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
        match parse(text.as_bytes(), Layout::Json, &RecordedBy::Platform) {
            Ok(bodies) => bodies.iter().map(Body::event).collect::<Vec<_>>().join("\n"),
            Err(faults) => faults.as_slice().iter().map(|fault| format!("{fault:?}\n")).collect(),
        }
    }

    #[test]
    fn fields_are_stored_unaltered_and_in_a_fixed_order() {
        insta::assert_snapshot!(parsed(FULL), @r#"{"action":"UPDATE","type":"mock.renamed","entity":{"id":"m1","name":"Payments","entityType":"MOCK_API"},"principal":{"id":"7","name":"Ada","entityType":"USER","email":"ada@example.com"},"parentEntity":{"id":"t1","name":"Core","entityType":"TEAM"},"subject":{"id":"u2","name":"Ben","entityType":"USER"},"permission":{"permissions":[{"id":"p1","friendlyId":"read"}]},"before":{"name":"Pay","limit":12345678901234567890123},"after":{"name":"Payments"},"clientType":"UI","occurredAt":"2026-11-22T10:00:00Z","context":{"ipAddress":"192.0.2.1"},"payload":{"a":[1,2]},"metadata":{"k":"v"}}"#);
    }

    #[test]
    fn the_type_defaults_to_entity_type_and_action_and_the_client_type_to_api() {
        let text = r#"{"action":"CREATE","entity":{"id":"1","name":"","entityType":"MOCK_API"},
            "principal":{"id":"1","name":"Ada","entityType":"USER"}}"#;
        insta::assert_snapshot!(parsed(text), @r#"{"action":"CREATE","type":"mock_api.create","entity":{"id":"1","name":"","entityType":"MOCK_API"},"principal":{"id":"1","name":"Ada","entityType":"USER"},"clientType":"API"}"#);
    }

    #[test]
    fn what_is_null_is_absent_and_what_has_no_name_is_named_by_its_id() {
        let text = r#"{"action":"CREATE","type":null,"entity":{"id":"m \"1\"","entityType":"MOCK_API","owner":null},"subject":null,
            "principal":{"email":null,"id":"7","entityType":"USER","name":null},"before":null,"after":null,"permission":null,
            "parentEntity":null,"clientType":null,"occurredAt":null,"payload":null,"metadata":{"n":1.50,"ok":true,"none":null},
            "context":{"userAgent":null,"ipAddress":"192.0.2.1","other":null}}"#;
        insta::assert_snapshot!(parsed(text), @r#"{"action":"CREATE","type":"mock_api.create","entity":{"id":"m \"1\"","name":"m \"1\"","entityType":"MOCK_API","owner":null},"principal":{"id":"7","name":"7","entityType":"USER"},"clientType":"API","context":{"ipAddress":"192.0.2.1","other":null},"metadata":{"n":1.50,"ok":true}}"#);
        let text = r#"{"action":"A","entity":{"id":"1","name":"n","entityType":"T"},"principal":{"id":"1","entityType":"T"},
            "context":null,"metadata":null}"#;
        insta::assert_snapshot!(parsed(text), @r#"{"action":"A","type":"t.a","entity":{"id":"1","name":"n","entityType":"T"},"principal":{"id":"1","name":"1","entityType":"T"},"clientType":"API"}"#);
    }

    #[test]
    fn half_a_character_is_replaced_and_keeps_no_other_event_out() {
        let whole =
            r#"{"action":"A","entity":{"id":"1","name":"n","entityType":"T"},"principal":{"id":"1","entityType":"T"}}"#;
        let half = whole.replace("\"n\"", r#""Ada \ud83d""#);
        for (text, layout) in
            [(format!("[{whole},{half}]"), Layout::Json), (format!("{whole}\n{half}"), Layout::Ndjson)]
        {
            let bodies = parse(text.as_bytes(), layout, &RecordedBy::Platform).unwrap();
            assert!(bodies[1].as_str().contains(r#""name":"Ada \ufffd""#), "{bodies:?}");
        }
    }

    #[test]
    fn a_default_type_is_as_limited_as_one_that_was_sent() {
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
                assert_eq!(parsed(&kept), kept, "the stored body is not accepted as an event");
            } else {
                assert_eq!(
                    kept,
                    "Fault { place: Pointer(\"/type\"), detail: \"is required: its default, of entityType and action, is \
                     longer than 1024 characters\" }\n"
                );
            }
        }
    }

    #[test]
    fn all_faults_are_reported_at_once_with_pointers() {
        let text = r#"[{"action":"","entity":{"id":1,"name":"x"},"principal":"me","colour":"red","before":[],
            "metadata":{"a":1,"b/c":[null]},"permission":"SOME","occurredAt":"yesterday","context":{"ipAddress":["192.0.2.1"],"location":{},
            "requestId":7,"other":[]}}, 7, {"action":"A","action":"B"}]"#;
        insta::assert_snapshot!(parsed(text), @r#"
        Fault { place: Pointer("/0/action"), detail: "must not be empty" }
        Fault { place: Pointer("/0/entity/id"), detail: "must be a string, not a number" }
        Fault { place: Pointer("/0/entity/entityType"), detail: "is required" }
        Fault { place: Pointer("/0/principal"), detail: "must be an object, not a string" }
        Fault { place: Pointer("/0/permission"), detail: "must be \"ALL_PERMISSIONS\" or {\"permissions\":[{\"id\":\"…\",\"friendlyId\":\"…\"}]}" }
        Fault { place: Pointer("/0/before"), detail: "must be an object, not an array" }
        Fault { place: Pointer("/0/occurredAt"), detail: "is not an RFC 3339 date and time such as 2026-11-22T10:00:00Z between the years 1970 and 9999" }
        Fault { place: Pointer("/0/context/ipAddress"), detail: "must be a string, not an array: put it into payload" }
        Fault { place: Pointer("/0/context/requestId"), detail: "must be a string, not a number" }
        Fault { place: Pointer("/0/context/location"), detail: "must be a string, not an object: put it into payload" }
        Fault { place: Pointer("/0/metadata/b~1c"), detail: "must be a string, a number or a boolean, not an array: put it into payload" }
        Fault { place: Pointer("/0/colour"), detail: "is not a known field here" }
        Fault { place: Pointer("/1"), detail: "must be an object, not a number" }
        Fault { place: Pointer("/2/action"), detail: "is given twice: readers would disagree on which one counts" }
        Fault { place: Pointer("/2/entity"), detail: "is required" }
        Fault { place: Pointer("/2/principal"), detail: "is required" }
        "#);
    }

    #[test]
    fn ndjson_ignores_blank_lines_and_counts_events_instead_of_lines() {
        let line = r#"{"action":"A","entity":{"id":"1","name":"n","entityType":"T"},"principal":{"id":"1","name":"n","entityType":"T"}}"#;
        assert_eq!(
            parse(format!("\n{line}\r\n\n{line}\n").as_bytes(), Layout::Ndjson, &RecordedBy::Platform).unwrap().len(),
            2
        );
        let faults = parse(format!("\n{line}\n\n{{\n").as_bytes(), Layout::Ndjson, &RecordedBy::Platform).unwrap_err();
        assert!(faults.to_string().starts_with("/1 is not valid JSON"), "{faults}");
    }

    #[test]
    fn a_request_without_an_event_or_with_too_many_is_refused() {
        for (text, layout) in
            [("", Layout::Json), ("[]", Layout::Json), ("\n\n", Layout::Ndjson), ("null", Layout::Json)]
        {
            assert!(parse(text.as_bytes(), layout, &RecordedBy::Platform).is_err(), "{text:?}");
        }
        let line = r#"{"action":"A","entity":{"id":"1","name":"n","entityType":"T"},"principal":{"id":"1","name":"n","entityType":"T"}}"#;
        for (text, layout) in [
            (format!("[{}{line}]", format!("{line},").repeat(MAX_EVENTS)), Layout::Json),
            (format!("{line}\n").repeat(MAX_EVENTS + 1), Layout::Ndjson),
        ] {
            let faults = parse(text.as_bytes(), layout, &RecordedBy::Platform).unwrap_err();
            assert!(faults.to_string().contains("more than 1000 events"), "{faults}");
        }
        let large = format!(r#"{{"action":"{}"}}"#, "x".repeat(MAX_EVENT_BYTES));
        assert!(parsed(&large).contains("larger than 262144 bytes"));
        assert!(parsed("\u{feff}{}").contains("not valid JSON"));
        assert!(
            parse(b"{\"action\":\"\xff\"}", Layout::Json, &RecordedBy::Platform)
                .unwrap_err()
                .to_string()
                .contains("not UTF-8: see its byte 12")
        );
    }
}
