//! Logs: one JSON object a line on Lambda, readable text on a developer's machine. Never a token, never an event's body.

use tracing_subscriber::EnvFilter;

/// Starts logging as JSON to standard output, as CloudWatch takes it in. `RUST_LOG` filters, `info` by default.
pub fn start_json() {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .without_time()
        .with_env_filter(filter())
        .init();
}

/// Starts logging as text to standard error, so that standard output is free for what a program prints.
pub fn start_text() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).with_env_filter(filter()).init();
}

fn filter() -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"))
}
