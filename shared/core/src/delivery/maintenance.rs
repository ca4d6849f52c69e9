//! The daily maintenance: makes sure where every log ends.
//!
//! A run divides all organisations into parts and sends a [`MaintainJob`] for each, so that several invocations work at once.
//! One that runs out of time hands on the rest as another message. Messages come twice and in any order: whoever comes later
//! finds that an anchor was checked lately, and leaves that log alone. An organisation that fails is tried again by itself,
//! and stops no other. The registry keeps which parts of a run are finished.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};

use crate::{
    log::{
        store::{Consistency, StoreError},
        tail::Hazard,
    },
    organisation::OrganisationId,
    registry::MaintenanceStep,
    time::Timestamp,
};

use super::{queue::Job, ship::Shipping};

/// How often an organisation is tried until it is left to the next delivery of the message.
const TRIES: u32 = 4;

/// The limits of maintenance.
#[derive(Debug, Clone, Copy)]
pub struct MaintenancePolicy {
    /// The number of organisations of a part.
    pub part: usize,
    /// The number of organisations whose anchors are read together.
    pub page: usize,
    /// The number of organisations of a page that are maintained at once.
    pub at_once: usize,
    /// The least time that a page takes if another one follows, so that producers find the table usable.
    pub page_time: Duration,
    /// How long an invocation works before it hands on the rest.
    pub time_budget: Duration,
}

impl Default for MaintenancePolicy {
    /// A part maintains up to 500 organisations a second. Half of them need a write on a day, so the twenty parts of a
    /// million organisations write 5,000 units a second at most: an on-demand table takes 4,000 at once and then more with
    /// every half hour (Amazon DynamoDB, "On-demand capacity mode").
    fn default() -> Self {
        Self {
            part: 50_000,
            page: 100,
            at_once: 16,
            page_time: Duration::from_millis(200),
            time_budget: Duration::from_secs(60),
        }
    }
}

/// Dividing the rest of a run into parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DivideJob {
    /// When the run began, which names it.
    pub run: Timestamp,
    /// The number of parts so far.
    pub parts: u32,
    /// The last organisation so far; `None` at the beginning.
    pub after: Option<OrganisationId>,
}

/// Maintaining the rest of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintainJob {
    /// When the run began, which names it.
    pub run: Timestamp,
    /// The number of the part.
    pub part: u32,
    /// The rest begins behind this organisation; `None`: with the first one.
    pub after: Option<OrganisationId>,
    /// The part ends with this organisation; `None`: with the last one.
    pub until: Option<OrganisationId>,
    /// Organisations before the rest that failed.
    pub again: Vec<OrganisationId>,
}

/// What was divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Division {
    /// The number of organisations of the parts.
    pub organisations: usize,
    /// The number of parts of the run so far.
    pub parts: u32,
    /// Whether every log of the run is maintained by now.
    pub completes_run: bool,
}

/// What was done of a part.
#[derive(Debug, Default)]
pub struct MaintainReport {
    /// The number of organisations whose logs' ends are certain.
    pub organisations: usize,
    /// Those whose logs cannot be maintained, with the reasons. The operator has to act.
    pub refused: Vec<(OrganisationId, StoreError)>,
    /// Whether every log of the run is maintained by now, apart from those refused.
    pub completes_run: bool,
    /// Why the message must be delivered again.
    pub failure: Option<StoreError>,
}

impl Shipping {
    /// Begins a run of maintenance. The queue gets its parts.
    ///
    /// # Errors
    /// Returns an error if the registry or the queue fails.
    pub async fn maintain(&self) -> Result<Division, StoreError> {
        self.divide(&DivideJob { run: self.clock.now(), parts: 0, after: None }).await
    }

    /// Divides the rest of a run into parts, or hands on what is left of it when the time is up.
    ///
    /// # Errors
    /// Returns an error if the registry or the queue fails.
    pub async fn divide(&self, job: &DivideJob) -> Result<Division, StoreError> {
        let policy = self.maintenance_policy;
        let deadline = self.clock.now().plus(policy.time_budget);
        let DivideJob { run, parts, mut after } = job.clone();
        let mut division = Division { parts, ..Division::default() };
        loop {
            let organisations = self.registry.organisation_ids(after.as_ref(), policy.part).await?;
            division.organisations += organisations.len();
            division.parts += 1;
            // The last part has no end, so it includes organisations that are created meanwhile.
            let until = if organisations.len() < policy.part { None } else { organisations.into_iter().next_back() };
            let part = MaintainJob { run, part: division.parts, after, until: until.clone(), again: Vec::new() };
            self.hand_on(Job::Maintain(part)).await?;
            if until.is_none() {
                break;
            }
            after = until;
            if self.clock.now() >= deadline {
                self.hand_on(Job::Divide(DivideJob { run, parts: division.parts, after })).await?;
                return Ok(division);
            }
        }
        let step = MaintenanceStep::Divided { parts: division.parts };
        division.completes_run = self.registry.note_maintenance(run, step).await?.is_complete();
        Ok(division)
    }

    /// Maintains the logs of a part, or hands on what is left of it when the time is up.
    pub async fn maintain_part(&self, job: &MaintainJob) -> MaintainReport {
        let mut report = MaintainReport::default();
        report.failure = self.try_part(job, &mut report).await.err();
        report
    }

    async fn try_part(&self, job: &MaintainJob, report: &mut MaintainReport) -> Result<(), StoreError> {
        let policy = self.maintenance_policy;
        let deadline = self.clock.now().plus(policy.time_budget);
        let MaintainJob { run, part, mut after, until, again } = job.clone();
        let (mut failed, mut reason) = (Vec::new(), None);
        self.maintain_all(again, report, &mut failed, &mut reason).await?;
        loop {
            let begun = self.clock.now();
            let mut page = self.registry.organisation_ids(after.as_ref(), policy.page).await?;
            let is_last = page.len() < policy.page;
            page.retain(|id| until.as_ref().is_none_or(|until| id <= until));
            let is_last = is_last || page.len() < policy.page || page.last() == until.as_ref();
            after = page.last().cloned().or(after);
            let due = self.log.due_for_maintenance(&page).await?;
            report.organisations += page.len() - due.len();
            self.maintain_all(due, report, &mut failed, &mut reason).await?;
            if let Some(reason) = reason.take_if(|_| failed.len() > policy.page) {
                // The store is in trouble, and most of what was done need not be done again.
                return Err(reason);
            }
            if is_last {
                break;
            }
            if self.clock.now() >= deadline {
                return self.hand_on(Job::Maintain(MaintainJob { run, part, after, until, again: failed })).await;
            }
            self.clock.sleep(policy.page_time.saturating_sub(self.clock.now().since(begun))).await;
        }
        if let Some(reason) = reason {
            return Err(reason);
        }
        let progress = self.registry.note_maintenance(run, MaintenanceStep::Finished { part }).await?;
        report.completes_run = progress.is_complete();
        Ok(())
    }

    /// Maintains logs, and repeats alone those at which the store fails.
    async fn maintain_all(
        &self,
        mut open: Vec<OrganisationId>,
        report: &mut MaintainReport,
        failed: &mut Vec<OrganisationId>,
        reason: &mut Option<StoreError>,
    ) -> Result<(), StoreError> {
        for attempt in 1..=TRIES {
            let tasks = open.into_iter().map(|id| self.maintain_one(id));
            let done: Vec<_> = stream::iter(tasks).buffer_unordered(self.maintenance_policy.at_once).collect().await;
            open = Vec::new();
            let mut last = None;
            for (id, result) in done {
                match result {
                    Ok(()) => report.organisations += 1,
                    // On this instance, or without what the deployment lacks, every other log fails as well.
                    Err(
                        error @ (StoreError::Operator(_)
                        | StoreError::Unsafe(Hazard::ClockAhead { .. } | Hazard::ClockBehind { .. })),
                    ) => return Err(error),
                    Err(error @ (StoreError::Unsafe(_) | StoreError::Broken(_))) => report.refused.push((id, error)),
                    Err(error) => {
                        open.push(id);
                        last = Some(error);
                    }
                }
            }
            let Some(error) = last else { return Ok(()) };
            if attempt == TRIES {
                *reason = Some(error);
            } else {
                self.pause(attempt).await;
            }
        }
        failed.append(&mut open);
        Ok(())
    }

    async fn maintain_one(&self, id: OrganisationId) -> (OrganisationId, Result<(), StoreError>) {
        let mut done = self.log.maintain(&id).await;
        if matches!(done, Err(StoreError::Unsafe(Hazard::TailUnknown { .. }))) {
            // The organisation's retention may prove more than the shortest one that there is.
            done = match self.registry.organisation(&id, Consistency::Eventual).await {
                Ok(Some(organisation)) => self.log.maintain_with_retention(&organisation).await,
                Ok(None) => done,
                Err(error) => Err(error),
            };
        }
        (id, done.map(drop))
    }

    /// Sends the rest of a job to whoever works on the queue next.
    pub(super) async fn hand_on(&self, job: Job) -> Result<(), StoreError> {
        Ok(self.enqueue(&[job.into()]).await?)
    }
}
