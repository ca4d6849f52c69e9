//! The test-connection function: its router behind API Gateway.

use annals_api::gateway::behind_gateway;
use annals_aws::{settings, telemetry};
use annals_test_connection::{TestConnection, router};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start_json();
    let config = settings::sdk_config().await;
    let state =
        TestConnection::from_environment(&config).inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    lambda_http::run(behind_gateway(router(state))).await
}
