//! The connection test of a destination. It takes the same steps as a delivery and reports each, so that its result says
//! what to fix.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Region,
    advice::{Advice, Prose},
    failure::{Failure, FailureCode},
    policy::Condition,
    sink::{Call, Existing, Object, ObjectSink, Reason, SinkError, Target},
};
use crate::{
    entropy::{self, BASE62, Entropy},
    time::Timestamp,
};

/// The name of the object that a test writes, unless the deployment sets another.
pub const TEST_OBJECT_NAME: &str = "test-wiremock-cloud-integration.txt";

/// The result of a connection test. It is stored as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionTestReport {
    /// Whether a delivery would arrive.
    pub passed: bool,
    /// All four steps, in order.
    pub steps: Vec<Step>,
    /// The key of the test object, whether or not it was written.
    pub key: String,
    pub tested_at: Timestamp,
    /// The bucket's region, if the test learnt it. It is stored with the destination, not with the result.
    #[serde(skip)]
    pub learnt_region: Option<Region>,
}

/// One step of a connection test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub name: StepName,
    pub outcome: StepOutcome,
    /// What the outcome means.
    pub detail: String,
    /// What to change, if the step failed or has a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<Advice>,
    /// Set if the step failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<FailureCode>,
    /// The answer from AWS, if the step failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepName {
    /// The role can be assumed with the organisation's external id.
    AssumeRole,
    /// The role cannot be assumed with another external id.
    ExternalId,
    /// The bucket can be reached.
    ReachBucket,
    /// An object can be written.
    WriteObject,
}

impl StepName {
    /// Returns the name in the API and in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AssumeRole => "assumeRole",
            Self::ExternalId => "externalId",
            Self::ReachBucket => "reachBucket",
            Self::WriteObject => "writeObject",
        }
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepOutcome {
    Passed,
    /// It works, but should be changed.
    Warning,
    Failed,
    /// Not tested, because an earlier step failed.
    Skipped,
}

impl Step {
    fn new(name: StepName, outcome: StepOutcome, detail: impl Into<String>) -> Self {
        Self { name, outcome, detail: detail.into(), fix: None, code: None, aws: None }
    }

    fn failed(name: StepName, failure: Failure) -> Self {
        Self {
            name,
            outcome: StepOutcome::Failed,
            detail: failure.cause,
            fix: Some(failure.fix),
            code: Some(failure.code),
            aws: failure.aws,
        }
    }
}

/// Tests `target`: assumes its role, assumes it with a wrong external id, and writes the test object `name`, which
/// contains the date and time. An existing test object is replaced.
pub async fn test_connection(
    sink: &dyn ObjectSink,
    entropy: &dyn Entropy,
    now: Timestamp,
    mut target: Target,
    name: &str,
) -> ConnectionTestReport {
    use StepName::{AssumeRole, ExternalId, ReachBucket, WriteObject};
    use StepOutcome::{Passed, Skipped, Warning};
    let key = format!("{}{name}", target.prefix.as_str());
    let mut report =
        ConnectionTestReport { passed: false, steps: Vec::new(), key, tested_at: now, learnt_region: None };

    if let Err(error) = sink.assume(&target, &target.external_id).await {
        report.steps.push(Step::failed(AssumeRole, Failure::explain(&error, &target)));
        for name in [ExternalId, ReachBucket, WriteObject] {
            report.steps.push(Step::new(name, Skipped, "Not tested, because the role cannot be assumed."));
        }
        return report;
    }
    let detail = format!("The role {} can be assumed.", target.role_arn);
    report.steps.push(Step::new(AssumeRole, Passed, detail));

    let wrong = format!("annals-{}", entropy::characters(entropy, BASE62, 32));
    report.steps.push(match sink.assume(&target, &wrong).await {
        Err(error) if FailureCode::of(&error) == FailureCode::RoleNotAssumable => {
            Step::new(ExternalId, Passed, "The role refuses any other external ID.")
        }
        Err(_) => Step::new(ExternalId, Skipped, "Unknown, because AWS did not answer this step. Test again."),
        Ok(()) => {
            let fix = Prose::from(
                "Add this condition to the role's trust policy, so that nobody else can have us use your role: ",
            ) + Condition::external_id(&target.external_id)
                + ".";
            Step { fix: Some(fix.into()), ..Step::new(ExternalId, Warning, "The role accepts any external ID.") }
        }
    });

    let mut result = sink.put(&target, test_object(&report.key, now)).await;
    if let Err(error) = &result
        && let Some(region) = error.learnt_region(&target)
    {
        report.learnt_region = Some(region.clone());
        target.region = Some(region);
        result = sink.put(&target, test_object(&report.key, now)).await;
    }
    match result {
        Ok(_) => {
            report.steps.push(Step::new(ReachBucket, Passed, format!("The bucket {} exists.", target.bucket)));
            report.steps.push(Step::new(WriteObject, Passed, format!("{} was written.", report.key)));
            report.passed = true;
        }
        Err(error) if has_reached_the_bucket(&error) => {
            report.steps.push(Step::new(ReachBucket, Passed, format!("The bucket {} answers.", target.bucket)));
            report.steps.push(Step::failed(WriteObject, Failure::explain(&error, &target)));
        }
        Err(error) => {
            report.steps.push(Step::failed(ReachBucket, Failure::explain(&error, &target)));
            report.steps.push(Step::new(WriteObject, Skipped, "Not tested, because the bucket was not reached."));
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

/// Returns whether the put reached the bucket and was refused there.
fn has_reached_the_bucket(error: &SinkError) -> bool {
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
