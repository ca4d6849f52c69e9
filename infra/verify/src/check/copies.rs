//! Compares events that are in several objects. Identical copies are only noted: a replay writes them under `replay/`, and
//! a destination that was deleted and created again delivers the last days again, cut into other objects. Copies that
//! differ are a problem, and so is every copy within one object (`order`).

use std::collections::{BTreeMap, HashMap};

use super::{Checker, Joint, Place};
use crate::{
    ObjectKind,
    report::{Problem, ProblemKind, sequences},
    source::SourceError,
};

impl Checker<'_> {
    /// Compares the lines that the chain does not use with those that it uses.
    pub(super) fn compare_copies(&mut self) -> Result<(), SourceError> {
        let used_from: HashMap<usize, u64> = self.chain.iter().map(|piece| (piece.run, piece.from)).collect();
        let breaks: Vec<u64> =
            self.chain.iter().filter(|piece| piece.joint == Joint::Breaks).map(|piece| piece.from).collect();
        // The last sequence of each stretch of copies, by object and first sequence.
        let mut copies: BTreeMap<(usize, u64), u64> = BTreeMap::new();
        for index in 0..self.runs.len() {
            let Place { object, run } = self.runs[index];
            // The last sequence that the chain takes from another run.
            let last = match used_from.get(&index) {
                Some(from) if *from == run.first => continue,
                Some(from) => from - 1,
                None => run.last,
            };
            let spans_break = breaks.iter().any(|at| *at > run.first && *at <= last);
            // Lines are chained: if the last ones are the same, so are all before them, unless the chain is broken.
            let is_same = !spans_break && self.hash_at(index, last)? == self.chain_hash_at(last)?;
            let differing = if is_same { None } else { self.differing(index, last)? };
            if let Some((first, last)) = differing {
                let other = self.piece_at(first).map(|piece| self.location(piece.run, first)).unwrap_or_default();
                let line = run.line_of(first);
                if self.reported.insert((object, line)) {
                    let what = format!("the line differs from {other}, which fits its neighbours better");
                    let problem = Problem::new(ProblemKind::Conflict, what).at(self.key(object)).line(line);
                    self.problems.push(problem.sequences(first, last));
                }
                continue;
            }
            let is_within_object = (run.first..=last)
                .any(|sequence| self.piece_at(sequence).is_some_and(|piece| self.runs[piece.run].object == object));
            if !is_within_object {
                match copies.last_entry() {
                    Some(mut entry) if entry.key().0 == object && *entry.get() + 1 == run.first => {
                        entry.insert(last);
                    }
                    _ => drop(copies.insert((object, run.first), last)),
                }
            }
        }
        for ((object, first), last) in copies {
            let why = match self.objects[object].kind {
                ObjectKind::Replay => "a replay".to_owned(),
                ObjectKind::Delivery => {
                    "not a replay: a destination that is deleted and created again delivers the last days again"
                        .to_owned()
                }
                ObjectKind::Other => self.describe_other(object, first),
            };
            let verb = if first == last { "is" } else { "are" };
            let (noun, key) = (sequences(first, last), self.key(object));
            let same = match self.objects[object].summary.rendered {
                0 => "byte for byte the same",
                _ => "the same lines in another format or shape",
            };
            self.notes.push(format!("{noun} {verb} also in {key}, {same} ({why})"));
        }
        Ok(())
    }

    /// Describes an object with copies whose name is not one that Annals gives.
    fn describe_other(&self, object: usize, first: u64) -> String {
        let original = self.piece_at(first).map(|piece| self.runs[piece.run].object);
        let original =
            original.filter(|original| self.objects[*original].summary.runs == self.objects[object].summary.runs);
        match original {
            Some(original) => format!("a renamed copy of {}", self.key(original)),
            None => "a file that Annals did not name, such as events collected from the API".to_owned(),
        }
    }

    /// Returns the first and the last sequence, up to `last`, at which a run differs from the chain.
    fn differing(&mut self, run: usize, last: u64) -> Result<Option<(u64, u64)>, SourceError> {
        let mut differing = None;
        for sequence in self.runs[run].run.first..=last {
            if self.hash_at(run, sequence)? != self.chain_hash_at(sequence)? {
                differing = Some((differing.map_or(sequence, |(first, _)| first), sequence));
            }
        }
        Ok(differing)
    }
}
