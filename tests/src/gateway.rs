//! API Gateway's HTTP API: makes an event of a request, and an HTTP answer of a function's answer (AWS, "Create AWS
//! Lambda proxy integrations for HTTP APIs", payload format 2.0). It refuses what is larger than it or Lambda accepts.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// The host that requests are made to.
pub const HOST: &str = "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com";
/// The address that requests come from.
pub const SOURCE_IP: &str = "203.0.113.7";
/// The id of every request.
pub const REQUEST_ID: &str = "JKJaXmPLvHcESHA=";

/// The most bytes of a request's body (Amazon API Gateway, "Quotas for configuring and running an HTTP API": 10 MB).
const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;
/// The most bytes of an event (AWS Lambda, "Lambda quotas": 6 MB; beyond, Lambda's error says 6291456 bytes).
pub const MAX_EVENT_BYTES: usize = 6 * 1024 * 1024;
/// The most bytes of a function's answer (AWS Lambda, "Lambda quotas": 6 MB; Lambda's error says 6291556 bytes).
const MAX_ANSWER_BYTES: usize = MAX_EVENT_BYTES + 100;

/// A request to be made.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Option<(Vec<u8>, Encoding)>,
    stage: Option<String>,
}

impl Encoding {
    /// The encoding of a body of this media type.
    #[must_use]
    pub fn of(media_type: &str) -> Self {
        let is_text = media_type.starts_with("text/") || media_type.starts_with("application/json");
        if is_text { Self::Text } else { Self::Base64 }
    }
}

/// How the event carries the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As text, as API Gateway does with text and JSON.
    Text,
    /// In base64, as API Gateway does with every other media type, NDJSON among them.
    Base64,
}

impl Request {
    /// A request for `target`, a path with or without a query string.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = [
            ("accept", "*/*"),
            ("host", HOST),
            ("user-agent", "curl/8.5.0"),
            ("x-amzn-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700"),
            ("x-forwarded-for", SOURCE_IP),
            ("x-forwarded-port", "443"),
            ("x-forwarded-proto", "https"),
        ];
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: None,
            stage: None,
        }
    }

    /// Adds a header. Its name must be in lower case, as API Gateway passes it on.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sends the request to a stage other than `$default`. Its name stands before the path.
    #[must_use]
    pub fn stage(mut self, stage: &str) -> Self {
        self.stage = Some(stage.to_owned());
        self
    }

    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    #[must_use]
    pub fn body(mut self, media_type: &str, body: impl Into<Vec<u8>>, encoding: Encoding) -> Self {
        let body = body.into();
        self.headers.insert("content-length".to_owned(), body.len().to_string());
        self.body = Some((body, encoding));
        self.header("content-type", media_type)
    }

    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string(), Encoding::Text)
    }

    /// The event for the function, if API Gateway and Lambda accept the request.
    ///
    /// # Errors
    /// Returns the answer of API Gateway, which is not the function's.
    pub fn accepted(&self) -> Result<Value, Answer> {
        let refused = |media_type: &str, body: &str| {
            let headers = [("content-type".to_owned(), media_type.to_owned())].into();
            Err(Answer { status: 413, headers, body: body.to_owned() })
        };
        if self.body.as_ref().is_some_and(|(body, _)| body.len() > MAX_BODY_BYTES) {
            return refused("text; charset=utf-8", "HTTP content length exceeded 10485760 bytes.");
        }
        let event = self.event();
        if event.to_string().len() > MAX_EVENT_BYTES {
            return refused("application/json", r#"{"message": "Request Too Long"}"#);
        }
        Ok(event)
    }

    /// The event for the function.
    #[must_use]
    pub fn event(&self) -> Value {
        let (body, is_base64_encoded) = match &self.body {
            None => (None, false),
            Some((body, Encoding::Base64)) => (Some(STANDARD.encode(body)), true),
            Some((body, Encoding::Text)) => (Some(String::from_utf8(body.clone()).unwrap()), false),
        };
        let route = "$default";
        let path = self.stage.as_ref().map_or_else(|| self.path.clone(), |stage| format!("/{stage}{}", self.path));
        // API Gateway passes cookies on in a list of their own.
        let mut headers = self.headers.clone();
        let cookies = headers.remove("cookie");
        let mut event = json!({
            "version": "2.0",
            "routeKey": route,
            "rawPath": path,
            "rawQueryString": self.query,
            "headers": headers,
            "requestContext": {
                "accountId": "111122223333",
                "apiId": "a1b2c3d4e5",
                "domainName": HOST,
                "domainPrefix": "a1b2c3d4e5",
                "http": {
                    "method": self.method,
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": SOURCE_IP,
                    "userAgent": "curl/8.5.0",
                },
                "requestId": REQUEST_ID,
                "routeKey": route,
                "stage": self.stage.as_deref().unwrap_or("$default"),
                "time": "22/Nov/2026:10:00:00 +0000",
                "timeEpoch": 1_795_341_600_000_u64,
            },
            "isBase64Encoded": is_base64_encoded,
        });
        if let Some(cookies) = cookies {
            event["cookies"] = cookies.split("; ").collect();
        }
        if !self.query.is_empty() {
            let pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            event["queryStringParameters"] = pairs.map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
        }
        if let Some(body) = body {
            event["body"] = body.into();
        }
        event
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// By names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    /// The HTTP answer that API Gateway makes of a function's answer.
    #[must_use]
    pub fn of(answer: &Value) -> Self {
        let size = answer.to_string().len();
        assert!(size <= MAX_ANSWER_BYTES, "Lambda does not pass on an answer of {size} bytes");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let body = match (answer["isBase64Encoded"].as_bool(), text(&answer["body"])) {
            (Some(true), body) => String::from_utf8(STANDARD.decode(body).unwrap()).unwrap(),
            (_, body) => body,
        };
        let headers = answer["headers"].as_object().into_iter().flatten();
        let cookies = answer["cookies"].as_array().into_iter().flatten();
        let cookies = cookies.map(|cookie| ("set-cookie".to_owned(), text(cookie)));
        Self {
            status: answer["statusCode"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or(0),
            headers: headers.map(|(name, value)| (name.to_lowercase(), text(value))).chain(cookies).collect(),
            body,
        }
    }

    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The body as JSON. Fails with another status.
    #[track_caller]
    #[must_use]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        if self.body.is_empty() { Value::Null } else { self.json() }
    }
}
