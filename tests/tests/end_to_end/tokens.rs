//! Tokens: shown once, listed without their texts, revoked at once.

use std::time::Duration;

use annals_core::{
    time::{Clock as _, Timestamp},
    token::{Role, TokenInput},
};
use annals_tests::{clock::VirtualClock, deployment::platform};
use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{Scene, text};

#[tokio::test]
async fn a_tokens_text_is_shown_once_and_nowhere_else() {
    let scene = Scene::set().await;
    let acme = scene.organisation().await;
    let admin = scene.with(&acme.admin);
    let path = format!("/organisations/{}/tokens", acme.id);
    let input = json!({"name": "SIEM", "role": "auditor", "expiresAt": "9999-01-01T00:00:00Z"});
    let created = admin.post(&path, &input).await.expect(201);
    let secret = text(&created["token"]);
    scene.with(&secret).get("/audit").await.expect(200);
    assert_eq!((&created["name"], &created["role"]), (&json!("SIEM"), &json!("auditor")));
    assert_eq!(created["expiresAt"], "9999-01-01T00:00:00.000Z");

    let answer = admin.get(&path).await;
    let listed = answer.expect(200);
    let tokens = listed["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 4);
    let mut expected = created;
    expected.as_object_mut().unwrap().remove("token");
    assert!(tokens.contains(&expected), "{listed}");
    let log = Value::from(scene.lines_behind(&acme.id, 0).await).to_string();
    for token in [&secret, &acme.producer, &acme.auditor, &acme.admin] {
        let secret_part = token.rsplit('_').next().unwrap();
        assert!(!answer.body.contains(secret_part), "listed");
        assert!(!log.contains(secret_part), "recorded");
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once() {
    let scene = Scene::set().await;
    let acme = scene.organisation().await;
    let path = format!("/organisations/{}/tokens", acme.id);
    let created = scene.platform().post(&path, &json!({"name": "Backend", "role": "producer"})).await.expect(201);
    let secret = text(&created["token"]);
    let event = crate::scene::event("a");
    scene.with(&secret).post("/events", &event).await.expect(201);
    let own = format!("{path}/{}", text(&created["id"]));
    assert_eq!(scene.platform().delete(&own).await.expect(204), Value::Null);
    scene.with(&secret).post("/events", &event).await.expect_problem(401, "unauthorized");
    scene.platform().delete(&own).await.expect_problem(404, "not_found");
    let listed = scene.with(&acme.admin).get(&path).await.expect(200);
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 3);
    assert!(!listed.to_string().contains(&text(&created["id"])));
}

#[tokio::test]
async fn producers_tokens_are_the_platforms_to_create_and_revoke() {
    let scene = Scene::set().await;
    let acme = scene.organisation().await;
    let admin = scene.with(&acme.admin);
    let path = format!("/organisations/{}/tokens", acme.id);
    let before = scene.tail(&acme.id).await;
    let refused = admin.post(&path, &json!({"name": "Backend", "role": "producer"})).await;
    refused.expect_problem(403, "forbidden");
    let listed = admin.get(&path).await.expect(200);
    let producer = listed["tokens"].as_array().unwrap().iter().find(|token| token["role"] == "producer").unwrap();
    let own = format!("{path}/{}", text(&producer["id"]));
    admin.delete(&own).await.expect_problem(403, "forbidden");
    assert_eq!(scene.tail(&acme.id).await, before);
    scene.with(&acme.producer).post("/events", &crate::scene::event("a")).await.expect(201);
    for role in ["auditor", "admin"] {
        let created = admin.post(&path, &json!({"name": "Another", "role": role})).await.expect(201);
        admin.delete(&format!("{path}/{}", text(&created["id"]))).await.expect(204);
    }
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let scene = Scene::set().await;
    let acme = scene.organisation().await;
    let secret = expired(&scene, &acme.id, Role::Admin).await;
    scene.with(&secret).get("/audit").await.expect_problem(401, "unauthorized");
}

/// A token that was created two hours ago for one hour.
pub(crate) async fn expired(scene: &Scene, organisation: &str, role: Role) -> String {
    const HOUR: Duration = Duration::from_secs(3600);
    let now = Timestamp::from_millis(scene.system.cloud().clock().now_millis());
    let clock = VirtualClock::new(now.minus(2 * HOUR));
    let expires_at = Some(clock.now().plus(HOUR));
    let earlier = scene.at(clock);
    let organisation = earlier.administration.organisation(&organisation.parse().unwrap()).await.unwrap();
    let input = TokenInput { name: "Short".into(), role, expires_at };
    let (_, secret) = earlier.administration.create_token(&organisation, input, &platform()).await.unwrap();
    secret.reveal().to_owned()
}

#[tokio::test]
async fn a_bad_token_input_is_refused_with_every_fault() {
    let scene = Scene::set().await;
    let acme = scene.organisation().await;
    let before = scene.tail(&acme.id).await;
    let path = format!("/organisations/{}/tokens", acme.id);
    let input = json!({"name": "", "role": "root", "expiresAt": "2020-01-01T00:00:00Z", "colour": 1});
    let problem = scene.platform().post(&path, &input).await.expect_problem(400, "invalid_input");
    let faults: Vec<String> = problem["errors"].as_array().unwrap().iter().map(|e| text(&e["pointer"])).collect();
    assert_eq!(faults, ["/name", "/role", "/expiresAt", "/colour"]);
    assert_eq!(scene.tail(&acme.id).await, before);
}

#[tokio::test]
async fn whatever_is_no_valid_bearer_token_is_refused_alike() {
    let scene = Scene::set().await;
    let acme = scene.organisation().await;
    let refused = scene.nobody().get("/audit").await;
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
        let answer = scene.nobody().send(Method::GET, "/audit", &[("authorization", &value)], None).await;
        assert_eq!(answer, refused, "{value}");
    }
    let answer =
        scene.nobody().send(Method::GET, "/audit", &[("authorization", &format!("bearer {good}"))], None).await;
    assert_eq!(answer.status, 200, "the scheme's case does not count (RFC 9110)");
}
