//! Whether what was delivered is the whole log, unaltered, or exactly where it is not. Owns reading objects, putting their
//! stretches together, and the report; where objects come from is a [`source::Source`], and the command line is `main`'s.
//!
//! Each object is read once, many at the same time, and only a [summary](object::Summary) of it is kept: its unbroken
//! stretches of lines, with the hashes at their ends. The summaries are then put together by sequence, so neither the
//! order of keys nor that of objects is believed. An object is read again only where it holds events that are elsewhere
//! too, or where one line is to be told from its neighbour.
//!
//! - [`source`]: folders, and objects in memory; `bucket` (feature `s3`): a bucket through the SDK
//! - [`tail`]: the log's end, as the API says it; `api` (feature `s3`): asks for it
//! - [`key`]: what a key says
//! - [`line`](mod@line): one line, taken apart as strictly as it was rendered
//! - [`object`]: one object, summed up
//! - [`stitch`](mod@stitch): all summaries, put together
//! - [`report`]: the answer

#[cfg(feature = "s3")]
pub mod api;
#[cfg(feature = "s3")]
pub mod bucket;
pub mod key;
pub mod line;
pub mod object;
pub mod report;
pub mod source;
pub mod stitch;
pub mod tail;

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use annals_core::organisation::OrganisationId;

use crate::{
    key::KeyKind,
    object::Summary,
    report::{Kind, Problem, Report},
    source::{Source, SourceError},
    stitch::{Delivered, stitch},
    tail::Tail,
};

/// What a delivery is held against.
#[derive(Debug, Clone, Default)]
pub struct Expectation {
    /// Whose log it is; `None`: the tail's, or else whose lines are the most.
    pub organisation: Option<OrganisationId>,
    /// The sequence that the delivery begins with; `None`: whichever is there first.
    pub first: Option<u64>,
    /// The log's end, as the API said it.
    pub tail: Option<Tail>,
}

/// Reads everything that `source` has, and judges it.
///
/// # Errors
/// Where an object cannot be read, or there is nothing to judge. What is wrong with a delivery is no error but in the
/// report.
pub fn verify(source: &dyn Source, expected: &Expectation) -> Result<Report, SourceError> {
    read(source)?.judge(source, expected)
}

/// A delivery, read and summed up.
#[derive(Debug)]
pub struct Reading {
    objects: Vec<Delivered>,
    problems: Vec<Problem>,
}

/// Reads everything that `source` has.
///
/// # Errors
/// Where an object cannot be read.
pub fn read(source: &dyn Source) -> Result<Reading, SourceError> {
    let mut problems = Vec::new();
    let mut delivered = Vec::new();
    let mut keys = source.keys()?;
    keys.sort_unstable();
    for key in keys {
        match KeyKind::of(&key) {
            KeyKind::Delivery { replay } => delivered.push((key, replay)),
            KeyKind::Test | KeyKind::Folder => {}
            KeyKind::Foreign => problems.push(Problem::new(Kind::ForeignObject, "no delivery has such a key").at(&key)),
        }
    }
    let summaries = summarise(source, &delivered)?;
    let objects = delivered
        .into_iter()
        .zip(summaries)
        .map(|((key, replay), summary)| Delivered { key, is_replay: replay.is_some(), summary })
        .collect();
    Ok(Reading { objects, problems })
}

impl Reading {
    /// Holds what was read from `source` against what was expected.
    ///
    /// # Errors
    /// Where an object must be read again, and cannot, or there is nothing to judge.
    pub fn judge(&self, source: &dyn Source, expected: &Expectation) -> Result<Report, SourceError> {
        if self.objects.is_empty() && expected.tail.is_none() {
            return Err(SourceError::Nothing { foreign: self.problems.len() });
        }
        stitch(source, &self.objects, expected, self.problems.clone())
    }
}

/// The summaries of objects, in the order of `delivered`.
fn summarise<T: Sync>(source: &dyn Source, delivered: &[(String, T)]) -> Result<Vec<Summary>, SourceError> {
    let next = AtomicUsize::new(0);
    let stopped = AtomicBool::new(false);
    let done: Mutex<Vec<(usize, Summary)>> = Mutex::new(Vec::with_capacity(delivered.len()));
    let failure: Mutex<Option<SourceError>> = Mutex::new(None);
    let work = || {
        while !stopped.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((key, _)) = delivered.get(index) else { return };
            match Summary::of(source, key) {
                Ok(summary) => done.lock().unwrap_or_else(PoisonError::into_inner).push((index, summary)),
                Err(error) => {
                    stopped.store(true, Ordering::Relaxed);
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        }
    };
    let at_once = source.at_once().min(delivered.len());
    if at_once <= 1 {
        work();
    } else {
        std::thread::scope(|scope| (0..at_once).for_each(|_| drop(scope.spawn(work))));
    }
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, summary)| summary).collect())
}
