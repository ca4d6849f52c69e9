//! The ways to set up a customer's account from the answer of `GET …/setup`: CloudFormation, Terraform and the AWS CLI
//! create the same role, which allows what delivery needs and nothing else.

mod cloud_formation;
mod script;
mod terraform;

use std::{collections::BTreeMap, sync::Arc};

use annals_aws::{s3::S3ObjectSink, system::SystemClock};
use annals_cloud::{AccessKey, Bucket, Cloud, Retention, RetentionMode, Role, Versioning};
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

use crate::fixture::event;

/// The customer's account and choices.
pub(crate) struct Choices<'a> {
    pub(crate) partition: &'a str,
    pub(crate) account: &'a str,
    pub(crate) create_bucket: bool,
    /// The ARN of a KMS key, or empty.
    pub(crate) kms_key: &'a str,
    /// The mode and the days of Object Lock.
    pub(crate) object_lock: Option<(&'a str, u32)>,
}

impl Choices<'_> {
    pub(crate) fn dns_suffix(&self) -> &'static str {
        match self.partition {
            "aws-cn" => "amazonaws.com.cn",
            "aws-eusc" => "amazonaws.eu",
            _ => "amazonaws.com",
        }
    }
}

/// The resources that one of the ways creates.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Made {
    /// The bucket, if it is created.
    pub(crate) bucket: Option<MadeBucket>,
    pub(crate) role_arn: String,
    pub(crate) trust_policy: Value,
    /// By name.
    pub(crate) policies: BTreeMap<String, Value>,
}

/// A bucket that one of the ways creates, without public access and with versioning.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MadeBucket {
    pub(crate) name: String,
    pub(crate) kms_key: Option<String>,
    pub(crate) policy: Option<Value>,
    /// The mode and the days of Object Lock.
    pub(crate) object_lock: Option<(String, u32)>,
}

const CUSTOMER: &str = "444455556666";

fn choices() -> Choices<'static> {
    Choices { partition: "aws", account: CUSTOMER, create_bucket: true, kms_key: "", object_lock: None }
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
            bucket: self
                .bucket
                .clone()
                .map(|bucket| MadeBucket { policy: bucket.policy.as_ref().map(normalised), ..bucket }),
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
    for (partition, prefix, path, create_bucket, kms_key, object_lock) in [
        ("aws", "", "", true, "", None),
        ("aws", "audit/annals", "security/", true, "", Some(("GOVERNANCE", 365))),
        ("aws", "audit", "", true, KEY, Some(("COMPLIANCE", 36_500))),
        ("aws", "audit", "", false, KEY, None),
        ("aws", "it's/[a];b&c|d`e`/<f>!#%(g)", "it's/(id>made)/`x`/\"q\"/\\/%{y}/{z}/&/", true, "", None),
        ("aws", "it's/[a];b&c|d`e`/<f>!#%(g)", "it's/(id>made)/`x`/\"q\"/\\/%{y}/{z}/&/", false, "", None),
        ("aws-us-gov", "audit", "x/y/", true, "", None),
        ("aws-cn", "audit", "", true, "arn:aws-cn:kms:cn-north-1:444455556666:key/1", None),
        ("aws-eusc", "audit", "", true, "arn:aws-eusc:kms:eusc-de-east-1:444455556666:key/1", None),
    ] {
        let role_arn = format!("arn:{partition}:iam::{CUSTOMER}:role/{path}put+audit=events,.@_-");
        let setup = setup(&role_arn, prefix);
        let mut policies = BTreeMap::from([("put-audit-events".to_owned(), json(&setup.permission_policy))]);
        if !kms_key.is_empty() {
            let mut policy = json(&setup.kms_policy);
            policy["Statement"][0]["Resource"] = kms_key.into();
            policies.insert("encrypt-audit-events".to_owned(), policy);
        }
        let bucket = MadeBucket {
            name: setup.values.bucket.clone(),
            kms_key: (!kms_key.is_empty()).then(|| kms_key.to_owned()),
            policy: Some(json(&setup.bucket_policy)),
            object_lock: object_lock.map(|(mode, days)| (mode.to_owned(), days)),
        };
        let expected = Made {
            bucket: create_bucket.then_some(bucket),
            role_arn,
            trust_policy: json(&setup.trust_policy),
            policies,
        };
        let choices = Choices { partition, account: CUSTOMER, create_bucket, kms_key, object_lock };
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
        (0, "${BucketName}/${Prefix}*\"", "${BucketName}/*\""),
        (0, "${BucketName}/${Prefix}*/*\"", "${BucketName}/${Prefix}*\""),
        (0, "\"aws:SecureTransport\": \"false\"", "\"aws:SecureTransport\": \"true\""),
        (0, "\"Null\": { \"s3:if-none-match\": \"true\" }", "\"Null\": { \"s3:if-match\": \"true\" }"),
        (0, "StringEquals:", "StringLike:"),
        (1, "\"s3:PutObject\"", "\"s3:*\""),
        (1, "/${var.prefix}*\"", "/*\""),
        (1, "/${var.prefix}*/*\"", "/${var.prefix}*\""),
        (1, "ArnEquals", "ArnNotEquals"),
        (1, "\"s3:if-none-match\" = \"true\"", "\"s3:if-none-match\" = \"false\""),
        (1, "      Condition = { StringEquals = { \"sts:ExternalId\" = var.external_id } }\n", ""),
        (2, "\"s3:PutObject\"", "[\"s3:PutObject\", \"s3:PutObjectAcl\"]"),
        (2, "${BUCKET}/${PREFIX}*\"", "${BUCKET}*\""),
        (2, "${BUCKET}/${PREFIX}*/*\"", "${BUCKET}/${PREFIX}x*\""),
        (2, "\"Effect\": \"Deny\"", "\"Effect\": \"Allow\""),
        (2, "{\"s3:if-none-match\": \"true\"}", "{\"s3:if-none-match\": \"*\"}"),
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
fn the_policies_hold_one_permission_each_and_deny_replacing() {
    let setup = setup("arn:aws:iam::444455556666:role/put", "audit");
    let bucket = &setup.values.bucket;
    assert_eq!(
        json(&setup.permission_policy),
        json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "s3:PutObject", "Resource": format!("arn:aws:s3:::{bucket}/audit/*")},
            {
                "Effect": "Deny",
                "Action": "s3:PutObject",
                "Resource": format!("arn:aws:s3:::{bucket}/audit/*/*"),
                "Condition": {"Null": {"s3:if-none-match": "true"}},
            },
        ]})
    );
    assert_eq!(
        json(&setup.bucket_policy),
        json!({"Version": "2012-10-17", "Statement": [
            {
                "Effect": "Deny",
                "Principal": {"AWS": "*"},
                "Action": "s3:*",
                "Resource": [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
            {
                "Effect": "Deny",
                "Principal": {"AWS": "*"},
                "Action": "s3:PutObject",
                "Resource": format!("arn:aws:s3:::{bucket}/audit/*/*"),
                "Condition": {
                    "ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::444455556666:role/put"},
                    "Null": {"s3:if-none-match": "true"},
                },
            },
        ]})
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
    fn all_three(&self, choices: &Choices<'_>) -> [(&'static str, Made); 3] {
        let text = |pointer: &str| self.answer.pointer(pointer).unwrap().as_str().unwrap();
        let files = self.answer["terraform"]["files"].as_object().unwrap();
        let files = files.iter().map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())).collect();
        [
            ("CloudFormation", cloud_formation::make(text("/cloudFormation/template"), choices)),
            ("Terraform", terraform::make(&files, choices)),
            ("AWS CLI", script::make(text("/awsCli/script"), choices)),
        ]
    }

    /// Creates the resources in the embedded cloud.
    fn set_up(&self, made: &Made) {
        let made_bucket = made.bucket.as_ref().unwrap();
        let retention = made_bucket.object_lock.as_ref().map(|(mode, days)| Retention {
            mode: if mode == "COMPLIANCE" { RetentionMode::Compliance } else { RetentionMode::Governance },
            days: *days,
        });
        let bucket = Bucket {
            policy: made_bucket.policy.clone(),
            versioning: Versioning::Enabled,
            retention,
            ..Bucket::new(&made_bucket.name, CUSTOMER, "us-east-1")
        };
        self.cloud().iam().put_bucket(bucket).unwrap();
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
        self.open_session(external_id, None).await
    }

    /// A session of the role as the shipper opens it.
    async fn narrowed_session(&self, target: &Target) -> aws_sdk_s3::Client {
        self.open_session(Some(&target.external_id), Some(&Policy::session(target))).await.unwrap()
    }

    async fn open_session(
        &self,
        external_id: Option<&str>,
        policy: Option<&Policy>,
    ) -> Result<aws_sdk_s3::Client, String> {
        let config = self.cloud().sdk_config(&self.administrator(self.cloud().account()));
        let answer = aws_sdk_sts::Client::new(&config)
            .assume_role()
            .role_arn(SETUP_ROLE)
            .role_session_name("test")
            .set_external_id(external_id.map(str::to_owned))
            .set_policy(policy.map(ToString::to_string))
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

/// An object, put as delivery does.
fn object(key: &str) -> Object {
    Object {
        key: key.to_owned(),
        content_type: "application/x-ndjson",
        content: "{}\n".into(),
        existing: Existing::Keep,
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
    for (tool, made) in fixture.all_three(&choices()) {
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
    for (tool, made) in fixture.all_three(&choices()) {
        fixture.set_up(&made);
        fixture.cloud().iam().put_bucket(Bucket::new("acme-other", CUSTOMER, "us-east-1")).unwrap();
        let s3 = fixture.session(Some(&fixture.organisation.external_id)).await.unwrap();
        let put = async |bucket: &str, key: &str| {
            let put = s3.put_object().bucket(bucket).key(key).if_none_match("*").body(ByteStream::from_static(b"x"));
            put.send().await.map(drop).map_err(|error| error.code().unwrap_or_default().to_owned())
        };
        let denied = Err("AccessDenied".to_owned());
        assert_eq!(put(SETUP_BUCKET, &format!("audit/annals/{tool}")).await, Ok(()), "{tool}");
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
        let get = s3.get_object().bucket(SETUP_BUCKET).key(format!("audit/annals/{tool}")).send().await.unwrap_err();
        let delete =
            s3.delete_object().bucket(SETUP_BUCKET).key(format!("audit/annals/{tool}")).send().await.unwrap_err();
        let list = s3.list_objects_v2().bucket(SETUP_BUCKET).send().await.unwrap_err();
        let drop_bucket = s3.delete_bucket().bucket("acme-other").send().await.unwrap_err();
        for error in [code(get.code()), code(delete.code()), code(list.code()), code(drop_bucket.code())] {
            assert_eq!(error.as_deref(), Some("AccessDenied"), "{tool}");
        }
    }
    fixture.system.stop().await;
}

#[tokio::test]
async fn not_even_our_own_role_can_replace_or_delete_what_was_delivered() {
    let fixture = Fixture::start().await;
    let target = Target::of(&fixture.organisation, &fixture.destination);
    let service = fixture.cloud().account().to_owned();
    let locked = Choices { object_lock: Some(("GOVERNANCE", 1)), ..choices() };
    for (choices, name) in [(choices(), "plain"), (locked, "locked")] {
        for (tool, made) in fixture.all_three(&choices) {
            // The role's policy protects an existing bucket; the bucket's policy protects even if the role may do everything.
            let everything = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
            let without_bucket_policy = made.bucket.clone().map(|bucket| MadeBucket { policy: None, ..bucket });
            let existing = Made { bucket: without_bucket_policy, ..made.clone() };
            let widened = Made { policies: BTreeMap::from([("all".to_owned(), everything)]), ..made.clone() };
            for (made, which) in [(made, "both"), (existing, "role"), (widened, "bucket")] {
                fixture.set_up(&made);
                let sink = fixture.sink(&service);
                let at = format!("{tool}, {name}, {which}");
                let key = format!("audit/annals/2026-11/22/{}.json", at.replace(", ", "-").replace(' ', "-"));
                assert_eq!(sink.put(&target, object(&key)).await, Ok(Stored::Now), "{at}: delivery");
                assert_eq!(sink.put(&target, object(&key)).await, Ok(Stored::Before), "{at}: again");
                let replacing =
                    |key: &str| Object { content: "forged".into(), existing: Existing::Replace, ..object(key) };
                assert_denied(sink.put(&target, replacing(&key)).await, Call::PutObject);
                let fresh = format!("audit/annals/2026-11/23/{name}.json");
                assert_denied(sink.put(&target, replacing(&fresh)).await, Call::PutObject);
                let checkpoint = "audit/annals/annals-checkpoints/1.txt";
                assert_denied(sink.put(&target, replacing(checkpoint)).await, Call::PutObject);

                let session = fixture.narrowed_session(&target).await;
                let upload = session.create_multipart_upload().bucket(SETUP_BUCKET).key(&key).send().await;
                assert_eq!(upload.unwrap_err().code(), Some("AccessDenied"), "{at}: multipart");
                let delete = session.delete_object().bucket(SETUP_BUCKET).key(&key).send().await;
                assert_eq!(delete.unwrap_err().code(), Some("AccessDenied"), "{at}: delete");

                let s3 = aws_sdk_s3::Client::new(&fixture.cloud().sdk_config(&fixture.administrator(CUSTOMER)));
                let stored = s3.get_object().bucket(SETUP_BUCKET).key(&key).send().await.unwrap();
                assert_eq!(stored.body.collect().await.unwrap().to_vec(), b"{}\n", "{at}");
            }
        }
    }
    fixture.system.stop().await;
}

#[tokio::test]
async fn the_connection_test_and_delivery_pass_in_each_of_the_three() {
    let fixture = Fixture::start().await;
    let url = format!("{}/organisations/acme", fixture.system.url());
    let post = async |path: String| {
        let answer = fixture.http.post(path).bearer_auth(PLATFORM_TOKEN).json(&json!({})).send().await.unwrap();
        answer.error_for_status().unwrap().json::<Value>().await.unwrap()
    };
    for (tool, made) in fixture.all_three(&choices()) {
        fixture.set_up(&made);
        // The second test replaces the object of the first.
        for _ in 0..2 {
            let report = post(format!("{url}/destinations/{}/test", fixture.destination.id)).await;
            assert_eq!(report["outcome"], "passed", "{tool}: {report}");
        }
        let recorded = fixture.http.post(format!("{url}/events")).bearer_auth(PLATFORM_TOKEN).json(&event(tool));
        let recorded = recorded.send().await;
        assert_eq!(recorded.unwrap().status(), 201);
        let report = post(format!("{}/_local/tick", fixture.system.url())).await;
        let delivered = report["shipped"][0]["deliveries"].as_array().map_or(0, Vec::len);
        assert!(delivered > 0, "{tool}: {report}");
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

#[test]
fn the_script_protects_an_existing_bucket_only_if_it_is_told_to() {
    const OWN: &str = r#"{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}]}"#;
    let role = "arn:aws:iam::444455556666:role/security/put";
    let setup = setup(role, "audit");
    let run = |policy: &str, variables: &[(&str, &str)]| {
        let existing = script::ExistingBucket { policy, ..script::ExistingBucket::default() };
        script::run_with(&setup.script, &choices(), Some(role), existing, variables)
    };
    let commands = |run: &script::Run| -> Vec<String> {
        run.calls.iter().filter(|call| call[0] == "s3api").map(|call| call[1].clone()).collect()
    };
    assert_eq!(commands(&run("", &[])), ["head-bucket"]);

    let protect = [("PROTECT_BUCKET", "true")];
    let protected = run("", &protect);
    assert!(protected.output.status.success(), "{}", String::from_utf8_lossy(&protected.output.stderr));
    assert_eq!(
        commands(&protected),
        ["head-bucket", "get-bucket-policy", "put-bucket-policy", "put-bucket-versioning"]
    );
    let call = protected.calls.iter().find(|call| call[1] == "put-bucket-policy").unwrap();
    let policy: Value = serde_json::from_str(&call[call.len() - 1]).unwrap();
    assert_eq!(normalised(&policy), normalised(&json(&setup.bucket_policy)));

    let refused = run(OWN, &protect);
    assert!(!refused.output.status.success());
    assert_eq!(commands(&refused), ["head-bucket", "get-bucket-policy"], "nothing was changed");
    let says = String::from_utf8(refused.output.stderr).unwrap();
    let (message, statements) = says.split_once('\n').unwrap();
    assert!(message.contains("has a policy, and this script does not change it"), "{message}");
    assert_eq!(normalised(&serde_json::from_str(statements).unwrap()), normalised(&json(&setup.bucket_policy)));

    let merged = setup.bucket_policy.to_string();
    assert_eq!(commands(&run(&merged, &protect)), ["head-bucket", "get-bucket-policy", "put-bucket-versioning"]);
}

#[test]
fn the_script_does_not_pretend_to_lock_an_existing_bucket() {
    let role = "arn:aws:iam::444455556666:role/security/put";
    let setup = setup(role, "audit");
    for (is_locked, succeeds) in [(false, false), (true, true)] {
        let existing = script::ExistingBucket { is_locked, ..script::ExistingBucket::default() };
        let lock = [("OBJECT_LOCK_MODE", "GOVERNANCE")];
        let run = script::run_with(&setup.script, &choices(), Some(role), existing, &lock);
        assert_eq!(run.output.status.success(), succeeds);
        assert!(run.calls.iter().all(|call| call[1] != "put-object-lock-configuration"));
    }
    for (name, value) in [
        ("OBJECT_LOCK_MODE", "governance"),
        ("OBJECT_LOCK_DAYS", "0"),
        ("OBJECT_LOCK_DAYS", "1y"),
        ("PROTECT_BUCKET", "1"),
    ] {
        let run =
            script::run_with(&setup.script, &choices(), None, script::ExistingBucket::default(), &[(name, value)]);
        assert!(!run.output.status.success() && run.calls.is_empty(), "{name}={value}");
    }
}

#[test]
fn a_bucket_whose_policy_the_customer_manages_gets_none() {
    let setup = setup("arn:aws:iam::444455556666:role/put", "audit");
    let template = setup.template.replacen("    Default: \"true\"", "    Default: \"skip\"", 1);
    let template = template.replacen("    Default: \"true\"", "    Default: \"false\"", 1);
    let template = template.replace("    Default: \"skip\"", "    Default: \"true\"");
    let made = cloud_formation::make(&template, &choices());
    assert_eq!(made.bucket.unwrap().policy, None);

    let mut files: BTreeMap<_, _> =
        setup.terraform.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
    files.get_mut("terraform.tfvars").unwrap().push_str("create_bucket_policy = false\n");
    assert_eq!(terraform::make(&files, &choices()).bucket.unwrap().policy, None);
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
