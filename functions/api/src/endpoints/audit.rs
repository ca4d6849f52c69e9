//! Reading the log in the form of PactFlow's audit API: chronological pages, links, and event ids as cursors.

mod get_audit_checkpoint;
mod get_audit_event;
mod get_audit_stats;
mod get_audit_tail;
mod list_audit;

use annals_core::organisation::Organisation;
use annals_http::{Services, call::Call, endpoint::Endpoints};

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
