//! The report: first the verdict, then each problem and what to do about it, as text and as JSON. Finds no problems:
//! that is [`crate::check`](mod@crate::check).

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::{
    line,
    state::{SeenCheckpoint, State},
};

/// The result of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub verdict: Verdict,
    /// The verdict as a sentence.
    pub summary: String,
    /// The organisation whose log was delivered; `None` if there are no events.
    pub organisation: Option<String>,
    /// How many delivered objects were read.
    pub objects: u64,
    /// How many lines they have, copies and foreign lines included.
    pub lines: u64,
    /// How many different events of the organisation they contain.
    pub events: u64,
    pub first_sequence: Option<u64>,
    pub last_sequence: Option<u64>,
    /// The hash of the last line, in hex.
    pub last_hash: Option<String>,
    pub tail_sequence: Option<u64>,
    /// How many events the tail is ahead of the delivery.
    pub behind: u64,
    /// How many checkpoints are trusted or, without keys, here.
    pub checkpoints: u64,
    /// The newest trusted checkpoint.
    pub newest_checkpoint: Option<SeenCheckpoint>,
    /// The keys that have signed it, as a note names them.
    pub signers: Vec<String>,
    /// What is proven, in order: these events are all there, and unaltered. Empty if there are problems.
    pub proven: Vec<Proven>,
    /// The time that the proof is about.
    pub as_of: Option<String>,
    /// The events of which nothing more is known than that they follow one another. Empty if there are problems.
    pub unconfirmed: Vec<Unconfirmed>,
    /// What was lost when the log was restored to an earlier copy. It was never delivered and is not in the log any more.
    pub lost: Vec<Lost>,
    /// Whether it is proven that there are no events.
    #[serde(skip)]
    pub is_proven_empty: bool,
    /// How many objects were skipped because they are known not to be data.
    pub skipped: u64,
    pub problems: Vec<Problem>,
    /// What is not a problem but worth knowing.
    pub notes: Vec<String>,
}

/// Events that are proven to be complete and unaltered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proven {
    pub first_sequence: u64,
    pub last_sequence: u64,
    /// The hash of the last line, in hex.
    pub last_hash: String,
    /// What confirms that nothing is missing at the beginning.
    pub beginning: String,
    /// What confirms the last line, and by its hash all lines before it.
    pub end: String,
}

/// Events that follow one another, and that nothing confirms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unconfirmed {
    pub first_sequence: u64,
    pub last_sequence: u64,
    pub why: String,
}

/// Sequences that were lost when the log was restored to an earlier copy. Not all of them had events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lost {
    pub first_sequence: u64,
    pub last_sequence: u64,
    /// The sequence of the event `log.restored` that says so.
    pub restored_sequence: u64,
}

/// Whether a delivery is the whole log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All events that are here are proven to be complete and unaltered.
    Proven,
    /// Nothing is wrong, but some events are not confirmed by anything that is signed or supplied.
    Consistent,
    /// The tail is further on than the delivery.
    Behind,
    /// There is a problem.
    #[default]
    Broken,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    Missing,
    /// Events are missing, and the log itself explains why.
    MissingExplained,
    Changed,
    Reordered,
    /// An object contains a line more than once.
    Duplicated,
    /// Two copies of an event differ.
    Conflict,
    /// An object ends too early.
    Truncated,
    /// The delivery ends before the tail.
    Behind,
    /// The delivery has events after the end of the log.
    Beyond,
    /// A line does not belong to this log.
    ForeignLine,
    /// Annals did not write an object.
    ForeignObject,
    EmptyObject,
    /// The tail does not belong to this log.
    Tail,
    /// A checkpoint is damaged, of somebody else, not trusted, or missing.
    Checkpoint,
    /// No checkpoint is signed by the supplied key.
    Unsigned,
    /// The newest checkpoint is too old.
    Silence,
    /// The delivery contradicts what an earlier run has proven.
    State,
    /// A line was invented.
    Forged,
}

impl ProblemKind {
    fn title(self) -> &'static str {
        match self {
            Self::Missing | Self::MissingExplained => "MISSING",
            Self::Changed => "CHANGED",
            Self::Reordered => "REORDERED",
            Self::Duplicated => "DUPLICATED",
            Self::Conflict => "TWO VERSIONS",
            Self::Truncated => "TRUNCATED",
            Self::Behind => "BEHIND THE TAIL",
            Self::Beyond => "BEYOND THE TAIL",
            Self::ForeignLine => "FOREIGN LINE",
            Self::ForeignObject => "FOREIGN OBJECT",
            Self::EmptyObject => "EMPTY OBJECT",
            Self::Tail => "TAIL",
            Self::Checkpoint => "CHECKPOINT",
            Self::Unsigned => "NOT SIGNED",
            Self::Silence => "NO RECENT CHECKPOINT",
            Self::State => "STATE",
            Self::Forged => "FORGED",
        }
    }

    fn next(self) -> &'static str {
        match self {
            Self::Missing => {
                "find out who deleted objects (object versions and access logs of the bucket), and request a replay of \
                 these sequences"
            }
            Self::MissingExplained => {
                "nobody deleted anything: these events expired in the log before the bucket accepted them; find out when \
                 the destination was failing, and increase the retention; to check only what comes after them, use --first"
            }
            Self::Changed | Self::Conflict => {
                "find out who wrote the object after its delivery (object versions and access logs of the bucket), and \
                 request a replay of these sequences to get the original lines"
            }
            Self::Reordered | Self::Duplicated => {
                "Annals delivers each line once and in order: find out what rewrote the object, and download it again"
            }
            Self::Truncated => "download the object again; if it is the same in the bucket, request a replay",
            Self::Behind => {
                "save this tail to a file, wait ten minutes for the next delivery, and run again with --tail FILE: events \
                 that are still missing then are lost; check the destination's status"
            }
            Self::Beyond => {
                "these events were never recorded: find out who wrote the object (access logs of the bucket)"
            }
            Self::ForeignLine => "find out who wrote to the object; only Annals should be able to",
            Self::ForeignObject => {
                "the object was not used: if the bucket is also used for something else, pass the destination's prefix with \
                 --prefix, or ignore the object with --ignore"
            }
            Self::EmptyObject => {
                "Annals delivers no empty objects: download it again; if it is empty in the bucket, request a replay"
            }
            Self::Tail => "fetch the tail again, with a token of this organisation",
            Self::Checkpoint => {
                "find out who wrote or deleted objects (object versions and access logs of the bucket); if a checkpoint is \
                 not of this log, delete it or ignore it with --ignore"
            }
            Self::Unsigned => {
                "compare your key with GET /keys of the API, pass the destination's prefix, or save GET /audit/checkpoint \
                 and pass it with --tail"
            }
            Self::Silence => {
                "check the destination's status; to check an archive, pass the time that the proof must be about with --as-of"
            }
            Self::State => {
                "find out who deleted or replaced objects (object versions and access logs of the bucket); to begin anew, \
                 use another state file"
            }
            Self::Forged => {
                "this event was never recorded: find out who wrote the object (object versions and access logs of the bucket)"
            }
        }
    }
}

/// One problem, where it is, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    pub kind: ProblemKind,
    /// The key of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The number of the line in the object, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The first sequence concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_sequence: Option<u64>,
    /// The last sequence concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sequence: Option<u64>,
    pub what: String,
    pub next: &'static str,
}

impl Problem {
    /// Creates a problem that has no place yet.
    #[must_use]
    pub fn new(kind: ProblemKind, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { kind, key: None, line: None, first_sequence: None, last_sequence: None, what, next: kind.next() }
    }

    /// Sets the key of the object.
    #[must_use]
    pub fn at(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Sets the line number.
    #[must_use]
    pub fn line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    /// Sets the sequences concerned.
    #[must_use]
    pub fn sequences(mut self, first: u64, last: u64) -> Self {
        self.first_sequence = Some(first);
        self.last_sequence = Some(last);
        self
    }
}

/// Writes `CHANGED: line 3 of KEY, sequence 7: …`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut place = String::new();
        match (&self.key, self.line) {
            (Some(key), Some(line)) => write!(place, "line {line} of {key}")?,
            (Some(key), None) => place.push_str(key),
            _ => {}
        }
        if let (Some(first), Some(last)) = (self.first_sequence, self.last_sequence) {
            let comma = if place.is_empty() { "" } else { ", " };
            write!(place, "{comma}{}", sequences(first, last))?;
        }
        let colon = if place.is_empty() { "" } else { ": " };
        write!(f, "{}: {place}{colon}{}", self.kind.title(), self.what)
    }
}

impl Report {
    /// Sorts the problems, and derives the verdict and the summary from the other fields.
    #[must_use]
    pub fn conclude(mut self) -> Self {
        self.problems.sort_by(|one, other| {
            let place = |problem: &Problem| (problem.first_sequence.unwrap_or(u64::MAX), problem.kind);
            (place(one), &one.key, one.line).cmp(&(place(other), &other.key, other.line))
        });
        self.verdict = match self.problems.as_slice() {
            [] if self.unconfirmed.is_empty() && (self.is_proven_empty || !self.proven.is_empty()) => Verdict::Proven,
            [] => Verdict::Consistent,
            problems if problems.iter().all(|problem| problem.kind == ProblemKind::Behind) => Verdict::Behind,
            _ => Verdict::Broken,
        };
        // A problem in one place can be the reason that everything looks fine in another.
        if !self.problems.is_empty() {
            self.proven.clear();
            self.unconfirmed.clear();
            self.as_of = None;
        }
        self.summary = self.summarise();
        self
    }

    fn summarise(&self) -> String {
        let events = match (self.first_sequence, self.last_sequence) {
            (Some(first), Some(last)) => format!("{}, {}", count(self.events, "event"), sequences(first, last)),
            _ => "no events".to_owned(),
        };
        let as_of = self.describe_as_of();
        match self.verdict {
            Verdict::Broken => {
                let problems = count(self.problems.len() as u64, "problem");
                format!("NOT PROVEN: {problems} in {} with {events}.", count(self.objects, "object"))
            }
            Verdict::Behind => {
                let behind = self.problems.iter().filter(|problem| problem.kind == ProblemKind::Behind);
                let tail = grouped(behind.filter_map(|problem| problem.last_sequence).max().unwrap_or(0));
                format!("NOT PROVEN YET: {events}, but the log goes on to sequence {tail}.")
            }
            Verdict::Proven if self.proven.is_empty() => format!("Proven: {events}, none missing{as_of}."),
            Verdict::Proven if self.proven.len() > 1 => {
                let ranges = self.proven.iter().map(|proven| sequences(proven.first_sequence, proven.last_sequence));
                let ranges = ranges.collect::<Vec<_>>().join(" and ");
                format!("Proven: {ranges}, none missing within them, none altered{as_of}.")
            }
            Verdict::Proven => format!("Proven: {events}, none missing, none altered{as_of}."),
            Verdict::Consistent if self.proven.is_empty() => {
                format!("CONSISTENT, NOT PROVEN: nothing is wrong with {events}, but they are not proven.")
            }
            Verdict::Consistent => format!(
                "CONSISTENT, NOT PROVEN: nothing is wrong with {events}, but only {} proven.",
                match self.proven.as_slice() {
                    [one] if one.first_sequence == one.last_sequence => {
                        format!("{} is", sequences(one.first_sequence, one.last_sequence))
                    }
                    proven => {
                        let ranges = proven.iter().map(|proven| sequences(proven.first_sequence, proven.last_sequence));
                        format!("{} are", ranges.collect::<Vec<_>>().join(" and "))
                    }
                }
            ),
        }
    }

    /// Says at which time the log was as it is here.
    fn describe_as_of(&self) -> String {
        match &self.as_of {
            Some(time) => format!(", as of {time}"),
            None => ", as of a time that nothing states".to_owned(),
        }
    }

    /// Writes what is proven and by what, and what is not confirmed.
    fn describe_proof(&self, text: &mut String) {
        for Lost { first_sequence, last_sequence, restored_sequence } in &self.lost {
            let _ = writeln!(
                text,
                "  Lost: {}, when the log was restored to an earlier copy, according to the event log.restored at sequence {}. \
                 What of them had been recorded and not delivered is lost for good.",
                sequences(*first_sequence, *last_sequence),
                grouped(*restored_sequence)
            );
        }
        if self.verdict == Verdict::Consistent && !self.proven.is_empty() {
            let ranges = self.proven.iter().map(|proven| sequences(proven.first_sequence, proven.last_sequence));
            let ranges = ranges.collect::<Vec<_>>().join(" and ");
            let as_of = self.describe_as_of();
            let _ = writeln!(text, "  Proven: {ranges}, none missing, none altered{as_of}.");
        }
        for proven in &self.proven {
            let _ = writeln!(text, "  From sequence {}: {}.", grouped(proven.first_sequence), proven.beginning);
            let _ = writeln!(text, "  To sequence {}: {}.", grouped(proven.last_sequence), proven.end);
        }
        if let (Some(newest), [_, ..], [_, ..]) =
            (&self.newest_checkpoint, self.signers.as_slice(), self.proven.as_slice())
        {
            let _ = writeln!(text, "  Newest checkpoint: {}, signed by {}.", newest.time, self.signers.join(" and "));
        }
        for Unconfirmed { first_sequence, last_sequence, why } in &self.unconfirmed {
            let _ = writeln!(text, "  Not confirmed: {}: {why}.", sequences(*first_sequence, *last_sequence));
        }
        if self.verdict == Verdict::Consistent && self.newest_checkpoint.is_none() && self.tail_sequence.is_none() {
            text.push_str(
                "  To confirm the end, pass the public key of the checkpoints with --key, or the log's tail with --tail or \
                 --tail-url.\n",
            );
        }
    }

    /// Returns the state to store for the next run, given the one of the run before: how far the log is proven. `None` if this
    /// run has proven nothing.
    #[must_use]
    pub fn state(&self, before: Option<State>) -> Option<State> {
        let organisation = self.organisation.as_ref()?.parse().ok()?;
        let seen = before.as_ref().and_then(|before| before.checkpoint.clone());
        let checkpoint = self.newest_checkpoint.clone().or(seen);
        match (self.verdict, self.proven.last()) {
            (Verdict::Proven | Verdict::Consistent, Some(proven)) => {
                let before = before.filter(|before| proven.first_sequence <= before.last + 1);
                let first = before.map_or(u64::MAX, |before| before.first).min(proven.first_sequence);
                let hash = line::hash(&proven.last_hash)?;
                Some(State { organisation, first, last: proven.last_sequence, hash, checkpoint })
            }
            // Nothing new.
            (Verdict::Proven, None) => before.map(|before| State { checkpoint, ..before }),
            _ => None,
        }
    }

    /// Formats the report as text, with at most `limit` problems and `limit` notes.
    #[must_use]
    pub fn to_text(&self, limit: usize) -> String {
        let mut text = format!("{}\n", self.summary);
        self.describe_proof(&mut text);
        for (number, problem) in self.problems.iter().take(limit).enumerate() {
            let _ = write!(text, "\n{}. {problem}\n   Next: {}.\n", number + 1, problem.next);
        }
        let more = self.problems.len().saturating_sub(limit);
        if more > 0 {
            let _ = write!(text, "\nAnd {} more: use --json to see all.\n", grouped(more as u64));
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        for note in self.notes.iter().take(limit) {
            let _ = writeln!(text, "Note: {note}.");
        }
        let more = self.notes.len().saturating_sub(limit);
        if more > 0 {
            let _ = writeln!(text, "Note: and {} more: use --json to see all.", grouped(more as u64));
        }
        text
    }
}

/// Returns `sequence 7` or `sequences 7 to 9`.
#[must_use]
pub fn sequences(first: u64, last: u64) -> String {
    if first == last {
        format!("sequence {}", grouped(first))
    } else {
        format!("sequences {} to {}", grouped(first), grouped(last))
    }
}

/// Returns `1 event` or `2 events`.
#[must_use]
pub fn count(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// Formats a number with commas between its thousands.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!([0, 7, 999, 1000, 1_234_567].map(grouped), ["0", "7", "999", "1,000", "1,234,567"]);
        assert_eq!((count(1, "event"), count(1000, "event")), ("1 event".into(), "1,000 events".into()));
    }
}
