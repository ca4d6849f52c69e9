//! The same product in a common design: a PutItem for each event, a time index, a Query for each page. It has only what
//! costs money: no stable order, no chain, no idempotency, and no record of reads.

use annals_aws::{s3::S3ObjectSink, system::SystemEntropy};
use annals_core::{
    destination::{
        Destination,
        sink::{Existing, Object, ObjectSink as _, Target},
    },
    entropy::{BASE36, characters},
    time::Clock as _,
};
use annals_tests::sample;
use async_trait::async_trait;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, ConsumedCapacity, GlobalSecondaryIndex, KeySchemaElement,
    KeyType, Projection, ProjectionType, ReturnConsumedCapacity, ScalarAttributeType,
};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use serde_json::{Value, json};

use crate::{
    company::{COMPANY, Tenant},
    tally::Item,
    test_bed::{Design, TestBed},
};

const EVENTS: &str = "events";
const BY_TIME: &str = "by-time";
const TOKENS: &str = "tokens";
const DESTINATIONS: &str = "destinations";
/// Events a page.
const PAGE: i32 = 1000;

pub(crate) struct Naive {
    test_bed: TestBed,
    sink: S3ObjectSink,
    tenants: Vec<Customer>,
}

struct Customer {
    name: String,
    /// The time of the last event that its SIEM has.
    polled: u64,
    /// The objects' target, and the time of the last event that is there.
    delivery: Option<(Target, u64)>,
}

struct Found {
    bodies: Vec<String>,
    latest: u64,
}

impl Naive {
    /// A deployment with these customers.
    pub(crate) async fn start(tenants: &[Tenant]) -> Self {
        let test_bed = TestBed::start().await;
        create_tables(&test_bed.database).await;
        let sink = test_bed.sink();
        let mut naive = Self { test_bed, sink, tenants: Vec::new() };
        let now = naive.test_bed.clock.now().as_millis();
        for (number, tenant) in tenants.iter().enumerate() {
            let name = format!("organisation-{number}");
            naive
                .put(TOKENS, vec![("id", text(&name)), ("hash", text(&"0".repeat(64))), ("role", text("auditor"))])
                .await;
            let delivery = match tenant.delivers {
                true => Some((naive.destination(&name).await, now)),
                false => None,
            };
            naive.tenants.push(Customer { name, polled: now, delivery });
        }
        naive.tick().await;
        naive
    }

    async fn destination(&self, name: &str) -> Target {
        let organisation = sample::organisation(name);
        let customer = self.test_bed.customer(&organisation);
        let destination = Destination {
            bucket: customer.bucket.parse().unwrap(),
            role_arn: customer.role_arn.parse().unwrap(),
            ..sample::destination(&organisation, "1")
        };
        let item = vec![
            ("id", text(name)),
            ("bucket", text(&customer.bucket)),
            ("roleArn", text(&customer.role_arn)),
            ("delivered", number(0)),
        ];
        self.put(DESTINATIONS, item).await;
        Target::of(&organisation, &destination)
    }

    fn wrote(&self, consumed: Option<&ConsumedCapacity>) {
        self.test_bed.tally.add(Item::WriteUnit, consumed.and_then(ConsumedCapacity::capacity_units).unwrap());
    }

    fn read(&self, consumed: Option<&ConsumedCapacity>) {
        self.test_bed.tally.add(Item::ReadUnit, consumed.and_then(ConsumedCapacity::capacity_units).unwrap());
    }

    async fn put(&self, table: &str, item: Vec<(&str, AttributeValue)>) {
        let item = item.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let request = self.test_bed.database.put_item().table_name(table).set_item(Some(item));
        let answer = request.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.unwrap();
        self.wrote(answer.consumed_capacity());
    }

    async fn get(&self, table: &str, id: &str) {
        let request = self.test_bed.database.get_item().table_name(table).key("id", text(id));
        let answer = request.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.unwrap();
        assert!(answer.item.is_some(), "{table} has no {id}");
        self.read(answer.consumed_capacity());
    }

    /// One page of the time index: what is later than `after`.
    async fn query(&self, name: &str, after: u64, ascending: bool, limit: i32) -> Found {
        let answer = self
            .test_bed
            .database
            .query()
            .table_name(EVENTS)
            .index_name(BY_TIME)
            .key_condition_expression("org = :org AND #at > :after")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":org", text(name))
            .expression_attribute_values(":after", number(after))
            .scan_index_forward(ascending)
            .limit(limit)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .unwrap();
        self.read(answer.consumed_capacity());
        let time = |item: &std::collections::HashMap<String, AttributeValue>| item["at"].as_n().unwrap().parse::<u64>();
        let items = answer.items();
        Found {
            latest: items.last().map_or(after, |item| time(item).unwrap()),
            bodies: items.iter().map(|item| item["body"].as_s().unwrap().clone()).collect(),
        }
    }

    async fn ship(&mut self, tenant: usize) {
        let name = self.tenants[tenant].name.clone();
        let (target, mut after) = self.tenants[tenant].delivery.clone().unwrap();
        self.get(DESTINATIONS, &name).await;
        let mut content = String::new();
        loop {
            let found = self.query(&name, after, true, PAGE).await;
            for body in &found.bodies {
                content.push_str(body);
                content.push('\n');
            }
            after = found.latest;
            if found.bodies.len() < PAGE as usize {
                break;
            }
        }
        if content.is_empty() {
            return;
        }
        let object = Object {
            key: format!("{}{after}.json", target.prefix.as_str()),
            content_type: "application/x-ndjson",
            content: content.into(),
            existing: Existing::Replace,
        };
        self.sink.put(&target, object).await.unwrap();
        let request = self.test_bed.database.update_item().table_name(DESTINATIONS).key("id", text(&name));
        let request =
            request.update_expression("SET delivered = :at").expression_attribute_values(":at", number(after));
        let answer = request.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.unwrap();
        self.wrote(answer.consumed_capacity());
        self.tenants[tenant].delivery = Some((target, after));
    }
}

#[async_trait]
impl Design for Naive {
    fn test_bed(&self) -> &TestBed {
        &self.test_bed
    }

    async fn record(&mut self, tenant: usize, events: &[Value], _: bool) {
        let name = &self.tenants[tenant].name;
        self.get(TOKENS, name).await;
        let now = self.test_bed.clock.now();
        let expiry = now.as_millis() / 1000 + u64::from(COMPANY.retention_days) * 86_400;
        let (mut bytes, mut answered) = (0, 0);
        for event in events {
            let id = characters(&SystemEntropy, BASE36, 25);
            let mut body = json!({"eventId": id, "timestamp": now.to_string(), "organisation": {"id": name}});
            body.as_object_mut().unwrap().extend(event.as_object().unwrap().clone());
            let item = vec![
                ("id", text(&id)),
                ("org", text(name)),
                ("at", number(now.as_millis())),
                ("x", number(expiry)),
                ("body", text(&body.to_string())),
            ];
            self.put(EVENTS, item).await;
            bytes += event.to_string().len();
            answered += id.len();
        }
        self.test_bed.answered(bytes, answered, COMPANY.durations.record);
    }

    async fn poll(&mut self, tenant: usize) {
        loop {
            self.get(TOKENS, &self.tenants[tenant].name).await;
            let found = self.query(&self.tenants[tenant].name, self.tenants[tenant].polled, true, PAGE).await;
            self.tenants[tenant].polled = found.latest;
            let bytes = found.bodies.iter().map(|body| body.len() + 1).sum();
            self.test_bed.answered(0, bytes, COMPANY.durations.read);
            self.test_bed.sent(bytes);
            if found.bodies.len() < PAGE as usize {
                return;
            }
        }
    }

    async fn view(&mut self, tenant: usize) {
        self.get(TOKENS, &self.tenants[tenant].name).await;
        let found = self.query(&self.tenants[tenant].name, 0, false, 100).await;
        let bytes = found.bodies.iter().map(|body| body.len() + 1).sum();
        self.test_bed.answered(0, bytes, COMPANY.durations.read);
        self.test_bed.sent(bytes);
    }

    async fn tick(&mut self) {
        let request = self.test_bed.database.scan().table_name(DESTINATIONS);
        let answer = request.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.unwrap();
        self.read(answer.consumed_capacity());
        let names: Vec<&String> = answer.items().iter().map(|item| item["id"].as_s().unwrap()).collect();
        for batch in names.chunks(10) {
            let entries = batch.iter().enumerate().map(|(number, name)| {
                let entry = SendMessageBatchRequestEntry::builder().id(number.to_string());
                entry.message_body(name.as_str()).build().unwrap()
            });
            let request = self.test_bed.queue.send_message_batch().queue_url(&self.test_bed.queue_url);
            request.set_entries(Some(entries.collect())).send().await.unwrap();
        }
        self.test_bed.shipped(COMPANY.durations.plan);
        loop {
            let messages = self.test_bed.receive().await;
            if messages.is_empty() {
                return;
            }
            for message in &messages {
                let tenant = self.tenants.iter().position(|tenant| message.body() == Some(&tenant.name));
                self.ship(tenant.unwrap()).await;
            }
            self.test_bed.shipped(COMPANY.durations.ship);
            self.test_bed.delete(&messages).await;
        }
    }

    async fn maintain(&mut self) {}

    async fn keep(&mut self) {
        self.test_bed.keep(EVENTS, 1.0).await;
    }
}

async fn create_tables(database: &aws_sdk_dynamodb::Client) {
    let key = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let attribute =
        |name: &str, kind| AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap();
    let by_time = GlobalSecondaryIndex::builder()
        .index_name(BY_TIME)
        .key_schema(key("org", KeyType::Hash))
        .key_schema(key("at", KeyType::Range))
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .build()
        .unwrap();
    for table in [EVENTS, TOKENS, DESTINATIONS] {
        let mut request = database
            .create_table()
            .table_name(table)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute("id", ScalarAttributeType::S))
            .key_schema(key("id", KeyType::Hash));
        if table == EVENTS {
            request = request
                .attribute_definitions(attribute("org", ScalarAttributeType::S))
                .attribute_definitions(attribute("at", ScalarAttributeType::N))
                .global_secondary_indexes(by_time.clone());
        }
        request.send().await.unwrap();
    }
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
