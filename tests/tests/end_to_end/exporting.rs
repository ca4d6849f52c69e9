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

#[tokio::test]
async fn the_registered_media_types_are_a_batch_on_a_page_and_an_object_alone() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    fixture.with(&acme.producer).post("/events", &event("m-1")).await.expect(201);
    let auditor = fixture.with(&acme.auditor);
    let get =
        async |href: &str, accept: &str| auditor.send(reqwest::Method::GET, href, &[("accept", accept)], None).await;
    let list = auditor.get("/audit?excludeType=audit.read").await.expect(200);
    let ids: Vec<String> = list["events"].as_array().unwrap().iter().map(|event| text(&event["eventId"])).collect();
    let uuid = text(&list["events"][0]["uuid"]);
    for (name, id) in [("cloudevents", "/id"), ("ocsf", "/metadata/uid")] {
        for accept in [format!("application/{name}+json"), format!("application/{name}-batch+json")] {
            let page = get("/audit?excludeType=audit.read", &accept).await;
            assert_eq!(
                (page.status, &*page.headers["content-type"]),
                (200, &*format!("application/{name}-batch+json"))
            );
            assert!(link(&links(&page.headers["link"]), "resume").is_some());
            let page = page.json();
            let shown = page.as_array().unwrap().iter().map(|event| text(event.pointer(id).unwrap()));
            assert_eq!(shown.collect::<Vec<_>>(), ids, "{accept}");
            let alone = get(&format!("/audit/{uuid}"), &accept).await;
            assert_eq!((alone.status, &alone.headers["content-type"]), (200, &accept));
            let alone = alone.json();
            let alone = if accept.contains("batch") { &alone[0] } else { &alone };
            assert_eq!(text(alone.pointer(id).unwrap()), ids[0], "{accept}");
        }
    }
}

#[tokio::test]
async fn what_is_not_offered_is_a_406_with_what_is() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let auditor = fixture.with(&acme.auditor);
    let uuid = text(&auditor.get("/audit").await.expect(200)["events"][0]["uuid"]);
    let before = fixture.tail(&acme.id).await;
    for path in ["/audit".to_owned(), format!("/audit/{uuid}")] {
        for accept in ["application/xml", "application/x-ndjson;profile=ecs", "image/png, application/xml;q=0.5"] {
            let answer = auditor.send(reqwest::Method::GET, &path, &[("accept", accept)], None).await;
            answer.expect_problem(406, "not_acceptable");
            let offered: Vec<String> = answer.json()["offered"].as_array().unwrap().iter().map(text).collect();
            assert!(answer.json()["detail"].as_str().unwrap().contains("application/ocsf+json"));
            for one in offered {
                assert_eq!(
                    auditor.send(reqwest::Method::GET, &path, &[("accept", &one)], None).await.status,
                    200,
                    "{one}"
                );
            }
        }
        let answer = auditor.send(reqwest::Method::GET, &path, &[("accept", "application/xml, */*;q=0.1")], None).await;
        assert_eq!(answer.status, 200);
    }
    let reads = fixture.tail(&acme.id).await.last - before.last;
    assert_eq!(reads, 2 * (3 * 11 + 1), "a refusal records nothing, and each answer one event");
}

#[tokio::test]
async fn csv_has_a_byte_order_mark_if_asked_for() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let auditor = fixture.with(&acme.auditor);
    let (_, plain, _) = page(&auditor, "/audit?type=organisation.create", "text/csv").await;
    let (_, marked, _) = page(&auditor, "/audit?type=organisation.create", "text/csv; bom=present").await;
    assert_eq!(marked, format!("\u{feff}{plain}"));
}

#[tokio::test]
async fn an_event_alone_has_links_to_itself_and_into_the_log() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    fixture.with(&acme.producer).post("/events", &event("m-1")).await.expect(201);
    let auditor = fixture.with(&acme.auditor);
    let list = auditor.get("/audit?type=mock_api.update").await.expect(200);
    let uuid = text(&list["events"][0]["uuid"]);
    let alone = auditor.get(&format!("/audit/{uuid}")).await.expect(200);
    let href = |name: &str| text(&alone["_links"][name]["href"]);
    assert_eq!(href("self"), format!("{}/audit/{uuid}", fixture.system.url()));
    assert_eq!(auditor.get(&href("self")).await.expect(200), alone);
    assert_eq!(auditor.get(&href("collection")).await.expect(200)["events"][0]["uuid"], uuid);
    let mut event = alone.clone();
    event.as_object_mut().unwrap().remove("_links");
    assert_eq!(event, list["events"][0]);
}

#[tokio::test]
async fn the_root_leads_programs_and_people_to_everything() {
    let fixture = Fixture::start().await;
    let nobody = fixture.nobody();
    let root = nobody.get("/").await;
    assert_eq!(root.headers["content-type"], "application/hal+json");
    let root = root.expect(200);
    let links = root["_links"].as_object().unwrap();
    for (name, link) in links {
        let href = text(&link["href"]);
        assert!(href.starts_with(&fixture.system.url()), "{href}");
        let status = nobody.get(&href).await.status;
        let public = ["self", "docs", "openapi", "health", "keys"].contains(&name.as_str());
        assert!(if public { status == 200 } else { status != 404 }, "{name}: {status}");
    }
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for path in ["/", "/docs"] {
        let page = nobody.send(reqwest::Method::GET, path, &[("accept", browser)], None).await;
        assert_eq!((page.status, &*page.headers["content-type"]), (200, "text/html; charset=utf-8"), "{path}");
        let policy = &page.headers["content-security-policy"];
        let style = page.body.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        let hash = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            hex::decode(annals_tests::lines::sha256(style.as_bytes())).unwrap(),
        );
        assert!(
            policy.starts_with("default-src 'none'; ") && policy.contains(&format!("'sha256-{hash}'")),
            "{hash}: {policy}"
        );
        for forbidden in ["<script", "<img", "<link", "<iframe", " style=", " onclick", "src=", "@import", "url("] {
            assert!(!page.body.contains(forbidden), "{path}: {forbidden}");
        }
    }
}

#[tokio::test]
async fn the_reference_shows_every_operation_of_the_description() {
    let fixture = Fixture::start().await;
    let page = fixture.nobody().get("/docs").await;
    let document: Value = serde_json::from_str(annals_api::DOCUMENT).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = text(&operation["operationId"]);
            assert!(page.body.contains(&format!("<section id=\"{id}\">")), "{id}");
            assert!(
                page.body.contains(&format!("<p class=\"call\">{} {path}</p>", method.to_uppercase())),
                "{method} {path}"
            );
        }
    }
    assert!(page.body.len() < 2_000_000, "{} bytes", page.body.len());
}
