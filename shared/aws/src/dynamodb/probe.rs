//! Checks of the two tables, for the health of a deployment. Each makes every kind of call that requests make, on an item
//! of its own, which no organisation can have: an id of an organisation has no `#`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use annals_core::{
    health::Probe,
    log::store::{Source, StoreError},
    time::Clock,
};
use async_trait::async_trait;
use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, KeysAndAttributes},
};

use super::{
    DynamoStore, Tables,
    item::{Attributes, Builder, EXPIRY, GROUP, LISTING, ORG, PK, SEQ, SK},
    store_error,
};

/// The partition key of the items that checks write.
const PARTITION: &str = "#health";
/// How long such an item stays if nothing deletes it.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Log,
    Registry,
    /// The registry's index.
    Listing,
}

#[derive(Debug)]
struct TableProbe {
    part: Part,
    client: Client,
    tables: Tables,
    clock: Arc<dyn Clock>,
}

impl DynamoStore {
    /// Returns the checks of the log, of the registry, and of the registry's index. Together they cost four write units
    /// and five read units.
    #[must_use]
    pub fn probes(&self, clock: &Arc<dyn Clock>) -> Vec<Arc<dyn Probe>> {
        let probe = |part| -> Arc<dyn Probe> {
            let (client, tables, clock) = (self.client.clone(), self.tables.clone(), Arc::clone(clock));
            Arc::new(TableProbe { part, client, tables, clock })
        };
        [Part::Log, Part::Registry, Part::Listing].map(probe).into()
    }
}

#[async_trait]
impl Probe for TableProbe {
    fn name(&self) -> &'static str {
        match self.part {
            Part::Log => "log",
            Part::Registry => "registry",
            Part::Listing => "listing",
        }
    }

    async fn probe(&self) -> Result<(), Source> {
        let result = match self.part {
            Part::Log => self.log().await,
            Part::Registry => self.registry().await,
            Part::Listing => self.listing().await,
        };
        result.map_err(Source::from)
    }
}

impl TableProbe {
    fn expiry(&self) -> u64 {
        self.clock.now().plus(KEPT_FOR).as_secs_ceil()
    }

    /// Writes and reads an item of the log.
    async fn log(&self) -> Result<(), StoreError> {
        let key = Builder::default().text(ORG, PARTITION).number(SEQ, 0);
        let item = Builder::default().text(ORG, PARTITION).number(SEQ, 0).number(EXPIRY, self.expiry()).build();
        let table = &self.tables.log;
        self.client.put_item().table_name(table).set_item(Some(item)).send().await.map_err(store_error)?;
        self.client
            .query()
            .table_name(table)
            .key_condition_expression("org = :org")
            .expression_attribute_values(":org", AttributeValue::S(PARTITION.to_owned()))
            .scan_index_forward(false)
            .limit(1)
            .consistent_read(true)
            .send()
            .await
            .map_err(store_error)?;
        self.client.get_item().table_name(table).set_key(Some(key.build())).send().await.map_err(store_error)?;
        Ok(())
    }

    /// Writes, reads, changes and deletes an item of the registry.
    async fn registry(&self) -> Result<(), StoreError> {
        let key = || -> Attributes { Builder::default().text(PK, PARTITION).text(SK, PARTITION).build() };
        let item = Builder::default().text(PK, PARTITION).text(SK, PARTITION).number(EXPIRY, self.expiry()).build();
        let table = &self.tables.registry;
        self.client.put_item().table_name(table).set_item(Some(item)).send().await.map_err(store_error)?;
        self.client
            .get_item()
            .table_name(table)
            .set_key(Some(key()))
            .consistent_read(true)
            .send()
            .await
            .map_err(store_error)?;
        self.client
            .query()
            .table_name(table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(PARTITION.to_owned()))
            .limit(1)
            .send()
            .await
            .map_err(store_error)?;
        let keys =
            KeysAndAttributes::builder().keys(key()).build().map_err(|error| StoreError::Broken(error.into()))?;
        self.client
            .batch_get_item()
            .set_request_items(Some(HashMap::from([(table.clone(), keys)])))
            .send()
            .await
            .map_err(store_error)?;
        self.client
            .update_item()
            .table_name(table)
            .set_key(Some(key()))
            .update_expression("SET x = :x")
            .expression_attribute_values(":x", AttributeValue::N(self.expiry().to_string()))
            .send()
            .await
            .map_err(store_error)?;
        self.client.delete_item().table_name(table).set_key(Some(key())).send().await.map_err(store_error)?;
        Ok(())
    }

    async fn listing(&self) -> Result<(), StoreError> {
        self.client
            .query()
            .table_name(&self.tables.registry)
            .index_name(LISTING)
            .key_condition_expression("#g = :g")
            .expression_attribute_names("#g", GROUP)
            .expression_attribute_values(":g", AttributeValue::S(PARTITION.to_owned()))
            .limit(1)
            .send()
            .await
            .map_err(store_error)?;
        Ok(())
    }
}
