//! Reading the audit log.

use std::collections::BTreeMap;

use annals_core::{id::EventId, time::Timestamp};
use annals_tests::lines::sha256;
use serde_json::{Value, json};

use crate::fixture::{Fixture, Org, event, label, labels, link, sequences, text, time};

/// An organisation with the events `a`, `b`, … in a segment each.
async fn with_events(fixture: &Fixture, names: &[&str]) -> Org {
    let acme = fixture.organisation().await;
    for name in names {
        fixture.with(&acme.producer).post("/events", &event(name)).await.expect(201);
    }
    acme
}

#[tokio::test]
async fn an_event_has_pactflows_fields_and_those_of_its_line() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let mut posted = event("m-1");
    posted["payload"] = json!({"path": "/settings", "method": "POST"});
    let recorded = fixture.with(&acme.producer).post("/events", &posted).await.expect(201);
    let answer = fixture.with(&acme.auditor).get("/audit").await;
    let page = answer.expect(200);
    assert_eq!(answer.headers["content-type"], "application/hal+json");

    let events = page["events"].as_array().unwrap();
    for event in events {
        assert_eq!(text(&event["uuid"]).len(), 22, "{event}");
        assert!(Timestamp::parse(event["timestamp"].as_str().unwrap()).is_ok());
        assert!(event["type"].is_string() && event["payload"].is_object(), "{event}");
        assert!(event["db_user_id"].is_string() || event["db_user_id"].is_number());
        assert!(event["user_email"].is_string() || event["user_email"].is_null());
        assert_eq!(EventId::parse(&text(&event["uuid"])).unwrap().to_string(), text(&event["eventId"]));
    }
    let last = events.last().unwrap();
    assert_eq!(last["uuid"], recorded["events"][0]["uuid"]);
    assert_eq!(last["db_user_id"], 42, "a number where the principal's id is one");
    assert_eq!(last["user_email"], "ada@example.com");
    assert_eq!(last["payload"], posted["payload"]);
    assert_eq!(last["type"], "mock_api.update");
    let line = fixture.lines_behind(&acme.id, 0).await.into_iter().nth(events.len() - 1).unwrap();
    for (name, value) in line.as_object().unwrap() {
        assert_eq!(last[name], *value, "{name}");
    }
    assert_eq!(events[0]["type"], "organisation.create");
    assert_eq!((&events[0]["db_user_id"], &events[0]["user_email"]), (&json!("platform"), &Value::Null));
}

#[tokio::test]
async fn links_are_absolute_and_lead_on() {
    let fixture = Fixture::start().await;
    let acme = with_events(&fixture, &["a", "b", "c"]).await;
    let url = fixture.system.url();
    let page = fixture.with(&acme.auditor).get("/audit?pageSize=2").await.expect(200);
    assert_eq!(link(&page, "self"), Some(&*format!("{url}/audit?pageSize=2")));
    for name in ["next", "resume"] {
        let href = link(&page, name).unwrap();
        assert!(href.starts_with(&format!("{url}/audit?")), "{name}: {href}");
        assert!(href.contains("pageSize=2"), "{name}: {href}");
        fixture.with(&acme.auditor).get(href).await.expect(200);
    }
    let next = fixture.with(&acme.auditor).get(link(&page, "next").unwrap()).await.expect(200);
    assert_eq!(sequences(&page), [1, 2]);
    assert_eq!(sequences(&next), [3, 4], "next begins with the event that it names");

    let path = format!("/organisations/{}/audit", acme.id);
    let page = fixture.platform().get(&format!("{path}?pageSize=1")).await.expect(200);
    assert!(link(&page, "next").unwrap().starts_with(&format!("{url}{path}?from=")));
}

#[tokio::test]
async fn following_next_ends_while_others_write_and_resume_shows_the_rest_exactly_once() {
    let fixture = Fixture::start().await;
    let acme = with_events(&fixture, &["a", "b", "c", "d", "e"]).await;
    let auditor = fixture.with(&acme.auditor);
    let mut href = "/audit?pageSize=2".to_owned();
    let mut seen: Vec<u64> = Vec::new();
    let mut lines: BTreeMap<u64, Value> = BTreeMap::new();
    let mut written = 0;
    for round in 0..4 {
        let mut pages = 0;
        loop {
            // While each page is read, more events are recorded than fit on a page.
            let write = async {
                let events: Vec<Value> = (0..3).map(|n| event(&format!("{written}-{n}"))).collect();
                fixture.with(&acme.producer).post("/events", &Value::from(events)).await.expect(201);
            };
            let (page, ()) = futures_util::future::join(auditor.get(&href), write).await;
            written += 1;
            let page = page.expect(200);
            pages += 1;
            assert!(pages < 60, "following next does not end");
            assert!(sequences(&page).len() <= 2);
            seen.extend(sequences(&page));
            for event in page["events"].as_array().unwrap() {
                lines.insert(event["sequence"].as_u64().unwrap(), event.clone());
            }
            match link(&page, "next") {
                Some(next) => href = next.to_owned(),
                None => {
                    href = link(&page, "resume").unwrap().to_owned();
                    break;
                }
            }
        }
        assert_eq!(
            seen,
            (1..=seen.len() as u64).collect::<Vec<_>>(),
            "round {round}: each once, in order, none missed"
        );
    }
    // Nothing is recorded any more: the remaining pages have all events, the reads among them.
    let tail = fixture.tail(&acme.id).await.last;
    loop {
        let page = auditor.get(&href).await.expect(200);
        seen.extend(sequences(&page));
        for event in page["events"].as_array().unwrap() {
            lines.insert(event["sequence"].as_u64().unwrap(), event.clone());
        }
        match link(&page, "next") {
            Some(next) => href = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, (1..=tail).collect::<Vec<_>>());
    let posted = lines.values().filter(|event| label(event).is_some()).count();
    let reads = lines.values().filter(|event| event["type"] == "audit.read").count();
    assert_eq!(posted, 5 + 3 * written, "every event that was posted");
    assert!(reads >= 3 && written >= 4, "{reads} reads, {written} writes");
}

#[tokio::test]
async fn from_is_inclusive_after_is_exclusive_and_since_is_at_or_after() {
    let fixture = Fixture::start().await;
    let acme = with_events(&fixture, &["a", "b", "c"]).await;
    let auditor = fixture.with(&acme.auditor);
    let page = auditor.get("/audit").await.expect(200);
    let of = |name: &str| {
        let mut events = page["events"].as_array().unwrap().iter();
        events.find(|event| label(event) == Some(name)).unwrap().clone()
    };
    let (b, c) = (of("b"), of("c"));
    for id in [text(&b["uuid"]), text(&b["eventId"]), text(&b["eventId"]).to_uppercase()] {
        assert_eq!(labels(&auditor.get(&format!("/audit?from={id}")).await.expect(200)), ["b", "c"]);
        assert_eq!(labels(&auditor.get(&format!("/audit?after={id}")).await.expect(200)), ["c"]);
    }
    let at = text(&b["timestamp"]);
    assert_eq!(labels(&auditor.get(&format!("/audit?since={at}")).await.expect(200)), ["b", "c"]);
    let one_later = Timestamp::from_millis(time(&b["timestamp"]).as_millis() + 1);
    assert_eq!(labels(&auditor.get(&format!("/audit?since={one_later}")).await.expect(200)), ["c"]);
    let uuid = text(&c["uuid"]);
    let both = auditor.get(&format!("/audit?from={}&since={at}", text(&page["events"][0]["uuid"]))).await.expect(200);
    assert_eq!(labels(&both), ["b", "c"], "the later of the two beginnings");
    let both = auditor.get(&format!("/audit?from={uuid}&since={at}")).await.expect(200);
    assert_eq!(labels(&both), ["c"]);

    let future = Timestamp::from_millis(time(&c["timestamp"]).as_millis() + 24 * 3600 * 1000);
    let page = auditor.get(&format!("/audit?since={future}")).await.expect(200);
    assert_eq!(sequences(&page), [0_u64; 0]);
    let later = auditor.get(link(&page, "resume").unwrap()).await.expect(200);
    assert_eq!(labels(&later), [""; 0], "what was before is not new");
    assert_eq!(sequences(&later).len(), 1, "the read itself is");
}

#[tokio::test]
async fn times_are_understood_as_dates_alone_with_offsets_and_with_a_lost_plus() {
    let fixture = Fixture::start().await;
    let acme = with_events(&fixture, &["a"]).await;
    let auditor = fixture.with(&acme.auditor);
    for since in [
        "1970-01-01",
        "2019-12-10",
        "2019-12-10T09:15:24.864%2B11:00",
        "2019-12-10T09:15:24.864+11:00",
        "2019-12-10T09:15:24.864%2011:00",
        "2019-12-10T09:15:24Z",
    ] {
        let page = auditor.get(&format!("/audit?since={since}")).await.expect(200);
        assert_eq!(labels(&page), ["a"], "{since}");
    }
    let page = auditor.get("/audit?since=9999-12-31").await.expect(200);
    assert_eq!(labels(&page), [""; 0]);
}

#[tokio::test]
async fn pages_are_sorted_as_asked() {
    let fixture = Fixture::start().await;
    let acme = with_events(&fixture, &["a", "b", "c"]).await;
    let auditor = fixture.with(&acme.auditor);
    for sort in ["+timestamp", "%2Btimestamp", "%20timestamp", "timestamp", "asc"] {
        let page = auditor.get(&format!("/audit?sort={sort}")).await.expect(200);
        assert_eq!(labels(&page), ["a", "b", "c"], "{sort}");
    }
    for sort in ["-timestamp", "desc"] {
        let mut href = format!("/audit?sort={sort}&pageSize=2");
        let tail = fixture.tail(&acme.id).await.last;
        let mut seen = Vec::new();
        let mut resume = None;
        for _ in 0..tail {
            let page = auditor.get(&href).await.expect(200);
            seen.extend(sequences(&page));
            resume = link(&page, "resume").map(str::to_owned);
            let Some(next) = link(&page, "next") else { break };
            assert_eq!(resume.as_deref(), Some(next), "{sort}: older events come first");
            href = next.to_owned();
        }
        assert_eq!(seen, (1..=tail).rev().collect::<Vec<_>>(), "{sort}: down to the first event, and no further");
        let resumed = auditor.get(&resume.unwrap()).await.expect(200);
        assert_eq!(sequences(&resumed)[0], tail + 1, "{sort}: resume goes on, chronologically");
    }
    let at = auditor.get("/audit").await.expect(200)["events"][4]["timestamp"].clone();
    let page = auditor.get(&format!("/audit?sort=desc&since={}", text(&at))).await.expect(200);
    assert_eq!(sequences(&page).last(), Some(&5), "since bounds the end");
}

#[tokio::test]
async fn a_page_is_as_large_as_asked() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let many: Vec<Value> = (0..1000).map(|n| event(&n.to_string())).collect();
    fixture.with(&acme.producer).post("/events", &Value::from(many)).await.expect(201);
    let auditor = fixture.with(&acme.auditor);
    for (query, size) in [("", 100), ("?pageSize=1", 1), ("?pageSize=100", 100), ("?pageSize=1000", 1000)] {
        let page = auditor.get(&format!("/audit{query}")).await.expect(200);
        assert_eq!(sequences(&page), (1..=size).collect::<Vec<_>>(), "{query}");
        assert!(link(&page, "next").is_some(), "{query}");
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_every_parameter_named_and_nothing_recorded() {
    let fixture = Fixture::start().await;
    let acme = with_events(&fixture, &["a"]).await;
    let umbrella = with_events(&fixture, &["u"]).await;
    let auditor = fixture.with(&acme.auditor);
    let page = auditor.get("/audit").await.expect(200);
    let own = EventId::parse(page["events"][0]["uuid"].as_str().unwrap()).unwrap();
    let foreign = fixture.with(&umbrella.auditor).get("/audit").await.expect(200);
    let foreign = text(&foreign["events"][0]["uuid"]);
    let id = |organisation: &str, at: Timestamp, segment, index| {
        EventId::new(&organisation.parse().unwrap(), at, segment, index).short()
    };
    let at = own.recorded_at();
    let later = Timestamp::from_millis(at.as_millis() + 3_600_000);
    let cursors = [
        foreign,
        id(&acme.id, at, 1000, 0),
        id(&acme.id, later, 1, 0),
        id(&acme.id, later, 1000, 0),
        id(&acme.id, at, 1, 1),
        id(&acme.id, at, 0, 0),
        id(&acme.id, Timestamp::EPOCH, 1, 0),
        id(&umbrella.id, at, 1, 0),
        "16WlpdLpDMzfMYxLTZYXYw".to_owned(),
        "nonsense".to_owned(),
        String::new(),
        "%00".to_owned(),
        "..%2f..%2f".to_owned(),
    ];
    let before = fixture.tail(&acme.id).await;
    for cursor in cursors {
        for name in ["from", "after"] {
            for rest in ["", "&sort=desc"] {
                let answer = auditor.get(&format!("/audit?{name}={cursor}{rest}")).await;
                let problem = answer.expect_problem(400, "invalid_input");
                assert_eq!(problem["errors"][0]["parameter"], name, "{cursor}");
            }
        }
    }
    for (query, names) in [
        ("page=2", vec!["page"]),
        ("Since=2026-01-01&TYPE=x", vec!["Since", "TYPE"]),
        ("pageSize=0", vec!["pageSize"]),
        ("pageSize=1001", vec!["pageSize"]),
        ("pageSize=-1", vec!["pageSize"]),
        ("pageSize=ten", vec!["pageSize"]),
        ("pageSize=", vec!["pageSize"]),
        ("sort=newest", vec!["sort"]),
        ("since=yesterday", vec!["since"]),
        ("since=", vec!["since"]),
        ("since=2026-13-01", vec!["since"]),
        ("sort=asc&sort=desc", vec!["sort"]),
        ("colour=red&since=x&from=y&pageSize=z", vec!["colour", "from", "since", "pageSize"]),
    ] {
        let problem = auditor.get(&format!("/audit?{query}")).await.expect_problem(400, "invalid_input");
        let mut named: Vec<String> =
            problem["errors"].as_array().unwrap().iter().map(|e| text(&e["parameter"])).collect();
        let mut names = names.clone();
        named.sort_unstable();
        names.sort_unstable();
        assert_eq!(named, names, "{query}");
    }
    assert_eq!(fixture.tail(&acme.id).await, before);
}

#[tokio::test]
async fn an_event_is_shown_by_its_uuid_in_either_form_and_no_other_ones() {
    let fixture = Fixture::start().await;
    let (acme, umbrella) = (with_events(&fixture, &["a"]).await, with_events(&fixture, &["u"]).await);
    let auditor = fixture.with(&acme.auditor);
    let page = auditor.get("/audit").await.expect(200);
    let shown = page["events"].as_array().unwrap().last().unwrap();
    let (uuid, event_id) = (text(&shown["uuid"]), text(&shown["eventId"]));
    let under = format!("/organisations/{}/audit/{uuid}", acme.id);
    for path in [format!("/audit/{uuid}"), format!("/audit/{event_id}"), under] {
        let mut alone = auditor.get(&path).await.expect(200);
        assert!(alone.as_object_mut().unwrap().remove("_links").is_some(), "{path}");
        assert_eq!(alone, *shown, "{path}");
    }
    let absent = auditor.get("/audit/16WlpdLpDMzfMYxLTZYXYw").await;
    absent.expect_problem(404, "not_found");
    for path in [format!("/audit/{}", uuid.to_lowercase()), "/audit/nonsense".into(), "/audit/%F0%9F".into()] {
        assert_eq!(auditor.get(&path).await, absent, "{path}");
    }
    assert_eq!(fixture.with(&umbrella.auditor).get(&format!("/audit/{uuid}")).await, absent, "another's event");
}

#[tokio::test]
async fn the_tail_is_the_last_events_sequence_and_the_hash_of_its_line() {
    let fixture = Fixture::start().await;
    let acme = with_events(&fixture, &["a", "b"]).await;
    let auditor = fixture.with(&acme.auditor);
    let last = fixture.lines_behind(&acme.id, 0).await.pop().unwrap();
    let tail = auditor.get("/audit/tail").await.expect(200);
    assert_eq!(tail["sequence"], last["sequence"]);
    assert_eq!(tail["eventId"], last["eventId"]);
    assert_eq!(tail["timestamp"], last["timestamp"]);

    let read = fixture.lines_behind(&acme.id, tail["sequence"].as_u64().unwrap()).await;
    assert_eq!(read[0]["type"], "audit.read", "looking at the tail is a read");
    assert_eq!(read[0]["previousHash"], tail["hash"]);

    let customer = fixture.customer(&acme);
    fixture.destination(&acme, &customer).await;
    fixture.tick().await;
    let objects = customer.objects(fixture.system.cloud()).await;
    let delivered = std::str::from_utf8(objects.values().next().unwrap()).unwrap();
    let line = delivered.lines().find(|line| line.contains(&text(&tail["eventId"]))).unwrap();
    assert_eq!(tail["hash"], sha256(line.as_bytes()), "what sha256sum gives for the line without its newline");
}

#[tokio::test]
async fn reads_are_recorded_with_who_read_what_from_where() {
    let fixture = Fixture::start().await;
    let acme = with_events(&fixture, &["a"]).await;
    let auditor = fixture.with(&acme.auditor);
    let uuid = text(&auditor.get("/audit").await.expect(200)["events"][0]["uuid"]);
    for (path, query) in [
        ("/audit".to_owned(), "since=2026-01-01&pageSize=5"),
        ("/audit/tail".to_owned(), ""),
        (format!("/audit/{uuid}"), ""),
        (format!("/organisations/{}/audit", acme.id), "sort=desc"),
    ] {
        let before = fixture.tail(&acme.id).await.last;
        let target = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
        let headers = [("user-agent", "siem/1.0"), ("referer", "http://example.com/x")];
        let answer = auditor.send(reqwest::Method::GET, &target, &headers, None).await;
        let page = answer.expect(200);
        let shown = page["events"].as_array().into_iter().flatten().filter_map(|event| event["sequence"].as_u64());
        assert!(shown.max() <= Some(before), "a page never shows its own read");

        let [read] = fixture.lines_behind(&acme.id, before).await.try_into().unwrap();
        assert_eq!((&read["type"], &read["action"]), (&json!("audit.read"), &json!("READ")));
        assert_eq!(read["principal"]["entityType"], "API_KEY");
        assert_eq!(read["principal"]["name"], "A test's auditor");
        assert_eq!(read["context"]["ipAddress"], "127.0.0.1");
        assert_eq!(read["context"]["userAgent"], "siem/1.0");
        let payload = &read["payload"];
        assert_eq!((&payload["path"], &payload["method"]), (&json!(path), &json!("GET")));
        assert_eq!((&payload["queryString"], &payload["userAgent"]), (&json!(query), &json!("siem/1.0")));
        assert_eq!(payload["referer"], "http://example.com/x");
        if query.starts_with("since") {
            assert_eq!(payload["params"], json!({"since": "2026-01-01", "pageSize": "5"}));
        }
    }
    let siem = auditor.get("/audit?sort=desc&pageSize=1").await.expect(200);
    assert_eq!(siem["events"][0]["type"], "audit.read");
}
