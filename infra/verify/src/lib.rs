//! Checks whether a delivery is the whole log, unaltered, and reports exactly where it is not. Does not parse the command
//! line: that is `main`.
//!
//! Each object is read once, many in parallel, and only a [summary](object::Summary) of it is kept: its runs of
//! consecutive lines, with the hashes at both ends. The summaries are then assembled by sequence. Neither the order of
//! keys nor the order of objects is trusted. An object is read again only if it contains events that other objects also
//! contain, or if a single line must be told from its neighbour.
//!
//! - [`source`]: the port, folders, files, and objects in memory; `bucket` (feature `s3`): a bucket
//! - [`tail`]: the end of the log, as the API returns it; `api` (feature `s3`): fetches it
//! - [`keys`]: the public keys that the caller supplies; [`state`]: what earlier runs have proven
//! - [`key`]: what an object's key says about it; [`pattern`]: objects to ignore
//! - [`content`]: an object's bytes, decompressed and split into lines
//! - [`line`](mod@line): one line, parsed strictly
//! - [`object`]: the summary of one object
//! - [`trust`]: which checkpoints are trusted
//! - [`check`](mod@check): all summaries together, and with the checkpoints
//! - [`report`]: the result

#[cfg(feature = "s3")]
pub mod api;
#[cfg(feature = "s3")]
pub mod bucket;
pub mod check;
pub mod content;
pub mod key;
pub mod keys;
pub mod line;
pub mod object;
pub mod pattern;
pub mod report;
pub mod source;
pub mod state;
pub mod tail;
pub mod trust;

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use annals_core::{
    organisation::OrganisationId,
    proof::checkpoint::{Entries, Entry, parse_entries},
    time::Timestamp,
};
use sha2::{Digest as _, Sha256};

use crate::{
    check::DeliveredObject,
    key::KeyKind,
    keys::Keys,
    line::LineReader,
    object::{Detail, Summary},
    pattern::Pattern,
    report::{Problem, ProblemKind, Report, count},
    source::{Source, SourceError},
    state::State,
    tail::Tail,
    trust::{EntriesFiles, Note},
};

/// The oldest that the newest checkpoint may be. An idle destination gets one every day; two hours are for delays.
pub const MAX_SILENCE: Duration = Duration::from_secs(26 * 60 * 60);
/// How much clocks of the machines that record events and that sign may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// More than a checkpoint can have: a message to sign has 4,096 bytes.
const MAX_CHECKPOINT_BYTES: u64 = 64 * 1024;
/// More than the entries of one checkpoint need.
const MAX_ENTRIES_BYTES: u64 = 64 * 1024 * 1024;

/// What the delivery is compared with.
#[derive(Debug, Clone, Default)]
pub struct Expectation {
    /// Default: the organisation of the state or the tail, or else the one with the most lines.
    pub organisation: Option<OrganisationId>,
    /// The sequence that the delivery must begin with. Default: any, or the first one according to trusted checkpoints.
    pub first: Option<u64>,
    pub tail: Option<Tail>,
    /// The keys of trusted checkpoints. Without keys, checkpoints confirm nothing.
    pub keys: Keys,
    /// What earlier runs have proven.
    pub state: Option<State>,
    /// The time that the proof must be about. `None`: any.
    pub as_of: Option<AsOf>,
}

/// The time that a proof is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// This is the current time.
    Now(Timestamp),
    /// The caller asks about this time.
    Time(Timestamp),
}

impl AsOf {
    #[must_use]
    pub fn time(self) -> Timestamp {
        match self {
            Self::Now(time) | Self::Time(time) => time,
        }
    }
}

/// Reads everything in `source` and checks it.
///
/// # Errors
/// Returns an error if an object cannot be read, or if there is nothing to check. Problems of the delivery are not errors;
/// the report lists them.
pub fn verify(source: &dyn Source, expected: &Expectation) -> Result<Report, SourceError> {
    read(source, &[])?.check(source, expected)
}

/// The summaries of everything in a source.
#[derive(Debug)]
pub struct Delivery {
    objects: Vec<DeliveredObject>,
    notes: Vec<Note>,
    entries: EntriesFiles,
    foreign_objects: Vec<Problem>,
    /// How many objects were skipped, by what they are.
    skipped: BTreeMap<&'static str, u64>,
}

/// Reads and summarises everything in `source` except what matches `ignored`.
///
/// # Errors
/// Returns an error if an object cannot be read.
pub fn read(source: &dyn Source, ignored: &[Pattern]) -> Result<Delivery, SourceError> {
    let mut keys = source.keys()?;
    keys.sort_unstable();
    let (mut data, mut checkpoints, mut entries, mut unknown) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut skipped: BTreeMap<&'static str, u64> = BTreeMap::new();
    for key in keys {
        if ignored.iter().any(|pattern| pattern.matches(&key)) {
            *skipped.entry("objects that match --ignore").or_default() += 1;
            continue;
        }
        match KeyKind::of(&key) {
            KeyKind::Delivery { is_replay } => {
                data.push((key, if is_replay { ObjectKind::Replay } else { ObjectKind::Delivery }));
            }
            KeyKind::Test => *skipped.entry("objects of the connection test").or_default() += 1,
            KeyKind::Folder => {}
            KeyKind::Checkpoint => checkpoints.push(key),
            KeyKind::Entries => entries.push(key),
            KeyKind::Junk(what) => *skipped.entry(what).or_default() += 1,
            KeyKind::Other => unknown.push(key),
        }
    }
    let mut notes = in_parallel(source, &checkpoints, |key| {
        let content = content::small(source, key, MAX_CHECKPOINT_BYTES)?;
        Ok(Note::parse(key, &content.unwrap_or_default()))
    })?;
    let mut foreign_objects = Vec::new();
    for (key, content) in unknown.iter().zip(in_parallel(source, &unknown, |key| Content::of(source, key))?) {
        match content {
            Content::Lines => data.push((key.clone(), ObjectKind::Other)),
            Content::Checkpoint(note) => notes.push(*note),
            Content::Foreign => foreign_objects
                .push(Problem::new(ProblemKind::ForeignObject, "it is neither events nor a checkpoint").at(key)),
        }
    }
    let files = in_parallel(source, &entries, |key| content::small(source, key, MAX_ENTRIES_BYTES))?;
    let mut entries_files = EntriesFiles::new();
    for (key, content) in entries.iter().zip(files) {
        let content = content.unwrap_or_default();
        let sha256: [u8; 32] = Sha256::digest(&content).into();
        match std::str::from_utf8(&content).map(parse_entries) {
            Ok(Ok(entries)) if is_named(&notes, &sha256) => drop(entries_files.insert(sha256, entries)),
            // A run that ends before it stores the checkpoint leaves its list behind.
            Ok(Ok(_)) => *skipped.entry("lists of objects that no checkpoint here names").or_default() += 1,
            _ => foreign_objects
                .push(Problem::new(ProblemKind::ForeignObject, "it is not a list of objects of a checkpoint").at(key)),
        }
    }
    let listed = listed_names(&notes, &entries_files);
    let summaries = in_parallel(source, &data, |(key, _)| {
        let is_listed = listed.contains(name(key));
        Summary::of(source, key, if is_listed { Detail::Fingerprint } else { Detail::Lines })
    })?;
    drop(listed);
    let objects =
        data.into_iter().zip(summaries).map(|((key, kind), summary)| DeliveredObject { key, kind, summary }).collect();
    Ok(Delivery { objects, notes, entries: entries_files, foreign_objects, skipped })
}

/// How an object's key names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectKind {
    Delivery,
    Replay,
    /// Not as Annals names objects: collected from the API, or renamed.
    Other,
}

/// What an object is whose key does not tell.
enum Content {
    Lines,
    Checkpoint(Box<Note>),
    Foreign,
}

impl Content {
    fn of(source: &dyn Source, key: &str) -> Result<Self, SourceError> {
        let first = content::first_line(source, key)?;
        // Also lines that were changed, so that the report says what is wrong with them.
        if LineReader::default().header(&first).is_ok() || first.starts_with(LINE) || first.starts_with(LINE_AFTER_BOM)
        {
            return Ok(Self::Lines);
        }
        let content = content::small(source, key, MAX_CHECKPOINT_BYTES)?.unwrap_or_default();
        let note = Note::parse(key, &content);
        Ok(if note.checkpoint().is_some() { Self::Checkpoint(Box::new(note)) } else { Self::Foreign })
    }
}

/// How lines begin.
const LINE: &[u8] = br#"{"sequence":"#;
const LINE_AFTER_BOM: &[u8] = b"\xef\xbb\xbf{\"sequence\":";

/// Returns whether a checkpoint names a list of objects with this hash.
fn is_named(notes: &[Note], hash: &[u8; 32]) -> bool {
    let delivered = notes.iter().filter_map(|note| note.checkpoint()?.delivered.as_ref());
    delivered
        .map(|delivered| &delivered.entries)
        .any(|entries| matches!(entries, Entries::Elsewhere { sha256, .. } if sha256 == hash))
}

/// Returns the names, without folders, of all objects that checkpoints list.
fn listed_names<'a>(notes: &'a [Note], files: &'a EntriesFiles) -> HashSet<&'a str> {
    let delivered = notes.iter().filter_map(|note| note.checkpoint()?.delivered.as_ref());
    let here = delivered.filter_map(|delivered| match &delivered.entries {
        Entries::Here(entries) => Some(entries),
        Entries::Elsewhere { .. } => None,
    });
    let entries = here.chain(files.values()).flatten();
    entries
        .filter_map(|entry| match entry {
            Entry::Object(object) => Some(name(&object.key)),
            Entry::Expired(_) | Entry::Lost { .. } | Entry::Restored | Entry::Moved { .. } | Entry::Unrecorded(_) => {
                None
            }
        })
        .collect()
}

/// Returns the part of a key behind its last slash.
fn name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or_default()
}

impl Delivery {
    /// Compares what was read from `source` with what is expected.
    ///
    /// # Errors
    /// Returns an error if an object must be read again and cannot be, or if there is nothing to check.
    pub fn check(&self, source: &dyn Source, expected: &Expectation) -> Result<Report, SourceError> {
        let expects_events = expected.tail.is_some() || expected.state.is_some();
        if self.objects.is_empty() && self.notes.is_empty() && !expects_events {
            return Err(SourceError::Nothing { foreign: self.foreign_objects.len() });
        }
        let mut report = check::check(source, self, expected)?;
        report.skipped = self.skipped.values().sum();
        if report.skipped > 0 {
            let kinds = self.skipped.iter().map(|(what, number)| format!("{what} ({number})"));
            let kinds = kinds.collect::<Vec<_>>().join(", ");
            report.notes.push(format!("skipped {}: {kinds}", count(report.skipped, "object")));
        }
        Ok(report)
    }
}

/// Calls `work` with each item, many at once. Returns the results in the order of the items.
fn in_parallel<T: Sync, R: Send>(
    source: &dyn Source,
    items: &[T],
    work: impl Fn(&T) -> Result<R, SourceError> + Sync,
) -> Result<Vec<R>, SourceError> {
    let next = AtomicUsize::new(0);
    let stopped = AtomicBool::new(false);
    let results: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    let failure: Mutex<Option<SourceError>> = Mutex::new(None);
    let run = || {
        while !stopped.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            match work(item) {
                Ok(result) => results.lock().unwrap_or_else(PoisonError::into_inner).push((index, result)),
                Err(error) => {
                    stopped.store(true, Ordering::Relaxed);
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        }
    };
    let readers = source.parallel_reads().min(items.len());
    if readers <= 1 {
        run();
    } else {
        std::thread::scope(|scope| (0..readers).for_each(|_| drop(scope.spawn(run))));
    }
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}
