//! The shipper function.

use annals_aws::{settings, telemetry};
use annals_shipper::Shipper;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start_json();
    let config = settings::sdk_config().await;
    let shipper = Shipper::from_environment(&config).inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    let shipper = &shipper;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        let answer = shipper.handle(event.payload).await;
        answer.inspect_err(|error| tracing::error!(%error, "not done")).map_err(lambda_runtime::Error::from)
    }))
    .await
}
