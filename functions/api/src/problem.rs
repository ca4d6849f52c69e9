//! Errors as `application/problem+json` (RFC 9457): a stable `code`, a `detail` that says what to do, and `errors`, the
//! faults of an input at their places. The only file that knows which error has which status.

use annals_core::{
    administration::AdministrationError,
    audit::AuditError,
    fault::{Fault, Faults, Place},
    log::{append::AppendError, read::PlaceError, store::StoreError},
    registry::Conflict,
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

/// An error as its caller reads it.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    members: Map<String, Value>,
    header: Option<(&'static str, &'static str)>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, title, detail: detail.into(), members: Map::new(), header: None }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    /// No token, or none that is valid.
    #[must_use]
    pub fn unauthorized() -> Self {
        let detail = "Send a valid token: Authorization: Bearer <token>. It may be mistyped, revoked or expired.";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A valid token is needed", detail)
            .header("www-authenticate", "Bearer")
    }

    /// The token's role does not allow it.
    #[must_use]
    pub fn forbidden(role: &str, needed: &str) -> Self {
        let detail = format!("The token's role is {role}; this call needs {needed}.");
        Self::new(StatusCode::FORBIDDEN, "forbidden", "The token does not allow this", detail)
    }

    /// It does not exist, or belongs to somebody else: nobody can tell which.
    #[must_use]
    pub fn not_found() -> Self {
        let detail = "There is no such thing here. Check the ids in the path, and whose token it is.";
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
    }

    /// No route has this path.
    #[must_use]
    pub fn no_such_route() -> Self {
        let detail = "No call has this path. Check it against the API's description.";
        Self::new(StatusCode::NOT_FOUND, "no_such_route", "Not found", detail)
    }

    /// The path exists, but not with this method.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let detail = "This path has no such method. The Allow header names those that it has.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed", detail)
    }

    /// The platform's token does not tell which organisation is meant.
    #[must_use]
    pub fn organisation_needed() -> Self {
        let detail = "The platform's token acts for every organisation: use the path /organisations/{organisation}/….";
        Self::new(StatusCode::BAD_REQUEST, "organisation_needed", "Which organisation?", detail)
    }

    /// The body is longer than any request may be.
    #[must_use]
    pub fn body_too_large(limit: usize) -> Self {
        let detail = format!("The body is larger than {limit} bytes. Send it in several requests.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "Body too large", detail)
    }

    /// The body could not be read to its end.
    #[must_use]
    pub fn body_cut_off() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "body_cut_off", "Body cut off", "The body ended early. Send it again.")
    }

    /// The body's media type is none that is understood.
    #[must_use]
    pub fn unsupported_media_type() -> Self {
        let detail = "Send Content-Type: application/json for an object or an array, application/x-ndjson for lines.";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported media type", detail)
    }

    fn store(error: &StoreError) -> Self {
        match error {
            StoreError::Throttled(_) | StoreError::Unavailable(_) => {
                tracing::error!(error = %Chain(error), "the store failed");
                Self::unavailable("The store did not answer in time. Try again in a moment.")
            }
            StoreError::Broken(_) => {
                tracing::error!(error = %Chain(error), "the store's answer makes no sense");
                let detail = "Something is wrong on our side. Trying again will not help; the log says what it is.";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
            }
        }
    }

    fn unavailable(detail: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable", detail).header("retry-after", "1")
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
                Self::new(StatusCode::GONE, "expired", "Expired", detail)
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
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", "Idempotency key reused", detail)
            }
            AppendError::TooLarge => {
                let detail = "These events are too large to be recorded together. Send them in several requests.";
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "batch_too_large", "Batch too large", detail)
            }
            AppendError::Contended => {
                tracing::error!("an append lost to others up to its deadline");
                Self::unavailable("Too many appends at once. Nothing was recorded: send it again.")
            }
            AppendError::Unavailable(error) if matches!(**error, StoreError::Broken(_)) => Self::store(error),
            AppendError::Unavailable(error) => {
                tracing::error!(error = %Chain(&**error), "an append was not confirmed");
                Self::unavailable(
                    "The store did not confirm in time. Whether it was recorded is not known: with an Idempotency-Key \
                     it is safe to send again.",
                )
            }
            AppendError::Conflict(conflict) => Self::conflict(*conflict),
        }
    }

    fn conflict(conflict: Conflict) -> Self {
        let (status, code, title, detail) = match conflict {
            Conflict::Missing => return Self::not_found(),
            Conflict::Exists | Conflict::Changed => (
                StatusCode::CONFLICT,
                "changed",
                "Changed meanwhile",
                "Somebody else changed it at the same moment. Look at it again, then repeat your change.",
            ),
            Conflict::Limit => (
                StatusCode::FORBIDDEN,
                "plan_limit",
                "The plan does not allow this",
                "The organisation's plan allows no more destinations: enterprise and enterprise_trial have one, other \
                 plans none. Delete the one there is, or change the plan.",
            ),
            Conflict::BucketInUse => (
                StatusCode::CONFLICT,
                "bucket_in_use",
                "Bucket in use",
                "Another organisation delivers to this bucket. Use a bucket of your own.",
            ),
            Conflict::RoleInUse => (
                StatusCode::CONFLICT,
                "role_in_use",
                "Role in use",
                "Another organisation uses this role. Use a role of your own.",
            ),
        };
        Self::new(status, code, title, detail)
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
        Self::new(StatusCode::BAD_REQUEST, "invalid_input", "Invalid input", detail).with("errors", errors)
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

impl From<AdministrationError> for Problem {
    fn from(error: AdministrationError) -> Self {
        match error {
            AdministrationError::NotFound => Self::not_found(),
            AdministrationError::Conflict(conflict) => Self::conflict(conflict),
            AdministrationError::ReplayInProgress => {
                let detail = "A replay to this destination is not finished. Wait until the destination shows none.";
                Self::new(StatusCode::CONFLICT, "replay_in_progress", "Conflict", detail)
            }
            AdministrationError::NothingToReplay => {
                let detail = "There is no event in this range, or none any more. Ask for a range that has some.";
                Self::new(StatusCode::CONFLICT, "nothing_to_replay", "Conflict", detail)
            }
            AdministrationError::Store(error) => Self::store(&error),
            AdministrationError::Record(error) => Self::append(&error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = Map::new();
        body.insert("type".into(), format!("urn:annals:problem:{}", self.code).into());
        body.insert("title".into(), self.title.into());
        body.insert("status".into(), self.status.as_u16().into());
        body.insert("code".into(), self.code.into());
        body.insert("detail".into(), self.detail.into());
        body.extend(self.members);
        let mut response = Response::new(Body::from(Value::Object(body).to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// An error with all its causes, for the log.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
