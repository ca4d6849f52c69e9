//! The embedded AWS, asked with the real SDKs over HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic where it is")]

use std::time::Duration;

use annals_cloud::{AccessKey, Bucket, Cloud, CloudOptions, Ports, QueueOptions, Redrive, Role};
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
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use serde_json::{Value, json};

const CUSTOMER: &str = "444455556666";
const STRANGER: &str = "777788889999";
const ROLE: &str = "arn:aws:iam::444455556666:role/delivery/annals-writer";
const BUCKET: &str = "customer-logs";
const EXTERNAL_ID: &str = "north-1";

async fn cloud() -> Cloud {
    Cloud::start(CloudOptions::default()).await.unwrap()
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

/// A customer as the setup page makes one: a bucket, and a role that may write into it and trusts the cloud's account.
fn set_up_customer(cloud: &Cloud) {
    cloud.iam().put_bucket(Bucket::new(BUCKET, CUSTOMER, "us-east-1")).unwrap();
    let writes = policy("Allow", json!(["s3:PutObject"]), "arn:aws:s3:::customer-logs/*");
    cloud.iam().put_role(Role::new(ROLE, trust(cloud.account(), requires_external_id()), vec![writes])).unwrap();
}

/// The principal that Annals runs as: it may assume roles.
fn shipper(cloud: &Cloud) -> AccessKey {
    cloud.iam().create_user(cloud.account(), "shipper", policy("Allow", json!("sts:AssumeRole"), "*")).unwrap()
}

/// The customer's administrator.
fn administrator(cloud: &Cloud) -> aws_sdk_s3::Client {
    s3(cloud, &cloud.iam().create_user(CUSTOMER, "administrator", everything()).unwrap())
}

fn s3(cloud: &Cloud, key: &AccessKey) -> aws_sdk_s3::Client {
    aws_sdk_s3::Client::new(&cloud.sdk_config(key))
}

fn sts(cloud: &Cloud, key: &AccessKey) -> aws_sdk_sts::Client {
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
    let answer = sts(cloud, key)
        .assume_role()
        .role_arn(role)
        .role_session_name("annals")
        .set_external_id(external_id.map(str::to_owned))
        .set_policy(policy.map(|policy| policy.to_string()))
        .set_duration_seconds(duration_seconds)
        .send()
        .await
        .map_err(refused)?;
    let credentials = answer.credentials.unwrap();
    Ok(AccessKey::temporary(credentials.access_key_id(), credentials.secret_access_key(), credentials.session_token()))
}

/// HTTP status, code and message, as a caller sees them.
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
async fn the_servers_listen_on_this_machine_only_and_on_a_free_port_each() {
    let cloud = cloud().await;
    let endpoints = cloud.endpoints();
    for url in [&endpoints.dynamodb, &endpoints.s3, &endpoints.sts, &endpoints.sqs] {
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
    assert_eq!(cloud.sweep_ttl().await.unwrap(), 0);
    cloud.clock().advance(Duration::from_secs(62));
    assert_eq!(cloud.sweep_ttl().await.unwrap(), 1);
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
    put(&s3(&cloud, &session), BUCKET, "audit/a.json").await.unwrap();
    cloud.stop().await;
    assert_eq!(std::fs::read(directory.path().join("data/s3/customer-logs/audit/a.json")).unwrap(), b"{}\n");

    let cloud = Cloud::start(options()).await.unwrap();
    let client = aws_sdk_dynamodb::Client::new(&cloud.sdk_config(&any));
    let item = client.get_item().table_name("log").key("org", AttributeValue::S("north".into())).send().await.unwrap();
    assert!(item.item.is_some());
    let ended = put(&s3(&cloud, &session), BUCKET, "audit/a.json").await;
    assert_eq!(ended.unwrap_err().code, "InvalidAccessKeyId", "sessions do not outlive a restart");
    assume(&cloud, &key, Some(EXTERNAL_ID), None).await.unwrap();
    let object = administrator(&cloud).get_object().bucket(BUCKET).key("audit/a.json").send().await.unwrap();
    assert_eq!(object.body.collect().await.unwrap().to_vec(), b"{}\n");
}

#[tokio::test]
async fn a_role_edited_by_hand_counts_from_the_next_request_on() {
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
async fn a_role_is_assumed_with_its_external_id_only() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let key = shipper(&cloud);
    let message = format!(
        "User: arn:aws:iam::{}:user/shipper is not authorized to perform: sts:AssumeRole on resource: {ROLE}",
        cloud.account()
    );
    assume(&cloud, &key, Some(EXTERNAL_ID), None).await.unwrap();
    assert_refused(assume(&cloud, &key, Some("north-2"), None).await, 403, "AccessDenied", &message);
    assert_refused(assume(&cloud, &key, None, None).await, 403, "AccessDenied", &message);
}

#[tokio::test]
async fn a_role_without_a_condition_takes_any_external_id() {
    let cloud = cloud().await;
    let principal = format!("arn:aws:iam::{}:root", cloud.account());
    cloud.iam().put_role(Role::new(ROLE, trust(&principal, json!({})), vec![everything()])).unwrap();
    let key = shipper(&cloud);
    assume(&cloud, &key, Some("anything"), None).await.unwrap();
    assume(&cloud, &key, None, None).await.unwrap();
}

#[tokio::test]
async fn a_missing_role_and_an_untrusting_one_are_refused_in_the_same_words() {
    let cloud = cloud().await;
    let key = shipper(&cloud);
    let message = format!(
        "User: arn:aws:iam::{}:user/shipper is not authorized to perform: sts:AssumeRole on resource: {ROLE}",
        cloud.account()
    );
    assert_refused(assume(&cloud, &key, None, None).await, 403, "AccessDenied", &message);
    cloud.iam().put_role(Role::new(ROLE, trust(STRANGER, json!({})), vec![everything()])).unwrap();
    assert_refused(assume(&cloud, &key, None, None).await, 403, "AccessDenied", &message);
    cloud.iam().put_role(Role::new(ROLE, trust(cloud.account(), json!({})), vec![everything()])).unwrap();
    let session = assume(&cloud, &key, None, None).await.unwrap();
    assert!(cloud.iam().delete_role(ROLE).unwrap());
    assert_refused(assume(&cloud, &key, None, None).await, 403, "AccessDenied", &message);
    assert_eq!(
        sts(&cloud, &session).get_caller_identity().send().await.map_err(refused).unwrap_err().code,
        "InvalidClientTokenId"
    );
}

#[tokio::test]
async fn another_accounts_role_needs_both_sides() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let nothing = policy("Allow", json!("s3:ListAllMyBuckets"), "*");
    let key = cloud.iam().create_user(cloud.account(), "idle", nothing).unwrap();
    assert_eq!(assume(&cloud, &key, Some(EXTERNAL_ID), None).await.unwrap_err().code, "AccessDenied");
    let stranger = cloud.iam().create_user(STRANGER, "shipper", everything()).unwrap();
    assert_eq!(assume(&cloud, &stranger, Some(EXTERNAL_ID), None).await.unwrap_err().code, "AccessDenied");
    let denied = json!({"Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "Deny", "Action": "sts:*", "Resource": "*"}]});
    let key = cloud.iam().create_user(cloud.account(), "denied", denied).unwrap();
    let message = format!(
        "User: arn:aws:iam::{}:user/denied is not authorized to perform: sts:AssumeRole on resource: {ROLE} with an \
         explicit deny in an identity-based policy",
        cloud.account()
    );
    assert_refused(assume(&cloud, &key, Some(EXTERNAL_ID), None).await, 403, "AccessDenied", &message);
}

#[tokio::test]
async fn a_session_knows_who_it_is() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let key = shipper(&cloud);
    let user = sts(&cloud, &key).get_caller_identity().send().await.unwrap();
    assert_eq!(user.arn(), Some("arn:aws:iam::111122223333:user/shipper"));
    let session = assume(&cloud, &key, Some(EXTERNAL_ID), None).await.unwrap();
    let identity = sts(&cloud, &session).get_caller_identity().send().await.unwrap();
    assert_eq!(identity.arn(), Some("arn:aws:sts::444455556666:assumed-role/annals-writer/annals"));
    assert_eq!(identity.account(), Some(CUSTOMER));
    assert!(identity.user_id().unwrap().ends_with(":annals"));
}

#[tokio::test]
async fn parameters_of_assume_role_are_checked() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let key = shipper(&cloud);
    let with = |policy, duration| assume_role(&cloud, &key, ROLE, Some(EXTERNAL_ID), policy, duration);
    assert_eq!(with(None, Some(60)).await.unwrap_err().code, "ValidationError");
    assert_refused(
        with(None, Some(7200)).await,
        400,
        "ValidationError",
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
    );
    assert_eq!(with(Some(json!({"Statement": []})), None).await.unwrap_err().code, "MalformedPolicyDocument");
    let large = policy("Allow", json!("s3:PutObject"), &format!("arn:aws:s3:::{}", "x".repeat(2100)));
    assert_eq!(with(Some(large), None).await.unwrap_err().code, "PackedPolicyTooLarge");
    assert_eq!(assume(&cloud, &key, Some("no spaces"), None).await.unwrap_err().code, "ValidationError");
    let invalid = sts(&cloud, &key).assume_role().role_arn(ROLE).role_session_name("no spaces").send().await;
    assert_eq!(refused(invalid.unwrap_err()).code, "ValidationError");
}

#[tokio::test]
async fn a_chained_session_lasts_an_hour_at_most() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let own = format!("arn:aws:iam::{}:role/shipper", cloud.account());
    let assumes = policy("Allow", json!("sts:AssumeRole"), "*");
    cloud.iam().put_role(Role::new(&own, trust(cloud.account(), json!({})), vec![assumes])).unwrap();
    let long = Role { max_session_seconds: 43200, ..cloud.iam().role(ROLE).unwrap() };
    cloud.iam().put_role(long).unwrap();
    let session = assume_role(&cloud, &shipper(&cloud), &own, None, None, None).await.unwrap();
    assert_refused(
        assume_role(&cloud, &session, ROLE, Some(EXTERNAL_ID), None, Some(7200)).await,
        400,
        "ValidationError",
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
    );
    assume_role(&cloud, &session, ROLE, Some(EXTERNAL_ID), None, Some(3600)).await.unwrap();
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
        let sts = refused(sts(&cloud, key).get_caller_identity().send().await.unwrap_err());
        assert_eq!((sts.status, sts.code.as_str()), (403, sts_code));
        let s3 = put(&s3(&cloud, key), BUCKET, "a").await.unwrap_err();
        assert_eq!((s3.status, s3.code.as_str()), (403, s3_code));
        let sqs = aws_sdk_sqs::Client::new(&cloud.sdk_config(key));
        let sqs = refused(sqs.send_message().queue_url(&queue).message_body("a").send().await.unwrap_err());
        assert_eq!((sqs.status, sqs.code.as_str()), (403, sqs_code));
    }
}

#[tokio::test]
async fn a_session_token_is_checked_and_runs_out() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let key = shipper(&cloud);
    let session = assume_role(&cloud, &key, ROLE, Some(EXTERNAL_ID), None, Some(900)).await.unwrap();
    put(&s3(&cloud, &session), BUCKET, "a").await.unwrap();

    let garbage = AccessKey::temporary(&session.id, &session.secret, "garbage");
    let refusal = put(&s3(&cloud, &garbage), BUCKET, "a").await;
    assert_refused(refusal, 400, "InvalidToken", "The provided token is malformed or otherwise invalid.");
    let refusal = sts(&cloud, &garbage).get_caller_identity().send().await.map_err(refused).unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (403, "InvalidClientTokenId"));
    let without = AccessKey::new(&session.id, &session.secret);
    assert_eq!(put(&s3(&cloud, &without), BUCKET, "a").await.unwrap_err().code, "InvalidAccessKeyId");

    cloud.clock().advance(Duration::from_secs(899));
    put(&s3(&cloud, &session), BUCKET, "b").await.unwrap();
    cloud.clock().advance(Duration::from_secs(2));
    let refusal = put(&s3(&cloud, &session), BUCKET, "c").await;
    assert_refused(refusal, 400, "ExpiredToken", "The provided token has expired.");
    let refusal = sts(&cloud, &session).get_caller_identity().send().await.map_err(refused).unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (403, "ExpiredToken"));
}

#[tokio::test]
async fn a_role_does_what_its_policy_allows_and_nothing_else() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let session = assume(&cloud, &shipper(&cloud), Some(EXTERNAL_ID), None).await.unwrap();
    let client = s3(&cloud, &session);
    put(&client, BUCKET, "audit/a").await.unwrap();
    let refusal = client.get_object().bucket(BUCKET).key("audit/a").send().await.map_err(refused);
    assert_refused(
        refusal,
        403,
        "AccessDenied",
        "User: arn:aws:sts::444455556666:assumed-role/annals-writer/annals is not authorized to perform: s3:GetObject on \
         resource: \"arn:aws:s3:::customer-logs/audit/a\" because no identity-based policy allows the s3:GetObject action",
    );
    assert_eq!(client.list_objects_v2().bucket(BUCKET).send().await.map_err(refused).unwrap_err().code, "AccessDenied");
    assert_eq!(client.get_bucket_acl().bucket(BUCKET).send().await.map_err(refused).unwrap_err().code, "AccessDenied");
}

#[tokio::test]
async fn a_session_policy_narrows_to_a_prefix() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let narrow = policy("Allow", json!("s3:PutObject"), "arn:aws:s3:::customer-logs/audit/*");
    let session = assume(&cloud, &shipper(&cloud), Some(EXTERNAL_ID), Some(narrow)).await.unwrap();
    let client = s3(&cloud, &session);
    put(&client, BUCKET, "audit/a").await.unwrap();
    assert_refused(
        put(&client, BUCKET, "other/a").await,
        403,
        "AccessDenied",
        "User: arn:aws:sts::444455556666:assumed-role/annals-writer/annals is not authorized to perform: s3:PutObject on \
         resource: \"arn:aws:s3:::customer-logs/other/a\" because no session policy allows the s3:PutObject action",
    );
}

#[tokio::test]
async fn a_session_policy_does_not_widen() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let session = assume(&cloud, &shipper(&cloud), Some(EXTERNAL_ID), Some(everything())).await.unwrap();
    let listed = s3(&cloud, &session).list_objects_v2().bucket(BUCKET).send().await.map_err(refused);
    assert!(listed.unwrap_err().message.ends_with("because no identity-based policy allows the s3:ListBucket action"));
}

#[tokio::test]
async fn a_bucket_policy_that_denies_wins() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let deny = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::customer-logs/closed/*"}]});
    let administrator = administrator(&cloud);
    administrator.put_bucket_policy().bucket(BUCKET).policy(deny.to_string()).send().await.unwrap();
    let session = assume(&cloud, &shipper(&cloud), Some(EXTERNAL_ID), None).await.unwrap();
    let client = s3(&cloud, &session);
    put(&client, BUCKET, "open/a").await.unwrap();
    assert_refused(
        put(&client, BUCKET, "closed/a").await,
        403,
        "AccessDenied",
        "User: arn:aws:sts::444455556666:assumed-role/annals-writer/annals is not authorized to perform: s3:PutObject on \
         resource: \"arn:aws:s3:::customer-logs/closed/a\" with an explicit deny in a resource-based policy",
    );
    administrator.delete_bucket_policy().bucket(BUCKET).send().await.unwrap();
    put(&client, BUCKET, "closed/a").await.unwrap();
}

#[tokio::test]
async fn a_bucket_policy_with_an_unknown_operator_is_not_stored() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let unknown = json!({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*",
        "Condition": {"StringSortOfEquals": {"aws:userid": "x"}}}]});
    let stored = administrator(&cloud).put_bucket_policy().bucket(BUCKET).policy(unknown.to_string()).send().await;
    let refusal = refused(stored.unwrap_err());
    assert_eq!((refusal.status, refusal.code.as_str()), (400, "MalformedPolicy"));
    assert_eq!(cloud.iam().bucket(BUCKET).unwrap().policy, None);
}

#[tokio::test]
async fn another_accounts_bucket_needs_both_policies_and_tells_no_reason() {
    let cloud = cloud().await;
    cloud.iam().put_bucket(Bucket::new("strangers-logs", STRANGER, "us-east-1")).unwrap();
    let client = administrator(&cloud);
    assert_refused(put(&client, "strangers-logs", "a").await, 403, "AccessDenied", "Access Denied");
    let permits = json!({"Statement": {"Effect": "Allow", "Principal": {"AWS": CUSTOMER}, "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::strangers-logs/*"}});
    let bucket = Bucket { policy: Some(permits), ..Bucket::new("strangers-logs", STRANGER, "us-east-1") };
    cloud.iam().put_bucket(bucket).unwrap();
    put(&client, "strangers-logs", "a").await.unwrap();
}

#[tokio::test]
async fn the_expected_owner_is_compared() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let client = administrator(&cloud);
    let put = |owner| client.put_object().bucket(BUCKET).key("a").expected_bucket_owner(owner).send();
    put(CUSTOMER).await.unwrap();
    let refusal = put(STRANGER).await.map(|_| ()).map_err(refused);
    assert_refused(refusal, 403, "AccessDenied", "Access Denied");
}

#[tokio::test]
async fn a_conditional_write_succeeds_once() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let client = administrator(&cloud);
    let put = |body: &'static [u8]| {
        client.put_object().bucket(BUCKET).key("a").if_none_match("*").body(ByteStream::from_static(body)).send()
    };
    put(b"first").await.unwrap();
    let refusal = put(b"second").await.map(|_| ()).map_err(refused);
    let message = "At least one of the pre-conditions you specified did not hold";
    assert_refused(refusal, 412, "PreconditionFailed", message);
    let object = client.get_object().bucket(BUCKET).key("a").send().await.unwrap();
    assert_eq!(object.body.collect().await.unwrap().to_vec(), b"first");
}

#[tokio::test]
async fn an_object_that_arrives_broken_is_not_stored() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let client = administrator(&cloud);
    let put = |checksum: &str| {
        let body = ByteStream::from_static(b"hello");
        client.put_object().bucket(BUCKET).key("a").if_none_match("*").checksum_crc32(checksum).body(body).send()
    };
    let refusal = put("AAAAAA==").await.map(|_| ()).map_err(refused).unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (400, "BadDigest"));
    put("NhCmhg==").await.unwrap();
}

#[tokio::test]
async fn of_conditional_writes_at_the_same_time_one_succeeds() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let client = administrator(&cloud);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let body = ByteStream::from(vec![b'x'; 100_000]);
            tokio::spawn(client.put_object().bucket(BUCKET).key("a").if_none_match("*").body(body).send())
        })
        .collect();
    let mut succeeded = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => succeeded += 1,
            Err(error) => assert_eq!(refused(error).status, 412),
        }
    }
    assert_eq!(succeeded, 1);
}

#[tokio::test]
async fn a_missing_bucket_and_a_missing_key_are_told_apart() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let client = administrator(&cloud);
    assert_refused(put(&client, "nowhere", "a").await, 404, "NoSuchBucket", "The specified bucket does not exist");
    let get = |client: &aws_sdk_s3::Client| client.get_object().bucket(BUCKET).key("nothing").send();
    assert_eq!(get(&client).await.map_err(refused).unwrap_err().code, "NoSuchKey");
    let reader = policy("Allow", json!("s3:GetObject"), "*");
    let reader = s3(&cloud, &cloud.iam().create_user(CUSTOMER, "reader", reader).unwrap());
    assert_eq!(get(&reader).await.map_err(refused).unwrap_err().code, "AccessDenied", "who may not list, may not know");
}

#[tokio::test]
async fn a_refusal_of_a_large_object_arrives() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let session = assume(&cloud, &shipper(&cloud), Some(EXTERNAL_ID), None).await.unwrap();
    let client = s3(&cloud, &session);
    let body = || ByteStream::from(vec![b'x'; 16 * 1024 * 1024]);
    let refusal = client.put_object().bucket("nowhere").key("a").body(body()).send().await.map(|_| ()).map_err(refused);
    assert_eq!(refusal.unwrap_err().code, "NoSuchBucket");
    client.put_object().bucket(BUCKET).key("a").body(body()).send().await.unwrap();
}

#[tokio::test]
async fn a_request_for_another_region_is_told_the_region() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    cloud.iam().put_bucket(Bucket::new(BUCKET, CUSTOMER, "eu-west-1")).unwrap();
    let key = cloud.iam().create_user(CUSTOMER, "administrator", everything()).unwrap();
    let client = s3(&cloud, &key);
    let error =
        client.put_object().bucket(BUCKET).key("a").body(ByteStream::from_static(b"x")).send().await.unwrap_err();
    let region = error.raw_response().and_then(|response| response.headers().get("x-amz-bucket-region"));
    assert_eq!(region, Some("eu-west-1"));
    assert_refused(
        Err::<(), _>(refused(error)),
        301,
        "PermanentRedirect",
        "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future \
         requests to this endpoint.",
    );
    let client = aws_sdk_s3::Client::new(&in_region(cloud.sdk_config(&key), "eu-west-1"));
    put(&client, BUCKET, "a").await.unwrap();
    let head = client.head_bucket().bucket(BUCKET).send().await.unwrap();
    assert_eq!(head.bucket_region(), Some("eu-west-1"));
}

#[tokio::test]
async fn buckets_are_created_listed_and_deleted_by_their_owner() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let client = administrator(&cloud);
    client.create_bucket().bucket("fresh").send().await.unwrap();
    let again = client.create_bucket().bucket("fresh").send().await.map(|_| ()).map_err(refused).unwrap_err();
    assert_eq!((again.status, again.code.as_str()), (409, "BucketAlreadyOwnedByYou"));
    cloud.iam().put_bucket(Bucket::new("strangers", STRANGER, "us-east-1")).unwrap();
    let taken = client.create_bucket().bucket("strangers").send().await.map(|_| ()).map_err(refused).unwrap_err();
    assert_eq!((taken.status, taken.code.as_str()), (409, "BucketAlreadyExists"));
    let listed = client.list_buckets().send().await.unwrap();
    let mut names: Vec<_> = listed.buckets().iter().filter_map(|bucket| bucket.name()).collect();
    names.sort_unstable();
    assert_eq!(names, [BUCKET, "fresh"]);

    put(&client, "fresh", "deep/down/a").await.unwrap();
    let listed = client.list_objects_v2().bucket("fresh").prefix("deep/").send().await.unwrap();
    let keys: Vec<_> = listed.contents().iter().filter_map(|object| object.key()).collect();
    assert_eq!(keys, ["deep/down/a"]);
    let refusal = client.delete_bucket().bucket("fresh").send().await.map(|_| ()).map_err(refused).unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (409, "BucketNotEmpty"));
    client.delete_object().bucket("fresh").key("deep/down/a").send().await.unwrap();
    client.delete_bucket().bucket("fresh").send().await.unwrap();
    assert_eq!(cloud.iam().bucket("fresh"), None);
}

#[tokio::test]
async fn a_key_that_files_cannot_hold_is_refused_and_not_an_error_of_the_server() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let client = administrator(&cloud);
    put(&client, BUCKET, "a/b").await.unwrap();
    for (key, code) in [
        ("a", "InvalidArgument"),
        ("a/b/c", "InvalidArgument"),
        ("a//b", "InvalidArgument"),
        (&*"x".repeat(200), "KeyTooLongError"),
    ] {
        let refusal = put(&client, BUCKET, key).await.unwrap_err();
        assert_eq!((refusal.status, refusal.code.as_str()), (400, code), "{key}");
    }
    put(&client, BUCKET, "a/b").await.unwrap();
}

#[tokio::test]
async fn a_key_cannot_reach_into_another_bucket() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    cloud.iam().put_bucket(Bucket::new("strangers", STRANGER, "us-east-1")).unwrap();
    let refusal = put(&administrator(&cloud), BUCKET, "../strangers/a").await;
    assert!(refusal.is_err(), "{refusal:?}");
    let permits = json!({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}});
    cloud
        .iam()
        .put_bucket(Bucket { policy: Some(permits), ..Bucket::new("strangers", STRANGER, "us-east-1") })
        .unwrap();
    let listed = administrator(&cloud).list_objects_v2().bucket("strangers").send().await.unwrap();
    assert!(listed.contents().is_empty());
}

struct Queues {
    cloud: Cloud,
    client: aws_sdk_sqs::Client,
    work: String,
    dead: String,
}

async fn queues() -> Queues {
    let cloud = cloud().await;
    let key = cloud.iam().create_user(cloud.account(), "worker", policy("Allow", json!("sqs:*"), "*")).unwrap();
    let client = aws_sdk_sqs::Client::new(&cloud.sdk_config(&key));
    let dead = cloud.create_queue("dead", QueueOptions::default()).unwrap();
    let redrive = Redrive { dead_letter_queue: "dead".to_owned(), max_receive_count: 2 };
    let work = cloud.create_queue("work", QueueOptions { redrive: Some(redrive), ..QueueOptions::default() }).unwrap();
    Queues { cloud, client, work, dead }
}

impl Queues {
    async fn send(&self, body: &str) {
        self.client.send_message().queue_url(&self.work).message_body(body).send().await.unwrap();
    }

    async fn receive(&self, queue: &str) -> Vec<aws_sdk_sqs::types::Message> {
        self.client
            .receive_message()
            .queue_url(queue)
            .max_number_of_messages(10)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All")
            .send()
            .await
            .unwrap()
            .messages
            .unwrap_or_default()
    }

    async fn count(&self, queue: &str, name: QueueAttributeName) -> String {
        let request = self.client.get_queue_attributes().queue_url(queue).attribute_names(QueueAttributeName::All);
        request.send().await.unwrap().attributes.unwrap()[&name].clone()
    }
}

#[tokio::test]
async fn a_message_carries_its_body_its_attributes_and_their_digests() {
    let queues = queues().await;
    let attribute = MessageAttributeValue::builder().data_type("String").string_value("north").build().unwrap();
    let sent = queues
        .client
        .send_message()
        .queue_url(&queues.work)
        .message_body("hello")
        .message_attributes("organisation", attribute)
        .send()
        .await
        .unwrap();
    assert_eq!(sent.md5_of_message_body(), Some("5d41402abc4b2a76b9719d911017c592"));
    let message = queues.receive(&queues.work).await.remove(0);
    assert_eq!(message.message_id(), sent.message_id());
    assert_eq!((message.body(), message.md5_of_body()), (Some("hello"), sent.md5_of_message_body()));
    assert_eq!(message.md5_of_message_attributes(), sent.md5_of_message_attributes());
    assert_eq!(message.message_attributes().unwrap()["organisation"].string_value(), Some("north"));
    assert_eq!(message.attributes().unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount], "1");
}

#[tokio::test]
async fn a_message_comes_again_after_its_visibility_timeout_and_goes_to_the_dead_letters_in_the_end() {
    let queues = queues().await;
    queues.send("a").await;
    for receipt in ["1", "2"] {
        let message = queues.receive(&queues.work).await.remove(0);
        assert_eq!(message.attributes().unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount], receipt);
        assert!(queues.receive(&queues.work).await.is_empty(), "invisible while it is worked on");
        assert_eq!(queues.count(&queues.work, QueueAttributeName::ApproximateNumberOfMessagesNotVisible).await, "1");
        queues.cloud.clock().advance(Duration::from_secs(31));
    }
    assert!(queues.receive(&queues.work).await.is_empty());
    assert_eq!(queues.count(&queues.dead, QueueAttributeName::ApproximateNumberOfMessages).await, "1");
    let dead = queues.receive(&queues.dead).await.remove(0);
    assert_eq!(dead.body(), Some("a"));
    assert_eq!(
        dead.attributes().unwrap()[&MessageSystemAttributeName::DeadLetterQueueSourceArn],
        "arn:aws:sqs:us-east-1:111122223333:work"
    );
}

#[tokio::test]
async fn a_deleted_message_does_not_come_again() {
    let queues = queues().await;
    queues.send("a").await;
    let handle = queues.receive(&queues.work).await.remove(0).receipt_handle.unwrap();
    queues.client.delete_message().queue_url(&queues.work).receipt_handle(&handle).send().await.unwrap();
    queues.cloud.clock().advance(Duration::from_secs(31));
    assert!(queues.receive(&queues.work).await.is_empty());

    let delete = queues.client.delete_message().queue_url(&queues.work).receipt_handle("garbage");
    let error = delete.send().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_receipt_handle_is_invalid(), "{error:?}");
}

#[tokio::test]
async fn visibility_is_changed_to_hand_a_message_back() {
    let queues = queues().await;
    queues.send("a").await;
    let handle = queues.receive(&queues.work).await.remove(0).receipt_handle.unwrap();
    let change = |seconds| {
        let request = queues.client.change_message_visibility().queue_url(&queues.work);
        request.receipt_handle(&handle).visibility_timeout(seconds).send()
    };
    change(0).await.unwrap();
    assert_eq!(queues.receive(&queues.work).await.len(), 1);
    let error = change(5).await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_message_not_inflight(), "a handle of an earlier receipt: {error:?}");
}

#[tokio::test]
async fn a_batch_reports_each_entry() {
    let queues = queues().await;
    let entry =
        |id: &str, body: &str| SendMessageBatchRequestEntry::builder().id(id).message_body(body).build().unwrap();
    let send =
        |entries: Vec<_>| queues.client.send_message_batch().queue_url(&queues.work).set_entries(Some(entries)).send();
    let sent = send(vec![entry("a", "one"), entry("b", "\u{1}")]).await.unwrap();
    assert_eq!(sent.successful()[0].id(), "a");
    assert_eq!((sent.failed()[0].id(), sent.failed()[0].code()), ("b", "InvalidMessageContents"));

    let error = send((0..11).map(|index| entry(&index.to_string(), "x")).collect()).await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_too_many_entries_in_batch_request(), "{error:?}");
    let error = send(vec![entry("a", "x"), entry("a", "x")]).await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_batch_entry_ids_not_distinct(), "{error:?}");
    let error = send(vec![]).await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_empty_batch_request(), "{error:?}");
    let half = "x".repeat(600_000);
    let error = send(vec![entry("a", &half), entry("b", &half)]).await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_batch_request_too_long(), "{error:?}");

    let handle = queues.receive(&queues.work).await.remove(0).receipt_handle.unwrap();
    let delete = |id: &str, handle: &str| {
        DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(handle).build().unwrap()
    };
    let request = queues.client.delete_message_batch().queue_url(&queues.work);
    let deleted = request.entries(delete("a", &handle)).entries(delete("b", "garbage")).send().await.unwrap();
    assert_eq!((deleted.successful()[0].id(), deleted.failed()[0].id()), ("a", "b"));
}

#[tokio::test]
async fn a_long_poll_returns_as_soon_as_a_message_is_there() {
    let queues = queues().await;
    let poll = || {
        let request = queues.client.receive_message().queue_url(&queues.work).wait_time_seconds(20);
        tokio::spawn(tokio::time::timeout(Duration::from_secs(10), request.send()))
    };
    let waiting = poll();
    queues.send("a").await;
    assert_eq!(waiting.await.unwrap().unwrap().unwrap().messages().len(), 1, "sent");

    let waiting = poll();
    tokio::task::yield_now().await;
    queues.cloud.clock().advance(Duration::from_secs(31));
    assert_eq!(waiting.await.unwrap().unwrap().unwrap().messages().len(), 1, "visible again");

    let waiting = poll();
    tokio::task::yield_now().await;
    tokio::time::timeout(Duration::from_secs(10), queues.cloud.stop()).await.unwrap();
    drop(waiting);
}

#[tokio::test]
async fn a_delayed_message_waits() {
    let queues = queues().await;
    let request = queues.client.send_message().queue_url(&queues.work).message_body("later").delay_seconds(60);
    request.send().await.unwrap();
    assert_eq!(queues.count(&queues.work, QueueAttributeName::ApproximateNumberOfMessagesDelayed).await, "1");
    assert!(queues.receive(&queues.work).await.is_empty());
    queues.cloud.clock().advance(Duration::from_secs(60));
    assert_eq!(queues.receive(&queues.work).await.len(), 1);
}

#[tokio::test]
async fn queues_are_created_found_and_missed() {
    let queues = queues().await;
    let create = |timeout: &str| {
        let request = queues.client.create_queue().queue_name("made");
        request.attributes(QueueAttributeName::VisibilityTimeout, timeout).send()
    };
    let url = create("60").await.unwrap().queue_url.unwrap();
    assert_eq!(create("60").await.unwrap().queue_url.unwrap(), url);
    let error = create("61").await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_queue_name_exists(), "{error:?}");
    let found = queues.client.get_queue_url().queue_name("made").send().await.unwrap();
    assert_eq!(found.queue_url(), Some(url.as_str()));
    assert_eq!(queues.count(&url, QueueAttributeName::VisibilityTimeout).await, "60");

    let missing = url.replace("made", "missing");
    let error = queues.client.send_message().queue_url(&missing).message_body("a").send().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_queue_does_not_exist(), "{error:?}");
    assert_eq!(refused(error).code, "AWS.SimpleQueueService.NonExistentQueue");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused() {
    let queues = queues().await;
    let body = "x".repeat(1_048_577);
    let error = queues.client.send_message().queue_url(&queues.work).message_body(body).send().await.unwrap_err();
    assert_refused(
        Err::<(), _>(refused(error)),
        400,
        "InvalidParameterValue",
        "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.",
    );
}

#[tokio::test]
async fn queues_ask_for_permission() {
    let queues = queues().await;
    let idle =
        queues.cloud.iam().create_user(queues.cloud.account(), "idle", policy("Allow", json!("s3:*"), "*")).unwrap();
    let client = aws_sdk_sqs::Client::new(&queues.cloud.sdk_config(&idle));
    let error = client.send_message().queue_url(&queues.work).message_body("a").send().await.unwrap_err();
    let refusal = refused(error);
    assert_eq!((refusal.status, refusal.code.as_str()), (403, "AccessDenied"));
    assert!(
        refusal.message.contains("sqs:sendmessage on resource: arn:aws:sqs:us-east-1:111122223333:work because no")
    );
}
