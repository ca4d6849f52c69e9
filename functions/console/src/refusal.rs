//! What is shown instead of a page: why not, and what to do.

use annals_http::{
    call::{base_path, request_id},
    problem::{Problem, Told},
};
use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use maud::{Markup, html};

use crate::layout;

/// Why a request is not answered with a page.
#[derive(Debug)]
pub enum Refusal {
    /// There is no session, or none any more.
    NoSession,
    /// The link was used, has expired or never was one.
    LinkUsed,
    /// The form did not come from a page of this session.
    Forged,
    /// There is no such page, or not for this role.
    NotFound,
    /// The page was loaded before anybody asked for it.
    InAdvance,
    /// The page would be in a frame that may not show it.
    Framed,
    /// The address takes forms only.
    NotAPage,
    /// What the API would refuse, too.
    Problem(Box<Problem>),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl IntoResponse for Refusal {
    /// An answer without content, for [`show`] to make a page of.
    fn into_response(self) -> Response {
        let (status, told) = match self {
            Self::Problem(problem) => return problem.into_response(),
            Self::NoSession => (
                StatusCode::UNAUTHORIZED,
                Told::new(
                    "no_session",
                    "You are not signed in",
                    "A visit ends after 30 minutes, and needs cookies. Go back to the product that you came from, and open \
                     the audit log there again.",
                ),
            ),
            Self::LinkUsed => (
                StatusCode::GONE,
                Told::new(
                    "link_used",
                    "This link has been used",
                    "A link to this page works once, and for five minutes. Go back to the product that you came from, and \
                     open the audit log there again.",
                ),
            ),
            Self::Forged => (
                StatusCode::FORBIDDEN,
                Told::new(
                    "forged",
                    "Nothing was changed",
                    "What was sent did not come from this page as you have it open. Go back, load the page again, and \
                     repeat what you did.",
                ),
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                Told::new(
                    "not_found",
                    "There is no such page",
                    "It is not there any more, or it is not for your role.",
                ),
            ),
            Self::InAdvance => (
                StatusCode::FORBIDDEN,
                Told::new("in_advance", "Not in advance", "This page is not loaded before somebody asks for it."),
            ),
            Self::Framed => (
                StatusCode::FORBIDDEN,
                Told::new(
                    "framed",
                    "This page cannot be shown here",
                    "It may not be part of another page. Open it in a tab of its own.",
                ),
            ),
            Self::NotAPage => (
                StatusCode::METHOD_NOT_ALLOWED,
                Told::new(
                    "method_not_allowed",
                    "There is no such page",
                    "The address is not one that can be opened by itself.",
                ),
            ),
        };
        let mut response = status.into_response();
        response.extensions_mut().insert(told);
        response
    }
}

/// What the API says to programs, as people on a page need to hear it.
fn detail(told: &Told) -> &str {
    match told.code {
        "not_found" => "It is not there any more, or it is not yours.",
        "too_many_requests" => "There were too many requests. Wait a moment, and load the page again.",
        "unavailable" => {
            "The audit log did not answer in time. Load the page again; and see whether a change was made before you make it \
             once more."
        }
        "changed" => "Somebody else changed it at the same moment. Look at it again, then repeat your change.",
        "invalid_input" | "uri_too_long" | "unsupported_content_encoding" | "body_too_large" => {
            "Something of what was sent is not as it should be. Go back, and try again."
        }
        _ => told.detail(),
    }
}

/// Makes a page of every refusal.
pub(crate) async fn show(request: Request, next: Next) -> Response {
    let base = base_path(request.extensions()).to_owned();
    let request_id = request_id(request.extensions());
    let mut response = next.run(request).await;
    let Some(told) = response.extensions().get::<Told>() else { return response };
    let leads_on = response.status() != StatusCode::UNAUTHORIZED && response.status() != StatusCode::GONE;
    let page = page(&base, told.title(), detail(told), request_id.as_deref(), leads_on);
    *response.body_mut() = page.into_string().into();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// The page of a refusal; `leads_on` where the session, if there is one, can go on.
#[must_use]
pub fn page(base: &str, title: &str, detail: &str, request_id: Option<&str>, leads_on: bool) -> Markup {
    let content = html! {
        main #content .alone {
            div .card {
                h1 { (title) }
                p { (detail) }
                @if leads_on {
                    p { a .button href={ (base) "/console" } { "To the audit log" } }
                }
                @if let Some(id) = request_id {
                    p .hint { "If you ask for help, give this number: " code { (id) } }
                }
            }
        }
    };
    layout::document(base, title, &content)
}
