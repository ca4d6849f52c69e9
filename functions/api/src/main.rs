//! The API function: the router behind API Gateway.

use annals_api::{Api, router};
use annals_aws::{settings, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start_json();
    let config = settings::sdk_config().await;
    lambda_http::run(router(Api::from_environment(&config)?)).await
}
