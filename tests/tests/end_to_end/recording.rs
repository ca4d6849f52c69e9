//! Recording events.

use annals_core::id::EventId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Fixture, event, label, labels, sequences, text};

#[tokio::test]
async fn an_event_that_is_posted_is_answered_with_its_event_id_uuid_and_sequence() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let before = fixture.tail(&acme.id).await.last;
    let answer = fixture.with(&acme.producer).post("/events", &event("m-1")).await;
    let recorded = answer.expect(201);
    assert_eq!(answer.headers["content-type"], "application/json");
    let [receipt] = recorded["events"].as_array().unwrap().as_slice() else { panic!("{recorded}") };
    assert_eq!(receipt["sequence"], before + 1);
    let id = EventId::parse(receipt["eventId"].as_str().unwrap()).unwrap();
    assert_eq!(receipt["eventId"], id.to_string(), "36 characters in lower case");
    assert_eq!(receipt["uuid"], id.short(), "the same in PactFlow's 22 characters");
    assert_eq!(fixture.tail(&acme.id).await.last, before + 1);
}

#[tokio::test]
async fn an_array_and_lines_are_recorded_in_their_order() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let producer = fixture.with(&acme.producer);
    let array = json!([event("a"), event("b"), event("c")]);
    let first = producer.post("/events", &array).await.expect(201);
    let lines = format!("{}\n\n{}\r\n{}", event("d"), event("e"), event("f"));
    let mut expected = 0;
    for media_type in ["application/x-ndjson", "application/x-ndjson; charset=utf-8", "application/jsonl"] {
        let headers = [("content-type", media_type)];
        let answer = producer.send(Method::POST, "/events", &headers, Some(lines.clone())).await.expect(201);
        let numbers = sequences(&answer);
        assert_eq!(numbers.len(), 3, "{media_type}");
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        expected = expected.max(numbers[2]);
    }
    assert_eq!(sequences(&first).len(), 3);
    let page = fixture.with(&acme.auditor).get("/audit").await.expect(200);
    assert_eq!(labels(&page), ["a", "b", "c", "d", "e", "f", "d", "e", "f", "d", "e", "f"]);
    assert_eq!(sequences(&page), (1..=expected).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_field_that_is_sent_is_kept() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let full = json!({
        "occurredAt": "2026-11-22T23:00:00+11:00", "clientType": "CLI", "action": "ACL_GRANT", "type": "mock.shared",
        "entity": {"id": "m1", "name": "Zahlungen „ä“", "entityType": "MOCK_API"},
        "principal": {"id": "u-7", "name": "Ada", "entityType": "USER"},
        "parentEntity": {"id": "t1", "name": "Core", "entityType": "TEAM"},
        "subject": {"id": "u2", "name": "Ben", "entityType": "USER"},
        "permission": {"permissions": [{"id": "p1", "friendlyId": "read"}]},
        "before": {"n": 1.50, "big": 12_345_678_901_234_567_890_u64}, "after": {"n": null},
        "context": {"ipAddress": "192.0.2.1"}, "payload": {"a": [1, {"b": "\u{1f600}\n"}]}, "metadata": {"k": "v"},
    });
    fixture.with(&acme.producer).post("/events", &full).await.expect(201);
    let line = fixture.lines_behind(&acme.id, 0).await.pop().unwrap();
    for (name, value) in full.as_object().unwrap() {
        assert_eq!(line[name], *value, "{name}");
    }
    assert_eq!(line["organisation"], json!({"id": acme.id, "name": "Acme", "entityType": "ORGANISATION"}));
}

#[tokio::test]
async fn the_platform_records_for_each_organisation_and_says_for_which() {
    let fixture = Fixture::start().await;
    let (acme, umbrella) = (fixture.organisation().await, fixture.organisation().await);
    for organisation in [&acme, &umbrella] {
        let path = format!("/organisations/{}/events", organisation.id);
        fixture.platform().post(&path, &event(&organisation.id)).await.expect(201);
        let line = fixture.lines_behind(&organisation.id, 0).await.pop().unwrap();
        assert_eq!(label(&line), Some(&*organisation.id));
    }
    fixture.platform().post("/events", &event("a")).await.expect_problem(400, "organisation_needed");
}

#[tokio::test]
async fn a_request_that_is_repeated_with_its_idempotency_key_is_recorded_once() {
    let fixture = Fixture::start().await;
    let (acme, umbrella) = (fixture.organisation().await, fixture.organisation().await);
    let key = [("idempotency-key", "order 17 / try")];
    let body = Some(json!([event("a"), event("b")]).to_string());
    let post =
        async |token: &str, body: Option<String>| fixture.with(token).send(Method::POST, "/events", &key, body).await;
    let first = post(&acme.producer, body.clone()).await;
    let tail = fixture.tail(&acme.id).await;
    fixture.with(&acme.producer).post("/events", &event("in between")).await.expect(201);
    let later = fixture.tail(&acme.id).await;
    let again = post(&acme.producer, body.clone()).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.body, again.body, "the first answer again");
    assert_eq!(first.headers.get("idempotency-replayed"), None);
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(fixture.tail(&acme.id).await, later);
    assert_ne!(later, tail);

    let other = post(&acme.producer, Some(event("c").to_string())).await;
    other.expect_problem(422, "idempotency_key_reused");
    assert_eq!(fixture.tail(&acme.id).await, later);

    let theirs = post(&umbrella.producer, body).await;
    assert_eq!((theirs.status, theirs.headers.get("idempotency-replayed")), (201, None), "keys are each one's own");
    assert_ne!(theirs.body, first.body);
}

#[tokio::test]
async fn the_same_key_from_many_at_once_is_recorded_once() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let before = fixture.tail(&acme.id).await.last;
    let key = [("idempotency-key", "k-1")];
    let body = event("once").to_string();
    let producer = fixture.with(&acme.producer);
    let posts = (0..8).map(|_| producer.send(Method::POST, "/events", &key, Some(body.clone())));
    let answers = futures_util::future::join_all(posts).await;
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.body == answers[0].body), "{answers:?}");
    assert_eq!(fixture.tail(&acme.id).await.last, before + 1);
}

#[tokio::test]
async fn what_other_systems_hold_is_accepted_as_it_is() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let before = fixture.tail(&acme.id).await.last;
    let cut = r#"{"action":"A\udc00","entity":{"id":"1","entityType":"T"},"principal":{"id":"7","entityType":"T","email":null},
        "outcome":"FAILURE","reason":"wrong \ud83d","before":null,"context":{"location":null,"requestId":"r"},
        "metadata":{"n":1.50,"ok":true,"none":null},"payload":{"\udc00\ud800":[null]}}"#;
    let (one, other) = (event("one"), event("other"));
    fixture
        .with(&acme.producer)
        .send(Method::POST, "/events", &[("content-type", "application/json")], Some(format!("[{one},{cut},{other}]")))
        .await
        .expect(201);
    let lines = fixture.lines_behind(&acme.id, before).await;
    assert_eq!(lines.len(), 3);
    let kept = |member: &str| lines[1][member].clone();
    assert_eq!(kept("action"), "A\u{fffd}");
    assert_eq!(kept("entity"), json!({"id": "1", "name": "1", "entityType": "T"}));
    assert_eq!(kept("principal"), json!({"id": "7", "name": "7", "entityType": "T"}));
    assert_eq!((kept("outcome"), kept("reason")), (json!("FAILURE"), json!("wrong \u{fffd}")));
    assert_eq!((kept("before"), kept("context")), (json!(null), json!({"requestId": "r"})));
    assert_eq!(kept("payload"), json!({"\u{fffd}\u{fffd}": [null]}));
    assert_eq!(kept("metadata").to_string(), r#"{"n":1.5,"ok":true}"#);
}

#[tokio::test]
async fn a_bad_request_lists_every_fault_at_its_place_and_writes_nothing() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let before = fixture.tail(&acme.id).await;
    let producer = fixture.with(&acme.producer);

    let body = json!([
        event("good"),
        {"action": "", "entity": {"id": 1, "name": "x"}, "principal": "me", "colour": "red",
            "metadata": {"a/b": [1]}, "context": {"ipAddress": ["192.0.2.1"]}, "occurredAt": "yesterday"},
        7,
    ]);
    let problem = producer.post("/events", &body).await.expect_problem(400, "invalid_input");
    let faults: Vec<String> = problem["errors"].as_array().unwrap().iter().map(|e| text(&e["pointer"])).collect();
    assert_eq!(
        faults,
        [
            "/1/action",
            "/1/entity/id",
            "/1/entity/entityType",
            "/1/principal",
            "/1/occurredAt",
            "/1/context/ipAddress",
            "/1/metadata/a~1b",
            "/1/colour",
            "/2",
        ]
    );
    assert!(problem["errors"].as_array().unwrap().iter().all(|e| e["detail"].is_string()));

    let lines = format!("{}\n{{\n{}\n", event("good"), json!({"action": "A"}));
    let headers = [("content-type", "application/x-ndjson")];
    let problem = producer.send(Method::POST, "/events", &headers, Some(lines)).await;
    let problem = problem.expect_problem(400, "invalid_input");
    let faults: Vec<String> = problem["errors"].as_array().unwrap().iter().map(|e| text(&e["pointer"])).collect();
    assert_eq!(faults, ["/1", "/2/entity", "/2/principal"]);

    for body in ["", "[]", "{", "null", "\u{feff}{}", r#"{"action":"A","action":"B"}"#] {
        producer.send(Method::POST, "/events", &[], Some(body.into())).await.expect_problem(400, "invalid_input");
    }
    let many: Vec<Value> = (0..1001).map(|n| event(&n.to_string())).collect();
    producer.post("/events", &Value::from(many)).await.expect_problem(400, "invalid_input");
    let mut large = event("large");
    large["payload"] = json!({"text": "x".repeat(256 * 1024)});
    producer.post("/events", &large).await.expect_problem(400, "invalid_input");
    let deep = format!("{}{}", r#"{"a":"#.repeat(70), "1") + &"}".repeat(70);
    let mut nested = event("deep").to_string();
    nested.truncate(nested.len() - 1);
    let nested = format!(r#"{nested},"payload":{deep}}}"#);
    producer.send(Method::POST, "/events", &[], Some(nested)).await.expect_problem(400, "invalid_input");
    for key in [String::new(), "k".repeat(256)] {
        let headers = [("idempotency-key", &*key)];
        let answer = producer.send(Method::POST, "/events", &headers, Some(event("a").to_string())).await;
        let problem = answer.expect_problem(400, "invalid_input");
        assert_eq!(problem["errors"][0]["parameter"], "Idempotency-Key");
    }
    let headers = [("content-type", "text/csv")];
    let answer = producer.send(Method::POST, "/events", &headers, Some("a,b".into())).await;
    answer.expect_problem(415, "unsupported_media_type");
    let answer = producer.send(Method::POST, "/events", &[], Some(" ".repeat(4 * 1024 * 1024 + 1))).await;
    answer.expect_problem(413, "body_too_large");

    assert_eq!(fixture.tail(&acme.id).await, before);
}

#[tokio::test]
async fn a_request_may_hold_a_thousand_events() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let before = fixture.tail(&acme.id).await.last;
    let many: Vec<Value> = (0..1000).map(|n| event(&n.to_string())).collect();
    let recorded = fixture.with(&acme.producer).post("/events", &Value::from(many)).await.expect(201);
    assert_eq!(sequences(&recorded), (before + 1..=before + 1000).collect::<Vec<_>>());
}

#[tokio::test]
async fn many_producers_at_once_make_one_dense_log() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let before = fixture.tail(&acme.id).await.last;
    let producer = fixture.with(&acme.producer);
    let post = async |n: usize| {
        let events: Vec<Value> = (0..=n % 3).map(|index| event(&format!("{n}-{index}"))).collect();
        let recorded = producer.post("/events", &Value::from(events)).await.expect(201);
        sequences(&recorded)
    };
    let answered = futures_util::future::join_all((0..48).map(post)).await;
    assert!(answered.iter().all(|some| some.windows(2).all(|pair| pair[1] == pair[0] + 1)), "a batch stays together");
    let mut answered: Vec<u64> = answered.into_iter().flatten().collect();
    answered.sort_unstable();
    assert_eq!(answered, (before + 1..=before + 96).collect::<Vec<_>>());
    assert_eq!(fixture.lines_behind(&acme.id, before).await.len(), 96);
}
