//! Checks that the sequences of an object's lines rise one by one.

use super::Checker;
use crate::{
    object::Run,
    report::{Problem, ProblemKind, count, grouped},
};

impl Checker<'_> {
    /// Reports repeated lines of an object, and the first line that is out of order.
    pub(super) fn check_order(&mut self, object: usize, runs: &[&Run]) {
        let Some((first, others)) = runs.split_first() else { return };
        let mut before: &Run = first;
        let mut misplaced: Option<(&Run, u64)> = None;
        let mut places = 0u64;
        for (index, run) in others.iter().enumerate() {
            let earlier = runs[..=index].iter().find(|other| other.first <= run.first && other.last >= run.first);
            if let Some(earlier) = earlier {
                if self.reported.insert((object, run.line)) {
                    let last = run.last.min(earlier.last);
                    let what = format!("the same event is at line {} of this object", earlier.line_of(run.first));
                    let problem = Problem::new(ProblemKind::Duplicated, what).at(self.key(object)).line(run.line);
                    self.problems.push(problem.sequences(run.first, last));
                }
                if run.last > before.last {
                    before = run;
                }
                continue;
            }
            let expected = before.last + 1;
            let is_gap = run.first > expected && self.is_missing(expected, run.first - 1);
            if run.first != expected && !is_gap {
                places += 1;
                misplaced.get_or_insert((run, expected));
            }
            before = run;
        }
        if let Some((run, expected)) = misplaced {
            let what = format!(
                "expected sequence {} here: the lines are out of order ({})",
                grouped(expected),
                count(places, "place")
            );
            let problem = Problem::new(ProblemKind::Reordered, what).at(self.key(object)).line(run.line);
            self.problems.push(problem.sequences(run.first, run.first));
        }
    }

    /// Returns whether the chain has none of these sequences.
    fn is_missing(&self, first: u64, last: u64) -> bool {
        let index = self.chain.partition_point(|piece| self.runs[piece.run].run.last < first);
        self.chain.get(index).is_none_or(|piece| piece.from > last)
    }
}
