//! The page "Tokens": the list, and the form for a new token.

use annals_core::{
    organisation::Organisation,
    service::ConsoleTokens,
    time::Timestamp,
    token::{MAX_TOKENS, Role, Token},
};
use annals_http::{ADMINISTRATORS, console::done};
use axum::extract::State;

use super::{
    created::{self, CreatedToken},
    limit_reached, new,
};
use crate::{Console, prelude::*, ui::Tone};

/// The longest part of a name that the list shows, in characters.
const MAX_NAME_CHARS: usize = 60;
/// The same in bytes of HTML, so that the page stays small.
const MAX_NAME_BYTES: usize = 240;

/// `GET /console/tokens`. The parameters `done` and `at` name the last change and its time. A token that was just created is
/// shown once.
pub(super) async fn show(State(console): State<Console>, request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let done =
        done::recent(request.call.query(), request.call.services.clock.now()).and_then(|name| Done::named(&name));
    let services = &request.call.services;
    let tokens = services.administration.tokens(&organisation.id).await.map_err(Problem::from)?;
    let (allowed, now) = (&services.service.console_tokens, services.clock.now());
    let created = created::take(&request, &tokens, now);
    let page = Page { done, created, ..Page::of(&tokens, now, new::fields(allowed), allowed) };
    let mut response = ui::page(page.render(&Shell::of(&request, &organisation, Section::Tokens)));
    created::forget(&request, &console.embedding, &mut response);
    Ok(response)
}

/// Reads the page. `form` is the form for a new token.
pub(super) async fn read(request: &ConsoleRequest, organisation: &Organisation, form: Fields) -> Result<Page, Refusal> {
    let services = &request.call.services;
    let tokens = services.administration.tokens(&organisation.id).await.map_err(Problem::from)?;
    Ok(Page::of(&tokens, services.clock.now(), form, &services.service.console_tokens))
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub done: Option<Done>,
    pub created: Option<CreatedToken>,
    /// Active tokens first, the newest first.
    pub rows: Vec<Row>,
    pub active: usize,
    /// The form for a new token.
    pub form: Fields,
    /// Whether tokens of some role may be created here.
    pub can_create: bool,
}

/// The last change, as the page's address names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    Revoked,
}

impl Done {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
        }
    }

    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        (name == Self::Revoked.as_str()).then_some(Self::Revoked)
    }

    fn message(self) -> &'static str {
        match self {
            Self::Revoked => "Revoked. Within a few seconds, requests with this token are refused everywhere.",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    /// The name, cut if it is long.
    pub name: String,
    pub role: &'static str,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub badge: (Tone, &'static str),
    pub is_active: bool,
    /// Only the platform creates and revokes producers' tokens.
    pub is_producer: bool,
    pub can_be_replaced: bool,
}

impl Row {
    fn of(token: &Token, now: Timestamp, all: &[Token], allowed: &ConsoleTokens) -> Self {
        let is_active = token.is_live(now);
        let is_other_active =
            |id: &Option<_>| all.iter().any(|other| Some(&other.id) == id.as_ref() && other.is_live(now));
        let is_producer = token.role == Role::Producer;
        let is_replaced = is_other_active(&token.replaced_by);
        let is_end = is_replaced || is_other_active(&token.replaces);
        Self {
            id: token.id.to_string(),
            name: cut(&token.name),
            role: token.role.as_str(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            badge: match (is_active, is_replaced) {
                (false, _) => (Tone::Neutral, "Expired"),
                (true, true) => (Tone::Warning, "Being replaced"),
                (true, false) => (Tone::Good, "Active"),
            },
            is_active,
            is_producer,
            can_be_replaced: is_active && !is_end && allowed.roles.contain(token.role),
        }
    }
}

/// Cuts a name to what the list shows.
fn cut(name: &str) -> String {
    let mut bytes = 0;
    let fits = |character: &char| {
        bytes += ui::html_bytes(*character);
        bytes <= MAX_NAME_BYTES
    };
    let beginning: String = name.chars().take(MAX_NAME_CHARS).take_while(fits).collect();
    if beginning.len() < name.len() { beginning + "…" } else { beginning }
}

impl Page {
    #[must_use]
    pub fn of(tokens: &[Token], now: Timestamp, form: Fields, allowed: &ConsoleTokens) -> Self {
        let mut rows: Vec<Row> = tokens.iter().rev().map(|token| Row::of(token, now, tokens, allowed)).collect();
        rows.sort_by_key(|row| !row.is_active);
        let active = rows.iter().filter(|row| row.is_active).count();
        rows.truncate(MAX_TOKENS);
        Self { done: None, created: None, rows, active, form, can_create: !allowed.roles.is_empty() }
    }

    #[must_use]
    pub fn render(&self, shell: &Shell) -> Markup {
        let content = html! {
            div .stack {
                h1 { "Tokens" }
                p .lead { "Programs use tokens to read or manage the audit log through the API." }
            }
            @if let Some(done) = self.done { (ui::done(Tone::Good, done.message())) }
            @if let Some(created) = &self.created { (created.render()) }
            section .card aria-labelledby="all-tokens" {
                div .row .spread {
                    h2 #all-tokens { "All tokens" }
                    span .hint { (self.active) " active, at most " (MAX_TOKENS) }
                }
                @if self.rows.is_empty() {
                    p { "None yet. Create the first one below." }
                } @else {
                    (self.table(shell))
                    @if self.rows.iter().any(|row| row.is_producer) {
                        p .hint {
                            "Producers record events. Only the product that you came from creates and revokes their tokens, so "
                            "that nobody in your organisation can stop the recording."
                        }
                    }
                }
            }
            section .card aria-labelledby="new-token" {
                h2 #new-token { "Create a token" }
                @if !self.can_create {
                    p { "The product that you came from creates tokens." }
                } @else if self.active >= MAX_TOKENS {
                    (ui::notice(Tone::Warning, &html! {
                        p { (limit_reached()) }
                    }))
                }
                @if self.can_create {
                    form .fields method="post" action=(shell.href(Section::Tokens.path())) {
                        (shell.form_token())
                        (self.form.render("token"))
                        div .row { button .primary type="submit" { "Create the token" } }
                    }
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
                        @for column in ["Name", "Role", "State", "Created", "Expires", "Last used"] {
                            th scope="col" role="columnheader" { (column) }
                        }
                        th scope="col" role="columnheader" { span .visually-hidden { "Actions" } }
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
                td role="cell" { (ui::badge(self.badge.0, self.badge.1)) }
                td role="cell" { (ui::time(self.created_at)) }
                td role="cell" { (never(self.expires_at)) }
                td role="cell" { (never(self.last_used_at)) }
                td role="cell" {
                    @if self.is_producer {
                        span .hint { "Managed by the product" }
                    } @else {
                        @if self.can_be_replaced { (action("replace", "Replace")) }
                        (action("revoke", if self.is_active { "Revoke" } else { "Remove" }))
                    }
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    use annals_core::{entropy::Entropy, token::TokenText};

    use super::fixtures::{HOSTILE, NOW, invalid, longest_name, token};

    #[derive(Debug)]
    struct Zeros;

    impl Entropy for Zeros {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    let allowed = ConsoleTokens::default();
    let page = |tokens: &[Token]| Page::of(tokens, NOW, new::fields(&allowed), &allowed);
    let three = [token(0, "Backend", Role::Producer), token(1, "SIEM", Role::Auditor), token(3, HOSTILE, Role::Admin)];
    let quotes: Vec<Token> = (0..3 * MAX_TOKENS).map(|index| token(index, &"\"".repeat(200), Role::Auditor)).collect();
    let full: Vec<Token> =
        (0..MAX_TOKENS).map(|index| Token { expires_at: None, ..token(index, "x", Role::Admin) }).collect();
    let (_, text) = TokenText::generate(&Zeros);
    let created = |old_token_expires_at| CreatedToken {
        name: longest_name(),
        text: text.reveal().to_owned(),
        api: "https://api.example.com/prod".to_owned(),
        old_token_expires_at,
    };
    let shell = Shell::sample(Section::Tokens);
    [
        ("tokens: none", page(&[])),
        ("tokens: three", page(&three)),
        ("tokens: revoked", Page { done: Some(Done::Revoked), ..page(&three) }),
        ("tokens: the longest list", page(&quotes)),
        ("tokens: limit reached", page(&full)),
        ("tokens: created", Page { created: Some(created(None)), ..page(&three) }),
        ("tokens: replaced", Page { created: Some(created(Some(NOW))), ..page(&three) }),
        ("tokens: invalid form", Page { form: invalid(new::fields(&allowed)), ..page(&three) }),
        ("tokens: none can be created", Page { can_create: false, ..page(&three) }),
    ]
    .map(|(name, page)| (name, page.render(&shell)))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_to_its_share_of_the_page() {
        assert_eq!(cut("SIEM"), "SIEM");
        assert_eq!(cut(&"ä".repeat(60)), "ä".repeat(60));
        assert_eq!(cut(&"ä".repeat(61)), format!("{}…", "ä".repeat(60)));
        assert_eq!(cut(&"\"".repeat(60)), format!("{}…", "\"".repeat(40)));
    }

    #[test]
    fn only_known_changes_are_shown_as_done() {
        assert_eq!(Done::named("revoked"), Some(Done::Revoked));
        for name in ["", "Revoked", "<script>"] {
            assert_eq!(Done::named(name), None, "{name}");
        }
    }
}
