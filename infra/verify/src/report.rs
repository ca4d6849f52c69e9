//! The answer: the verdict first, then what is wrong and what to do about it. Owns words and formats; what is wrong is
//! found by [`crate::stitch`](mod@crate::stitch).

use std::fmt::{self, Write as _};

use serde::Serialize;

/// What is to be said of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether it is the whole log.
    pub verdict: Verdict,
    /// The verdict in a sentence.
    pub summary: String,
    /// Whose log it is, where anything was delivered.
    pub organisation: Option<String>,
    /// How many delivered objects were read.
    pub objects: u64,
    /// How many lines they have, copies and foreign ones included.
    pub lines: u64,
    /// How many different events of the organisation were found.
    pub events: u64,
    /// The sequence of the first.
    pub first_sequence: Option<u64>,
    /// The sequence of the last.
    pub last_sequence: Option<u64>,
    /// The hash of the last one's line, in hex.
    pub last_hash: Option<String>,
    /// The tail's sequence, where a tail was given.
    pub tail_sequence: Option<u64>,
    /// How many events the tail is ahead of the delivery.
    pub behind: u64,
    /// All that is wrong.
    pub problems: Vec<Problem>,
    /// What is not wrong but good to know.
    pub notes: Vec<String>,
}

/// Whether a delivery is the whole log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Dense, and unbroken, up to the tail where there is one.
    Proven,
    /// As good up to its last event, but the tail is further on.
    Behind,
    /// Something is wrong.
    Broken,
}

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Events are not there.
    Missing,
    /// Events are not there, and the log itself says why.
    MissingExplained,
    /// A line is not what was delivered.
    Changed,
    /// Lines are there but not in order.
    Reordered,
    /// A line is there more than once in one object.
    Duplicated,
    /// An event is there twice with different content.
    Conflict,
    /// An object ends too early.
    Truncated,
    /// The delivery ends before the tail.
    Behind,
    /// The delivery goes on where the log has ended.
    Beyond,
    /// A line is not one of this log.
    ForeignLine,
    /// An object is none of Annals'.
    ForeignObject,
    /// An object has no line.
    EmptyObject,
    /// The tail is not that of this log.
    Tail,
}

impl Kind {
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
        }
    }

    fn next(self) -> &'static str {
        match self {
            Self::Missing => {
                "see who deleted objects (versions and access logs of the bucket), and ask for a replay of these sequences"
            }
            Self::MissingExplained => {
                "nothing was taken away: these events expired in the log before the bucket accepted them; look at when \
                 the destination was failing, and keep events longer"
            }
            Self::Changed | Self::Conflict => {
                "see who wrote the object after its delivery (versions and access logs of the bucket), and ask for a \
                 replay of these sequences: it brings the true lines"
            }
            Self::Reordered | Self::Duplicated => {
                "Annals delivers each line once and in order: see what rewrote the object, and take a fresh copy of it"
            }
            Self::Truncated => "take a fresh copy of the object; if it is the same in the bucket, ask for a replay",
            Self::Behind => {
                "wait for the next delivery, ten minutes, and run again with this tail saved to a file and --tail FILE: \
                 what is missing then is missing for good; look at the destination's status"
            }
            Self::Beyond => "these events were never recorded: see who wrote the object (access logs of the bucket)",
            Self::ForeignLine => "see who wrote to the object; nothing but Annals should be able to",
            Self::ForeignObject => {
                "nothing in it was counted: if the bucket is used for more than this, give the destination's prefix with \
                 --prefix; if it is a renamed delivery, give it its name back"
            }
            Self::EmptyObject => "Annals delivers no empty object: take a fresh copy, then ask for a replay",
            Self::Tail => "ask for the tail of this organisation's log, with a token of this organisation",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What kind.
    pub kind: Kind,
    /// The object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The number of the line in it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The first sequence that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_sequence: Option<u64>,
    /// The last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sequence: Option<u64>,
    /// What is wrong, in words.
    pub what: String,
    /// What to do next.
    pub next: &'static str,
}

impl Problem {
    /// A problem of this kind.
    #[must_use]
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { kind, key: None, line: None, first_sequence: None, last_sequence: None, what, next: kind.next() }
    }

    /// In this object.
    #[must_use]
    pub fn at(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// At this line of its object.
    #[must_use]
    pub fn line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    /// About these sequences.
    #[must_use]
    pub fn sequences(mut self, first: u64, last: u64) -> Self {
        self.first_sequence = Some(first);
        self.last_sequence = Some(last);
        self
    }
}

/// `CHANGED: line 3 of KEY, sequence 7: …`.
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
    /// The report for people, with at most `most` of the problems.
    #[must_use]
    pub fn to_text(&self, most: usize) -> String {
        let mut text = format!("{}\n", self.summary);
        for (number, problem) in self.problems.iter().take(most).enumerate() {
            let _ = write!(text, "\n{}. {problem}\n   Next: {}.\n", number + 1, problem.next);
        }
        let more = self.problems.len().saturating_sub(most);
        if more > 0 {
            let _ = write!(text, "\nAnd {} more; --json has them all.\n", grouped(more as u64));
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        for note in self.notes.iter().take(most) {
            let _ = writeln!(text, "Note: {note}.");
        }
        let more = self.notes.len().saturating_sub(most);
        if more > 0 {
            let _ = writeln!(text, "Note: and {} more; --json has them all.", grouped(more as u64));
        }
        text
    }
}

/// `sequence 7`, or `sequences 7 to 9`.
#[must_use]
pub fn sequences(first: u64, last: u64) -> String {
    if first == last {
        format!("sequence {}", grouped(first))
    } else {
        format!("sequences {} to {}", grouped(first), grouped(last))
    }
}

/// `1 event`, or `2 events`.
#[must_use]
pub fn count(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A number with commas between its thousands.
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
