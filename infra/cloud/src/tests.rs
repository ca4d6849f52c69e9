//! The embedded cloud, called through the real SDKs over HTTP.

mod disk;
mod keys;
mod queues;
mod roles;
mod s3;

use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TimeToLiveSpecification,
};
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
};
use serde_json::{Value, json};

use super::{AccessKey, Bucket, Clock, Cloud, CloudOptions, Key, KeyState, Ports, QueueOptions, Role};

/// 2026-12-01, midnight UTC.
const NOW_MILLIS: u64 = 1_796_083_200_000;
const CUSTOMER: &str = "444455556666";
const STRANGER: &str = "777788889999";
const ROLE: &str = "arn:aws:iam::444455556666:role/delivery/writer";
const BUCKET: &str = "customer-logs";
const EXTERNAL_ID: &str = "north-1";

/// Starts a cloud whose time stands still: tests advance it.
async fn cloud() -> Cloud {
    Cloud::start(CloudOptions { clock: Clock::fixed(NOW_MILLIS), ..CloudOptions::default() }).await.unwrap()
}

fn policy(effect: &str, action: Value, resource: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": action, "Resource": resource}]})
}

fn everything() -> Value {
    policy("Allow", json!("*"), "*")
}

fn trust(principal: &str, condition: Value) -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole", "Condition": condition}]})
}

fn requires_external_id() -> Value {
    json!({"StringEquals": {"sts:ExternalId": EXTERNAL_ID}})
}

/// Creates a customer's bucket, and a role that may write into it and trusts the cloud's account.
fn set_up_customer(cloud: &Cloud) {
    cloud.iam().put_bucket(Bucket::new(BUCKET, CUSTOMER, "us-east-1")).unwrap();
    let writes = policy("Allow", json!(["s3:PutObject"]), "arn:aws:s3:::customer-logs/*");
    cloud.iam().put_role(Role::new(ROLE, trust(cloud.account(), requires_external_id()), vec![writes])).unwrap();
}

/// Creates a user of the cloud's own account that may assume roles.
fn shipper(cloud: &Cloud) -> AccessKey {
    cloud.iam().create_user(cloud.account(), "shipper", policy("Allow", json!("sts:AssumeRole"), "*")).unwrap()
}

/// Returns the customer's administrator.
fn administrator(cloud: &Cloud) -> aws_sdk_s3::Client {
    s3_client(cloud, &cloud.iam().create_user(CUSTOMER, "administrator", everything()).unwrap())
}

fn s3_client(cloud: &Cloud, key: &AccessKey) -> aws_sdk_s3::Client {
    aws_sdk_s3::Client::new(&cloud.sdk_config(key))
}

fn sts_client(cloud: &Cloud, key: &AccessKey) -> aws_sdk_sts::Client {
    aws_sdk_sts::Client::new(&cloud.sdk_config(key))
}

fn in_region(config: SdkConfig, region: &'static str) -> SdkConfig {
    config.into_builder().region(Region::new(region)).build()
}

async fn assume(
    cloud: &Cloud,
    key: &AccessKey,
    external_id: Option<&str>,
    policy: Option<Value>,
) -> Result<AccessKey, Refused> {
    assume_role(cloud, key, ROLE, external_id, policy, None).await
}

async fn assume_role(
    cloud: &Cloud,
    key: &AccessKey,
    role: &str,
    external_id: Option<&str>,
    policy: Option<Value>,
    duration_seconds: Option<i32>,
) -> Result<AccessKey, Refused> {
    let answer = sts_client(cloud, key)
        .assume_role()
        .role_arn(role)
        .role_session_name("delivery")
        .set_external_id(external_id.map(str::to_owned))
        .set_policy(policy.map(|policy| policy.to_string()))
        .set_duration_seconds(duration_seconds)
        .send()
        .await
        .map_err(refused)?;
    let credentials = answer.credentials.unwrap();
    Ok(AccessKey::temporary(credentials.access_key_id(), credentials.secret_access_key(), credentials.session_token()))
}

/// An error as the caller sees it.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    status: u16,
    code: String,
    message: String,
}

fn refused<E: ProvideErrorMetadata + std::fmt::Debug>(error: SdkError<E, HttpResponse>) -> Refused {
    Refused {
        status: error.raw_response().map_or(0, |response| response.status().as_u16()),
        code: error.code().unwrap_or_default().to_owned(),
        message: error.message().unwrap_or_default().to_owned(),
    }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, Refused>, status: u16, code: &str, message: &str) {
    let expected = Refused { status, code: code.to_owned(), message: message.to_owned() };
    assert_eq!(result.unwrap_err(), expected);
}

async fn put(client: &aws_sdk_s3::Client, bucket: &str, key: &str) -> Result<(), Refused> {
    let body = ByteStream::from_static(b"{}\n");
    client.put_object().bucket(bucket).key(key).body(body).send().await.map(|_| ()).map_err(refused)
}

#[tokio::test]
async fn each_server_listens_on_the_loopback_interface_on_a_free_port() {
    let cloud = cloud().await;
    let endpoints = cloud.endpoints();
    for url in [&endpoints.dynamodb, &endpoints.s3, &endpoints.sts, &endpoints.sqs, &endpoints.kms] {
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    }
    let taken: u16 = endpoints.s3.rsplit(':').next().unwrap().parse().unwrap();
    let ports = Ports { sqs: taken, ..Ports::default() };
    let error = Cloud::start(CloudOptions { ports, ..CloudOptions::default() }).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on port {taken} for SQS"));
    cloud.stop().await;
}

async fn create_table(client: &aws_sdk_dynamodb::Client) {
    let attribute =
        AttributeDefinition::builder().attribute_name("org").attribute_type(ScalarAttributeType::S).build().unwrap();
    let key = KeySchemaElement::builder().attribute_name("org").key_type(KeyType::Hash).build().unwrap();
    client
        .create_table()
        .table_name("log")
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute)
        .key_schema(key)
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn items_expire() {
    let cloud = cloud().await;
    let client = aws_sdk_dynamodb::Client::new(&cloud.sdk_config(&AccessKey::new("any", "any")));
    create_table(&client).await;
    let expiry = TimeToLiveSpecification::builder().enabled(true).attribute_name("x").build().unwrap();
    client.update_time_to_live().table_name("log").time_to_live_specification(expiry).send().await.unwrap();
    let expires_seconds = cloud.clock().now_millis() / 1000 + 60;
    client
        .put_item()
        .table_name("log")
        .item("org", AttributeValue::S("north".into()))
        .item("x", AttributeValue::N(expires_seconds.to_string()))
        .send()
        .await
        .unwrap();
    // The cloud may delete the item by itself between two calls, so the number that a sweep returns is not asserted.
    let count = async || {
        cloud.sweep_ttl().await.unwrap();
        client.scan().table_name("log").send().await.unwrap().count()
    };
    cloud.clock().advance(Duration::from_secs(60));
    assert_eq!(count().await, 1);
    cloud.clock().advance(Duration::from_secs(1));
    assert_eq!(count().await, 0);
}

#[tokio::test]
async fn data_outlives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let options = || CloudOptions { data_dir: Some(directory.path().join("data")), ..CloudOptions::default() };
    let any = AccessKey::new("any", "any");

    let cloud = Cloud::start(options()).await.unwrap();
    set_up_customer(&cloud);
    let key = shipper(&cloud);
    let client = aws_sdk_dynamodb::Client::new(&cloud.sdk_config(&any));
    create_table(&client).await;
    client.put_item().table_name("log").item("org", AttributeValue::S("north".into())).send().await.unwrap();
    let session = assume(&cloud, &key, Some(EXTERNAL_ID), None).await.unwrap();
    put(&s3_client(&cloud, &session), BUCKET, "audit/a.json").await.unwrap();
    cloud.stop().await;
    assert_eq!(std::fs::read(directory.path().join("data/s3/customer-logs/audit/a.json")).unwrap(), b"{}\n");

    let cloud = Cloud::start(options()).await.unwrap();
    let client = aws_sdk_dynamodb::Client::new(&cloud.sdk_config(&any));
    let item = client.get_item().table_name("log").key("org", AttributeValue::S("north".into())).send().await.unwrap();
    assert!(item.item.is_some());
    let ended = put(&s3_client(&cloud, &session), BUCKET, "audit/a.json").await;
    assert_eq!(ended.unwrap_err().code, "InvalidAccessKeyId", "sessions do not outlive a restart");
    assume(&cloud, &key, Some(EXTERNAL_ID), None).await.unwrap();
    let object = administrator(&cloud).get_object().bucket(BUCKET).key("audit/a.json").send().await.unwrap();
    assert_eq!(object.body.collect().await.unwrap().to_vec(), b"{}\n");
}

#[tokio::test]
async fn a_role_edited_by_hand_has_an_effect_from_the_next_request_on() {
    let directory = tempfile::tempdir().unwrap();
    let options = CloudOptions { data_dir: Some(directory.path().to_owned()), ..CloudOptions::default() };
    let cloud = Cloud::start(options).await.unwrap();
    set_up_customer(&cloud);
    let key = shipper(&cloud);
    assert!(assume(&cloud, &key, Some("edited"), None).await.is_err());
    let file = directory.path().join("aws.json");
    let edited = std::fs::read_to_string(&file).unwrap().replace(EXTERNAL_ID, "edited");
    std::fs::write(&file, edited).unwrap();
    assume(&cloud, &key, Some("edited"), None).await.unwrap();
}

#[tokio::test]
async fn a_wrong_secret_is_refused_everywhere() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let queue = cloud.create_queue("work", QueueOptions::default()).unwrap();
    let wrong = AccessKey::new(shipper(&cloud).id, "wrong");
    let unknown = AccessKey::new("AKIAAAAAAAAAAAAAAAAA", "wrong");
    for (key, sts_code, s3_code, sqs_code) in [
        (&wrong, "SignatureDoesNotMatch", "SignatureDoesNotMatch", "SignatureDoesNotMatch"),
        (&unknown, "InvalidClientTokenId", "InvalidAccessKeyId", "InvalidClientTokenId"),
    ] {
        let sts = refused(sts_client(&cloud, key).get_caller_identity().send().await.unwrap_err());
        assert_eq!((sts.status, sts.code.as_str()), (403, sts_code));
        let s3 = put(&s3_client(&cloud, key), BUCKET, "a").await.unwrap_err();
        assert_eq!((s3.status, s3.code.as_str()), (403, s3_code));
        let sqs = aws_sdk_sqs::Client::new(&cloud.sdk_config(key));
        let sqs = refused(sqs.receive_message().queue_url(&queue).send().await.unwrap_err());
        assert_eq!((sqs.status, sqs.code.as_str()), (403, sqs_code));
    }
}
