//! The test-connection function: its router behind API Gateway.

use annals_aws::{settings, telemetry};
use annals_test_connection::{TestConnection, router};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start_json();
    let config = settings::sdk_config().await;
    lambda_http::run(router(TestConnection::from_environment(&config)?)).await
}
