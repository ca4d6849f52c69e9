//! Who recorded an event: set by Annals for each kind of caller, and never by a producer.

use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Fixture, event, text};

/// The id in the text of a token.
fn id(token: &str) -> &str {
    token.split('_').nth(1).unwrap()
}

/// Who recorded each event after `sequence`, with its type.
async fn recorded(fixture: &Fixture, organisation: &str, sequence: u64) -> Vec<(String, String)> {
    let lines = fixture.lines_behind(organisation, sequence).await;
    lines.iter().map(|line| (text(&line["type"]), text(&line["recordedBy"]))).collect()
}

#[tokio::test]
async fn each_event_says_who_recorded_it() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let before = fixture.tail(&acme.id).await.last;
    fixture.with(&acme.producer).post("/events", &event("a")).await.expect(201);
    fixture.platform().post(&format!("/organisations/{}/events", acme.id), &event("b")).await.expect(201);
    fixture.with(&acme.auditor).get("/audit/tail").await.expect(200);
    let link = format!("/organisations/{}/portal-links", acme.id);
    let link = fixture.platform().post(&link, &json!({"role": "auditor"})).await.expect(201);
    let path = text(&link["url"]).split_once("/console/").map(|(_, path)| format!("/console/{path}")).unwrap();
    let entered = fixture.nobody().send(Method::GET, &path, &[], None).await;
    assert!(entered.status < 400, "{}", entered.status);
    assert_eq!(
        recorded(&fixture, &acme.id, before).await,
        [
            ("mock_api.update", &*format!("token/{}", id(&acme.producer))),
            ("mock_api.update", "platform"),
            ("audit.read", "annals"),
            ("portal_link.create", "annals"),
            ("console.sign_in", "annals"),
        ]
        .map(|(kind, by)| (kind.to_owned(), by.to_owned()))
    );
}

#[tokio::test]
async fn the_field_stands_between_the_previous_hash_and_the_organisation() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    fixture.with(&acme.producer).post("/events", &event("a")).await.expect(201);
    let lines = [("accept", "application/x-ndjson")];
    let page = fixture.with(&acme.auditor).send(Method::GET, "/audit", &lines, None).await;
    let line = page.body.lines().last().unwrap().to_owned();
    let (before, after) = line.split_once(&format!(r#","recordedBy":"token/{}","#, id(&acme.producer))).unwrap();
    let (_, hash) = before.rsplit_once(r#""previousHash":""#).unwrap();
    assert_eq!(hash.len(), 65, "{hash}");
    assert!(after.starts_with(r#""organisation":{"id":""#), "{after}");
}

#[tokio::test]
async fn a_producer_cannot_say_who_recorded_an_event() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let tail = fixture.tail(&acme.id).await;
    for recorded_by in [json!("annals"), json!(format!("token/{}", id(&acme.producer))), json!(null)] {
        let mut forged = event("a");
        forged["recordedBy"] = recorded_by;
        let refused = fixture.with(&acme.producer).post("/events", &json!([event("b"), forged])).await;
        let refused = refused.expect_problem(400, "invalid_input");
        assert_eq!(
            refused["errors"],
            json!([{"pointer": "/1/recordedBy", "detail": "is not a known field here"}]),
            "{refused}"
        );
    }
    assert_eq!(fixture.tail(&acme.id).await, tail);
}

#[tokio::test]
async fn a_request_with_a_key_may_be_repeated_with_the_token_that_replaced_the_first() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let key = [("idempotency-key", "order 17")];
    let body = Some(json!([event("a"), event("b")]).to_string());
    let post = async |token: &str| fixture.with(token).send(Method::POST, "/events", &key, body.clone()).await;
    let first = post(&acme.producer).await;
    let rotate = format!("/organisations/{}/tokens/{}/rotate", acme.id, id(&acme.producer));
    let rotated = fixture.platform().send(Method::POST, &rotate, &[], None).await.expect(201);
    let tail = fixture.tail(&acme.id).await;
    let again = post(&text(&rotated["token"])).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!((&first.body, &again.headers["idempotency-replayed"]), (&again.body, &"true".parse().unwrap()));
    assert_eq!(fixture.tail(&acme.id).await, tail);
    let posted = fixture.lines_behind(&acme.id, 0).await;
    let by: Vec<&Value> = posted.iter().map(|line| &line["recordedBy"]).filter(|by| *by != "annals").collect();
    let first = json!(format!("token/{}", id(&acme.producer)));
    assert_eq!(by, [&first, &first], "the token that recorded them stays");
}
