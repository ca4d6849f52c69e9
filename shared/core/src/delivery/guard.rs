//! Finds destinations that are ahead of their logs. For planning they look like idle ones: there is no event to deliver. So
//! a share of all destinations is compared with the ends of their logs at each tick.

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
    /// Returns those destinations of this tick's share whose logs end before events that were delivered. Skips logs that
    /// cannot be read: they fail where they are needed.
    pub(super) async fn ahead_of_log<'a>(
        &self,
        active: &'a [ActiveDestination],
        now: Timestamp,
    ) -> HashSet<&'a DestinationId> {
        let tick = now.as_millis() / 1000 / TICK.as_secs();
        let share: Vec<_> = active.iter().filter(|one| (turn(&one.id) + tick).is_multiple_of(ROUND)).collect();
        let mut ahead = HashSet::new();
        for some in share.chunks(READ_AT_ONCE) {
            let found = futures_util::future::join_all(some.iter().map(|one| self.is_ahead(one))).await;
            ahead.extend(some.iter().zip(found).filter(|(_, found)| matches!(found, Ok(true))).map(|(one, _)| &one.id));
        }
        ahead
    }

    async fn is_ahead(&self, one: &ActiveDestination) -> Result<bool, StoreError> {
        Ok(self.log.tail(&one.organisation).await?.last + 1 < one.next_sequence)
    }
}

/// Returns a number that spreads destinations over the ticks of a round.
fn turn(id: &DestinationId) -> u64 {
    id.as_str().bytes().fold(0, |sum, byte| (sum * 31 + u64::from(byte)) % ROUND)
}
