//! Destinations: create, show, test, delete, and refusals.

use std::io::Read as _;

use annals_core::time::Timestamp;
use annals_tests::deployment::PLATFORM_TOKEN;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Fixture, Org, text};

const YET_TO_BE_SENT: &str = "Status: Audit events are yet to be sent to this destination";
const TEST_OBJECT: &str = "test-wiremock-cloud-integration.txt";

fn under(organisation: &Org) -> String {
    format!("/organisations/{}/destinations", organisation.id)
}

#[tokio::test]
async fn a_new_destination_shows_what_was_asked_for_and_that_nothing_was_sent_yet() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let admin = fixture.with(&acme.admin);
    let input = json!({"bucket": customer.bucket, "roleArn": customer.role_arn});
    let created = admin.post(&under(&acme), &input).await.expect(201);
    assert_eq!(created["bucket"], customer.bucket);
    assert_eq!(created["roleArn"], customer.role_arn);
    assert_eq!(created["externalId"], acme.external_id, "what the role may ask for");
    assert_eq!(created["status"], YET_TO_BE_SENT);
    assert_eq!(created["state"], "pending");
    assert_eq!((&created["firstSequence"], &created["nextSequence"]), (&json!(1), &json!(1)));
    assert_eq!((&created["lastSuccess"], &created["failing"]), (&Value::Null, &Value::Null));
    let path = format!("{}/{}", under(&acme), text(&created["id"]));
    assert_eq!(admin.get(&path).await.expect(200), created);
    assert_eq!(admin.get(&under(&acme)).await.expect(200), json!({"destinations": [created]}));
    assert_eq!(admin.get(&format!("{path}/deliveries")).await.expect(200)["deliveries"], json!([]));
    assert!(customer.objects(fixture.system.cloud()).await.is_empty(), "saving writes nothing");
}

#[tokio::test]
async fn a_test_writes_the_test_file_with_date_and_time_and_says_each_step() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let id = fixture.destination(&acme, &customer).await;
    let path = format!("{}/{id}/test", under(&acme));
    let mut texts = Vec::new();
    for _ in 0..2 {
        let report = fixture.with(&acme.admin).post(&path, &json!({})).await.expect(200);
        assert_eq!((&report["outcome"], &report["key"]), (&json!("passed"), &json!(TEST_OBJECT)));
        let steps = report["steps"].as_array().unwrap();
        let names: Vec<_> = steps.iter().map(|step| step["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["assumeRole", "externalId", "reachBucket", "writeObject"]);
        assert!(steps.iter().all(|step| step["outcome"] == "passed" && step["detail"].is_string()), "{report}");
        let objects = customer.objects(fixture.system.cloud()).await;
        assert_eq!(objects.keys().collect::<Vec<_>>(), [TEST_OBJECT]);
        let content = String::from_utf8(objects[TEST_OBJECT].clone()).unwrap();
        let tested_at = text(&report["testedAt"]);
        assert!(Timestamp::parse(&tested_at).is_ok() && content.contains(&tested_at), "{content:?}");
        texts.push(content);
    }
    assert_ne!(texts[0], texts[1], "each test writes the file anew");
    let shown = fixture.with(&acme.admin).get(&format!("{}/{id}", under(&acme))).await.expect(200);
    assert_eq!(shown["status"], YET_TO_BE_SENT, "a test is no delivery");
}

#[tokio::test]
async fn a_test_of_a_role_as_the_seed_describes_it_works_and_says_the_step_that_is_left() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = annals_tests::customer::Customer::create(fixture.system.cloud(), None);
    let id = fixture.destination(&acme, &customer).await;
    let report = fixture.with(&acme.admin).post(&format!("{}/{id}/test", under(&acme)), &json!({})).await.expect(200);
    assert_eq!(report["outcome"], "unconfirmed");
    assert!(text(&report["nextStep"]).contains("confirm"), "{report}");
    let outcomes: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| &step["outcome"]).collect();
    assert_eq!(outcomes, ["passed", "warning", "passed", "passed"]);
    assert!(text(&report["steps"][1]["fix"]).contains(&acme.external_id), "what to paste");
}

#[tokio::test]
async fn a_test_that_fails_says_at_which_step_and_what_to_mend() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let id = fixture.destination(&acme, &customer).await;
    let iam = fixture.system.cloud().iam();
    let test = async || {
        let path = format!("{}/{id}/test", under(&acme));
        let report = fixture.with(&acme.admin).post(&path, &json!({})).await.expect(200);
        assert_eq!(report["outcome"], "failed");
        let steps = report["steps"].as_array().unwrap().clone();
        let failed = steps.into_iter().find(|step| step["outcome"] == "failed").unwrap();
        assert!(text(&failed["aws"]).contains(':'), "what AWS said: {failed}");
        (text(&failed["name"]), text(&failed["code"]), text(&failed["fix"]))
    };

    let bucket = iam.bucket(&customer.bucket).unwrap();
    iam.delete_bucket(&customer.bucket).unwrap();
    let (step, code, fix) = test().await;
    assert_eq!((&*step, &*code), ("reachBucket", "bucket_missing"));
    assert!(fix.contains(&customer.bucket) && fix.contains(&customer.account), "{fix}");

    iam.put_bucket(bucket).unwrap();
    let role = iam.role(&customer.role_arn).unwrap();
    let mut powerless = role.clone();
    powerless.policies = vec![annals_tests::customer::put_policy("another-bucket", "*")];
    iam.put_role(powerless).unwrap();
    let (step, code, fix) = test().await;
    assert_eq!((&*step, &*code), ("writeObject", "put_denied"));
    assert!(fix.contains("s3:PutObject") && fix.contains(&customer.bucket), "{fix}");

    let mut other = role;
    other.trust_policy = annals_tests::customer::trust(fixture.system.cloud().account(), Some("another-id"));
    iam.put_role(other).unwrap();
    let (step, code, fix) = test().await;
    assert_eq!((&*step, &*code), ("assumeRole", "role_not_assumable"));
    assert!(fix.contains(&acme.external_id), "{fix}");
}

#[tokio::test]
async fn the_plan_limits_destinations() {
    let fixture = Fixture::start().await;
    for (plan, allowed) in [("free", 0), ("team", 0), ("enterprise", 1), ("enterprise_trial", 1)] {
        let organisation = fixture.organisation_on(plan).await;
        let before = fixture.tail(&organisation.id).await.last;
        for number in 0..2 {
            let customer = fixture.customer(&organisation);
            let input = json!({"bucket": customer.bucket, "roleArn": customer.role_arn});
            let answer = fixture.with(&organisation.admin).post(&under(&organisation), &input).await;
            if number < allowed {
                answer.expect(201);
            } else {
                answer.expect_problem(403, "plan_limit");
            }
        }
        let recorded = fixture.types_behind(&organisation.id, before).await;
        assert_eq!(recorded, vec!["destination.create"; allowed], "{plan}");
    }
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_another_may_take_its_place() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let id = fixture.destination(&acme, &customer).await;
    let admin = fixture.with(&acme.admin);
    let path = format!("{}/{id}", under(&acme));
    assert_eq!(admin.delete(&path).await.expect(204), Value::Null);
    let absent = admin.get(&format!("{}/abcdefghijkl", under(&acme))).await;
    absent.expect_problem(404, "not_found");
    assert_eq!(admin.get(&path).await, absent);
    assert_eq!(admin.delete(&path).await, absent);
    assert_eq!(admin.post(&format!("{path}/test"), &json!({})).await, absent);
    assert_eq!(admin.get(&format!("{path}/deliveries")).await, absent);
    assert_eq!(admin.get(&under(&acme)).await.expect(200), json!({"destinations": []}));
    let again = fixture.destination(&acme, &customer).await;
    assert_ne!(again, id);
}

#[tokio::test]
async fn a_bad_destination_is_refused_with_every_fault() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let before = fixture.tail(&acme.id).await;
    let input = json!({
        "bucket": "s3://bucket", "roleArn": "arn:aws:iam::1:user/x", "prefix": "/a/../b", "region": "Frankfurt",
        "colour": 1,
    });
    let answer = fixture.with(&acme.admin).post(&under(&acme), &input).await;
    let problem = answer.expect_problem(400, "invalid_input");
    let faults: Vec<String> = problem["errors"].as_array().unwrap().iter().map(|e| text(&e["pointer"])).collect();
    assert_eq!(faults, ["/bucket", "/roleArn", "/prefix", "/region", "/colour"]);
    let problem = fixture.with(&acme.admin).post(&under(&acme), &json!({})).await.expect_problem(400, "invalid_input");
    let faults: Vec<String> = problem["errors"].as_array().unwrap().iter().map(|e| text(&e["pointer"])).collect();
    assert_eq!(faults, ["/bucket", "/roleArn"]);
    assert_eq!(fixture.tail(&acme.id).await, before);
}

#[tokio::test]
async fn a_role_of_another_partition_is_refused_with_the_reason() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let before = fixture.tail(&acme.id).await;
    for partition in ["aws-us-gov", "aws-cn", "aws-eusc"] {
        let role = format!("arn:{partition}:iam::123456789012:role/annals");
        let input = json!({"bucket": "acme-audit", "roleArn": role});
        let problem = fixture.with(&acme.admin).post(&under(&acme), &input).await.expect_problem(400, "invalid_input");
        let fault = &problem["errors"][0];
        assert_eq!(fault["pointer"], "/roleArn");
        let detail = text(&fault["detail"]);
        assert!(detail.contains(partition) && detail.contains("this service runs in aws,"), "{detail}");
    }
    assert_eq!(fixture.tail(&acme.id).await, before);
}

#[tokio::test]
async fn a_destination_that_is_changed_is_sent_to_as_changed_and_the_change_is_recorded() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let id = fixture.destination(&acme, &customer).await;
    let path = format!("{}/{id}", under(&acme));
    let admin = fixture.with(&acme.admin);
    let patch = async |body: Value| admin.send(Method::PATCH, &path, &[], Some(body.to_string())).await;
    fixture.tick().await;
    let before = fixture.tail(&acme.id).await.last;

    let settings = json!({"prefix": "audit/annals", "compression": "gzip", "layout": "hive", "region": "us-east-1"});
    let changed = patch(settings).await.expect(200);
    let pending = &changed["pendingChange"];
    assert_eq!((&pending["prefix"], &pending["region"]), (&json!("audit/annals/"), &json!("us-east-1")));
    assert_eq!(
        (&changed["prefix"], &pending["state"]),
        (&json!(""), &json!("proven")),
        "the role is, the folder is not"
    );
    assert_eq!(changed["bucketOwner"], customer.account, "the role's account, unless another is given");
    let event = &fixture.lines_behind(&acme.id, before).await[0];
    assert_eq!(event["type"], "destination.update");
    assert_eq!((&event["before"]["compression"], &event["after"]["compression"]), (&json!("none"), &json!("gzip")));
    // The first one ends with the move, the second one delivers there.
    fixture.tick().await;
    fixture.tick().await;
    let objects = customer.objects(fixture.system.cloud()).await;
    let key = objects.keys().find(|key| key.starts_with("audit/annals/dt=")).unwrap();
    let shown = admin.get(&path).await.expect(200);
    assert_eq!((&shown["prefix"], &shown["pendingChange"]), (&json!("audit/annals/"), &Value::Null));
    assert!(key.contains("/hour=") && key.ends_with(".json.gz"), "{key}");
    let mut lines = String::new();
    flate2::read::GzDecoder::new(&objects[key][..]).read_to_string(&mut lines).unwrap();
    assert!(lines.contains("destination.update") && lines.ends_with('\n'), "{lines}");

    assert_eq!(patch(json!({"region": null})).await.expect(200)["region"], Value::Null, "forgotten");
    let tail = fixture.tail(&acme.id).await;
    for (body, pointer) in [
        (json!({"region": "us-gov-west-1"}), "/region"),
        (json!({"bucketOwner": "me"}), "/bucketOwner"),
        (json!({"bucket": "s3://another"}), "/bucket"),
        (json!({"roleArn": "arn:aws:iam::1:role/x"}), "/roleArn"),
        (json!({"layout": "flat"}), "/layout"),
    ] {
        let problem = patch(body).await.expect_problem(400, "invalid_input");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    patch(json!({})).await.expect(200);
    assert_eq!(fixture.tail(&acme.id).await, tail, "what changes nothing leaves no event");
}

#[tokio::test]
async fn a_bucket_whose_owner_is_not_the_one_expected_gets_nothing() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let id = fixture.destination(&acme, &customer).await;
    let path = format!("{}/{id}", under(&acme));
    let admin = fixture.with(&acme.admin);
    let body = json!({"bucketOwner": "999988887777"}).to_string();
    admin.send(Method::PATCH, &path, &[], Some(body)).await.expect(200);
    let report = admin.post(&format!("{path}/test"), &json!({})).await.expect(200);
    let step = &report["steps"][3];
    assert_eq!((&step["outcome"], &step["code"]), (&json!("failed"), &json!("put_denied")));
    assert!(text(&step["fix"]).contains("999988887777") && text(&step["fix"]).contains("bucketOwner"), "{step}");
    fixture.tick().await;
    assert!(customer.objects(fixture.system.cloud()).await.is_empty());

    let body = json!({"bucketOwner": null}).to_string();
    admin.send(Method::PATCH, &path, &[], Some(body)).await.expect(200);
    fixture.tick().await;
    assert_eq!(fixture.delivered(&customer).await.range(), Some((1, fixture.tail(&acme.id).await.last)));
}

#[tokio::test]
async fn a_plan_that_no_longer_includes_a_destination_disables_it_and_an_upgrade_enables_it() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let id = fixture.destination(&acme, &customer).await;
    fixture.tick().await;
    let sent = customer.objects(fixture.system.cloud()).await;
    let organisation = format!("/organisations/{}", acme.id);
    let path = format!("{}/{id}", under(&acme));
    let before = fixture.tail(&acme.id).await.last;

    fixture.platform().put(&organisation, &json!({"name": "Acme", "plan": "free"})).await.expect(200);
    let shown = fixture.with(&acme.admin).get(&path).await.expect(200);
    assert_eq!(shown["state"], "disabled", "it is not deleted");
    assert!(text(&shown["status"]).starts_with("Status: "));
    assert_eq!(fixture.tick().await["planned"], 0);
    assert_eq!(customer.objects(fixture.system.cloud()).await, sent, "nothing is sent");

    fixture.platform().put(&organisation, &json!({"name": "Acme", "plan": "enterprise"})).await.expect(200);
    assert_eq!(fixture.with(&acme.admin).get(&path).await.expect(200)["state"], "sent");
    fixture.tick().await;
    let chain = fixture.delivered(&customer).await;
    assert_eq!(chain.range(), Some((1, fixture.tail(&acme.id).await.last)), "it goes on where it stopped");
    assert_eq!(
        fixture.types_behind(&acme.id, before).await,
        ["organisation.update", "destination.disable", "organisation.update", "destination.enable"]
    );
}

#[tokio::test]
async fn a_destination_is_tested_six_times_a_minute_and_no_more() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let id = fixture.destination(&acme, &customer).await;
    let test = format!("{}/{id}/test", under(&acme));
    let admin = fixture.with(&acme.admin);
    for _ in 0..6 {
        admin.post(&test, &json!({})).await.expect(200);
    }
    let before = fixture.tail(&acme.id).await;
    let objects = customer.objects(fixture.system.cloud()).await;
    // Every caller, at once, and also after the destination was created again.
    for token in [&acme.admin, PLATFORM_TOKEN] {
        let refused = fixture.with(token).post(&test, &json!({})).await;
        refused.expect_problem(429, "too_many_requests");
        let seconds: u64 = refused.headers["retry-after"].parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
    assert_eq!(fixture.tail(&acme.id).await, before, "nothing is recorded");
    assert_eq!(customer.objects(fixture.system.cloud()).await, objects, "nothing is written");
    admin.delete(&format!("{}/{id}", under(&acme))).await.expect(204);
    let again = fixture.destination(&acme, &customer).await;
    admin.post(&format!("{}/{again}/test", under(&acme)), &json!({})).await.expect_problem(429, "too_many_requests");

    let other = fixture.organisation().await;
    let theirs = fixture.destination(&other, &fixture.customer(&other)).await;
    fixture.with(&other.admin).post(&format!("{}/{theirs}/test", under(&other)), &json!({})).await.expect(200);
}

#[tokio::test]
async fn replays_are_started_six_times_a_minute_and_no_more() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let id = fixture.destination(&acme, &fixture.customer(&acme)).await;
    let replay = format!("{}/{id}/replay", under(&acme));
    let admin = fixture.with(&acme.admin);
    let range = json!({"firstSequence": 1, "lastSequence": 1});
    admin.post(&replay, &range).await.expect(202);
    for _ in 1..6 {
        admin.post(&replay, &range).await.expect_problem(409, "replay_in_progress");
    }
    let refused = admin.post(&replay, &range).await;
    refused.expect_problem(429, "too_many_requests");
    assert!(refused.headers.contains_key("retry-after"));
}
