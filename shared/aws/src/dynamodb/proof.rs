//! Published keys and logs' checkpoints as items of the registry table.
//!
//! | thing | `pk` | `sk` |
//! |---|---|---|
//! | published key | `signing-keys` | its number |
//! | checkpoint of a log | `org#ID` | `logCheckpoint` |

use annals_core::{
    log::store::{Consistency, StoreError},
    organisation::OrganisationId,
    proof::{key::PublishedKey, log_checkpoint::LogCheckpoint, store::ProofStore},
    time::Timestamp,
};
use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    DynamoStore,
    item::{Attributes, Builder, Item, PK, SK},
    store_error,
};

const KEYS: &str = "signing-keys";
/// The time of a checkpoint.
const AT: &str = "signedAt";

fn checkpoint_key(organisation: &OrganisationId) -> Attributes {
    Builder::default().text(PK, format!("org#{organisation}")).text(SK, "logCheckpoint").build()
}

fn read_key(item: &Item) -> Result<PublishedKey, StoreError> {
    Ok(PublishedKey {
        key: item.parsed("verifierKey")?,
        reference: item.text("reference")?.to_owned(),
        since: item.time("since")?,
    })
}

#[async_trait]
impl ProofStore for DynamoStore {
    async fn signing_keys(&self) -> Result<Vec<PublishedKey>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.tables.registry)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(KEYS.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .map_err(store_error)?;
        answer.items.unwrap_or_default().into_iter().map(|item| read_key(&Item(item))).collect()
    }

    async fn publish_signing_key(&self, number: u64, key: &PublishedKey) -> Result<bool, StoreError> {
        let item = Builder::default()
            .text(PK, KEYS)
            .text(SK, format!("{number:06}"))
            .text("verifierKey", &key.key)
            .text("reference", &key.reference)
            .time("since", key.since)
            .build();
        self.put_if(item, "attribute_not_exists(pk)", None).await
    }

    async fn log_checkpoint(&self, organisation: &OrganisationId) -> Result<Option<LogCheckpoint>, StoreError> {
        let item = self.get(checkpoint_key(organisation), Consistency::Strong).await?;
        item.map(|item| Ok(LogCheckpoint { at: item.time(AT)?, note: item.text("note")?.to_owned() })).transpose()
    }

    async fn save_log_checkpoint(
        &self,
        organisation: &OrganisationId,
        before: Option<Timestamp>,
        checkpoint: &LogCheckpoint,
    ) -> Result<bool, StoreError> {
        let mut item = Builder::default().time(AT, checkpoint.at).text("note", &checkpoint.note).build();
        item.extend(checkpoint_key(organisation));
        match before {
            None => self.put_if(item, "attribute_not_exists(pk)", None).await,
            Some(before) => {
                let before = AttributeValue::N(before.as_millis().to_string());
                self.put_if(item, "signedAt = :before", Some((":before", before))).await
            }
        }
    }
}
