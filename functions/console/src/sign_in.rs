//! Signing in and out: a portal link starts a session once the user confirms, and "Sign out" ends it.

use annals_core::{
    administration::{
        AdministrationError,
        portal::{Entered, LinkError},
    },
    admission::AdmissionError,
    brand::{Brand, ProductName},
    caller::Caller,
    portal::{MAX_SESSION_LIFE, PortalLink, ReturnUrl, Session},
    token::Role,
};
use annals_http::{
    READERS,
    call::{base_path, context},
    console::{
        self,
        refusal::Refusal,
        return_to::ReturnTo,
        session::{self, ConsoleRequest, Cookie},
    },
    problem::Problem,
    request_log::{LogFields, address},
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
        .route("/console/enter/{link}", get(show_link).post(open_link))
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

/// `GET /console/enter/{link}`: shows whom a portal link signs in, and where. Nothing is used up, so that the preview of a
/// link by a mail or chat program does no harm.
async fn show_link(
    State(console): State<Console>,
    link: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    if is_framed(&request) && !console.embedding.is_allowed() {
        return Err(Refusal::Framed);
    }
    let Path(token) = link.map_err(|_| Refusal::LinkUnknown)?;
    let services = &console.services;
    let found = services.administration.portal_link(&token).await;
    let (link, organisation) = found.map_err(|error| refused(&console, &request, error))?;
    let session = session::current(services, request.headers(), address(request.extensions())).await;
    let entrance = Entrance { token, organisation: organisation.name, link, session };
    Ok(ui::page(entrance.render(base_path(request.extensions()), console.embedding.brand())))
}

/// `POST /console/enter/{link}`: exchanges a portal link for a session, and leads to the link's page, or to the page that was
/// asked for before, if its section is for the session's role. The session that the browser had before is ended.
async fn open_link(
    State(console): State<Console>,
    link: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let headers = request.headers();
    if session::is_cross_origin(headers) {
        return Err(Refusal::ForgedForm);
    }
    let Path(link) = link.map_err(|_| Refusal::LinkUnknown)?;
    let context = context(headers, request.extensions());
    let administration = &console.services.administration;
    let previous = session::current(&console.services, headers, address(request.extensions())).await;
    let opened = administration.enter(&link, context.clone()).await;
    let Entered { session, token, path } = opened.map_err(|error| refused(&console, &request, error))?;
    LogFields::of(request.extensions()).caller(&Caller::Session(session.clone()));
    if let Some(previous) = previous
        && let Ok(organisation) = administration.organisation(&previous.organisation).await
    {
        // The new session is valid whatever becomes of the old one, whose cookie is replaced.
        let _ = administration.end_session(&organisation, &previous, context).await;
    }
    let base = base_path(request.extensions());
    let is_for_role = |path: &str| Section::of(path).is_some_and(|section| section.is_for(session.role));
    let asked_for = ReturnTo::kept(headers).filter(|page| is_for_role(page.path()));
    let page = match (path.filter(|path| is_for_role(path.path())), asked_for) {
        (Some(path), _) => format!("{base}{}", path.as_str()),
        (None, Some(asked_for)) => format!("{base}{}", asked_for.as_str()),
        (None, None) => first_page(base, session.role),
    };
    let mut response = console::redirect(&page);
    let embedding = &console.embedding;
    let cookies = [
        Cookie::Session.set(headers, embedding, token.reveal(), MAX_SESSION_LIFE.as_secs()),
        ReturnTo::forget(headers, embedding),
    ];
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

fn is_framed(request: &Request) -> bool {
    request.headers().get("sec-fetch-dest").is_some_and(|shown| shown == "iframe")
}

/// Returns the page for a link that cannot be opened. Guesses are counted.
fn refused(console: &Console, request: &Request, error: LinkError) -> Refusal {
    match error {
        LinkError::Unknown => match console.services.admission.refuse(address(request.extensions())) {
            error @ AdmissionError::TooMany(_) => Problem::from(error).into(),
            _ => Refusal::LinkUnknown,
        },
        LinkError::Used => Refusal::LinkUsed,
        LinkError::Expired => Refusal::LinkExpired,
        LinkError::Administration(error) => Problem::from(error).into(),
    }
}

/// The page of a portal link that can be opened.
#[derive(Debug)]
struct Entrance {
    token: String,
    /// The name of the organisation.
    organisation: String,
    link: PortalLink,
    /// The session that the browser has, which ends when the link is opened.
    session: Option<Session>,
}

impl Entrance {
    fn render(&self, base: &str, brand: &Brand) -> Markup {
        let user = &self.link.user;
        let right = if self.link.role == Role::Admin {
            "You can read the log, and manage destinations and tokens."
        } else {
            "You can read the log."
        };
        let content = html! {
            main #content .alone {
                div .card {
                    h1 { "Audit log of " (self.organisation) }
                    p { "You sign in as " b { (user.name) } @if let Some(email) = &user.email { " (" (email) ")" } ". " (right) }
                    @if let Some(session) = &self.session {
                        p {
                            "In this browser, " b { (session.user.name) } " is signed in to "
                            @if session.organisation == self.link.organisation { "this audit log" } @else { "another audit log" }
                            ". That session ends."
                        }
                    }
                    form method="post" action={ (base) "/console/enter/" (self.token) } {
                        button .primary type="submit" { "Open the audit log" }
                    }
                }
            }
        };
        layout::document(base, brand, &format!("Audit log of {}", self.organisation), &content)
    }
}

/// `POST /console/leave`: ends the session.
async fn sign_out(State(console): State<Console>, request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(READERS).await?;
    let context = request.call.context();
    match console.services.administration.end_session(&organisation, &request.session, context).await {
        Ok(()) | Err(AdministrationError::NotFound) => {}
        Err(error) => return Err(Problem::from(error).into()),
    }
    let brand = console.embedding.brand();
    let page = signed_out_page(request.call.base_path(), brand, request.session.return_url.as_ref());
    let mut response = ui::page(page);
    let cookie = Cookie::Session.set(request.call.headers(), &console.embedding, "", 0);
    response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    Ok(response)
}

pub(crate) fn signed_out_page(base: &str, brand: &Brand, return_url: Option<&ReturnUrl>) -> Markup {
    let content = html! {
        main #content .alone {
            div .card {
                h1 { "You have signed out" }
                p { "To return, open the audit log from your product again." }
                @if let Some(url) = return_url {
                    p {
                        a .button href=(url.as_str()) target="_top" {
                            "Back to " (brand.product.as_ref().map_or("your product", ProductName::as_str))
                        }
                    }
                }
            }
        }
    };
    layout::document(base, brand, "You have signed out", &content)
}
