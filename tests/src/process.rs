//! A program under test. It is started with its own environment, its output is kept, and it ends with the test.

use std::{
    io::Read,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::watch;

/// A running program. Dropping it kills the program, and shows its output if the test fails.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: Output,
    stderr: Output,
}

/// The output of a program on one stream so far.
#[derive(Debug)]
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    progress: watch::Receiver<Progress>,
    reader: Option<JoinHandle<()>>,
}

/// How much of a stream was read, and whether it is closed.
#[derive(Debug, Clone, Copy)]
struct Progress {
    bytes: usize,
    closed: bool,
}

impl Process {
    /// Starts `program` with no other variables than `environment`.
    #[must_use]
    pub fn start<'a>(
        program: &str,
        arguments: impl IntoIterator<Item = &'a str>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        let stdout = Output::of(child.stdout.take().unwrap());
        let stderr = Output::of(child.stderr.take().unwrap());
        let name = program.rsplit('/').next().unwrap_or(program).to_owned();
        Self { name, child, stdout, stderr }
    }

    /// Standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns when the program has closed standard output, which it does by ending.
    pub async fn closed(&self) {
        let mut progress = self.stdout.progress.clone();
        // An error means that the reader has ended.
        let _ = progress.wait_for(|progress| progress.closed).await;
    }

    /// Returns when the program has written `text` to standard output. Fails if it ends before or takes ten minutes.
    pub async fn wait_for(&self, text: &str) {
        const PATIENCE: Duration = Duration::from_secs(600);
        let mut progress = self.stdout.progress.clone();
        let written = async {
            loop {
                let Progress { closed, .. } = *progress.borrow_and_update();
                if self.stdout().contains(text) {
                    return;
                }
                assert!(!closed, "{} ended before it wrote {text:?}", self.name);
                // An error means that the reader has ended: its last state counts.
                let _ = progress.changed().await;
            }
        };
        tokio::time::timeout(PATIENCE, written)
            .await
            .unwrap_or_else(|_| panic!("{} did not write {text:?}", self.name));
    }

    /// Sends a signal: Ctrl-C sends `INT`, `kill` sends `TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.id())]).status().unwrap();
        assert!(status.success(), "{} takes no signal: {status}", self.name);
    }

    /// Waits for the program's end.
    pub async fn wait(&mut self) -> ExitStatus {
        self.closed().await;
        self.child.wait().unwrap()
    }

    /// Kills the program and returns all of standard output and standard error.
    #[must_use]
    pub fn kill(mut self) -> (String, String) {
        self.end();
        (self.stdout.text(), self.stderr.text())
    }

    fn end(&mut self) {
        // An error means that the program has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for output in [&mut self.stdout, &mut self.stderr] {
            if let Some(reader) = output.reader.take() {
                let _ = reader.join();
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("---- {} wrote to standard output:\n{}", self.name, self.stdout.text());
            eprintln!("---- {} wrote to standard error:\n{}", self.name, self.stderr.text());
        }
    }
}

impl Output {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (report, progress) = watch::channel(Progress { bytes: 0, closed: false });
        let sink = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(count) = stream.read(&mut buffer)
                && count > 0
            {
                sink.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
                report.send_modify(|progress| progress.bytes += count);
            }
            report.send_modify(|progress| progress.closed = true);
        });
        Self { bytes, progress, reader: Some(reader) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}
