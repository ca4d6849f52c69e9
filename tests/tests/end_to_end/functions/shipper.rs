//! The binary of the shipper, invoked as by EventBridge's rules, SQS's event source mapping and Lambda.

use annals_aws::system::SystemClock;
use annals_core::{
    administration::Put,
    destination::Destination,
    log::{
        rate::RateState,
        segment::Tail,
        tail::{Anchor, MAINTAINED_AFTER},
    },
    organisation::{Organisation, OrganisationInput},
    time::Clock as _,
};
use annals_tests::{
    clock::VirtualClock,
    customer::Customer,
    deployment::{Deployment, FunctionRole, platform},
    lines::Chain,
    runtime_api::Function,
};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_shipper-under-test");

struct Stage {
    deployment: Deployment,
    acme: Organisation,
    customer: Customer,
    destination: Destination,
    function: Function,
}

impl Stage {
    /// An organisation with an event, and a destination whose customer has set everything up.
    async fn start() -> Self {
        let deployment = Deployment::start().await;
        let acme = deployment.organisation("acme").await;
        let customer = Customer::create(deployment.cloud(), Some(&acme.external_id));
        let destination = deployment.destination(&acme, &customer).await;
        deployment.record(&acme, &event("m-1")).await;
        let function = Function::start(BINARY, deployment.environment(FunctionRole::Shipper)).await;
        Self { deployment, acme, customer, destination, function }
    }

    async fn chain(&self) -> Chain {
        Chain::of(&self.customer.objects(self.deployment.cloud()).await)
    }

    /// The order that the planner sends for the destination.
    fn order(&self) -> Value {
        json!({
            "organisation": "acme",
            "destination": self.destination.id.as_str(),
            "nextSequence": 1,
            "pending": false,
        })
    }
}

fn event(label: &str) -> Value {
    json!({
        "action": "UPDATE",
        "entity": {"id": label, "name": "Payments", "entityType": "MOCK_API"},
        "principal": {"id": "42", "name": "Ada", "entityType": "USER"},
        "payload": {"password": "hunter2-hunter2"},
    })
}

/// The event of a schedule rule without an input of its own.
fn scheduled() -> Value {
    json!({
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "111122223333",
        "time": "2026-11-22T10:00:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:111122223333:rule/annals-ShipperFunctionPlan-1"],
        "detail": {},
    })
}

/// Messages as the event source mapping passes them on.
fn messages(bodies: &[&str]) -> Value {
    let records = bodies.iter().enumerate().map(|(index, body)| {
        json!({
            "messageId": format!("059f36b4-87a3-44ab-83d2-66197597000{index}"),
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
            "body": body,
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1795341600000",
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": "1795341600001",
            },
            "messageAttributes": {},
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:111122223333:annals-ShipQueue-1",
            "awsRegion": "us-east-1",
        })
    });
    json!({"Records": records.collect::<Vec<_>>()})
}

#[tokio::test]
async fn a_plan_puts_each_active_destination_on_the_queue() {
    let stage = Stage::start().await;
    for event in [json!({"task": "plan"}), scheduled()] {
        let answer = stage.function.invoke(&event).await.unwrap();
        assert_eq!(answer, json!({"planned": 1, "deferred": 0}));
        assert_eq!(stage.deployment.messages().await, [stage.order()]);
    }
    assert!(stage.chain().await.lines.is_empty(), "planning ships nothing");
}

#[tokio::test]
async fn maintenance_brings_the_anchor_of_every_log_without_new_events_up_to_the_tail() {
    let stage = Stage::start().await;
    let begun = SystemClock.now();
    let earlier = stage.deployment.api_at(VirtualClock::new(begun.minus(MAINTAINED_AFTER)));
    let mut quiet = Vec::new();
    for name in ["umbrella", "initech"] {
        let input = OrganisationInput::parse(br#"{"name": "Quiet"}"#).unwrap();
        let put = earlier.administration.put_organisation(&name.parse().unwrap(), input, &platform()).await.unwrap();
        let (Put::Created(organisation) | Put::Updated(organisation)) = put;
        quiet.push(organisation);
    }
    let answer = stage.function.invoke(&json!({"task": "maintain"})).await.unwrap();
    assert_eq!(answer, json!({"organisations": 3, "parts": 1}));
    let parts = stage.deployment.messages().await;
    assert_eq!((parts.len(), &parts[0]["job"]), (1, &json!("maintain")), "{parts:?}");
    let answer = stage.function.invoke(&messages(&[&parts[0].to_string()])).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    for organisation in &quiet {
        let tail = stage.deployment.api().log.tail(&organisation.id).await.unwrap();
        let anchor = stage.deployment.anchor(&organisation.id).await.unwrap();
        assert_eq!(anchor.tail, Tail { rate: RateState::FULL, ..tail }, "{}", organisation.id);
        assert!(anchor.checked.is_some_and(|checked| checked >= begun), "{}: {anchor:?}", organisation.id);
    }
    // A log with new events needs no anchor, so nothing is written.
    let anchor = stage.deployment.anchor(&stage.acme.id).await.unwrap();
    assert_eq!(anchor, Anchor::of_new_log(&stage.acme));
    assert!(stage.deployment.messages().await.is_empty(), "maintenance plans nothing");
    let lines = stage.function.stop().lines();
    let maintained = lines.iter().find(|line| line["message"] == "maintained").unwrap();
    assert_eq!((&maintained["MaintenanceRuns"], &maintained["OrganisationsMaintained"]), (&json!(1), &json!(3)));
}

#[tokio::test]
async fn messages_are_shipped_and_only_the_one_that_cannot_be_is_reported() {
    let stage = Stage::start().await;
    let umbrella = stage.deployment.organisation("umbrella").await;
    let other = Customer::create(stage.deployment.cloud(), Some(&umbrella.external_id));
    let second = stage.deployment.destination(&umbrella, &other).await;
    let good = stage.order().to_string();
    let second = json!({
        "organisation": "umbrella", "destination": second.id.as_str(), "nextSequence": 1, "pending": false,
    });
    let gone = json!({
        "organisation": "acme", "destination": "abcdefghijkl", "nextSequence": 1, "pending": false,
    });
    let bodies = [&good, "no JSON at all", &second.to_string(), r#"{"organisation": "#, &gone.to_string(), "{}"];
    let answer = stage.function.invoke(&messages(&bodies)).await.unwrap();
    let failures = answer["batchItemFailures"].as_array().unwrap();
    let mut failed: Vec<&str> = failures.iter().map(|item| item["itemIdentifier"].as_str().unwrap()).collect();
    failed.sort_unstable();
    let id = |index: usize| format!("059f36b4-87a3-44ab-83d2-66197597000{index}");
    assert_eq!(failed, [id(1), id(3), id(5)], "a destination that is gone is done with");

    let chain = stage.chain().await;
    assert_eq!(chain.types(), ["organisation.create", "destination.create", "mock_api.update"]);
    assert_eq!(chain.range(), Some((1, 3)));
    let theirs = Chain::of(&other.objects(stage.deployment.cloud()).await);
    assert_eq!(theirs.types(), ["organisation.create", "destination.create"]);
    let tail = stage.deployment.api().log.tail(&stage.acme.id).await.unwrap();
    assert_eq!(chain.hash, tail.hash.to_string());

    let again = stage.function.invoke(&messages(&[&good])).await.unwrap();
    assert_eq!(again, json!({"batchItemFailures": []}), "a message may come twice");
    assert_eq!(stage.chain().await, chain);
}

#[tokio::test]
async fn what_the_customer_refuses_is_no_failure_of_the_message_but_the_status() {
    let stage = Stage::start().await;
    stage.deployment.cloud().iam().delete_bucket(&stage.customer.bucket).unwrap();
    let answer = stage.function.invoke(&messages(&[&stage.order().to_string()])).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let administration = &stage.deployment.api().administration;
    let destination = administration.destination(&stage.acme.id, &stage.destination.id).await.unwrap();
    assert_eq!(destination.state().as_str(), "failing");
    assert!(destination.status().to_string().contains(&format!("There is no bucket {}.", stage.customer.bucket)));

    let planned = stage.function.invoke(&json!({"task": "plan"})).await.unwrap();
    assert_eq!(planned, json!({"planned": 0, "deferred": 1}), "it rests until its pause is over");
}

#[tokio::test]
async fn an_event_that_asks_for_nothing_is_an_error_and_the_next_one_is_answered() {
    let stage = Stage::start().await;
    let mut other = scheduled();
    other["detail-type"] = "EC2 Instance State-change Notification".into();
    for event in [json!({}), json!({"task": "dance"}), json!({"task": 1}), json!({"Records": 7}), json!("plan"), other]
    {
        let error = stage.function.invoke(&event).await.unwrap_err();
        assert_ne!(error["errorType"], "Runtime.ExitError", "the process lives on: {error}");
        assert!(error["errorMessage"].as_str().unwrap().contains("unknown event"), "{error}");
        let answer = stage.function.invoke(&json!({"task": "plan"})).await.unwrap();
        assert_eq!(answer["planned"], 1);
    }
}

#[tokio::test]
async fn a_plan_that_could_not_be_queued_is_an_error_so_that_lambda_tries_again() {
    let stage = Stage::start().await;
    let mut environment = stage.deployment.environment(FunctionRole::Shipper);
    let queue = environment.iter_mut().find(|(name, _)| name == "SHIP_QUEUE_URL").unwrap();
    queue.1 = queue.1.replace("ShipQueue", "NoQueue");
    let function = Function::start(BINARY, environment).await;
    let error = function.invoke(&json!({"task": "plan"})).await.unwrap_err();
    assert_ne!(error["errorType"], "Runtime.ExitError", "{error}");
    function.invoke(&json!({"task": "maintain"})).await.unwrap_err();
    let part = json!({"job": "maintain", "run": "2026-11-22T10:00:00.000Z", "part": 1, "after": null, "until": null, "again": []});
    let answer = function.invoke(&messages(&[&part.to_string()])).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}), "it still works");
    let lines = function.stop().lines();
    assert!(lines.iter().any(|line| line["level"] == "ERROR" && line["message"] == "not done"), "{lines:?}");
}

#[tokio::test]
async fn logs_are_json_lines_without_secrets_and_without_events() {
    let stage = Stage::start().await;
    stage.function.invoke(&json!({"task": "plan"})).await.unwrap();
    stage.function.invoke(&messages(&[&stage.order().to_string(), "hunter2-hunter2"])).await.unwrap();
    stage.function.invoke(&json!({"task": "hunter2-hunter2"})).await.unwrap_err();
    let Stage { function, acme, destination, .. } = stage;
    let logs = function.stop();
    logs.assert_without(&["hunter2", "Payments", &acme.external_id]);
    let lines = logs.lines();
    let shipped = lines.iter().find(|line| line["message"] == "shipped").unwrap();
    assert_eq!(shipped["organisation"], "acme");
    assert_eq!(shipped["destination"], destination.id.as_str());
    assert_eq!((&shipped["outcome"], &shipped["EventsDelivered"]), (&json!("up_to_date"), &json!(3)));
    assert!(shipped["BytesDelivered"].as_u64() > Some(0));
    let mut told: Vec<String> = lines.iter().map(|line| format!("{} {}", line["message"], line["level"])).collect();
    told.sort_unstable();
    let expected = [r#""not done" "ERROR""#, r#""not shipped" "ERROR""#, r#""planned" "INFO""#, r#""shipped" "INFO""#];
    assert_eq!(told, expected, "a line a unit of work: {lines:?}");
    assert!(lines.iter().all(|line| line["lambda_request_id"].is_string()), "{lines:?}");
    assert_eq!(lines.iter().map(|line| line["ColdStarts"].as_u64().unwrap_or(0)).sum::<u64>(), 1);
}

/// What `infra/docs/restoring.md` says, with copies of the tables as point-in-time recovery makes them.
#[tokio::test]
async fn tables_are_restored_as_the_page_about_it_says() {
    let stage = Stage::start().await;
    let ship = json!({"organisation": "acme", "destination": stage.destination.id.as_str(), "nextSequence": 1, "pending": true});
    let ship = messages(&[&ship.to_string()]);
    stage.function.invoke(&ship).await.unwrap();
    stage.function.invoke(&json!({"task": "plan"})).await.unwrap();
    let copies = stage.deployment.copy_tables().await;
    for label in ["m-2", "m-3"] {
        stage.deployment.record(&stage.acme, &event(label)).await;
    }
    stage.function.invoke(&ship).await.unwrap();
    stage.deployment.record(&stage.acme, &event("lost")).await;
    // Step 4: what was delivered.
    let Stage { deployment, acme, customer, destination, function } = stage;
    let lines = function.stop().lines();
    let delivered = lines.iter().filter_map(|line| line["delivered_to"].as_u64()).max();
    assert_eq!(delivered, Some(5), "{lines:?}");

    let deployment = deployment.with_tables(copies);
    let function = Function::start(BINARY, deployment.environment(FunctionRole::Shipper)).await;
    let planned = function.invoke(&json!({"task": "plan"})).await.unwrap();
    assert_eq!(planned, json!({"planned": 0, "deferred": 0, "copiedTables": "both"}), "a copy is known as one");
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/docs/restoring.md")).unwrap();
    let documented = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let mut restore: Value = serde_json::from_str(documented).unwrap();
    restore["tables"] = "both".into();
    restore["skip"] = 10.into();
    restore["delivered"] = json!({format!("acme/{}", destination.id): delivered});
    let done = json!({"restored": 1, "failed": [], "after": null});
    assert_eq!(function.invoke(&restore).await.unwrap(), done);
    assert_eq!(function.invoke(&restore).await.unwrap(), done, "a repetition does nothing");
    let tail = deployment.api().log.tail(&acme.id).await.unwrap();
    assert_eq!(tail.last, 1200 + 10 + 1, "behind the sequence that the page names");
    let planned = deployment.messages().await;
    assert!(planned.iter().any(|order| order["destination"] == destination.id.as_str()), "{planned:?}");
    deployment.record(&acme, &event("m-4")).await;
    function.invoke(&ship).await.unwrap();
    function.invoke(&ship).await.unwrap();
    let delivered = customer.objects(deployment.cloud()).await;
    let content = delivered.values().map(|content| std::str::from_utf8(content).unwrap());
    let mut sequences: Vec<u64> = content
        .flat_map(str::lines)
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["sequence"].as_u64().unwrap())
        .collect();
    sequences.sort_unstable();
    assert_eq!(sequences, [1, 2, 3, 4, 5, 1211, 1212], "nothing twice, and nothing left out");
    for (wrong, reason) in [
        (json!({"task": "restore"}), "missing field `restore`"),
        (
            json!({"task": "restore", "restore": "a b", "tables": "log", "restoredTo": "2026-11-22T10:00:00Z"}),
            "must be the name",
        ),
        (
            json!({"task": "restore", "restore": "a", "tables": "logs", "restoredTo": "2026-11-22T10:00:00Z"}),
            "unknown variant",
        ),
    ] {
        let error = function.invoke(&wrong).await.unwrap_err();
        assert!(error["errorMessage"].as_str().unwrap().contains(reason), "{error}");
    }
}
