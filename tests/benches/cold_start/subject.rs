//! A deployed function and its measurements.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use annals_tests::{gateway::Answer, runtime_api::Function};
use flate2::{Compression, write::DeflateEncoder};
use serde_json::Value;

/// A function to be measured.
#[derive(Debug)]
pub(crate) struct Subject {
    /// Its programming language.
    pub(crate) name: &'static str,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// Its variables besides those of Lambda.
    pub(crate) environment: Vec<(String, String)>,
    /// The package: a file, or a folder with its contents.
    pub(crate) package: PathBuf,
    /// The number of starts.
    pub(crate) starts: usize,
    pub(crate) append: Value,
    /// Requests that alternate with appends after the first one.
    pub(crate) read: Option<Value>,
}

/// Measurements. Times are medians.
#[derive(Debug)]
pub(crate) struct Measured {
    /// From exec to the first request for an event.
    pub(crate) init: Duration,
    /// The first append, from the event to the answer.
    pub(crate) first: Duration,
    /// Resident when it asked for its first event, the most of all starts.
    pub(crate) resident_bytes: u64,
    /// Resident after 1,000 requests.
    pub(crate) worked_bytes: u64,
    /// The package, zipped.
    pub(crate) package_bytes: u64,
}

/// Instructions in user space.
#[derive(Debug)]
pub(crate) struct Instructions {
    pub(crate) init: u64,
    pub(crate) first: u64,
}

/// How many requests memory is measured after.
const REQUESTS: usize = 1000;

impl Subject {
    pub(crate) async fn measure(&self) -> Measured {
        let (mut inits, mut firsts, mut resident_bytes) = (Vec::new(), Vec::new(), 0);
        // The first start finds neither files nor the other side's code in memory.
        drop(self.start(&[]).await);
        for _ in 0..self.starts {
            let begun = Instant::now();
            let function = self.start(&[]).await;
            inits.push(function.ready().await - begun);
            resident_bytes = resident_bytes.max(function.resident_memory_bytes());
            let begun = Instant::now();
            self.ask(&function, &self.append).await;
            firsts.push(begun.elapsed());
        }
        let function = self.start(&[]).await;
        for number in 0..REQUESTS {
            let read = self.read.as_ref().filter(|_| number % 2 == 1);
            self.ask(&function, read.unwrap_or(&self.append)).await;
        }
        Measured {
            init: median(inits),
            first: median(firsts),
            resident_bytes,
            worked_bytes: function.resident_memory_bytes(),
            package_bytes: zipped_bytes(&self.package),
        }
    }

    /// Counts its instructions; they hardly differ from run to run. None where valgrind is not installed, which counts
    /// them on any machine; the processor's own counters are hidden from most virtual ones.
    pub(crate) async fn count(&self, scratch: &Path) -> Option<Instructions> {
        Command::new("valgrind").arg("--version").output().ok()?;
        let log = scratch.join("valgrind.log");
        let log_file = format!("--log-file={}", log.display());
        let valgrind =
            ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", log_file.as_str()];
        let counted = || {
            let log = fs::read_to_string(&log).unwrap();
            let line = log.lines().find(|line| line.contains("refs:")).unwrap_or_else(|| panic!("no count: {log}"));
            let digits: String = line.rsplit(':').next().unwrap().chars().filter(char::is_ascii_digit).collect();
            digits.parse::<u64>().unwrap()
        };
        let function = self.start(&valgrind).await;
        function.ready().await;
        function.terminate().await;
        let init = counted();
        let function = self.start(&valgrind).await;
        self.ask(&function, &self.append).await;
        function.terminate().await;
        Some(Instructions { init, first: counted().saturating_sub(init) })
    }

    async fn start(&self, by: &[&str]) -> Function {
        let mut words = by.iter().copied().chain(self.command.iter().map(String::as_str));
        let program = words.next().unwrap();
        Function::start_by(program, words, self.environment.iter().cloned()).await
    }

    async fn ask(&self, function: &Function, event: &Value) {
        let answer = Answer::of(&function.invoke(event).await.unwrap());
        assert!(matches!(answer.status, 200 | 201), "{} answered {}: {}", self.name, answer.status, answer.body);
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// How large a zip file of it is, deflated as zip programs do it by default.
fn zipped_bytes(path: &Path) -> u64 {
    /// The headers of an entry: 30 bytes before it, 46 in the directory, the name in both (APPNOTE 6.3.10, section
    /// 4.3).
    const HEADER_BYTES: u64 = 30 + 46 + 2 * 40;
    if path.is_dir() {
        return fs::read_dir(path).unwrap().map(|entry| zipped_bytes(&entry.unwrap().path())).sum();
    }
    let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
    deflated.write_all(&fs::read(path).unwrap()).unwrap();
    deflated.finish().unwrap().len() as u64 + HEADER_BYTES
}
