//! Tokens: shown once, listed without their texts, revoked at once.

use std::time::Duration;

use annals_core::{
    time::{Clock as _, Timestamp},
    token::{Role, TokenInput},
};
use annals_tests::{clock::VirtualClock, deployment::platform};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Fixture, text, time};

#[tokio::test]
async fn a_tokens_text_is_shown_once_and_nowhere_else() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let admin = fixture.with(&acme.admin);
    let path = format!("/organisations/{}/tokens", acme.id);
    let input = json!({"name": "SIEM", "role": "auditor", "expiresAt": "9999-01-01T00:00:00Z"});
    let created = admin.post(&path, &input).await.expect(201);
    let secret = text(&created["token"]);
    fixture.with(&secret).get("/audit").await.expect(200);
    assert_eq!((&created["name"], &created["role"]), (&json!("SIEM"), &json!("auditor")));
    assert_eq!(created["expiresAt"], "9999-01-01T00:00:00.000Z");

    let answer = admin.get(&path).await;
    let listed = answer.expect(200);
    let tokens = listed["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 4);
    let mut expected = created;
    expected.as_object_mut().unwrap().remove("token");
    expected["lastUsedAt"] = tokens
        .iter()
        .find(|token| token["id"] == expected["id"])
        .map_or(Value::Null, |token| token["lastUsedAt"].clone());
    assert!(expected["lastUsedAt"].is_string(), "it was used");
    assert!(tokens.contains(&expected), "{listed}");
    let log = Value::from(fixture.lines_behind(&acme.id, 0).await).to_string();
    for token in [&secret, &acme.producer, &acme.auditor, &acme.admin] {
        let secret_part = token.rsplit('_').next().unwrap();
        assert!(!answer.body.contains(secret_part), "listed");
        assert!(!log.contains(secret_part), "recorded");
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let path = format!("/organisations/{}/tokens", acme.id);
    let created = fixture.platform().post(&path, &json!({"name": "Backend", "role": "producer"})).await.expect(201);
    let secret = text(&created["token"]);
    let event = crate::fixture::event("a");
    fixture.with(&secret).post("/events", &event).await.expect(201);
    let own = format!("{path}/{}", text(&created["id"]));
    assert_eq!(fixture.platform().delete(&own).await.expect(204), Value::Null);
    fixture.with(&secret).post("/events", &event).await.expect_problem(401, "unauthorized");
    fixture.platform().delete(&own).await.expect_problem(404, "not_found");
    let listed = fixture.with(&acme.admin).get(&path).await.expect(200);
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 3);
    assert!(!listed.to_string().contains(&text(&created["id"])));
}

#[tokio::test]
async fn a_token_is_changed_over_without_a_gap() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let admin = fixture.with(&acme.admin);
    let path = format!("/organisations/{}/tokens", acme.id);
    let old = admin.post(&path, &json!({"name": "SIEM", "role": "auditor"})).await.expect(201);
    let (id, secret) = (text(&old["id"]), text(&old["token"]));
    let rotate = format!("{path}/{id}/rotate");
    let before = fixture.tail(&acme.id).await.last;
    let new = admin.send(Method::POST, &rotate, &[], None).await.expect(201);
    assert_eq!((&new["name"], &new["role"]), (&old["name"], &old["role"]));
    assert_eq!((&new["replaces"], &new["replaced"]["replacedBy"]), (&old["id"], &new["id"]));
    assert_eq!(new["expiresAt"], Value::Null);
    let end = time(&new["replaced"]["expiresAt"]);
    assert_eq!(end.since(time(&new["createdAt"])), Duration::from_secs(24 * 60 * 60));
    for secret in [&secret, &text(&new["token"])] {
        fixture.with(secret).get("/audit/tail").await.expect(200);
    }

    let events = fixture.lines_behind(&acme.id, before).await;
    let event = &events[0];
    assert_eq!((&event["type"], &event["entity"]["id"]), (&json!("token.rotate"), &old["id"]));
    assert_eq!(event["before"]["expiresAt"], Value::Null);
    assert_eq!(event["after"]["expiresAt"], new["replaced"]["expiresAt"]);
    assert_eq!(event["payload"]["successor"]["id"], new["id"]);
    let types: Vec<String> = events.iter().map(|event| text(&event["type"])).collect();
    assert_eq!(types, ["token.rotate", "audit.read", "audit.read"], "one event for the change");
    assert!(!Value::from(events).to_string().contains(text(&new["token"]).rsplit('_').next().unwrap()));

    let before = fixture.tail(&acme.id).await;
    let own = format!("{path}/{}/rotate", text(&new["id"]));
    for (path, other) in [(&rotate, &new), (&own, &old)] {
        let refused = admin.send(Method::POST, path, &[], None).await.expect_problem(409, "rotation_in_progress");
        assert!(text(&refused["detail"]).contains(&text(&other["id"])), "{refused}");
    }
    let bad = json!({"overlapSeconds": 604_801, "name": "Other"});
    let refused = admin.post(&rotate, &bad).await.expect_problem(400, "invalid_input");
    assert_eq!(
        (&refused["errors"][0]["pointer"], &refused["errors"][1]["pointer"]),
        (&json!("/overlapSeconds"), &json!("/name"))
    );
    assert_eq!(fixture.tail(&acme.id).await, before);

    // Everybody has changed over: the old one need not wait for its end.
    admin.delete(&format!("{path}/{id}")).await.expect(204);
    fixture.with(&secret).get("/audit").await.expect_problem(401, "unauthorized");
    let next = admin.post(&own, &json!({"overlapSeconds": 0, "expiresAt": "9999-01-01T00:00:00Z"})).await.expect(201);
    fixture.with(&text(&new["token"])).get("/audit").await.expect_problem(401, "unauthorized");
    fixture.with(&text(&next["token"])).get("/audit").await.expect(200);
    let refused = admin.send(Method::POST, &format!("{path}/{}/rotate", text(&next["id"])), &[], None).await;
    let refused = refused.expect_problem(400, "invalid_input");
    assert_eq!(
        refused["errors"][0]["pointer"], "/expiresAt",
        "a token with an end gets no successor without one by chance"
    );
}

#[tokio::test]
async fn a_tokens_list_says_when_each_was_last_used() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let path = format!("/organisations/{}/tokens", acme.id);
    let used = async || {
        let listed = fixture.platform().get(&path).await.expect(200);
        let mut used = std::collections::BTreeMap::new();
        for token in listed["tokens"].as_array().unwrap() {
            used.insert(text(&token["role"]), token["lastUsedAt"].as_str().map(str::to_owned));
        }
        used
    };
    assert!(used().await.values().all(Option::is_none));
    let before = Timestamp::from_millis(fixture.system.cloud().clock().now_millis());
    let tail = fixture.tail(&acme.id).await;
    fixture.with(&acme.admin).get(&path).await.expect(200);
    // Refused, but used.
    fixture.with(&acme.producer).get("/audit").await.expect_problem(403, "forbidden");
    let first = used().await;
    assert_eq!(first["auditor"], None);
    for role in ["admin", "producer"] {
        assert!(Timestamp::parse(first[role].as_ref().unwrap()).unwrap() >= before, "{first:?}");
    }
    fixture.with(&acme.admin).get(&path).await.expect(200);
    assert_eq!(used().await, first, "noted once an hour");
    assert_eq!(fixture.tail(&acme.id).await, tail, "its use is no event");
}

#[tokio::test]
async fn producers_tokens_are_the_platforms_to_create_replace_and_revoke() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let admin = fixture.with(&acme.admin);
    let path = format!("/organisations/{}/tokens", acme.id);
    let before = fixture.tail(&acme.id).await;
    let refused = admin.post(&path, &json!({"name": "Backend", "role": "producer"})).await;
    refused.expect_problem(403, "forbidden");
    let listed = admin.get(&path).await.expect(200);
    let producer = listed["tokens"].as_array().unwrap().iter().find(|token| token["role"] == "producer").unwrap();
    let own = format!("{path}/{}", text(&producer["id"]));
    admin.delete(&own).await.expect_problem(403, "forbidden");
    admin.send(Method::POST, &format!("{own}/rotate"), &[], None).await.expect_problem(403, "forbidden");
    assert_eq!(fixture.tail(&acme.id).await, before);
    fixture.with(&acme.producer).post("/events", &crate::fixture::event("a")).await.expect(201);
    for role in ["auditor", "admin"] {
        let created = admin.post(&path, &json!({"name": "Another", "role": role})).await.expect(201);
        admin.delete(&format!("{path}/{}", text(&created["id"]))).await.expect(204);
    }
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let secret = expired(&fixture, &acme.id, Role::Admin).await;
    fixture.with(&secret).get("/audit").await.expect_problem(401, "unauthorized");
}

/// A token that was created two hours ago for one hour.
pub(crate) async fn expired(fixture: &Fixture, organisation: &str, role: Role) -> String {
    const HOUR: Duration = Duration::from_secs(3600);
    let now = Timestamp::from_millis(fixture.system.cloud().clock().now_millis());
    let clock = VirtualClock::new(now.minus(2 * HOUR));
    let expires_at = Some(clock.now().plus(HOUR));
    let earlier = fixture.at(clock);
    let organisation = earlier.administration.organisation(&organisation.parse().unwrap()).await.unwrap();
    let input = TokenInput { name: "Short".into(), role, expires_at };
    let (_, secret) = earlier.administration.create_token(&organisation, input, &platform()).await.unwrap();
    secret.reveal().to_owned()
}

#[tokio::test]
async fn a_bad_token_input_is_refused_with_every_fault() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let before = fixture.tail(&acme.id).await;
    let path = format!("/organisations/{}/tokens", acme.id);
    let input = json!({"name": "", "role": "root", "expiresAt": "2020-01-01T00:00:00Z", "colour": 1});
    let problem = fixture.platform().post(&path, &input).await.expect_problem(400, "invalid_input");
    let faults: Vec<String> = problem["errors"].as_array().unwrap().iter().map(|e| text(&e["pointer"])).collect();
    assert_eq!(faults, ["/name", "/role", "/expiresAt", "/colour"]);
    assert_eq!(fixture.tail(&acme.id).await, before);
}

#[tokio::test]
async fn whatever_is_no_valid_bearer_token_is_refused_alike() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let refused = fixture.nobody().get("/audit").await;
    refused.expect_problem(401, "unauthorized");
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
    let good = &acme.auditor;
    for value in [
        String::new(),
        "Bearer".into(),
        "Bearer ".into(),
        format!("Basic {good}"),
        good.clone(),
        format!("Bearer {}", &good[1..]),
        format!("Bearer {good}x"),
        format!("Bearer {}", good.to_uppercase()),
        format!("Bearer {good} {good}"),
        format!("Bearer {}", good.replace("annals_", "annals-")),
        "Bearer annals_platform_".into(),
        format!("Bearer {}", "x".repeat(6000)),
    ] {
        let answer = fixture.nobody().send(Method::GET, "/audit", &[("authorization", &value)], None).await;
        assert_eq!(answer, refused, "{value}");
    }
    let answer =
        fixture.nobody().send(Method::GET, "/audit", &[("authorization", &format!("bearer {good}"))], None).await;
    assert_eq!(answer.status, 200, "the scheme's case does not count (RFC 9110)");
}
