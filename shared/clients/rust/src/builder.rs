//! How a client is set up: where events go, in which batches, and how much of them is kept. Starts what runs then.

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
    chance::Chance,
    event::MAX_EVENT_BYTES,
    http::{HttpTransport, InvalidToken, Token, Transport, connections},
    report::{Observer, Status},
    sender::{Patience, Sender},
};

/// The most events in one request.
pub const MAX_BATCH_EVENTS: usize = 1000;
/// The most bytes in one request: less than a Lambda function takes when API Gateway has encoded them in Base64 (6 MB),
/// and than one commit takes where nothing can be compressed (3.9 MB).
pub const MAX_BATCH_BYTES: usize = 3_500_000;
/// The longest pause between two attempts that can be set.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60 * 60);

/// Why a client did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The URL is none that begins with `https://` or `http://`, or it holds a password, a query or a fragment.
    #[error("the URL must be an absolute one of https or http, without password, query and fragment")]
    Url,
    /// The organisation's id is none.
    #[error("an organisation's id is 1 to 64 letters, digits, - and _, beginning with a letter or digit")]
    Organisation,
    /// The token is none.
    #[error(transparent)]
    Token(#[from] InvalidToken),
    /// It was started outside a Tokio runtime.
    #[error("there is no Tokio runtime here")]
    NoRuntime,
    /// Connections cannot be made: the machine has no root certificates, for instance.
    #[error("cannot set up connections")]
    Connections(#[source] reqwest::Error),
    /// The operating system gives no randomness.
    #[error("there is no randomness for idempotency keys")]
    Randomness(#[source] getrandom::Error),
}

/// Sets up clients. All that come from clones of one builder share connections and token, so that one builder with the
/// platform's token makes a client for each organisation.
#[derive(Clone)]
pub struct Builder {
    url: String,
    organisation: Option<String>,
    token: Result<Token, InvalidToken>,
    connections: Arc<OnceLock<reqwest::Client>>,
    limits: Limits,
    patience: Patience,
    observer: Option<Arc<dyn Observer>>,
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
            patience: Patience {
                attempt_timeout: Duration::from_secs(30),
                retry_delay_max: Duration::from_secs(30),
                max_age: None,
            },
            observer: None,
        }
    }

    /// Whose log it is: needed with the platform's token, which acts for every organisation.
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

    /// The most bytes in a request, from the largest event to [`MAX_BATCH_BYTES`]. Default: 1 MiB.
    #[must_use]
    pub fn batch_max_bytes(mut self, bytes: usize) -> Self {
        self.limits.batch_max_bytes = bytes.clamp(MAX_EVENT_BYTES + 1, MAX_BATCH_BYTES);
        self
    }

    /// How long an event waits for others to fill its batch. Default: 200 ms. The longer, the fewer requests are paid for.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.limits.linger = linger;
        self
    }

    /// The most events that are kept. Default: 100,000.
    #[must_use]
    pub fn buffer_max_events(mut self, events: usize) -> Self {
        self.limits.buffer_max_events = events;
        self
    }

    /// The most bytes of JSON that are kept. Default: 64 MiB. The request that is under way is one batch more.
    #[must_use]
    pub fn buffer_max_bytes(mut self, bytes: usize) -> Self {
        self.limits.buffer_max_bytes = bytes;
        self
    }

    /// How long one attempt may take, to the end of its answer. Default: 30 s, no less than API Gateway's own limit.
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.patience.attempt_timeout = timeout;
        self
    }

    /// The bound to which pauses between attempts grow, at most an hour; they are random below it. Default: 30 s.
    #[must_use]
    pub fn retry_delay_max(mut self, delay: Duration) -> Self {
        self.patience.retry_delay_max = delay.min(RETRY_DELAY_MAX);
        self
    }

    /// Gives a batch up when all its events are older than this, so that one which can never be delivered holds up the
    /// others no longer. Default: never, so that only the buffer's bounds decide what is lost. Below 24 hours no batch is
    /// sent again after the server has forgotten its key.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.patience.max_age = Some(max_age);
        self
    }

    /// Who is told of events that are not delivered.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Starts a client, on the Tokio runtime that this is called in. No request is made.
    ///
    /// # Errors
    /// Where something that was given makes no sense, or the machine lacks something.
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
        self.start_on(transport, Chance::from_system().map_err(StartError::Randomness)?)
    }

    /// Starts a client that sends by way of `transport`.
    pub(crate) fn start_on(&self, transport: impl Transport, chance: Chance) -> Result<AuditLog, StartError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let token = self.token.clone()?;
        let buffer = Arc::new(Buffer::new(self.limits));
        let status = Arc::new(watch::Sender::new(Status::default()));
        let sender = Sender::new(
            Arc::clone(&buffer),
            transport,
            token.subscribe(),
            self.patience,
            chance,
            self.observer.clone(),
            Arc::clone(&status),
        );
        runtime.spawn(sender.run());
        Ok(AuditLog::new(buffer, token, status))
    }

    /// Where events are posted.
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

/// Without the URL, which may hold a password as long as it was not checked, and without the token.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Builder");
        shown.field("organisation", &self.organisation).field("limits", &self.limits);
        shown.field("patience", &self.patience).finish_non_exhaustive()
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
    fn events_go_to_the_organisation_that_is_named_or_else_to_the_tokens_own() {
        assert_eq!(target("https://audit.example.com", None).unwrap(), "https://audit.example.com/events");
        assert_eq!(
            target("http://127.0.0.1:8080/prod/", Some("acme")).unwrap(),
            "http://127.0.0.1:8080/prod/organisations/acme/events"
        );
    }

    #[test]
    fn what_makes_no_sense_does_not_start() {
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
    fn limits_stay_within_what_the_server_takes() {
        let builder = Builder::new("https://a", "token");
        let small = builder.clone().batch_max_events(0).batch_max_bytes(0).limits;
        assert_eq!((small.batch_max_events, small.batch_max_bytes), (1, MAX_EVENT_BYTES + 1));
        let large = builder.batch_max_events(usize::MAX).batch_max_bytes(usize::MAX).limits;
        assert_eq!((large.batch_max_events, large.batch_max_bytes), (annals_core::event::MAX_EVENTS, MAX_BATCH_BYTES));
    }
}
