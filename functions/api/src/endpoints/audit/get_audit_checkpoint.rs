use annals_http::prelude::*;

/// The media type of a signed note.
const NOTE: &str = "text/plain; charset=utf-8";

pub(super) struct GetAuditCheckpoint;

impl Endpoint<Services> for GetAuditCheckpoint {
    const ID: &'static str = "getAuditCheckpoint";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/audit/checkpoint";
    const SCOPE: Scope = Scope::TokenOrPath;
    type Access = Readers;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Audit);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Audit, "Get the signed end of the log")
            .description(
                "A C2SP signed note (<https://c2sp.org/tlog-checkpoint>), at most a minute old: the name of the log, the \
                 sequence of its last event, the hash of that event's line in base64, and the time. `GET /keys` returns \
                 the key to verify its signature. Save it: it proves later that the log was not changed up to there.",
            )
            .empty_response(200, "The checkpoint.")
            .response_as::<Checkpoint>("text/plain")
            .problems(&[kind::SIGNING_OFF, kind::SIGNING_UNAVAILABLE])
            .records(&["audit.read"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let checkpoints = services.checkpoints.as_ref().ok_or_else(Problem::signing_off)?;
        let note = checkpoints.newest(&call.organisation).await?;
        services.audit.record_read(&call.organisation, &call.reader()).await?;
        Ok(response::with_body(StatusCode::OK, NOTE, note))
    }
}

inline_schemas! {
    Checkpoint = {
        "description": "A signed note: lines of text, an empty line, and lines with signatures.",
        "type": "string"
    };
}
