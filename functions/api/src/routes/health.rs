//! `GET /health`: whether the function answers. It asks nothing of the store, so that it costs nothing.

use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use crate::call;

/// `{"status":"ok"}`.
pub async fn show() -> Response {
    call::json(StatusCode::OK, &json!({"status": "ok"}))
}
