//! Advice: what to change to remedy a failure. `Display` writes it as one line of text, as the API and the status show
//! it; the console renders the parts.

use std::{fmt, ops::Add};

use serde::{Deserialize, Serialize};

use super::policy::{Condition, Policy, Statement};

/// What to change to remedy a failure.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Advice {
    /// The introduction to the steps, or everything if there are no steps. Can be empty.
    pub lead: Prose,
    /// What to check or change, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Prose>,
}

/// Text with code and policies in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prose(pub Vec<Span>);

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Span {
    Text(String),
    /// A command, a name or a part of a policy.
    Code(String),
    /// A whole policy to copy.
    Policy(Snippet),
}

/// A policy to copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snippet {
    pub kind: SnippetKind,
    pub policy: Policy,
}

/// Where a policy belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SnippetKind {
    /// The role's trust policy.
    Trust,
    /// A permission policy of the role.
    Permission,
    /// A permission policy of the role, for the bucket's KMS key.
    KmsPermission,
    /// The bucket's policy.
    Bucket,
}

impl SnippetKind {
    /// Returns a heading for the policy.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Trust => "Trust policy",
            Self::Permission => "Permission policy",
            Self::KmsPermission => "Permission policy for the KMS key",
            Self::Bucket => "Bucket policy",
        }
    }
}

impl Advice {
    #[must_use]
    pub fn new(lead: impl Into<Prose>, steps: impl Into<Vec<Prose>>) -> Self {
        Self { lead: lead.into(), steps: steps.into() }
    }

    /// Returns all policies in it, in order.
    pub fn snippets(&self) -> impl Iterator<Item = &Snippet> {
        std::iter::once(&self.lead).chain(&self.steps).flat_map(|prose| &prose.0).filter_map(|span| match span {
            Span::Policy(snippet) => Some(snippet),
            Span::Text(_) | Span::Code(_) => None,
        })
    }
}

impl From<Prose> for Advice {
    fn from(lead: Prose) -> Self {
        Self { lead, steps: Vec::new() }
    }
}

impl From<String> for Advice {
    fn from(lead: String) -> Self {
        Prose::from(lead).into()
    }
}

impl From<&str> for Advice {
    fn from(lead: &str) -> Self {
        Prose::from(lead).into()
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lead.fmt(f)?;
        for (index, step) in self.steps.iter().enumerate() {
            let separator = if index == 0 && self.lead.0.is_empty() { "" } else { " " };
            write!(f, "{separator}({}) {step}", index + 1)?;
        }
        Ok(())
    }
}

impl fmt::Display for Prose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|span| match span {
            Span::Text(text) | Span::Code(text) => f.write_str(text),
            Span::Policy(snippet) => snippet.policy.fmt(f),
        })
    }
}

impl<T: Into<Prose>> Add<T> for Prose {
    type Output = Self;

    fn add(mut self, other: T) -> Self {
        for span in other.into().0 {
            match (self.0.last_mut(), span) {
                (Some(Span::Text(text)), Span::Text(more)) => text.push_str(&more),
                (_, span) => self.0.push(span),
            }
        }
        self
    }
}

impl From<String> for Prose {
    fn from(text: String) -> Self {
        Self(if text.is_empty() { Vec::new() } else { vec![Span::Text(text)] })
    }
}

impl From<&str> for Prose {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Span> for Prose {
    fn from(span: Span) -> Self {
        Self(vec![span])
    }
}

impl From<Condition> for Prose {
    fn from(condition: Condition) -> Self {
        code(condition)
    }
}

impl From<Statement> for Prose {
    fn from(statement: Statement) -> Self {
        code(statement)
    }
}

/// Returns `text` as code.
pub(super) fn code(text: impl fmt::Display) -> Prose {
    Span::Code(text.to_string()).into()
}

/// Returns `policy` as a policy to copy.
pub(super) fn snippet(kind: SnippetKind, policy: Policy) -> Prose {
    Span::Policy(Snippet { kind, policy }).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_one_line_of_text_and_survives_storage() {
        let trust = Policy::trust("aws", "111122223333", "annals-7f3kq9");
        let paste = Prose::from("Paste ") + snippet(SnippetKind::Trust, trust) + ". Or run " + code("aws help") + ".";
        let advice = Advice::new("In this order:", [Prose::from("Look") + " at it.", paste]);
        insta::assert_snapshot!(advice, @r#"In this order: (1) Look at it. (2) Paste {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"annals-7f3kq9"}}}]}. Or run aws help."#);
        assert_eq!(advice.snippets().map(|snippet| snippet.kind.label()).collect::<Vec<_>>(), ["Trust policy"]);
        let stored = serde_json::to_string(&advice).unwrap();
        insta::assert_snapshot!(stored, @r#"{"lead":[{"text":"In this order:"}],"steps":[[{"text":"Look at it."}],[{"text":"Paste "},{"policy":{"kind":"trust","policy":{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"annals-7f3kq9"}}}]}}},{"text":". Or run "},{"code":"aws help"},{"text":"."}]]}"#);
        assert_eq!(serde_json::from_str::<Advice>(&stored).unwrap(), advice);
        insta::assert_snapshot!(Advice::new("", [Prose::from("One."), Prose::from("Two.")]), @"(1) One. (2) Two.");
    }
}
