//! Checks whether a delivery is the whole log, unaltered, and reports exactly where it is not. Does not parse the command
//! line: that is `main`.
//!
//! Each object is read once, many in parallel, and only a [summary](object::Summary) of it is kept: its runs of
//! consecutive lines, with the hashes at both ends. The summaries are then assembled by sequence. Neither the order of
//! keys nor the order of objects is trusted. An object is read again only if it contains events that other objects also
//! contain, or if a single line must be told from its neighbour.
//!
//! - [`source`]: the port, folders, and objects in memory; `bucket` (feature `s3`): a bucket
//! - [`tail`]: the end of the log, as the API returns it; `api` (feature `s3`): fetches it
//! - [`key`]: which keys Annals writes
//! - [`content`]: an object's bytes, decompressed and split into lines
//! - [`line`](mod@line): one line, parsed strictly
//! - [`object`]: the summary of one object
//! - [`check`](mod@check): all summaries together
//! - [`report`]: the result

#[cfg(feature = "s3")]
pub mod api;
#[cfg(feature = "s3")]
pub mod bucket;
pub mod check;
pub mod content;
pub mod key;
pub mod line;
pub mod object;
pub mod report;
pub mod source;
pub mod tail;

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use annals_core::organisation::OrganisationId;

use crate::{
    check::DeliveredObject,
    key::KeyKind,
    object::Summary,
    report::{Problem, ProblemKind, Report},
    source::{Source, SourceError},
    tail::Tail,
};

/// What the delivery is compared with.
#[derive(Debug, Clone, Default)]
pub struct Expectation {
    /// Default: the organisation of the tail, or else the one with the most lines.
    pub organisation: Option<OrganisationId>,
    /// The sequence that the delivery must begin with. Default: any.
    pub first: Option<u64>,
    pub tail: Option<Tail>,
}

/// Reads everything in `source` and checks it.
///
/// # Errors
/// Returns an error if an object cannot be read, or if there is nothing to check. Problems of the delivery are not errors;
/// the report lists them.
pub fn verify(source: &dyn Source, expected: &Expectation) -> Result<Report, SourceError> {
    read(source)?.check(source, expected)
}

/// The summaries of everything in a source.
#[derive(Debug)]
pub struct Delivery {
    objects: Vec<DeliveredObject>,
    foreign_objects: Vec<Problem>,
}

/// Reads and summarises everything in `source`.
///
/// # Errors
/// Returns an error if an object cannot be read.
pub fn read(source: &dyn Source) -> Result<Delivery, SourceError> {
    let mut foreign_objects = Vec::new();
    let mut delivered = Vec::new();
    let mut keys = source.keys()?;
    keys.sort_unstable();
    for key in keys {
        match KeyKind::of(&key) {
            KeyKind::Delivery { is_replay } => delivered.push((key, is_replay)),
            KeyKind::Test | KeyKind::Folder => {}
            KeyKind::Foreign => {
                foreign_objects
                    .push(Problem::new(ProblemKind::ForeignObject, "Annals writes no object with such a key").at(&key));
            }
        }
    }
    let summaries = summarise(source, &delivered)?;
    let objects = delivered
        .into_iter()
        .zip(summaries)
        .map(|((key, is_replay), summary)| DeliveredObject { key, is_replay, summary })
        .collect();
    Ok(Delivery { objects, foreign_objects })
}

impl Delivery {
    /// Compares what was read from `source` with what is expected.
    ///
    /// # Errors
    /// Returns an error if an object must be read again and cannot be, or if there is nothing to check.
    pub fn check(&self, source: &dyn Source, expected: &Expectation) -> Result<Report, SourceError> {
        if self.objects.is_empty() && expected.tail.is_none() {
            return Err(SourceError::Nothing { foreign: self.foreign_objects.len() });
        }
        check::check(source, &self.objects, expected, self.foreign_objects.clone())
    }
}

/// Summarises objects in parallel. Returns the summaries in the order of `delivered`.
fn summarise<T: Sync>(source: &dyn Source, delivered: &[(String, T)]) -> Result<Vec<Summary>, SourceError> {
    let next = AtomicUsize::new(0);
    let stopped = AtomicBool::new(false);
    let summaries: Mutex<Vec<(usize, Summary)>> = Mutex::new(Vec::with_capacity(delivered.len()));
    let failure: Mutex<Option<SourceError>> = Mutex::new(None);
    let work = || {
        while !stopped.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((key, _)) = delivered.get(index) else { return };
            match Summary::of(source, key) {
                Ok(summary) => summaries.lock().unwrap_or_else(PoisonError::into_inner).push((index, summary)),
                Err(error) => {
                    stopped.store(true, Ordering::Relaxed);
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        }
    };
    let readers = source.parallel_reads().min(delivered.len());
    if readers <= 1 {
        work();
    } else {
        std::thread::scope(|scope| (0..readers).for_each(|_| drop(scope.spawn(work))));
    }
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut summaries = summaries.into_inner().unwrap_or_else(PoisonError::into_inner);
    summaries.sort_unstable_by_key(|(index, _)| *index);
    Ok(summaries.into_iter().map(|(_, summary)| summary).collect())
}
