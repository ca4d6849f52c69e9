//! What every page needs of a request: whose session it is, and a form that is not forged.

use annals_core::{
    admission::AdmissionError,
    organisation::Organisation,
    portal::Session,
    token::{Caller, Role, TokenHash},
};
use annals_http::{
    call::{Call, address, is_https},
    problem::Problem,
};
use axum::extract::{FromRef, FromRequest, Request};
use http::{HeaderMap, HeaderValue, Method, header};

use crate::{
    Console,
    layout::{Section, Shell},
    refusal::Refusal,
};

/// The field of every form that says that it came from a page of this session.
pub const FORM_TOKEN: &str = "formToken";

/// The most fields of a form that are looked at. Ours have far fewer.
const MAX_FIELDS: usize = 50;

/// A request of somebody with a session.
#[derive(Debug)]
pub struct Visit {
    /// The request.
    pub call: Call,
    /// The session.
    pub session: Session,
    /// What was sent with a form.
    pub form: Form,
    form_token: String,
}

impl<S: Send + Sync> FromRequest<S> for Visit
where
    Console: FromRef<S>,
{
    type Rejection = Refusal;

    /// Whose token the cookie has, and, where the request changes anything, that it was sent by a page of that session.
    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let console = Console::from_ref(state);
        let token = session_token(request.headers()).ok_or(Refusal::NoSession)?.to_owned();
        let session = match console.api.admission.admit_session(&token, address(request.extensions())).await {
            Ok(session) => session,
            Err(AdmissionError::Unknown) => return Err(Refusal::NoSession),
            Err(error) => return Err(Problem::from(error).into()),
        };
        let is_form = request.method() == Method::POST;
        let is_foreign = is_foreign(request.headers());
        let call = Call::of(request, &console, Caller::Session(session.clone())).await?;
        let form_token = form_token(&token);
        let form = Form::of(&call);
        if is_form && (is_foreign || !is_same(form.text(FORM_TOKEN), &form_token)) {
            return Err(Refusal::Forged);
        }
        Ok(Self { call, session, form, form_token })
    }
}

impl Visit {
    /// The organisation, if the session's role is one of `roles`.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] where it is not, or what else kept it from being read.
    pub async fn organisation(&self, roles: &[Role]) -> Result<Organisation, Refusal> {
        if !roles.contains(&self.session.role) {
            return Err(Refusal::NotFound);
        }
        Ok(self.call.organisation(roles).await?)
    }

    /// What stands around a page.
    #[must_use]
    pub fn shell(&self, organisation: &Organisation, section: Section) -> Shell {
        Shell {
            base: self.call.base_path().to_owned(),
            organisation: organisation.name.clone(),
            user: self.session.user.name.clone(),
            role: self.session.role,
            section,
            session_ends: self.session.expires_at,
            form_token: self.form_token.clone(),
        }
    }
}

/// A form's fields, as a browser sends them.
#[derive(Debug, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    fn of(call: &Call) -> Self {
        Self(form_urlencoded::parse(&call.body).into_owned().take(MAX_FIELDS).collect())
    }

    /// A field, without the white space around it; empty where it is not there.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim())
    }
}

/// The cookie that has the session's token. The prefix binds it to this host and to HTTPS (RFC 6265bis, section 4.1.3.2);
/// on this machine there is no HTTPS.
fn cookie_name(is_https: bool) -> &'static str {
    if is_https { "__Host-annals" } else { "annals" }
}

fn session_token(headers: &HeaderMap) -> Option<&str> {
    let name = cookie_name(is_https(headers));
    // Cookies of other applications on this domain may hold anything.
    let cookies = headers.get_all(header::COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let mut pairs = cookies.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The cookie of a session that begins. In an iframe of another site it has to be a third party's, in a jar for that site
/// alone ("CHIPS").
pub(crate) fn session_cookie(headers: &HeaderMap, console: &Console, token: &str, seconds: u64) -> Option<HeaderValue> {
    let is_https = is_https(headers);
    let site = match (is_https, console.embedding.is_allowed()) {
        (true, true) => "; Secure; SameSite=None; Partitioned",
        (true, false) => "; Secure; SameSite=Lax",
        (false, _) => "; SameSite=Lax",
    };
    let name = cookie_name(is_https);
    HeaderValue::from_str(&format!("{name}={token}; Path=/; Max-Age={seconds}; HttpOnly{site}")).ok()
}

/// What a form of this session carries. Nobody can tell it without the cookie, nor the cookie from it.
#[must_use]
pub fn form_token(session_token: &str) -> String {
    hex::encode(TokenHash::of(&format!("form of {session_token}")).0)
}

/// Compared by hashes, so that how long it takes tells nothing.
fn is_same(given: &str, expected: &str) -> bool {
    TokenHash::of(given) == TokenHash::of(expected)
}

/// Whether the browser says that the request was caused by a page that is not ours.
fn is_foreign(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin")
}
