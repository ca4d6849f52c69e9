//! Delivers a million events to a folder and verifies them. Prints seconds and peak memory. Fails if that takes more than a
//! minute, or if memory grows with the number of events:
//! `cargo run -p annals-verify --no-default-features --features bench --bin million [EVENTS]`
//!
//! The development profile is fast enough and needs no second build. With `--release` it is three times as fast.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use annals_core::{id::EventId, log::segment::LineHash, organisation::OrganisationId, time::Timestamp};
use annals_verify::{
    Expectation,
    report::Verdict,
    source::Folder,
    tail::{Fetched, Tail},
    verify,
};
use anyhow::Context as _;
use flate2::{Compression, write::GzEncoder};

const LIMIT: Duration = Duration::from_secs(60);
/// The lines of a million events take about ten times as much.
const MEMORY_KB: u64 = 64 * 1024;
const EVENTS: u64 = 1_000_000;
/// The first event's time.
const START: Timestamp = Timestamp::from_millis(1_795_341_600_000);
/// Events of one append.
const SEGMENT: u64 = 100;
/// Events of one object: about 16 MiB.
const OBJECT: u64 = 27_000;

fn main() -> anyhow::Result<()> {
    let events =
        std::env::args().nth(1).map_or(Ok(EVENTS), |events| events.parse()).context("EVENTS is not a number")?;
    let folder = tempfile::tempdir()?;
    let (tail, bytes) = deliver(folder.path(), events)?;
    let began = Instant::now();
    let expected = Expectation { first: Some(1), tail: Some(tail), ..Expectation::default() };
    let report = verify(&Folder::new(folder.path(), ""), &expected)?;
    let took = began.elapsed();
    let memory = peak_memory_kb();
    let mut out = std::io::stdout();
    writeln!(out, "{}", report.summary)?;
    writeln!(
        out,
        "{:.1} s for {events} events, {} MB in {} objects ({:.0} MB a second); peak memory {} MB",
        took.as_secs_f64(),
        bytes / 1_000_000,
        report.objects,
        bytes as f64 / 1e6 / took.as_secs_f64(),
        memory.map_or_else(|| "unknown".to_owned(), |kb| (kb / 1024).to_string()),
    )?;
    anyhow::ensure!(report.verdict == Verdict::Proven, "a sound delivery was not proven:\n{}", report.to_text(10));
    anyhow::ensure!(took < LIMIT, "it took more than {} s", LIMIT.as_secs());
    anyhow::ensure!(memory.is_none_or(|kb| kb < MEMORY_KB), "it took more than {MEMORY_KB} kB of memory");
    Ok(())
}

/// Writes events to objects as the shipper does, every other one compressed. Returns the tail and the bytes of all lines.
fn deliver(folder: &Path, events: u64) -> anyhow::Result<(Tail, u64)> {
    let acme: OrganisationId = "acme".parse()?;
    let (mut hash, mut bytes, mut last) = (LineHash::ORIGIN, 0, None);
    let mut first = 1;
    while first <= events {
        let at = START.plus(Duration::from_secs(first)).to_string().replace([':', '.'], "-");
        let day = folder.join(&at[..7]).join(&at[8..10]);
        fs::create_dir_all(&day)?;
        let is_compressed = first / OBJECT % 2 == 1;
        let name = format!("{at}-{first:08}.json{}", if is_compressed { ".gz" } else { "" });
        let mut file = BufWriter::new(File::create(day.join(name))?);
        let mut gzip = is_compressed.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
        for sequence in first..events.min(first + OBJECT - 1) + 1 {
            let index = (sequence - 1) % SEGMENT;
            let segment = sequence - index;
            let id = EventId::new(&acme, START.plus(Duration::from_millis(segment)), segment, u16::try_from(index)?);
            let line = line(&acme, id, &hash);
            hash = LineHash::of(&line);
            last = Some(id);
            bytes += line.len() as u64 + 1;
            match &mut gzip {
                Some(gzip) => writeln!(gzip, "{line}")?,
                None => writeln!(file, "{line}")?,
            }
        }
        if let Some(gzip) = gzip {
            file.write_all(&gzip.finish()?)?;
        }
        file.flush()?;
        first += OBJECT;
    }
    let tail = Tail {
        sequence: events,
        id: last,
        organisation: None,
        hash,
        timestamp: None,
        fetched: Fetched::Earlier,
        note: None,
    };
    Ok((tail, bytes))
}

/// Returns a line of about 600 bytes.
fn line(organisation: &OrganisationId, id: EventId, previous: &LineHash) -> String {
    let number = id.sequence();
    format!(
        r#"{{"sequence":{number},"eventId":"{id}","timestamp":"{}","previousHash":"{previous}","organisation":{{"id":"{organisation}","name":"Acme","entityType":"ORGANISATION"}},"action":"UPDATE","type":"mock_api.update","entity":{{"id":"m-{number}","name":"Payments","entityType":"MOCK_API"}},"principal":{{"id":"{}","name":"Ada Bell","entityType":"USER","email":"ada@example.com"}},"clientType":"UI","context":{{"ipAddress":"192.0.2.7","userAgent":"Mozilla/5.0 (X11; Linux x86_64)","requestId":"{:016x}"}}}}"#,
        id.recorded_at(),
        number % 977,
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    )
}

/// Returns the peak memory of this process on Linux.
fn peak_memory_kb() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
