use annals_http::prelude::*;

use super::{COMMIT, VERSION};

pub(super) struct GetHealth;

impl Endpoint<Services> for GetHealth {
    const ID: &'static str = "getHealth";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/health";
    type Access = Anyone;

    fn documentation() -> Documentation {
        Documentation::new(Tag::Service, "Check that the API answers")
            .description(
                "It says which version answers, and uses nothing else: neither the store nor the signing key. \
                 `GET /health/deep` checks those.",
            )
            .response::<Health>(200, "The API answers.")
    }

    async fn handle(_: Services, (): ()) -> Result<Response, Problem> {
        Ok(response::json(StatusCode::OK, &Health { status: "ok", version: VERSION, commit: COMMIT }))
    }
}

/// The state of the process that answers.
#[derive(Debug, Serialize, JsonSchema)]
struct Health {
    #[schemars(extend("const" = "ok"))]
    status: &'static str,
    /// The version of Annals.
    version: &'static str,
    /// The git commit that was built, or null if that is not known.
    commit: Option<&'static str>,
}
