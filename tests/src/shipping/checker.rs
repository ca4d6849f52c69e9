//! What shipping promises, held against everything that happened: the log's journal, every version of every
//! destination, every object and every put that arrived. Owns the checks and nothing of how it came about.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt,
    io::Read as _,
    ops::RangeInclusive,
    rc::Rc,
    time::Duration,
};

use annals_core::{
    delivery::{KeySuffix, object_key},
    destination::{
        BucketName, Compression, Content, Delivery, Destination, DestinationId, Intent, KeyLayout, Place, Rendering,
        Replay, connection_test::TEST_OBJECT_NAME, failure::FailureCode, sink::Stored,
    },
    id::EventId,
    log::segment::{Line, LineHash},
    organisation::OrganisationId,
    registry::Registry as _,
    time::Timestamp,
};
use flate2::read::GzDecoder;
use serde_json::Value;

use super::world::{By, Version, World};
use crate::{bucket::Arrival, entropy::SeededEntropy};

/// How far a new destination reaches back.
const LOOKBACK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// What expires this soon after a destination's creation may expire before its first tick.
const FIRST_TICK: Duration = Duration::from_secs(15 * 60);
/// The longest time for which a process is frozen.
pub const LONGEST_FREEZE: Duration = Duration::from_secs(4 * 60 * 60);
/// The longest pause of a failing destination.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Promise {
    /// A delivery is committed only once its object was in the bucket.
    PutBeforeCommit,
    /// Nothing is said to be delivered that our own put did not store with exactly those bytes. If only an object that
    /// is there speaks for it, the delivery says so, and an earlier put may have written that object.
    NothingClaimed,
    /// A key that a refusal has revealed is not put again, unless an earlier put may have written its object.
    KeyChanged,
    /// What is put was begun before: its key is an intent's, made as the settings then said.
    BegunFirst,
    /// What was begun is finished as it was begun.
    IntentKept,
    /// No event is in two objects that our role wrote.
    ExactlyOnce,
    /// What is delivered goes on where the delivery before ended; what is passed over was recorded as a gap.
    NothingSkipped,
    /// An object holds the lines of its delivery, all of them, byte for byte as the log has them, and in order.
    Complete,
    /// Each line carries the hash of the line delivered before it.
    Chained,
    /// An object never changes, and every try puts the same bytes.
    Immutable,
    /// A gap is recorded once, names only what has expired, and everything that is missing.
    GapsTold,
    /// Nothing is delivered that has expired.
    ExpiryHolds,
    /// A new destination begins with the first event of the last seven days.
    LookbackHeld,
    /// A replay delivers its range once, under keys of its own, and leaves the checkpoint alone.
    ReplayApart,
    /// Nobody's change of a destination is undone by somebody else's.
    NothingOverwritten,
    /// The history holds every delivery, and nothing else.
    HistoryTrue,
    /// To a destination that is paused, disabled or deleted nothing is begun and nothing sent.
    NothingWhenOff,
    /// A failing destination is tried again within the hour.
    BackOffBounded,
    /// A failure is in the status, with its cause.
    StatusTold,
    /// A destination that is well is delivered to within its tick, whatever becomes of others.
    DeliveredInTime,
    /// Once all is well again everything is delivered, within the hour and a tick, or six hours where events have expired.
    Recovers,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub promise: Promise,
    pub detail: String,
}

impl Violation {
    pub fn new(promise: Promise, detail: impl Into<String>) -> Self {
        Self { promise, detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is broken: {}", self.promise, self.detail)
    }
}

fn keep(holds: bool, promise: Promise, detail: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation::new(promise, detail())) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    pub events: u64,
    pub objects: u64,
    /// Objects that were put more than once.
    pub put_again: u64,
    /// Deliveries of which only an object that was there already speaks.
    pub already_there: u64,
    /// Those of them whose object our role did not write.
    pub not_ours: u64,
    /// Keys that were given up for another one.
    pub keys_changed: u64,
    /// Events that expired undelivered.
    pub lost: u64,
    pub replays: u64,
    pub failures: u64,
    pub destinations: u64,
    /// Changes of a bucket, a role or a prefix that took over.
    pub moves: u64,
    /// Objects that such a change may have left behind in the old bucket.
    pub left_behind: u64,
}

impl std::ops::AddAssign for Checked {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.objects += other.objects;
        self.put_again += other.put_again;
        self.already_there += other.already_there;
        self.not_ours += other.not_ours;
        self.keys_changed += other.keys_changed;
        self.lost += other.lost;
        self.replays += other.replays;
        self.failures += other.failures;
        self.destinations += other.destinations;
        self.moves += other.moves;
        self.left_behind += other.left_behind;
    }
}

/// An event as the log recorded it.
#[derive(Debug)]
struct Recorded {
    text: String,
    recorded_at: Timestamp,
    expires_at: Timestamp,
    segment: u64,
}

type Journal = BTreeMap<u64, Recorded>;

/// Whether everything should be delivered by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is: to active destinations.
    Settled,
    /// The scenario may go on.
    Open,
}

/// The checks of one organisation's deliveries.
#[derive(Debug)]
pub struct Checker<'a> {
    world: &'a World,
    organisation: &'a OrganisationId,
    /// How far the processes' clocks, and what is under way, may be off.
    margin: Duration,
    journal: Journal,
    /// What objects hold, decompressed, by SHA-256.
    texts: RefCell<HashMap<String, Option<Rc<Vec<u8>>>>>,
}

/// An intent that was stored, under one of its keys.
#[derive(Debug, Clone)]
struct Begun {
    intent: Intent,
    /// The layout of its key.
    layout: KeyLayout,
    /// Whether another key takes the place of an earlier one.
    is_key_changed: bool,
    replay: Option<String>,
    at: Timestamp,
    delivery: Option<Delivery>,
}

#[derive(Debug)]
struct Gap {
    sequence: u64,
    at: Timestamp,
    lost: Vec<RangeInclusive<u64>>,
}

impl<'a> Checker<'a> {
    /// Reads the organisation's whole journal.
    #[must_use]
    pub fn of(world: &'a World, organisation: &'a OrganisationId, margin: Duration) -> Self {
        let mut journal = Journal::new();
        for segment in world.store.journal(organisation) {
            let expires_at = Timestamp::from_millis(segment.expires_at * 1000);
            for line in segment.lines(organisation).unwrap() {
                let (recorded_at, segment) = (line.recorded_at, segment.first);
                journal.insert(line.sequence(), Recorded { text: line.text, recorded_at, expires_at, segment });
            }
        }
        assert!(journal.keys().copied().eq(1..=journal.len() as u64), "the log is not dense");
        Self { world, organisation, margin, journal, texts: RefCell::default() }
    }

    /// Judges every destination that the organisation ever had.
    ///
    /// # Errors
    /// Returns the first broken promise.
    pub async fn check(&self, ending: Ending) -> Result<Checked, Violation> {
        if let Some(key) = self.world.witness.0.committed_early() {
            return Err(Violation::new(Promise::PutBeforeCommit, format!("{key} was committed and is not there")));
        }
        let mut histories: BTreeMap<String, Vec<Version>> = BTreeMap::new();
        for version in self.world.witness.0.versions(self.organisation) {
            histories.entry(version.destination.id.to_string()).or_default().push(version);
        }
        self.customers_view(&histories)?;
        let mut checked = Checked::default();
        let mut begun_in: HashMap<String, HashSet<String>> = HashMap::new();
        for history in histories.values() {
            checked += self.history(history, ending, &mut begun_in).await?;
        }
        // Keys that nobody ever began.
        let begun: HashSet<&String> = begun_in.values().flatten().collect();
        for bucket in begun_in.keys() {
            let bucket = bucket.parse().unwrap();
            for Arrival { key, .. } in self.world.buckets.arrivals(&bucket) {
                let known = begun.contains(&key) || key.ends_with(TEST_OBJECT_NAME);
                keep(known, Promise::BegunFirst, || format!("{key} was put and never begun"))?;
            }
        }
        Ok(checked)
    }

    /// How late a put of `key` may have arrived. Nobody can tell a frozen process that its put is not wanted any more.
    fn late(&self, key: &str) -> Duration {
        if self.world.was_held(key) { self.margin + LONGEST_FREEZE } else { self.margin }
    }

    /// What a text in this rendering is of the log; `None` where anything in it is not as the rendering writes it.
    fn native(&self, text: Vec<u8>, rendering: Rendering) -> Option<Vec<u8>> {
        if rendering.is_native() {
            return Some(text);
        }
        let mut native = Vec::new();
        for event in text.split_inclusive(|byte| *byte == b'\n') {
            let event = std::str::from_utf8(event).ok()?;
            let found = Rendering::recover(event.strip_suffix('\n')?).filter(|found| found.rendering == rendering)?;
            let recorded = self.journal.get(&sequence_of(&found.text)?)?;
            let id = found.text.split_once(r#""eventId":""#)?.1.get(..36)?;
            let id = EventId::parse(id).ok()?;
            let mut written = String::new();
            rendering.write(&Line { id, recorded_at: recorded.recorded_at, text: recorded.text.clone() }, &mut written);
            if written != event {
                return None;
            }
            native.extend([found.text.as_bytes(), b"\n"].concat());
        }
        Some(native)
    }

    /// The lines of the log in an object; `None` where it is not compressed and written as it should be.
    fn text(&self, object: &Arrival, intent: &Intent) -> Option<Rc<Vec<u8>>> {
        let mut texts = self.texts.borrow_mut();
        let text = texts.entry(object.sha256.clone()).or_insert_with(|| {
            let text = match intent.compression {
                Compression::None => object.content.to_vec(),
                Compression::Gzip => gunzip(&object.content)?,
            };
            self.native(text, intent.rendering).map(Rc::new)
        });
        text.clone()
    }

    /// What a customer can see who knows nothing but the bucket and who wrote each object: no event is in two objects,
    /// replays aside. Where several destinations have had the bucket each began afresh.
    fn customers_view(&self, histories: &BTreeMap<String, Vec<Version>>) -> Result<(), Violation> {
        let buckets: Vec<_> = histories.values().map(|history| buckets_of(history)).collect();
        let is_alone = |own: &&BTreeSet<String>| buckets.iter().filter(|other| !other.is_disjoint(own)).count() == 1;
        let left_behind: HashSet<String> = self.left_behind().into_iter().map(|(_, key)| key).collect();
        for own in buckets.iter().filter(is_alone) {
            let mut seen: HashMap<u64, String> = HashMap::new();
            let arrivals = self.arrivals(own);
            for (key, object) in written(&arrivals) {
                if key.contains("replay/") || key.ends_with(TEST_OBJECT_NAME) || left_behind.contains(key) {
                    continue;
                }
                let text = if key.ends_with(".gz") {
                    gunzip(&object.content).unwrap_or_default()
                } else {
                    object.content.to_vec()
                };
                for sequence in String::from_utf8_lossy(&text).lines().filter_map(sequence_in) {
                    if let Some(other) = seen.insert(sequence, key.to_owned()) {
                        let detail = format!("the event {sequence} is in {other} and in {key}");
                        return Err(Violation::new(Promise::ExactlyOnce, detail));
                    }
                }
            }
        }
        Ok(())
    }

    async fn history(
        &self,
        history: &[Version],
        ending: Ending,
        begun_in: &mut HashMap<String, HashSet<String>>,
    ) -> Result<Checked, Violation> {
        let Some((first, last)) = history.first().zip(history.last()) else { return Ok(Checked::default()) };
        let id = &first.destination.id;
        let deleted = matches!(last.by, By::Deletion(_));
        self.lookback(first)?;
        let gaps = self.gaps(id)?;
        let begun = self.versions(history, &gaps)?;
        let buckets = buckets_of(history);
        for bucket in &buckets {
            begun_in.entry(bucket.clone()).or_default();
        }
        let keys = begun_in.entry(first.destination.bucket.to_string()).or_default();
        for one in &begun {
            keep(keys.insert(one.intent.key.clone()), Promise::BegunFirst, || {
                format!("{} was begun twice", one.intent.key)
            })?;
        }
        let names: Vec<BucketName> = buckets.iter().map(|bucket| bucket.parse().unwrap()).collect();
        let objects: BTreeMap<_, _> = names.iter().flat_map(|bucket| self.world.buckets.objects(bucket)).collect();
        let tampered: BTreeSet<_> = names.iter().flat_map(|bucket| self.world.buckets.tampered(bucket)).collect();
        let arrivals = self.arrivals(&buckets);
        let written = written(&arrivals);
        for (key, arrival) in &written {
            let kept = objects.get(*key).is_some_and(|object| object.sha256 == arrival.sha256);
            keep(kept || tampered.contains(*key) || key.ends_with(TEST_OBJECT_NAME), Promise::Immutable, || {
                format!("{key} was put and has changed or is gone")
            })?;
        }
        let mut checked = self.objects(&begun, &gaps, &arrivals, &written)?;
        self.replays(history, &begun, &written, &mut checked)?;
        self.switched_off(history, &begun, &arrivals)?;
        self.deliveries(&last.destination, &begun, &arrivals, deleted).await?;
        if ending == Ending::Settled && !deleted && last.destination.is_active() {
            self.settled(&last.destination)?;
        }
        let is_move = |pair: &&[Version]| pair[0].destination.place_name() != pair[1].destination.place_name();
        let moves = history.windows(2).filter(is_move);
        checked.moves = moves.clone().count() as u64;
        checked.left_behind = moves.map(|pair| pair[0].destination.unclear_intents().count() as u64).sum();
        checked.destinations = 1;
        checked.failures =
            history.iter().filter(|version| version.destination.progress.failing.is_some()).count() as u64;
        Ok(checked)
    }

    /// Every put that arrived at one of the buckets, oldest first.
    fn arrivals(&self, buckets: &BTreeSet<String>) -> Vec<Arrival> {
        let of_one = |bucket: &String| self.world.buckets.arrivals(&bucket.parse().unwrap());
        let mut arrivals: Vec<_> = buckets.iter().flat_map(of_one).collect();
        arrivals.sort_by_key(|arrival| arrival.at);
        arrivals
    }

    /// The objects that events of moves name: they may be in the old bucket as well. Bucket and key.
    fn left_behind(&self) -> Vec<(String, String)> {
        let moves = self.journal.values().filter(|event| event.text.contains("\"destination.update\""));
        let lines = moves.map(|event| serde_json::from_str::<Value>(&event.text).unwrap());
        let objects = lines.filter_map(|line| line["payload"]["unconfirmed"].as_array().cloned()).flatten();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        objects.map(|object| (text(&object["bucket"]), text(&object["key"]))).collect()
    }

    fn lookback(&self, first: &Version) -> Result<(), Violation> {
        let destination = &first.destination;
        let created_at = destination.created_at;
        let since = created_at.minus(LOOKBACK);
        let wanted = self.journal.values().find(|event| event.recorded_at >= since).map_or(1, |event| event.segment);
        // All these times were taken by the clocks of processes, so no clock has to be allowed for.
        let by = created_at.plus(FIRST_TICK);
        let expires = |sequence: &u64| self.journal.get(sequence).is_some_and(|event| event.expires_at <= by);
        let start = destination.next_sequence;
        let shown = destination.first_sequence == Some(start);
        let left_out = (wanted..start).find(|sequence| !expires(sequence));
        let lasts = !expires(&start);
        keep(shown && start >= wanted && left_out.is_none() && lasts, Promise::LookbackHeld, || {
            let times = [wanted, start].map(|it| self.journal.get(&it).map(|it| (it.recorded_at, it.expires_at)));
            format!(
                "{} of {created_at} begins with {start} instead of {wanted}, which were recorded and expire at {times:?}",
                destination.id
            )
        })
    }

    /// The gaps that were recorded for a destination.
    fn gaps(&self, id: &DestinationId) -> Result<Vec<Gap>, Violation> {
        let mut gaps = Vec::new();
        let mut told = BTreeSet::new();
        for (sequence, event) in &self.journal {
            if !event.text.contains("\"destination.gap\"") {
                continue;
            }
            let line: Value = serde_json::from_str(&event.text).unwrap();
            if line["entity"]["id"] != id.as_str() {
                continue;
            }
            let mut lost = Vec::new();
            for range in line["payload"]["lost"].as_array().unwrap() {
                let end = |name: &str| range[name].as_u64().unwrap();
                lost.push(end("firstSequence")..=end("lastSequence"));
            }
            for missing in lost.iter().cloned().flatten() {
                let why = |what: &str| format!("the gap at {sequence} names {missing}, which {what}");
                keep(told.insert(missing), Promise::GapsTold, || why("another gap names already"))?;
                let expires_at = self.journal.get(&missing).map(|event| event.expires_at);
                let expired = expires_at.is_some_and(|at| at <= event.recorded_at.plus(self.margin));
                keep(expired, Promise::GapsTold, || why("had not expired"))?;
            }
            gaps.push(Gap { sequence: *sequence, at: event.recorded_at, lost });
        }
        Ok(gaps)
    }

    /// What changed from version to version, and whether it may. Gives what was begun.
    fn versions(&self, history: &[Version], gaps: &[Gap]) -> Result<Vec<Begun>, Violation> {
        let mut all: Vec<Begun> = Vec::new();
        // The keys of puts that may have written their object.
        let mut unclear: HashSet<String> = HashSet::new();
        for pair in history.windows(2) {
            let [before, after] = pair else { continue };
            let (old, new) = (&before.destination, &after.destination);
            keep(!matches!(before.by, By::Deletion(_)), Promise::NothingWhenOff, || {
                format!("{} was changed after it was deleted", old.id)
            })?;
            if matches!(after.by, By::Deletion(_)) {
                continue;
            }
            let changed = changes(old, new);
            let old_layout = old.settings.layout;
            let told: HashSet<u64> = gaps
                .iter()
                .filter(|gap| {
                    gap.sequence <= by_sequence(&after.by).unwrap_or(u64::MAX) && gap.at <= after.at.plus(self.margin)
                })
                .flat_map(|gap| gap.lost.iter().cloned().flatten())
                .collect();
            let step = Step { old, new, after, changed: &changed, told: &told };
            match &after.by {
                By::Event(sequence) => {
                    step.by_event(self.kind(*sequence).as_str(), gaps, *sequence)?;
                    self.moved(&step, *sequence)?;
                }
                By::Shipper(delivery) => {
                    step.keys(delivery.as_deref(), &mut unclear)?;
                    step.by_shipper(delivery.as_deref(), self.margin)?;
                }
                By::Deletion(_) => {}
            }
            for (old_intent, new_intent, replay) in [
                (&old.intent, &new.intent, None),
                (
                    &old.replay.as_ref().and_then(|replay| replay.intent.clone()),
                    &new.replay.as_ref().and_then(|replay| replay.intent.clone()),
                    new.replay.as_ref().map(|replay| replay.id.clone()),
                ),
            ] {
                match (old_intent, new_intent) {
                    (None, Some(intent)) => {
                        keep(old.is_active(), Promise::NothingWhenOff, || {
                            format!("{} was begun while {} was {}", intent.key, old.id, old.state().as_str())
                        })?;
                        let (intent, at) = (intent.clone(), after.at);
                        let layout = old_layout;
                        all.push(Begun { intent, layout, is_key_changed: false, replay, at, delivery: None });
                    }
                    (Some(old), Some(intent)) if old.key != intent.key => {
                        let (intent, at) = (intent.clone(), after.at);
                        // The same partition as the key before.
                        let before = all.iter().rfind(|begun| begun.intent.key == old.key);
                        let layout = before.map_or(KeyLayout::Wiremock, |begun| begun.layout);
                        all.push(Begun { intent, layout, is_key_changed: true, replay, at, delivery: None });
                    }
                    (Some(intent), None) => {
                        if let By::Shipper(Some(delivery)) = &after.by
                            && let Some(begun) = all.iter_mut().find(|begun| begun.intent.key == intent.key)
                        {
                            begun.delivery = Some((**delivery).clone());
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(all)
    }

    /// A move of a proven destination follows from its pending change, and names what it may leave behind.
    fn moved(&self, step: &Step<'_>, sequence: u64) -> Result<(), Violation> {
        let Step { old, new, .. } = step;
        let named: BTreeSet<_> = self.left_behind_by(sequence);
        let place = |destination: &Destination| Place { region: None, ..destination.place() };
        if place(old) == place(new) {
            return keep(named.is_empty(), Promise::IntentKept, || format!("{named:?} was left behind without a move"));
        }
        let asked = old.pending.as_ref().filter(|pending| pending.ready_at().is_some());
        let asked = asked.is_some_and(|pending| Place { region: None, ..pending.place.clone() } == place(new));
        keep(asked || old.proof.proven.is_none(), Promise::NothingOverwritten, || {
            format!("{} was moved to {:?}, but {:?} was pending", old.id, place(new), old.pending)
        })?;
        keep(new.pending.is_none(), Promise::NothingOverwritten, || format!("{:?} is still pending", new.pending))?;
        let unclear: BTreeSet<_> = old.unclear_intents().map(|intent| intent.key.clone()).collect();
        keep(named == unclear, Promise::IntentKept, || {
            format!("{unclear:?} may be left behind, but {named:?} is named")
        })?;
        let refused = old.progress.failing.is_some() || old.proof.proven.is_none() || unclear.is_empty();
        let waited = old.pending.as_ref().and_then(|it| it.ready_at()).is_some_and(|at| at < step.after.at);
        keep(refused || waited, Promise::IntentKept, || format!("{unclear:?} was left behind at once"))?;
        let of_replay =
            |destination: &Destination| destination.replay.as_ref().and_then(|replay| replay.intent.clone());
        for (before, after) in [(old.intent.clone(), new.intent.clone()), (of_replay(old), of_replay(new))] {
            let same = match (&before, &after) {
                (None, None) => true,
                (Some(before), Some(after)) => {
                    let again = Intent {
                        key: after.key.clone(),
                        prefix: new.settings.prefix.clone(),
                        attempted: false,
                        taken_at: None,
                        ..before.clone()
                    };
                    again == *after && after.key.starts_with(new.settings.prefix.as_str()) && before.key != after.key
                }
                _ => false,
            };
            keep(same, Promise::IntentKept, || format!("{before:?} became {after:?} in another place"))?;
        }
        Ok(())
    }

    /// The keys of the objects that the event at `sequence` says may be in the old bucket.
    fn left_behind_by(&self, sequence: u64) -> BTreeSet<String> {
        let line: Value = serde_json::from_str(&self.journal[&sequence].text).unwrap();
        let objects = line["payload"]["unconfirmed"].as_array().cloned().unwrap_or_default();
        objects.iter().map(|object| object["key"].as_str().unwrap().to_owned()).collect()
    }

    /// The type of the event at `sequence`.
    fn kind(&self, sequence: u64) -> String {
        let line: Value = serde_json::from_str(&self.journal[&sequence].text).unwrap();
        line["type"].as_str().unwrap().to_owned()
    }

    fn objects(
        &self,
        begun: &[Begun],
        gaps: &[Gap],
        arrivals: &[Arrival],
        written: &BTreeMap<&str, &Arrival>,
    ) -> Result<Checked, Violation> {
        let mut checked = Checked::default();
        let told: HashSet<u64> = gaps.iter().flat_map(|gap| gap.lost.iter().cloned().flatten()).collect();
        checked.lost = told.len() as u64;
        let mut seen: HashMap<u64, &str> = HashMap::new();
        let mut last: Option<(u64, LineHash)> = None;
        let left_behind: HashSet<String> = self.left_behind().into_iter().map(|(_, key)| key).collect();
        for one in begun {
            let Begun { intent, .. } = one;
            let key = intent.key.as_str();
            let puts: Vec<&Arrival> = arrivals.iter().filter(|arrival| arrival.key == key).collect();
            for put in &puts {
                keep(put.at >= one.at, Promise::BegunFirst, || format!("{key} was put before it was begun"))?;
            }
            checked.keys_changed += u64::from(one.is_key_changed);
            checked.put_again += u64::from(puts.len() > 1);
            let replaced = puts.iter().any(|put| put.replaced);
            keep(!replaced, Promise::Immutable, || format!("{key} was replaced"))?;
            let flagged = one.delivery.as_ref().is_some_and(|delivery| delivery.already_there);
            checked.already_there += u64::from(flagged);
            let Some(&object) = written.get(key) else {
                checked.not_ours += u64::from(flagged);
                keep(one.delivery.is_none() || flagged, Promise::NothingClaimed, || {
                    format!("{key} is said to be delivered, but our role did not write it")
                })?;
                continue;
            };
            // Events that expired since an earlier try cannot be put again: the only reason why tries may differ. The object has
            // less than the first try if that one found another's object under the key, which was deleted later. Each try has
            // lines of what was begun and nothing else.
            let last_put = puts.iter().map(|put| put.at).max().unwrap_or(object.at).plus(self.margin);
            let missing = one.replay.is_some()
                || (intent.first..=intent.last)
                    .any(|sequence| told.contains(&sequence) || self.journal[&sequence].expires_at <= last_put);
            let same = puts.iter().all(|put| put.sha256 == object.sha256);
            keep(same || missing, Promise::Immutable, || format!("{key} was put again with other content"))?;
            let text_of = |put: &Arrival| {
                let text = self.text(put, intent);
                text.ok_or_else(|| Violation::new(Promise::Complete, format!("{key} is not written as it was begun")))
            };
            for other in puts.iter().filter(|put| put.sha256 != object.sha256) {
                self.lines(key, &text_of(other)?, intent, &other.at)?;
            }
            let text = text_of(object)?;
            let media_type = match intent.compression {
                Compression::None => "application/x-ndjson",
                Compression::Gzip => "application/gzip",
            };
            keep(object.content_type == media_type, Promise::Complete, || format!("{key} is {}", object.content_type))?;
            let sequences = self.lines(key, &text, intent, &object.at)?;
            if one.layout == KeyLayout::HiveRecorded {
                let hour = |sequence: &u64| self.journal[sequence].recorded_at.to_string()[..13].to_owned();
                let folder = |hour: String| format!("dt={}/hour={}/", &hour[..10], &hour[11..]);
                let misplaced = sequences.iter().find(|sequence| !key.contains(&folder(hour(sequence))));
                keep(misplaced.is_none(), Promise::BegunFirst, || format!("{key} has {misplaced:?}, of another hour"))?;
            }
            let whole = (intent.first..=intent.last).all(|sequence| {
                let expired = || self.journal[&sequence].expires_at <= object.at.plus(self.margin);
                sequences.contains(&sequence)
                    || told.contains(&sequence)
                    || (one.replay.is_some() && expired())
                    // Its gap is recorded before it is committed.
                    || (one.delivery.is_none() && expired())
            });
            keep(whole, Promise::Complete, || format!("{key} lacks events of {}..={}", intent.first, intent.last))?;
            if let Some(delivery) = &one.delivery {
                // Our role can have written it twice: its administrator deleted it in between, and some events expired.
                let ours =
                    |wanted: &str| puts.iter().find(|put| put.stored == Stored::Now && put.sha256 == wanted).copied();
                let told = match &delivery.content {
                    None => delivery.already_there,
                    Some(Content { events, bytes, sha256 }) => {
                        let lines = ours(sha256).and_then(|put| self.text(put, intent));
                        !delivery.already_there
                            && ours(sha256).is_some_and(|put| put.content.len() as u64 == *bytes)
                            && lines.is_some_and(|text| text.split(|byte| *byte == b'\n').count() as u64 == events + 1)
                    }
                };
                keep(told, Promise::NothingClaimed, || format!("{key} is not what its delivery says: {delivery:?}"))?;
            }
            if one.replay.is_none() && !left_behind.contains(key) {
                for sequence in &sequences {
                    if let Some(other) = seen.insert(*sequence, key) {
                        let detail = format!("the event {sequence} is in {other} and in {key}");
                        return Err(Violation::new(Promise::ExactlyOnce, detail));
                    }
                }
                self.chained(key, &text, &mut last)?;
                checked.objects += 1;
                checked.events += sequences.len() as u64;
            }
        }
        Ok(checked)
    }

    /// The sequences of an object's lines, each as the log has it, rising, within what was begun, and not expired.
    fn lines(
        &self,
        key: &str,
        text: &[u8],
        intent: &Intent,
        stored_at: &Timestamp,
    ) -> Result<BTreeSet<u64>, Violation> {
        let wrong = |what: String| Violation::new(Promise::Complete, format!("{key}: {what}"));
        let text = std::str::from_utf8(text).map_err(|_| wrong("is no UTF-8".into()))?;
        let body = text.strip_suffix('\n').ok_or_else(|| wrong("does not end with a newline".into()))?;
        let mut sequences = BTreeSet::new();
        for line in body.split('\n') {
            let sequence = sequence_of(line).ok_or_else(|| wrong(format!("is no line: {line}")))?;
            let within = (intent.first..=intent.last).contains(&sequence);
            let rises = sequences.last().is_none_or(|last| *last < sequence);
            let event = self.journal.get(&sequence).filter(|event| event.text == line);
            let Some(event) = event.filter(|_| within && rises) else {
                return Err(wrong(format!("its line {sequence} is not the log's, or not in its place")));
            };
            keep(event.expires_at.plus(self.late(key)) > *stored_at, Promise::ExpiryHolds, || {
                format!("{key}: {sequence} expired at {} and was put at {stored_at}", event.expires_at)
            })?;
            sequences.insert(sequence);
        }
        Ok(sequences)
    }

    /// Each line carries the hash of the one delivered before it, where that is its predecessor.
    fn chained(&self, key: &str, text: &[u8], last: &mut Option<(u64, LineHash)>) -> Result<(), Violation> {
        let text = String::from_utf8_lossy(text);
        for line in text.lines() {
            let sequence = sequence_of(line).unwrap_or_default();
            if let Some((before, hash)) = *last {
                keep(sequence > before, Promise::NothingSkipped, || {
                    format!("{key}: {sequence} comes behind {before}")
                })?;
                let linked = line.contains(&format!("\"previousHash\":\"{hash}\""));
                keep(linked || sequence != before + 1, Promise::Chained, || {
                    format!("{key}: {sequence} is not linked")
                })?;
            }
            *last = Some((sequence, LineHash::of(line)));
        }
        Ok(())
    }

    fn replays(
        &self,
        history: &[Version],
        begun: &[Begun],
        written: &BTreeMap<&str, &Arrival>,
        checked: &mut Checked,
    ) -> Result<(), Violation> {
        let left_behind: HashSet<String> = self.left_behind().into_iter().map(|(_, key)| key).collect();
        for pair in history.windows(2) {
            let [before, after] = pair else { continue };
            let (None, Some(replay)) = (&before.destination.replay, &after.destination.replay) else { continue };
            let mut left: BTreeSet<u64> = (replay.next..=replay.last).collect();
            for one in begun.iter().filter(|one| one.replay.as_ref() == Some(&replay.id)) {
                let key = &one.intent.key;
                keep(key.contains(&format!("replay/{}/", replay.id)), Promise::ReplayApart, || {
                    format!("{key} is not among the keys of the replay {}", replay.id)
                })?;
                // The event of a move says that the object may be in the old bucket as well.
                if left_behind.contains(key) {
                    continue;
                }
                let Some(object) = written.get(key.as_str()) else {
                    // Somebody else's object took its place, and the delivery says so.
                    if one.delivery.is_some() {
                        left.retain(|sequence| !(one.intent.first..=one.intent.last).contains(sequence));
                    }
                    continue;
                };
                let text = self.text(object, &one.intent).unwrap_or_default();
                for sequence in String::from_utf8_lossy(&text).lines().filter_map(sequence_of) {
                    keep(left.remove(&sequence), Promise::ReplayApart, || {
                        format!("the replay {} delivers {sequence} twice, or was not asked for it", replay.id)
                    })?;
                }
            }
            let ended = history.iter().find(|version| {
                version.at >= after.at
                    && version.destination.version > after.destination.version
                    && version.destination.replay.as_ref().map(|replay| &replay.id) != Some(&replay.id)
            });
            if let Some(ended) = ended.filter(|ended| !matches!(ended.by, By::Deletion(_))) {
                let forgotten =
                    left.iter().find(|sequence| self.journal[*sequence].expires_at > ended.at.plus(self.margin));
                keep(forgotten.is_none(), Promise::ReplayApart, || {
                    format!("the replay {} ended without {forgotten:?}", replay.id)
                })?;
                checked.replays += 1;
            }
        }
        Ok(())
    }

    /// Nothing arrives for long after a destination was switched off: only what was under way at that moment may.
    fn switched_off(&self, history: &[Version], begun: &[Begun], arrivals: &[Arrival]) -> Result<(), Violation> {
        let off = |version: &Version| matches!(version.by, By::Deletion(_)) || !version.destination.is_active();
        let keys: HashSet<&str> = begun.iter().map(|one| one.intent.key.as_str()).collect();
        for arrival in arrivals.iter().filter(|arrival| keys.contains(arrival.key.as_str())) {
            let in_force = history.iter().rposition(|version| version.at <= arrival.at).unwrap_or(0);
            let since = history[..=in_force].iter().rev().take_while(|version| off(version)).last();
            let in_time = since.is_none_or(|since| arrival.at <= since.at.plus(self.late(&arrival.key)));
            keep(in_time, Promise::NothingWhenOff, || {
                format!("{} arrived although nothing should be sent", arrival.key)
            })?;
        }
        Ok(())
    }

    async fn deliveries(
        &self,
        destination: &Destination,
        begun: &[Begun],
        arrivals: &[Arrival],
        deleted: bool,
    ) -> Result<(), Violation> {
        let id = &destination.id;
        let mut kept = self.world.store.deliveries(self.organisation, id, usize::MAX).await.unwrap();
        kept.reverse();
        let mut committed: Vec<Delivery> = begun.iter().filter_map(|one| one.delivery.clone()).collect();
        // What is begun first is not always finished first: a replay's object may be under way.
        committed.sort_by_key(|delivery| delivery.delivered_at);
        kept.sort_by_key(|delivery| delivery.delivered_at);
        let same = kept.len() == committed.len() && committed.iter().all(|delivery| kept.contains(delivery));
        keep(same || deleted, Promise::HistoryTrue, || {
            format!("the history of {id} has {} deliveries, but {} were made", kept.len(), committed.len())
        })?;
        committed.sort_by_key(|delivery| delivery.number);
        let numbers = committed.iter().map(|delivery| delivery.number.unwrap_or(0));
        let numbered = numbers.eq(1..=destination.deliveries);
        keep(numbered, Promise::HistoryTrue, || format!("the deliveries to {id} have wrong numbers"))?;
        for one in begun {
            let Some(delivery) = &one.delivery else { continue };
            let sha256 = delivery.content.as_ref().map(|content| &content.sha256);
            let ours = arrivals.iter().find(|put| put.key == delivery.key && Some(&put.sha256) == sha256);
            let text = ours.and_then(|put| self.text(put, &one.intent)).unwrap_or_default();
            let there: HashSet<u64> = String::from_utf8_lossy(&text).lines().filter_map(sequence_of).collect();
            let known = |sequence: u64| {
                delivery.already_there
                    || delivery.expired.iter().any(|range| range.contains(&sequence))
                    || there.contains(&sequence)
            };
            let last = LineHash::of(&self.journal[&delivery.last].text);
            let ends = delivery.last_hash.map_or_else(
                || delivery.expired.last().is_some_and(|range| range.contains(&delivery.last)),
                |hash| hash == last,
            );
            keep(ends && (delivery.first..=delivery.last).all(known), Promise::HistoryTrue, || {
                format!("what is said to have expired, or the last hash, is wrong in {delivery:?}")
            })?;
        }
        if !deleted {
            let read = self.world.store.deliveries_numbered(self.organisation, id, 1..=destination.deliveries).await;
            keep(read.unwrap() == committed, Promise::HistoryTrue, || format!("numbers of {id} are not found"))?;
        }
        Ok(())
    }

    fn settled(&self, destination: &Destination) -> Result<(), Violation> {
        let tail = self.journal.len() as u64;
        let all = destination.next_sequence == tail + 1;
        let done = all && destination.intent.is_none() && destination.replay.is_none();
        keep(done && destination.progress.failing.is_none(), Promise::Recovers, || {
            format!(
                "{} is at {} of {tail}, intent {:?}, replay {:?}, failing {:?}",
                destination.id,
                destination.next_sequence,
                destination.intent,
                destination.replay,
                destination.progress.failing
            )
        })
    }
}

/// The buckets that a destination ever had.
fn buckets_of(history: &[Version]) -> BTreeSet<String> {
    history.iter().map(|version| version.destination.bucket.to_string()).collect()
}

/// What our role wrote, by key: the first time, if it wrote it again after the bucket's administrator deleted it.
fn written(arrivals: &[Arrival]) -> BTreeMap<&str, &Arrival> {
    let mut written = BTreeMap::new();
    for arrival in arrivals.iter().filter(|arrival| arrival.stored == Stored::Now) {
        written.entry(arrival.key.as_str()).or_insert(arrival);
    }
    written
}

fn by_sequence(by: &By) -> Option<u64> {
    match by {
        By::Event(sequence) | By::Deletion(sequence) => Some(*sequence),
        By::Shipper(_) => None,
    }
}

/// The sequence that a line begins with.
fn sequence_of(line: &str) -> Option<u64> {
    line.strip_prefix("{\"sequence\":")?.split_once(',')?.0.parse().ok()
}

/// The sequence of an event of an object in any format.
fn sequence_in(event: &str) -> Option<u64> {
    sequence_of(event).or_else(|| sequence_of(&Rendering::recover(event)?.text))
}

/// What differs between two versions of a destination, by name.
fn changes(old: &Destination, new: &Destination) -> BTreeSet<&'static str> {
    let mut changed = BTreeSet::new();
    let mut differs = |name, is: bool| {
        if is {
            changed.insert(name);
        }
    };
    let kept =
        |intent: &Option<Intent>| intent.clone().map(|intent| Intent { expired: Vec::new(), taken_at: None, ..intent });
    differs("identity", old.created_at != new.created_at);
    differs(
        "place",
        (&old.bucket, &old.role_arn, old.bucket_owner()) != (&new.bucket, &new.role_arn, new.bucket_owner()),
    );
    differs("pending", old.pending != new.pending);
    differs("prefix", old.settings.prefix != new.settings.prefix);
    differs("region", old.settings.region != new.settings.region);
    differs("compression", old.settings.compression != new.settings.compression);
    differs("layout", old.settings.layout != new.settings.layout);
    differs("rendering", old.settings.rendering != new.settings.rendering);
    differs("paused", old.paused != new.paused);
    differs("disabled", old.disabled != new.disabled);
    differs("first", old.first_sequence != new.first_sequence);
    differs("next", old.next_sequence != new.next_sequence);
    differs("intent", kept(&old.intent) != kept(&new.intent));
    let replay = |destination: &Destination| {
        destination.replay.clone().map(|mut replay| {
            if let Some(intent) = &mut replay.intent {
                intent.taken_at = None;
            }
            replay
        })
    };
    differs("replay", replay(old) != replay(new));
    differs("success", old.progress.last_success != new.progress.last_success);
    let pause = |destination: &Destination| destination.progress.failing.as_ref().map(|failing| failing.retry_at);
    let failure = |destination: &Destination| {
        destination.progress.failing.clone().map(|failing| (failing.failure, failing.since, failing.attempts))
    };
    differs("failing", failure(old) != failure(new));
    differs("retry", pause(old) != pause(new));
    differs("checkpoints", old.checkpoints != new.checkpoints);
    differs("version", old.version + 1 != new.version);
    changed
}

/// A step from one version to the next.
struct Step<'a> {
    old: &'a Destination,
    new: &'a Destination,
    after: &'a Version,
    changed: &'a BTreeSet<&'static str>,
    /// What was told to be lost by then.
    told: &'a HashSet<u64>,
}

impl Step<'_> {
    /// Only these parts, and what is signed, may have changed.
    fn only(&self, names: &[&str]) -> Result<(), Violation> {
        let allowed = |name: &str| name == "checkpoints" || names.contains(&name);
        let Some(name) = self.changed.iter().find(|name| !allowed(name)) else { return Ok(()) };
        let promise = match *name {
            "intent" => Promise::IntentKept,
            "first" => Promise::LookbackHeld,
            "next" => Promise::NothingSkipped,
            "replay" => Promise::ReplayApart,
            _ => Promise::NothingOverwritten,
        };
        let detail = format!(
            "{name} of {} changed in version {} by {:?}: {:?} became {:?}",
            self.old.id, self.new.version, self.after.by, self.old, self.new
        );
        Err(Violation::new(promise, detail))
    }

    fn has(&self, name: &str) -> bool {
        self.changed.contains(name)
    }

    fn by_event(&self, kind: &str, gaps: &[Gap], sequence: u64) -> Result<(), Violation> {
        match kind {
            "destination.update" if self.has("place") || self.has("prefix") => {
                // What has begun is checked apart.
                self.only(&[
                    "place",
                    "prefix",
                    "region",
                    "pending",
                    "compression",
                    "layout",
                    "rendering",
                    "intent",
                    "replay",
                    "failing",
                    "retry",
                ])
            }
            "destination.update" => self.only(&["pending", "region", "compression", "layout", "rendering", "retry"]),
            "destination.pause" => self.only(&["paused"]),
            "destination.resume" => self.only(&["paused", "retry"]),
            "destination.disable" => self.only(&["disabled"]),
            "destination.enable" => self.only(&["disabled", "retry"]),
            "destination.replay" => self.only(&["replay"]),
            "destination.gap" => {
                self.only(&["next"])?;
                let named = gaps.iter().find(|gap| gap.sequence == sequence);
                let wanted = self.old.next_sequence..=self.new.next_sequence.saturating_sub(1);
                let exact = !self.has("next") || named.is_some_and(|gap| gap.lost == [wanted.clone()]);
                keep(exact, Promise::GapsTold, || format!("{wanted:?} was skipped, but the gap names {named:?}"))
            }
            other => Err(Violation::new(Promise::NothingOverwritten, format!("{other} changed {:?}", self.changed))),
        }
    }

    fn by_shipper(&self, delivery: Option<&Delivery>, margin: Duration) -> Result<(), Violation> {
        let (old, new) = (self.old, self.new);
        let skipped = |range: RangeInclusive<u64>| range.into_iter().find(|sequence| !self.told.contains(sequence));
        if let Some(delivery) = delivery {
            let replay = old.replay.as_ref().filter(|_| delivery.replay.is_some());
            let intent = match &delivery.replay {
                Some(_) => replay.and_then(|replay| replay.intent.as_ref()),
                None => old.intent.as_ref(),
            };
            let intended = intent.is_some_and(|intent| {
                (intent.first, intent.last, &intent.key) == (delivery.first, delivery.last, &delivery.key)
            });
            keep(intended, Promise::IntentKept, || {
                format!("{} was delivered, but {intent:?} was begun", delivery.key)
            })?;
            keep(new.progress.failing.is_none() && self.has_success(), Promise::StatusTold, || {
                format!("{} was delivered, but the status does not say so", delivery.key)
            })?;
            if delivery.replay.is_some() {
                keep(!self.has("next"), Promise::ReplayApart, || {
                    format!("{} took the checkpoint from {} to {}", delivery.key, old.next_sequence, new.next_sequence)
                })?;
                return self.only(&["replay", "success", "failing", "retry"]);
            }
            let goes_on = old.next_sequence == delivery.first && new.next_sequence == delivery.last + 1;
            keep(goes_on, Promise::NothingSkipped, || {
                format!("{} took the checkpoint from {} to {}", delivery.key, old.next_sequence, new.next_sequence)
            })?;
            return self.only(&["intent", "next", "success", "failing", "retry"]);
        }
        if self.has("pending") {
            // A test or a run examined the change.
            return self.only(&["pending", "region", "retry"]);
        }
        if self.has("success") {
            return Err(Violation::new(Promise::HistoryTrue, "a success without its delivery"));
        }
        if self.has("failing") {
            // Keys are checked apart.
            let replay = |destination: &Destination| destination.replay.as_ref().map(|replay| replay.next);
            let passed = replay(old) != replay(new) || (old.intent.is_some() != new.intent.is_some());
            self.only(if passed { &["failing", "retry"] } else { &["failing", "retry", "intent", "replay"] })?;
            return self.failing(margin);
        }
        if self.has("intent") || self.has("next") {
            return match (&old.intent, &new.intent) {
                (None, Some(intent)) => {
                    self.only(&["intent"])?;
                    let fresh = intent.first == old.next_sequence && intent.first <= intent.last;
                    keep(fresh, Promise::NothingSkipped, || format!("{intent:?} was begun at {}", old.next_sequence))?;
                    self.made_as_settings_say(intent, None)
                }
                (Some(intent), None) => {
                    self.only(&["intent", "next"])?;
                    let passed = old.next_sequence == intent.first && new.next_sequence == intent.last + 1;
                    keep(passed, Promise::IntentKept, || format!("{intent:?} was given up"))?;
                    let silent = skipped(intent.first..=intent.last);
                    keep(silent.is_none(), Promise::GapsTold, || {
                        format!("{silent:?} of {intent:?} was passed in silence")
                    })
                }
                (Some(_), Some(_)) if !self.has("next") => self.only(&["intent", "region"]),
                (Some(intent), Some(other)) => {
                    Err(Violation::new(Promise::NothingSkipped, format!("{intent:?} became {other:?}")))
                }
                (None, None) => {
                    let detail = format!("from {} to {} without a delivery", old.next_sequence, new.next_sequence);
                    Err(Violation::new(Promise::NothingSkipped, detail))
                }
            };
        }
        if self.has("replay") {
            self.only(&["replay", "region"])?;
            if let (Some(before), Some(after)) = (&old.replay, &new.replay)
                && let (None, Some(intent)) = (&before.intent, &after.intent)
            {
                return self.made_as_settings_say(intent, Some(after));
            }
            return Ok(());
        }
        // A region that was learnt, or a test that passed.
        self.only(&["region", "retry"])
    }

    fn has_success(&self) -> bool {
        self.new.progress.last_success.is_some()
    }

    /// A key's time may be any up to now, and its suffix is random; everything else of it follows.
    fn made_as_settings_say(&self, intent: &Intent, replay: Option<&Replay>) -> Result<(), Violation> {
        let settings = &self.old.settings;
        let like = object_key(self.old, replay, self.after.at, &KeySuffix::random(&*SeededEntropy::new(0)));
        let shape = |key: &str| {
            let (start, end) = without_suffix(key);
            let start: String = start.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            (start, end.to_owned())
        };
        let same = (&intent.prefix, intent.compression, intent.rendering)
            == (&settings.prefix, settings.compression, settings.rendering)
            && shape(&intent.key) == shape(&like)
            && intent.key.len() == like.len();
        keep(same && intent.attempted, Promise::BegunFirst, || format!("{intent:?} is not made as {settings:?} says"))
    }

    /// Checks what becomes of the keys of what was begun, and notes in `unclear` those whose object an earlier put may
    /// have written.
    fn keys(&self, delivery: Option<&Delivery>, unclear: &mut HashSet<String>) -> Result<(), Violation> {
        let (old, new) = (self.old, self.new);
        let of_replay =
            |destination: &Destination| destination.replay.as_ref().and_then(|replay| replay.intent.clone());
        if let Some(delivery) = delivery {
            let allowed = !delivery.already_there || unclear.contains(&delivery.key);
            return keep(allowed, Promise::NothingClaimed, || {
                format!("{} was taken for ours, but no earlier put can have written it", delivery.key)
            });
        }
        if self.has("next") {
            return Ok(());
        }
        for (before, after) in [(old.intent.clone(), new.intent.clone()), (of_replay(old), of_replay(new))] {
            let (Some(before), Some(after)) = (before, after) else { continue };
            let told = || format!("{before:?} became {after:?}");
            let same = (before.first, before.last, &before.prefix, before.compression, before.rendering)
                == (after.first, after.last, &after.prefix, after.compression, after.rendering)
                && without_suffix(&before.key) == without_suffix(&after.key);
            keep(same, Promise::IntentKept, told)?;
            if before.key == after.key {
                keep(before.attempted || !after.attempted, Promise::KeyChanged, told)?;
                keep(after.attempted || !before.attempted, Promise::IntentKept, told)?;
            } else {
                keep(!unclear.contains(&before.key), Promise::IntentKept, told)?;
            }
        }
        // A replay's object waits for that of new events.
        let Some((before, after)) =
            old.intent.clone().zip(new.intent.clone()).or_else(|| of_replay(old).zip(of_replay(new)))
        else {
            return Ok(());
        };
        if self.has("failing") {
            let code = new.progress.failing.as_ref().map(|failing| failing.failure.code);
            let may_have_arrived = matches!(
                code,
                Some(
                    FailureCode::TimedOut
                        | FailureCode::Unreachable
                        | FailureCode::AwsUnavailable
                        | FailureCode::SlowDown
                )
            );
            if may_have_arrived {
                unclear.insert(before.key.clone());
            }
            let kept = before.key == after.key && after.attempted;
            let changed = before.key != after.key && !after.attempted;
            let is_unclear = unclear.contains(&before.key);
            keep(!is_unclear || kept, Promise::IntentKept, || format!("{before:?} became {after:?} after {code:?}"))?;
            keep(is_unclear || changed, Promise::KeyChanged, || format!("{before:?} became {after:?} after {code:?}"))?;
        } else if self.changed.is_empty() && before.attempted {
            // Another run makes it its own, and cannot know what became of its put.
            unclear.insert(before.key);
        }
        Ok(())
    }

    fn failing(&self, margin: Duration) -> Result<(), Violation> {
        let Some(failing) = &self.new.progress.failing else {
            return Err(Violation::new(Promise::StatusTold, "a failure was forgotten without a success"));
        };
        let before = self.old.progress.failing.as_ref();
        let counted = failing.attempts == before.map_or(0, |before| before.attempts) + 1
            && before.is_none_or(|before| before.since == failing.since);
        keep(counted, Promise::NothingOverwritten, || format!("{before:?} became {failing:?}"))?;
        keep(failing.retry_at <= self.after.at.plus(LONGEST_PAUSE + margin), Promise::BackOffBounded, || {
            format!("failed at {}, to be tried again at {}", self.after.at, failing.retry_at)
        })
    }
}

/// A key in front of its random suffix and behind it.
fn without_suffix(key: &str) -> (&str, &str) {
    let (start, end) = key.rsplit_once('-').unwrap_or((key, ""));
    (start, end.split_once('.').unwrap_or_default().1)
}

/// What a gzip file holds; `None` where it is none, or damaged.
fn gunzip(file: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    GzDecoder::new(file).read_to_end(&mut content).ok()?;
    Some(content)
}
