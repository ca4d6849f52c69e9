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

/// Advice, with a policy to copy below it if it contains none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdviceView {
    advice: Advice,
    instead: Option<Policy>,
}

impl AdviceView {
    /// `instead` is the policy to copy if the advice contains none.
    #[must_use]
    pub fn of(advice: &Advice, instead: Option<Policy>) -> Self {
        Self { advice: advice.clone(), instead: instead.filter(|_| advice.snippets().next().is_none()) }
    }

    #[must_use]
    pub fn render(&self) -> Markup {
        let Advice { lead, steps } = &self.advice;
        html! {
            @if !lead.0.is_empty() {
                p { (prose(lead)) }
                (blocks(lead))
            }
            @if !steps.is_empty() {
                ol .points {
                    @for step in steps {
                        li { (prose(step)) (blocks(step)) }
                    }
                }
            }
            @if let Some(policy) = &self.instead {
                (ui::copyable(policy.label, &policy.text))
            }
        }
    }
}

/// Returns whether a code is a command for a terminal.
fn is_command(code: &str) -> bool {
    code.starts_with("aws ")
}

/// Writes the text. Policies and commands, which are there to be copied, follow below it.
fn prose(prose: &Prose) -> Markup {
    let mut commands = 0;
    html! {
        @for (index, span) in prose.0.iter().enumerate() {
            @match span {
                Span::Text(text) => {
                    @match prose.0.get(index + 1) {
                        // What a colon announces is not here.
                        Some(Span::Code(code)) if is_command(code) => (text.strip_suffix(": ").map_or(text.clone(), |text| text.to_owned() + " ")),
                        _ => (text),
                    }
                },
                Span::Code(code) if is_command(code) => {
                    @if commands == 0 { "the command below" } @else { "the next command below" }
                    @let () = commands += 1;
                },
                Span::Code(code) => code { (code) },
                Span::Policy(_) => "the policy below",
            }
        }
    }
}

/// Writes the policies and the commands of the text as blocks to copy, in its order.
fn blocks(prose: &Prose) -> Markup {
    html! {
        @for span in &prose.0 {
            @match span {
                Span::Policy(snippet) => (ui::copyable(snippet.kind.label(), &snippet.policy.pretty())),
                Span::Code(command) if is_command(command) => {
                    @let name: Vec<&str> = command.split(' ').take(3).collect();
                    (ui::copyable(&name.join(" "), command))
                },
                Span::Code(_) | Span::Text(_) => {},
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use annals_core::destination::advice::{Snippet, SnippetKind};

    use super::*;

    #[test]
    fn steps_become_a_list_and_policies_and_commands_are_there_to_copy() {
        let trust = policy::Policy::trust("aws", "111122223333", "annals-7f3kq9");
        let snippet = Span::Policy(Snippet { kind: SnippetKind::Trust, policy: trust });
        let command = Span::Code("aws iam get-role --role-name a<b".to_owned());
        let paste =
            Prose::from("Paste ") + snippet + ". Or run: " + command + ". See " + Span::Code("c < d".to_owned()) + ".";
        let instead = Policy { label: "x", text: "y".to_owned() };
        let view = AdviceView::of(&Advice::new("In this order:", [Prose::from("Look."), paste]), Some(instead));
        assert_eq!(view.instead, None);
        let html = view.render().into_string();
        let expected = "<p>In this order:</p><ol class=\"points\"><li>Look.</li><li>Paste the policy below. Or run the \
                        command below. See <code>c &lt; d</code>.<figure class=\"copyable\"><figcaption>Trust \
                        policy</figcaption>";
        assert!(html.starts_with(expected), "{html}");
        assert!(html.contains("<code>aws iam get-role --role-name a&lt;b</code>"), "{html}");
    }

    #[test]
    fn advice_of_an_earlier_version_is_shown_with_the_policy_of_the_setup() {
        let instead = Policy { label: "x", text: "y".to_owned() };
        let view = AdviceView::of(&Advice::from("(1) Look. {"), Some(instead.clone()));
        assert_eq!(view.instead, Some(instead));
        assert!(view.render().into_string().starts_with("<p>(1) Look. {</p>"));
    }
}
