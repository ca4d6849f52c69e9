//! The IAM policies that delivery needs. Each is defined here once. `Display` writes a policy as one line of JSON, with
//! its members in the order of AWS's own examples.
//!
//! The files in `infra/customer` contain the customer's policies in the languages of their tools; a test compares them
//! with these.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{Partition, sink::Target};

/// A policy document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    pub version: Version,
    pub statement: Vec<Statement>,
}

/// The version of the policy language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    #[serde(rename = "2012-10-17")]
    Current,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    pub effect: Effect,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    pub action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Values>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    #[serde(rename = "AWS")]
    pub aws: String,
}

/// Operators, with condition keys and their values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Condition(BTreeMap<String, BTreeMap<String, Values>>);

/// The resources of a statement, or the values of a condition key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Values {
    One(String),
    Many(Vec<String>),
}

impl Policy {
    /// Returns the permission of the role: put objects below `prefix` of `bucket`, and nothing else.
    #[must_use]
    pub fn put_objects(partition: &str, bucket: &str, prefix: &str) -> Self {
        Statement::allow("s3:PutObject").on(objects(partition, bucket, prefix)).into()
    }

    /// Returns the permission of a role that our setup creates: [`put_objects`](Self::put_objects), but never replace audit
    /// events.
    #[must_use]
    pub fn deliver(partition: &str, bucket: &str, prefix: &str) -> Self {
        Self {
            version: Version::Current,
            statement: vec![
                Statement::allow("s3:PutObject").on(objects(partition, bucket, prefix)),
                Statement::deny("s3:PutObject")
                    .on(audit_events(partition, bucket, prefix))
                    .provided(Condition::unconditional_put()),
            ],
        }
    }

    /// Returns the policy of a bucket that our setup creates: only TLS, and the role `role_arn` never replaces audit events.
    ///
    /// A condition names the role, because a principal would not apply to a role that is deleted and created again.
    #[must_use]
    pub fn protect(partition: &str, bucket: &str, prefix: &str, role_arn: &str) -> Self {
        let everything = ["", "/*"].map(|objects| format!("arn:{partition}:s3:::{bucket}{objects}"));
        Self {
            version: Version::Current,
            statement: vec![
                Statement::deny("s3:*").to("*").on(Values::Many(everything.into())).provided(Condition::one(
                    "Bool",
                    "aws:SecureTransport",
                    "false",
                )),
                Statement::deny("s3:PutObject")
                    .to("*")
                    .on(audit_events(partition, bucket, prefix))
                    .provided(Condition::unconditional_put().and("ArnEquals", "aws:PrincipalArn", role_arn)),
            ],
        }
    }

    /// Returns the trust of the role: `account` can assume it, with `external_id`.
    #[must_use]
    pub fn trust(partition: &str, account: &str, external_id: &str) -> Self {
        let root = format!("arn:{partition}:iam::{account}:root");
        Statement::allow("sts:AssumeRole").to(root).provided(Condition::external_id(external_id)).into()
    }

    /// Returns the permission of the role for a bucket with a KMS key: encrypt with `key` (an ARN, or `*`), through S3
    /// only.
    #[must_use]
    pub fn encrypt(partition: &str, key: &str) -> Self {
        let suffix = Partition::named(partition).map_or("amazonaws.com", |partition| partition.dns_suffix);
        let via = Values::One(format!("s3.*.{suffix}"));
        Statement::allow("kms:GenerateDataKey").on(key).provided(Condition::via(via)).into()
    }

    /// Returns the policy of a bucket in another account than the role's.
    #[must_use]
    pub fn bucket(target: &Target) -> Self {
        Statement::allow("s3:PutObject").to(target.role_arn.as_str()).on(target_objects(target)).into()
    }

    /// Returns the policy that narrows a session to the bucket and prefix, and to the key of the bucket, whatever the
    /// role allows.
    #[must_use]
    pub fn session(target: &Target) -> Self {
        let via = Values::Many(["s3.*.amazonaws.com", "s3.*.amazonaws.com.cn"].map(str::to_owned).into());
        Self {
            version: Version::Current,
            statement: vec![
                Statement::allow("s3:PutObject").on(target_objects(target)),
                Statement::allow("kms:GenerateDataKey").on("*").provided(Condition::via(via)),
            ],
        }
    }

    /// Indented JSON.
    #[must_use]
    pub fn pretty(&self) -> String {
        // Structs and maps with text keys always serialize.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl From<Statement> for Policy {
    fn from(statement: Statement) -> Self {
        Self { version: Version::Current, statement: vec![statement] }
    }
}

impl Statement {
    /// What the policy of a KMS key must allow, if the key belongs to another account than the role.
    #[must_use]
    pub fn use_key(target: &Target) -> Self {
        Self::allow("kms:GenerateDataKey").to(target.role_arn.as_str()).on("*")
    }

    /// What a service control policy must allow.
    #[must_use]
    pub fn put_any_object() -> Self {
        Self::allow("s3:PutObject").on("*")
    }

    fn allow(action: &str) -> Self {
        Self { effect: Effect::Allow, principal: None, action: action.to_owned(), resource: None, condition: None }
    }

    fn deny(action: &str) -> Self {
        Self { effect: Effect::Deny, ..Self::allow(action) }
    }

    fn to(self, aws: impl Into<String>) -> Self {
        Self { principal: Some(Principal { aws: aws.into() }), ..self }
    }

    fn on(self, resource: impl Into<Values>) -> Self {
        Self { resource: Some(resource.into()), ..self }
    }

    fn provided(self, condition: Condition) -> Self {
        Self { condition: Some(condition), ..self }
    }
}

impl Condition {
    /// Requires the organisation's external id, so that nobody else can have Annals use the role.
    #[must_use]
    pub fn external_id(external_id: &str) -> Self {
        Self::one("StringEquals", "sts:ExternalId", external_id)
    }

    /// Excludes the role from a `Deny`.
    #[must_use]
    pub fn except_role(target: &Target) -> Self {
        Self::one("ArnNotEquals", "aws:PrincipalArn", target.role_arn.as_str())
    }

    /// Excludes every principal of `account` from a `Deny`.
    #[must_use]
    pub fn except_account(account: &str) -> Self {
        Self::one("StringNotEquals", "aws:PrincipalAccount", account)
    }

    /// Applies to a put without `If-None-Match`, which could replace an object. The requests of a multipart upload before
    /// the last one have no such header, so they are included (S3 User Guide, *Enforce conditional writes*).
    fn unconditional_put() -> Self {
        Self::one("Null", "s3:if-none-match", "true")
    }

    fn and(mut self, operator: &str, key: &str, value: &str) -> Self {
        let keys = self.0.entry(operator.to_owned()).or_default();
        keys.insert(key.to_owned(), Values::One(value.to_owned()));
        self
    }

    fn via(services: Values) -> Self {
        Self::new("StringLike", "kms:ViaService", services)
    }

    fn one(operator: &str, key: &str, value: &str) -> Self {
        Self::new(operator, key, Values::One(value.to_owned()))
    }

    fn new(operator: &str, key: &str, values: Values) -> Self {
        Self(BTreeMap::from([(operator.to_owned(), BTreeMap::from([(key.to_owned(), values)]))]))
    }
}

impl From<String> for Values {
    fn from(value: String) -> Self {
        Self::One(value)
    }
}

impl From<&str> for Values {
    fn from(value: &str) -> Self {
        Self::One(value.to_owned())
    }
}

/// Returns the ARN pattern of the audit events below `prefix` of `bucket`. Their keys have a folder below the prefix. The
/// object of a connection test has none, and is replaced by the next test.
fn audit_events(partition: &str, bucket: &str, prefix: &str) -> String {
    format!("{}/*", objects(partition, bucket, prefix))
}

/// Returns the ARN pattern of the objects below `prefix` of `bucket`.
fn objects(partition: &str, bucket: &str, prefix: &str) -> String {
    format!("arn:{partition}:s3:::{bucket}/{prefix}*")
}

/// Returns the ARN pattern of the objects that are delivered to `target`.
#[must_use]
pub fn target_objects(target: &Target) -> String {
    objects(target.role_arn.partition(), target.bucket.as_str(), target.prefix.as_str())
}

macro_rules! display_as_json {
    ($($type:ty),+) => {
        $(impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
            }
        })+
    };
}

display_as_json!(Policy, Statement, Condition);

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target {
            organisation: "acme".parse().unwrap(),
            bucket: "amzn-s3-demo-bucket".parse().unwrap(),
            prefix: "audit".parse().unwrap(),
            role_arn: "arn:aws:iam::123456789012:role/annals".parse().unwrap(),
            external_id: "annals-7f3kq9".into(),
            region: None,
            bucket_owner: "123456789012".into(),
        }
    }

    #[test]
    fn a_policy_is_written_in_the_order_of_awss_examples() {
        let target = target();
        let written = [
            Policy::put_objects("aws-us-gov", "bucket", "audit/").to_string(),
            Policy::deliver("aws", "bucket", "audit/").to_string(),
            Policy::protect("aws", "bucket", "audit/", "arn:aws:iam::123456789012:role/annals").to_string(),
            Policy::trust("aws", "111122223333", "annals-7f3kq9").to_string(),
            Policy::encrypt("aws-cn", "*").to_string(),
            Policy::bucket(&target).to_string(),
            Policy::session(&target).to_string(),
            Statement::use_key(&target).to_string(),
            Condition::except_role(&target).to_string(),
        ];
        insta::assert_snapshot!(written.join("\n"), @r#"
        {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws-us-gov:s3:::bucket/audit/*"}]}
        {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/audit/*"},{"Effect":"Deny","Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/audit/*/*","Condition":{"Null":{"s3:if-none-match":"true"}}}]}
        {"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"s3:*","Resource":["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}},{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/audit/*/*","Condition":{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::123456789012:role/annals"},"Null":{"s3:if-none-match":"true"}}}]}
        {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"annals-7f3kq9"}}}]}
        {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:GenerateDataKey","Resource":"*","Condition":{"StringLike":{"kms:ViaService":"s3.*.amazonaws.com.cn"}}}]}
        {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/annals"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::amzn-s3-demo-bucket/audit/*"}]}
        {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::amzn-s3-demo-bucket/audit/*"},{"Effect":"Allow","Action":"kms:GenerateDataKey","Resource":"*","Condition":{"StringLike":{"kms:ViaService":["s3.*.amazonaws.com","s3.*.amazonaws.com.cn"]}}}]}
        {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/annals"},"Action":"kms:GenerateDataKey","Resource":"*"}
        {"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::123456789012:role/annals"}}
        "#);
    }

    #[test]
    fn a_policy_survives_storage() {
        for policy in [
            Policy::session(&target()),
            Policy::trust("aws", "111122223333", "\"${x}\""),
            Policy::protect("aws", "bucket", "", "arn:aws:iam::123456789012:role/annals"),
        ] {
            assert_eq!(serde_json::from_str::<Policy>(&policy.pretty()).unwrap(), policy);
        }
    }

    #[test]
    fn whatever_a_value_contains_is_quoted() {
        let policy = Policy::put_objects("aws", "bucket", r#"${BUCKET}"},"${EXTERNAL_ID}/"#);
        let value: serde_json::Value = serde_json::from_str(&policy.to_string()).unwrap();
        assert_eq!(value["Statement"][0]["Resource"], r#"arn:aws:s3:::bucket/${BUCKET}"},"${EXTERNAL_ID}/*"#);
    }
}
