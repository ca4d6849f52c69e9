//! What customers have to know of the service, and which of their roles it may assume.

use std::str::FromStr;

use crate::{
    delivery::setup::TemplateUrl,
    destination::{AccountId, Region, RoleArn},
    organisation::RetentionDays,
};

/// The deployment, as its customers meet it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSettings {
    /// The account that it runs in.
    pub account: AccountId,
    /// The region that it runs in, where that is known.
    pub region: Option<Region>,
    /// Where the customers' CloudFormation template is, where it is published.
    pub template_url: Option<TemplateUrl>,
    /// How long events of new organisations are kept that ask for nothing else.
    pub default_retention: RetentionDays,
    /// The roles that it may assume.
    pub roles: RolePattern,
    /// Whether those of its own account are among them.
    pub own_roles_allowed: bool,
}

impl ServiceSettings {
    /// A service in `account`, in a region that is not known, which may assume any role of another account.
    #[must_use]
    pub fn of(account: AccountId) -> Self {
        Self {
            account,
            region: None,
            template_url: None,
            default_retention: RetentionDays::DEFAULT,
            roles: RolePattern::default(),
            own_roles_allowed: false,
        }
    }

    /// The partition that it runs in; `aws` where its region is not known.
    #[must_use]
    pub fn partition(&self) -> &'static str {
        self.region.as_ref().map_or("aws", Region::partition)
    }

    /// Passes where the service may assume `role`, as far as its own permissions go.
    ///
    /// # Errors
    /// Why not, and which role would do.
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
                "must have a name that matches {}: this service may assume no other roles",
                self.roles.as_str()
            ));
        }
        Ok(())
    }
}

/// Names of roles as an IAM policy names them behind `role/`, path included: `*` stands for any characters, `?` for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolePattern(String);

impl RolePattern {
    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the role's path and name match.
    #[must_use]
    pub fn matches(&self, role: &RoleArn) -> bool {
        let name = role.as_str().split_once(":role/").map_or("", |(_, name)| name);
        matches(self.0.as_bytes(), name.as_bytes())
    }
}

impl Default for RolePattern {
    /// Any role.
    fn default() -> Self {
        Self("*".to_owned())
    }
}

impl FromStr for RolePattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=512).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@_/*?-".contains(&byte));
        if fits { Ok(Self(text.to_owned())) } else { Err("must be a role's name; * and ? stand for any characters") }
    }
}

/// Goes back to the last `*` where something does not match, which is enough: an earlier one could take no more than it.
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
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, t) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str) -> RoleArn {
        format!("arn:aws:iam::444455556666:role/{name}").parse().unwrap()
    }

    #[test]
    fn a_pattern_matches_as_iam_matches() {
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
        let trial = ServiceSettings { own_roles_allowed: true, ..service.clone() };
        assert_eq!(trial.check_role(&"arn:aws:iam::111122223333:role/annals-put".parse().unwrap()), Ok(()));
    }
}
