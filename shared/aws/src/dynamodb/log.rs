//! The log on DynamoDB: the calls that read segments and anchors, and the commits that write them.

use std::{collections::HashMap, ops::RangeInclusive};

use annals_core::{
    log::{
        segment::{AppendId, Segment, Tail},
        store::{
            Commit, CommitError, Consistency, IdempotencyRecord, LogStore, Occupant, Order, Refusal, StoreError,
            TransactItem,
        },
    },
    organisation::OrganisationId,
};
use async_trait::async_trait;
use aws_sdk_dynamodb::{
    operation::{put_item::PutItemError, transact_write_items::TransactWriteItemsError},
    types::{AttributeValue, CancellationReason, ReturnValuesOnConditionCheckFailure},
};

use super::{
    DynamoStore, change,
    item::{Attributes, Builder, EXPIRY, Item, ORG, PK, SEQ, SK},
    segment::{APPEND, LAST, LAST_SEGMENT, anchor_item, read_segment, read_tail, segment_item},
    store_error,
    write::{Condition, ConditionalWrite},
};

fn read_occupant(item: Option<&Attributes>) -> CommitError {
    let Some(item) = item else {
        return StoreError::Broken("a failed condition did not return the stored item".into()).into();
    };
    let item = Item(item.clone());
    match (item.array(APPEND), read_tail(&item)) {
        (Ok(append), Ok(tail)) => CommitError::Occupied(Occupant { append: AppendId(append), tail }),
        (Err(error), _) | (_, Err(error)) => error.into(),
    }
}

fn idempotency_key(organisation: &OrganisationId, key: &[u8; 32]) -> Builder {
    Builder::default().text(PK, format!("org#{organisation}")).text(SK, format!("idempotency#{}", hex::encode(key)))
}

fn idempotency_item(organisation: &OrganisationId, record: &IdempotencyRecord) -> Result<Attributes, StoreError> {
    let spans = serde_json::to_string(&record.spans).map_err(|error| StoreError::Broken(error.into()))?;
    Ok(idempotency_key(organisation, &record.key)
        .bytes("fingerprint", &record.fingerprint)
        .text("spans", spans)
        .number(EXPIRY, record.expires_at)
        .build())
}

fn read_idempotency(item: &Item, key: [u8; 32]) -> Result<IdempotencyRecord, StoreError> {
    Ok(IdempotencyRecord {
        key,
        fingerprint: item.array("fingerprint")?,
        spans: serde_json::from_str(item.text("spans")?).map_err(|error| StoreError::Broken(error.into()))?,
        expires_at: item.number(EXPIRY)?,
    })
}

/// The part of a commit that a write of a transaction belongs to.
enum Purpose<'a> {
    Segment,
    Key(usize, &'a IdempotencyRecord),
    Change(usize, Condition),
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
        let mut purposes = Vec::new();
        for segment in &commit.segments {
            let put = ConditionalWrite::put(segment_item(organisation, segment), "attribute_not_exists(org)");
            actions.push(put.into_action(&self.tables.log)?);
            purposes.push(Purpose::Segment);
        }
        for (index, item) in commit.items.iter().enumerate() {
            match item {
                TransactItem::Key(record) => {
                    let item = idempotency_item(organisation, record)?;
                    let put = ConditionalWrite::put(item, "attribute_not_exists(pk) OR x <= :now")
                        .value(":now", AttributeValue::N(commit.now.to_string()));
                    actions.push(put.into_action(&self.tables.registry)?);
                    purposes.push(Purpose::Key(index, record));
                }
                TransactItem::Change(change) => {
                    for (write, condition) in change::writes(change)? {
                        let table = if write.is_of_log() { &self.tables.log } else { &self.tables.registry };
                        actions.push(write.into_action(table)?);
                        purposes.push(Purpose::Change(index, condition));
                    }
                }
            }
        }
        let result = self.client.transact_write_items().set_transact_items(Some(actions)).send().await;
        let Err(error) = result else { return Ok(()) };
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
            return Err(match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionInProgressException(_)) => CommitError::Busy,
                _ => store_error(error).into(),
            });
        };
        Err(match explain(&purposes, cancelled.cancellation_reasons()) {
            Some(why) => why,
            None => store_error(error).into(),
        })
    }
}

/// Returns why a transaction was cancelled. Checks for an occupied place first, because a place that is occupied by the
/// same append means success.
fn explain(purposes: &[Purpose<'_>], reasons: &[CancellationReason]) -> Option<CommitError> {
    let failed =
        |code: &'static str| purposes.iter().zip(reasons).filter(move |(_, reason)| reason.code() == Some(code));
    if let Some((_, reason)) = failed("ConditionalCheckFailed").find(|(purpose, _)| matches!(purpose, Purpose::Segment))
    {
        return Some(read_occupant(reason.item()));
    }
    if let Some((purpose, reason)) = failed("ConditionalCheckFailed").next() {
        return Some(match purpose {
            Purpose::Segment => read_occupant(reason.item()),
            Purpose::Key(index, record) => {
                let item = Item(reason.item().cloned().unwrap_or_default());
                match read_idempotency(&item, record.key) {
                    Ok(record) => CommitError::Refused(*index, Refusal::KeyInUse(Box::new(record))),
                    Err(error) => error.into(),
                }
            }
            Purpose::Change(index, condition) => {
                CommitError::Refused(*index, Refusal::Conflict(condition.conflict(reason.item().is_some())))
            }
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
            [segment] if commit.items.is_empty() => self.put_segment(organisation, segment).await,
            _ => self.transact(organisation, commit).await,
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
