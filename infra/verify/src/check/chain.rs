//! Assembles the chain: for each sequence the line that fits best, and which line was changed if two neighbours do not
//! match.

use annals_core::log::segment::LineHash;
use sha2::{Digest as _, Sha256};

use super::{Checker, Joint, Piece, Place};
use crate::{
    content,
    line::with_previous,
    object::Run,
    report::{ProblemKind, grouped},
    source::SourceError,
};

impl Checker<'_> {
    /// Assembles the chain, and reports the events that it lacks and the lines that do not match.
    pub(super) fn assemble(&mut self) -> Result<(), SourceError> {
        let Some(first) = self.runs.first().map(|place| place.run.first) else { return Ok(()) };
        match self.required_first() {
            Some(required) if required < first => self.add_missing(required, first - 1, None, Some(0)),
            _ => {}
        }
        if let Some(expected) = self.expected.first.filter(|expected| *expected > first) {
            self.notes.push(format!(
                "the delivery begins with sequence {}, earlier than expected ({})",
                grouped(first),
                grouped(expected)
            ));
        }
        let mut hash = if first == 1 { Some(LineHash::ORIGIN) } else { self.stated_hash(first - 1) };
        let (mut next, mut waiting, mut candidates) = (first, 0, Vec::new());
        loop {
            while self.runs.get(waiting).is_some_and(|place| place.run.first <= next) {
                candidates.push(waiting);
                waiting += 1;
            }
            candidates.retain(|run| self.runs[*run].run.last >= next);
            let Some((run, joint)) = self.best(&candidates, next, hash)? else {
                let Some(first) = self.runs.get(waiting).map(|place| place.run.first) else { return Ok(()) };
                let left = self.end().map(|(run, _)| run);
                self.add_missing(next, first - 1, left, Some(waiting));
                (next, hash) = (first, self.stated_hash(first - 1));
                continue;
            };
            self.chain.push(Piece { run, from: next, joint });
            if joint == Joint::Breaks {
                self.explain_break(run, next, hash)?;
            }
            (next, hash) = (self.runs[run].run.last + 1, Some(self.runs[run].run.hash));
        }
    }

    /// Returns the run that contains sequence `next` and best continues a line with this hash.
    fn best(
        &mut self,
        candidates: &[usize],
        next: u64,
        hash: Option<LineHash>,
    ) -> Result<Option<(usize, Joint)>, SourceError> {
        if let ([only], None) = (candidates, hash) {
            return Ok(Some((*only, Joint::Fits)));
        }
        let mut best: Option<((bool, bool, u64), usize)> = None;
        // Runs that begin at `next` come first: to compare any other, its object must be read again.
        let (beginning, earlier): (Vec<usize>, Vec<usize>) =
            candidates.iter().partition(|run| self.runs[**run].run.first == next);
        for index in beginning.into_iter().chain(earlier) {
            let run = self.runs[index].run;
            let fits = match hash {
                None => true,
                Some(hash) if run.first == next => run.previous == hash,
                Some(_) if best.is_some_and(|((fits, is_confirmed, _), _)| fits && is_confirmed) => continue,
                Some(hash) => self.hash_at(index, next - 1)? == Some(hash),
            };
            let score = (fits, self.is_confirmed(run), run.last);
            if best.is_none_or(|(other, _)| score > other) {
                best = Some((score, index));
            }
        }
        Ok(best.map(|((fits, ..), run)| (run, if fits { Joint::Fits } else { Joint::Breaks })))
    }

    /// Returns the hash of the line with this sequence, if the caller or a trusted checkpoint states it.
    fn stated_hash(&self, sequence: u64) -> Option<LineHash> {
        self.points.get(&sequence).map(|point| point.hash)
    }

    /// Returns whether the next line, the caller, or a trusted checkpoint has the hash of the run's last line.
    fn is_confirmed(&self, run: &Run) -> bool {
        let mut following = self.runs_by_first.get(&(run.last + 1)).into_iter().flatten();
        following.any(|next| self.runs[*next].run.previous == run.hash) || self.stated_hash(run.last) == Some(run.hash)
    }

    /// Returns the hash of the line with this sequence, according to the next line, the caller, or a trusted checkpoint.
    fn expected_hash(&self, sequence: u64) -> Option<LineHash> {
        let next = self.runs_by_first.get(&(sequence + 1)).and_then(|runs| runs.first());
        let next = next.map(|run| self.runs[*run].run.previous);
        next.or_else(|| self.stated_hash(sequence))
    }

    /// Reports which line was changed if `run` does not continue a line with this hash at sequence `next`.
    fn explain_break(&mut self, run: usize, next: u64, hash: Option<LineHash>) -> Result<(), SourceError> {
        let Some(hash) = hash else { return Ok(()) };
        let Place { object, run: right } = self.runs[run];
        // There is none if events before `next` are missing.
        let left = self.chain.iter().nth_back(1).map(|piece| piece.run);
        let left = left.filter(|left| self.runs[*left].run.last + 1 >= next);
        if right.first < next {
            let other = left.map_or_else(String::new, |left| self.location(left, next - 1));
            let what = format!("the line differs from {other}, and nothing shows which of the two is the original");
            self.report_line(ProblemKind::Conflict, run, next - 1, &what);
            return Ok(());
        }
        if right.last > right.first || self.is_confirmed(right) {
            match left {
                Some(left) => {
                    let what = format!(
                        "its hash does not match the previousHash of {}, and that line matches the line after it",
                        self.location(run, next)
                    );
                    self.report_line(ProblemKind::Changed, left, next - 1, &what);
                }
                None => {
                    let what = "its previousHash is not the hash of the line before it";
                    self.report_line(ProblemKind::Changed, run, next, what);
                }
            }
            return Ok(());
        }
        let what = match self.expected_hash(next) {
            None => {
                "its previousHash is not the hash of the line before it: one of the two lines was changed, and no later \
                 line or tail shows which"
            }
            Some(expected) => {
                let text = content::line(self.source, self.key(object), right.line)?;
                let restored = with_previous(&text, &hash).map(|text| LineHash(Sha256::digest(&text).into()));
                if restored == Some(expected) {
                    "only its previousHash was changed: with the hash of the line before it, the line is as delivered"
                } else {
                    "its previousHash is not the hash of the line before it, and its own hash matches nothing after it: \
                     the line was changed, and possibly the line before it too"
                }
            }
        };
        self.report_line(ProblemKind::Changed, run, next, what);
        Ok(())
    }
}
