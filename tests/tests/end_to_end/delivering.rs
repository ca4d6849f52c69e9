//! Delivery: the objects that a tick puts into customers' buckets.

use std::{collections::BTreeMap, time::Duration};

use annals_core::{
    administration::Put,
    event::{Layout, parse},
    organisation::OrganisationInput,
    recorded_by::RecordedBy,
    time::Timestamp,
    token::{Role, TokenInput},
};
use annals_tests::{
    clock::VirtualClock,
    customer::name,
    deployment::platform,
    lines::{Chain, ORIGIN, is_delivery, sha256},
};
use serde_json::{Value, json};

use crate::fixture::{Fixture, LOOKBACK, Org, event, label, text, time};

async fn show(fixture: &Fixture, organisation: &Org, destination: &str) -> Value {
    let path = format!("/organisations/{}/destinations/{destination}", organisation.id);
    fixture.with(&organisation.admin).get(&path).await.expect(200)
}

async fn post(fixture: &Fixture, organisation: &Org, name: &str) {
    fixture.with(&organisation.producer).post("/events", &event(name)).await.expect(201);
}

/// The result of a tick for one organisation.
fn shipped<'a>(tick: &'a Value, organisation: &Org) -> Option<&'a Value> {
    tick["shipped"].as_array().unwrap().iter().find(|shipped| shipped["organisation"] == organisation.id)
}

#[tokio::test]
async fn a_tick_delivers_everything_that_is_new_once_in_the_layout_of_wiremock_cloud() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let id = fixture.destination(&acme, &customer).await;
    post(&fixture, &acme, "a").await;
    post(&fixture, &acme, "b").await;

    let tick = fixture.tick().await;
    let objects = customer.objects(fixture.system.cloud()).await;
    assert_eq!(objects.len(), 2, "the events and a checkpoint");
    let (key, content) = objects.first_key_value().unwrap();
    assert!(is_delivery(key), "{key}");
    let chain = Chain::of(&objects);
    assert_eq!(
        chain.types(),
        [
            "organisation.create",
            "token.create",
            "token.create",
            "token.create",
            "destination.create",
            "mock_api.update",
            "mock_api.update",
        ]
    );
    assert_eq!(chain.range(), Some((1, 7)));
    assert_eq!(chain.lines[0]["previousHash"], ORIGIN);
    assert_eq!(chain.hash, fixture.tail(&acme.id).await.hash.to_string());
    assert_eq!(chain.lines, fixture.lines_behind(&acme.id, 0).await, "what the log holds, and nothing else");

    let report = shipped(&tick, &acme).unwrap();
    assert_eq!(report["outcome"], "up_to_date");
    let delivery = &report["deliveries"][0];
    assert_eq!((&delivery["key"], &delivery["bytes"]), (&json!(key), &json!(content.len())));

    let nothing = fixture.tick().await;
    assert_eq!((&nothing["planned"], shipped(&nothing, &acme)), (&json!(0), None));
    let looked = show(&fixture, &acme, &id).await;
    fixture.tick().await;
    assert_eq!(customer.objects(fixture.system.cloud()).await, objects, "nothing is new: delivering leaves no event");
    assert_eq!(show(&fixture, &acme, &id).await, looked, "nor does a tick without anything new change the status");
}

#[tokio::test]
async fn every_tick_delivers_only_what_is_new_and_reads_and_tests_are() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let id = fixture.destination(&acme, &customer).await;
    fixture.tick().await;
    let first = customer.objects(fixture.system.cloud()).await;

    post(&fixture, &acme, "new").await;
    fixture.with(&acme.auditor).get("/audit?pageSize=1").await.expect(200);
    let path = format!("/organisations/{}/destinations/{id}", acme.id);
    fixture.with(&acme.admin).post(&format!("{path}/test"), &json!({})).await.expect(200);
    // These calls change nothing and leave no event.
    fixture.with(&acme.admin).get(&path).await.expect(200);
    fixture.with(&acme.admin).get(&format!("{path}/deliveries")).await.expect(200);
    fixture.tick().await;
    let mut objects = customer.objects(fixture.system.cloud()).await;
    let chain = Chain::of(&objects);
    assert!(first.iter().all(|(key, content)| objects.get(key) == Some(content)), "what was delivered stays");
    assert!(objects.contains_key("test-wiremock-cloud-integration.txt"));
    objects.retain(|key, _| is_delivery(key) && !first.contains_key(key));
    assert_eq!(objects.len(), 1);
    assert_eq!(Chain::of(&objects).types(), ["mock_api.update", "audit.read", "destination.test"]);
    assert_eq!(chain.range(), Some((1, fixture.tail(&acme.id).await.last)), "dense over both objects");
}

#[tokio::test]
async fn the_first_delivery_reaches_back_seven_days_and_no_further() {
    const HOUR: Duration = Duration::from_secs(3600);
    let fixture = Fixture::start().await;
    // The organisation has recorded events for twelve days.
    let now = Timestamp::from_millis(fixture.system.cloud().clock().now_millis());
    let clock = VirtualClock::new(now.minus(LOOKBACK + 120 * HOUR));
    let earlier = fixture.at(clock.clone());
    let id = name("org");
    let input = OrganisationInput::parse(br#"{"name": "Acme", "plan": "enterprise"}"#).unwrap();
    let put = earlier.administration.put_organisation(&id.parse().unwrap(), input, &platform()).await.unwrap();
    let (Put::Created(organisation) | Put::Updated(organisation)) = put;
    let admin = TokenInput { name: "Admin".into(), role: Role::Admin, expires_at: None };
    let (_, admin) = earlier.administration.create_token(&organisation, admin, &platform()).await.unwrap();
    for hour in 0..288 {
        clock.advance(HOUR);
        let bodies =
            parse(event(&hour.to_string()).to_string().as_bytes(), Layout::Json, &RecordedBy::Platform).unwrap();
        earlier.log.append(&organisation, bodies, None).await.unwrap();
    }

    let acme = Org {
        external_id: organisation.external_id.clone(),
        producer: String::new(),
        auditor: String::new(),
        admin: admin.reveal().to_owned(),
        id,
    };
    let customer = fixture.customer(&acme);
    let destination = fixture.destination(&acme, &customer).await;
    fixture.tick().await;
    let created_at = time(&show(&fixture, &acme, &destination).await["createdAt"]);
    let chain = fixture.delivered(&customer).await;
    let beginning = created_at.minus(LOOKBACK);
    let all = fixture.lines_behind(&acme.id, 0).await;
    let expected: Vec<&Value> = all.iter().filter(|line| time(&line["timestamp"]) >= beginning).collect();
    assert_eq!(chain.lines.iter().collect::<Vec<_>>(), expected);
    let posted: Vec<u32> = chain.lines.iter().filter_map(label).map(|label| label.parse().unwrap()).collect();
    assert_eq!(posted.len(), 168, "one an hour: {posted:?}");
    assert_eq!(posted.last(), Some(&287));
    let before = &all[usize::try_from(chain.range().unwrap().0).unwrap() - 2];
    assert!(time(&before["timestamp"]) < beginning);
}

#[tokio::test]
async fn each_organisations_events_go_to_its_own_bucket_alone() {
    let fixture = Fixture::start().await;
    let mut parties = Vec::new();
    for _ in 0..5 {
        let organisation = fixture.organisation().await;
        let customer = fixture.customer(&organisation);
        fixture.destination(&organisation, &customer).await;
        post(&fixture, &organisation, &organisation.id).await;
        parties.push((organisation, customer));
    }
    let tick = fixture.tick().await;
    assert_eq!((&tick["planned"], &tick["deferred"]), (&json!(5), &json!(0)));
    for (organisation, customer) in &parties {
        let chain = fixture.delivered(customer).await;
        assert_eq!(chain.lines, fixture.lines_behind(&organisation.id, 0).await);
        assert!(chain.lines.iter().all(|line| line["organisation"]["id"] == organisation.id));
        assert_eq!(chain.lines.iter().filter_map(label).collect::<Vec<_>>(), [&organisation.id]);
    }
}

#[tokio::test]
async fn a_customer_that_refuses_holds_up_no_other() {
    let fixture = Fixture::start().await;
    let (acme, umbrella) = (fixture.organisation().await, fixture.organisation().await);
    let (broken, sound) = (fixture.customer(&acme), fixture.customer(&umbrella));
    let id = fixture.destination(&acme, &broken).await;
    fixture.destination(&umbrella, &sound).await;
    fixture.system.cloud().iam().delete_role(&broken.role_arn).unwrap();
    let tick = fixture.tick().await;
    assert_eq!(shipped(&tick, &acme).unwrap()["outcome"], "role_not_assumable");
    assert_eq!(fixture.delivered(&sound).await.lines.len(), 5);

    let shown = show(&fixture, &acme, &id).await;
    assert_eq!(shown["state"], "failing");
    assert_eq!((&shown["failing"]["code"], &shown["failing"]["attempts"]), (&json!("role_not_assumable"), &json!(1)));
    let status = text(&shown["status"]);
    assert!(status.starts_with("Status: "), "{status}");
    for told in [&broken.role_arn, &acme.external_id, &text(&shown["failing"]["fix"])] {
        assert!(status.contains(told.as_str()), "{status}");
    }
    assert!(status.ends_with("None has been sent so far."), "{status}");
    assert!(time(&shown["failing"]["retryAt"]) > time(&shown["failing"]["since"]));
    let tick = fixture.tick().await;
    assert_eq!((&tick["planned"], &tick["deferred"]), (&json!(0), &json!(1)), "it rests until its pause is over");
}

#[tokio::test]
async fn the_status_tells_success_and_a_failure_after_it_the_last_success() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let id = fixture.destination(&acme, &customer).await;
    fixture.tick().await;
    let sent = show(&fixture, &acme, &id).await;
    assert_eq!(sent["state"], "sent");
    let last_success = text(&sent["lastSuccess"]);
    assert!(text(&sent["status"]).starts_with("Status: ") && text(&sent["status"]).contains(&last_success));
    assert_eq!(sent["nextSequence"], fixture.tail(&acme.id).await.last + 1);

    fixture.system.cloud().iam().delete_bucket(&customer.bucket).unwrap();
    post(&fixture, &acme, "waits").await;
    fixture.tick().await;
    let failing = show(&fixture, &acme, &id).await;
    assert_eq!((&failing["state"], &failing["failing"]["code"]), (&json!("failing"), &json!("bucket_missing")));
    assert_eq!(failing["lastSuccess"], last_success);
    assert!(text(&failing["status"]).contains(&last_success), "the date of the last success");
    assert!(text(&failing["status"]).contains(&format!("There is no bucket {}.", customer.bucket)));
    assert_eq!(failing["nextSequence"], sent["nextSequence"], "what could not be sent waits");
}

#[tokio::test]
async fn deliveries_are_listed_with_what_sha256sum_gives_for_their_objects() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let id = fixture.destination(&acme, &customer).await;
    let mut ticks = Vec::new();
    for round in 0..3 {
        post(&fixture, &acme, &round.to_string()).await;
        let tick = fixture.tick().await;
        ticks.insert(0, shipped(&tick, &acme).unwrap()["deliveries"][0].clone());
    }
    let path = format!("/organisations/{}/destinations/{id}/deliveries", acme.id);
    let listed = fixture.with(&acme.admin).get(&path).await.expect(200);
    let listed = listed["deliveries"].as_array().unwrap();
    assert_eq!(listed.len(), 3, "the newest first");
    let objects = customer.objects(fixture.system.cloud()).await;
    let mut next = fixture.tail(&acme.id).await.last;
    for (delivery, tick) in listed.iter().zip(&ticks) {
        let content = &objects[delivery["key"].as_str().unwrap()];
        assert_eq!(delivery["sha256"], sha256(content));
        assert_eq!(delivery["bytes"], content.len());
        let one = BTreeMap::from([(text(&delivery["key"]), content.clone())]);
        let chain = Chain::of(&one);
        let (first, last) = chain.range().unwrap();
        assert_eq!((&delivery["firstSequence"], &delivery["lastSequence"]), (&json!(first), &json!(last)));
        assert_eq!(delivery["events"], chain.lines.len());
        assert_eq!(last, next);
        next = first - 1;
        assert!(Timestamp::parse(delivery["deliveredAt"].as_str().unwrap()).is_ok());
        for (name, value) in tick.as_object().unwrap() {
            assert_eq!(delivery[name], *value, "{name}: as the tick told it");
        }
    }
    assert_eq!(next, 0);
}

#[tokio::test]
async fn nothing_more_is_sent_to_a_destination_that_is_deleted() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let id = fixture.destination(&acme, &customer).await;
    fixture.tick().await;
    let before = customer.objects(fixture.system.cloud()).await;
    post(&fixture, &acme, "too late").await;
    fixture.with(&acme.admin).delete(&format!("/organisations/{}/destinations/{id}", acme.id)).await.expect(204);
    let tick = fixture.tick().await;
    assert_eq!(tick["planned"], 0);
    assert_eq!(customer.objects(fixture.system.cloud()).await, before);

    fixture.destination(&acme, &customer).await;
    fixture.tick().await;
    let after = customer.objects(fixture.system.cloud()).await;
    assert!(before.iter().all(|(key, content)| after.get(key) == Some(content)), "what is there stays");
    let fresh: BTreeMap<_, _> = after.into_iter().filter(|(key, _)| !before.contains_key(key)).collect();
    assert_eq!(Chain::of(&fresh).range(), Some((1, fixture.tail(&acme.id).await.last)), "a new one begins anew");
}

#[tokio::test]
async fn keys_begin_with_the_destinations_prefix() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let input = json!({"bucket": customer.bucket, "roleArn": customer.role_arn, "prefix": "audit/annals"});
    let path = format!("/organisations/{}/destinations", acme.id);
    let id = text(&fixture.with(&acme.admin).post(&path, &input).await.expect(201)["id"]);
    fixture.with(&acme.admin).post(&format!("{path}/{id}/test"), &json!({})).await.expect(200);
    fixture.tick().await;
    let objects = customer.objects(fixture.system.cloud()).await;
    assert_eq!(objects.len(), 3, "the test object, the events and a checkpoint");
    assert!(objects.contains_key("audit/annals/test-wiremock-cloud-integration.txt"), "{:?}", objects.keys());
    let key = |key: &String| key.strip_prefix("audit/annals/").unwrap().to_owned();
    let objects: BTreeMap<_, _> = objects.iter().map(|(name, content)| (key(name), content.clone())).collect();
    assert_eq!(Chain::of(&objects).lines.len(), 6);
}

#[tokio::test]
async fn a_thousand_events_of_many_producers_arrive_each_once() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    fixture.destination(&acme, &customer).await;
    let producer = fixture.with(&acme.producer);
    for round in 0..4 {
        let posts = (0..10).map(async |n| {
            let events: Vec<Value> = (0..25).map(|index| event(&format!("{round}-{n}-{index}"))).collect();
            producer.post("/events", &Value::from(events)).await.expect(201);
        });
        // Ticks run while events are recorded.
        futures_util::future::join(futures_util::future::join_all(posts), fixture.tick()).await;
    }
    fixture.tick().await;
    let chain = fixture.delivered(&customer).await;
    assert_eq!(chain.range(), Some((1, fixture.tail(&acme.id).await.last)));
    let mut posted: Vec<&str> = chain.lines.iter().filter_map(label).collect();
    posted.sort_unstable();
    posted.dedup();
    assert_eq!(posted.len(), 1000);
}

#[tokio::test]
async fn what_waited_while_a_destination_was_paused_or_failing_is_sent_once_it_goes_on() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let id = fixture.destination(&acme, &customer).await;
    let path = format!("/organisations/{}/destinations/{id}", acme.id);
    let admin = fixture.with(&acme.admin);
    fixture.tick().await;

    let paused = admin.post(&format!("{path}/pause"), &json!({})).await.expect(200);
    assert_eq!(paused["state"], "paused");
    post(&fixture, &acme, "while paused").await;
    assert_eq!(fixture.tick().await["planned"], 0);
    assert_eq!(admin.post(&format!("{path}/resume"), &json!({})).await.expect(200)["state"], "sent");
    fixture.tick().await;
    assert_eq!(fixture.delivered(&customer).await.range(), Some((1, fixture.tail(&acme.id).await.last)));

    let iam = fixture.system.cloud().iam();
    let role = iam.role(&customer.role_arn).unwrap();
    let mut denied = role.clone();
    denied.policies = vec![annals_tests::customer::put_policy("another-bucket", "*")];
    iam.put_role(denied).unwrap();
    post(&fixture, &acme, "while failing").await;
    fixture.tick().await;
    assert_eq!(show(&fixture, &acme, &id).await["state"], "failing");
    assert_eq!(fixture.tick().await["deferred"], 1);
    iam.put_role(role).unwrap();
    // A passed test ends the pause, so that nobody has to wait after fixing the cause.
    assert_eq!(admin.post(&format!("{path}/test"), &json!({})).await.expect(200)["outcome"], "passed");
    fixture.tick().await;
    assert_eq!(show(&fixture, &acme, &id).await["state"], "sent");
    let chain = fixture.delivered(&customer).await;
    assert_eq!(chain.lines, fixture.lines_behind(&acme.id, 0).await, "each once, and none missed");
}

#[tokio::test]
async fn an_object_that_somebody_plants_under_a_refused_key_is_not_taken_for_ours() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let id = fixture.destination(&acme, &customer).await;
    let path = format!("/organisations/{}/destinations/{id}", acme.id);
    let cloud = fixture.system.cloud();
    let s3 = customer.s3(cloud);
    let role = cloud.iam().role(&customer.role_arn).unwrap();
    let mut denied = role.clone();
    let deny = json!({"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*"});
    denied.policies.push(json!({"Version": "2012-10-17", "Statement": [deny]}));
    let mut planted = Vec::new();
    for round in 0..3 {
        cloud.iam().put_role(denied.clone()).unwrap();
        post(&fixture, &acme, &format!("denied {round}")).await;
        fixture.tick().await;
        let failing = show(&fixture, &acme, &id).await["failing"].clone();
        assert_eq!(failing["code"], "put_denied");
        let aws = text(&failing["aws"]);
        assert!(aws.contains("with an explicit deny in an identity-based policy"), "{aws}");
        let (_, key) = aws.split_once(&format!("arn:aws:s3:::{}/", customer.bucket)).unwrap();
        let (key, _) = key.split_once('"').unwrap();
        assert!(is_delivery(key), "{key}");
        s3.put_object().bucket(&customer.bucket).key(key).send().await.unwrap();
        planted.push(key.to_owned());

        cloud.iam().put_role(role.clone()).unwrap();
        fixture.with(&acme.admin).post(&format!("{path}/test"), &json!({})).await.expect(200);
        fixture.tick().await;
        assert_eq!(show(&fixture, &acme, &id).await["state"], "sent");
    }
    let mut objects = customer.objects(cloud).await;
    for key in &planted {
        assert_eq!(objects.remove(key), Some(Vec::new()), "what is there is never replaced");
    }
    objects.retain(|key, _| is_delivery(key));
    assert_eq!(Chain::of(&objects).lines, fixture.lines_behind(&acme.id, 0).await, "each once, under other keys");
    let listed = fixture.with(&acme.admin).get(&format!("{path}/deliveries")).await.expect(200);
    for delivery in listed["deliveries"].as_array().unwrap() {
        assert_eq!(delivery["alreadyThere"], false);
        assert_eq!(delivery["sha256"], sha256(&objects[delivery["key"].as_str().unwrap()]));
    }
}

#[tokio::test]
async fn a_replay_delivers_a_range_once_more_beside_what_is_delivered_regularly() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let id = fixture.destination(&acme, &customer).await;
    let path = format!("/organisations/{}/destinations/{id}", acme.id);
    post(&fixture, &acme, "a").await;
    fixture.tick().await;
    let first = customer.objects(fixture.system.cloud()).await;
    let range = json!({"firstSequence": 2, "lastSequence": 4});
    let admin = fixture.with(&acme.admin);
    admin.post(&format!("{path}/replay"), &range).await.expect(202);
    admin.post(&format!("{path}/replay"), &range).await.expect_problem(409, "replay_in_progress");
    fixture.tick().await;
    assert_eq!(show(&fixture, &acme, &id).await["replay"], Value::Null, "done");

    let listed = admin.get(&format!("{path}/deliveries")).await.expect(200);
    let listed = listed["deliveries"].as_array().unwrap();
    let (again, regular): (Vec<_>, Vec<_>) = listed.iter().partition(|delivery| !delivery["replay"].is_null());
    assert_eq!((again.len(), regular.len()), (1, 2));
    let objects = customer.objects(fixture.system.cloud()).await;
    assert!(first.iter().all(|(key, content)| objects.get(key) == Some(content)));
    let replayed = std::str::from_utf8(&objects[again[0]["key"].as_str().unwrap()]).unwrap();
    let original = std::str::from_utf8(first.values().next().unwrap()).unwrap();
    let lines: Vec<&str> = original.lines().skip(1).take(3).collect();
    assert_eq!(replayed.lines().collect::<Vec<_>>(), lines, "the same lines, byte for byte");
    let objects: BTreeMap<_, _> = objects.into_iter().filter(|(key, _)| again[0]["key"] != key.as_str()).collect();
    assert_eq!(Chain::of(&objects).range(), Some((1, fixture.tail(&acme.id).await.last)));
    let none = json!({"firstSequence": 1000, "lastSequence": 1001});
    admin.post(&format!("{path}/replay"), &none).await.expect_problem(409, "nothing_to_replay");
}
