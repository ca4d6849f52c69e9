//! A request as a unit of work: its line in the log, with what it measured, and its id in the problem that it may end in.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use annals_aws::metrics::{self, Appends, Level, UnitOfWork};
use annals_core::{log::Log, organisation::OrganisationId};
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{StatusCode, header};
use lambda_http::RequestExt as _;
use serde::Serialize;

use crate::{
    call::request_id,
    problem::{PROBLEM, Told},
};

/// What a request's line says beside what request and answer show: whoever answers it notes it.
#[derive(Debug, Clone, Default)]
pub struct Notes(Arc<Mutex<Noted>>);

#[derive(Debug, Clone, Default)]
struct Noted {
    organisation: Option<OrganisationId>,
    page: Option<Page>,
    test: Option<Test>,
}

/// A page of the log was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    pages_read: u64,
    events_read: usize,
}

/// A destination was tested.
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

impl Notes {
    /// The request is for this organisation.
    pub fn organisation(&self, organisation: &OrganisationId) {
        self.note(|noted| noted.organisation = Some(organisation.clone()));
    }

    /// A page with so many events was read.
    pub fn page(&self, events: usize) {
        self.note(|noted| noted.page = Some(Page { pages_read: 1, events_read: events }));
    }

    /// A destination was tested, and failed with this code, if it failed.
    pub fn test(&self, failure_code: Option<&'static str>) {
        let failure = failure_code.map(|failure_code| TestFailure { test_failures: 1, failure_code });
        self.note(|noted| noted.test = Some(Test { tests: 1, failure }));
    }

    fn note(&self, note: impl FnOnce(&mut Noted)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn take(&self) -> Noted {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A request was answered. Of what its caller chose, the line says no more than the path's shape.
#[derive(Debug, Serialize)]
struct Answered<'a> {
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
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(rename = "Requests")]
    requests: u64,
    #[serde(rename = "StatusClass")]
    status_class: &'static str,
    #[serde(flatten)]
    appends: Option<Appends>,
    #[serde(flatten)]
    page: Option<Page>,
    #[serde(flatten)]
    test: Option<Test>,
}

impl UnitOfWork for Answered<'_> {
    fn message(&self) -> &'static str {
        "answered"
    }

    fn level(&self) -> Level {
        if self.status < 500 { Level::Info } else { Level::Error }
    }
}

/// Writes a request's line, and its id into the problem that it is answered with. The id is API Gateway's, made before
/// anything is looked at: it tells nothing of what there is. Callers find it in the header `apigw-requestid` of every
/// answer, too, which API Gateway sets itself.
pub(crate) async fn observe(State(log): State<Arc<Log>>, mut request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let request_id = request_id(request.extensions());
    let lambda_request_id = request.lambda_context_ref().map(|context| context.request_id.clone());
    let notes = Notes::default();
    request.extensions_mut().insert(notes.clone());
    let begun = Instant::now();
    let mut response = next.run(request).await;
    let told = response.extensions_mut().remove::<Told>();
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|media_type| media_type == PROBLEM);
    if let Some((told, id)) = told.as_ref().zip(request_id.as_deref()).filter(|_| is_problem) {
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = told.with_request_id(id);
    }
    let noted = notes.take();
    metrics::emit(&Answered {
        method: method.as_str(),
        route: route.as_deref().unwrap_or("none"),
        status: response.status().as_u16(),
        duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        request_id: request_id.as_deref(),
        lambda_request_id: lambda_request_id.as_deref(),
        organisation: noted.organisation.map(|organisation| organisation.to_string()),
        code: told.as_ref().map(|told| told.code),
        error: told.and_then(|told| told.cause),
        requests: 1,
        status_class: class(response.status()),
        appends: Appends::of(log.take_appended()),
        page: noted.page,
        test: noted.test,
    });
    response
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        500.. => "5xx",
        400.. => "4xx",
        300.. => "3xx",
        _ => "2xx",
    }
}
