//! Whether a request is allowed. Owns how policies combine, and the reason for a refusal in AWS's words. It does not
//! know where policies are stored, and knows no protocol.
//!
//! The order is that of the IAM User Guide, *Policy evaluation logic*. An explicit deny in any policy refuses the request.
//! Within an account, the identity's or the resource's policy has to allow it; across accounts, both have to. A session policy
//! restricts both, unless the resource's policy names that session. There are no service control policies, permissions
//! boundaries or resource control policies.

use super::policy::{Context, Effect, Policy, Reach, Who};

/// A caller whose signature has been verified, with its policies.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    /// 12 digits.
    pub(crate) account: String,
    /// The user's ARN, or the session's.
    pub(crate) arn: String,
    /// What `GetCallerIdentity` calls `UserId`: `AIDA…`, or `AROA…:session`.
    pub(crate) user_id: String,
    /// The role of a session.
    pub(crate) role_arn: Option<String>,
    pub(crate) policies: Vec<Policy>,
    /// The policy that was passed to `AssumeRole`.
    pub(crate) session_policy: Option<Policy>,
}

impl Principal {
    fn who(&self) -> Who<'_> {
        Who { account: &self.account, arn: &self.arn, role_arn: self.role_arn.as_deref() }
    }
}

/// Whether the resource's policy has to allow a request from its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// It need not allow the request if the identity's policy does: buckets and queues.
    Optional,
    /// It must always allow the request: roles, whose resource policy is the trust policy, and KMS keys.
    Required,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// `None` for a request without a signature.
    pub(crate) principal: Option<&'a Principal>,
    /// Such as `s3:PutObject`.
    pub(crate) action: &'a str,
    /// An ARN.
    pub(crate) resource: &'a str,
    /// The owner of the resource, 12 digits.
    pub(crate) resource_account: &'a str,
    pub(crate) resource_policy: Option<&'a Policy>,
    pub(crate) consent: Consent,
    pub(crate) context: &'a Context,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Allowed(Grant),
    Denied(Denial),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grant {
    /// The caller's identity policy, and the resource's if both have to allow.
    Identity,
    /// The resource's policy alone.
    Resource,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    /// A `Deny` statement.
    Explicit(Source),
    /// The lack of an `Allow` statement.
    Implicit(Source),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A policy of the user or the role.
    Identity,
    /// The policy passed to `AssumeRole`.
    Session,
    /// A bucket's or a key's policy, or a role's trust policy.
    Resource,
}

impl Denial {
    /// Returns the end of AWS's message (IAM User Guide, *Troubleshoot access denied error messages*).
    pub(crate) fn because(self, action: &str) -> String {
        match self {
            Self::Implicit(Source::Identity) => format!("because no identity-based policy allows the {action} action"),
            Self::Implicit(Source::Session) => format!("because no session policy allows the {action} action"),
            Self::Implicit(Source::Resource) => format!("because no resource-based policy allows the {action} action"),
            Self::Explicit(Source::Identity) => "with an explicit deny in an identity-based policy".to_owned(),
            Self::Explicit(Source::Session) => "with an explicit deny in a session policy".to_owned(),
            Self::Explicit(Source::Resource) => "with an explicit deny in a resource-based policy".to_owned(),
        }
    }
}

impl Request<'_> {
    pub(crate) fn decide(self) -> Decision {
        let who = self.principal.map(Principal::who);
        let reach = |policy: &Policy, effect| policy.reach(effect, who, self.action, self.resource, self.context);
        let any = |policies: &[Policy], effect| policies.iter().any(|policy| reach(policy, effect).is_some());
        let identity_policies = self.principal.map_or(&[] as &[Policy], |principal| &principal.policies);
        let session_policy = self.principal.and_then(|principal| principal.session_policy.as_ref());

        if any(identity_policies, Effect::Deny) {
            return Decision::Denied(Denial::Explicit(Source::Identity));
        }
        if self.resource_policy.is_some_and(|policy| reach(policy, Effect::Deny).is_some()) {
            return Decision::Denied(Denial::Explicit(Source::Resource));
        }
        if session_policy.is_some_and(|policy| reach(policy, Effect::Deny).is_some()) {
            return Decision::Denied(Denial::Explicit(Source::Session));
        }

        let identity_allows = any(identity_policies, Effect::Allow);
        let session_allows = session_policy.is_none_or(|policy| reach(policy, Effect::Allow).is_some());
        let resource_reach = self.resource_policy.and_then(|policy| reach(policy, Effect::Allow));

        let Some(principal) = self.principal else {
            return match resource_reach {
                Some(_) => Decision::Allowed(Grant::Resource),
                None => Decision::Denied(Denial::Implicit(Source::Resource)),
            };
        };
        let same_account = principal.account == self.resource_account;
        if same_account {
            match resource_reach {
                Some(Reach::Session) => return Decision::Allowed(Grant::Resource),
                Some(Reach::Principal) if session_allows => return Decision::Allowed(Grant::Resource),
                _ => {}
            }
        }
        let resource_must_allow = !same_account || self.consent == Consent::Required;
        if !identity_allows {
            Decision::Denied(Denial::Implicit(Source::Identity))
        } else if !session_allows {
            Decision::Denied(Denial::Implicit(Source::Session))
        } else if resource_must_allow && resource_reach.is_none() {
            Decision::Denied(Denial::Implicit(Source::Resource))
        } else {
            Decision::Allowed(Grant::Identity)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::policy::PolicyKind, *};

    const ACCOUNT: &str = "111122223333";
    const OTHER: &str = "444455556666";
    const OBJECT: &str = "arn:aws:s3:::logs/audit/a";

    fn policy(kind: PolicyKind, statements: Value) -> Policy {
        Policy::parse(kind, &json!({"Version": "2012-10-17", "Statement": statements})).unwrap()
    }

    fn allow(resource: &str) -> Value {
        json!([{"Effect": "Allow", "Action": "s3:PutObject", "Resource": resource}])
    }

    fn session(identity: Option<Value>, session_policy: Option<Value>) -> Principal {
        Principal {
            account: ACCOUNT.to_owned(),
            arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/writer/one"),
            user_id: "AROAEXAMPLE:one".to_owned(),
            role_arn: Some(format!("arn:aws:iam::{ACCOUNT}:role/writer")),
            policies: identity.map(|statements| policy(PolicyKind::Identity, statements)).into_iter().collect(),
            session_policy: session_policy.map(|statements| policy(PolicyKind::Session, statements)),
        }
    }

    fn bucket(effect: &str, principal: Value) -> Option<Policy> {
        let statement = json!({"Effect": effect, "Principal": principal, "Action": "s3:*", "Resource": "*"});
        Some(policy(PolicyKind::Bucket, json!([statement])))
    }

    fn decide(principal: &Principal, owner: &str, bucket: Option<Policy>) -> Decision {
        Request {
            principal: Some(principal),
            action: "s3:PutObject",
            resource: OBJECT,
            resource_account: owner,
            resource_policy: bucket.as_ref(),
            consent: Consent::Optional,
            context: &Context::default(),
        }
        .decide()
    }

    #[test]
    fn nothing_is_allowed_by_default() {
        let decision = decide(&session(None, None), ACCOUNT, None);
        assert_eq!(decision, Decision::Denied(Denial::Implicit(Source::Identity)));
        let Decision::Denied(denial) = decision else { unreachable!() };
        assert_eq!(denial.because("s3:PutObject"), "because no identity-based policy allows the s3:PutObject action");
    }

    #[test]
    fn a_session_policy_only_restricts() {
        let role = Some(allow("arn:aws:s3:::logs/*"));
        let narrowed = |to: &str| decide(&session(role.clone(), Some(allow(to))), ACCOUNT, None);
        assert_eq!(narrowed("arn:aws:s3:::logs/audit/*"), Decision::Allowed(Grant::Identity));
        assert_eq!(narrowed("arn:aws:s3:::logs/other/*"), Decision::Denied(Denial::Implicit(Source::Session)));
        let widened = decide(&session(None, Some(allow("*"))), ACCOUNT, None);
        assert_eq!(widened, Decision::Denied(Denial::Implicit(Source::Identity)));
    }

    #[test]
    fn an_explicit_deny_in_any_policy_wins() {
        let deny = json!([{"Effect": "Deny", "Action": "*", "Resource": "*"}]);
        let both = json!([allow("*")[0], deny[0]]);
        assert_eq!(
            decide(&session(Some(both), None), ACCOUNT, bucket("Allow", json!("*"))),
            Decision::Denied(Denial::Explicit(Source::Identity))
        );
        assert_eq!(
            decide(&session(Some(allow("*")), Some(deny)), ACCOUNT, None),
            Decision::Denied(Denial::Explicit(Source::Session))
        );
        assert_eq!(
            decide(&session(Some(allow("*")), None), ACCOUNT, bucket("Deny", json!("*"))),
            Decision::Denied(Denial::Explicit(Source::Resource))
        );
    }

    #[test]
    fn in_one_account_the_bucket_policy_is_enough_if_it_names_the_caller() {
        let role = json!({"AWS": format!("arn:aws:iam::{ACCOUNT}:role/writer")});
        let exactly = json!({"AWS": format!("arn:aws:sts::{ACCOUNT}:assumed-role/writer/one")});
        let account = json!({"AWS": ACCOUNT});
        let narrowed = session(None, Some(allow("arn:aws:s3:::elsewhere/*")));
        let plain = session(None, None);
        assert_eq!(decide(&plain, ACCOUNT, bucket("Allow", role.clone())), Decision::Allowed(Grant::Resource));
        assert_eq!(
            decide(&plain, ACCOUNT, bucket("Allow", account)),
            Decision::Denied(Denial::Implicit(Source::Identity))
        );
        assert!(matches!(decide(&narrowed, ACCOUNT, bucket("Allow", role)), Decision::Denied(_)));
        assert_eq!(decide(&narrowed, ACCOUNT, bucket("Allow", exactly)), Decision::Allowed(Grant::Resource));
    }

    #[test]
    fn across_accounts_both_sides_have_to_allow() {
        let anyone = || bucket("Allow", json!({"AWS": ACCOUNT}));
        assert_eq!(
            decide(&session(Some(allow("*")), None), OTHER, None),
            Decision::Denied(Denial::Implicit(Source::Resource))
        );
        assert_eq!(decide(&session(None, None), OTHER, anyone()), Decision::Denied(Denial::Implicit(Source::Identity)));
        assert_eq!(decide(&session(Some(allow("*")), None), OTHER, anyone()), Decision::Allowed(Grant::Identity));
    }

    #[test]
    fn a_role_is_assumed_only_by_whom_it_trusts() {
        let caller = Principal {
            account: ACCOUNT.to_owned(),
            arn: format!("arn:aws:iam::{ACCOUNT}:user/shipper"),
            user_id: "AIDAEXAMPLE".to_owned(),
            role_arn: None,
            policies: vec![policy(
                PolicyKind::Identity,
                json!([{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]),
            )],
            session_policy: None,
        };
        let without_policies = Principal { policies: Vec::new(), ..caller.clone() };
        let assume = |caller: &Principal, owner: &str, trusted: Value| {
            let statement = json!([{"Effect": "Allow", "Principal": trusted, "Action": "sts:AssumeRole"}]);
            let trust = policy(PolicyKind::Trust, statement);
            let resource = format!("arn:aws:iam::{owner}:role/writer");
            let request = Request {
                principal: Some(caller),
                action: "sts:AssumeRole",
                resource: &resource,
                resource_account: owner,
                resource_policy: Some(&trust),
                consent: Consent::Required,
                context: &Context::default(),
            };
            matches!(request.decide(), Decision::Allowed(_))
        };
        assert!(assume(&caller, ACCOUNT, json!({"AWS": ACCOUNT})));
        assert!(!assume(&caller, ACCOUNT, json!({"AWS": OTHER})), "identity alone is not enough, even at home");
        assert!(assume(&without_policies, ACCOUNT, json!({"AWS": caller.arn.clone()})), "named at home: enough");
        assert!(assume(&caller, OTHER, json!({"AWS": caller.arn.clone()})));
        assert!(!assume(&without_policies, OTHER, json!({"AWS": caller.arn.clone()})), "elsewhere both have to");
    }

    #[test]
    fn an_unsigned_request_needs_a_bucket_policy_for_everyone() {
        let decide = |bucket: Option<Policy>| {
            let context = Context::default();
            let request = Request {
                principal: None,
                action: "s3:GetObject",
                resource: OBJECT,
                resource_account: ACCOUNT,
                resource_policy: bucket.as_ref(),
                consent: Consent::Optional,
                context: &context,
            };
            request.decide()
        };
        assert_eq!(decide(bucket("Allow", json!("*"))), Decision::Allowed(Grant::Resource));
        assert_eq!(
            decide(bucket("Allow", json!({"AWS": ACCOUNT}))),
            Decision::Denied(Denial::Implicit(Source::Resource))
        );
    }
}
