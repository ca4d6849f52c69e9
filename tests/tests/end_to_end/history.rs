//! The demonstration: a company with more than a week of events.

use annals_core::time::Timestamp;
use annals_local::demonstration::{self, History};
use annals_tests::{customer::objects, deployment::PLATFORM_TOKEN, lines::Chain};
use serde_json::{Value, json};

use crate::fixture::{Fixture, LOOKBACK, sequences, text, time};

#[tokio::test]
async fn the_demonstrations_history_is_there_and_the_first_tick_delivers_its_last_seven_days() {
    let fixture = Fixture::start().await;
    let history = History::LastWeek;
    let ready = demonstration::prepare(&fixture.system, None, PLATFORM_TOKEN.to_owned(), history).await.unwrap();
    let all = fixture.lines_behind(&ready.organisation, 0).await;
    let now = Timestamp::from_millis(fixture.system.cloud().clock().now_millis());
    let first = time(&all[0]["timestamp"]);
    assert!((LOOKBACK..2 * LOOKBACK).contains(&now.since(first)), "from {first}");
    assert!(all.len() > 2500, "{} events", all.len());
    assert!(all.iter().all(|line| time(&line["timestamp"]) <= now), "nothing lies ahead");

    let path = format!("/organisations/{}/destinations", ready.organisation);
    let input = json!({"bucket": ready.bucket, "roleArn": ready.role_arn});
    let admin = fixture.with(&ready.tokens["admin"]);
    let created = admin.post(&path, &input).await.expect(201);
    let test = admin.post(&format!("{path}/{}/test", text(&created["id"])), &json!({})).await.expect(200);
    assert!(test["steps"].as_array().unwrap().iter().all(|step| step["outcome"] == "passed"), "{test}");
    fixture.tick().await;

    let administrator = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    let account = ready.role_arn.split(':').nth(4).unwrap();
    let key = fixture.system.cloud().iam().create_user(account, "administrator", administrator).unwrap();
    let s3 = aws_sdk_s3::Client::new(&fixture.system.cloud().sdk_config(&key));
    let chain = Chain::of(&objects(&s3, &ready.bucket).await);
    let beginning = time(&created["createdAt"]).minus(LOOKBACK);
    let all = fixture.lines_behind(&ready.organisation, 0).await;
    let expected: Vec<&Value> = all.iter().filter(|line| time(&line["timestamp"]) >= beginning).collect();
    assert_eq!(chain.lines.len(), expected.len());
    assert_eq!(created["firstSequence"], expected[0]["sequence"]);
    assert!(chain.lines.iter().eq(expected), "exactly those of the last seven days");
    assert_eq!(chain.types().last(), Some(&"destination.test"));
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
