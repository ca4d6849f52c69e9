//! The log: pages of it, one event in full, and what is filtered as a file.
//!
//! - [`query`]: what a view asks for, as its address says it
//! - [`list`], [`filter_form`], [`timeline`]: a page of the log
//! - [`detail`], [`diff`]: one event, and what it changed
//! - [`export`]: what is filtered, as files
//! - [`event`], [`json`], [`text`]: what events say, made fit to be shown
//!
//! Every page is one read of the log, and recorded as one.

mod detail;
mod diff;
mod event;
mod export;
mod filter_form;
mod json;
mod list;
mod query;
#[cfg(test)]
mod samples;
mod text;
mod timeline;
#[cfg(test)]
mod xss;

#[cfg(test)]
pub(crate) use self::samples::samples;

use annals_core::{
    audit::{AuditError, PageRequest, Shape, browse::BrowseRequest},
    fault::Fault,
    id::EventId,
    log::{read::PlaceError, store::Order},
    organisation::Organisation,
};
use annals_http::{
    READERS,
    call::reader,
    console::{refusal::Refusal, session::ConsoleRequest},
    problem::Problem,
};
use axum::{
    Router,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderValue, StatusCode, header};

use self::{
    detail::{EventPage, Gone},
    export::ExportPage,
    list::{List, PAGE_SIZE},
    query::{OF_LISTS, View},
};
use crate::{
    Console,
    layout::{Section, Shell},
    ui,
};

pub(crate) fn routes() -> Router<Console> {
    Router::new()
        .route("/console/events", get(list))
        .route("/console/events/export", get(export))
        .route("/console/events/{uuid}", get(show))
        .route("/console/events/{uuid}/json", get(file))
}

async fn begin(request: &ConsoleRequest) -> Result<(Organisation, Shell), Refusal> {
    let organisation = request.organisation(READERS).await?;
    let shell = Shell::of(&request, &organisation, Section::Events);
    Ok((organisation, shell))
}

/// `GET /console/events`: the newest events with their chart, or a page of older ones.
async fn list(request: ConsoleRequest) -> Result<Response, Refusal> {
    let (organisation, shell) = begin(&request).await?;
    let api = &request.call.api;
    let now = api.clock.now();
    let (view, page_request) = View::parse(request.call.query(), OF_LISTS, &[], now);
    let refused = |faults: &[Fault]| ui::invalid_form(List::refused(&view, faults).render(&shell));
    let page_request = match page_request {
        Ok(page_request) => page_request,
        Err(faults) => return Ok(refused(&faults)),
    };
    let reader = reader(&request.call);
    let list = if view.is_older() {
        let page_request = PageRequest { order: Order::Descending, page_size: PAGE_SIZE, ..page_request };
        match api.audit.page(&organisation, &page_request, &reader).await {
            Ok(page) => {
                request.call.notes().page(page.lines.len());
                List::of(&view, &page)
            }
            Err(AuditError::Place(PlaceError::Unknown)) => {
                return Ok(refused(&[Fault::parameter("from", "is no event of your organisation")]));
            }
            Err(error) => return gone(error, &shell),
        }
    } else {
        let PageRequest { since, until, filter, .. } = page_request;
        let browse_request = BrowseRequest { since, until, filter, page_size: PAGE_SIZE, now };
        let browsed = api.audit.browse(&organisation, &browse_request, &reader).await.map_err(Problem::from)?;
        request.call.notes().page(browsed.page.lines.len());
        List::newest(&view, &browsed)
    };
    Ok(ui::page(list.render(&shell)))
}

/// Says why what was asked for is not there, where that is all that is wrong.
fn gone(error: AuditError, shell: &Shell) -> Result<Response, Refusal> {
    match error {
        AuditError::Place(PlaceError::Unknown) => {
            Ok(ui::page_with_status(StatusCode::NOT_FOUND, Gone::Unknown.render(shell)))
        }
        AuditError::Place(PlaceError::Expired { oldest }) => {
            let oldest = oldest.map(|oldest| format!("/console/events/{}", oldest.short()));
            Ok(ui::page_with_status(StatusCode::GONE, Gone::Expired { oldest }.render(shell)))
        }
        error => Err(Problem::from(error).into()),
    }
}

/// `GET /console/events/{uuid}`: one event in full. Its query string is that of the list that led to it.
async fn show(request: ConsoleRequest) -> Result<Response, Refusal> {
    let (organisation, shell) = begin(&request).await?;
    let api = &request.call.api;
    let (view, _) = View::parse(request.call.query(), &[], &[], api.clock.now());
    let Ok(id) = EventId::parse(request.call.param("uuid").unwrap_or_default()) else {
        return gone(PlaceError::Unknown.into(), &shell);
    };
    match api.audit.detail(&organisation, id, &reader(&request.call)).await {
        Ok(detail) => Ok(ui::page(EventPage::of(&detail, &view).render(&shell))),
        Err(error) => gone(error, &shell),
    }
}

/// `GET /console/events/{uuid}/json`: its line, as a file.
async fn file(request: ConsoleRequest) -> Result<Response, Refusal> {
    let (organisation, shell) = begin(&request).await?;
    let Ok(id) = EventId::parse(request.call.param("uuid").unwrap_or_default()) else {
        return gone(PlaceError::Unknown.into(), &shell);
    };
    match request.call.api.audit.event(&organisation, id, &reader(&request.call)).await {
        Ok(line) => Ok(attachment("application/json", &format!("event-{}.json", line.sequence()), line.text + "\n")),
        Err(error) => gone(error, &shell),
    }
}

/// `GET /console/events/export`: what is in a part of an export, or, with `download`, the part itself.
async fn export(request: ConsoleRequest) -> Result<Response, Refusal> {
    let (organisation, shell) = begin(&request).await?;
    let api = &request.call.api;
    let (view, page_request) = View::parse(request.call.query(), OF_LISTS, export::OWN, api.clock.now());
    let refused = |faults: &[Fault]| ui::invalid_form(List::refused(&view, faults).render(&shell));
    let (page_request, (format, name)) = match (page_request, view.other("format").and_then(export::format)) {
        (Ok(page_request), Some(format)) => (page_request, format),
        (Ok(_), None) => return Ok(refused(&[Fault::parameter("format", "must be ndjson or csv")])),
        (Err(faults), _) => return Ok(refused(&faults)),
    };
    let page_request = PageRequest { page_size: export::MAX_EVENTS, shape: Shape::Format(format), ..page_request };
    let page = match api.audit.page(&organisation, &page_request, &reader(&request.call)).await {
        Ok(page) => page,
        Err(AuditError::Place(PlaceError::Unknown)) => {
            return Ok(refused(&[Fault::parameter("from", "is no event of your organisation")]));
        }
        Err(error) => return gone(error, &shell),
    };
    request.call.notes().page(page.lines.len());
    if view.other("download").is_some() {
        let file_name = export::file_name(&organisation.id, &page, export::part(&view), name);
        return Ok(attachment(format.media_type(), &file_name, format.preamble() + &page.shown.concat()));
    }
    let export = ExportPage::of(&view, &page_request, &page, (format, name), &organisation.id);
    Ok(ui::page(export.render(&shell)))
}

/// A file to be kept. Its name has nothing in it that a header would have to escape.
fn attachment(media_type: &'static str, name: &str, content: String) -> Response {
    let mut response = ([(header::CONTENT_TYPE, media_type)], content).into_response();
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")).ok();
    response.headers_mut().extend(disposition.map(|disposition| (header::CONTENT_DISPOSITION, disposition)));
    response
}
