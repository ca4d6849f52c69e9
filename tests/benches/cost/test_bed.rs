//! The common part of both designs: an embedded cloud whose calls are counted, customers with buckets, a queue, and the
//! usage of each request and invocation.

use std::{pin::pin, sync::Arc, time::Duration};

use annals_aws::{s3::S3ObjectSink, system::SystemClock};
use annals_cloud::{Cloud, CloudOptions, QueueOptions};
use annals_core::{organisation::Organisation, time::Clock as _};
use annals_tests::{clock::VirtualClock, customer::Customer};
use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message};
use aws_smithy_http_client::Builder;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use serde_json::{Value, json};

use crate::{
    company::COMPANY,
    tally::{CountingClient, Item, Tally},
};

/// A gigabyte, as AWS counts.
pub(crate) const GIGABYTE: f64 = 1_073_741_824.0;
/// The bytes that API Gateway counts as one request.
const METERED_BYTES: usize = 512 * 1024;
/// What DynamoDB adds to each item of a table or an index (Amazon DynamoDB, "Estimating storage").
const ITEM_OVERHEAD: usize = 100;
/// How many messages an invocation has at most, in `template.yaml`.
const BATCH: i32 = 10;

/// A design of the product.
#[async_trait]
pub(crate) trait Design {
    fn test_bed(&self) -> &TestBed;
    /// Records events in one request.
    async fn record(&mut self, tenant: usize, events: &[Value], keyed: bool);
    /// A SIEM fetches new events.
    async fn poll(&mut self, tenant: usize);
    /// A user reads the newest 100 events.
    async fn view(&mut self, tenant: usize);
    /// One run of the schedule with all its deliveries.
    async fn tick(&mut self);
    async fn maintain(&mut self);
    /// Counts the storage of all items until they expire.
    async fn keep(&mut self);
}

/// The embedded cloud of one design.
#[derive(Debug)]
pub(crate) struct TestBed {
    pub(crate) cloud: Cloud,
    pub(crate) tally: Arc<Tally>,
    /// The clock, which only [`advance`](Self::advance) moves.
    pub(crate) clock: Arc<VirtualClock>,
    /// The SDK's configuration, with which every call is counted.
    pub(crate) config: SdkConfig,
    pub(crate) database: aws_sdk_dynamodb::Client,
    pub(crate) queue: aws_sdk_sqs::Client,
    /// The ship queue.
    pub(crate) queue_url: String,
    /// Gigabytes of the API function, and of the shipper.
    memory: (f64, f64),
}

impl TestBed {
    pub(crate) async fn start() -> Self {
        let cloud = Cloud::start(CloudOptions::default()).await.unwrap();
        let tally = Tally::new();
        let everything = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
        let key = cloud.iam().create_user(cloud.account(), "functions", everything).unwrap();
        let client = CountingClient {
            inner: Builder::new().build_http(),
            endpoints: cloud.endpoints().clone(),
            tally: Arc::clone(&tally),
        };
        let config = cloud.sdk_config(&key).into_builder().http_client(SharedHttpClient::new(client)).build();
        let queue_url = cloud.create_queue("ship", QueueOptions::default()).unwrap();
        Self {
            tally,
            clock: VirtualClock::new(SystemClock.now()),
            database: aws_sdk_dynamodb::Client::new(&config),
            queue: aws_sdk_sqs::Client::new(&config),
            queue_url,
            config,
            cloud,
            memory: (gigabytes("ApiFunction"), gigabytes("ShipperFunction")),
        }
    }

    /// Lets time pass, for the cloud as well.
    pub(crate) fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
        self.cloud.clock().advance(duration);
    }

    /// Works to the end. Time passes whenever the work waits for it, as planning and maintenance do between pages.
    pub(crate) async fn pass<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            if let Ok(done) = tokio::time::timeout(Duration::from_millis(5), &mut work).await {
                return done;
            }
            if self.clock.sleepers() > 0 {
                self.advance(Duration::from_millis(100));
            }
        }
    }

    /// A customer with a bucket, and a role that requires the external ID of `organisation`.
    pub(crate) fn customer(&self, organisation: &Organisation) -> Customer {
        Customer::create(&self.cloud, Some(&organisation.external_id))
    }

    pub(crate) fn sink(&self) -> S3ObjectSink {
        S3ObjectSink::new(&self.config, self.clock.clone())
    }

    /// A request to the API was answered.
    pub(crate) fn answered(&self, request_bytes: usize, answer_bytes: usize, took: Duration) {
        let metered = request_bytes.max(answer_bytes).div_ceil(METERED_BYTES).max(1);
        self.tally.add(Item::ApiRequest, metered as f64);
        self.invoked(took, self.memory.0);
    }

    pub(crate) fn shipped(&self, took: Duration) {
        self.invoked(took, self.memory.1);
    }

    pub(crate) fn shipper_gigabytes(&self) -> f64 {
        self.memory.1
    }

    /// So much went to a reader.
    pub(crate) fn sent(&self, bytes: usize) {
        self.tally.add(Item::SentGigabyte, bytes as f64 / GIGABYTE);
    }

    fn invoked(&self, took: Duration, gigabytes: f64) {
        self.tally.add(Item::Invocation, 1.0);
        self.tally.add(Item::GigabyteSecond, took.as_secs_f64() * gigabytes);
        self.tally.add(Item::LoggedGigabyte, COMPANY.log_bytes_an_invocation / GIGABYTE);
    }

    /// The messages of an invocation, as Lambda receives them; none, if the queue is empty.
    pub(crate) async fn receive(&self) -> Vec<Message> {
        let request = self.queue.receive_message().queue_url(&self.queue_url).max_number_of_messages(BATCH);
        request.send().await.unwrap().messages.unwrap_or_default()
    }

    /// Deletes what was done, as Lambda does.
    pub(crate) async fn delete(&self, messages: &[Message]) {
        let entries = messages.iter().enumerate().map(|(number, message)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
            entry.set_receipt_handle(message.receipt_handle.clone()).build().unwrap()
        });
        let request = self.queue.delete_message_batch().queue_url(&self.queue_url);
        request.set_entries(Some(entries.collect())).send().await.unwrap();
    }

    /// Counts the bytes of every item of `table` that expires, for as long as it will be there, in the table and so
    /// many whole copies of it.
    pub(crate) async fn keep(&self, table: &str, copies: f64) {
        let now = self.clock.now().as_millis() as f64 / 1000.0;
        let mut pages = self.database.scan().table_name(table).into_paginator().items().send();
        while let Some(item) = pages.next().await {
            let item = item.unwrap();
            let Some(AttributeValue::N(expiry)) = item.get("x") else { continue };
            let seconds = expiry.parse::<f64>().unwrap() - now;
            let bytes: usize = item.iter().map(|(name, value)| name.len() + size(value)).sum();
            let gigabyte_months = (bytes + ITEM_OVERHEAD) as f64 / GIGABYTE * seconds / (30.4375 * 86_400.0);
            self.tally.add(Item::StoredGigabyteMonth, gigabyte_months * (1.0 + copies));
            self.tally.add(Item::RecoverableGigabyteMonth, gigabyte_months);
        }
    }
}

/// The memory that `template.yaml` gives a function, by default.
fn gigabytes(function: &str) -> f64 {
    let template = include_str!("../../../template.yaml");
    let line_after = |name: &str, property: &str| {
        let (_, entry) = template.split_once(&format!("\n  {name}:\n")).unwrap();
        let (_, value) = entry.split_once(&format!(" {property}: ")).unwrap();
        value.lines().next().unwrap()
    };
    let memory = line_after(function, "MemorySize");
    let megabytes = memory.strip_prefix("!Ref ").map_or(memory, |parameter| line_after(parameter, "Default"));
    megabytes.parse::<f64>().unwrap() / 1024.0
}

/// A value's size as DynamoDB counts it (Amazon DynamoDB, "DynamoDB item sizes and formats").
fn size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len().div_ceil(2) + 1,
        AttributeValue::B(blob) => blob.as_ref().len(),
        _ => 1,
    }
}
