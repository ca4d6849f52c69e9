//! The log on DynamoDB: the calls that read segments and anchors, and the commits that write them.

use std::{collections::HashMap, ops::RangeInclusive};

use annals_core::{
    log::{
        segment::{ClaimId, Segment, Tail},
        store::{Commit, CommitError, Consistency, KeyClaim, KeyUse, LogStore, Order, RecordedKey, StoreError},
    },
    organisation::OrganisationId,
};
use async_trait::async_trait;
use aws_sdk_dynamodb::{
    operation::{put_item::PutItemError, transact_write_items::TransactWriteItemsError},
    primitives::Blob,
    types::{AttributeValue, CancellationReason, ReturnValuesOnConditionCheckFailure},
};

use super::{
    DynamoStore, change,
    item::{Attributes, Builder, EXPIRY, Item, ORG, PK, SEQ, SK},
    segment::{LAST, LAST_SEGMENT, anchor_item, read_header, read_segment, read_tail, segment_item},
    store_error,
    write::{Condition, ConditionalWrite},
};

fn read_occupant(item: Option<&Attributes>) -> CommitError {
    let Some(item) = item else {
        return StoreError::Broken("a failed condition did not return the stored item".into()).into();
    };
    read_header(&Item(item.clone())).map_or_else(CommitError::from, CommitError::Occupied)
}

/// Attributes of the item of an idempotency key.
const FINGERPRINT: &str = "fingerprint";
const CLAIM: &str = "claim";
const FROM: &str = "from";
/// The positions of the events, in items of release 0.1.0.
const SPANS: &str = "spans";

fn claim_item(organisation: &OrganisationId, claim: &KeyClaim) -> Attributes {
    Builder::default()
        .text(PK, format!("org#{organisation}"))
        .text(SK, format!("idempotency#{}", hex::encode(claim.key)))
        .bytes(FINGERPRINT, &claim.fingerprint)
        .bytes(CLAIM, &claim.id.0)
        .number(FROM, claim.from)
        .number(EXPIRY, claim.expires_at)
        .build()
}

fn read_key(item: &Item, key: [u8; 32]) -> Result<KeyUse, StoreError> {
    let fingerprint = item.array(FINGERPRINT)?;
    if item.has(SPANS) {
        let spans = serde_json::from_str(item.text(SPANS)?).map_err(|error| StoreError::Broken(error.into()))?;
        return Ok(KeyUse::Recorded(RecordedKey { fingerprint, spans }));
    }
    let (id, from, expires_at) = (ClaimId(item.array(CLAIM)?), item.number(FROM)?, item.number(EXPIRY)?);
    Ok(KeyUse::Claimed(KeyClaim { key, fingerprint, id, from, expires_at }))
}

impl DynamoStore {
    /// Writes a single segment with a put, at half the price of a transaction.
    async fn put_segment(&self, organisation: &OrganisationId, segment: &Segment) -> Result<(), CommitError> {
        let result = self
            .client
            .put_item()
            .table_name(&self.tables.log)
            .set_item(Some(segment_item(organisation, segment)))
            .condition_expression("attribute_not_exists(org)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = result else { return Ok(()) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => Err(read_occupant(failed.item())),
            Some(PutItemError::TransactionConflictException(_)) => Err(CommitError::Busy),
            _ => Err(store_error(error).into()),
        }
    }

    async fn transact(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError> {
        let mut actions = Vec::new();
        for segment in &commit.segments {
            let put = ConditionalWrite::put(segment_item(organisation, segment), "attribute_not_exists(org)");
            actions.push(put.into_action(&self.tables.log)?);
        }
        let mut conditions = Vec::new();
        let writes = commit.change.as_ref().map(change::writes).transpose()?.unwrap_or_default();
        for (write, condition) in writes {
            let table = if write.is_of_log() { &self.tables.log } else { &self.tables.registry };
            actions.push(write.into_action(table)?);
            conditions.push(condition);
        }
        let result = self.client.transact_write_items().set_transact_items(Some(actions)).send().await;
        let Err(error) = result else { return Ok(()) };
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
            return Err(match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionInProgressException(_)) => CommitError::Busy,
                _ => store_error(error).into(),
            });
        };
        Err(match explain(commit.segments.len(), &conditions, cancelled.cancellation_reasons()) {
            Some(why) => why,
            None => store_error(error).into(),
        })
    }
}

/// Returns why a transaction of `segments` puts, followed by writes with `conditions`, was cancelled. Checks for an occupied
/// place first, because a place that is occupied by the same append means success.
fn explain(segments: usize, conditions: &[Condition], reasons: &[CancellationReason]) -> Option<CommitError> {
    let failed = |code: &'static str| reasons.iter().enumerate().filter(move |(_, reason)| reason.code() == Some(code));
    if let Some((index, reason)) = failed("ConditionalCheckFailed").next() {
        return Some(match index.checked_sub(segments) {
            None => read_occupant(reason.item()),
            Some(index) => CommitError::Refused(conditions.get(index)?.conflict(reason.item().is_some())),
        });
    }
    if failed("TransactionConflict").next().is_some() {
        return Some(CommitError::Busy);
    }
    if failed("ThrottlingError").chain(failed("ProvisionedThroughputExceeded")).next().is_some() {
        return Some(StoreError::Throttled("a transaction was throttled".into()).into());
    }
    None
}

#[async_trait]
impl LogStore for DynamoStore {
    async fn newest(&self, organisation: &OrganisationId) -> Result<Option<Tail>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.tables.log)
            .key_condition_expression("org = :org")
            .expression_attribute_values(":org", AttributeValue::S(organisation.to_string()))
            .projection_expression("seq, n, t, h, #last, #segment")
            .expression_attribute_names("#last", LAST)
            .expression_attribute_names("#segment", LAST_SEGMENT)
            .scan_index_forward(false)
            .limit(1)
            .consistent_read(true)
            .send()
            .await
            .map_err(store_error)?;
        answer.items.unwrap_or_default().into_iter().next().map(|item| read_tail(&Item(item))).transpose()
    }

    async fn anchor(&self, organisation: &OrganisationId) -> Result<Option<Tail>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.tables.log)
            .key(ORG, AttributeValue::S(organisation.to_string()))
            .key(SEQ, AttributeValue::N("0".to_owned()))
            .consistent_read(true)
            .send()
            .await
            .map_err(store_error)?;
        answer.item.map(|item| read_tail(&Item(item))).transpose()
    }

    async fn advance_anchor(&self, organisation: &OrganisationId, to: &Tail) -> Result<bool, StoreError> {
        let result = self
            .client
            .put_item()
            .table_name(&self.tables.log)
            .set_item(Some(anchor_item(organisation, to)))
            .condition_expression("attribute_not_exists(org) OR #last < :last")
            .expression_attribute_names("#last", LAST)
            .expression_attribute_values(":last", AttributeValue::N(to.last.to_string()))
            .send()
            .await;
        match result {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
                Ok(false)
            }
            Err(error) => Err(store_error(error)),
        }
    }

    async fn commit(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError> {
        match commit.segments.as_slice() {
            [segment] if commit.change.is_none() => self.put_segment(organisation, segment).await,
            _ => self.transact(organisation, commit).await,
        }
    }

    async fn claim(
        &self,
        organisation: &OrganisationId,
        claim: &KeyClaim,
        now: u64,
    ) -> Result<Option<KeyUse>, StoreError> {
        let result = self
            .client
            .put_item()
            .table_name(&self.tables.registry)
            .set_item(Some(claim_item(organisation, claim)))
            .condition_expression("attribute_not_exists(pk) OR x <= :now")
            .expression_attribute_values(":now", AttributeValue::N(now.to_string()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = result else { return Ok(None) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => match failed.item() {
                Some(item) => read_key(&Item(item.clone()), claim.key).map(Some),
                None => Err(StoreError::Broken("a failed condition did not return the stored item".into())),
            },
            // An instance of release 0.1.0 uses the key in a transaction.
            Some(PutItemError::TransactionConflictException(_)) => Err(StoreError::Throttled(error.into())),
            _ => Err(store_error(error)),
        }
    }

    async fn replace_claim(
        &self,
        organisation: &OrganisationId,
        before: &KeyClaim,
        claim: &KeyClaim,
    ) -> Result<bool, StoreError> {
        let result = self
            .client
            .put_item()
            .table_name(&self.tables.registry)
            .set_item(Some(claim_item(organisation, claim)))
            .condition_expression("#claim = :claim AND #from = :from AND x = :expiry")
            .expression_attribute_names("#claim", CLAIM)
            .expression_attribute_names("#from", FROM)
            .expression_attribute_values(":claim", AttributeValue::B(Blob::new(before.id.0)))
            .expression_attribute_values(":from", AttributeValue::N(before.from.to_string()))
            .expression_attribute_values(":expiry", AttributeValue::N(before.expires_at.to_string()))
            .send()
            .await;
        match result {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
                Ok(false)
            }
            Err(error) => Err(store_error(error)),
        }
    }

    async fn range(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError> {
        // The item at 0 is the anchor.
        let (first, last) = ((*range.start()).max(1), *range.end());
        if first > last {
            return Ok(Vec::new());
        }
        let values = HashMap::from([
            (":org".to_owned(), AttributeValue::S(organisation.to_string())),
            (":first".to_owned(), AttributeValue::N(first.to_string())),
            (":last".to_owned(), AttributeValue::N(last.to_string())),
        ]);
        let answer = self
            .client
            .query()
            .table_name(&self.tables.log)
            .key_condition_expression("org = :org AND seq BETWEEN :first AND :last")
            .set_expression_attribute_values(Some(values))
            .scan_index_forward(order == Order::Ascending)
            .set_limit(limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)))
            .consistent_read(consistency == Consistency::Strong)
            .send()
            .await
            .map_err(store_error)?;
        answer.items.unwrap_or_default().into_iter().map(|item| read_segment(&Item(item))).collect()
    }
}
