//! What to change, and where: instructions, and policies to copy.

use annals_core::{
    delivery::setup::Setup,
    destination::{
        advice::{Advice, Prose, Span},
        failure::FailureCode,
        policy,
    },
};

use crate::prelude::*;

/// A policy to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub label: &'static str,
    pub text: String,
}

impl Policy {
    #[must_use]
    pub fn of(label: &'static str, policy: &policy::Policy) -> Self {
        Self { label, text: policy.pretty() }
    }

    /// Returns the policy that fixes a failure, if there is one.
    #[must_use]
    pub fn for_failure(code: FailureCode, setup: &Setup) -> Option<Self> {
        match code {
            FailureCode::RoleNotAssumable | FailureCode::ExternalIdNotRequired | FailureCode::ProofLost => {
                Some(Self::of("Trust policy", &setup.trust_policy))
            }
            FailureCode::PutDenied => Some(Self::of("Permission policy", &setup.permission_policy)),
            FailureCode::KmsDenied => Some(Self::of("Permission policy for the KMS key", &setup.kms_policy)),
            _ => None,
        }
    }
}

/// Writes a message of AWS as a quotation.
pub(super) fn aws_message(message: &str) -> Markup {
    html! { p .hint .aws-message { "AWS answered: " q { bdi { (message) } } } }
}

/// Advice with its policies below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdviceView {
    advice: Advice,
    policies: Vec<Policy>,
}

impl AdviceView {
    /// `instead` is the policy to copy if the advice contains none.
    #[must_use]
    pub fn of(advice: &Advice, instead: Option<Policy>) -> Self {
        let snippets = advice.snippets().map(|snippet| Policy::of(snippet.kind.label(), &snippet.policy));
        let mut policies: Vec<Policy> = snippets.collect();
        if policies.is_empty() {
            policies.extend(instead);
        }
        Self { advice: advice.clone(), policies }
    }

    #[must_use]
    pub fn render(&self) -> Markup {
        let Advice { lead, steps } = &self.advice;
        html! {
            @if !lead.0.is_empty() {
                p { (prose(lead)) }
            }
            @if !steps.is_empty() {
                ol .points {
                    @for step in steps {
                        li { (prose(step)) }
                    }
                }
            }
            @for policy in &self.policies {
                (ui::copyable(policy.label, &policy.text))
            }
        }
    }
}

fn prose(prose: &Prose) -> Markup {
    html! {
        @for span in &prose.0 {
            @match span {
                Span::Text(text) => (text),
                Span::Code(code) => code { (code) },
                Span::Policy(_) => "the policy below",
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use annals_core::destination::advice::{Snippet, SnippetKind};

    use super::*;

    #[test]
    fn steps_become_a_list_and_policies_are_there_to_copy() {
        let trust = policy::Policy::trust("aws", "111122223333", "annals-7f3kq9");
        let snippet = Span::Policy(Snippet { kind: SnippetKind::Trust, policy: trust.clone() });
        let paste = Prose::from("Paste ") + snippet + ". Or run " + Span::Code("a < b".to_owned()) + ".";
        let view = AdviceView::of(&Advice::new("In this order:", [Prose::from("Look."), paste]), None);
        assert_eq!(view.policies, [Policy { label: "Trust policy", text: trust.pretty() }]);
        let html = view.render().into_string();
        let expected = "<p>In this order:</p><ol class=\"points\"><li>Look.</li><li>Paste the policy below. Or run \
                        <code>a &lt; b</code>.</li></ol>";
        assert!(html.starts_with(expected), "{html}");
    }

    #[test]
    fn advice_of_an_earlier_version_is_shown_with_the_policy_of_the_setup() {
        let instead = Policy { label: "x", text: "y".to_owned() };
        let view = AdviceView::of(&Advice::from("(1) Look. {"), Some(instead.clone()));
        assert_eq!(view.policies, [instead]);
        assert!(view.render().into_string().starts_with("<p>(1) Look. {</p>"));
    }
}
