//! Measures the shipper's memory for a backlog of a gigabyte, and for a smaller compressed one: invokes its binary
//! until nothing is left and compares the peak of resident memory with the budget.
//!
//! Run with `cargo bench -p annals-tests --bench backlog --profile dev`. Memory hardly depends on the profile.

use std::time::Instant;

use annals_core::{
    event::{Layout, parse},
    recorded_by::RecordedBy,
};
use annals_tests::{
    customer::Customer,
    deployment::{Deployment, FunctionRole},
    entropy::SeededEntropy,
    runtime_api::Function,
};
use serde_json::json;

const BACKLOGS: [(&str, u64); 2] = [("none", 1 << 30), ("gzip", 1 << 28)];
const BUDGET_BYTES: u64 = 96 << 20;
/// The payload of one event. A megabyte of events is appended at a time, which is the capacity of a segment.
const PAYLOAD_BYTES: usize = 100 * 1024;
const EVENTS: usize = 9;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for (compression, backlog_bytes) in BACKLOGS {
        let deployment = Deployment::start().await;
        let acme = deployment.organisation("acme").await;
        let customer = Customer::create(deployment.cloud(), Some(&acme.external_id));
        let destination = deployment.destination_with(&acme, &customer, &json!({"compression": compression})).await;
        let entropy = SeededEntropy::new(1);
        let mut recorded = 0;
        while recorded < backlog_bytes {
            recorded += append(&deployment, &acme, &entropy).await;
        }

        let function =
            Function::start(env!("CARGO_BIN_EXE_shipper-under-test"), deployment.environment(FunctionRole::Shipper))
                .await;
        let begun = Instant::now();
        let order = json!({
            "organisation": "acme", "destination": destination.id.as_str(), "nextSequence": 1, "pending": true,
        });
        let message = json!({"messageId": "1", "body": order.to_string(), "eventSource": "aws:sqs"});
        let administration = &deployment.api().administration;
        let tail = deployment.api().log.tail(&acme.id).await.unwrap().last;
        let mut invocations = 0;
        while administration.destination(&acme.id, &destination.id).await.unwrap().next_sequence <= tail {
            let answer = function.invoke(&json!({"Records": [message]})).await.unwrap();
            assert_eq!(answer, json!({"batchItemFailures": []}));
            invocations += 1;
        }
        let peak = function.peak_memory_bytes();
        let deliveries = administration.deliveries(&destination, usize::MAX).await.unwrap();
        let delivered: u64 = deliveries.iter().map(|delivery| delivery.last - delivery.first + 1).sum();
        let contents = deliveries.iter().map(|delivery| delivery.content.as_ref().unwrap());
        let bytes: u64 = contents.map(|content| content.bytes).sum();
        assert_eq!(delivered, tail, "every event once");
        println!(
            "{compression:>4}: {recorded} bytes recorded, {bytes} delivered in {} objects by {invocations} invocations \
             in {:.0?}; {:.1} MB resident at most (budget {} MB)",
            deliveries.len(),
            begun.elapsed(),
            peak as f64 / f64::from(1 << 20),
            BUDGET_BYTES >> 20,
        );
        assert!(peak < BUDGET_BYTES, "over the budget");
    }
}

/// Records a segment of events that compress to about a half. Returns the number of recorded bytes.
async fn append(
    deployment: &Deployment,
    organisation: &annals_core::organisation::Organisation,
    entropy: &SeededEntropy,
) -> u64 {
    use annals_core::entropy::Entropy as _;
    let mut random = vec![0; PAYLOAD_BYTES / 4];
    entropy.fill(&mut random);
    let payload = hex::encode(&random) + &"a known thing. ".repeat(PAYLOAD_BYTES / 30);
    let event = json!({
        "action": "UPDATE",
        "entity": {"id": "m-1", "name": "Payments", "entityType": "MOCK_API"},
        "principal": {"id": "42", "name": "Ada", "entityType": "USER"},
        "payload": {"text": payload},
    });
    let body = parse(event.to_string().as_bytes(), Layout::Json, &RecordedBy::Platform).unwrap().remove(0);
    let bytes = EVENTS * body.as_str().len();
    deployment.api().log.append(organisation, vec![body; EVENTS], None).await.unwrap();
    bytes as u64
}
