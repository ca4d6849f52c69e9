//! A client of the API over HTTP.

use std::{collections::BTreeMap, time::Duration};

use reqwest::Method;
use serde_json::Value;

/// The address of an API.
#[derive(Debug, Clone)]
pub struct Address {
    url: String,
    sent_to: String,
    headers: Vec<(&'static str, String)>,
    http: reqwest::Client,
}

/// A caller of the API, with or without a token.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    address: &'a Address,
    token: Option<&'a str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// All headers but `date`.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Address {
    /// `url` has no slash at the end.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self::behind(url, url, Vec::new())
    }

    /// An API that callers know as `url` while requests are sent to `sent_to`, with `headers` that tell a gateway the
    /// host.
    #[must_use]
    pub fn behind(url: &str, sent_to: &str, headers: Vec<(&'static str, String)>) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(600))
            .build()
            .unwrap();
        Self { url: url.to_owned(), sent_to: sent_to.to_owned(), headers, http }
    }

    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    #[must_use]
    pub fn with<'a>(&'a self, token: &'a str) -> Caller<'a> {
        Caller { address: self, token: Some(token) }
    }

    #[must_use]
    pub fn nobody(&self) -> Caller<'_> {
        Caller { address: self, token: None }
    }
}

impl Caller<'_> {
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, &[], Some(body.to_string())).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, &[], Some(body.to_string())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], None).await
    }

    /// `path` may be absolute, as links are. A body is JSON unless a header says otherwise.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Answer {
        let Address { url, sent_to, headers: always, http } = self.address;
        let path = path.strip_prefix(url).unwrap_or(path);
        assert!(path.starts_with('/'), "{path} is not below {url}");
        let mut request = http.request(method, format!("{sent_to}{path}"));
        for (name, value) in always {
            request = request.header(*name, value);
        }
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                request = request.header("content-type", "application/json");
            }
            request = request.body(body);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let header = |name: &reqwest::header::HeaderName, value: &reqwest::header::HeaderValue| {
            (name.as_str().to_owned(), value.to_str().unwrap().to_owned())
        };
        let mut headers: BTreeMap<_, _> = answer.headers().iter().map(|(name, value)| header(name, value)).collect();
        headers.remove("date");
        Answer { status: answer.status().as_u16(), headers, body: answer.text().await.unwrap() }
    }
}

impl Answer {
    /// The body as JSON, null if it is empty.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The body as JSON. Fails with another status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.json()
    }

    /// The body, which must be this problem in the form of RFC 9457.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) -> Value {
        let problem = self.expect(status);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:annals:problem:{code}"));
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }
}
