//! A customer in the embedded cloud: an account with a bucket, and a role that may write to it.

use std::collections::BTreeMap;

use annals_aws::system::SystemEntropy;
use annals_cloud::{Bucket, Cloud, Role};
use annals_core::entropy::{BASE36, characters};
use serde_json::{Value, json};

#[derive(Debug, Clone)]
pub struct Customer {
    /// Its 12 digits.
    pub account: String,
    pub bucket: String,
    pub role_arn: String,
}

impl Customer {
    /// Creates a customer as the documentation says. The role trusts the account of Annals and, if `external_id` is
    /// given, requires it.
    #[must_use]
    pub fn create(cloud: &Cloud, external_id: Option<&str>) -> Self {
        let account = account();
        let name = name("events");
        let customer = Self { role_arn: format!("arn:aws:iam::{account}:role/put-{name}"), bucket: name, account };
        cloud.iam().put_bucket(Bucket::new(&customer.bucket, &customer.account, "us-east-1")).unwrap();
        let trust = trust(cloud.account(), external_id);
        cloud.iam().put_role(Role::new(&customer.role_arn, trust, vec![customer.put_policy("*")])).unwrap();
        customer
    }

    /// A policy that allows `s3:PutObject` on the keys that `keys` matches.
    #[must_use]
    pub fn put_policy(&self, keys: &str) -> Value {
        put_policy(&self.bucket, keys)
    }

    #[must_use]
    pub fn s3(&self, cloud: &Cloud) -> aws_sdk_s3::Client {
        let everything = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
        let key = cloud.iam().create_user(&self.account, "administrator", everything).unwrap();
        aws_sdk_s3::Client::new(&cloud.sdk_config(&key))
    }

    /// All objects in the bucket, by key.
    pub async fn objects(&self, cloud: &Cloud) -> BTreeMap<String, Vec<u8>> {
        objects(&self.s3(cloud), &self.bucket).await
    }
}

/// All objects in a bucket, by key.
pub async fn objects(s3: &aws_sdk_s3::Client, bucket: &str) -> BTreeMap<String, Vec<u8>> {
    let mut objects = BTreeMap::new();
    let mut pages = s3.list_objects_v2().bucket(bucket).into_paginator().send();
    while let Some(page) = pages.next().await {
        for listed in page.unwrap().contents() {
            let key = listed.key().unwrap();
            let object = s3.get_object().bucket(bucket).key(key).send().await.unwrap();
            objects.insert(key.to_owned(), object.body.collect().await.unwrap().to_vec());
        }
    }
    objects
}

/// Twelve random digits.
#[must_use]
pub fn account() -> String {
    format!("4{}", characters(&SystemEntropy, b"0123456789", 11))
}

/// A unique name.
#[must_use]
pub fn name(kind: &str) -> String {
    format!("{kind}-{}", characters(&SystemEntropy, BASE36, 12))
}

/// The trust policy of a role that `account` may assume, with this external ID if one is given.
#[must_use]
pub fn trust(account: &str, external_id: Option<&str>) -> Value {
    let mut statement = json!({
        "Effect": "Allow",
        "Principal": {"AWS": format!("arn:aws:iam::{account}:root")},
        "Action": "sts:AssumeRole",
    });
    if let Some(external_id) = external_id {
        statement["Condition"] = json!({"StringEquals": {"sts:ExternalId": external_id}});
    }
    json!({"Version": "2012-10-17", "Statement": [statement]})
}

/// A policy that allows `s3:PutObject` on the keys of `bucket` that `keys` matches.
#[must_use]
pub fn put_policy(bucket: &str, keys: &str) -> Value {
    let resource = format!("arn:aws:s3:::{bucket}/{keys}");
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:PutObject", "Resource": resource}]})
}
