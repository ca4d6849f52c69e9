//! The headers of the segments that this process wrote or met last, so that it need not read them again to look for a claim.

use std::{collections::VecDeque, time::Duration};

use crate::{
    log::segment::{Header, Tail},
    time::Timestamp,
};

/// Headers of consecutive segments.
#[derive(Debug, Default)]
pub(super) struct Seen {
    headers: VecDeque<Header>,
    noted_at: Timestamp,
}

impl Seen {
    /// The most headers that are kept: the segments of a second of busy producers.
    const MAX: usize = 128;
    /// Much longer than an append takes, and much shorter than restoring a log to an earlier time.
    const MAX_AGE: Duration = Duration::from_secs(60);

    pub(super) fn note(&mut self, header: Header, now: Timestamp) {
        if self.headers.back().is_some_and(|last| last.tail.last + 1 != header.tail.segment) {
            self.headers.clear();
        }
        self.headers.push_back(header);
        if self.headers.len() > Self::MAX {
            self.headers.pop_front();
        }
        self.noted_at = now;
    }

    /// Returns the end of the last segment, if the segments from `sequence` up to it were seen lately.
    pub(super) fn tail_after(&self, sequence: u64, now: Timestamp) -> Option<Tail> {
        let (first, last) = (self.headers.front()?.tail, self.headers.back()?.tail);
        let follows = first.segment <= sequence + 1 && sequence <= last.last;
        (follows && now.since(self.noted_at) < Self::MAX_AGE).then_some(last)
    }

    /// Returns the headers of the segments after `sequence` in their order. It is empty if the segment that follows
    /// `sequence` was not seen lately.
    pub(super) fn after(&self, sequence: u64, now: Timestamp) -> Vec<Header> {
        let start = self.headers.partition_point(|header| header.tail.segment <= sequence);
        let follows = self.headers.get(start).is_some_and(|header| header.tail.segment == sequence + 1);
        if follows && now.since(self.noted_at) < Self::MAX_AGE {
            self.headers.iter().skip(start).cloned().collect()
        } else {
            Vec::new()
        }
    }
}
