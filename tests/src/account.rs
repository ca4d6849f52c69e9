//! A real account of AWS, with the credentials and the region of the environment: what tests set up there. They call the AWS CLI for
//! services of which the workspace has no SDK. `infra/aws-trial/trial` starts these tests and removes what they print as created.

use std::{process::Command, time::Duration};

use annals_aws::settings;
use aws_config::SdkConfig;
use serde_json::Value;
use tokio::time::sleep;

use crate::customer::{Customer, name, put_policy};

/// Until a new role or policy is in force everywhere. IAM is eventually consistent and states no time.
const PROPAGATION: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
pub struct Account {
    /// Its 12 digits.
    id: String,
    config: SdkConfig,
}

impl Account {
    #[must_use]
    pub fn of_the_environment(id: &str) -> Self {
        Self { id: id.to_owned(), config: settings::sdk_config().unwrap() }
    }

    #[must_use]
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    #[must_use]
    pub fn s3(&self) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::new(&self.config)
    }

    /// Creates a customer in this account: a bucket, and a role with this trust policy that may put objects whose keys `keys`
    /// matches.
    pub async fn customer(&self, trust: Value, keys: &str) -> Customer {
        let bucket = name("annals-trial");
        let role = format!("put-{bucket}");
        aws(&["s3", "mb", &format!("s3://{bucket}")]);
        println!("created bucket {bucket}");
        let (trust, policy) = (trust.to_string(), put_policy(&bucket, keys).to_string());
        let create = ["iam", "create-role", "--role-name", &role, "--assume-role-policy-document", &trust];
        let role_arn = aws(&[&create[..], &["--query", "Role.Arn", "--output", "text"]].concat()).trim().to_owned();
        println!("created role {role}");
        set_policy(&role, &policy);
        sleep(PROPAGATION).await;
        Customer { account: self.id.clone(), bucket, role_arn }
    }

    /// Sets the only policy of a role.
    pub async fn put_policy(&self, role_arn: &str, policy: &Value) {
        set_policy(role_arn.rsplit('/').next().unwrap(), &policy.to_string());
        sleep(PROPAGATION).await;
    }

    /// Lets all rules that invoke a function fire every minute. Returns their number.
    #[must_use]
    pub fn every_minute(&self, function: &str) -> usize {
        let find = ["lambda", "get-function", "--function-name", function, "--query", "Configuration.FunctionArn"];
        let arn = aws(&[&find[..], &["--output", "text"]].concat());
        let rules = aws(&["events", "list-rule-names-by-target", "--target-arn", arn.trim(), "--output", "json"]);
        let rules: Value = serde_json::from_str(&rules).unwrap();
        let rules = rules["RuleNames"].as_array().unwrap();
        for rule in rules.iter().filter_map(Value::as_str) {
            aws(&["events", "put-rule", "--name", rule, "--schedule-expression", "rate(1 minute)"]);
        }
        rules.len()
    }
}

fn set_policy(role: &str, policy: &str) {
    aws(&["iam", "put-role-policy", "--role-name", role, "--policy-name", "put", "--policy-document", policy]);
}

/// Runs the AWS CLI and returns its output.
fn aws(arguments: &[&str]) -> String {
    let done = Command::new("aws").args(arguments).output().unwrap_or_else(|error| panic!("the AWS CLI: {error}"));
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "aws {arguments:?}: {errors}");
    String::from_utf8(done.stdout).unwrap()
}
