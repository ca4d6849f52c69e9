//! A request with a session, and the token that protects its forms against forgery.

use std::net::IpAddr;

use annals_core::{
    admission::AdmissionError,
    caller::Caller,
    organisation::Organisation,
    portal::Session,
    token::{Role, TokenHash},
};
use axum::extract::{FromRef, FromRequest, Request};
use http::{HeaderMap, HeaderValue, Method, header};

use super::{Embedding, refusal::Refusal};
use crate::{
    Services,
    call::{Call, is_https},
    problem::Problem,
    request_log::address,
};

/// The form field that proves that a form was sent by a page of this session.
pub const FORM_TOKEN: &str = "formToken";

/// The most fields of a form that are read. The console's forms have far fewer.
const MAX_FIELDS: usize = 50;

/// A request with a valid session. If it is a POST, its form was sent by a page of that session.
#[derive(Debug)]
pub struct ConsoleRequest {
    pub call: Call,
    pub session: Session,
    pub form: FormData,
    pub form_token: String,
}

impl<S: Send + Sync> FromRequest<S> for ConsoleRequest
where
    Services: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let services = Services::from_ref(state);
        let token = session_token(request.headers()).ok_or(Refusal::NoSession)?.to_owned();
        let session = match services.admission.admit_session(&token, address(request.extensions())).await {
            Ok(session) => session,
            Err(AdmissionError::Unknown) => return Err(Refusal::NoSession),
            Err(error) => return Err(Problem::from(error).into()),
        };
        let is_form = request.method() == Method::POST;
        let is_cross_origin = is_cross_origin(request.headers());
        let call = Call::of(request, Services::from_ref(state), Caller::Session(session.clone())).await?;
        let form_token = form_token(&token);
        let form = FormData::of(&call);
        if is_form && (is_cross_origin || !is_equal(form.text(FORM_TOKEN), &form_token)) {
            return Err(Refusal::ForgedForm);
        }
        Ok(Self { call, session, form, form_token })
    }
}

impl ConsoleRequest {
    /// Reads the session's organisation.
    ///
    /// # Errors
    /// Returns [`Refusal::NotFound`] if the session's role is not one of `roles`, and an error if the store fails.
    pub async fn organisation(&self, roles: &[Role]) -> Result<Organisation, Refusal> {
        if !roles.contains(&self.session.role) {
            return Err(Refusal::NotFound);
        }
        Ok(self.call.organisation_for(roles).await?)
    }
}

/// The fields of a form, as a browser sends them.
#[derive(Debug, Default)]
pub struct FormData(Vec<(String, String)>);

impl FormData {
    fn of(call: &Call) -> Self {
        Self(form_urlencoded::parse(&call.body).into_owned().take(MAX_FIELDS).collect())
    }

    /// Returns the value of a field without surrounding white space; empty if the form does not have the field.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim())
    }
}

/// Returns the browser's valid session. A failure of the store is taken for none.
pub async fn current(services: &Services, headers: &HeaderMap, address: Option<IpAddr>) -> Option<Session> {
    services.admission.admit_session(session_token(headers)?, address).await.ok()
}

/// The cookies of the console. All of them are hidden from scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    Session,
    /// The text of a token that was just created, for the page that follows the form.
    NewToken,
    /// The page that was asked for without a session.
    Return,
}

impl Cookie {
    /// Returns the name. The prefix binds it to this host and to HTTPS (RFC 6265bis, section 4.1.3.2). A local program has no
    /// HTTPS.
    fn name(self, is_https: bool) -> &'static str {
        match (self, is_https) {
            (Self::Session, true) => "__Host-annals",
            (Self::Session, false) => "annals",
            (Self::NewToken, true) => "__Host-annals-token",
            (Self::NewToken, false) => "annals-token",
            (Self::Return, true) => "__Host-annals-return",
            (Self::Return, false) => "annals-return",
        }
    }

    /// Returns the value that the browser sent.
    #[must_use]
    pub fn value(self, headers: &HeaderMap) -> Option<&str> {
        let name = self.name(is_https(headers));
        // Other applications on this domain may set cookies that are not UTF-8.
        let cookies =
            headers.get_all(header::COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
        let mut pairs = cookies.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Returns the `Set-Cookie` header for `seconds`; 0 deletes the cookie. In an iframe of another site the cookie is a
    /// third-party cookie, so it is partitioned by that site (CHIPS).
    #[must_use]
    pub fn set(self, headers: &HeaderMap, embedding: &Embedding, value: &str, seconds: u64) -> Option<HeaderValue> {
        let is_https = is_https(headers);
        let site = match (is_https, embedding.is_allowed()) {
            (true, true) => "; Secure; SameSite=None; Partitioned",
            (true, false) => "; Secure; SameSite=Lax",
            (false, _) => "; SameSite=Lax",
        };
        let name = self.name(is_https);
        HeaderValue::from_str(&format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly{site}")).ok()
    }
}

fn session_token(headers: &HeaderMap) -> Option<&str> {
    Cookie::Session.value(headers)
}

/// Returns the value of [`FORM_TOKEN`] for a session. It cannot be computed without the cookie, and does not reveal the
/// cookie.
#[must_use]
pub fn form_token(session_token: &str) -> String {
    hex::encode(TokenHash::of(&format!("form of {session_token}")).0)
}

/// Compares hashes, so that the duration of the comparison reveals nothing about the values.
fn is_equal(given: &str, expected: &str) -> bool {
    TokenHash::of(given) == TokenHash::of(expected)
}

/// Returns whether the browser says that a page of another origin caused the request. Browsers from before 2023 send only
/// `Origin`, and only with forms.
#[must_use]
pub fn is_cross_origin(headers: &HeaderMap) -> bool {
    let host = |origin: &HeaderValue| origin.to_str().ok()?.split_once("://").map(|(_, host)| host.to_owned());
    match (headers.get("sec-fetch-site"), headers.get(header::ORIGIN)) {
        (Some(site), _) => site != "same-origin",
        (None, Some(origin)) => {
            host(origin).is_none_or(|host| headers.get(header::HOST).is_none_or(|own| *own != *host))
        }
        (None, None) => false,
    }
}
