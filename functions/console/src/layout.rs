//! What stands around every page: head, header with the sections, footer.

use annals_core::{time::Timestamp, token::Role};
use maud::{DOCTYPE, Markup, html};

use crate::{
    assets::{ICON, SCRIPT, STYLE},
    ui,
    visit::FORM_TOKEN,
};

/// The parts of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The log.
    Events,
    /// The destination.
    Destinations,
    /// Tokens.
    Tokens,
}

impl Section {
    const ALL: [Self; 3] = [Self::Destinations, Self::Events, Self::Tokens];

    /// What it is called in addresses.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Events => "/console/events",
            Self::Destinations => "/console/destinations",
            Self::Tokens => "/console/tokens",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Events => "Event viewer",
            Self::Destinations => "Audit Events",
            Self::Tokens => "Tokens",
        }
    }

    fn is_for(self, role: Role) -> bool {
        role == Role::Admin || self == Self::Events
    }
}

/// Who sees a page, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shell {
    /// What stands before all our paths.
    pub base: String,
    /// The organisation's name.
    pub organisation: String,
    /// The user's name.
    pub user: String,
    /// The user's role.
    pub role: Role,
    /// Where the page belongs.
    pub section: Section,
    /// When the session ends.
    pub session_ends: Timestamp,
    /// What each form carries.
    pub form_token: String,
}

impl Shell {
    /// The address of one of our paths.
    #[must_use]
    pub fn href(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The hidden field that every form with `method="post"` needs.
    #[must_use]
    pub fn form_token(&self) -> Markup {
        html! { input type="hidden" name=(FORM_TOKEN) value=(self.form_token); }
    }

    /// A page with `content` in it.
    #[must_use]
    pub fn page(&self, title: &str, content: &Markup) -> Markup {
        let body = html! {
            a .skip href="#content" { "Skip to the content" }
            header .top {
                div .bar {
                    p .organisation { (self.organisation) }
                    nav aria-label="Sections" {
                        ul {
                            @for section in Section::ALL.into_iter().filter(|section| section.is_for(self.role)) {
                                li {
                                    a href=(self.href(section.path())) aria-current=[(section == self.section).then_some("page")] {
                                        (section.title())
                                    }
                                }
                            }
                        }
                    }
                    div .user {
                        span .name { (self.user) }
                        form method="post" action=(self.href("/console/leave")) {
                            (self.form_token())
                            button .quiet type="submit" { "Sign out" }
                        }
                    }
                }
            }
            main #content { (content) }
            footer {
                p {
                    "Your visit ends at " (ui::time(self.session_ends)) ". "
                    span data-zone { "Times are in UTC." }
                }
            }
        };
        document(&self.base, &format!("{title} · {}", self.organisation), &body)
    }
}

/// A whole HTML document.
#[must_use]
pub fn document(base: &str, title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="stylesheet" href={ (base) "/console/assets/" (STYLE.name) };
                link rel="icon" href={ (base) "/console/assets/" (ICON.name) };
                script src={ (base) "/console/assets/" (SCRIPT.name) } defer {}
            }
            body { (body) }
        }
    }
}
