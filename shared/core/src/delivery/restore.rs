//! Continuing after a table, or both, were restored to an earlier copy: every organisation's log behind the numbers that were
//! used, and every destination behind what was delivered.
//!
//! What the copy of the registry does not know, the operator names: how far destinations were delivered, which the log lines
//! of shipments say, and higher numbers of logs. What one organisation lacks does not stop the others, and a repetition does
//! nothing twice.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use super::{
    queue::{QueueMessage, ShipOrder},
    ship::Shipping,
};
use crate::{
    destination::{Delivery, Destination, DestinationId},
    event::{Body, Entity, OwnEvent, Principal},
    log::{
        append::{AppendError, IdempotencyKey},
        read::SegmentEnd,
        restore::{RestoreError, RestoreId},
        store::{Consistency, Hole, StoreError},
    },
    organisation::{Organisation, OrganisationId},
    proof::checkpoint::{Checkpoint, SignedNote},
    registry::{ActiveDestination, RestoredTables},
    time::Timestamp,
};

/// The most events that a log can have got in a second: a hundred appends of a thousand events, more than a log's partition
/// writes. So many numbers are skipped for each second between the copy and the restore, because producers and readers may
/// have seen them. A log has numbers for 127 such days.
const EVENTS_PER_SECOND: u64 = 100_000;
/// The number of organisations that are restored at once.
const RESTORED_AT_ONCE: usize = 8;
/// The number of organisations that are listed at once.
const PAGE: usize = 100;

/// What was restored, and what is known besides.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// Names the restore, so that a repetition is recognised.
    pub restore: RestoreId,
    pub tables: RestoredTables,
    /// The time of the copy.
    pub restored_to: Timestamp,
    /// How many numbers of each log stay unused behind the highest known one. Default: as many as can have been used since
    /// `restored_to`.
    pub skip: Option<u64>,
    /// The highest sequences of logs, as far as the operator knows them.
    pub last: BTreeMap<OrganisationId, u64>,
    /// The last sequences that were delivered to destinations, as far as the operator knows them. A destination that is not
    /// named continues where the registry says.
    pub delivered: BTreeMap<(OrganisationId, DestinationId), u64>,
}

/// What was restored.
#[derive(Debug, Default)]
pub struct RestoreReport {
    /// The number of organisations.
    pub restored: usize,
    /// The organisations that could not be restored, with the reasons.
    pub failed: Vec<(OrganisationId, OrganisationError)>,
    /// Where to continue, if there is more.
    pub after: Option<RestoreCursor>,
}

/// Where a restore of all organisations continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreCursor {
    /// The last organisation so far.
    pub organisation: OrganisationId,
    /// How many of those so far could not be restored.
    pub failed: usize,
}

/// Why an organisation could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum OrganisationError {
    #[error("there is no such organisation: create it first")]
    Missing,
    #[error("destination {0}: sequence {1} is not the last event of an object, so it cannot be the last one delivered")]
    NotAnEnd(DestinationId, u64),
    #[error("destination {0} was changed at the same time: stop deliveries first")]
    Changed(DestinationId),
    #[error("the log could not be restored")]
    Log(#[from] RestoreError),
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("the restore could not be recorded")]
    Append(#[from] AppendError),
}

impl Shipping {
    /// Restores the organisations that follow `after`, as many as fit into the time budget. The tables count as the deployment's
    /// own once the last organisation is restored and none has failed since the first.
    ///
    /// # Errors
    /// Returns an error if organisations cannot be listed.
    pub async fn restore(
        &self,
        request: &RestoreRequest,
        after: Option<RestoreCursor>,
    ) -> Result<RestoreReport, StoreError> {
        let deadline = self.clock.now().plus(self.policy.time_budget);
        let mut report = RestoreReport::default();
        let failed_before = after.as_ref().map_or(0, |cursor| cursor.failed);
        let mut after = after.map(|cursor| cursor.organisation);
        loop {
            let page = self.registry.organisations(after.as_ref(), PAGE).await?;
            for some in page.chunks(RESTORED_AT_ONCE) {
                let tasks = some.iter().map(async |organisation| {
                    (organisation.id.clone(), self.restore_organisation(request, organisation).await)
                });
                for (organisation, result) in futures_util::future::join_all(tasks).await {
                    report.add(organisation, result);
                }
                after = some.last().map(|last| last.id.clone());
                if self.clock.now() >= deadline {
                    let failed = failed_before + report.failed.len();
                    report.after = after.map(|organisation| RestoreCursor { organisation, failed });
                    return Ok(report);
                }
            }
            if page.len() < PAGE {
                if failed_before + report.failed.len() == 0 {
                    self.registry.adopt_tables().await?;
                }
                return Ok(report);
            }
        }
    }

    /// Restores one organisation.
    ///
    /// # Errors
    /// Returns an error if the organisation cannot be read.
    pub async fn restore_one(
        &self,
        request: &RestoreRequest,
        organisation: &OrganisationId,
    ) -> Result<RestoreReport, StoreError> {
        let mut report = RestoreReport::default();
        let result = match self.registry.organisation(organisation, Consistency::Strong).await? {
            Some(found) => self.restore_organisation(request, &found).await,
            None => Err(OrganisationError::Missing),
        };
        report.add(organisation.clone(), result);
        Ok(report)
    }

    async fn restore_organisation(
        &self,
        request: &RestoreRequest,
        organisation: &Organisation,
    ) -> Result<(), OrganisationError> {
        let destinations = self.registry.destinations(&organisation.id).await?;
        if request.tables != RestoredTables::Registry {
            let known = self.highest_known(request, organisation, &destinations).await?;
            let skip = request.skip.unwrap_or_else(|| {
                let lost = self.clock.now().since(request.restored_to).max(Duration::from_secs(1));
                lost.as_secs().saturating_mul(EVENTS_PER_SECOND)
            });
            let event = |hole: &Hole| restored_log(request, organisation, known, hole);
            self.log.restore(organisation, &request.restore, known, skip, event).await?;
        } else {
            // A repetition finds the key.
            let key = format!("registry.restored {}", request.restore);
            let key = IdempotencyKey::parse(key.as_bytes()).ok();
            let event = restored_registry(request, organisation);
            self.log.append(organisation, vec![event], key).await?;
        }
        for destination in &destinations {
            if request.tables != RestoredTables::Log {
                let position = (organisation.id.clone(), destination.id.clone());
                self.continue_destination(destination, request.delivered.get(&position).copied()).await?;
            }
        }
        // Planning may find nothing at the next sequence of a destination that stands in a hole.
        let active = destinations.iter().filter(|destination| destination.is_active());
        let orders: Vec<QueueMessage> = active.map(|destination| order(destination, self.clock.now()).into()).collect();
        self.enqueue(&orders).await.map_err(StoreError::from)?;
        Ok(())
    }

    /// Returns the highest sequence of a log that the registry or the operator knows.
    async fn highest_known(
        &self,
        request: &RestoreRequest,
        organisation: &Organisation,
        destinations: &[Destination],
    ) -> Result<u64, StoreError> {
        let signed = match &self.signing {
            Some(signing) => signing.last_signed(&organisation.id).await?,
            None => 0,
        };
        let named = request.last.get(&organisation.id).copied().unwrap_or(0);
        let delivered = request.delivered.iter().filter(|((of, _), _)| *of == organisation.id).map(|(_, last)| *last);
        let stored = destinations.iter().map(highest_of);
        Ok(delivered.chain(stored).fold(signed.max(named), u64::max))
    }

    /// Lets a destination of a restored registry continue, behind `last` if that was delivered after the copy was made. The
    /// next checkpoint says that others may have been put after the one before it.
    async fn continue_destination(
        &self,
        destination: &Destination,
        last: Option<u64>,
    ) -> Result<(), OrganisationError> {
        let mut next = Destination { version: destination.version + 1, ..destination.clone() };
        if self.signing.is_some() {
            next.checkpoints.restored = true;
            next.checkpoints.due_at = Some(self.clock.now());
        }
        // Deliveries may have been made since the copy.
        next.progress.delivered = destination.progress.usage().with_unknown_until(Some(self.clock.now()));
        let stand_in = match last.filter(|last| *last >= destination.next_sequence) {
            Some(last) => Some(self.advance(&mut next, last).await?),
            None => None,
        };
        if self.registry.save_progress(&next, stand_in.as_ref()).await? {
            Ok(())
        } else {
            Err(OrganisationError::Changed(destination.id.clone()))
        }
    }

    /// Lets a destination continue behind `last`. Returns the record that stands for those of the deliveries up to there.
    async fn advance(&self, destination: &mut Destination, last: u64) -> Result<Delivery, OrganisationError> {
        let organisation = destination.organisation.clone();
        let hash = match self.log.end_of_segment(&organisation, last).await? {
            SegmentEnd::Hash(hash) => Some(hash),
            SegmentEnd::Missing => None,
            SegmentEnd::Within => return Err(OrganisationError::NotAnEnd(destination.id.clone(), last)),
        };
        let first = std::mem::replace(&mut destination.next_sequence, last + 1);
        destination.deliveries += 1;
        destination.progress.last_hash = hash;
        destination.intent.take_if(|intent| intent.first <= last);
        destination.first_sequence.get_or_insert(first);
        Ok(Delivery {
            organisation,
            destination: destination.id.clone(),
            number: Some(destination.deliveries),
            first,
            last,
            last_hash: hash,
            expired: Vec::new(),
            lost: None,
            key: String::new(),
            bucket: None,
            replay: None,
            already_there: true,
            content: None,
            lag_seconds: 0,
            lag_events: 0,
            delivered_at: self.clock.now(),
        })
    }
}

impl RestoreReport {
    fn add(&mut self, organisation: OrganisationId, result: Result<(), OrganisationError>) {
        match result {
            Ok(()) => self.restored += 1,
            Err(error) => self.failed.push((organisation, error)),
        }
    }
}

/// Returns the highest sequence that a destination proves: delivered, about to be, or signed.
fn highest_of(destination: &Destination) -> u64 {
    let Destination { next_sequence, intent, replay, checkpoints, .. } = destination;
    let begun = checkpoints.begun.as_ref().map_or(0, |begun| {
        let note = SignedNote::parse(begun.note.as_bytes()).ok();
        let checkpoint = note.and_then(|note| Checkpoint::parse(note.text()).ok());
        checkpoint.and_then(|checkpoint| checkpoint.delivered).map_or(begun.becomes.sequence, |one| one.log_last)
    });
    let intent = intent.as_ref().map_or(0, |intent| intent.last);
    let replay = replay.as_ref().map_or(0, |replay| replay.last);
    let signed = checkpoints.last.as_ref().map_or(0, |last| last.sequence);
    [next_sequence.saturating_sub(1), intent, replay, signed, begun].into_iter().fold(0, u64::max)
}

/// Returns the order to ship to a destination, whatever planning would find.
fn order(destination: &Destination, now: Timestamp) -> ShipOrder {
    let active = ActiveDestination {
        organisation: destination.organisation.clone(),
        id: destination.id.clone(),
        next_sequence: destination.next_sequence,
        pending: true,
        checkpoint_due: None,
        retry_at: None,
        failure: None,
        lag_from: None,
    };
    ShipOrder::of(&active, now)
}

fn restored_log(request: &RestoreRequest, organisation: &Organisation, known: u64, hole: &Hole) -> Body {
    let payload = json!({
        "reason": "an earlier copy of the log was restored",
        "restore": request.restore.as_str(),
        "tables": request.tables,
        "restoredTo": request.restored_to,
        "highestKnownSequence": known,
        "lost": [{"firstSequence": hole.first, "lastSequence": hole.last}],
    });
    event("log.restored", organisation, payload)
}

fn restored_registry(request: &RestoreRequest, organisation: &Organisation) -> Body {
    let payload = json!({
        "reason": "an earlier copy of tokens, destinations and records of deliveries was restored",
        "restore": request.restore.as_str(),
        "tables": request.tables,
        "restoredTo": request.restored_to,
    });
    event("registry.restored", organisation, payload)
}

fn event(kind: &'static str, organisation: &Organisation, payload: serde_json::Value) -> Body {
    OwnEvent {
        action: "RESTORE",
        kind,
        entity: Entity { id: organisation.id.to_string(), name: organisation.name.clone(), entity_type: "AUDIT_LOG" },
        principal: Principal::machine("annals", "Annals", "SYSTEM"),
        before: None,
        after: None,
        client_type: "SYSTEM",
        context: None,
        payload: Some(payload),
    }
    .body()
}
