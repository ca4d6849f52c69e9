//! What a checkpoint says, and its text.
//!
//! The text is a tlog-checkpoint (<https://c2sp.org/tlog-checkpoint>): three lines that other programs understand, followed
//! by lines of our own. `destination` and what follows it are in the checkpoints of a destination, which are stored in the
//! customer's bucket, and not in the checkpoint of a log, which the API returns.
//!
//! ```text
//! annals.example.com/acme                     the signer's name and the organisation
//! 7110                                        the last sequence that is covered
//! MbnuSoMLdVgOOea9Y1bUBST8uGg+Z88JQpDaMG5+4jU= SHA-256 of that event's line, in base64
//! time 2026-11-22T10:10:00.000Z               when this was true
//! log 7112                                    the last sequence of the log at that time
//! destination k3x9a0bqk3x9
//! first 12                                    the first sequence that the destination gets
//! previous 5f0e…                              SHA-256 of the previous checkpoint of the destination, or "none"
//! next-key annals.example.com+…               the key that signs from the next checkpoint on
//! expired 15-17                               events that expired before they could be delivered
//! lost 18-90 c417…                            events that a restore lost, and SHA-256 of the line before them, or "-"
//! object 12-14 9b1c… 442 2026-11/22/….json    an object: its sequences, SHA-256, size in bytes and key
//! ```
//!
//! restored registry                           records of deliveries and checkpoints since the previous one are lost
//! moved old-bucket new-bucket                 the objects of the lines that follow are in another bucket than those before
//! unrecorded 91-97                            events whose deliveries have no record, because a restore lost it
//!
//! These stand for what happened since the previous checkpoint, in the order of deliveries. If an object's
//! content is unknown, because its delivery was confirmed by nothing but the existence of its key, SHA-256 and size are `-`.
//! If there are too many of these lines for one message, they are a file of their own beside the checkpoint, and the
//! checkpoint names it: `entries SHA256 COUNT KEY`.

use std::{fmt::Write as _, ops::RangeInclusive};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

use super::{
    key::{SignerName, VerifierKey},
    signer::MESSAGE_MAX_BYTES,
};
use crate::{
    destination::{BucketName, DestinationId},
    log::segment::LineHash,
    organisation::OrganisationId,
    time::Timestamp,
};

/// The largest sequence: an event's id has 40 bits for it.
pub const MAX_SEQUENCE: u64 = (1 << 40) - 1;
/// The folder of a destination's checkpoints, below its prefix. It lies apart from the events, because crawlers read whole
/// folders.
pub const FOLDER: &str = "annals-checkpoints/";
/// What a restore took back, in the line of [`Entry::Restored`].
const REGISTRY: &str = "registry";
/// The end of a checkpoint's key.
pub const EXTENSION: &str = ".checkpoint";
/// The end of the key of a checkpoint's entries, if they are a file of their own.
pub const ENTRIES_EXTENSION: &str = ".entries";

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub signer: SignerName,
    pub organisation: OrganisationId,
    /// The last sequence that is covered. In the checkpoint of a destination the last one that was delivered.
    pub last: u64,
    /// The hash of the line with that sequence; [`LineHash::ORIGIN`] if there is no event.
    pub hash: LineHash,
    pub time: Timestamp,
    /// `None` in the checkpoint of a log.
    pub delivered: Option<Delivered>,
}

/// What was delivered to a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The last sequence of the log at the checkpoint's time.
    pub log_last: u64,
    pub destination: DestinationId,
    /// The sequence of the first event that the destination gets.
    pub first: u64,
    /// SHA-256 of the destination's previous checkpoint, signatures included. `None` in the first one.
    pub previous: Option<[u8; 32]>,
    /// The key that signs from the next checkpoint on.
    pub next_key: Option<VerifierKey>,
    pub entries: Entries,
}

/// What happened since the destination's previous checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entries {
    Here(Vec<Entry>),
    /// In a file of their own.
    Elsewhere {
        sha256: [u8; 32],
        count: u64,
        /// The file's key, prefix included.
        key: String,
    },
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Events expired before they could be delivered.
    Expired(RangeInclusive<u64>),
    /// Events were lost when the log's table was restored to an earlier copy. Those that were delivered before are in earlier
    /// objects.
    Lost {
        sequences: RangeInclusive<u64>,
        /// The hash of the line before them, as it was delivered; `None` if it is unknown.
        after: Option<LineHash>,
    },
    Object(SignedObject),
    /// The registry's table was restored to an earlier copy, which has the checkpoint before this one as the last one. Others
    /// may have been put meanwhile: they stay true, but this one does not lead back to them.
    Restored,
    /// The destination moved to another bucket, which has the objects of the entries that follow.
    Moved {
        from: BucketName,
        to: BucketName,
    },
    /// Events were delivered before such a restore, and the records of their deliveries are lost.
    Unrecorded(RangeInclusive<u64>),
}

/// An object that was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedObject {
    /// The sequences of its events.
    pub sequences: RangeInclusive<u64>,
    /// `None` if it is unknown.
    pub content: Option<SignedContent>,
    /// The key, prefix included.
    pub key: String,
}

/// The content of an object as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedContent {
    pub sha256: [u8; 32],
    pub bytes: u64,
}

/// The text is not a checkpoint that Annals writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the checkpoint {reason}")]
pub struct CheckpointError {
    /// Counted from 1.
    pub line: usize,
    pub reason: &'static str,
}

impl Checkpoint {
    /// Returns the first line, which identifies the log among all logs.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}/{}", self.signer, self.organisation)
    }

    /// Returns the text that is signed. Each line ends with a newline.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text =
            format!("{}\n{}\n{}\ntime {}\n", self.origin(), self.last, STANDARD.encode(self.hash.0), self.time);
        let Some(delivered) = &self.delivered else { return text };
        let previous = delivered.previous.map_or_else(|| "none".to_owned(), hex::encode);
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "log {}\ndestination {}\nfirst {}\nprevious {previous}\n",
            delivered.log_last, delivered.destination, delivered.first
        );
        if let Some(key) = &delivered.next_key {
            let _ = writeln!(text, "next-key {key}");
        }
        match &delivered.entries {
            Entries::Here(entries) => text += &entries_text(entries),
            Entries::Elsewhere { sha256, count, key } => {
                let _ = writeln!(text, "entries {} {count} {key}", hex::encode(sha256));
            }
        }
        text
    }

    /// Moves the entries to a file with the key `key` if the text would be too long for one message to sign. Returns that
    /// file's content.
    pub fn outsource_entries(&mut self, key: &str) -> Option<String> {
        if self.text().len() <= MESSAGE_MAX_BYTES {
            return None;
        }
        let delivered = self.delivered.as_mut()?;
        let Entries::Here(entries) = &delivered.entries else { return None };
        let text = entries_text(entries);
        let sha256 = Sha256::digest(text.as_bytes()).into();
        delivered.entries = Entries::Elsewhere { sha256, count: entries.len() as u64, key: key.to_owned() };
        Some(text)
    }

    /// Parses the text of a checkpoint, without its signatures.
    ///
    /// # Errors
    /// Returns an error if the text is not exactly what [`Checkpoint::text`] returns for a checkpoint.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = Lines { lines: text.split_terminator('\n').collect(), at: 0 };
        let checkpoint = lines.checkpoint()?;
        if checkpoint.text() == text {
            Ok(checkpoint)
        } else {
            Err(CheckpointError { line: 1, reason: "or a later one is not written as Annals writes it" })
        }
    }
}

/// Returns the lines of `entries`, each with a newline.
#[must_use]
pub fn entries_text(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let _ = match entry {
            Entry::Expired(range) => writeln!(text, "expired {}-{}", range.start(), range.end()),
            Entry::Restored => writeln!(text, "restored {REGISTRY}"),
            Entry::Moved { from, to } => writeln!(text, "moved {from} {to}"),
            Entry::Unrecorded(range) => writeln!(text, "unrecorded {}-{}", range.start(), range.end()),
            Entry::Lost { sequences, after } => {
                let hash = after.map_or_else(|| "-".to_owned(), |hash| hash.to_string());
                writeln!(text, "lost {}-{} {hash}", sequences.start(), sequences.end())
            }
            Entry::Object(SignedObject { sequences, content, key }) => {
                let content = content.map_or_else(
                    || "- -".to_owned(),
                    |SignedContent { sha256, bytes }| format!("{} {bytes}", hex::encode(sha256)),
                );
                writeln!(text, "object {}-{} {content} {key}", sequences.start(), sequences.end())
            }
        };
    }
    text
}

/// Parses the lines of entries, for instance of a file of their own.
///
/// # Errors
/// Returns an error if the text is not exactly what [`entries_text`] returns.
pub fn parse_entries(text: &str) -> Result<Vec<Entry>, CheckpointError> {
    let mut lines = Lines { lines: text.split_terminator('\n').collect(), at: 0 };
    let entries = lines.entries()?;
    if entries_text(&entries) == text {
        Ok(entries)
    } else {
        Err(CheckpointError { line: 1, reason: "or a later one is not written as Annals writes it" })
    }
}

/// The lines of a text, from the one at `at` on.
struct Lines<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

impl<'a> Lines<'a> {
    fn checkpoint(&mut self) -> Result<Checkpoint, CheckpointError> {
        let (signer, organisation) = self.next(
            |line| {
                let (signer, organisation) = line.rsplit_once('/')?;
                Some((signer.parse().ok()?, organisation.parse().ok()?))
            },
            "is not the name of a signer and an organisation",
        )?;
        let last = self.next(sequence, "is not a sequence")?;
        let hash = self.next(
            |line| Some(LineHash(STANDARD.decode(line).ok()?.try_into().ok()?)),
            "is not the hash of a line in base64",
        )?;
        let time = self.named("time", |value| Timestamp::parse(value).ok())?;
        let delivered = match self.lines.get(self.at) {
            None => None,
            Some(_) => Some(self.delivered()?),
        };
        Ok(Checkpoint { signer, organisation, last, hash, time, delivered })
    }

    fn delivered(&mut self) -> Result<Delivered, CheckpointError> {
        let log_last = self.named("log", sequence)?;
        let destination = self.named("destination", |value| value.parse().ok())?;
        let first = self.named("first", |value| sequence(value).filter(|first| *first > 0))?;
        let previous = self.named("previous", |value| match value {
            "none" => Some(None),
            value => sha256(value).map(Some),
        })?;
        let next_key = match self.peek("next-key") {
            Some(_) => Some(self.named("next-key", |value| value.parse().ok())?),
            None => None,
        };
        let entries = match self.peek("entries") {
            Some(_) => self.named("entries", |value| {
                let mut words = value.splitn(3, ' ');
                let (hash, count, key) = (words.next()?, words.next()?, words.next()?);
                Some(Entries::Elsewhere { sha256: sha256(hash)?, count: count.parse().ok()?, key: key.to_owned() })
            })?,
            None => Entries::Here(self.entries()?),
        };
        match self.lines.get(self.at) {
            None => Ok(Delivered { log_last, destination, first, previous, next_key, entries }),
            Some(_) => Err(self.error("is unknown")),
        }
    }

    fn entries(&mut self) -> Result<Vec<Entry>, CheckpointError> {
        let mut entries = Vec::new();
        while self.at < self.lines.len() {
            entries.push(if self.peek("expired").is_some() {
                Entry::Expired(self.named("expired", range)?)
            } else if self.peek("restored").is_some() {
                self.named("restored", |value| (value == REGISTRY).then_some(Entry::Restored))?
            } else if self.peek("moved").is_some() {
                self.named("moved", |value| {
                    let (from, to) = value.split_once(' ')?;
                    Some(Entry::Moved { from: from.parse().ok()?, to: to.parse().ok()? })
                })?
            } else if self.peek("unrecorded").is_some() {
                Entry::Unrecorded(self.named("unrecorded", range)?)
            } else if self.peek("lost").is_some() {
                self.named("lost", |value| {
                    let (sequences, hash) = value.split_once(' ')?;
                    let after = if hash == "-" { None } else { Some(LineHash(sha256(hash)?)) };
                    Some(Entry::Lost { sequences: range(sequences)?, after })
                })?
            } else {
                self.named("object", |value| {
                    let mut words = value.splitn(4, ' ');
                    let (sequences, hash, bytes, key) = (words.next()?, words.next()?, words.next()?, words.next()?);
                    let content = match (hash, bytes) {
                        ("-", "-") => None,
                        _ => Some(SignedContent { sha256: sha256(hash)?, bytes: bytes.parse().ok()? }),
                    };
                    Some(Entry::Object(SignedObject { sequences: range(sequences)?, content, key: key.to_owned() }))
                })?
            });
        }
        Ok(entries)
    }

    /// Returns the value of the next line if it begins with `name` and a space.
    fn peek(&self, name: &str) -> Option<&'a str> {
        self.lines.get(self.at)?.strip_prefix(name)?.strip_prefix(' ')
    }

    fn named<T>(&mut self, name: &'static str, parse: impl FnOnce(&'a str) -> Option<T>) -> Result<T, CheckpointError> {
        let value = self.peek(name).ok_or_else(|| self.error("has another name than expected"))?;
        let parsed = parse(value).ok_or_else(|| self.error("has an invalid value"))?;
        self.at += 1;
        Ok(parsed)
    }

    fn next<T>(
        &mut self,
        parse: impl FnOnce(&'a str) -> Option<T>,
        reason: &'static str,
    ) -> Result<T, CheckpointError> {
        let parsed = self.lines.get(self.at).copied().and_then(parse).ok_or_else(|| self.error(reason))?;
        self.at += 1;
        Ok(parsed)
    }

    fn error(&self, reason: &'static str) -> CheckpointError {
        CheckpointError { line: self.at + 1, reason }
    }
}

fn sequence(text: &str) -> Option<u64> {
    text.parse().ok().filter(|sequence| *sequence <= MAX_SEQUENCE)
}

fn sha256(hex: &str) -> Option<[u8; 32]> {
    hex::decode(hex).ok()?.try_into().ok()
}

fn range(text: &str) -> Option<RangeInclusive<u64>> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (sequence(first)?, sequence(last)?);
    (0 < first && first <= last).then_some(first..=last)
}

/// A signature of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub key: VerifierKey,
    pub bytes: [u8; 64],
}

/// Returns the signed note of `text`, which ends with a newline.
///
/// # Errors
/// Returns an error if the note would be invalid: if the text or a name contains characters that a note cannot contain.
pub fn note(text: &str, signatures: &[Signature]) -> Result<String, signed_note::NoteError> {
    let signatures = signatures
        .iter()
        .map(|signature| {
            let name = signature.key.name().to_string();
            signed_note::Signature::new(name, signature.key.id(), signature.bytes.to_vec())
        })
        .collect::<Result<Vec<_>, _>>()?;
    let note = signed_note::Note::new(text.as_bytes(), &signatures)?;
    Ok(String::from_utf8_lossy(&note.to_bytes()).into_owned())
}

/// A signed note whose signatures have not been checked.
#[derive(Debug)]
pub struct SignedNote {
    note: signed_note::Note,
}

impl SignedNote {
    /// Parses a note. Its text can be anything.
    ///
    /// # Errors
    /// Returns an error if the bytes are not a signed note.
    pub fn parse(bytes: &[u8]) -> Result<Self, signed_note::NoteError> {
        signed_note::Note::from_bytes(bytes).map(|note| Self { note })
    }

    #[must_use]
    pub fn text(&self) -> &str {
        // A note is UTF-8.
        std::str::from_utf8(self.note.text()).unwrap_or_default()
    }

    /// Returns those of `keys` that have signed the note.
    #[must_use]
    pub fn signed_by<'k>(&self, keys: &'k [VerifierKey]) -> Vec<&'k VerifierKey> {
        let is_signed_by = |key: &VerifierKey| {
            let Ok(verifier) = signed_note::StandardVerifier::new(key.as_str()) else { return false };
            // An error means that a signature with this key's name and id is wrong.
            self.note.verify(&signed_note::VerifierList::new(vec![Box::new(verifier)])).is_ok()
        };
        keys.iter().filter(|key| is_signed_by(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};
    use proptest::prelude::*;

    use super::*;

    fn organisation() -> OrganisationId {
        "acme".parse().unwrap()
    }

    fn checkpoint(entries: Vec<Entry>) -> Checkpoint {
        Checkpoint {
            signer: "annals.example.com".parse().unwrap(),
            organisation: organisation(),
            last: 17,
            hash: LineHash::of("a line"),
            time: Timestamp::parse("2026-11-22T10:10:00Z").unwrap(),
            delivered: Some(Delivered {
                log_last: 19,
                destination: "k3x9a0bqk3x9".parse().unwrap(),
                first: 12,
                previous: None,
                next_key: None,
                entries: Entries::Here(entries),
            }),
        }
    }

    fn object(first: u64, last: u64) -> Entry {
        Entry::Object(SignedObject {
            sequences: first..=last,
            content: Some(SignedContent { sha256: [0xab; 32], bytes: 442 }),
            key: format!("audit/2026-11/22/2026-11-22T10-10-00-000Z-{first:08}.json"),
        })
    }

    #[test]
    fn the_text_is_a_tlog_checkpoint_with_lines_of_our_own() {
        let mut checkpoint = checkpoint(vec![
            object(12, 14),
            Entry::Expired(15..=15),
            Entry::Lost { sequences: 16..=16, after: Some(LineHash([0xcd; 32])) },
            Entry::Object(SignedObject { sequences: 17..=17, content: None, key: "k.json".into() }),
        ]);
        insta::assert_snapshot!(checkpoint.text(), @r"
        annals.example.com/acme
        17
        MbnuSoMLdVgOOea9Y1bUBST8uGg+Z88JQpDaMG5+4jU=
        time 2026-11-22T10:10:00.000Z
        log 19
        destination k3x9a0bqk3x9
        first 12
        previous none
        object 12-14 abababababababababababababababababababababababababababababababab 442 audit/2026-11/22/2026-11-22T10-10-00-000Z-00000012.json
        expired 15-15
        lost 16-16 cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd
        object 17-17 - - k.json
        ");
        checkpoint.delivered = None;
        insta::assert_snapshot!(checkpoint.text(), @r"
        annals.example.com/acme
        17
        MbnuSoMLdVgOOea9Y1bUBST8uGg+Z88JQpDaMG5+4jU=
        time 2026-11-22T10:10:00.000Z
        ");
    }

    #[test]
    fn entries_move_to_a_file_if_they_do_not_fit_into_a_message() {
        let few: Vec<Entry> = (1..20).map(|number| object(number, number)).collect();
        let mut small = checkpoint(few);
        assert_eq!(small.outsource_entries("x.entries"), None);
        let many: Vec<Entry> = (1..41).map(|number| object(number, number)).collect();
        let mut large = checkpoint(many.clone());
        let file = large.outsource_entries("x.entries").unwrap();
        assert!(large.text().len() < 1000, "{}", large.text());
        assert_eq!(parse_entries(&file).unwrap(), many);
        let Some(Delivered { entries: Entries::Elsewhere { sha256, count, .. }, .. }) = large.delivered else {
            panic!()
        };
        assert_eq!((sha256, count), (Sha256::digest(&file).into(), 40));
    }

    #[test]
    fn a_text_that_differs_from_what_is_written_is_refused() {
        let text = checkpoint(vec![object(12, 17)]).text();
        assert_eq!(Checkpoint::parse(&text).unwrap().text(), text);
        for (from, to) in [
            ("17\n", "017\n"),
            ("time ", "time  "),
            ("log 19\n", ""),
            ("first 12\n", "first 12\nfirst 12\n"),
            ("previous none", "previous None"),
            ("object 12-17", "object 17-12"),
            ("abab", "ABAB"),
            (".000Z\n", "Z\n"),
            ("\nlog", "\r\nlog"),
            ("first", "second"),
        ] {
            assert!(text.contains(from), "{from}");
            assert!(Checkpoint::parse(&text.replacen(from, to, 1)).is_err(), "{from} {to}");
        }
        for text in ["", "\n", "a/b\n", &text[..text.len() - 1], &format!("{text}more\n")] {
            assert!(Checkpoint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_note_is_signed_by_the_keys_that_signed_it() {
        let signer = SigningKey::from_bytes(&[7; 32]);
        let key = |signer: &SigningKey| {
            VerifierKey::ed25519("annals.example.com".parse().unwrap(), signer.verifying_key().as_bytes())
        };
        let (key, other) = (key(&signer), key(&SigningKey::from_bytes(&[8; 32])));
        let text = checkpoint(vec![object(12, 17)]).text();
        let bytes = signer.sign(text.as_bytes()).to_bytes();
        let note = note(&text, &[Signature { key: key.clone(), bytes }]).unwrap();
        let parsed = SignedNote::parse(note.as_bytes()).unwrap();
        assert_eq!(parsed.text(), text);
        assert_eq!(parsed.signed_by(&[other.clone(), key.clone()]), [&key]);
        let changed = note.replacen("first 12", "first 13", 1);
        assert!(SignedNote::parse(changed.as_bytes()).unwrap().signed_by(&[other, key]).is_empty());
        for garbage in ["", "no note", "text\n\n", "text\n\n— a b\n"] {
            assert!(SignedNote::parse(garbage.as_bytes()).is_err(), "{garbage}");
        }
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let sequences = (1..1_000_000u64, 0..1000u64).prop_map(|(first, more)| first..=first + more);
        let content = prop::option::of((any::<[u8; 32]>(), any::<u64>()))
            .prop_map(|content| content.map(|(sha256, bytes)| SignedContent { sha256, bytes }));
        prop_oneof![
            sequences.clone().prop_map(Entry::Expired),
            Just(Entry::Restored),
            Just(Entry::Moved { from: "acme-audit".parse().unwrap(), to: "acme.audit-2".parse().unwrap() }),
            sequences.clone().prop_map(Entry::Unrecorded),
            (sequences.clone(), prop::option::of(any::<[u8; 32]>()))
                .prop_map(|(sequences, after)| Entry::Lost { sequences, after: after.map(LineHash) }),
            (sequences, content, "[!-~]{1,60}").prop_map(|(sequences, content, key)| Entry::Object(SignedObject {
                sequences,
                content,
                key
            })),
        ]
    }

    proptest! {
        #[test]
        fn every_checkpoint_is_parsed_from_its_text(
            entries in prop::collection::vec(entry(), 0..30),
            (last, log_last, first, millis) in (0..=MAX_SEQUENCE, 0..=MAX_SEQUENCE, 1..=MAX_SEQUENCE, 0..253_402_300_799_999u64),
            (hash, previous) in (any::<[u8; 32]>(), prop::option::of(any::<[u8; 32]>())),
        ) {
            let mut checkpoint = checkpoint(entries);
            checkpoint.last = last;
            checkpoint.hash = LineHash(hash);
            checkpoint.time = Timestamp::from_millis(millis);
            if let Some(delivered) = &mut checkpoint.delivered {
                (delivered.log_last, delivered.first, delivered.previous) = (log_last, first, previous);
            }
            let _ = checkpoint.outsource_entries("p/x.entries");
            prop_assert_eq!(Checkpoint::parse(&checkpoint.text()).unwrap(), checkpoint);
        }

        #[test]
        fn parsing_any_text_does_not_panic(text in "\\PC{0,200}") {
            let _ = Checkpoint::parse(&text);
            let _ = parse_entries(&text);
            let _ = SignedNote::parse(text.as_bytes());
        }
    }
}
