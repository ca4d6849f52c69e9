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
    delivery::object_key,
    destination::{
        Compression, Content, Delivery, Destination, DestinationId, Intent, connection_test::TEST_OBJECT_NAME,
    },
    log::segment::LineHash,
    organisation::OrganisationId,
    registry::Registry as _,
    time::Timestamp,
};
use flate2::read::GzDecoder;
use serde_json::Value;

use super::world::{By, Version, World};
use crate::bucket::{Arrival, StoredObject};

/// How far a new destination reaches back.
const LOOKBACK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The longest pause of a failing destination.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Promise {
    /// A delivery is committed only once its object is in the bucket.
    PutBeforeCommit,
    /// What is put was begun before: its key is an intent's, made as the settings then said.
    BegunFirst,
    /// What was begun is finished as it was begun.
    IntentKept,
    /// No event is in two objects.
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
    /// Once all is well again everything is delivered, within the hour and a tick.
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
    /// Events that expired undelivered.
    pub lost: u64,
    pub replays: u64,
    pub failures: u64,
    pub destinations: u64,
}

impl std::ops::AddAssign for Checked {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.objects += other.objects;
        self.put_again += other.put_again;
        self.lost += other.lost;
        self.replays += other.replays;
        self.failures += other.failures;
        self.destinations += other.destinations;
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

/// An intent that was stored.
#[derive(Debug, Clone)]
struct Begun {
    intent: Intent,
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
        for (bucket, begun) in &begun_in {
            let bucket = bucket.parse().unwrap();
            for key in self.world.buckets.objects(&bucket).keys() {
                let known = begun.contains(key) || key.ends_with(TEST_OBJECT_NAME);
                keep(known, Promise::BegunFirst, || format!("{key} was put and never begun"))?;
            }
        }
        Ok(checked)
    }

    /// What an object holds; `None` where it is not compressed as it should be.
    fn text(&self, object: &StoredObject, compression: Compression) -> Option<Rc<Vec<u8>>> {
        let mut texts = self.texts.borrow_mut();
        let text = texts.entry(object.sha256.clone()).or_insert_with(|| match compression {
            Compression::None => Some(Rc::new(object.content.to_vec())),
            Compression::Gzip => gunzip(&object.content).map(Rc::new),
        });
        text.clone()
    }

    /// What a customer can see who knows nothing but the bucket: no event is in two objects, replays aside. Where
    /// several destinations have had the bucket each began afresh.
    fn customers_view(&self, histories: &BTreeMap<String, Vec<Version>>) -> Result<(), Violation> {
        let first = |history: &Vec<Version>| history.first().map(|version| version.destination.bucket.clone());
        let buckets: Vec<_> = histories.values().filter_map(first).collect();
        for bucket in buckets.iter().filter(|bucket| buckets.iter().filter(|other| other == bucket).count() == 1) {
            let mut seen: HashMap<u64, String> = HashMap::new();
            for (key, object) in self.world.buckets.objects(bucket) {
                if key.contains("replay/") || key.ends_with(TEST_OBJECT_NAME) {
                    continue;
                }
                let text = if key.ends_with(".gz") {
                    gunzip(&object.content).unwrap_or_default()
                } else {
                    object.content.to_vec()
                };
                for sequence in String::from_utf8_lossy(&text).lines().filter_map(sequence_of) {
                    if let Some(other) = seen.insert(sequence, key.clone()) {
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
        let keys = begun_in.entry(first.destination.bucket.to_string()).or_default();
        for one in &begun {
            keep(keys.insert(one.intent.key.clone()), Promise::BegunFirst, || {
                format!("{} was begun twice", one.intent.key)
            })?;
        }
        let objects = self.world.buckets.objects(&first.destination.bucket);
        let arrivals = self.world.buckets.arrivals(&first.destination.bucket);
        let mut checked = self.objects(&begun, &gaps, &objects, &arrivals)?;
        self.replays(history, &begun, &objects, &mut checked)?;
        self.switched_off(history, &begun, &arrivals)?;
        self.deliveries(id, &begun, deleted).await?;
        if ending == Ending::Settled && !deleted && last.destination.is_active() {
            self.settled(&last.destination)?;
        }
        checked.destinations = 1;
        checked.failures =
            history.iter().filter(|version| version.destination.progress.failing.is_some()).count() as u64;
        Ok(checked)
    }

    fn lookback(&self, first: &Version) -> Result<(), Violation> {
        let destination = &first.destination;
        let since = destination.created_at.minus(LOOKBACK);
        let wanted = self.journal.values().find(|event| event.recorded_at >= since).map_or(1, |event| event.segment);
        // Where the window's beginning has expired the first event is a later one.
        let expired = |sequence: u64| {
            let event = &self.journal[&sequence];
            event.expires_at <= destination.created_at.plus(self.margin)
        };
        let start = destination.next_sequence;
        keep(start >= wanted && (wanted..start).all(expired), Promise::LookbackHeld, || {
            format!("{} begins with {start} instead of {wanted}", destination.id)
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
            let told: HashSet<u64> = gaps
                .iter()
                .filter(|gap| {
                    gap.sequence <= by_sequence(&after.by).unwrap_or(u64::MAX) && gap.at <= after.at.plus(self.margin)
                })
                .flat_map(|gap| gap.lost.iter().cloned().flatten())
                .collect();
            let step = Step { old, new, after, changed: &changed, told: &told };
            match &after.by {
                By::Event(sequence) => step.by_event(self.kind(*sequence).as_str(), gaps, *sequence)?,
                By::Shipper(delivery) => step.by_shipper(delivery.as_deref(), self.margin)?,
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
                        let at = after.at;
                        all.push(Begun { intent: intent.clone(), replay, at, delivery: None });
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

    /// The type of the event at `sequence`.
    fn kind(&self, sequence: u64) -> String {
        let line: Value = serde_json::from_str(&self.journal[&sequence].text).unwrap();
        line["type"].as_str().unwrap().to_owned()
    }

    fn objects(
        &self,
        begun: &[Begun],
        gaps: &[Gap],
        objects: &BTreeMap<String, StoredObject>,
        arrivals: &[Arrival],
    ) -> Result<Checked, Violation> {
        let mut checked = Checked::default();
        let told: HashSet<u64> = gaps.iter().flat_map(|gap| gap.lost.iter().cloned().flatten()).collect();
        checked.lost = told.len() as u64;
        let mut seen: HashMap<u64, &str> = HashMap::new();
        let mut last: Option<(u64, LineHash)> = None;
        for one in begun {
            let Begun { intent, .. } = one;
            let key = intent.key.as_str();
            let puts: Vec<&Arrival> = arrivals.iter().filter(|arrival| arrival.key == key).collect();
            for put in &puts {
                keep(put.at >= one.at, Promise::BegunFirst, || format!("{key} was put before it was begun"))?;
            }
            let Some(object) = objects.get(key) else {
                keep(puts.is_empty(), Promise::Immutable, || format!("{key} was put and is gone"))?;
                keep(one.delivery.is_none(), Promise::PutBeforeCommit, || format!("{key} is not there"))?;
                continue;
            };
            checked.put_again += u64::from(puts.len() > 1);
            // Events that expired since the first try cannot be put again: the only reason why tries may differ.
            let missing = one.replay.is_some() || (intent.first..=intent.last).any(|sequence| told.contains(&sequence));
            let same = puts.iter().all(|put| put.sha256 == object.sha256);
            keep(
                same || (missing && puts.first().is_some_and(|put| put.sha256 == object.sha256)),
                Promise::Immutable,
                || format!("{key} was put again with other content"),
            )?;
            let text = self.text(object, intent.compression);
            let text = text.ok_or_else(|| Violation::new(Promise::Complete, format!("{key} is no gzip")))?;
            let media_type = match intent.compression {
                Compression::None => "application/x-ndjson",
                Compression::Gzip => "application/gzip",
            };
            keep(object.content_type == media_type, Promise::Complete, || format!("{key} is {}", object.content_type))?;
            let sequences = self.lines(key, &text, intent, &object.stored_at)?;
            let whole = (intent.first..=intent.last).all(|sequence| {
                let expired = || self.journal[&sequence].expires_at <= object.stored_at.plus(self.margin);
                sequences.contains(&sequence)
                    || told.contains(&sequence)
                    || (one.replay.is_some() && expired())
                    // Its gap is recorded before it is committed.
                    || (one.delivery.is_none() && expired())
            });
            keep(whole, Promise::Complete, || format!("{key} lacks events of {}..={}", intent.first, intent.last))?;
            if let Some(delivery) = &one.delivery {
                // Where events expired meanwhile it need not be known which try arrived; what is said is true.
                let told = match &delivery.content {
                    None => missing,
                    Some(Content { events, bytes, sha256 }) => {
                        object.sha256 == *sha256
                            && object.content.len() as u64 == *bytes
                            && sequences.len() as u64 == *events
                    }
                };
                keep(told, Promise::Complete, || format!("{key} is not what its delivery says: {delivery:?}"))?;
            }
            if one.replay.is_none() {
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
            keep(event.expires_at.plus(self.margin) > *stored_at, Promise::ExpiryHolds, || {
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
        objects: &BTreeMap<String, StoredObject>,
        checked: &mut Checked,
    ) -> Result<(), Violation> {
        for pair in history.windows(2) {
            let [before, after] = pair else { continue };
            let (None, Some(replay)) = (&before.destination.replay, &after.destination.replay) else { continue };
            let mut left: BTreeSet<u64> = (replay.next..=replay.last).collect();
            for one in begun.iter().filter(|one| one.replay.as_ref() == Some(&replay.id)) {
                let key = &one.intent.key;
                keep(key.contains(&format!("replay/{}/", replay.id)), Promise::ReplayApart, || {
                    format!("{key} is not among the keys of the replay {}", replay.id)
                })?;
                let Some(object) = objects.get(key) else { continue };
                let text = self.text(object, one.intent.compression).unwrap_or_default();
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
            keep(since.is_none_or(|since| arrival.at <= since.at.plus(self.margin)), Promise::NothingWhenOff, || {
                format!("{} arrived although nothing should be sent", arrival.key)
            })?;
        }
        Ok(())
    }

    async fn deliveries(&self, id: &DestinationId, begun: &[Begun], deleted: bool) -> Result<(), Violation> {
        let mut kept = self.world.store.deliveries(self.organisation, id, usize::MAX).await.unwrap();
        kept.reverse();
        let mut committed: Vec<Delivery> = begun.iter().filter_map(|one| one.delivery.clone()).collect();
        // What is begun first is not always finished first: a replay's object may be under way.
        committed.sort_by_key(|delivery| delivery.delivered_at);
        kept.sort_by_key(|delivery| delivery.delivered_at);
        let same = kept.len() == committed.len() && committed.iter().all(|delivery| kept.contains(delivery));
        keep(same || deleted, Promise::HistoryTrue, || {
            format!("the history of {id} has {} deliveries, but {} were made", kept.len(), committed.len())
        })
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

/// What differs between two versions of a destination, by name.
fn changes(old: &Destination, new: &Destination) -> BTreeSet<&'static str> {
    let mut changed = BTreeSet::new();
    let mut differs = |name, is: bool| {
        if is {
            changed.insert(name);
        }
    };
    let kept = |intent: &Option<Intent>| intent.as_ref().map(|intent| (intent.first, intent.last, intent.key.clone()));
    differs("identity", (&old.bucket, &old.role_arn, old.created_at) != (&new.bucket, &new.role_arn, new.created_at));
    differs("prefix", old.settings.prefix != new.settings.prefix);
    differs("region", old.settings.region != new.settings.region);
    differs("compression", old.settings.compression != new.settings.compression);
    differs("layout", old.settings.layout != new.settings.layout);
    differs("paused", old.paused != new.paused);
    differs("disabled", old.disabled != new.disabled);
    differs("next", old.next_sequence != new.next_sequence);
    differs("intent", kept(&old.intent) != kept(&new.intent));
    differs("replay", old.replay != new.replay);
    differs("success", old.progress.last_success != new.progress.last_success);
    let pause = |destination: &Destination| destination.progress.failing.as_ref().map(|failing| failing.retry_at);
    let failure = |destination: &Destination| {
        destination.progress.failing.clone().map(|failing| (failing.failure, failing.since, failing.attempts))
    };
    differs("failing", failure(old) != failure(new));
    differs("retry", pause(old) != pause(new));
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
    /// Only these parts may have changed.
    fn only(&self, names: &[&str]) -> Result<(), Violation> {
        let Some(name) = self.changed.iter().find(|name| !names.contains(name)) else { return Ok(()) };
        let promise = match *name {
            "intent" => Promise::IntentKept,
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
            "destination.update" => self.only(&["prefix", "region", "compression", "layout", "retry"]),
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
        if self.has("success") {
            return Err(Violation::new(Promise::HistoryTrue, "a success without its delivery"));
        }
        if self.has("failing") {
            self.only(&["failing", "retry"])?;
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
                (Some(intent), Some(other)) => {
                    let promise = if self.has("next") { Promise::NothingSkipped } else { Promise::IntentKept };
                    Err(Violation::new(promise, format!("{intent:?} became {other:?}")))
                }
                (None, None) => {
                    let detail = format!("from {} to {} without a delivery", old.next_sequence, new.next_sequence);
                    Err(Violation::new(Promise::NothingSkipped, detail))
                }
            };
        }
        if self.has("replay") {
            self.only(&["replay"])?;
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

    /// A key's time may be any up to now; everything else of it follows.
    fn made_as_settings_say(
        &self,
        intent: &Intent,
        replay: Option<&annals_core::destination::Replay>,
    ) -> Result<(), Violation> {
        let settings = &self.old.settings;
        let like = object_key(self.old, replay, self.after.at, intent.first, intent.last);
        let shape = |key: &str| key.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>();
        let suffix = |key: &str| key.rsplit_once('-').map(|(_, suffix)| suffix.to_owned());
        let same = (&intent.prefix, intent.compression) == (&settings.prefix, settings.compression)
            && shape(&intent.key) == shape(&like)
            && suffix(&intent.key) == suffix(&like);
        keep(same, Promise::BegunFirst, || format!("{intent:?} is not made as {settings:?} says"))
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

/// What a gzip file holds; `None` where it is none, or damaged.
fn gunzip(file: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    GzDecoder::new(file).read_to_end(&mut content).ok()?;
    Some(content)
}
