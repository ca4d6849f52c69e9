//! The test-connection function: `POST …/destinations/{destination}/test`, and the button "Test" of the organisation's page.
//! It is a function of its own because it, unlike the API and the page, may assume customers' roles.

mod page;

use std::sync::Arc;

use annals_aws::{
    s3::{S3ObjectSink, SinkPatience},
    settings::{self, SettingError},
};
use annals_console::Console;
use annals_core::{
    delivery::{
        connection_test::{ConnectionTestReport, Step, StepOutcome, TEST_OBJECT_NAME},
        sink::ObjectSink,
    },
    destination::DestinationId,
    organisation::Organisation,
    time::Timestamp,
};
use annals_http::{
    ADMINISTRATORS, Services,
    call::{self, Call},
    console::protected,
    operation::{Access, Method, Operation, Operations, Tag},
    problem::Problem,
    schema::Moment,
    with_fallbacks,
};
use axum::{
    Router,
    extract::{FromRef, State},
    response::Response,
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

/// What the route is answered with.
#[derive(Debug, Clone)]
pub struct TestConnection {
    /// Callers, organisations and destinations, and the page that shows what a test found.
    pub console: Console,
    /// Where the test object is put.
    pub sink: Arc<dyn ObjectSink>,
    /// The test object's name.
    pub object_name: String,
}

impl FromRef<TestConnection> for Services {
    fn from_ref(state: &TestConnection) -> Self {
        state.console.api.clone()
    }
}

impl FromRef<TestConnection> for Console {
    fn from_ref(state: &TestConnection) -> Self {
        state.console.clone()
    }
}

impl TestConnection {
    /// The function that the environment describes: what [`Console::from_environment`] needs, and `TEST_OBJECT_NAME`.
    ///
    /// # Errors
    /// Where a variable is missing or makes no sense.
    pub fn from_environment(config: &aws_config::SdkConfig) -> Result<Self, SettingError> {
        let console = Console::from_environment(config)?;
        let clock = Arc::clone(&console.api.clock);
        let sink = Arc::new(S3ObjectSink::with_patience(config, clock, SinkPatience::interactive()));
        Ok(Self { console, sink, object_name: settings::or("TEST_OBJECT_NAME", TEST_OBJECT_NAME) })
    }
}

impl TestConnection {
    /// Tries a destination of the caller's.
    async fn test(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        call: &Call,
    ) -> Result<ConnectionTestReport, Problem> {
        let administration = &self.console.api.administration;
        let report =
            administration.test_connection(&*self.sink, &self.object_name, organisation, id, &call.actor()).await?;
        let failed = report.steps.iter().find(|step| step.outcome == StepOutcome::Failed);
        call.notes().test(failed.and_then(|step| step.code));
        Ok(report)
    }
}

/// The function's routes.
pub fn router(state: TestConnection) -> Router {
    let api = state.console.api.clone();
    with_fallbacks(routes(&state.console), &api).with_state(state)
}

/// The routes alone, to be joined with others: the API's, and the page's.
pub fn routes(console: &Console) -> Router<TestConnection> {
    operations(Router::new()).merge(protected(page::routes(), &console.embedding))
}

/// The function's one operation.
pub fn operations<O: Operations<TestConnection>>(to: O) -> O {
    to.operation(Method::Post, "/organisations/{organisation}/destinations/{destination}/test", test, || {
        Operation::new(Tag::Destinations, Access::Roles(ADMINISTRATORS), "testConnection", "Test a destination")
            .details(
                "Assumes the role, assumes it with a wrong external ID, and writes an object with the date and time, \
                 as a delivery would. Each step says whether it works and, where not, what to change where.",
            )
            .answers::<ConnectionTestView<'_>>(200, "What works and what does not. The outcome may be a failure.")
            .leaves(&["destination.test"])
    })
}

/// `POST …/destinations/{destination}/test`: tries the destination and says, step by step, what works and what does not.
async fn test(State(state): State<TestConnection>, call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let id = call.parsed("destination")?;
    let report = state.test(&organisation, &id, &call).await?;
    Ok(call::json(StatusCode::OK, &view(&report)))
}

fn view(report: &ConnectionTestReport) -> ConnectionTestView<'_> {
    ConnectionTestView {
        outcome: if report.passed { "passed" } else { "failed" },
        tested_at: report.tested_at,
        key: &report.key,
        steps: report.steps.iter().map(step_view).collect(),
    }
}

fn step_view(step: &Step) -> StepView<'_> {
    StepView {
        name: step.name,
        outcome: step.outcome,
        detail: &step.detail,
        fix: step.fix.as_deref(),
        code: step.code,
        aws: step.aws.as_deref(),
    }
}

/// What a test found.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ConnectionTest")]
struct ConnectionTestView<'a> {
    /// Whether a delivery would arrive.
    #[schemars(extend("enum" = ["passed", "failed"]))]
    outcome: &'static str,
    /// When.
    #[schemars(with = "Moment")]
    tested_at: Timestamp,
    /// The key of the object that was written, or would have been.
    key: &'a str,
    /// What was tried, in order.
    #[schemars(length(min = 4, max = 4))]
    steps: Vec<StepView<'a>>,
}

/// One step of a test.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Step")]
struct StepView<'a> {
    /// What it is called.
    #[schemars(extend("enum" = ["assumeRole", "externalId", "reachBucket", "writeObject"]))]
    name: &'static str,
    /// How it ended. A warning: it works, but should be better.
    #[schemars(with = "String", extend("enum" = ["passed", "warning", "failed", "skipped"]))]
    outcome: StepOutcome,
    /// What that means.
    detail: &'a str,
    /// What to change where, where something should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'a str>,
    /// What kind of failure it is, where it failed. Codes do not change; new ones may be added.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// What AWS said, where it said anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    aws: Option<&'a str>,
}
