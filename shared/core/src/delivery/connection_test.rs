//! The test of a destination: the same steps as a delivery, each told apart, so that its answer says what to mend.

use serde::Serialize;

use crate::{
    destination::Region,
    entropy::{self, BASE62, Entropy},
    time::Timestamp,
};

use super::{
    failure::{Failure, FailureCode},
    ship::learnt_region,
    sink::{Call, Existing, Object, ObjectSink, Reason, SinkError, Target},
};

/// The name of the object that a test writes, unless the deployment sets another.
pub const TEST_OBJECT_NAME: &str = "test-wiremock-cloud-integration.txt";

/// What a test found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionTestReport {
    /// Whether a delivery would arrive.
    pub passed: bool,
    /// What was tried, in order.
    pub steps: Vec<Step>,
    /// The key of the object that was written, or would have been.
    pub key: String,
    /// When.
    pub tested_at: Timestamp,
    /// Where the bucket is, where this was learnt.
    pub learnt_region: Option<Region>,
}

/// One step of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it is called: `assumeRole`, `externalId`, `reachBucket`, `writeObject`.
    pub name: &'static str,
    /// How it ended.
    pub outcome: StepOutcome,
    /// What that means.
    pub detail: String,
    /// What to change where, where something should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The failure's code, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What AWS said, where it said anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws: Option<String>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepOutcome {
    /// As it should be.
    Passed,
    /// It works, but should be better.
    Warning,
    /// It must be mended.
    Failed,
    /// Not tried, because of what failed before.
    Skipped,
}

impl Step {
    fn new(name: &'static str, outcome: StepOutcome, detail: impl Into<String>) -> Self {
        Self { name, outcome, detail: detail.into(), fix: None, code: None, aws: None }
    }

    fn failed(name: &'static str, failure: Failure) -> Self {
        Self {
            name,
            outcome: StepOutcome::Failed,
            detail: failure.cause,
            fix: Some(failure.fix),
            code: Some(failure.code.as_str()),
            aws: failure.aws,
        }
    }
}

/// Tries `target`: assumes its role, assumes it with a wrong external id, and writes the test object `name`, which holds
/// the date and time, over any earlier one.
pub async fn test_connection(
    sink: &dyn ObjectSink,
    entropy: &dyn Entropy,
    now: Timestamp,
    mut target: Target,
    name: &str,
) -> ConnectionTestReport {
    use StepOutcome::{Passed, Skipped, Warning};
    const NOT_TRIED: &str = "Not tried, because the role cannot be assumed.";
    let key = format!("{}{name}", target.prefix.as_str());
    let mut report =
        ConnectionTestReport { passed: false, steps: Vec::new(), key, tested_at: now, learnt_region: None };

    if let Err(error) = sink.assume(&target, &target.external_id).await {
        report.steps.push(Step::failed("assumeRole", Failure::explain(&error, &target)));
        for name in ["externalId", "reachBucket", "writeObject"] {
            report.steps.push(Step::new(name, Skipped, NOT_TRIED));
        }
        return report;
    }
    let detail = format!("The role {} can be assumed.", target.role_arn);
    report.steps.push(Step::new("assumeRole", Passed, detail));

    let wrong = format!("annals-{}", entropy::characters(entropy, BASE62, 32));
    report.steps.push(match sink.assume(&target, &wrong).await {
        Err(error) if FailureCode::of(&error) == FailureCode::RoleNotAssumable => {
            Step::new("externalId", Passed, "The role refuses any other external ID.")
        }
        Err(_) => Step::new("externalId", Skipped, "Not known, because AWS did not answer this step. Test again."),
        Ok(()) => Step {
            fix: Some(format!(
                "In the role's trust policy, add the condition \
                 {{\"StringEquals\":{{\"sts:ExternalId\":\"{}\"}}}}: it keeps others from having us use your role.",
                target.external_id
            )),
            ..Step::new("externalId", Warning, "The role accepts any external ID.")
        },
    });

    let mut result = sink.put(&target, test_object(&report.key, now)).await;
    if let Err(error) = &result
        && let Some(region) = learnt_region(error, &target)
    {
        report.learnt_region = Some(region.clone());
        target.region = Some(region);
        result = sink.put(&target, test_object(&report.key, now)).await;
    }
    match result {
        Ok(_) => {
            report.steps.push(Step::new("reachBucket", Passed, format!("The bucket {} is there.", target.bucket)));
            report.steps.push(Step::new("writeObject", Passed, format!("{} was written.", report.key)));
            report.passed = true;
        }
        Err(error) if is_about_the_object(&error) => {
            report.steps.push(Step::new("reachBucket", Passed, format!("The bucket {} answers.", target.bucket)));
            report.steps.push(Step::failed("writeObject", Failure::explain(&error, &target)));
        }
        Err(error) => {
            report.steps.push(Step::failed("reachBucket", Failure::explain(&error, &target)));
            report.steps.push(Step::new("writeObject", Skipped, "Not tried, because the bucket was not reached."));
        }
    }
    report
}

fn test_object(key: &str, now: Timestamp) -> Object {
    Object {
        key: key.to_owned(),
        content_type: "text/plain; charset=utf-8",
        content: format!("Annals tested this audit event destination at {now}.\n").into(),
        existing: Existing::Replace,
    }
}

/// Whether the bucket was reached and only the put was refused.
fn is_about_the_object(error: &SinkError) -> bool {
    let unreached = [
        FailureCode::BucketMissing,
        FailureCode::BucketNameInvalid,
        FailureCode::BucketAccessDisabled,
        FailureCode::AccountProblem,
        FailureCode::SessionDenied,
        FailureCode::WrongRegion,
    ];
    error.call == Call::PutObject
        && matches!(error.reason, Reason::Answered { .. })
        && !unreached.contains(&FailureCode::of(error))
}
