//! The organisation's page: what its administrators and auditors see, as HTML rendered on the server.
//!
//! - [`entrance`]: a portal link becomes a session, and a session ends
//! - [`visit`]: what every page needs of a request: whose session it is, and a form that is not forged
//! - [`events`]: the log, one event in full, and what is filtered as a file
//! - [`destinations`]: the section "Audit Events": the bucket that events are delivered to
//! - [`tokens`]: the organisation's tokens
//! - [`layout`], [`ui`], [`chart`], [`fields`], [`question`]: what pages are made of
//! - [`assets`]: the style sheet and the script
//! - [`refusal`]: what is shown instead of a page
//!
//! Architecture invariants: pages are made by the same use cases as the API's answers. What a page shows is a plain struct, a
//! view model, made before any HTML; only functions that return [`Markup`](maud::Markup) write HTML, and whatever they are
//! given is escaped. Every page works without its script.

pub mod assets;
pub mod chart;
pub mod destinations;
pub mod entrance;
pub mod events;
pub mod fields;
pub mod layout;
pub mod question;
pub mod refusal;
pub mod tokens;
pub mod ui;
pub mod visit;

#[cfg(test)]
mod every_page;

use std::{str::FromStr, sync::Arc};

use annals_aws::settings::{self, SettingError};
use annals_http::{Services, observed};
use axum::{
    Router,
    extract::{FromRef, Request, State},
    middleware::{self, Next},
    response::Response,
    routing::any,
};
use http::{HeaderName, HeaderValue, Method, header};

use crate::refusal::Refusal;

/// What the pages are made with.
#[derive(Debug, Clone)]
pub struct Console {
    /// Organisations, tokens, destinations, and the log.
    pub api: Services,
    /// Where the page may be embedded.
    pub embedding: Embedding,
}

impl FromRef<Console> for Services {
    fn from_ref(console: &Console) -> Self {
        console.api.clone()
    }
}

impl Console {
    /// The console that the environment describes: what [`Services::from_environment`] needs, and `CONSOLE_ORIGINS`.
    ///
    /// # Errors
    /// Where a variable is missing or makes no sense.
    pub fn from_environment(config: &aws_config::SdkConfig) -> Result<Self, SettingError> {
        let embedding = settings::parsed_or("CONSOLE_ORIGINS", Embedding::default())?;
        Ok(Self { api: Services::from_environment(config)?, embedding })
    }
}

/// The origins whose pages may show this one in an iframe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Embedding {
    origins: Arc<[String]>,
}

impl Embedding {
    /// Whether there is any.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        !self.origins.is_empty()
    }

    /// As a directive's sources (Content Security Policy Level 3, "frame-ancestors").
    fn sources(&self) -> String {
        if self.origins.is_empty() { "'none'".to_owned() } else { self.origins.join(" ") }
    }
}

/// Origins with commas between them, such as `https://app.example.com,https://*.example.org`; plain `http` is for
/// `localhost` and `127.0.0.1` alone. Empty: nowhere.
impl FromStr for Embedding {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        let origins: Arc<[String]> = origins.map(str::to_owned).collect();
        if origins.iter().all(|origin| is_origin(origin)) {
            Ok(Self { origins })
        } else {
            Err("must be origins with commas between them, such as https://app.example.com,https://*.example.org")
        }
    }
}

fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let name = host.strip_prefix("*.").unwrap_or(host);
    let fits = name
        .split('.')
        .all(|label| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    let secure = scheme == "https" || (scheme == "http" && ["localhost", "127.0.0.1"].contains(&host));
    secure && fits && port.is_none_or(|port| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The pages of the console function.
pub fn router(console: Console) -> Router {
    let api = console.api.clone();
    observed(framed(routes(), &console), &api).with_state(console)
}

/// All pages, to be joined with others.
pub fn routes() -> Router<Console> {
    Router::new()
        .merge(entrance::routes())
        .merge(events::routes())
        .merge(destinations::routes())
        .merge(tokens::routes())
        .merge(assets::routes())
        .route("/console/{*other}", any(async || Refusal::NotFound))
        .method_not_allowed_fallback(async || Refusal::NotAPage)
}

/// `routes` with refusals as pages, and with the headers that keep browsers from doing what a page never asks for.
pub fn framed<S: Clone + Send + Sync + 'static>(routes: Router<S>, console: &Console) -> Router<S> {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors {}",
        console.embedding.sources()
    );
    routes
        .layer(middleware::from_fn(only_on_purpose))
        .layer(middleware::from_fn(refusal::show))
        .layer(middleware::from_fn_with_state(Arc::<str>::from(policy), protect))
}

/// Lets nobody in who only looks whether there is something, or loads in advance what nobody has asked for: a link would be
/// used up, and a read that was none recorded.
async fn only_on_purpose(request: Request, next: Next) -> Result<Response, Refusal> {
    let is_prefetch = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains("prefetch"));
    if request.method() == Method::HEAD {
        Err(Refusal::NotAPage)
    } else if ["sec-purpose", "purpose"].iter().any(|name| request.headers().get(*name).is_some_and(is_prefetch)) {
        Err(Refusal::InAdvance)
    } else {
        Ok(next.run(request).await)
    }
}

async fn protect(State(policy): State<Arc<str>>, request: Request, next: Next) -> Response {
    const SAME: [(HeaderName, HeaderValue); 6] = [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        // An address may be a portal link that nobody has opened yet.
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        // No page elsewhere can have one of ours read, and the read recorded, as if it were a picture.
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("permissions-policy"), HeaderValue::from_static("clipboard-write=(self)")),
        (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000")),
    ];
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.extend(HeaderValue::from_str(&policy).map(|policy| (header::CONTENT_SECURITY_POLICY, policy)).ok());
    headers.extend(SAME);
    // What a page shows belongs to one session.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_embedded_where_the_deployment_says_and_nowhere_else() {
        let sources = |text: &str| text.parse::<Embedding>().map(|embedding| embedding.sources());
        assert_eq!(sources("").as_deref(), Ok("'none'"));
        assert_eq!(
            sources("https://app.example.com, https://*.example.org:8443").as_deref(),
            Ok("https://app.example.com https://*.example.org:8443")
        );
        assert_eq!(sources("http://localhost:3000").as_deref(), Ok("http://localhost:3000"));
        for bad in ["*", "https:", "https://*", "http://example.com", "https://a.example/x", "https://a b", "'self'"] {
            assert!(sources(bad).is_err(), "{bad}");
        }
        assert!(sources("https://a.example; script-src *").is_err());
    }
}
