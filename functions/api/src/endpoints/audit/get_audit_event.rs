use annals_core::{audit::view, event, id::EventId, input::Kind as _};
use annals_http::prelude::*;
use annals_http::schema::{EventIdText, Moment, RecordedByText, Sequence, Sha256, Uuid, from_value};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value};
use std::{borrow::Cow, collections::BTreeMap};

use super::{CloudEvent, HAL, Link, OcsfEvent, accepted, link, link_to_self};

pub(super) struct GetAuditEvent;

impl Endpoint<Services> for GetAuditEvent {
    const ID: &'static str = "getAuditEvent";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/audit/{uuid}";
    const SCOPE: Scope = Scope::TokenOrPath;
    type Access = Readers;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Audit);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Audit, "Read one event")
            .description(
                "`Accept` selects the format, as for `GET /audit`: `application/cloudevents+json` and \
                 `application/ocsf+json` are one object, and the batches an array of one.",
            )
            .empty_response(200, "The event.")
            .response_as::<LinkedEvent>(HAL)
            .response_as::<Line>("application/x-ndjson")
            .response_as::<CloudEvent>("application/cloudevents+json")
            .response_as::<OcsfEvent>("application/ocsf+json")
            .response_as::<Row>("text/csv")
            .problems(&[kind::NOT_FOUND, kind::EXPIRED, kind::NOT_ACCEPTABLE])
            .records(&["audit.read"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let id = EventId::parse(call.parameter("uuid").unwrap_or_default()).map_err(|_| Problem::not_found())?;
        let representation = accepted(&call)?;
        let line = services.audit.event(&call.organisation, id, &call.reader()).await?;
        if let Some(representation) = representation {
            let media_type = representation.media_type_of_event();
            return Ok(response::with_body(StatusCode::OK, media_type, representation.event(&line)));
        }
        let url = call.url();
        let log = url.rsplit_once('/').map_or("", |(log, _)| log);
        let links = EventLinks { this: link_to_self(&call), collection: link(log, &[("from", line.id.short())]) };
        let links = serde_json::to_string(&links).map_err(|error| Problem::not_serialisable(&error))?;
        let event = view(&line);
        let members = event.strip_suffix('}').unwrap_or(&event);
        Ok(response::with_body(StatusCode::OK, HAL, format!(r#"{members},"_links":{links}}}"#)))
    }
}

/// An event with its links.
#[derive(Debug, JsonSchema)]
#[expect(dead_code, reason = "it describes text that the domain renders")]
struct LinkedEvent {
    #[schemars(flatten)]
    event: AuditEvent,
    #[schemars(rename = "_links")]
    links: EventLinks,
}

/// Links to this event, and to the log from this event on.
#[derive(Debug, Serialize, JsonSchema)]
struct EventLinks {
    #[serde(rename = "self")]
    this: Link,
    collection: Link,
}

/// An event: what its producer sent, the fields that the log adds, and the fields that PactFlow's clients know.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes text that the domain renders")]
pub(super) struct AuditEvent {
    /// The event's id in 22 characters.
    #[schemars(with = "Uuid")]
    uuid: String,
    /// The same id as a UUID.
    #[schemars(with = "EventIdText")]
    event_id: String,
    /// The event's number: 1, 2, 3, … without a gap.
    #[schemars(with = "Sequence")]
    sequence: u64,
    /// When the event was recorded.
    #[schemars(with = "Moment")]
    timestamp: String,
    /// SHA-256 of the previous line, which makes changed or missing lines detectable.
    #[schemars(with = "Sha256")]
    previous_hash: String,
    /// Who recorded the event: `annals` for Annals' own events, else `platform`, `token/` and the token's id, or `session/`
    /// and the id of a session in the console. Annals sets it, and producers cannot. Events of a version before 0.2 do not
    /// have it.
    #[schemars(skip_serializing_if = "Option::is_none", with = "RecordedByText")]
    recorded_by: Option<()>,
    /// The organisation, with its name at the time.
    organisation: Entity,
    /// What was done.
    action: String,
    /// The type of the event.
    r#type: String,
    /// What was acted on.
    entity: Entity,
    /// Who acted.
    principal: Entity,
    /// Whether it worked, such as `SUCCESS`, `FAILURE` or `DENIED`.
    #[schemars(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    /// Why it was done, or why it failed.
    #[schemars(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What the entity belongs to.
    #[schemars(skip_serializing_if = "Option::is_none")]
    parent_entity: Option<Entity>,
    /// Who else is concerned, such as an invited user.
    #[schemars(skip_serializing_if = "Option::is_none")]
    subject: Option<Entity>,
    /// What was granted or revoked.
    #[schemars(skip_serializing_if = "Option::is_none", with = "Permission")]
    permission: Option<()>,
    /// The state before.
    #[schemars(skip_serializing_if = "Option::is_none")]
    before: Option<Map<String, Value>>,
    /// The state after.
    #[schemars(skip_serializing_if = "Option::is_none")]
    after: Option<Map<String, Value>>,
    /// The kind of client.
    client_type: String,
    /// When it happened, according to the producer.
    #[schemars(skip_serializing_if = "Option::is_none")]
    occurred_at: Option<String>,
    /// Where the request came from.
    #[schemars(skip_serializing_if = "Option::is_none")]
    context: Option<Map<String, Value>>,
    /// Any object that the producer sent; empty if it sent none.
    payload: Map<String, Value>,
    /// Strings, numbers and booleans by name.
    #[schemars(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, Scalar>>,
    /// The principal's id.
    #[schemars(rename = "db_user_id", with = "DbUserId")]
    db_user_id: String,
    /// The principal's email address.
    #[schemars(rename = "user_email")]
    user_email: Option<String>,
}

/// A thing or a person, with all further members that the producer sent.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes text that the domain renders")]
struct Entity {
    id: String,
    name: String,
    /// The kind of thing or person.
    entity_type: String,
    /// A person's email address.
    #[schemars(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

#[derive(Debug)]
struct Permission;

impl JsonSchema for Permission {
    fn schema_name() -> Cow<'static, str> {
        "Permission".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        from_value(event::Permission.schema())
    }
}

inline_schemas! {
    /// A JSON object and the end of its line.
    Line = {"type": "string"};
    /// A row of RFC 4180 behind one with the column names.
    Row = {"type": "string"};
    Scalar = {"type": ["string", "number", "boolean"]};
    /// A number if the principal's id is one.
    DbUserId = {"type": ["integer", "string"]};
}
