//! The platform creates, changes, shows and lists organisations.

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::fixture::{Fixture, link, text};

#[tokio::test]
async fn an_organisation_is_created_once_changed_and_shown() {
    let fixture = Fixture::start().await;
    let platform = fixture.platform();
    let created = platform.put("/organisations/acme", &json!({"name": "Acme"})).await.expect(201);
    assert_eq!((&created["id"], &created["name"]), (&json!("acme"), &json!("Acme")));
    assert_eq!((&created["plan"], &created["retentionDays"]), (&json!("free"), &json!(90)));
    assert!(text(&created["externalId"]).len() >= 20);
    assert_eq!(fixture.types_behind("acme", 0).await, ["organisation.create"]);

    let input = json!({"name": "Acme Ltd", "plan": "team", "retentionDays": 30});
    let changed = platform.put("/organisations/acme", &input).await.expect(200);
    assert_eq!((&changed["name"], &changed["plan"]), (&json!("Acme Ltd"), &json!("team")));
    assert_eq!((&changed["retentionDays"], &changed["externalId"]), (&json!(30), &created["externalId"]));
    assert_eq!(platform.get("/organisations/acme").await.expect(200), changed);
    let again = platform.put("/organisations/acme", &input).await.expect(200);
    assert_eq!(again, changed);
    let lines = fixture.lines_behind("acme", 1).await;
    assert_eq!(lines.len(), 1, "asking for what is so already changes and records nothing");
    assert_eq!(lines[0]["type"], "organisation.update");
    assert_eq!(lines[0]["before"], json!({"name": "Acme", "plan": "free", "retentionDays": 90}));
    assert_eq!(lines[0]["after"], json!({"name": "Acme Ltd", "plan": "team", "retentionDays": 30}));
}

#[tokio::test]
async fn organisations_are_listed_page_by_page() {
    let fixture = Fixture::start().await;
    let platform = fixture.platform();
    let puts = (0..205).map(async |n| {
        platform.put(&format!("/organisations/o{n:03}"), &json!({"name": format!("O {n}")})).await.expect(201);
    });
    // A few at a time: the test is about the list, not about load.
    stream::iter(puts).buffer_unordered(4).collect::<()>().await;
    let mut href = "/organisations".to_owned();
    let mut ids = Vec::new();
    loop {
        let page = platform.get(&href).await.expect(200);
        ids.extend(page["organisations"].as_array().unwrap().iter().map(|o| text(&o["id"])));
        let Some(next) = link(&page, "next") else { break };
        assert!(next.starts_with(&fixture.system.url()), "{next}");
        href = next.to_owned();
    }
    assert_eq!(ids, (0..205).map(|n| format!("o{n:03}")).collect::<Vec<_>>());
    let problem = platform.get("/organisations?page=2").await.expect_problem(400, "invalid_input");
    assert_eq!(problem["errors"][0]["parameter"], "page");
    platform.get("/organisations?after=a%20b").await.expect_problem(400, "invalid_input");
}

#[tokio::test]
async fn a_bad_organisation_is_refused_with_every_fault() {
    let fixture = Fixture::start().await;
    let platform = fixture.platform();
    let input = json!({"name": "", "plan": "gold", "retentionDays": 6, "colour": 1});
    let problem = platform.put("/organisations/acme", &input).await.expect_problem(400, "invalid_input");
    let faults: Vec<String> = problem["errors"].as_array().unwrap().iter().map(|e| text(&e["pointer"])).collect();
    assert_eq!(faults, ["/name", "/plan", "/retentionDays", "/colour"]);
    platform.get("/organisations/acme").await.expect_problem(404, "not_found");
    for id in ["-acme", "a%20b", "%C3%A4", &"x".repeat(65)] {
        let answer = platform.put(&format!("/organisations/{id}"), &json!({"name": "Acme"})).await;
        let problem = answer.expect_problem(400, "invalid_input");
        assert_eq!(problem["errors"][0]["parameter"], "organisation");
    }
    for days in [json!(3651), json!(7.5), json!("30"), Value::Null] {
        let input = json!({"name": "Acme", "retentionDays": days});
        platform.put("/organisations/acme", &input).await.expect_problem(400, "invalid_input");
    }
}

#[tokio::test]
async fn changes_at_the_same_moment_all_count_or_are_told() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let before = fixture.tail(&acme.id).await.last;
    let path = format!("/organisations/{}", acme.id);
    let platform = fixture.platform();
    let puts = (0..8).map(async |n| platform.put(&path, &json!({"name": format!("Acme {n}")})).await);
    let answers = futures_util::future::join_all(puts).await;
    let changed = answers.iter().filter(|answer| answer.status == 200).count();
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.expect_problem(409, "changed");
    }
    assert!(changed >= 1);
    let events = fixture.lines_behind(&acme.id, before).await;
    assert_eq!(events.len(), changed, "one event for each change that was made");
    let shown = platform.get(&path).await.expect(200);
    assert_eq!(events.last().unwrap()["after"]["name"], shown["name"]);
    for pair in events.windows(2) {
        assert_eq!(pair[0]["after"], pair[1]["before"], "each is a change of what the one before made");
    }
}
