//! MiniStack, an independent emulator of AWS: its clients, and what tests set up there. It is started by
//! `.ci/with-ministack`.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use serde_json::Value;

use crate::customer::{Customer, account, name, put_policy};

const REGION: &str = "us-east-1";

#[derive(Debug, Clone)]
pub struct MiniStack {
    endpoint: String,
}

impl MiniStack {
    #[must_use]
    pub fn at(endpoint: String) -> Self {
        Self { endpoint }
    }

    #[must_use]
    pub fn config(&self, credentials: Credentials) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(&self.endpoint)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build()
    }

    /// S3 for the administrator of an account.
    #[must_use]
    pub fn s3(&self, account: &str) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::new(&self.config(root(account)))
    }

    /// Creates a role with at most one policy.
    pub async fn put_role(&self, arn: &str, trust: Value, policy: Option<Value>) {
        let account = arn.split(':').nth(4).unwrap();
        let name = arn.rsplit('/').next().unwrap();
        let trust = trust.to_string();
        self.iam(account, "CreateRole", &[("RoleName", name), ("AssumeRolePolicyDocument", &trust)]).await;
        if let Some(policy) = policy {
            self.put_policy(arn, &policy).await;
        }
    }

    /// Sets the only policy of a role.
    pub async fn put_policy(&self, role_arn: &str, policy: &Value) {
        let account = role_arn.split(':').nth(4).unwrap();
        let name = role_arn.rsplit('/').next().unwrap();
        let policy = policy.to_string();
        let policy = [("RoleName", name), ("PolicyName", "put"), ("PolicyDocument", &policy)];
        self.iam(account, "PutRolePolicy", &policy).await;
    }

    /// Creates a customer in an own account: a bucket, and a role with this trust policy that may put objects whose
    /// keys `keys` matches.
    pub async fn customer(&self, trust: Value, keys: &str) -> Customer {
        let (account, bucket) = (account(), name("events"));
        let role_arn = format!("arn:aws:iam::{account}:role/put-{bucket}");
        self.s3(&account).create_bucket().bucket(&bucket).send().await.unwrap();
        self.put_role(&role_arn, trust, Some(put_policy(&bucket, keys))).await;
        Customer { account, bucket, role_arn }
    }

    /// A call of EventBridge's API.
    pub async fn events(&self, account: &str, action: &str, input: &Value) -> Value {
        let target = format!("AWSEvents.{action}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", &*target)];
        let answer = self.call(account, "events", &headers, input.to_string()).await;
        serde_json::from_str(&answer).unwrap()
    }

    /// A call of IAM's query API.
    async fn iam(&self, account: &str, action: &str, parameters: &[(&str, &str)]) {
        let all = [("Action", action), ("Version", "2010-05-08")];
        let body: Vec<String> =
            all.iter().chain(parameters).map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.call(account, "iam", &headers, body.join("&")).await;
    }

    /// A call for which the workspace has no SDK. MiniStack takes the account from the signature, which it does not
    /// check.
    async fn call(&self, account: &str, service: &str, headers: &[(&str, &str)], body: String) -> String {
        let scope = format!("{account}/20261123/{REGION}/{service}/aws4_request");
        let signed = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature=0");
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request =
            http.post(&self.endpoint).header("authorization", signed).header("x-amz-date", "20261123T000000Z");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.body(body.clone()).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{service} {body}: {status} {text}");
        text
    }
}

/// The root user of an account, with any secret.
#[must_use]
pub fn root(account: &str) -> Credentials {
    Credentials::new(account, "any", None, None, "test")
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
