//! `GET /` in a browser: the way to the page of the demonstration's organisation. Exists in this process only. Programs get the
//! API's root.

use annals_core::{
    administration::Actor,
    caller::Caller,
    event::Context,
    organisation::OrganisationId,
    portal::{PortalLinkInput, User},
    token::{Role, TokenText},
};
use annals_http::{Services, console};
use axum::{
    extract::{Request, State},
    http::{Method, header},
    middleware::Next,
    response::Response,
};

/// The demonstration's organisation.
pub const ORGANISATION: &str = "demo";
/// One of its administrators: the id and the email address that the events of [`demo`](crate::demo) name.
const ID: &str = "gi1wfk";
const EMAIL: &str = "ada.bell@northwindmills.example";

/// Returns the administrator for whom links are created.
pub(crate) fn administrator() -> User {
    User { id: ID.into(), name: "Ada Bell".into(), email: Some(EMAIL.into()) }
}

/// Creates the token of a link to an organisation's page, for an administrator.
///
/// # Errors
/// Returns an error if there is no such organisation, or if the store fails.
pub async fn portal_link(api: &Services, organisation: &OrganisationId) -> anyhow::Result<TokenText> {
    let input = PortalLinkInput { role: Role::Admin, user: administrator(), path: None, return_url: None };
    let platform = Actor { caller: Caller::Platform, context: Context::default() };
    let organisation = api.administration.organisation(organisation).await?;
    let (_, token) = api.administration.create_portal_link(&organisation, input, &platform).await?;
    Ok(token)
}

/// Leads a browser that opens `/` to a new portal link. Before the organisation exists, the API answers.
pub(crate) async fn lead(State(api): State<Services>, request: Request, next: Next) -> Response {
    let is_browser = request
        .headers()
        .get_all(header::ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.starts_with("text/html")));
    let is_fetch_of_page = request.headers().get("sec-fetch-mode").is_none_or(|mode| mode == "navigate");
    if request.method() == Method::GET
        && request.uri().path() == "/"
        && is_browser
        && is_fetch_of_page
        && let Ok(organisation) = ORGANISATION.parse()
        && let Ok(token) = portal_link(&api, &organisation).await
    {
        return console::redirect(&format!("/console/enter/{}", token.reveal()));
    }
    next.run(request).await
}
