//! The event viewer: a list of the log's events, one event in full, and exports.
//!
//! - [`list`], [`filter_form`], [`timeline`]: the list, with its filter and chart
//! - [`detail`], [`diff`]: the page of one event, and what the event changed
//! - [`check`]: how to check the log without us
//! - [`export`]: filtered events as files
//! - [`values`]: the values that occur, with their counts
//! - [`query`]: the query string that all pages share
//! - [`event`], [`json`], [`text`], [`words`]: values of events, made fit to be shown
//!
//! Every page is one read of the log, and is recorded as one.

pub(crate) mod check;
mod detail;
mod diff;
mod event;
mod export;
mod filter_form;
#[cfg(test)]
mod fixtures;
mod json;
mod list;
mod query;
mod text;
mod timeline;
mod values;
mod words;
#[cfg(test)]
mod xss;

use annals_core::{audit::AuditError, log::read::PlaceError, organisation::Organisation};
use annals_http::READERS;
use axum::{Router, response::IntoResponse as _, routing::get};
use http::{HeaderValue, StatusCode, header};

use self::detail::MissingEvent;
use crate::{Console, prelude::*};

pub(crate) fn routes() -> Router<Console> {
    Router::new()
        .route("/console/events", get(list::show))
        .route("/console/events/export", get(export::show))
        .route("/console/events/values", get(values::show))
        .route(check::PATH, get(check::show))
        .route("/console/events/{uuid}", get(detail::show))
        .route("/console/events/{uuid}/json", get(detail::download))
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    [list::samples(), detail::samples(), export::samples(), values::samples(), check::samples()].concat()
}

async fn open(request: &ConsoleRequest) -> Result<(Organisation, Shell), Refusal> {
    let organisation = request.organisation(READERS).await?;
    let shell = Shell::of(request, &organisation, Section::Events);
    Ok((organisation, shell))
}

/// Responds that an event does not exist, has expired, or was lost by a restore.
///
/// # Errors
/// Returns every other error as it is.
fn not_readable(error: AuditError, shell: &Shell) -> Result<Response, Refusal> {
    match error {
        AuditError::Place(PlaceError::Unknown) => {
            Ok(ui::page_with_status(StatusCode::NOT_FOUND, MissingEvent::Unknown.render(shell)))
        }
        AuditError::Place(PlaceError::Expired { oldest }) => {
            let oldest = oldest.map(|oldest| format!("/console/events/{}", oldest.short()));
            Ok(ui::page_with_status(StatusCode::GONE, MissingEvent::Expired { oldest }.render(shell)))
        }
        AuditError::Place(PlaceError::Lost { next }) => {
            let next = next.map(|next| format!("/console/events/{}", next.short()));
            Ok(ui::page_with_status(StatusCode::GONE, MissingEvent::Lost { next }.render(shell)))
        }
        error => Err(Problem::from(error).into()),
    }
}

/// Returns a file to download. `name` contains no characters that the header would have to escape.
fn attachment(media_type: &'static str, name: &str, content: String) -> Response {
    let mut response = ([(header::CONTENT_TYPE, media_type)], content).into_response();
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")).ok();
    response.headers_mut().extend(disposition.map(|disposition| (header::CONTENT_DISPOSITION, disposition)));
    response
}
