//! The test-connection function: one route, `POST …/destinations/{destination}/test`. It is a function of its own
//! because it, unlike the API, may assume customers' roles.

use std::sync::Arc;

use annals_api::{
    Api,
    call::{self, Call},
    problem::Problem,
    routes::ADMINISTRATORS,
    with_fallbacks,
};
use annals_aws::{
    s3::{S3ObjectSink, SinkPatience},
    settings::{self, SettingError},
};
use annals_core::delivery::{sink::ObjectSink, try_out::TEST_OBJECT_NAME};
use axum::{
    Router,
    extract::{FromRef, State},
    response::Response,
    routing::post,
};
use http::StatusCode;
use serde_json::json;

/// What the route is answered with.
#[derive(Debug, Clone)]
pub struct TestConnection {
    /// Callers, organisations and destinations.
    pub api: Api,
    /// Where the test object is put.
    pub sink: Arc<dyn ObjectSink>,
    /// The test object's name.
    pub object_name: String,
}

impl FromRef<TestConnection> for Api {
    fn from_ref(state: &TestConnection) -> Self {
        state.api.clone()
    }
}

impl TestConnection {
    /// The function that the environment describes: what [`Api::from_environment`] needs, and `TEST_OBJECT_NAME`.
    ///
    /// # Errors
    /// Where a variable is missing or makes no sense.
    pub fn from_environment(config: &aws_config::SdkConfig) -> Result<Self, SettingError> {
        let api = Api::from_environment(config)?;
        let sink = Arc::new(S3ObjectSink::with_patience(config, Arc::clone(&api.clock), SinkPatience::interactive()));
        Ok(Self { api, sink, object_name: settings::or("TEST_OBJECT_NAME", TEST_OBJECT_NAME) })
    }
}

/// The function's routes.
pub fn router(state: TestConnection) -> Router {
    with_fallbacks(routes()).with_state(state)
}

/// The route alone, to be joined with others.
pub fn routes() -> Router<TestConnection> {
    Router::new().route("/organisations/{organisation}/destinations/{destination}/test", post(test))
}

/// `POST …/destinations/{destination}/test`: tries the destination and says, step by step, what works and what does not.
async fn test(State(state): State<TestConnection>, call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let id = call.parsed("destination")?;
    let report = state
        .api
        .administration
        .test_destination(&*state.sink, &state.object_name, &organisation, &id, &call.actor())
        .await?;
    let body = json!({
        "outcome": if report.passed { "passed" } else { "failed" },
        "testedAt": report.tested_at,
        "key": report.key,
        "steps": report.steps,
    });
    Ok(call::json(StatusCode::OK, &body))
}
