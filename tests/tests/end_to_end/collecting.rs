//! Collectors that store `_links.resume` after each page, as many do, and are stopped after any of them.

use std::collections::BTreeSet;

use annals_core::{format::Format, id::EventId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    exporting::{link, links},
    fixture::{Fixture, Org, event, text},
};

/// A page as a collector sees it.
struct Collected {
    sequences: Vec<u64>,
    next: Option<String>,
    resume: String,
}

/// Fetches a page in the format, or as HAL.
async fn collect(fixture: &Fixture, acme: &Org, href: &str, format: Option<Format>) -> Collected {
    let accept = format.map_or("application/hal+json", Format::media_type);
    let answer = fixture.with(&acme.auditor).send(Method::GET, href, &[("accept", accept)], None).await;
    assert_eq!(answer.status, 200, "{href}: {}", answer.body);
    let json = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let ids: Vec<String> = match format {
        None => answer.json()["events"].as_array().unwrap().iter().map(|event| text(&event["eventId"])).collect(),
        Some(Format::Lines) => answer.body.lines().map(|line| text(&json(line)["eventId"])).collect(),
        Some(Format::CloudEvents) => answer.body.lines().map(|line| text(&json(line)["id"])).collect(),
        Some(Format::Ocsf | Format::OcsfSlim) => {
            answer.body.lines().map(|line| text(&json(line)["metadata"]["uid"])).collect()
        }
        Some(Format::Csv) => {
            let rows = answer.body.split("\r\n").skip(1).filter(|row| !row.is_empty());
            rows.map(|row| row.split(',').nth(1).unwrap().to_owned()).collect()
        }
    };
    let links = match format {
        None => {
            let href = |name: &str| answer.json()["_links"][name]["href"].as_str().map(str::to_owned);
            ["next", "resume"].into_iter().filter_map(|name| Some((name.to_owned(), href(name)?))).collect()
        }
        Some(_) => links(&answer.headers["link"]),
    };
    Collected {
        sequences: ids.iter().map(|id| EventId::parse(id).unwrap().sequence()).collect(),
        next: link(&links, "next"),
        resume: link(&links, "resume").unwrap(),
    }
}

/// An organisation with events of two types. Those of type `large.kept` are so large that a page has few of them, and that a
/// filter stops before it has examined all.
async fn with_events(fixture: &Fixture) -> Org {
    let acme = fixture.organisation().await;
    let producer = fixture.with(&acme.producer);
    let small = |name: &str| -> Value { (0..25).map(|number| event(&format!("{name}-{number}"))).collect() };
    producer.post("/events", &small("early")).await.expect(201);
    for _ in 0..3 {
        let mut large = event("large");
        large["type"] = "large.kept".into();
        large["payload"] = json!({"text": "x".repeat(200 * 1024)});
        producer.post("/events", &Value::from(vec![large; 20])).await.expect(201);
    }
    producer.post("/events", &small("late")).await.expect(201);
    acme
}

/// Follows the links from `href` until a page has no `next`, and then once more. After each page for which `stops` says so
/// the collector starts again from that page's `resume`; otherwise it follows `next`.
async fn walk(
    fixture: &Fixture,
    acme: &Org,
    href: &str,
    format: Option<Format>,
    stops: impl Fn(usize) -> bool,
) -> (Vec<u64>, usize) {
    let (mut seen, mut href, mut pages, mut ends) = (Vec::new(), href.to_owned(), 0, 0);
    while ends < 2 {
        let page = collect(fixture, acme, &href, format).await;
        seen.extend(page.sequences);
        pages += 1;
        assert!(pages < 200, "the walk does not end");
        ends += usize::from(page.next.is_none());
        href = page.next.filter(|_| !stops(pages)).unwrap_or(page.resume);
    }
    (seen, pages)
}

/// Asserts that the walk saw each event once, up to the last of them.
fn assert_whole(seen: &[u64], least: u64, context: &str) {
    let set: BTreeSet<u64> = seen.iter().copied().collect();
    assert_eq!(set.len(), seen.len(), "{context}: an event was collected twice: {seen:?}");
    let last = seen.iter().copied().max().unwrap_or_default();
    assert!(last >= least, "{context}: it ended at {last}");
    assert_eq!(set, (1..=last).collect(), "{context}: an event was lost");
}

#[tokio::test]
async fn a_collector_that_stores_resume_after_each_page_loses_and_doubles_nothing_in_any_format() {
    let fixture = Fixture::start().await;
    let acme = with_small_events(&fixture).await;
    for format in [None].into_iter().chain(Format::ALL.map(Some)) {
        for sort in ["asc", "desc"] {
            stores_each(&fixture, &acme, &format!("/audit?pageSize=9&sort={sort}"), format).await;
        }
    }
    // Pages that are cut because they are large.
    let acme = with_events(&fixture).await;
    for sort in ["asc", "desc"] {
        stores_each(&fixture, &acme, &format!("/audit?pageSize=40&sort={sort}"), Some(Format::Lines)).await;
    }
}

async fn stores_each(fixture: &Fixture, acme: &Org, href: &str, format: Option<Format>) {
    let before = fixture.tail(&acme.id).await.last;
    let (seen, pages) = walk(fixture, acme, href, format, |_| true).await;
    assert!(pages > 4, "{pages} pages");
    assert_whole(&seen, before + 1, &format!("{format:?} {href}"));
}

/// An organisation with 30 events.
async fn with_small_events(fixture: &Fixture) -> Org {
    let acme = fixture.organisation().await;
    let events: Vec<Value> = (0..30).map(|number| event(&format!("m-{number}"))).collect();
    fixture.with(&acme.producer).post("/events", &Value::from(events)).await.expect(201);
    acme
}

#[tokio::test]
async fn a_collector_that_is_stopped_after_any_page_of_a_walk_loses_and_doubles_nothing() {
    let fixture = Fixture::start().await;
    let acme = with_small_events(&fixture).await;
    for sort in ["asc", "desc"] {
        let href = format!("/audit?pageSize=9&sort={sort}");
        let (_, pages) = walk(&fixture, &acme, &href, None, |_| false).await;
        for stop in 1..=pages {
            let before = fixture.tail(&acme.id).await.last;
            let (seen, _) = walk(&fixture, &acme, &href, Some(Format::Lines), |page| page == stop).await;
            assert_whole(&seen, before + 1, &format!("{sort}, stopped after page {stop}"));
        }
    }
}

#[tokio::test]
async fn a_filtered_collector_resumes_behind_what_it_examined_even_if_nothing_matched() {
    let fixture = Fixture::start().await;
    let acme = with_events(&fixture).await;
    let total = fixture.tail(&acme.id).await.last;
    let small: Vec<u64> = (total - 110 + 1..=total - 85).chain(total - 24..=total).collect();
    let large: Vec<u64> = (total - 84..=total - 25).collect();
    let skipped: Vec<u64> = small[14..].to_vec();
    for (filter, expected) in [
        ("type=mock_api.update", &small),
        ("type=large.kept", &large),
        ("type=none.such", &Vec::new()),
        ("q=early-3&type=mock_api.update", &vec![total - 110 + 4]),
        ("type=mock_api.update&pageNumber=3", &skipped),
    ] {
        for sort in ["asc", "desc"] {
            if sort == "desc" && filter.contains("pageNumber") {
                continue;
            }
            let href = format!("/audit?{filter}&sort={sort}&pageSize=7");
            for format in [None, Some(Format::Lines)] {
                let (seen, pages) = walk(&fixture, &acme, &href, format, |_| true).await;
                let mut expected = expected.clone();
                if sort == "desc" {
                    expected.reverse();
                }
                assert_eq!(seen, expected, "{filter} {sort} {format:?}");
                assert!(pages > 2, "{filter} {sort}: one page has examined everything");
            }
        }
    }
}
