//! The page "Tokens": all of them, a new one, and the text of one that was just made.

use annals_core::{
    time::Timestamp,
    token::{MAX_TOKENS, Role, Token, TokenText},
};
use maud::{Markup, html};

use crate::{
    fields::Fields,
    layout::{Section, Shell},
    ui::{self, Tone},
};

/// What is shown of a name in the list.
const NAME_CHARS: usize = 60;
/// How many bytes of the page that may take, so that it stays small whatever tokens are called.
const NAME_BYTES: usize = 240;

/// The page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What has just been done.
    pub done: Option<Done>,
    /// The token that was just made: the only time that it is shown.
    pub made: Option<Made>,
    /// The tokens: those that work first, the newest first.
    pub rows: Vec<Row>,
    /// How many of them work.
    pub live: usize,
    /// A new one.
    pub form: Fields,
}

/// What has just been done, as the page's address says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// A token was revoked.
    Revoked,
}

impl Done {
    /// Its name in addresses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
        }
    }

    /// What `text` names, if it is one of these.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        (text == Self::Revoked.as_str()).then_some(Self::Revoked)
    }

    fn text(self) -> &'static str {
        match self {
            Self::Revoked => "Revoked. Whoever uses it is refused from now on, everywhere within a few seconds.",
        }
    }
}

/// A token that was just made.
#[derive(Clone, PartialEq, Eq)]
pub struct Made {
    /// What its holders call it.
    pub name: String,
    /// The token itself.
    pub text: TokenText,
    /// Where the API is.
    pub api: String,
    /// From when on the token that it replaces is refused.
    pub replaced_until: Option<Timestamp>,
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Made").field("name", &self.name).finish_non_exhaustive()
    }
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// What its holders call it, cut where it is long.
    pub name: String,
    /// What its holder may do.
    pub role: &'static str,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// How it stands, in words.
    pub state: (Tone, &'static str),
    /// Whether it still works.
    pub is_live: bool,
    /// Whether the platform alone may make and revoke it.
    pub is_producer: bool,
    /// Whether it can be replaced by another.
    pub can_rotate: bool,
}

impl Row {
    fn of(token: &Token, now: Timestamp, all: &[Token]) -> Self {
        let is_live = token.is_live(now);
        let is_there = |id: &Option<_>| all.iter().any(|other| Some(&other.id) == id.as_ref() && other.is_live(now));
        let is_producer = token.role == Role::Producer;
        let is_replaced = is_there(&token.replaced_by);
        Self {
            id: token.id.to_string(),
            name: cut(&token.name),
            role: token.role.as_str(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            state: match (is_live, is_replaced) {
                (false, _) => (Tone::Neutral, "Ended"),
                (true, true) => (Tone::Warning, "Being replaced"),
                (true, false) => (Tone::Good, "Works"),
            },
            is_live,
            is_producer,
            can_rotate: is_live && !is_producer && !is_replaced && !is_there(&token.replaces),
        }
    }
}

/// The beginning of a name.
fn cut(name: &str) -> String {
    let mut bytes = 0;
    let fits = |character: &char| {
        bytes += ui::html_bytes(*character);
        bytes <= NAME_BYTES
    };
    let beginning: String = name.chars().take(NAME_CHARS).take_while(fits).collect();
    if beginning.len() < name.len() { beginning + "…" } else { beginning }
}

impl Page {
    /// The page as things are.
    #[must_use]
    pub fn of(tokens: &[Token], now: Timestamp, form: Fields) -> Self {
        let mut rows: Vec<Row> = tokens.iter().rev().map(|token| Row::of(token, now, tokens)).collect();
        rows.sort_by_key(|row| !row.is_live);
        let live = rows.iter().filter(|row| row.is_live).count();
        rows.truncate(MAX_TOKENS);
        Self { done: None, made: None, rows, live, form }
    }

    /// As HTML.
    #[must_use]
    pub fn render(&self, shell: &Shell) -> Markup {
        let content = html! {
            div .stack {
                h1 { "Tokens" }
                p .lead { "With a token, a program reads the audit log through the API, or manages it." }
            }
            @if let Some(done) = self.done { (ui::notice(Tone::Good, &html! { p { (done.text()) } })) }
            @if let Some(made) = &self.made { (made.render()) }
            section .card aria-labelledby="all-tokens" {
                div .row .spread {
                    h2 #all-tokens { "All tokens" }
                    span .hint { (self.live) " of at most " (MAX_TOKENS) " in use" }
                }
                @if self.rows.is_empty() {
                    p { "None yet. Create the first one below." }
                } @else {
                    (self.table(shell))
                    @if self.rows.iter().any(|row| row.is_producer) {
                        p .hint {
                            "Producers record events. Their tokens are made and revoked by the product that you came from, so "
                            "that nobody whom the log watches can silence it."
                        }
                    }
                }
            }
            section .card aria-labelledby="new-token" {
                h2 #new-token { "Create a token" }
                @if self.live >= MAX_TOKENS {
                    (ui::notice(Tone::Warning, &html! {
                        p { "There are " (MAX_TOKENS) " tokens, and there can be no more. Revoke one that is not needed." }
                    }))
                }
                form .fields method="post" action=(shell.href(Section::Tokens.path())) {
                    (shell.form_token())
                    (self.form.render("token"))
                    div .row { button .primary type="submit" { "Create the token" } }
                }
            }
        };
        shell.page("Tokens", &content)
    }

    fn table(&self, shell: &Shell) -> Markup {
        html! {
            table .tokens role="table" {
                caption .visually-hidden { "Tokens" }
                thead role="rowgroup" {
                    tr role="row" {
                        @for column in ["Name", "Role", "State", "Created", "Ends", "Last used"] {
                            th scope="col" role="columnheader" { (column) }
                        }
                        th scope="col" role="columnheader" { span .visually-hidden { "What can be done" } }
                    }
                }
                tbody role="rowgroup" {
                    @for row in &self.rows { (row.render(shell)) }
                }
            }
        }
    }
}

impl Row {
    fn render(&self, shell: &Shell) -> Markup {
        let id = &self.id;
        let never = |at: Option<Timestamp>| html! { @match at { Some(at) => (ui::time(at)), None => "Never" } };
        let action = |what: &str, label: &str| {
            let own = format!("{what}-{id}");
            html! {
                a #(own) href=(shell.href(&format!("/console/tokens/{id}/{what}"))) data-question
                    aria-labelledby={ (own) " " (id) } { (label) }
            }
        };
        html! {
            tr role="row" {
                th #(id) scope="row" role="rowheader" { (self.name) }
                td role="cell" { (self.role) }
                td role="cell" { (ui::badge(self.state.0, self.state.1)) }
                td role="cell" { (ui::time(self.created_at)) }
                td role="cell" { (never(self.expires_at)) }
                td role="cell" { (never(self.last_used_at)) }
                td role="cell" {
                    @if self.is_producer {
                        span .hint { "The product’s" }
                    } @else {
                        @if self.can_rotate { (action("replace", "Replace")) }
                        (action("revoke", if self.is_live { "Revoke" } else { "Remove" }))
                    }
                }
            }
        }
    }
}

impl Made {
    fn render(&self) -> Markup {
        let curl =
            format!("curl -s '{}/audit?pageSize=10' \\\n  -H 'Authorization: Bearer {}'", self.api, self.text.reveal());
        html! {
            section .notice .good aria-labelledby="made" {
                h2 #made { "Copy the token now" }
                p {
                    "This is the only time that it is shown: we keep no copy of it. Token: " strong { (self.name) } "."
                }
                (ui::copyable("Token", self.text.reveal()))
                (ui::copyable("Try it", &curl))
                @if let Some(at) = self.replaced_until {
                    p { "The token that it replaces works until " (ui::time(at)) "." }
                }
            }
        }
    }
}

/// The page that asks how a token is to be replaced.
#[must_use]
pub fn rotation_page(id: &str, name: &str, form: &Fields, shell: &Shell) -> Markup {
    let content = html! {
        section #question .card .question aria-labelledby="question-title" {
            h1 #question-title { "Replace this token" }
            p .subject { (name) }
            p { "You get a new token with the same name and role." }
            form .fields method="post" action=(shell.href(&format!("/console/tokens/{id}/replace"))) {
                (shell.form_token())
                (form.render("successor"))
                div .row {
                    a .button href=(shell.href(Section::Tokens.path())) data-no { "Cancel" }
                    button .primary type="submit" { "Create the new token" }
                }
            }
        }
    };
    shell.page("Replace a token", &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_where_it_would_take_too_much_of_the_page() {
        assert_eq!(cut("SIEM"), "SIEM");
        assert_eq!(cut(&"ä".repeat(60)), "ä".repeat(60));
        assert_eq!(cut(&"ä".repeat(61)), format!("{}…", "ä".repeat(60)));
        assert_eq!(cut(&"\"".repeat(60)), format!("{}…", "\"".repeat(40)));
    }
}
