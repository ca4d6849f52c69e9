//! The described company and its customers. These are assumptions; their usage is counted.

use std::time::Duration;

/// A SaaS company that runs Annals for its customers, on a working day.
#[derive(Debug)]
pub(crate) struct Company {
    pub(crate) kinds: [Kind; 3],
    /// How the product's backend posts.
    pub(crate) batches: [Batch; 3],
    /// Days that events are kept: the default.
    pub(crate) retention_days: u32,
    /// How often a SIEM asks.
    pub(crate) poll_every: Duration,
    /// How often is delivered: as `template.yaml` has it.
    pub(crate) tick_every: Duration,
    /// ReceiveMessage calls that find nothing: Lambda begins with five long polls of 20 seconds (AWS Lambda, "Using
    /// Lambda with Amazon SQS").
    pub(crate) idle_receives_a_day: f64,
    /// What CloudWatch takes in for an invocation: our own line, and what Lambda writes at start and end.
    pub(crate) log_bytes_an_invocation: f64,
    /// How long invocations take on average, starts of new instances included.
    pub(crate) durations: Durations,
}

/// Customers of one size.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) organisations: usize,
    /// Events of each a day.
    pub(crate) events_a_day: f64,
    /// How many of them have a SIEM that polls.
    pub(crate) pollers: usize,
    /// How many of them have a destination.
    pub(crate) destinations: usize,
    /// Pages that people look at, of all of them together, a day.
    pub(crate) views_a_day: usize,
}

/// Events that are posted together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) events: usize,
    /// Which part of all events is posted so.
    pub(crate) share: f64,
    /// Whether with an `Idempotency-Key`, which costs a write unit.
    pub(crate) keyed: bool,
}

/// How long an invocation takes. Assumed, and the same for both designs: that favours the one that makes more calls.
#[derive(Debug)]
pub(crate) struct Durations {
    pub(crate) record: Duration,
    pub(crate) read: Duration,
    pub(crate) plan: Duration,
    /// Ten destinations.
    pub(crate) ship: Duration,
    pub(crate) maintain: Duration,
}

/// The described company: 200 organisations, 2 million events a day, 60 SIEMs, 120 destinations.
pub(crate) const COMPANY: Company = Company {
    kinds: [
        Kind { organisations: 10, events_a_day: 100_000.0, pollers: 10, destinations: 10, views_a_day: 480 },
        Kind { organisations: 40, events_a_day: 20_000.0, pollers: 30, destinations: 30, views_a_day: 720 },
        Kind { organisations: 150, events_a_day: 1_333.0, pollers: 20, destinations: 80, views_a_day: 720 },
    ],
    batches: [
        // What a product posts while it answers its own user.
        Batch { events: 1, share: 0.40, keyed: false },
        // What annals-client gathers in a busy second, and in imports.
        Batch { events: 25, share: 0.35, keyed: true },
        Batch { events: 100, share: 0.25, keyed: true },
    ],
    retention_days: 90,
    poll_every: Duration::from_secs(60),
    tick_every: Duration::from_secs(600),
    idle_receives_a_day: 5.0 * 3.0 * 1440.0,
    log_bytes_an_invocation: 1000.0,
    durations: Durations {
        record: Duration::from_millis(20),
        read: Duration::from_millis(25),
        plan: Duration::from_millis(500),
        ship: Duration::from_millis(1500),
        maintain: Duration::from_secs(3),
    },
};

/// Customers without events.
#[derive(Debug)]
pub(crate) struct Idle {
    pub(crate) destinations: usize,
    /// What planning all of them takes, as `benches/scale.rs` prints it: invocations, and their time together.
    pub(crate) plan_invocations: f64,
    pub(crate) plan: Duration,
    /// What maintaining all of their logs takes, of which half are due on a day: a part of what `benches/maintenance.rs` prints.
    pub(crate) maintain_invocations: f64,
    pub(crate) maintain: Duration,
}

pub(crate) const IDLE: Idle = Idle {
    destinations: 100_000,
    plan_invocations: 9.0,
    plan: Duration::from_secs(28),
    maintain_invocations: 3.0,
    maintain: Duration::from_secs(60),
};

impl Company {
    pub(crate) fn events_a_day(&self) -> f64 {
        self.kinds.iter().map(|kind| kind.organisations as f64 * kind.events_a_day).sum()
    }

    /// The customers of `1 / part` of the company.
    pub(crate) fn sample(&self, part: usize) -> Vec<Tenant> {
        let of_kind = |kind: &Kind| {
            let count = |number: usize| number / part;
            let (pollers, destinations) = (count(kind.pollers), count(kind.destinations));
            let events_a_day = kind.events_a_day;
            (0..count(kind.organisations))
                .map(|number| Tenant { events_a_day, polls: number < pollers, delivers: number < destinations })
                .collect::<Vec<_>>()
        };
        self.kinds.iter().flat_map(of_kind).collect()
    }
}

/// One customer of the sample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tenant {
    pub(crate) events_a_day: f64,
    pub(crate) polls: bool,
    /// Whether it has a destination.
    pub(crate) delivers: bool,
}
