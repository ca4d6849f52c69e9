//! The page that was asked for without a session. A cookie keeps its address, and the next sign-in in this browser leads
//! there.

use axum::extract::Request;
use http::{HeaderMap, HeaderValue, Method, uri::PathAndQuery};

use super::{Embedding, session::Cookie};

/// How long the address is kept, in minutes.
pub const LIFE_MINUTES: u64 = 60;
/// A longer address is not kept, because browsers refuse cookies of more than 4,096 bytes.
const MAX_BYTES: usize = 2_500;

/// A page of the console: a path without the deployment's base path, and a query string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnTo(PathAndQuery);

impl ReturnTo {
    /// Returns the page that a browser asked for.
    #[must_use]
    pub fn of(request: &Request) -> Option<Self> {
        let page = request.uri().path_and_query().filter(|_| request.method() == Method::GET)?;
        Self::parse(page.as_str())
    }

    /// Returns the page that is kept in the cookie. Whoever can set a cookie can only lead to a page of the console.
    #[must_use]
    pub fn kept(headers: &HeaderMap) -> Option<Self> {
        let encoded = Cookie::Return.value(headers)?;
        let (page, _) = form_urlencoded::parse(encoded.as_bytes()).next()?;
        Self::parse(&page)
    }

    /// Returns a page by its path and query string.
    #[must_use]
    pub fn parse(page: &str) -> Option<Self> {
        let page = PathAndQuery::try_from(page).ok()?;
        // The page of a link would be opened again, which is of no use.
        let is_page = page.path().starts_with("/console/") && !page.path().starts_with("/console/enter/");
        (is_page && page.as_str().len() <= MAX_BYTES).then_some(Self(page))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// Returns it as a value of a query string.
    pub(super) fn encoded(&self) -> String {
        form_urlencoded::byte_serialize(self.as_str().as_bytes()).collect()
    }

    /// Returns the header that keeps it.
    pub(super) fn set(&self, headers: &HeaderMap, embedding: &Embedding) -> Option<HeaderValue> {
        Cookie::Return.set(headers, embedding, &self.encoded(), LIFE_MINUTES * 60)
    }

    /// Returns the header that forgets it.
    #[must_use]
    pub fn forget(headers: &HeaderMap, embedding: &Embedding) -> Option<HeaderValue> {
        Cookie::Return.value(headers)?;
        Cookie::Return.set(headers, embedding, "", 0)
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    fn kept(cookie: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(cookie).unwrap())]);
        ReturnTo::kept(&headers).map(|page| page.as_str().to_owned())
    }

    #[test]
    fn a_page_survives_its_cookie() {
        for page in
            ["/console/events?q=a%20b;c&type=x%2Cy", "/console/events/AaICssV7cACAAAAAAeCKzA", "/console/tokens"]
        {
            let page = ReturnTo::parse(page).unwrap();
            let set = page.set(&HeaderMap::new(), &Embedding::default()).unwrap();
            let set = set.to_str().unwrap();
            assert!(set.ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"), "{set}");
            assert_eq!(kept(set.split(';').next().unwrap()).as_deref(), Some(page.as_str()));
        }
    }

    #[test]
    fn a_cookie_leads_to_no_other_page() {
        for other in [
            "https%3A%2F%2Fevil.example%2Fconsole%2F",
            "%2F%2Fevil.example%2Fconsole%2F",
            "%2Fconsole",
            "%2Faudit",
            "",
            "%2Fconsole%2Fenter%2Fx",
            "%2Fconsole%2Fevents%0D%0ASet-Cookie%3Aa",
            "console%2Fevents",
        ] {
            assert_eq!(kept(&format!("annals-return={other}")), None, "{other}");
        }
        assert_eq!(kept(&format!("annals-return=%2Fconsole%2Fevents%3Fq%3D{}", "x".repeat(3000))), None);
        assert_eq!(kept("other=%2Fconsole%2Fevents"), None);
    }
}
