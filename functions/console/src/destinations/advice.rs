//! What to change where, made easy to follow: numbered points become a list, and policies in it become texts to copy.

use annals_core::json::quote;
use maud::{Markup, html};
use serde_json::Value;

use crate::ui;

/// A part of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Words.
    Words(String),
    /// Something to be read letter by letter.
    Code(String),
}

/// A text to paste somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paste {
    /// What it is.
    pub label: &'static str,
    /// The text.
    pub text: String,
}

impl Paste {
    /// A policy.
    #[must_use]
    pub fn policy(label: &'static str, policy: &Value) -> Self {
        Self { label, text: pretty(policy) }
    }
}

/// A policy as people write it: with the members of its objects in the order of AWS's own examples.
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
    pub lead: Vec<Piece>,
    /// The points, in order; none where there is only one thing to do.
    pub points: Vec<Vec<Piece>>,
    /// What to paste.
    pub pastes: Vec<Paste>,
}

impl Advice {
    /// Reads a fix as [`Failure`](annals_core::delivery::failure::Failure) words it. Where it has no policy in it, `instead`
    /// is what to paste.
    #[must_use]
    pub fn read(fix: &str, instead: Option<Paste>) -> Self {
        let mut pastes = Vec::new();
        let mut parts = numbered(fix).into_iter();
        let lead = pieces(parts.next().unwrap_or_default(), &mut pastes);
        let points = parts.map(|part| pieces(part, &mut pastes)).collect();
        if pastes.is_empty() {
            pastes.extend(instead);
        }
        Self { lead, points, pastes }
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
            @for paste in &self.pastes {
                (ui::copyable(paste.label, &paste.text))
            }
        }
    }
}

fn words(pieces: &[Piece]) -> Markup {
    html! {
        @for piece in pieces {
            @match piece {
                Piece::Words(words) => (words),
                Piece::Code(code) => code { (code) },
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

/// `text` in pieces. Each policy in it is put into `pastes` instead.
fn pieces(text: &str, pastes: &mut Vec<Paste>) -> Vec<Piece> {
    let mut pieces = Vec::new();
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
                pastes.push(Paste { label: label(&policy), text: pretty(&policy) });
            }
            Some(_) => {
                pieces.push(Piece::Words(std::mem::take(&mut words)));
                pieces.push(Piece::Code(json.to_owned()));
            }
            None => words.push_str(json),
        }
        rest = after;
    }
    words.push_str(rest);
    pieces.push(Piece::Words(words));
    pieces.retain(|piece| !matches!(piece, Piece::Words(words) if words.is_empty()));
    pieces
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
        assert_eq!(advice.lead, [Piece::Words("In account 1, in this order:".to_owned())]);
        assert_eq!(advice.points[0], [Piece::Words("Is it there?".to_owned())]);
        assert_eq!(
            advice.points[1],
            [
                Piece::Words("Paste exactly this: the policy below. Or add ".to_owned()),
                Piece::Code("{\"a\":1}".to_owned()),
                Piece::Words(" to it {".to_owned())
            ]
        );
        assert_eq!(advice.pastes.len(), 1);
        assert_eq!(advice.pastes[0].label, "Trust policy");
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
            let advice = Advice::read(text, Some(Paste { label: "x", text: String::new() }));
            assert_eq!(advice.pastes.len(), 1, "{text}");
        }
    }
}
