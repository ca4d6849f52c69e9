//! Customers' buckets on S3, with sessions of the customers' roles from STS. This module owns the sessions and reads AWS's
//! answers; `annals-core` decides what an answer means.

use std::{
    collections::HashMap,
    error::Error,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use annals_core::{
    destination::{
        policy::{Policy, target_objects},
        sink::{Call, Existing, Object, ObjectSink, Reason, SinkError, Stored, Target},
    },
    time::{Clock, Timestamp},
};
use async_trait::async_trait;
use aws_config::{Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::{
    config::{
        ConfigBag, Credentials, Intercept, RuntimeComponents, SharedInterceptor,
        http::HttpResponse,
        interceptors::{BeforeTransmitInterceptorContextMut, FinalizerInterceptorContextRef},
    },
    error::{BoxError, ProvideErrorMetadata, SdkError},
    operation::RequestId,
    primitives::ByteStream,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};

/// Credentials are no longer used from this long before they expire.
const EXPIRY_MARGIN: Duration = Duration::from_secs(5 * 60);
/// The most retries of a put that collides with another put of the same key (S3's ConditionalRequestConflict).
const CONFLICT_RETRIES: u32 = 3;
/// The pause before the first retry. It doubles with each retry.
const CONFLICT_PAUSE: Duration = Duration::from_millis(100);
/// The most sessions in memory.
const MAX_SESSIONS: usize = 10_000;

/// The time-outs and attempts of calls.
#[derive(Debug, Clone, Copy)]
pub struct SinkPatience {
    /// Establishing a connection.
    pub connect: Duration,
    /// One attempt of AssumeRole.
    pub assume_attempt: Duration,
    /// AssumeRole, with all attempts.
    pub assume: Duration,
    /// One attempt of PutObject.
    pub put_attempt: Duration,
    /// PutObject, with all attempts.
    pub put: Duration,
    /// The most attempts of a call, if a retry can help.
    pub attempts: u32,
}

impl SinkPatience {
    /// Returns the limits for a caller who waits. A connection test calls AssumeRole at most three times and PutObject twice,
    /// which takes at most 27 seconds; API Gateway allows 30, and the function's time limit is 28.
    #[must_use]
    pub fn interactive() -> Self {
        Self {
            connect: Duration::from_secs(2),
            assume_attempt: Duration::from_millis(2_500),
            assume: Duration::from_secs(5),
            put_attempt: Duration::from_millis(3_500),
            put: Duration::from_secs(6),
            attempts: 2,
        }
    }
}

impl Default for SinkPatience {
    /// AssumeRole is fast; 16 MiB to another continent can take a while. A call that hangs costs a tick at most 30 seconds,
    /// and the next tick tries again.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            assume_attempt: Duration::from_secs(3),
            assume: Duration::from_secs(6),
            put_attempt: Duration::from_secs(20),
            put: Duration::from_secs(24),
            attempts: 3,
        }
    }
}

/// An object sink on S3.
#[derive(Debug)]
pub struct S3ObjectSink {
    s3: aws_sdk_s3::Client,
    sts: aws_sdk_sts::Client,
    clock: Arc<dyn Clock>,
    sessions: Mutex<HashMap<SessionKey, Session>>,
}

/// What a session is limited to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SessionKey {
    role_arn: String,
    external_id: String,
    objects: String,
}

impl SessionKey {
    fn of(target: &Target) -> Self {
        Self {
            role_arn: target.role_arn.to_string(),
            external_id: target.external_id.clone(),
            objects: target_objects(target),
        }
    }
}

#[derive(Debug, Clone)]
struct Session {
    credentials: Credentials,
    ends_at: Timestamp,
}

impl S3ObjectSink {
    /// Creates a sink. `config` contains Annals' own identity, region and endpoints.
    #[must_use]
    pub fn new(config: &SdkConfig, clock: Arc<dyn Clock>) -> Self {
        Self::with_patience(config, clock, SinkPatience::default())
    }

    #[must_use]
    pub fn with_patience(config: &SdkConfig, clock: Arc<dyn Clock>, patience: SinkPatience) -> Self {
        let timeouts = |attempt, operation| {
            TimeoutConfig::builder()
                .connect_timeout(patience.connect)
                .operation_attempt_timeout(attempt)
                .operation_timeout(operation)
                .build()
        };
        let retries = RetryConfig::standard().with_max_attempts(patience.attempts);
        let sts = aws_sdk_sts::config::Builder::from(config)
            .timeout_config(timeouts(patience.assume_attempt, patience.assume))
            .retry_config(retries.clone())
            .build();
        let s3 = aws_sdk_s3::config::Builder::from(config)
            .timeout_config(timeouts(patience.put_attempt, patience.put))
            .retry_config(retries)
            .build();
        Self {
            s3: aws_sdk_s3::Client::from_conf(s3),
            sts: aws_sdk_sts::Client::from_conf(sts),
            clock,
            sessions: Mutex::default(),
        }
    }

    async fn credentials(&self, target: &Target) -> Result<Credentials, SinkError> {
        let key = SessionKey::of(target);
        let now = self.clock.now();
        {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.retain(|_, session| session.ends_at > now);
            if let Some(session) = sessions.get(&key) {
                return Ok(session.credentials.clone());
            }
        }
        let session = self.open_session(target, &target.external_id).await?;
        let credentials = session.credentials.clone();
        self.keep(key, session);
        Ok(credentials)
    }

    fn keep(&self, key: SessionKey, session: Session) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() < MAX_SESSIONS {
            sessions.insert(key, session);
        }
    }

    async fn open_session(&self, target: &Target, external_id: &str) -> Result<Session, SinkError> {
        let answer = self
            .sts
            .assume_role()
            .role_arn(target.role_arn.as_str())
            .role_session_name(session_name(target))
            .external_id(external_id)
            .policy(Policy::session(target).to_string())
            .send()
            .await
            .map_err(|error| sink_error(Call::AssumeRole, &error))?;
        let given = answer.credentials().ok_or_else(|| SinkError {
            request_id: answer.request_id().map(str::to_owned),
            ..SinkError::new(Call::AssumeRole, Reason::NotConnected)
        })?;
        let ends_at = u64::try_from(given.expiration().to_millis().unwrap_or(0)).unwrap_or(0);
        let credentials = Credentials::new(
            given.access_key_id(),
            given.secret_access_key(),
            Some(given.session_token().to_owned()),
            None,
            "AssumeRole",
        );
        Ok(Session { credentials, ends_at: Timestamp::from_millis(ends_at).minus(EXPIRY_MARGIN) })
    }
}

#[async_trait]
impl ObjectSink for S3ObjectSink {
    async fn put(&self, target: &Target, object: Object) -> Result<Stored, SinkError> {
        let credentials = self.credentials(target).await?;
        let unclear = UnclearAttempts::default();
        for attempt in 0_u32.. {
            let mut session = aws_sdk_s3::config::Builder::new().credentials_provider(credentials.clone());
            session.push_interceptor(SharedInterceptor::new(unclear.clone()));
            session.push_interceptor(SharedInterceptor::new(SignedContent(hex::encode(object.content.sha256()))));
            if let Some(region) = &target.region {
                session = session.region(Region::new(region.as_str().to_owned()));
            }
            let result = self
                .s3
                .put_object()
                .bucket(target.bucket.as_str())
                .expected_bucket_owner(&target.bucket_owner)
                .key(&object.key)
                .content_type(object.content_type)
                .checksum_sha256(BASE64_STANDARD.encode(object.content.sha256()))
                .set_if_none_match((object.existing == Existing::Keep).then(|| "*".to_owned()))
                .body(ByteStream::from(object.content.bytes()))
                .customize()
                .config_override(session)
                .send()
                .await;
            let error = match result {
                Ok(_) => return Ok(Stored::Now),
                Err(error) => error,
            };
            match error.code() {
                Some("PreconditionFailed") if unclear.count() > 0 => return Ok(Stored::Unclear),
                Some("PreconditionFailed") => return Ok(Stored::Before),
                Some("ConditionalRequestConflict") if attempt < CONFLICT_RETRIES => {
                    tokio::time::sleep(CONFLICT_PAUSE * 2_u32.pow(attempt)).await;
                }
                _ => {
                    // The role may have been replaced: the next put opens a new session.
                    self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(&SessionKey::of(target));
                    let error = sink_error(Call::PutObject, &error);
                    let last = u32::from(!error.reason.is_definite());
                    return Err(SinkError { earlier_unclear: unclear.count() > last, ..error });
                }
            }
        }
        // The loop ends at the latest when the retries are used up.
        Ok(Stored::Unclear)
    }

    async fn assume(&self, target: &Target, external_id: &str) -> Result<(), SinkError> {
        let session = self.open_session(target, external_id).await?;
        if external_id == target.external_id {
            // Keep the new session, so that the next put uses the current permissions of the role.
            self.keep(SessionKey::of(target), session);
        }
        Ok(())
    }
}

/// Signs the content of a put by its SHA-256 in hexadecimal digits, which is known already. Without this, the SDK computes it
/// again for each attempt.
#[derive(Debug)]
struct SignedContent(String);

impl Intercept for SignedContent {
    fn name(&self) -> &'static str {
        "SignedContent"
    }

    fn modify_before_signing(
        &self,
        _context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(PayloadSigningOverride::Precomputed(self.0.clone()));
        Ok(())
    }
}

/// The number of attempts of a call, the SDK's own retries included, that may have written the object although they
/// failed.
#[derive(Debug, Clone, Default)]
struct UnclearAttempts(Arc<AtomicU32>);

impl UnclearAttempts {
    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Intercept for UnclearAttempts {
    fn name(&self) -> &'static str {
        "UnclearAttempts"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(Err(error)) = context.output_or_error() else { return Ok(()) };
        let reason = match (error.as_connector_error(), context.response()) {
            _ if error.is_timeout_error() => Reason::TimedOut,
            (Some(error), _) if error.is_timeout() => Reason::TimedOut,
            (Some(error), _) => broken_connection(error),
            (None, Some(answer)) => Reason::answered(answer.status().as_u16(), "", "", None),
            (None, None) => Reason::NotConnected,
        };
        self.0.fetch_add(u32::from(!reason.is_definite()), Ordering::Relaxed);
        Ok(())
    }
}

/// Returns the session's name in the customer's CloudTrail: `annals-` and the organisation's id, at most 64 characters.
fn session_name(target: &Target) -> String {
    format!("annals-{}", target.organisation).chars().take(64).collect()
}

fn sink_error<E: ProvideErrorMetadata>(call: Call, error: &SdkError<E, HttpResponse>) -> SinkError {
    let reason = match (error, error.raw_response()) {
        (SdkError::TimeoutError(_), _) => Reason::TimedOut,
        (SdkError::DispatchFailure(failure), _) if failure.is_timeout() => Reason::TimedOut,
        (SdkError::DispatchFailure(failure), _) => {
            failure.as_connector_error().map_or(Reason::NotConnected, |error| broken_connection(error))
        }
        (_, Some(answer)) => {
            let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
            Reason::answered(answer.status().as_u16(), code, message, bucket_region(answer))
        }
        _ => Reason::NotConnected,
    };
    SinkError { request_id: error.request_id().map(str::to_owned), ..SinkError::new(call, reason) }
}

/// Returns whether no connection was established. Hyper's error says in which step it failed, but only as a text.
fn is_of_connecting(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.to_string() == "client error (Connect)" {
            return true;
        }
        next = error.source();
    }
    false
}

/// Why there is no connection, from the root cause of the HTTP client's error: an error of the operating system, or of
/// rustls, which arrives as invalid data. A connection that was established and then lost is [`Reason::NotConnected`],
/// because the request may have arrived.
fn broken_connection(error: &(dyn Error + 'static)) -> Reason {
    if !is_of_connecting(error) {
        return Reason::NotConnected;
    }
    let mut next = Some(error);
    while let Some(error) = next {
        let Some(io) = error.downcast_ref::<io::Error>() else {
            if error.to_string() == "dns error" {
                return Reason::NotResolved;
            }
            next = error.source();
            continue;
        };
        match io.kind() {
            io::ErrorKind::ConnectionRefused => return Reason::Refused,
            io::ErrorKind::InvalidData => return Reason::TlsFailed,
            io::ErrorKind::UnexpectedEof if io.to_string().contains("tls") => return Reason::TlsFailed,
            // The error that an I/O error wraps is not its source.
            _ => next = io.get_ref().map(|wrapped| wrapped as &(dyn Error + 'static)),
        }
    }
    Reason::NotConnected
}

/// Returns the bucket's region, if the answer has it: in a header, or in the body as the endpoint of a redirect or the
/// region of a correct signature ("Error responses", Amazon S3 API Reference).
fn bucket_region(answer: &HttpResponse) -> Option<String> {
    if let Some(region) = answer.headers().get("x-amz-bucket-region") {
        return Some(region.to_owned());
    }
    let body = std::str::from_utf8(answer.body().bytes()?).ok()?;
    let element = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        rest.split_once('<').map(|(text, _)| text)
    };
    let is_region = |name: &str| name.parse::<annals_core::destination::Region>().is_ok();
    if let Some(region) = element("Region").filter(|name| is_region(name)) {
        return Some(region.to_owned());
    }
    // Take the last label that is a region, because the labels before it can belong to the bucket's name.
    let endpoint = element("Endpoint")?;
    let labels = endpoint.rsplit('.').map(|label| label.strip_prefix("s3-").unwrap_or(label));
    labels.into_iter().find(|label| is_region(label)).map(str::to_owned)
}
