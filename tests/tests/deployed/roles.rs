//! Customers' roles and buckets through the real adapter: what AWS allows and refuses, and the results of connection
//! tests. One suite, two environments: the embedded cloud and, if `ANNALS_TEST_AWS_ENDPOINT` is set, MiniStack, an
//! independent emulator.

use std::sync::Arc;

use annals_aws::{
    s3::S3ObjectSink,
    system::{SystemClock, SystemEntropy},
};
use annals_cloud::{Bucket, Cloud, CloudOptions, Role};
use annals_core::{
    destination::{
        Challenge, Proof, RolesWithoutExternalId,
        connection_test::{ConnectionTestReport, StepOutcome, TEST_OBJECT_NAME, Tested, test_connection},
        failure::FailureCode,
        proof::check_role,
        sink::{Call, Existing, Object, ObjectSink as _, Reason, SinkError, Stored, Target},
    },
    time::Clock as _,
};
use annals_tests::{
    customer::{account, name, put_policy, trust},
    in_every_environment,
    ministack::{MiniStack, root},
};
use aws_sdk_s3::config::Credentials;
use serde_json::{Value, json};

const EXTERNAL_ID: &str = "annals-0123456789abcdefABCDEF";

in_every_environment! {
    a_role_that_trusts_the_account_and_asks_for_nothing_is_assumed_with_any_external_id
    a_role_that_asks_for_an_external_id_is_assumed_with_that_one_alone
    a_role_that_trusts_somebody_else_or_does_not_exist_is_not_assumed
    a_put_stores_the_bytes_and_a_second_one_leaves_them_as_they_are
    a_put_that_may_replace_does
    the_session_is_narrowed_to_the_prefix_whatever_the_role_allows
    a_role_is_not_widened_by_the_session
    a_put_that_the_role_does_not_allow_is_denied
    a_put_that_the_buckets_policy_denies_is_denied
    a_put_into_a_bucket_of_another_account_is_denied
    a_bucket_takes_the_put_only_where_its_owner_is_the_one_expected
    a_put_into_a_bucket_that_is_missing_says_so
    a_test_passes_every_step_where_all_is_set_up
    a_test_warns_where_any_external_id_is_accepted
    a_test_stops_at_a_role_that_cannot_be_assumed
    a_test_tells_a_missing_bucket_from_a_refused_put
}

struct Environment {
    place: Place,
    /// The account that runs Annals, 12 digits.
    service: String,
    sink: S3ObjectSink,
}

enum Place {
    Embedded(Box<Cloud>),
    MiniStack(MiniStack),
}

impl Environment {
    async fn embedded() -> Self {
        let cloud = Cloud::start(CloudOptions::default()).await.unwrap();
        let assume = json!({"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]});
        let service = cloud.account().to_owned();
        let key = cloud.iam().create_user(&service, "annals-shipper", assume).unwrap();
        let sink = S3ObjectSink::new(&cloud.sdk_config(&key), Arc::new(SystemClock));
        Self { place: Place::Embedded(Box::new(cloud)), service, sink }
    }

    async fn all() -> Vec<Self> {
        let mut environments = vec![Self::embedded().await];
        if let Ok(endpoint) = std::env::var("ANNALS_TEST_AWS_ENDPOINT") {
            environments.push(Self::ministack(endpoint).await);
        }
        environments
    }

    /// An own account in MiniStack. The shipper has a role, as on AWS.
    async fn ministack(endpoint: String) -> Self {
        let service = account();
        let ministack = MiniStack::at(endpoint);
        let shipper = format!("arn:aws:iam::{service}:role/annals-shipper");
        let assume = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::*:role/*"}]});
        ministack.put_role(&shipper, trust(&service, None), Some(assume)).await;
        let sts = aws_sdk_sts::Client::new(&ministack.config(root(&service)));
        let session = sts.assume_role().role_arn(shipper).role_session_name("annals").send().await.unwrap();
        let given = session.credentials.unwrap();
        let token = Some(given.session_token().to_owned());
        let credentials = Credentials::new(given.access_key_id(), given.secret_access_key(), token, None, "test");
        let sink = S3ObjectSink::new(&ministack.config(credentials), Arc::new(SystemClock));
        Self { place: Place::MiniStack(ministack), service, sink }
    }

    /// A customer with a bucket, and a role with a trust policy and the documented permission policy.
    async fn customer(&self, trust: Value) -> Customer {
        let account = account();
        let bucket = name("events");
        let role = format!("arn:aws:iam::{account}:role/put-{bucket}");
        self.place.put_bucket(&account, &bucket).await;
        self.place.put_role(&role, trust, Some(put_policy(&bucket, "*"))).await;
        Customer { account, bucket, role }
    }

    /// A customer whose role trusts Annals and requires this external ID.
    async fn trusting(&self, external_id: Option<&str>) -> Customer {
        self.customer(trust(&self.service, external_id)).await
    }

    async fn put(&self, target: &Target, key: &str, content: &str) -> Result<Stored, SinkError> {
        self.sink.put(target, object(key, content, Existing::Keep)).await
    }

    async fn test_connection(&self, target: Target) -> ConnectionTestReport {
        let (now, roles) = (SystemClock.now(), RolesWithoutExternalId::Challenge);
        let check = check_role(&self.sink, &SystemEntropy, &target).await;
        let proof = Proof::default().after(&check, roles, now);
        let challenge = proof.proven.is_none().then(|| Challenge::new(&SystemEntropy, now));
        let proof = Proof { challenge, ..proof };
        let tested = Tested {
            target,
            organisation: "Acme",
            check,
            proof: &proof,
            roles,
            taken: None,
            object_name: TEST_OBJECT_NAME,
            product: "Annals",
        };
        test_connection(&self.sink, now, tested).await
    }
}

impl Place {
    async fn put_bucket(&self, account: &str, bucket: &str) {
        match self {
            Self::Embedded(cloud) => cloud.iam().put_bucket(Bucket::new(bucket, account, "us-east-1")).unwrap(),
            Self::MiniStack(_) => drop(self.s3(account).create_bucket().bucket(bucket).send().await.unwrap()),
        }
    }

    async fn put_bucket_policy(&self, customer: &Customer, policy: Value) {
        let Customer { account, bucket, .. } = customer;
        match self {
            Self::Embedded(cloud) => {
                let bucket = Bucket { policy: Some(policy), ..Bucket::new(bucket, account, "us-east-1") };
                cloud.iam().put_bucket(bucket).unwrap();
            }
            Self::MiniStack(_) => {
                let request = self.s3(account).put_bucket_policy().bucket(bucket).policy(policy.to_string());
                request.send().await.unwrap();
            }
        }
    }

    /// Creates a role, with one policy or none.
    async fn put_role(&self, arn: &str, trust: Value, policy: Option<Value>) {
        match self {
            Self::Embedded(cloud) => {
                cloud.iam().put_role(Role::new(arn, trust, policy.into_iter().collect())).unwrap();
            }
            Self::MiniStack(ministack) => ministack.put_role(arn, trust, policy).await,
        }
    }

    /// S3 as an account's administrator sees it.
    fn s3(&self, account: &str) -> aws_sdk_s3::Client {
        match self {
            Self::Embedded(cloud) => {
                let everything = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
                let key = cloud.iam().create_user(account, "administrator", everything).unwrap();
                aws_sdk_s3::Client::new(&cloud.sdk_config(&key))
            }
            Self::MiniStack(ministack) => ministack.s3(account),
        }
    }
}

struct Customer {
    account: String,
    bucket: String,
    role: String,
}

impl Customer {
    fn target(&self) -> Target {
        self.target_under("")
    }

    fn target_under(&self, prefix: &str) -> Target {
        Target {
            organisation: "acme".parse().unwrap(),
            bucket: self.bucket.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
            role_arn: self.role.parse().unwrap(),
            external_id: EXTERNAL_ID.to_owned(),
            region: None,
            bucket_owner: self.account.clone(),
        }
    }

    /// The object with a key, read by the bucket's owner.
    async fn object(&self, environment: &Environment, key: &str) -> Option<String> {
        let answer =
            environment.place.s3(&self.account).get_object().bucket(&self.bucket).key(key).send().await.ok()?;
        Some(String::from_utf8(answer.body.collect().await.unwrap().to_vec()).unwrap())
    }
}

fn object(key: &str, content: &str, existing: Existing) -> Object {
    Object { key: key.to_owned(), content_type: "application/x-ndjson", content: content.to_owned().into(), existing }
}

/// Fails unless the answer has this status and code.
#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, SinkError>, call: Call, status: u16, code: &str) -> SinkError {
    let error = result.unwrap_err();
    let Reason::Answered { status: answered, code: named, .. } = &error.reason else { panic!("{error:?}") };
    assert_eq!((error.call, *answered, named.as_str()), (call, status, code), "{error:?}");
    error
}

#[track_caller]
fn assert_steps(report: &ConnectionTestReport, outcomes: [StepOutcome; 4]) {
    let steps: Vec<_> = report.steps.iter().map(|step| (step.name.as_str(), step.outcome)).collect();
    let names = ["assumeRole", "externalId", "reachBucket", "writeObject"];
    let expected: Vec<_> = names.into_iter().zip(outcomes).collect();
    assert_eq!(steps, expected, "{:#?}", report.steps);
}

async fn a_role_that_trusts_the_account_and_asks_for_nothing_is_assumed_with_any_external_id(
    environment: &Environment,
) {
    let target = environment.trusting(None).await.target();
    environment.sink.assume(&target, EXTERNAL_ID).await.unwrap();
    environment.sink.assume(&target, "another-id").await.unwrap();
}

async fn a_role_that_asks_for_an_external_id_is_assumed_with_that_one_alone(environment: &Environment) {
    let target = environment.trusting(Some(EXTERNAL_ID)).await.target();
    environment.sink.assume(&target, EXTERNAL_ID).await.unwrap();
    for wrong in ["another-id", &EXTERNAL_ID.to_lowercase(), &EXTERNAL_ID[1..]] {
        let error =
            assert_refused(environment.sink.assume(&target, wrong).await, Call::AssumeRole, 403, "AccessDenied");
        assert_eq!(FailureCode::of(&error), FailureCode::RoleNotAssumable);
    }
    let target = environment.trusting(Some("another-id")).await.target();
    assert_refused(environment.put(&target, "a.json", "{}\n").await, Call::AssumeRole, 403, "AccessDenied");
}

async fn a_role_that_trusts_somebody_else_or_does_not_exist_is_not_assumed(environment: &Environment) {
    let target = environment.customer(trust(&account(), None)).await.target();
    assert_refused(environment.sink.assume(&target, EXTERNAL_ID).await, Call::AssumeRole, 403, "AccessDenied");
    let missing = Target { role_arn: format!("arn:aws:iam::{}:role/none", account()).parse().unwrap(), ..target };
    let error =
        assert_refused(environment.put(&missing, "a.json", "{}\n").await, Call::AssumeRole, 403, "AccessDenied");
    assert_eq!(FailureCode::of(&error), FailureCode::RoleNotAssumable);
}

async fn a_put_stores_the_bytes_and_a_second_one_leaves_them_as_they_are(environment: &Environment) {
    let customer = environment.trusting(Some(EXTERNAL_ID)).await;
    let target = customer.target();
    let key = "2026-11/22/2026-11-22T10-10-00-000Z-k3x9a0bq.json";
    assert_eq!(environment.put(&target, key, "{\"ä\":1}\n").await, Ok(Stored::Now));
    assert_eq!(environment.put(&target, key, "{\"ä\":1}\n").await, Ok(Stored::Before));
    assert_eq!(environment.put(&target, key, "other\n").await, Ok(Stored::Before));
    assert_eq!(customer.object(environment, key).await.unwrap(), "{\"ä\":1}\n");
    assert_eq!(environment.put(&target, "2026-11/22/other.json", "{}\n").await, Ok(Stored::Now));
}

async fn a_put_that_may_replace_does(environment: &Environment) {
    let customer = environment.trusting(Some(EXTERNAL_ID)).await;
    for content in ["first\n", "second\n"] {
        let put = environment.sink.put(&customer.target(), object("test.txt", content, Existing::Replace)).await;
        assert_eq!(put, Ok(Stored::Now));
        assert_eq!(customer.object(environment, "test.txt").await.unwrap(), content);
    }
}

async fn the_session_is_narrowed_to_the_prefix_whatever_the_role_allows(environment: &Environment) {
    let customer = environment.trusting(Some(EXTERNAL_ID)).await;
    let target = customer.target_under("audit/annals");
    assert_eq!(environment.put(&target, "audit/annals/a.json", "{}\n").await, Ok(Stored::Now));
    for key in ["a.json", "audit/a.json", "audit/annalsx.json", "audit/annals2/a.json"] {
        let error = assert_refused(environment.put(&target, key, "{}\n").await, Call::PutObject, 403, "AccessDenied");
        // AWS names the session policy as the reason, MiniStack the role's policy.
        let code = FailureCode::of(&error);
        assert!([FailureCode::PutDenied, FailureCode::PutDeniedBySessionPolicy].contains(&code), "{key}: {error:?}");
        assert_eq!(customer.object(environment, key).await, None, "{key}");
    }
}

async fn a_role_is_not_widened_by_the_session(environment: &Environment) {
    let customer = environment.trusting(Some(EXTERNAL_ID)).await;
    let role = format!("{}-narrow", customer.role);
    let policy = put_policy(&customer.bucket, "logs/*");
    environment.place.put_role(&role, trust(&environment.service, Some(EXTERNAL_ID)), Some(policy)).await;
    let narrow = Customer { role, ..customer };
    assert_eq!(environment.put(&narrow.target(), "logs/a.json", "{}\n").await, Ok(Stored::Now));
    assert_refused(environment.put(&narrow.target(), "a.json", "{}\n").await, Call::PutObject, 403, "AccessDenied");
}

async fn a_put_that_the_role_does_not_allow_is_denied(environment: &Environment) {
    let customer = environment.trusting(Some(EXTERNAL_ID)).await;
    let role = format!("{}-bare", customer.role);
    environment.place.put_role(&role, trust(&environment.service, Some(EXTERNAL_ID)), None).await;
    let bare = Customer { role, ..customer };
    let error =
        assert_refused(environment.put(&bare.target(), "a.json", "{}\n").await, Call::PutObject, 403, "AccessDenied");
    assert_eq!(FailureCode::of(&error), FailureCode::PutDenied);
}

async fn a_put_that_the_buckets_policy_denies_is_denied(environment: &Environment) {
    let customer = environment.trusting(Some(EXTERNAL_ID)).await;
    assert_eq!(environment.put(&customer.target(), "before.json", "{}\n").await, Ok(Stored::Now));
    let deny = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": format!("arn:aws:s3:::{}/*", customer.bucket),
    }]});
    environment.place.put_bucket_policy(&customer, deny).await;
    let put = environment.put(&customer.target(), "after.json", "{}\n").await;
    let error = assert_refused(put, Call::PutObject, 403, "AccessDenied");
    let Reason::Answered { message, .. } = &error.reason else { panic!("{error:?}") };
    assert!(message.contains("explicit deny"), "{message}");
    assert_eq!(customer.object(environment, "after.json").await, None);
}

async fn a_put_into_a_bucket_of_another_account_is_denied(environment: &Environment) {
    let (customer, other) =
        (environment.trusting(Some(EXTERNAL_ID)).await, environment.trusting(Some(EXTERNAL_ID)).await);
    let role = format!("{}-wide", customer.role);
    let policy = put_policy("*", "*");
    environment.place.put_role(&role, trust(&environment.service, Some(EXTERNAL_ID)), Some(policy)).await;
    let target = Target { bucket: other.bucket.parse().unwrap(), ..Customer { role, ..customer }.target() };
    assert_refused(environment.put(&target, "a.json", "{}\n").await, Call::PutObject, 403, "AccessDenied");
    assert_eq!(other.object(environment, "a.json").await, None);
}

async fn a_bucket_takes_the_put_only_where_its_owner_is_the_one_expected(environment: &Environment) {
    let (customer, other) =
        (environment.trusting(Some(EXTERNAL_ID)).await, environment.trusting(Some(EXTERNAL_ID)).await);
    let role = format!("{}-wide", customer.role);
    environment.place.put_role(&role, trust(&environment.service, Some(EXTERNAL_ID)), Some(put_policy("*", "*"))).await;
    let open = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"AWS": format!("arn:aws:iam::{}:root", customer.account)},
        "Action": "s3:PutObject",
        "Resource": format!("arn:aws:s3:::{}/*", other.bucket),
    }]});
    environment.place.put_bucket_policy(&other, open).await;
    let stranger = Target { bucket: other.bucket.parse().unwrap(), ..Customer { role, ..customer }.target() };
    // MiniStack ignores the expected bucket owner.
    if matches!(environment.place, Place::Embedded(_)) {
        let error =
            assert_refused(environment.put(&stranger, "a.json", "{}\n").await, Call::PutObject, 403, "AccessDenied");
        assert_eq!(FailureCode::of(&error), FailureCode::PutDenied);
        assert_eq!(other.object(environment, "a.json").await, None, "whoever took the bucket's name gets no event");
    }
    let expected = Target { bucket_owner: other.account.clone(), ..stranger };
    assert_eq!(environment.put(&expected, "a.json", "{}\n").await, Ok(Stored::Now));
}

async fn a_put_into_a_bucket_that_is_missing_says_so(environment: &Environment) {
    let customer = environment.trusting(Some(EXTERNAL_ID)).await;
    let bucket = name("missing");
    let role = format!("{}-missing", customer.role);
    let policy = put_policy(&bucket, "*");
    environment.place.put_role(&role, trust(&environment.service, Some(EXTERNAL_ID)), Some(policy)).await;
    let missing = Customer { role, bucket, ..customer };
    let put = environment.put(&missing.target(), "a.json", "{}\n").await;
    let error = assert_refused(put, Call::PutObject, 404, "NoSuchBucket");
    assert_eq!(FailureCode::of(&error), FailureCode::BucketMissing);
}

async fn a_test_passes_every_step_where_all_is_set_up(environment: &Environment) {
    use StepOutcome::Passed;
    let customer = environment.trusting(Some(EXTERNAL_ID)).await;
    let report = environment.test_connection(customer.target_under("audit")).await;
    assert_steps(&report, [Passed, Passed, Passed, Passed]);
    assert!(report.passed);
    let key = format!("audit/{TEST_OBJECT_NAME}");
    let written = customer.object(environment, &key).await.unwrap();
    assert!(written.contains(&report.tested_at.to_string()), "{written:?}");

    // A second test writes the file again.
    let later = environment.test_connection(customer.target_under("audit")).await;
    assert!(later.passed);
    assert!(customer.object(environment, &key).await.unwrap().contains(&later.tested_at.to_string()));
}

async fn a_test_warns_where_any_external_id_is_accepted(environment: &Environment) {
    use StepOutcome::{Passed, Warning};
    let report = environment.test_connection(environment.trusting(None).await.target()).await;
    assert_steps(&report, [Passed, Warning, Passed, Passed]);
    assert!(!report.passed && report.needs_code, "a role without an external id works once the code is entered");
    assert!(report.steps[1].fix.as_ref().unwrap().to_string().contains(EXTERNAL_ID), "{:?}", report.steps[1]);
}

async fn a_test_stops_at_a_role_that_cannot_be_assumed(environment: &Environment) {
    use StepOutcome::{Failed, Skipped};
    let customer = environment.trusting(Some("another-id")).await;
    let report = environment.test_connection(customer.target()).await;
    assert_steps(&report, [Failed, Skipped, Skipped, Skipped]);
    assert!(!report.passed);
    let step = &report.steps[0];
    assert_eq!(step.code, Some(FailureCode::RoleNotAssumable));
    assert!(step.fix.as_ref().unwrap().to_string().contains(EXTERNAL_ID), "{step:?}");
    assert!(step.aws.as_ref().unwrap().starts_with("AccessDenied: "), "{step:?}");
    assert_eq!(customer.object(environment, TEST_OBJECT_NAME).await, None);
}

async fn a_test_tells_a_missing_bucket_from_a_refused_put(environment: &Environment) {
    use StepOutcome::{Failed, Passed, Skipped};
    let customer = environment.trusting(Some(EXTERNAL_ID)).await;
    let bare = format!("{}-bare", customer.role);
    environment.place.put_role(&bare, trust(&environment.service, Some(EXTERNAL_ID)), None).await;
    let bucket = customer.bucket.clone();
    let refused = Customer { role: bare, bucket, account: customer.account.clone() };
    let report = environment.test_connection(refused.target()).await;
    assert_steps(&report, [Passed, Passed, Passed, Failed]);
    assert_eq!(report.steps[3].code, Some(FailureCode::PutDenied));

    let missing = name("missing");
    let role = format!("{}-missing", customer.role);
    let policy = put_policy(&missing, "*");
    environment.place.put_role(&role, trust(&environment.service, Some(EXTERNAL_ID)), Some(policy)).await;
    let missing = Customer { role, bucket: missing, ..customer };
    let report = environment.test_connection(missing.target()).await;
    assert_steps(&report, [Passed, Passed, Failed, Skipped]);
    assert_eq!(report.steps[2].code, Some(FailureCode::BucketMissing));
}
