//! One destination: how it stands, what to do about it, and what can be done with it.

use annals_core::{
    delivery::{Delivery, failure::RemediedBy, setup::Setup},
    destination::{Destination, Failing, Progress},
    organisation::Organisation,
    time::Timestamp,
};
use maud::{Markup, html};

use super::{
    advice::Advice,
    connection_test::{ConnectionTest, paste_for, said},
    form,
    history::History,
    setup::SetupView,
};
use crate::{
    fields::Fields,
    layout::Shell,
    ui::{self, Tone},
};

/// A destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    /// Its id.
    pub id: String,
    /// The bucket.
    pub bucket: String,
    /// The role.
    pub role_arn: String,
    /// What is sent whenever the role is assumed.
    pub external_id: String,
    /// The status in a word, and its colour.
    pub state: (Tone, &'static str),
    /// The status line, and the moment that it ends with.
    pub status: (String, Option<Timestamp>),
    /// When an object was last put there.
    pub last_success: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// How many days events wait while nothing can be sent.
    pub retention_days: u16,
    /// Whether its owner has paused it.
    pub is_paused: bool,
    /// Whether the plan does not include it.
    pub is_disabled: bool,
    /// What is wrong, where the last attempt failed.
    pub failing: Option<FailingView>,
    /// What expired before its delivery was confirmed.
    pub lost: Option<LostView>,
    /// What is being delivered once more.
    pub replay: Option<ReplayView>,
    /// What a test has just found.
    pub connection_test: Option<ConnectionTest>,
    /// Everything else; none where another destination is looked at.
    pub more: Option<More>,
}

/// What is shown of a destination that is looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct More {
    /// What to set up in AWS.
    pub setup: SetupView,
    /// What was delivered.
    pub history: History,
    /// Its settings.
    pub settings: Fields,
    /// A replay by time.
    pub replay_by_time: Fields,
    /// A replay by sequence.
    pub replay_by_sequence: Fields,
}

/// Delivery that does not succeed at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingView {
    /// Why.
    pub cause: String,
    /// What to change where.
    pub advice: Advice,
    /// What AWS said.
    pub aws: Option<String>,
    /// What kind of failure it is.
    pub code: &'static str,
    /// Who can mend it.
    pub remedied_by: &'static str,
    /// Since when.
    pub since: Timestamp,
    /// How often in a row.
    pub attempts: u32,
    /// When it is tried again at the earliest.
    pub retry_at: Timestamp,
}

/// Events that expired before their delivery was confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostView {
    /// How many, in words.
    pub events: String,
    /// The last of them, in words.
    pub last: String,
    /// When that was noticed.
    pub noticed_at: Timestamp,
}

/// A replay in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayView {
    /// The sequence that is next.
    pub next: String,
    /// The last one.
    pub last: String,
    /// When it was asked for.
    pub started_at: Timestamp,
    /// What its keys begin with, behind the prefix.
    pub folder: String,
}

impl Card {
    /// A destination that is not looked at further.
    #[must_use]
    pub fn of(organisation: &Organisation, destination: &Destination, setup: &Setup) -> Self {
        let progress = &destination.progress;
        let failing = progress.failing.as_ref();
        Self {
            id: destination.id.to_string(),
            bucket: destination.bucket.to_string(),
            role_arn: destination.role_arn.to_string(),
            external_id: organisation.external_id.clone(),
            state: match destination.state() {
                "sent" => (Tone::Good, "Sending"),
                "failing" => (Tone::Bad, "Failing"),
                "paused" => (Tone::Warning, "Paused"),
                "disabled" => (Tone::Warning, "Disabled"),
                _ => (Tone::Neutral, "New"),
            },
            status: status(destination),
            last_success: progress.last_success,
            created_at: destination.created_at,
            retention_days: organisation.retention.days(),
            is_paused: destination.paused,
            is_disabled: destination.disabled,
            failing: failing.filter(|_| destination.is_active()).map(|failing| FailingView::of(failing, setup)),
            lost: progress.lost.as_ref().map(|lost| LostView {
                events: ui::count(lost.events, "event", "events"),
                last: match (*lost.last.start(), *lost.last.end()) {
                    (first, last) if first == last => format!("number {}", ui::number(first)),
                    (first, last) => format!("numbers {} to {}", ui::number(first), ui::number(last)),
                },
                noticed_at: lost.noticed_at,
            }),
            replay: destination.replay.as_ref().map(|replay| ReplayView {
                next: ui::number(replay.next),
                last: ui::number(replay.last),
                started_at: replay.started_at,
                folder: format!("replay/{}/", replay.id),
            }),
            connection_test: None,
            more: None,
        }
    }

    /// With all that there is to see of it.
    #[must_use]
    pub fn in_full(self, destination: &Destination, setup: &Setup, deliveries: &[Delivery]) -> Self {
        let works = destination.progress.last_success.is_some()
            || self.connection_test.as_ref().is_some_and(|connection_test| connection_test.passed);
        let more = More {
            setup: SetupView::of(setup, !works),
            history: History::few(deliveries, destination),
            settings: form::settings(destination),
            replay_by_time: form::replay_by_time(),
            replay_by_sequence: form::replay_by_sequence(),
        };
        Self { more: Some(more), ..self }
    }

    fn path(&self, what: &str) -> String {
        format!("/console/destinations/{}/{what}", self.id)
    }

    /// As HTML: sections below the first heading.
    #[must_use]
    pub fn render(&self, shell: &Shell) -> Markup {
        let id = &self.id;
        html! {
            section .card id={ "destination-" (id) } aria-labelledby={ "bucket-" (id) } {
                div .row .spread {
                    h2 .break id={ "bucket-" (id) } { (self.bucket) }
                    (ui::badge(self.state.0, self.state.1))
                }
                p .status {
                    (self.status.0)
                    @if let Some(at) = self.status.1 { (ui::time(at)) }
                }
                (self.facts())
                (self.buttons(shell))
                @if let Some(connection_test) = &self.connection_test { (connection_test.render(&format!("test-{id}"))) }
                (self.troubles())
                @if self.more.is_none() {
                    p {
                        a href={ (shell.href("/console/destinations")) "?destination=" (id) } {
                            "Setup, deliveries and settings" span .visually-hidden { " of " (self.bucket) }
                        }
                    }
                }
            }
            @if let Some(more) = &self.more {
                @let setup = more.setup.render(&format!("setup-{id}"));
                @if more.setup.is_due { (setup) }
                section .card aria-labelledby={ "deliveries-" (id) } {
                    h2 id={ "deliveries-" (id) } { "Deliveries" }
                    (more.history.render(shell, &format!("deliveries-{id}")))
                }
                @if !more.setup.is_due { (setup) }
                (self.settings(more, shell))
                @if !self.is_disabled { (self.replays(more, shell)) }
            }
        }
    }

    fn facts(&self) -> Markup {
        html! {
            dl .facts {
                div { dt { "Bucket name" } dd { code { (self.bucket) } } }
                div { dt { "Role ARN" } dd { code { (self.role_arn) } } }
                div { dt { "External ID" } dd { code { (self.external_id) } } }
                div {
                    dt { "Last delivery" }
                    dd { @match self.last_success { Some(at) => (ui::time(at)), None => "None yet" } }
                }
                div { dt { "Saved" } dd { (ui::time(self.created_at)) } }
            }
        }
    }

    fn troubles(&self) -> Markup {
        html! {
            @if self.is_disabled {
                (ui::notice(Tone::Warning, &html! {
                    p {
                        "Your organisation's plan does not include delivery any more. Events wait, each for "
                        (self.retention_days) " days from when it was recorded; once a plan with delivery is in force, it "
                        "goes on by itself where it stopped. Whoever manages the subscription in the product that you "
                        "came from can change the plan."
                    }
                }))
            } @else if self.is_paused {
                (ui::notice(Tone::Warning, &html! {
                    p {
                        "Events wait, each for " (self.retention_days) " days from when it was recorded; after that it "
                        "expires, and cannot be delivered any more."
                    }
                }))
            }
            @if let Some(failing) = &self.failing { (failing.render(self.more.is_some() && self.connection_test.is_none())) }
            @if let Some(lost) = &self.lost {
                (ui::notice(Tone::Bad, &html! {
                    p { strong { (lost.events) " expired before delivery was confirmed." } }
                    p {
                        "The latest: " (lost.last) ", noticed at " (ui::time(lost.noticed_at))
                        ". What expired cannot be delivered any more; some of it may be in the bucket all the same."
                    }
                }))
            }
            @if let Some(replay) = &self.replay {
                (ui::notice(Tone::Neutral, &html! {
                    p {
                        strong { "A replay is in progress. " }
                        "Next is sequence " (replay.next) ", the last will be " (replay.last) ". Asked for at "
                        (ui::time(replay.started_at)) "; it goes below " code { (replay.folder) } "."
                    }
                }))
            }
        }
    }

    fn buttons(&self, shell: &Shell) -> Markup {
        let passed = self.connection_test.as_ref().is_some_and(|connection_test| connection_test.passed);
        let class = match (passed, self.last_success) {
            (true, _) => "good",
            (false, None) => "primary",
            (false, Some(_)) => "plain",
        };
        let of_bucket = html! { span .visually-hidden { " " (self.bucket) } };
        html! {
            div .row {
                form method="post" data-test action={ (shell.href(&self.path("test"))) "#test-" (self.id) } {
                    (shell.form_token())
                    button .(class) type="submit" {
                        @if passed { span aria-hidden="true" { "✓" } }
                        "Test" (of_bucket) @if passed { span .visually-hidden { ": it works" } }
                    }
                }
                @if !self.is_disabled {
                    form method="post" action=(shell.href(&self.path(if self.is_paused { "resume" } else { "pause" }))) {
                        (shell.form_token())
                        button type="submit" { @if self.is_paused { "Resume" } @else { "Pause" } (of_bucket) }
                    }
                }
                a .button .danger href=(shell.href(&self.path("delete"))) data-question { "Delete" (of_bucket) }
            }
        }
    }

    fn settings(&self, more: &More, shell: &Shell) -> Markup {
        html! {
            details .card .fold open[more.settings.is_invalid()] {
                summary { h2 { "Settings" } span .hint { "prefix, region, compression, layout, bucket owner" } }
                form .fields method="post" action=(shell.href(&self.path("settings"))) {
                    (shell.form_token())
                    (more.settings.render(&format!("settings-{}", self.id)))
                    div .row { button type="submit" { "Save the settings" } }
                    p .hint {
                        "They hold from the next delivery on; one that was begun is finished as it was begun. To change "
                        "the bucket or the role, delete this destination and save another."
                    }
                }
            }
        }
    }

    fn replays(&self, more: &More, shell: &Shell) -> Markup {
        let action = shell.href(&self.path("replay"));
        let refused = more.replay_by_time.is_invalid() || more.replay_by_sequence.is_invalid();
        html! {
            details .card .fold open[refused] {
                summary { h2 { "Replay" } span .hint { "deliver events once more" } }
                p {
                    "What was lost or damaged in the bucket can be delivered once more, under keys of its own below "
                    code { "replay/" } ". What is delivered regularly goes on beside it."
                }
                div .either {
                    form .fields method="post" action=(action) aria-label="Replay by time" {
                        (shell.form_token())
                        h3 { "What was recorded from one moment to another" }
                        (more.replay_by_time.render(&format!("time-{}", self.id)))
                        div .row { button type="submit" name="by" value="time" { "Replay this time" } }
                    }
                    form .fields method="post" action=(action) aria-label="Replay by sequence" {
                        (shell.form_token())
                        h3 { "From one sequence to another, both included" }
                        (more.replay_by_sequence.render(&format!("sequence-{}", self.id)))
                        div .row { button type="submit" name="by" value="sequence" { "Replay these sequences" } }
                    }
                }
            }
        }
    }
}

impl FailingView {
    fn of(failing: &Failing, setup: &Setup) -> Self {
        let failure = &failing.failure;
        Self {
            cause: failure.cause.clone(),
            advice: Advice::read(&failure.fix, paste_for(failure.code, setup)),
            aws: failure.aws.clone(),
            code: failure.code.as_str(),
            remedied_by: match failure.code.remedied_by() {
                RemediedBy::Customer => "This is for you to mend.",
                RemediedBy::Operator => "This is for us to mend.",
                RemediedBy::Time => "This passes by itself.",
            },
            since: failing.since,
            attempts: failing.attempts,
            retry_at: failing.retry_at,
        }
    }

    fn render(&self, in_full: bool) -> Markup {
        html! {
            div .notice .bad .long {
                p { strong { (self.cause) } " " (self.remedied_by) }
                @if in_full {
                    (self.advice.render())
                    @if let Some(aws) = &self.aws { (said(aws)) }
                }
                p .hint {
                    "Failing since " (ui::time(self.since)) ", " (ui::count(self.attempts.into(), "attempt", "attempts"))
                    " so far. The next is made at " (ui::time(self.retry_at)) " or soon after; a test that passes has it "
                    "made at the next delivery. Events wait meanwhile. " code { (self.code) }
                }
            }
        }
    }
}

/// The status line, and the moment that it ends with. What failed, and what expired, is told elsewhere.
fn status(destination: &Destination) -> (String, Option<Timestamp>) {
    let progress = Progress { lost: None, ..destination.progress.clone() };
    let line = Destination { progress, ..destination.clone() }.status();
    let line = match &destination.progress.failing {
        Some(failing) => {
            let cause = format!(": {}", failing.failure.cause);
            line.split_once(&cause).map_or(line.clone(), |(line, _)| line.to_owned())
        }
        None => line,
    };
    let moments =
        [destination.progress.failing.as_ref().map(|failing| failing.since), destination.progress.last_success];
    for at in moments.into_iter().flatten() {
        if let Some(line) = line.strip_suffix(&at.to_string()) {
            return (line.to_owned(), Some(at));
        }
    }
    (line, None)
}
