//! The API function: the router behind API Gateway.

use annals_api::router;
use annals_http::{Services, gateway};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    gateway::run(Services::from_environment, router).await
}
