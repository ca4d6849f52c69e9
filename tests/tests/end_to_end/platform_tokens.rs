//! The platform's named tokens: shown once, with scopes and an end, replaced with an overlap, revoked at once.

use serde_json::{Value, json};

use crate::fixture::{Fixture, event, text};

#[tokio::test]
async fn a_named_tokens_text_is_shown_once_and_its_events_can_be_found() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let input = json!({"name": "Worker", "scopes": ["audit", "events"], "expiresAt": "9999-01-01T00:00:00Z"});
    let created = fixture.platform().post("/platform-tokens", &input).await.expect(201);
    let (id, secret) = (text(&created["id"]), text(&created["token"]));
    assert!(secret.starts_with(&format!("annals_platform_{id}_")), "{secret}");
    assert_eq!(created["scopes"], json!(["events", "audit"]));
    assert_eq!((&created["lastUsedAt"], &created["replaces"]), (&Value::Null, &Value::Null));

    let path = format!("/organisations/{}", acme.id);
    let worker = fixture.with(&secret);
    worker.post(&format!("{path}/events"), &event("a")).await.expect(201);
    let found = worker.get(&format!("{path}/audit?recordedBy=platform/{id}")).await.expect(200);
    assert_eq!(found["events"].as_array().map(Vec::len), Some(1), "{found}");
    worker.get("/audit").await.expect_problem(400, "organisation_needed");

    let answer = fixture.platform().get("/platform-tokens").await;
    let listed = &answer.expect(200)["tokens"];
    let token = listed.as_array().unwrap().iter().find(|token| token["id"] == id).unwrap();
    assert!(token["lastUsedAt"].is_string() && token["token"].is_null(), "{token}");
    assert!(!answer.body.contains(secret.rsplit('_').next().unwrap()));
}

#[tokio::test]
async fn a_named_token_is_replaced_with_an_overlap_and_revoked_at_once() {
    let fixture = Fixture::start().await;
    let input = json!({"name": "Worker", "scopes": ["organisations"]});
    let created = fixture.platform().post("/platform-tokens", &input).await.expect(201);
    let own = format!("/platform-tokens/{}", text(&created["id"]));
    let old = text(&created["token"]);
    let rotated = fixture.platform().post(&format!("{own}/rotate"), &json!({"overlapSeconds": 3600})).await.expect(201);
    let new = text(&rotated["token"]);
    assert_eq!((&rotated["name"], &rotated["scopes"]), (&created["name"], &created["scopes"]));
    assert_eq!((&rotated["replaces"], &rotated["replaced"]["replacedBy"]), (&created["id"], &rotated["id"]));
    assert!(rotated["replaced"]["expiresAt"].is_string() && rotated["expiresAt"].is_null(), "{rotated}");
    for token in [&old, &new] {
        fixture.with(token).get("/organisations").await.expect(200);
    }
    let again = fixture.platform().post(&format!("{own}/rotate"), &json!({})).await;
    again.expect_problem(409, "rotation_in_progress");

    assert_eq!(fixture.platform().delete(&own).await.expect(204), Value::Null);
    fixture.with(&old).get("/organisations").await.expect_problem(401, "unauthorized");
    fixture.with(&new).get("/organisations").await.expect(200);
    fixture.platform().delete(&own).await.expect_problem(404, "not_found");
    fixture.platform().post(&format!("{own}/rotate"), &json!({})).await.expect_problem(404, "not_found");
    fixture.platform().delete("/platform-tokens/x").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn there_are_at_most_fifty_valid_named_tokens() {
    let fixture = Fixture::start().await;
    let create = async |expires_at: Value| {
        let mut input = json!({"name": "Worker", "scopes": ["audit"]});
        if !expires_at.is_null() {
            input["expiresAt"] = expires_at;
        }
        fixture.platform().post("/platform-tokens", &input).await
    };
    for _ in 0..50 {
        create(Value::Null).await.expect(201);
    }
    create(Value::Null).await.expect_problem(409, "token_limit");
    let listed = fixture.platform().get("/platform-tokens").await.expect(200);
    let first = format!("/platform-tokens/{}", text(&listed["tokens"][0]["id"]));
    fixture.platform().post(&format!("{first}/rotate"), &json!({})).await.expect_problem(409, "token_limit");
    fixture.platform().delete(&first).await.expect(204);
    create(Value::Null).await.expect(201);
}

#[tokio::test]
async fn an_invalid_input_says_what_is_wrong_and_creates_nothing() {
    let fixture = Fixture::start().await;
    let input =
        json!({"name": "\u{200b}", "scopes": ["everything"], "expiresAt": "2020-01-01T00:00:00Z", "role": "admin"});
    let problem = fixture.platform().post("/platform-tokens", &input).await.expect_problem(400, "invalid_input");
    let places: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    assert_eq!(places, ["/name", "/scopes", "/expiresAt", "/role"], "{problem}");
    assert_eq!(fixture.platform().get("/platform-tokens").await.expect(200), json!({"tokens": []}));
}
