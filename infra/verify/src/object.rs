//! One object, read once and summed up: its unbroken stretches of lines, and what is wrong with it whatever the others
//! hold. Owns lines, newlines and compression; what the stretches mean together is [`crate::stitch`](mod@crate::stitch)'s.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read},
    sync::Arc,
};

use annals_core::log::segment::LineHash;
use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{
    line::{Header, LineReader, Oddity},
    source::{Source, SourceError},
};

/// The most bytes of a line: an event's 256 KiB, and what Annals adds, many times over.
const MAX_LINE_BYTES: u64 = 4 * 1024 * 1024;
/// How much is read at once.
const BUFFER_BYTES: usize = 128 * 1024;
/// How often a connection may break while an object is read.
const ATTEMPTS: u32 = 3;
/// How many faults of an object are kept, and how many stretches: with more, the object is not worth the details.
const MAX_FAULTS: usize = 100;
const MAX_RUNS: usize = 10_000;
/// How a body of the log's own events about expired ones begins.
const GAP: &str = r#""action":"EXPIRE","type":"destination.gap","#;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Lines of one organisation that follow each other in an object, each with the hash of the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Whose they are.
    pub organisation: Arc<str>,
    /// The number of the first line in its object, from 1.
    pub line: u64,
    /// The sequence of its first line.
    pub first: u64,
    /// The sequence of its last line.
    pub last: u64,
    /// What the first line says is the hash of the line before.
    pub previous: LineHash,
    /// The hash of the last line.
    pub hash: LineHash,
    /// The place of the first line's event in its append, from 0.
    pub index: u16,
}

impl Run {
    /// The number of the last line in its object.
    #[must_use]
    pub fn last_line(&self) -> u64 {
        self.line_of(self.last)
    }

    /// The number of the line with this sequence.
    #[must_use]
    pub fn line_of(&self, sequence: u64) -> u64 {
        self.line + (sequence - self.first)
    }
}

/// What is wrong with a line, or with the object's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Annals did not write this line.
    Odd(Oddity),
    /// The last line is whole but for its newline.
    NoNewline,
    /// The object ends in the middle of a line.
    HalfLine,
    /// The compressed object is broken behind this line.
    BrokenGzip(String),
    /// There is nothing in it.
    Empty,
    /// Too much is wrong to go on.
    GivenUp,
}

/// Events of which the log itself says that they expired before they were delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Whose log says so.
    pub organisation: Arc<str>,
    /// The sequence of the event that says so.
    pub sequence: u64,
    /// The first event that is lost.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

/// All that is kept of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Its stretches of lines, in its order.
    pub runs: Vec<Run>,
    /// What is wrong with it, by line.
    pub faults: Vec<(u64, Fault)>,
    /// How many lines it has.
    pub lines: u64,
    /// The gaps that its events tell of.
    pub gaps: Vec<Gap>,
}

impl Summary {
    /// Reads an object and sums it up.
    ///
    /// # Errors
    /// Where the source fails. A broken object is no error but has faults.
    pub fn of(source: &dyn Source, key: &str) -> Result<Self, SourceError> {
        patiently(source, key, |reader| {
            let mut scan = Scan::default();
            let end = each_line(reader, |bytes, end| scan.line(bytes, end))?;
            scan.finish(end);
            Ok(scan.summary)
        })
    }
}

/// The hashes of all lines of an object, the newlines not counted, in its order.
///
/// # Errors
/// Where the source fails.
pub fn hashes(source: &dyn Source, key: &str) -> Result<Vec<LineHash>, SourceError> {
    patiently(source, key, |reader| {
        let mut hashes = Vec::new();
        each_line(reader, |bytes, _| {
            hashes.push(LineHash(Sha256::digest(bytes).into()));
            true
        })?;
        Ok(hashes)
    })
}

/// The bytes of one line of an object, the number of the first being 1.
///
/// # Errors
/// Where the source fails.
pub fn text(source: &dyn Source, key: &str, line: u64) -> Result<Vec<u8>, SourceError> {
    patiently(source, key, |reader| {
        let (mut number, mut text) = (0, Vec::new());
        each_line(reader, |bytes, _| {
            number += 1;
            if number == line {
                text = bytes.to_vec();
            }
            number < line
        })?;
        Ok(text)
    })
}

/// The source's own failure, kept apart from a broken content on its way through the decoder.
#[derive(Debug)]
struct Unreadable(io::Error);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unreadable {}

struct Marked<R>(R);

impl<R: Read> Read for Marked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, Unreadable(error)),
        })
    }
}

/// Reads an object as often as it takes.
fn patiently<T>(
    source: &dyn Source,
    key: &str,
    mut read: impl FnMut(&mut dyn BufRead) -> io::Result<T>,
) -> Result<T, SourceError> {
    let mut attempt = 1;
    loop {
        match source.open(key).and_then(|content| read(&mut *decoded(content)?)) {
            Ok(value) => return Ok(value),
            // What is not there, or not ours to read, will not be the next time either.
            Err(error)
                if attempt == ATTEMPTS
                    || matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
            {
                return Err(SourceError::Read { key: key.to_owned(), source: error });
            }
            Err(_) => attempt += 1,
        }
    }
}

/// The content of an object, decompressed where it is compressed, whatever its key says: some tools do one without the
/// other.
fn decoded<'a>(content: impl Read + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut content = BufReader::with_capacity(BUFFER_BYTES, Marked(content));
    Ok(if content.fill_buf()?.starts_with(&GZIP) {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(content)))
    } else {
        Box::new(content)
    })
}

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    Newline,
    /// The object's end.
    Nothing,
    /// It goes on beyond what is read of a line.
    TooLong,
}

/// How an object ends.
enum End {
    Well,
    BrokenGzip(String),
}

/// Calls `each` with every line, without its newline, for as long as it says so.
fn each_line(reader: &mut dyn BufRead, mut each: impl FnMut(&[u8], LineEnd) -> bool) -> io::Result<End> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let end = match Read::take(&mut *reader, MAX_LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) => return Ok(End::Well),
            Ok(_) if line.last() == Some(&b'\n') => {
                line.pop();
                LineEnd::Newline
            }
            Ok(read) if read as u64 == MAX_LINE_BYTES => LineEnd::TooLong,
            Ok(_) => LineEnd::Nothing,
            // What was decoded of the line before it broke says nothing.
            Err(error) => return broken(error),
        };
        if !each(&line, end) {
            return Ok(End::Well);
        }
        if end == LineEnd::TooLong
            && let Err(error) = pass_line(reader, &mut line)
        {
            return broken(error);
        }
    }
}

/// Reads on to the end of a line that is too long to be kept.
fn pass_line(reader: &mut dyn BufRead, buffer: &mut Vec<u8>) -> io::Result<()> {
    loop {
        buffer.clear();
        let read = Read::take(&mut *reader, MAX_LINE_BYTES).read_until(b'\n', buffer)?;
        if read == 0 || buffer.last() == Some(&b'\n') {
            return Ok(());
        }
    }
}

fn broken(error: io::Error) -> io::Result<End> {
    match error.get_ref() {
        Some(inner) if inner.is::<Unreadable>() => Err(error),
        _ => Ok(End::BrokenGzip(error.to_string())),
    }
}

#[derive(Default)]
struct Scan {
    lines: LineReader,
    summary: Summary,
    /// Whether the last stretch may go on with the next line.
    open: bool,
}

impl Scan {
    fn line(&mut self, bytes: &[u8], end: LineEnd) -> bool {
        self.summary.lines += 1;
        let header = if end == LineEnd::TooLong { Err(Oddity::TooLong) } else { self.lines.header(bytes) };
        match header {
            Ok(header) => {
                let hash = LineHash(Sha256::digest(bytes).into());
                if header.body.starts_with(GAP) {
                    self.summary.gaps.extend(gaps(bytes, &header));
                }
                join(&mut self.summary, self.open, &header, hash);
                self.open = true;
                if end == LineEnd::Nothing {
                    self.fault(Fault::NoNewline);
                }
            }
            Err(oddity) => {
                self.open = false;
                self.fault(if end == LineEnd::Nothing { Fault::HalfLine } else { Fault::Odd(oddity) });
            }
        }
        let goes_on = self.summary.faults.len() < MAX_FAULTS && self.summary.runs.len() < MAX_RUNS;
        if !goes_on {
            self.fault(Fault::GivenUp);
        }
        goes_on
    }

    fn fault(&mut self, fault: Fault) {
        self.summary.faults.push((self.summary.lines, fault));
    }

    fn finish(&mut self, end: End) {
        match end {
            End::BrokenGzip(reason) => self.fault(Fault::BrokenGzip(reason)),
            End::Well if self.summary.lines == 0 => self.fault(Fault::Empty),
            End::Well => {}
        }
    }
}

/// Adds a line to the last stretch, or begins another with it.
fn join(summary: &mut Summary, open: bool, header: &Header<'_>, hash: LineHash) {
    let line = summary.lines;
    let before = summary.runs.last_mut();
    if let Some(run) = before.filter(|run| {
        open && run.last + 1 == header.sequence
            && run.hash == header.previous
            && &*run.organisation == header.organisation
    }) {
        run.last = header.sequence;
        run.hash = hash;
        return;
    }
    let known = summary.runs.last().filter(|run| &*run.organisation == header.organisation);
    let organisation = known.map_or_else(|| header.organisation.into(), |run| Arc::clone(&run.organisation));
    summary.runs.push(Run {
        organisation,
        line,
        first: header.sequence,
        last: header.sequence,
        previous: header.previous,
        hash,
        index: header.id.index(),
    });
}

/// The ranges that an event about expired ones names.
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
    // Anybody may record an event of this type: what it names may be nothing.
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
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;

    /// A source whose first so many readers break off in the middle.
    struct Breaking {
        left: AtomicU32,
        content: Vec<u8>,
    }

    impl Source for Breaking {
        fn keys(&self) -> Result<Vec<String>, SourceError> {
            Ok(vec!["object".into()])
        }

        fn open(&self, _: &str) -> io::Result<Box<dyn Read + Send + '_>> {
            let breaks = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            if !breaks {
                return Ok(Box::new(self.content.as_slice()));
            }
            let (half, _) = self.content.split_at(self.content.len() / 2);
            Ok(Box::new(half.chain(Broken)))
        }
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        flate2::bufread::GzEncoder::new(text, flate2::Compression::best()).read_to_end(&mut content).unwrap();
        content
    }

    fn one(content: &[u8]) -> Summary {
        Summary::of(&BTreeMap::from([("object".to_owned(), content.to_vec())]), "object").unwrap()
    }

    #[test]
    fn a_connection_that_breaks_is_no_fault_of_the_object() {
        let text = b"rubbish\n".repeat(100_000);
        for content in [text.clone(), gzip(&text)] {
            let whole = one(&content);
            let read =
                |breaks| Summary::of(&Breaking { left: AtomicU32::new(breaks), content: content.clone() }, "object");
            assert_eq!(
                hashes(&Breaking { left: AtomicU32::new(2), content: content.clone() }, "object").unwrap().len(),
                100_000
            );
            assert!(hashes(&Breaking { left: AtomicU32::new(3), content: content.clone() }, "object").is_err());
            assert_eq!(read(0).unwrap(), whole);
        }
        assert!(Summary::of(&BTreeMap::new(), "nowhere").is_err());
    }

    #[test]
    fn a_line_longer_than_any_event_is_passed_over() {
        let long = vec![b'x'; usize::try_from(MAX_LINE_BYTES).unwrap() * 2 + 7];
        let summary = one(&[b"a\n".as_slice(), &long, b"\nb\n"].concat());
        assert_eq!(summary.lines, 3);
        assert_eq!(summary.faults[1], (2, Fault::Odd(Oddity::TooLong)));
    }

    #[test]
    fn nothing_and_compressed_nothing_are_empty() {
        for content in [Vec::new(), gzip(b"")] {
            assert_eq!(one(&content).faults, [(0, Fault::Empty)]);
        }
    }

    #[test]
    fn what_follows_compressed_content_is_not_passed_over() {
        let two = [gzip(b"a\n"), gzip(b"b\n")].concat();
        assert_eq!(one(&two).lines, 2);
        assert!(matches!(one(&[two, b"rubbish".to_vec()].concat()).faults.last(), Some((2, Fault::BrokenGzip(_)))));
    }
}
