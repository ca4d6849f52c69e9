//! Any bytes as the stored bodies of a segment, and damaged segments.
//!
//! Reading returns an error, or lines that match the segment's count and hash. It never returns a line that was not written,
//! and never takes much memory, whatever size the bytes claim.
//!
//! An input begins with four bytes: whether the rest is stored bodies or events to write, the count, and the place and kind
//! of the damage.

#![no_main]

use annals_core::{
    event::{self, Body, Layout},
    log::segment::{EncodedBodies, LineHash, MAX_TEXT_BYTES, Segment},
    recorded_by::RecordedBy,
};
use annals_fuzz::{organisation, segment};
use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Three times the text of a segment, and the log's fields of each line.
const MAX_MEMORY_BYTES: usize = 3 * MAX_TEXT_BYTES + 2 * 1024 * 1024;

fuzz_target!(|data: &[u8]| {
    let Some((&[kind, count, place, damage], rest)) = data.split_first_chunk::<4>() else { return };
    if kind % 2 == 0 { check_stored(rest, count) } else { check_written(rest, place, damage) }
});

fn check_stored(bytes: &[u8], count: u8) {
    let stored = EncodedBodies::from_bytes(bytes.to_vec());
    assert_eq!(stored.as_bytes(), bytes);
    // Only plain text can be decoded here without the domain.
    let text = bytes.strip_prefix(b"\0").and_then(|text| std::str::from_utf8(text).ok());
    let (segment, expected) = segment(text.unwrap_or_default().lines().take(1000), stored);
    if text.is_some_and(|text| text.lines().count() <= 1000) {
        assert_eq!(texts(&segment), Some(expected));
    }
    texts(&Segment { count: count.into(), ..segment });
}

fn check_written(events: &[u8], place: u8, damage: u8) {
    let Ok(bodies) = event::parse(events, Layout::Ndjson, &RecordedBy::Platform) else { return };
    let stored = EncodedBodies::encode(&bodies);
    let size: usize = bodies.iter().map(|body| body.as_str().len() + 1).sum();
    assert!(stored.as_bytes().len() <= size, "encoded bodies are larger than the text");
    let mut damaged = stored.as_bytes().to_vec();
    let (segment, expected) = segment(bodies.iter().map(Body::as_str), stored);
    assert_eq!(texts(&segment).as_ref(), Some(&expected));

    let place = usize::from(place) * damaged.len() / 256;
    match damage % 16 {
        bit @ 0..8 => damaged[place] ^= 1 << bit,
        8 => damaged.truncate(place),
        9 => damaged.insert(place, damage),
        10 => drop(damaged.remove(place)),
        11 => damaged.extend_from_within(place..),
        12 => damaged.swap(place, 0),
        _ => damaged[place] = damage,
    }
    if let Some(read) = texts(&Segment { bodies: EncodedBodies::from_bytes(damaged), ..segment }) {
        assert_eq!(read, expected, "a damaged segment has other lines");
    }
}

/// Returns the texts of the segment's lines, if it can be read.
fn texts(segment: &Segment) -> Option<Vec<String>> {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let outcome = segment.lines(&organisation());
    let used = MEMORY.peak_usage().saturating_sub(before);
    assert!(used <= MAX_MEMORY_BYTES, "{used} bytes for {} stored bytes", segment.bodies.as_bytes().len());

    let lines = outcome.ok()?;
    assert_eq!(lines.len(), usize::from(segment.count));
    let mut previous = segment.previous_hash;
    for (sequence, line) in (segment.first..).zip(&lines) {
        assert_eq!(line.sequence(), sequence);
        assert!(line.text.contains(&format!(r#""previousHash":"{previous}""#)));
        assert!(!line.text.contains('\n'));
        previous = LineHash::of(&line.text);
    }
    assert_eq!(previous, segment.hash);
    Some(lines.into_iter().map(|line| line.text).collect())
}
