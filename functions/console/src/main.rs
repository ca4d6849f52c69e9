//! The console function: the organisation's page behind API Gateway.

use annals_api::gateway::behind_gateway;
use annals_aws::{
    dynamodb,
    settings::{self, SettingError},
    telemetry,
};
use annals_console::{Console, router};
use aws_config::SdkConfig;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start_json();
    let (config, console) = start().inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    if let Err(error) = dynamodb::warm(&config, &settings::required("REGISTRY_TABLE")?).await {
        tracing::warn!(%error, "not warmed");
    }
    lambda_http::run(behind_gateway(router(console))).await
}

fn start() -> Result<(SdkConfig, Console), SettingError> {
    let config = settings::sdk_config()?;
    let console = Console::from_environment(&config)?;
    Ok((config, console))
}
