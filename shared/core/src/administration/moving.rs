//! The use cases of a destination's pending change: it takes over once it is proven, or is withdrawn.

use super::{Actor, Administration, AdministrationError, Recorded, destinations::MAX_TRIES};
use crate::{
    change::{Change, Conflict},
    delivery::{
        claims,
        moving::{left_behind, moved, note_test},
    },
    destination::{Destination, DestinationId, Proof, connection_test::ConnectionTestReport},
    organisation::Organisation,
};

impl Administration {
    /// Withdraws the pending change of a destination. What is in force stays. Does nothing if there is no pending change.
    ///
    /// # Errors
    /// Returns [`AdministrationError::NotFound`] if the organisation has no such destination.
    pub async fn withdraw_change(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        actor: &Actor,
    ) -> Result<Destination, AdministrationError> {
        let change = |destination| Ok(Destination { pending: None, ..destination });
        self.change(organisation, id, ("UPDATE", "destination.update"), actor, change).await
    }

    /// Stores what a test found out about the place that it tested. Returns the destination; `None` if it was deleted, or its owner
    /// wants another place by now.
    pub(super) async fn save_result(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        report: &ConnectionTestReport,
        change: impl Fn(&mut Destination),
    ) -> Result<Option<Destination>, AdministrationError> {
        for _ in 0..MAX_TRIES {
            let Some(before) = self.registry.destination(&organisation.id, id).await? else { return Ok(None) };
            if !report.is_of(&before.wanted_place()) {
                return Ok(None);
            }
            let mut after = before.clone();
            note_test(&mut after, report);
            if after.pending.is_none()
                && let Some(region) = &report.learnt_region
            {
                after.settings.region = Some(region.clone());
            }
            change(&mut after);
            if after == before {
                return Ok(Some(after));
            }
            after.version += 1;
            if self.registry.save_progress(&after, None).await? {
                return Ok(Some(after));
            }
        }
        // The next put learns the region again, and the next run examines the change again.
        Ok(None)
    }

    /// Lets the pending change take over if it is ready and nothing holds it up. Otherwise the next run of delivery does.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub(super) async fn take_over(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        actor: &Actor,
    ) -> Result<Destination, AdministrationError> {
        for _ in 0..MAX_TRIES {
            let before = self.destination(&organisation.id, id).await?;
            let now = self.clock.now();
            if !before.can_change_place(now) {
                return Ok(before);
            }
            let mut after = moved(&before, &before.as_wanted(), &*self.entropy);
            after.version += 1;
            if claims::take(&*self.registry, &after, now).await?.is_some() {
                return Ok(before);
            }
            after.proof = Proof { claimed: true, ..after.proof };
            let event = Recorded {
                action: "UPDATE",
                kind: "destination.update",
                entity: after.entity(),
                before: Some(before.recorded_state()),
                after: Some(after.recorded_state()),
                payload: left_behind(&before, &after),
            };
            match self.record(organisation, event, actor, Change::UpdateDestination(Box::new(after.clone()))).await {
                Err(AdministrationError::Conflict(Conflict::Changed)) => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(after),
            }
        }
        Err(AdministrationError::Conflict(Conflict::Changed))
    }
}
