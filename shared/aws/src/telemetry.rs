//! Logs: one JSON object a line on Lambda, readable text on a developer's machine. Never a token, never an event's body.
//!
//! What a function does is told in [`metrics`](crate::metrics), one line a unit of work; here is what else a process says,
//! such as that it cannot start.

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// Starts logging as JSON to standard output, as CloudWatch takes it in. `RUST_LOG` filters, `info` by default.
pub fn start_json() {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .without_time()
        .with_max_level(LevelFilter::TRACE)
        .finish()
        .with(errors_once(filter()))
        .init();
    crate::metrics::start();
}

/// Starts logging as text to standard error, so that standard output is free for what a program prints.
pub fn start_text() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_max_level(LevelFilter::TRACE)
        .finish()
        .with(filter())
        .init();
}

/// Without the line in which the runtime repeats an error that it was given: the unit of work's own has said it. A panic,
/// which the runtime says there, too, is on standard error.
fn errors_once(filter: Targets) -> Targets {
    filter.with_target("lambda_runtime::layers::panic", LevelFilter::OFF)
}

/// Levels, of all or of targets: `info,annals_core=debug`. `EnvFilter` could tell spans and their fields apart, too, but
/// brings an engine for regular expressions.
fn filter() -> Targets {
    let asked = std::env::var("RUST_LOG").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO))
}
