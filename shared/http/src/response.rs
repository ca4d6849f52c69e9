//! Successful responses.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::problem::Problem;

/// Creates a response that is not cached.
pub fn with_body(status: StatusCode, media_type: &'static str, body: String) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Returns `value` as JSON, the members of each object in alphabetical order.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    json_as("application/json", status, value)
}

/// Returns `value` in a media type that is written as JSON.
pub fn json_as(media_type: &'static str, status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_value(value) {
        Ok(value) => with_body(status, media_type, value.to_string()),
        Err(error) => Problem::not_serialisable(&error).into_response(),
    }
}

#[must_use]
pub fn no_content() -> Response {
    with_body(StatusCode::NO_CONTENT, "application/json", String::new())
}
