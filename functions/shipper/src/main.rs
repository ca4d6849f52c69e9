//! The shipper function. It opens no connection before its first event, because no user waits for its answer.

use annals_aws::{
    metrics::{self, CannotStart, NotDone},
    settings::{self, SettingError},
    telemetry,
};
use annals_shipper::Shipper;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start_json();
    let shipper = start().inspect_err(|error| metrics::emit(&CannotStart::because(error)))?;
    let shipper = &shipper;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        let LambdaEvent { payload, context } = event;
        metrics::within(context.request_id, async {
            let answer = shipper.handle(payload).await;
            answer.inspect_err(|error| metrics::emit(&NotDone::because(error))).map_err(lambda_runtime::Error::from)
        })
        .await
    }))
    .await
}

fn start() -> Result<Shipper, SettingError> {
    Shipper::from_environment(&settings::sdk_config()?)
}
