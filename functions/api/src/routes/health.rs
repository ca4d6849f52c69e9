//! `GET /health`: whether the function answers. It asks nothing of the store, so that it costs nothing.

use axum::response::Response;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use annals_http::{
    Services, call,
    operation::{Access, Method, Operation, Operations, Tag},
};

pub(crate) fn operations<O: Operations<Services>>(to: O) -> O {
    to.operation(Method::Get, "/health", show, || {
        Operation::new(Tag::Service, Access::Anyone, "getHealth", "Whether the API answers")
            .details("It asks nothing of the store behind it.")
            .answers::<Health>(200, "It answers.")
    })
}

/// That the API answers.
#[derive(Debug, Serialize, JsonSchema)]
struct Health {
    #[schemars(extend("const" = "ok"))]
    status: &'static str,
}

/// `{"status":"ok"}`.
pub async fn show() -> Response {
    call::json(StatusCode::OK, &Health { status: "ok" })
}
