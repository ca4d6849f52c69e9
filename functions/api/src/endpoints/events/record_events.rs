use annals_core::{
    event::{self, EventInput, Layout, MAX_EVENT_BYTES, MAX_EVENTS, MAX_REQUEST_BYTES},
    fault::Fault,
    id::EventId,
    json::MAX_DEPTH,
    log::append::{IdempotencyKey, Outcome},
};
use annals_http::prelude::*;
use annals_http::{
    endpoint::POSTED,
    gateway::MAX_JSON_BYTES,
    schema::{EventIdText, Sequence, Uuid},
};
use http::HeaderValue;
use schemars::{Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

pub(super) struct RecordEvents;

impl Endpoint<Services> for RecordEvents {
    const ID: &'static str = "recordEvents";
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/events";
    const SCOPE: Scope = Scope::TokenOrPath;
    type Access = Producers;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Events);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Events, "Record events")
            .description(format!(
                "One event, an array of events, or NDJSON. Either all events are recorded, in this order, or none. A \
                 request may have {events} events and {mebibytes} MiB, an event {kibibytes} KiB and {MAX_DEPTH} levels of \
                 nesting. API Gateway counts quotes, backslashes and line breaks of \
                 `application/json` twice, and refuses with a 413 of its own what then is larger than 6 MB: send more than \
                 {json} bytes as `application/x-ndjson`. Keys that occur twice in an object are refused, because readers \
                 would disagree on which one counts; so are numbers that a double cannot hold. A request with an \
                 `Idempotency-Key` is safe to send again if no response came.",
                events = thousands(MAX_EVENTS),
                mebibytes = MAX_REQUEST_BYTES >> 20,
                kibibytes = MAX_EVENT_BYTES >> 10,
                json = thousands(MAX_JSON_BYTES),
            ))
            .headers::<RecordHeaders>()
            .request::<Posted>()
            .request_as::<Lines>("application/x-ndjson")
            .response::<Receipts>(201, "All events are recorded, in this order.")
            .response_header::<Replayed>(
                "Idempotency-Replayed",
                "The events were recorded by an earlier request with this `Idempotency-Key`.",
            )
            .problems(&[kind::BATCH_TOO_LARGE, kind::UNSUPPORTED_MEDIA_TYPE, kind::IDEMPOTENCY_KEY_REUSED])
            .records(&[POSTED])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let layout = layout(call.content_type()?)?;
        let key = call.header_bytes("idempotency-key")?.map(IdempotencyKey::parse).transpose();
        let key = key.map_err(|detail| Fault::parameter("Idempotency-Key", detail))?;
        let bodies = event::parse(&call.body, layout, &call.caller.recorded_by())?;
        call.charge(bodies.len())?;
        let receipt = services.log.append(&call.organisation, bodies, key).await?;
        let recorded = |id: EventId| Recorded { event_id: id.to_string(), uuid: id.short(), sequence: id.sequence() };
        let receipts = Receipts { events: receipt.ids().map(recorded).collect() };
        let mut response = response::json(StatusCode::CREATED, &receipts);
        if receipt.outcome == Outcome::Replayed {
            response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        Ok(response)
    }
}

/// Writes a number with commas between thousands.
fn thousands(number: usize) -> String {
    match number / 1000 {
        0 => number.to_string(),
        thousand => format!("{},{:03}", thousands(thousand), number % 1000),
    }
}

fn layout(content_type: Option<&str>) -> Result<Layout, Problem> {
    let content_type = content_type.unwrap_or("application/json").to_ascii_lowercase();
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let charset = parts.find_map(|parameter| parameter.strip_prefix("charset="));
    // JSON has no other encoding (RFC 8259, section 8.1).
    if charset.is_some_and(|charset| charset.trim_matches('"') != "utf-8") {
        return Err(Problem::unsupported_media_type());
    }
    match essence {
        "application/json" => Ok(Layout::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Layout::Ndjson),
        _ => Err(Problem::unsupported_media_type()),
    }
}

/// The recorded events, in the order in which they were sent.
#[derive(Debug, Serialize, JsonSchema)]
struct Receipts {
    #[schemars(length(min = 1, max = MAX_EVENTS))]
    events: Vec<Recorded>,
}

/// An event's place in the log.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    /// The event's id as a UUID.
    #[schemars(with = "EventIdText")]
    event_id: String,
    /// The same id in 22 characters.
    #[schemars(with = "Uuid")]
    uuid: String,
    /// The event's number: 1, 2, 3, … in the organisation's log, without a gap.
    #[schemars(with = "Sequence")]
    sequence: u64,
}

/// The headers of a request.
#[derive(Debug, JsonSchema)]
#[expect(dead_code, reason = "it describes a header that the domain parses")]
struct RecordHeaders {
    /// A name for this request, 1 to 255 bytes. For 24 hours, the same key with the same events gets the first response
    /// again; with other events it is refused, even if the first could not be recorded.
    #[schemars(rename = "Idempotency-Key", length(min = 1, max = 255))]
    idempotency_key: Option<String>,
}

/// One event, or up to 1,000 in their order.
#[derive(Debug)]
struct Posted;

impl JsonSchema for Posted {
    fn schema_name() -> Cow<'static, str> {
        "Posted".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let event = generator.subschema_for::<InputSchema<EventInput>>();
        json_schema!({
            "description": "One event, or up to 1,000 in their order.",
            "anyOf": [event, {"type": "array", "items": event, "minItems": 1, "maxItems": MAX_EVENTS}],
        })
    }
}

inline_schemas! {
    Replayed = {"type": "string", "const": "true"};
    Lines = {
        "description": "One event per line; blank lines are ignored. The media types `application/ndjson` and `application/jsonl` mean the same.",
        "type": "string"
    };
}
