//! The page "Audit Events": what is there, what is not yet, and why not.

use annals_core::{
    organisation::{Organisation, Plan},
    service::ServiceSettings,
};
use maud::{Markup, html};

use super::{card::Card, form};
use crate::{
    fields::Fields,
    layout::{Section, Shell},
    ui::{self, Tone},
};

/// The page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What has just been done.
    pub done: Option<Done>,
    /// Why something was not done, where no form says it.
    pub refused: Option<&'static str>,
    /// The destinations.
    pub cards: Vec<Card>,
    /// Whether there may be another.
    pub room: Room,
}

/// Whether there may be another destination.
#[derive(Debug, Clone, PartialEq)]
pub enum Room {
    /// The plan has none at all.
    NotInPlan {
        /// What the plan is called.
        plan: &'static str,
    },
    /// There are as many as the plan allows.
    Full,
    /// There may be one more.
    New(New),
}

/// A destination that is not there yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct New {
    /// What was typed so far.
    pub form: Fields,
    /// Whom the role has to trust.
    pub service_account: String,
    /// What is sent whenever it is assumed.
    pub external_id: String,
}

/// What has just been done, as the page's address says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// A destination was saved.
    Saved,
    /// Its settings were changed.
    Changed,
    /// Its settings were changed, and among them the prefix.
    Moved,
    /// It was paused.
    Paused,
    /// It was resumed.
    Resumed,
    /// A replay was asked for.
    Replayed,
    /// It was deleted.
    Deleted,
}

impl Done {
    /// Everything that can be done.
    pub const ALL: &'static [Self] =
        &[Self::Saved, Self::Changed, Self::Moved, Self::Paused, Self::Resumed, Self::Replayed, Self::Deleted];

    /// Its name in addresses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Saved => "saved",
            Self::Changed => "changed",
            Self::Moved => "moved",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Replayed => "replayed",
            Self::Deleted => "deleted",
        }
    }

    /// What `text` names, if it is one of these.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|done| done.as_str() == text)
    }

    fn text(self) -> &'static str {
        match self {
            Self::Saved => "Saved. Now set up the bucket and the role in AWS, as is said below, and press Test.",
            Self::Changed => "The settings are saved.",
            Self::Moved => {
                "The settings are saved. The role has to be allowed the new prefix: paste its permission policy, which is \
                 below, once more, and press Test."
            }
            Self::Paused => "Paused. Nothing is sent until you resume it.",
            Self::Resumed => "Resumed. Delivery goes on where it stopped, within ten minutes.",
            Self::Replayed => "The replay begins within ten minutes.",
            Self::Deleted => "Deleted. Nothing more is sent there; what is in the bucket stays there.",
        }
    }
}

impl Room {
    /// Whether `organisation`, which has `count` destinations, may have another.
    #[must_use]
    pub fn of(organisation: &Organisation, count: usize, service: &ServiceSettings) -> Self {
        match organisation.plan.destinations() {
            0 => Self::NotInPlan { plan: plan_name(organisation.plan) },
            limit if count >= limit => Self::Full,
            _ => Self::New(New {
                form: form::creation(service),
                service_account: service.account.to_string(),
                external_id: organisation.external_id.clone(),
            }),
        }
    }
}

/// What people call a plan.
fn plan_name(plan: Plan) -> &'static str {
    match plan {
        Plan::Free => "Free",
        Plan::Team => "Team",
        Plan::Enterprise => "Enterprise",
        Plan::EnterpriseTrial => "Enterprise ConnectionTest",
    }
}

impl Page {
    /// As HTML.
    #[must_use]
    pub fn render(&self, shell: &Shell) -> Markup {
        let content = html! {
            div .stack {
                h1 { "Audit Events" }
                p .lead { "Every event of your audit log, sent to an S3 bucket of yours every ten minutes." }
            }
            p .visually-hidden role="status" data-announce {}
            @if let Some(done) = self.done {
                (ui::notice(Tone::Good, &html! { p { (done.text()) } }))
            }
            @if let Some(refused) = self.refused {
                (ui::notice(Tone::Bad, &html! { p { (refused) } }))
            }
            @for card in &self.cards { (card.render(shell)) }
            @match &self.room {
                Room::Full => {}
                Room::NotInPlan { plan } => @if self.cards.is_empty() { (not_in_plan(plan, shell)) },
                Room::New(new) => (new.render(shell)),
            }
        };
        shell.page("Audit Events", &content)
    }
}

fn not_in_plan(plan: &str, shell: &Shell) -> Markup {
    html! {
        section .card aria-labelledby="not-in-plan" {
            h2 #not-in-plan { "Your plan does not include this" }
            p {
                "Delivery to a bucket of your own is part of the plans Enterprise and Enterprise ConnectionTest. Your "
                "organisation's plan is " (plan) ". Whoever manages the subscription in the product that you came from can "
                "change it there."
            }
            p {
                "Your events are recorded all the same: look at them in the "
                a href=(shell.href(Section::Events.path())) { "event viewer" } ", or collect them through the API."
            }
        }
    }
}

impl New {
    fn render(&self, shell: &Shell) -> Markup {
        html! {
            section .card .new aria-labelledby="new-heading" {
                h2 #new-heading { "Add a destination" }
                p {
                    "A destination is an S3 bucket in your AWS account, and an IAM role there that lets us put objects into "
                    "it and do nothing else. The first delivery reaches back seven days."
                }
                ol .steps {
                    li {
                        h3 { "Choose a bucket and a role, and save them" }
                        form .fields method="post" action=(shell.href(Section::Destinations.path())) {
                            (shell.form_token())
                            (self.form.render("new"))
                            div .row { button .primary type="submit" { "Save" } }
                        }
                    }
                    li {
                        h3 { "Set them up in AWS" }
                        p {
                            "Once they are saved, this page has everything filled in to do that in a minute: a "
                            "CloudFormation template, a Terraform module, a script, and the two policies to paste. If you "
                            "would rather begin with the role: it trusts this account, with this external ID."
                        }
                        dl .facts {
                            div { dt { "Our AWS account" } dd { code { (self.service_account) } } }
                            div { dt { "External ID" } dd { code { (self.external_id) } } }
                        }
                    }
                    li {
                        h3 { "Test" }
                        p {
                            "The button Test writes a small object, just as a delivery would. It turns green when it "
                            "worked; otherwise it says which step failed, why, and what to change where."
                        }
                    }
                }
            }
        }
    }
}
