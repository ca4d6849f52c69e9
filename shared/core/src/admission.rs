//! Who is let in, and how often: bearer tokens become callers, and callers have a rate. It does not decide what a caller
//! may do, and knows no request.
//!
//! A revoked token is refused within [`KNOWN_FOR`] of the answer that confirmed its revocation, in every process: a
//! token is known for that long from the moment *before* a strongly consistent read of it began, and such a read sees
//! every revocation that was confirmed before it. That costs one read unit for each token, process and half second in
//! which it is used; requests in between cost none. What is not known is never remembered.
//!
//! - [`known_tokens`]: the tokens that were read a moment ago
//! - [`rate_limiter`]: token buckets in the networking sense of the word

pub mod known_tokens;
pub mod rate_limiter;

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::{Either, select};

use crate::{
    log::store::{Consistency, StoreError},
    portal::Session,
    registry::Registry,
    time::{Clock, Timestamp},
    token::{Caller, Token, TokenHash, TokenText},
};

use known_tokens::KnownTokens;
use rate_limiter::{Bucket, RateLimiter, RateLimits};

pub use known_tokens::KNOWN_FOR;

/// A token's last use is noted again when the one that is noted is this old.
pub const USE_PRECISION: Duration = Duration::from_secs(60 * 60);
/// A request waits so long, at most, for its token's use to be noted.
const NOTE_PATIENCE: Duration = Duration::from_millis(100);
/// After a use could not be noted, none is noted for this long: a registry in trouble is left alone.
const NOTE_REST: Duration = Duration::from_secs(60);
/// A request costs one unit, and a batch one for each so many events.
const EVENTS_A_UNIT: usize = 10;

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The token is none, or none any more.
    #[error("the token is not valid")]
    Unknown,
    /// There were too many requests: after this time there is room for this one.
    #[error("too many requests")]
    TooMany(Duration),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Lets callers in.
#[derive(Debug, Clone)]
pub struct Admission {
    registry: Arc<dyn Registry>,
    clock: Arc<dyn Clock>,
    known: Arc<KnownTokens>,
    limiter: Arc<RateLimiter>,
    /// Milliseconds since the epoch up to which no use is noted.
    notes_rest_until: Arc<AtomicU64>,
    platform: TokenHash,
}

impl Admission {
    /// Lets in the holder of the token whose hash is `platform`, and those of the tokens of `registry`. `known` is what
    /// revocations in this process are told to.
    pub(crate) fn new(
        registry: Arc<dyn Registry>,
        clock: Arc<dyn Clock>,
        known: Arc<KnownTokens>,
        platform: TokenHash,
        limits: RateLimits,
    ) -> Self {
        let limiter = Arc::new(RateLimiter::new(limits));
        Self { registry, clock, known, limiter, notes_rest_until: Arc::default(), platform }
    }

    /// The same with other rates, its buckets full.
    #[must_use]
    pub fn with_limits(self, limits: RateLimits) -> Self {
        Self { limiter: Arc::new(RateLimiter::new(limits)), ..self }
    }

    /// Whom a bearer token stands for: the platform, or the holder of an organisation's token that is neither revoked nor
    /// expired. It counts as one request. `address` is where it came from, as far as that can be trusted.
    ///
    /// A text that is no token is refused without asking the store. What has a token's form and is none costs a read, so
    /// an address has a rate of those too.
    ///
    /// # Errors
    /// See [`AdmissionError`].
    pub async fn admit(&self, bearer: &str, address: Option<IpAddr>) -> Result<Caller, AdmissionError> {
        let caller = self.authenticate(bearer, address).await?;
        self.limiter.spend(bucket(&caller), 1, self.clock.now()).map_err(AdmissionError::TooMany)?;
        Ok(caller)
    }

    /// Whom a session's token stands for: somebody on an organisation's page, until the session ends or is ended. It counts
    /// as one request of the organisation. `address` is as for [`admit`](Self::admit); but who has a session is let in
    /// whatever others at that address try, because no session is known without asking the store.
    ///
    /// # Errors
    /// See [`AdmissionError`].
    pub async fn admit_session(&self, token: &str, address: Option<IpAddr>) -> Result<Session, AdmissionError> {
        let hash = TokenText::hash_of_plain(token).ok_or(AdmissionError::Unknown)?;
        let session = self.registry.session(&hash).await?;
        let now = self.clock.now();
        let Some(session) = session.filter(|session| session.is_live(now)) else { return Err(self.refuse(address)) };
        let bucket = Bucket::Organisation(session.organisation.clone());
        self.limiter.spend(bucket, 1, now).map_err(AdmissionError::TooMany)?;
        Ok(session)
    }

    /// Why somebody at `address` is not let in who has shown nothing that is valid: that, or that it happens too often.
    #[must_use]
    pub fn refuse(&self, address: Option<IpAddr>) -> AdmissionError {
        let stranger = Bucket::Address(address.map(network));
        match self.limiter.spend(stranger, 1, self.clock.now()) {
            Ok(()) => AdmissionError::Unknown,
            Err(wait) => AdmissionError::TooMany(wait),
        }
    }

    /// Counts the `events` of a request that was let in: a batch costs a unit for each ten, the request's own among them.
    ///
    /// # Errors
    /// [`AdmissionError::TooMany`], with the time after which there is room for the whole request.
    pub fn charge(&self, caller: &Caller, events: usize) -> Result<(), AdmissionError> {
        let units = u32::try_from(events / EVENTS_A_UNIT).unwrap_or(u32::MAX);
        self.limiter.spend_rest(bucket(caller), units, self.clock.now()).map_err(AdmissionError::TooMany)
    }

    async fn authenticate(&self, bearer: &str, address: Option<IpAddr>) -> Result<Caller, AdmissionError> {
        let hash = TokenHash::of(bearer);
        if hash == self.platform {
            return Ok(Caller::Platform);
        }
        let id = TokenText::id_in(bearer).ok_or(AdmissionError::Unknown)?;
        // From before the read: what it may have missed is counted from here.
        let begun = self.clock.now();
        if let Some(token) = self.known.get(&hash, begun) {
            return if token.is_live(begun) { Ok(Caller::Token(token)) } else { Err(AdmissionError::Unknown) };
        }
        let stranger = Bucket::Address(address.map(network));
        self.limiter.look(&stranger, begun).map_err(AdmissionError::TooMany)?;
        let token = self.registry.token(&id, Consistency::Strong).await?;
        let now = self.clock.now();
        let Some(token) = token.filter(|token| token.hash == hash && token.is_live(now)) else {
            // Whether there was room for it is asked before the next one.
            let _ = self.limiter.spend(stranger, 1, now);
            return Err(AdmissionError::Unknown);
        };
        self.known.insert(&token, begun);
        self.note_use(&token, now).await;
        Ok(Caller::Token(token))
    }

    /// Notes that the token was used, where that was not done for an hour. It is waited for, because a Lambda function is
    /// frozen as soon as it has answered; but not for long, and its failure is nobody's: the next request notes it.
    async fn note_use(&self, token: &Token, now: Timestamp) {
        let is_noted = token.last_used_at.is_some_and(|at| now.since(at) < USE_PRECISION);
        if is_noted || now.as_millis() < self.notes_rest_until.load(Ordering::Relaxed) {
            return;
        }
        let note = self.registry.note_token_use(&token.id, now, now.minus(USE_PRECISION));
        if !matches!(select(note, self.clock.sleep(NOTE_PATIENCE)).await, Either::Left((Ok(()), _))) {
            self.notes_rest_until.store(self.clock.now().plus(NOTE_REST).as_millis(), Ordering::Relaxed);
        }
    }
}

fn bucket(caller: &Caller) -> Bucket {
    match caller {
        Caller::Platform => Bucket::Platform,
        Caller::Token(token) => Bucket::Organisation(token.organisation.clone()),
        Caller::Session(session) => Bucket::Organisation(session.organisation.clone()),
    }
}

/// What one customer of an internet provider has: an IPv4 address, or the 64 bits that an IPv6 network begins with.
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
