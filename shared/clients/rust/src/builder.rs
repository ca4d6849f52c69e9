//! The configuration of a client, and its start.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::Url;
use tokio::sync::watch;

use crate::{
    audit_log::AuditLog,
    buffer::{Buffer, Limits},
    event::MAX_EVENT_BYTES,
    http::{HttpTransport, InvalidToken, Token, Transport, connections},
    randomness::Randomness,
    report::{Observer, Status},
    sender::{RetryPolicy, Sender},
};

/// The most events in one request.
pub const MAX_BATCH_EVENTS: usize = 1000;
/// The most bytes in one request. API Gateway encodes them in Base64, and a Lambda function accepts 6 MB of that; one
/// transaction of Annals accepts 3.9 MB that cannot be compressed.
pub const MAX_BATCH_BYTES: usize = 3_500_000;
/// The upper bound of [`Builder::retry_delay_max`].
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60 * 60);

/// Why a client did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The URL does not begin with `https://` or `http://`, or it contains a user name, a password, a query or a fragment.
    #[error("the URL must be an absolute https or http URL without user name, password, query and fragment")]
    Url,
    /// The organisation's id is invalid.
    #[error("an organisation's id has 1 to 64 letters, digits, - and _, and begins with a letter or a digit")]
    Organisation,
    /// The token is empty, or has characters that no token has.
    #[error(transparent)]
    Token(#[from] InvalidToken),
    /// [`Builder::start`] was called outside a Tokio runtime.
    #[error("the client must be started within a Tokio runtime")]
    NoRuntime,
    /// The HTTP client cannot be set up, for example because the machine has no root certificates.
    #[error("cannot set up the HTTP client")]
    Connections(#[source] reqwest::Error),
    /// The operating system provides no randomness for idempotency keys.
    #[error("the operating system provides no randomness for idempotency keys")]
    Randomness(#[source] getrandom::Error),
}

/// Configures and starts clients. Clients from clones of one builder share connections and the token: one builder with the
/// platform token can start a client for each organisation.
///
/// ```no_run
/// # fn start(platform_token: &str) -> Result<(), annals_client::StartError> {
/// use std::time::Duration;
///
/// use annals_client::AuditLog;
///
/// let builder = AuditLog::builder("https://audit.example.com", platform_token).linger(Duration::from_secs(1));
/// let acme = builder.clone().organisation("acme").start()?;
/// let umbrella = builder.organisation("umbrella").start()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Builder {
    url: String,
    organisation: Option<String>,
    token: Result<Token, InvalidToken>,
    connections: Arc<OnceLock<reqwest::Client>>,
    limits: Limits,
    retry_policy: RetryPolicy,
    observer: Option<Arc<dyn Observer>>,
}

impl AuditLog {
    /// Configures a client of the Annals deployment at `url`, such as `https://audit.example.com`. The token has the role
    /// `producer`, or it is the platform token together with an [organisation](Builder::organisation).
    pub fn builder(url: &str, token: &str) -> Builder {
        Builder::new(url, token)
    }
}

impl Builder {
    pub(crate) fn new(url: &str, token: &str) -> Self {
        Self {
            url: url.to_owned(),
            organisation: None,
            token: Token::new(token),
            connections: Arc::default(),
            limits: Limits {
                buffer_max_events: 100_000,
                buffer_max_bytes: 64 * 1024 * 1024,
                batch_max_events: 100,
                batch_max_bytes: 1024 * 1024,
                linger: Duration::from_millis(200),
            },
            retry_policy: RetryPolicy {
                attempt_timeout: Duration::from_secs(30),
                retry_delay_max: Duration::from_secs(30),
                max_age: None,
            },
            observer: None,
        }
    }

    /// The id of the organisation. Required with the platform token, which is valid for every organisation.
    #[must_use]
    pub fn organisation(mut self, organisation: impl Into<String>) -> Self {
        self.organisation = Some(organisation.into());
        self
    }

    /// The most events in a request, 1 to [`MAX_BATCH_EVENTS`]. Default: 100.
    #[must_use]
    pub fn batch_max_events(mut self, events: usize) -> Self {
        self.limits.batch_max_events = events.clamp(1, MAX_BATCH_EVENTS);
        self
    }

    /// The most bytes in a request, from [`MAX_EVENT_BYTES`] + 1 to [`MAX_BATCH_BYTES`]. Default: 1 MiB.
    #[must_use]
    pub fn batch_max_bytes(mut self, bytes: usize) -> Self {
        self.limits.batch_max_bytes = bytes.clamp(MAX_EVENT_BYTES + 1, MAX_BATCH_BYTES);
        self
    }

    /// How long an event waits for others to fill its batch. Default: 200 ms. A longer time means fewer, cheaper requests.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.limits.linger = linger;
        self
    }

    /// The most events in the buffer. Default: 100,000.
    #[must_use]
    pub fn buffer_max_events(mut self, events: usize) -> Self {
        self.limits.buffer_max_events = events;
        self
    }

    /// The most bytes of JSON in the buffer. Default: 64 MiB. The request in flight holds one more batch.
    #[must_use]
    pub fn buffer_max_bytes(mut self, bytes: usize) -> Self {
        self.limits.buffer_max_bytes = bytes;
        self
    }

    /// The timeout of one request, including its response. Default: 30 s, which is at least API Gateway's own timeout.
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.retry_policy.attempt_timeout = timeout;
        self
    }

    /// The limit to which the delays between retries grow, at most an hour. Each delay is random below the current limit.
    /// Default: 30 s.
    #[must_use]
    pub fn retry_delay_max(mut self, delay: Duration) -> Self {
        self.retry_policy.retry_delay_max = delay.min(RETRY_DELAY_MAX);
        self
    }

    /// Drops a batch when all its events are older than this, so that a batch that can never be delivered does not block
    /// the others. Default: none; then only the bounds of the buffer limit what is kept. Below 24 hours, no batch is sent
    /// again after the server has forgotten its key.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.retry_policy.max_age = Some(max_age);
        self
    }

    /// Sets the observer, which is told of events that are not delivered. Default: none.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Starts a client on the current Tokio runtime. Sends no request.
    ///
    /// # Errors
    /// Returns an error if the configuration is invalid, there is no Tokio runtime, or the machine cannot set up HTTPS.
    pub fn start(&self) -> Result<AuditLog, StartError> {
        let url = self.target()?;
        let connections = match self.connections.get() {
            Some(connections) => connections,
            None => {
                let connections = connections(&url).map_err(StartError::Connections)?;
                self.connections.get_or_init(|| connections)
            }
        };
        let transport = HttpTransport { connections: connections.clone(), url };
        self.start_on(transport, Randomness::from_system().map_err(StartError::Randomness)?)
    }

    /// Starts a client that sends requests with `transport`.
    pub(crate) fn start_on(&self, transport: impl Transport, randomness: Randomness) -> Result<AuditLog, StartError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let token = self.token.clone()?;
        let buffer = Arc::new(Buffer::new(self.limits));
        let status = Arc::new(watch::Sender::new(Status::default()));
        let sender = Sender::new(
            Arc::clone(&buffer),
            transport,
            token.subscribe(),
            self.retry_policy,
            randomness,
            self.observer.clone(),
            Arc::clone(&status),
        );
        runtime.spawn(sender.run());
        Ok(AuditLog::new(buffer, token, status))
    }

    /// Returns the URL that events are posted to.
    fn target(&self) -> Result<Url, StartError> {
        let mut url: Url = self.url.parse().map_err(|_| StartError::Url)?;
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        if !matches!(url.scheme(), "https" | "http") || !plain || url.fragment().is_some() {
            return Err(StartError::Url);
        }
        let mut path = url.path_segments_mut().map_err(|()| StartError::Url)?;
        path.pop_if_empty();
        if let Some(id) = &self.organisation {
            let begins_well = id.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
            let fits = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
            if !begins_well || !fits || id.len() > 64 {
                return Err(StartError::Organisation);
            }
            path.extend(["organisations", id]);
        }
        path.push("events");
        drop(path);
        Ok(url)
    }
}

/// Omits the token, and the URL, which may contain a password until it is checked.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Builder");
        shown.field("organisation", &self.organisation).field("limits", &self.limits);
        shown.field("retry_policy", &self.retry_policy).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, organisation: Option<&str>) -> Result<String, StartError> {
        let mut builder = Builder::new(url, "token");
        builder.organisation = organisation.map(str::to_owned);
        builder.target().map(String::from)
    }

    #[test]
    fn events_go_to_the_given_organisation_or_else_to_the_tokens_own() {
        assert_eq!(target("https://audit.example.com", None).unwrap(), "https://audit.example.com/events");
        assert_eq!(
            target("http://127.0.0.1:8080/prod/", Some("acme")).unwrap(),
            "http://127.0.0.1:8080/prod/organisations/acme/events"
        );
    }

    #[test]
    fn an_invalid_configuration_does_not_start() {
        for url in
            ["", "audit.example.com", "/events", "ftp://a", "https://u:p@a", "https://a/?x=1", "https://a/#x", "data:x"]
        {
            assert!(matches!(target(url, None), Err(StartError::Url)), "{url}");
        }
        for organisation in ["", "..", "a/b", "-a", &"a".repeat(65)] {
            assert!(matches!(target("https://a", Some(organisation)), Err(StartError::Organisation)), "{organisation}");
            assert!(organisation.parse::<annals_core::organisation::OrganisationId>().is_err(), "{organisation}");
        }
        assert!(matches!(Builder::new("http://127.0.0.1", "token").start(), Err(StartError::NoRuntime)));
    }

    #[tokio::test]
    async fn neither_builder_nor_client_nor_error_shows_the_token() {
        let builder = Builder::new("https://user:annals_secret@audit.example.com", "annals_secret");
        let shown = format!("{builder:?} {:?}", builder.start().unwrap_err());
        let client = Builder::new("https://audit.example.com", "annals_secret").start().unwrap();
        let refused = client.set_token("annals_secret annals_secret").unwrap_err();
        for shown in [shown, format!("{client:?}"), format!("{refused:?} {refused}")] {
            assert!(!shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn limits_stay_within_what_the_server_accepts() {
        let builder = Builder::new("https://a", "token");
        let small = builder.clone().batch_max_events(0).batch_max_bytes(0).limits;
        assert_eq!((small.batch_max_events, small.batch_max_bytes), (1, MAX_EVENT_BYTES + 1));
        let large = builder.batch_max_events(usize::MAX).batch_max_bytes(usize::MAX).limits;
        assert_eq!((large.batch_max_events, large.batch_max_bytes), (annals_core::event::MAX_EVENTS, MAX_BATCH_BYTES));
    }
}
