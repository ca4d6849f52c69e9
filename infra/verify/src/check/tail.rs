//! Compares the end of the chain with the tail of the log.

use annals_core::organisation::OrganisationId;

use super::Checker;
use crate::{
    report::{Problem, ProblemKind, count, grouped},
    source::SourceError,
    tail::{Fetched, Tail},
};

impl Checker<'_> {
    /// Takes the tail into account unless it is another organisation's, which is reported.
    pub(super) fn accept_tail(&mut self, tail: Option<&Tail>, organisation: Option<&str>) {
        let Some(tail) = tail else { return };
        let organisation = organisation.and_then(|organisation| organisation.parse::<OrganisationId>().ok());
        match (tail.id, organisation) {
            (Some(id), Some(organisation)) if !id.is_of(&organisation) => {
                let what = format!("the tail belongs to the log of another organisation than {organisation}");
                self.problems.push(Problem::new(ProblemKind::Tail, what));
            }
            _ => self.tail = Some(tail.clone()),
        }
    }

    /// Compares the chain with the tail. Returns how many events of the log are not delivered yet.
    pub(super) fn compare_with_tail(&mut self) -> Result<u64, SourceError> {
        let Some(tail) = self.tail.clone() else { return Ok(0) };
        let end = self.end();
        let last = end.map_or(0, |(_, run)| run.last);
        if tail.sequence > last {
            if self.are_replaced(last + 1, tail.sequence, end.map(|(run, _)| run), None) {
                return Ok(0);
            }
            let behind = tail.sequence - last;
            self.report_behind(&tail, last, behind);
            return Ok(behind);
        }
        if let (Fetched::Now, Some((run, _)), true) = (tail.fetched, end, tail.sequence < last) {
            let what = format!("the log ends at sequence {}", grouped(tail.sequence));
            let problem = Problem::new(ProblemKind::Beyond, what).at(self.key(self.runs[run].object));
            self.problems.push(problem.sequences(tail.sequence + 1, last));
        }
        let first = self.chain.first().map_or(0, |piece| piece.from);
        if tail.sequence + 1 < first {
            self.notes.push(format!(
                "the tail (sequence {}) is older than every delivered event, so it confirms none of them",
                grouped(tail.sequence)
            ));
        } else if let Some(piece) = self.piece_at(tail.sequence)
            && self.hash_at(piece.run, tail.sequence)? != Some(tail.hash)
        {
            let what = "its hash does not match the tail: the line was changed, or it and the lines before it were \
                        rewritten to match each other";
            self.report_line(ProblemKind::Changed, piece.run, tail.sequence, what);
        }
        Ok(0)
    }

    fn report_behind(&mut self, tail: &Tail, last: u64, behind: u64) {
        let events = count(behind, "event");
        let recorded = tail.timestamp.as_ref().map_or_else(String::new, |time| format!(", recorded at {time}"));
        let what = match tail.fetched {
            Fetched::Now => format!(
                "{events} between the end of the delivery and the tail{recorded}, which was fetched just now: they may \
                 not have been delivered yet"
            ),
            Fetched::Earlier => format!(
                "{events} between the end of the delivery and the saved tail{recorded}: unless the next delivery is \
                 still to come, {} missing",
                if behind == 1 { "it is" } else { "they are" },
            ),
        };
        self.problems.push(Problem::new(ProblemKind::Behind, what).sequences(last + 1, tail.sequence));
    }
}
