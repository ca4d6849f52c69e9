//! The daily maintenance of logs and destinations.

use crate::{
    log::store::{Found, Place, StoreError},
    registry::{ACTIVE_SHARDS, ActiveDestination, ActivePage},
};

use super::{
    queue::{QueueMessage, ShipOrder},
    ship::Shipping,
};

/// The number of organisations or destinations that are maintained at once.
const MAINTAINED_AT_ONCE: usize = 32;

impl Shipping {
    /// Makes sure of the end of every organisation's log, and sends an order for every destination whose
    /// waiting events have all expired: planning skips such destinations, because it finds no event to read. Returns
    /// the number of organisations.
    ///
    /// # Errors
    /// Returns an error if the store or the queue fails. A failure of one organisation does not stop the others.
    pub async fn maintain(&self) -> Result<usize, StoreError> {
        let advanced = self.advance_anchors().await;
        self.order_expired().await?;
        advanced
    }

    async fn advance_anchors(&self) -> Result<usize, StoreError> {
        const PAGE: usize = 100;
        let (mut after, mut count, mut failure) = (None, 0, None);
        loop {
            let organisations = self.registry.organisations(after.as_ref(), PAGE).await?;
            let ids: Vec<_> = organisations.iter().map(|organisation| organisation.id.clone()).collect();
            // A log that was checked lately is left alone, so a run that is repeated goes on where the one before it stopped.
            let due = self.log.due_for_maintenance(&ids).await.unwrap_or(ids);
            let due: Vec<_> = organisations.iter().filter(|organisation| due.contains(&organisation.id)).collect();
            for some in due.chunks(MAINTAINED_AT_ONCE) {
                let tasks = some.iter().map(|organisation| self.log.maintain_with_retention(organisation));
                for result in futures_util::future::join_all(tasks).await {
                    failure = result.err().or(failure);
                }
            }
            count += organisations.len();
            match organisations.last() {
                Some(last) if organisations.len() == PAGE => after = Some(last.id.clone()),
                _ => return failure.map_or(Ok(count), Err),
            }
        }
    }

    async fn order_expired(&self) -> Result<(), StoreError> {
        const PAGE: usize = 100;
        for shard in 0..ACTIVE_SHARDS {
            let mut after = None;
            loop {
                let ActivePage { destinations, next } =
                    self.registry.active_destinations(shard, after.as_ref(), PAGE).await?;
                for some in destinations.chunks(MAINTAINED_AT_ONCE) {
                    let orders = futures_util::future::try_join_all(some.iter().map(|one| self.expired(one))).await?;
                    let orders: Vec<QueueMessage> = orders.into_iter().flatten().map(QueueMessage::Ship).collect();
                    self.enqueue(&orders).await.map_err(|not_sent| not_sent.reason)?;
                }
                after = next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Returns an order for a destination whose next event has expired.
    async fn expired(&self, destination: &ActiveDestination) -> Result<Option<ShipOrder>, StoreError> {
        let place = Place { organisation: destination.organisation.clone(), sequence: destination.next_sequence };
        let is_there = self.log.find(std::slice::from_ref(&place)).await? != [Found::Nothing];
        let is_expired = !is_there && self.log.tail(&place.organisation).await?.last >= place.sequence;
        Ok(is_expired.then(|| ShipOrder { pending: true, ..ShipOrder::of(destination, self.clock.now()) }))
    }
}
