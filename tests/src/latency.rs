//! A store with latency: half of it passes before the call is done, half before the answer arrives. Calls therefore
//! overlap as over a network.

use std::{
    fmt,
    future::Future,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use annals_core::{
    destination::{ClaimKey, Claims, Delivery, Destination, DestinationId, connection_test::ConnectionTestReport},
    limited::Limited,
    log::{
        segment::Segment,
        store::{Commit, CommitError, Consistency, Found, Hole, KeyClaim, KeyUse, LogStore, Order, Place, StoreError},
        tail::{Anchor, Newest},
    },
    organisation::{Organisation, OrganisationId},
    platform::PlatformTokens,
    portal::{PortalLink, Session},
    proof::{key::PublishedKey, log_checkpoint::LogCheckpoint, store::ProofStore},
    registry::{ActivePage, ActivePosition, MaintenanceProgress, MaintenanceStep, PlanPass, Registry, RestoredTables},
    time::{Clock, Timestamp},
    token::{Token, TokenHash, TokenId},
    usage::{DeliveredMonths, LogMonth},
};
use async_trait::async_trait;

use crate::{entropy::SeededEntropy, faulty::Store};

#[derive(Debug)]
pub struct LatencyStore<S> {
    store: Arc<S>,
    clock: Arc<dyn Clock>,
    latency: Duration,
    jitter: Option<Jitter>,
    in_flight: AtomicU64,
    calls_in_a_row: AtomicU64,
}

#[derive(Debug, Clone)]
pub struct Jitter {
    /// Each half of a latency varies by up to this fraction of it, below 1.
    pub part: f64,
    /// The probability that a call takes ten times as long.
    pub slow: f64,
    pub entropy: Arc<SeededEntropy>,
}

impl Jitter {
    /// Latencies that vary by up to `part`. None is extreme.
    #[must_use]
    pub fn new(part: f64, entropy: Arc<SeededEntropy>) -> Self {
        Self { part, slow: 0.0, entropy }
    }
}

/// How much longer a slow call takes.
const SLOW: u32 = 10;
/// How long the bodies of a commit take to the store, per MiB: a function's network has about 100 MB/s.
const PER_MIB: Duration = Duration::from_millis(10);
/// Bodies smaller than this take no time of their own.
const SMALL_BYTES: usize = 16 * 1024;

impl<S: Store> LatencyStore<S> {
    /// `latency` is the time from a call to its answer.
    #[must_use]
    pub fn new(store: Arc<S>, clock: Arc<dyn Clock>, latency: Duration, jitter: Option<Jitter>) -> Arc<Self> {
        let (in_flight, calls_in_a_row) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { store, clock, latency, jitter, in_flight, calls_in_a_row })
    }

    /// The number of calls that began while no other was in flight: the round trips of a caller that waits for each.
    #[must_use]
    pub fn calls_in_a_row(&self) -> u64 {
        self.calls_in_a_row.load(Ordering::Relaxed)
    }

    /// The latency of a call without its jitter.
    fn latency(&self) -> Duration {
        let slow = self.jitter.as_ref().is_some_and(|jitter| jitter.slow > 0.0 && jitter.entropy.happens(jitter.slow));
        if slow { self.latency * SLOW } else { self.latency }
    }

    async fn half(&self, latency: Duration) {
        let factor =
            self.jitter.as_ref().map_or(1.0, |jitter| 1.0 + jitter.part * (2.0 * jitter.entropy.fraction() - 1.0));
        self.clock.sleep(latency.mul_f64(factor / 2.0)).await;
    }

    async fn around<T: fmt::Debug>(&self, work: impl Future<Output = T> + Send) -> T {
        if self.in_flight.fetch_add(1, Ordering::Relaxed) == 0 {
            self.calls_in_a_row.fetch_add(1, Ordering::Relaxed);
        }
        let _in_flight = InFlight(&self.in_flight);
        let latency = self.latency();
        self.half(latency).await;
        let answer = work.await;
        self.half(latency).await;
        answer
    }
}

/// A call that has not returned. A caller may stop waiting for it.
struct InFlight<'a>(&'a AtomicU64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl<S: Store> LogStore for LatencyStore<S> {
    async fn newest(&self, organisation: &OrganisationId) -> Result<Newest, StoreError> {
        self.around(self.store.newest(organisation)).await
    }

    async fn anchor(&self, organisation: &OrganisationId) -> Result<Option<Anchor>, StoreError> {
        self.around(self.store.anchor(organisation)).await
    }

    async fn anchors(&self, organisations: &[OrganisationId]) -> Result<Vec<Option<Anchor>>, StoreError> {
        self.around(self.store.anchors(organisations)).await
    }

    async fn advance_anchor(&self, organisation: &OrganisationId, to: &Anchor) -> Result<bool, StoreError> {
        self.around(self.store.advance_anchor(organisation, to)).await
    }

    async fn holes(&self, organisation: &OrganisationId) -> Result<Vec<Hole>, StoreError> {
        self.around(self.store.holes(organisation)).await
    }

    async fn leave_hole(
        &self,
        organisation: &OrganisationId,
        hole: &Hole,
        segment: &Segment,
    ) -> Result<bool, StoreError> {
        self.around(self.store.leave_hole(organisation, hole, segment)).await
    }

    async fn commit(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError> {
        let bytes: usize = commit.segments.iter().map(|segment| segment.bodies.as_bytes().len()).sum();
        if bytes >= SMALL_BYTES {
            self.clock.sleep(PER_MIB.mul_f64(bytes as f64 / f64::from(1 << 20))).await;
        }
        self.around(self.store.commit(organisation, commit)).await
    }

    async fn claim(
        &self,
        organisation: &OrganisationId,
        claim: &KeyClaim,
        now: u64,
    ) -> Result<Option<KeyUse>, StoreError> {
        self.around(self.store.claim(organisation, claim, now)).await
    }

    async fn replace_claim(
        &self,
        organisation: &OrganisationId,
        before: &KeyClaim,
        claim: &KeyClaim,
    ) -> Result<bool, StoreError> {
        self.around(self.store.replace_claim(organisation, before, claim)).await
    }

    async fn close_month(&self, organisation: &OrganisationId, closed: &LogMonth, last: u64) -> Result<(), StoreError> {
        self.around(self.store.close_month(organisation, closed, last)).await
    }

    async fn closed_months(&self, organisation: &OrganisationId) -> Result<Vec<LogMonth>, StoreError> {
        self.around(self.store.closed_months(organisation)).await
    }

    async fn find(&self, places: &[Place]) -> Result<Vec<Found>, StoreError> {
        self.around(self.store.find(places)).await
    }

    async fn range(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError> {
        self.around(self.store.range(organisation, range, order, limit, consistency)).await
    }
}

#[async_trait]
impl<S: Store> Registry for LatencyStore<S> {
    async fn copied_tables(&self) -> Result<Option<RestoredTables>, StoreError> {
        self.around(self.store.copied_tables()).await
    }

    async fn adopt_tables(&self) -> Result<(), StoreError> {
        self.around(self.store.adopt_tables()).await
    }

    async fn organisation(
        &self,
        id: &OrganisationId,
        consistency: Consistency,
    ) -> Result<Option<Organisation>, StoreError> {
        self.around(self.store.organisation(id, consistency)).await
    }

    async fn organisations(
        &self,
        after: Option<&OrganisationId>,
        limit: usize,
    ) -> Result<Vec<Organisation>, StoreError> {
        self.around(self.store.organisations(after, limit)).await
    }

    async fn organisation_ids(
        &self,
        after: Option<&OrganisationId>,
        limit: usize,
    ) -> Result<Vec<OrganisationId>, StoreError> {
        self.around(self.store.organisation_ids(after, limit)).await
    }

    async fn token(&self, id: &TokenId, consistency: Consistency) -> Result<Option<Token>, StoreError> {
        self.around(self.store.token(id, consistency)).await
    }

    async fn tokens(&self, organisation: &OrganisationId) -> Result<Vec<Token>, StoreError> {
        self.around(self.store.tokens(organisation)).await
    }

    async fn note_token_use(&self, id: &TokenId, at: Timestamp, unless_after: Timestamp) -> Result<(), StoreError> {
        self.around(self.store.note_token_use(id, at, unless_after)).await
    }

    async fn platform_tokens(&self) -> Result<PlatformTokens, StoreError> {
        self.around(self.store.platform_tokens()).await
    }

    async fn save_platform_tokens(&self, tokens: &PlatformTokens) -> Result<bool, StoreError> {
        self.around(self.store.save_platform_tokens(tokens)).await
    }

    async fn portal_link(&self, hash: &TokenHash) -> Result<Option<PortalLink>, StoreError> {
        self.around(self.store.portal_link(hash)).await
    }

    async fn is_link_used(&self, hash: &TokenHash) -> Result<bool, StoreError> {
        self.around(self.store.is_link_used(hash)).await
    }

    async fn session(&self, hash: &TokenHash) -> Result<Option<Session>, StoreError> {
        self.around(self.store.session(hash)).await
    }

    async fn sessions(&self, organisation: &OrganisationId) -> Result<Vec<Session>, StoreError> {
        self.around(self.store.sessions(organisation)).await
    }

    async fn extend_session(&self, hash: &TokenHash, expires_at: Timestamp) -> Result<(), StoreError> {
        self.around(self.store.extend_session(hash, expires_at)).await
    }

    async fn destination(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Option<Destination>, StoreError> {
        self.around(self.store.destination(organisation, id)).await
    }

    async fn destinations(&self, organisation: &OrganisationId) -> Result<Vec<Destination>, StoreError> {
        self.around(self.store.destinations(organisation)).await
    }

    async fn active_destinations(
        &self,
        shard: u16,
        after: Option<&ActivePosition>,
        limit: usize,
    ) -> Result<ActivePage, StoreError> {
        self.around(self.store.active_destinations(shard, after, limit)).await
    }

    async fn plan_passes(&self) -> Result<Vec<PlanPass>, StoreError> {
        self.around(self.store.plan_passes()).await
    }

    async fn save_plan_pass(&self, pass: &PlanPass) -> Result<bool, StoreError> {
        self.around(self.store.save_plan_pass(pass)).await
    }

    async fn note_maintenance(&self, run: Timestamp, step: MaintenanceStep) -> Result<MaintenanceProgress, StoreError> {
        self.around(self.store.note_maintenance(run, step)).await
    }

    async fn save_progress(&self, destination: &Destination, delivery: Option<&Delivery>) -> Result<bool, StoreError> {
        self.around(self.store.save_progress(destination, delivery)).await
    }

    async fn deliveries(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.around(self.store.deliveries(organisation, id, limit)).await
    }

    async fn deliveries_numbered(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        range: RangeInclusive<u64>,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.around(self.store.deliveries_numbered(organisation, id, range)).await
    }

    async fn delivery_of(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        sequence: u64,
        recorded_at: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        self.around(self.store.delivery_of(organisation, id, sequence, recorded_at)).await
    }

    async fn save_connection_test(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        report: &ConnectionTestReport,
    ) -> Result<(), StoreError> {
        self.around(self.store.save_connection_test(organisation, id, report)).await
    }

    async fn last_connection_test(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Option<ConnectionTestReport>, StoreError> {
        self.around(self.store.last_connection_test(organisation, id)).await
    }

    async fn claims(&self, key: &ClaimKey) -> Result<Claims, StoreError> {
        self.around(self.store.claims(key)).await
    }

    async fn save_claims(&self, key: &ClaimKey, claims: &Claims) -> Result<bool, StoreError> {
        self.around(self.store.save_claims(key, claims)).await
    }

    async fn deleted_deliveries(
        &self,
        organisation: &OrganisationId,
    ) -> Result<Vec<(DestinationId, DeliveredMonths)>, StoreError> {
        self.around(self.store.deleted_deliveries(organisation)).await
    }

    async fn uses(&self, organisation: &OrganisationId, limited: Limited) -> Result<Vec<Timestamp>, StoreError> {
        self.around(self.store.uses(organisation, limited)).await
    }

    async fn save_uses(
        &self,
        organisation: &OrganisationId,
        limited: Limited,
        before: &[Timestamp],
        after: &[Timestamp],
    ) -> Result<bool, StoreError> {
        self.around(self.store.save_uses(organisation, limited, before, after)).await
    }
}

#[async_trait]
impl<S: Store> ProofStore for LatencyStore<S> {
    async fn signing_keys(&self) -> Result<Vec<PublishedKey>, StoreError> {
        self.around(self.store.signing_keys()).await
    }

    async fn publish_signing_key(&self, number: u64, key: &PublishedKey) -> Result<bool, StoreError> {
        self.around(self.store.publish_signing_key(number, key)).await
    }

    async fn log_checkpoint(&self, organisation: &OrganisationId) -> Result<Option<LogCheckpoint>, StoreError> {
        self.around(self.store.log_checkpoint(organisation)).await
    }

    async fn save_log_checkpoint(
        &self,
        organisation: &OrganisationId,
        before: Option<Timestamp>,
        checkpoint: &LogCheckpoint,
    ) -> Result<bool, StoreError> {
        self.around(self.store.save_log_checkpoint(organisation, before, checkpoint)).await
    }
}
