//! The connection test of a destination. It takes the same steps as a delivery and reports each, so that its result says
//! what to fix.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Place, PlaceName, Region,
    advice::{Advice, Prose},
    failure::{Failure, FailureCode, Withheld},
    policy::Condition,
    proof::{Challenge, Proof, RoleCheck, RolesWithoutExternalId},
    sink::{Call, Existing, Object, ObjectSink, Reason, SinkError, Stored, Target, printable},
};
use crate::time::Timestamp;

/// The name of the object that a test writes, unless the deployment sets another.
pub const TEST_OBJECT_NAME: &str = "test-wiremock-cloud-integration.txt";

/// The result of a connection test. It is stored as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionTestReport {
    /// Whether events are delivered.
    pub passed: bool,
    /// All four steps, in order.
    pub steps: Vec<Step>,
    /// The key of the test object, whether or not it was written.
    pub key: String,
    pub tested_at: Timestamp,
    /// Whether the connection works, and the code in the test object has to be entered before events are delivered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_code: bool,
    /// What was tested. `None`: an earlier version tested the place in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<PlaceName>,
    /// The bucket's region, if the test learnt it. It is stored with the destination, not with the result.
    #[serde(skip)]
    pub learnt_region: Option<Region>,
}

impl ConnectionTestReport {
    /// Returns the outcome in the API and in events.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match (self.passed, self.needs_code) {
            (true, _) => "passed",
            (false, true) => "unconfirmed",
            (false, false) => "failed",
        }
    }

    /// Returns whether it tested `place`.
    #[must_use]
    pub fn is_of(&self, place: &Place) -> bool {
        self.place.as_ref().is_none_or(|tested| *tested == PlaceName::of(place))
    }

    /// Returns whether the test object was written.
    #[must_use]
    pub fn has_written(&self) -> bool {
        self.passed || self.needs_code
    }
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

/// What a test tests.
#[derive(Debug)]
pub struct Tested<'a> {
    pub target: Target,
    /// The organisation's name, for whoever reads the test object.
    pub organisation: &'a str,
    pub check: RoleCheck,
    /// The proof after `check`.
    pub proof: &'a Proof,
    pub roles: RolesWithoutExternalId,
    /// Set if another organisation's destination has claimed the bucket or the role.
    pub taken: Option<Withheld>,
    /// The name of the test object.
    pub object_name: &'a str,
    /// The product's name, for whoever reads the test object.
    pub product: &'a str,
}

/// Reports the check of a role, and writes the test object, which contains the date and time, and the code if the role has to
/// be proven by it. An existing test object is replaced.
pub async fn test_connection(sink: &dyn ObjectSink, now: Timestamp, tested: Tested<'_>) -> ConnectionTestReport {
    use StepName::{AssumeRole, ExternalId, ReachBucket, WriteObject};
    use StepOutcome::{Passed, Skipped, Warning};
    let Tested { mut target, organisation, check, proof, roles, taken, object_name, product } = tested;
    let key = format!("{}{object_name}", target.prefix.as_str());
    let mut report = ConnectionTestReport {
        passed: false,
        steps: Vec::new(),
        key,
        tested_at: now,
        needs_code: false,
        place: Some(target.place_name()),
        learnt_region: None,
    };
    if let RoleCheck::NotAssumable(error) = &check {
        report.steps.push(Step::failed(AssumeRole, Failure::explain(error, &target)));
        for name in [ExternalId, ReachBucket, WriteObject] {
            report.steps.push(Step::new(name, Skipped, "Not tested, because the role cannot be assumed."));
        }
        return report;
    }
    let detail = format!("The role {} can be assumed.", target.role_arn);
    report.steps.push(Step::new(AssumeRole, Passed, detail));

    let is_proven = proof.proven.is_some();
    let unproven = Withheld::of(proof, roles);
    let step = match check {
        RoleCheck::RequiresExternalId => Step::new(ExternalId, Passed, "The role refuses any other external ID."),
        RoleCheck::AcceptsAnyExternalId if is_proven => {
            let fix = Prose::from(
                "Add this condition to the role's trust policy, so that nobody else can have us use your role: ",
            ) + Condition::external_id(&target.external_id)
                + ".";
            Step { fix: Some(fix.into()), ..Step::new(ExternalId, Warning, "The role accepts any external ID.") }
        }
        RoleCheck::AcceptsAnyExternalId if roles == RolesWithoutExternalId::Refuse => {
            let failure = Failure::withheld(unproven, &target);
            report.steps.push(Step::failed(ExternalId, failure));
            for name in [ReachBucket, WriteObject] {
                report.steps.push(Step::new(name, Skipped, "Not tested, because the role accepts any external ID."));
            }
            return report;
        }
        RoleCheck::AcceptsAnyExternalId => {
            let Failure { cause, fix, .. } = Failure::withheld(unproven, &target);
            Step { fix: Some(fix), ..Step::new(ExternalId, Warning, cause) }
        }
        RoleCheck::Unknown(error) if !is_proven => Step::failed(ExternalId, Failure::explain(&error, &target)),
        RoleCheck::Unknown(_) | RoleCheck::NotAssumable(_) => {
            Step::new(ExternalId, Skipped, "Unknown, because AWS did not answer this step. Test again.")
        }
    };
    report.steps.push(step);
    if let Some(taken) = taken {
        report.steps.push(Step::failed(ReachBucket, Failure::withheld(taken, &target)));
        report.steps.push(Step::new(WriteObject, Skipped, "Not tested, because it would not be delivered to."));
        return report;
    }

    let challenge = proof.challenge.as_ref().filter(|_| !is_proven);
    let object = |target: &Target| test_object(&report.key, now, [product, organisation], target, challenge);
    let mut result = replace(sink, &target, object(&target), challenge.is_none()).await;
    if let Err(error) = &result
        && let Some(region) = error.learnt_region(&target)
    {
        report.learnt_region = Some(region.clone());
        target.region = Some(region);
        result = replace(sink, &target, object(&target), challenge.is_none()).await;
    }
    match result {
        Ok(stored) => {
            report.steps.push(Step::new(ReachBucket, Passed, format!("The bucket {} exists.", target.bucket)));
            let detail = match stored {
                Stored::Now => format!("{} was written.", report.key),
                Stored::Before | Stored::Unclear => {
                    format!("The role may write {}. An earlier one is there, which it may not replace.", report.key)
                }
            };
            report.steps.push(Step::new(WriteObject, Passed, detail));
            report.passed = is_proven;
            report.needs_code = challenge.is_some();
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

/// Puts the test object, and replaces an earlier one. If that is denied, puts it as events are put: a policy that protects the events
/// below one prefix denies replacing what is below another one. `keeps` says whether an earlier object is as good.
async fn replace(sink: &dyn ObjectSink, target: &Target, object: Object, keeps: bool) -> Result<Stored, SinkError> {
    let denied = match sink.put(target, object.clone()).await {
        Err(error) if is_denied(&error) => error,
        result => return result,
    };
    match sink.put(target, Object { existing: Existing::Keep, ..object }).await {
        Ok(Stored::Before | Stored::Unclear) if !keeps => Err(denied),
        Err(error) if is_denied(&error) => Err(denied),
        result => result,
    }
}

fn is_denied(error: &SinkError) -> bool {
    error.call == Call::PutObject
        && matches!(&error.reason, Reason::Answered { status: 403, code, .. } if code == "AccessDenied")
}

/// Returns the test object. It says which organisation a code is for, because whoever reads it may not be the one who asked
/// for the test: anybody can name a bucket.
fn test_object(
    key: &str,
    now: Timestamp,
    [product, organisation]: [&str; 2],
    target: &Target,
    challenge: Option<&Challenge>,
) -> Object {
    let mut content = format!("{product} tested this audit event destination at {now}.\n");
    if let Some(challenge) = challenge {
        content += &format!(
            "\nCode: {}\n\nThis code allows the organisation \"{}\" (id {}) to send its audit events to this bucket. If that is \
             your organisation, enter the code on its page Audit Events under Confirm, within 24 hours. If it is not, do not \
             give the code to anybody, and limit the role {} to the external ID of your own organisation.\n",
            challenge.shown(),
            printable(organisation, 200),
            target.organisation,
            target.role_arn,
        );
    }
    Object {
        key: key.to_owned(),
        content_type: "text/plain; charset=utf-8",
        content: content.into(),
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
