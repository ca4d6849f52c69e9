//! STS, and what sessions may do.

use super::*;

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
async fn a_missing_role_and_one_that_does_not_trust_the_caller_are_refused_with_the_same_message() {
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
        sts_client(&cloud, &session).get_caller_identity().send().await.map_err(refused).unwrap_err().code,
        "InvalidClientTokenId"
    );
}

#[tokio::test]
async fn another_accounts_role_needs_both_policies() {
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
    let user = sts_client(&cloud, &key).get_caller_identity().send().await.unwrap();
    assert_eq!(user.arn(), Some("arn:aws:iam::111122223333:user/shipper"));
    let session = assume(&cloud, &key, Some(EXTERNAL_ID), None).await.unwrap();
    let identity = sts_client(&cloud, &session).get_caller_identity().send().await.unwrap();
    assert_eq!(identity.arn(), Some("arn:aws:sts::444455556666:assumed-role/writer/delivery"));
    assert_eq!(identity.account(), Some(CUSTOMER));
    assert!(identity.user_id().unwrap().ends_with(":delivery"));
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
    let invalid = sts_client(&cloud, &key).assume_role().role_arn(ROLE).role_session_name("no spaces").send().await;
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
async fn a_session_token_is_checked_and_expires() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let key = shipper(&cloud);
    let session = assume_role(&cloud, &key, ROLE, Some(EXTERNAL_ID), None, Some(900)).await.unwrap();
    put(&s3_client(&cloud, &session), BUCKET, "a").await.unwrap();

    let garbage = AccessKey::temporary(&session.id, &session.secret, "garbage");
    let refusal = put(&s3_client(&cloud, &garbage), BUCKET, "a").await;
    assert_refused(refusal, 400, "InvalidToken", "The provided token is malformed or otherwise invalid.");
    let refusal = sts_client(&cloud, &garbage).get_caller_identity().send().await.map_err(refused).unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (403, "InvalidClientTokenId"));
    let without = AccessKey::new(&session.id, &session.secret);
    assert_eq!(put(&s3_client(&cloud, &without), BUCKET, "a").await.unwrap_err().code, "InvalidAccessKeyId");

    cloud.clock().advance(Duration::from_secs(899));
    put(&s3_client(&cloud, &session), BUCKET, "b").await.unwrap();
    cloud.clock().advance(Duration::from_secs(1));
    let refusal = put(&s3_client(&cloud, &session), BUCKET, "c").await;
    assert_refused(refusal, 400, "ExpiredToken", "The provided token has expired.");
    let refusal = sts_client(&cloud, &session).get_caller_identity().send().await.map_err(refused).unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (403, "ExpiredToken"));
}

#[tokio::test]
async fn a_role_does_what_its_policy_allows_and_nothing_else() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let session = assume(&cloud, &shipper(&cloud), Some(EXTERNAL_ID), None).await.unwrap();
    let client = s3_client(&cloud, &session);
    put(&client, BUCKET, "audit/a").await.unwrap();
    let refusal = client.get_object().bucket(BUCKET).key("audit/a").send().await.map_err(refused);
    assert_refused(
        refusal,
        403,
        "AccessDenied",
        "User: arn:aws:sts::444455556666:assumed-role/writer/delivery is not authorized to perform: s3:GetObject on \
         resource: \"arn:aws:s3:::customer-logs/audit/a\" because no identity-based policy allows the s3:GetObject action",
    );
    assert_eq!(client.list_objects_v2().bucket(BUCKET).send().await.map_err(refused).unwrap_err().code, "AccessDenied");
    assert_eq!(client.get_bucket_acl().bucket(BUCKET).send().await.map_err(refused).unwrap_err().code, "AccessDenied");
}

#[tokio::test]
async fn a_session_policy_restricts_to_a_prefix() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let narrow = policy("Allow", json!("s3:PutObject"), "arn:aws:s3:::customer-logs/audit/*");
    let session = assume(&cloud, &shipper(&cloud), Some(EXTERNAL_ID), Some(narrow)).await.unwrap();
    let client = s3_client(&cloud, &session);
    put(&client, BUCKET, "audit/a").await.unwrap();
    assert_refused(
        put(&client, BUCKET, "other/a").await,
        403,
        "AccessDenied",
        "User: arn:aws:sts::444455556666:assumed-role/writer/delivery is not authorized to perform: s3:PutObject on \
         resource: \"arn:aws:s3:::customer-logs/other/a\" because no session policy allows the s3:PutObject action",
    );
}

#[tokio::test]
async fn a_session_policy_does_not_widen() {
    let cloud = cloud().await;
    set_up_customer(&cloud);
    let session = assume(&cloud, &shipper(&cloud), Some(EXTERNAL_ID), Some(everything())).await.unwrap();
    let listed = s3_client(&cloud, &session).list_objects_v2().bucket(BUCKET).send().await.map_err(refused);
    assert!(listed.unwrap_err().message.ends_with("because no identity-based policy allows the s3:ListBucket action"));
}
