//! The organisation's tokens: listed, created, revoked.

use annals_core::token::Role;
use axum::{Router, response::Response, routing::get};
use maud::html;

use crate::{Console, layout::Section, refusal::Refusal, ui, visit::Visit};

/// Who may manage tokens.
const ADMINISTRATORS: &[Role] = &[Role::Admin];

pub(crate) fn routes() -> Router<Console> {
    Router::new().route("/console/tokens", get(list))
}

/// `GET /console/tokens`: all of them, without their texts.
async fn list(visit: Visit) -> Result<Response, Refusal> {
    let organisation = visit.organisation(ADMINISTRATORS).await?;
    let shell = visit.shell(&organisation, Section::Tokens);
    Ok(ui::page(shell.page("Tokens", &html! { h1 { "Tokens" } })))
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    vec![("tokens", crate::every_page::shell(Section::Tokens).page("Tokens", &html! { h1 { "Tokens" } }))]
}
