//! `POST /events`: records what a producer tells.

use annals_core::{
    event::{self, Layout},
    fault::Fault,
    log::append::{IdempotencyKey, Outcome},
};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::{
    call::{self, Call},
    problem::Problem,
    routes::PRODUCERS,
};

/// `POST /events`, `POST /organisations/{organisation}/events`: all events of the body, or none.
pub async fn record(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(PRODUCERS).await?;
    let layout = layout(call.header(header::CONTENT_TYPE))?;
    let key = call.header_bytes("idempotency-key")?.map(IdempotencyKey::parse).transpose();
    let key = key.map_err(|detail| Fault::parameter("Idempotency-Key", detail))?;
    let bodies = event::parse(&call.body, layout)?;
    let receipt = call.api.log.append(&organisation, bodies, key).await?;
    let events: Vec<Value> = receipt
        .ids()
        .map(|id| json!({"eventId": id.to_string(), "uuid": id.short(), "sequence": id.sequence()}))
        .collect();
    let mut response = call::json(StatusCode::CREATED, &json!({"events": events}));
    if receipt.outcome == Outcome::Replayed {
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn layout(content_type: Option<&str>) -> Result<Layout, Problem> {
    let essence = content_type.unwrap_or("application/json").split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/json" => Ok(Layout::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Layout::Ndjson),
        _ => Err(Problem::unsupported_media_type()),
    }
}
