//! Which checkpoints are trusted, and whether those of each destination are one chain without holes. Does not compare them
//! with lines: that is [`crate::check`](mod@crate::check).
//!
//! A checkpoint is trusted if a trusted key has signed it, or if the chain of `previous` leads from a trusted one back to
//! it. Trusted keys are the current ones that the caller supplies, and those that a trusted checkpoint announces. A past key
//! signs nothing any more: whoever has it can forge, but cannot get a checkpoint into the chain behind a current one.

use std::collections::{BTreeMap, HashMap, HashSet};

use annals_core::{
    destination::BucketName,
    proof::{
        checkpoint::{Checkpoint, Delivered, EXTENSION, Entries, Entry, SignedNote},
        key::VerifierKey,
    },
    time::Timestamp,
};
use sha2::{Digest as _, Sha256};

use crate::{
    AsOf, Expectation, MAX_SILENCE,
    key::KeyKind,
    report::{Problem, ProblemKind, count},
};

/// How often the keys that checkpoints announce are followed to further checkpoints: more often than anyone changes keys.
const MAX_KEY_CHANGES: usize = 100;
/// How much later than now a checkpoint's time may be, because clocks differ.
const CLOCK_TOLERANCE: std::time::Duration = std::time::Duration::from_secs(60 * 60);

/// An object that is, or should be, a checkpoint.
#[derive(Debug)]
pub struct Note {
    /// Its key in the source, or what else users call it.
    pub key: String,
    /// Of the whole note.
    pub sha256: [u8; 32],
    /// What it says, or why it is not a checkpoint.
    content: Result<(SignedNote, Checkpoint), String>,
}

impl Note {
    /// Parses an object.
    #[must_use]
    pub fn parse(key: &str, bytes: &[u8]) -> Self {
        let content = SignedNote::parse(bytes).map_err(|error| error.to_string()).and_then(|note| {
            let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
            Ok((note, checkpoint))
        });
        Self { key: key.to_owned(), sha256: Sha256::digest(bytes).into(), content }
    }

    /// Returns what it says, if it is a checkpoint. Nothing is known about its signatures.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.content.as_ref().ok().map(|(_, checkpoint)| checkpoint)
    }
}

/// The entries that checkpoints keep in files of their own, by the SHA-256 of the file.
pub type EntriesFiles = HashMap<[u8; 32], Vec<Entry>>;

/// A checkpoint that is trusted or, without keys, whose signature cannot be checked.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    pub note: &'a Note,
    pub checkpoint: &'a Checkpoint,
    pub entries: &'a [Entry],
}

impl Link<'_> {
    /// Returns `the checkpoint of TIME (KEY)`.
    pub(crate) fn describe(&self) -> String {
        format!("the checkpoint of {} ({})", self.checkpoint.time, self.note.key)
    }
}

/// The checkpoints, judged.
#[derive(Debug, Default)]
pub struct Judgement<'a> {
    /// By time.
    pub links: Vec<Link<'a>>,
    /// Whether the links confirm anything: whether there are keys.
    pub confirms: bool,
    /// The first sequence that the destinations get, according to the links.
    pub first: Option<u64>,
    /// The names and ids of the keys that have signed the newest link.
    pub signers: Vec<String>,
    pub problems: Vec<Problem>,
    pub notes: Vec<String>,
}

impl<'a> Judgement<'a> {
    /// Returns the newest link.
    #[must_use]
    pub fn newest(&self) -> Option<&Link<'a>> {
        self.links.last()
    }
}

/// Judges all checkpoints of a source.
#[must_use]
pub fn judge<'a>(
    notes: impl Iterator<Item = &'a Note>,
    files: &'a EntriesFiles,
    expected: &Expectation,
    organisation: Option<&str>,
) -> Judgement<'a> {
    let mut judge = Judge { expected, files, candidates: Vec::new(), judgement: Judgement::default() };
    judge.judgement.confirms = !expected.keys.is_empty();
    judge.collect(notes, organisation);
    judge.trust();
    judge.report_untrusted();
    judge.check_chains();
    judge.finish();
    judge.judgement
}

/// A checkpoint of the organisation.
struct Candidate<'a> {
    note: &'a Note,
    signed: &'a SignedNote,
    checkpoint: &'a Checkpoint,
    is_trusted: bool,
}

impl<'a> Candidate<'a> {
    /// Returns which of `keys` have signed it.
    fn signed_by<'k>(&self, keys: &'k [VerifierKey]) -> Vec<&'k VerifierKey> {
        self.signed.signed_by(keys)
    }

    /// Returns the destination; `None` for the checkpoint of a log.
    fn destination(&self) -> Option<&'a str> {
        self.checkpoint.delivered.as_ref().map(|delivered| delivered.destination.as_str())
    }

    fn previous(&self) -> Option<[u8; 32]> {
        self.checkpoint.delivered.as_ref().and_then(|delivered| delivered.previous)
    }

    fn age(&self) -> (Timestamp, u64) {
        (self.checkpoint.time, self.checkpoint.last)
    }
}

/// A moment from which a key is trusted, or not any more, in the checkpoints of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyChange {
    destination: String,
    time: Timestamp,
    key: VerifierKey,
    is_trusted: bool,
}

/// A checkpoint that others may follow besides its successor in the chain.
#[derive(Debug, Clone, Copy)]
struct Superseded {
    /// Its SHA-256; `None` for the beginning of the chain.
    previous: Option<[u8; 32]>,
    /// The age of the checkpoint that supersedes them.
    age: (Timestamp, u64),
}

struct Judge<'e, 'a> {
    expected: &'e Expectation,
    files: &'a EntriesFiles,
    /// By time.
    candidates: Vec<Candidate<'a>>,
    judgement: Judgement<'a>,
}

impl<'a> Judge<'_, 'a> {
    fn problem(&mut self, note: &Note, what: impl Into<String>) {
        self.judgement.problems.push(Problem::new(ProblemKind::Checkpoint, what).at(&note.key));
    }

    /// Collects the organisation's checkpoints, each once, and reports what else there is.
    fn collect(&mut self, notes: impl Iterator<Item = &'a Note>, organisation: Option<&str>) {
        let mut seen: HashMap<[u8; 32], &str> = HashMap::new();
        for note in notes {
            if let Some(first) = seen.get(&note.sha256) {
                if is_renamed(&note.key, first) {
                    self.judgement.notes.push(format!("{} is a copy of {first}, byte for byte the same", note.key));
                } else {
                    self.problem(
                        note,
                        format!("it is a copy of {first}: somebody has put it in the place of another one"),
                    );
                }
                continue;
            }
            seen.insert(note.sha256, &note.key);
            match &note.content {
                Err(reason) => self.problem(note, format!("it is damaged, or no checkpoint: {reason}")),
                Ok((_, checkpoint)) if Some(checkpoint.organisation.as_str()) != organisation => {
                    let what = format!("it is a checkpoint of another organisation, {}", checkpoint.organisation);
                    self.problem(note, what);
                }
                Ok((signed, checkpoint)) => {
                    self.candidates.push(Candidate { note, signed, checkpoint, is_trusted: false });
                }
            }
        }
        self.candidates.sort_by_key(Candidate::age);
    }

    /// Decides which candidates are trusted. Follows announced keys until there are no further ones.
    fn trust(&mut self) {
        if !self.judgement.confirms {
            self.candidates.iter_mut().for_each(|candidate| candidate.is_trusted = true);
            return;
        }
        let mut changes = Vec::new();
        for _ in 0..MAX_KEY_CHANGES {
            self.trust_with(&changes);
            let announced = self.announced_keys();
            if announced == changes {
                return;
            }
            changes = announced;
        }
    }

    /// Decides which candidates are trusted, given the announced keys.
    fn trust_with(&mut self, changes: &[KeyChange]) {
        let by_sha256: HashMap<[u8; 32], usize> =
            self.candidates.iter().enumerate().map(|(index, candidate)| (candidate.note.sha256, index)).collect();
        self.candidates.iter_mut().for_each(|candidate| candidate.is_trusted = false);
        for index in (0..self.candidates.len()).rev() {
            let candidate = &self.candidates[index];
            // Most are trusted because of those that follow them. So there is one signature to check for each chain.
            if candidate.is_trusted || candidate.signed_by(&self.trusted_keys(candidate, changes)).is_empty() {
                continue;
            }
            let mut next = Some(index);
            while let Some(index) = next.filter(|index| !self.candidates[*index].is_trusted) {
                let candidate = &mut self.candidates[index];
                candidate.is_trusted = true;
                let destination = candidate.destination();
                next = candidate.previous().and_then(|previous| by_sha256.get(&previous)).copied();
                next = next.filter(|index| self.candidates[*index].destination() == destination);
            }
        }
    }

    /// Returns the keys that are trusted at the time of a checkpoint of its destination.
    fn trusted_keys(&self, candidate: &Candidate<'_>, changes: &[KeyChange]) -> Vec<VerifierKey> {
        let time = candidate.checkpoint.time;
        let mut keys = self.supplied_keys(time);
        for change in changes.iter().filter(|change| change.is_trusted && change.time <= time) {
            if !keys.contains(&change.key) {
                keys.push(change.key.clone());
            }
        }
        keys.retain(|key| {
            let own = changes.iter().filter(|change| {
                change.key == *key && change.time < time && Some(change.destination.as_str()) == candidate.destination()
            });
            let is_trusted_here = own.max_by_key(|change| change.time).is_none_or(|change| change.is_trusted);
            // Other destinations, and the log, change keys within a day.
            let changed = changes.iter().filter(|change| change.key == *key && change.time < time);
            let changed = changed.max_by_key(|change| (change.time, change.is_trusted));
            is_trusted_here && changed.is_none_or(|change| change.is_trusted || time <= change.time.plus(MAX_SILENCE))
        });
        keys
    }

    /// Returns the keys that the caller supplies for the time that the proof is about, without past ones that were replaced
    /// before the time of a checkpoint. Each destination changes keys within a day.
    fn supplied_keys(&self, time: Timestamp) -> Vec<VerifierKey> {
        let keys = &self.expected.keys;
        let past = keys.past.iter().filter(|past| match self.expected.as_of {
            Some(AsOf::Time(at)) => past.until.is_some_and(|until| until >= at && time <= until.plus(MAX_SILENCE)),
            _ => false,
        });
        keys.current.iter().chain(past.map(|past| &past.key)).cloned().collect()
    }

    /// Returns the keys that trusted checkpoints announce, and those that they replace.
    fn announced_keys(&self) -> Vec<KeyChange> {
        let mut changes: Vec<KeyChange> = Vec::new();
        for candidate in self.candidates.iter().filter(|candidate| candidate.is_trusted) {
            let Some(Delivered { next_key: Some(next), destination, .. }) = &candidate.checkpoint.delivered else {
                continue;
            };
            let mut known: Vec<VerifierKey> = self.expected.keys.all().cloned().collect();
            known.extend(changes.iter().map(|change| change.key.clone()));
            let replaced = candidate.signed_by(&known).into_iter().filter(|key| *key != next).cloned();
            let (destination, time) = (destination.as_str().to_owned(), candidate.checkpoint.time);
            let change = |key, is_trusted| KeyChange { destination: destination.clone(), time, key, is_trusted };
            let replaced: Vec<_> = replaced.map(|key| change(key, false)).collect();
            changes.extend(replaced);
            changes.push(change(next.clone(), true));
        }
        changes
    }

    /// Returns until when a past key can have signed the checkpoints of any destination, as far as that is known: each
    /// destination changes keys with its next checkpoint, which follows within a day.
    fn last_use(&self, key: &VerifierKey) -> Option<Timestamp> {
        let until = self.expected.keys.past.iter().find(|past| past.key == *key).and_then(|past| past.until);
        let replaced = self.announced_keys().into_iter().filter(|change| change.key == *key && !change.is_trusted);
        let changed = until.or(replaced.map(|change| change.time).min());
        changed.map(|time| time.plus(MAX_SILENCE))
    }

    /// Reports checkpoints that are not trusted as what they are.
    fn report_untrusted(&mut self) {
        if !self.judgement.confirms {
            if !self.candidates.is_empty() {
                self.judgement.notes.push(format!(
                    "{} here, but without the public key they confirm nothing: pass it with --key; GET /keys of the API \
                     returns it, and it should also come from somewhere that whoever writes to this bucket cannot change",
                    count(self.candidates.len() as u64, "checkpoint")
                ));
            }
            return;
        }
        let keys = &self.expected.keys;
        if !self.candidates.iter().any(|candidate| candidate.is_trusted) {
            let what = match self.candidates.len() {
                0 => "there is no checkpoint, and --key checks nothing but checkpoints".to_owned(),
                candidates => format!(
                    "none of {} is signed by the current key, {}",
                    count(candidates as u64, "checkpoint"),
                    keys.current.iter().map(name).collect::<Vec<_>>().join(" or ")
                ),
            };
            self.judgement.problems.push(Problem::new(ProblemKind::Unsigned, what));
        }
        let past: Vec<VerifierKey> = keys.past.iter().map(|past| past.key.clone()).collect();
        let all: Vec<VerifierKey> = keys.all().cloned().collect();
        let newest = self.candidates.iter().filter(|candidate| candidate.is_trusted).map(Candidate::age).max();
        let trusted_destinations: HashSet<_> =
            self.candidates.iter().filter(|candidate| candidate.is_trusted).map(Candidate::destination).collect();
        let mut ended: BTreeMap<Option<&str>, (u64, Timestamp)> = BTreeMap::new();
        let mut found = Vec::new();
        for candidate in self.candidates.iter().filter(|candidate| !candidate.is_trusted) {
            let signer = &candidate.checkpoint.signer;
            let what = if !all.iter().any(|key| key.name() == signer) {
                format!("it is a checkpoint of another deployment: it names the signer {signer}")
            } else if let Some(key) = candidate.signed_by(&past).first() {
                let is_of_ended_destination = !trusted_destinations.contains(&candidate.destination());
                let could_sign = self.last_use(key).is_none_or(|last| candidate.checkpoint.time <= last);
                if is_of_ended_destination && could_sign && newest.is_some_and(|newest| candidate.age() <= newest) {
                    let (number, last) = ended.entry(candidate.destination()).or_default();
                    (*number, *last) = (*number + 1, candidate.checkpoint.time);
                    continue;
                }
                format!(
                    "it is signed with the past key {}, and no checkpoint that is signed with the current key leads back to \
                     it: whoever has the past key can have forged it",
                    name(key)
                )
            } else if let Some(key) = candidate.signed_by(&all).first() {
                format!("it is signed with {}, after another checkpoint announced that key's successor", name(key))
            } else {
                "it has no valid signature of a trusted key: it is unsigned, damaged, or signed with an unknown key"
                    .into()
            };
            found.push((candidate.note, what));
        }
        for (note, what) in found {
            self.problem(note, what);
        }
        for (destination, (number, last)) in ended {
            self.judgement.notes.push(format!(
                "{} of the destination {}, up to {last}, {} signed only with a past key, so they confirm nothing; to check \
                 that time, use --as-of with the JSON of GET /keys",
                count(number, "checkpoint"),
                destination.unwrap_or("(none: of the log)"),
                if number == 1 { "is" } else { "are" },
            ));
        }
    }

    /// Checks the trusted checkpoints of each destination from the newest one back to the first one.
    fn check_chains(&mut self) {
        let mut chains: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, candidate) in self.candidates.iter().enumerate().filter(|(_, candidate)| candidate.is_trusted) {
            if let Some(destination) = candidate.destination() {
                chains.entry(destination).or_default().push(index);
            }
        }
        for (destination, chain) in chains {
            self.check_chain(destination, &chain);
        }
    }

    /// Checks the chain of a destination, whose checkpoints are sorted by time.
    fn check_chain(&mut self, destination: &str, chain: &[usize]) {
        let by_sha256: HashMap<[u8; 32], usize> =
            chain.iter().map(|index| (self.candidates[*index].note.sha256, *index)).collect();
        let mut unvisited: Vec<usize> = chain.to_vec();
        let Some(mut current) = unvisited.pop() else { return };
        let mut reached = HashSet::from([self.candidates[current].note.sha256]);
        let mut superseded = Vec::new();
        superseded.extend(self.supersedes(current));
        while let Some(previous) = self.candidates[current].previous() {
            reached.insert(previous);
            if let Some(index) = by_sha256.get(&previous).copied() {
                self.compare(index, current);
                match unvisited.last() {
                    Some(last) if *last == index => drop(unvisited.pop()),
                    _ => unvisited.retain(|other| *other != index),
                }
                current = index;
                superseded.extend(self.supersedes(current));
                continue;
            }
            let (note, age) = (self.candidates[current].note, self.candidates[current].age());
            let what = match self.moved_from(current) {
                Some(bucket) => format!(
                    "the checkpoint before it is missing (SHA-256 {}): the destination moved here from the bucket {bucket}; check \
                     the objects of both buckets together, or only later events with --first",
                    hex::encode(previous)
                ),
                None => format!("the checkpoint before it is missing (SHA-256 {})", hex::encode(previous)),
            };
            let older = unvisited.iter().rposition(|index| self.candidates[*index].age() <= age);
            match older.map(|at| unvisited.remove(at)) {
                Some(index) => {
                    self.problem(note, what);
                    current = index;
                }
                None => {
                    if !self.may_begin_with(&self.candidates[current]) {
                        self.problem(note, what);
                    }
                    break;
                }
            }
        }
        unvisited.retain(|index| {
            let is_superseded = self.is_superseded(*index, &superseded);
            if is_superseded {
                let sha256 = self.candidates[*index].note.sha256;
                superseded.push(Superseded { previous: Some(sha256), ..superseded[0] });
                reached.insert(sha256);
            }
            !is_superseded
        });
        for index in unvisited {
            let note = self.candidates[index].note;
            self.problem(note, format!("it is not in the chain of the checkpoints of the destination {destination}"));
        }
        self.compare_with_state(destination, &reached, chain);
    }

    /// Returns the bucket from which the destination moved before a checkpoint's objects were delivered.
    fn moved_from(&self, index: usize) -> Option<&'a BucketName> {
        self.entries(self.candidates[index].checkpoint)?.iter().find_map(|entry| match entry {
            Entry::Moved { from, .. } => Some(from),
            _ => None,
        })
    }

    /// Returns which checkpoints a checkpoint supersedes: if the registry was restored to an earlier copy, those that were
    /// signed after the one that the restored copy has.
    fn supersedes(&self, index: usize) -> Option<Superseded> {
        let candidate = &self.candidates[index];
        let entries = self.entries(candidate.checkpoint)?;
        entries.contains(&Entry::Restored).then(|| Superseded { previous: candidate.previous(), age: candidate.age() })
    }

    /// Returns whether a checkpoint that is in no chain follows one that another checkpoint supersedes.
    fn is_superseded(&self, index: usize, superseded: &[Superseded]) -> bool {
        let candidate = &self.candidates[index];
        superseded.iter().any(|other| candidate.previous() == other.previous && candidate.age() <= other.age)
    }

    /// Compares two checkpoints that follow one another.
    fn compare(&mut self, earlier: usize, later: usize) {
        let (earlier, later) = (&self.candidates[earlier], &self.candidates[later]);
        let first =
            |candidate: &Candidate<'_>| candidate.checkpoint.delivered.as_ref().map(|delivered| delivered.first);
        let what = if later.checkpoint.time < earlier.checkpoint.time {
            format!("its time, {}, is before that of the checkpoint before it", later.checkpoint.time)
        } else if later.checkpoint.last < earlier.checkpoint.last {
            "it ends at an earlier sequence than the checkpoint before it".to_owned()
        } else if first(later) != first(earlier) {
            "it states another first sequence of the destination than the checkpoint before it".to_owned()
        } else {
            return;
        };
        self.problem(later.note, what);
    }

    /// Returns whether the checkpoints before this one may be absent, because the caller asks only about later sequences.
    fn may_begin_with(&self, candidate: &Candidate<'_>) -> bool {
        let before =
            self.expected.first.map(|first| first - 1).max(self.expected.state.as_ref().map(|state| state.last));
        let seen = self.expected.state.as_ref().and_then(|state| state.checkpoint.as_ref());
        let is_seen = seen.is_some_and(|seen| {
            candidate.previous().map(hex::encode).as_ref() == Some(&seen.sha256)
                || hex::encode(candidate.note.sha256) == seen.sha256
        });
        // What the checkpoint before this one covers ends where this one begins.
        // The caller supplies this one alone.
        let tail = self.expected.tail.as_ref().and_then(|tail| tail.note.as_ref());
        is_seen
            || tail.is_some_and(|tail| tail.sha256 == candidate.note.sha256)
            || before.is_some_and(|before| self.begins(candidate.checkpoint).is_some_and(|first| first <= before + 1))
    }

    /// Returns the entries of a checkpoint. `None` if they should be in a file of their own, and it is not there.
    fn entries(&self, checkpoint: &'a Checkpoint) -> Option<&'a [Entry]> {
        match checkpoint.delivered.as_ref().map(|delivered| &delivered.entries) {
            None => Some(&[]),
            Some(Entries::Here(entries)) => Some(entries),
            Some(Entries::Elsewhere { sha256, count, .. }) => {
                self.files.get(sha256).map(Vec::as_slice).filter(|entries| entries.len() as u64 == *count)
            }
        }
    }

    /// Returns the first sequence that a checkpoint covers and the one before it does not.
    fn begins(&self, checkpoint: &'a Checkpoint) -> Option<u64> {
        let covered = self.entries(checkpoint)?.iter().filter_map(|entry| match entry {
            Entry::Expired(range) | Entry::Lost { sequences: range, .. } | Entry::Unrecorded(range) => {
                Some(*range.start())
            }
            Entry::Restored | Entry::Moved { .. } => None,
            // A replay delivers what earlier checkpoints cover.
            Entry::Object(object) if KeyKind::of(&object.key) == (KeyKind::Delivery { is_replay: true }) => None,
            Entry::Object(object) => Some(*object.sequences.start()),
        });
        Some(covered.min().unwrap_or(checkpoint.last + 1))
    }

    /// Checks that the chain leads to the checkpoint that an earlier run has trusted.
    fn compare_with_state(&mut self, destination: &str, reached: &HashSet<[u8; 32]>, chain: &[usize]) {
        let Some(seen) = self.expected.state.as_ref().and_then(|state| state.checkpoint.as_ref()) else { return };
        if seen.destination.as_deref() != Some(destination)
            || reached.iter().any(|sha256| hex::encode(sha256) == seen.sha256)
        {
            return;
        }
        let newest = chain.last().map(|index| &self.candidates[*index]);
        let what = match newest {
            Some(newest) if newest.age() < (seen.time, seen.sequence) => format!(
                "the newest checkpoint of the destination {destination} is of {}, but an earlier run has seen one of {}: \
                 newer checkpoints were taken away, or older ones put back",
                newest.checkpoint.time, seen.time
            ),
            _ => format!(
                "the checkpoints of the destination {destination} do not lead back to the one of {} that an earlier run has \
                 trusted",
                seen.time
            ),
        };
        self.judgement.problems.push(Problem::new(ProblemKind::State, what));
    }

    /// Collects the links, and checks how old the newest one is.
    fn finish(&mut self) {
        let trusted = self.candidates.iter().filter(|candidate| candidate.is_trusted);
        for (note, checkpoint) in trusted.map(|candidate| (candidate.note, candidate.checkpoint)).collect::<Vec<_>>() {
            let entries = self.entries(checkpoint);
            if entries.is_none() {
                self.problem(note, "the file with its list of objects is missing or was changed");
            }
            self.judgement.links.push(Link { note, checkpoint, entries: entries.unwrap_or_default() });
        }
        let delivered = self.judgement.links.iter().filter_map(|link| link.checkpoint.delivered.as_ref());
        self.judgement.first = delivered.map(|delivered| delivered.first).min();
        let Some(newest) = self.judgement.newest().copied() else { return };
        let all: Vec<VerifierKey> = self.expected.keys.all().cloned().collect();
        let signed = self.candidates.iter().find(|candidate| candidate.note.sha256 == newest.note.sha256);
        self.judgement.signers =
            signed.map(|candidate| candidate.signed_by(&all).into_iter().map(name).collect()).unwrap_or_default();
        if self.judgement.confirms {
            // The log's own checkpoint says nothing about deliveries, and another destination may lag.
            let delivered = self.judgement.links.iter().filter(|link| link.checkpoint.delivered.is_some());
            let last = delivered.clone().map(|link| link.checkpoint.last).max();
            let of_the_end = delivered.filter(|link| Some(link.checkpoint.last) == last);
            let newest = of_the_end.max_by_key(|link| link.checkpoint.time).copied().unwrap_or(newest);
            self.check_age(newest);
        }
        let Some(seen) = self.expected.state.as_ref().and_then(|state| state.checkpoint.as_ref()) else { return };
        let is_same_kind = |link: &&Link<'_>| link.checkpoint.delivered.is_some() == seen.destination.is_some();
        let newest = self.judgement.links.iter().rfind(is_same_kind).map(|link| link.checkpoint.time);
        let is_reported = self.judgement.problems.iter().any(|problem| problem.kind == ProblemKind::State);
        if let Some(newest) = newest.filter(|newest| *newest < seen.time && !is_reported) {
            let what = format!(
                "the newest checkpoint is of {newest}, but an earlier run has seen one of {}: newer checkpoints were taken \
                 away, or older ones put back",
                seen.time
            );
            self.judgement.problems.push(Problem::new(ProblemKind::State, what));
        }
    }

    /// Reports a newest checkpoint that is too old: an idle destination gets one every day.
    fn check_age(&mut self, newest: Link<'_>) {
        let Some(as_of) = self.expected.as_of else { return };
        let at = as_of.time();
        let time = newest.checkpoint.time;
        if at.since(time) > MAX_SILENCE {
            let than = match as_of {
                AsOf::Now(_) => "now",
                AsOf::Time(_) => "the time given with --as-of",
            };
            let what = format!(
                "the newest checkpoint is of {time}, {} hours before {than}, although there is a new one at least every \
                 day: newer checkpoints and events may have been taken away, or signing or delivery has stopped",
                at.since(time).as_secs() / 3600
            );
            self.judgement.problems.push(Problem::new(ProblemKind::Silence, what).at(&newest.note.key));
        } else if time.since(at) > CLOCK_TOLERANCE && matches!(as_of, AsOf::Now(_)) {
            let what = format!("the newest checkpoint is of {time}, which is later than this machine's clock");
            self.judgement.notes.push(what);
        }
    }
}

/// Returns whether the key of a copy can be that of a download which was renamed or is elsewhere, not the key of another
/// checkpoint.
fn is_renamed(copy: &str, original: &str) -> bool {
    let stem = |key: &str| crate::name(key).trim_end_matches(EXTENSION).to_owned();
    let (copy_stem, original_stem) = (stem(copy), stem(original));
    [copy, original].iter().any(|key| KeyKind::of(key) != KeyKind::Checkpoint)
        || copy_stem.contains(&original_stem)
        || original_stem.contains(&copy_stem)
}

/// Returns the name and id of a key, as a signature states them.
pub(crate) fn name(key: &VerifierKey) -> String {
    format!("{}+{:08x}", key.name(), key.id())
}
