//! The ways to set up a customer's account from the answer of `GET …/setup`: CloudFormation, Terraform and the AWS CLI
//! create the same role, which allows what delivery needs and nothing else.

mod cloud_formation;
mod script;
mod terraform;

use std::{collections::BTreeMap, sync::Arc};

use annals_aws::{s3::S3ObjectSink, system::SystemClock};
use annals_cloud::{AccessKey, Bucket, Cloud, Role};
use annals_core::{
    delivery::setup::{Setup, Values},
    destination::{
        Destination,
        policy::Policy,
        sink::{Call, Existing, Object, ObjectSink as _, SinkError, Stored, Target},
    },
    organisation::Organisation,
};
use annals_local::system::System;
use annals_tests::{
    deployment::{PLATFORM_TOKEN, start_system},
    sample,
};
use aws_sdk_s3::{config::Credentials, error::ProvideErrorMetadata, primitives::ByteStream};
use serde_json::{Value, json};

/// The customer's account and choices.
pub(crate) struct Choices<'a> {
    pub(crate) partition: &'a str,
    pub(crate) account: &'a str,
    pub(crate) create_bucket: bool,
    /// The ARN of a KMS key, or empty.
    pub(crate) kms_key: &'a str,
}

impl Choices<'_> {
    pub(crate) fn dns_suffix(&self) -> &'static str {
        if self.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" }
    }
}

/// The resources that one of the ways creates.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Made {
    /// The bucket and its KMS key, if the bucket is created.
    pub(crate) bucket: Option<(String, Option<String>)>,
    pub(crate) role_arn: String,
    pub(crate) trust_policy: Value,
    /// By name.
    pub(crate) policies: BTreeMap<String, Value>,
}

const CUSTOMER: &str = "444455556666";

fn choices() -> Choices<'static> {
    Choices { partition: "aws", account: CUSTOMER, create_bucket: true, kms_key: "" }
}

/// A policy in normal form: single statements and values become lists, and lists are sorted.
fn normalised(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let lists = ["Statement", "Action", "Resource", "AWS", "sts:ExternalId", "kms:ViaService"];
            let member = |(name, value): (&String, &Value)| {
                let mut value = normalised(value);
                if lists.contains(&name.as_str()) && !value.is_array() {
                    value = json!([value]);
                }
                if let Some(elements) = value.as_array_mut() {
                    elements.sort_by_key(Value::to_string);
                }
                (name.clone(), value)
            };
            Value::Object(members.iter().map(member).collect())
        }
        Value::Array(elements) => elements.iter().map(normalised).collect(),
        plain => plain.clone(),
    }
}

impl Made {
    fn normalised(&self) -> Self {
        Self {
            trust_policy: normalised(&self.trust_policy),
            policies: self.policies.iter().map(|(name, policy)| (name.clone(), normalised(policy))).collect(),
            ..self.clone()
        }
    }
}

/// The resources that CloudFormation, Terraform and the script create for a setup.
fn all_three(setup: &Setup, choices: &Choices<'_>) -> [(&'static str, Made); 3] {
    let files = setup.terraform.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
    [
        ("CloudFormation", cloud_formation::make(&setup.template, choices)),
        ("Terraform", terraform::make(&files, choices)),
        ("AWS CLI", script::make(&setup.script, choices)),
    ]
}

fn setup(role_arn: &str, prefix: &str) -> Setup {
    let (organisation, destination) = destination(role_arn, prefix);
    let service = sample::service();
    Setup::of(&service, &organisation, &destination)
}

fn json(policy: &Policy) -> Value {
    serde_json::to_value(policy).unwrap()
}

fn destination(role_arn: &str, prefix: &str) -> (Organisation, Destination) {
    let organisation = sample::organisation("acme");
    let mut destination = sample::destination(&organisation, "1");
    destination.role_arn = role_arn.parse().unwrap();
    destination.settings.prefix = prefix.parse().unwrap();
    (organisation, destination)
}

#[test]
fn the_three_make_the_same_and_it_is_what_the_policies_say() {
    const KEY: &str = "arn:aws:kms:eu-central-1:444455556666:key/0f8fad5b-d9cb-469f-a165-70867728950e";
    for (partition, prefix, path, create_bucket, kms_key) in [
        ("aws", "", "", true, ""),
        ("aws", "audit/annals", "security/", true, ""),
        ("aws", "audit", "", true, KEY),
        ("aws", "audit", "", false, KEY),
        ("aws", "it's/[a];b&c|d`e`/<f>!#%(g)", "it's/$(id>made)/`x`/\"q\"/\\/%{y}/${z}/", false, ""),
        ("aws-us-gov", "audit", "x/y/", true, ""),
        ("aws-cn", "audit", "", true, "arn:aws-cn:kms:cn-north-1:444455556666:key/1"),
    ] {
        let role_arn = format!("arn:{partition}:iam::{CUSTOMER}:role/{path}put+audit=events,.@_-");
        let setup = setup(&role_arn, prefix);
        let mut policies = BTreeMap::from([("put-audit-events".to_owned(), json(&setup.permission_policy))]);
        if !kms_key.is_empty() {
            let mut policy = json(&setup.kms_policy);
            policy["Statement"][0]["Resource"] = kms_key.into();
            policies.insert("encrypt-audit-events".to_owned(), policy);
        }
        let key = (!kms_key.is_empty()).then(|| kms_key.to_owned());
        let expected = Made {
            bucket: create_bucket.then(|| (setup.values.bucket.clone(), key)),
            role_arn,
            trust_policy: json(&setup.trust_policy),
            policies,
        };
        let choices = Choices { partition, account: CUSTOMER, create_bucket, kms_key };
        for (tool, made) in all_three(&setup, &choices) {
            assert_eq!(made.normalised(), expected.normalised(), "{tool} in {partition}, {prefix:?}");
        }
    }
}

#[test]
fn a_source_that_grants_more_is_found() {
    let setup = setup("arn:aws:iam::444455556666:role/put", "audit");
    let [(_, right), _, _] = all_three(&setup, &choices()).map(|(tool, made)| (tool, made.normalised()));
    for (tool, before, after) in [
        (0, "Action: s3:PutObject", "Action: [s3:PutObject, s3:GetObject]"),
        (0, "${BucketName}/${Prefix}*", "${BucketName}/*"),
        (0, "StringEquals:", "StringLike:"),
        (1, "\"s3:PutObject\"", "\"s3:*\""),
        (1, "/${var.prefix}*", "/*"),
        (1, "      Condition = { StringEquals = { \"sts:ExternalId\" = var.external_id } }\n", ""),
        (2, "\"s3:PutObject\"", "[\"s3:PutObject\", \"s3:PutObjectAcl\"]"),
        (2, "${BUCKET}/${PREFIX}*", "${BUCKET}*"),
        (
            2,
            "iam::${SERVICE_ACCOUNT_ID}:root\"",
            "iam::${SERVICE_ACCOUNT_ID}:root\", \"Service\": \"s3.amazonaws.com\"",
        ),
    ] {
        let mut wrong = setup.clone();
        let text = match tool {
            0 => &mut wrong.template,
            1 => &mut wrong.terraform[0].1,
            _ => &mut wrong.script,
        };
        assert!(text.contains(before), "{before}");
        *text = text.replace(before, after);
        let (name, made) = all_three(&wrong, &choices())[tool].clone();
        assert_ne!(made.normalised(), right, "{name}: {before}");
    }
}

#[test]
fn the_policies_hold_one_permission_each() {
    let setup = setup("arn:aws:iam::444455556666:role/put", "audit");
    let bucket = &setup.values.bucket;
    assert_eq!(
        json(&setup.permission_policy),
        json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "s3:PutObject", "Resource": format!("arn:aws:s3:::{bucket}/audit/*")}]})
    );
    assert_eq!(
        json(&setup.trust_policy),
        json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": "annals-acme"}},
        }]})
    );
}

/// The running system, an organisation, and the API's answer with its setup.
struct Fixture {
    system: System,
    http: reqwest::Client,
    organisation: Organisation,
    destination: Destination,
    answer: Value,
}

const SETUP_BUCKET: &str = "acme-audit-events";
const SETUP_ROLE: &str = "arn:aws:iam::444455556666:role/security/annals-put";

impl Fixture {
    async fn start() -> Self {
        let system = start_system(None).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/organisations/acme", system.url());
        let platform = |request: reqwest::RequestBuilder| request.bearer_auth(PLATFORM_TOKEN);
        let body = json!({"name": "Acme", "plan": "enterprise"});
        platform(http.put(&url)).json(&body).send().await.unwrap().error_for_status().unwrap();
        let body = json!({"bucket": SETUP_BUCKET, "roleArn": SETUP_ROLE, "prefix": "audit/annals"});
        let created = platform(http.post(format!("{url}/destinations"))).json(&body).send().await.unwrap();
        let created: Value = created.error_for_status().unwrap().json().await.unwrap();
        let id = created["id"].as_str().unwrap();
        let answer = platform(http.get(format!("{url}/destinations/{id}/setup"))).send().await.unwrap();
        let answer = answer.error_for_status().unwrap().json().await.unwrap();
        let administration = &system.api().administration;
        let organisation = administration.organisation(&"acme".parse().unwrap()).await.unwrap();
        let destination = administration.destination(&organisation.id, &id.parse().unwrap()).await.unwrap();
        Self { system, http, organisation, destination, answer }
    }

    fn cloud(&self) -> &Cloud {
        self.system.cloud()
    }

    /// The resources that the three ways create, bucket included.
    fn all_three(&self) -> [(&'static str, Made); 3] {
        let text = |pointer: &str| self.answer.pointer(pointer).unwrap().as_str().unwrap();
        let files = self.answer["terraform"]["files"].as_object().unwrap();
        let files = files.iter().map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())).collect();
        [
            ("CloudFormation", cloud_formation::make(text("/cloudFormation/template"), &choices())),
            ("Terraform", terraform::make(&files, &choices())),
            ("AWS CLI", script::make(text("/awsCli/script"), &choices())),
        ]
    }

    /// Creates the resources in the embedded cloud.
    fn set_up(&self, made: &Made) {
        let (bucket, _) = made.bucket.as_ref().unwrap();
        self.cloud().iam().put_bucket(Bucket::new(bucket, CUSTOMER, "us-east-1")).unwrap();
        let policies = made.policies.values().cloned().collect();
        self.cloud().iam().put_role(Role::new(&made.role_arn, made.trust_policy.clone(), policies)).unwrap();
    }

    /// An administrator of `account`.
    fn administrator(&self, account: &str) -> AccessKey {
        let everything = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
        self.cloud().iam().create_user(account, "somebody", everything).unwrap()
    }

    /// The delivery's sink with the identity of a user in `account`.
    fn sink(&self, account: &str) -> S3ObjectSink {
        let config = self.cloud().sdk_config(&self.administrator(account));
        S3ObjectSink::new(&config, Arc::new(SystemClock))
    }

    /// A session of the role without a session policy.
    async fn session(&self, external_id: Option<&str>) -> Result<aws_sdk_s3::Client, String> {
        let config = self.cloud().sdk_config(&self.administrator(self.cloud().account()));
        let answer = aws_sdk_sts::Client::new(&config)
            .assume_role()
            .role_arn(SETUP_ROLE)
            .role_session_name("test")
            .set_external_id(external_id.map(str::to_owned))
            .send()
            .await
            .map_err(|error| error.code().unwrap_or_default().to_owned())?;
        let given = answer.credentials().unwrap();
        let token = Some(given.session_token().to_owned());
        let credentials = Credentials::new(given.access_key_id(), given.secret_access_key(), token, None, "test");
        let config = aws_sdk_s3::config::Builder::from(&config).credentials_provider(credentials).build();
        Ok(aws_sdk_s3::Client::from_conf(config))
    }
}

fn object(key: &str) -> Object {
    Object {
        key: key.to_owned(),
        content_type: "application/x-ndjson",
        content: "{}\n".into(),
        existing: Existing::Replace,
    }
}

/// Fails unless AWS refused `call`.
fn assert_denied<T: std::fmt::Debug>(result: Result<T, SinkError>, call: Call) {
    let error = result.unwrap_err();
    assert_eq!(error.call, call);
    assert!(format!("{:?}", error.reason).contains("AccessDenied"), "{error:?}");
}

#[tokio::test]
async fn each_of_the_three_lets_delivery_in_and_nobody_else() {
    let fixture = Fixture::start().await;
    let target = Target::of(&fixture.organisation, &fixture.destination);
    let service = fixture.cloud().account().to_owned();
    for (tool, made) in fixture.all_three() {
        assert_eq!(made.role_arn, SETUP_ROLE, "{tool}");
        fixture.set_up(&made);

        let sink = fixture.sink(&service);
        let key = format!("audit/annals/2026-11/22/{}.json", tool.replace(' ', "-"));
        assert_eq!(sink.put(&target, object(&key)).await, Ok(Stored::Now), "{tool}");
        assert_denied(sink.assume(&target, "annals-wrong").await, Call::AssumeRole);
        assert_eq!(fixture.session(None).await.err().as_deref(), Some("AccessDenied"), "{tool}: no external id");
        for elsewhere in ["", "audit", "audit/annals-2", "other"] {
            let outside = Target { prefix: elsewhere.parse().unwrap(), ..target.clone() };
            let key = format!("{}object.json", outside.prefix.as_str());
            assert_denied(sink.put(&outside, object(&key)).await, Call::PutObject);
        }
        // Not even the customer's own administrator is let in.
        for account in ["999988887777", CUSTOMER] {
            assert_denied(fixture.sink(account).assume(&target, &target.external_id).await, Call::AssumeRole);
        }
    }
    fixture.system.stop().await;
}

#[tokio::test]
async fn a_session_that_nothing_narrows_can_do_nothing_but_put_below_the_prefix() {
    let fixture = Fixture::start().await;
    for (tool, made) in fixture.all_three() {
        fixture.set_up(&made);
        fixture.cloud().iam().put_bucket(Bucket::new("acme-other", CUSTOMER, "us-east-1")).unwrap();
        let s3 = fixture.session(Some(&fixture.organisation.external_id)).await.unwrap();
        let put = async |bucket: &str, key: &str| {
            let put = s3.put_object().bucket(bucket).key(key).body(ByteStream::from_static(b"x")).send().await;
            put.map(drop).map_err(|error| error.code().unwrap_or_default().to_owned())
        };
        let denied = Err("AccessDenied".to_owned());
        assert_eq!(put(SETUP_BUCKET, "audit/annals/a").await, Ok(()), "{tool}");
        for (bucket, key) in [
            (SETUP_BUCKET, "a"),
            (SETUP_BUCKET, "audit/a"),
            (SETUP_BUCKET, "audit/annals"),
            (SETUP_BUCKET, "audit/annals-2/a"),
            ("acme-other", "audit/annals/a"),
        ] {
            assert_eq!(put(bucket, key).await, denied, "{tool}: {bucket}/{key}");
        }
        let code = |code: Option<&str>| code.map(str::to_owned);
        let get = s3.get_object().bucket(SETUP_BUCKET).key("audit/annals/a").send().await.unwrap_err();
        let delete = s3.delete_object().bucket(SETUP_BUCKET).key("audit/annals/a").send().await.unwrap_err();
        let list = s3.list_objects_v2().bucket(SETUP_BUCKET).send().await.unwrap_err();
        let drop_bucket = s3.delete_bucket().bucket("acme-other").send().await.unwrap_err();
        for error in [code(get.code()), code(delete.code()), code(list.code()), code(drop_bucket.code())] {
            assert_eq!(error.as_deref(), Some("AccessDenied"), "{tool}");
        }
    }
    fixture.system.stop().await;
}

#[tokio::test]
async fn the_answer_is_for_the_organisations_administrators_and_the_platform() {
    let fixture = Fixture::start().await;
    let url = format!("{}/organisations/acme", fixture.system.url());
    let setup = format!("{url}/destinations/{}/setup", fixture.destination.id);
    for (role, status) in [("admin", 200), ("auditor", 403), ("producer", 403)] {
        let body = json!({"name": role, "role": role});
        let token = fixture.http.post(format!("{url}/tokens")).bearer_auth(PLATFORM_TOKEN).json(&body).send().await;
        let token: Value = token.unwrap().json().await.unwrap();
        let answer = fixture.http.get(&setup).bearer_auth(token["token"].as_str().unwrap()).send().await.unwrap();
        assert_eq!(answer.status(), status, "{role}");
    }
    assert_eq!(fixture.http.get(&setup).send().await.unwrap().status(), 401);
    let missing = format!("{url}/destinations/000000000000/setup");
    assert_eq!(fixture.http.get(&missing).bearer_auth(PLATFORM_TOKEN).send().await.unwrap().status(), 404);
    fixture.system.stop().await;
}

#[tokio::test]
async fn the_answer_names_everything_and_says_what_it_cannot_fill_in() {
    let fixture = Fixture::start().await;
    let answer = &fixture.answer;
    let external_id = &fixture.organisation.external_id;
    for (name, value) in [
        ("partition", "aws"),
        ("serviceAccountId", fixture.cloud().account()),
        ("accountId", CUSTOMER),
        ("bucket", SETUP_BUCKET),
        ("prefix", "audit/annals/"),
        ("roleName", "annals-put"),
        ("rolePath", "/security/"),
        ("externalId", external_id),
    ] {
        assert_eq!(answer[name], value, "{name}");
    }
    assert_eq!(answer["cloudFormation"]["quickCreateUrl"], Value::Null);
    let note = answer["cloudFormation"]["note"].as_str().unwrap();
    assert!(note.contains("CustomerTemplateUrl"), "{note}");
    let note = answer["kms"]["note"].as_str().unwrap();
    assert!(note.contains("Replace KMS_KEY_ARN with the key's ARN"), "{note}");
    fixture.system.stop().await;
}

#[test]
fn the_script_mends_a_role_that_exists() {
    let setup = setup("arn:aws:iam::444455556666:role/security/put", "audit");
    let run = script::run(&setup.script, &choices(), Some("arn:aws:iam::444455556666:role/security/put"));
    assert!(run.output.status.success());
    let commands: Vec<String> = run.calls.iter().map(|call| call[..2].join(" ")).collect();
    assert_eq!(
        commands,
        [
            "sts get-caller-identity",
            "s3api head-bucket",
            "iam get-role",
            "iam update-assume-role-policy",
            "iam put-role-policy"
        ]
    );
    let made = script::made(&run, &choices());
    assert_eq!(normalised(&made.trust_policy), normalised(&json(&setup.trust_policy)));
    assert_eq!(normalised(&made.policies["put-audit-events"]), normalised(&json(&setup.permission_policy)));
}

#[test]
fn the_script_refuses_another_account_and_a_role_with_another_path() {
    let setup = setup("arn:aws:iam::444455556666:role/security/put", "audit");
    let elsewhere = Choices { account: "999988887777", ..choices() };
    let run = script::run(&setup.script, &elsewhere, None);
    assert!(!run.output.status.success());
    assert_eq!(run.calls.len(), 1, "only who it is was asked: {:?}", run.calls);

    let run = script::run(&setup.script, &choices(), Some("arn:aws:iam::444455556666:role/put"));
    assert!(!run.output.status.success());
    assert_eq!(run.calls.last().unwrap()[..2], ["iam", "get-role"], "nothing was changed");
}

/// Values that mean something in the languages that they are pasted into.
const HOSTILE: [&str; 12] = [
    "it's",
    "'; touch made; '",
    "$(touch made)",
    "`touch made`",
    "${BUCKET}",
    "$${var.bucket}%{if true}x%{endif}",
    "\"\n  Resource: \"*",
    "x\", \"Resource\": \"*",
    "\\\"\\u0022",
    "a\nb\tc\r\u{85}\u{2028}",
    "#{{resolve:ssm:x}}: [&a *a !Ref x]",
    "ö🔒",
];

fn hostile(value: &str) -> Setup {
    let values = setup("arn:aws:iam::444455556666:role/put", "audit").values;
    let value = || value.to_owned();
    let (bucket, prefix, role_name, role_path, external_id) = (value(), value(), value(), value(), value());
    Setup::fill(Values { bucket, prefix, role_name, role_path, external_id, ..values }, None)
}

#[test]
fn a_hostile_value_stays_a_value_in_each_language() {
    for value in HOSTILE {
        let setup = hostile(value);
        for parameter in ["BucketName", "Prefix", "RoleName", "RolePath", "ExternalId"] {
            assert_eq!(cloud_formation::default(&setup.template, parameter), value, "{parameter} in YAML");
        }
        let (_, tfvars) = &setup.terraform[3];
        let variables = terraform::values(tfvars);
        for variable in ["bucket", "prefix", "role_name", "role_path", "external_id"] {
            assert_eq!(variables[variable], value, "{variable} in HCL");
        }
        let resource = &json(&setup.permission_policy)["Statement"][0]["Resource"];
        assert_eq!(*resource, format!("arn:aws:s3:::{value}/{value}*"));
        assert_eq!(json(&setup.trust_policy)["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"], value);

        let (settings, _) = setup.script.split_once("\nfail() {").unwrap();
        let names = ["BUCKET", "PREFIX", "ROLE_NAME", "ROLE_PATH", "EXTERNAL_ID"];
        for name in names {
            let run = script::run(&format!("{settings}\nprintf %s \"${name}\""), &choices(), None);
            assert_eq!(String::from_utf8(run.output.stdout).unwrap(), value, "{name} in the shell");
            assert!(run.files.is_empty() && run.calls.is_empty(), "{:?}", run.files);
        }
    }
}

#[test]
fn the_script_refuses_a_hostile_value_before_it_calls_anything() {
    for value in HOSTILE {
        let run = script::run(&hostile(value).script, &choices(), None);
        assert!(!run.output.status.success());
        assert!(run.calls.is_empty() && run.files.is_empty(), "{value}: {:?} {:?}", run.calls, run.files);
    }
    for prefix in ["*/", "a?/", "${aws:username}/", "a\"/", "a\\/", "a", "/a/", "a//b/", "a b/"] {
        let values = Values { prefix: prefix.into(), ..setup("arn:aws:iam::444455556666:role/put", "").values };
        let run = script::run(&Setup::fill(values, None).script, &choices(), None);
        assert!(!run.output.status.success() && run.calls.is_empty(), "{prefix}");
    }
}
