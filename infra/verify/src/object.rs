//! The summary of one object: its runs of consecutive lines, and the faults that it has on its own. Does not compare
//! objects: that is [`crate::check`](mod@crate::check).

use std::{io::BufRead, sync::Arc};

use annals_core::{log::segment::LineHash, recorded_by::RecordedBy};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{
    content::{End, Fingerprint, LineEnd, each_line, with_fingerprint, with_retries},
    line::{Header, LineError, LineReader, Native},
    source::{Source, SourceError},
};

/// After this many faults or runs, the rest of the object is not read.
const MAX_FAULTS: usize = 100;
const MAX_RUNS: usize = 10_000;
/// How the body of Annals' own event about a restored log begins.
const RESTORE_EVENT: &str = r#""action":"RESTORE","type":"log.restored","#;
/// How the body of Annals' own event about expired events begins.
const GAP_EVENT: &str = r#""action":"EXPIRE","type":"destination.gap","#;

/// Consecutive lines of one organisation in one object, each with the hash of the line before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub organisation: Arc<str>,
    /// The number of the first line in its object, from 1.
    pub line: u64,
    /// The sequence of the first line.
    pub first: u64,
    /// The sequence of the last line.
    pub last: u64,
    /// The `previousHash` of the first line.
    pub previous: LineHash,
    /// The hash of the last line.
    pub hash: LineHash,
    /// The index of the first line's event in its append, from 0.
    pub index: u16,
}

impl Run {
    /// Returns the number of the last line in its object.
    #[must_use]
    pub fn last_line(&self) -> u64 {
        self.line_of(self.last)
    }

    /// Returns the number of the line with this sequence.
    #[must_use]
    pub fn line_of(&self, sequence: u64) -> u64 {
        self.line + (sequence - self.first)
    }
}

/// What is wrong with a line, or with the end of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    InvalidLine(LineError),
    /// The last line is complete except for its newline.
    NoNewline,
    /// The object ends in the middle of a line.
    HalfLine,
    /// The compressed content is damaged after this line; the reason.
    BrokenGzip(String),
    /// The object has no lines.
    Empty,
    /// The object has too many faults or runs; the rest was not read.
    GaveUp,
}

/// Events that expired before they were delivered, according to the log itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub organisation: Arc<str>,
    /// The sequence of the event that reports the gap.
    pub sequence: u64,
    /// The first expired sequence.
    pub first: u64,
    /// The last expired sequence.
    pub last: u64,
}

/// A restore of the log's table to an earlier copy, according to the log itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    pub organisation: Arc<str>,
    /// The first sequence that was lost.
    pub first: u64,
    /// The sequence of the event that reports it, directly behind the lost ones.
    pub sequence: u64,
    /// The hash of the line before the first lost one, in the copy.
    pub previous: LineHash,
}

/// All that is kept of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// In the order of the object.
    pub runs: Vec<Run>,
    /// By line number; 0 is the object as a whole.
    pub faults: Vec<(u64, Fault)>,
    /// The number of lines.
    pub lines: u64,
    /// The gaps that Annals' own events in this object report.
    pub gaps: Vec<Gap>,
    /// The restores that Annals' own events in this object report.
    pub restores: Vec<Restore>,
    /// The number of lines that are in events of another format or shape.
    pub rendered: u64,
    /// The sequences of lines in events that have something else, too, which does not follow from the line.
    pub underived: Vec<u64>,
    /// Only with [`Detail::Fingerprint`].
    pub fingerprint: Option<Fingerprint>,
}

/// What to find out about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    Lines,
    /// Its lines, and the SHA-256 of the object as it is stored.
    Fingerprint,
}

impl Summary {
    /// Reads and summarises an object.
    ///
    /// # Errors
    /// Returns an error if the source fails. A damaged object is not an error: its summary has faults.
    pub fn of(source: &dyn Source, key: &str, detail: Detail) -> Result<Self, SourceError> {
        let read = |reader: &mut dyn BufRead| {
            let mut scan = Scan::default();
            let end = each_line(reader, |bytes, end| scan.line(bytes, end))?;
            scan.finish(end);
            Ok(scan.summary)
        };
        match detail {
            Detail::Lines => with_retries(source, key, read),
            Detail::Fingerprint => {
                let (summary, fingerprint) = with_fingerprint(source, key, read)?;
                Ok(Self { fingerprint: Some(fingerprint), ..summary })
            }
        }
    }
}

#[derive(Default)]
struct Scan {
    reader: LineReader,
    summary: Summary,
    /// Whether the next line may continue the last run.
    is_run_open: bool,
}

impl Scan {
    /// Adds a line. Returns whether to go on.
    fn line(&mut self, bytes: &[u8], end: LineEnd) -> bool {
        self.summary.lines += 1;
        let event = bytes;
        let native = Native::of(event);
        let bytes = &*native.line;
        let header = if end == LineEnd::TooLong { Err(LineError::TooLong) } else { self.reader.header(bytes) };
        match header {
            Ok(header) => {
                self.summary.rendered += u64::from(native.rendering.is_some());
                if !native.is_all_of(event, &header) && self.summary.underived.len() < MAX_RUNS {
                    self.summary.underived.push(header.sequence);
                }
                let hash = LineHash(Sha256::digest(bytes).into());
                // Producers can record events of these types, too.
                if header.recorded_by == Some(RecordedBy::Annals) {
                    if header.body.starts_with(GAP_EVENT) {
                        self.summary.gaps.extend(gaps(bytes, &header));
                    } else if header.body.starts_with(RESTORE_EVENT) {
                        self.summary.restores.extend(restore(bytes, &header));
                    }
                }
                extend_runs(&mut self.summary, self.is_run_open, &header, hash);
                self.is_run_open = true;
                if end == LineEnd::EndOfObject {
                    self.fault(Fault::NoNewline);
                }
            }
            Err(error) => {
                self.is_run_open = false;
                self.fault(if end == LineEnd::EndOfObject { Fault::HalfLine } else { Fault::InvalidLine(error) });
            }
        }
        let goes_on = self.summary.faults.len() < MAX_FAULTS && self.summary.runs.len() < MAX_RUNS;
        if !goes_on {
            self.fault(Fault::GaveUp);
        }
        goes_on
    }

    fn fault(&mut self, fault: Fault) {
        self.summary.faults.push((self.summary.lines, fault));
    }

    fn finish(&mut self, end: End) {
        match end {
            End::BrokenGzip(reason) => self.fault(Fault::BrokenGzip(reason)),
            End::Complete if self.summary.lines == 0 => self.fault(Fault::Empty),
            End::Complete => {}
        }
    }
}

/// Adds a line to the last run, or begins a new one.
fn extend_runs(summary: &mut Summary, is_run_open: bool, header: &Header<'_>, hash: LineHash) {
    let last = summary.runs.last_mut().filter(|run| &*run.organisation == header.organisation);
    let organisation = match last {
        Some(run) if is_run_open && run.last + 1 == header.sequence && run.hash == header.previous => {
            run.last = header.sequence;
            run.hash = hash;
            return;
        }
        Some(run) => Arc::clone(&run.organisation),
        None => header.organisation.into(),
    };
    summary.runs.push(Run {
        organisation,
        line: summary.lines,
        first: header.sequence,
        last: header.sequence,
        previous: header.previous,
        hash,
        index: header.id.index(),
    });
}

/// Returns the restore that an event about a restored log reports: it lost what is directly before the event.
fn restore(line: &[u8], header: &Header<'_>) -> Option<Restore> {
    let [lost] = gaps(line, header).try_into().ok()?;
    let Gap { organisation, sequence, first, last } = lost;
    (first > 0 && last + 1 == sequence && header.id.index() == 0).then_some(Restore {
        organisation,
        first,
        sequence,
        previous: header.previous,
    })
}

/// Returns the gaps that an event about expired or lost events names.
fn gaps(line: &[u8], header: &Header<'_>) -> Vec<Gap> {
    #[derive(Deserialize)]
    struct Event {
        payload: Payload,
    }
    #[derive(Deserialize)]
    struct Payload {
        lost: Vec<Lost>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Lost {
        first_sequence: u64,
        last_sequence: u64,
    }
    let lost = serde_json::from_slice(line).map(|event: Event| event.payload.lost).unwrap_or_default();
    let lost = lost.into_iter().filter(|lost| lost.first_sequence <= lost.last_sequence);
    let organisation: Arc<str> = header.organisation.into();
    let gap = |lost: Lost| Gap {
        organisation: Arc::clone(&organisation),
        sequence: header.sequence,
        first: lost.first_sequence,
        last: lost.last_sequence,
    };
    lost.map(gap).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        io::{self, Read},
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;
    use crate::content::{MAX_LINE_BYTES, hashes};

    /// A source whose first readers fail in the middle of the object.
    struct Breaking {
        failures_left: AtomicU32,
        content: Vec<u8>,
    }

    impl Source for Breaking {
        fn keys(&self) -> Result<Vec<String>, SourceError> {
            Ok(vec!["object".into()])
        }

        fn open(&self, _: &str) -> io::Result<Box<dyn Read + Send + '_>> {
            let fails =
                self.failures_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            if !fails {
                return Ok(Box::new(self.content.as_slice()));
            }
            let (half, _) = self.content.split_at(self.content.len() / 2);
            Ok(Box::new(half.chain(Reset)))
        }
    }

    struct Reset;

    impl Read for Reset {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        flate2::bufread::GzEncoder::new(text, flate2::Compression::best()).read_to_end(&mut content).unwrap();
        content
    }

    fn summary(content: &[u8]) -> Summary {
        let objects = BTreeMap::from([("object".to_owned(), content.to_vec())]);
        Summary::of(&objects, "object", Detail::Lines).unwrap()
    }

    #[test]
    fn a_broken_connection_is_not_a_fault_of_the_object() {
        let text = b"rubbish\n".repeat(100_000);
        for content in [text.clone(), gzip(&text)] {
            let whole = summary(&content);
            let read = |failures| {
                let source = Breaking { failures_left: AtomicU32::new(failures), content: content.clone() };
                Summary::of(&source, "object", Detail::Lines)
            };
            assert_eq!(
                hashes(&Breaking { failures_left: AtomicU32::new(2), content: content.clone() }, "object")
                    .unwrap()
                    .len(),
                100_000
            );
            assert!(
                hashes(&Breaking { failures_left: AtomicU32::new(3), content: content.clone() }, "object").is_err()
            );
            assert_eq!(read(0).unwrap(), whole);
        }
        assert!(Summary::of(&BTreeMap::new(), "nowhere", Detail::Lines).is_err());
    }

    #[test]
    fn the_fingerprint_is_that_of_the_object_as_stored_however_much_of_it_was_read() {
        let sound = b"rubbish\n".repeat(10);
        for content in [sound.clone(), gzip(&sound), b"rubbish\n".repeat(100_000), gzip(&sound)[..20].to_vec()] {
            let source = Breaking { failures_left: AtomicU32::new(1), content: content.clone() };
            let summary = Summary::of(&source, "object", Detail::Fingerprint).unwrap();
            let sha256 = Sha256::digest(&content).into();
            assert_eq!(summary.fingerprint, Some(Fingerprint { sha256, bytes: content.len() as u64 }));
        }
    }

    #[test]
    fn a_line_longer_than_any_event_is_skipped() {
        let long = vec![b'x'; usize::try_from(MAX_LINE_BYTES).unwrap() * 2 + 7];
        let summary = summary(&[b"a\n".as_slice(), &long, b"\nb\n"].concat());
        assert_eq!(summary.lines, 3);
        assert_eq!(summary.faults[1], (2, Fault::InvalidLine(LineError::TooLong)));
    }

    #[test]
    fn an_object_without_content_is_empty_compressed_or_not() {
        for content in [Vec::new(), gzip(b"")] {
            assert_eq!(summary(&content).faults, [(0, Fault::Empty)]);
        }
    }

    #[test]
    fn content_after_compressed_content_is_read() {
        let two = [gzip(b"a\n"), gzip(b"b\n")].concat();
        assert_eq!(summary(&two).lines, 2);
        assert!(matches!(summary(&[two, b"rubbish".to_vec()].concat()).faults.last(), Some((2, Fault::BrokenGzip(_)))));
    }
}
