//! Destinations: created, changed, paused, resumed, replayed, tested and deleted.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Actor, Administration, AdministrationError, Recorded};
use crate::{
    change::{Change, Conflict},
    delivery::{
        Delivery,
        connection_test::{ConnectionTestReport, test_connection},
        sink::{ObjectSink, Target},
    },
    destination::{Destination, DestinationId, DestinationInput, Progress, Region, Replay, ReplayInput, SettingsPatch},
    entropy::{self, BASE36},
    log::store::Consistency,
    organisation::{Organisation, OrganisationId},
};

/// How far back the first delivery to a new destination reaches (WireMock Cloud's audit events, "lookback window").
const LOOKBACK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How often a change is tried again where a delivery came in between. One delivery after another would have to.
const MAX_TRIES: usize = 20;
/// Where events are kept no longer than the lookback window, it is shorter by this.
const MARGIN: Duration = Duration::from_secs(60 * 60);

impl Administration {
    /// Creates a destination. Its first delivery will begin with the first event of the last seven days.
    ///
    /// # Errors
    /// A conflict where the plan allows no more, or another organisation uses the bucket or the role.
    pub async fn create_destination(
        &self,
        organisation: &Organisation,
        input: DestinationInput,
        actor: &Actor,
    ) -> Result<Destination, AdministrationError> {
        // The plan may have been changed a moment ago.
        let organisation = self.registry.organisation(&organisation.id, Consistency::Strong).await?;
        let organisation = &organisation.ok_or(AdministrationError::NotFound)?;
        let limit = organisation.plan.destinations();
        if limit == 0 {
            return Err(AdministrationError::Conflict(Conflict::Limit));
        }
        let now = self.clock.now();
        // What would expire before the first tick would only be reported as lost.
        let reach = LOOKBACK.min(organisation.retention.duration() - MARGIN);
        let next_sequence = self.log.first_since(organisation, now.minus(reach)).await?;
        let id = entropy::characters(&*self.entropy, BASE36, DestinationId::LENGTH);
        let destination = Destination {
            id: id.parse().map_err(|_| AdministrationError::NotFound)?,
            organisation: organisation.id.clone(),
            bucket: input.bucket,
            role_arn: input.role_arn,
            settings: input.settings,
            paused: false,
            disabled: false,
            created_at: now,
            next_sequence: next_sequence.max(1),
            intent: None,
            replay: None,
            progress: Progress { lag_from: Some(now), ..Progress::default() },
            version: 1,
        };
        let event = Recorded {
            action: "CREATE",
            kind: "destination.create",
            entity: destination.entity(),
            before: None,
            after: Some(destination_state(&destination)),
            payload: None,
        };
        let change = Change::CreateDestination { destination: Box::new(destination.clone()), limit };
        self.record(organisation, event, actor, change).await?;
        Ok(destination)
    }

    /// An organisation's destinations.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn destinations(&self, organisation: &OrganisationId) -> Result<Vec<Destination>, AdministrationError> {
        Ok(self.registry.destinations(organisation).await?)
    }

    /// One destination.
    ///
    /// # Errors
    /// [`AdministrationError::NotFound`] where the organisation has none with this id.
    pub async fn destination(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Destination, AdministrationError> {
        self.registry.destination(organisation, id).await?.ok_or(AdministrationError::NotFound)
    }

    /// Changes what its owner may change. A delivery that was begun is finished as it was begun.
    ///
    /// # Errors
    /// [`AdministrationError::NotFound`] where the organisation has none with this id.
    pub async fn change_destination(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        patch: SettingsPatch,
        actor: &Actor,
    ) -> Result<Destination, AdministrationError> {
        let change = |mut destination: Destination| {
            destination.settings = patch.clone().apply(&destination.settings);
            Ok(tried_anew(destination))
        };
        self.change(organisation, id, ("UPDATE", "destination.update"), actor, change).await
    }

    /// Sends nothing more until it is resumed; nothing is lost meanwhile.
    ///
    /// # Errors
    /// [`AdministrationError::NotFound`] where the organisation has none with this id.
    pub async fn pause_destination(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        actor: &Actor,
    ) -> Result<Destination, AdministrationError> {
        let change = |destination| Ok(Destination { paused: true, ..destination });
        self.change(organisation, id, ("PAUSE", "destination.pause"), actor, change).await
    }

    /// Goes on where it stopped, at the next tick.
    ///
    /// # Errors
    /// [`AdministrationError::NotFound`] where the organisation has none with this id.
    pub async fn resume_destination(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        actor: &Actor,
    ) -> Result<Destination, AdministrationError> {
        let change = |destination| Ok(tried_anew(Destination { paused: false, ..destination }));
        self.change(organisation, id, ("RESUME", "destination.resume"), actor, change).await
    }

    /// Delivers events once more, under keys of their own, without touching what is delivered regularly. It begins at the
    /// next tick.
    ///
    /// # Errors
    /// [`AdministrationError::ReplayInProgress`], [`AdministrationError::NothingToReplay`], or
    /// [`AdministrationError::NotFound`] where the organisation has no destination with this id.
    pub async fn replay(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        input: ReplayInput,
        actor: &Actor,
    ) -> Result<Destination, AdministrationError> {
        let (first, last) = match input {
            ReplayInput::Sequences { first, last } => (first, last),
            ReplayInput::Times { since, until } => {
                let first = self.log.first_since(organisation, since).await?;
                (first, self.log.first_since(organisation, until).await? - 1)
            }
        };
        let tail = self.log.tail(&organisation.id).await?;
        let first = first.max(self.log.first_live(organisation).await?);
        let last = last.min(tail.last);
        if first > last {
            return Err(AdministrationError::NothingToReplay);
        }
        let replay_id = entropy::characters(&*self.entropy, BASE36, 8);
        let started_at = self.clock.now();
        let change = |destination: Destination| {
            if destination.replay.is_some() {
                return Err(AdministrationError::ReplayInProgress);
            }
            let replay = Replay { id: replay_id.clone(), next: first, last, started_at, intent: None };
            Ok(Destination { replay: Some(replay), ..destination })
        };
        self.change(organisation, id, ("REPLAY", "destination.replay"), actor, change).await
    }

    /// Disables destinations beyond what the plan allows, the youngest first, and enables those within it again.
    pub(super) async fn apply_plan(
        &self,
        organisation: &Organisation,
        actor: &Actor,
    ) -> Result<(), AdministrationError> {
        let mut destinations = self.registry.destinations(&organisation.id).await?;
        destinations.sort_by_key(|destination| destination.created_at);
        for (index, destination) in destinations.iter().enumerate() {
            let disabled = index >= organisation.plan.destinations();
            if destination.disabled == disabled {
                continue;
            }
            let what = if disabled { ("DISABLE", "destination.disable") } else { ("ENABLE", "destination.enable") };
            let change = |destination| Ok(Destination { disabled, ..destination });
            match self.change(organisation, &destination.id, what, actor, change).await {
                // It was deleted meanwhile.
                Ok(_) | Err(AdministrationError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes `change` of a destination, whatever else happens to it meanwhile, and records it as `what`: action and
    /// type. What changes nothing is not recorded.
    async fn change(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        what: (&'static str, &'static str),
        actor: &Actor,
        change: impl Fn(Destination) -> Result<Destination, AdministrationError>,
    ) -> Result<Destination, AdministrationError> {
        for _ in 0..MAX_TRIES {
            let before = self.destination(&organisation.id, id).await?;
            let mut after = change(before.clone())?;
            if after == before {
                return Ok(after);
            }
            after.version += 1;
            if after.is_active() && !before.is_active() {
                after.progress.lag_from = Some(self.clock.now());
            }
            let (action, kind) = what;
            let event = Recorded {
                action,
                kind,
                entity: after.entity(),
                before: Some(destination_state(&before)),
                after: Some(destination_state(&after)),
                payload: None,
            };
            let update = Change::UpdateDestination(Box::new(after.clone()));
            match self.record(organisation, event, actor, update).await {
                // A delivery came in between: what was decided holds for the destination as it is now.
                Err(AdministrationError::Conflict(Conflict::Changed)) => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(after),
            }
        }
        Err(AdministrationError::Conflict(Conflict::Changed))
    }

    /// Deletes a destination: nothing more is sent there.
    ///
    /// # Errors
    /// [`AdministrationError::NotFound`] where the organisation has none with this id.
    pub async fn delete_destination(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        actor: &Actor,
    ) -> Result<(), AdministrationError> {
        for _ in 0..MAX_TRIES {
            let destination = self.destination(&organisation.id, id).await?;
            let event = Recorded {
                action: "DELETE",
                kind: "destination.delete",
                entity: destination.entity(),
                before: Some(destination_state(&destination)),
                after: None,
                payload: None,
            };
            match self.record(organisation, event, actor, Change::DeleteDestination(Box::new(destination))).await {
                // A delivery came in between: what was decided holds for the destination as it is now.
                Err(AdministrationError::Conflict(Conflict::Changed)) => {}
                other => return other,
            }
        }
        Err(AdministrationError::Conflict(Conflict::Changed))
    }

    /// The last `limit` deliveries to a destination, the newest first.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn deliveries(
        &self,
        destination: &Destination,
        limit: usize,
    ) -> Result<Vec<Delivery>, AdministrationError> {
        Ok(self.registry.deliveries(&destination.organisation, &destination.id, limit).await?)
    }

    /// Tests a destination through `sink`, writing the object `name`, and records that it was tested.
    ///
    /// # Errors
    /// [`AdministrationError::NotFound`] where the organisation has none with this id. What the test finds wrong is no
    /// error but its result.
    pub async fn test_connection(
        &self,
        sink: &dyn ObjectSink,
        name: &str,
        organisation: &Organisation,
        id: &DestinationId,
        actor: &Actor,
    ) -> Result<ConnectionTestReport, AdministrationError> {
        let destination = self.destination(&organisation.id, id).await?;
        let target = Target::of(organisation, &destination);
        let report = test_connection(sink, &*self.entropy, self.clock.now(), target, name).await;
        let event = Recorded {
            action: "TEST",
            kind: "destination.test",
            entity: destination.entity(),
            before: None,
            after: None,
            payload: Some(json!({"outcome": if report.passed { "passed" } else { "failed" }, "steps": report.steps})),
        };
        self.log.append(organisation, vec![event.body(actor)], None).await?;
        let mut after = destination.clone();
        if let Some(region) = &report.learnt_region {
            after.settings.region = Some(region.clone());
        }
        if report.passed {
            after = tried_anew(after);
        }
        if after != destination {
            after.version += 1;
            // Where this fails, or somebody else changed it meanwhile, the next put finds out by itself.
            let _ = self.registry.save_progress(&after, None).await;
        }
        Ok(report)
    }
}

/// The destination with its pause over, where it is failing: its owner has just done something about it.
fn tried_anew(mut destination: Destination) -> Destination {
    if let Some(failing) = &mut destination.progress.failing {
        failing.retry_at = failing.since;
    }
    destination
}

fn destination_state(destination: &Destination) -> Value {
    json!({
        "bucket": destination.bucket.as_str(),
        "roleArn": destination.role_arn.as_str(),
        "prefix": destination.settings.prefix.as_str(),
        "region": destination.settings.region.as_ref().map(Region::as_str),
        "compression": destination.settings.compression.as_str(),
        "layout": destination.settings.layout.as_str(),
        "bucketOwner": destination.bucket_owner(),
        "state": destination.state(),
        "replay": destination.replay.as_ref().map(|replay| {
            json!({"id": replay.id, "firstSequence": replay.next, "lastSequence": replay.last})
        }),
    })
}
