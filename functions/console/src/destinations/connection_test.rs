//! The result of a connection test: its steps, and what to change where a step failed.

use annals_core::{
    delivery::setup::Setup,
    destination::{
        Destination,
        connection_test::{ConnectionTestReport, Step, StepName, StepOutcome},
        failure::FailureCode,
        health,
    },
    time::Timestamp,
};

use super::advice::{AdviceView, Policy, aws_message};
use crate::{prelude::*, ui::Tone};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionTest {
    pub passed: bool,
    /// Whether it works as soon as the code in the test object is entered.
    pub needs_code: bool,
    /// Bucket and key of the test object.
    pub object: String,
    pub tested_at: Timestamp,
    /// Whether a later delivery had the other outcome.
    pub is_outdated: bool,
    /// Whether the destination was changed since, so that the result is of another place.
    pub is_of_another_place: bool,
    pub steps: Vec<TestStep>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestStep {
    pub title: &'static str,
    pub tone: Tone,
    pub outcome: &'static str,
    pub detail: String,
    pub advice: Option<AdviceView>,
    pub code: Option<FailureCode>,
    pub aws_message: Option<String>,
}

impl ConnectionTest {
    #[must_use]
    pub fn of(report: &ConnectionTestReport, destination: &Destination, setup: &Setup) -> Self {
        let is_proven = destination.as_wanted().proof.proven.is_some();
        let is_of_another_place = !report.is_of(&destination.wanted_place());
        let is_overtaken = destination.pending.is_none() && !health::is_current(report, destination);
        let bucket = report.place.as_ref().map_or(destination.bucket.as_str(), |place| &place.bucket);
        let passed = report.passed || (report.needs_code && is_proven);
        Self {
            passed,
            needs_code: report.needs_code && !is_proven,
            object: format!("{bucket}/{}", report.key),
            tested_at: report.tested_at,
            is_outdated: is_of_another_place || is_overtaken,
            is_of_another_place,
            steps: report.steps.iter().map(|step| TestStep::of(step, setup)).collect(),
        }
    }

    /// Writes a section with the element id `id`.
    #[must_use]
    pub fn render(&self, id: &str) -> Markup {
        let heading = format!("{id}-heading");
        let is_folded = self.is_outdated || self.steps.iter().all(|step| step.tone == Tone::Good);
        html! {
            section #(id) .notice .long .connection-test .(self.tone().class()) tabindex="-1" aria-labelledby=(heading) {
                h3 #(heading) { (self.headline()) }
                p {
                    "Tested at " (ui::time(self.tested_at)) ". "
                    @if self.passed {
                        "The test wrote the object " code { (self.object) } "."
                        @if self.is_of_another_place {
                            " The destination was changed since then."
                        } @else if self.is_outdated {
                            " A delivery has failed since then."
                        }
                    } @else if self.is_of_another_place {
                        "The destination was changed since then."
                    } @else if self.is_outdated {
                        "A delivery has succeeded since then."
                    } @else if self.needs_code {
                        "The test wrote the object " code { (self.object) } ". One more step: open it, and enter the code in it "
                        "below, under Confirm."
                    } @else {
                        "Fix the failed step, wait a minute until AWS applies the change, and test again."
                    }
                }
                @if is_folded {
                    details { summary { "Steps of the test" } (self.steps()) }
                } @else {
                    (self.steps())
                }
            }
        }
    }

    fn tone(&self) -> Tone {
        match (self.passed, self.is_outdated) {
            (_, true) => Tone::Neutral,
            (true, false) => Tone::Good,
            (false, _) if self.needs_code => Tone::Warning,
            (false, false) => Tone::Bad,
        }
    }

    fn headline(&self) -> &'static str {
        let has_warning = self.steps.iter().any(|step| step.tone == Tone::Warning);
        match (self.passed, has_warning, self.is_outdated) {
            (true, _, true) => "The last test passed",
            (false, _, true) => "The last test failed",
            (true, false, false) => "Test passed",
            (true, true, false) => "Test passed with a warning",
            (false, ..) if self.needs_code => "The connection works: confirm that the bucket is yours",
            (false, _, false) => "Test failed",
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
                            @if let Some(code) = step.code { code .hint { (code.as_str()) } }
                        }
                        p { (step.detail) }
                        @if let Some(advice) = &step.advice { (advice.render()) }
                        @if let Some(message) = &step.aws_message { (aws_message(message)) }
                    }
                }
            }
        }
    }
}

impl TestStep {
    fn of(step: &Step, setup: &Setup) -> Self {
        let title = match step.name {
            StepName::AssumeRole => "Assume the role",
            StepName::ExternalId => "Refuse other external IDs",
            StepName::ReachBucket => "Reach the bucket",
            StepName::WriteObject => "Write an object",
        };
        let (tone, outcome) = match step.outcome {
            StepOutcome::Passed => (Tone::Good, "passed"),
            StepOutcome::Warning => (Tone::Warning, "warning"),
            StepOutcome::Failed => (Tone::Bad, "failed"),
            StepOutcome::Skipped => (Tone::Neutral, "skipped"),
        };
        let policy = match step.code {
            Some(code) => Policy::for_failure(code, setup),
            None if step.outcome == StepOutcome::Warning => Some(Policy::of("Trust policy", &setup.trust_policy)),
            None => None,
        };
        let advice = step.fix.as_ref().map(|fix| AdviceView::of(fix, policy));
        Self {
            title,
            tone,
            outcome,
            detail: step.detail.clone(),
            advice,
            code: step.code,
            aws_message: step.aws.clone(),
        }
    }
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    use StepOutcome::{Failed, Passed, Skipped, Warning};

    use super::{
        fixtures::{self, delivered_after, destination, failed_after, failing},
        page::Page,
    };
    use crate::layout::{Section, Shell};

    let report = fixtures::test_report;
    let passed = report([Passed; 4], FailureCode::Unknown, "");
    let with_warning = report([Passed, Warning, Passed, Passed], FailureCode::Unknown, "");
    let no_role = report([Failed, Skipped, Skipped, Skipped], FailureCode::RoleNotAssumable, "AccessDenied");
    let denied = report([Passed, Warning, Passed, Failed], FailureCode::PutDenied, &fixtures::longest_aws_message());
    let shell = Shell::sample(Section::Destinations);
    [
        ("destinations: test passed", destination(), passed.clone(), 0),
        ("destinations: test passed with a warning", destination(), with_warning, 0),
        ("destinations: test found no role", destination(), no_role, 0),
        ("destinations: test was denied", failing(destination(), FailureCode::PutDenied, ""), denied.clone(), 2),
        ("destinations: test failed before a delivery", delivered_after(&denied), denied, 2),
        ("destinations: test passed before a failure", failed_after(&passed), passed.clone(), 2),
    ]
    .map(|(name, destination, report, deliveries)| {
        let card = fixtures::card(&destination, Some(&report), deliveries, true);
        (name, Page::of_cards(vec![card]).render(&shell))
    })
    .into()
}
