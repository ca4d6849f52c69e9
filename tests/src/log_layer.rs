//! Log stores in front of another one. A layer defines the calls that it changes; all others pass through.

use std::{fmt, ops::RangeInclusive};

use annals_core::{
    log::{
        segment::Segment,
        store::{Commit, CommitError, Consistency, Found, Hole, KeyClaim, KeyUse, LogStore, Order, Place, StoreError},
        tail::{Anchor, Newest},
    },
    organisation::OrganisationId,
    usage::LogMonth,
};
use async_trait::async_trait;

#[async_trait]
pub trait LogLayer: fmt::Debug + Send + Sync {
    fn below(&self) -> &dyn LogStore;

    /// Surrounds every call that a layer does not define.
    async fn around<T: Send>(&self, call: impl Future<Output = T> + Send) -> T {
        call.await
    }

    async fn commit(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError> {
        self.around(self.below().commit(organisation, commit)).await
    }

    async fn claim(
        &self,
        organisation: &OrganisationId,
        claim: &KeyClaim,
        now: u64,
    ) -> Result<Option<KeyUse>, StoreError> {
        self.around(self.below().claim(organisation, claim, now)).await
    }

    async fn replace_claim(
        &self,
        organisation: &OrganisationId,
        before: &KeyClaim,
        claim: &KeyClaim,
    ) -> Result<bool, StoreError> {
        self.around(self.below().replace_claim(organisation, before, claim)).await
    }

    async fn range(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError> {
        self.around(self.below().range(organisation, range, order, limit, consistency)).await
    }
}

/// A layer as a log store.
#[derive(Debug)]
pub struct Layered<L>(pub L);

#[async_trait]
impl<L: LogLayer> LogStore for Layered<L> {
    async fn newest(&self, organisation: &OrganisationId) -> Result<Newest, StoreError> {
        self.0.around(self.0.below().newest(organisation)).await
    }

    async fn anchor(&self, organisation: &OrganisationId) -> Result<Option<Anchor>, StoreError> {
        self.0.around(self.0.below().anchor(organisation)).await
    }

    async fn anchors(&self, organisations: &[OrganisationId]) -> Result<Vec<Option<Anchor>>, StoreError> {
        self.0.around(self.0.below().anchors(organisations)).await
    }

    async fn advance_anchor(&self, organisation: &OrganisationId, to: &Anchor) -> Result<bool, StoreError> {
        self.0.around(self.0.below().advance_anchor(organisation, to)).await
    }

    async fn holes(&self, organisation: &OrganisationId) -> Result<Vec<Hole>, StoreError> {
        self.0.around(self.0.below().holes(organisation)).await
    }

    async fn leave_hole(
        &self,
        organisation: &OrganisationId,
        hole: &Hole,
        segment: &Segment,
    ) -> Result<bool, StoreError> {
        self.0.around(self.0.below().leave_hole(organisation, hole, segment)).await
    }

    async fn commit(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError> {
        self.0.commit(organisation, commit).await
    }

    async fn claim(
        &self,
        organisation: &OrganisationId,
        claim: &KeyClaim,
        now: u64,
    ) -> Result<Option<KeyUse>, StoreError> {
        self.0.claim(organisation, claim, now).await
    }

    async fn replace_claim(
        &self,
        organisation: &OrganisationId,
        before: &KeyClaim,
        claim: &KeyClaim,
    ) -> Result<bool, StoreError> {
        self.0.replace_claim(organisation, before, claim).await
    }

    async fn close_month(&self, organisation: &OrganisationId, closed: &LogMonth, last: u64) -> Result<(), StoreError> {
        self.0.around(self.0.below().close_month(organisation, closed, last)).await
    }

    async fn closed_months(&self, organisation: &OrganisationId) -> Result<Vec<LogMonth>, StoreError> {
        self.0.around(self.0.below().closed_months(organisation)).await
    }

    async fn find(&self, places: &[Place]) -> Result<Vec<Found>, StoreError> {
        self.0.around(self.0.below().find(places)).await
    }

    async fn range(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError> {
        self.0.range(organisation, range, order, limit, consistency).await
    }
}
