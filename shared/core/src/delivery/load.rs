//! The content of an object, built from lines as they are read. Memory holds the object, but not the lines.

use std::{
    io::Write as _,
    ops::{ControlFlow, RangeInclusive},
};

use flate2::write::GzEncoder;

use crate::{
    destination::{Compression, Intent, KeyLayout, Rendering, Settings, sink::ObjectContent},
    log::{
        read::{Passed, Reached},
        segment::{Line, LineHash},
    },
    time::Timestamp,
};

/// What to do at a gap in the sequence of lines. A gap means that events have expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holes {
    /// End the object. The next one begins after the gap.
    End,
    /// Leave the expired events out: they belong to an object that has already begun.
    Skip,
}

/// How the content of an object is made of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) compression: Compression,
    pub(super) rendering: Rendering,
    /// Where a new object ends at the latest.
    partition: Partition,
}

/// What the events of an object have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Partition {
    Any,
    /// The hour in which they were recorded.
    Hour,
}

impl Form {
    pub(super) fn of_settings(settings: &Settings) -> Self {
        let partition = match settings.layout {
            KeyLayout::HiveRecorded => Partition::Hour,
            KeyLayout::Wiremock | KeyLayout::Hive => Partition::Any,
        };
        Self { compression: settings.compression, rendering: settings.rendering, partition }
    }

    /// Returns the form of an object that has begun: its events are known.
    pub(super) fn of_intent(intent: &Intent) -> Self {
        Self { compression: intent.compression, rendering: intent.rendering, partition: Partition::Any }
    }
}

/// The content of an object under construction. Each line ends with a newline.
#[derive(Debug)]
pub(super) struct Loading {
    holes: Holes,
    writer: Writer,
    rendering: Rendering,
    partition: Partition,
    /// The event that is being written, kept to use its memory again.
    event: String,
    stretches: Vec<RangeInclusive<u64>>,
    oldest: Option<Timestamp>,
    newest: Option<Line>,
    /// Whether lines behind a gap were left out.
    is_cut: bool,
}

#[derive(Debug)]
enum Writer {
    Plain(Vec<u8>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

/// The content of an object.
#[derive(Debug)]
pub(super) struct Load {
    /// The bytes to put, compressed if the destination compresses.
    pub(super) content: ObjectContent,
    /// The sequences of its events: ranges without a gap, in order.
    pub(super) stretches: Vec<RangeInclusive<u64>>,
    /// When its first event was recorded. `None` if it has no event.
    pub(super) oldest: Option<Timestamp>,
    /// The hash of its last line. `None` if it has no event.
    pub(super) last_hash: Option<LineHash>,
    /// The first segment that was read for it, and the first of those that have not expired.
    pub(super) passed: Option<Passed>,
    pub(super) first_live: Option<Passed>,
    /// Whether it has everything up to the end of its range, and was not ended by its size or a gap.
    pub(super) at_end: bool,
}

impl Loading {
    pub(super) fn new(form: Form, holes: Holes) -> Self {
        let writer = match form.compression {
            Compression::None => Writer::Plain(Vec::new()),
            Compression::Gzip => Writer::Gzip(Box::new(GzEncoder::new(Vec::new(), flate2::Compression::default()))),
        };
        let (rendering, event) = (form.rendering, String::new());
        Self {
            holes,
            writer,
            rendering,
            partition: form.partition,
            event,
            stretches: Vec::new(),
            oldest: None,
            newest: None,
            is_cut: false,
        }
    }

    /// Adds the next line, unless the object ends before it.
    pub(super) fn take(&mut self, line: Line) -> ControlFlow<()> {
        if self.partition == Partition::Hour && self.oldest.is_some_and(|oldest| hour(oldest) != hour(line.recorded_at))
        {
            self.is_cut = true;
            return ControlFlow::Break(());
        }
        let sequence = line.sequence();
        match self.stretches.last_mut() {
            Some(stretch) if stretch.end() + 1 == sequence => *stretch = *stretch.start()..=sequence,
            Some(_) if self.holes == Holes::End => {
                self.is_cut = true;
                return ControlFlow::Break(());
            }
            _ => self.stretches.push(sequence..=sequence),
        }
        self.oldest.get_or_insert(line.recorded_at);
        self.event.clear();
        self.rendering.write(&line, &mut self.event);
        match &mut self.writer {
            Writer::Plain(content) => content.extend_from_slice(self.event.as_bytes()),
            // A write to a vector does not fail.
            Writer::Gzip(gzip) => drop(gzip.write_all(self.event.as_bytes())),
        }
        self.newest = Some(line);
        ControlFlow::Continue(())
    }

    /// Returns the content, which was read up to `reached`.
    pub(super) fn finish(self, reached: Reached) -> Load {
        let mut content = match self.writer {
            Writer::Plain(content) => content,
            Writer::Gzip(gzip) => (*gzip).finish().unwrap_or_default(),
        };
        // The vector grew by doubling.
        content.shrink_to_fit();
        Load {
            content: content.into(),
            stretches: self.stretches,
            oldest: self.oldest,
            last_hash: self.newest.map(|line| LineHash::of(&line.text)),
            passed: reached.first,
            first_live: reached.first_live,
            at_end: reached.ended && !self.is_cut,
        }
    }
}

/// Returns the hours since the epoch.
fn hour(time: Timestamp) -> u64 {
    time.as_millis() / (60 * 60 * 1000)
}

impl Load {
    pub(super) fn first(&self) -> Option<u64> {
        self.stretches.first().map(|stretch| *stretch.start())
    }

    pub(super) fn last(&self) -> Option<u64> {
        self.stretches.last().map(|stretch| *stretch.end())
    }

    pub(super) fn events(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.end() - stretch.start() + 1).sum()
    }
}
