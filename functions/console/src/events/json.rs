//! JSON for display: members keep their order, numbers keep their digits, and invisible characters are escaped.

use std::fmt;

use annals_core::{invisible, json};
use serde_json::value::RawValue;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// A string, a number, a Boolean or null, as JSON text.
    Scalar(String),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// Parses a JSON document; `None` if it is not valid. Events are nested at most 64 levels deep.
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<&RawValue>(text).ok().and_then(Self::of)
    }

    pub(super) fn string(text: &str) -> Self {
        Self::Scalar(quoted(text))
    }

    fn of(value: &RawValue) -> Option<Self> {
        let text = value.get();
        match text.as_bytes().first()? {
            b'{' => {
                let members = json::members(value)?.into_iter();
                members
                    .map(|(key, value)| Some((key.into_owned(), Self::of(value)?)))
                    .collect::<Option<_>>()
                    .map(Self::Object)
            }
            b'[' => {
                let items = serde_json::from_str::<Vec<&RawValue>>(text).ok()?;
                items.into_iter().map(Self::of).collect::<Option<_>>().map(Self::Array)
            }
            b'"' => serde_json::from_str::<String>(text).ok().map(|text| Self::string(&text)),
            _ => Some(Self::Scalar(text.to_owned())),
        }
    }

    /// Returns the member `key` of an object.
    pub(super) fn member(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(super) fn text(&self) -> Option<String> {
        let Self::Scalar(json) = self else { return None };
        serde_json::from_str(json).ok()
    }

    /// Returns the string member `key` of an object; empty if there is none.
    pub(super) fn text_of(&self, key: &str) -> String {
        self.member(key).and_then(Self::text).unwrap_or_default()
    }

    /// Returns whether it is null, or an array or object without elements.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(json) => json == "null",
            Self::Array(items) => items.is_empty(),
            Self::Object(members) => members.is_empty(),
        }
    }

    /// Formats it with one value per line, indented.
    pub(super) fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, Some(0));
        out
    }

    fn write(&self, out: &mut String, level: Option<usize>) {
        let (open, close) = match self {
            Self::Scalar(json) => return out.push_str(json),
            Self::Array(_) => ('[', ']'),
            Self::Object(_) => ('{', '}'),
        };
        out.push(open);
        let inner = level.map(|level| level + 1);
        let mut separator = "";
        let mut line = |out: &mut String| {
            out.push_str(separator);
            break_line(out, inner);
            separator = if inner.is_some() { "," } else { ", " };
        };
        match self {
            Self::Scalar(_) => {}
            Self::Array(items) => {
                for item in items {
                    line(out);
                    item.write(out, inner);
                }
            }
            Self::Object(members) => {
                for (key, value) in members {
                    line(out);
                    out.push_str(&quoted(key));
                    out.push_str(": ");
                    value.write(out, inner);
                }
            }
        }
        if !self.is_empty() {
            break_line(out, level);
        }
        out.push(close);
    }
}

fn break_line(out: &mut String, level: Option<usize>) {
    if let Some(level) = level {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", level));
    }
}

/// On one line.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(&mut out, None);
        f.write_str(&out)
    }
}

/// Returns a JSON string with invisible characters escaped.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for (character, hidden) in invisible::characters(&json::quote(text)) {
        if hidden {
            let mut units = [0; 2];
            out.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_digits_are_kept_and_invisible_characters_are_escaped() {
        let text = r#"{"b":[1.50,12345678901234567890123,[]],"a":{"é\u202e":"\u0000x","n":null,"o":{}}}"#;
        let node = Node::parse(text).unwrap();
        assert_eq!(
            node.to_string(),
            r#"{"b": [1.50, 12345678901234567890123, []], "a": {"é\u202e": "\u0000x", "n": null, "o": {}}}"#
        );
        assert_eq!(
            node.pretty(),
            "{\n  \"b\": [\n    1.50,\n    12345678901234567890123,\n    []\n  ],\n  \"a\": {\n    \"é\\u202e\": \
             \"\\u0000x\",\n    \"n\": null,\n    \"o\": {}\n  }\n}"
        );
        assert_eq!(Node::parse(&node.pretty()), Some(node));
        assert_eq!(Node::parse("{\"a\":"), None);
    }
}
