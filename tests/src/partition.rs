//! The limits of DynamoDB that concurrent writers of one log meet: the throughput of a partition, and items that a
//! transaction in progress holds. Owns the arithmetic; the in-memory store asks it before each call.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use annals_core::{
    organisation::OrganisationId,
    time::{Clock, Timestamp},
};

/// A partition's limits, and how long a transaction takes.
#[derive(Debug, Clone)]
pub struct PartitionLimits {
    pub clock: Arc<dyn Clock>,
    /// A partition has at most 1,000 write units a second (AWS, "Burst and adaptive capacity").
    pub write_units_per_second: f64,
    /// A partition has at most 3,000 read units a second.
    pub read_units_per_second: f64,
    /// The time from the moment when a transaction holds its items until they are written. Meanwhile other writes of
    /// these items fail with `TransactionConflict`, and reads return the items as they were before.
    pub transaction: Duration,
}

impl PartitionLimits {
    /// The limits that AWS documents.
    #[must_use]
    pub fn of_aws(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            write_units_per_second: 1000.0,
            read_units_per_second: 3000.0,
            transaction: Duration::from_millis(5),
        }
    }
}

/// The table that a partition belongs to. Each organisation has a partition of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    Log,
    Registry,
}

/// The kind of capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Capacity {
    Read,
    Write,
}

/// The state of all partitions.
#[derive(Debug, Clone, Default)]
pub struct Partitions {
    /// The units left of each capacity, and when that was.
    left: HashMap<(Table, OrganisationId, Capacity), (f64, Timestamp)>,
    /// The calls that were throttled.
    pub throttled: u64,
    /// The writes that met a transaction in progress.
    pub conflicts: u64,
    held: HashSet<String>,
}

impl Partitions {
    /// Takes `units` of the capacity that a second provides. A call of more than half of that needs half of it, and later
    /// calls wait until the rest is paid off; AWS does not document this. Returns whether the call may go on; otherwise it
    /// is throttled.
    pub fn spend(
        &mut self,
        limits: &PartitionLimits,
        (table, organisation): (Table, &OrganisationId),
        capacity: Capacity,
        units: f64,
    ) -> bool {
        let most = match capacity {
            Capacity::Read => limits.read_units_per_second,
            Capacity::Write => limits.write_units_per_second,
        };
        let now = limits.clock.now();
        let (left, at) = self.left.entry((table, organisation.clone(), capacity)).or_insert((most, now));
        *left = (*left + now.since(*at).as_secs_f64() * most).min(most);
        *at = now.max(*at);
        let goes_on = *left >= units.min(most / 2.0);
        if goes_on {
            *left -= units;
        } else {
            self.throttled += 1;
        }
        goes_on
    }

    /// Returns whether a transaction in progress holds one of `items`.
    pub fn holds(&mut self, items: &[String]) -> bool {
        let held = items.iter().any(|item| self.held.contains(item));
        self.conflicts += u64::from(held);
        held
    }

    pub fn hold(&mut self, items: &[String]) {
        self.held.extend(items.iter().cloned());
    }

    pub fn release(&mut self, items: &[String]) {
        for item in items {
            self.held.remove(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::VirtualClock;

    #[test]
    fn a_partition_gives_a_seconds_units_at_once_and_then_as_many_as_time_brings() {
        let clock = VirtualClock::new(Timestamp::from_millis(1_800_000_000_000));
        let limits = PartitionLimits::of_aws(clock.clone());
        let (mut partitions, acme, other) = (Partitions::default(), "acme".parse().unwrap(), "other".parse().unwrap());
        let mut spend =
            |organisation, units| partitions.spend(&limits, (Table::Log, organisation), Capacity::Write, units);
        assert!(spend(&acme, 999.0));
        assert!(spend(&acme, 1.0));
        assert!(!spend(&acme, 1.0));
        assert!(spend(&other, 1000.0), "another organisation has its own partition");
        clock.advance(Duration::from_millis(5));
        assert!(!spend(&acme, 6.0));
        assert!(spend(&acme, 5.0));
        clock.advance(Duration::from_secs(1));
        assert!(spend(&acme, 400.0));
        assert!(spend(&acme, 3000.0), "a large call needs half of a second's units");
        clock.advance(Duration::from_secs(2));
        assert!(!spend(&acme, 1.0), "and is paid off");
        assert_eq!(partitions.throttled, 3);
    }
}
