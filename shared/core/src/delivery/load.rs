//! The content of an object, made from lines as they are read. Owns how many bytes are held meanwhile: those of the
//! object, and no lines beside them.

use std::{io::Write as _, ops::RangeInclusive};

use bytes::Bytes;
use flate2::write::GzEncoder;

use crate::{destination::Compression, log::segment::Line, time::Timestamp};

/// What a hole in the sequence of lines means: events that have expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holes {
    /// The object ends there: another one begins behind it.
    End,
    /// They belong to the object that was begun, and are left out.
    Passed,
}

/// Lines in the making of an object's content: each ended by a newline.
#[derive(Debug)]
pub(super) struct Loading {
    holes: Holes,
    writer: Writer,
    stretches: Vec<RangeInclusive<u64>>,
    oldest: Option<Timestamp>,
}

#[derive(Debug)]
enum Writer {
    Plain(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
}

/// An object's content.
#[derive(Debug)]
pub(super) struct Load {
    /// Its bytes, compressed where that was asked for.
    pub(super) content: Bytes,
    /// The sequences of its events: stretches without a hole, in order.
    pub(super) stretches: Vec<RangeInclusive<u64>>,
    /// When its first event was recorded; `None` where it has none.
    pub(super) oldest: Option<Timestamp>,
}

impl Loading {
    pub(super) fn new(compression: Compression, holes: Holes) -> Self {
        let writer = match compression {
            Compression::None => Writer::Plain(Vec::new()),
            Compression::Gzip => Writer::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::default())),
        };
        Self { holes, writer, stretches: Vec::new(), oldest: None }
    }

    /// Takes in a line, which comes behind those before it.
    pub(super) fn take(&mut self, line: &Line) {
        let sequence = line.sequence();
        match self.stretches.last_mut() {
            Some(stretch) if stretch.end() + 1 == sequence => *stretch = *stretch.start()..=sequence,
            Some(_) if self.holes == Holes::End => return,
            _ => self.stretches.push(sequence..=sequence),
        }
        self.oldest.get_or_insert(line.recorded_at);
        match &mut self.writer {
            Writer::Plain(content) => {
                content.extend_from_slice(line.text.as_bytes());
                content.push(b'\n');
            }
            // A vector takes every write.
            Writer::Gzip(gzip) => drop(gzip.write_all(line.text.as_bytes()).and_then(|()| gzip.write_all(b"\n"))),
        }
    }

    pub(super) fn finish(self) -> Load {
        let mut content = match self.writer {
            Writer::Plain(content) => content,
            Writer::Gzip(gzip) => gzip.finish().unwrap_or_default(),
        };
        // It grew by doubling.
        content.shrink_to_fit();
        Load { content: content.into(), stretches: self.stretches, oldest: self.oldest }
    }
}

impl Load {
    /// The sequence of the first event.
    pub(super) fn first(&self) -> Option<u64> {
        self.stretches.first().map(|stretch| *stretch.start())
    }

    /// The sequence of the last event.
    pub(super) fn last(&self) -> Option<u64> {
        self.stretches.last().map(|stretch| *stretch.end())
    }

    /// How many events there are.
    pub(super) fn events(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.end() - stretch.start() + 1).sum()
    }
}
