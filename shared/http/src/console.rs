//! What functions that answer the console's addresses share: sessions, refusals as pages, and response headers. It does
//! not know the console's own pages.
//!
//! - [`session`]: a request with a session, and a form that is not forged
//! - [`refusal`]: the page that is shown when a request is refused
//! - [`return_to`]: the page that was asked for before the user signed in
//! - [`done`]: what the last form did

pub mod done;
pub mod refusal;
pub mod return_to;
pub mod session;

use std::{str::FromStr, sync::Arc};

use annals_core::brand::Brand;
use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use maud::{DOCTYPE, Markup, html};

use self::refusal::Refusal;

/// How the console is a part of a product: the origins whose pages may show it in an iframe, and the product's brand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Embedding {
    origins: Arc<[String]>,
    brand: Arc<Brand>,
}

impl Embedding {
    #[must_use]
    pub fn with_brand(self, brand: Brand) -> Self {
        Self { brand: Arc::new(brand), ..self }
    }

    #[must_use]
    pub fn brand(&self) -> &Brand {
        &self.brand
    }

    #[must_use]
    pub fn is_allowed(&self) -> bool {
        !self.origins.is_empty()
    }

    /// Returns the sources of the directive `frame-ancestors` (Content Security Policy Level 3).
    fn sources(&self) -> String {
        if self.origins.is_empty() { "'none'".to_owned() } else { self.origins.join(" ") }
    }
}

/// Origins separated by commas, such as `https://app.example.com,https://*.example.org`. Plain `http` is accepted for
/// `localhost` and `127.0.0.1` only. An empty text allows no origin.
impl FromStr for Embedding {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        let origins: Arc<[String]> = origins.map(str::to_owned).collect();
        if origins.iter().all(|origin| is_origin(origin)) {
            Ok(Self { origins, ..Self::default() })
        } else {
            Err("must be origins separated by commas, such as https://app.example.com,https://*.example.org")
        }
    }
}

fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let name = host.strip_prefix("*.").unwrap_or(host);
    let is_name = name
        .split('.')
        .all(|label| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    let is_secure = scheme == "https" || (scheme == "http" && ["localhost", "127.0.0.1"].contains(&host));
    is_secure && is_name && port.is_none_or(|port| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Protects `routes` of the console: shows refusals as pages, refuses requests that no user made, and adds the security
/// headers to every response.
pub fn protected<S: Clone + Send + Sync + 'static>(routes: Router<S>, embedding: &Embedding) -> Router<S> {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors {}",
        embedding.sources()
    );
    routes
        .layer(middleware::from_fn(refuse_prefetch))
        .layer(middleware::from_fn_with_state(embedding.clone(), refusal::render))
        .layer(middleware::from_fn_with_state(Arc::<str>::from(policy), add_security_headers))
}

/// Refuses HEAD requests and prefetching: they would record a read that nobody made.
async fn refuse_prefetch(request: Request, next: Next) -> Result<Response, Refusal> {
    let is_prefetch = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains("prefetch"));
    if request.method() == Method::HEAD {
        Err(Refusal::MethodNotAllowed)
    } else if ["sec-purpose", "purpose"].iter().any(|name| request.headers().get(*name).is_some_and(is_prefetch)) {
        Err(Refusal::Prefetch)
    } else {
        Ok(next.run(request).await)
    }
}

async fn add_security_headers(State(policy): State<Arc<str>>, request: Request, next: Next) -> Response {
    const FIXED: [(HeaderName, HeaderValue); 6] = [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        // An address may be a portal link that nobody has opened yet.
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        // Another site cannot load a page as if it were an image, which would record a read.
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("permissions-policy"), HeaderValue::from_static("clipboard-write=(self)")),
        (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000")),
    ];
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.extend(HeaderValue::from_str(&policy).map(|policy| (header::CONTENT_SECURITY_POLICY, policy)).ok());
    headers.extend(FIXED);
    // A page belongs to one session.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Sends the browser to another page, which it loads with GET.
#[must_use]
pub fn redirect(location: &str) -> Response {
    let location = HeaderValue::from_str(location).unwrap_or(HeaderValue::from_static("/console"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// Writes a complete HTML document. `links` are the elements of its head that load the style sheet, the icon and the
/// script.
#[must_use]
pub fn document(title: &str, links: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                (links)
            }
            body { (body) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_ancestors_are_the_origins_of_the_deployment_or_none() {
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
