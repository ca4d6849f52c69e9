//! The console function: the organisation's page behind API Gateway.

use annals_console::{Console, router};
use annals_http::gateway::{self, Paths};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let paths = Paths::default().and("/console").and("/console/{*rest}");
    gateway::run(Console::from_environment, router, paths).await
}
