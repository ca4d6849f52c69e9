use annals_http::prelude::*;
use http::{HeaderValue, header};

/// The document changes only with a deployment, so clients may keep it for an hour.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=3600");

pub(super) struct GetOpenapi;

impl Endpoint<Services> for GetOpenapi {
    const ID: &'static str = "getOpenapi";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/openapi.json";
    type Access = Anyone;

    fn documentation() -> Documentation {
        Documentation::new(Tag::Service, "Get this document")
            .description("The committed file of this deployment's version. `GET /docs` shows the same to people.")
            .response::<OpenApi>(200, "The OpenAPI 3.1 document.")
            .response_header::<String>("Cache-Control", "The document may be cached for an hour.")
    }

    async fn handle(_: Services, (): ()) -> Result<Response, Problem> {
        let mut response = response::with_body(StatusCode::OK, "application/json", crate::DOCUMENT.to_owned());
        response.headers_mut().insert(header::CACHE_CONTROL, CACHE);
        Ok(response)
    }
}

inline_schemas! {
    OpenApi = {
        "description": "An OpenAPI document (<https://spec.openapis.org/oas/v3.1.1>).",
        "type": "object",
        "required": ["openapi", "info", "paths"],
        "properties": {
            "openapi": {"description": "The version of OpenAPI.", "type": "string", "pattern": r"^3\.1\.\d+$"},
            "info": {"description": "The name and version of the API.", "type": "object"},
            "paths": {"description": "The operations by path and method.", "type": "object"},
        }
    };
}
