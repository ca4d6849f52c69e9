//! The log and the registry on DynamoDB.
//!
//! - [`item`]: names of attributes, building and reading items
//! - [`segment`]: segments and anchors as items; [`log`]: the calls that read and write them
//! - [`server_time`]: the time that DynamoDB tells with an answer
//! - [`proof`]: published keys and logs' checkpoints
//! - [`registry`]: organisations, tokens, destinations, deliveries
//! - [`change`]: changes of the registry as writes of a transaction; [`write`](mod@write): one such write
//! - [`probe`]: checks of the tables
//! - [`warming`]: opening the connection before the first request
//!
//! On AWS `template.yaml` creates the tables; [`create_tables`] creates the same tables in an embedded DynamoDB.

mod change;
mod item;
mod log;
mod platform;
mod probe;
mod proof;
mod registry;
mod segment;
mod server_time;
mod warming;
mod write;

use aws_sdk_dynamodb::{
    Client,
    config::retry::RetryConfig,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
        ScalarAttributeType, TimeToLiveSpecification,
    },
};

pub use warming::warm;

use crate::refusal::{is_made, store_error};

/// The names of the two tables.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Segments and anchors.
    pub log: String,
    /// Everything else.
    pub registry: String,
}

/// The most items of one BatchGetItem (Amazon DynamoDB, "Service quotas").
const BATCH_GET: usize = 100;

/// The log and the registry on DynamoDB.
#[derive(Debug, Clone)]
pub struct DynamoStore {
    client: Client,
    /// Sends each call once. The log has to know whether an append that was refused can have been made by an earlier attempt.
    once: Client,
    tables: Tables,
    /// Whether answers contain DynamoDB's time.
    tells_time: bool,
}

impl DynamoStore {
    #[must_use]
    pub fn new(client: Client, tables: Tables) -> Self {
        let once = Client::from_conf(client.config().to_builder().retry_config(RetryConfig::disabled()).build());
        Self { client, once, tables, tells_time: true }
    }

    /// Returns a store that keeps DynamoDB's time to itself, for users whose clock differs from it on purpose: a clock
    /// that shows the past, to record a history, or one that a simulation moves.
    #[must_use]
    pub fn in_simulated_time(self) -> Self {
        Self { tells_time: false, ..self }
    }
}

/// Creates the tables that do not exist.
///
/// # Errors
/// Returns DynamoDB's error.
pub async fn create_tables(client: &Client, tables: &Tables) -> Result<(), aws_sdk_dynamodb::Error> {
    let key = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    let attribute = |name: &str, kind| AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build();
    let text = ScalarAttributeType::S;
    let existing = client.list_tables().send().await?;
    let exists = |name: &String| existing.table_names().contains(name);
    if !exists(&tables.log) {
        client
            .create_table()
            .table_name(&tables.log)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute(item::ORG, text.clone())?)
            .attribute_definitions(attribute(item::SEQ, ScalarAttributeType::N)?)
            .key_schema(key(item::ORG, KeyType::Hash)?)
            .key_schema(key(item::SEQ, KeyType::Range)?)
            .send()
            .await?;
    }
    if !exists(&tables.registry) {
        let mut projection = Projection::builder().projection_type(ProjectionType::Include);
        for name in item::LISTED {
            projection = projection.non_key_attributes(name);
        }
        let listing = GlobalSecondaryIndex::builder()
            .index_name(item::LISTING)
            .key_schema(key(item::GROUP, KeyType::Hash)?)
            .key_schema(key(item::GROUP_SORT, KeyType::Range)?)
            .projection(projection.build())
            .build()?;
        client
            .create_table()
            .table_name(&tables.registry)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute(item::PK, text.clone())?)
            .attribute_definitions(attribute(item::SK, text.clone())?)
            .attribute_definitions(attribute(item::GROUP, text.clone())?)
            .attribute_definitions(attribute(item::GROUP_SORT, text)?)
            .key_schema(key(item::PK, KeyType::Hash)?)
            .key_schema(key(item::SK, KeyType::Range)?)
            .global_secondary_indexes(listing)
            .send()
            .await?;
    }
    Ok(())
}

/// Enables the deletion of expired items in both tables.
///
/// # Errors
/// Returns DynamoDB's error.
pub async fn enable_time_to_live(client: &Client, tables: &Tables) -> Result<(), aws_sdk_dynamodb::Error> {
    for table in [&tables.log, &tables.registry] {
        let now = client.describe_time_to_live().table_name(table).send().await?;
        if now.time_to_live_description().is_some_and(|ttl| ttl.attribute_name() == Some(item::EXPIRY)) {
            continue;
        }
        let ttl = TimeToLiveSpecification::builder().attribute_name(item::EXPIRY).enabled(true).build()?;
        client.update_time_to_live().table_name(table).time_to_live_specification(ttl).send().await?;
    }
    Ok(())
}
