//! The test-connection function: its router behind API Gateway.

use annals_http::gateway;
use annals_test_connection::{TestConnectionState, paths, router};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    gateway::run(TestConnectionState::from_environment, router, paths()).await
}
