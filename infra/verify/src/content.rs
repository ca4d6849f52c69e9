//! The content of an object: retries broken connections, decompresses, and splits into lines. Does not parse lines.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read},
};

use annals_core::log::segment::LineHash;
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use crate::{
    line::Native,
    source::{Source, SourceError},
};

/// The longest line that is kept in memory: far more than an event of 256 KiB and the fields that Annals adds.
pub const MAX_LINE_BYTES: u64 = 4 * 1024 * 1024;
const BUFFER_BYTES: usize = 128 * 1024;
/// How often an object is read before a broken connection is reported.
const ATTEMPTS: u32 = 3;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    Newline,
    EndOfObject,
    /// The line is longer than [`MAX_LINE_BYTES`].
    TooLong,
}

/// How an object ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Complete,
    /// The compressed content is damaged; the reason.
    BrokenGzip(String),
}

/// Returns the hash of each line of an object, without its newline.
///
/// # Errors
/// Returns an error if the source fails.
pub fn hashes(source: &dyn Source, key: &str) -> Result<Vec<LineHash>, SourceError> {
    with_retries(source, key, |reader| {
        let mut hashes = Vec::new();
        each_line(reader, |bytes, _| {
            hashes.push(LineHash(Sha256::digest(&Native::of(bytes).line).into()));
            true
        })?;
        Ok(hashes)
    })
}

/// Returns the bytes of one line of an object, as the log has it. The first line is number 1.
///
/// # Errors
/// Returns an error if the source fails.
pub fn line(source: &dyn Source, key: &str, line: u64) -> Result<Vec<u8>, SourceError> {
    let mut text = Vec::new();
    each_numbered_line(source, key, |number, bytes| {
        if number == line {
            text = bytes.to_vec();
        }
        number < line
    })?;
    Ok(text)
}

/// Calls `each` with the number and the bytes of every line as the log has it, from 1, until it returns `false`. After a broken connection it
/// begins again.
///
/// # Errors
/// Returns an error if the source fails.
pub fn each_numbered_line(
    source: &dyn Source,
    key: &str,
    mut each: impl FnMut(u64, &[u8]) -> bool,
) -> Result<(), SourceError> {
    with_retries(source, key, |reader| {
        let mut number = 0;
        each_line(reader, |bytes, _| {
            number += 1;
            each(number, &Native::of(bytes).line)
        })?;
        Ok(())
    })
}

/// Returns the first line of an object; empty if there is none.
///
/// # Errors
/// Returns an error if the source fails.
pub fn first_line(source: &dyn Source, key: &str) -> Result<Vec<u8>, SourceError> {
    line(source, key, 1)
}

/// Returns the bytes of an object, decompressed, or `None` if they are more than `max_bytes` or damaged.
///
/// # Errors
/// Returns an error if the source fails.
pub fn small(source: &dyn Source, key: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, SourceError> {
    with_retries(source, key, |reader| {
        let mut content = Vec::new();
        match reader.take(max_bytes + 1).read_to_end(&mut content) {
            Ok(_) => Ok((content.len() as u64 <= max_bytes).then_some(content)),
            Err(error) => broken(error).map(|_| None),
        }
    })
}

/// The bytes of an object as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    pub sha256: [u8; 32],
    pub bytes: u64,
}

/// Opens an object and calls `read` with its decompressed content; does so again if the connection breaks.
///
/// # Errors
/// Returns an error if the object does not exist, access to it is denied, or each attempt fails.
pub fn with_retries<T>(
    source: &dyn Source,
    key: &str,
    mut read: impl FnMut(&mut dyn BufRead) -> io::Result<T>,
) -> Result<T, SourceError> {
    attempt(source, key, |content| read(&mut *decompressed(content)?))
}

/// Does the same, and hashes the object as it is stored.
///
/// # Errors
/// Returns an error if the object does not exist, access to it is denied, or each attempt fails.
pub fn with_fingerprint<T>(
    source: &dyn Source,
    key: &str,
    mut read: impl FnMut(&mut dyn BufRead) -> io::Result<T>,
) -> Result<(T, Fingerprint), SourceError> {
    attempt(source, key, |content| {
        let mut content = Hashing { content, sha256: Sha256::new(), bytes: 0 };
        let value = read(&mut *decompressed(&mut content)?)?;
        // `read` may have stopped early.
        io::copy(&mut content, &mut io::sink())?;
        Ok((value, Fingerprint { sha256: content.sha256.finalize().into(), bytes: content.bytes }))
    })
}

/// Hashes what is read.
struct Hashing<R> {
    content: R,
    sha256: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        self.sha256.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

fn attempt<T>(
    source: &dyn Source,
    key: &str,
    mut read: impl FnMut(Box<dyn Read + Send + '_>) -> io::Result<T>,
) -> Result<T, SourceError> {
    let mut attempt = 1;
    loop {
        match source.open(key).and_then(&mut read) {
            Ok(value) => return Ok(value),
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

/// Decompresses by content, not by key: some tools decompress objects without renaming them, and the reverse.
fn decompressed<'a>(content: impl Read + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut content = BufReader::with_capacity(BUFFER_BYTES, MarkErrors(content));
    Ok(if content.fill_buf()?.starts_with(&GZIP) {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(content)))
    } else {
        Box::new(content)
    })
}

/// Calls `each` with every line, without its newline, until it returns `false`.
///
/// # Errors
/// Returns an error if the source fails. Damaged content is not an error.
pub fn each_line(reader: &mut dyn BufRead, mut each: impl FnMut(&[u8], LineEnd) -> bool) -> io::Result<End> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let end = match Read::take(&mut *reader, MAX_LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) => return Ok(End::Complete),
            Ok(_) if line.last() == Some(&b'\n') => {
                line.pop();
                LineEnd::Newline
            }
            Ok(read) if read as u64 == MAX_LINE_BYTES => LineEnd::TooLong,
            Ok(_) => LineEnd::EndOfObject,
            // The part of the line that was decompressed before the damage is not reported.
            Err(error) => return broken(error),
        };
        if !each(&line, end) {
            return Ok(End::Complete);
        }
        if end == LineEnd::TooLong
            && let Err(error) = skip_line(reader, &mut line)
        {
            return broken(error);
        }
    }
}

/// Reads to the end of a line that is too long to keep.
fn skip_line(reader: &mut dyn BufRead, buffer: &mut Vec<u8>) -> io::Result<()> {
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

/// An error of the source, as opposed to an error of the decompressor that reads from it.
#[derive(Debug)]
struct Unreadable(io::Error);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unreadable {}

/// Marks the errors of a reader as [`Unreadable`].
struct MarkErrors<R>(R);

impl<R: Read> Read for MarkErrors<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, Unreadable(error)),
        })
    }
}
