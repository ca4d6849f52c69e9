//! Reading parts of the audit log: filters, page numbers, times, and counts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::fixture::{Fixture, Org, link, sequences, text};

/// An organisation with events of two people who change and delete two kinds of things.
async fn busy(fixture: &Fixture) -> Org {
    let acme = fixture.organisation().await;
    let deeds = [
        ("m-1", "MOCK_API", "CREATE", "7"),
        ("m-1", "MOCK_API", "UPDATE", "42"),
        ("u-9", "USER", "INVITE", "7"),
        ("m-2", "MOCK_API", "CREATE", "42"),
        ("m-1", "MOCK_API", "DELETE", "7"),
    ];
    for (id, entity_type, action, principal) in deeds {
        let event = json!({
            "action": action,
            "entity": {"id": id, "name": format!("Thing {id}"), "entityType": entity_type},
            "principal": {"id": principal, "name": "Somebody", "entityType": "USER"},
            "payload": {"path": "/v1/Tills", "note": format!("{action} of {id}, \"as asked\"")},
        });
        fixture.with(&acme.producer).post("/events", &event).await.expect(201);
    }
    acme
}

/// Action and entity of the events on a page.
fn deeds(page: &Value) -> Vec<String> {
    let events = page["events"].as_array().unwrap().iter();
    let posted = events.filter(|event| event["payload"]["note"].is_string());
    posted.map(|event| format!("{} {}", text(&event["action"]), text(&event["entity"]["id"]))).collect()
}

#[tokio::test]
async fn filters_are_combined_with_and_and_any_of_several_values_will_do() {
    let fixture = Fixture::start().await;
    let acme = busy(&fixture).await;
    for (query, expected) in [
        ("type=mock_api.create", vec!["CREATE m-1", "CREATE m-2"]),
        ("type=mock_api.create&type=user.invite", vec!["CREATE m-1", "INVITE u-9", "CREATE m-2"]),
        ("action=DELETE", vec!["DELETE m-1"]),
        ("action=delete", vec![]),
        ("entityType=USER", vec!["INVITE u-9"]),
        ("entityId=m-1&principalId=7", vec!["CREATE m-1", "DELETE m-1"]),
        ("userUuid=42", vec!["UPDATE m-1", "CREATE m-2"]),
        ("userUuid=42&principalId=7", vec![]),
        ("q=OF%20M-1", vec!["CREATE m-1", "UPDATE m-1", "DELETE m-1"]),
        ("q=%22as+asked%22&entityId=m-2", vec!["CREATE m-2"]),
        ("q=payload", vec![]),
        ("excludeType=mock_api.create&excludeType=mock_api.delete&entityType=MOCK_API", vec!["UPDATE m-1"]),
        ("sort=desc&entityId=m-1", vec!["DELETE m-1", "UPDATE m-1", "CREATE m-1"]),
    ] {
        let page = fixture.with(&acme.auditor).get(&format!("/audit?{query}")).await.expect(200);
        assert_eq!(deeds(&page), expected, "{query}");
        assert_eq!(page["events"].as_array().unwrap().len(), expected.len(), "{query}");
        assert_eq!(link(&page, "next"), None, "{query}");
    }
}

#[tokio::test]
async fn links_carry_the_filter_on_and_each_event_that_matches_is_shown_once() {
    let fixture = Fixture::start().await;
    let acme = busy(&fixture).await;
    let auditor = fixture.with(&acme.auditor);
    for sort in ["asc", "desc"] {
        let mut href = format!("/audit?sort={sort}&pageSize=1&excludeType=audit.read&q=%2Fv1%2Ftills&userUuid=7");
        let mut seen = Vec::new();
        let resume = loop {
            let page = auditor.get(&href).await.expect(200);
            seen.extend(deeds(&page));
            match link(&page, "next") {
                Some(next) => href = next.to_owned(),
                None => break text(&page["_links"]["resume"]["href"]),
            }
        };
        let mut expected = ["CREATE m-1", "INVITE u-9", "DELETE m-1"];
        if sort == "desc" {
            expected.reverse();
        }
        assert_eq!(seen, expected, "{sort}");
        assert!(resume.contains("excludeType=audit.read") && resume.contains("userUuid=7"), "{resume}");
        assert_eq!(auditor.get(&resume).await.expect(200)["events"], json!([]), "nothing new that matches");
    }
}

#[tokio::test]
async fn a_poller_that_excludes_reads_comes_to_rest() {
    let fixture = Fixture::start().await;
    let acme = busy(&fixture).await;
    let auditor = fixture.with(&acme.auditor);
    let mut href = "/audit?excludeType=audit.read".to_owned();
    for round in 0..5 {
        let page = auditor.get(&href).await.expect(200);
        assert_eq!(link(&page, "next"), None);
        if round > 0 {
            assert_eq!(page["events"], json!([]), "round {round}");
        }
        href = text(&page["_links"]["resume"]["href"]);
    }
    let event = json!({
        "action": "LOGIN",
        "entity": {"id": "x", "name": "x", "entityType": "USER"},
        "principal": {"id": "1", "name": "x", "entityType": "USER"},
    });
    fixture.with(&acme.producer).post("/events", &event).await.expect(201);
    let page = auditor.get(&href).await.expect(200);
    assert_eq!(page["events"].as_array().unwrap().len(), 1);
    assert_eq!(page["events"][0]["action"], "LOGIN");
}

#[tokio::test]
async fn pages_are_numbered_from_1_in_either_order_with_a_filter_and_without() {
    let fixture = Fixture::start().await;
    let acme = busy(&fixture).await;
    let auditor = fixture.with(&acme.auditor);
    let all = auditor.get("/audit").await.expect(200);
    let count = sequences(&all).len();
    for number in 1..=count + 1 {
        let page = auditor.get(&format!("/audit?pageNumber={number}&pageSize=2")).await.expect(200);
        let expected: Vec<u64> = (1..).skip((number - 1) * 2).take(2).collect();
        let shown = sequences(&page);
        assert_eq!(shown, expected[..shown.len()], "page {number}");
        assert!(shown.len() == 2 || number * 2 >= count, "page {number}");
    }
    let second = auditor.get("/audit?pageNumber=2&pageSize=2&entityType=MOCK_API").await.expect(200);
    assert_eq!(deeds(&second), ["CREATE m-2", "DELETE m-1"]);
    let second = auditor.get("/audit?pageNumber=2&pageSize=3&entityType=MOCK_API&sort=desc").await.expect(200);
    assert_eq!(deeds(&second), ["CREATE m-1"]);
    let next = auditor.get("/audit?pageNumber=1&pageSize=2&entityType=MOCK_API").await.expect(200);
    let next = auditor.get(link(&next, "next").unwrap()).await.expect(200);
    assert_eq!(deeds(&next), ["CREATE m-2", "DELETE m-1"], "next of page 1 is page 2");
    let beyond = auditor.get("/audit?pageNumber=1099511627776").await.expect(200);
    assert_eq!(beyond["events"], json!([]));
    for number in ["0", "-1", "1.5", "99999999999999999999"] {
        let problem = auditor.get(&format!("/audit?pageNumber={number}")).await.expect_problem(400, "invalid_input");
        assert_eq!(problem["errors"][0]["parameter"], "pageNumber", "{number}");
    }
}

#[tokio::test]
async fn since_is_at_or_after_and_until_is_before() {
    let fixture = Fixture::start().await;
    let acme = busy(&fixture).await;
    let auditor = fixture.with(&acme.auditor);
    let all = auditor.get("/audit?q=as+asked").await.expect(200);
    let at = |index: usize| text(&all["events"][index]["timestamp"]);
    let shown = async |query: String| {
        deeds(&auditor.get(&format!("/audit?{query}")).await.expect(200)).into_iter().collect::<Vec<_>>()
    };
    let (from, to) = (at(1), at(3));
    assert_eq!(shown(format!("since={from}&until={to}")).await, ["UPDATE m-1", "INVITE u-9"]);
    assert_eq!(shown(format!("until={to}&since={from}&sort=desc")).await, ["INVITE u-9", "UPDATE m-1"]);
    assert_eq!(shown(format!("since={from}&until={from}")).await, [""; 0]);
    let problem = auditor.get(&format!("/audit?since={to}&until={from}")).await.expect_problem(400, "invalid_input");
    assert_eq!(problem["errors"][0]["parameter"], "until");

    let mut href = format!("/audit?until={to}&pageSize=1&q=as+asked");
    let mut seen = Vec::new();
    loop {
        let page = auditor.get(&href).await.expect(200);
        seen.extend(deeds(&page));
        let Some(next) = link(&page, "next") else { break };
        href = next.to_owned();
    }
    assert_eq!(seen, ["CREATE m-1", "UPDATE m-1", "INVITE u-9"], "every page ends there");
}

#[tokio::test]
async fn filters_that_cannot_be_meant_are_refused_at_their_parameter() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let before = fixture.tail(&acme.id).await;
    let long = "x".repeat(1025);
    let many = "type=a&".repeat(21);
    for (query, name) in [
        ("type=", "type"),
        (&*format!("entityId={long}"), "entityId"),
        (&*many, "type"),
        ("q=", "q"),
        ("q=a&q=b", "q"),
        ("until=tomorrow", "until"),
        ("pageNumber=0", "pageNumber"),
    ] {
        let problem =
            fixture.with(&acme.auditor).get(&format!("/audit?{query}")).await.expect_problem(400, "invalid_input");
        assert_eq!(problem["errors"][0]["parameter"], name, "{query}");
    }
    for (query, name) in
        [("interval=minute", "interval"), ("by=colour", "by"), ("pageSize=1", "pageSize"), ("from=x", "from")]
    {
        let path = format!("/audit/stats?{query}");
        let problem = fixture.with(&acme.auditor).get(&path).await.expect_problem(400, "invalid_input");
        assert_eq!(problem["errors"][0]["parameter"], name, "{query}");
    }
    assert_eq!(fixture.tail(&acme.id).await, before, "nothing is recorded");
}

#[tokio::test]
async fn counts_add_up_to_the_log_and_say_between_which_sequences() {
    let fixture = Fixture::start().await;
    let acme = busy(&fixture).await;
    let auditor = fixture.with(&acme.auditor);
    let before = fixture.tail(&acme.id).await.last;
    let stats = auditor.get("/audit/stats").await.expect(200);
    assert_eq!(stats["interval"], "day");
    let days = stats["intervals"].as_array().unwrap();
    let total: u64 = days.iter().map(|day| day["total"].as_u64().unwrap()).sum();
    assert_eq!(total, before, "every event but the read itself");
    assert_eq!(days[0]["firstSequence"], 1);
    assert_eq!(days.last().unwrap()["lastSequence"], before);
    for day in days {
        let counted: u64 = day["counts"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(day["total"], counted);
        let (first, last) = (day["firstSequence"].as_u64().unwrap(), day["lastSequence"].as_u64().unwrap());
        assert_eq!(counted, last - first + 1, "sequences are dense");
        assert!(text(&day["start"]).ends_with("T00:00:00.000Z"));
    }
    let sum = |stats: &Value| {
        let mut sum: BTreeMap<String, u64> = BTreeMap::new();
        for interval in stats["intervals"].as_array().unwrap() {
            for (name, count) in interval["counts"].as_object().unwrap() {
                *sum.entry(name.clone()).or_default() += count.as_u64().unwrap();
            }
        }
        sum
    };
    let by_type = sum(&stats);
    assert_eq!((by_type["mock_api.create"], by_type["mock_api.update"]), (2, 1));
    let hours = auditor.get("/audit/stats?interval=hour&by=principal&entityType=MOCK_API").await.expect(200);
    assert!(text(&hours["intervals"][0]["start"]).ends_with(":00:00.000Z"));
    assert_eq!(sum(&hours), BTreeMap::from([("42".into(), 2), ("7".into(), 2)]));
    for (by, name, count) in [("action", "CREATE", 2), ("entityType", "USER", 1)] {
        let stats = auditor.get(&format!("/audit/stats?by={by}&principalId=7&principalId=42")).await.expect(200);
        assert_eq!(sum(&stats)[name], count, "{by}");
    }
    let none = auditor.get("/audit/stats?since=2020-01-01&until=2020-01-02").await.expect(200);
    assert_eq!(none["intervals"], json!([]));
}
