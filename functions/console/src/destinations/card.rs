//! One destination: its status, its problems, and the actions on it.

use annals_core::{
    delivery::setup::Setup,
    destination::{
        Delivery, Destination, Failing, State,
        connection_test::ConnectionTestReport,
        failure::{Failure, RemediedBy},
        health::Health,
    },
    log::read::Backlog,
    organisation::Organisation,
    time::Timestamp,
};

use super::{
    advice::{AdviceView, Policy, aws_message},
    change::PendingView,
    confirm,
    connection_test::ConnectionTest,
    deliveries::Deliveries,
    replay, settings,
    setup::SetupView,
};
use crate::{events::check, prelude::*, ui::Tone};

#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    pub id: String,
    pub bucket: String,
    pub role_arn: String,
    pub external_id: String,
    pub health: Health,
    /// How many events wait for delivery, if known.
    pub waiting: Option<u64>,
    /// The status as a sentence, and the time that it ends with.
    pub status: (&'static str, Option<Timestamp>),
    pub last_success: Option<Timestamp>,
    pub created_at: Timestamp,
    /// The sequence of the first event that it gets, if known.
    pub first_sequence: Option<String>,
    /// How many days events wait while nothing can be sent.
    pub retention_days: u16,
    pub is_paused: bool,
    /// Whether the plan no longer includes delivery.
    pub is_disabled: bool,
    pub failing: Option<FailingView>,
    pub signed: Option<SignedView>,
    pub unsigned: Option<UnsignedView>,
    pub expired: Option<ExpiredView>,
    pub replay: Option<ReplayView>,
    pub pending: Option<PendingView>,
    pub connection_test: Option<ConnectionTest>,
    /// The details, which are shown only for the selected destination.
    pub details: Option<Details>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Details {
    pub setup: SetupView,
    pub deliveries: Deliveries,
    pub settings: Fields,
    pub replay_by_time: Fields,
    pub replay_by_sequence: Fields,
    /// The form for the code in the test object, if it is awaited.
    pub confirm: Option<Fields>,
}

/// Why delivery fails, and what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingView {
    pub cause: String,
    pub advice: AdviceView,
    pub aws_message: Option<String>,
    pub code: &'static str,
    pub remedied_by: &'static str,
    pub since: Timestamp,
    pub attempts: u32,
    /// The earliest time of the next attempt, unless it has passed.
    pub retry_at: Option<Timestamp>,
}

/// How far deliveries are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedView {
    pub delivered_up_to: String,
    pub signed_up_to: String,
    pub at: Timestamp,
    /// The key of the checkpoint.
    pub key: String,
}

/// Deliveries that could not be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedView {
    pub since: Timestamp,
    pub detail: String,
    pub code: String,
    /// The earliest time of the next attempt, unless it has passed.
    pub retry_at: Option<Timestamp>,
}

/// Events that expired before their delivery was confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredView {
    /// `1 event`, `2 events`.
    pub events: String,
    /// The last range of sequences that expired.
    pub last: String,
    pub noticed_at: Timestamp,
}

/// A replay in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayView {
    pub next_sequence: String,
    pub last_sequence: String,
    pub started_at: Timestamp,
    /// The folder of its objects, below the key prefix.
    pub folder: String,
}

impl Card {
    #[must_use]
    pub fn of(organisation: &Organisation, destination: &Destination, setup: &Setup, now: Timestamp) -> Self {
        let future = |at: Timestamp| Some(at).filter(|at| *at > now);
        let progress = &destination.progress;
        let failing = progress.failing.as_ref();
        Self {
            id: destination.id.to_string(),
            bucket: destination.bucket.to_string(),
            role_arn: destination.role_arn.to_string(),
            external_id: organisation.external_id.clone(),
            health: Health::of(destination, None, None, now),
            waiting: None,
            status: destination.state().sentence(),
            last_success: progress.last_success,
            created_at: destination.created_at,
            first_sequence: destination.first_sequence.map(ui::number),
            retention_days: organisation.retention.days(),
            is_paused: destination.paused,
            is_disabled: destination.disabled,
            failing: failing
                .filter(|_| destination.is_active())
                .map(|failing| FailingView { retry_at: future(failing.retry_at), ..FailingView::of(failing, setup) }),
            signed: destination.checkpoints.last.as_ref().map(|last| SignedView {
                delivered_up_to: ui::number(destination.next_sequence.saturating_sub(1)),
                signed_up_to: ui::number(last.sequence),
                at: last.at,
                key: last.key.clone(),
            }),
            unsigned: destination.checkpoints.unsigned.as_ref().filter(|_| destination.is_active()).map(|unsigned| {
                UnsignedView {
                    since: unsigned.since,
                    detail: unsigned.detail.clone(),
                    code: unsigned.code.clone(),
                    retry_at: future(unsigned.retry_at),
                }
            }),
            expired: progress.lost.as_ref().map(|lost| ExpiredView {
                events: ui::count(lost.events, "event", "events"),
                last: match (*lost.last.start(), *lost.last.end()) {
                    (first, last) if first == last => format!("sequence {}", ui::number(first)),
                    (first, last) => format!("sequences {} to {}", ui::number(first), ui::number(last)),
                },
                noticed_at: lost.noticed_at,
            }),
            replay: destination.replay.as_ref().map(|replay| ReplayView {
                next_sequence: ui::number(replay.next),
                last_sequence: ui::number(replay.last),
                started_at: replay.started_at,
                folder: format!("replay/{}/", replay.id),
            }),
            pending: PendingView::of(destination),
            connection_test: None,
            details: None,
        }
    }

    /// Adds what a read of the log and the last test say about the destination's health.
    #[must_use]
    pub fn with_health(
        self,
        destination: &Destination,
        test: Option<&ConnectionTestReport>,
        backlog: Option<&Backlog>,
        now: Timestamp,
    ) -> Self {
        let waiting = backlog.map(|backlog| backlog.events);
        let waiting_since = backlog.and_then(|backlog| backlog.since);
        Self { health: Health::of(destination, test, waiting_since, now), waiting, ..self }
    }

    #[must_use]
    pub fn with_details(self, destination: &Destination, setup: &Setup, deliveries: &[Delivery]) -> Self {
        let works = destination.progress.last_success.is_some() || self.passes_test();
        let is_unset = destination.pending.as_ref().is_some_and(|pending| pending.reached_at.is_none());
        let wanted = destination.pending.as_ref().map_or(&destination.proof, |pending| &pending.proof);
        let mut setup = SetupView::of(setup, !works || is_unset);
        if !matches!(destination.state(), State::Sent { .. }) {
            // What is to be mended comes first.
            setup.queries.clear();
        }
        let details = Details {
            setup,
            deliveries: Deliveries::newest(deliveries, destination),
            settings: settings::fields(destination),
            replay_by_time: replay::by_time(),
            replay_by_sequence: replay::by_sequence(),
            confirm: (wanted.proven.is_none() && wanted.challenge.is_some()).then(confirm::fields),
        };
        Self { details: Some(details), ..self }
    }

    /// Returns whether the last test passed, and no delivery has failed since then.
    fn passes_test(&self) -> bool {
        self.connection_test.as_ref().is_some_and(|test| test.passed && !test.is_outdated)
    }

    /// Returns whether the last test shows the advice for the failure.
    fn test_shows_advice(&self) -> bool {
        self.connection_test.as_ref().is_some_and(|test| !test.passed && !test.is_outdated)
    }

    /// Writes the health in one line: the word, and what that means now.
    fn render_health(&self) -> Markup {
        let (tone, word) = word(self.health);
        let waiting = self.waiting.map(|waiting| match waiting {
            0 => "no events waiting".to_owned(),
            waiting => format!("{} waiting", ui::count(waiting, "event", "events")),
        });
        html! {
            p .health {
                (ui::badge(tone, word))
                @match self.health {
                    Health::Disabled => span { "your plan does not include delivery" },
                    Health::Paused => span { "nothing is sent until you resume" },
                    Health::New => span { "set up the bucket and the role, then press Test" },
                    Health::TestFailed { tested_at } => span { "the test of " (ui::time(tested_at)) " failed" },
                    Health::Unproven => span { "nothing is sent until the role is proven to be meant for your organisation" },
                    Health::Ready { .. } => span { "the first delivery is sent within 10 minutes" },
                    Health::Failing { since, retry_at: Some(retry_at) } => {
                        span { "since " (ui::time(since)) }
                        span { "next attempt after " (ui::time(retry_at)) }
                    },
                    Health::Failing { since, retry_at: None } => {
                        span { "since " (ui::time(since)) }
                        span { "next attempt within 10 minutes" }
                    },
                    Health::Recovering { tested_at } => {
                        span { "the test of " (ui::time(tested_at)) " passed" }
                        span { "next attempt within 10 minutes" }
                    },
                    Health::Late { since } => span { "events wait since " (ui::time(since)) ", although nothing failed: we look into it" },
                    Health::Healthy => span { "new events are sent within 10 minutes" },
                }
                @if let Some(waiting) = &waiting { span { (waiting) } }
            }
        }
    }

    /// Returns the address of an action on this destination.
    fn href(&self, action: &str, shell: &Shell) -> String {
        shell.href(&format!("/console/destinations/{}/{action}", self.id))
    }

    /// Writes the sections of this destination.
    #[must_use]
    pub fn render(&self, shell: &Shell) -> Markup {
        let id = &self.id;
        html! {
            section .card id={ "destination-" (id) } aria-labelledby={ "bucket-" (id) } {
                h2 .break id={ "bucket-" (id) } { (self.bucket) }
                (self.render_health())
                p .hint {
                    "Status: " (self.status.0)
                    @if let Some(at) = self.status.1 { " " (ui::time(at)) }
                }
                (self.facts(shell))
                (self.buttons(shell))
                @if let Some(pending) = &self.pending { (pending.render(&self.href("withdraw", shell), shell)) }
                @if let Some(test) = &self.connection_test { (test.render(&format!("test-{id}"))) }
                (self.notices())
                @if self.details.is_none() {
                    p {
                        a href={ (shell.href(Section::Destinations.path())) "?destination=" (id) } {
                            "Setup, deliveries and settings" span .visually-hidden { " of " (self.bucket) }
                        }
                    }
                }
            }
            @if let Some(details) = &self.details {
                @if let Some(test) = &self.connection_test {
                    (confirm::render(details, id, &test.object, &self.href("confirm", shell), shell))
                }
                @let setup = details.setup.render(&format!("setup-{id}"));
                @if details.setup.is_due { (setup) }
                section .card aria-labelledby={ "deliveries-" (id) } {
                    h2 id={ "deliveries-" (id) } { "Deliveries" }
                    (details.deliveries.render(shell, &format!("deliveries-{id}")))
                }
                @if !details.setup.is_due { (setup) }
                (settings::render(&details.settings, id, &self.href("settings", shell), shell))
                @if !self.is_disabled { (replay::render(details, id, &self.href("replay", shell), shell)) }
            }
        }
    }

    fn facts(&self, shell: &Shell) -> Markup {
        html! {
            dl .facts {
                div { dt { "Bucket name" } dd { code { (self.bucket) } } }
                div { dt { "Role ARN" } dd { code { (self.role_arn) } } }
                div { dt { "External ID" } dd { code { (self.external_id) } } }
                div {
                    dt { "Last delivery" }
                    dd { @match self.last_success { Some(at) => (ui::time(at)), None => "None yet" } }
                }
                @if let Some(signed) = &self.signed {
                    div {
                        dt { "Signed" }
                        dd {
                            "Delivered up to event " (signed.delivered_up_to) ", signed up to event "
                            (signed.signed_up_to) " at " (ui::time(signed.at)) ": " code .break { (signed.key) }
                            " " a href=(shell.href(check::PATH)) { "How to check this yourself" }
                        }
                    }
                }
                div { dt { "Saved" } dd { (ui::time(self.created_at)) } }
                @if let Some(first) = &self.first_sequence { div { dt { "First event" } dd { "Sequence " (first) } } }
            }
        }
    }

    fn buttons(&self, shell: &Shell) -> Markup {
        let passed = self.passes_test();
        let class = match (passed, self.last_success) {
            (true, _) => "good",
            (false, None) => "primary",
            (false, Some(_)) => "plain",
        };
        let of_bucket = html! { span .visually-hidden { " " (self.bucket) } };
        html! {
            div .row {
                form method="post" data-test action=(self.href("test", shell)) {
                    (shell.form_token())
                    button .(class) type="submit" {
                        @if passed { span aria-hidden="true" { "✓" } }
                        "Test" (of_bucket) @if passed { span .visually-hidden { ": passed" } }
                    }
                }
                @if !self.is_disabled {
                    form method="post" action=(self.href(if self.is_paused { "resume" } else { "pause" }, shell)) {
                        (shell.form_token())
                        button type="submit" { @if self.is_paused { "Resume" } @else { "Pause" } (of_bucket) }
                    }
                }
                a .button .danger href=(self.href("delete", shell)) data-question { "Delete" (of_bucket) }
            }
        }
    }

    fn notices(&self) -> Markup {
        html! {
            @if self.is_disabled {
                (ui::notice(Tone::Warning, &html! {
                    p {
                        "Your organisation's plan does not include delivery any more. Each event waits for "
                        (self.retention_days) " days after it was recorded. When your plan includes delivery again, it "
                        "continues where it stopped. The person who manages your subscription can change the plan in the "
                        "product that you came from."
                    }
                }))
            } @else if self.is_paused {
                (ui::notice(Tone::Warning, &html! {
                    p {
                        "Each event waits for " (self.retention_days) " days after it was recorded. Then it expires and "
                        "cannot be delivered any more."
                    }
                }))
            }
            @if let (Health::Recovering { .. }, Some(failing)) = (self.health, &self.failing) {
                (ui::notice(Tone::Warning, &html! {
                    p {
                        "Until the test passed, this was wrong since " (ui::time(failing.since)) ": " (failing.cause)
                        " Events wait until the next attempt succeeds."
                    }
                }))
            } @else if let Some(failing) = &self.failing {
                // The test shows the same advice.
                (failing.render(self.details.is_some() && !self.test_shows_advice()))
             }
            @if let Some(unsigned) = &self.unsigned {
                (ui::notice(Tone::Warning, &html! {
                    p {
                        strong { "What was delivered since " (ui::time(unsigned.since)) " is not signed yet. " }
                        (unsigned.detail)
                    }
                    p .hint { (next_attempt(unsigned.retry_at)) code { (unsigned.code) } }
                }))
            }
            @if let Some(expired) = &self.expired {
                (ui::notice(Tone::Bad, &html! {
                    p { strong { (expired.events) " expired before delivery was confirmed." } }
                    p {
                        "The last of them: " (expired.last) ", noticed at " (ui::time(expired.noticed_at))
                        ". Expired events cannot be delivered any more. Some of them may already be in the bucket."
                    }
                }))
            }
            @if let Some(replay) = &self.replay {
                (ui::notice(Tone::Neutral, &html! {
                    p {
                        strong { "A replay is in progress. " }
                        "The next sequence is " (replay.next_sequence) ", the last one is " (replay.last_sequence)
                        ". Started at " (ui::time(replay.started_at)) ". The objects are written below "
                        code { (replay.folder) } "."
                    }
                }))
            }
        }
    }
}

/// Returns the word for a destination's health.
fn word(health: Health) -> (Tone, &'static str) {
    match health {
        Health::Disabled => (Tone::Warning, "Disabled"),
        Health::Paused => (Tone::Warning, "Paused"),
        Health::New => (Tone::Neutral, "New"),
        Health::TestFailed { .. } => (Tone::Bad, "Test failed"),
        Health::Unproven => (Tone::Warning, "Unproven"),
        Health::Ready { .. } => (Tone::Good, "Ready"),
        Health::Failing { .. } => (Tone::Bad, "Failing"),
        Health::Recovering { .. } => (Tone::Warning, "Recovering"),
        Health::Late { .. } => (Tone::Warning, "Late"),
        Health::Healthy => (Tone::Good, "Healthy"),
    }
}

/// Writes when the next attempt is made. `retry_at` is in the future.
fn next_attempt(retry_at: Option<Timestamp>) -> Markup {
    html! {
        @match retry_at {
            Some(at) => { "The next attempt is made after " (ui::time(at)) ". " },
            None => "The next attempt is made within ten minutes. ",
        }
    }
}

impl FailingView {
    fn of(failing: &Failing, setup: &Setup) -> Self {
        let Failure { code, cause, fix, aws } = &failing.failure;
        Self {
            cause: cause.clone(),
            advice: AdviceView::of(fix, Policy::for_failure(*code, setup)),
            aws_message: aws.clone(),
            code: code.as_str(),
            remedied_by: match code.remedied_by() {
                RemediedBy::Customer => "Action needed in your AWS account.",
                RemediedBy::Operator => "We have to fix this. You need not do anything.",
                RemediedBy::Time => "This is temporary. You need not do anything.",
            },
            since: failing.since,
            attempts: failing.attempts,
            retry_at: None,
        }
    }

    fn render(&self, with_advice: bool) -> Markup {
        html! {
            div .notice .bad .long {
                p { strong { (self.cause) } " " (self.remedied_by) }
                @if with_advice {
                    (self.advice.render())
                    @if let Some(message) = &self.aws_message { (aws_message(message)) }
                }
                p .hint {
                    "Failing since " (ui::time(self.since)) ", " (ui::count(self.attempts.into(), "attempt", "attempts"))
                    " so far. " (next_attempt(self.retry_at))
                    @if self.retry_at.is_some() { "If a test passes, it is made within ten minutes. " }
                    "Events wait meanwhile. " code { (self.code) }
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    use annals_core::{
        destination::{Challenge, Lost, PlaceName, Progress, Replay, failure::FailureCode},
        organisation::Plan,
    };

    use super::{
        deliveries::LIMIT,
        fixtures::{
            HOSTILE, at, card, changing, destination, failing, longest, longest_aws_message, organisation, service,
            signed, test_report, unproven, unsigned, working,
        },
        new::NewDestination,
        page::{Done, Page},
    };

    let page = |card: Card| Page::of_cards(vec![card]);
    let aws = longest_aws_message();
    let lost = |events, last| Progress { lost: Some(Lost { events, last, noticed_at: at(1) }), ..Progress::default() };
    let replay = Replay { id: "abcdefgh".into(), next: 1, last: 99_999_999, started_at: at(3), intent: None };
    let everything = Destination {
        replay: Some(replay.clone()),
        progress: Progress { last_success: Some(at(4)), ..lost(12_345_678, 5..=7) },
        ..longest()
    };
    let mut invalid = card(&working(destination()), None, 1, false);
    if let Some(details) = &mut invalid.details {
        for form in [&mut details.settings, &mut details.replay_by_time, &mut details.replay_by_sequence] {
            for field in &mut form.fields {
                *field = field.clone().value(&HOSTILE.repeat(1000));
            }
            form.faults.push("There are no events in this range.".to_owned());
            for name in ["prefix", "until", "firstSequence"] {
                form.add_fault(name, HOSTILE);
            }
        }
    }
    let several = {
        let other = |index: usize| {
            let destination = Destination {
                id: format!("d0000000001{index}").parse().unwrap(),
                bucket: format!("acme-audit-events-{index}").parse().unwrap(),
                ..failing(destination(), FailureCode::BucketMissing, &aws)
            };
            Card { details: None, ..card(&destination, None, 0, true) }
        };
        (1..9).map(other).chain([card(&working(destination()), None, 60, true)]).collect()
    };
    let disabled = Destination { disabled: true, ..working(destination()) };
    let shell = Shell::sample(Section::Destinations);
    [
        ("destinations: saved", Page { done: Some(Done::Saved), ..page(card(&destination(), None, 0, true)) }),
        ("destinations: saved, no link", page(card(&destination(), None, 0, false))),
        ("destinations: working", page(card(&working(destination()), None, 12, true))),
        ("destinations: one delivery", page(card(&working(destination()), None, 1, true))),
        ("destinations: the longest values", page(card(&everything, None, LIMIT, true))),
        (
            "destinations: failing",
            page(card(&failing(working(destination()), FailureCode::KmsDenied, &aws), None, 30, true)),
        ),
        (
            "destinations: failing with the longest values",
            page(card(&failing(working(longest()), FailureCode::RoleNotAssumable, &aws), None, LIMIT, false)),
        ),
        ("destinations: never worked", page(card(&failing(destination(), FailureCode::TimedOut, ""), None, 0, true))),
        ("destinations: unproven", {
            use annals_core::destination::connection_test::StepOutcome::{Passed, Warning};
            let report = test_report([Passed, Warning, Passed, Passed], FailureCode::Unknown, "");
            let report = ConnectionTestReport { passed: false, needs_code: true, ..report };
            page(card(&unproven(longest(), &aws), Some(&report), 0, true))
        }),
        ("destinations: a change waits", page(card(&changing(working(destination()), None), None, 3, true))),
        ("destinations: a change waits for its code", {
            use annals_core::destination::connection_test::StepOutcome::{Passed, Warning};
            let challenge = Challenge { code: "7KQ2MXW4TR".into(), issued_at: at(1), attempts: 0 };
            let destination = changing(working(longest()), Some(challenge));
            let report = test_report([Passed, Warning, Passed, Passed], FailureCode::Unknown, "");
            let place = destination.pending.as_ref().map(|pending| PlaceName::of(&pending.place));
            let report = ConnectionTestReport { passed: false, needs_code: true, place, ..report };
            page(card(&destination, Some(&report), 3, true))
        }),
        ("destinations: paused", page(card(&Destination { paused: true, ..working(destination()) }, None, 3, true))),
        (
            "destinations: disabled",
            Page {
                new: NewDestination::of(&organisation(Plan::Team), 1, &service(true)),
                ..page(card(&disabled, None, 3, true))
            },
        ),
        (
            "destinations: one event expired",
            page(card(&Destination { progress: lost(1, 5..=5), ..destination() }, None, 0, true)),
        ),
        (
            "destinations: replaying",
            page(card(&Destination { replay: Some(replay), ..working(destination()) }, None, 3, true)),
        ),
        ("destinations: signed", page(card(&signed(working(destination())), None, 3, true))),
        ("destinations: unsigned", page(card(&unsigned(working(longest())), None, 3, true))),
        ("destinations: invalid forms", page(invalid)),
        ("destinations: several", Page::of_cards(several)),
    ]
    .map(|(name, page)| (name, page.render(&shell)))
    .into()
}
