//! Policies to paste, with the target's own names filled in. Each is one line of JSON, which IAM, the console and the
//! CLI take as it is; its members stand in the order in which people know them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::delivery::sink::Target;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy<'a> {
    version: &'static str,
    statement: [Statement<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement<'a> {
    effect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<Principal<'a>>,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Condition<'a>>,
}

#[derive(Serialize)]
struct Principal<'a> {
    #[serde(rename = "AWS")]
    aws: &'a str,
}

/// An operator, with a key and its value.
type Condition<'a> = BTreeMap<&'static str, BTreeMap<&'static str, &'a str>>;

impl<'a> Statement<'a> {
    fn allow(action: &'static str) -> Self {
        Self { effect: "Allow", principal: None, action, resource: None, condition: None }
    }

    fn to(self, aws: &'a str) -> Self {
        Self { principal: Some(Principal { aws }), ..self }
    }

    fn on(self, resource: &'a str) -> Self {
        Self { resource: Some(resource), ..self }
    }

    fn provided(self, condition: Condition<'a>) -> Self {
        Self { condition: Some(condition), ..self }
    }

    fn policy(self) -> String {
        text(&Policy { version: "2012-10-17", statement: [self] })
    }
}

/// The ARN pattern of the objects that are put.
pub(super) fn objects(target: &Target) -> String {
    format!("arn:{}:s3:::{}/{}*", target.role_arn.partition(), target.bucket, target.prefix.as_str())
}

/// What the role must allow: the put, and nothing else.
pub(super) fn put(target: &Target) -> String {
    Statement::allow("s3:PutObject").on(&objects(target)).policy()
}

/// Whom the role must trust: `account`, with the organisation's external id.
pub(super) fn trust(target: &Target, account: &str) -> String {
    let root = format!("arn:{}:iam::{account}:root", target.role_arn.partition());
    Statement::allow("sts:AssumeRole").to(&root).provided(external_id_condition(target)).policy()
}

/// The condition that lets nobody use the role through us but its owner.
pub(super) fn external_id(target: &Target) -> String {
    text(&external_id_condition(target))
}

fn external_id_condition(target: &Target) -> Condition<'_> {
    condition("StringEquals", "sts:ExternalId", &target.external_id)
}

/// What the policy of a bucket in another account must allow.
pub(super) fn bucket(target: &Target) -> String {
    Statement::allow("s3:PutObject").to(target.role_arn.as_str()).on(&objects(target)).policy()
}

/// What the role must allow where the bucket encrypts with a key: `key`, or any where it is not known; by way of S3.
pub(super) fn encrypt(target: &Target, key: Option<&str>) -> String {
    let suffix = if target.role_arn.partition() == "aws-cn" { ".cn" } else { "" };
    let via = format!("s3.*.amazonaws.com{suffix}");
    let statement = Statement::allow("kms:GenerateDataKey").on(key.unwrap_or("*"));
    statement.provided(condition("StringLike", "kms:ViaService", &via)).policy()
}

/// The statement that the key's policy must have.
pub(super) fn key(target: &Target) -> String {
    text(&Statement::allow("kms:GenerateDataKey").to(target.role_arn.as_str()).on("*"))
}

/// The condition that excepts the role from a `Deny`.
pub(super) fn except_role(target: &Target) -> String {
    text(&condition("ArnNotEquals", "aws:PrincipalArn", target.role_arn.as_str()))
}

/// The condition that excepts everyone of `account` from a `Deny`.
pub(super) fn except_account(account: &str) -> String {
    text(&condition("StringNotEquals", "aws:PrincipalAccount", account))
}

fn condition<'a>(operator: &'static str, key: &'static str, value: &'a str) -> Condition<'a> {
    BTreeMap::from([(operator, BTreeMap::from([(key, value)]))])
}

#[expect(clippy::expect_used, reason = "structs and maps of strings alone")]
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("cannot fail")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::delivery::setup::{KEY_PLACEHOLDER, Setup, Values};

    #[test]
    fn what_a_fix_says_to_paste_is_what_the_setup_says() {
        for partition in ["aws", "aws-cn", "aws-us-gov"] {
            let target = Target {
                organisation: "acme".parse().unwrap(),
                bucket: "amzn-s3-demo-bucket".parse().unwrap(),
                prefix: "audit".parse().unwrap(),
                role_arn: format!("arn:{partition}:iam::123456789012:role/annals").parse().unwrap(),
                external_id: "annals-7f3kq9".into(),
                region: None,
                bucket_owner: "123456789012".into(),
            };
            let values = Values {
                partition: partition.into(),
                service_account: "111122223333".into(),
                account: target.role_arn.account().into(),
                region: String::new(),
                bucket: target.bucket.to_string(),
                prefix: target.prefix.as_str().into(),
                role_name: target.role_arn.name().into(),
                role_path: "/".into(),
                external_id: target.external_id.clone(),
                stack: String::new(),
            };
            let setup = Setup::fill(values, None);
            let parsed = |text: String| serde_json::from_str::<Value>(&text).unwrap();
            assert_eq!(parsed(put(&target)), setup.permission_policy);
            assert_eq!(parsed(trust(&target, "111122223333")), setup.trust_policy);
            assert_eq!(parsed(encrypt(&target, Some(KEY_PLACEHOLDER))), setup.kms_policy);
        }
    }
}
