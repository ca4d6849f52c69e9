//! Admission: authenticates bearer tokens and limits the rate of callers. It does not authorise, and knows nothing about
//! requests.
//!
//! Every process refuses a revoked token within [`KNOWN_FOR`] of the answer that confirmed the revocation: it keeps a
//! token for that long, counted from a time *before* a strongly consistent read of the token began. Such a read sees
//! every revocation that was confirmed before it began. This costs one read unit for each token, process and half
//! second of use. Failed authentications are not cached.
//!
//! - [`rate_limiter`]: token buckets, in the networking sense

pub mod rate_limiter;

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::{Either, select};

use crate::{
    caller::Caller,
    known::Known,
    log::store::{Consistency, StoreError},
    platform::{PlatformToken, PlatformTokens},
    portal::Session,
    registry::Registry,
    time::{Clock, Timestamp},
    token::{Token, TokenHash, TokenText},
};

use rate_limiter::{Bucket, RateLimiter, RateLimits};

pub use crate::known::KNOWN_FOR;

/// The tokens that this process has read a moment ago, by their hashes.
pub(crate) type KnownTokens = Known<TokenHash, Token>;
/// The platform's named tokens, if this process has read them a moment ago.
pub(crate) type KnownPlatformTokens = Known<(), PlatformTokens>;

/// The precision of a token's last use: it is saved again when the saved time is this old.
pub const USE_PRECISION: Duration = Duration::from_secs(60 * 60);
/// The longest time that a request waits while the use of its token is saved.
const NOTE_PATIENCE: Duration = Duration::from_millis(100);
/// After a failure, no use is saved for this time, so that a registry with problems gets less load.
const NOTE_REST: Duration = Duration::from_secs(60);
/// A batch costs one unit for this many events. Any other request costs one unit.
const EVENTS_A_UNIT: usize = 10;

/// Why a caller is refused.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The token does not exist, or has expired or been revoked.
    #[error("the token is not valid")]
    Unknown,
    /// Too many requests. This one would be accepted after this time.
    #[error("too many requests")]
    TooMany(Duration),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Authenticates callers and limits their rate.
#[derive(Debug, Clone)]
pub struct Admission {
    registry: Arc<dyn Registry>,
    clock: Arc<dyn Clock>,
    known: Arc<KnownTokens>,
    known_platform_tokens: Arc<KnownPlatformTokens>,
    limiter: Arc<RateLimiter>,
    /// No use is saved before this time, in milliseconds since the epoch.
    notes_rest_until: Arc<AtomicU64>,
    /// Why the last use was not saved, until somebody takes it.
    note_error: Arc<Mutex<Option<StoreError>>>,
    platform: TokenHash,
    /// A token that is replaced, and valid until it is taken away.
    previous_platform: Option<TokenHash>,
}

impl Admission {
    /// `platform` is the hash of the deployment's own token. `known` are the caches from which this process removes revoked
    /// tokens.
    pub(crate) fn new(
        registry: Arc<dyn Registry>,
        clock: Arc<dyn Clock>,
        known: (Arc<KnownTokens>, Arc<KnownPlatformTokens>),
        platform: TokenHash,
        limits: RateLimits,
    ) -> Self {
        let limiter = Arc::new(RateLimiter::new(limits));
        let (notes_rest_until, note_error) = (Arc::default(), Arc::default());
        let (known, known_platform_tokens) = known;
        Self {
            registry,
            clock,
            known,
            known_platform_tokens,
            limiter,
            notes_rest_until,
            note_error,
            platform,
            previous_platform: None,
        }
    }

    /// Accepts a second token of the platform, so that callers can change from one to the other.
    #[must_use]
    pub fn with_previous_platform_token(self, token: Option<TokenHash>) -> Self {
        Self { previous_platform: token, ..self }
    }

    /// Replaces the rate limits. All buckets are full.
    #[must_use]
    pub fn with_limits(self, limits: RateLimits) -> Self {
        Self { limiter: Arc::new(RateLimiter::new(limits)), ..self }
    }

    /// Authenticates a bearer token of the platform or of an organisation, and counts one request. `address` is the address
    /// of the caller, if it can be trusted.
    ///
    /// A text without the form of a token is refused without a read. Any other unknown token is read first and counted
    /// afterwards: whoever shares an address with a guesser (a CDN, an office) is never refused for the guesses of others.
    ///
    /// # Errors
    /// Returns an error if the token is not valid, too many requests were made, or the store fails.
    pub async fn admit(&self, bearer: &str, address: Option<IpAddr>) -> Result<Caller, AdmissionError> {
        let caller = self.authenticate(bearer, address).await?;
        self.limiter.spend(bucket(&caller), 1, self.clock.now()).map_err(AdmissionError::TooMany)?;
        Ok(caller)
    }

    /// Authenticates the token of a console session, extends the session, and counts one request of its organisation.
    /// `address` is as for [`admit`](Self::admit).
    ///
    /// # Errors
    /// Returns an error if the session is not valid, too many requests were made, or the store fails.
    pub async fn admit_session(&self, token: &str, address: Option<IpAddr>) -> Result<Session, AdmissionError> {
        let hash = TokenText::hash_of_plain(token).ok_or(AdmissionError::Unknown)?;
        let session = self.registry.session(&hash).await?;
        let now = self.clock.now();
        let Some(session) = session.filter(|session| session.is_live(now)) else { return Err(self.refuse(address)) };
        let bucket = Bucket::Organisation(session.organisation.clone());
        self.limiter.spend(bucket, 1, now).map_err(AdmissionError::TooMany)?;
        if let Some(expires_at) = session.extended(now) {
            self.note(self.registry.extend_session(&hash, expires_at), now).await;
        }
        Ok(session)
    }

    /// Counts a failed authentication from `address`, and returns its error: an unknown token, or too many failures.
    #[must_use]
    pub fn refuse(&self, address: Option<IpAddr>) -> AdmissionError {
        let stranger = Bucket::Address(address.map(network));
        match self.limiter.spend(stranger, 1, self.clock.now()) {
            Ok(()) => AdmissionError::Unknown,
            Err(wait) => AdmissionError::TooMany(wait),
        }
    }

    /// Counts the `events` of an admitted request: a batch costs one unit for ten events, including the unit that the
    /// request has already cost.
    ///
    /// # Errors
    /// Returns [`AdmissionError::TooMany`] with the time after which the whole request would be accepted.
    pub fn charge(&self, caller: &Caller, events: usize) -> Result<(), AdmissionError> {
        let units = u32::try_from(events / EVENTS_A_UNIT).unwrap_or(u32::MAX);
        self.limiter.spend_rest(bucket(caller), units, self.clock.now()).map_err(AdmissionError::TooMany)
    }

    async fn authenticate(&self, bearer: &str, address: Option<IpAddr>) -> Result<Caller, AdmissionError> {
        let hash = TokenHash::of(bearer);
        if hash == self.platform || Some(hash) == self.previous_platform {
            return Ok(Caller::Platform);
        }
        if TokenText::platform_id_in(bearer).is_some() {
            return self.authenticate_platform_token(&hash, address).await.map(Caller::PlatformToken);
        }
        let id = TokenText::id_in(bearer).ok_or(AdmissionError::Unknown)?;
        // The time is taken before the read, because the read can miss later revocations.
        let begun = self.clock.now();
        if let Some(token) = self.known.get(&hash, begun) {
            return if token.is_live(begun) { Ok(Caller::Token(token)) } else { Err(AdmissionError::Unknown) };
        }
        let token = self.registry.token(&id, Consistency::Strong).await?;
        let now = self.clock.now();
        let Some(token) = token.filter(|token| token.hash == hash && token.is_live(now)) else {
            return Err(self.refuse(address));
        };
        self.known.insert(token.hash, token.clone(), begun);
        self.note_use(&token, now).await;
        Ok(Caller::Token(token))
    }

    async fn authenticate_platform_token(
        &self,
        hash: &TokenHash,
        address: Option<IpAddr>,
    ) -> Result<PlatformToken, AdmissionError> {
        let begun = self.clock.now();
        let known = self.known_platform_tokens.get(&(), begun);
        if let Some(token) = known.as_ref().and_then(|tokens| tokens.live(hash, begun)) {
            return Ok(token.clone());
        }
        let tokens = self.registry.platform_tokens().await?;
        let now = self.clock.now();
        let Some(token) = tokens.live(hash, now).cloned() else { return Err(self.refuse(address)) };
        self.known_platform_tokens.insert((), tokens.clone(), begun);
        if is_use_due(token.last_used_at, now) {
            let used = tokens.with(PlatformToken { last_used_at: Some(now), ..token.clone() });
            // Somebody else has changed the tokens if they are not saved. A later request saves the use.
            let save = async { self.registry.save_platform_tokens(&used).await.map(drop) };
            self.note(Box::pin(save), now).await;
        }
        Ok(token)
    }

    /// Saves the token's use at most once an hour.
    async fn note_use(&self, token: &Token, now: Timestamp) {
        if is_use_due(token.last_used_at, now) {
            self.note(self.registry.note_token_use(&token.id, now, now.minus(USE_PRECISION)), now).await;
        }
    }

    /// Waits until the use of a token or a session is saved, because Lambda freezes a function that has answered, but only
    /// briefly. A failure is kept for the log: a later request saves the use.
    async fn note(&self, note: impl Future<Output = Result<(), StoreError>> + Send + Unpin, now: Timestamp) {
        if now.as_millis() < self.notes_rest_until.load(Ordering::Relaxed) {
            return;
        }
        let error = match select(note, self.clock.sleep(NOTE_PATIENCE)).await {
            Either::Left((Ok(()), _)) => return,
            Either::Left((Err(error), _)) => Some(error),
            Either::Right(_) => None,
        };
        self.notes_rest_until.store(self.clock.now().plus(NOTE_REST).as_millis(), Ordering::Relaxed);
        *self.note_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// Returns why the use of a token or a session was not saved, once. The request that noticed it succeeds all the same.
    #[must_use]
    pub fn take_note_error(&self) -> Option<StoreError> {
        self.note_error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn is_use_due(last: Option<Timestamp>, now: Timestamp) -> bool {
    last.is_none_or(|at| now.since(at) >= USE_PRECISION)
}

fn bucket(caller: &Caller) -> Bucket {
    match caller {
        Caller::Platform => Bucket::Platform,
        Caller::PlatformToken(token) => Bucket::PlatformToken(token.id.clone()),
        Caller::Token(token) => Bucket::Organisation(token.organisation.clone()),
        Caller::Session(session) => Bucket::Organisation(session.organisation.clone()),
    }
}

/// Returns the network of one customer of an internet provider: an IPv4 address, or the first 64 bits of an IPv6
/// address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_share_a_rate() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("203.0.113.7"), "203.0.113.7");
        assert_eq!(network("::ffff:203.0.113.7"), "203.0.113.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
