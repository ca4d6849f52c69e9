//! A token that was just created. Its text goes from the form to the page that follows in a cookie, which that page deletes:
//! nothing stores the text, and a reload neither creates another token nor shows the text again.

use annals_core::{
    time::Timestamp,
    token::{Token, TokenHash, TokenText},
};
use annals_http::console::{self, Embedding, session::Cookie};
use http::header;

use crate::prelude::*;

/// How long the browser keeps the cookie if the page that follows is not loaded, in seconds.
const LIFE_SECONDS: u64 = 120;

#[derive(Clone, PartialEq, Eq)]
pub struct CreatedToken {
    pub name: String,
    pub text: String,
    /// The API's address.
    pub api: String,
    /// When the token that it replaces expires.
    pub old_token_expires_at: Option<Timestamp>,
}

impl std::fmt::Debug for CreatedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedToken").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Redirects to the page that shows the token.
pub(super) fn redirect(request: &ConsoleRequest, embedding: &Embedding, text: &TokenText) -> Response {
    let mut response = console::redirect(&format!("{}/console/tokens", request.call.base_path()));
    let cookie = Cookie::NewToken.set(request.call.headers(), embedding, text.reveal(), LIFE_SECONDS);
    response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    response
}

/// Returns the token whose text the browser brings, if it is one of the organisation's `tokens`: nobody else's is shown.
pub(super) fn take(request: &ConsoleRequest, tokens: &[Token], now: Timestamp) -> Option<CreatedToken> {
    let text = Cookie::NewToken.value(request.call.headers())?;
    let hash = TokenHash::of(text);
    let token = tokens.iter().find(|token| token.hash == hash && token.is_live(now))?;
    let replaced = tokens.iter().find(|other| Some(&other.id) == token.replaces.as_ref());
    Some(CreatedToken {
        name: token.name.clone(),
        text: text.to_owned(),
        api: request.call.root_url(),
        old_token_expires_at: replaced.and_then(|replaced| replaced.expires_at).filter(|at| *at > now),
    })
}

/// Has the browser delete the text, if it brought one.
pub(super) fn forget(request: &ConsoleRequest, embedding: &Embedding, response: &mut Response) {
    let headers = request.call.headers();
    let cookie = Cookie::NewToken.value(headers).and_then(|_| Cookie::NewToken.set(headers, embedding, "", 0));
    response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
}

impl CreatedToken {
    pub(super) fn render(&self) -> Markup {
        let curl = format!("curl -s '{}/audit?pageSize=10' \\\n  -H 'Authorization: Bearer {}'", self.api, self.text);
        html! {
            section .notice .good aria-labelledby="created" {
                h2 #created { "Copy the token now" }
                p {
                    "It is shown only now, because we do not store it. Token: " strong { (self.name) } "."
                }
                (ui::copyable("Token", &self.text))
                (ui::copyable("Try it", &curl))
                @if let Some(at) = self.old_token_expires_at {
                    p { "The old token works until " (ui::time(at)) "." }
                }
            }
        }
    }
}
