//! The log on DynamoDB: the calls that read segments and anchors, and the commits that write them.

use std::{collections::HashMap, ops::RangeInclusive, time::Duration};

use annals_core::{
    log::{
        segment::{ClaimId, Segment},
        store::{
            Commit, CommitError, Consistency, Found, Hole, KeyClaim, KeyUse, LogStore, Order, Place, RecordedKey,
            StoreError,
        },
        tail::{Anchor, Newest},
    },
    organisation::OrganisationId,
    usage::LogMonth,
};
use async_trait::async_trait;
use aws_sdk_dynamodb::{
    operation::{put_item::PutItemError, transact_write_items::TransactWriteItemsError},
    primitives::Blob,
    types::{AttributeValue, CancellationReason, KeysAndAttributes, ReturnValuesOnConditionCheckFailure},
};

use super::{
    BATCH_GET, DynamoStore, change,
    item::{Attributes, Builder, EXPIRY, Item, ORG, PK, SEQ, SK},
    segment::{
        CHECKED, HOLES, LAST, LAST_SEGMENT, anchor_item, anchor_key, barrier_item, closed_item, closed_seqs,
        holes_item, holes_key, is_segment, read_anchor, read_closed, read_end, read_header, read_holes,
        read_recorded_at, read_segment, segment_item,
    },
    server_time::ServerTime,
    store_error,
    write::{Condition, ConditionalWrite},
};

/// A stored time that is later than the present by more than this came from a wrong clock.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(24 * 60 * 60);

fn read_occupant(item: Option<&Attributes>) -> CommitError {
    let Some(item) = item else {
        return StoreError::Broken("a failed condition did not return the stored item".into()).into();
    };
    read_header(&Item(item.clone())).map_or_else(CommitError::from, |header| CommitError::Occupied(Box::new(header)))
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
            .once
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
        let result = self.once.transact_write_items().set_transact_items(Some(actions)).send().await;
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
    async fn newest(&self, organisation: &OrganisationId) -> Result<Newest, StoreError> {
        let server_time = ServerTime::default();
        let mut start = None;
        loop {
            let query = self
                .client
                .query()
                .table_name(&self.tables.log)
                .key_condition_expression("org = :org")
                .expression_attribute_values(":org", AttributeValue::S(organisation.to_string()))
                .projection_expression("seq, n, t, h, r, u, #last, #segment, #checked")
                .expression_attribute_names("#last", LAST)
                .expression_attribute_names("#segment", LAST_SEGMENT)
                .expression_attribute_names("#checked", CHECKED)
                .scan_index_forward(false)
                .limit(1)
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .customize()
                .interceptor(server_time.clone());
            let answer = query.send().await.map_err(store_error)?;
            let item = answer.items.unwrap_or_default().into_iter().next();
            start = answer.last_evaluated_key.filter(|_| item.is_none());
            if start.is_none() {
                let end = item.map(|item| read_end(&Item(item))).transpose()?;
                return Ok(Newest { end, answered_at: server_time.get().filter(|_| self.tells_time) });
            }
            // An empty page is not the end while it names a key to continue after (Amazon DynamoDB, "Paginating table
            // query results").
        }
    }

    async fn anchor(&self, organisation: &OrganisationId) -> Result<Option<Anchor>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.tables.log)
            .set_key(Some(anchor_key(organisation)))
            .consistent_read(true)
            .send()
            .await
            .map_err(store_error)?;
        answer.item.map(|item| read_anchor(&Item(item))).transpose()
    }

    async fn anchors(&self, organisations: &[OrganisationId]) -> Result<Vec<Option<Anchor>>, StoreError> {
        let mut found = HashMap::new();
        let mut wanted: Vec<Attributes> = organisations.iter().map(anchor_key).collect();
        while !wanted.is_empty() {
            let rest = wanted.split_off(wanted.len().min(BATCH_GET));
            let keys = KeysAndAttributes::builder().set_keys(Some(wanted)).build();
            let answer = self
                .client
                .batch_get_item()
                .request_items(&self.tables.log, keys.map_err(|error| StoreError::Broken(error.into()))?)
                .send()
                .await
                .map_err(store_error)?;
            let items = answer.responses.into_iter().flatten().flat_map(|(_, items)| items);
            let before = found.len();
            for item in items.map(Item) {
                found.insert(item.text(ORG)?.to_owned(), read_anchor(&item)?);
            }
            let left: Vec<Attributes> =
                answer.unprocessed_keys.into_iter().flatten().flat_map(|(_, keys)| keys.keys).collect();
            // DynamoDB leaves keys out when it throttles some of them. If it throttles all, it returns an error.
            if !left.is_empty() && found.len() == before {
                return Err(StoreError::Throttled("no key of a batch was read".into()));
            }
            wanted = rest;
            wanted.extend(left);
        }
        Ok(organisations.iter().map(|organisation| found.get(organisation.as_str()).copied()).collect())
    }

    async fn advance_anchor(&self, organisation: &OrganisationId, to: &Anchor) -> Result<bool, StoreError> {
        const IS_LATER: &str = "attribute_not_exists(org) OR #last < :last";
        const IS_CHECKED_LATER: &str =
            "#last = :last AND (attribute_not_exists(#checked) OR #checked < :checked OR #checked > :wrong)";
        let number = |number: u64| AttributeValue::N(number.to_string());
        let mut put = self
            .client
            .put_item()
            .table_name(&self.tables.log)
            .set_item(Some(anchor_item(organisation, to)))
            .expression_attribute_names("#last", LAST)
            .expression_attribute_values(":last", number(to.tail.last));
        put = match to.checked {
            Some(checked) => put
                .condition_expression(format!("{IS_LATER} OR ({IS_CHECKED_LATER})"))
                .expression_attribute_names("#checked", CHECKED)
                .expression_attribute_values(":checked", number(checked.as_millis()))
                .expression_attribute_values(":wrong", number(checked.plus(CLOCKS_DIFFER_BY).as_millis())),
            None => put.condition_expression(IS_LATER),
        };
        let result = put.send().await;
        match result {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
                Ok(false)
            }
            Err(error) => Err(store_error(error)),
        }
    }

    async fn holes(&self, organisation: &OrganisationId) -> Result<Vec<Hole>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.tables.log)
            .set_key(Some(holes_key(organisation)))
            .consistent_read(true)
            .send()
            .await
            .map_err(store_error)?;
        answer.item.map_or(Ok(Vec::new()), |item| read_holes(&Item(item)))
    }

    async fn leave_hole(
        &self,
        organisation: &OrganisationId,
        hole: &Hole,
        segment: &Segment,
    ) -> Result<bool, StoreError> {
        let mut holes = self.holes(organisation).await?;
        if holes.iter().any(|there| there.restore == hole.restore) {
            return Ok(false);
        }
        let before = holes.len();
        holes.push(hole.clone());
        let same = if before == 0 { "attribute_not_exists(org)" } else { "size(#holes) = :before" };
        let mut named = ConditionalWrite::put(holes_item(organisation, &holes), same);
        if before > 0 {
            named = named.alias("#holes", HOLES).number(":before", before as u64);
        }
        let free = "attribute_not_exists(org)";
        let writes = [
            ConditionalWrite::put(segment_item(organisation, segment), free),
            ConditionalWrite::put(barrier_item(organisation, hole, segment), free),
            named,
        ];
        let actions = writes.into_iter().map(|write| write.into_action(&self.tables.log)).collect::<Result<_, _>>()?;
        let result = self.client.transact_write_items().set_transact_items(Some(actions)).send().await;
        let Err(error) = result else { return Ok(true) };
        let is_lost = |reason: &CancellationReason| {
            matches!(reason.code(), Some("ConditionalCheckFailed" | "TransactionConflict"))
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled))
                if cancelled.cancellation_reasons().iter().any(is_lost) =>
            {
                Ok(false)
            }
            Some(TransactWriteItemsError::TransactionInProgressException(_)) => Ok(false),
            _ => Err(store_error(error)),
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

    async fn close_month(&self, organisation: &OrganisationId, closed: &LogMonth, last: u64) -> Result<(), StoreError> {
        let result = self
            .client
            .put_item()
            .table_name(&self.tables.log)
            .set_item(Some(closed_item(organisation, closed, last)))
            .condition_expression("attribute_not_exists(org) OR #last <= :last")
            .expression_attribute_names("#last", LAST)
            .expression_attribute_values(":last", AttributeValue::N(last.to_string()))
            .send()
            .await;
        match result {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
                Ok(())
            }
            Err(error) => Err(store_error(error)),
        }
    }

    async fn closed_months(&self, organisation: &OrganisationId) -> Result<Vec<LogMonth>, StoreError> {
        let (first, last) = closed_seqs();
        let mut closed = Vec::new();
        let mut start = None;
        loop {
            let answer = self
                .client
                .query()
                .table_name(&self.tables.log)
                .key_condition_expression("org = :org AND seq BETWEEN :first AND :last")
                .expression_attribute_values(":org", AttributeValue::S(organisation.to_string()))
                .expression_attribute_values(":first", first.clone())
                .expression_attribute_values(":last", last.clone())
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(store_error)?;
            for item in answer.items.unwrap_or_default() {
                closed.push(read_closed(&Item(item))?);
            }
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok(closed);
            }
        }
    }

    async fn find(&self, places: &[Place]) -> Result<Vec<Found>, StoreError> {
        // Destinations of one organisation can wait for the same event, and DynamoDB accepts each key only once.
        let mut found: HashMap<&Place, Found> = places.iter().map(|place| (place, Found::Nothing)).collect();
        let keys = found.keys().map(|place| {
            let organisation = AttributeValue::S(place.organisation.to_string());
            let sequence = AttributeValue::N(place.sequence.to_string());
            HashMap::from([(ORG.to_owned(), organisation), (SEQ.to_owned(), sequence)])
        });
        let keys: Vec<Attributes> = keys.collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .projection_expression("org, seq, t")
            .consistent_read(false)
            .build()
            .map_err(|error| StoreError::Broken(error.into()))?;
        let answer =
            self.client.batch_get_item().request_items(&self.tables.log, keys).send().await.map_err(store_error)?;
        let place =
            |item: &Item| Ok::<_, StoreError>(Place { organisation: item.parsed(ORG)?, sequence: item.number(SEQ)? });
        for item in answer.responses.into_iter().flatten().flat_map(|(_, items)| items).map(Item) {
            if let Some(there) = found.get_mut(&place(&item)?) {
                // A damaged segment must not keep the others from being found.
                *there = read_recorded_at(&item).map_or(Found::Unknown, Found::Segment);
            }
        }
        for key in answer.unprocessed_keys.into_iter().flatten().flat_map(|(_, keys)| keys.keys).map(Item) {
            if let Some(there) = found.get_mut(&place(&key)?) {
                *there = Found::Unknown;
            }
        }
        Ok(places.iter().map(|place| found[place]).collect())
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
        let mut start = None;
        loop {
            let answer = self
                .client
                .query()
                .table_name(&self.tables.log)
                .key_condition_expression("org = :org AND seq BETWEEN :first AND :last")
                .set_expression_attribute_values(Some(values.clone()))
                .scan_index_forward(order == Order::Ascending)
                .set_limit(limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)))
                .consistent_read(consistency == Consistency::Strong)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(store_error)?;
            // Between segments, there may be what takes the first place of a hole.
            let items: Vec<Item> = answer.items.unwrap_or_default().into_iter().map(Item).filter(is_segment).collect();
            start = answer.last_evaluated_key.filter(|_| items.is_empty());
            if start.is_none() {
                return items.iter().map(read_segment).collect();
            }
        }
    }
}
