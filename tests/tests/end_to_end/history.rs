//! The demonstration: a company with ten days of events and deliveries.

use std::{collections::BTreeSet, time::Duration};

use annals_core::time::Timestamp;
use annals_local::demonstration::{self, History};
use annals_tests::{customer::objects, deployment::PLATFORM_TOKEN, lines::Chain};
use annals_verify::{Expectation, keys::Keys, report::Verdict, verify};
use serde_json::{Value, json};

use crate::fixture::{Fixture, sequences, text, time};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test]
async fn the_demonstration_has_ten_days_of_signed_deliveries_and_an_outage_that_was_mended() {
    let fixture = Fixture::start().await;
    let ready =
        demonstration::prepare(&fixture.system, None, PLATFORM_TOKEN.to_owned(), History::TenDays).await.unwrap();
    let all = fixture.lines_behind(&ready.organisation, 0).await;
    let now = Timestamp::from_millis(fixture.system.cloud().clock().now_millis());
    let first = time(&all[0]["timestamp"]);
    assert!((DAY * 10..=DAY * 11).contains(&now.since(first)), "from {first}");
    assert!(all.len() > 2500, "{} events", all.len());
    assert!(all.iter().all(|line| time(&line["timestamp"]) <= now), "nothing lies ahead");

    let admin = fixture.with(&ready.tokens["admin"]);
    let path = format!("/organisations/{}/destinations", ready.organisation);
    let destination = admin.get(&path).await.expect(200)["destinations"][0].clone();
    assert_eq!(destination["id"], json!(ready.destination));
    assert_eq!((&destination["state"], &destination["failing"]), (&json!("sent"), &Value::Null));
    let delivered = destination["nextSequence"].as_u64().unwrap() - 1;
    assert_eq!(destination["checkpoint"]["sequence"], delivered, "{destination}");
    let listed = admin.get(&format!("{path}/{}/deliveries?limit=100", text(&destination["id"]))).await.expect(200);
    let deliveries = listed["deliveries"].as_array().unwrap();
    let oldest = time(&deliveries.last().unwrap()["deliveredAt"]);
    assert!(now.since(oldest) > DAY * 9 && deliveries.len() >= 15, "{} since {oldest}", deliveries.len());
    let waited = |delivery: &&Value| delivery["lagSeconds"].as_u64() > Some(4 * HOUR.as_secs());
    // The first delivery contains what was recorded before there was a destination.
    let late = deliveries[..deliveries.len() - 1].iter().filter(waited).count();
    assert_eq!(late, 1, "one delivery waited for the end of the outage");
    let tests = all.iter().filter(|line| line["type"] == "destination.test");
    let outcomes: Vec<&Value> = tests.map(|line| &line["payload"]["outcome"]).collect();
    assert_eq!(outcomes, ["passed", "failed", "passed"], "before, during and after the outage");

    let guesses =
        all.iter().filter(|line| line["outcome"] == "FAILURE" && line["context"]["ipAddress"] == "203.0.113.77");
    assert_eq!(guesses.count(), 17, "somebody guesses a password");
    let administrators: BTreeSet<String> = all
        .iter()
        .filter(|line| line["principal"]["name"] == "Ada Bell")
        .map(|line| text(&line["principal"]["id"]))
        .collect();
    assert_eq!(administrators.len(), 1, "Ada Bell is one person: {administrators:?}");

    let administrator = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    let account = ready.role_arn.split(':').nth(4).unwrap();
    let key = fixture.system.cloud().iam().create_user(account, "administrator", administrator).unwrap();
    let s3 = aws_sdk_s3::Client::new(&fixture.system.cloud().sdk_config(&key));
    let objects = objects(&s3, &ready.bucket).await;
    let keys = Keys::parse(&fixture.system.verifier_key().await.unwrap()).unwrap();
    let report = verify(&objects, &Expectation { keys, ..Expectation::default() }).unwrap();
    assert_eq!((report.verdict, report.events), (Verdict::Proven, delivered), "{}", report.summary);
    let chain = Chain::of(&objects);
    assert!(chain.lines.iter().eq(all.iter().take(usize::try_from(delivered).unwrap())), "all events, each once");

    // It goes on like any other.
    fixture.with(&ready.tokens["producer"]).post("/events", &crate::fixture::event("a")).await.expect(201);
    let ticked = fixture.tick().await;
    assert_eq!(ticked["shipped"][0]["deliveries"][0]["firstSequence"], delivered + 1, "{ticked}");
}

#[tokio::test]
async fn the_demonstrations_tokens_do_what_their_roles_say() {
    let fixture = Fixture::start().await;
    let ready = demonstration::prepare(&fixture.system, None, PLATFORM_TOKEN.to_owned(), History::None).await.unwrap();
    let event = crate::fixture::event("a");
    let recorded = fixture.with(&ready.tokens["producer"]).post("/events", &event).await.expect(201);
    let page = fixture.with(&ready.tokens["auditor"]).get("/audit").await.expect(200);
    assert_eq!(sequences(&page).last(), recorded["events"][0]["sequence"].as_u64().as_ref());
    let shown = fixture.platform().get(&format!("/organisations/{}", ready.organisation)).await.expect(200);
    assert_eq!(shown["plan"], "enterprise");
}
