//! A restart on the same data.

use annals_tests::{customer::Customer, lines::is_delivery};
use serde_json::json;

use crate::fixture::{Fixture, event, labels, sequences, text};

#[tokio::test]
async fn a_system_that_is_started_again_finds_its_data_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();

    let fixture = Fixture::start_in(Some(&data)).await;
    let acme = fixture.organisation().await;
    let customer = fixture.customer(&acme);
    let id = fixture.destination(&acme, &customer).await;
    let key = [("idempotency-key", "k-1")];
    let body = Some(event("before").to_string());
    let recorded = fixture.with(&acme.producer).send(reqwest::Method::POST, "/events", &key, body.clone()).await;
    let uuid = text(&recorded.expect(201)["events"][0]["uuid"]);
    fixture.tick().await;
    let path = format!("/organisations/{}/destinations/{id}", acme.id);
    let shown = fixture.with(&acme.admin).get(&path).await.expect(200);
    let (tail, objects) = (fixture.tail(&acme.id).await, customer.objects(fixture.system.cloud()).await);
    fixture.system.stop().await;

    let fixture = Fixture::start_in(Some(&data)).await;
    assert_eq!(fixture.tail(&acme.id).await, tail);
    assert_eq!(fixture.with(&acme.admin).get(&path).await.expect(200), shown);
    assert_eq!(customer.objects(fixture.system.cloud()).await, objects);
    let again = fixture.with(&acme.producer).send(reqwest::Method::POST, "/events", &key, body).await;
    assert_eq!(again.body, recorded.body, "a request from before is known again");
    let next = fixture.with(&acme.producer).post("/events", &event("after")).await.expect(201);
    assert_eq!(sequences(&next), [tail.last + 1]);
    let page = fixture.with(&acme.auditor).get(&format!("/audit?from={uuid}")).await.expect(200);
    assert_eq!(labels(&page), ["before", "after"]);
    assert_eq!(
        fixture.with(&acme.admin).post(&format!("{path}/test"), &json!({})).await.expect(200)["outcome"],
        "passed"
    );
    fixture.tick().await;
    let chain = fixture.delivered(&customer).await;
    assert_eq!(chain.range(), Some((1, fixture.tail(&acme.id).await.last)), "one chain over both runs");
    fixture.system.stop().await;
    assert_files(&data, &customer);
}

/// The layout on disk, which developers look at.
fn assert_files(data: &std::path::Path, customer: &Customer) {
    let bucket = data.join("s3").join(&customer.bucket);
    let days: Vec<_> = walk(&bucket);
    let deliveries = days.iter().filter(|key| is_delivery(key)).count();
    assert_eq!(deliveries, 2, "{days:?}");
    assert!(days.contains(&"test-wiremock-cloud-integration.txt".to_owned()), "{days:?}");
}

/// The files below a folder, as relative paths.
fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            files.extend(walk(&path).into_iter().map(|below| format!("{name}/{below}")));
        } else {
            files.push(name);
        }
    }
    files
}
