//! `GET /openapi.json`: the API's own as it was when the program was built.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde_json::{Map, Value};

use annals_http::{
    Services, call,
    operation::{Access, Method, Operation, Operations, Tag},
};

/// It changes with a deployment only: an hour late is early enough, and no validator is needed.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=3600");

pub(crate) fn operations<O: Operations<Services>>(to: O) -> O {
    to.operation(Method::Get, "/openapi.json", show, || {
        Operation::new(Tag::Service, Access::Anyone, "getOpenapi", "This description")
            .answers::<OpenApi>(200, "OpenAPI 3.1.")
            .with_header::<String>("Cache-Control", "May be kept for an hour.")
    })
}

/// An OpenAPI document (<https://spec.openapis.org/oas/v3.1.1>).
#[derive(Debug, JsonSchema)]
pub struct OpenApi {
    /// The version of OpenAPI.
    #[schemars(regex(pattern = r"^3\.1\.\d+$"))]
    pub openapi: String,
    /// What it describes.
    pub info: Map<String, Value>,
    /// The operations, by path and method.
    pub paths: Map<String, Value>,
}

/// The committed file.
pub async fn show() -> Response {
    let mut response = call::answer(StatusCode::OK, "application/json", crate::DOCUMENT.to_owned());
    response.headers_mut().insert(header::CACHE_CONTROL, CACHE);
    response
}
