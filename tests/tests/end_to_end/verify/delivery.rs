//! Deliveries to tamper with: recorded by the log, then split into objects and named as the shipper does it. Does not tamper:
//! the tests do.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    sync::Arc,
    time::Duration,
};

use annals_core::{
    delivery::{KeySuffix, object_key},
    destination::{Compression, KeyLayout, Rendering},
    event::{Entity, OwnEvent, Principal},
    id::EventId,
    log::{Log, append::AppendPolicy, segment::LineHash},
    time::Timestamp,
};
use annals_tests::{clock::VirtualClock, entropy::SeededEntropy, memory::MemoryStore, sample};
use annals_verify::{
    Expectation,
    report::Report,
    tail::{Fetched, Tail},
    verify,
};
use flate2::{read::MultiGzDecoder, write::GzEncoder};
use serde_json::json;

/// How a delivery is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// The number of appends.
    pub(crate) segments: usize,
    /// Compresses every n-th object.
    pub(crate) compress: Option<usize>,
    pub(crate) layout: KeyLayout,
    /// The number of objects at the beginning that are no longer there.
    pub(crate) expired: usize,
}

/// The delivered objects of a log, and its tail.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    pub(crate) expected: Expectation,
}

/// Returns how many events each append has.
pub(crate) fn sizes(seed: u64, segments: usize) -> Vec<u64> {
    let entropy = SeededEntropy::new(seed ^ 0x512e);
    (0..segments).map(|_| entropy.between(1, 4)).collect()
}

/// Records appends with these numbers of events. Returns the lines of each append.
pub(crate) async fn log(organisation: &str, seed: u64, sizes: &[u64]) -> Vec<Vec<String>> {
    let entropy = SeededEntropy::new(seed);
    let clock = VirtualClock::new(sample::START);
    let store = Arc::new(MemoryStore::new());
    let log = Log::new(store.clone(), clock.clone(), entropy.fork(), AppendPolicy::default());
    let organisation = sample::organisation(organisation);
    for (number, size) in sizes.iter().enumerate() {
        clock.advance(Duration::from_millis(entropy.between(1, 400_000)));
        let bodies = (0..*size).map(|index| sample::body(&format!("{number}-{index}"))).collect();
        log.append(&organisation, bodies, None).await.unwrap();
    }
    let journal = store.journal(&organisation.id);
    let text = |segment: &Arc<annals_core::log::segment::Segment>| {
        segment.lines(&organisation.id).unwrap().into_iter().map(|line| line.text).collect()
    };
    journal.iter().map(text).collect()
}

impl Plan {
    pub(crate) async fn deliver(self) -> Delivery {
        let log = log("acme", self.seed, &sizes(self.seed, self.segments)).await;
        let entropy = SeededEntropy::new(self.seed ^ 0xde11);
        let mut destination = sample::destination(&sample::organisation("acme"), "d");
        destination.settings.layout = self.layout;
        let (mut objects, mut rest, mut number) = (BTreeMap::new(), log.as_slice(), 0);
        let mut first = None;
        while !rest.is_empty() {
            let (some, others) = rest.split_at(rest.len().min(1 + entropy.below(3)));
            rest = others;
            let lines = some.concat();
            let at = sample::START.plus(Duration::from_secs(600 * (number as u64 + 1)));
            let compressed = self.compress.is_some_and(|nth| number % nth == 0);
            destination.settings.compression = if compressed { Compression::Gzip } else { Compression::None };
            let from = sequence(&lines[0]);
            let key = object_key(&destination, None, at, &KeySuffix::random(&*entropy));
            if number >= self.expired {
                first.get_or_insert(from);
                objects.insert(key, encode(&content(&lines), compressed));
            }
            number += 1;
        }
        let tail = tail(log.concat().last().unwrap(), Fetched::Now);
        Delivery { objects, expected: Expectation { first, tail: Some(tail), ..Expectation::default() } }
    }
}

impl Delivery {
    /// Creates a small uncompressed delivery: three objects with three events each, from appends of one to three events.
    pub(crate) async fn small() -> Self {
        let lines = log("acme", 6, &[1, 2, 3, 1, 2]).await.concat();
        let tail = Some(tail(lines.last().unwrap(), Fetched::Earlier));
        let expected = Expectation { tail, ..Expectation::default() };
        let mut delivery = Self { objects: BTreeMap::new(), expected };
        for (name, lines) in ["aaaaaaaa", "bbbbbbbb", "cccccccc"].iter().zip(lines.chunks(3)) {
            delivery.put(&format!("2026-11/22/2026-11-22T10-10-00-000Z-{name}.json"), lines);
        }
        delivery
    }

    pub(crate) fn check(&self) -> Report {
        verify(&self.objects, &self.expected).unwrap()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.objects.keys().cloned().collect()
    }

    pub(crate) fn lines(&self, key: &str) -> Vec<String> {
        lines(&decode(&self.objects[key]).unwrap())
    }

    /// Replaces the lines of an object. It stays compressed or not.
    pub(crate) fn put(&mut self, key: &str, lines: &[String]) {
        self.put_content(key, &content(lines));
    }

    /// Replaces the content of an object. It stays compressed or not.
    pub(crate) fn put_content(&mut self, key: &str, content: &[u8]) {
        let compressed = self.objects.get(key).map_or_else(|| key.ends_with(".gz"), |old| is_compressed(old));
        self.objects.insert(key.to_owned(), encode(content, compressed));
    }

    /// Adds an object with a later time in its key. Returns the key.
    pub(crate) fn add(&mut self, number: usize, replay: Option<&str>, lines: &[String]) -> String {
        let at = sample::START.plus(Duration::from_secs(1_000_000 + number as u64));
        let time = at.to_string().replace([':', '.'], "-");
        let replay = replay.map_or_else(String::new, |id| format!("replay/{id}/"));
        let key = format!("{replay}{}/{}/{time}-copy{number:04}.json", &time[..7], &time[8..10]);
        self.put(&key, lines);
        key
    }

    pub(crate) fn tail(&mut self) -> &mut Tail {
        self.expected.tail.as_mut().unwrap()
    }
}

pub(crate) fn is_compressed(object: &[u8]) -> bool {
    object.starts_with(&[0x1f, 0x8b])
}

/// Returns the content of an object, or `None` if it is damaged.
pub(crate) fn decode(object: &[u8]) -> Option<Vec<u8>> {
    if !is_compressed(object) {
        return Some(object.to_vec());
    }
    let mut content = Vec::new();
    MultiGzDecoder::new(object).read_to_end(&mut content).ok().map(|_| content)
}

pub(crate) fn encode(content: &[u8], compressed: bool) -> Vec<u8> {
    if !compressed {
        return content.to_vec();
    }
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(content).unwrap();
    gzip.finish().unwrap()
}

pub(crate) fn content(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

/// Returns the lines of the log in a content, however it is written.
pub(crate) fn lines(content: &[u8]) -> Vec<String> {
    let line = |event: &str| Rendering::recover(event).map_or_else(|| event.to_owned(), |found| found.text);
    std::str::from_utf8(content).unwrap().lines().map(line).collect()
}

pub(crate) fn sequence(line: &str) -> u64 {
    line.strip_prefix(r#"{"sequence":"#).unwrap().split(',').next().unwrap().parse().unwrap()
}

pub(crate) fn id(line: &str) -> EventId {
    let at = line.find(r#""eventId":""#).unwrap() + r#""eventId":""#.len();
    EventId::parse(&line[at..at + 36]).unwrap()
}

/// Returns the tail of a log that ends with `line`.
pub(crate) fn tail(line: &str, fetched: Fetched) -> Tail {
    let id = id(line);
    let timestamp = Some(id.recorded_at().to_string());
    let (sequence, hash) = (id.sequence(), LineHash::of(line));
    Tail { sequence, id: Some(id), organisation: None, hash, timestamp, fetched, note: None }
}

/// Returns `line` as Annals would have written it at another sequence, with `from` replaced by `to`.
pub(crate) fn rewritten(line: &str, sequence: u64, previous: &LineHash, from: &str, to: &str) -> String {
    let old = id(line);
    let acme = "acme".parse().unwrap();
    let index = if u64::from(old.index()) < sequence { old.index() } else { 0 };
    let new = EventId::new(&acme, old.recorded_at(), sequence - u64::from(index), index);
    let start = line.find(r#""previousHash":""#).unwrap() + r#""previousHash":""#.len();
    let rest = line[start + 64..].replacen(from, to, 1);
    let time: Timestamp = new.recorded_at();
    format!(r#"{{"sequence":{sequence},"eventId":"{new}","timestamp":"{time}","previousHash":"{previous}{rest}"#)
}

/// Replaces the body of `line` with that of an event about a gap: events that expired before they were delivered.
/// `recorded_by` says who recorded it.
pub(crate) fn gap(line: &str, recorded_by: &str, first: u64, last: u64) -> String {
    let thing = |id: &str, entity_type| Entity { id: id.into(), name: id.into(), entity_type };
    let event = OwnEvent {
        action: "EXPIRE",
        kind: "destination.gap",
        entity: thing("d", "S3_AUDIT_SINK"),
        principal: Principal::machine("annals", "annals", "SYSTEM"),
        before: None,
        after: None,
        client_type: "SYSTEM",
        context: None,
        payload: Some(json!({"reason": "", "lost": [{"firstSequence": first, "lastSequence": last}]})),
    };
    let (header, _) = line.split_once(r#","action":"#).unwrap();
    let header = header.replacen(r#""recordedBy":"platform""#, &format!(r#""recordedBy":"{recorded_by}""#), 1);
    format!("{header},{}", event.body().event().strip_prefix('{').unwrap())
}

/// Returns a line that follows another one, recorded `later`, as someone invents it who knows how lines and ids are made.
pub(crate) fn invented(last: &str, later: Duration) -> String {
    let number = sequence(last) + 1;
    let line = rewritten(last, number, &LineHash::of(last), "Ada", "Eve");
    let start = line.find(r#""timestamp":""#).unwrap() + 13;
    let time = id(&line).recorded_at().plus(later);
    let id = EventId::new(&"acme".parse().unwrap(), time, number, 0);
    let rest = &line[start + 24..];
    format!(r#"{{"sequence":{number},"eventId":"{id}","timestamp":"{time}{rest}"#)
}
