//! S3.

use aws_sdk_s3::types::{
    BucketVersioningStatus, DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode,
    ObjectLockRule, VersioningConfiguration,
};
use reqwest::header::{ETAG, LAST_MODIFIED};

use super::*;

#[tokio::test]
async fn a_bucket_policy_that_denies_wins() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let deny = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::customer-logs/closed/*"}]});
    let administrator = administrator(&cloud);
    administrator.put_bucket_policy().bucket(BUCKET).policy(deny.to_string()).send().await.unwrap();
    let session = assume(&cloud, &shipper(&cloud), Some(EXTERNAL_ID), None).await.unwrap();
    let client = s3_client(&cloud, &session);
    put(&client, BUCKET, "open/a").await.unwrap();
    assert_refused(
        put(&client, BUCKET, "closed/a").await,
        403,
        "AccessDenied",
        "User: arn:aws:sts::444455556666:assumed-role/writer/delivery is not authorized to perform: s3:PutObject on \
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
async fn another_accounts_bucket_needs_both_policies_and_a_refusal_has_no_reason() {
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
async fn an_object_with_a_wrong_checksum_is_not_stored() {
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

/// A bucket policy that denies `s3:PutObject` in folders under this condition.
fn denies_put(condition: Value) -> String {
    let statement = json!({"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::customer-logs/*/*", "Condition": condition});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

#[tokio::test]
async fn a_policy_can_require_conditional_writes() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let administrator = administrator(&cloud);
    let client = s3_client(&cloud, &assume(&cloud, &shipper(&cloud), Some(EXTERNAL_ID), None).await.unwrap());
    let put = async |key: &str, condition: Option<&str>| {
        let put = client.put_object().bucket(BUCKET).key(key).set_if_none_match(condition.map(str::to_owned));
        put.body(ByteStream::from_static(b"x")).send().await.map(drop).map_err(|error| refused(error).code)
    };
    let denied = Err("AccessDenied".to_owned());
    for (condition, without, with) in [
        (json!({"Null": {"s3:if-none-match": "true"}}), denied.clone(), Ok(())),
        (json!({"StringNotEquals": {"s3:if-none-match": "*"}}), denied.clone(), Ok(())),
        (json!({"StringEquals": {"s3:if-none-match": "*"}}), Ok(()), denied.clone()),
        (
            json!({"Null": {"s3:if-none-match": "true"}, "ArnEquals": {"aws:PrincipalArn": ROLE}}),
            denied.clone(),
            Ok(()),
        ),
        (
            json!({"Null": {"s3:if-none-match": "true"}, "ArnEquals": {"aws:PrincipalArn": format!("{ROLE}2")}}),
            Ok(()),
            Ok(()),
        ),
        (json!({"Bool": {"aws:SecureTransport": "false"}}), Ok(()), Ok(())),
    ] {
        administrator.put_bucket_policy().bucket(BUCKET).policy(denies_put(condition.clone())).send().await.unwrap();
        assert_eq!(put("folder/without", None).await, without, "{condition}");
        assert_eq!(put("folder/with", Some("*")).await, with, "{condition}");
        assert_eq!(put("no-folder", None).await, Ok(()), "{condition}");
        administrator.delete_object().bucket(BUCKET).key("folder/with").send().await.unwrap();
    }
}

#[tokio::test]
async fn a_policy_that_requires_conditional_writes_denies_multipart_uploads() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let policy = denies_put(json!({"Null": {"s3:if-none-match": "true"}}));
    administrator(&cloud).put_bucket_policy().bucket(BUCKET).policy(policy).send().await.unwrap();
    let client = s3_client(&cloud, &assume(&cloud, &shipper(&cloud), Some(EXTERNAL_ID), None).await.unwrap());
    let begun = client.create_multipart_upload().bucket(BUCKET).key("folder/a").send().await;
    assert_eq!(begun.map(drop).map_err(refused).unwrap_err().code, "AccessDenied");
    client.create_multipart_upload().bucket(BUCKET).key("a").send().await.unwrap();
}

#[tokio::test]
async fn versioning_is_stored_and_a_put_over_a_key_succeeds() {
    let directory = tempfile::tempdir().unwrap();
    let options = || CloudOptions { data_dir: Some(directory.path().to_owned()), ..CloudOptions::default() };
    let cloud = Cloud::start(options()).await.unwrap();
    set_up_customer(&cloud);
    let client = administrator(&cloud);
    let status = async |client: &aws_sdk_s3::Client| {
        client.get_bucket_versioning().bucket(BUCKET).send().await.unwrap().status().cloned()
    };
    assert_eq!(status(&client).await, None);
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    client.put_bucket_versioning().bucket(BUCKET).versioning_configuration(enabled).send().await.unwrap();
    assert_eq!(status(&client).await, Some(BucketVersioningStatus::Enabled));
    for body in [&b"first"[..], b"second"] {
        client.put_object().bucket(BUCKET).key("a").body(ByteStream::from_static(body)).send().await.unwrap();
        let object = client.get_object().bucket(BUCKET).key("a").send().await.unwrap();
        assert_eq!(object.body.collect().await.unwrap().to_vec(), body);
    }
    client.delete_object().bucket(BUCKET).key("a").send().await.unwrap();
    cloud.stop().await;
    let cloud = Cloud::start(options()).await.unwrap();
    assert_eq!(status(&administrator(&cloud)).await, Some(BucketVersioningStatus::Enabled));
}

#[tokio::test]
async fn a_locked_object_is_neither_replaced_nor_deleted_until_its_retention_ends() {
    let cloud = Cloud::start(CloudOptions::default()).await.unwrap();
    set_up_customer(&cloud);
    let client = administrator(&cloud);
    let retention = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(2).build();
    let rule = ObjectLockRule::builder().default_retention(retention).build();
    let locks = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).rule(rule).build();
    let lock = async || {
        let put = client.put_object_lock_configuration().bucket(BUCKET).object_lock_configuration(locks.clone());
        put.send().await.map(drop).map_err(|error| refused(error).code)
    };
    let missing = client.get_object_lock_configuration().bucket(BUCKET).send().await.map_err(refused).unwrap_err();
    assert_eq!((missing.status, missing.code.as_str()), (404, "ObjectLockConfigurationNotFoundError"));
    assert_eq!(lock().await, Err("InvalidBucketState".to_owned()), "Object Lock needs versioning");
    let version = async |status: BucketVersioningStatus| {
        let versioning = VersioningConfiguration::builder().status(status).build();
        let put = client.put_bucket_versioning().bucket(BUCKET).versioning_configuration(versioning);
        put.send().await.map(drop).map_err(|error| refused(error).code)
    };
    version(BucketVersioningStatus::Enabled).await.unwrap();
    lock().await.unwrap();
    let found = client.get_object_lock_configuration().bucket(BUCKET).send().await.unwrap();
    assert_eq!(found.object_lock_configuration(), Some(&locks));
    assert_eq!(version(BucketVersioningStatus::Suspended).await, Err("InvalidBucketState".to_owned()));

    let without_checksum = aws_sdk_s3::config::Builder::from(
        &cloud.sdk_config(&cloud.iam().create_user(CUSTOMER, "administrator", everything()).unwrap()),
    )
    .request_checksum_calculation(aws_sdk_s3::config::RequestChecksumCalculation::WhenRequired)
    .build();
    assert_eq!(
        put(&aws_sdk_s3::Client::from_conf(without_checksum), BUCKET, "a").await.unwrap_err().code,
        "InvalidRequest"
    );
    put(&client, BUCKET, "a").await.unwrap();
    let delete = async || {
        client.delete_object().bucket(BUCKET).key("a").send().await.map(drop).map_err(|error| refused(error).message)
    };
    let protected = "Access Denied because object protected by object lock.";
    assert_refused(put(&client, BUCKET, "a").await, 403, "AccessDenied", protected);
    assert_eq!(delete().await, Err(protected.to_owned()));
    let conditional = client.put_object().bucket(BUCKET).key("a").if_none_match("*").send().await.map(drop);
    assert_eq!(conditional.map_err(refused).unwrap_err().code, "PreconditionFailed");
    cloud.clock().advance(Duration::from_secs(2 * 86_400 + 60));
    put(&client, BUCKET, "a").await.unwrap();
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
async fn a_missing_bucket_and_a_missing_key_have_different_errors() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let client = administrator(&cloud);
    assert_refused(put(&client, "nowhere", "a").await, 404, "NoSuchBucket", "The specified bucket does not exist");
    let get = |client: &aws_sdk_s3::Client| client.get_object().bucket(BUCKET).key("nothing").send();
    assert_eq!(get(&client).await.map_err(refused).unwrap_err().code, "NoSuchKey");
    let reader = policy("Allow", json!("s3:GetObject"), "*");
    let reader = s3_client(&cloud, &cloud.iam().create_user(CUSTOMER, "reader", reader).unwrap());
    assert_eq!(get(&reader).await.map_err(refused).unwrap_err().code, "AccessDenied", "who may not list, may not know");
}

#[tokio::test]
async fn the_client_sees_why_a_large_object_is_refused() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let session = assume(&cloud, &shipper(&cloud), Some(EXTERNAL_ID), None).await.unwrap();
    let client = s3_client(&cloud, &session);
    let body = || ByteStream::from(vec![b'x'; 16 * 1024 * 1024]);
    let refusal = client.put_object().bucket("nowhere").key("a").body(body()).send().await.map(|_| ()).map_err(refused);
    assert_eq!(refusal.unwrap_err().code, "NoSuchBucket");
    client.put_object().bucket(BUCKET).key("a").body(body()).send().await.unwrap();
}

#[tokio::test]
async fn a_request_for_another_region_is_redirected() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    cloud.iam().put_bucket(Bucket::new(BUCKET, CUSTOMER, "eu-west-1")).unwrap();
    let key = cloud.iam().create_user(CUSTOMER, "administrator", everything()).unwrap();
    let client = s3_client(&cloud, &key);
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
async fn a_key_that_is_not_supported_is_refused() {
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

/// Creates a bucket that everyone may read and list, with these keys, for requests without a signature. Returns its
/// URL.
async fn public_bucket(cloud: &Cloud, keys: &[&str]) -> String {
    let everyone = json!({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}});
    let bucket = Bucket { policy: Some(everyone), ..Bucket::new("public", CUSTOMER, "us-east-1") };
    cloud.iam().put_bucket(bucket).unwrap();
    for key in keys {
        put(&administrator(cloud), "public", key).await.unwrap();
    }
    format!("{}/public", cloud.endpoints().s3)
}

/// Returns the texts of all elements with this name, in order.
fn texts<'a>(xml: &'a str, element: &str) -> Vec<&'a str> {
    let (start, end) = (format!("<{element}>"), format!("</{element}>"));
    xml.split(&start).skip(1).filter_map(|rest| rest.split(&end).next()).collect()
}

#[tokio::test]
async fn an_empty_parameter_of_a_listing_is_the_same_as_a_missing_one() {
    let cloud = cloud().await;
    let url = public_bucket(&cloud, &["a", "b/c", "b/d"]).await;
    for query in [
        "",
        "list-type=2",
        "list-type=2&delimiter=&prefix=&start-after=&encoding-type=",
        "delimiter=&prefix=&marker=",
        "list-type=2&max-keys=1000&delimiter=&encoding-type=url",
    ] {
        let xml = reqwest::get(format!("{url}?{query}")).await.unwrap().text().await.unwrap();
        assert_eq!(texts(&xml, "Key"), ["a", "b/c", "b/d"], "{query}");
        assert_eq!(texts(&xml, "IsTruncated"), ["false"], "{query}");
        assert!(!xml.contains("<CommonPrefixes>"), "{query}");
    }
    let none = reqwest::get(format!("{url}?list-type=2&max-keys=0")).await.unwrap().text().await.unwrap();
    assert_eq!((texts(&none, "Key").len(), texts(&none, "IsTruncated")), (0, vec!["false"]));
    assert_eq!(texts(&none, "KeyCount"), ["0"]);
    for query in ["continuation-token=", "continuation-token=garbage!", "max-keys=-1", "encoding-type=base64"] {
        let response = reqwest::get(format!("{url}?list-type=2&{query}")).await.unwrap();
        assert_eq!(response.status(), 400, "{query}");
        assert_eq!(texts(&response.text().await.unwrap(), "Code"), ["InvalidArgument"], "{query}");
    }
}

#[tokio::test]
async fn pages_of_a_listing_continue_where_the_previous_one_ended() {
    let cloud = cloud().await;
    let url = public_bucket(&cloud, &["a", "b/c", "b/d", "e"]).await;
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let query = format!("list-type=2&delimiter=/&max-keys=1{after}");
        let xml = reqwest::get(format!("{url}?{query}")).await.unwrap().text().await.unwrap();
        found.extend(texts(&xml, "Key").into_iter().map(str::to_owned));
        found.extend(
            texts(&xml, "CommonPrefixes").into_iter().flat_map(|group| texts(group, "Prefix")).map(str::to_owned),
        );
        match texts(&xml, "NextContinuationToken").first() {
            Some(token) => after = format!("&continuation-token={token}"),
            None => break,
        }
    }
    assert_eq!(found, ["a", "b/", "e"]);

    let xml = reqwest::get(format!("{url}?delimiter=/&max-keys=2")).await.unwrap().text().await.unwrap();
    assert_eq!(texts(&xml, "NextMarker"), ["b/"]);
    let xml = reqwest::get(format!("{url}?delimiter=/&max-keys=2&marker=b/")).await.unwrap().text().await.unwrap();
    assert_eq!((texts(&xml, "Key"), texts(&xml, "Marker")), (vec!["e"], vec!["b/"]));
    let xml = reqwest::get(format!("{url}?max-keys=2")).await.unwrap().text().await.unwrap();
    assert_eq!((texts(&xml, "NextMarker").len(), texts(&xml, "IsTruncated")), (0, vec!["true"]));
}

#[tokio::test]
async fn a_listing_is_encoded_if_the_client_asks_for_it() {
    let cloud = cloud().await;
    let url = public_bucket(&cloud, &["a b/ü+1", "a b/2", "z"]).await;
    let query = "list-type=2&encoding-type=url&prefix=a%20b/&delimiter=%2B&start-after=a%20";
    let xml = reqwest::get(format!("{url}?{query}")).await.unwrap().text().await.unwrap();
    assert_eq!((texts(&xml, "Key"), texts(&xml, "EncodingType")), (vec!["a%20b/2"], vec!["url"]));
    assert_eq!(texts(&xml, "Prefix"), ["a%20b/", "a%20b/%C3%BC%2B"]);
    assert_eq!((texts(&xml, "Delimiter"), texts(&xml, "StartAfter")), (vec!["%2B"], vec!["a%20"]));
    let listed = administrator(&cloud).list_objects_v2().bucket("public").prefix("a b/").send().await.unwrap();
    let keys: Vec<_> = listed.contents().iter().filter_map(|object| object.key()).collect();
    assert_eq!(keys, ["a b/2", "a b/ü+1"]);
}

#[tokio::test]
async fn reads_are_conditional() {
    let cloud = cloud().await;
    let url = public_bucket(&cloud, &["a"]).await + "/a";
    let http = reqwest::Client::new();
    let first = http.get(&url).send().await.unwrap();
    let header = |name| first.headers()[name].to_str().unwrap().to_owned();
    let (e_tag, modified) = (header(ETAG), header(LAST_MODIFIED));
    let (past, future) = ("Tue, 01 Jan 2019 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT");
    for (conditions, status) in [
        (vec![("if-none-match", e_tag.as_str())], 304),
        (vec![("if-none-match", "*")], 304),
        (vec![("if-none-match", "\"other\"")], 200),
        (vec![("if-match", e_tag.as_str())], 200),
        (vec![("if-match", "*")], 200),
        (vec![("if-match", "\"other\"")], 412),
        (vec![("if-modified-since", modified.as_str())], 304),
        (vec![("if-modified-since", past)], 200),
        (vec![("if-unmodified-since", modified.as_str())], 200),
        (vec![("if-unmodified-since", past)], 412),
        (vec![("if-unmodified-since", future)], 200),
        (vec![("if-match", e_tag.as_str()), ("if-unmodified-since", past)], 200),
        (vec![("if-none-match", e_tag.as_str()), ("if-modified-since", past)], 304),
        (vec![("if-none-match", "\"other\""), ("if-modified-since", modified.as_str())], 200),
    ] {
        for method in [reqwest::Method::GET, reqwest::Method::HEAD] {
            let mut request = http.request(method.clone(), &url);
            for (name, value) in &conditions {
                request = request.header(*name, *value);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), status, "{method} {conditions:?}");
            if status != 412 {
                assert_eq!(response.headers()[ETAG], e_tag.as_str(), "{method} {conditions:?}");
                assert_eq!(response.headers()[LAST_MODIFIED], modified.as_str(), "{method} {conditions:?}");
            }
            let body = response.text().await.unwrap();
            match (status, method) {
                (200, reqwest::Method::GET) => assert_eq!(body, "{}\n"),
                (412, reqwest::Method::GET) => assert_eq!(texts(&body, "Code"), ["PreconditionFailed"]),
                _ => assert_eq!(body, "", "{conditions:?}"),
            }
        }
    }
    let client = administrator(&cloud);
    let error = client.get_object().bucket("public").key("a").if_none_match(&e_tag).send().await.unwrap_err();
    assert_eq!(refused(error).status, 304);
}

#[tokio::test]
async fn the_folder_of_a_key_is_not_an_object() {
    let cloud = cloud().await;
    let url = public_bucket(&cloud, &["a/b"]).await;
    let http = reqwest::Client::new();
    for key in ["a", "a/"] {
        assert_eq!(http.get(format!("{url}/{key}")).send().await.unwrap().status(), 404, "GET {key}");
        assert_eq!(http.head(format!("{url}/{key}")).send().await.unwrap().status(), 404, "HEAD {key}");
    }
}
