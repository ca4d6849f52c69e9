//! Random scenarios: several organisations over weeks in virtual time. A seed decides everything. The checker checks
//! most promises at the end. Those that show only during a scenario are checked here.
//!
//! Quiet hours are skipped: with nothing new and nothing due, the schedule would do nothing.

use std::{
    mem,
    ops::AddAssign,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use annals_core::{
    administration::{DestinationInput, DestinationPatch, ReplayInput},
    delivery::ship::{ShipOutcome, ShipPolicy},
    destination::{
        BucketName, Compression, Destination, KeyLayout, ObjectFormat, Rendering, RoleArn, Settings, Shape,
        connection_test::TEST_OBJECT_NAME, failure::FailureCode,
    },
    log::{
        segment::Segment,
        store::{Found, LogStore as _, Place},
    },
    organisation::{Organisation, OrganisationId, OrganisationInput, Plan, RetentionDays},
    registry::Registry as _,
    time::{Clock, Timestamp},
};
use futures_util::future::{BoxFuture, join_all};
use tokio::task::JoinHandle;

use super::{
    checker::{Checked, Checker, Ending, LONGEST_FREEZE, Promise, Violation},
    gate::{Gate, Latency},
    injected_bugs::{Bug, BuggyPorts},
    world::{HOME, Process, Shipped, World, maintain, platform, region},
};
use crate::{
    bucket::{Administrator, Condition, Put, Trust},
    clock::{AheadClock, BehindClock},
    entropy::SeededEntropy,
    faulty::Fault,
    memory::{MemoryStore, Staleness},
    model::in_virtual_time,
    queue::{MemoryQueue, Unreliability, VISIBILITY},
    sample,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const TICK: Duration = Duration::from_secs(10 * 60);
/// The latest that a write arrives after its request.
const LATE: Duration = Duration::from_secs(20);
/// The time after which no call is under way: a write may be late, and the bucket late to store it.
const SETTLED: Duration = Duration::from_secs(90);
/// The ticks within which every destination is compared with the end of its log.
const ROUND: u64 = 36;
/// The tolerance for clocks, late arrivals and calls under way together.
const MARGIN: Duration = Duration::from_secs(15 * 60);
/// How often the schedule tries what fails.
const TRIES: usize = 20;
/// The denominator of stored probabilities.
const CERTAIN: u64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub checked: Checked,
    pub ticks: u64,
    pub deaths: u64,
    /// Processes that were frozen in the middle of their work and went on later.
    pub frozen: u64,
    /// Processes of the API that began with a clock that was days or a year off.
    pub far_off: u64,
    /// Ticks without faults, except that one organisation's partition throttled.
    pub throttled: u64,
    /// Failed calls of stores, queue and buckets.
    pub faults: u64,
    pub days: u64,
    /// Administrators' changes of destinations and organisations.
    pub changes: u64,
    /// Changes of a bucket or a role for the worse.
    pub troubles: u64,
    /// Objects that administrators of buckets planted, replaced or deleted.
    pub tampered: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.checked += other.checked;
        self.ticks += other.ticks;
        self.deaths += other.deaths;
        self.frozen += other.frozen;
        self.far_off += other.far_off;
        self.throttled += other.throttled;
        self.faults += other.faults;
        self.days += other.days;
        self.changes += other.changes;
        self.troubles += other.troubles;
        self.tampered += other.tampered;
    }
}

/// Runs the scenario of `seed`, with an injected bug or without.
///
/// # Errors
/// Returns the first broken promise.
pub fn run(seed: u64, bug: Option<Bug>) -> Result<Tally, Violation> {
    in_virtual_time(async {
        let mut scenario = Scenario::begin(seed, bug).await;
        for _ in 0..scenario.entropy.between(5, 12) {
            scenario.fixture().await?;
        }
        scenario.end().await
    })
}

/// An organisation of the scenario.
#[derive(Debug)]
struct Tenant {
    id: OrganisationId,
    /// The buckets and roles between which its administrator changes. New destinations have the first ones.
    buckets: [BucketName; 2],
    roles: [RoleArn; 2],
}

/// A process that stands still in the middle of its work.
#[derive(Debug)]
struct Frozen {
    process: Arc<Process>,
    work: JoinHandle<()>,
}

struct Scenario {
    world: World,
    entropy: Arc<SeededEntropy>,
    /// Decides whose partition throttles.
    throttling: Arc<SeededEntropy>,
    /// Decides whose clock is far off.
    clocks: Arc<SeededEntropy>,
    /// Whether the clock of the API's process is far off.
    is_far_off: bool,
    bug: Option<Bug>,
    tenants: Vec<Tenant>,
    /// The shippers and, last, the API's process.
    processes: Vec<Arc<Process>>,
    frozen: Vec<Frozen>,
    /// The probability that a call fails, and the number of failed calls.
    chance: Arc<AtomicU64>,
    faults: Arc<AtomicU64>,
    usual_chance: u64,
    tally: Tally,
    maintained_at: Timestamp,
}

const SHIPPERS: usize = 3;
const API: usize = SHIPPERS;

impl Scenario {
    async fn begin(seed: u64, bug: Option<Bug>) -> Self {
        let entropy = SeededEntropy::new(seed);
        let stale = *entropy.pick(&[0.0, 0.0, 0.3]);
        let staleness = |clock| Staleness { chance: stale, window: 2 * SECOND, clock, entropy: entropy.fork() };
        let unreliability = Unreliability {
            duplicates: *entropy.pick(&[0.0, 0.1]),
            lost_answers: *entropy.pick(&[0.0, 0.05]),
            entropy: entropy.fork(),
        };
        let world = World::new(
            sample::START,
            |clock| MemoryStore::new().with_page(4).with_staleness(staleness(clock)),
            |clock| MemoryQueue::unreliable(clock, unreliability),
        );
        let usual_chance = *entropy.pick(&[0, 0, 5, 15, 40]);
        let mut scenario = Self {
            world,
            entropy,
            throttling: SeededEntropy::new(!seed),
            clocks: SeededEntropy::new(seed.rotate_left(32) ^ 1),
            is_far_off: false,
            bug,
            tenants: Vec::new(),
            processes: Vec::new(),
            frozen: Vec::new(),
            chance: Arc::default(),
            faults: Arc::default(),
            usual_chance,
            tally: Tally::default(),
            maintained_at: sample::START,
        };
        scenario.processes = (0..=SHIPPERS).map(|index| scenario.process(index)).collect();
        for name in &["acme", "beta", "core"][..scenario.entropy.between(2, 3) as usize] {
            let of_it = sample::destination(&sample::organisation(name), "1");
            let other = sample::destination(&sample::organisation(name), "2");
            let tenant = Tenant {
                id: name.parse().unwrap(),
                buckets: [of_it.bucket, other.bucket],
                roles: [of_it.role_arn, other.role_arn],
            };
            for bucket in &tenant.buckets {
                scenario.world.buckets.open(bucket, region(HOME));
            }
            scenario.tenants.push(tenant);
            let days = *scenario.entropy.pick(&[7, 7, 8, 14, 90]);
            scenario.put_organisation(name, Plan::Enterprise, days).await;
        }
        scenario
    }

    /// A new process: a shipper, or the API's.
    fn process(&self, index: usize) -> Arc<Process> {
        // The clocks of the machines differ.
        let by = Duration::from_millis(400) * u32::try_from(index).unwrap();
        self.process_at(index, AheadClock::new(self.world.dial.clone(), by))
    }

    /// A new process with this clock.
    fn process_at(&self, index: usize, clock: Arc<dyn Clock>) -> Arc<Process> {
        let (chance, faults, fate) = (Arc::clone(&self.chance), Arc::clone(&self.faults), self.entropy.fork());
        let decide = move |_| {
            let chance = chance.load(Ordering::Relaxed);
            let fails = chance > 0 && fate.between(1, CERTAIN) <= chance;
            fails.then(|| {
                faults.fetch_add(1, Ordering::Relaxed);
                match fate.below(12) {
                    0 | 1 => Fault::Throttled,
                    2 | 3 => Fault::Unsent,
                    4 => Fault::Busy,
                    9 | 10 => Fault::Late(fate.duration(LATE)),
                    5..=7 => Fault::AnswerLost,
                    8 => Fault::CrashBefore,
                    _ => Fault::CrashAfter,
                }
            })
        };
        let latency = Latency { limit: Duration::from_millis(16), entropy: self.entropy.fork() };
        let gate = Gate::new(self.world.ports(), self.world.clock.clone(), Some(latency), decide);
        let bug = self.bug.filter(|bug| bug.is_administrations() == (index == API));
        let within = |ports| match bug {
            Some(bug) => BuggyPorts::in_front_of(ports, bug, clock.clone()),
            None => ports,
        };
        let policy = ShipPolicy { object_bytes: 2000, ..ShipPolicy::default() };
        Arc::new(Process::start(gate, within, clock.clone(), policy, &self.entropy))
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    fn let_fail(&self) {
        self.chance.store(self.usual_chance, Ordering::Relaxed);
    }

    fn let_succeed(&self) {
        self.chance.store(0, Ordering::Relaxed);
    }

    /// Replaces crashed processes.
    fn revive<T>(&mut self, process: usize, done: Option<T>) -> Option<T> {
        if done.is_none() {
            self.tally.deaths += 1;
            self.processes[process] = self.process(process);
        }
        done
    }

    async fn put_organisation(&mut self, id: &str, plan: Plan, days: u64) {
        let retention = Some(RetentionDays::try_from(days).unwrap());
        let input = OrganisationInput { name: format!("The {id} company"), plan: Some(plan), retention };
        let api = &self.processes[API];
        let id = id.parse().unwrap();
        let done = api.gate.0.live(api.administration.put_organisation(&id, input, &platform())).await;
        self.revive(API, done);
    }

    /// One step: something happens, time passes, the schedule ticks.
    async fn fixture(&mut self) -> Result<(), Violation> {
        self.let_fail();
        if self.clocks.happens(0.2) {
            self.start_with_a_clock_far_off();
        }
        for tenant in 0..self.tenants.len() {
            if self.entropy.happens(0.1) {
                self.freeze(tenant).await;
            }
            for _ in 0..self.entropy.below(3) {
                self.append(tenant).await;
            }
            if self.entropy.happens(0.6) {
                self.happen(tenant).await;
            }
            if self.entropy.happens(0.05) {
                self.start_over(tenant).await?;
            }
        }
        if self.entropy.happens(0.3) {
            self.step_clock();
        }
        self.pass_time().await?;
        match self.entropy.below(3) {
            0 => {
                self.set_clocks_right();
                self.calm_tick().await
            }
            _ => {
                self.stormy_tick().await;
                self.set_clocks_right();
                Ok(())
            }
        }
    }

    async fn organisation(&self, tenant: usize) -> Organisation {
        self.world.organisation(&self.tenants[tenant].id).await
    }

    async fn destination(&self, tenant: usize) -> Option<Destination> {
        self.world.store.destinations(&self.tenants[tenant].id).await.unwrap().pop()
    }

    async fn append(&mut self, tenant: usize) {
        let bodies = (0..self.entropy.between(1, 3)).map(|_| sample::body("thing")).collect();
        let organisation = self.organisation(tenant).await;
        let api = &self.processes[API];
        let done = api.gate.0.live(api.log.append(&organisation, bodies, None)).await;
        self.revive(API, done);
    }

    /// Replaces the API's process by one on a machine whose clock is days or a year off. Shippers with such a clock cannot
    /// call AWS: signatures of a request expire within minutes.
    fn start_with_a_clock_far_off(&mut self) {
        let by = DAY * *self.clocks.pick(&[1, 6, 8, 30, 365]);
        let right = self.world.dial.clone();
        let clock: Arc<dyn Clock> =
            if self.clocks.happens(0.5) { AheadClock::new(right, by) } else { BehindClock::new(right, by) };
        self.processes[API] = self.process_at(API, clock);
        self.is_far_off = true;
        self.tally.far_off += 1;
    }

    fn set_clocks_right(&mut self) {
        if mem::take(&mut self.is_far_off) {
            self.processes[API] = self.process(API);
        }
    }

    fn step_clock(&self) {
        let ahead = *self.entropy.pick(&[0, 0, 700, -700, 2_000, -2_000, 30_000, 90_000, 290_000]);
        self.world.dial.set_ahead(ahead);
    }

    /// Something happens to an organisation, its bucket, its role or its destination.
    async fn happen(&mut self, tenant: usize) {
        let Some(there) = self.destination(tenant).await else { return self.create(tenant).await };
        let organisation = self.organisation(tenant).await;
        let Tenant { buckets, roles, .. } = &self.tenants[tenant];
        let (bucket, role) = (self.entropy.pick(buckets), self.entropy.pick(roles));
        let buckets = &self.world.buckets;
        if self.entropy.happens(0.5) {
            self.tally.tampered += self.tamper();
        }
        let trust = |trust| buckets.set_trust(role, trust);
        match self.entropy.below(20) {
            0..=5 => {
                let late = self.entropy.duration(MINUTE);
                let bad = [
                    Condition::Outage,
                    Condition::Throttling,
                    Condition::Hanging,
                    Condition::AnswerLost(late),
                    Condition::Slow(SECOND * 5),
                    Condition::Slow(SECOND * 40),
                    Condition::Denied,
                    Condition::Missing,
                ];
                buckets.set_condition(bucket, *self.entropy.pick(&bad));
                self.tally.troubles += 1;
            }
            6 => {
                trust(Trust::Revoked);
                self.tally.troubles += 1;
            }
            7..=9 => {
                buckets.set_condition(bucket, Condition::Working);
                trust(Trust::ExternalId(organisation.external_id.clone()));
            }
            10 => {
                let regions = [HOME, "us-east-1", "ap-southeast-5"];
                buckets.open(bucket, region(regions[self.entropy.below(regions.len())]));
            }
            _ => self.change(&organisation, &there).await,
        }
    }

    /// An administrator plants, replaces or deletes an object in one of the buckets, or denies or allows the put. Returns
    /// the number of objects.
    fn tamper(&self) -> u64 {
        let bucket = self.entropy.pick(&self.entropy.pick(&self.tenants).buckets);
        let administrator = Administrator { buckets: &self.world.buckets, bucket };
        match self.entropy.below(8) {
            0 => administrator.set_put(Put::Denied),
            1 => administrator.set_put(Put::Allowed),
            2 => return administrator.delete(&self.entropy),
            3 => return administrator.replace(&self.entropy),
            _ => return administrator.plant(&self.entropy),
        }
        0
    }

    /// Deletes the destination, and creates another one when the oldest of the last seven days' events expire, or would if
    /// they were not kept longer.
    async fn start_over(&mut self, tenant: usize) -> Result<(), Violation> {
        let id = self.tenants[tenant].id.clone();
        if let Some(there) = self.destination(tenant).await {
            let organisation = self.organisation(tenant).await;
            let (api, actor) = (&self.processes[API], platform());
            let deletion = api.administration.delete_destination(&organisation, &there.id, &actor);
            let done = api.gate.0.live(deletion).await;
            self.revive(API, done);
        }
        for _ in 0..self.entropy.below(4) {
            self.append(tenant).await;
            let days = *self.entropy.pick(&[7, 30]);
            self.put_organisation(id.as_str(), Plan::Enterprise, days).await;
        }
        let now = self.now();
        let reach = *self.entropy.pick(&[MINUTE, WEEK]);
        let journal = self.world.store.journal(&id);
        let young: Vec<_> = journal.iter().map(|it| it.recorded_at).filter(|at| now.since(*at) < reach).collect();
        if !young.is_empty() {
            let edge = self.entropy.pick(&young).plus(WEEK).minus(self.entropy.duration(MINUTE * 30));
            self.pass(edge.since(now)).await?;
        }
        self.create(tenant).await;
        Ok(())
    }

    /// A process freezes in the middle of its work, which it begins now, and another one takes its place.
    async fn freeze(&mut self, tenant: usize) {
        let index = self.entropy.below(SHIPPERS + 1);
        let process = Arc::clone(&self.processes[index]);
        let work = if index == API { self.work_of_the_api(tenant).await } else { self.work_of_a_shipper(index) };
        process.gate.0.freeze_at(self.entropy.between(1, if index == API { 5 } else { 15 }));
        let mut work = tokio::spawn(work);
        tokio::select! {
            biased;
            () = process.gate.0.frozen() => {
                self.tally.frozen += 1;
                self.frozen.push(Frozen { process, work });
            }
            done = &mut work => {
                done.unwrap();
                process.gate.0.thaw();
            }
        }
        // It has crashed if its work ended without an answer.
        self.processes[index] = self.process(index);
    }

    fn work_of_a_shipper(&self, index: usize) -> BoxFuture<'static, ()> {
        let process = Arc::clone(&self.processes[index]);
        let (queue, clock) = (Arc::clone(&self.world.queue), self.world.clock.clone());
        Box::pin(async move {
            if process.plan().await.is_some() {
                process.work(&queue, &*clock).await;
            }
        })
    }

    async fn work_of_the_api(&self, tenant: usize) -> BoxFuture<'static, ()> {
        let process = Arc::clone(&self.processes[API]);
        let organisation = self.organisation(tenant).await;
        let there = self.destination(tenant).await.filter(|_| self.entropy.happens(0.4));
        Box::pin(async move {
            let Process { gate, log, administration, .. } = &*process;
            let actor = platform();
            match there {
                Some(there) if there.paused => {
                    drop(gate.0.live(administration.resume_destination(&organisation, &there.id, &actor)).await);
                }
                Some(there) => {
                    drop(gate.0.live(administration.pause_destination(&organisation, &there.id, &actor)).await);
                }
                None => drop(gate.0.live(log.append(&organisation, vec![sample::body("thing")], None)).await),
            }
        })
    }

    /// Hours later, frozen processes go on.
    async fn thaw(&mut self) {
        if self.frozen.is_empty() {
            return;
        }
        self.world.clock.sleep(SETTLED).await;
        self.world.clock.jump(HOUR + self.entropy.duration(LONGEST_FREEZE - HOUR * 2));
        self.expire();
        let frozen = mem::take(&mut self.frozen);
        frozen.iter().for_each(|frozen| frozen.process.gate.0.thaw());
        if self.entropy.happens(0.5) {
            self.stormy_tick().await;
        }
        for Frozen { process, work } in frozen {
            work.await.unwrap();
            self.world.note_held(process.gate.0.held());
        }
    }

    async fn create(&mut self, tenant: usize) {
        let Tenant { buckets: [bucket, _], roles: [role, _], .. } = &self.tenants[tenant];
        let settings = Settings {
            prefix: self.entropy.pick(&["", "audit", "a/b"]).parse().unwrap(),
            region: None,
            compression: *self.entropy.pick(&[Compression::None, Compression::None, Compression::Gzip]),
            layout: *self.entropy.pick(KeyLayout::ALL),
            rendering: Rendering {
                format: *self.entropy.pick(&[ObjectFormat::Native, ObjectFormat::Ocsf, ObjectFormat::CloudEvents]),
                shape: *self.entropy.pick(&[Shape::Native, Shape::Native, Shape::Flat]),
            },
            bucket_owner: None,
        };
        let input = DestinationInput { bucket: bucket.clone(), role_arn: role.clone(), settings };
        let organisation = self.organisation(tenant).await;
        let api = &self.processes[API];
        let done = api.gate.0.live(api.administration.create_destination(&organisation, input, &platform())).await;
        self.revive(API, done);
        self.tally.changes += 1;
    }

    /// A change by an administrator, which may fail.
    async fn change(&mut self, organisation: &Organisation, there: &Destination) {
        self.tally.changes += 1;
        let (id, actor) = (&there.id, platform());
        let what = self.entropy.below(18);
        if what >= 15 {
            let plan = *self.entropy.pick(&[Plan::Free, Plan::Enterprise, Plan::Enterprise]);
            let days = *self.entropy.pick(&[7, 8, 14, 30]);
            return self.put_organisation(organisation.id.as_str(), plan, days).await;
        }
        let api = &self.processes[API];
        let administration = &api.administration;
        let entropy = &self.entropy;
        let done = api
            .gate
            .0
            .live(async {
                match what {
                    0 if entropy.happens(0.5) => {
                        let _ = administration.delete_destination(organisation, id, &actor).await;
                    }
                    0..=2 if there.paused => drop(administration.resume_destination(organisation, id, &actor).await),
                    0..=2 => drop(administration.pause_destination(organisation, id, &actor).await),
                    3..=5 => {
                        let body = *entropy.pick(&[
                            r#"{"prefix":"moved"}"#,
                            r#"{"prefix":"","compression":"gzip"}"#,
                            r#"{"prefix":"again","layout":"hive"}"#,
                            r#"{"compression":"none"}"#,
                            r#"{"region":null}"#,
                            r#"{"layout":"hive-recorded"}"#,
                            r#"{"format":"native","shape":"native"}"#,
                            r#"{"format":"ocsf","shape":"flat"}"#,
                            r#"{"format":"cloudevents"}"#,
                            r#"{"region":"us-east-1","layout":"wiremock"}"#,
                        ]);
                        let patch = DestinationPatch::parse(body.as_bytes(), there, &sample::service()).unwrap();
                        let _ = administration.change_destination(organisation, id, patch, &actor).await;
                    }
                    6..=8 => {
                        let tenant = self.tenants.iter().find(|tenant| tenant.id == organisation.id).unwrap();
                        let (bucket, role) = (entropy.pick(&tenant.buckets), entropy.pick(&tenant.roles));
                        let body = match entropy.below(4) {
                            0 => format!(r#"{{"bucket":"{bucket}"}}"#),
                            1 => format!(r#"{{"roleArn":"{role}"}}"#),
                            2 => format!(r#"{{"bucket":"{bucket}","prefix":"new/place"}}"#),
                            _ => format!(r#"{{"bucket":"{bucket}","roleArn":"{role}"}}"#),
                        };
                        let patch = DestinationPatch::parse(body.as_bytes(), there, &sample::service()).unwrap();
                        let _ = administration.change_destination(organisation, id, patch, &actor).await;
                        if entropy.happens(0.4) {
                            let sink = &*self.world.buckets;
                            let test = administration.test_connection(sink, TEST_OBJECT_NAME, organisation, id, &actor);
                            let _ = test.await;
                        }
                    }
                    9 if entropy.happens(0.3) => {
                        let _ = administration.withdraw_change(organisation, id, &actor).await;
                    }
                    9 => {
                        let sink = &*self.world.buckets;
                        let test = administration.test_connection(sink, TEST_OBJECT_NAME, organisation, id, &actor);
                        let _ = test.await;
                    }
                    _ => {
                        let input = self.range(there);
                        let _ = administration.replay(organisation, id, input, &actor).await;
                    }
                }
            })
            .await;
        self.revive(API, done);
    }

    /// A random range for a replay.
    fn range(&self, there: &Destination) -> ReplayInput {
        let (first, count) = (self.entropy.between(1, there.next_sequence), self.entropy.between(1, 12));
        if self.entropy.happens(0.5) {
            return ReplayInput::Sequences { first, last: first + count };
        }
        let since = self.now().minus(DAY * u32::try_from(count).unwrap());
        ReplayInput::Times { since, until: since.plus(DAY * 2) }
    }

    /// Lets minutes to weeks pass. Each day has its maintenance and a tick or two.
    async fn pass_time(&mut self) -> Result<(), Violation> {
        let jump = match self.entropy.below(20) {
            0..=6 => MINUTE * 5 + self.entropy.duration(HOUR),
            7..=12 => self.entropy.duration(DAY),
            13..=17 => self.entropy.duration(DAY * 6),
            18 => self.entropy.duration(DAY * 30),
            _ => self.entropy.duration(DAY * 89),
        };
        self.pass(jump).await
    }

    async fn pass(&mut self, jump: Duration) -> Result<(), Violation> {
        self.thaw().await;
        // Calls under way arrive first, because a jump does not wake sleepers.
        self.world.clock.sleep(SETTLED).await;
        let before = self.now();
        if jump < DAY {
            self.maintain_if_due().await?;
            self.world.clock.jump(jump);
        } else {
            let days = jump.as_secs().div_ceil(DAY.as_secs());
            for _ in 0..days {
                self.let_succeed();
                self.maintain().await?;
                self.let_fail();
                self.world.clock.jump(jump.div_f64(days as f64));
                self.expire();
                if self.entropy.happens(1.2 / days as f64) {
                    self.stormy_tick().await;
                    self.world.clock.sleep(SETTLED).await;
                }
            }
        }
        self.expire();
        self.tally.days += self.now().since(before).as_secs() / DAY.as_secs();
        Ok(())
    }

    async fn maintain_if_due(&mut self) -> Result<(), Violation> {
        if self.now().since(self.maintained_at) >= DAY {
            self.let_succeed();
            self.maintain().await?;
            self.let_fail();
        }
        Ok(())
    }

    /// The daily maintenance, again if the queue refused an order, as Lambda does.
    async fn maintain(&mut self) -> Result<(), Violation> {
        self.maintained_at = self.now();
        let mut last = None;
        for _ in 0..TRIES {
            let api = &self.processes[API];
            let done = api.gate.0.live(maintain(&api.shipping, self.now())).await;
            match self.revive(API, done) {
                Some(Err(error)) => {
                    last = Some(error);
                    // Another process repeats it.
                    self.set_clocks_right();
                }
                _ => return Ok(()),
            }
        }
        let detail = last.map_or_else(String::new, |error| error.to_string());
        Err(Violation::new(Promise::Recovers, format!("no maintenance: {detail}")))
    }

    /// Time to live deletes some expired items.
    fn expire(&self) {
        let share = *self.entropy.pick(&[0.0, 0.5, 1.0]);
        let salt = self.entropy.next();
        // The store may delete in any order.
        self.world.store.expire(self.now(), |organisation, first| {
            let name = organisation.as_str().bytes().fold(salt, |sum, byte| sum.rotate_left(8) ^ u64::from(byte));
            SeededEntropy::new(name ^ first).happens(share)
        });
    }

    /// Ticks that overlap, fail and are cut short.
    async fn stormy_tick(&mut self) {
        let at_once = self.entropy.between(1, SHIPPERS as u64);
        let ticks = (0..SHIPPERS).filter(|index| (*index as u64) < at_once).map(async |index| {
            let process = &self.processes[index];
            let clock = &*self.world.clock;
            if index > 0 {
                clock.sleep(self.entropy.duration(40 * SECOND)).await;
            }
            // A tick that takes too long is ended, as by the function's timeout.
            let patience = if self.entropy.happens(0.1) { self.entropy.duration(40 * SECOND) } else { 180 * SECOND };
            let work = async {
                let _ = process.plan().await?;
                process.work(&self.world.queue, clock).await
            };
            tokio::select! {
                biased;
                done = work => done.is_some(),
                () = clock.sleep(patience) => false,
            }
        });
        let storm = async {
            let mut tampered = 0;
            // Administrators of buckets act while the ticks run.
            for _ in 0..self.entropy.below(4) {
                self.world.clock.sleep(self.entropy.duration(10 * SECOND)).await;
                tampered += self.tamper();
            }
            tampered
        };
        let (alive, tampered) = futures_util::future::join(join_all(ticks), storm).await;
        self.tally.tampered += tampered;
        for (index, alive) in alive.into_iter().enumerate() {
            self.tally.ticks += 1;
            self.revive(index, alive.then_some(()));
        }
    }

    /// A tick without faults: working destinations get their events, and the status of others has the cause. The partition
    /// of one organisation's log may throttle all the time, which the others do not notice.
    async fn calm_tick(&mut self) -> Result<(), Violation> {
        self.let_succeed();
        self.world.clock.jump(VISIBILITY);
        let mut before = Vec::new();
        for tenant in 0..self.tenants.len() {
            let tail =
                self.world.store.newest(&self.tenants[tenant].id).await.unwrap().tail().map_or(0, |tail| tail.last);
            before.push((self.destination(tenant).await, tail));
        }
        // Events that were just recorded may be seen a tick later.
        self.world.clock.jump(5 * SECOND);
        let begun_at = self.now();
        let process = &self.processes[0];
        let throttled = self.throttling.happens(0.2).then(|| self.throttling.below(self.tenants.len()));
        process.gate.0.throttle(throttled.map(|tenant| self.tenants[tenant].id.clone()));
        self.tally.throttled += u64::from(throttled.is_some());
        for tries in 1.. {
            match process.plan().await {
                Some(Ok(_)) => break,
                failed if tries == TRIES => {
                    return Err(Violation::new(Promise::DeliveredInTime, format!("no plan: {failed:?}")));
                }
                _ => {}
            }
        }
        let mut shipped = Vec::new();
        loop {
            let some = process.work(&self.world.queue, &*self.world.clock).await.unwrap_or_default();
            if some.is_empty() {
                break;
            }
            shipped.extend(some);
        }
        process.gate.0.throttle(None);
        self.tally.ticks += 1;
        let due = self.world.dial.now();
        for (tenant, (destination, tail)) in before.into_iter().enumerate() {
            let Some(destination) = destination else { continue };
            let organisation = self.organisation(tenant).await;
            let pausing =
                destination.progress.failing.as_ref().is_some_and(|failing| failing.retry_at > due.minus(MINUTE * 2));
            let asked = throttled != Some(tenant) && destination.is_active() && organisation.plan.destinations() > 0;
            if asked && !pausing {
                self.due(tenant, &destination, tail, begun_at, &shipped).await?;
            }
        }
        Ok(())
    }

    /// Checks a destination after a tick without faults.
    async fn due(
        &self,
        tenant: usize,
        before: &Destination,
        tail: u64,
        begun_at: Timestamp,
        shipped: &[Shipped],
    ) -> Result<(), Violation> {
        let id = &self.tenants[tenant].id;
        let Some(after) = self.destination(tenant).await else { return Ok(()) };
        let own: Vec<&Shipped> = shipped
            .iter()
            .filter(|one| one.order.organisation == id.as_str() && one.order.destination == before.id.as_str())
            .collect();
        let outcomes = || own.iter().map(|one| one.result.as_ref().map(|report| &report.outcome)).collect::<Vec<_>>();
        let failed = own.iter().find_map(|one| match &one.result {
            Ok(report) => match report.outcome {
                ShipOutcome::Failing(code) => Some(code),
                _ => None,
            },
            Err(_) => None,
        });
        match self.trouble(&after) {
            None => {
                // Events that expired undelivered are recorded as a gap, and later ones delivered, once the destination is
                // compared with its log.
                let next = Place { organisation: id.clone(), sequence: after.next_sequence };
                let is_there = self.world.store.find(&[next]).await.unwrap() != [Found::Nothing];
                let now = self.now();
                let waits = |segment: &Arc<Segment>| segment.last() >= after.next_sequence && !segment.is_expired(now);
                let behind = is_there && after.next_sequence <= tail && self.world.store.journal(id).iter().any(waits);
                let out_of_time = own
                    .iter()
                    .any(|one| one.result.as_ref().is_ok_and(|report| report.outcome == ShipOutcome::OutOfTime));
                if (behind && !out_of_time) || failed.is_some() {
                    let detail = format!(
                        "nothing is wrong with {id}, but it is at {} of {tail}: {:?}",
                        after.next_sequence,
                        outcomes()
                    );
                    return Err(Violation::new(Promise::DeliveredInTime, detail));
                }
                let slow = matches!(self.world.buckets.condition(&after.bucket), Some(Condition::Slow(_)));
                let late = own.iter().map(|one| one.ended_at).max().filter(|at| *at > begun_at.plus(20 * SECOND));
                // A change is examined in the same run, and its bucket may keep it waiting.
                let examines = before.pending.is_some();
                if let Some(at) = late.filter(|_| !slow && !examines && shipped.len() <= super::world::BATCH) {
                    let detail = format!("nothing is wrong with {id}, but it took until {at}, from {begun_at}");
                    return Err(Violation::new(Promise::DeliveredInTime, detail));
                }
            }
            Some(codes) => {
                let Some(code) = failed else { return Ok(()) };
                let failing = after.progress.failing.as_ref();
                let told = failing.is_some_and(|failing| {
                    failing.failure.code == code
                        && codes.contains(&code)
                        && after.state().as_str() == "failing"
                        && after.status().to_string().contains(&failing.failure.cause)
                });
                if !told {
                    let detail =
                        format!("{id} failed with {code:?} of {codes:?}, but its status is {}", after.status());
                    return Err(Violation::new(Promise::StatusTold, detail));
                }
            }
        }
        Ok(())
    }

    /// The failure of a put to a destination's bucket at present, or `None`.
    fn trouble(&self, destination: &Destination) -> Option<&'static [FailureCode]> {
        let Destination { bucket, role_arn, .. } = destination;
        if self.world.buckets.trust(role_arn) == Some(Trust::Revoked) {
            return Some(&[FailureCode::RoleNotAssumable]);
        }
        match self.world.buckets.condition(bucket)? {
            Condition::Working => None,
            Condition::Slow(time) if time < crate::bucket::PATIENCE => None,
            Condition::Outage => Some(&[FailureCode::AwsUnavailable]),
            Condition::Throttling => Some(&[FailureCode::SlowDown]),
            Condition::Hanging | Condition::AnswerLost(_) | Condition::Slow(_) => Some(&[FailureCode::TimedOut]),
            Condition::Denied => Some(&[FailureCode::PutDenied]),
            Condition::Missing => Some(&[FailureCode::BucketMissing]),
        }
    }

    /// Nothing fails any more: what is there is delivered within an hour and a tick, and what is behind expired events within
    /// six hours. Then all promises are checked.
    async fn end(mut self) -> Result<Tally, Violation> {
        self.thaw().await;
        self.world.clock.sleep(SETTLED).await;
        self.let_succeed();
        self.world.dial.set_ahead(0);
        for tenant in 0..self.tenants.len() {
            let Tenant { id, buckets, roles } = &self.tenants[tenant];
            for (bucket, role) in buckets.iter().zip(roles) {
                self.world.buckets.set_condition(bucket, Condition::Working);
                self.world.buckets.set_trust(role, Trust::OwnExternalId);
            }
            let id = id.clone();
            self.put_organisation(id.as_str(), Plan::Enterprise, 90).await;
            if let Some(destination) = self.destination(tenant).await {
                let organisation = self.organisation(tenant).await;
                let api = &self.processes[API];
                let _ = api.administration.resume_destination(&organisation, &destination.id, &platform()).await;
            }
            self.append(tenant).await;
        }
        let mut waiting = 0;
        for _ in 0..=ROUND {
            self.world.clock.jump(TICK);
            let process = &self.processes[0];
            let _ = process.plan().await;
            while process.work(&self.world.queue, &*self.world.clock).await.is_some_and(|some| !some.is_empty()) {}
            self.tally.ticks += 1;
            let (mut settled, mut waits) = (true, false);
            for tenant in 0..self.tenants.len() {
                let Some(there) = self.destination(tenant).await else { continue };
                let id = &self.tenants[tenant].id;
                let tail = self.world.store.newest(id).await.unwrap().tail().map_or(0, |tail| tail.last);
                settled &= there.next_sequence > tail && there.replay.is_none();
                let next = Place { organisation: id.clone(), sequence: there.next_sequence };
                waits |= there.replay.is_some() || self.world.store.find(&[next]).await.unwrap() != [Found::Nothing];
            }
            waiting = if waits { waiting + 1 } else { 0 };
            if settled || waiting > (HOUR + MARGIN).as_secs() / TICK.as_secs() {
                break;
            }
        }
        self.world.clock.sleep(SETTLED).await;
        self.tally.faults = self.faults.load(Ordering::Relaxed);
        for tenant in &self.tenants {
            self.tally.checked += Checker::of(&self.world, &tenant.id, MARGIN).check(Ending::Settled).await?;
        }
        Ok(self.tally)
    }
}
