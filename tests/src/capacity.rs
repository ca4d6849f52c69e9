//! Request units that DynamoDB reports, counted by an interceptor of the SDK's client. The measured code does not know
//! about it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    config::{
        Builder, ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeSerializationInterceptorContextMut, FinalizerInterceptorContextRef},
    },
    error::BoxError,
    operation::{
        batch_get_item::{BatchGetItemInput, BatchGetItemOutput},
        get_item::{GetItemInput, GetItemOutput},
        put_item::{PutItemError, PutItemInput, PutItemOutput},
        query::{QueryInput, QueryOutput},
        transact_write_items::{TransactWriteItemsError, TransactWriteItemsInput, TransactWriteItemsOutput},
        update_item::{UpdateItemError, UpdateItemInput, UpdateItemOutput},
    },
    types::{AttributeValue, ConsumedCapacity, ReturnConsumedCapacity, TransactWriteItem},
};
use aws_smithy_types::config_bag::{Storable, StoreReplace};

type Attributes = HashMap<String, AttributeValue>;

/// Request units of one table. A write unit is 1 KB written; a read unit is 4 KB read with strong or 8 KB with eventual
/// consistency (Amazon DynamoDB, "Read and write request units"). In transactions each counts twice.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Consumed {
    pub read_units: f64,
    /// Includes those of failed conditions.
    pub write_units: f64,
    /// Write units of failed conditions.
    pub wasted_units: f64,
    pub failed_conditions: u64,
}

/// Counts what a client consumes, by table. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct CapacityMeter(Arc<Mutex<HashMap<String, Consumed>>>);

impl CapacityMeter {
    /// Returns a client whose calls are counted, and the meter.
    #[must_use]
    pub fn client(config: &SdkConfig) -> (Client, Self) {
        let meter = Self::default();
        (Client::from_conf(Builder::from(config).interceptor(meter.clone()).build()), meter)
    }

    /// Returns what was consumed of `table` since the last reset.
    #[must_use]
    pub fn of(&self, table: &str) -> Consumed {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(table).copied().unwrap_or_default()
    }

    pub fn reset(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn add(&self, table: &str, add: impl FnOnce(&mut Consumed)) {
        add(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(table.to_owned()).or_default());
    }

    fn read<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        for consumed in consumed {
            let units = consumed.capacity_units().unwrap_or(0.0);
            self.add(consumed.table_name().unwrap_or_default(), |table| table.read_units += units);
        }
    }

    fn written<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        for consumed in consumed {
            let units = consumed.capacity_units().unwrap_or(0.0);
            self.add(consumed.table_name().unwrap_or_default(), |table| table.write_units += units);
        }
    }

    /// Counts a write whose condition failed. It costs as much as the larger of the stored and the new item, but DynamoDB
    /// does not report it (Amazon DynamoDB, "Read and write operations": conditional writes).
    fn refused(&self, write: &Write, stored: Option<&Attributes>) {
        let item_bytes = write.item_bytes.max(stored.map_or(0, item_bytes));
        let units = write.factor * item_bytes.div_ceil(1024).max(1) as f64;
        self.add(&write.table, |table| {
            table.write_units += units;
            table.wasted_units += units;
            table.failed_conditions += 1;
        });
    }
}

/// A write of a request.
#[derive(Debug)]
struct Write {
    table: String,
    item_bytes: usize,
    /// 2 in a transaction, otherwise 1.
    factor: f64,
}

/// The writes of a request, kept until its answer.
#[derive(Debug)]
struct Writes(Vec<Write>);

impl Storable for Writes {
    type Storer = StoreReplace<Self>;
}

impl Write {
    fn of(table: &str, item: Option<&Attributes>, factor: f64) -> Self {
        Self { table: table.to_owned(), item_bytes: item.map_or(0, item_bytes), factor }
    }

    fn of_action(action: &TransactWriteItem) -> Self {
        let put = action.put().map(|put| (put.table_name(), Some(put.item())));
        let update = action.update().map(|update| (update.table_name(), None));
        let delete = action.delete().map(|delete| (delete.table_name(), None));
        let check = action.condition_check().map(|check| (check.table_name(), None));
        let (table, item) = put.or(update).or(delete).or(check).unwrap_or_default();
        Self::of(table, item, 2.0)
    }
}

impl Intercept for CapacityMeter {
    fn name(&self) -> &'static str {
        "CapacityMeter"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let total = Some(ReturnConsumedCapacity::Total);
        let input = context.input_mut();
        let mut writes = Vec::new();
        if let Some(get) = input.downcast_mut::<GetItemInput>() {
            get.return_consumed_capacity = total;
        } else if let Some(get) = input.downcast_mut::<BatchGetItemInput>() {
            get.return_consumed_capacity = total;
        } else if let Some(query) = input.downcast_mut::<QueryInput>() {
            query.return_consumed_capacity = total;
        } else if let Some(put) = input.downcast_mut::<PutItemInput>() {
            put.return_consumed_capacity = total;
            writes.push(Write::of(put.table_name().unwrap_or_default(), put.item(), 1.0));
        } else if let Some(update) = input.downcast_mut::<UpdateItemInput>() {
            update.return_consumed_capacity = total;
            writes.push(Write::of(update.table_name().unwrap_or_default(), None, 1.0));
        } else if let Some(transaction) = input.downcast_mut::<TransactWriteItemsInput>() {
            transaction.return_consumed_capacity = total;
            writes.extend(transaction.transact_items().iter().map(Write::of_action));
        }
        state.interceptor_state().store_put(Writes(writes));
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let output = match context.output_or_error() {
            Some(Ok(output)) => output,
            Some(Err(error)) => {
                let writes = state.load::<Writes>().map_or(&[][..], |writes| &writes.0);
                let Some(error) = error.as_operation_error() else { return Ok(()) };
                if let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.downcast_ref() {
                    writes.iter().for_each(|write| self.refused(write, failed.item()));
                } else if let Some(UpdateItemError::ConditionalCheckFailedException(failed)) = error.downcast_ref() {
                    writes.iter().for_each(|write| self.refused(write, failed.item()));
                } else if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
                    error.downcast_ref()
                {
                    for (write, reason) in writes.iter().zip(cancelled.cancellation_reasons()) {
                        if reason.code() == Some("ConditionalCheckFailed") {
                            self.refused(write, reason.item());
                        }
                    }
                }
                return Ok(());
            }
            None => return Ok(()),
        };
        if let Some(got) = output.downcast_ref::<GetItemOutput>() {
            self.read(got.consumed_capacity());
        } else if let Some(got) = output.downcast_ref::<BatchGetItemOutput>() {
            self.read(got.consumed_capacity());
        } else if let Some(found) = output.downcast_ref::<QueryOutput>() {
            self.read(found.consumed_capacity());
        } else if let Some(put) = output.downcast_ref::<PutItemOutput>() {
            self.written(put.consumed_capacity());
        } else if let Some(updated) = output.downcast_ref::<UpdateItemOutput>() {
            self.written(updated.consumed_capacity());
        } else if let Some(committed) = output.downcast_ref::<TransactWriteItemsOutput>() {
            self.written(committed.consumed_capacity());
        }
        Ok(())
    }
}

/// Returns an item's size as DynamoDB counts it: names and values (Amazon DynamoDB, "DynamoDB item sizes and formats").
/// Numbers are estimated at their maximum.
fn item_bytes(item: &Attributes) -> usize {
    item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

fn value_bytes(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len().div_ceil(2) + 1,
        AttributeValue::B(blob) => blob.as_ref().len(),
        _ => 1,
    }
}
