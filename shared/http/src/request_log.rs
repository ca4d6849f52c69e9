//! The log line of a request, with its metrics; and the request's id in the problem that it ends with.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use annals_aws::metrics::{self, Appends, Hazards, Level, OperatorFaults, UnitOfWork};
use annals_core::{caller::Caller, organisation::OrganisationId, recorded_by::RecordedBy, token::TokenId};
use axum::{
    extract::{ConnectInfo, MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use http::{Extensions, StatusCode, header};
use lambda_http::{RequestExt as _, request::RequestContext};
use serde::Serialize;

use crate::problem::{PROBLEM, ProblemSummary};

/// Fields of a request's log line that only its handler knows.
#[derive(Debug, Clone, Default)]
pub struct LogFields(Arc<Mutex<Fields>>);

#[derive(Debug, Clone, Default)]
struct Fields {
    caller: Option<RecordedBy>,
    claimed_token: Option<TokenId>,
    organisation: Option<OrganisationId>,
    page: Option<Page>,
    test: Option<Test>,
    operator: Option<(OperatorFaults, String)>,
}

/// The metrics of a page of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    pages_read: u64,
    events_read: usize,
}

/// The metrics of a request that an attacker would cause, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Security {
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_authentications: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform_token_uses: Option<u64>,
}

/// The metrics of a connection test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Test {
    tests: u64,
    #[serde(flatten)]
    failure: Option<TestFailure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TestFailure {
    test_failures: u64,
    failure_code: &'static str,
}

impl LogFields {
    /// Returns the fields of the request with these extensions.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_default()
    }

    pub fn caller(&self, caller: &Caller) {
        self.set(|fields| fields.caller = Some(caller.recorded_by()));
    }

    /// Adds the token that a refused caller claimed to have. Anyone can claim any token's id: it is no secret.
    pub fn claimed_token(&self, id: TokenId) {
        self.set(|fields| fields.claimed_token = Some(id));
    }

    pub fn organisation(&self, organisation: &OrganisationId) {
        self.set(|fields| fields.organisation = Some(organisation.clone()));
    }

    pub fn page(&self, events: usize) {
        self.set(|fields| fields.page = Some(Page { pages_read: 1, events_read: events }));
    }

    /// Adds the result of a connection test. `failure_code` is set if the test failed.
    pub fn test(&self, failure_code: Option<&'static str>) {
        let failure = failure_code.map(|failure_code| TestFailure { test_failures: 1, failure_code });
        self.set(|fields| fields.test = Some(Test { tests: 1, failure }));
    }

    /// Adds a failure that only the operator can end, in AWS's words, to a request that is answered all the same.
    pub fn operator(&self, code: &'static str, answer: String) {
        self.set(|fields| fields.operator = Some((OperatorFaults::new(code), answer)));
    }

    /// Adds an error that did not change the answer, if only the operator can end it.
    pub fn failed_quietly(&self, error: &(dyn std::error::Error + 'static)) {
        if let Some(faults) = OperatorFaults::of(error) {
            self.set(|fields| fields.operator = Some((faults, metrics::chain(error))));
        }
    }

    fn set(&self, set: impl FnOnce(&mut Fields)) {
        set(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn take(&self) -> Fields {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The log line. It contains no text that the caller chose, only the declared path of the endpoint, and ids and an address that
/// have been parsed.
#[derive(Debug, Serialize)]
struct Line<'a> {
    method: &'a str,
    route: &'a str,
    status: u16,
    duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lambda_request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation: Option<String>,
    /// In the form of [`RecordedBy`].
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(rename = "Requests")]
    requests: u64,
    #[serde(rename = "StatusClass")]
    status_class: &'static str,
    #[serde(flatten)]
    hazards: Hazards,
    #[serde(flatten)]
    appends: Option<Appends>,
    #[serde(flatten)]
    page: Option<Page>,
    #[serde(flatten)]
    test: Option<Test>,
    #[serde(flatten)]
    operator: Option<OperatorFaults>,
    #[serde(flatten)]
    security: Security,
}

impl UnitOfWork for Line<'_> {
    fn message(&self) -> &'static str {
        "answered"
    }

    fn level(&self) -> Level {
        if self.status < 500 && self.operator.is_none() { Level::Info } else { Level::Error }
    }
}

/// Answers a request, writes its log line, and adds its id to a problem. The id is API Gateway's, which also sends it
/// in the header `apigw-requestid` of every response. API Gateway creates the id before it reads the request, so the id
/// reveals nothing.
pub(crate) async fn log_request(mut request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let request_id = request_id(request.extensions());
    let ip_address = address(request.extensions());
    let lambda_request_id = request.lambda_context_ref().map(|context| context.request_id.clone());
    let fields = LogFields::default();
    request.extensions_mut().insert(fields.clone());
    let started = Instant::now();
    let (mut response, appended) = metrics::counted(next.run(request)).await;
    let problem = response.extensions_mut().remove::<ProblemSummary>();
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|media_type| media_type == PROBLEM);
    if let Some((problem, id)) = problem.as_ref().zip(request_id.as_deref()).filter(|_| is_problem) {
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = problem.with_request_id(id);
    }
    let fields = fields.take();
    let (own, words) = fields.operator.unzip();
    let security = Security {
        failed_authentications: (response.status() == StatusCode::UNAUTHORIZED).then_some(1),
        platform_token_uses: matches!(fields.caller, Some(RecordedBy::Platform)).then_some(1),
    };
    metrics::emit(&Line {
        method: method.as_str(),
        route: route.as_deref().unwrap_or("none"),
        status: response.status().as_u16(),
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        request_id: request_id.as_deref(),
        lambda_request_id: lambda_request_id.as_deref(),
        organisation: fields.organisation.map(|organisation| organisation.to_string()),
        caller: fields.caller.map(|caller| caller.to_string()),
        claimed_token: fields.claimed_token.map(|id| id.to_string()),
        ip_address,
        code: problem.as_ref().map(|problem| problem.code),
        hazards: problem.as_ref().map(|problem| Hazards::of_code(problem.code)).unwrap_or_default(),
        operator: problem.as_ref().and_then(|problem| problem.operator).or(own),
        error: problem.and_then(|problem| problem.cause).or(words),
        requests: 1,
        status_class: status_class(response.status()),
        appends: Appends::of(appended),
        page: fields.page,
        test: fields.test,
        security,
    });
    response
}

/// API Gateway's id of a request.
#[must_use]
pub fn request_id(extensions: &Extensions) -> Option<String> {
    match extensions.get::<RequestContext>() {
        Some(RequestContext::ApiGatewayV2(context)) => context.request_id.clone(),
        _ => None,
    }
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        500.. => "5xx",
        400.. => "4xx",
        300.. => "3xx",
        _ => "2xx",
    }
}

/// Returns the client's IP address: from API Gateway on Lambda, from the connection locally, never from a header that
/// any client can set.
#[must_use]
pub fn address(extensions: &Extensions) -> Option<IpAddr> {
    match extensions.get::<RequestContext>() {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.as_deref()?.parse().ok(),
        _ => extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip()),
    }
}
