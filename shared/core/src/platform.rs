//! The platform's tokens.
//!
//! The deployment's own token, whose hash is a setting of the deployment, may make every call. With it, the platform
//! creates named tokens for the parts of its product that need less: each has scopes, can expire, and can be replaced with
//! an overlap. A named token can neither create nor change another one, so a leaked one cannot gain scopes.

use crate::{
    fault::Faults,
    input::{self, Describer, DisplayName, Fields, Future, Input, Several},
    time::Timestamp,
    token::{MAX_NAME_CHARS, TokenHash, TokenId},
};

/// The most named tokens of a platform.
pub const MAX_PLATFORM_TOKENS: usize = 50;

/// A group of calls that a named token of the platform may make, for every organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlatformScope {
    /// Create, change and list organisations.
    Organisations,
    /// Create, replace and revoke organisations' tokens.
    Tokens,
    /// Manage organisations' destinations.
    Destinations,
    /// Record events.
    Events,
    /// Read organisations' logs.
    Audit,
    /// Create portal links, list and end the sessions that they started.
    PortalLinks,
}

impl PlatformScope {
    pub const ALL: &'static [Self] =
        &[Self::Organisations, Self::Tokens, Self::Destinations, Self::Events, Self::Audit, Self::PortalLinks];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Organisations => "organisations",
            Self::Tokens => "tokens",
            Self::Destinations => "destinations",
            Self::Events => "events",
            Self::Audit => "audit",
            Self::PortalLinks => "portal-links",
        }
    }

    /// Returns the scope with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == name)
    }
}

/// A named token of the platform, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformToken {
    pub id: TokenId,
    pub hash: TokenHash,
    pub name: String,
    /// At least one, each once.
    pub scopes: Vec<PlatformScope>,
    pub created_at: Timestamp,
    /// The time from which the token is refused. `None`: it does not expire.
    pub expires_at: Option<Timestamp>,
    /// The time of the last use. The actual last use can be up to an hour later. `None` before the first use.
    pub last_used_at: Option<Timestamp>,
    /// The token that this one replaced in a rotation.
    pub replaces: Option<TokenId>,
    /// The token that replaced this one in a rotation.
    pub replaced_by: Option<TokenId>,
}

impl PlatformToken {
    /// Returns whether it has not expired. A revoked token is deleted.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }

    /// Returns the names of its scopes, for people.
    #[must_use]
    pub fn scope_names(&self) -> Vec<&'static str> {
        self.scopes.iter().map(|scope| scope.as_str()).collect()
    }
}

/// All named tokens of the platform, the oldest first. They are stored together, so that a call costs one read however many
/// there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlatformTokens {
    pub tokens: Vec<PlatformToken>,
    /// Increases by 1 with each change. 0 if there never was a token.
    pub version: u64,
}

impl PlatformTokens {
    /// Returns the token with this hash, unless it has expired.
    #[must_use]
    pub fn live(&self, hash: &TokenHash, now: Timestamp) -> Option<&PlatformToken> {
        self.tokens.iter().find(|token| token.hash == *hash && token.is_live(now))
    }

    /// Returns the token with this id, expired or not.
    #[must_use]
    pub fn get(&self, id: &TokenId) -> Option<&PlatformToken> {
        self.tokens.iter().find(|token| token.id == *id)
    }

    /// Returns the tokens after a change of `changed`, which is added if it is new.
    #[must_use]
    pub(crate) fn with(mut self, changed: PlatformToken) -> Self {
        self.version += 1;
        match self.tokens.iter_mut().find(|token| token.id == changed.id) {
            Some(token) => *token = changed,
            None => self.tokens.push(changed),
        }
        self
    }
}

/// The body of `POST /platform-tokens`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformTokenInput {
    pub name: String,
    pub scopes: Vec<PlatformScope>,
    pub expires_at: Option<Timestamp>,
}

impl PlatformTokenInput {
    /// Reads the body of the request.
    ///
    /// # Errors
    /// Returns every fault with its place.
    pub fn parse(body: &[u8], now: Timestamp) -> Result<Self, Faults> {
        input::read(body, |fields| Self::fields(fields, now))
    }

    fn fields<F: Fields>(fields: &mut F, now: Timestamp) -> Option<Self> {
        let name = DisplayName { max_chars: MAX_NAME_CHARS };
        let name = fields.required("name", "The name of the part of your product that holds it.", name);
        let scopes = Several { values: PlatformScope::ALL, name: PlatformScope::as_str };
        let scopes = fields.required("scopes", "The calls that its holders may make, for every organisation.", scopes);
        let expires_at = "When the token expires: a time in the future. Without it, the token does not expire.";
        let expires_at = fields.optional("expiresAt", expires_at, Future { now });
        Some(Self { name: name?, scopes: scopes?, expires_at })
    }
}

impl Input for PlatformTokenInput {
    const NAME: &'static str = "PlatformTokenInput";
    const DESCRIPTION: &'static str = "A named token of the platform to be created.";

    fn describe(describer: &mut Describer) {
        Self::fields(describer, Timestamp::EPOCH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_at_least_one_known_scope_and_each_once() {
        let now = Timestamp::from_millis(1_795_341_600_000);
        let parse = |scopes: &str| {
            PlatformTokenInput::parse(format!(r#"{{"name":"Worker","scopes":{scopes}}}"#).as_bytes(), now)
        };
        let scopes = parse(r#"["portal-links","events","events"]"#).unwrap().scopes;
        assert_eq!(scopes, [PlatformScope::Events, PlatformScope::PortalLinks]);
        for wrong in ["[]", "null", r#""events""#, r#"["event"]"#, r#"["events",7]"#, r#"["platform"]"#, "{}"] {
            let faults = parse(wrong).unwrap_err().to_string();
            let expected = "/scopes must be a list of one or more of organisations, tokens, destinations, events, audit, \
                            portal-links";
            assert_eq!(faults, expected, "{wrong}");
        }
    }
}
