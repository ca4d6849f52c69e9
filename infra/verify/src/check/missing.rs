//! Explains missing events: invalid lines in their place, gaps that the log itself reports, or lines and objects that were
//! taken away.

use annals_core::proof::checkpoint::Entry;

use super::{Checker, Place, proven::Proof};
use crate::{
    ObjectKind,
    object::{Fault, Gap},
    report::{Problem, ProblemKind, count, grouped, sequences},
};

/// Events that the chain lacks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Missing {
    pub(super) first: u64,
    pub(super) last: u64,
    /// The indices of the runs before and after them.
    left: Option<usize>,
    right: Option<usize>,
}

/// Why events are missing that nobody took away.
#[derive(Debug, Clone)]
struct Explanation {
    first: u64,
    last: u64,
    what: String,
}

impl Checker<'_> {
    /// Notes that the events `first` to `last` are missing between the runs `left` and `right`.
    pub(super) fn add_missing(&mut self, first: u64, last: u64, left: Option<usize>, right: Option<usize>) {
        // The end can be found missing by several comparisons.
        if let Some(other) = self.missing.iter_mut().find(|other| other.first == first) {
            other.last = other.last.max(last);
        } else if !self.are_replaced(first, last, left, right) {
            self.missing.push(Missing { first, last, left, right });
        }
    }

    /// Reports what is missing, with the explanation if there is one. Missing events before the beginning that the caller
    /// states are only noted.
    pub(super) fn explain_missing(&mut self, proof: &Proof) {
        let beginning = self.stated_first().unwrap_or(0);
        for missing in std::mem::take(&mut self.missing) {
            // A hole behind lines that are here was made by somebody, unless the caller asks only about what follows it.
            let is_asked_for = self.expected.first.is_some_and(|first| missing.last < first);
            let is_outside = missing.left.is_none() || is_asked_for || self.is_explained(missing);
            if missing.last < beginning && missing.right.is_some() && is_outside {
                let noun = sequences(missing.first, missing.last);
                let verb = if missing.first == missing.last { "is" } else { "are" };
                self.notes.push(format!("{noun}, before the stated beginning, {verb} not here"));
                continue;
            }
            let lost = self.lost(missing, Some(proof));
            let mut from = missing.first;
            for lost in lost {
                if lost.first_sequence > from {
                    self.report_missing(Missing { first: from, last: lost.first_sequence - 1, ..missing }, proof);
                }
                from = from.max(lost.last_sequence + 1);
                self.lost.push(lost);
            }
            if from <= missing.last {
                self.report_missing(Missing { first: from, ..missing }, proof);
            }
        }
    }

    /// Reports what is missing and no restore lost.
    fn report_missing(&mut self, missing: Missing, proof: &Proof) {
        let mut from = missing.first;
        for explanation in self.explanations(missing, Some(proof)) {
            if explanation.last < from {
                continue;
            }
            if explanation.first > from {
                self.report_unexplained(from, explanation.first - 1, missing);
            }
            let (expired, to) = (explanation.first.max(from), explanation.last.min(missing.last));
            let what = format!("{} {}", count(to - expired + 1, "event"), explanation.what);
            self.problems.push(Problem::new(ProblemKind::MissingExplained, what).sequences(expired, to));
            from = to + 1;
        }
        if from <= missing.last {
            self.report_unexplained(from, missing.last, missing);
        }
    }

    /// Returns whether all of these missing events are explained, if only by events of which nothing is known yet.
    pub(super) fn is_explained(&self, missing: Missing) -> bool {
        let explained = self.explanations(missing, None).into_iter().map(|expired| (expired.first, expired.last));
        let lost = self.lost(missing, None).into_iter().map(|lost| (lost.first_sequence, lost.last_sequence));
        cover(missing, explained.chain(lost))
    }

    /// Returns whether restores lost all of these missing events.
    pub(super) fn is_lost(&self, missing: Missing) -> bool {
        cover(missing, self.lost(missing, None).into_iter().map(|lost| (lost.first_sequence, lost.last_sequence)))
    }

    /// Returns what explains missing events: trusted checkpoints, and Annals' own events; with a proof only those events
    /// that it covers.
    fn explanations(&self, missing: Missing, proof: Option<&Proof>) -> Vec<Explanation> {
        let overlaps = |first: u64, last: u64| first <= missing.last && last >= missing.first;
        let gaps: Vec<Gap> = self.gaps.iter().filter(|gap| overlaps(gap.first, gap.last)).cloned().collect();
        let gaps = gaps.into_iter().filter(|gap| proof.is_none_or(|proof| proof.confirms(gap.sequence)));
        let mut explanations: Vec<Explanation> = gaps
            .map(|gap| Explanation {
                first: gap.first,
                last: gap.last,
                what: format!(
                    "expired before delivery, according to the event destination.gap at sequence {}",
                    grouped(gap.sequence)
                ),
            })
            .collect();
        let links = self.judgement.links.iter().filter(|_| self.judgement.confirms);
        for (link, entry) in links.flat_map(|link| link.entries.iter().map(move |entry| (link, entry))) {
            if let Entry::Expired(range) = entry
                && overlaps(*range.start(), *range.end())
            {
                let what = format!("expired before delivery, according to {}", link.describe());
                explanations.push(Explanation { first: *range.start(), last: *range.end(), what });
            }
        }
        explanations.sort_by_key(|explanation| (explanation.first, explanation.last));
        explanations
    }

    /// Returns whether there are exactly as many invalid lines as missing events. Then the events are not missing, but
    /// their lines were changed.
    pub(super) fn are_replaced(&mut self, first: u64, last: u64, left: Option<usize>, right: Option<usize>) -> bool {
        let invalid = self.invalid_lines_between(left, right);
        let are_replaced = invalid.len() as u64 == last - first + 1;
        if are_replaced {
            self.replaced.extend(invalid.into_iter().zip(first..=last));
        }
        are_replaced
    }

    /// Returns the invalid lines between two runs, by object and number.
    fn invalid_lines_between(&self, left: Option<usize>, right: Option<usize>) -> Vec<(usize, u64)> {
        let invalid_lines = |object: usize, from: u64, to: u64| {
            let is_invalid = |fault: &Fault| matches!(fault, Fault::InvalidLine(_) | Fault::HalfLine);
            let faults = self.objects[object].summary.faults.iter();
            let faults = faults.filter(move |(line, fault)| *line > from && *line < to && is_invalid(fault));
            faults.map(move |(line, _)| (object, *line)).collect::<Vec<_>>()
        };
        match (left.map(|run| self.runs[run]), right.map(|run| self.runs[run])) {
            (Some(left), Some(right)) if left.object == right.object => {
                invalid_lines(left.object, left.run.last_line(), right.run.line)
            }
            (left, right) => {
                let after = left.map(|left| invalid_lines(left.object, left.run.last_line(), u64::MAX));
                let before = right.map(|right| invalid_lines(right.object, 0, right.run.line));
                [after.unwrap_or_default(), before.unwrap_or_default()].concat()
            }
        }
    }

    fn report_unexplained(&mut self, first: u64, last: u64, missing: Missing) {
        let Missing { left, right, .. } = missing;
        let events = count(last - first + 1, "event");
        let problem = Problem::new(ProblemKind::Missing, "").sequences(first, last);
        let problem = match (left.map(|run| self.runs[run]), right.map(|run| self.runs[run])) {
            (Some(left), Some(right)) if left.object == right.object && left.run.line < right.run.line => {
                let what = format!("{events} between line {} and line {}", left.run.last_line(), right.run.line);
                Problem { what, ..problem.at(self.key(left.object)).line(right.run.line) }
            }
            (Some(left), Some(right)) => {
                Problem { what: self.describe_missing_between(&events, left, right), ..problem }
            }
            (None, Some(right)) => {
                let what = format!("{events} before {}, the first object", self.key(right.object));
                Problem { what, ..problem }
            }
            (Some(left), None) => {
                let what = format!("{events} after {}, the last object", self.key(left.object));
                Problem { what, ..problem }
            }
            (None, None) => Problem { what: events, ..problem },
        };
        let delivered = self.describe_delivered(first, last);
        self.problems.push(Problem { what: problem.what.clone() + &delivered, ..problem });
    }

    /// Says in which objects missing events were delivered, according to checkpoints.
    fn describe_delivered(&self, first: u64, last: u64) -> String {
        let entries = self.judgement.links.iter().flat_map(|link| link.entries);
        let mut objects = entries.filter_map(|entry| match entry {
            Entry::Object(object) if *object.sequences.start() <= last && *object.sequences.end() >= first => {
                Some(object)
            }
            _ => None,
        });
        let Some(object) = objects.next() else { return String::new() };
        let more = objects.count() as u64;
        let more = if more == 0 { String::new() } else { format!(" and {}", count(more, "more object")) };
        format!("; according to a checkpoint, delivered in {}{more}", object.key)
    }

    fn describe_missing_between(&self, events: &str, left: Place<'_>, right: Place<'_>) -> String {
        let (before, after) = (self.key(left.object), self.key(right.object));
        let summary = &self.objects[left.object].summary;
        if !summary.faults.is_empty() || left.run.last_line() != summary.lines {
            format!("{events} after line {} of {before}, which is damaged or goes on differently", left.run.last_line())
        } else if right.run.line == 1 && right.run.index > 0 && self.objects[right.object].kind != ObjectKind::Replay {
            format!(
                "{events} between {before} and {after}: the latter begins in the middle of a batch, so its beginning is \
                 missing"
            )
        } else {
            format!(
                "{events} between line {} of {before} and line {} of {after}: whole objects, or the end of the first or \
                 the beginning of the second",
                left.run.last_line(),
                right.run.line
            )
        }
    }
}

/// Returns whether these ranges together cover what is missing.
fn cover(missing: Missing, ranges: impl Iterator<Item = (u64, u64)>) -> bool {
    let mut ranges: Vec<_> = ranges.collect();
    ranges.sort_unstable();
    let mut from = missing.first;
    for (first, last) in ranges {
        if first <= from && last >= from {
            from = last + 1;
        }
    }
    from > missing.last
}
