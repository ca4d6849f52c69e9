//! The log in the formats NDJSON, CSV, OCSF and CloudEvents.

use annals_tests::lines::is_delivery;
use serde_json::Value;

use crate::fixture::{Caller, Fixture, event, text};

/// A page in a format, with the links of its header.
async fn page(caller: &Caller<'_>, href: &str, accept: &str) -> (String, String, Vec<(String, String)>) {
    let answer = caller.send(reqwest::Method::GET, href, &[("accept", accept)], None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let links = links(&answer.headers["link"]);
    (answer.headers["content-type"].clone(), answer.body, links)
}

/// Returns the relations and targets of a `Link` header.
pub(crate) fn links(header: &str) -> Vec<(String, String)> {
    let links = header.split(", ").map(|link| {
        let (href, rel) = link.strip_prefix('<').unwrap().split_once(">; rel=\"").unwrap();
        (rel.trim_end_matches('"').to_owned(), href.to_owned())
    });
    links.collect()
}

pub(crate) fn link(links: &[(String, String)], name: &str) -> Option<String> {
    links.iter().find(|(rel, _)| rel == name).map(|(_, href)| href.clone())
}

#[tokio::test]
async fn lines_are_those_of_the_bucket_byte_for_byte_and_links_lead_to_all_of_them() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    fixture.destination(&acme, &customer).await;
    let events: Vec<Value> = (0..250).map(|number| event(&format!("m-{number}"))).collect();
    fixture.with(&acme.producer).post("/events", &Value::from(events)).await.expect(201);
    fixture.tick().await;
    let delivered: String = customer
        .objects(fixture.system.cloud())
        .await
        .into_iter()
        .filter(|(key, _)| is_delivery(key))
        .map(|(_, bytes)| String::from_utf8(bytes).unwrap())
        .collect();

    let auditor = fixture.with(&acme.auditor);
    let (mut href, mut lines, mut pages) = ("/audit?pageSize=100".to_owned(), String::new(), 0);
    let resume = loop {
        let (media_type, body, links) = page(&auditor, &href, "application/x-ndjson").await;
        assert_eq!(media_type, "application/x-ndjson");
        lines += &body;
        pages += 1;
        assert!(link(&links, "self").unwrap().ends_with(href.strip_prefix(&fixture.system.url()).unwrap_or(&href)));
        match link(&links, "next") {
            Some(next) => href = next,
            None => break link(&links, "resume").unwrap(),
        }
    };
    assert_eq!(lines, delivered);
    assert_eq!(pages, 3);
    let (_, later, _) = page(&auditor, &resume, "application/x-ndjson").await;
    assert_eq!(later.lines().count(), pages, "the reads themselves");
}

#[tokio::test]
async fn every_format_shows_the_same_events_under_its_media_type() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let mut hostile = event("=cmd|' /C calc'!A0");
    hostile["entity"]["name"] = "=HYPERLINK(\"https://example.com\")".into();
    fixture.with(&acme.producer).post("/events", &hostile).await.expect(201);
    let auditor = fixture.with(&acme.auditor);
    let json = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));

    let all = auditor.get("/audit?excludeType=audit.read").await.expect(200);
    let ids: Vec<String> = all["events"].as_array().unwrap().iter().map(|event| text(&event["eventId"])).collect();
    let href = "/audit?excludeType=audit.read";
    let (media_type, body, _) = page(&auditor, href, "application/x-ndjson; profile=cloudevents").await;
    assert_eq!(media_type, "application/x-ndjson; profile=cloudevents");
    assert_eq!(body.lines().map(|line| text(&json(line)["id"])).collect::<Vec<_>>(), ids);
    assert!(body.lines().all(|line| json(line)["specversion"] == "1.0"));
    let (media_type, body, _) = page(&auditor, href, "application/x-ndjson;profile=ocsf").await;
    assert_eq!(media_type, "application/x-ndjson; profile=ocsf");
    assert_eq!(body.lines().map(|line| text(&json(line)["metadata"]["uid"])).collect::<Vec<_>>(), ids);
    let (media_type, body, _) = page(&auditor, href, "text/csv").await;
    assert!(media_type.starts_with("text/csv"), "{media_type}");
    assert_eq!(body.lines().count(), ids.len() + 1, "a header, and a row each");
    assert!(!body.contains(",=") && body.contains("'=HYPERLINK"), "nothing that a spreadsheet would run: {body}");

    for accept in ["application/hal+json", "application/json", "*/*", "text/html"] {
        let answer = auditor.send(reqwest::Method::GET, href, &[("accept", accept)], None).await;
        assert_eq!(answer.headers["content-type"], "application/hal+json", "{accept}");
        assert_eq!(answer.json()["events"].as_array().unwrap().len(), ids.len());
    }
}
