//! The console function: the organisation's page behind API Gateway.

use annals_console::{Console, router};
use annals_http::gateway;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    gateway::run(Console::from_environment, router).await
}
