//! What calls consumed, in DynamoDB's request units, as it reports them itself.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use aws_sdk_dynamodb::types::{AttributeValue, ConsumedCapacity};

/// Request units of one table. A write unit is 1 KB written, a read unit 4 KB read consistently, or 8 KB eventually
/// (Amazon DynamoDB, "Read and write request units"); in transactions each counts twice.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Consumed {
    /// Read units.
    pub read_units: f64,
    /// Write units, those of failed conditions included.
    pub write_units: f64,
    /// Write units of failed conditions alone.
    pub wasted_units: f64,
    /// Conditions that failed.
    pub failed_conditions: u64,
}

/// Counts what a store consumes, by table.
#[derive(Debug, Default)]
pub struct CapacityMeter(Mutex<HashMap<String, Consumed>>);

impl CapacityMeter {
    /// What was consumed of `table` so far.
    #[must_use]
    pub fn of(&self, table: &str) -> Consumed {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(table).copied().unwrap_or_default()
    }

    /// Begins anew.
    pub fn reset(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn add(&self, table: &str, add: impl FnOnce(&mut Consumed)) {
        add(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(table.to_owned()).or_default());
    }

    pub(super) fn read<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        for consumed in consumed {
            let units = consumed.capacity_units().unwrap_or(0.0);
            self.add(consumed.table_name().unwrap_or_default(), |table| table.read_units += units);
        }
    }

    pub(super) fn written<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        for consumed in consumed {
            let units = consumed.capacity_units().unwrap_or(0.0);
            self.add(consumed.table_name().unwrap_or_default(), |table| table.write_units += units);
        }
    }

    /// A write whose condition failed is paid by the larger of the item that was and the one that should have been, but
    /// not reported (Amazon DynamoDB, "Read and write operations": conditional writes).
    pub(super) fn refused(&self, table: &str, item_bytes: usize, factor: f64) {
        #[expect(clippy::cast_precision_loss, reason = "an item has at most 400 KB")]
        let units = factor * item_bytes.div_ceil(1024).max(1) as f64;
        self.add(table, |table| {
            table.write_units += units;
            table.wasted_units += units;
            table.failed_conditions += 1;
        });
    }
}

/// An item's size as DynamoDB counts it: names and values (Amazon DynamoDB, "DynamoDB item sizes and formats"). Numbers
/// are estimated at their most.
pub(super) fn item_bytes(item: &HashMap<String, AttributeValue>) -> usize {
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
