//! Shipping: delivering the new events of one destination.
//!
//! Each step is conditional on the destination's version, and the object's content follows from the stored intent alone.
//! So does its key, once a put may have written the object: a run after a crash, or a second run at the same time, puts
//! the same bytes under the same key. No event is lost or delivered twice.
//!
//! Only a put that found an object can tell that an earlier put succeeded, because Annals cannot read the bucket. It counts
//! as a success only if an earlier put may have succeeded. After a refusal, which reveals the key to whoever can put an
//! object there, the intent gets another key.

use std::{sync::Arc, time::Duration};

use crate::{
    brand::Brand,
    destination::{
        Delivery, Destination, DestinationId, LastCheckpoint, Progress, RolesWithoutExternalId, Unsigned,
        connection_test::TEST_OBJECT_NAME,
        failure::{FailureCode, RemediedBy},
        sink::ObjectSink,
    },
    diagnosis,
    entropy::Entropy,
    log::{
        Log,
        append::AppendError,
        store::{Consistency, StoreError},
    },
    organisation::OrganisationId,
    proof::signing::Signing,
    registry::Registry,
    time::{Clock, Timestamp},
};

use super::{
    maintenance::MaintenancePolicy,
    plan::PlanPolicy,
    queue::{ShipOrder, ShipQueue},
    run::DestinationRun,
    suspicion::{Suspicion, Worked},
};

/// The limits of shipping.
#[derive(Debug, Clone, Copy)]
pub struct ShipPolicy {
    /// An object ends with the segment that reaches this size, in bytes.
    pub object_bytes: usize,
    /// No object begins after this time. Another message continues with the remaining events at once.
    pub time_budget: Duration,
    /// How long a run may still be at work on an object after it took it on: longer than a shipper runs. Meanwhile, orders
    /// for the destination are dropped. If two runs put the same object, neither can tell that it is theirs.
    pub busy_for: Duration,
    /// The longest pause after the first failure: about the period of ticks.
    pub backoff_first: Duration,
    /// The longest pause after any failure.
    pub backoff_cap: Duration,
    /// What becomes of roles that accept any external id.
    pub roles: RolesWithoutExternalId,
}

impl Default for ShipPolicy {
    fn default() -> Self {
        Self {
            object_bytes: 16 * 1024 * 1024,
            time_budget: Duration::from_secs(45),
            busy_for: Duration::from_secs(180),
            backoff_first: Duration::from_secs(5 * 60),
            backoff_cap: Duration::from_secs(60 * 60),
            roles: RolesWithoutExternalId::default(),
        }
    }
}

/// What shipping to one destination did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShipReport {
    pub outcome: ShipOutcome,
    /// The objects that were delivered.
    pub deliveries: Vec<Delivery>,
    /// The age of the oldest event that waits for delivery, in seconds; 0 if none waits. `None` if it waits for the
    /// customer, if somebody else has taken over, or if it is unknown.
    pub lag_seconds: Option<u64>,
    /// AWS's own words, if it refused the object.
    pub answer: Option<String>,
    /// The code of the operator's page, if only the operator can end the failure.
    pub operator_code: Option<&'static str>,
    /// What became of the checkpoint that was due; `None` if none was.
    pub checkpoint: Option<Signed>,
}

/// What became of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signed {
    Put(LastCheckpoint),
    Failed {
        unsigned: Unsigned,
        /// The time since the first failure in a row, in seconds. `None` if the operator of Annals can do nothing.
        seconds: Option<u64>,
        /// The signer's own words, for the operator's log.
        answer: Option<String>,
    },
}

/// How shipping to one destination ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShipOutcome {
    /// Every event is delivered that the run found when it read the end of the log.
    UpToDate,
    /// The time budget is used up. If something was delivered, another message continues at once, else the next tick.
    OutOfTime,
    /// The destination is deleted, paused, or no longer included in the plan.
    Gone,
    /// Another shipper is at work on the destination, or it or the owner has changed the destination. A later run
    /// continues.
    Superseded,
    /// AWS or the customer's settings refused the object. The status says why.
    Failing(FailureCode),
}

/// A failure of Annals itself: the order should be tried again.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    #[error("the order names no destination")]
    BadOrder,
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("an event could not be recorded")]
    Append(#[from] AppendError),
}

/// The use cases of delivery: planning, shipping and maintenance.
#[derive(Debug)]
pub struct Shipping {
    pub(super) log: Arc<Log>,
    pub(super) registry: Arc<dyn Registry>,
    pub(super) queue: Arc<dyn ShipQueue>,
    pub(super) sink: Arc<dyn ObjectSink>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) policy: ShipPolicy,
    pub(super) plan_policy: PlanPolicy,
    pub(super) maintenance_policy: MaintenancePolicy,
    pub(super) signing: Option<Arc<Signing>>,
    pub(super) test_object_name: String,
    pub(super) brand: Brand,
    suspicion: Suspicion,
}

impl Shipping {
    #[must_use]
    pub fn new(
        log: Arc<Log>,
        registry: Arc<dyn Registry>,
        queue: Arc<dyn ShipQueue>,
        sink: Arc<dyn ObjectSink>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        policy: ShipPolicy,
    ) -> Self {
        let (plan_policy, maintenance_policy) = (PlanPolicy::default(), MaintenancePolicy::default());
        let (signing, suspicion) = (None, Suspicion::default());
        Self {
            log,
            registry,
            queue,
            sink,
            clock,
            entropy,
            policy,
            plan_policy,
            maintenance_policy,
            signing,
            test_object_name: TEST_OBJECT_NAME.to_owned(),
            brand: Brand::default(),
            suspicion,
        }
    }

    /// Maintains within other limits.
    #[must_use]
    pub fn with_maintenance_policy(self, maintenance_policy: MaintenancePolicy) -> Self {
        Self { maintenance_policy, ..self }
    }

    #[must_use]
    pub fn with_plan_policy(self, plan_policy: PlanPolicy) -> Self {
        Self { plan_policy, ..self }
    }

    /// Signs what is delivered. Without it, nothing is signed.
    #[must_use]
    pub fn with_signing(self, signing: Option<Arc<Signing>>) -> Self {
        Self { signing, ..self }
    }

    /// Sets the name of the object that tells whether a changed place can be written to.
    #[must_use]
    pub fn with_test_object_name(self, test_object_name: String) -> Self {
        Self { test_object_name, ..self }
    }

    /// Sets what customers see instead of Annals.
    #[must_use]
    pub fn with_brand(self, brand: Brand) -> Self {
        Self { brand, ..self }
    }

    /// Sets what becomes of roles that accept any external id.
    #[must_use]
    pub fn with_roles_without_external_id(self, roles: RolesWithoutExternalId) -> Self {
        Self { policy: ShipPolicy { roles, ..self.policy }, ..self }
    }

    /// Delivers the new events of one destination, object by object.
    ///
    /// # Errors
    /// Returns an error if Annals itself fails: the order should be tried again. A refusal by AWS is not an error, but
    /// [`ShipOutcome::Failing`] and part of the destination's status.
    pub async fn ship(&self, order: &ShipOrder) -> Result<ShipReport, ShipError> {
        let organisation: OrganisationId = order.organisation.parse().map_err(|_| ShipError::BadOrder)?;
        let id: DestinationId = order.destination.parse().map_err(|_| ShipError::BadOrder)?;
        let report = |outcome| {
            let lag_seconds = (outcome == ShipOutcome::UpToDate).then_some(0);
            Ok(ShipReport {
                outcome,
                deliveries: Vec::new(),
                lag_seconds,
                answer: None,
                operator_code: None,
                checkpoint: None,
            })
        };
        if !order.pending && !self.log.reaches(&organisation, order.next_sequence).await? {
            // Usually an earlier order has been carried out. If the read has missed an event, the next tick finds it.
            return report(ShipOutcome::UpToDate);
        }
        let Some(destination) = self.registry.destination(&organisation, &id).await? else {
            return report(ShipOutcome::Gone);
        };
        if self.is_at_work(&destination) {
            return report(ShipOutcome::Superseded);
        }
        let Some(organisation) = self.registry.organisation(&organisation, Consistency::Eventual).await? else {
            return report(ShipOutcome::Gone);
        };
        let lag_from = match &destination.progress {
            Progress { failing: Some(failing), .. } if is_outside_annals(failing.failure.code) => {
                Some(self.clock.now())
            }
            progress => progress.lag_from,
        };
        let mut run = DestinationRun::new(self, organisation, destination, lag_from);
        let outcome = run.run().await?;
        let DestinationRun { organisation, destination, deliveries, lag_from, checkpoint, .. } = run;
        if outcome == ShipOutcome::OutOfTime && !deliveries.is_empty() {
            let order = ShipOrder { next_sequence: destination.next_sequence, pending: true, ..order.clone() };
            // If it cannot be sent, the next tick continues.
            let _ = self.enqueue(&[order.into()]).await;
        }
        let lag_seconds = match outcome {
            ShipOutcome::UpToDate => Some(0),
            ShipOutcome::Failing(code) if is_outside_annals(code) => None,
            ShipOutcome::Failing(_) | ShipOutcome::OutOfTime => {
                self.lag(&organisation.id, destination.next_sequence, lag_from).await
            }
            ShipOutcome::Gone | ShipOutcome::Superseded => None,
        };
        let failing = destination.progress.failing.as_ref().filter(|_| matches!(outcome, ShipOutcome::Failing(_)));
        if !deliveries.is_empty() {
            self.suspicion.clear();
        }
        let worked = destination.progress.last_success.map_or(Worked::Never, |_| Worked::Before);
        let is_ours = failing.is_some_and(|failing| self.suspicion.is_ours(&organisation.id, failing, worked));
        let operator_code = match failing {
            Some(_) if is_ours => Some(FailureCode::OperatorNotAuthorized.as_str()),
            Some(failing) => diagnosis::code_of_delivery(failing.failure.code),
            None => None,
        };
        let answer = failing.and_then(|failing| failing.failure.aws.clone());
        Ok(ShipReport { outcome, deliveries, lag_seconds, answer, operator_code, checkpoint })
    }

    /// Returns whether a run is probably putting an object of the destination.
    fn is_at_work(&self, destination: &Destination) -> bool {
        let replay = destination.replay.as_ref().and_then(|replay| replay.intent.as_ref());
        let taken_at = destination.intent.iter().chain(replay).filter_map(|intent| intent.taken_at).max();
        let now = self.clock.now();
        // A time in the future comes from another clock, which may be far off.
        taken_at.is_some_and(|taken| now.since(taken).max(taken.since(now)) < self.policy.busy_for)
    }

    /// Returns the age of the event at `next_sequence`, in seconds, counted from the later of its recording and `from`.
    /// `None` if there is no such event or the log cannot be read.
    pub(super) async fn lag(
        &self,
        organisation: &OrganisationId,
        next_sequence: u64,
        from: Option<Timestamp>,
    ) -> Option<u64> {
        let since = self.log.waiting_since(organisation, next_sequence).await.ok()??;
        Some(self.clock.now().since(from.map_or(since, |from| from.max(since))).as_secs())
    }
}

/// Returns whether delivery waits for the customer or for AWS, so that the operator of Annals can do nothing.
pub(super) fn is_outside_annals(code: FailureCode) -> bool {
    code.remedied_by() != RemediedBy::Operator
}
