//! Why a request to the console is refused, and the page that says so.

use annals_core::brand::Brand;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use maud::{Markup, html};

use super::{
    Embedding, document,
    return_to::{self, ReturnTo},
};
use crate::{
    call::base_path,
    problem::{Problem, ProblemSummary},
    request_log::request_id,
};

#[derive(Debug)]
pub enum Refusal {
    /// There is no session, or it has ended.
    NoSession,
    /// The portal link was opened before.
    LinkUsed,
    /// Nobody opened the portal link in time.
    LinkExpired,
    /// The portal link does not exist, or it ended more than a day ago.
    LinkUnknown,
    /// The form was not sent by a page of this session.
    ForgedForm,
    /// The page does not exist, or the session's role does not include it.
    NotFound,
    /// The browser requested the page before the user opened it.
    Prefetch,
    /// The page would be shown in an iframe, and the deployment allows none.
    Framed,
    /// The address only accepts forms.
    MethodNotAllowed,
    /// The API would refuse the request with the same problem.
    Problem(Box<Problem>),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

/// A response without a body. [`render`] adds the page.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, told) = match self {
            Self::Problem(problem) => return problem.into_response(),
            Self::NoSession => (
                StatusCode::UNAUTHORIZED,
                ProblemSummary::new(
                    "no_session",
                    "You are not signed in",
                    "Your session has ended, or your browser blocks cookies. A session ends after 30 minutes without use, \
                     and after 8 hours. Go back to the product that you came from, and open the audit log there again.",
                ),
            ),
            Self::LinkUsed => (
                StatusCode::GONE,
                ProblemSummary::new(
                    "link_used",
                    "This link has been used",
                    "A link opens the audit log once. If that was not you, tell your administrator. To open the audit log \
                     again, go back to the product that you came from.",
                ),
            ),
            Self::LinkExpired => (
                StatusCode::GONE,
                ProblemSummary::new(
                    "link_expired",
                    "This link has expired",
                    "Nobody has opened it within five minutes. Go back to the product that you came from, and open the \
                     audit log there again.",
                ),
            ),
            Self::LinkUnknown => (
                StatusCode::NOT_FOUND,
                ProblemSummary::new(
                    "link_unknown",
                    "There is no such link",
                    "Check that you have the whole address. A link that was used or has expired is forgotten after a day. \
                     Go back to the product that you came from, and open the audit log there again.",
                ),
            ),
            Self::ForgedForm => (
                StatusCode::FORBIDDEN,
                ProblemSummary::new(
                    "forged",
                    "Nothing was changed",
                    "The form was not sent by a page of your current session. Go back, reload the page, and try again.",
                ),
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                ProblemSummary::new(
                    "not_found",
                    "Page not found",
                    "The page does not exist any more, or your role does not include it.",
                ),
            ),
            Self::Prefetch => (
                StatusCode::FORBIDDEN,
                ProblemSummary::new(
                    "in_advance",
                    "This page is not loaded in advance",
                    "Your browser asked for the page before you opened it. Open the page again.",
                ),
            ),
            Self::Framed => (
                StatusCode::FORBIDDEN,
                ProblemSummary::new(
                    "framed",
                    "This page cannot be shown here",
                    "This site may not show the audit log as a part of its own page. Open the audit log in its own tab.",
                ),
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                ProblemSummary::new(
                    "method_not_allowed",
                    "This address cannot be opened",
                    "It only accepts forms that a page of the audit log sends. Open the audit log and start from there.",
                ),
            ),
        };
        let mut response = status.into_response();
        response.extensions_mut().insert(told);
        response
    }
}

/// Returns the detail of an API problem, worded for the user of a page.
fn detail(told: &ProblemSummary) -> &str {
    match told.code {
        "not_found" => "It does not exist any more, or it belongs to another organisation.",
        "too_many_requests" => "There were too many requests. Wait a moment, then reload the page.",
        "unavailable" => {
            "The audit log did not answer in time. Reload the page. If you changed something, check first whether the \
             change was made."
        }
        "operator_required" => {
            "The audit log lacks something that only its operator can restore. The operator has been alerted. Try again \
             later."
        }
        "changed" => "Somebody else changed it at the same moment. Look at the current state, then repeat your change.",
        "invalid_input" | "uri_too_long" | "unsupported_content_encoding" | "body_too_large" => {
            "The request is not valid. Go back and try again."
        }
        _ => told.detail(),
    }
}

/// Turns every refusal into a page. If there is no session, the page that was asked for is kept for after the sign-in.
pub(super) async fn render(State(embedding): State<Embedding>, request: Request, next: Next) -> Response {
    let base = base_path(request.extensions()).to_owned();
    let request_id = request_id(request.extensions());
    let asked_for = ReturnTo::of(&request);
    let headers = request.headers().clone();
    let mut response = next.run(request).await;
    let Some(told) = response.extensions().get::<ProblemSummary>() else { return response };
    let (way, keeps) = match (response.status(), asked_for) {
        (StatusCode::UNAUTHORIZED, Some(asked_for)) => {
            let keeps = asked_for.set(&headers, &embedding);
            (Way::Back(asked_for), keeps)
        }
        (StatusCode::UNAUTHORIZED, None) => (Way::None, None),
        _ if ["link_used", "link_expired", "link_unknown"].contains(&told.code) => (Way::None, None),
        _ => (Way::Start, None),
    };
    let page = page(&base, embedding.brand(), told.title(), detail(told), request_id.as_deref(), way);
    *response.body_mut() = page.into_string().into();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.extend(keeps.map(|cookie| (header::SET_COOKIE, cookie)));
    response
}

/// Where the page of a refusal leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    None,
    /// To the console, for users whose session may still be valid.
    Start,
    /// Back to the page that was asked for, after the user has signed in.
    Back(ReturnTo),
}

/// Writes the page of a refusal.
#[must_use]
pub fn page(base: &str, brand: &Brand, title: &str, detail: &str, request_id: Option<&str>, way: Way) -> Markup {
    let links = html! {
        link rel="stylesheet" href={ (base) "/console/assets/console.css" };
        link rel="icon" href={ (base) "/console/assets/icon.svg" };
    };
    let body = html! {
        main #content .alone {
            div .card {
                h1 { (title) }
                p { (detail) }
                @match way {
                    Way::None => {},
                    Way::Start => p { a .button href={ (base) "/console" } { "Go to the audit log" } },
                    Way::Back(asked_for) => {
                        @if let Some(sign_in) = &brand.sign_in {
                            p {
                                a .button.primary href=(sign_in.with_parameter("path", &asked_for.encoded())) target="_top" {
                                    "Sign in" @if let Some(product) = &brand.product { " to " (product.as_str()) }
                                }
                            }
                        }
                        p {
                        "If you do so in this browser within " (return_to::LIFE_MINUTES) " minutes, the page that you asked for opens."
                        }
                    },
                }
                @if let Some(support) = &brand.support {
                    p { a href=(support.as_str()) target="_top" { "Get help" } }
                }
                @if let Some(id) = request_id {
                    p .hint { "If you ask for help, give this request ID: " code { (id) } }
                }
            }
        }
    };
    document(title, &links, &body)
}
