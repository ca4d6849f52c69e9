//! Coming and going: a portal link becomes a session, and a session ends.

use annals_core::{administration::AdministrationError, admission::AdmissionError, portal::SESSION_LIFE, token::Role};
use annals_http::{
    READERS,
    call::{address, base_path, context},
    problem::Problem,
};
use axum::{
    Router,
    extract::{Path, Request, State, rejection::PathRejection},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::{HeaderValue, StatusCode, header};
use maud::{Markup, html};

use crate::{
    Console, layout,
    refusal::Refusal,
    ui,
    visit::{Visit, session_cookie},
};

pub(crate) fn routes() -> Router<Console> {
    Router::new()
        .route("/console", get(begin))
        .route("/console/enter/{link}", get(enter))
        .route("/console/leave", post(leave))
}

/// `GET /console`: where somebody begins.
async fn begin(visit: Visit) -> Response {
    see_other(&first_page(visit.call.base_path(), visit.session.role))
}

/// An administrator sets up the destination first; an auditor reads.
fn first_page(base: &str, role: Role) -> String {
    let page = if role == Role::Admin { "destinations" } else { "events" };
    format!("{base}/console/{page}")
}

/// `GET /console/enter/{link}`: opens a portal link.
async fn enter(
    State(console): State<Console>,
    link: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let headers = request.headers();
    if headers.get("sec-fetch-dest").is_some_and(|shown| shown == "iframe") && !console.embedding.is_allowed() {
        return Err(Refusal::Framed);
    }
    let Path(link) = link.map_err(|_| Refusal::LinkUsed)?;
    let context = context(headers, request.extensions());
    let (session, token) = match console.api.administration.open_portal_link(&link, context).await {
        Ok(opened) => opened,
        Err(AdministrationError::NotFound) => {
            return Err(match console.api.admission.refuse(address(request.extensions())) {
                error @ AdmissionError::TooMany(_) => Problem::from(error).into(),
                _ => Refusal::LinkUsed,
            });
        }
        Err(error) => return Err(Problem::from(error).into()),
    };
    let mut response = see_other(&first_page(base_path(request.extensions()), session.role));
    let cookie = session_cookie(headers, &console, token.reveal(), SESSION_LIFE.as_secs());
    response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    Ok(response)
}

/// `POST /console/leave`: ends the session.
async fn leave(State(console): State<Console>, visit: Visit) -> Result<Response, Refusal> {
    let organisation = visit.organisation(READERS).await?;
    let context = visit.call.context();
    match console.api.administration.end_session(&organisation, &visit.session, context).await {
        Ok(()) | Err(AdministrationError::NotFound) => {}
        Err(error) => return Err(Problem::from(error).into()),
    }
    let mut response = ui::page(signed_out(visit.call.base_path()));
    let cookie = session_cookie(visit.call.headers(), &console, "", 0);
    response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    Ok(response)
}

/// The page of who has left.
pub(crate) fn signed_out(base: &str) -> Markup {
    let content = html! {
        main #content .alone {
            div .card {
                h1 { "You have signed out" }
                p { "To come back, open the audit log from your product again." }
            }
        }
    };
    layout::document(base, "You have signed out", &content)
}

/// Sends the browser to another page, which it gets by GET.
pub(crate) fn see_other(location: &str) -> Response {
    let location = HeaderValue::from_str(location).unwrap_or(HeaderValue::from_static("/console"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}
