//! Logs: one JSON object per line on Lambda, readable text on a developer's machine. They contain neither tokens nor event
//! bodies.
//!
//! [`metrics`](crate::metrics) writes one line per unit of work. Everything else, such as a failed start, goes through
//! `tracing`.

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// Starts logging as JSON to standard output, for CloudWatch. `RUST_LOG` filters; the default is `info`.
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

/// Starts logging as text to standard error. Standard output is for the program's own output.
pub fn start_text() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_max_level(LevelFilter::TRACE)
        .finish()
        .with(filter())
        .init();
}

/// Removes the line in which the Lambda runtime repeats a returned error, because the unit of work has logged it. The
/// runtime logs a panic there too, but a panic is also on standard error.
fn errors_once(filter: Targets) -> Targets {
    filter.with_target("lambda_runtime::layers::panic", LevelFilter::OFF)
}

/// A level for everything or for single targets, such as `info,annals_core=debug`. `EnvFilter` can filter spans and fields
/// too, but needs a regular expression engine.
fn filter() -> Targets {
    let asked = std::env::var("RUST_LOG").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO))
}
