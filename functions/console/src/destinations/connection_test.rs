//! What a test of a destination found: step by step, with what to change where, and what to paste there.

use annals_core::{
    delivery::{
        connection_test::{ConnectionTestReport, Step, StepOutcome},
        failure::FailureCode,
        setup::Setup,
    },
    destination::Destination,
    time::Timestamp,
};
use maud::{Markup, html};

use super::advice::{Advice, Paste};
use crate::ui::{self, Tone};

/// A test's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionTest {
    /// Whether a delivery would arrive.
    pub passed: bool,
    /// What was written, or would have been: bucket and key.
    pub object: String,
    /// When.
    pub tested_at: Timestamp,
    /// What was tried, in order.
    pub steps: Vec<TestStep>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestStep {
    /// What was tried.
    pub title: &'static str,
    /// How that ended, for its colour.
    pub tone: Tone,
    /// How that ended, in a word.
    pub outcome: &'static str,
    /// What that means.
    pub detail: String,
    /// What to change where.
    pub advice: Option<Advice>,
    /// What kind of failure it is.
    pub code: Option<&'static str>,
    /// What AWS said.
    pub aws: Option<String>,
}

impl ConnectionTest {
    /// What `report` says of a destination.
    #[must_use]
    pub fn of(report: &ConnectionTestReport, destination: &Destination, setup: &Setup) -> Self {
        Self {
            passed: report.passed,
            object: format!("{}/{}", destination.bucket, report.key),
            tested_at: report.tested_at,
            steps: report.steps.iter().map(|step| TestStep::of(step, setup)).collect(),
        }
    }

    /// As HTML, in a section whose ids begin with `id`.
    #[must_use]
    pub fn render(&self, id: &str) -> Markup {
        let heading = format!("{id}-heading");
        let is_plain = self.steps.iter().all(|step| step.tone == Tone::Good);
        html! {
            section #(id) .notice .long .connection-test .(if self.passed { "good" } else { "bad" }) tabindex="-1" aria-labelledby=(heading) {
                h3 #(heading) { (self.headline()) }
                @if self.passed {
                    p { code { (self.object) } " was written at " (ui::time(self.tested_at)) "." }
                } @else {
                    p {
                        "Tested at " (ui::time(self.tested_at))
                        ". Mend what failed, wait a minute for AWS to take it over, and test again."
                    }
                }
                @if is_plain {
                    details { summary { "What was tried" } (self.steps()) }
                } @else {
                    (self.steps())
                }
            }
        }
    }

    /// The result in a few words.
    #[must_use]
    pub fn headline(&self) -> &'static str {
        match (self.passed, self.steps.iter().any(|step| step.tone == Tone::Warning)) {
            (true, false) => "It works",
            (true, true) => "It works, but should be better",
            (false, _) => "It does not work yet",
        }
    }

    fn steps(&self) -> Markup {
        html! {
            ol .steps {
                @for step in &self.steps {
                    li {
                        p .row {
                            strong { (step.title) }
                            (ui::badge(step.tone, step.outcome))
                            @if let Some(code) = step.code { code .hint { (code) } }
                        }
                        p { (step.detail) }
                        @if let Some(advice) = &step.advice { (advice.render()) }
                        @if let Some(aws) = &step.aws { (said(aws)) }
                    }
                }
            }
        }
    }
}

/// What AWS said.
pub(super) fn said(aws: &str) -> Markup {
    html! { p .hint .said { "AWS said: " q { bdi { (aws) } } } }
}

impl TestStep {
    fn of(step: &Step, setup: &Setup) -> Self {
        let title = match step.name {
            "assumeRole" => "Assume the role",
            "externalId" => "Refuse any other external ID",
            "reachBucket" => "Reach the bucket",
            "writeObject" => "Write an object",
            name => name,
        };
        let (tone, outcome) = match step.outcome {
            StepOutcome::Passed => (Tone::Good, "passed"),
            StepOutcome::Warning => (Tone::Warning, "warning"),
            StepOutcome::Failed => (Tone::Bad, "failed"),
            StepOutcome::Skipped => (Tone::Neutral, "skipped"),
        };
        let paste = match step.code {
            Some(code) => paste_for(FailureCode::named(code), setup),
            None if step.outcome == StepOutcome::Warning => Some(Paste::policy("Trust policy", &setup.trust_policy)),
            None => None,
        };
        let advice = step.fix.as_ref().map(|fix| Advice::read(fix, paste));
        Self { title, tone, outcome, detail: step.detail.clone(), advice, code: step.code, aws: step.aws.clone() }
    }
}

/// The policy that mends a failure, where one does and the failure's own words do not have it.
pub(super) fn paste_for(code: FailureCode, setup: &Setup) -> Option<Paste> {
    match code {
        FailureCode::RoleNotAssumable => Some(Paste::policy("Trust policy", &setup.trust_policy)),
        FailureCode::PutDenied => Some(Paste::policy("Permission policy", &setup.permission_policy)),
        FailureCode::KmsDenied => Some(Paste::policy("Permission policy for the KMS key", &setup.kms_policy)),
        _ => None,
    }
}
