//! IAM policy documents: parsing, and whether one statement speaks about one request. Owns the grammar; which policies
//! count for a request and how they combine is [`access`](super::access)'s.
//!
//! The grammar is the IAM User Guide's, *IAM JSON policy elements reference*. What is left out is refused when a policy
//! is stored, never ignored: `NotPrincipal`, policy variables (`${…}`), numeric, date, IP address and set operators.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What a policy is attached to. It decides which elements a statement must and can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// Attached to a user or a role: no `Principal`.
    Identity,
    /// Handed to `AssumeRole` to narrow the session: no `Principal`.
    Session,
    /// A role's trust policy: a `Principal`, no `Resource`.
    Trust,
    /// A bucket's policy: a `Principal` and a `Resource`.
    Bucket,
}

/// What is wrong with a policy document. `at` is a JSON pointer into it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The value there has the wrong shape.
    #[error("policy at \"{at}\": expected {expected}")]
    Expected {
        /// Where.
        at: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// An element that IAM does not know, or that this kind of policy cannot have.
    #[error("policy at \"{at}\": this element is not known here")]
    UnknownElement {
        /// Where.
        at: String,
    },
    /// A condition operator that IAM does not know, or that is not evaluated here.
    #[error("policy at \"{at}\": condition operator {operator} is not supported")]
    UnknownOperator {
        /// Where.
        at: String,
        /// As it was written.
        operator: String,
    },
    /// A principal that is neither an account, a user, a role, a session nor `*`.
    #[error("policy at \"{at}\": Invalid principal in policy: {principal}")]
    InvalidPrincipal {
        /// Where.
        at: String,
        /// As it was written.
        principal: String,
    },
}

/// The values of the condition keys of one request, by the key in lower case: IAM does not tell cases of keys apart.
#[derive(Debug, Clone, Default)]
pub struct Context(BTreeMap<String, String>);

impl Context {
    /// No condition key has a value.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This context with one more key.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.0.insert(key.to_ascii_lowercase(), value.into());
        self
    }

    /// This context with one more key, where there is a value for it.
    #[must_use]
    pub fn with_some(self, key: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }
}

/// Who makes a request, in the forms in which a policy can name it.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// The account, 12 digits.
    pub account: &'a str,
    /// The user's ARN, or the session's (`arn:aws:sts::…:assumed-role/…`).
    pub arn: &'a str,
    /// The role behind a session.
    pub role_arn: Option<&'a str>,
}

/// How exactly a policy with a `Principal` names the caller, from the widest to the narrowest. What it says decides
/// which other policies still have to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The account as a whole: it delegates to the identity policies there.
    Account,
    /// The user, the role, or everybody.
    Principal,
    /// This one session.
    Session,
}

/// A policy whose every statement has been understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
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

/// What a statement does where it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It permits, unless anything denies.
    Allow,
    /// It forbids, whatever permits.
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
    /// A service or a federated identity: nothing here can be one.
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
    /// Understands a policy document of a kind.
    ///
    /// # Errors
    /// [`PolicyError`] for the first thing in it that is not understood.
    pub fn parse(kind: PolicyKind, document: &Value) -> Result<Self, PolicyError> {
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

    /// Whether any statement with this effect applies, and if so how exactly it names the caller. Statements without
    /// `Principal` speak about whom the policy is attached to: [`Reach::Principal`].
    ///
    /// `who` is `None` for a request that nobody signed.
    #[must_use]
    pub fn reach(
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
        let has_principal = matches!(kind, PolicyKind::Trust | PolicyKind::Bucket);
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
        // Names of actions are the only part of a policy in which case does not count.
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
            // "ArnEquals and ArnLike behave identically", and each part of an ARN is matched with wildcards.
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
        // A key without a value satisfies no positive operator and every negated one; IfExists satisfies both.
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

/// Whether the text is an account number: 12 digits.
pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether `text` matches `pattern` as a whole, in which `*` stands for any characters and `?` for exactly one.
fn wildcard(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at_pattern, mut at_text) = (0, 0);
    // Where the last `*` stands, and how far it has swallowed: what to go back to on a mismatch.
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
                Some((position, swallowed)) => {
                    star = Some((position, swallowed + 1));
                    at_pattern = position + 1;
                    at_text = swallowed + 1;
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

/// As [`strings`], and booleans: IAM takes `true` for `"true"`.
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
        policy.reach(Effect::Allow, Some(USER), action, resource, &Context::new()).is_some()
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
    fn a_principal_is_an_account_an_arn_or_everybody() {
        let reach = |principal, who| {
            trust(principal, json!({})).reach(Effect::Allow, Some(who), "sts:AssumeRole", "", &Context::new())
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
        let none = Context::new();
        let sent = Context::new().with("sts:ExternalId", "north-1");
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
    fn what_is_not_understood_is_refused_when_the_policy_is_stored() {
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
                "policy at \"/Statement/0/Principal\": this element is not known here",
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
                "policy at \"/Statement/0/Resource\": this element is not known here",
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
