//! The in-memory store of log and registry, with the semantics of the DynamoDB adapter. Tests also see every segment
//! that was ever committed and the cost of commits, and delete expired items in an order of their choice.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::{Bound, RangeInclusive},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{self, AtomicBool},
    },
    time::Duration,
};

use annals_core::{
    change::{Change, Conflict},
    destination::{ClaimKey, Claims, Delivery, Destination, DestinationId, connection_test::ConnectionTestReport},
    limited::Limited,
    log::{
        rate::RateState,
        segment::{Header, Segment, Tail},
        store::{
            Commit, CommitError, Consistency, Found, Hole, KeyClaim, KeyUse, LogStore, MAX_PLACES, Order, Place,
            StoreError,
        },
        tail::{Anchor, End, Newest},
    },
    organisation::{Organisation, OrganisationId},
    platform::PlatformTokens,
    portal::{PortalLink, Session},
    proof::{key::PublishedKey, log_checkpoint::LogCheckpoint, store::ProofStore},
    registry::{
        ActiveDestination, ActivePage, ActivePosition, MaintenanceProgress, MaintenanceStep, PlanPass, Registry,
        RestoredTables, shard_of,
    },
    time::{Clock, Timestamp},
    token::{Token, TokenHash, TokenId},
    usage::{DeliveredMonths, LogMonth, Month},
};
use async_trait::async_trait;

pub use crate::partition::Table;

use crate::{
    entropy::SeededEntropy,
    partition::{Capacity, PartitionLimits, Partitions},
};

/// The most bytes of an item (AWS, "Service, account, and table quotas in Amazon DynamoDB").
const MAX_ITEM_BYTES: usize = 400 * 1024;
/// The most bytes of a page of a query (AWS, "Query").
const MAX_PAGE_BYTES: usize = 1024 * 1024;
/// The most bytes of a transaction (AWS, "TransactWriteItems").
const MAX_TRANSACTION_BYTES: usize = 4 * 1024 * 1024;
/// The most items of a transaction (AWS, "TransactWriteItems").
const MAX_TRANSACTION_ITEMS: usize = 100;

/// How eventually consistent reads miss recent writes.
#[derive(Debug, Clone)]
pub struct Staleness {
    /// The probability that a read misses anything.
    pub chance: f64,
    /// Every read sees writes that are older than this.
    pub window: Duration,
    /// The clock that measures the age of writes.
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<SeededEntropy>,
}

/// How answers of `range` are empty by mistake.
#[derive(Debug, Clone)]
pub struct EmptyAnswers {
    /// The probability of such an answer.
    pub chance: f64,
    /// The least time between two of them, so that whoever asks again at once hears the truth.
    pub apart: Duration,
    /// The clock that measures this.
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<SeededEntropy>,
}

/// The cost of commits as DynamoDB counts it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Meter {
    pub commits: u64,
    /// Commits whose condition failed.
    pub lost: u64,
    /// Write units of the log's table, failed conditions included.
    pub write_units: f64,
    /// Write units of failed conditions.
    pub wasted_units: f64,
    /// Write units of claims in the registry, refused ones included.
    pub claim_units: f64,
    pub tail_reads: u64,
    /// Each costs a write unit, even if its condition fails.
    pub anchor_writes: u64,
}

#[derive(Debug)]
pub struct MemoryStore {
    world: Mutex<World>,
    page: usize,
    staleness: Option<Staleness>,
    clock: Option<Arc<dyn Clock>>,
    empty_answers: Option<EmptyAnswers>,
    limits: Option<PartitionLimits>,
    limits_lifted: AtomicBool,
}

#[derive(Debug, Clone, Default)]
struct World {
    logs: BTreeMap<OrganisationId, OneLog>,
    organisations: BTreeMap<OrganisationId, Organisation>,
    tokens: HashMap<TokenId, Token>,
    /// Tokens before their last change, and the time of the change.
    former_tokens: HashMap<TokenId, (Option<Token>, Timestamp)>,
    platform_tokens: PlatformTokens,
    links: HashMap<TokenHash, PortalLink>,
    used_links: HashSet<TokenHash>,
    sessions: HashMap<TokenHash, Session>,
    destinations: Vec<Destination>,
    plan_passes: BTreeMap<u16, PlanPass>,
    /// The parts of each run of maintenance, and those that are finished.
    maintenance: BTreeMap<Timestamp, (Option<u32>, BTreeSet<u32>)>,
    deliveries: Vec<Delivery>,
    /// What was delivered to destinations that were deleted.
    deleted: Vec<(OrganisationId, DestinationId, DeliveredMonths)>,
    claims: HashMap<ClaimKey, Claims>,
    uses: HashMap<(OrganisationId, Limited), Vec<Timestamp>>,
    connection_tests: HashMap<(OrganisationId, DestinationId), ConnectionTestReport>,
    signing_keys: Vec<PublishedKey>,
    log_checkpoints: HashMap<OrganisationId, LogCheckpoint>,
    /// The tables that are copies.
    copied: Option<RestoredTables>,
    meter: Meter,
    partitions: Partitions,
    /// Transactions that hold their items and are not written yet.
    in_progress: Vec<InProgress>,
    /// The answers that were empty by mistake, and the time of the last one.
    emptied: u64,
    emptied_at: Timestamp,
}

#[derive(Debug, Clone)]
struct InProgress {
    organisation: OrganisationId,
    commit: Commit,
    holds: Vec<String>,
    due: Timestamp,
}

#[derive(Debug, Clone, Default)]
struct OneLog {
    anchor: Option<Anchor>,
    segments: BTreeMap<u64, (Timestamp, Arc<Segment>)>,
    keys: HashMap<[u8; 32], KeyClaim>,
    /// The holes, and by their first places what takes these.
    holes: Vec<Hole>,
    barriers: BTreeMap<u64, Header>,
    journal: Vec<Arc<Segment>>,
    /// The months that are over, each with the sequence up to which it was counted.
    closed: BTreeMap<Month, (LogMonth, u64)>,
}

/// A copy of both tables at a point in time.
#[derive(Debug, Clone)]
pub struct Backup(World);

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store whose reads are up to date and whose pages end by their bytes alone.
    #[must_use]
    pub fn new() -> Self {
        Self {
            world: Mutex::default(),
            page: usize::MAX,
            staleness: None,
            clock: None,
            empty_answers: None,
            limits: None,
            limits_lifted: AtomicBool::new(false),
        }
    }

    /// Limits pages of `range` to this many segments.
    #[must_use]
    pub fn with_page(mut self, segments: usize) -> Self {
        self.page = segments.max(1);
        self
    }

    /// Lets eventually consistent reads be stale.
    #[must_use]
    pub fn with_staleness(mut self, staleness: Staleness) -> Self {
        self.staleness = Some(staleness);
        self
    }

    /// Lets some answers of `range` be empty by mistake.
    #[must_use]
    pub fn with_empty_answers(mut self, empty_answers: EmptyAnswers) -> Self {
        self.empty_answers = Some(empty_answers);
        self
    }

    /// Lets the store tell its time, as DynamoDB does.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Limits the throughput of each organisation's partitions, and makes transactions take time.
    #[must_use]
    pub fn with_limits(mut self, limits: PartitionLimits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Lets calls exceed the partitions' throughput until [`impose_limits`](Self::impose_limits).
    pub fn lift_limits(&self) {
        self.limits_lifted.store(true, atomic::Ordering::Relaxed);
    }

    pub fn impose_limits(&self) {
        self.limits_lifted.store(false, atomic::Ordering::Relaxed);
    }

    /// The answers that were empty by mistake.
    #[must_use]
    pub fn emptied(&self) -> u64 {
        self.lock().emptied
    }

    /// The calls that were throttled, and the writes that met a transaction in progress.
    #[must_use]
    pub fn refusals(&self) -> (u64, u64) {
        let world = self.lock();
        (world.partitions.throttled, world.partitions.conflicts)
    }

    /// Every segment that was ever committed to an organisation's log, oldest first.
    #[must_use]
    pub fn journal(&self, organisation: &OrganisationId) -> Vec<Arc<Segment>> {
        self.lock().logs.get(organisation).map(|log| log.journal.clone()).unwrap_or_default()
    }

    /// Copies both tables.
    #[must_use]
    pub fn back_up(&self) -> Backup {
        Backup(self.lock().clone())
    }

    /// Replaces `tables` with an earlier copy, as point-in-time recovery and another deployment do.
    pub fn restore(&self, backup: &Backup, tables: RestoredTables) {
        self.take_back(
            backup,
            match tables {
                RestoredTables::Log => &[Table::Log],
                RestoredTables::Registry => &[Table::Registry],
                RestoredTables::Both => &[Table::Log, Table::Registry],
            },
        );
        self.lock().copied = Some(tables);
    }

    /// Takes the items of `tables` back to what they were earlier.
    pub fn take_back(&self, backup: &Backup, tables: &[Table]) {
        let mut world = self.lock();
        let Backup(earlier) = backup.clone();
        // Idempotency keys are items of the registry.
        let keys_of = |from: &World| -> HashMap<_, _> {
            from.logs.iter().map(|(organisation, log)| (organisation.clone(), log.keys.clone())).collect()
        };
        let mut keys = keys_of(if tables.contains(&Table::Registry) { &earlier } else { &world });
        let (mut logs, registry) = (earlier.logs.clone(), World { logs: BTreeMap::new(), ..earlier });
        if !tables.contains(&Table::Log) {
            logs = std::mem::take(&mut world.logs);
        }
        if tables.contains(&Table::Registry) {
            *world = World { meter: world.meter, ..registry };
        }
        for (organisation, log) in &mut logs {
            log.keys = keys.remove(organisation).unwrap_or_default();
        }
        world.logs = logs;
    }

    #[must_use]
    pub fn meter(&self) -> Meter {
        self.lock().meter
    }

    /// Deletes expired segments that `chosen` selects by organisation and first sequence, and all expired idempotency
    /// keys, as time to live does. Returns the number of deleted segments.
    pub fn expire(&self, now: Timestamp, mut chosen: impl FnMut(&OrganisationId, u64) -> bool) -> usize {
        let mut deleted = 0;
        for (organisation, log) in &mut self.lock().logs {
            log.segments.retain(|first, (_, segment)| {
                let goes = segment.is_expired(now) && chosen(organisation, *first);
                deleted += usize::from(goes);
                !goes
            });
            log.keys.retain(|_, key| key.expires_at > now.as_millis() / 1000);
        }
        deleted
    }

    /// The first sequences of expired segments that are not deleted yet, ascending.
    #[must_use]
    pub fn expired(&self, organisation: &OrganisationId, now: Timestamp) -> Vec<u64> {
        let world = self.lock();
        let log = world.logs.get(organisation).into_iter();
        log.flat_map(|log| &log.segments).filter(|(_, (_, s))| s.is_expired(now)).map(|(first, _)| *first).collect()
    }

    /// Replaces an anchor, past the port.
    pub fn set_anchor(&self, organisation: &OrganisationId, anchor: Anchor) {
        self.lock().log(organisation).anchor = Some(anchor);
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limits) = &self.limits {
            world.settle(limits.clock.now());
        }
        world
    }

    /// Returns the limits of throughput that hold.
    fn throughput(&self) -> Option<&PartitionLimits> {
        self.limits.as_ref().filter(|_| !self.limits_lifted.load(atomic::Ordering::Relaxed))
    }

    /// Returns whether an answer is empty by mistake.
    fn answers_nothing(&self, world: &mut World) -> bool {
        let Some(EmptyAnswers { chance, apart, clock, entropy }) = &self.empty_answers else { return false };
        let now = clock.now();
        let empties = now.since(world.emptied_at) >= *apart && entropy.happens(*chance);
        if empties {
            world.emptied += 1;
            world.emptied_at = now;
        }
        empties
    }

    /// Takes read units of the log's partition. A strongly consistent read costs one for every 4 KB.
    fn read(
        &self,
        world: &mut World,
        organisation: &OrganisationId,
        bytes: usize,
        consistency: Consistency,
    ) -> Result<(), StoreError> {
        let Some(limits) = self.throughput() else { return Ok(()) };
        let price = if consistency == Consistency::Strong { 1.0 } else { 0.5 };
        let units = bytes.div_ceil(4096).max(1) as f64 * price;
        if world.partitions.spend(limits, (Table::Log, organisation), Capacity::Read, units) {
            Ok(())
        } else {
            Err(throttled())
        }
    }

    /// Takes write units of a partition.
    fn spend(&self, world: &mut World, partition: (Table, &OrganisationId), units: f64) -> Result<(), StoreError> {
        let Some(limits) = self.throughput() else { return Ok(()) };
        if world.partitions.spend(limits, partition, Capacity::Write, units) { Ok(()) } else { Err(throttled()) }
    }

    /// Makes a commit, or begins it if it is a transaction that takes time. Returns whether it was only begun.
    fn begin(&self, organisation: &OrganisationId, commit: &Commit) -> Result<bool, CommitError> {
        let mut world = self.lock();
        let units = world.price(organisation, commit);
        self.spend(&mut world, (Table::Log, organisation), units)?;
        let holds = held_by(organisation, commit);
        if world.partitions.holds(&holds) {
            return Err(CommitError::Busy);
        }
        let checked = world.check(organisation, commit);
        world.count(units, checked.as_ref().copied());
        checked?;
        let written = self.staleness.as_ref().map_or(Timestamp::EPOCH, |staleness| staleness.clock.now());
        let Some(limits) = self.limits.as_ref().filter(|_| is_transaction(commit)) else {
            world.write(organisation, commit, written);
            return Ok(false);
        };
        world.partitions.hold(&holds);
        let due = limits.clock.now().plus(limits.transaction);
        world.in_progress.push(InProgress { organisation: organisation.clone(), commit: commit.clone(), holds, due });
        Ok(true)
    }

    /// The length of the journal that a read of this consistency sees.
    fn seen(&self, log: &OneLog, consistency: Consistency) -> usize {
        let all = log.journal.len();
        let Some(staleness) = &self.staleness else { return all };
        if consistency == Consistency::Strong || !staleness.entropy.happens(staleness.chance) {
            return all;
        }
        let now = staleness.clock.now();
        let is_recent = |segment: &&Arc<Segment>| {
            let written = log.segments.get(&segment.first).map(|(written, _)| *written);
            written.is_some_and(|written| now.since(written) < staleness.window)
        };
        let recent = log.journal.iter().rev().take_while(is_recent).count();
        all - staleness.entropy.below(recent + 1)
    }
}

fn is_transaction(commit: &Commit) -> bool {
    commit.segments.len() > 1 || commit.change.is_some()
}

/// The items that a commit writes, by a name of each.
fn held_by(organisation: &OrganisationId, commit: &Commit) -> Vec<String> {
    let mut items: Vec<_> = commit.segments.iter().map(|segment| format!("{organisation} {}", segment.first)).collect();
    items.extend(commit.change.iter().flat_map(|change| changed_by(organisation, change)));
    items
}

fn changed_by(organisation: &OrganisationId, change: &Change) -> Vec<String> {
    let of_organisation = format!("{organisation} settings and counts");
    match change {
        Change::CreateOrganisation(_) | Change::UpdateOrganisation(_) => vec![of_organisation],
        Change::CreateToken { token, replaced, cleared, .. } => {
            let ids = [Some(&token.id), replaced.as_ref().map(|replaced| &replaced.id)].into_iter().flatten();
            ids.chain(cleared).map(|id| format!("token {id}")).chain([of_organisation]).collect()
        }
        Change::RevokeToken(_, id) => vec![format!("token {id}"), of_organisation],
        Change::CreateDestination { destination, .. } | Change::DeleteDestination(destination) => {
            vec![of_destination(destination), format!("bucket {}", destination.bucket), of_organisation]
        }
        Change::UpdateDestination(destination) => vec![of_destination(destination)],
        Change::CreatePortalLink(link) => vec![format!("link {:?}", link.hash)],
        Change::StartSession { link, session } => vec![format!("link {link:?}"), format!("session {:?}", session.hash)],
        Change::EndSession(hash) => vec![format!("session {hash:?}")],
    }
}

fn of_destination(destination: &Destination) -> String {
    format!("{} destination {}", destination.organisation, destination.id)
}

/// The size of a segment's item: names and values of its attributes (AWS, "DynamoDB item sizes and formats").
#[must_use]
pub fn item_bytes(organisation: &OrganisationId, segment: &Segment) -> usize {
    /// The names of its attributes, a handful of bytes each number, two hashes, the append's id, and the rate limit's state.
    const REST: usize = 17 + 5 * 8 + 2 * 32 + 16 + 13;
    let usage = segment.usage.map_or(0, |usage| 1 + usage.to_bytes().len());
    let claimed = if segment.claimed.is_empty() { 0 } else { 1 + 18 * segment.claimed.len() };
    REST + usage
        + claimed
        + organisation.as_str().len()
        + segment.organisation_name.len()
        + segment.bodies.as_bytes().len()
}

fn write_units(bytes: usize) -> f64 {
    bytes.div_ceil(1024).max(1) as f64
}

fn throttled() -> StoreError {
    StoreError::Throttled("the partition's throughput is used up".into())
}

fn broken(reason: &str) -> StoreError {
    StoreError::Broken(reason.into())
}

impl World {
    fn log(&mut self, organisation: &OrganisationId) -> &mut OneLog {
        self.logs.entry(organisation.clone()).or_default()
    }

    fn check(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError> {
        let sizes = commit.segments.iter().map(|segment| item_bytes(organisation, segment));
        if commit.segments.is_empty() {
            return Err(broken("a commit without segments").into());
        }
        if sizes.clone().any(|size| size > MAX_ITEM_BYTES) {
            return Err(broken("an item has at most 400 KB").into());
        }
        if commit.segments.len() > MAX_TRANSACTION_ITEMS || sizes.sum::<usize>() > MAX_TRANSACTION_BYTES {
            return Err(broken("a transaction has at most 100 items and 4 MB").into());
        }
        let log = self.logs.get(organisation);
        for segment in &commit.segments {
            if let Some((_, there)) = log.and_then(|log| log.segments.get(&segment.first)) {
                return Err(CommitError::Occupied(Box::new(there.header())));
            }
        }
        for segment in &commit.segments {
            if let Some(there) = log.and_then(|log| log.barriers.get(&segment.first)) {
                return Err(CommitError::Occupied(Box::new(there.clone())));
            }
        }
        let conflict = commit.change.as_ref().and_then(|change| self.conflict(change));
        conflict.map_or(Ok(()), |conflict| Err(CommitError::Refused(conflict)))
    }

    fn conflict(&self, change: &Change) -> Option<Conflict> {
        match change {
            Change::CreateOrganisation(new) => self.organisations.contains_key(&new.id).then_some(Conflict::Exists),
            Change::UpdateOrganisation(new) => match self.organisations.get(&new.id) {
                None => Some(Conflict::Missing),
                Some(old) => (old.version != new.version - 1).then_some(Conflict::Changed),
            },
            Change::CreateToken { token: new, limit, replaced, cleared, now } => {
                let own = self.tokens.values().filter(|old| old.organisation == new.organisation);
                let of_own = |id: &TokenId| own.clone().find(|old| old.id == *id);
                if own.clone().count() >= limit + cleared.len() || !self.organisations.contains_key(&new.organisation) {
                    return Some(Conflict::TokenLimit);
                }
                if self.tokens.contains_key(&new.id) {
                    return Some(Conflict::Exists);
                }
                if let Some(replaced) = replaced {
                    match of_own(&replaced.id) {
                        Some(old) if old.replaced_by == replaced.replaced_by => {}
                        _ if self.tokens.contains_key(&replaced.id) => return Some(Conflict::Changed),
                        _ => return Some(Conflict::Missing),
                    }
                }
                let all_ended = cleared.iter().all(|id| of_own(id).is_some_and(|old| !old.is_live(*now)));
                (!all_ended).then_some(Conflict::Changed)
            }
            Change::RevokeToken(organisation, id) => {
                let there = self.tokens.get(id).is_some_and(|token| token.organisation == *organisation);
                (!there).then_some(Conflict::Missing)
            }
            Change::CreateDestination { destination: new, limit } => {
                let own = self.destinations.iter().filter(|old| old.organisation == new.organisation).count();
                if own >= *limit || !self.organisations.contains_key(&new.organisation) {
                    Some(Conflict::Limit)
                } else {
                    self.destination(&new.organisation, &new.id).map(|_| Conflict::Exists)
                }
            }
            Change::UpdateDestination(new) => self.version_conflict(new, new.version - 1),
            Change::DeleteDestination(old) => self.version_conflict(old, old.version),
            Change::CreatePortalLink(new) => self.links.contains_key(&new.hash).then_some(Conflict::Exists),
            Change::StartSession { link, session } => {
                let used = (!self.links.contains_key(link)).then_some(Conflict::Missing);
                used.or_else(|| self.sessions.contains_key(&session.hash).then_some(Conflict::Exists))
            }
            Change::EndSession(hash) => (!self.sessions.contains_key(hash)).then_some(Conflict::Missing),
        }
    }

    fn destination(&self, organisation: &OrganisationId, id: &DestinationId) -> Option<&Destination> {
        self.destinations.iter().find(|old| old.organisation == *organisation && old.id == *id)
    }

    fn version_conflict(&self, destination: &Destination, expected: u64) -> Option<Conflict> {
        match self.destination(&destination.organisation, &destination.id) {
            None => Some(Conflict::Missing),
            Some(there) => (there.version != expected).then_some(Conflict::Changed),
        }
    }

    /// Keeps the token that `change` is about, for stale reads.
    fn remember_token(&mut self, change: &Change, now: Timestamp) {
        let ids: Vec<&TokenId> = match change {
            Change::CreateToken { token, replaced, .. } => {
                [Some(&token.id), replaced.as_ref().map(|replaced| &replaced.id)].into_iter().flatten().collect()
            }
            Change::RevokeToken(_, id) => vec![id],
            _ => Vec::new(),
        };
        for id in ids {
            self.former_tokens.insert(id.clone(), (self.tokens.get(id).cloned(), now));
        }
    }

    fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::CreateOrganisation(new) => {
                self.log(&new.id).anchor.get_or_insert(Anchor::of_new_log(&new));
                self.organisations.insert(new.id.clone(), new);
            }
            Change::UpdateOrganisation(new) => drop(self.organisations.insert(new.id.clone(), new)),
            Change::CreateToken { token: new, replaced, cleared, .. } => {
                if let Some(replaced) = replaced
                    && let Some(old) = self.tokens.get_mut(&replaced.id)
                {
                    old.expires_at = Some(replaced.expires_at);
                    old.replaced_by = Some(new.id.clone());
                }
                self.tokens.retain(|id, _| !cleared.contains(id));
                self.tokens.insert(new.id.clone(), *new);
            }
            Change::RevokeToken(_, id) => drop(self.tokens.remove(&id)),
            Change::CreateDestination { destination, .. } => self.destinations.push(*destination),
            Change::UpdateDestination(new) => self.replace(&new),
            Change::DeleteDestination(old) => {
                self.destinations.retain(|there| there.organisation != old.organisation || there.id != old.id);
                let delivered = old.progress.usage();
                if !delivered.is_empty() {
                    self.deleted.push((old.organisation.clone(), old.id.clone(), delivered));
                }
                self.connection_tests.remove(&(old.organisation, old.id));
            }
            Change::CreatePortalLink(new) => drop(self.links.insert(new.hash, *new)),
            Change::StartSession { link, session } => {
                self.links.remove(&link);
                self.used_links.insert(link);
                self.sessions.insert(session.hash, *session);
            }
            Change::EndSession(hash) => drop(self.sessions.remove(&hash)),
        }
    }

    fn replace(&mut self, new: &Destination) {
        for there in &mut self.destinations {
            if there.organisation == new.organisation && there.id == new.id {
                *there = new.clone();
            }
        }
    }

    /// Writes what the transactions write that are due.
    fn settle(&mut self, now: Timestamp) {
        while let Some(index) = self.in_progress.iter().position(|transaction| transaction.due <= now) {
            let transaction = self.in_progress.remove(index);
            self.partitions.release(&transaction.holds);
            self.write(&transaction.organisation, &transaction.commit, transaction.due);
        }
    }

    /// Writes a commit whose conditions hold.
    fn write(&mut self, organisation: &OrganisationId, commit: &Commit, written: Timestamp) {
        let log = self.log(organisation);
        for segment in commit.segments.iter().cloned().map(Arc::new) {
            log.journal.push(Arc::clone(&segment));
            log.segments.insert(segment.first, (written, segment));
        }
        if let Some(change) = &commit.change {
            self.remember_token(change, written);
            self.apply(change);
        }
    }

    /// Returns the write units of a commit in the log's table: a transaction costs twice as much, and a put whose condition
    /// failed as much as the item that is there.
    fn price(&self, organisation: &OrganisationId, commit: &Commit) -> f64 {
        let units = |segment: &Segment| write_units(item_bytes(organisation, segment));
        if let [segment] = commit.segments.as_slice()
            && !is_transaction(commit)
        {
            let there = self.logs.get(organisation).and_then(|log| log.segments.get(&segment.first));
            return there.map_or_else(|| units(segment), |(_, there)| units(there));
        }
        2.0 * commit.segments.iter().map(units).sum::<f64>()
    }

    /// Counts a commit of `units`, and whether it was made.
    fn count(&mut self, units: f64, made: Result<(), &CommitError>) {
        self.meter.write_units += units;
        match made {
            Ok(()) => self.meter.commits += 1,
            Err(error) => {
                self.meter.wasted_units += units;
                self.meter.lost += u64::from(matches!(error, CommitError::Occupied(_)));
            }
        }
    }
}

#[async_trait]
impl LogStore for MemoryStore {
    async fn newest(&self, organisation: &OrganisationId) -> Result<Newest, StoreError> {
        let mut world = self.lock();
        world.meter.tail_reads += 1;
        let newest = world.logs.get(organisation).and_then(|log| log.segments.values().next_back());
        let bytes = newest.map_or(0, |(_, segment)| item_bytes(organisation, segment));
        self.read(&mut world, organisation, bytes, Consistency::Strong)?;
        let log = world.logs.get(organisation);
        let segment = log.and_then(|log| {
            let segment = log.segments.iter().next_back().map(|(place, (_, segment))| (*place, segment.tail()));
            let barrier = log.barriers.iter().next_back().map(|(place, barrier)| (*place, barrier.tail));
            segment.into_iter().chain(barrier).max_by_key(|(place, _)| *place).map(|(_, tail)| End::Segment(tail))
        });
        let end = segment.or_else(|| log.and_then(|log| log.anchor).map(End::Anchor));
        // The header `Date` has whole seconds.
        let whole_seconds = |now: Timestamp| Timestamp::from_millis(now.as_millis() / 1000 * 1000);
        Ok(Newest { end, answered_at: self.clock.as_ref().map(|clock| whole_seconds(clock.now())) })
    }

    async fn anchor(&self, organisation: &OrganisationId) -> Result<Option<Anchor>, StoreError> {
        Ok(self.lock().logs.get(organisation).and_then(|log| log.anchor))
    }

    async fn anchors(&self, organisations: &[OrganisationId]) -> Result<Vec<Option<Anchor>>, StoreError> {
        let world = self.lock();
        Ok(organisations.iter().map(|organisation| world.logs.get(organisation).and_then(|log| log.anchor)).collect())
    }

    async fn advance_anchor(&self, organisation: &OrganisationId, to: &Anchor) -> Result<bool, StoreError> {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let mut world = self.lock();
        world.meter.anchor_writes += 1;
        let log = world.log(organisation);
        let is_later = log.anchor.is_none_or(|there| match there.tail.last.cmp(&to.tail.last) {
            Ordering::Less => true,
            Ordering::Equal => {
                to.checked.is_some_and(|to| there.checked.is_none_or(|checked| checked < to || checked > to.plus(DAY)))
            }
            Ordering::Greater => false,
        });
        if is_later {
            log.anchor = Some(Anchor { tail: Tail { rate: RateState::FULL, ..to.tail }, ..*to });
        }
        Ok(is_later)
    }

    async fn holes(&self, organisation: &OrganisationId) -> Result<Vec<Hole>, StoreError> {
        Ok(self.lock().logs.get(organisation).map(|log| log.holes.clone()).unwrap_or_default())
    }

    async fn leave_hole(
        &self,
        organisation: &OrganisationId,
        hole: &Hole,
        segment: &Segment,
    ) -> Result<bool, StoreError> {
        let mut world = self.lock();
        let written = self.staleness.as_ref().map_or(Timestamp::EPOCH, |staleness| staleness.clock.now());
        let log = world.log(organisation);
        let is_taken = |place| log.segments.contains_key(&place) || log.barriers.contains_key(&place);
        if is_taken(hole.first)
            || is_taken(segment.first)
            || log.holes.iter().any(|there| there.restore == hole.restore)
        {
            return Ok(false);
        }
        log.holes.push(hole.clone());
        log.barriers.insert(hole.first, segment.header());
        let segment = Arc::new(segment.clone());
        log.journal.push(Arc::clone(&segment));
        log.segments.insert(segment.first, (written, segment));
        Ok(true)
    }

    async fn commit(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError> {
        if self.begin(organisation, commit)?
            && let Some(limits) = &self.limits
        {
            limits.clock.sleep(limits.transaction).await;
        }
        Ok(())
    }

    async fn claim(
        &self,
        organisation: &OrganisationId,
        claim: &KeyClaim,
        now: u64,
    ) -> Result<Option<KeyUse>, StoreError> {
        let mut world = self.lock();
        // An item of a key is smaller than a write unit.
        world.meter.claim_units += 1.0;
        self.spend(&mut world, (Table::Registry, organisation), 1.0)?;
        let keys = &mut world.log(organisation).keys;
        if let Some(there) = keys.get(&claim.key).filter(|there| there.expires_at > now) {
            return Ok(Some(KeyUse::Claimed(there.clone())));
        }
        keys.insert(claim.key, claim.clone());
        Ok(None)
    }

    async fn replace_claim(
        &self,
        organisation: &OrganisationId,
        before: &KeyClaim,
        claim: &KeyClaim,
    ) -> Result<bool, StoreError> {
        let mut world = self.lock();
        world.meter.claim_units += 1.0;
        self.spend(&mut world, (Table::Registry, organisation), 1.0)?;
        let keys = &mut world.log(organisation).keys;
        let is_expected = keys.get(&claim.key) == Some(before);
        if is_expected {
            keys.insert(claim.key, claim.clone());
        }
        Ok(is_expected)
    }

    async fn close_month(&self, organisation: &OrganisationId, closed: &LogMonth, last: u64) -> Result<(), StoreError> {
        let mut world = self.lock();
        // The item is smaller than a write unit.
        world.meter.write_units += 1.0;
        self.spend(&mut world, (Table::Log, organisation), 1.0)?;
        let there = world.log(organisation).closed.entry(closed.month).or_insert((*closed, last));
        if there.1 <= last {
            *there = (*closed, last);
        }
        Ok(())
    }

    async fn closed_months(&self, organisation: &OrganisationId) -> Result<Vec<LogMonth>, StoreError> {
        let world = self.lock();
        let closed = world.logs.get(organisation).map(|log| log.closed.values().rev().map(|(closed, _)| *closed));
        Ok(closed.map(Iterator::collect).unwrap_or_default())
    }

    async fn find(&self, places: &[Place]) -> Result<Vec<Found>, StoreError> {
        if places.len() > MAX_PLACES {
            return Err(broken("too many places"));
        }
        let world = self.lock();
        let find = |Place { organisation, sequence }: &Place| {
            let log = world.logs.get(organisation)?;
            if let Some(barrier) = log.barriers.get(sequence) {
                return Some(Found::Segment(barrier.tail.recorded_at));
            }
            let (_, segment) = log.segments.get(sequence)?;
            let unseen = &log.journal[self.seen(log, Consistency::Eventual)..];
            let is_seen = unseen.iter().all(|unseen| unseen.first != segment.first);
            is_seen.then_some(Found::Segment(segment.recorded_at))
        };
        Ok(places.iter().map(|place| find(place).unwrap_or(Found::Nothing)).collect())
    }

    async fn range(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError> {
        if limit == Some(0) {
            return Err(broken("a limit of nothing"));
        }
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let mut world = self.lock();
        let page = self.page(&world, organisation, range, order, limit, consistency);
        let bytes = page.iter().map(|segment| item_bytes(organisation, segment)).sum();
        self.read(&mut world, organisation, bytes, consistency)?;
        Ok(if self.answers_nothing(&mut world) { Vec::new() } else { page })
    }
}

impl MemoryStore {
    fn page(
        &self,
        world: &World,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Vec<Segment> {
        let Some(log) = world.logs.get(organisation) else { return Vec::new() };
        let unseen: HashSet<u64> =
            log.journal[self.seen(log, consistency)..].iter().map(|segment| segment.first).collect();
        let found = log.segments.range(range).map(|(_, (_, segment))| segment);
        let mut found: Vec<_> = found.filter(|segment| !unseen.contains(&segment.first)).collect();
        if order == Order::Descending {
            found.reverse();
        }
        let mut bytes = 0;
        let page = found.into_iter().take(limit.unwrap_or(usize::MAX).min(self.page)).take_while(|segment| {
            let goes_on = bytes < MAX_PAGE_BYTES;
            bytes += item_bytes(organisation, segment);
            goes_on
        });
        page.map(|segment| Segment::clone(segment)).collect()
    }
}

#[async_trait]
impl Registry for MemoryStore {
    async fn copied_tables(&self) -> Result<Option<RestoredTables>, StoreError> {
        Ok(self.lock().copied)
    }

    async fn adopt_tables(&self) -> Result<(), StoreError> {
        self.lock().copied = None;
        Ok(())
    }

    async fn organisation(
        &self,
        id: &OrganisationId,
        _consistency: Consistency,
    ) -> Result<Option<Organisation>, StoreError> {
        Ok(self.lock().organisations.get(id).cloned())
    }

    async fn organisations(
        &self,
        after: Option<&OrganisationId>,
        limit: usize,
    ) -> Result<Vec<Organisation>, StoreError> {
        let world = self.lock();
        let behind =
            world.organisations.values().filter(|organisation| after.is_none_or(|after| organisation.id > *after));
        Ok(behind.take(limit).cloned().collect())
    }

    async fn organisation_ids(
        &self,
        after: Option<&OrganisationId>,
        limit: usize,
    ) -> Result<Vec<OrganisationId>, StoreError> {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let world = self.lock();
        let ids = world.organisations.range::<OrganisationId, _>((begin, Bound::Unbounded)).map(|(id, _)| id);
        Ok(ids.take(limit).cloned().collect())
    }

    async fn token(&self, id: &TokenId, consistency: Consistency) -> Result<Option<Token>, StoreError> {
        let world = self.lock();
        if let (Some(staleness), Consistency::Eventual) = (&self.staleness, consistency)
            && let Some((former, changed_at)) = world.former_tokens.get(id)
            && staleness.clock.now().since(*changed_at) < staleness.window
            && staleness.entropy.happens(staleness.chance)
        {
            return Ok(former.clone());
        }
        Ok(world.tokens.get(id).cloned())
    }

    async fn tokens(&self, organisation: &OrganisationId) -> Result<Vec<Token>, StoreError> {
        Ok(self.lock().tokens.values().filter(|token| token.organisation == *organisation).cloned().collect())
    }

    async fn note_token_use(&self, id: &TokenId, at: Timestamp, unless_after: Timestamp) -> Result<(), StoreError> {
        let mut world = self.lock();
        if let Some(token) =
            world.tokens.get_mut(id).filter(|token| token.last_used_at.is_none_or(|used| used <= unless_after))
        {
            token.last_used_at = Some(at);
        }
        Ok(())
    }

    async fn platform_tokens(&self) -> Result<PlatformTokens, StoreError> {
        Ok(self.lock().platform_tokens.clone())
    }

    async fn save_platform_tokens(&self, tokens: &PlatformTokens) -> Result<bool, StoreError> {
        let mut world = self.lock();
        let is_expected = world.platform_tokens.version + 1 == tokens.version;
        if is_expected {
            world.platform_tokens = tokens.clone();
        }
        Ok(is_expected)
    }

    async fn portal_link(&self, hash: &TokenHash) -> Result<Option<PortalLink>, StoreError> {
        Ok(self.lock().links.get(hash).cloned())
    }

    async fn is_link_used(&self, hash: &TokenHash) -> Result<bool, StoreError> {
        Ok(self.lock().used_links.contains(hash))
    }

    async fn session(&self, hash: &TokenHash) -> Result<Option<Session>, StoreError> {
        Ok(self.lock().sessions.get(hash).cloned())
    }

    async fn sessions(&self, organisation: &OrganisationId) -> Result<Vec<Session>, StoreError> {
        let world = self.lock();
        Ok(world.sessions.values().filter(|session| session.organisation == *organisation).cloned().collect())
    }

    async fn extend_session(&self, hash: &TokenHash, expires_at: Timestamp) -> Result<(), StoreError> {
        if let Some(session) = self.lock().sessions.get_mut(hash) {
            session.expires_at = session.expires_at.max(expires_at);
        }
        Ok(())
    }

    async fn destination(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Option<Destination>, StoreError> {
        Ok(self.lock().destination(organisation, id).cloned())
    }

    async fn destinations(&self, organisation: &OrganisationId) -> Result<Vec<Destination>, StoreError> {
        let world = self.lock();
        Ok(world.destinations.iter().filter(|there| there.organisation == *organisation).cloned().collect())
    }

    async fn active_destinations(
        &self,
        shard: u16,
        after: Option<&ActivePosition>,
        limit: usize,
    ) -> Result<ActivePage, StoreError> {
        let active = |destination: &Destination| ActiveDestination {
            organisation: destination.organisation.clone(),
            id: destination.id.clone(),
            next_sequence: destination.next_sequence,
            pending: destination.intent.is_some() || destination.replay.is_some(),
            checkpoint_due: destination
                .checkpoints
                .due_at
                .filter(|_| destination.intent.is_none() && destination.replay.is_none()),
            retry_at: destination.progress.failing.as_ref().map(|failing| failing.retry_at),
            failure: destination.progress.failing.as_ref().map(|failing| failing.failure.code),
            lag_from: destination.progress.lag_from,
        };
        let world = self.lock();
        let of_it = world.destinations.iter().filter(|one| one.is_active() && shard_of(&one.id) == shard);
        let behind = of_it.map(active).filter(|one| after.is_none_or(|after| one.position() > *after));
        let mut destinations: Vec<ActiveDestination> = behind.collect();
        destinations.sort_by_key(ActiveDestination::position);
        destinations.truncate(limit);
        let next = destinations.last().filter(|_| destinations.len() == limit).map(ActiveDestination::position);
        Ok(ActivePage { destinations, next })
    }

    async fn plan_passes(&self) -> Result<Vec<PlanPass>, StoreError> {
        Ok(self.lock().plan_passes.values().cloned().collect())
    }

    async fn save_plan_pass(&self, pass: &PlanPass) -> Result<bool, StoreError> {
        let mut world = self.lock();
        if world.plan_passes.get(&pass.shard).is_some_and(|saved| saved.tick > pass.tick) {
            return Ok(false);
        }
        world.plan_passes.insert(pass.shard, pass.clone());
        Ok(true)
    }

    async fn note_maintenance(&self, run: Timestamp, step: MaintenanceStep) -> Result<MaintenanceProgress, StoreError> {
        let mut world = self.lock();
        let (parts, finished) = world.maintenance.entry(run).or_default();
        match step {
            MaintenanceStep::Divided { parts: count } => *parts = Some(count),
            MaintenanceStep::Finished { part } => {
                finished.insert(part);
            }
        }
        Ok(MaintenanceProgress { parts: *parts, finished: u32::try_from(finished.len()).unwrap() })
    }

    async fn save_progress(&self, destination: &Destination, delivery: Option<&Delivery>) -> Result<bool, StoreError> {
        let mut world = self.lock();
        if world.partitions.holds(&[of_destination(destination)]) {
            return Ok(false);
        }
        if world.destination(&destination.organisation, &destination.id) == Some(destination) {
            // An earlier attempt, whose answer was lost, succeeded.
            return Ok(true);
        }
        if world.version_conflict(destination, destination.version - 1).is_some() {
            return Ok(false);
        }
        world.replace(destination);
        world.deliveries.extend(delivery.cloned());
        Ok(true)
    }

    async fn deliveries(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let world = self.lock();
        let of_it = world
            .deliveries
            .iter()
            .filter(|delivery| delivery.organisation == *organisation && delivery.destination == *id);
        Ok(of_it.rev().take(limit).cloned().collect())
    }

    async fn deliveries_numbered(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        range: RangeInclusive<u64>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let world = self.lock();
        let of_it = world.deliveries.iter().filter(|delivery| {
            delivery.organisation == *organisation
                && delivery.destination == *id
                && delivery.number.is_some_and(|number| range.contains(&number))
        });
        let mut found: Vec<_> = of_it.cloned().collect();
        found.sort_by_key(|delivery| delivery.number);
        Ok(found)
    }

    async fn delivery_of(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        sequence: u64,
        _recorded_at: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        let world = self.lock();
        let found = world.deliveries.iter().find(|delivery| {
            delivery.organisation == *organisation
                && delivery.destination == *id
                && delivery.replay.is_none()
                && (delivery.first..=delivery.last).contains(&sequence)
        });
        Ok(found.cloned())
    }

    async fn save_connection_test(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        report: &ConnectionTestReport,
    ) -> Result<(), StoreError> {
        let mut world = self.lock();
        let last = world.connection_tests.entry((organisation.clone(), id.clone())).or_insert_with(|| report.clone());
        if last.tested_at <= report.tested_at {
            *last = report.clone();
        }
        Ok(())
    }

    async fn last_connection_test(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Option<ConnectionTestReport>, StoreError> {
        let world = self.lock();
        Ok(world.connection_tests.get(&(organisation.clone(), id.clone())).cloned())
    }

    async fn claims(&self, key: &ClaimKey) -> Result<Claims, StoreError> {
        Ok(self.lock().claims.get(key).cloned().unwrap_or_default())
    }

    async fn save_claims(&self, key: &ClaimKey, claims: &Claims) -> Result<bool, StoreError> {
        let mut world = self.lock();
        let there = world.claims.entry(key.clone()).or_default();
        let is_expected = there.version + 1 == claims.version;
        if is_expected {
            *there = claims.clone();
        }
        Ok(is_expected)
    }

    async fn deleted_deliveries(
        &self,
        organisation: &OrganisationId,
    ) -> Result<Vec<(DestinationId, DeliveredMonths)>, StoreError> {
        let world = self.lock();
        let deleted = world.deleted.iter().filter(|(of, ..)| of == organisation);
        Ok(deleted.map(|(_, id, delivered)| (id.clone(), delivered.clone())).collect())
    }

    async fn uses(&self, organisation: &OrganisationId, limited: Limited) -> Result<Vec<Timestamp>, StoreError> {
        Ok(self.lock().uses.get(&(organisation.clone(), limited)).cloned().unwrap_or_default())
    }

    async fn save_uses(
        &self,
        organisation: &OrganisationId,
        limited: Limited,
        before: &[Timestamp],
        after: &[Timestamp],
    ) -> Result<bool, StoreError> {
        let mut world = self.lock();
        let times = world.uses.entry((organisation.clone(), limited)).or_default();
        let is_expected = times == before;
        if is_expected {
            *times = after.to_vec();
        }
        Ok(is_expected)
    }
}

#[async_trait]
impl ProofStore for MemoryStore {
    async fn signing_keys(&self) -> Result<Vec<PublishedKey>, StoreError> {
        Ok(self.lock().signing_keys.clone())
    }

    async fn publish_signing_key(&self, number: u64, key: &PublishedKey) -> Result<bool, StoreError> {
        let mut world = self.lock();
        let is_next = number == world.signing_keys.len() as u64 + 1;
        world.signing_keys.extend(is_next.then(|| key.clone()));
        Ok(is_next)
    }

    async fn log_checkpoint(&self, organisation: &OrganisationId) -> Result<Option<LogCheckpoint>, StoreError> {
        Ok(self.lock().log_checkpoints.get(organisation).cloned())
    }

    async fn save_log_checkpoint(
        &self,
        organisation: &OrganisationId,
        before: Option<Timestamp>,
        checkpoint: &LogCheckpoint,
    ) -> Result<bool, StoreError> {
        let mut world = self.lock();
        let is_expected = world.log_checkpoints.get(organisation).map(|stored| stored.at) == before;
        if is_expected {
            world.log_checkpoints.insert(organisation.clone(), checkpoint.clone());
        }
        Ok(is_expected)
    }
}
