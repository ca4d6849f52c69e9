//! How reading the log is described.

#![expect(dead_code, reason = "forms of JSON: they are described, and never made")]

use std::collections::BTreeMap;

use annals_core::event::MAX_NAME_CHARS;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

use super::{HAL, page, show, stats, tail};
use crate::routes::Link;
use annals_http::READERS;
use annals_http::{
    Services, inline_schemas,
    operation::{Access, Method, Operation, Operations, Tag},
    problem::kind,
    schema::{Cursor, EventIdText, Moment, SentMoment, Sequence, Sha256, Uuid},
};

pub(crate) fn operations<O: Operations<Services>>(to: O) -> O {
    let new = |id, summary| Operation::new(Tag::Audit, Access::Roles(READERS), id, summary).leaves(&["audit.read"]);
    to.scoped_operation(Method::Get, "/audit", page, || {
        new("listAudit", "Read the audit log")
            .details(
                "A page of events, the oldest first unless `sort` says otherwise. Follow `_links.next` while there is \
                 one: it ends at what was the log's end when the first page was read. Then keep `_links.resume`, which \
                 shows what was recorded since. Filters are combined; of several values of one filter any will do. A \
                 call looks at a bounded part of the log, so a page may hold few events, or none, and still have a \
                 `next`.\n\n`Accept` chooses how events are shown: `application/hal+json`; `application/x-ndjson`, the \
                 lines as they are delivered, or with `profile=cloudevents` or `profile=ocsf`; `text/csv`. In these the \
                 links are in the header `Link`.",
            )
            .query::<PageParameters>()
            .answers_nothing(200, "A page of events.")
            .or_as::<AuditPage>(HAL)
            .or_as::<Lines>("application/x-ndjson")
            .or_as::<Rows>("text/csv")
            .with_header::<String>("Link", "The links, where the body has no place for them (RFC 8288).")
            .refuses(&[kind::EXPIRED])
    })
    .scoped_operation(Method::Get, "/audit/stats", stats, || {
        new("getAuditStats", "Count events")
            .details(
                "By hour or day, in UTC. A call reads a bounded part of the log; follow `_links.next` while there is \
                 one, and add the counts of the same interval up.",
            )
            .query::<StatsParameters>()
            .answers_nothing(200, "Counts, those of empty intervals left out.")
            .or_as::<AuditStats>(HAL)
            .refuses(&[kind::EXPIRED])
    })
    .scoped_operation(Method::Get, "/audit/tail", tail, || {
        new("getAuditTail", "Show the end of the log")
            .details("To hold against what was delivered: its last line has this sequence and this hash.")
            .answers::<AuditTail>(200, "The end of the log, before this call was recorded.")
    })
    .scoped_operation(Method::Get, "/audit/{uuid}", show, || {
        new("getAuditEvent", "Read one event")
            .answers_nothing(200, "The event.")
            .or_as::<AuditEvent>(HAL)
            .refuses(&[kind::NOT_FOUND, kind::EXPIRED])
    })
}

/// What page to read.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase")]
struct PageParameters {
    /// Begin with this event.
    #[schemars(with = "Option<Cursor>")]
    from: Option<String>,
    /// Begin behind this event. Not together with `from`.
    #[schemars(with = "Option<Cursor>")]
    after: Option<String>,
    /// Only events recorded at this time or later; a date alone is its beginning in UTC.
    #[schemars(with = "Option<MomentOrDate>")]
    since: Option<String>,
    /// Only events recorded before this time.
    #[schemars(with = "Option<MomentOrDate>")]
    until: Option<String>,
    /// `+timestamp` (or `asc`), the oldest first, which is the default; `-timestamp` (or `desc`), the newest first.
    #[schemars(extend("enum" = ["+timestamp", "-timestamp", "timestamp", "asc", "desc"]))]
    sort: Option<String>,
    /// How many events a page has at most; 100 where it is left out.
    #[schemars(range(min = 1, max = 1000))]
    page_size: Option<u16>,
    /// Leave out the pages before this one. Cursors are cheaper, and miss nothing.
    #[schemars(range(min = 1, max = 1_099_511_627_776_u64))]
    page_number: Option<u64>,
    /// Set by `next`: the log's end when the first page was read.
    #[schemars(with = "Option<Cursor>")]
    through: Option<String>,
    /// Set by `next`: how many events are still to be left out.
    skip: Option<u32>,
    /// What events to show.
    #[schemars(flatten)]
    filter: FilterParameters,
}

/// What to count.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase")]
struct StatsParameters {
    /// From this time on; seven days before `until` where it is left out.
    #[schemars(with = "Option<MomentOrDate>")]
    since: Option<String>,
    /// Up to this time; now where it is left out.
    #[schemars(with = "Option<MomentOrDate>")]
    until: Option<String>,
    /// What to count in; `day` where it is left out.
    #[schemars(extend("enum" = ["hour", "day"]))]
    interval: Option<String>,
    /// What to count by; `type` where it is left out.
    #[schemars(extend("enum" = ["type", "action", "entityType", "principal"]))]
    by: Option<String>,
    /// Set by `next`: where to go on.
    #[schemars(with = "Option<Cursor>")]
    from: Option<String>,
    /// Set by `next`: the log's end when the first part was counted.
    #[schemars(with = "Option<Cursor>")]
    through: Option<String>,
    /// What events to count.
    #[schemars(flatten)]
    filter: FilterParameters,
}

/// What events are meant.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase")]
struct FilterParameters {
    /// Only events of this type, such as `token.create`. May be given several times.
    #[schemars(with = "Option<Values>")]
    r#type: Option<Vec<String>>,
    /// No events of this type, such as `audit.read`. May be given several times.
    #[schemars(with = "Option<Values>")]
    exclude_type: Option<Vec<String>>,
    /// Only events of this principal: another name for `principalId`. May be given several times.
    #[schemars(with = "Option<Values>")]
    user_uuid: Option<Vec<String>>,
    /// Only events with this action. May be given several times.
    #[schemars(with = "Option<Values>")]
    action: Option<Vec<String>>,
    /// Only events whose entity is of this type. May be given several times.
    #[schemars(with = "Option<Values>")]
    entity_type: Option<Vec<String>>,
    /// Only events about the entity with this id. May be given several times.
    #[schemars(with = "Option<Values>")]
    entity_id: Option<Vec<String>>,
    /// Only events of the principal with this id. May be given several times.
    #[schemars(with = "Option<Values>")]
    principal_id: Option<Vec<String>>,
    /// Only events that hold this text, in either case.
    #[schemars(length(min = 1, max = MAX_NAME_CHARS), regex(pattern = NO_NUL))]
    q: Option<String>,
}

/// What a query may hold.
const NO_NUL: &str = r"^[^\u0000]*$";

inline_schemas! {
    /// The values of one filter.
    Values = {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARS, "pattern": NO_NUL},
        "minItems": 1,
        "maxItems": 20
    };
    /// A moment, or a date alone.
    MomentOrDate = {
        "type": "string",
        "anyOf": [
            SentMoment::json_schema(&mut SchemaGenerator::default()),
            {"format": "date", "pattern": r"^(19[7-9]\d|[2-9]\d{3})-\d\d-\d\d$"}
        ]
    };
    /// One JSON object a line.
    Lines = {"type": "string"};
    /// Rows of RFC 4180, the first of them names.
    Rows = {"type": "string"};
    /// A number where the principal's id is one.
    DbUserId = {"type": ["integer", "string"]};
}

/// A page of events.
#[derive(Debug, JsonSchema)]
struct AuditPage {
    /// The events, in the order that was asked for.
    #[schemars(length(max = 1000))]
    events: Vec<AuditEvent>,
    /// Where this page is, and where to go on.
    #[schemars(rename = "_links")]
    links: AuditLinks,
}

/// Where a page is, and where to go on.
#[derive(Debug, JsonSchema)]
struct AuditLinks {
    /// This page.
    #[schemars(rename = "self")]
    own: Link,
    /// The next page, where there is one.
    #[schemars(skip_serializing_if = "Option::is_none")]
    next: Option<Link>,
    /// What was recorded since, chronologically: for later.
    resume: Link,
}

/// An event: all that its producer sent, what the log adds, and the names that PactFlow's clients know.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase")]
struct AuditEvent {
    /// The event's id in 22 characters.
    #[schemars(with = "Uuid")]
    uuid: String,
    /// The same id as a UUID.
    #[schemars(with = "EventIdText")]
    event_id: String,
    /// Its place: 1, 2, 3, … without a gap.
    #[schemars(with = "Sequence")]
    sequence: u64,
    /// When it was recorded.
    #[schemars(with = "Moment")]
    timestamp: String,
    /// SHA-256 of the line before, so that nothing can be changed or taken out unseen.
    #[schemars(with = "Sha256")]
    previous_hash: String,
    /// Whose log it is in, with the name that was in force.
    organisation: Entity,
    /// What was done.
    action: String,
    /// The type of the event.
    r#type: String,
    /// What it was done to.
    entity: Entity,
    /// Who did it.
    principal: Entity,
    /// What the entity is part of.
    #[schemars(skip_serializing_if = "Option::is_none")]
    parent_entity: Option<Entity>,
    /// Whom it concerns beside who did it.
    #[schemars(skip_serializing_if = "Option::is_none")]
    subject: Option<Entity>,
    /// What was granted or revoked.
    #[schemars(skip_serializing_if = "Option::is_none", with = "crate::routes::events::Permission")]
    permission: Option<()>,
    /// The state before.
    #[schemars(skip_serializing_if = "Option::is_none")]
    before: Option<Map<String, Value>>,
    /// The state after.
    #[schemars(skip_serializing_if = "Option::is_none")]
    after: Option<Map<String, Value>>,
    /// By what it was done.
    client_type: String,
    /// When it happened, as its producer says.
    #[schemars(skip_serializing_if = "Option::is_none")]
    occurred_at: Option<String>,
    /// From where.
    #[schemars(skip_serializing_if = "Option::is_none")]
    context: Option<Map<String, Value>>,
    /// Whatever the producer gave; empty where it gave nothing.
    payload: Map<String, Value>,
    /// Strings by name.
    #[schemars(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, String>>,
    /// The principal's id.
    #[schemars(rename = "db_user_id", with = "DbUserId")]
    db_user_id: String,
    /// The principal's e-mail address.
    #[schemars(rename = "user_email")]
    user_email: Option<String>,
}

/// Something, or somebody, with whatever else was told of it.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase")]
struct Entity {
    /// Its id.
    id: String,
    /// Its name.
    name: String,
    /// What kind of thing it is.
    entity_type: String,
    /// The e-mail address, of a person.
    #[schemars(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

/// The end of the log.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase")]
struct AuditTail {
    /// The sequence of the last event; 0 where there is none.
    sequence: u64,
    /// Its id.
    #[schemars(with = "Option<EventIdText>")]
    event_id: Option<String>,
    /// SHA-256 of its line.
    #[schemars(with = "Sha256")]
    hash: String,
    /// When it was recorded.
    #[schemars(with = "Option<Moment>")]
    timestamp: Option<String>,
}

/// Counts of events over time.
#[derive(Debug, JsonSchema)]
struct AuditStats {
    /// From when on events are counted.
    #[schemars(with = "Moment")]
    since: String,
    /// Up to when.
    #[schemars(with = "Moment")]
    until: String,
    /// What they are counted in.
    #[schemars(extend("enum" = ["hour", "day"]))]
    interval: String,
    /// Those in which there was an event.
    intervals: Vec<AuditCounts>,
    /// Where this part is, and the next, if there is one.
    #[schemars(rename = "_links")]
    links: StatsLinks,
}

/// Where a part of counts is, and the next.
#[derive(Debug, JsonSchema)]
struct StatsLinks {
    /// This part.
    #[schemars(rename = "self")]
    own: Link,
    /// The next part, where there is one.
    #[schemars(skip_serializing_if = "Option::is_none")]
    next: Option<Link>,
}

/// The events of one hour or day.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase")]
struct AuditCounts {
    /// Its beginning.
    #[schemars(with = "Moment")]
    start: String,
    /// How many there were.
    #[schemars(with = "Sequence")]
    total: u64,
    /// The same by what was asked for.
    counts: BTreeMap<String, u64>,
    /// The first that was counted.
    #[schemars(with = "Sequence")]
    first_sequence: u64,
    /// The last that was counted.
    #[schemars(with = "Sequence")]
    last_sequence: u64,
}
