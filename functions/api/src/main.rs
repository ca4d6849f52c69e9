//! The API function: the router behind API Gateway.

use annals_api::{Api, gateway::behind_gateway, router};
use annals_aws::{settings, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start_json();
    let config = settings::sdk_config().await;
    let api = Api::from_environment(&config).inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    lambda_http::run(behind_gateway(router(api))).await
}
