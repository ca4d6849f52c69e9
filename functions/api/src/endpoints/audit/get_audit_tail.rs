use annals_core::{log::segment::Tail, time::Timestamp};
use annals_http::prelude::*;
use annals_http::schema::{EventIdText, Moment, Sha256};

pub(super) struct GetAuditTail;

impl Endpoint<Services> for GetAuditTail {
    const ID: &'static str = "getAuditTail";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/audit/tail";
    const SCOPE: Scope = Scope::TokenOrPath;
    type Access = Readers;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Audit);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Audit, "Get the end of the log")
            .description("Compare it with the delivered objects: the last line has this sequence and this hash.")
            .response::<AuditTail>(200, "The end of the log before this call was recorded.")
            .records(&["audit.read"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let tail = services.audit.tail(&call.organisation, &call.reader()).await?;
        let id = tail.event_id(&call.organisation.id);
        let Tail { last, recorded_at, hash, .. } = tail;
        let tail = AuditTail {
            sequence: last,
            event_id: id.map(|id| id.to_string()),
            hash: hash.to_string(),
            timestamp: id.map(|_| recorded_at),
        };
        Ok(response::json(StatusCode::OK, &tail))
    }
}

/// The end of the log.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AuditTail {
    /// The sequence of the last event; 0 in an empty log.
    sequence: u64,
    /// The id of the last event; null in an empty log.
    #[schemars(with = "Option<EventIdText>")]
    event_id: Option<String>,
    /// SHA-256 of the last line.
    #[schemars(with = "Sha256")]
    hash: String,
    /// When the last event was recorded; null in an empty log.
    #[schemars(with = "Option<Moment>")]
    timestamp: Option<Timestamp>,
}
