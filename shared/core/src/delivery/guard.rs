//! Finds destinations that look idle to planning, because no segment begins where they continue, and are not at the ends of
//! their logs: they are ahead of it, stand in a hole that a restore left, or a segment that contains their next event begins
//! before it, or that has expired. A share of all destinations is compared with the ends of their logs at each tick.

use std::{collections::HashSet, time::Duration};

use super::ship::Shipping;
use crate::{destination::DestinationId, log::store::StoreError, registry::ActiveDestination, time::Timestamp};

/// The time between two ticks.
const TICK: Duration = Duration::from_secs(10 * 60);
/// Every destination is compared once in so many ticks: within six hours. At each tick that costs a thirty-sixth of a read
/// unit for a destination.
const ROUND: u64 = 36;
/// The number of logs that are read at once.
const READ_AT_ONCE: usize = 32;

impl Shipping {
    /// Returns those destinations of this tick's share that do not stand at the ends of their logs. Skips logs that cannot be
    /// read: they fail where they are needed.
    pub(super) async fn away_from_the_end<'a>(
        &self,
        active: &'a [ActiveDestination],
        now: Timestamp,
    ) -> HashSet<&'a DestinationId> {
        let tick = now.as_millis() / 1000 / TICK.as_secs();
        let share: Vec<_> = active.iter().filter(|one| (turn(&one.id) + tick).is_multiple_of(ROUND)).collect();
        let mut away = HashSet::new();
        for some in share.chunks(READ_AT_ONCE) {
            let found = futures_util::future::join_all(some.iter().map(|one| self.is_away(one))).await;
            away.extend(some.iter().zip(found).filter(|(_, found)| matches!(found, Ok(true))).map(|(one, _)| &one.id));
        }
        away
    }

    async fn is_away(&self, one: &ActiveDestination) -> Result<bool, StoreError> {
        Ok(self.log.tail(&one.organisation).await?.last + 1 != one.next_sequence)
    }
}

/// Returns a number that spreads destinations over the ticks of a round.
fn turn(id: &DestinationId) -> u64 {
    id.as_str().bytes().fold(0, |sum, byte| (sum * 31 + u64::from(byte)) % ROUND)
}
