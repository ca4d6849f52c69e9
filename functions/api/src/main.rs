//! The API function: the router behind API Gateway.

use annals_api::{endpoints, router};
use annals_http::{
    Services,
    gateway::{self, Paths},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    gateway::run(Services::from_environment, router, endpoints::add(Paths::default())).await
}
