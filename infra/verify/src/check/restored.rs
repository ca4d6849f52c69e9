//! Decides which missing events a restore of the log explains. `log.restored` names what was lost, but it excuses no more than
//! what nothing else contradicts.
//!
//! - Annals itself recorded the event: producers cannot (see [`crate::object`]).
//! - The event's line is unaltered, because something signed or supplied confirms it.
//! - The hole ends with the event and begins behind the line whose hash is the event's `previousHash`.
//! - No trusted checkpoint says that the missing events were delivered.
//! - Once a trusted checkpoint of a destination reaches behind the hole, it must name what was lost there, too.

use annals_core::{log::segment::LineHash, proof::checkpoint::Entry};

use super::{Checker, missing::Missing, proven::Proof};
use crate::{
    object::Restore,
    report::{Lost, Problem, ProblemKind, grouped},
    source::SourceError,
};

impl Checker<'_> {
    /// Drops restores whose hole does not begin where the chain says, and reports them.
    pub(super) fn check_restores(&mut self) -> Result<(), SourceError> {
        for restore in std::mem::take(&mut self.restores) {
            let before = match restore.first {
                1 => Some(LineHash::ORIGIN),
                first => self.chain_hash_at(first - 1)?,
            };
            if before.is_none_or(|before| before == restore.previous) {
                self.restores.push(restore);
                continue;
            }
            let what = format!(
                "the event log.restored says that events from sequence {} on were lost, but its previousHash is not the hash \
                 of the line before them",
                grouped(restore.first)
            );
            let problem = Problem::new(ProblemKind::Changed, what);
            self.problems.push(problem.sequences(restore.sequence, restore.sequence));
        }
        Ok(())
    }

    /// Returns which of these missing events a restore lost, in order, each with what says so. With a proof only what it
    /// confirms counts.
    pub(super) fn lost(&self, missing: Missing, proof: Option<&Proof>) -> Vec<Lost> {
        let mut lost = Vec::new();
        for restore in &self.restores {
            if proof.is_some_and(|proof| !proof.confirms(restore.sequence)) {
                continue;
            }
            let (first, last) = (restore.first.max(missing.first), (restore.sequence - 1).min(missing.last));
            for (first, last) in self.not_delivered(first, last, restore) {
                let sequence = restore.sequence;
                lost.push(Lost { first_sequence: first, last_sequence: last, restored_sequence: sequence });
            }
        }
        lost.sort_by_key(|lost| lost.first_sequence);
        lost
    }

    /// Returns the parts of `first` to `last` of which no trusted checkpoint says that they were delivered. If one of a
    /// destination reaches behind the hole, only the parts that checkpoints call lost.
    fn not_delivered(&self, first: u64, last: u64, restore: &Restore) -> Vec<(u64, u64)> {
        if first > last {
            return Vec::new();
        }
        let links = || self.judgement.links.iter().filter(|_| self.judgement.confirms);
        let entries = || links().flat_map(|link| link.entries);
        let mut parts = vec![(first, last)];
        let reaches_behind = |link: &crate::trust::Link<'_>| {
            link.checkpoint.delivered.is_some() && link.checkpoint.last >= restore.sequence
        };
        if links().any(reaches_behind) {
            let named = entries().filter_map(|entry| match entry {
                Entry::Lost { sequences, .. } => Some((*sequences.start(), *sequences.end())),
                _ => None,
            });
            parts = named.filter_map(|named| overlap(named, (first, last))).collect();
            parts.sort_unstable();
            parts.dedup();
        }
        for entry in entries() {
            if let Entry::Object(object) = entry {
                let delivered = (*object.sequences.start(), *object.sequences.end());
                parts = parts.into_iter().flat_map(|part| without(part, delivered)).collect();
            }
        }
        parts
    }
}

fn overlap(one: (u64, u64), other: (u64, u64)) -> Option<(u64, u64)> {
    let both = (one.0.max(other.0), one.1.min(other.1));
    (both.0 <= both.1).then_some(both)
}

/// Returns what is left of `part` without `taken`.
fn without(part: (u64, u64), taken: (u64, u64)) -> Vec<(u64, u64)> {
    if overlap(part, taken).is_none() {
        return vec![part];
    }
    let before = (part.0 < taken.0).then(|| (part.0, taken.0 - 1));
    let behind = (taken.1 < part.1).then(|| (taken.1 + 1, part.1));
    before.into_iter().chain(behind).collect()
}
