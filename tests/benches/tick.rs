//! Measures one tick for real, on loopback: the shipper's binary and an embedded AWS on this machine, with 100,000
//! destinations of which a tenth have an event to deliver. Compares the processor time of planning, and the planner's memory,
//! with the budget, and prints what shipping takes.
//!
//! It takes minutes, most of them to prepare the tables, and is run by hand:
//! `cargo bench -p annals-tests --bench tick`.

use std::{collections::HashMap, process::ExitCode, time::Duration};

use annals_core::{
    destination::DestinationId,
    event::{Layout, parse},
    organisation::Organisation,
    recorded_by::RecordedBy,
    registry::shard_of,
};
use annals_tests::{
    customer::Customer,
    deployment::{Deployment, FunctionRole},
    entropy::SeededEntropy,
    runtime_api::{Function, cpu_time},
};
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

const DESTINATIONS: usize = 100_000;
/// One in so many destinations has something to deliver.
const ONE_IN: usize = 10;
const PLANNING: Duration = Duration::from_secs(60);
const MEMORY_BYTES: u64 = 128 << 20;
/// The end of an idle log: its organisation was created, and its destination.
const IDLE_AT: u64 = 2;
/// Ids of this length, so that those of the template can be replaced.
const TEMPLATE: &str = "customer-template";

type Attributes = HashMap<String, AttributeValue>;

struct Fleet {
    deployment: Deployment,
    database: aws_sdk_dynamodb::Client,
    queue: aws_sdk_sqs::Client,
    registry: String,
    log: String,
    queue_url: String,
}

impl Fleet {
    async fn start() -> Self {
        let deployment = Deployment::start().await;
        let everything = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
        let cloud = deployment.cloud();
        let key = cloud.iam().create_user(cloud.account(), "bench", everything).unwrap();
        let config = cloud.sdk_config(&key);
        let environment: HashMap<String, String> = deployment.environment(FunctionRole::Shipper).into_iter().collect();
        Self {
            database: aws_sdk_dynamodb::Client::new(&config),
            queue: aws_sdk_sqs::Client::new(&config),
            registry: environment["REGISTRY_TABLE"].clone(),
            log: environment["LOG_TABLE"].clone(),
            queue_url: environment["SHIP_QUEUE_URL"].clone(),
            deployment,
        }
    }

    /// Copies one customer's items to all of them, and records an event for a tenth of them.
    async fn prepare(&self) {
        let template = self.deployment.organisation(TEMPLATE).await;
        let customer = Customer::create(self.deployment.cloud(), Some(&template.external_id));
        let settings = json!({"prefix": format!("{TEMPLATE}/")});
        let destination = self.deployment.destination_with(&template, &customer, &settings).await;
        let key = format!("org#{TEMPLATE}");
        let query = self.database.query().table_name(&self.registry).key_condition_expression("pk = :pk");
        let items =
            query.expression_attribute_values(":pk", AttributeValue::S(key)).send().await.unwrap().items.unwrap();
        let newest = AttributeValue::N(IDLE_AT.to_string());
        let request = self.database.get_item().table_name(&self.log).key("org", AttributeValue::S(TEMPLATE.to_owned()));
        let segment = request.key("seq", newest).send().await.unwrap().item.unwrap();
        let entropy = SeededEntropy::new(1);
        let mut active = Vec::new();
        let mut writes: Vec<(&str, WriteRequest)> = Vec::new();
        let write = |item: Attributes| {
            let put = PutRequest::builder().set_item(Some(item)).build().unwrap();
            WriteRequest::builder().put_request(put).build()
        };
        for number in 0..DESTINATIONS {
            let organisation = format!("customer-{number:08}");
            let id: DestinationId =
                annals_core::entropy::characters(&*entropy, annals_core::entropy::BASE36, 12).parse().unwrap();
            let is_active = number % ONE_IN == 7;
            for item in &items {
                let mut item: Attributes = item
                    .iter()
                    .map(|(name, value)| match value {
                        AttributeValue::S(text) => {
                            let text =
                                text.replace(TEMPLATE, &organisation).replace(destination.id.as_str(), id.as_str());
                            (name.clone(), AttributeValue::S(text))
                        }
                        value => (name.clone(), value.clone()),
                    })
                    .collect();
                if item["sk"].as_s().unwrap().starts_with("destination#") {
                    item.insert("g".to_owned(), AttributeValue::S(format!("active#{}", shard_of(&id))));
                    let next = if is_active { 1 } else { IDLE_AT + 1 };
                    item.insert("nextSequence".to_owned(), AttributeValue::N(next.to_string()));
                }
                writes.push((&self.registry, write(item)));
            }
            if is_active {
                active.push(Organisation { id: organisation.parse().unwrap(), ..template.clone() });
            } else {
                let mut segment = segment.clone();
                segment.insert("org".to_owned(), AttributeValue::S(organisation));
                writes.push((&self.log, write(segment)));
            }
        }
        let batches = writes.chunks(25).map(|batch| {
            let mut tables: HashMap<String, Vec<WriteRequest>> = HashMap::new();
            for (table, write) in batch {
                tables.entry((*table).to_owned()).or_default().push(write.clone());
            }
            self.database.batch_write_item().set_request_items(Some(tables)).send()
        });
        stream::iter(batches).buffer_unordered(8).for_each(async |answer| drop(answer.unwrap())).await;
        let event = json!({
            "action": "UPDATE", "entity": {"id": "m-1", "name": "Payments", "entityType": "MOCK_API"},
            "principal": {"id": "42", "name": "Ada", "entityType": "USER"},
        });
        let body = parse(event.to_string().as_bytes(), Layout::Json, &RecordedBy::Platform).unwrap().remove(0);
        for organisation in &active {
            self.deployment.api().log.append(organisation, vec![body.clone()], None).await.unwrap();
        }
    }

    async fn receive(&self) -> Vec<Message> {
        let request = self.queue.receive_message().queue_url(&self.queue_url).max_number_of_messages(10);
        request.send().await.unwrap().messages.unwrap_or_default()
    }

    async fn delete(&self, messages: &[Message]) {
        let entries = messages.iter().enumerate().map(|(number, message)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
            entry.set_receipt_handle(message.receipt_handle.clone()).build().unwrap()
        });
        let request = self.queue.delete_message_batch().queue_url(&self.queue_url);
        request.set_entries(Some(entries.collect())).send().await.unwrap();
    }

    async fn function(&self) -> Function {
        let environment = self.deployment.environment(FunctionRole::Shipper);
        Function::start(env!("CARGO_BIN_EXE_shipper-under-test"), environment).await
    }
}

async fn invoke(function: &Function, messages: &[Message]) {
    let records: Vec<Value> = messages
        .iter()
        .map(|message| json!({"messageId": message.message_id, "body": message.body, "eventSource": "aws:sqs"}))
        .collect();
    let answer = function.invoke(&json!({ "Records": records })).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
}

/// The processor time of a function and of this process, which contains the embedded AWS.
#[derive(Clone, Copy)]
struct Used {
    function: Duration,
    aws: Duration,
}

impl Used {
    fn now(function: &Function) -> Self {
        Self { function: function.cpu_time(), aws: cpu_time("self") }
    }

    fn since(self, before: Self) -> Self {
        Self { function: self.function - before.function, aws: self.aws - before.aws }
    }

    fn total(self) -> Duration {
        self.function + self.aws
    }
}

impl std::fmt::Display for Used {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { function, aws } = self;
        write!(f, "{:.1?} of processor time, {function:.1?} of them the function's and {aws:.1?} AWS's", self.total())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let fleet = Fleet::start().await;
    fleet.prepare().await;
    println!("{DESTINATIONS} destinations, {} of them with an event to deliver", DESTINATIONS / ONE_IN);

    let planner = fleet.function().await;
    let (begun, before) = (std::time::Instant::now(), Used::now(&planner));
    planner.invoke(&json!({"task": "plan"})).await.unwrap();
    let (mut orders, mut jobs) = (Vec::new(), 0);
    loop {
        let messages = fleet.receive().await;
        if messages.is_empty() {
            break;
        }
        let (some, other): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|message| message.body().unwrap().contains(r#""job":"#));
        jobs += some.len();
        for (messages, is_job) in [(&some, true), (&other, false)] {
            if !messages.is_empty() {
                if is_job {
                    invoke(&planner, messages).await;
                }
                fleet.delete(messages).await;
            }
        }
        orders.extend(other);
    }
    let planning = Used::now(&planner).since(before);
    let memory = planner.peak_memory_bytes();
    println!(
        "planned {} in {:.1?}, and {jobs} jobs: {planning} (budget {PLANNING:?}); {:.1} MB resident at most (budget {} MB)",
        orders.len(),
        begun.elapsed(),
        memory as f64 / f64::from(1 << 20),
        MEMORY_BYTES >> 20,
    );

    let shipper = fleet.function().await;
    let (begun, before) = (std::time::Instant::now(), Used::now(&shipper));
    for some in orders.chunks(10) {
        invoke(&shipper, some).await;
    }
    let shipping = Used::now(&shipper).since(before);
    println!("shipped them in {:.1?}: {shipping}", begun.elapsed());

    let mut ok = true;
    let mut check = |what: &str, holds: bool| {
        if !holds {
            println!("BROKEN: {what}");
            ok = false;
        }
    };
    // The template's own destination is one more.
    check("each destination with an event is planned once", orders.len() == DESTINATIONS / ONE_IN + 1);
    check("the processor time of planning", planning.total() <= PLANNING);
    check("the planner's memory", memory <= MEMORY_BYTES);
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
