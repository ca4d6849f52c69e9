//! The console function: the organisation's page behind API Gateway.

use annals_api::gateway;
use annals_console::{Console, router};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    gateway::run(Console::from_environment, router).await
}
