//! Who recorded an event: set by Annals for each kind of caller, and never by a producer.

use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, event, text};

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
    let entered = fixture.nobody().send(Method::POST, &path, &[], None).await;
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

/// Events that a producer posts as if they were Annals' own.
fn forged() -> Value {
    let principal = json!({"id": "platform", "name": "Platform", "entityType": "PLATFORM"});
    let entity = |kind: &str| json!({"id": "d", "name": "d", "entityType": kind});
    json!([
        {"action": "READ", "type": "audit.read", "entity": entity("AUDIT_LOG"), "principal": principal, "clientType": "SYSTEM"},
        {"action": "EXPIRE", "type": "destination.gap", "entity": entity("S3_AUDIT_SINK"), "principal": principal,
            "clientType": "SYSTEM", "payload": {"lost": [{"firstSequence": 1, "lastSequence": 2}]}},
    ])
}

/// The events of an NDJSON page.
async fn ndjson(auditor: &Caller<'_>, query: &str, accept: &str) -> Vec<Value> {
    let answer = auditor.send(Method::GET, &format!("/audit?{query}"), &[("accept", accept)], None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_output_tells_a_producers_event_from_annals_own() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let (auditor, token) = (fixture.with(&acme.auditor), format!("token/{}", id(&acme.producer)));
    auditor.get("/audit/tail").await.expect(200);
    fixture.with(&acme.producer).post("/events", &forged()).await.expect(201);
    let both = "type=audit.read&until=9999-01-01&pageSize=2";

    let page = auditor.get(&format!("/audit?{both}")).await.expect(200);
    let by: Vec<&Value> = page["events"].as_array().unwrap().iter().map(|event| &event["recordedBy"]).collect();
    assert_eq!(by, [&json!("annals"), &json!(token)]);
    let event = auditor.get(&format!("/audit/{}", text(&page["events"][1]["uuid"]))).await.expect(200);
    assert_eq!(event["recordedBy"], token);

    let events = ndjson(&auditor, both, "application/x-ndjson; profile=cloudevents").await;
    assert_eq!((&events[0]["recordedby"], &events[1]["recordedby"]), (&json!("annals"), &json!(token)));
    let events = ndjson(&auditor, both, "application/x-ndjson; profile=ocsf").await;
    let reporter = |event: &Value| event["metadata"]["reporter"]["uid"].clone();
    assert_eq!((reporter(&events[0]), reporter(&events[1])), (json!("annals"), json!(token)));
    let gap = ndjson(&auditor, "type=destination.gap", "application/x-ndjson; profile=ocsf").await;
    assert_eq!((&gap[0]["severity"], &gap[0]["status"]), (&json!("Informational"), &json!("Unknown")));
    let csv = auditor.send(Method::GET, &format!("/audit?{both}"), &[("accept", "text/csv")], None).await;
    let recorders: Vec<&str> = csv.body.lines().map(|row| row.rsplit(',').nth(2).unwrap()).collect();
    assert_eq!(recorders, ["recordedBy", "annals", &token]);
}

#[tokio::test]
async fn events_are_filtered_and_counted_by_who_recorded_them() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let (auditor, token) = (fixture.with(&acme.auditor), format!("token/{}", id(&acme.producer)));
    fixture.with(&acme.producer).post("/events", &forged()).await.expect(201);
    fixture.with(&acme.producer).post("/events", &event("a")).await.expect(201);
    let platform = format!("/organisations/{}/events", acme.id);
    fixture.platform().post(&platform, &event("b")).await.expect(201);
    let types = async |query: &str| -> Vec<String> {
        let page = auditor.get(&format!("/audit?{query}")).await.expect(200);
        page["events"].as_array().unwrap().iter().map(|event| text(&event["type"])).collect()
    };
    let sent = ["audit.read", "destination.gap", "mock_api.update"];
    assert_eq!(types(&format!("recordedBy={token}")).await, sent);
    assert_eq!(types("recordedBy=platform").await, ["mock_api.update"]);
    assert_eq!(types(&format!("recordedBy={token}&recordedBy=platform&action=UPDATE")).await, ["mock_api.update"; 2]);
    let own = types("recordedBy=annals&excludeType=audit.read").await;
    assert!(own.iter().all(|kind| kind.starts_with("organisation.") || kind.starts_with("token.")), "{own:?}");
    assert_eq!(own.len(), 4, "the organisation and its three tokens");
    let left = types("excludeOwnType=audit.read&type=audit.read&type=mock_api.update").await;
    assert_eq!(left, ["audit.read", "mock_api.update", "mock_api.update"], "what a producer sent is never left out");

    let counts = auditor.get("/audit/stats?by=recordedBy&interval=day&excludeOwnType=audit.read").await.expect(200);
    let counts = &counts["intervals"][0]["counts"];
    assert_eq!(*counts, json!({"annals": 4, "platform": 1, token.as_str(): 3}));
    let counts = auditor.get(&format!("/audit/stats?recordedBy={token}")).await.expect(200);
    assert_eq!(counts["intervals"][0]["total"], 3);
    let filtered = auditor.get(&format!("/audit?recordedBy={token}&excludeOwnType=audit.read&pageSize=1")).await;
    let next = filtered.expect(200)["_links"]["next"]["href"].as_str().unwrap().to_owned();
    assert!(next.contains("recordedBy=token%2F") && next.contains("excludeOwnType=audit.read"), "{next}");

    let before = fixture.tail(&acme.id).await;
    for wrong in ["annals%20", "token", "token/1", "7", ""] {
        for path in ["/audit", "/audit/stats"] {
            let refused = auditor.get(&format!("{path}?recordedBy={wrong}")).await.expect_problem(400, "invalid_input");
            let fault = &refused["errors"][0];
            assert_eq!(fault["parameter"], "recordedBy", "{refused}");
            assert!(
                text(&fault["detail"]).starts_with("must be annals, platform, platform/ or token/ and"),
                "{refused}"
            );
        }
    }
    assert_eq!(fixture.tail(&acme.id).await, before);
}
