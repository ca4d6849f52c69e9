use annals_http::prelude::*;

pub(super) struct GetHealth;

impl Endpoint<Services> for GetHealth {
    const ID: &'static str = "getHealth";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/health";
    type Access = Anyone;

    fn documentation() -> Documentation {
        Documentation::new(Tag::Service, "Check that the API answers")
            .description("It does not use the store.")
            .response::<Health>(200, "The API answers.")
    }

    async fn handle(_: Services, (): ()) -> Result<Response, Problem> {
        Ok(response::json(StatusCode::OK, &Health { status: "ok" }))
    }
}

/// The state of the API.
#[derive(Debug, Serialize, JsonSchema)]
struct Health {
    #[schemars(extend("const" = "ok"))]
    status: &'static str,
}
