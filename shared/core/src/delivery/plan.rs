//! Planning: which destinations are due at a tick.
//!
//! A tick reads the index of active destinations shard by shard, looks in the logs whether the next event of each exists,
//! and sends an order for those that have something to ship. What one invocation does not finish is handed on as a
//! [`PlanJob`] per shard. What a tick does not reach is saved, and the next tick begins with it.

use std::time::Duration;

use futures_util::future::{join, join_all, try_join_all};
use serde::{Deserialize, Serialize};

use crate::{
    entropy,
    log::store::{Found, MAX_PLACES, Place, StoreError},
    registry::{ACTIVE_SHARDS, ActiveDestination, ActivePage, PlanPass, RestoredTables, Stretch},
    time::Timestamp,
};

use super::{
    queue::{Job, NotSent, QueueMessage, ShipOrder},
    ship::{Shipping, is_outside_annals},
};

/// The least time that a full page takes if another one follows. With pages of 1,000, all shards together read 12,500
/// units a second: a third of what a table may be read (Amazon DynamoDB, "Quotas": 40,000), so that it stays usable for
/// others.
const PAGE_TIME: Duration = Duration::from_millis(320);
/// How often a call is made until it succeeds. The entries of a batch that failed are repeated alone.
const TRIES: u32 = 5;
/// The longest pause before the second try. It doubles with each try.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The limits of planning.
#[derive(Debug, Clone, Copy)]
pub struct PlanPolicy {
    /// The number of destinations that are read and looked at together.
    pub page: usize,
    /// The pages of each shard that the tick's own invocation plans. Further ones are left to a job per shard.
    pub pages_at_once: usize,
    /// How long an invocation plans before it hands on the rest.
    pub time_budget: Duration,
}

impl Default for PlanPolicy {
    fn default() -> Self {
        Self { page: 1000, pages_at_once: 2, time_budget: Duration::from_secs(60) }
    }
}

/// Planning the rest of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanJob {
    /// The shard of the index of active destinations.
    pub shard: u16,
    /// When the tick began. If a later tick is planning the shard, there is nothing to do.
    pub tick: Timestamp,
    /// What is left to plan, in this order.
    pub rest: Vec<Stretch>,
}

/// What a plan did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanReport {
    /// The number of orders sent to the queue.
    pub planned: usize,
    /// The number of failing destinations whose pause is not over.
    pub deferred: usize,
    /// The number of active destinations that were looked at.
    pub active: usize,
    /// The number of shards whose rest was handed on.
    pub handed_on: usize,
    /// The highest lag in seconds, without destinations that wait for something outside Annals. Measured only while
    /// orders of earlier plans are unfinished.
    pub lag_seconds: Option<u64>,
    /// Set if tables are copies that a restore made, and the restore is not recorded: then nothing is planned.
    pub copied_tables: Option<RestoredTables>,
}

impl PlanReport {
    fn add(&mut self, other: Self) {
        self.planned += other.planned;
        self.deferred += other.deferred;
        self.active += other.active;
        self.handed_on += other.handed_on;
        self.lag_seconds = self.lag_seconds.max(other.lag_seconds);
    }
}

/// Planning a shard in one invocation.
struct Pass {
    shard: u16,
    tick: Timestamp,
    /// What is left to plan.
    rest: Vec<Stretch>,
    /// Pages that could not be planned.
    missed: Vec<Stretch>,
    /// The number of pages that could.
    done: usize,
    failure: Option<StoreError>,
    /// Whether the registry has a rest of this shard.
    is_saved: bool,
    report: PlanReport,
    /// Orders for destinations that failed last time, with their page. They may be slow: the others go first.
    late: Vec<(Stretch, QueueMessage)>,
}

impl Pass {
    fn new(shard: u16, tick: Timestamp, rest: Vec<Stretch>, is_saved: bool) -> Self {
        let report = PlanReport::default();
        Self { shard, tick, rest, missed: Vec::new(), done: 0, failure: None, is_saved, report, late: Vec::new() }
    }

    fn miss(&mut self, page: Stretch, failure: StoreError) {
        self.missed.push(page);
        self.failure = Some(failure);
    }
}

impl Shipping {
    /// Plans a tick: sends an order for every active destination that has something to ship and whose pause, if any, is
    /// over. Leaves the rest of large shards to [`PlanJob`]s.
    ///
    /// # Errors
    /// Returns an error if the registry, the log or the queue fails. Orders sent before the error are valid. The next
    /// plan begins with the destinations that this one did not reach.
    pub async fn plan(&self) -> Result<PlanReport, StoreError> {
        if let Some(copied) = self.on_copies().await? {
            return Ok(copied);
        }
        let tick = self.clock.now();
        // If the state of the queue is unknown, it is taken for busy.
        let is_busy = self.queue.is_busy().await.unwrap_or(true);
        let saved = self.registry.plan_passes().await?;
        let passes = (0..ACTIVE_SHARDS).map(|shard| {
            let saved = saved.iter().find(|saved| saved.shard == shard);
            self.begin_pass(shard, tick, saved)
        });
        let (mut begun, mut failure) = (Vec::new(), None);
        for pass in join_all(passes).await {
            match pass {
                Ok(pass) => begun.extend(pass),
                // The other shards need not wait for it.
                Err(error) => failure = Some(error),
            }
        }
        let deadline = tick.plus(self.plan_policy.time_budget);
        let passes =
            begun.into_iter().map(|pass| self.plan_pages(pass, is_busy, self.plan_policy.pages_at_once, deadline));
        let report = self.finish(join_all(passes).await).await?;
        failure.map_or(Ok(report), Err)
    }

    /// Plans the rest of a shard, or hands on what is left of it when the time is up.
    ///
    /// # Errors
    /// Returns an error if the registry, the log or the queue fails.
    pub async fn plan_rest(&self, job: &PlanJob) -> Result<PlanReport, StoreError> {
        if let Some(copied) = self.on_copies().await? {
            return Ok(copied);
        }
        let PlanJob { shard, tick, rest } = job.clone();
        if !self.registry.save_plan_pass(&PlanPass { shard, tick, rest: rest.clone() }).await? {
            return Ok(PlanReport::default());
        }
        let is_busy = self.queue.is_busy().await.unwrap_or(true);
        let deadline = self.clock.now().plus(self.plan_policy.time_budget);
        let pass = Pass::new(shard, tick, rest, true);
        self.finish(vec![self.plan_pages(pass, is_busy, usize::MAX, deadline).await]).await
    }

    /// Returns the report that nothing is planned, if tables are copies: what was delivered is unknown then, so that anything
    /// could be delivered twice.
    async fn on_copies(&self) -> Result<Option<PlanReport>, StoreError> {
        let tables = self.registry.copied_tables().await?;
        Ok(tables.map(|tables| PlanReport { copied_tables: Some(tables), ..PlanReport::default() }))
    }

    /// Begins with what an earlier tick did not reach, and takes the shard over from it. `None` if a later tick has it.
    async fn begin_pass(
        &self,
        shard: u16,
        tick: Timestamp,
        saved: Option<&PlanPass>,
    ) -> Result<Option<Pass>, StoreError> {
        let Some(saved) = saved else { return Ok(Some(Pass::new(shard, tick, Stretch::round_from(None), false))) };
        // A clock that was ahead must not keep the shard from being planned.
        let tick = saved.tick.max(tick);
        let Some(first) = saved.rest.first() else {
            return Ok(Some(Pass::new(shard, tick, Stretch::round_from(None), false)));
        };
        let rest = Stretch::round_from(first.after.clone());
        let is_ours = self.registry.save_plan_pass(&PlanPass { shard, tick, rest: rest.clone() }).await?;
        Ok(is_ours.then(|| Pass::new(shard, tick, rest, true)))
    }

    /// Plans up to `pages` pages, until the deadline, but at least one.
    async fn plan_pages(&self, mut pass: Pass, is_busy: bool, pages: usize, deadline: Timestamp) -> Pass {
        for number in 0..pages {
            let begun = self.clock.now();
            if pass.rest.is_empty() || (number > 0 && begun >= deadline) {
                break;
            }
            let Stretch { after, until } = pass.rest.remove(0);
            let read = self.registry.active_destinations(pass.shard, after.as_ref(), self.plan_policy.page).await;
            let ActivePage { mut destinations, next } = match read {
                Ok(page) => page,
                Err(error) => {
                    // It is unknown where the page ends.
                    pass.miss(Stretch { after, until }, error);
                    continue;
                }
            };
            let next = next.filter(|next| until.as_ref().is_none_or(|until| next < until));
            if let Some(until) = &until {
                destinations.retain(|active| active.position() <= *until);
            }
            let page = Stretch { after, until: next.clone().or(until.clone()) };
            if let Some(next) = next {
                pass.rest.insert(0, Stretch { after: Some(next), until });
            }
            match self.plan_page(&mut pass, &page, &destinations, is_busy).await {
                Ok(()) => pass.done += 1,
                Err(error) => pass.miss(page, error),
            }
            if !pass.rest.is_empty() && destinations.len() == self.plan_policy.page {
                self.clock.sleep(PAGE_TIME.saturating_sub(self.clock.now().since(begun))).await;
            }
        }
        pass
    }

    /// Sends orders for the destinations of a page that are due.
    async fn plan_page(
        &self,
        pass: &mut Pass,
        page: &Stretch,
        destinations: &[ActiveDestination],
        is_busy: bool,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        // If the clock was ahead when a pause was set, the pause can seem longer than the maximum.
        let latest = now.plus(self.policy.backoff_cap);
        let is_deferred = |one: &ActiveDestination| one.retry_at.is_some_and(|at| now < at && at <= latest);
        let waits_outside = |one: &ActiveDestination| one.failure.is_some_and(is_outside_annals);
        let places: Vec<Place> = destinations
            .iter()
            .filter(|one| !(is_deferred(one) && waits_outside(one)))
            .map(|one| Place { organisation: one.organisation.clone(), sequence: one.next_sequence })
            .collect();
        let (found, elsewhere) = join(self.find(&places), self.away_from_the_end(destinations, now)).await;
        let mut found = found?.into_iter();
        let mut orders: Vec<QueueMessage> = Vec::new();
        for one in destinations {
            pass.report.active += 1;
            let is_deferred = is_deferred(one);
            let found =
                if is_deferred && waits_outside(one) { Found::Nothing } else { found.next().unwrap_or(Found::Unknown) };
            // A shipper reports the lag of the destinations that it ships. So it is measured here only while shippers are
            // behind or do not run.
            if let Found::Segment(since) = found
                && is_busy
                && !waits_outside(one)
            {
                let since = one.lag_from.map_or(since, |from| from.max(since));
                pass.report.lag_seconds = pass.report.lag_seconds.max(Some(now.since(since).as_secs()));
            }
            if is_deferred {
                pass.report.deferred += 1;
                continue;
            }
            let order = ShipOrder::of(one, now);
            let order = ShipOrder { pending: order.pending || elsewhere.contains(&one.id), ..order };
            if one.retry_at.is_some() {
                // The event that waits may have expired, so nothing need be found.
                pass.late.push((page.clone(), order.into()));
            } else if order.pending || found != Found::Nothing {
                orders.push(order.into());
            }
        }
        self.enqueue(&orders).await?;
        pass.report.planned += orders.len();
        Ok(())
    }

    /// Looks at places. Repeats alone those at which the store did not look; those that remain are probably busy.
    async fn find(&self, places: &[Place]) -> Result<Vec<Found>, StoreError> {
        let looked = places.chunks(MAX_PLACES).map(async |places| {
            let mut found = vec![Found::Unknown; places.len()];
            let mut open: Vec<usize> = (0..places.len()).collect();
            for attempt in 1..=TRIES {
                let asked: Vec<Place> = open.iter().map(|index| places[*index].clone()).collect();
                match self.log.find(&asked).await {
                    Ok(answers) => {
                        for (index, answer) in open.iter().zip(answers) {
                            found[*index] = answer;
                        }
                        open.retain(|index| found[*index] == Found::Unknown);
                        if open.is_empty() {
                            break;
                        }
                    }
                    Err(error) if attempt == TRIES => return Err(error),
                    Err(_) => {}
                }
                if attempt < TRIES {
                    self.pause(attempt).await;
                }
            }
            Ok(found)
        });
        Ok(try_join_all(looked).await?.concat())
    }

    /// Sends messages. Repeats alone those that the queue refuses.
    pub(super) async fn enqueue(&self, messages: &[QueueMessage]) -> Result<(), NotSent> {
        let mut open: Vec<usize> = (0..messages.len()).collect();
        for attempt in 1.. {
            let asked: Vec<QueueMessage> = open.iter().map(|index| messages[*index].clone()).collect();
            if asked.is_empty() {
                break;
            }
            let Err(NotSent { refused, reason }) = self.queue.send(&asked).await else { break };
            open = refused.into_iter().filter_map(|index| open.get(index).copied()).collect();
            if attempt == TRIES {
                return Err(NotSent { refused: open, reason });
            }
            self.pause(attempt).await;
        }
        Ok(())
    }

    pub(super) async fn pause(&self, attempt: u32) {
        let longest = FIRST_PAUSE * (1 << (attempt - 1));
        self.clock.sleep(longest / 2 + entropy::jitter(&*self.entropy, longest / 2)).await;
    }

    /// Sends the orders for destinations that failed last time, hands on or saves what is left, and sums up.
    async fn finish(&self, passes: Vec<Pass>) -> Result<PlanReport, StoreError> {
        let (mut report, mut failure) = (PlanReport::default(), None);
        for mut pass in passes {
            let (pages, orders): (Vec<_>, Vec<_>) = std::mem::take(&mut pass.late).into_iter().unzip();
            pass.report.planned += orders.len();
            if let Err(NotSent { refused, reason }) = self.enqueue(&orders).await {
                pass.report.planned -= refused.len();
                let missed = refused.into_iter().filter_map(|index| pages.get(index).cloned());
                pass.missed.extend(missed);
                pass.missed.dedup();
                pass.failure = Some(reason);
            }
            if let Err(error) = self.leave(&mut pass).await {
                failure = Some(error);
            }
            report.add(pass.report);
        }
        failure.map_or(Ok(report), Err)
    }

    /// Hands on what is left of a shard, and saves it in case that this message is lost.
    async fn leave(&self, pass: &mut Pass) -> Result<(), StoreError> {
        let (shard, tick) = (pass.shard, pass.tick);
        let (rest, missed) = (std::mem::take(&mut pass.rest), std::mem::take(&mut pass.missed));
        if rest.is_empty() && missed.is_empty() && !pass.is_saved {
            return Ok(());
        }
        // The next tick begins with what was missed.
        let saved = PlanPass { shard, tick, rest: [missed.clone(), rest.clone()].concat() };
        if !self.registry.save_plan_pass(&saved).await? {
            // A later tick plans the shard.
            return Ok(());
        }
        // A job that achieves nothing sends no other one, or it would go on for ever: the queue delivers it again, a few times.
        if rest.is_empty() || pass.done == 0 {
            return pass.failure.take().map_or(Ok(()), Err);
        }
        pass.report.handed_on += 1;
        self.hand_on(Job::Plan(PlanJob { shard, tick, rest: [rest, missed].concat() })).await
    }
}
