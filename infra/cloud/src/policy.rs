//! IAM policy documents. Owns their grammar, and decides whether a statement applies to a request.
//! [`access`](super::access) combines the policies of a request.
//!
//! The grammar is that of the IAM User Guide, *IAM JSON policy elements reference*. What is not supported is refused when a
//! policy is stored, not ignored: `NotPrincipal`, policy variables (`${…}`), and numeric, date, IP address and set operators.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::access::Principal;

/// What a policy is attached to. It decides which elements a statement has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PolicyKind {
    /// Attached to a user or a role: no `Principal`.
    Identity,
    /// Passed to `AssumeRole` to restrict the session: no `Principal`.
    Session,
    /// A role's trust policy: a `Principal`, no `Resource`.
    Trust,
    /// A bucket's policy: a `Principal` and a `Resource`.
    Bucket,
    /// A KMS key's policy, with the same elements.
    Key,
}

/// Why a policy document is invalid. `at` is a JSON pointer into it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("policy at \"{at}\": expected {expected}")]
    Expected { at: String, expected: &'static str },
    /// Neither IAM nor this kind of policy has the element, or it is not supported.
    #[error("policy at \"{at}\": this element is not supported here")]
    UnknownElement { at: String },
    #[error("policy at \"{at}\": condition operator {operator} is not supported")]
    UnknownOperator { at: String, operator: String },
    /// The principal is not an account, a user, a role, a session or `*`.
    #[error("policy at \"{at}\": Invalid principal in policy: {principal}")]
    InvalidPrincipal { at: String, principal: String },
}

/// The values of a request's condition keys, by the key in lower case: IAM ignores the case of keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context(BTreeMap<String, String>);

impl Context {
    /// Returns the condition keys that every request has. The embedded servers use plain HTTP on one machine, but
    /// policies see a secure transport, as they would on AWS.
    pub(crate) fn of(caller: Option<&Principal>) -> Self {
        Self::default()
            .with("aws:SecureTransport", "true")
            .with_some("aws:PrincipalArn", caller.map(|caller| caller.role_arn.as_deref().unwrap_or(&caller.arn)))
            .with_some("aws:PrincipalAccount", caller.map(|caller| caller.account.as_str()))
            .with_some("aws:userid", caller.map(|caller| caller.user_id.as_str()))
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.0.insert(key.to_ascii_lowercase(), value.into());
        self
    }

    pub(crate) fn with_some(self, key: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }
}

/// A caller, in the forms in which a policy can name it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who<'a> {
    pub(crate) account: &'a str,
    /// The user's ARN, or the session's: `arn:aws:sts::…:assumed-role/…`.
    pub(crate) arn: &'a str,
    pub(crate) role_arn: Option<&'a str>,
}

/// How precisely a policy's `Principal` names the caller, from the widest to the narrowest. This decides which other
/// policies have to allow the request as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// The whole account: its identity policies decide.
    Account,
    /// The user, the role, or everyone.
    Principal,
    /// This session only.
    Session,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    statements: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    effect: Effect,
    actions: Patterns,
    resources: Option<Patterns>,
    principals: Option<Vec<PrincipalPattern>>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Patterns {
    Only(Vec<String>),
    AllBut(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PrincipalPattern {
    Anyone,
    Account(String),
    Arn(String),
    /// A service or a federated identity. No caller of the embedded cloud is one.
    Foreign,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    test: Test,
    if_exists: bool,
    key: String,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Equals,
    NotEquals,
    EqualsIgnoreCase,
    NotEqualsIgnoreCase,
    Like,
    NotLike,
    Null,
}

impl Policy {
    /// # Errors
    /// Returns the first fault in the document.
    pub(crate) fn parse(kind: PolicyKind, document: &Value) -> Result<Self, PolicyError> {
        let object = object(document, "")?;
        for (name, value) in object {
            match name.as_str() {
                "Version" if matches!(value.as_str(), Some("2012-10-17" | "2008-10-17")) => {}
                "Version" => return Err(expected("/Version", "\"2012-10-17\"")),
                "Id" => {
                    value.as_str().ok_or_else(|| expected("/Id", "a string"))?;
                }
                "Statement" => {}
                _ => return Err(PolicyError::UnknownElement { at: format!("/{name}") }),
            }
        }
        let statements = match object.get("Statement") {
            Some(Value::Array(statements)) if !statements.is_empty() => statements
                .iter()
                .enumerate()
                .map(|(index, statement)| Statement::parse(kind, statement, &format!("/Statement/{index}")))
                .collect::<Result<_, _>>()?,
            Some(statement @ Value::Object(_)) => vec![Statement::parse(kind, statement, "/Statement")?],
            _ => return Err(expected("/Statement", "a statement or an array of statements")),
        };
        Ok(Self { statements })
    }

    /// Returns how precisely the policy names the caller, or `None` if no statement with this effect applies. A statement
    /// without `Principal` is about the user or role that it is attached to: [`Reach::Principal`].
    ///
    /// `who` is `None` for a request without a signature.
    pub(crate) fn reach(
        &self,
        effect: Effect,
        who: Option<Who<'_>>,
        action: &str,
        resource: &str,
        context: &Context,
    ) -> Option<Reach> {
        self.statements
            .iter()
            .filter(|statement| statement.effect == effect)
            .filter_map(|statement| statement.reach(who, action, resource, context))
            .max()
    }
}

impl Statement {
    fn parse(kind: PolicyKind, value: &Value, at: &str) -> Result<Self, PolicyError> {
        let object = object(value, at)?;
        let has_principal = matches!(kind, PolicyKind::Trust | PolicyKind::Bucket | PolicyKind::Key);
        let has_resource = kind != PolicyKind::Trust;
        for name in object.keys() {
            match name.as_str() {
                "Sid" | "Effect" | "Action" | "NotAction" | "Condition" => {}
                "Principal" if has_principal => {}
                "Resource" | "NotResource" if has_resource => {}
                _ => return Err(PolicyError::UnknownElement { at: format!("{at}/{name}") }),
            }
        }
        if object.get("Sid").is_some_and(|sid| !sid.is_string()) {
            return Err(expected(&format!("{at}/Sid"), "a string"));
        }
        let effect = match object.get("Effect").and_then(Value::as_str) {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            _ => return Err(expected(&format!("{at}/Effect"), "\"Allow\" or \"Deny\"")),
        };
        let is_action = |text: &str| text == "*" || text.split_once(':').is_some_and(|(vendor, _)| !vendor.is_empty());
        let actions = Patterns::parse(object, at, "Action", "NotAction", is_action, "actions such as s3:PutObject")?;
        let is_resource = |text: &str| text == "*" || text.starts_with("arn:");
        let resources = if has_resource {
            Some(Patterns::parse(object, at, "Resource", "NotResource", is_resource, "ARNs, or \"*\"")?)
        } else {
            None
        };
        let principals = if has_principal {
            Some(parse_principal(object.get("Principal"), &format!("{at}/Principal"))?)
        } else {
            None
        };
        let conditions = match object.get("Condition") {
            Some(conditions) => parse_conditions(conditions, &format!("{at}/Condition"))?,
            None => Vec::new(),
        };
        Ok(Self { effect, actions, resources, principals, conditions })
    }

    fn reach(&self, who: Option<Who<'_>>, action: &str, resource: &str, context: &Context) -> Option<Reach> {
        // Action names are the only part of a policy that is compared without regard to case.
        let action_matches =
            self.actions.covers(|pattern| wildcard(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase()));
        let resource_matches =
            self.resources.as_ref().is_none_or(|resources| resources.covers(|pattern| wildcard(pattern, resource)));
        if !action_matches || !resource_matches || !self.conditions.iter().all(|condition| condition.holds(context)) {
            return None;
        }
        match &self.principals {
            None => Some(Reach::Principal),
            Some(principals) => principals.iter().filter_map(|principal| principal.reach(who)).max(),
        }
    }
}

impl Patterns {
    fn parse(
        statement: &Map<String, Value>,
        at: &str,
        only: &str,
        all_but: &str,
        is_pattern: impl Fn(&str) -> bool,
        expectation: &'static str,
    ) -> Result<Self, PolicyError> {
        let (name, value) = match (statement.get(only), statement.get(all_but)) {
            (Some(value), None) => (only, value),
            (None, Some(value)) => (all_but, value),
            _ => return Err(expected(&format!("{at}/{only}"), expectation)),
        };
        let at = format!("{at}/{name}");
        let patterns = strings(value).ok_or_else(|| expected(&at, expectation))?;
        if !patterns.iter().all(|pattern| is_pattern(pattern)) || has_variable(&patterns) {
            return Err(expected(&at, expectation));
        }
        Ok(if name == only { Self::Only(patterns) } else { Self::AllBut(patterns) })
    }

    fn covers(&self, matches: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Only(patterns) => patterns.iter().any(|pattern| matches(pattern)),
            Self::AllBut(patterns) => !patterns.iter().any(|pattern| matches(pattern)),
        }
    }
}

impl PrincipalPattern {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Anyone);
        }
        if is_account(text) {
            return Some(Self::Account(text.to_owned()));
        }
        let (service, rest) = text.strip_prefix("arn:aws:")?.split_once("::")?;
        let (account, name) = rest.split_once(':')?;
        if !is_account(account) || name.contains(['*', '?']) {
            return None;
        }
        match (service, name.split_once('/')) {
            ("iam", None) if name == "root" => Some(Self::Account(account.to_owned())),
            ("iam", Some(("user" | "role", name))) | ("sts", Some(("assumed-role", name))) if !name.is_empty() => {
                Some(Self::Arn(text.to_owned()))
            }
            _ => None,
        }
    }

    fn reach(&self, who: Option<Who<'_>>) -> Option<Reach> {
        match self {
            Self::Anyone => Some(Reach::Principal),
            Self::Account(account) => (who?.account == account).then_some(Reach::Account),
            Self::Arn(arn) => {
                let who = who?;
                if who.role_arn == Some(arn) {
                    Some(Reach::Principal)
                } else if who.arn == arn {
                    Some(if who.role_arn.is_some() { Reach::Session } else { Reach::Principal })
                } else {
                    None
                }
            }
            Self::Foreign => None,
        }
    }
}

fn parse_principal(value: Option<&Value>, at: &str) -> Result<Vec<PrincipalPattern>, PolicyError> {
    const EXPECTED: &str = "\"*\" or an object such as {\"AWS\": \"arn:aws:iam::111122223333:root\"}";
    let types = match value {
        Some(Value::String(text)) if text == "*" => return Ok(vec![PrincipalPattern::Anyone]),
        Some(Value::Object(types)) if !types.is_empty() => types,
        _ => return Err(expected(at, EXPECTED)),
    };
    let mut principals = Vec::new();
    for (name, value) in types {
        let at = format!("{at}/{name}");
        for text in strings(value).ok_or_else(|| expected(&at, EXPECTED))? {
            principals.push(match name.as_str() {
                "AWS" => PrincipalPattern::parse(&text)
                    .ok_or_else(|| PolicyError::InvalidPrincipal { at: at.clone(), principal: text.clone() })?,
                "Service" | "Federated" | "CanonicalUser" => PrincipalPattern::Foreign,
                _ => return Err(PolicyError::UnknownElement { at }),
            });
        }
    }
    Ok(principals)
}

fn parse_conditions(value: &Value, at: &str) -> Result<Vec<Condition>, PolicyError> {
    let mut conditions = Vec::new();
    for (operator, keys) in object(value, at)? {
        let at = format!("{at}/{operator}");
        let (name, if_exists) = match operator.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (operator.as_str(), false),
        };
        let test = match name {
            "StringEquals" => Test::Equals,
            "StringNotEquals" => Test::NotEquals,
            "StringEqualsIgnoreCase" | "Bool" => Test::EqualsIgnoreCase,
            "StringNotEqualsIgnoreCase" => Test::NotEqualsIgnoreCase,
            // "ArnEquals and ArnLike behave identically" (IAM User Guide), with wildcards in each part of the ARN.
            "StringLike" | "ArnLike" | "ArnEquals" => Test::Like,
            "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => Test::NotLike,
            "Null" if !if_exists => Test::Null,
            _ => return Err(PolicyError::UnknownOperator { at, operator: operator.clone() }),
        };
        for (key, value) in object(keys, &at)? {
            let at = format!("{at}/{key}");
            let values = condition_values(value).ok_or_else(|| expected(&at, "a string or an array of strings"))?;
            let is_boolean = |value: &String| matches!(value.to_ascii_lowercase().as_str(), "true" | "false");
            if matches!(name, "Null" | "Bool") && !values.iter().all(is_boolean) {
                return Err(expected(&at, "\"true\" or \"false\""));
            }
            if has_variable(&values) {
                return Err(expected(&at, "values without policy variables"));
            }
            conditions.push(Condition { test, if_exists, key: key.to_ascii_lowercase(), values });
        }
    }
    Ok(conditions)
}

impl Condition {
    fn holds(&self, context: &Context) -> bool {
        let value = context.0.get(&self.key);
        if self.test == Test::Null {
            let wanted = if value.is_none() { "true" } else { "false" };
            return self.values.iter().any(|expected| expected.eq_ignore_ascii_case(wanted));
        }
        let any = |matches: &dyn Fn(&str, &str) -> bool| {
            value.map(|value| self.values.iter().any(|expected| matches(expected, value)))
        };
        // A missing key fails positive operators and satisfies negated ones; with IfExists it satisfies both.
        match self.test {
            Test::Equals => any(&|expected, value| expected == value).unwrap_or(self.if_exists),
            Test::EqualsIgnoreCase => any(&str::eq_ignore_ascii_case).unwrap_or(self.if_exists),
            Test::Like => any(&wildcard).unwrap_or(self.if_exists),
            Test::NotEquals => !any(&|expected, value| expected == value).unwrap_or(false),
            Test::NotEqualsIgnoreCase => !any(&str::eq_ignore_ascii_case).unwrap_or(false),
            Test::NotLike => !any(&wildcard).unwrap_or(false),
            Test::Null => false,
        }
    }
}

pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether the whole `text` matches `pattern`: `*` stands for any characters, `?` for exactly one.
fn wildcard(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at_pattern, mut at_text) = (0, 0);
    // The position of the last `*` and the end of what it matched so far: where a mismatch continues.
    let mut star: Option<(usize, usize)> = None;
    while at_text < text.len() {
        match pattern.get(at_pattern) {
            Some('*') => {
                star = Some((at_pattern, at_text));
                at_pattern += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == text[at_text] => {
                at_pattern += 1;
                at_text += 1;
            }
            _ => match star {
                Some((position, matched)) => {
                    star = Some((position, matched + 1));
                    at_pattern = position + 1;
                    at_text = matched + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at_pattern..].iter().all(|rest| *rest == '*')
}

fn expected(at: &str, expected: &'static str) -> PolicyError {
    PolicyError::Expected { at: at.to_owned(), expected }
}

fn object<'a>(value: &'a Value, at: &str) -> Result<&'a Map<String, Value>, PolicyError> {
    value.as_object().ok_or_else(|| expected(at, "an object"))
}

fn strings(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(texts) if !texts.is_empty() => texts.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// Like [`strings`], and also takes booleans: for IAM, `true` is `"true"`.
fn condition_values(value: &Value) -> Option<Vec<String>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    };
    match value {
        Value::Array(values) => values.iter().map(one).collect(),
        value => one(value).map(|value| vec![value]),
    }
}

fn has_variable(patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| pattern.contains("${"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const USER: Who<'_> =
        Who { account: "111122223333", arn: "arn:aws:iam::111122223333:user/shipper", role_arn: None };
    const SESSION: Who<'_> = Who {
        account: "111122223333",
        arn: "arn:aws:sts::111122223333:assumed-role/writer/one",
        role_arn: Some("arn:aws:iam::111122223333:role/writer"),
    };

    fn identity(statement: Value) -> Policy {
        Policy::parse(PolicyKind::Identity, &json!({"Version": "2012-10-17", "Statement": statement})).unwrap()
    }

    fn trust(principal: Value, condition: Value) -> Policy {
        let document = json!({"Statement": [
            {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", "Condition": condition}]});
        Policy::parse(PolicyKind::Trust, &document).unwrap()
    }

    fn allows(policy: &Policy, action: &str, resource: &str) -> bool {
        policy.reach(Effect::Allow, Some(USER), action, resource, &Context::default()).is_some()
    }

    fn condition_holds(condition: Value, context: &Context) -> bool {
        trust(json!("*"), condition).reach(Effect::Allow, None, "sts:AssumeRole", "", context).is_some()
    }

    #[test]
    fn actions_ignore_case_and_resources_do_not() {
        let policy =
            identity(json!({"Effect": "Allow", "Action": ["s3:put*"], "Resource": "arn:aws:s3:::logs/audit/?/*"}));
        assert!(allows(&policy, "s3:PutObject", "arn:aws:s3:::logs/audit/a/b/c"));
        assert!(!allows(&policy, "s3:PutObject", "arn:aws:s3:::logs/audit/ab/c"));
        assert!(!allows(&policy, "s3:PutObject", "arn:aws:s3:::LOGS/audit/a/c"));
        assert!(!allows(&policy, "s3:GetObject", "arn:aws:s3:::logs/audit/a/c"));
    }

    #[test]
    fn not_action_and_not_resource_cover_everything_else() {
        let policy =
            identity(json!({"Effect": "Allow", "NotAction": "s3:Delete*", "NotResource": ["arn:aws:s3:::secret/*"]}));
        assert!(allows(&policy, "s3:PutObject", "arn:aws:s3:::logs/a"));
        assert!(!allows(&policy, "s3:DeleteObject", "arn:aws:s3:::logs/a"));
        assert!(!allows(&policy, "s3:PutObject", "arn:aws:s3:::secret/a"));
    }

    #[test]
    fn a_principal_is_an_account_an_arn_or_everyone() {
        let reach = |principal, who| {
            trust(principal, json!({})).reach(Effect::Allow, Some(who), "sts:AssumeRole", "", &Context::default())
        };
        assert_eq!(reach(json!({"AWS": "arn:aws:iam::111122223333:root"}), USER), Some(Reach::Account));
        assert_eq!(reach(json!({"AWS": ["444455556666", "111122223333"]}), USER), Some(Reach::Account));
        assert_eq!(reach(json!({"AWS": "444455556666"}), USER), None);
        assert_eq!(reach(json!({"AWS": USER.arn}), USER), Some(Reach::Principal));
        assert_eq!(reach(json!({"AWS": "arn:aws:iam::111122223333:role/writer"}), SESSION), Some(Reach::Principal));
        assert_eq!(reach(json!({"AWS": SESSION.arn}), SESSION), Some(Reach::Session));
        assert_eq!(reach(json!({"AWS": "*"}), SESSION), Some(Reach::Principal));
        assert_eq!(reach(json!({"Service": "lambda.amazonaws.com"}), SESSION), None);
    }

    #[test]
    fn a_missing_key_fails_positive_operators_and_satisfies_negated_ones() {
        let none = Context::default();
        let sent = Context::default().with("sts:ExternalId", "north-1");
        for (condition, without, with) in [
            (json!({"StringEquals": {"sts:ExternalId": "north-1"}}), false, true),
            (json!({"StringEquals": {"STS:externalid": ["x", "north-1"]}}), false, true),
            (json!({"StringEquals": {"sts:ExternalId": "NORTH-1"}}), false, false),
            (json!({"StringEqualsIgnoreCase": {"sts:ExternalId": "NORTH-1"}}), false, true),
            (json!({"StringLike": {"sts:ExternalId": "north-?"}}), false, true),
            (json!({"StringNotEquals": {"sts:ExternalId": "north-1"}}), true, false),
            (json!({"StringNotEquals": {"sts:ExternalId": ["a", "b"]}}), true, true),
            (json!({"StringNotLike": {"sts:ExternalId": "n*"}}), true, false),
            (json!({"StringEqualsIfExists": {"sts:ExternalId": "other"}}), true, false),
            (json!({"Null": {"sts:ExternalId": "true"}}), true, false),
            (json!({"Null": {"sts:ExternalId": false}}), false, true),
            (json!({"Bool": {"aws:SecureTransport": "false"}}), false, false),
            (json!({"StringEquals": {"sts:ExternalId": "north-1"}, "Null": {"aws:x": "true"}}), false, true),
        ] {
            assert_eq!(condition_holds(condition.clone(), &none), without, "{condition} without the key");
            assert_eq!(condition_holds(condition.clone(), &sent), with, "{condition} with the key");
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_when_the_policy_is_stored() {
        let fault = |kind, document: Value| Policy::parse(kind, &document).unwrap_err().to_string();
        let statement = |extra: Value| {
            let mut statement = json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"});
            statement.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            json!({"Statement": [statement]})
        };
        let operator = json!({"Condition": {"NumericLessThan": {"s3:max-keys": "1"}}});
        for (kind, document, says) in [
            (PolicyKind::Identity, json!([]), "policy at \"\": expected an object"),
            (
                PolicyKind::Identity,
                json!({}),
                "policy at \"/Statement\": expected a statement or an array of statements",
            ),
            (PolicyKind::Identity, json!({"Version": "2020-01-01"}), "policy at \"/Version\": expected \"2012-10-17\""),
            (
                PolicyKind::Identity,
                statement(operator),
                "policy at \"/Statement/0/Condition/NumericLessThan\": condition operator NumericLessThan is not supported",
            ),
            (
                PolicyKind::Identity,
                statement(json!({"Principal": "*"})),
                "policy at \"/Statement/0/Principal\": this element is not supported here",
            ),
            (
                PolicyKind::Bucket,
                statement(json!({"Principal": {"AWS": "arn:aws:iam::111122223333:role/*"}})),
                "policy at \"/Statement/0/Principal/AWS\": Invalid principal in policy: arn:aws:iam::111122223333:role/*",
            ),
            (
                PolicyKind::Identity,
                statement(json!({"Resource": "arn:aws:s3:::logs/${aws:username}/*"})),
                "policy at \"/Statement/0/Resource\": expected ARNs, or \"*\"",
            ),
            (
                PolicyKind::Trust,
                statement(json!({"Principal": "*"})),
                "policy at \"/Statement/0/Resource\": this element is not supported here",
            ),
        ] {
            assert_eq!(fault(kind, document), says);
        }
    }

    #[test]
    fn wildcards_match_the_whole_text() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("a*b*c", "a-b-b-c", true),
            ("?", "é", true),
            ("?", "", false),
            ("audit/*", "audit/", true),
            ("audit/*", "audit", false),
        ] {
            assert_eq!(wildcard(pattern, text), matches, "{pattern} on {text}");
        }
    }
}
