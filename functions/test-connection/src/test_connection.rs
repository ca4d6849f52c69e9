use annals_core::{
    destination::{
        connection_test::{ConnectionTestReport, Step, StepOutcome},
        failure::FailureCode,
    },
    time::Timestamp,
};
use annals_http::prelude::*;
use annals_http::schema::Moment;

use crate::TestConnectionState;

pub(crate) struct TestConnection;

impl Endpoint<TestConnectionState> for TestConnection {
    const ID: &'static str = "testConnection";
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/organisations/{organisation}/destinations/{destination}/test";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Destinations);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Destinations, "Test a destination")
            .description(
                "Assumes the role, tries to assume it with a wrong external ID, and writes an object with the date and \
                 time, as a delivery would. Each step reports whether it works, and if not, what to change and where. If the \
                 role accepts any external ID, the object contains a code that proves the role: see `confirm`.",
            )
            .response::<ConnectionTestView<'_>>(200, "The report. Its outcome may be a failure.")
            .records(&["destination.test"])
    }

    async fn handle(state: TestConnectionState, call: Call<Organisation>) -> Result<Response, Problem> {
        let id = call.path_parameter("destination")?;
        let report = state.test(&call.organisation, &id, &call).await?;
        Ok(response::json(StatusCode::OK, &ConnectionTestView::from(&report)))
    }
}

const NEXT_STEP: &str = "Read the code in the test object, and send it to confirm within 24 hours: POST \
                         /organisations/{organisation}/destinations/{destination}/confirm with {\"code\":\"…\"}. Or add the \
                         external ID to the role's trust policy, and test again.";

/// The report of a connection test.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ConnectionTest")]
struct ConnectionTestView<'a> {
    /// Whether events are delivered. `unconfirmed`: the connection works, and the role accepts any external ID, so the code in
    /// the test object must be sent to `confirm` first.
    #[schemars(extend("enum" = ["passed", "unconfirmed", "failed"]))]
    outcome: &'static str,
    /// What to do before events are delivered. Missing unless the outcome is `unconfirmed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_step: Option<&'static str>,
    /// When the test was made.
    #[schemars(with = "Moment")]
    tested_at: Timestamp,
    /// The key of the test object.
    key: &'a str,
    /// The steps of the test in their order.
    #[schemars(length(min = 4, max = 4))]
    steps: Vec<StepView<'a>>,
}

impl<'a> From<&'a ConnectionTestReport> for ConnectionTestView<'a> {
    fn from(report: &'a ConnectionTestReport) -> Self {
        Self {
            outcome: report.outcome(),
            next_step: report.needs_code.then_some(NEXT_STEP),
            tested_at: report.tested_at,
            key: &report.key,
            steps: report.steps.iter().map(StepView::from).collect(),
        }
    }
}

/// One step of a connection test.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Step")]
struct StepView<'a> {
    /// The step's name.
    #[schemars(extend("enum" = ["assumeRole", "externalId", "reachBucket", "writeObject"]))]
    name: &'static str,
    /// The outcome. A warning: the step works, but something should be improved.
    #[schemars(with = "String", extend("enum" = ["passed", "warning", "failed", "skipped"]))]
    outcome: StepOutcome,
    /// What the outcome means.
    detail: &'a str,
    /// What to change and where. Missing if nothing has to be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
    /// The kind of failure, if the step failed. Codes do not change; new ones may be added.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// The error that AWS returned, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    aws: Option<&'a str>,
}

impl<'a> From<&'a Step> for StepView<'a> {
    fn from(step: &'a Step) -> Self {
        Self {
            name: step.name.as_str(),
            outcome: step.outcome,
            detail: &step.detail,
            fix: step.fix.as_ref().map(ToString::to_string),
            code: step.code.map(FailureCode::as_str),
            aws: step.aws.as_deref(),
        }
    }
}
