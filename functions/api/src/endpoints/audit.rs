//! Reading the log in the form of PactFlow's audit API: chronological pages, links, and event ids as cursors.

mod get_audit_checkpoint;
mod get_audit_event;
mod get_audit_stats;
mod get_audit_tail;
mod list_audit;

use annals_core::{
    format::{NotAcceptable, Representation},
    organisation::Organisation,
};
use annals_http::{Services, call::Call, endpoint::Endpoints, inline_schemas};
use http::header;

use self::{
    get_audit_checkpoint::GetAuditCheckpoint, get_audit_event::GetAuditEvent, get_audit_stats::GetAuditStats,
    get_audit_tail::GetAuditTail, list_audit::ListAudit,
};
use super::Link;

pub(super) fn add<E: Endpoints<Services>>(endpoints: E) -> E {
    endpoints
        .endpoint::<ListAudit>()
        .endpoint::<GetAuditStats>()
        .endpoint::<GetAuditTail>()
        .endpoint::<GetAuditCheckpoint>()
        .endpoint::<GetAuditEvent>()
}

/// The media type of JSON with links ("JSON Hypertext Application Language").
const HAL: &str = "application/hal+json";

/// Returns a link to `url` with these query parameters.
fn link(url: &str, parameters: &[(&str, String)]) -> Link {
    if parameters.is_empty() {
        return Link { href: url.to_owned() };
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    Link { href: format!("{url}?{query}") }
}

/// Returns a link to the call itself.
fn link_to_self(call: &Call<Organisation>) -> Link {
    let query = if call.query().is_empty() { String::new() } else { format!("?{}", call.query()) };
    Link { href: call.url() + &query }
}

/// Returns the format that the caller accepts; `None` is HAL.
fn accepted(call: &Call<Organisation>) -> Result<Option<Representation>, NotAcceptable> {
    call.header(header::ACCEPT).map_or(Ok(None), Representation::negotiate)
}

inline_schemas! {
    /// A CloudEvent of version 1.0, with the event as its `data`.
    CloudEvent = {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"type": "string", "enum": ["1.0"]},
            "id": {"type": "string"},
            "source": {"type": "string"},
            "type": {"type": "string"},
            "data": {"type": "object"},
        }
    };
    /// An event of the Open Cybersecurity Schema Framework 1.8.0.
    OcsfEvent = {
        "type": "object",
        "required": ["class_uid", "activity_id", "type_uid", "time", "metadata"],
        "properties": {
            "class_uid": {"type": "integer"},
            "activity_id": {"type": "integer"},
            "type_uid": {"type": "integer"},
            "time": {"description": "In milliseconds since 1970.", "type": "integer"},
            "metadata": {"type": "object"},
        }
    };
}
