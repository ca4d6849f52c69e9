//! Errors as `application/problem+json` (RFC 9457): a stable `code`, a `detail` that says what to do, and `errors`, the
//! faults of an input with their places. Only this file maps errors to HTTP statuses.
//!
//! [`kind`] is the table of all problems, from which both the responses and the OpenAPI document are made.

use std::{error::Error, time::Duration};

use annals_aws::metrics::{OperatorFaults, chain};
use annals_core::{
    administration::AdministrationError,
    admission::AdmissionError,
    audit::AuditError,
    change::Conflict,
    destination::sink::printable,
    fault::{Fault, Faults, Place},
    format::{NotAcceptable, Representation},
    health::HealthReport,
    limited::Limited,
    log::{
        append::{AppendError, MAX_STORED_BYTES},
        read::PlaceError,
        store::StoreError,
        tail::Hazard,
    },
    platform::{MAX_PLATFORM_TOKENS, PlatformToken},
    proof::signing::SigningError,
};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

pub const PROBLEM: &str = "application/problem+json";
/// The longest text about a failed check that is shown, in bytes.
const CHECK_DETAIL_MAX_BYTES: usize = 1024;

/// How long a request should wait that others kept from being recorded until its deadline.
const CONTENDED_FOR: Duration = Duration::from_secs(2);

/// The constant part of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub status: StatusCode,
    /// The name for programs. It never changes.
    pub code: &'static str,
    /// The name for people.
    pub title: &'static str,
    pub meaning: &'static str,
}

macro_rules! kinds {
    ($($(#[doc = $meaning:literal])+ $name:ident = $status:ident, $code:literal, $title:literal;)+) => {
        /// All problems.
        pub mod kind {
            use http::StatusCode;

            use super::Kind;

            $(
                $(#[doc = $meaning])+
                pub const $name: &Kind = &Kind {
                    status: StatusCode::$status,
                    code: $code,
                    title: $title,
                    meaning: concat!($($meaning),+).trim_ascii(),
                };
            )+

            pub const ALL: &[&Kind] = &[$($name),+];
        }
    };
}

kinds! {
    /// A part of the input is invalid; `errors` lists each fault with its place. Nothing was changed.
    INVALID_INPUT = BAD_REQUEST, "invalid_input", "Invalid input";
    /// The platform's token acts for every organisation, so the path must name one.
    ORGANISATION_REQUIRED = BAD_REQUEST, "organisation_needed", "Organisation required in the path";
    /// The body ended before it was complete.
    BODY_CUT_OFF = BAD_REQUEST, "body_cut_off", "Incomplete body";
    /// The token is missing, mistyped, revoked or expired.
    UNAUTHORIZED = UNAUTHORIZED, "unauthorized", "Valid token required";
    /// The token's role does not allow this call.
    FORBIDDEN = FORBIDDEN, "forbidden", "Not allowed for this token";
    /// The organisation's plan allows no more destinations.
    PLAN_LIMIT = FORBIDDEN, "plan_limit", "Not included in the plan";
    /// The resource does not exist, or belongs to another organisation. The response is the same.
    NOT_FOUND = NOT_FOUND, "not_found", "Not found";
    /// This deployment does not sign checkpoints.
    SIGNING_OFF = NOT_FOUND, "signing_off", "Checkpoints are not signed";
    /// The API has no such path.
    NO_SUCH_ROUTE = NOT_FOUND, "no_such_route", "Unknown path";
    /// The path exists, but does not support this method; `Allow` lists the methods that it supports.
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed";
    /// `Accept` names only media types that this path does not have; `offered` lists those that it has.
    NOT_ACCEPTABLE = NOT_ACCEPTABLE, "not_acceptable", "No acceptable format";
    /// The resource was changed by another request at the same time. This call changed nothing.
    CHANGED = CONFLICT, "changed", "Changed by another request";
    /// The organisation, or the platform, has as many tokens as it may have.
    TOKEN_LIMIT = CONFLICT, "token_limit", "Too many tokens";
    /// The token's predecessor or successor is still valid: at most two tokens of a chain are valid at once.
    ROTATION_IN_PROGRESS = CONFLICT, "rotation_in_progress", "Rotation in progress";
    /// There is no code to be entered: none was written, it is older than a day, or five wrong ones were entered.
    NO_CODE = CONFLICT, "no_code", "No code to confirm";
    /// An earlier replay to this destination has not finished.
    REPLAY_IN_PROGRESS = CONFLICT, "replay_in_progress", "Replay in progress";
    /// The log has no events in the range, or they have expired.
    NOTHING_TO_REPLAY = CONFLICT, "nothing_to_replay", "Nothing to replay";
    /// The cursor's event has expired; `oldest` is the uuid of the oldest event left, or null.
    EXPIRED = GONE, "expired", "Expired";
    /// The body is larger than the limit of all requests.
    BODY_TOO_LARGE = PAYLOAD_TOO_LARGE, "body_too_large", "Body too large";
    /// The events are too large to be recorded in one request.
    BATCH_TOO_LARGE = PAYLOAD_TOO_LARGE, "batch_too_large", "Batch too large";
    /// The body's media type is not supported.
    UNSUPPORTED_MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported media type";
    /// The body has a content encoding, such as gzip, which is not supported.
    UNSUPPORTED_CONTENT_ENCODING = UNSUPPORTED_MEDIA_TYPE, "unsupported_content_encoding", "Unsupported content encoding";
    /// Path and query are longer than the limit.
    URI_TOO_LONG = URI_TOO_LONG, "uri_too_long", "URI too long";
    /// There were too many requests or events, too many requests with invalid tokens, or more than six tests or replays in a
    /// minute; `Retry-After` is the number of seconds to wait. Nothing was changed or recorded.
    TOO_MANY_REQUESTS = TOO_MANY_REQUESTS, "too_many_requests", "Too many requests";
    /// The `Idempotency-Key` was used with other events in the last 24 hours.
    IDEMPOTENCY_KEY_REUSED = UNPROCESSABLE_ENTITY, "idempotency_key_reused", "Idempotency key reused";
    /// The service has an error that a retry will not fix.
    INTERNAL = INTERNAL_SERVER_ERROR, "internal", "Internal error";
    /// The store is too slow or too busy; `Retry-After` is the number of seconds to wait.
    UNAVAILABLE = SERVICE_UNAVAILABLE, "unavailable", "Service unavailable";
    /// Annals does not know where the organisation's log ends, so it cannot number new events; `Retry-After` is the number
    /// of seconds to wait. Nothing was recorded. The operator of this service has to act.
    TAIL_UNKNOWN = SERVICE_UNAVAILABLE, "tail_unknown", "End of the log unknown";
    /// Events that cannot have expired are missing in the organisation's log; `Retry-After` is the number of seconds to wait.
    /// Nothing was recorded or returned. The operator of this service has to act.
    EVENTS_MISSING = SERVICE_UNAVAILABLE, "events_missing", "Events missing";
    /// The clock of the instance that answered is ahead; `Retry-After` is the number of seconds to wait. Nothing was
    /// recorded.
    CLOCK_AHEAD = SERVICE_UNAVAILABLE, "clock_ahead", "Clock ahead";
    /// The clock of the instance that answered is behind; `Retry-After` is the number of seconds to wait. Nothing was
    /// recorded.
    CLOCK_BEHIND = SERVICE_UNAVAILABLE, "clock_behind", "Clock behind";
    /// The deployment lacks a right, a table, a key or a quota, and did nothing; `Retry-After` is the number of seconds to wait. The
    /// operator of this service has been alerted and has to act.
    OPERATOR_REQUIRED = SERVICE_UNAVAILABLE, "operator_required", "Operator required";
    /// The deployment cannot do its work; `checks` lists what was checked. The operator of this service has to act.
    UNHEALTHY = SERVICE_UNAVAILABLE, "unhealthy", "Unhealthy";
    /// The key that signs checkpoints cannot be used at present; `Retry-After` is the number of seconds to wait.
    SIGNING_UNAVAILABLE = SERVICE_UNAVAILABLE, "signing_unavailable", "Signing unavailable";
}

/// Returns a time to wait in seconds, rounded up, for `Retry-After`.
fn whole_seconds(wait: Duration) -> u16 {
    u16::try_from(wait.as_millis().div_ceil(1000).clamp(1, 3600)).unwrap_or(u16::MAX)
}

/// An error as the caller of the API sees it.
#[derive(Debug)]
pub struct Problem {
    kind: &'static Kind,
    detail: String,
    members: Map<String, Value>,
    header: Option<Box<(&'static str, HeaderValue)>>,
    cause: Option<String>,
    operator: Option<OperatorFaults>,
}

impl Problem {
    fn new(kind: &'static Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), members: Map::new(), header: None, cause: None, operator: None }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }

    /// Adds the cause, which only the log shows.
    fn caused_by(mut self, error: &(dyn Error + 'static)) -> Self {
        self.cause = Some(chain(error));
        self.operator = OperatorFaults::of(error);
        self
    }

    #[must_use]
    pub fn unauthorized() -> Self {
        let detail =
            "The token is missing, mistyped, revoked or expired. Send a valid one: Authorization: Bearer <token>.";
        Self::new(kind::UNAUTHORIZED, detail).header("www-authenticate", HeaderValue::from_static("Bearer"))
    }

    #[must_use]
    pub fn forbidden(role: &str, required: &str) -> Self {
        let detail = format!("The token's role is {role}; this call requires {required}.");
        Self::new(kind::FORBIDDEN, detail)
    }

    /// A named token of the platform lacks what the call requires.
    #[must_use]
    pub fn scope_missing(token: &PlatformToken, required: &str) -> Self {
        let scopes = token.scope_names().join(", ");
        Self::new(kind::FORBIDDEN, format!("The platform token's scopes are {scopes}; this call requires {required}."))
    }

    /// The resource does not exist, or belongs to another organisation. Callers cannot tell which.
    #[must_use]
    pub fn not_found() -> Self {
        let detail = "The organisation, or the resource in it, does not exist for this token. Check the ids in the path, \
                      and which organisation the token belongs to.";
        Self::new(kind::NOT_FOUND, detail)
    }

    /// The deployment does not sign checkpoints.
    #[must_use]
    pub fn signing_off() -> Self {
        let detail = "This deployment does not sign checkpoints. Its operator can turn signing on.";
        Self::new(kind::SIGNING_OFF, detail)
    }

    #[must_use]
    pub fn no_such_route() -> Self {
        let detail = "The API has no such path. Check it against /openapi.json.";
        Self::new(kind::NO_SUCH_ROUTE, detail)
    }

    #[must_use]
    pub fn method_not_allowed() -> Self {
        let detail = "This path does not support this method. The Allow header lists the methods that it supports.";
        Self::new(kind::METHOD_NOT_ALLOWED, detail)
    }

    #[must_use]
    pub fn not_acceptable() -> Self {
        let offered = Representation::OFFERED;
        let detail = format!("Accept names no format that is offered. Send one of these: {}.", offered.join(", "));
        Self::new(kind::NOT_ACCEPTABLE, detail).with("offered", offered.to_vec())
    }

    /// The platform's token does not tell which organisation the call is for.
    #[must_use]
    pub fn organisation_required() -> Self {
        let detail = "The platform's token acts for every organisation. Use the path /organisations/{organisation}/….";
        Self::new(kind::ORGANISATION_REQUIRED, detail)
    }

    #[must_use]
    pub fn body_too_large(limit: usize) -> Self {
        let detail = format!("The body is larger than {limit} bytes. Split it into several requests.");
        Self::new(kind::BODY_TOO_LARGE, detail)
    }

    #[must_use]
    pub fn body_cut_off() -> Self {
        Self::new(kind::BODY_CUT_OFF, "The body ended before it was complete. Send it again.")
    }

    #[must_use]
    pub fn unsupported_media_type() -> Self {
        let detail = "The media type is not supported. Send Content-Type: application/json for an object or an array, or \
                      application/x-ndjson for lines, in UTF-8. Many HTTP clients send \
                      application/x-www-form-urlencoded unless told otherwise.";
        Self::new(kind::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    #[must_use]
    pub fn unsupported_content_encoding() -> Self {
        let detail = "Content encodings are not supported. Send the body without Content-Encoding.";
        Self::new(kind::UNSUPPORTED_CONTENT_ENCODING, detail)
            .header("accept-encoding", HeaderValue::from_static("identity"))
    }

    #[must_use]
    pub fn uri_too_long(limit: usize) -> Self {
        let detail = format!("Path and query are longer than {limit} bytes. Use fewer or shorter parameters.");
        Self::new(kind::URI_TOO_LONG, detail)
    }

    /// The request will be within the rate after `wait`.
    fn too_many_requests(wait: Duration) -> Self {
        let seconds = whole_seconds(wait);
        let detail = format!(
            "The rate is exceeded. Wait {seconds} s, then send the request again. Send events in batches rather than one by one."
        );
        Self::new(kind::TOO_MANY_REQUESTS, detail).header("retry-after", HeaderValue::from(seconds))
    }

    /// A limited use may be repeated after `wait`.
    fn too_often(wait: Duration) -> Self {
        let seconds = whole_seconds(wait);
        let detail = format!(
            "An organisation may test its destination {most} times a minute, and start {most} replays a minute. Wait \
             {seconds} s, then send the request again.",
            most = Limited::MOST
        );
        Self::new(kind::TOO_MANY_REQUESTS, detail).header("retry-after", HeaderValue::from(seconds))
    }

    fn store(error: &StoreError) -> Self {
        match error {
            StoreError::Throttled(_) | StoreError::Unavailable(_) => {
                Self::unavailable("The store did not answer in time. Send the request again.")
            }
            StoreError::Broken(_) => Self::internal(),
            StoreError::Unsafe(hazard) => Self::hazard(*hazard),
            StoreError::Operator(_) => Self::operator_required(),
        }
        .caused_by(error)
    }

    /// The log cannot be used safely.
    fn hazard(hazard: Hazard) -> Self {
        let (kind, detail, seconds) = match hazard {
            Hazard::TailUnknown { .. } => (
                kind::TAIL_UNKNOWN,
                "The service does not know where this organisation's log ends, and recorded nothing rather than use a \
                 sequence twice. The operator of this service has been alerted. Send the request again later.",
                "300",
            ),
            Hazard::EventsMissing { .. } => (
                kind::EVENTS_MISSING,
                "The service does not find events of this organisation that cannot have expired, and does not answer as if \
                 they had never existed. The operator of this service has been alerted. Send the request again later.",
                "300",
            ),
            Hazard::ClockAhead { .. } => (
                kind::CLOCK_AHEAD,
                "The clock of the instance that answered is ahead. Nothing was recorded. Send the request again: another \
                 instance may answer.",
                "5",
            ),
            Hazard::ClockBehind { .. } => (
                kind::CLOCK_BEHIND,
                "The clock of the instance that answered is behind. Nothing was recorded. Send the request again: another \
                 instance may answer.",
                "5",
            ),
        };
        Self::new(kind, detail).header("retry-after", HeaderValue::from_static(seconds))
    }

    fn operator_required() -> Self {
        let detail = "The service lacks a permission or a resource, and did nothing. Its operator has been alerted. Send the \
                      request again later.";
        Self::new(kind::OPERATOR_REQUIRED, detail).header("retry-after", HeaderValue::from_static("60"))
    }

    /// The check `name` of the deployment's health found `error`. The caller is the operator, who may read what AWS says.
    #[must_use]
    pub fn unhealthy(report: &HealthReport, name: &str, error: &(dyn Error + 'static)) -> Self {
        let checks: Vec<Value> = report
            .checks
            .iter()
            .map(|check| {
                let mut shown = json!({
                    "name": check.name,
                    "status": if check.result.is_ok() { "ok" } else { "failed" },
                    "durationMs": check.duration_ms,
                });
                if let Err(error) = &check.result {
                    shown["detail"] = printable(&chain(error), CHECK_DETAIL_MAX_BYTES).into();
                }
                shown
            })
            .collect();
        let detail = format!("The check of {name} failed. infra/docs/operations.md says what to do.");
        Self::new(kind::UNHEALTHY, detail).with("checks", checks).caused_by(error)
    }

    /// A response cannot be written as JSON.
    #[must_use]
    pub fn not_serialisable(error: &serde_json::Error) -> Self {
        Self::internal().caused_by(error)
    }

    fn internal() -> Self {
        let detail =
            "The service has an error. If it happens again in a minute, report it to the operator of this service.";
        Self::new(kind::INTERNAL, detail)
    }

    fn unavailable(detail: &str) -> Self {
        Self::new(kind::UNAVAILABLE, detail).header("retry-after", HeaderValue::from_static("1"))
    }

    /// A cursor in parameter `name` that is invalid or expired.
    #[must_use]
    pub fn cursor(name: &'static str, error: &AuditError) -> Self {
        match error {
            AuditError::Place(PlaceError::Unknown) => Fault::parameter(
                name,
                "is not an event of this organisation: use the uuid or eventId of an event, or a link",
            )
            .into(),
            error => Self::audit(error),
        }
    }

    fn audit(error: &AuditError) -> Self {
        match error {
            AuditError::Place(PlaceError::Unknown) => Self::not_found(),
            AuditError::Place(PlaceError::Expired { oldest }) => {
                let detail = match oldest {
                    Some(oldest) => format!(
                        "The event has expired. The oldest event left is {}. Begin with from={0}.",
                        oldest.short()
                    ),
                    None => "The event has expired, and so have all others. Begin without a cursor.".to_owned(),
                };
                Self::new(kind::EXPIRED, detail)
                    .with("oldest", oldest.map_or(Value::Null, |oldest| oldest.short().into()))
            }
            AuditError::Place(PlaceError::Lost { next }) => {
                let what = "The event was lost when an earlier copy of the log was restored, or never existed.";
                let detail = match next {
                    Some(next) => format!("{what} The event {} says what was lost. Begin with from={0}.", next.short()),
                    None => format!("{what} Begin without a cursor."),
                };
                Self::new(kind::EXPIRED, detail).with("oldest", next.map_or(Value::Null, |next| next.short().into()))
            }
            AuditError::Place(PlaceError::Store(error)) => Self::store(error),
            AuditError::Record(error) => Self::append(error),
        }
    }

    fn append(error: &AppendError) -> Self {
        match error {
            AppendError::KeyReused => {
                let detail = "This Idempotency-Key was used with other events in the last 24 hours. Use a new key for \
                              new events; repeat a request exactly to repeat it safely.";
                Self::new(kind::IDEMPOTENCY_KEY_REUSED, detail)
            }
            AppendError::TooLarge => {
                let detail = format!(
                    "These events take more than {} KiB after compression, which is the most that is recorded at once. \
                     Split them into several requests.",
                    MAX_STORED_BYTES >> 10
                );
                Self::new(kind::BATCH_TOO_LARGE, detail)
            }
            AppendError::RateLimited(wait) => Self::too_many_requests(*wait),
            AppendError::Contended => Self::too_many_requests(CONTENDED_FOR).caused_by(error),
            AppendError::Unsafe(hazard) => Self::hazard(*hazard).caused_by(hazard),
            AppendError::Unavailable(error) if matches!(**error, StoreError::Broken(_) | StoreError::Operator(_)) => {
                Self::store(error)
            }
            AppendError::Unavailable(_) => Self::unavailable(
                "The store did not confirm in time, so the event may or may not be recorded. A request with an \
                 Idempotency-Key is safe to send again.",
            )
            .caused_by(error),
            AppendError::Conflict(conflict) => Self::conflict(*conflict),
        }
    }

    fn conflict(conflict: Conflict) -> Self {
        let (kind, detail) = match conflict {
            Conflict::Missing => return Self::not_found(),
            Conflict::Exists | Conflict::Changed => {
                (kind::CHANGED, "Another request changed it at the same time. Read it again, then repeat your change.")
            }
            Conflict::Limit => (
                kind::PLAN_LIMIT,
                "The organisation's plan allows no more destinations: enterprise and enterprise_trial include one, other \
                 plans none. Delete the existing destination, or change the plan.",
            ),
            Conflict::TokenLimit => (
                kind::TOKEN_LIMIT,
                "An organisation may have 100 tokens that have not expired. Revoke tokens that are no longer needed.",
            ),
        };
        Self::new(kind, detail)
    }
}

impl From<Faults> for Problem {
    fn from(faults: Faults) -> Self {
        let errors: Vec<Value> = faults
            .as_slice()
            .iter()
            .map(|fault| match &fault.place {
                Place::Pointer(pointer) => json!({"pointer": pointer, "detail": fault.detail}),
                Place::Parameter(name) => json!({"parameter": name, "detail": fault.detail}),
            })
            .collect();
        let detail = match errors.len() {
            1 => faults.to_string(),
            count => format!("The input has {count} faults, listed in errors. Nothing was changed."),
        };
        Self::new(kind::INVALID_INPUT, detail).with("errors", errors)
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Faults::one(fault).into()
    }
}

impl From<NotAcceptable> for Problem {
    fn from(_: NotAcceptable) -> Self {
        Self::not_acceptable()
    }
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        Self::audit(&error)
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        Self::append(&error)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::store(&error)
    }
}

impl From<SigningError> for Problem {
    fn from(error: SigningError) -> Self {
        match error {
            SigningError::Signer(error) => {
                let detail = format!(
                    "{} Send the request again in a minute. If this lasts, report it to the operator of this service.",
                    error.fault.cause()
                );
                Self::new(kind::SIGNING_UNAVAILABLE, detail)
                    .header("retry-after", HeaderValue::from_static("60"))
                    .caused_by(&error)
            }
            SigningError::Store(error) => Self::store(&error),
            SigningError::Note(error) => Self::internal().caused_by(&error),
        }
    }
}

impl From<AdmissionError> for Problem {
    fn from(error: AdmissionError) -> Self {
        match error {
            AdmissionError::Unknown => Self::unauthorized(),
            AdmissionError::TooMany(wait) => Self::too_many_requests(wait),
            AdmissionError::Store(error) => Self::store(&error),
        }
    }
}

impl From<AdministrationError> for Problem {
    fn from(error: AdministrationError) -> Self {
        match error {
            AdministrationError::NotFound => Self::not_found(),
            AdministrationError::Conflict(conflict) => Self::conflict(conflict),
            AdministrationError::Input(fault) => fault.into(),
            AdministrationError::RotationInProgress(other) => {
                let detail = format!(
                    "Two tokens are valid already, this one and {other}. Revoke one of them, or wait until the older one \
                     expires."
                );
                Self::new(kind::ROTATION_IN_PROGRESS, detail)
            }
            AdministrationError::PlatformTokenLimit => {
                let detail = format!(
                    "The platform may have {MAX_PLATFORM_TOKENS} named tokens that have not expired. Revoke tokens that are no \
                     longer needed."
                );
                Self::new(kind::TOKEN_LIMIT, detail)
            }
            AdministrationError::ReplayInProgress => {
                let detail =
                    "A replay to this destination has not finished. Wait until the destination shows no replay.";
                Self::new(kind::REPLAY_IN_PROGRESS, detail)
            }
            AdministrationError::NothingToReplay => {
                let detail = "The range has no events, or they have expired. Use another range.";
                Self::new(kind::NOTHING_TO_REPLAY, detail)
            }
            AdministrationError::NoCode => {
                let detail = "There is no code that can be entered: it is older than a day, five wrong ones were entered, or \
                              the destination was not tested yet. Test the destination. If its role accepts any external ID, \
                              the test object in the bucket contains a new code.";
                Self::new(kind::NO_CODE, detail)
            }
            AdministrationError::TooOften(wait) => Self::too_often(wait),
            AdministrationError::Store(error) => Self::store(&error),
            AdministrationError::Record(error) => Self::append(&error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = Map::new();
        body.insert("type".into(), format!("urn:annals:problem:{}", self.kind.code).into());
        body.insert("title".into(), self.kind.title.into());
        body.insert("status".into(), self.kind.status.as_u16().into());
        body.insert("code".into(), self.kind.code.into());
        body.insert("detail".into(), self.detail.into());
        body.extend(self.members);
        let mut response = Response::new(Value::from(body.clone()).to_string().into());
        response.extensions_mut().insert(ProblemSummary {
            code: self.kind.code,
            cause: self.cause,
            operator: self.operator,
            body,
        });
        *response.status_mut() = self.kind.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = self.header.map(|header| *header) {
            headers.insert(name, value);
        }
        response
    }
}

/// An extension of a response that is an error, for the log and for code that shows the error in another form than
/// JSON.
#[derive(Debug, Clone)]
pub struct ProblemSummary {
    pub code: &'static str,
    /// The underlying error, for the log only.
    pub cause: Option<String>,
    /// Whether only the operator can end it.
    pub operator: Option<OperatorFaults>,
    body: Map<String, Value>,
}

impl ProblemSummary {
    #[must_use]
    pub fn new(code: &'static str, title: &str, detail: &str) -> Self {
        let body = [("title", title), ("detail", detail)].map(|(name, text)| (name.to_owned(), text.into()));
        Self { code, cause: None, operator: None, body: body.into_iter().collect() }
    }

    #[must_use]
    pub fn title(&self) -> &str {
        self.text("title")
    }

    #[must_use]
    pub fn detail(&self) -> &str {
        self.text("detail")
    }

    fn text(&self, name: &str) -> &str {
        self.body.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the problem as JSON, with the request's id.
    pub(crate) fn with_request_id(&self, id: &str) -> axum::body::Body {
        let mut body = self.body.clone();
        body.insert("requestId".into(), id.into());
        Value::from(body).to_string().into()
    }
}

/// An error (RFC 9457).
#[derive(Debug, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct Body {
    /// `urn:annals:problem:` and the code.
    pub r#type: String,
    /// The kind of problem, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The kind of problem, for programs. Codes do not change; new ones may be added.
    #[schemars(extend("enum" = codes()))]
    pub code: String,
    /// What is wrong, and what to do.
    pub detail: String,
    /// With `invalid_input`: the first 100 faults of the input.
    #[schemars(skip_serializing_if = "Option::is_none", length(min = 1, max = Faults::MAX))]
    pub errors: Option<Vec<BodyFault>>,
    /// With `expired`: the uuid of the oldest event left, or null if there is none.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<String>,
    /// With `unhealthy`: what was checked.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub checks: Option<Vec<BodyCheck>>,
    /// The request's id, which the operator of this service finds in the log. Missing without API Gateway.
    #[schemars(rename = "requestId", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// One fault of an input: in the body at `pointer`, or in a parameter.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "Fault")]
pub struct BodyFault {
    /// The place in the body: a JSON Pointer (RFC 6901), empty for the whole body. For several events, the first part is
    /// the event's index, from 0.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The parameter of the path or query, or the header.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What is wrong and what would be right: the rest of a sentence whose subject is the place.
    pub detail: String,
}

/// A check of the deployment's health.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "Check")]
pub struct BodyCheck {
    /// What was checked: `log` and `registry` are tables, `listing` is the registry's index, `signing` is the signing key.
    pub name: String,
    /// Whether it works.
    #[schemars(extend("enum" = ["ok", "failed"]))]
    pub status: String,
    /// How long the check took, in milliseconds.
    #[schemars(rename = "durationMs")]
    pub duration_ms: u64,
    /// What went wrong, in AWS's words if there are any.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

fn codes() -> Vec<&'static str> {
    kind::ALL.iter().map(|kind| kind.code).collect()
}
