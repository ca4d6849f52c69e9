//! The last ten days of the demonstration's organisation: what its company did, and how it was delivered. Owns the course of
//! events; the log, delivery, checkpoints and connection tests are those of every run, on a clock that shows the past.
//!
//! A tick that finds nothing new changes nothing, so only those are run that find something.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use annals_aws::system::SystemClock;
use annals_core::{
    administration::{Actor, DestinationInput},
    caller::Caller,
    delivery::{
        queue::ShipOrder,
        ship::{ShipOutcome, Shipping},
    },
    destination::{Destination, DestinationId, sink::ObjectSink},
    event::{self, Context, Layout},
    organisation::Organisation,
    portal::{PortalLinkInput, User},
    recorded_by::RecordedBy,
    time::{Clock, Timestamp},
    token::Role,
};
use annals_http::Services;
use anyhow::Context as _;
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::{
    demo::{self, DemoEvent, incident},
    system::System,
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How much of the past is recorded, counted from a midnight in UTC.
const DAYS: u32 = 10;
/// When Ada Bell sets up the destination, on the first day.
const SETUP: Duration = Duration::from_secs(9 * 60 * 60 + 12 * 60);
/// The producer collects events for as long as this before it sends them.
const BATCH_WINDOW: Duration = Duration::from_secs(10 * 60);
/// When on a working day the producer has sent earlier events, in hours of UTC. On other days it has sent them at midnight. The
/// program is ready sooner if earlier events were collected for longer.
const SENT_AT_HOURS: [u64; 2] = [12, 18];
/// The time for which the producer collects for only [`BATCH_WINDOW`].
const RECENT: Duration = Duration::from_secs(2 * 60 * 60);
/// The period of ticks, and how long after the full period a tick ships.
const TICK: Duration = Duration::from_secs(10 * 60);
const TICK_DELAY: Duration = Duration::from_millis(1_630);
/// The time of day at which a change of the role's policy stops delivery, and at which it is mended, in UTC.
const OUTAGE: Duration = Duration::from_secs(10 * 60 * 60 + 5 * 60);
const MENDED: Duration = Duration::from_secs(16 * 60 * 60 + 32 * 60);
/// The outage is on the last working day that is over and at least this long ago.
const OUTAGE_AGE: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// A clock that shows the current time of the recorded history, in milliseconds since the epoch.
#[derive(Debug)]
pub(crate) struct HistoryClock(AtomicU64);

impl HistoryClock {
    pub(crate) fn at(time: Timestamp) -> Self {
        Self(AtomicU64::new(time.as_millis()))
    }

    /// Moves forward to `time`. Never moves back: a later event cannot have an earlier time.
    fn reach(&self, time: Timestamp) {
        self.0.fetch_max(time.as_millis(), Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for HistoryClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }

    async fn sleep(&self, duration: Duration) {
        SystemClock.sleep(duration).await;
    }
}

/// Returns the time at which the history begins: midnight UTC, ten days before the day of `now`.
#[must_use]
pub(crate) fn beginning(now: Timestamp) -> Timestamp {
    midnight(now).minus(DAY * DAYS)
}

fn midnight(time: Timestamp) -> Timestamp {
    let day = u64::try_from(DAY.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(time.as_millis() / day * day)
}

/// Returns the number of the day in its week, 0 for Monday. The Unix epoch was a Thursday.
fn weekday(time: Timestamp) -> u32 {
    let days = time.as_millis() / 1000 / DAY.as_secs();
    u32::try_from((days + 3) % 7).unwrap_or(0)
}

/// Returns the first tick from `time` on.
fn tick_from(time: Timestamp) -> Timestamp {
    let tick = u64::try_from(TICK.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(time.as_millis().div_ceil(tick) * tick).plus(TICK_DELAY)
}

/// The customer's part of the history.
#[derive(Debug)]
pub(crate) struct Customer<'a> {
    pub(crate) organisation: &'a Organisation,
    pub(crate) producer: &'a RecordedBy,
    pub(crate) administrator: User,
    pub(crate) bucket: &'a str,
    pub(crate) role: &'a str,
    /// The role's policy that lets it deliver, and the one that stops delivery.
    pub(crate) policies: [Value; 2],
}

/// Something that happens at a time.
#[derive(Debug)]
enum Step {
    /// The producer sends what it has collected.
    Record(Vec<DemoEvent>),
    SetUp,
    /// The role's policy is changed: it lets the role deliver, or it does not.
    Change(Policy),
    Test,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Delivers = 0,
    Refuses = 1,
}

/// Records and delivers the history up to now. Returns the destination.
///
/// # Errors
/// Returns an error if the store, the bucket or the key fails.
pub(crate) async fn play(
    system: &System,
    api: &Services,
    clock: &Arc<HistoryClock>,
    customer: &Customer<'_>,
) -> anyhow::Result<Option<DestinationId>> {
    let now = SystemClock.now();
    let mut play = Play {
        system,
        api,
        clock,
        customer,
        shipping: system.shipping_at(clock.clone()),
        sink: system.tester_at(clock.clone()),
        destination: None,
        due: None,
    };
    for (at, step) in course(beginning(now), now) {
        play.ship_until(at).await?;
        clock.reach(at);
        play.take(step).await?;
    }
    play.ship_until(now).await?;
    Ok(play.destination.map(|destination| destination.id))
}

/// Returns midnight of the day of the outage: a working day.
fn outage(begin: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let mut days = (0..DAYS).map(|day| midnight(now).minus(OUTAGE_AGE + DAY * day));
    days.find(|day| weekday(*day) < 5 && *day > begin)
}

/// Returns what happens, in chronological order.
fn course(begin: Timestamp, now: Timestamp) -> Vec<(Timestamp, Step)> {
    let mut course = batches(begin, now);
    course.push((begin.plus(SETUP), Step::SetUp));
    course.push((begin.plus(SETUP + MINUTE), Step::Test));
    if let Some(day) = outage(begin, now) {
        course.push((day.plus(OUTAGE), Step::Change(Policy::Refuses)));
        course.push((day.plus(MENDED - MINUTE * 9), Step::Test));
        course.push((day.plus(MENDED), Step::Change(Policy::Delivers)));
        course.push((day.plus(MENDED + MINUTE), Step::Test));
    }
    course.sort_by_key(|(at, _)| *at);
    course
}

/// Returns the company's events from `begin` to `now`, in the batches in which the producer sends them.
fn batches(begin: Timestamp, now: Timestamp) -> Vec<(Timestamp, Step)> {
    let monday = begin.minus(DAY * weekday(begin));
    let length = now.since(monday);
    let mut events: Vec<DemoEvent> = demo::weeks(1).take_while(|event| event.at < length).collect();
    events.extend(incident::events(&events, length));
    events.sort_by_key(|event| event.at);
    events.retain(|event| monday.plus(event.at) >= begin);
    let mut batches = Vec::new();
    let mut rest = events.as_slice();
    while let Some(first) = rest.first() {
        let number = |event: &DemoEvent| {
            let seconds = event.at.as_secs();
            if event.at + RECENT >= length {
                return seconds / BATCH_WINDOW.as_secs();
            }
            let (day, hour) = (seconds / DAY.as_secs(), seconds % DAY.as_secs() / 3600);
            let is_working_day = day % 7 < 5;
            let sent = SENT_AT_HOURS.iter().filter(|at| is_working_day && **at <= hour).count();
            day * 10 + u64::try_from(sent).unwrap_or(0)
        };
        let together = rest.iter().take_while(|event| number(event) == number(first)).count();
        let (batch, later) = rest.split_at(together.min(event::MAX_EVENTS));
        rest = later;
        let last = batch.last().map_or(first.at, |event| event.at);
        let batch = batch.iter().map(|event| with_time(event, monday)).collect();
        batches.push((monday.plus(last), Step::Record(batch)));
    }
    batches
}

/// Returns the event with the time at which it happened.
fn with_time(event: &DemoEvent, monday: Timestamp) -> DemoEvent {
    let mut event = event.clone();
    event.body["occurredAt"] = monday.plus(event.at).to_string().into();
    event
}

struct Play<'a> {
    system: &'a System,
    api: &'a Services,
    clock: &'a Arc<HistoryClock>,
    customer: &'a Customer<'a>,
    shipping: Shipping,
    sink: Arc<dyn ObjectSink>,
    destination: Option<Destination>,
    /// When the next tick ships. `None`: nothing is new.
    due: Option<Timestamp>,
}

impl Play<'_> {
    async fn take(&mut self, step: Step) -> anyhow::Result<()> {
        match step {
            Step::Record(events) => self.record(&events).await?,
            Step::SetUp => self.set_up().await?,
            Step::Change(policy) => {
                let Some(mut role) = self.system.cloud().iam().role(self.customer.role) else { return Ok(()) };
                role.policies = vec![self.customer.policies[policy as usize].clone()];
                self.system.cloud().iam().put_role(role)?;
                return Ok(());
            }
            Step::Test => self.test().await?,
        }
        // While delivery fails, the next try is later than the next tick.
        self.due.get_or_insert(tick_from(self.clock.now()));
        Ok(())
    }

    async fn record(&self, events: &[DemoEvent]) -> anyhow::Result<()> {
        let lines: Vec<String> = events.iter().map(|event| event.body.to_string()).collect();
        let bodies = event::parse(lines.join("\n").as_bytes(), Layout::Ndjson, self.customer.producer)?;
        self.api.log.append(self.customer.organisation, bodies, None).await?;
        Ok(())
    }

    /// The administrator opens the organisation's page by a link of the product. Returns the administrator as the author of
    /// changes.
    async fn sign_in(&self) -> anyhow::Result<Actor> {
        let administration = &self.api.administration;
        let input = PortalLinkInput {
            role: Role::Admin,
            user: self.customer.administrator.clone(),
            path: None,
            return_url: None,
        };
        let platform = Actor { caller: Caller::Platform, context: Context::default() };
        let (_, link) = administration.create_portal_link(self.customer.organisation, input, &platform).await?;
        let context = Context {
            ip_address: Some("198.51.100.24".into()),
            user_agent: Some("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)".into()),
            request_id: None,
        };
        let (session, _) = administration.open_portal_link(link.reveal(), context.clone()).await?;
        Ok(Actor { caller: Caller::Session(session), context })
    }

    async fn set_up(&mut self) -> anyhow::Result<()> {
        let actor = self.sign_in().await?;
        let body = json!({"bucket": self.customer.bucket, "roleArn": self.customer.role}).to_string();
        let input = DestinationInput::parse(body.as_bytes(), &self.api.service)?;
        let created = self.api.administration.create_destination(self.customer.organisation, input, &actor).await?;
        self.destination = Some(created);
        Ok(())
    }

    async fn test(&self) -> anyhow::Result<()> {
        let Some(destination) = &self.destination else { return Ok(()) };
        let actor = self.sign_in().await?;
        let administration = &self.api.administration;
        let (name, organisation) = (self.system.test_object_name(), self.customer.organisation);
        administration.test_connection(&*self.sink, name, organisation, &destination.id, &actor).await?;
        Ok(())
    }

    /// Runs the ticks that ship something before `time`.
    async fn ship_until(&mut self, time: Timestamp) -> anyhow::Result<()> {
        while let Some(due) = self.due.filter(|due| *due < time) {
            self.clock.reach(due);
            self.due = self.ship().await?.map(tick_from);
        }
        Ok(())
    }

    /// Ships what is new. Returns when it has to be tried again.
    async fn ship(&mut self) -> anyhow::Result<Option<Timestamp>> {
        let Some(id) = self.destination.as_ref().map(|destination| destination.id.clone()) else { return Ok(None) };
        let order = ShipOrder {
            organisation: self.customer.organisation.id.to_string(),
            destination: id.to_string(),
            next_sequence: self.stored(&id).await?.next_sequence,
            pending: false,
        };
        let report = self.shipping.ship(&order).await.context("cannot deliver the history")?;
        match report.outcome {
            ShipOutcome::Failing(_) => Ok(self.stored(&id).await?.progress.failing.map(|failing| failing.retry_at)),
            _ => Ok(None),
        }
    }

    async fn stored(&self, id: &DestinationId) -> anyhow::Result<Destination> {
        Ok(self.api.administration.destination(&self.customer.organisation.id, id).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    #[test]
    fn an_outage_is_on_a_working_day_and_over_for_more_than_a_day() {
        let day = Timestamp::parse("2026-11-22T00:00:00Z").unwrap();
        for hours in 0..24 * 14 {
            let now = day.plus(HOUR * hours);
            let outage = outage(beginning(now), now).unwrap();
            assert!(weekday(outage) < 5 && outage > beginning(now).plus(SETUP), "{now}: {outage}");
            assert!(now.since(outage.plus(MENDED)) > DAY, "{now}: there are deliveries since");
        }
    }

    /// The program is ready soon because so little happens: a delivery takes about a dozen requests.
    #[test]
    fn ten_days_are_few_batches_and_some_wait_for_the_end_of_the_outage() {
        // On the Wednesday, the two hours that are delivered every ten minutes are in the middle of the working day.
        for now in ["2026-11-25T14:30:00Z", "2026-11-29T00:10:00Z"] {
            let now = Timestamp::parse(now).unwrap();
            let begin = beginning(now);
            let course = course(begin, now);
            assert!((25..=50).contains(&course.len()), "{} steps", course.len());
            assert!(course.iter().all(|(at, _)| (begin..=now).contains(at)), "{now}");
            let day = outage(begin, now).unwrap();
            let waits = |(at, step): &&(Timestamp, Step)| {
                matches!(step, Step::Record(_)) && (day.plus(OUTAGE)..day.plus(MENDED)).contains(at)
            };
            assert!(course.iter().any(|step| waits(&step)), "{now}");
        }
    }

    #[test]
    fn ticks_come_every_ten_minutes() {
        let time = |text: &str| Timestamp::parse(text).unwrap();
        assert_eq!(tick_from(time("2026-11-22T10:00:00Z")), time("2026-11-22T10:00:01.630Z"));
        assert_eq!(tick_from(time("2026-11-22T10:00:00.001Z")), time("2026-11-22T10:10:01.630Z"));
        assert_eq!(weekday(time("2026-11-22T10:00:00Z")), 6);
    }
}
