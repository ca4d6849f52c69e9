//! The use cases of destinations: create, change, pause, resume, replay, test, delete.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Actor, Administration, AdministrationError, ConfirmInput, DestinationInput, DestinationPatch, Recorded, ReplayInput,
};
use crate::{
    change::{Change, Conflict},
    delivery::{claims, moving::left_behind},
    destination::{
        Challenge, Checkpoints, Delivery, Destination, DestinationId, Failing, Place, Progress, Proof, ProvenBy,
        Replay, RolesWithoutExternalId,
        connection_test::{ConnectionTestReport, Step, Tested, test_connection},
        failure::{Failure, Withheld},
        proof::{RoleCheck, check_role},
        sink::{ObjectSink, Target},
    },
    entropy::{self, BASE36},
    fault::Fault,
    id::EventId,
    limited::Limited,
    log::store::Consistency,
    organisation::{Organisation, OrganisationId},
};

/// How far back the first delivery to a new destination reaches (WireMock Cloud, audit events, "lookback window").
const LOOKBACK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The most attempts of a change. An attempt fails only if a delivery is committed at the same time.
pub(super) const MAX_TRIES: usize = 20;
/// The first delivery begins with an event that is kept for at least this long: it comes with the next tick, within ten
/// minutes.
const FIRST_TICK: Duration = Duration::from_secs(15 * 60);

impl Administration {
    /// Creates a destination. Its first delivery begins with the first event of the last seven days.
    ///
    /// # Errors
    /// Returns a conflict if the plan allows no more destinations.
    pub async fn create_destination(
        &self,
        organisation: &Organisation,
        input: DestinationInput,
        actor: &Actor,
    ) -> Result<Destination, AdministrationError> {
        // The caller's copy may be stale.
        let organisation = self.registry.organisation(&organisation.id, Consistency::Strong).await?;
        let organisation = &organisation.ok_or(AdministrationError::NotFound)?;
        let limit = organisation.plan.destinations();
        if limit == 0 {
            return Err(AdministrationError::Conflict(Conflict::Limit));
        }
        let now = self.clock.now();
        // Events that expire before the first tick cannot be delivered and would be reported as lost.
        let first_sequence = self.log.first_kept(organisation, now.minus(LOOKBACK), now.plus(FIRST_TICK)).await?.max(1);
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
            proof: Proof::default(),
            pending: None,
            first_sequence: Some(first_sequence),
            next_sequence: first_sequence,
            deliveries: 0,
            intent: None,
            replay: None,
            progress: Progress { lag_from: Some(now), ..Progress::default() },
            checkpoints: Checkpoints::default(),
            version: Destination::FIRST_VERSION,
        };
        let event = Recorded {
            action: "CREATE",
            kind: "destination.create",
            entity: destination.entity(),
            before: None,
            after: Some(destination.recorded_state()),
            payload: None,
        };
        let change = Change::CreateDestination { destination: Box::new(destination.clone()), limit };
        self.record(organisation, event, actor, change).await?;
        Ok(destination)
    }

    /// # Errors
    /// Returns an error if the store fails.
    pub async fn destinations(&self, organisation: &OrganisationId) -> Result<Vec<Destination>, AdministrationError> {
        Ok(self.registry.destinations(organisation).await?)
    }

    /// # Errors
    /// Returns [`AdministrationError::NotFound`] if the organisation has no such destination.
    pub async fn destination(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Destination, AdministrationError> {
        self.registry.destination(organisation, id).await?.ok_or(AdministrationError::NotFound)
    }

    /// Changes the destination. A delivery that has begun is finished with the old settings. Another bucket, role or prefix waits
    /// until it is proven, if the one in force is.
    ///
    /// # Errors
    /// Returns [`AdministrationError::NotFound`] if the organisation has no such destination.
    pub async fn change_destination(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        patch: DestinationPatch,
        actor: &Actor,
    ) -> Result<Destination, AdministrationError> {
        let change =
            |destination: Destination| Ok(due_at_once(patch.apply(&destination, self.clock.now(), &*self.entropy)));
        self.change(organisation, id, ("UPDATE", "destination.update"), actor, change).await
    }

    /// Pauses delivery. Events wait until they expire.
    ///
    /// # Errors
    /// Returns [`AdministrationError::NotFound`] if the organisation has no such destination.
    pub async fn pause_destination(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        actor: &Actor,
    ) -> Result<Destination, AdministrationError> {
        let change = |destination| Ok(Destination { paused: true, ..destination });
        self.change(organisation, id, ("PAUSE", "destination.pause"), actor, change).await
    }

    /// Resumes delivery at the next tick, where it stopped.
    ///
    /// # Errors
    /// Returns [`AdministrationError::NotFound`] if the organisation has no such destination.
    pub async fn resume_destination(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        actor: &Actor,
    ) -> Result<Destination, AdministrationError> {
        let change = |destination| Ok(due_at_once(Destination { paused: false, ..destination }));
        self.change(organisation, id, ("RESUME", "destination.resume"), actor, change).await
    }

    /// Delivers events once more, under keys of their own, in addition to the regular delivery. The replay begins at the
    /// next tick.
    ///
    /// # Errors
    /// Returns [`AdministrationError::ReplayInProgress`], [`AdministrationError::NothingToReplay`],
    /// [`AdministrationError::TooOften`], or [`AdministrationError::NotFound`] if the organisation has no such destination.
    pub async fn replay(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        input: ReplayInput,
        actor: &Actor,
    ) -> Result<Destination, AdministrationError> {
        self.destination(&organisation.id, id).await?;
        self.count_use(&organisation.id, Limited::Replay).await?;
        let (first, last) = match input {
            ReplayInput::Sequences { first, last } => (first, last),
            ReplayInput::Times { since, until } => {
                let first = self.log.first_since(organisation, since).await?;
                (first, self.log.first_since(organisation, until).await? - 1)
            }
        };
        let tail = self.log.tail_of(organisation).await?;
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

    /// Proves a role that accepts any external id by the code in the test object. Wrong codes are recorded, too.
    ///
    /// # Errors
    /// Returns [`AdministrationError::Input`] if the code is wrong, [`AdministrationError::NoCode`] if none can be entered, and
    /// [`AdministrationError::NotFound`] if the organisation has no such destination.
    pub async fn confirm_destination(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        input: &ConfirmInput,
        actor: &Actor,
    ) -> Result<Destination, AdministrationError> {
        for _ in 0..MAX_TRIES {
            let before = self.destination(&organisation.id, id).await?;
            let wanted = before.pending.as_ref().map_or(&before.proof, |pending| &pending.proof);
            if wanted.proven.is_some() {
                return self.take_over(organisation, id, actor).await;
            }
            let now = self.clock.now();
            let Some(challenge) = wanted.challenge.clone().filter(|challenge| challenge.is_open(now)) else {
                return Err(AdministrationError::NoCode);
            };
            let is_right = challenge.matches(&input.code);
            let mut after = Destination { version: before.version + 1, ..before.clone() };
            let left = Challenge::MOST_ATTEMPTS - challenge.attempts - u32::from(!is_right);
            let proof = if is_right {
                Proof::of(ProvenBy::Code, now)
            } else {
                let challenge = Some(Challenge { attempts: challenge.attempts + 1, ..challenge });
                Proof { challenge, ..wanted.clone() }
            };
            match &mut after.pending {
                Some(pending) => {
                    // The code was in the bucket.
                    pending.reached_at = pending.reached_at.or(is_right.then_some(now));
                    pending.proof = proof;
                }
                None => after.proof = proof,
            }
            if is_right && after.pending.is_none() {
                forget_unproven(&mut after);
            }
            let event = Recorded {
                action: "CONFIRM",
                kind: "destination.confirm",
                entity: after.entity(),
                before: None,
                after: None,
                payload: Some(json!({"outcome": if is_right { "passed" } else { "failed" }})),
            };
            // An attempt counts before its result is told, so that many at once are no more attempts.
            match self.record(organisation, event, actor, Change::UpdateDestination(Box::new(after.clone()))).await {
                Err(AdministrationError::Conflict(Conflict::Changed)) => {}
                Err(error) => return Err(error),
                Ok(()) if is_right => return self.take_over(organisation, id, actor).await,
                Ok(()) => {
                    let detail = match left {
                        0 => "is not the code in the test object; that was the last attempt: test again for a new code"
                            .to_owned(),
                        left => format!("is not the code in the test object; attempts left: {left}"),
                    };
                    return Err(AdministrationError::Input(Fault::at("/code", detail)));
                }
            }
        }
        Err(AdministrationError::Conflict(Conflict::Changed))
    }

    /// Stores what a test found out about the role. If the role has to be proven by a code, there is one afterwards.
    async fn save_check(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        check: &RoleCheck,
        tested: &Place,
    ) -> Result<Destination, AdministrationError> {
        for _ in 0..MAX_TRIES {
            let before = self.destination(&organisation.id, id).await?;
            if !before.wanted_place().is_same(tested) {
                return Err(AdministrationError::Conflict(Conflict::Changed));
            }
            let now = self.clock.now();
            let mut after = before.clone();
            let proof = after.pending.as_mut().map_or(&mut after.proof, |pending| &mut pending.proof);
            *proof = proof.after(check, self.roles, now);
            let is_open = *check == RoleCheck::AcceptsAnyExternalId && proof.proven.is_none();
            if is_open {
                let challenge = proof.challenge.take().filter(|challenge| challenge.is_open(now));
                proof.challenge = (self.roles != RolesWithoutExternalId::Refuse)
                    .then(|| challenge.unwrap_or_else(|| Challenge::new(&*self.entropy, now)));
            }
            if after.pending.is_some() {
                // The status is that of the place in force.
            } else if is_open {
                let failure =
                    Failure::withheld(Withheld::of(&after.proof, self.roles), &Target::of(organisation, &after));
                let since = after.progress.failing.as_ref().map_or(now, |failing| failing.since);
                after.progress.failing = Some(Failing { failure, since, attempts: 1, retry_at: now });
                after.progress.lag_from = Some(now);
            } else if after.proof.proven.is_some() {
                forget_unproven(&mut after);
            }
            if after == before {
                return Ok(after);
            }
            after.version += 1;
            if self.registry.save_progress(&after, None).await? {
                return Ok(after);
            }
        }
        Err(AdministrationError::Conflict(Conflict::Changed))
    }

    /// Disables destinations that the plan does not include, the youngest first, and enables the others.
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
                // Not found: it was deleted in the meantime.
                Ok(_) | Err(AdministrationError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Applies `change` to a destination and records it. `what` contains the action and the type of the event. If a
    /// delivery is committed at the same time, applies the change again. A change without effect is not recorded.
    pub(super) async fn change(
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
                let now = self.clock.now();
                after.progress.lag_from = Some(now);
                // The events that waited may have expired, which planning does not notice: it must be shipped once.
                after.checkpoints.due_at = Some(now);
            }
            let (action, kind) = what;
            let event = Recorded {
                action,
                kind,
                entity: after.entity(),
                before: Some(before.recorded_state()),
                after: Some(after.recorded_state()),
                payload: left_behind(&before, &after),
            };
            let update = Change::UpdateDestination(Box::new(after.clone()));
            match self.record(organisation, event, actor, update).await {
                // A delivery was committed at the same time: decide again.
                Err(AdministrationError::Conflict(Conflict::Changed)) => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(after),
            }
        }
        Err(AdministrationError::Conflict(Conflict::Changed))
    }

    /// Deletes a destination. Delivery to it ends.
    ///
    /// # Errors
    /// Returns [`AdministrationError::NotFound`] if the organisation has no such destination.
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
                before: Some(destination.recorded_state()),
                after: None,
                payload: None,
            };
            match self.record(organisation, event, actor, Change::DeleteDestination(Box::new(destination))).await {
                // A delivery was committed at the same time: decide again.
                Err(AdministrationError::Conflict(Conflict::Changed)) => {}
                other => return other,
            }
        }
        Err(AdministrationError::Conflict(Conflict::Changed))
    }

    /// Returns the last `limit` deliveries to a destination, the newest first.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn deliveries(
        &self,
        destination: &Destination,
        limit: usize,
    ) -> Result<Vec<Delivery>, AdministrationError> {
        let mut deliveries = self.registry.deliveries(&destination.organisation, &destination.id, limit).await?;
        deliveries.retain(|delivery| !delivery.is_stand_in());
        Ok(deliveries)
    }

    /// Returns the organisation's destinations, each with the delivery that contains the event `id`, if it is delivered.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn deliveries_of(
        &self,
        organisation: &OrganisationId,
        id: EventId,
    ) -> Result<Vec<(Destination, Option<Delivery>)>, AdministrationError> {
        let destinations = self.registry.destinations(organisation).await?;
        let deliveries = destinations.iter().map(|destination| {
            self.registry.delivery_of(organisation, &destination.id, id.sequence(), id.recorded_at())
        });
        let deliveries = futures_util::future::try_join_all(deliveries).await?;
        let deliveries = deliveries.into_iter().map(|delivery| delivery.filter(|delivery| !delivery.is_stand_in()));
        Ok(destinations.into_iter().zip(deliveries).collect())
    }

    /// Returns the result of the last connection test, if it is not older than about 30 days.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn last_connection_test(
        &self,
        destination: &Destination,
    ) -> Result<Option<ConnectionTestReport>, AdministrationError> {
        Ok(self.registry.last_connection_test(&destination.organisation, &destination.id).await?)
    }

    /// Tests a destination through `sink` with the test object `name`, records the test, and saves its result.
    ///
    /// # Errors
    /// Returns [`AdministrationError::NotFound`] if the organisation has no such destination, and
    /// [`AdministrationError::TooOften`]. A failed test is not an error.
    pub async fn test_connection(
        &self,
        sink: &dyn ObjectSink,
        name: &str,
        organisation: &Organisation,
        id: &DestinationId,
        actor: &Actor,
    ) -> Result<ConnectionTestReport, AdministrationError> {
        let destination = self.destination(&organisation.id, id).await?;
        self.count_use(&organisation.id, Limited::Test).await?;
        let (target, tested) = (Target::of(organisation, &destination.as_wanted()), destination.wanted_place());
        let check = check_role(sink, &*self.entropy, &target).await;
        // The code is stored before it is written, so that it can be entered as soon as it can be read.
        let destination = self.save_check(organisation, id, &check, &tested).await?.as_wanted();
        let taken = if destination.proof.proven.is_some() && !destination.proof.claimed {
            claims::rival(&*self.registry, &destination, self.clock.now()).await?
        } else {
            None
        };
        let tested = Tested {
            target: Target::of(organisation, &destination),
            organisation: &organisation.name,
            check,
            proof: &destination.proof,
            roles: self.roles,
            taken,
            object_name: name,
            product: self.brand.name(),
        };
        let report = test_connection(sink, self.clock.now(), tested).await;
        let event = Recorded {
            action: "TEST",
            kind: "destination.test",
            entity: destination.entity(),
            before: None,
            after: None,
            payload: Some(json!({
                "outcome": report.outcome(),
                "steps": report.steps.iter().map(step_state).collect::<Vec<_>>(),
            })),
        };
        self.log.append(organisation, vec![event.body(actor)], None).await?;
        self.registry.save_connection_test(&organisation.id, id, &report).await?;
        let due = |destination: &mut Destination| {
            if report.passed {
                make_due(destination);
            }
        };
        let saved = self.save_result(organisation, id, &report, due).await?;
        if saved.and_then(|saved| saved.pending).is_some_and(|pending| pending.ready_at().is_some()) {
            self.take_over(organisation, id, actor).await?;
        }
        Ok(report)
    }
}

/// Ends the pause before the next attempt of a failing destination, because its owner has just changed something.
fn due_at_once(mut destination: Destination) -> Destination {
    make_due(&mut destination);
    destination
}

fn make_due(destination: &mut Destination) {
    if let Some(failing) = &mut destination.progress.failing {
        failing.retry_at = failing.since;
    }
}

/// Returns a step of a connection test, as events record it: with the advice as text.
fn step_state(step: &Step) -> Value {
    let mut state = json!({"name": step.name, "outcome": step.outcome, "detail": step.detail});
    let optional = [
        ("fix", step.fix.as_ref().map(ToString::to_string)),
        ("code", step.code.map(|code| code.as_str().to_owned())),
        ("aws", step.aws.clone()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            state[name] = value.into();
        }
    }
    state
}

/// Ends the state of a role that is proven by now.
fn forget_unproven(destination: &mut Destination) {
    if destination.progress.failing.as_ref().is_some_and(|failing| failing.failure.code.is_of_proof()) {
        destination.progress.failing = None;
    }
}
