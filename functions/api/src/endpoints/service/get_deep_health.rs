use annals_core::health::Check;
use annals_http::prelude::*;

use super::{COMMIT, VERSION};

pub(super) struct GetDeepHealth;

impl Endpoint<Services> for GetDeepHealth {
    const ID: &'static str = "getDeepHealth";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/health/deep";
    type Access = Platform;
    const PLATFORM: PlatformAccess = PlatformAccess::Every;

    fn documentation() -> Documentation {
        Documentation::new(Tag::Service, "Check that the API can do its work")
            .description(
                "It writes to and reads from both tables and their index, and signs a text with the signing key, as requests \
                 do. Each check takes at most 10 seconds, and all run at once. A check costs about as much as ten requests.",
            )
            .response::<DeepHealth>(200, "Everything that the API needs works.")
            .problems(&[kind::UNHEALTHY])
    }

    async fn handle(services: Services, _: Call) -> Result<Response, Problem> {
        let report = services.health.check().await;
        if let Some((name, error)) = report.first_error() {
            return Err(Problem::unhealthy(&report, name, error));
        }
        let health = DeepHealth {
            status: "ok",
            version: VERSION,
            commit: COMMIT,
            duration_ms: report.duration_ms,
            checks: report.checks.iter().map(PassedCheck::from).collect(),
        };
        Ok(response::json(StatusCode::OK, &health))
    }
}

/// The state of a deployment.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DeepHealth {
    #[schemars(extend("const" = "ok"))]
    status: &'static str,
    /// The version of Annals.
    version: &'static str,
    /// The git commit that was built, or null if that is not known.
    commit: Option<&'static str>,
    /// How long all checks took, in milliseconds.
    duration_ms: u64,
    /// The checks. A deployment that signs no checkpoints has no check of the signing key.
    checks: Vec<PassedCheck>,
}

/// A check that found no fault.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PassedCheck {
    /// What was checked: `log` and `registry` are tables, `listing` is the registry's index, `signing` is the signing key.
    name: &'static str,
    /// How long it took, in milliseconds.
    duration_ms: u64,
}

impl From<&Check> for PassedCheck {
    fn from(check: &Check) -> Self {
        Self { name: check.name, duration_ms: check.duration_ms }
    }
}
