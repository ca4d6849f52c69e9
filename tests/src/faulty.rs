//! A store whose calls fail as a test says.

use std::{
    fmt,
    future::Future,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use annals_core::{
    change::Conflict,
    destination::{ClaimKey, Claims, Delivery, Destination, DestinationId, connection_test::ConnectionTestReport},
    limited::Limited,
    log::{
        segment::Segment,
        store::{Commit, CommitError, Consistency, Found, Hole, KeyClaim, KeyUse, LogStore, Order, Place, StoreError},
        tail::{Anchor, Hazard, Newest},
    },
    operator::{OperatorCode, OperatorFault},
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
use tokio::sync::{Notify, watch};

use crate::entropy::SeededEntropy;

/// A store of log and registry.
pub trait Store: LogStore + Registry + ProofStore + 'static {}

impl<S: LogStore + Registry + ProofStore + 'static> Store for S {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The store throttles the call. Nothing is done.
    Throttled,
    /// Another transaction is in progress. Nothing is done. Calls other than a commit are throttled.
    Busy,
    /// The store's answer is malformed. Nothing is done.
    Broken,
    /// The store does not allow the call. Nothing is done.
    Denied,
    /// Another process has changed the same item, so neither a commit nor a change of the platform's tokens is done. Other
    /// calls are done.
    Changed,
    /// The log cannot be used safely. Nothing is done.
    Unsafe(Hazard),
    /// No answer comes. Nothing is done.
    Unsent,
    /// The call is done and the answer is lost.
    AnswerLost,
    /// No answer comes, but a commit or a claim is done after this delay. Other calls are not done.
    Late(Duration),
    /// The caller's process crashes before anything is done: its call never returns.
    CrashBefore,
    /// The call is done and the caller's process crashes.
    CrashAfter,
    /// The caller's process freezes in the middle of the call. The call, and all others of the process, are done once it
    /// thaws.
    Frozen,
}

/// A call of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Counted from 1.
    pub number: u64,
    pub name: &'static str,
}

type Decide = Box<dyn Fn(Call) -> Option<Fault> + Send + Sync>;

pub struct FaultyStore<S> {
    store: Arc<S>,
    calls: AtomicU64,
    decide: Decide,
    healed: AtomicBool,
    clock: Option<Arc<dyn Clock>>,
    crashed: Notify,
    frozen: watch::Sender<bool>,
}

impl<S: fmt::Debug> fmt::Debug for FaultyStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("store", &self.store).finish_non_exhaustive()
    }
}

impl<S: Store> FaultyStore<S> {
    /// `store`, with the faults that `decide` chooses.
    #[must_use]
    pub fn new(store: Arc<S>, decide: impl Fn(Call) -> Option<Fault> + Send + Sync + 'static) -> Arc<Self> {
        Self::with(store, Box::new(decide), None)
    }

    fn with(store: Arc<S>, decide: Decide, clock: Option<Arc<dyn Clock>>) -> Arc<Self> {
        let (calls, healed) = (AtomicU64::new(0), AtomicBool::new(false));
        let (crashed, frozen) = (Notify::new(), watch::Sender::new(false));
        Arc::new(Self { store, calls, decide, healed, clock, crashed, frozen })
    }

    /// `store`, whose `nth` call fails, counted from 1.
    #[must_use]
    pub fn nth(store: Arc<S>, nth: u64, fault: Fault) -> Arc<Self> {
        Self::new(store, move |call| (call.number == nth).then_some(fault))
    }

    /// `store`, each call of which fails with probability `chance` in a random way. Late commits arrive within `late`
    /// on `clock`.
    #[must_use]
    pub fn seeded(
        store: Arc<S>,
        chance: f64,
        late: Duration,
        clock: Arc<dyn Clock>,
        entropy: Arc<SeededEntropy>,
    ) -> Arc<Self> {
        let decide = move |_| {
            entropy.happens(chance).then(|| match entropy.below(16) {
                0..2 => Fault::Throttled,
                2 => Fault::Busy,
                3..5 => Fault::Unsent,
                5..8 => Fault::AnswerLost,
                8..11 => Fault::Late(entropy.duration(late)),
                11..13 => Fault::CrashBefore,
                _ => Fault::CrashAfter,
            })
        };
        Self::with(store, Box::new(decide), Some(clock))
    }

    /// From now on no call fails.
    pub fn heal(&self) {
        self.healed.store(true, Ordering::Relaxed);
    }

    /// Lets a frozen process go on. From now on no call fails.
    pub fn thaw(&self) {
        self.heal();
        self.frozen.send_replace(false);
    }

    /// The number of calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Returns when a caller's process has crashed, so that a test can drop its future.
    pub async fn crashed(&self) {
        self.crashed.notified().await;
    }

    fn next(&self, name: &'static str) -> Option<Fault> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if self.healed.load(Ordering::Relaxed) { None } else { (self.decide)(Call { number, name }) }
    }

    /// As [`next`](Self::next), once the caller's process is not frozen.
    async fn enter(&self, name: &'static str) -> Option<Fault> {
        let fault = self.next(name);
        if fault == Some(Fault::Frozen) {
            self.frozen.send_replace(true);
        }
        // An error is impossible: the sender is `self`.
        let _ = self.frozen.subscribe().wait_for(|frozen| !frozen).await;
        fault
    }

    async fn crash<T>(&self) -> T {
        self.crashed.notify_one();
        std::future::pending().await
    }

    /// As [`call`](Self::call), but a call that is to be late is done later, by `late`.
    async fn call_or_late<T>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
        late: impl Future<Output = ()> + Send + 'static,
    ) -> Result<T, StoreError> {
        let fault = self.enter(name).await;
        if let Some(Fault::Late(after)) = fault {
            self.later(after, late);
        }
        self.meet(fault, work).await
    }

    /// Does `work` after this time, whatever becomes of the caller.
    fn later(&self, after: Duration, work: impl Future<Output = ()> + Send + 'static) {
        let clock = self.clock.clone();
        tokio::spawn(async move {
            if let Some(clock) = clock {
                clock.sleep(after).await;
            }
            work.await;
        });
    }

    /// Does `work` unless this call is to fail.
    async fn call<T>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.meet(self.enter(name).await, work).await
    }

    async fn meet<T>(
        &self,
        fault: Option<Fault>,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match fault {
            None | Some(Fault::Changed | Fault::Frozen) => work.await,
            Some(Fault::Throttled | Fault::Busy) => Err(throttled()),
            Some(Fault::Broken) => Err(broken()),
            Some(Fault::Unsafe(hazard)) => Err(hazard.into()),
            Some(Fault::Denied) => Err(denied()),
            Some(Fault::Unsent | Fault::Late(_)) => Err(unavailable()),
            Some(Fault::AnswerLost) => {
                work.await?;
                Err(unavailable())
            }
            Some(Fault::CrashBefore) => self.crash().await,
            Some(Fault::CrashAfter) => {
                let _ = work.await;
                self.crash().await
            }
        }
    }
}

fn throttled() -> StoreError {
    StoreError::Throttled("injected".into())
}

fn broken() -> StoreError {
    StoreError::Broken("injected".into())
}

fn denied() -> StoreError {
    StoreError::Operator(OperatorFault::new(OperatorCode::PermissionMissing, "injected"))
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("injected".into())
}

#[async_trait]
impl<S: Store> LogStore for FaultyStore<S> {
    async fn newest(&self, organisation: &OrganisationId) -> Result<Newest, StoreError> {
        self.call("newest", self.store.newest(organisation)).await
    }

    async fn anchor(&self, organisation: &OrganisationId) -> Result<Option<Anchor>, StoreError> {
        self.call("anchor", self.store.anchor(organisation)).await
    }

    async fn anchors(&self, organisations: &[OrganisationId]) -> Result<Vec<Option<Anchor>>, StoreError> {
        self.call("anchors", self.store.anchors(organisations)).await
    }

    async fn advance_anchor(&self, organisation: &OrganisationId, to: &Anchor) -> Result<bool, StoreError> {
        self.call("advance_anchor", self.store.advance_anchor(organisation, to)).await
    }

    async fn holes(&self, organisation: &OrganisationId) -> Result<Vec<Hole>, StoreError> {
        self.call("holes", self.store.holes(organisation)).await
    }

    async fn leave_hole(
        &self,
        organisation: &OrganisationId,
        hole: &Hole,
        segment: &Segment,
    ) -> Result<bool, StoreError> {
        self.call("leave_hole", self.store.leave_hole(organisation, hole, segment)).await
    }

    async fn commit(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError> {
        let work = self.store.commit(organisation, commit);
        match self.enter("commit").await {
            None | Some(Fault::Frozen) => work.await,
            Some(Fault::Throttled) => Err(throttled().into()),
            Some(Fault::Busy) => Err(CommitError::Busy),
            Some(Fault::Broken) => Err(broken().into()),
            Some(Fault::Unsafe(hazard)) => Err(StoreError::from(hazard).into()),
            Some(Fault::Denied) => Err(denied().into()),
            Some(Fault::Changed) => Err(CommitError::Refused(Conflict::Changed)),
            Some(Fault::Unsent) => Err(unavailable().into()),
            Some(Fault::AnswerLost) => {
                let _ = work.await;
                Err(unavailable().into())
            }
            Some(Fault::Late(after)) => {
                let store = Arc::clone(&self.store);
                let (organisation, commit) = (organisation.clone(), commit.clone());
                self.later(after, async move { drop(store.commit(&organisation, &commit).await) });
                Err(unavailable().into())
            }
            Some(Fault::CrashBefore) => self.crash().await,
            Some(Fault::CrashAfter) => {
                let _ = work.await;
                self.crash().await
            }
        }
    }

    async fn claim(
        &self,
        organisation: &OrganisationId,
        claim: &KeyClaim,
        now: u64,
    ) -> Result<Option<KeyUse>, StoreError> {
        let late = (Arc::clone(&self.store), organisation.clone(), claim.clone());
        let late = async move { drop(late.0.claim(&late.1, &late.2, now).await) };
        self.call_or_late("claim", self.store.claim(organisation, claim, now), late).await
    }

    async fn replace_claim(
        &self,
        organisation: &OrganisationId,
        before: &KeyClaim,
        claim: &KeyClaim,
    ) -> Result<bool, StoreError> {
        let late = (Arc::clone(&self.store), organisation.clone(), before.clone(), claim.clone());
        let late = async move { drop(late.0.replace_claim(&late.1, &late.2, &late.3).await) };
        self.call_or_late("replace_claim", self.store.replace_claim(organisation, before, claim), late).await
    }

    async fn close_month(&self, organisation: &OrganisationId, closed: &LogMonth, last: u64) -> Result<(), StoreError> {
        self.call("close_month", self.store.close_month(organisation, closed, last)).await
    }

    async fn closed_months(&self, organisation: &OrganisationId) -> Result<Vec<LogMonth>, StoreError> {
        self.call("closed_months", self.store.closed_months(organisation)).await
    }

    async fn find(&self, places: &[Place]) -> Result<Vec<Found>, StoreError> {
        self.call("find", self.store.find(places)).await
    }

    async fn range(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError> {
        self.call("range", self.store.range(organisation, range, order, limit, consistency)).await
    }
}

#[async_trait]
impl<S: Store> Registry for FaultyStore<S> {
    async fn copied_tables(&self) -> Result<Option<RestoredTables>, StoreError> {
        self.call("copied_tables", self.store.copied_tables()).await
    }

    async fn adopt_tables(&self) -> Result<(), StoreError> {
        self.call("adopt_tables", self.store.adopt_tables()).await
    }

    async fn organisation(
        &self,
        id: &OrganisationId,
        consistency: Consistency,
    ) -> Result<Option<Organisation>, StoreError> {
        self.call("organisation", self.store.organisation(id, consistency)).await
    }

    async fn organisations(
        &self,
        after: Option<&OrganisationId>,
        limit: usize,
    ) -> Result<Vec<Organisation>, StoreError> {
        self.call("organisations", self.store.organisations(after, limit)).await
    }

    async fn organisation_ids(
        &self,
        after: Option<&OrganisationId>,
        limit: usize,
    ) -> Result<Vec<OrganisationId>, StoreError> {
        self.call("organisation_ids", self.store.organisation_ids(after, limit)).await
    }

    async fn token(&self, id: &TokenId, consistency: Consistency) -> Result<Option<Token>, StoreError> {
        self.call("token", self.store.token(id, consistency)).await
    }

    async fn tokens(&self, organisation: &OrganisationId) -> Result<Vec<Token>, StoreError> {
        self.call("tokens", self.store.tokens(organisation)).await
    }

    async fn note_token_use(&self, id: &TokenId, at: Timestamp, unless_after: Timestamp) -> Result<(), StoreError> {
        self.call("note_token_use", self.store.note_token_use(id, at, unless_after)).await
    }

    async fn platform_tokens(&self) -> Result<PlatformTokens, StoreError> {
        self.call("platform_tokens", self.store.platform_tokens()).await
    }

    async fn save_platform_tokens(&self, tokens: &PlatformTokens) -> Result<bool, StoreError> {
        match self.enter("save_platform_tokens").await {
            Some(Fault::Changed) => Ok(false),
            fault => self.meet(fault, self.store.save_platform_tokens(tokens)).await,
        }
    }

    async fn portal_link(&self, hash: &TokenHash) -> Result<Option<PortalLink>, StoreError> {
        self.call("portal_link", self.store.portal_link(hash)).await
    }

    async fn is_link_used(&self, hash: &TokenHash) -> Result<bool, StoreError> {
        self.call("is_link_used", self.store.is_link_used(hash)).await
    }

    async fn session(&self, hash: &TokenHash) -> Result<Option<Session>, StoreError> {
        self.call("session", self.store.session(hash)).await
    }

    async fn sessions(&self, organisation: &OrganisationId) -> Result<Vec<Session>, StoreError> {
        self.call("sessions", self.store.sessions(organisation)).await
    }

    async fn extend_session(&self, hash: &TokenHash, expires_at: Timestamp) -> Result<(), StoreError> {
        self.call("extend_session", self.store.extend_session(hash, expires_at)).await
    }

    async fn destination(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Option<Destination>, StoreError> {
        self.call("destination", self.store.destination(organisation, id)).await
    }

    async fn destinations(&self, organisation: &OrganisationId) -> Result<Vec<Destination>, StoreError> {
        self.call("destinations", self.store.destinations(organisation)).await
    }

    async fn active_destinations(
        &self,
        shard: u16,
        after: Option<&ActivePosition>,
        limit: usize,
    ) -> Result<ActivePage, StoreError> {
        self.call("active_destinations", self.store.active_destinations(shard, after, limit)).await
    }

    async fn plan_passes(&self) -> Result<Vec<PlanPass>, StoreError> {
        self.call("plan_passes", self.store.plan_passes()).await
    }

    async fn save_plan_pass(&self, pass: &PlanPass) -> Result<bool, StoreError> {
        self.call("save_plan_pass", self.store.save_plan_pass(pass)).await
    }

    async fn note_maintenance(&self, run: Timestamp, step: MaintenanceStep) -> Result<MaintenanceProgress, StoreError> {
        self.call("note_maintenance", self.store.note_maintenance(run, step)).await
    }

    async fn save_progress(&self, destination: &Destination, delivery: Option<&Delivery>) -> Result<bool, StoreError> {
        self.call("save_progress", self.store.save_progress(destination, delivery)).await
    }

    async fn deliveries(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.call("deliveries", self.store.deliveries(organisation, id, limit)).await
    }

    async fn deliveries_numbered(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        range: RangeInclusive<u64>,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.call("deliveries_numbered", self.store.deliveries_numbered(organisation, id, range)).await
    }

    async fn delivery_of(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        sequence: u64,
        recorded_at: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        self.call("delivery_of", self.store.delivery_of(organisation, id, sequence, recorded_at)).await
    }

    async fn save_connection_test(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        report: &ConnectionTestReport,
    ) -> Result<(), StoreError> {
        self.call("save_connection_test", self.store.save_connection_test(organisation, id, report)).await
    }

    async fn last_connection_test(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Option<ConnectionTestReport>, StoreError> {
        self.call("last_connection_test", self.store.last_connection_test(organisation, id)).await
    }

    async fn claims(&self, key: &ClaimKey) -> Result<Claims, StoreError> {
        self.call("claims", self.store.claims(key)).await
    }

    async fn save_claims(&self, key: &ClaimKey, claims: &Claims) -> Result<bool, StoreError> {
        self.call("save_claims", self.store.save_claims(key, claims)).await
    }

    async fn deleted_deliveries(
        &self,
        organisation: &OrganisationId,
    ) -> Result<Vec<(DestinationId, DeliveredMonths)>, StoreError> {
        self.call("deleted_deliveries", self.store.deleted_deliveries(organisation)).await
    }

    async fn uses(&self, organisation: &OrganisationId, limited: Limited) -> Result<Vec<Timestamp>, StoreError> {
        self.call("uses", self.store.uses(organisation, limited)).await
    }

    async fn save_uses(
        &self,
        organisation: &OrganisationId,
        limited: Limited,
        before: &[Timestamp],
        after: &[Timestamp],
    ) -> Result<bool, StoreError> {
        self.call("save_uses", self.store.save_uses(organisation, limited, before, after)).await
    }
}

#[async_trait]
impl<S: Store> ProofStore for FaultyStore<S> {
    async fn signing_keys(&self) -> Result<Vec<PublishedKey>, StoreError> {
        self.call("signing_keys", self.store.signing_keys()).await
    }

    async fn publish_signing_key(&self, number: u64, key: &PublishedKey) -> Result<bool, StoreError> {
        self.call("publish_signing_key", self.store.publish_signing_key(number, key)).await
    }

    async fn log_checkpoint(&self, organisation: &OrganisationId) -> Result<Option<LogCheckpoint>, StoreError> {
        self.call("log_checkpoint", self.store.log_checkpoint(organisation)).await
    }

    async fn save_log_checkpoint(
        &self,
        organisation: &OrganisationId,
        before: Option<Timestamp>,
        checkpoint: &LogCheckpoint,
    ) -> Result<bool, StoreError> {
        self.call("save_log_checkpoint", self.store.save_log_checkpoint(organisation, before, checkpoint)).await
    }
}
