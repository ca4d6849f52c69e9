//! Compares the end of the chain with the tail of the log, and with the state of an earlier run.

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
        let Some(organisation) = organisation else {
            self.tail = Some(tail.clone());
            return;
        };
        let is_foreign = tail.id.is_some_and(|id| !id.is_of(&organisation))
            || tail.organisation.as_ref().is_some_and(|other| *other != organisation);
        if is_foreign {
            let what = format!("the tail belongs to the log of another organisation than {organisation}");
            self.problems.push(Problem::new(ProblemKind::Tail, what));
        } else {
            self.tail = Some(tail.clone());
        }
    }

    /// Reports a state of another organisation.
    pub(super) fn accept_state(&mut self, organisation: Option<&str>) {
        let Some(state) = &self.expected.state else { return };
        let stated = state.organisation.as_str();
        let has_lines = self.objects.iter().any(|object| !object.summary.runs.is_empty());
        if organisation != Some(stated) || has_lines && self.runs.is_empty() {
            let what = format!("the state of an earlier run is of the organisation {stated}, and these events are not");
            self.problems.push(Problem::new(ProblemKind::State, what));
        }
    }

    /// Checks that the chain reaches as far as an earlier run has proven.
    pub(super) fn compare_with_state(&mut self) -> Result<(), SourceError> {
        let Some(state) = self.expected.state.clone() else { return Ok(()) };
        if self.chain.is_empty() {
            let signed = self.judgement.links.iter().map(|link| link.checkpoint.last).max();
            if let Some(last) = signed.filter(|last| self.judgement.confirms && *last < state.last) {
                let what = format!(
                    "the checkpoints end at sequence {}, but an earlier run has proven the log up to sequence {}",
                    grouped(last),
                    grouped(state.last)
                );
                self.problems.push(Problem::new(ProblemKind::State, what));
            }
            return Ok(());
        }
        let end = self.end();
        let last = end.map_or(0, |(_, run)| run.last);
        if last < state.last {
            // A delivery that begins right after the state may have nothing new.
            self.add_missing(last + 1, state.last, end.map(|(run, _)| run), None);
        } else if let Some(piece) = self.piece_at(state.last)
            && self.hash_at(piece.run, state.last)? != Some(state.hash)
        {
            let what = "its hash is not the one that an earlier run has proven: the line was changed, or it and the lines \
                        before it were rewritten to match each other";
            self.report_line(ProblemKind::Changed, piece.run, state.last, what);
        }
        Ok(())
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
