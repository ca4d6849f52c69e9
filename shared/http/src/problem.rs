//! Errors as `application/problem+json` (RFC 9457): a stable `code`, a `detail` that says what to do, and `errors`, the
//! faults of an input at their places. The only file that knows which error has which status.
//!
//! [`kind`] is the table of all problems: what the API's description says of them, and what is answered, are made of it.

use std::time::Duration;

use annals_aws::metrics::chain;
use annals_core::{
    administration::AdministrationError,
    admission::AdmissionError,
    audit::AuditError,
    change::Conflict,
    fault::{Fault, Faults, Place},
    log::{append::AppendError, read::PlaceError, store::StoreError},
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

/// The media type of problems.
pub const PROBLEM: &str = "application/problem+json";

/// What never changes about a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The status that it is answered with.
    pub status: StatusCode,
    /// Its name, for programs. It does not change.
    pub code: &'static str,
    /// Its name, for people.
    pub title: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

macro_rules! kinds {
    ($($(#[doc = $meaning:literal])+ $name:ident = $status:ident, $code:literal, $title:literal;)+) => {
        /// Every problem there is.
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

            /// All of them.
            pub const ALL: &[&Kind] = &[$($name),+];
        }
    };
}

kinds! {
    /// A part of the input is not as it should be; `errors` names each fault at its place. Nothing was changed.
    INVALID_INPUT = BAD_REQUEST, "invalid_input", "Invalid input";
    /// The platform's token acts for every organisation, so the path has to name one.
    ORGANISATION_NEEDED = BAD_REQUEST, "organisation_needed", "Which organisation?";
    /// The body ended before it was complete.
    BODY_CUT_OFF = BAD_REQUEST, "body_cut_off", "Body cut off";
    /// There is no token, or it is mistyped, revoked or expired.
    UNAUTHORIZED = UNAUTHORIZED, "unauthorized", "A valid token is needed";
    /// The token's role does not allow this call.
    FORBIDDEN = FORBIDDEN, "forbidden", "The token does not allow this";
    /// The organisation's plan allows no more destinations.
    PLAN_LIMIT = FORBIDDEN, "plan_limit", "The plan does not allow this";
    /// It does not exist, or belongs to another organisation: nobody can tell which.
    NOT_FOUND = NOT_FOUND, "not_found", "Not found";
    /// No call has this path.
    NO_SUCH_ROUTE = NOT_FOUND, "no_such_route", "Not found";
    /// The path exists, but not with this method; `Allow` names those that it has.
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed";
    /// Somebody else changed it at the same moment. Nothing was changed by this call.
    CHANGED = CONFLICT, "changed", "Changed meanwhile";
    /// The organisation has as many tokens as it may have.
    TOKEN_LIMIT = CONFLICT, "token_limit", "Too many tokens";
    /// The token's predecessor or its successor is live: of a chain of successors no more than two are.
    ROTATION_IN_PROGRESS = CONFLICT, "rotation_in_progress", "Conflict";
    /// Another organisation delivers to this bucket.
    BUCKET_IN_USE = CONFLICT, "bucket_in_use", "Bucket in use";
    /// Another organisation uses this role.
    ROLE_IN_USE = CONFLICT, "role_in_use", "Role in use";
    /// An earlier replay to this destination is not finished.
    REPLAY_IN_PROGRESS = CONFLICT, "replay_in_progress", "Conflict";
    /// The log holds no event in the range, or none any more.
    NOTHING_TO_REPLAY = CONFLICT, "nothing_to_replay", "Conflict";
    /// The event that the cursor names has expired; `oldest` is the uuid of the oldest event there is, or null.
    EXPIRED = GONE, "expired", "Expired";
    /// The body is larger than any request may be.
    BODY_TOO_LARGE = PAYLOAD_TOO_LARGE, "body_too_large", "Body too large";
    /// The events are too large to be recorded together.
    BATCH_TOO_LARGE = PAYLOAD_TOO_LARGE, "batch_too_large", "Batch too large";
    /// The body's media type is none that is understood.
    UNSUPPORTED_MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported media type";
    /// The body is encoded in a way that is not understood, such as gzip.
    UNSUPPORTED_CONTENT_ENCODING = UNSUPPORTED_MEDIA_TYPE, "unsupported_content_encoding", "Unsupported content encoding";
    /// The address is longer than any that leads somewhere.
    URI_TOO_LONG = URI_TOO_LONG, "uri_too_long", "Address too long";
    /// There were too many requests or events, or too many with tokens that are none; `Retry-After` says when there is
    /// room for this one, in seconds. Nothing was changed or recorded.
    TOO_MANY_REQUESTS = TOO_MANY_REQUESTS, "too_many_requests", "Too many requests";
    /// The `Idempotency-Key` was used with other events in the last 24 hours.
    IDEMPOTENCY_KEY_REUSED = UNPROCESSABLE_ENTITY, "idempotency_key_reused", "Idempotency key reused";
    /// Something is wrong on our side, and trying again will not help.
    INTERNAL = INTERNAL_SERVER_ERROR, "internal", "Internal error";
    /// The store is too slow or too busy at the moment; `Retry-After` says when to try again, in seconds.
    UNAVAILABLE = SERVICE_UNAVAILABLE, "unavailable", "Unavailable";
}

/// An error as its caller reads it.
#[derive(Debug)]
pub struct Problem {
    kind: &'static Kind,
    detail: String,
    members: Map<String, Value>,
    header: Option<Box<(&'static str, HeaderValue)>>,
    cause: Option<String>,
}

impl Problem {
    fn new(kind: &'static Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), members: Map::new(), header: None, cause: None }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }

    /// With what is said of it in the log alone.
    fn caused_by(mut self, error: &dyn std::error::Error) -> Self {
        self.cause = Some(chain(error));
        self
    }

    /// No token, or none that is valid.
    #[must_use]
    pub fn unauthorized() -> Self {
        let detail = "Send a valid token: Authorization: Bearer <token>. It may be mistyped, revoked or expired.";
        Self::new(kind::UNAUTHORIZED, detail).header("www-authenticate", HeaderValue::from_static("Bearer"))
    }

    /// The token's role does not allow it.
    #[must_use]
    pub fn forbidden(role: &str, needed: &str) -> Self {
        let detail = format!("The token's role is {role}; this call needs {needed}.");
        Self::new(kind::FORBIDDEN, detail)
    }

    /// It does not exist, or belongs to somebody else: nobody can tell which.
    #[must_use]
    pub fn not_found() -> Self {
        let detail = "There is no such thing here. Check the ids in the path, and whose token it is.";
        Self::new(kind::NOT_FOUND, detail)
    }

    /// No route has this path.
    #[must_use]
    pub fn no_such_route() -> Self {
        let detail = "No call has this path. Check it against the API's description.";
        Self::new(kind::NO_SUCH_ROUTE, detail)
    }

    /// The path exists, but not with this method.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let detail = "This path has no such method. The Allow header names those that it has.";
        Self::new(kind::METHOD_NOT_ALLOWED, detail)
    }

    /// The platform's token does not tell which organisation is meant.
    #[must_use]
    pub fn organisation_needed() -> Self {
        let detail = "The platform's token acts for every organisation: use the path /organisations/{organisation}/….";
        Self::new(kind::ORGANISATION_NEEDED, detail)
    }

    /// The body is longer than any request may be.
    #[must_use]
    pub fn body_too_large(limit: usize) -> Self {
        let detail = format!("The body is larger than {limit} bytes. Send it in several requests.");
        Self::new(kind::BODY_TOO_LARGE, detail)
    }

    /// The body could not be read to its end.
    #[must_use]
    pub fn body_cut_off() -> Self {
        Self::new(kind::BODY_CUT_OFF, "The body ended early. Send it again.")
    }

    /// The body's media type is none that is understood.
    #[must_use]
    pub fn unsupported_media_type() -> Self {
        let detail = "Send Content-Type: application/json for an object or an array, application/x-ndjson for lines; \
                      both in UTF-8. What many clients send by themselves, such as \
                      application/x-www-form-urlencoded, is neither.";
        Self::new(kind::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// The body is encoded, and should not be.
    #[must_use]
    pub fn unsupported_content_encoding() -> Self {
        let detail = "Send the body as it is, without Content-Encoding.";
        Self::new(kind::UNSUPPORTED_CONTENT_ENCODING, detail)
            .header("accept-encoding", HeaderValue::from_static("identity"))
    }

    /// Path and query are longer than any that make sense.
    #[must_use]
    pub fn uri_too_long(limit: usize) -> Self {
        let detail = format!("Path and query are longer than {limit} bytes. Ask for less at once.");
        Self::new(kind::URI_TOO_LONG, detail)
    }

    /// There is room for this request when `wait` has passed.
    fn too_many_requests(wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).clamp(1, 3600);
        let detail = format!("Wait {seconds} s, then send it again; send events in batches rather than one by one.");
        let seconds = HeaderValue::from(u16::try_from(seconds).unwrap_or(u16::MAX));
        Self::new(kind::TOO_MANY_REQUESTS, detail).header("retry-after", seconds)
    }

    fn store(error: &StoreError) -> Self {
        match error {
            StoreError::Throttled(_) | StoreError::Unavailable(_) => {
                Self::unavailable("The store did not answer in time. Try again in a moment.")
            }
            StoreError::Broken(_) => Self::internal(),
        }
        .caused_by(error)
    }

    /// The answer cannot be written as JSON.
    #[must_use]
    pub fn unwritable(error: &serde_json::Error) -> Self {
        Self::internal().caused_by(error)
    }

    fn internal() -> Self {
        let detail =
            "Something is wrong on our side. If it is the same again in a minute, tell whoever runs this service.";
        Self::new(kind::INTERNAL, detail)
    }

    fn unavailable(detail: &str) -> Self {
        Self::new(kind::UNAVAILABLE, detail).header("retry-after", HeaderValue::from_static("1"))
    }

    /// A cursor in parameter `name` that marks no place.
    #[must_use]
    pub fn cursor(name: &'static str, error: &AuditError) -> Self {
        match error {
            AuditError::Place(PlaceError::Unknown) => {
                Fault::parameter(name, "is no event of this organisation: take one that an event or a link gave").into()
            }
            error => Self::audit(error),
        }
    }

    fn audit(error: &AuditError) -> Self {
        match error {
            AuditError::Place(PlaceError::Unknown) => Self::not_found(),
            AuditError::Place(PlaceError::Expired { oldest }) => {
                let detail = match oldest {
                    Some(oldest) => format!(
                        "That event has expired. The oldest event there is: {}. Begin with from={0}.",
                        oldest.short()
                    ),
                    None => "That event has expired, and so have all others. Begin without a cursor.".to_owned(),
                };
                Self::new(kind::EXPIRED, detail)
                    .with("oldest", oldest.map_or(Value::Null, |oldest| oldest.short().into()))
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
                let detail = "These events are too large to be recorded together. Send them in several requests.";
                Self::new(kind::BATCH_TOO_LARGE, detail)
            }
            AppendError::Contended => {
                Self::unavailable("Too many appends at once. Nothing was recorded: send it again.").caused_by(error)
            }
            AppendError::Unavailable(error) if matches!(**error, StoreError::Broken(_)) => Self::store(error),
            AppendError::Unavailable(_) => Self::unavailable(
                "The store did not confirm in time. Whether it was recorded is not known: with an Idempotency-Key it \
                 is safe to send again.",
            )
            .caused_by(error),
            AppendError::Conflict(conflict) => Self::conflict(*conflict),
        }
    }

    fn conflict(conflict: Conflict) -> Self {
        let (kind, detail) = match conflict {
            Conflict::Missing => return Self::not_found(),
            Conflict::Exists | Conflict::Changed => (
                kind::CHANGED,
                "Somebody else changed it at the same moment. Look at it again, then repeat your change.",
            ),
            Conflict::Limit => (
                kind::PLAN_LIMIT,
                "The organisation's plan allows no more destinations: enterprise and enterprise_trial have one, other \
                 plans none. Delete the one there is, or change the plan.",
            ),
            Conflict::TokenLimit => (
                kind::TOKEN_LIMIT,
                "An organisation has at most 100 tokens that have not ended. Revoke those that are not needed any more.",
            ),
            Conflict::BucketInUse => {
                (kind::BUCKET_IN_USE, "Another organisation delivers to this bucket. Use a bucket of your own.")
            }
            Conflict::RoleInUse => (kind::ROLE_IN_USE, "Another organisation uses this role. Use a role of your own."),
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
            count => format!("{count} faults; see errors. Nothing was changed."),
        };
        Self::new(kind::INVALID_INPUT, detail).with("errors", errors)
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Faults::one(fault).into()
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
                    "Two tokens are live already, this one and {other}. Revoke one of them, or wait until the older one \
                     has ended."
                );
                Self::new(kind::ROTATION_IN_PROGRESS, detail)
            }
            AdministrationError::ReplayInProgress => {
                let detail = "A replay to this destination is not finished. Wait until the destination shows none.";
                Self::new(kind::REPLAY_IN_PROGRESS, detail)
            }
            AdministrationError::NothingToReplay => {
                let detail = "There is no event in this range, or none any more. Ask for a range that has some.";
                Self::new(kind::NOTHING_TO_REPLAY, detail)
            }
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
        let mut response = Response::new(Body::from(Value::from(body.clone()).to_string()));
        response.extensions_mut().insert(Told { code: self.kind.code, cause: self.cause, body });
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

/// What a problem's answer carries for the log, and to have its request's id added.
#[derive(Debug, Clone)]
pub struct Told {
    /// What kind of problem it is.
    pub code: &'static str,
    /// What failed on our side, where something did. Callers are not told.
    pub cause: Option<String>,
    body: Map<String, Value>,
}

impl Told {
    /// What is told of a refusal that is shown otherwise than as JSON.
    #[must_use]
    pub fn new(code: &'static str, title: &str, detail: &str) -> Self {
        let body = [("title", title), ("detail", detail)].map(|(name, text)| (name.to_owned(), text.into()));
        Self { code, cause: None, body: body.into_iter().collect() }
    }

    /// What is wrong, in a few words.
    #[must_use]
    pub fn title(&self) -> &str {
        self.text("title")
    }

    /// What is wrong, and what to do.
    #[must_use]
    pub fn detail(&self) -> &str {
        self.text("detail")
    }

    fn text(&self, name: &str) -> &str {
        self.body.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The problem with the id of the request that ended in it.
    pub(crate) fn with_request_id(&self, id: &str) -> Body {
        let mut body = self.body.clone();
        body.insert("requestId".into(), id.into());
        Body::from(Value::from(body).to_string())
    }
}

/// Why a call was refused, as RFC 9457 writes it.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct Described {
    /// `urn:annals:problem:` and the code.
    pub r#type: String,
    /// What kind of problem it is, for people.
    pub title: String,
    /// The status that it was answered with.
    pub status: u16,
    /// What kind of problem it is, for programs. Codes do not change; new ones may be added.
    #[schemars(extend("enum" = codes()))]
    pub code: String,
    /// What is wrong, and what to do.
    pub detail: String,
    /// With `invalid_input`: every fault of the input, the first 100 of them.
    #[schemars(skip_serializing_if = "Option::is_none", length(min = 1, max = Faults::MAX))]
    pub errors: Option<Vec<DescribedFault>>,
    /// With `expired`: the uuid of the oldest event there is, or null where there is none.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<String>,
    /// The request's id, to be told whoever runs this service: its log has it, too. Not where no gateway gives one.
    #[schemars(rename = "requestId", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// One fault of an input: in its body, at `pointer`, or in a parameter.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "Fault")]
pub struct DescribedFault {
    /// Where in the body: a JSON Pointer (RFC 6901), empty for the whole. Of several events, the first part is the event's
    /// index, from 0.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Which parameter of the path or query, or header.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What is wrong and what would be right: the rest of a sentence that begins with the place.
    pub detail: String,
}

fn codes() -> Vec<&'static str> {
    kind::ALL.iter().map(|kind| kind.code).collect()
}
