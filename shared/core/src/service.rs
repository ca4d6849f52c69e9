//! The settings of a deployment that concern its customers, and the roles that it can assume.

use std::{str::FromStr, time::Duration};

use crate::{
    brand::Brand,
    destination::{AccountId, Region, RoleArn, RolesWithoutExternalId},
    fault::Fault,
    organisation::RetentionDays,
    portal::ReturnOrigins,
    time::Timestamp,
    token::Role,
};

/// The settings of a deployment that concern its customers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSettings {
    /// The account in which it runs.
    pub account: AccountId,
    /// The region in which it runs, if known.
    pub region: Option<Region>,
    /// The URL of the published CloudFormation template for customers.
    pub template_url: Option<TemplateUrl>,
    /// The retention of new organisations that do not choose one.
    pub default_retention: RetentionDays,
    /// The roles that it can assume.
    pub roles: RolePattern,
    /// Whether it can assume roles of its own account.
    pub own_roles_allowed: bool,
    /// The tokens that people may create in the console.
    pub console_tokens: ConsoleTokens,
    /// What becomes of roles that accept any external id.
    pub roles_without_external_id: RolesWithoutExternalId,
    /// How it appears to its customers.
    pub brand: Brand,
    /// Where the console may lead back to.
    pub return_origins: ReturnOrigins,
}

impl ServiceSettings {
    /// Creates a service in `account`, in an unknown region, that can assume any role of another account.
    #[must_use]
    pub fn of(account: AccountId) -> Self {
        Self {
            account,
            region: None,
            template_url: None,
            default_retention: RetentionDays::DEFAULT,
            roles: RolePattern::default(),
            own_roles_allowed: false,
            console_tokens: ConsoleTokens::default(),
            roles_without_external_id: RolesWithoutExternalId::default(),
            brand: Brand::default(),
            return_origins: ReturnOrigins::default(),
        }
    }

    /// Returns the partition in which it runs: `aws` if its region is unknown.
    #[must_use]
    pub fn partition(&self) -> &'static str {
        self.region.as_ref().map_or("aws", Region::partition)
    }

    /// Checks whether the permissions of the service allow it to assume `role`.
    ///
    /// # Errors
    /// Returns the reason, and which role would work.
    pub fn check_role(&self, role: &RoleArn) -> Result<(), String> {
        let partition = self.partition();
        if role.partition() != partition {
            return Err(format!(
                "is a role in the partition {}, but this service runs in {partition}, and no role can be assumed from \
                 another partition: use a role and a bucket in {partition}",
                role.partition()
            ));
        }
        if !self.own_roles_allowed && role.account() == self.account.as_str() {
            return Err("is a role in the account of this service: use a role in your own account".to_owned());
        }
        if !self.roles.matches(role) {
            return Err(format!(
                "must have a name that matches {}: this service can assume no other role",
                self.roles.as_str()
            ));
        }
        Ok(())
    }
}

/// The tokens that people may create in the console. A session is short, and what it leaves behind must not last for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleTokens {
    pub max_life: TokenDays,
    pub roles: ConsoleTokenRoles,
}

/// Tokens of auditors, for at most 90 days.
impl Default for ConsoleTokens {
    fn default() -> Self {
        Self { max_life: TokenDays(90), roles: ConsoleTokenRoles(vec![Role::Auditor]) }
    }
}

impl ConsoleTokens {
    /// Checks whether a session may create a token.
    ///
    /// # Errors
    /// Returns what is wrong with the role or the expiry.
    pub fn check(&self, role: Role, expires_at: Option<Timestamp>, now: Timestamp) -> Result<(), Fault> {
        if !self.roles.contain(role) {
            return Err(Fault::at("/role", "is one whose tokens cannot be created here"));
        }
        if expires_at.is_none_or(|at| at > now.plus(self.max_life.duration())) {
            let detail = format!("must be at most {} days from now", self.max_life.0);
            return Err(Fault::at("/expiresAt", detail));
        }
        Ok(())
    }
}

/// How long a token is valid at most: 1 to 3650 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenDays(u32);

impl TokenDays {
    #[must_use]
    pub fn days(self) -> u32 {
        self.0
    }

    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(24 * 60 * 60) * self.0
    }
}

impl FromStr for TokenDays {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let days = text.parse().ok().filter(|days| (1..=3650).contains(days));
        days.map(Self).ok_or("must be a number of days from 1 to 3650")
    }
}

/// Roles without [`Role::Producer`], separated by commas, or `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleTokenRoles(Vec<Role>);

impl ConsoleTokenRoles {
    #[must_use]
    pub fn contain(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for ConsoleTokenRoles {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        let roles = text.split(',').map(|role| role.trim().parse().ok().filter(|role| *role != Role::Producer));
        roles.collect::<Option<_>>().map(Self).ok_or("must be none, auditor, admin, or both separated by a comma")
    }
}

/// A pattern for paths and names of roles, as in an IAM policy after `role/`: `*` matches any characters, `?` matches
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolePattern(String);

impl RolePattern {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn matches(&self, role: &RoleArn) -> bool {
        let name = role.as_str().split_once(":role/").map_or("", |(_, name)| name);
        matches(self.0.as_bytes(), name.as_bytes())
    }
}

impl Default for RolePattern {
    /// Matches every role.
    fn default() -> Self {
        Self("*".to_owned())
    }
}

impl FromStr for RolePattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=512).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@_/*?-".contains(&byte));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be the name of a role; * matches any characters, ? matches one")
        }
    }
}

/// Backtracks to the last `*` only. This is enough, because an earlier `*` could match nothing that the last one cannot.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, matched)) => {
                    star = Some((at, matched + 1));
                    (p, t) = (at + 1, matched + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// The URL from which CloudFormation reads a copy of `infra/customer/destination.yaml`: an `https` URL of an object in S3,
/// at most 1,024 characters (CreateStack, `TemplateURL`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateUrl(String);

impl TemplateUrl {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TemplateUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = text.len() <= 1024
            && text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty())
            && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        if fits { Ok(Self(text.to_owned())) } else { Err("must be an https URL, at most 1024 characters") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str) -> RoleArn {
        format!("arn:aws:iam::444455556666:role/{name}").parse().unwrap()
    }

    #[test]
    fn the_console_creates_short_tokens_of_the_allowed_roles() {
        let now = Timestamp::from_millis(1_795_341_600_000);
        let day = |days: u32| Some(now.plus(Duration::from_secs(86_400) * days));
        let tokens = ConsoleTokens::default();
        assert_eq!(tokens.check(Role::Auditor, day(90), now), Ok(()));
        let late = day(90).map(|at| at.plus(Duration::from_millis(1)));
        for (role, expires_at, place) in [
            (Role::Auditor, late, "/expiresAt"),
            (Role::Auditor, None, "/expiresAt"),
            (Role::Admin, day(1), "/role"),
            (Role::Producer, day(1), "/role"),
        ] {
            let fault = tokens.check(role, expires_at, now).unwrap_err();
            assert_eq!(fault.place, crate::fault::Place::Pointer(place.to_owned()), "{role:?} {expires_at:?}");
        }
        for (text, contains) in [("none", [false, false]), ("auditor", [true, false]), ("auditor, admin", [true, true])]
        {
            let roles: ConsoleTokenRoles = text.parse().unwrap();
            assert_eq!([roles.contain(Role::Auditor), roles.contain(Role::Admin)], contains, "{text}");
        }
        for text in ["", "producer", "auditor,producer", "none,admin", "Admin", "all"] {
            assert!(text.parse::<ConsoleTokenRoles>().is_err(), "{text}");
        }
        for text in ["", "0", "3651", "-1", "90 days"] {
            assert!(text.parse::<TokenDays>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_matches_like_iam() {
        for (pattern, name, expected) in [
            ("*", "path/any", true),
            ("annals-*", "annals-put", true),
            ("annals-*", "other", false),
            ("annals-*", "path/annals-put", false),
            ("*/annals-*", "a/b/annals-put", true),
            ("annals-?", "annals-1", true),
            ("annals-?", "annals-12", false),
            ("a*b*c", "aXbYbc", true),
            ("a*b*c", "aXbYbcd", false),
            ("exact", "exact", true),
            ("exact", "Exact", false),
            ("a**", "a", true),
        ] {
            assert_eq!(pattern.parse::<RolePattern>().unwrap().matches(&role(name)), expected, "{pattern} {name}");
        }
        for bad in ["", "a b", "arn:aws:iam::1:role/x", "é"] {
            assert!(bad.parse::<RolePattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_role_that_cannot_be_assumed_is_refused_with_the_reason() {
        let service = ServiceSettings {
            roles: "annals-*".parse().unwrap(),
            ..ServiceSettings::of("111122223333".parse().unwrap())
        };
        let check = |arn: &str| service.check_role(&arn.parse().unwrap());
        assert_eq!(check("arn:aws:iam::444455556666:role/annals-put"), Ok(()));
        let refused = |arn: &str| check(arn).unwrap_err();
        assert!(refused("arn:aws-cn:iam::444455556666:role/annals-put").contains("partition aws-cn"));
        assert!(refused("arn:aws:iam::111122223333:role/annals-put").contains("your own account"));
        assert!(refused("arn:aws:iam::444455556666:role/other").contains("annals-*"));
        let allowed = ServiceSettings { own_roles_allowed: true, ..service.clone() };
        assert_eq!(allowed.check_role(&"arn:aws:iam::111122223333:role/annals-put".parse().unwrap()), Ok(()));
    }

    #[test]
    fn a_template_url_is_an_https_url() {
        assert!("https://b.s3.amazonaws.com/t.yaml".parse::<TemplateUrl>().is_ok());
        for bad in ["", "https://", "http://b.s3.amazonaws.com/t.yaml", "https://b/ t", "s3://b/t"] {
            assert!(bad.parse::<TemplateUrl>().is_err(), "{bad}");
        }
    }
}
