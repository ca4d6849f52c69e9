//! `POST /events`: records what a producer tells.

use annals_core::{
    event::{self, Layout, MAX_EVENTS, MAX_NAME_CHARS},
    fault::Fault,
    id::EventId,
    log::append::{IdempotencyKey, Outcome},
};
use axum::response::Response;
use http::{HeaderValue, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value};

use annals_http::{
    PRODUCERS, Services,
    call::{self, Call},
    operation::{Access, Method, Operation, Operations, POSTED, Tag},
    problem::{Problem, kind},
    schema::{EventIdText, NOT_BLANK, SentMoment, Sequence, Uuid},
};

pub(crate) fn operations<O: Operations<Services>>(to: O) -> O {
    to.scoped_operation(Method::Post, "/events", record, || {
        Operation::new(Tag::Events, Access::Roles(PRODUCERS), "recordEvents", "Record events")
            .details(
                "One event, an array of them, or NDJSON; all are recorded, one after the other, or none. At most 1,000 \
                 events, 256 KiB each and 5 MiB together, nested 64 levels deep. Of a key that stands twice in an \
                 object readers would disagree on which one counts, so that is refused, and so are numbers that no \
                 double can hold. With an `Idempotency-Key` it is safe to send a request again when no answer came.",
            )
            .headers::<RecordHeaders>()
            .takes::<Posted>()
            .takes_as::<Lines>("application/x-ndjson")
            .answers::<Receipts>(201, "All events are recorded, in this order.")
            .with_header::<Replayed>(
                "Idempotency-Replayed",
                "The events were recorded by an earlier request with this `Idempotency-Key`.",
            )
            .refuses(&[kind::BATCH_TOO_LARGE, kind::UNSUPPORTED_MEDIA_TYPE, kind::IDEMPOTENCY_KEY_REUSED])
            .leaves(&[POSTED])
    })
}

/// `POST /events`, `POST /organisations/{organisation}/events`: all events of the body, or none.
pub async fn record(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(PRODUCERS).await?;
    let layout = layout(call.content_type()?)?;
    let key = call.header_bytes("idempotency-key")?.map(IdempotencyKey::parse).transpose();
    let key = key.map_err(|detail| Fault::parameter("Idempotency-Key", detail))?;
    let bodies = event::parse(&call.body, layout)?;
    call.charge(bodies.len())?;
    let receipt = call.api.log.append(&organisation, bodies, key).await?;
    let recorded = |id: EventId| Recorded { event_id: id.to_string(), uuid: id.short(), sequence: id.sequence() };
    let mut response = call::json(StatusCode::CREATED, &Receipts { events: receipt.ids().map(recorded).collect() });
    if receipt.outcome == Outcome::Replayed {
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn layout(content_type: Option<&str>) -> Result<Layout, Problem> {
    let content_type = content_type.unwrap_or("application/json").to_ascii_lowercase();
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let charset = parts.find_map(|parameter| parameter.strip_prefix("charset="));
    // Neither media type has another (RFC 8259, section 8.1).
    if charset.is_some_and(|charset| charset.trim_matches('"') != "utf-8") {
        return Err(Problem::unsupported_media_type());
    }
    match essence {
        "application/json" => Ok(Layout::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Layout::Ndjson),
        _ => Err(Problem::unsupported_media_type()),
    }
}

/// What was recorded, in the order in which it was sent.
#[derive(Debug, Serialize, JsonSchema)]
struct Receipts {
    #[schemars(length(min = 1, max = MAX_EVENTS))]
    events: Vec<Recorded>,
}

/// Where an event is in the log.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    /// Its id.
    #[schemars(with = "EventIdText")]
    event_id: String,
    /// The same id in 22 characters.
    #[schemars(with = "Uuid")]
    uuid: String,
    /// Its place: 1, 2, 3, … in the organisation's log, without a gap.
    #[schemars(with = "Sequence")]
    sequence: u64,
}

/// `true`.
#[derive(Debug, JsonSchema)]
#[schemars(inline, extend("type" = "string", "const" = "true"))]
pub struct Replayed {}

/// What a request may say beside its events.
#[derive(Debug, JsonSchema)]
pub struct RecordHeaders {
    /// Names this request, 1 to 255 bytes. Within 24 hours the same key with the same events is answered with the first
    /// answer; with other events it is refused.
    #[schemars(rename = "Idempotency-Key", length(min = 1, max = 255))]
    pub idempotency_key: Option<String>,
}

/// One event, or up to 1,000.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Posted {
    /// One.
    One(Box<EventInput>),
    /// Several, in their order.
    Several(#[schemars(length(min = 1, max = MAX_EVENTS))] Vec<EventInput>),
}

/// One event a line; blank lines are passed over. `application/ndjson` and `application/jsonl` are understood, too.
#[derive(Debug, JsonSchema)]
#[schemars(inline)]
pub struct Lines(pub String);

/// What happened, as its producer tells it. There are no other members.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventInput {
    /// What was done, such as `CREATE`, `UPDATE`, `DELETE`, `LOGIN`. The set is open.
    #[schemars(length(min = 1, max = MAX_NAME_CHARS), regex(pattern = NOT_BLANK))]
    pub action: String,
    /// What it was done to.
    pub entity: EntityInput,
    /// Who did it.
    pub principal: EntityInput,
    /// The type of the event; the entity's type and the action in lower case with a dot between, where it is left out.
    #[schemars(length(min = 1, max = MAX_NAME_CHARS), regex(pattern = NOT_BLANK))]
    pub r#type: Option<String>,
    /// What the entity is part of.
    pub parent_entity: Option<EntityInput>,
    /// Whom it concerns beside who did it, such as who was invited.
    pub subject: Option<EntityInput>,
    /// What was granted or revoked.
    pub permission: Option<Permission>,
    /// The state before.
    pub before: Option<Map<String, Value>>,
    /// The state after.
    pub after: Option<Map<String, Value>>,
    /// By what it was done: `UI`, `API`, `CLI`, `SYSTEM`, `ADMIN`. The set is open; `API` where it is left out.
    #[schemars(length(min = 1, max = MAX_NAME_CHARS), regex(pattern = NOT_BLANK))]
    pub client_type: Option<String>,
    /// When it happened, if that is not when it is recorded.
    #[schemars(with = "Option<SentMoment>")]
    pub occurred_at: Option<String>,
    /// From where: `ipAddress`, `userAgent`, `requestId`, `location`, and whatever else.
    pub context: Option<Map<String, Value>>,
    /// Anything.
    pub payload: Option<Map<String, Value>>,
    /// Strings by name.
    pub metadata: Option<std::collections::BTreeMap<String, String>>,
}

/// Something that an event is about, or somebody. Further members are kept.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct EntityInput {
    /// Its id.
    #[schemars(length(min = 1, max = MAX_NAME_CHARS), regex(pattern = NOT_BLANK))]
    pub id: String,
    /// Its name, as people know it.
    pub name: String,
    /// What kind of thing it is, such as `USER`, `TEAM`, `MOCK_API`. The set is open.
    #[schemars(length(min = 1, max = MAX_NAME_CHARS), regex(pattern = NOT_BLANK))]
    pub entity_type: String,
    /// The e-mail address, of a person.
    #[schemars(length(min = 1, max = MAX_NAME_CHARS), regex(pattern = NOT_BLANK))]
    pub email: Option<String>,
}

/// `ALL_PERMISSIONS`, or some.
#[derive(Debug)]
pub struct Permission;

impl JsonSchema for Permission {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Permission".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`ALL_PERMISSIONS`, or some.",
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
