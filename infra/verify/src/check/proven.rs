//! Says which lines are inside a proof, because both its ends are signed or supplied, and which ones are only consistent.

use annals_core::{log::segment::LineHash, proof::checkpoint::Entry};

use super::{Checker, Joint};
use crate::{
    AsOf,
    object::Summary,
    report::{Proven, Unconfirmed, count, grouped},
    source::SourceError,
    tail::Fetched,
};

/// The hash of a line, and who states it.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) hash: LineHash,
    pub(super) by: String,
}

/// What is proven, as far as nothing is wrong.
#[derive(Debug, Default)]
pub(super) struct Proof {
    pub(super) proven: Vec<Proven>,
    pub(super) unconfirmed: Vec<Unconfirmed>,
    pub(super) as_of: Option<String>,
    /// Whether something confirms that the chain begins with its first line.
    pub(super) is_beginning_known: bool,
    /// Whether something confirms that there are no events.
    pub(super) is_empty: bool,
    /// The stretches whose lines are unaltered, whatever is known of their beginning.
    unaltered: Vec<(u64, u64)>,
}

impl Proof {
    /// Returns whether the line with this sequence is what Annals recorded.
    pub(super) fn confirms(&self, sequence: u64) -> bool {
        self.unaltered.iter().any(|(first, last)| (*first..=*last).contains(&sequence))
    }
}

/// Lines that follow one another.
struct Stretch {
    first: u64,
    last: u64,
    /// Whether the first line has the hash that the caller or a trusted checkpoint states for the line before it, or is the
    /// first of the log.
    continues: bool,
}

impl Checker<'_> {
    /// Returns the first sequence that the caller asks about.
    pub(super) fn stated_first(&self) -> Option<u64> {
        self.expected.first.or(self.expected.state.as_ref().map(|state| state.last + 1))
    }

    /// Returns the sequence that the chain must not begin after.
    pub(super) fn required_first(&self) -> Option<u64> {
        self.stated_first().or(self.judgement.first)
    }

    /// Divides the chain into what is proven and what is not.
    pub(super) fn prove(&mut self) -> Result<Proof, SourceError> {
        let mut proof = Proof::default();
        for (index, stretch) in self.stretches().into_iter().enumerate() {
            let end = self.confirmed_end(&stretch)?;
            if let Some((last, ..)) = &end {
                proof.unaltered.push((stretch.first, *last));
            }
            let beginning = self.beginning(&stretch, index == 0);
            proof.is_beginning_known |= index == 0 && beginning.is_some();
            let (from, last) = match (beginning, end) {
                (Some((from, beginning)), Some((last, end))) if from <= last => {
                    let last_hash = end.hash.to_string();
                    let (first_sequence, last_sequence, end) = (from, last, end.by);
                    proof.proven.push(Proven { first_sequence, last_sequence, last_hash, beginning, end });
                    (from, last)
                }
                (None, Some((last, _))) => {
                    let why = format!(
                        "unaltered, because the hash of sequence {} is confirmed, but nothing confirms that none is missing \
                         before sequence {}",
                        grouped(last),
                        grouped(stretch.first)
                    );
                    proof.unconfirmed.push(Unconfirmed { first_sequence: stretch.first, last_sequence: last, why });
                    (last + 1, last)
                }
                _ => {
                    let why = "without gaps, but not confirmed by anything that is signed or supplied".to_owned();
                    let (first_sequence, last_sequence) = (stretch.first, stretch.last);
                    proof.unconfirmed.push(Unconfirmed { first_sequence, last_sequence, why });
                    continue;
                }
            };
            if stretch.first < from && from <= last {
                let why = format!("before sequence {}, where the proof begins", grouped(from));
                let (first_sequence, last_sequence) = (stretch.first, from - 1);
                proof.unconfirmed.push(Unconfirmed { first_sequence, last_sequence, why });
            }
            if last < stretch.last {
                let why = format!("behind sequence {}, the last one that is confirmed", grouped(last));
                let (first_sequence, last_sequence) = (last + 1, stretch.last);
                proof.unconfirmed.push(Unconfirmed { first_sequence, last_sequence, why });
            }
        }
        proof.unconfirmed.sort_by_key(|unconfirmed| unconfirmed.first_sequence);
        let before = self.required_first().unwrap_or(1).saturating_sub(1);
        let last = proof.proven.last().map_or(before, |proven| proven.last_sequence);
        let as_of = self.as_of(last);
        proof.is_empty = self.chain.is_empty() && as_of.is_some();
        proof.as_of = as_of.filter(|time| !time.is_empty());
        Ok(proof)
    }

    /// Adds the events that say more than their lines do, and something else than this version derives from them, unless a
    /// trusted checkpoint signs their object. Their lines may be proven all the same.
    pub(super) fn doubt_underived(&self, proof: &mut Proof) {
        for delivered in self.objects {
            let (Some(first), Some(last)) = (delivered.summary.underived.first(), delivered.summary.underived.last())
            else {
                continue;
            };
            if self.is_signed(&delivered.summary) {
                continue;
            }
            let events = delivered.summary.underived.len() as u64;
            let (has, it, line) =
                if events == 1 { ("has its line", "it", "line") } else { ("have their lines", "them", "lines") };
            let why = format!(
                "{} in {} {has}, but what else is in {it} does not follow from the {line}, or another version of Annals \
                 derived it, and no trusted checkpoint signs the object",
                count(events, "event"),
                delivered.key
            );
            proof.unconfirmed.push(Unconfirmed { first_sequence: *first, last_sequence: *last, why });
        }
    }

    /// Returns whether a trusted checkpoint signs an object with exactly these bytes.
    fn is_signed(&self, summary: &Summary) -> bool {
        let Some(found) = summary.fingerprint else { return false };
        let entries = self.judgement.links.iter().filter(|_| self.judgement.confirms).flat_map(|link| link.entries);
        let signed = entries.filter_map(|entry| match entry {
            Entry::Object(object) => object.content,
            _ => None,
        });
        let mut signed = signed.map(|content| (content.sha256, content.bytes));
        signed.any(|signed| signed == (found.sha256, found.bytes))
    }

    /// Returns the stretches of lines that follow one another, in order.
    fn stretches(&self) -> Vec<Stretch> {
        let mut stretches: Vec<Stretch> = Vec::new();
        for piece in &self.chain {
            let last = self.runs[piece.run].run.last;
            match stretches.last_mut() {
                Some(stretch) if stretch.last + 1 == piece.from && piece.joint == Joint::Fits => stretch.last = last,
                _ => {
                    let is_stated = piece.from == 1 || self.points.contains_key(&(piece.from - 1));
                    let continues = is_stated && piece.joint == Joint::Fits;
                    stretches.push(Stretch { first: piece.from, last, continues });
                }
            }
        }
        stretches
    }

    /// Returns the last sequence of a stretch that something confirms, and what does.
    fn confirmed_end(&mut self, stretch: &Stretch) -> Result<Option<(u64, Point)>, SourceError> {
        let points: Vec<(u64, Point)> =
            self.points.range(stretch.first..=stretch.last).rev().map(|(last, point)| (*last, point.clone())).collect();
        for (last, point) in points {
            if self.chain_hash_at(last)? == Some(point.hash) {
                return Ok(Some((last, point)));
            }
        }
        Ok(None)
    }

    /// Returns the sequence from which on nothing can be missing at the beginning of a stretch, and why.
    fn beginning(&self, stretch: &Stretch, is_first: bool) -> Option<(u64, String)> {
        let first = stretch.first;
        if first == 1 && stretch.continues {
            return Some((1, "the beginning of the log".into()));
        }
        let signed = self.judgement.links.iter().filter(|_| self.judgement.confirms);
        let signed = signed.filter_map(|link| link.checkpoint.delivered.as_ref());
        let signed = signed.filter(|delivered| (first..=stretch.last).contains(&delivered.first));
        let signed = signed.min_by_key(|delivered| delivered.first);
        let signed = signed.map(|delivered| {
            (delivered.first, format!("the signed beginning of the destination {}", delivered.destination))
        });
        if let Some(signed) = signed.as_ref().filter(|(signed, _)| *signed == first) {
            return Some(signed.clone());
        }
        if let Some(state) = &self.expected.state {
            let is_before = first <= state.last && stretch.last >= state.last;
            if (is_before && first >= state.first) || (first == state.last + 1 && stretch.continues) {
                return Some((first, "the state of an earlier run".into()));
            }
            if is_before {
                return Some((state.first, "the state of an earlier run".into()));
            }
        }
        if let Some(stated) = self.expected.first.filter(|stated| (first..=stretch.last).contains(stated)) {
            return Some((stated, "--first".into()));
        }
        // What is missing before it is reported; it has an explanation or is a problem.
        let before = self.missing.iter().find(|missing| missing.last + 1 == first);
        if before.is_some_and(|missing| self.is_lost(*missing)) {
            return Some((first, "the end of what was lost when the log was restored".into()));
        }
        if !is_first && before.is_some_and(|missing| self.is_explained(*missing)) {
            return Some((first, "the end of a gap that has an explanation".into()));
        }
        signed
    }

    /// Returns the time that the proof is about: of the newest that confirms the last proven
    /// line. Empty if it is unknown, because the tail is that of a log without events.
    fn as_of(&self, last: u64) -> Option<String> {
        let links = self.judgement.links.iter().filter(|_| self.judgement.confirms);
        let checkpoint = links.filter(|link| link.checkpoint.last == last).map(|link| link.checkpoint.time).max();
        let tail = self.tail.as_ref().filter(|tail| tail.sequence == last);
        let tail = tail.map(|tail| match (tail.fetched, self.expected.as_of) {
            (Fetched::Now, Some(AsOf::Now(now))) => now.to_string(),
            _ => tail.timestamp.clone().unwrap_or_default(),
        });
        checkpoint.map(|time| time.to_string()).max(tail)
    }
}
