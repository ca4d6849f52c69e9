//! Explains missing events: invalid lines in their place, gaps that the log itself reports, or lines and objects that were
//! taken away.

use super::{Checker, Place};
use crate::{
    object::{Fault, Gap},
    report::{Problem, ProblemKind, count, grouped},
};

impl Checker<'_> {
    /// Reports that the events `first` to `last` are missing between the runs `left` and `right`.
    pub(super) fn report_missing(&mut self, first: u64, last: u64, left: Option<usize>, right: Option<usize>) {
        if self.are_replaced(first, last, left, right) {
            return;
        }
        let mut gaps: Vec<Gap> =
            self.gaps.iter().filter(|gap| gap.first <= last && gap.last >= first).cloned().collect();
        gaps.sort_by_key(|gap| gap.first);
        let mut from = first;
        for gap in gaps {
            if gap.last < from {
                continue;
            }
            if gap.first > from {
                self.report_unexplained(from, gap.first - 1, left, right);
            }
            let (expired, to) = (gap.first.max(from), gap.last.min(last));
            let what = format!(
                "{} expired before delivery, according to the event destination.gap at sequence {}",
                count(to - expired + 1, "event"),
                grouped(gap.sequence)
            );
            self.problems.push(Problem::new(ProblemKind::MissingExplained, what).sequences(expired, to));
            from = to + 1;
        }
        if from <= last {
            self.report_unexplained(from, last, left, right);
        }
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

    fn report_unexplained(&mut self, first: u64, last: u64, left: Option<usize>, right: Option<usize>) {
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
            _ => Problem { what: events, ..problem },
        };
        self.problems.push(problem);
    }

    fn describe_missing_between(&self, events: &str, left: Place<'_>, right: Place<'_>) -> String {
        let (before, after) = (self.key(left.object), self.key(right.object));
        let summary = &self.objects[left.object].summary;
        if !summary.faults.is_empty() || left.run.last_line() != summary.lines {
            format!("{events} after line {} of {before}, which is damaged or goes on differently", left.run.last_line())
        } else if right.run.line == 1 && right.run.index > 0 && !self.objects[right.object].is_replay {
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
