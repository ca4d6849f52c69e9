//! All ports of shipping as one, and decorators of them. A decorator passes on the calls that it does not define.

use std::{fmt, future::Future, ops::RangeInclusive};

use annals_core::{
    delivery::queue::{NotSent, QueueMessage, ShipQueue},
    destination::{
        ClaimKey, Claims, Delivery, Destination, DestinationId,
        connection_test::ConnectionTestReport,
        sink::{Object, ObjectSink, SinkError, Stored, Target},
    },
    limited::Limited,
    log::{
        segment::Segment,
        store::{Commit, CommitError, Consistency, Found, Hole, KeyClaim, KeyUse, LogStore, Order, Place, StoreError},
        tail::{Anchor, Newest},
    },
    organisation::{Organisation, OrganisationId},
    platform::PlatformTokens,
    portal::{PortalLink, Session},
    registry::{ActivePage, ActivePosition, MaintenanceProgress, MaintenanceStep, PlanPass, Registry, RestoredTables},
    time::Timestamp,
    token::{Token, TokenHash, TokenId},
    usage::{DeliveredMonths, LogMonth},
};
use async_trait::async_trait;

/// All ports of shipping.
pub trait Ports: LogStore + Registry + ObjectSink + ShipQueue {}

impl<P: LogStore + Registry + ObjectSink + ShipQueue> Ports for P {}

/// The ports behind a decorator.
#[derive(Debug, Clone, Copy)]
pub struct Below<'a> {
    pub log: &'a dyn LogStore,
    pub registry: &'a dyn Registry,
    pub sink: &'a dyn ObjectSink,
    pub queue: &'a dyn ShipQueue,
}

impl<'a> Below<'a> {
    /// The four ports of one object.
    #[must_use]
    pub fn of(ports: &'a dyn Ports) -> Self {
        Self { log: ports, registry: ports, sink: ports, queue: ports }
    }
}

/// A decorator of the ports. It passes on the calls that it does not define.
#[async_trait]
pub trait Decorator: fmt::Debug + Send + Sync {
    fn below(&self) -> Below<'_>;

    /// Is told of each call that has no method here.
    async fn store_call<T: Send>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let _ = name;
        work.await
    }

    async fn commit(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError> {
        self.below().log.commit(organisation, commit).await
    }

    async fn range(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError> {
        self.store_call("range", self.below().log.range(organisation, range, order, limit, consistency)).await
    }

    async fn destination(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Option<Destination>, StoreError> {
        self.store_call("destination", self.below().registry.destination(organisation, id)).await
    }

    async fn active_destinations(
        &self,
        shard: u16,
        after: Option<&ActivePosition>,
        limit: usize,
    ) -> Result<ActivePage, StoreError> {
        let call = self.below().registry.active_destinations(shard, after, limit);
        self.store_call("active_destinations", call).await
    }

    async fn find(&self, places: &[Place]) -> Result<Vec<Found>, StoreError> {
        self.store_call("find", self.below().log.find(places)).await
    }

    async fn save_progress(&self, destination: &Destination, delivery: Option<&Delivery>) -> Result<bool, StoreError> {
        self.store_call("save_progress", self.below().registry.save_progress(destination, delivery)).await
    }

    async fn put(&self, target: &Target, object: Object) -> Result<Stored, SinkError> {
        self.below().sink.put(target, object).await
    }

    async fn assume(&self, target: &Target, external_id: &str) -> Result<(), SinkError> {
        self.below().sink.assume(target, external_id).await
    }

    async fn send(&self, messages: &[QueueMessage]) -> Result<(), NotSent> {
        self.below().queue.send(messages).await
    }

    async fn is_busy(&self) -> Result<bool, StoreError> {
        self.store_call("is_busy", self.below().queue.is_busy()).await
    }
}

/// A decorator as ports.
#[derive(Debug)]
pub struct Decorated<D>(pub D);

#[async_trait]
impl<D: Decorator> LogStore for Decorated<D> {
    async fn newest(&self, organisation: &OrganisationId) -> Result<Newest, StoreError> {
        self.0.store_call("newest", self.0.below().log.newest(organisation)).await
    }

    async fn anchor(&self, organisation: &OrganisationId) -> Result<Option<Anchor>, StoreError> {
        self.0.store_call("anchor", self.0.below().log.anchor(organisation)).await
    }

    async fn anchors(&self, organisations: &[OrganisationId]) -> Result<Vec<Option<Anchor>>, StoreError> {
        self.0.store_call("anchors", self.0.below().log.anchors(organisations)).await
    }

    async fn advance_anchor(&self, organisation: &OrganisationId, to: &Anchor) -> Result<bool, StoreError> {
        self.0.store_call("advance_anchor", self.0.below().log.advance_anchor(organisation, to)).await
    }

    async fn holes(&self, organisation: &OrganisationId) -> Result<Vec<Hole>, StoreError> {
        self.0.store_call("holes", self.0.below().log.holes(organisation)).await
    }

    async fn leave_hole(
        &self,
        organisation: &OrganisationId,
        hole: &Hole,
        segment: &Segment,
    ) -> Result<bool, StoreError> {
        self.0.store_call("leave_hole", self.0.below().log.leave_hole(organisation, hole, segment)).await
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
        self.0.store_call("claim", self.0.below().log.claim(organisation, claim, now)).await
    }

    async fn replace_claim(
        &self,
        organisation: &OrganisationId,
        before: &KeyClaim,
        claim: &KeyClaim,
    ) -> Result<bool, StoreError> {
        self.0.store_call("replace_claim", self.0.below().log.replace_claim(organisation, before, claim)).await
    }

    async fn close_month(&self, organisation: &OrganisationId, closed: &LogMonth, last: u64) -> Result<(), StoreError> {
        self.0.store_call("close_month", self.0.below().log.close_month(organisation, closed, last)).await
    }

    async fn closed_months(&self, organisation: &OrganisationId) -> Result<Vec<LogMonth>, StoreError> {
        self.0.store_call("closed_months", self.0.below().log.closed_months(organisation)).await
    }

    async fn find(&self, places: &[Place]) -> Result<Vec<Found>, StoreError> {
        self.0.find(places).await
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

#[async_trait]
impl<D: Decorator> Registry for Decorated<D> {
    async fn copied_tables(&self) -> Result<Option<RestoredTables>, StoreError> {
        self.0.store_call("copied_tables", self.0.below().registry.copied_tables()).await
    }

    async fn adopt_tables(&self) -> Result<(), StoreError> {
        self.0.store_call("adopt_tables", self.0.below().registry.adopt_tables()).await
    }

    async fn organisation(
        &self,
        id: &OrganisationId,
        consistency: Consistency,
    ) -> Result<Option<Organisation>, StoreError> {
        self.0.store_call("organisation", self.0.below().registry.organisation(id, consistency)).await
    }

    async fn organisations(
        &self,
        after: Option<&OrganisationId>,
        limit: usize,
    ) -> Result<Vec<Organisation>, StoreError> {
        self.0.store_call("organisations", self.0.below().registry.organisations(after, limit)).await
    }

    async fn organisation_ids(
        &self,
        after: Option<&OrganisationId>,
        limit: usize,
    ) -> Result<Vec<OrganisationId>, StoreError> {
        self.0.store_call("organisation_ids", self.0.below().registry.organisation_ids(after, limit)).await
    }

    async fn token(&self, id: &TokenId, consistency: Consistency) -> Result<Option<Token>, StoreError> {
        self.0.store_call("token", self.0.below().registry.token(id, consistency)).await
    }

    async fn tokens(&self, organisation: &OrganisationId) -> Result<Vec<Token>, StoreError> {
        self.0.store_call("tokens", self.0.below().registry.tokens(organisation)).await
    }

    async fn note_token_use(&self, id: &TokenId, at: Timestamp, unless_after: Timestamp) -> Result<(), StoreError> {
        let work = self.0.below().registry.note_token_use(id, at, unless_after);
        self.0.store_call("note_token_use", work).await
    }

    async fn platform_tokens(&self) -> Result<PlatformTokens, StoreError> {
        self.0.store_call("platform_tokens", self.0.below().registry.platform_tokens()).await
    }

    async fn save_platform_tokens(&self, tokens: &PlatformTokens) -> Result<bool, StoreError> {
        let work = self.0.below().registry.save_platform_tokens(tokens);
        self.0.store_call("save_platform_tokens", work).await
    }

    async fn portal_link(&self, hash: &TokenHash) -> Result<Option<PortalLink>, StoreError> {
        self.0.store_call("portal_link", self.0.below().registry.portal_link(hash)).await
    }

    async fn is_link_used(&self, hash: &TokenHash) -> Result<bool, StoreError> {
        self.0.store_call("is_link_used", self.0.below().registry.is_link_used(hash)).await
    }

    async fn session(&self, hash: &TokenHash) -> Result<Option<Session>, StoreError> {
        self.0.store_call("session", self.0.below().registry.session(hash)).await
    }

    async fn sessions(&self, organisation: &OrganisationId) -> Result<Vec<Session>, StoreError> {
        self.0.store_call("sessions", self.0.below().registry.sessions(organisation)).await
    }

    async fn extend_session(&self, hash: &TokenHash, expires_at: Timestamp) -> Result<(), StoreError> {
        self.0.store_call("extend_session", self.0.below().registry.extend_session(hash, expires_at)).await
    }

    async fn destination(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Option<Destination>, StoreError> {
        self.0.destination(organisation, id).await
    }

    async fn destinations(&self, organisation: &OrganisationId) -> Result<Vec<Destination>, StoreError> {
        self.0.store_call("destinations", self.0.below().registry.destinations(organisation)).await
    }

    async fn active_destinations(
        &self,
        shard: u16,
        after: Option<&ActivePosition>,
        limit: usize,
    ) -> Result<ActivePage, StoreError> {
        self.0.active_destinations(shard, after, limit).await
    }

    async fn plan_passes(&self) -> Result<Vec<PlanPass>, StoreError> {
        self.0.store_call("plan_passes", self.0.below().registry.plan_passes()).await
    }

    async fn save_plan_pass(&self, pass: &PlanPass) -> Result<bool, StoreError> {
        self.0.store_call("save_plan_pass", self.0.below().registry.save_plan_pass(pass)).await
    }

    async fn note_maintenance(&self, run: Timestamp, step: MaintenanceStep) -> Result<MaintenanceProgress, StoreError> {
        self.0.store_call("note_maintenance", self.0.below().registry.note_maintenance(run, step)).await
    }

    async fn save_progress(&self, destination: &Destination, delivery: Option<&Delivery>) -> Result<bool, StoreError> {
        self.0.save_progress(destination, delivery).await
    }

    async fn deliveries(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.0.store_call("deliveries", self.0.below().registry.deliveries(organisation, id, limit)).await
    }

    async fn deliveries_numbered(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        range: RangeInclusive<u64>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let call = self.0.below().registry.deliveries_numbered(organisation, id, range);
        self.0.store_call("deliveries_numbered", call).await
    }

    async fn delivery_of(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        sequence: u64,
        recorded_at: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        let call = self.0.below().registry.delivery_of(organisation, id, sequence, recorded_at);
        self.0.store_call("delivery_of", call).await
    }

    async fn save_connection_test(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        report: &ConnectionTestReport,
    ) -> Result<(), StoreError> {
        let call = self.0.below().registry.save_connection_test(organisation, id, report);
        self.0.store_call("save_connection_test", call).await
    }

    async fn last_connection_test(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Option<ConnectionTestReport>, StoreError> {
        self.0.store_call("last_connection_test", self.0.below().registry.last_connection_test(organisation, id)).await
    }

    async fn claims(&self, key: &ClaimKey) -> Result<Claims, StoreError> {
        self.0.store_call("claims", self.0.below().registry.claims(key)).await
    }

    async fn save_claims(&self, key: &ClaimKey, claims: &Claims) -> Result<bool, StoreError> {
        self.0.store_call("save_claims", self.0.below().registry.save_claims(key, claims)).await
    }

    async fn deleted_deliveries(
        &self,
        organisation: &OrganisationId,
    ) -> Result<Vec<(DestinationId, DeliveredMonths)>, StoreError> {
        self.0.store_call("deleted_deliveries", self.0.below().registry.deleted_deliveries(organisation)).await
    }

    async fn uses(&self, organisation: &OrganisationId, limited: Limited) -> Result<Vec<Timestamp>, StoreError> {
        self.0.store_call("uses", self.0.below().registry.uses(organisation, limited)).await
    }

    async fn save_uses(
        &self,
        organisation: &OrganisationId,
        limited: Limited,
        before: &[Timestamp],
        after: &[Timestamp],
    ) -> Result<bool, StoreError> {
        let call = self.0.below().registry.save_uses(organisation, limited, before, after);
        self.0.store_call("save_uses", call).await
    }
}

#[async_trait]
impl<D: Decorator> ObjectSink for Decorated<D> {
    async fn put(&self, target: &Target, object: Object) -> Result<Stored, SinkError> {
        self.0.put(target, object).await
    }

    async fn assume(&self, target: &Target, external_id: &str) -> Result<(), SinkError> {
        self.0.assume(target, external_id).await
    }
}

#[async_trait]
impl<D: Decorator> ShipQueue for Decorated<D> {
    async fn send(&self, messages: &[QueueMessage]) -> Result<(), NotSent> {
        self.0.send(messages).await
    }

    async fn is_busy(&self) -> Result<bool, StoreError> {
        self.0.is_busy().await
    }
}
