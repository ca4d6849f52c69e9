//! Policies to paste, with the target's own names filled in. Each is one line of JSON, which IAM, the console and the
//! CLI take as it is.

use serde_json::{Value, json};

use crate::delivery::sink::Target;

/// The ARN pattern of the objects that are put.
pub(super) fn objects(target: &Target) -> String {
    format!("arn:{}:s3:::{}/{}*", target.role_arn.partition(), target.bucket, target.prefix.as_str())
}

/// What the role must allow: the put, and nothing else.
pub(super) fn put(target: &Target) -> String {
    policy(json!({"Effect": "Allow", "Action": "s3:PutObject", "Resource": objects(target)}))
}

/// Whom the role must trust: `account`, with the organisation's external id.
pub(super) fn trust(target: &Target, account: &str) -> String {
    policy(json!({
        "Effect": "Allow",
        "Principal": {"AWS": format!("arn:{}:iam::{account}:root", target.role_arn.partition())},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": target.external_id}},
    }))
}

/// What the policy of a bucket in another account must allow.
pub(super) fn bucket(target: &Target) -> String {
    policy(json!({
        "Effect": "Allow",
        "Principal": {"AWS": target.role_arn.as_str()},
        "Action": "s3:PutObject",
        "Resource": objects(target),
    }))
}

/// What the role must allow where the bucket encrypts with a key: `key`, or any by way of S3 where it is not known.
pub(super) fn encrypt(target: &Target, key: Option<&str>) -> String {
    let mut statement = json!({"Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": key.unwrap_or("*")});
    if key.is_none() {
        let suffix = if target.role_arn.partition() == "aws-cn" { ".cn" } else { "" };
        statement["Condition"] = json!({"StringLike": {"kms:ViaService": format!("s3.*.amazonaws.com{suffix}")}});
    }
    policy(statement)
}

/// The statement that the key's policy must have.
pub(super) fn key(target: &Target) -> String {
    json!({
        "Effect": "Allow",
        "Principal": {"AWS": target.role_arn.as_str()},
        "Action": "kms:GenerateDataKey",
        "Resource": "*",
    })
    .to_string()
}

/// The condition that excepts the role from a `Deny`.
pub(super) fn except_role(target: &Target) -> String {
    json!({"ArnNotEquals": {"aws:PrincipalArn": target.role_arn.as_str()}}).to_string()
}

/// The condition that excepts everyone of `account` from a `Deny`.
pub(super) fn except_account(account: &str) -> String {
    json!({"StringNotEquals": {"aws:PrincipalAccount": account}}).to_string()
}

fn policy(statement: Value) -> String {
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}
