//! Signing in and out: a portal link starts a session, and "Sign out" ends it.

use annals_core::{
    administration::AdministrationError, admission::AdmissionError, caller::Caller, portal::SESSION_LIFE, token::Role,
};
use annals_http::{
    READERS,
    call::{base_path, context},
    console::{
        self,
        refusal::Refusal,
        session::{ConsoleRequest, session_cookie},
    },
    problem::Problem,
    request_log::LogFields,
    request_log::address,
};
use axum::{
    Router,
    extract::{Path, Request, State, rejection::PathRejection},
    response::Response,
    routing::{get, post},
};
use http::header;
use maud::{Markup, html};

use crate::{
    Console,
    layout::{self, Section},
    ui,
};

pub(crate) fn routes() -> Router<Console> {
    Router::new()
        .route("/console", get(start))
        .route("/console/enter/{link}", get(open_link))
        .route("/console/leave", post(sign_out))
}

/// `GET /console`: redirects to the user's first page.
async fn start(request: ConsoleRequest) -> Response {
    console::redirect(&first_page(request.call.base_path(), request.session.role))
}

/// Returns the address of the user's first page: the destinations for an administrator, the events for an auditor.
fn first_page(base: &str, role: Role) -> String {
    let section = if role == Role::Admin { Section::Destinations } else { Section::Events };
    format!("{base}{}", section.path())
}

/// `GET /console/enter/{link}`: exchanges a portal link for a session.
async fn open_link(
    State(console): State<Console>,
    link: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let headers = request.headers();
    if headers.get("sec-fetch-dest").is_some_and(|shown| shown == "iframe") && !console.embedding.is_allowed() {
        return Err(Refusal::Framed);
    }
    let Path(link) = link.map_err(|_| Refusal::LinkNotValid)?;
    let context = context(headers, request.extensions());
    let (session, token) = match console.services.administration.open_portal_link(&link, context).await {
        Ok(opened) => opened,
        Err(AdministrationError::NotFound) => {
            return Err(match console.services.admission.refuse(address(request.extensions())) {
                error @ AdmissionError::TooMany(_) => Problem::from(error).into(),
                _ => Refusal::LinkNotValid,
            });
        }
        Err(error) => return Err(Problem::from(error).into()),
    };
    LogFields::of(request.extensions()).caller(&Caller::Session(session.clone()));
    let mut response = console::redirect(&first_page(base_path(request.extensions()), session.role));
    let cookie = session_cookie(headers, &console.embedding, token.reveal(), SESSION_LIFE.as_secs());
    response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    Ok(response)
}

/// `POST /console/leave`: ends the session.
async fn sign_out(State(console): State<Console>, request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(READERS).await?;
    let context = request.call.context();
    match console.services.administration.end_session(&organisation, &request.session, context).await {
        Ok(()) | Err(AdministrationError::NotFound) => {}
        Err(error) => return Err(Problem::from(error).into()),
    }
    let mut response = ui::page(signed_out_page(request.call.base_path()));
    let cookie = session_cookie(request.call.headers(), &console.embedding, "", 0);
    response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    Ok(response)
}

pub(crate) fn signed_out_page(base: &str) -> Markup {
    let content = html! {
        main #content .alone {
            div .card {
                h1 { "You have signed out" }
                p { "To return, open the audit log from your product again." }
            }
        }
    };
    layout::document(base, "You have signed out", &content)
}
