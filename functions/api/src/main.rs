//! The API function: the router behind API Gateway.

use annals_api::{Api, gateway, router};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    gateway::run(Api::from_environment, router).await
}
