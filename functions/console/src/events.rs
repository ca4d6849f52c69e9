//! The log: pages of it, one event in full, and what is filtered as a file.

use annals_core::token::Role;
use axum::{Router, response::Response, routing::get};
use maud::html;

use crate::{Console, layout::Section, refusal::Refusal, ui, visit::Visit};

/// Who may read the log.
const READERS: &[Role] = &[Role::Auditor, Role::Admin];

pub(crate) fn routes() -> Router<Console> {
    Router::new().route("/console/events", get(list))
}

/// `GET /console/events`: the newest events.
async fn list(visit: Visit) -> Result<Response, Refusal> {
    let organisation = visit.organisation(READERS).await?;
    let shell = visit.shell(&organisation, Section::Events);
    Ok(ui::page(shell.page("Events", &html! { h1 { "Events" } })))
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    vec![("events", crate::every_page::shell(Section::Events).page("Events", &html! { h1 { "Events" } }))]
}
