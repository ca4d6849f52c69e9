//! The usage of a month, as the platform and an organisation's administrators ask for it.

use annals_core::usage::Month;
use serde_json::{Value, json};

use crate::fixture::{Fixture, event, text};

/// The month of the log's last event, so that a test that runs at midnight asks for the same month.
async fn month(fixture: &Fixture, organisation: &str) -> String {
    Month::of(fixture.tail(organisation).await.recorded_at).to_string()
}

#[tokio::test]
async fn a_month_counts_events_reads_and_deliveries() {
    let fixture = Fixture::start().await;
    let org = fixture.organisation().await;
    let path = format!("/organisations/{}/usage", org.id);
    let customer = fixture.customer(&org);
    let destination = fixture.destination(&org, &customer).await;
    let sent = [event("a"), event("b"), event("c")];
    fixture.with(&org.producer).post("/events", &json!(sent)).await.expect(201);
    fixture.platform().post(&format!("/organisations/{}/events", org.id), &event("d")).await.expect(201);
    for _ in 0..2 {
        fixture.with(&org.auditor).get("/audit").await.expect(200);
    }
    fixture.with(&org.auditor).get("/audit/tail").await.expect(200);
    fixture.tick().await;
    let delivered = fixture.delivered(&customer).await;
    let month = month(&fixture, &org.id).await;

    let usage = fixture.platform().get(&format!("{path}?month={month}")).await.expect(200);
    // The size of an event is that of its line without what the log adds, and with a newline.
    let lines = fixture.lines_behind(&org.id, 0).await;
    let bytes: usize = lines.iter().filter(|line| line["recordedBy"] != "annals").map(stored_bytes).sum();
    let own = lines.iter().filter(|line| line["recordedBy"] == "annals").count();
    let recorded = [&usage["events"], &usage["bytes"], &usage["ownEvents"], &usage["reads"]];
    assert_eq!(recorded, [&json!(4), &json!(bytes), &json!(own), &json!(3)], "{usage}");
    assert_eq!((&usage["month"], &usage["final"], &usage["exact"]), (&json!(month), &json!(false), &json!(true)));
    let objects = customer.objects(fixture.system.cloud()).await;
    let stored: usize =
        objects.iter().filter(|(key, _)| !key.contains("annals-checkpoints")).map(|(_, bytes)| bytes.len()).sum();
    let deliveries = json!({"objects": 1, "events": delivered.lines.len(), "bytes": stored, "unknownUntil": null});
    assert_eq!(usage["deliveries"], deliveries);

    assert_eq!(fixture.with(&org.admin).get(&format!("{path}?month={month}")).await.expect(200), usage);
    fixture.with(&org.admin).delete(&format!("/organisations/{}/destinations/{destination}", org.id)).await.expect(204);
    let left = fixture.with(&org.admin).get(&format!("{path}?month={month}")).await.expect(200);
    assert_eq!(left["deliveries"], deliveries, "a deleted destination's deliveries stay");
    let present = fixture.platform().get(&path).await.expect(200);
    assert_eq!(present["ownEvents"], json!(own + 1), "to ask for the usage is not recorded");
}

/// The size of an event as a producer's request leaves it: without the log's own fields.
fn stored_bytes(line: &Value) -> usize {
    let mut event = line.clone();
    let fields = event.as_object_mut().unwrap();
    for log in ["sequence", "eventId", "timestamp", "previousHash", "recordedBy", "organisation"] {
        fields.remove(log).unwrap();
    }
    event.to_string().len() + 1
}

#[tokio::test]
async fn a_month_before_the_organisation_and_one_to_come_are_empty() {
    let fixture = Fixture::start().await;
    let org = fixture.organisation().await;
    let path = format!("/organisations/{}/usage", org.id);
    let now = fixture.tail(&org.id).await.recorded_at;
    for (month, is_final) in [("2020-02", true), ("2999-12", false)] {
        let usage = fixture.platform().get(&format!("{path}?month={month}")).await.expect(200);
        let counts = [&usage["events"], &usage["reads"], &usage["deliveries"]["objects"]];
        assert_eq!(counts, [&json!(0), &json!(0), &json!(0)], "{usage}");
        assert_eq!((&usage["final"], &usage["exact"]), (&json!(is_final), &json!(true)));
    }
    let present = fixture.platform().get(&path).await.expect(200);
    assert!(Month::of(now) <= text(&present["month"]).parse().unwrap());
    for bad in ["2026-13", "2026-11-01", "now", ""] {
        let problem = fixture.platform().get(&format!("{path}?month={bad}")).await.expect_problem(400, "invalid_input");
        assert_eq!(problem["errors"][0]["parameter"], "month", "{bad}");
    }
    fixture.platform().get("/organisations/nobody/usage").await.expect_problem(404, "not_found");
}
