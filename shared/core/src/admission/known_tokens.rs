//! A cache of tokens, so that a burst of requests costs one read. It holds neither texts of tokens nor failed
//! authentications.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    time::Timestamp,
    token::{Token, TokenHash, TokenId},
};

/// How long a token is known without another read. A clock that is set back can at most double this time.
pub const KNOWN_FOR: Duration = Duration::from_millis(500);
/// The most tokens in the cache. Further tokens are read each time.
const MANY: usize = 1024;

/// The tokens, each with a time before its read began.
#[derive(Debug, Default)]
pub struct KnownTokens(Mutex<HashMap<TokenHash, (Token, Timestamp)>>);

impl KnownTokens {
    /// Returns the token with this hash, if it was read less than [`KNOWN_FOR`] ago. A read whose time is in the future
    /// does not count: the clock was set back, so the age of the read is unknown.
    pub(super) fn get(&self, hash: &TokenHash, now: Timestamp) -> Option<Token> {
        self.lock().get(hash).filter(|(_, begun)| is_fresh(*begun, now)).map(|(token, _)| token.clone())
    }

    /// Stores a token whose read began at `begun`.
    pub(super) fn insert(&self, token: &Token, begun: Timestamp) {
        let mut known = self.lock();
        if known.len() >= MANY {
            known.retain(|_, (_, other)| is_fresh(*other, begun));
        }
        if known.len() < MANY {
            known.insert(token.hash, (token.clone(), begun));
        }
    }

    /// Removes a token that this process has changed or revoked.
    pub(crate) fn forget(&self, id: &TokenId) {
        self.lock().retain(|_, (token, _)| token.id != *id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenHash, (Token, Timestamp)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(begun: Timestamp, now: Timestamp) -> bool {
    begun <= now && now.since(begun) < KNOWN_FOR
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Role;

    const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);

    fn token(number: usize) -> Token {
        Token {
            id: format!("{number:0>12}").parse().unwrap(),
            hash: TokenHash::of(&number.to_string()),
            organisation: "acme".parse().unwrap(),
            name: "SIEM".into(),
            role: Role::Auditor,
            created_at: NOW,
            expires_at: None,
            last_used_at: None,
            replaces: None,
            replaced_by: None,
        }
    }

    #[test]
    fn a_token_is_known_for_half_a_second_and_not_from_the_future() {
        let (known, token) = (KnownTokens::default(), token(1));
        known.insert(&token, NOW);
        let at = |millis| known.get(&token.hash, Timestamp::from_millis(NOW.as_millis() + millis - 1000));
        for (millis, is_known) in [(999, false), (1000, true), (1499, true), (1500, false), (3_600_000, false)] {
            assert_eq!(at(millis).is_some(), is_known, "{millis}");
        }
        known.forget(&token.id);
        assert_eq!(known.get(&token.hash, NOW), None);
    }

    #[test]
    fn the_number_of_known_tokens_is_bounded() {
        let known = KnownTokens::default();
        (0..3 * MANY).for_each(|number| known.insert(&token(number), NOW));
        assert_eq!(known.lock().len(), MANY);
        let later = NOW.plus(KNOWN_FOR);
        known.insert(&token(7 * MANY), later);
        assert_eq!(known.lock().len(), 1, "old ones make room");
        assert!(known.get(&token(7 * MANY).hash, later).is_some());
    }
}
