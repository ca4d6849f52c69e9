//! A destination that moves to another bucket or role, through the API, against the embedded IAM, STS and S3.

use annals_cloud::Role;
use annals_core::destination::{RolesWithoutExternalId, policy::Policy};
use annals_tests::customer::{Customer, put_policy, trust};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Answer, Fixture, Org, event, text};

const TEST_OBJECT: &str = "test-wiremock-cloud-integration.txt";

/// An organisation with a destination that has delivered, and a second bucket with a second role.
struct Stage {
    fixture: Fixture,
    org: Org,
    old: Customer,
    new: Customer,
    path: String,
}

impl Stage {
    async fn start() -> Self {
        let fixture = Fixture::with_rule(RolesWithoutExternalId::Challenge).await;
        let org = fixture.organisation().await;
        let old = fixture.customer(&org);
        let new = Customer::create(fixture.system.cloud(), Some(&org.external_id));
        fixture.with(&org.producer).post("/events", &event("m-1")).await.expect(201);
        let id = fixture.destination(&org, &old).await;
        fixture.tick().await;
        let path = format!("/organisations/{}/destinations/{id}", org.id);
        Self { fixture, org, old, new, path }
    }

    async fn patch(&self, body: &Value) -> Answer {
        self.fixture.with(&self.org.admin).send(Method::PATCH, &self.path, &[], Some(body.to_string())).await
    }

    async fn change(&self) -> Value {
        self.patch(&json!({"bucket": self.new.bucket, "roleArn": self.new.role_arn})).await.expect(200)
    }

    async fn post(&self, action: &str, body: &Value) -> Answer {
        self.fixture.with(&self.org.admin).post(&format!("{}/{action}", self.path), body).await
    }

    async fn test(&self) -> Value {
        self.post("test", &json!({})).await.expect(200)
    }

    async fn shown(&self) -> Value {
        self.fixture.with(&self.org.admin).get(&self.path).await.expect(200)
    }

    async fn record(&self) {
        self.fixture.with(&self.org.producer).post("/events", &event("m")).await.expect(201);
    }

    fn put_role(&self, customer: &Customer, external_id: Option<&str>, bucket: &str) {
        let cloud = self.fixture.system.cloud();
        let trust = trust(cloud.account(), external_id);
        cloud.iam().put_role(Role::new(&customer.role_arn, trust, vec![put_policy(bucket, "*")])).unwrap();
    }

    /// The sequences in a bucket, in order.
    async fn sequences(&self, customer: &Customer) -> Vec<u64> {
        let objects = customer.objects(self.fixture.system.cloud()).await;
        let mut all: Vec<u64> = objects
            .into_iter()
            .filter(|(key, _)| !key.ends_with(TEST_OBJECT) && !key.contains("annals-checkpoints/"))
            .flat_map(|(_, object)| {
                let lines = String::from_utf8(object).unwrap();
                lines
                    .lines()
                    .map(|line| serde_json::from_str::<Value>(line).unwrap()["sequence"].as_u64().unwrap())
                    .collect::<Vec<_>>()
            })
            .collect();
        all.sort_unstable();
        all
    }

    /// Both buckets together have every event once, the new one those behind the old one's.
    async fn assert_whole(&self) {
        let (mut all, new) = (self.sequences(&self.old).await, self.sequences(&self.new).await);
        all.extend(&new);
        let tail = self.fixture.tail(&self.org.id).await.last;
        assert_eq!(all, (1..=tail).collect::<Vec<_>>());
        assert!(!new.is_empty());
    }
}

#[tokio::test]
async fn a_destination_moves_once_the_test_of_the_new_bucket_is_green_and_delivery_goes_on_where_it_was() {
    let stage = Stage::start().await;
    let before = stage.shown().await;
    let changed = stage.change().await;
    for member in ["bucket", "roleArn", "firstSequence", "nextSequence", "state", "proof"] {
        assert_eq!(changed[member], before[member], "{member} stays in force");
    }
    let pending = &changed["pendingChange"];
    assert_eq!((&pending["bucket"], &pending["state"]), (&json!(stage.new.bucket), &json!("unproven")));
    let setup = stage.fixture.with(&stage.org.admin).get(&format!("{}/setup", stage.path)).await.expect(200);
    assert_eq!(
        (&setup["bucket"], setup["changeNote"].is_string()),
        (&json!(stage.new.bucket), true),
        "for what is pending"
    );
    let tail = stage.fixture.tail(&stage.org.id).await.last;

    assert_eq!(stage.test().await["outcome"], "passed");
    let moved = stage.shown().await;
    assert_eq!((&moved["bucket"], &moved["roleArn"]), (&json!(stage.new.bucket), &json!(stage.new.role_arn)));
    assert_eq!((&moved["pendingChange"], &moved["proof"]["by"]), (&Value::Null, &json!("externalId")));
    for member in ["firstSequence", "nextSequence", "state", "lastSuccess"] {
        assert_eq!(moved[member], before[member], "{member} is kept");
    }
    let lines = stage.fixture.lines_behind(&stage.org.id, tail).await;
    let kinds: Vec<_> = lines.iter().map(|line| text(&line["type"])).filter(|kind| kind != "audit.read").collect();
    assert_eq!(kinds, ["destination.test", "destination.update"]);
    let update = lines.iter().find(|line| line["type"] == "destination.update").unwrap();
    assert_eq!(
        (&update["before"]["bucket"], &update["after"]["bucket"]),
        (&json!(stage.old.bucket), &json!(stage.new.bucket))
    );
    assert_eq!(update["before"]["pendingChange"]["bucket"], json!(stage.new.bucket));
    stage.fixture.tick().await;
    stage.assert_whole().await;
    let deliveries = stage.fixture.with(&stage.org.admin).get(&format!("{}/deliveries", stage.path)).await.expect(200);
    let buckets: Vec<_> = deliveries["deliveries"].as_array().unwrap().iter().map(|one| text(&one["bucket"])).collect();
    assert_eq!(buckets, [stage.new.bucket.clone(), stage.old.bucket.clone()]);

    // A replay fills the new bucket with what the old one has.
    stage.post("replay", &json!({"firstSequence": 1, "lastSequence": 1})).await.expect(202);
    stage.fixture.tick().await;
    assert_eq!(stage.sequences(&stage.new).await[0], 1);
}

#[tokio::test]
async fn delivery_itself_proves_a_change_and_goes_on_to_the_old_bucket_until_then() {
    let stage = Stage::start().await;
    stage.put_role(&stage.new, Some("another"), &stage.new.bucket);
    stage.change().await;
    stage.fixture.tick().await;
    let shown = stage.shown().await;
    assert_eq!((&shown["state"], &shown["pendingChange"]["state"]), (&json!("sent"), &json!("unproven")));
    assert_eq!(stage.sequences(&stage.new).await, [0; 0]);
    assert_eq!(shown["nextSequence"], stage.fixture.tail(&stage.org.id).await.last + 1, "nothing waits");

    // Asked for again when the role is ready, it is examined with the next delivery.
    stage.put_role(&stage.new, Some(&stage.org.external_id), &stage.new.bucket);
    let path = format!("{}/change", stage.path);
    stage.fixture.with(&stage.org.admin).delete(&path).await.expect(200);
    stage.change().await;
    stage.fixture.tick().await;
    assert_eq!(stage.shown().await["bucket"], stage.new.bucket);
    stage.fixture.tick().await;
    stage.assert_whole().await;
}

#[tokio::test]
async fn a_role_without_an_external_id_is_confirmed_by_the_code_in_the_new_bucket() {
    let stage = Stage::start().await;
    stage.put_role(&stage.new, None, &stage.new.bucket);
    stage.change().await;
    stage.fixture.tick().await;
    assert_eq!(stage.test().await["outcome"], "unconfirmed");
    assert_eq!(stage.shown().await["pendingChange"]["needsCode"], true);
    let wrong = stage.post("confirm", &json!({"code": "AAAAA-AAAAA"})).await;
    assert!(
        text(&wrong.expect_problem(400, "invalid_input")["errors"][0]["detail"]).ends_with("left: 4"),
        "{}",
        wrong.json()
    );
    let content = stage.new.objects(stage.fixture.system.cloud()).await[TEST_OBJECT].clone();
    let content = String::from_utf8(content).unwrap();
    let code = content.lines().find_map(|line| line.strip_prefix("Code: ")).unwrap();
    let confirmed = stage.post("confirm", &json!({"code": code})).await.expect(200);
    assert_eq!((&confirmed["bucket"], &confirmed["proof"]["by"]), (&json!(stage.new.bucket), &json!("code")));
    stage.fixture.tick().await;
    stage.assert_whole().await;
}

#[tokio::test]
async fn a_typo_in_the_first_save_is_corrected_at_once() {
    let stage = Stage::start().await;
    let input = json!({"bucket": "no-such-bucket-here", "roleArn": "arn:aws:iam::444455556666:role/typo"});
    stage.fixture.with(&stage.org.admin).delete(&stage.path).await.expect(204);
    let collection = format!("/organisations/{}/destinations", stage.org.id);
    let created = stage.fixture.with(&stage.org.admin).post(&collection, &input).await.expect(201);
    let stage = Stage { path: format!("{collection}/{}", text(&created["id"])), ..stage };
    stage.fixture.tick().await;
    let report = stage.test().await;
    assert_eq!(report["steps"][0]["code"], "role_not_assumable");
    let changed = stage.change().await;
    assert_eq!((&changed["bucket"], &changed["pendingChange"]), (&json!(stage.new.bucket), &Value::Null));
    for member in ["firstSequence", "nextSequence", "createdAt"] {
        assert_eq!(changed[member], created[member], "{member} is kept");
    }
    stage.fixture.tick().await;
    let tail = stage.fixture.tail(&stage.org.id).await.last;
    assert_eq!(stage.sequences(&stage.new).await, (1..=tail).collect::<Vec<_>>(), "from the first event on");
}

#[tokio::test]
async fn a_bucket_that_was_deleted_is_left_and_the_unfinished_object_is_delivered_to_the_new_one() {
    let stage = Stage::start().await;
    stage.put_role(&stage.old, Some(&stage.org.external_id), "another-bucket");
    stage.record().await;
    stage.fixture.tick().await;
    assert_eq!(stage.shown().await["state"], "failing");
    stage.change().await;
    assert_eq!(stage.test().await["outcome"], "passed");
    let moved = stage.shown().await;
    assert_eq!((&moved["bucket"], &moved["failing"]), (&json!(stage.new.bucket), &Value::Null), "{moved}");
    stage.fixture.tick().await;
    stage.assert_whole().await;
}

#[tokio::test]
async fn a_change_that_fails_its_test_is_withdrawn_and_changes_nothing() {
    let stage = Stage::start().await;
    let changed = stage.patch(&json!({"bucket": "no-such-bucket-here"})).await.expect(200);
    assert_eq!(changed["pendingChange"]["roleArn"], stage.old.role_arn, "what is left out stays");
    let setup = stage.fixture.with(&stage.org.admin).get(&format!("{}/setup", stage.path)).await.expect(200);
    let policy = setup["permissionPolicy"].to_string();
    assert!(
        policy.contains("no-such-bucket-here") && policy.contains(&stage.old.bucket),
        "the role writes to both: {policy}"
    );
    let report = stage.test().await;
    assert_eq!(report["outcome"], "failed", "{report}");
    stage.record().await;
    stage.fixture.tick().await;
    let shown = stage.shown().await;
    assert_eq!((&shown["state"], &shown["failing"]), (&json!("sent"), &Value::Null), "what is in force is well");
    // The values in force withdraw it, too.
    let back = stage.patch(&json!({"bucket": stage.old.bucket})).await.expect(200);
    assert_eq!((&back["pendingChange"], &back["region"]), (&Value::Null, &shown["region"]));
    assert_eq!(stage.sequences(&stage.new).await, [0; 0]);
}

#[tokio::test]
async fn a_folder_in_a_bucket_whose_events_may_not_be_replaced_is_moved_to_with_the_role_as_it_is() {
    let stage = Stage::start().await;
    let cloud = stage.fixture.system.cloud();
    let policy = serde_json::to_value(Policy::deliver("aws", &stage.old.bucket, "")).unwrap();
    let trust = trust(cloud.account(), Some(&stage.org.external_id));
    cloud.iam().put_role(Role::new(&stage.old.role_arn, trust, vec![policy])).unwrap();
    stage.patch(&json!({"prefix": "audit"})).await.expect(200);
    for _ in 0..2 {
        let report = stage.test().await;
        assert_eq!(report["outcome"], "passed", "{report}");
    }
    assert_eq!(stage.shown().await["prefix"], "audit/");
    stage.fixture.tick().await;
    let tail = stage.fixture.tail(&stage.org.id).await.last;
    assert_eq!(stage.sequences(&stage.old).await, (1..=tail).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_limit_of_the_plan_counts_a_destination_that_moves_once() {
    let stage = Stage::start().await;
    stage.change().await;
    let collection = format!("/organisations/{}/destinations", stage.org.id);
    let listed = stage.fixture.with(&stage.org.admin).get(&collection).await.expect(200);
    assert_eq!(listed["destinations"].as_array().unwrap().len(), 1);
    let input = json!({"bucket": stage.old.bucket, "roleArn": stage.old.role_arn});
    let created = stage.fixture.with(&stage.org.admin).post(&collection, &input).await;
    stage.test().await;
    let again = stage.fixture.with(&stage.org.admin).post(&collection, &input).await;
    assert_eq!(created.status, again.status, "{} {}", created.json(), again.json());
}
