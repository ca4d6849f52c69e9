//! The API function: the router behind API Gateway.

use annals_api::{Api, gateway::behind_gateway, router};
use annals_aws::{
    dynamodb,
    settings::{self, SettingError},
    telemetry,
};
use aws_config::SdkConfig;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start_json();
    let (config, api) = start().inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    if let Err(error) = dynamodb::warm(&config, &settings::required("REGISTRY_TABLE")?).await {
        tracing::warn!(%error, "not warmed");
    }
    lambda_http::run(behind_gateway(router(api))).await
}

fn start() -> Result<(SdkConfig, Api), SettingError> {
    let config = settings::sdk_config()?;
    let api = Api::from_environment(&config)?;
    Ok((config, api))
}
