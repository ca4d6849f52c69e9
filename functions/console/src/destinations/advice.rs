//! What to change, and where: instructions, and policies to copy.

use annals_core::{
    delivery::{failure::FailureCode, setup::Setup},
    json::quote,
};
use maud::{Markup, html};
use serde_json::Value;

use crate::ui;

/// A part of an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    Text(String),
    Code(String),
}

/// A policy to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub label: &'static str,
    pub text: String,
}

impl Policy {
    #[must_use]
    pub fn of(label: &'static str, policy: &Value) -> Self {
        Self { label, text: pretty(policy) }
    }

    /// The policy that fixes a failure, if there is one.
    #[must_use]
    pub fn for_failure(code: FailureCode, setup: &Setup) -> Option<Self> {
        match code {
            FailureCode::RoleNotAssumable => Some(Self::of("Trust policy", &setup.trust_policy)),
            FailureCode::PutDenied => Some(Self::of("Permission policy", &setup.permission_policy)),
            FailureCode::KmsDenied => Some(Self::of("Permission policy for the KMS key", &setup.kms_policy)),
            _ => None,
        }
    }
}

/// A message of AWS as a quotation.
pub(super) fn aws_message(message: &str) -> Markup {
    html! { p .hint .aws-message { "AWS answered: " q { bdi { (message) } } } }
}

/// A policy with one member per line, in the order of the examples in the AWS documentation.
pub(super) fn pretty(policy: &Value) -> String {
    let mut text = String::new();
    write(policy, 0, &mut text);
    text
}

fn write(value: &Value, depth: usize, text: &mut String) {
    const ORDER: [&str; 8] = ["Version", "Statement", "Sid", "Effect", "Principal", "Action", "Resource", "Condition"];
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    };
    let elements: Vec<(Option<&String>, &Value)> = match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().map(|(name, value)| (Some(name), value)).collect();
            members.sort_by_key(|(name, _)| {
                let place = ORDER.iter().position(|known| name.is_some_and(|name| name == known));
                place.unwrap_or(ORDER.len())
            });
            members
        }
        Value::Array(elements) => elements.iter().map(|element| (None, element)).collect(),
        _ => Vec::new(),
    };
    if elements.is_empty() {
        text.push_str(&value.to_string());
        return;
    }
    let (open, close) = if value.is_object() { ('{', '}') } else { ('[', ']') };
    text.push(open);
    for (index, (name, element)) in elements.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        line(text, depth + 1);
        if let Some(name) = name {
            text.push_str(&quote(name));
            text.push_str(": ");
        }
        write(element, depth + 1, text);
    }
    line(text, depth);
    text.push(close);
}

/// What to change where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What stands before the list.
    pub lead: Vec<Span>,
    /// The points, in order; none where there is only one thing to do.
    pub points: Vec<Vec<Span>>,
    /// What to policy.
    pub policies: Vec<Policy>,
}

impl Advice {
    /// Reads a fix as [`Failure`](annals_core::delivery::failure::Failure) words it. Where it has no policy in it, `instead`
    /// is what to policy.
    #[must_use]
    pub fn read(fix: &str, instead: Option<Policy>) -> Self {
        let mut policies = Vec::new();
        let mut parts = numbered(fix).into_iter();
        let lead = spans(parts.next().unwrap_or_default(), &mut policies);
        let points = parts.map(|part| spans(part, &mut policies)).collect();
        if policies.is_empty() {
            policies.extend(instead);
        }
        Self { lead, points, policies }
    }

    /// As HTML.
    #[must_use]
    pub fn render(&self) -> Markup {
        html! {
            @if !self.lead.is_empty() {
                p { (words(&self.lead)) }
            }
            @if !self.points.is_empty() {
                ol .points {
                    @for point in &self.points {
                        li { (words(point)) }
                    }
                }
            }
            @for policy in &self.policies {
                (ui::copyable(policy.label, &policy.text))
            }
        }
    }
}

fn words(spans: &[Span]) -> Markup {
    html! {
        @for piece in spans {
            @match piece {
                Span::Text(words) => (words),
                Span::Code(code) => code { (code) },
            }
        }
    }
}

/// What stands before `(1) `, between it and `(2) `, and so on.
fn numbered(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(&format!("({}) ", parts.len() + 1)) {
        parts.push(before.trim());
        rest = after;
    }
    parts.push(rest.trim());
    parts
}

/// `text` in spans. Each policy in it is put into `policies` instead.
fn spans(text: &str, policies: &mut Vec<Policy>) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut words = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let (before, json) = rest.split_at(start);
        words.push_str(before);
        let mut values = serde_json::Deserializer::from_str(json).into_iter::<Value>();
        let value = values.next().and_then(Result::ok);
        let end = if value.is_some() { values.byte_offset() } else { 1 };
        let (json, after) = json.split_at(end);
        match value {
            Some(policy) if policy.get("Statement").is_some() => {
                words.push_str("the policy below");
                policies.push(Policy { label: label(&policy), text: pretty(&policy) });
            }
            Some(_) => {
                spans.push(Span::Text(std::mem::take(&mut words)));
                spans.push(Span::Code(json.to_owned()));
            }
            None => words.push_str(json),
        }
        rest = after;
    }
    words.push_str(rest);
    spans.push(Span::Text(words));
    spans.retain(|piece| !matches!(piece, Span::Text(words) if words.is_empty()));
    spans
}

/// What kind of policy it is.
fn label(policy: &Value) -> &'static str {
    let text = policy.to_string();
    if text.contains("sts:AssumeRole") {
        "Trust policy"
    } else if text.contains("\"Principal\"") {
        "Bucket policy"
    } else if text.contains("kms:") {
        "Permission policy for the KMS key"
    } else {
        "Permission policy"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_become_a_list_and_policies_are_there_to_copy() {
        let fix = "In account 1, in this order: (1) Is it there? (2) Paste exactly this: {\"Version\":\"2012-10-17\",\"Statement\":[{\"Action\":\"sts:AssumeRole\"}]}. Or add {\"a\":1} to it {";
        let advice = Advice::read(fix, None);
        assert_eq!(advice.lead, [Span::Text("In account 1, in this order:".to_owned())]);
        assert_eq!(advice.points[0], [Span::Text("Is it there?".to_owned())]);
        assert_eq!(
            advice.points[1],
            [
                Span::Text("Paste exactly this: the policy below. Or add ".to_owned()),
                Span::Code("{\"a\":1}".to_owned()),
                Span::Text(" to it {".to_owned())
            ]
        );
        assert_eq!(advice.policies.len(), 1);
        assert_eq!(advice.policies[0].label, "Trust policy");
    }

    #[test]
    fn a_policy_is_written_as_people_write_it_and_means_the_same() {
        let policy = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": ["s3:PutObject", "\"\\"], "Resource": [], "Condition": {"a": {"b": 1}}}],
        });
        let text = pretty(&policy);
        assert!(
            text.starts_with("{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {\n      \"Effect\""),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Value>(&text).expect("is JSON"), policy);
    }

    #[test]
    fn whatever_is_said_is_shown() {
        for text in ["", "{", "}{", "{\"a\":", "(1) ", "(2) x", "{\"Statement\":1}{"] {
            let advice = Advice::read(text, Some(Policy { label: "x", text: String::new() }));
            assert_eq!(advice.policies.len(), 1, "{text}");
        }
    }
}
