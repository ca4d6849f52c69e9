//! The use cases of tokens: create, rotate, revoke.

use serde_json::{Value, json};

use super::{Actor, Administration, AdministrationError, Recorded};
use crate::{
    admission::{Admission, rate_limiter::RateLimits},
    caller::Caller,
    change::{Change, Conflict, Replaced},
    event::Entity,
    log::store::Consistency,
    organisation::{Organisation, OrganisationId},
    time::Timestamp,
    token::{MAX_TOKENS, Role, RotationInput, Token, TokenHash, TokenId, TokenInput, TokenText, successor_end},
};

/// The most expired tokens that are deleted at once to make room for a new one.
const CLEARED_AT_ONCE: usize = 20;

/// A token and its successor.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The successor.
    pub token: Token,
    /// The successor's text, which is not stored.
    pub text: TokenText,
    /// The replaced token, with its new end.
    pub replaced: Token,
}

impl Administration {
    /// Returns the admission of callers with these tokens. It refuses a token immediately after this process has
    /// revoked it. Other processes refuse it within [`KNOWN_FOR`](crate::admission::KNOWN_FOR).
    #[must_use]
    pub fn admission(&self, platform: TokenHash, limits: RateLimits) -> Admission {
        let known_platform_tokens = self.known_platform_tokens.clone();
        let known = (self.known.clone(), known_platform_tokens);
        Admission::new(self.registry.clone(), self.clock.clone(), known, platform, limits)
    }

    /// Creates a token. Its text is returned and not stored.
    ///
    /// # Errors
    /// Returns [`Conflict::TokenLimit`] if the organisation has [`MAX_TOKENS`] valid tokens, and
    /// [`AdministrationError::Input`] if the actor is a session that may not create such a token.
    pub async fn create_token(
        &self,
        organisation: &Organisation,
        input: TokenInput,
        actor: &Actor,
    ) -> Result<(Token, TokenText), AdministrationError> {
        let now = self.clock.now();
        self.check_token_of_session(actor, input.role, input.expires_at, now)?;
        let (token, text) = self.new_token(organisation, input, now);
        let event = Recorded {
            action: "CREATE",
            kind: "token.create",
            entity: entity(&token),
            before: None,
            after: Some(state(&token)),
            payload: None,
        };
        self.add(organisation, &token, None, event, actor, now).await?;
        Ok((token, text))
    }

    /// Creates a successor of a token, with the same name and role, and sets the end of the token. Both are valid until
    /// then, so that the holder can change to the successor without a gap. At most two tokens of a chain are valid at once.
    ///
    /// # Errors
    /// Returns [`AdministrationError::NotFound`] if the organisation has no such token,
    /// [`AdministrationError::RotationInProgress`] if its predecessor or its successor is valid,
    /// [`AdministrationError::Input`] if the token expires and the input does not say when its successor expires, or if the
    /// actor is a session that may not create such a successor, and [`Conflict::TokenLimit`] in the same case as
    /// [`create_token`](Self::create_token).
    pub async fn rotate_token(
        &self,
        organisation: &Organisation,
        id: &TokenId,
        input: RotationInput,
        actor: &Actor,
    ) -> Result<Rotation, AdministrationError> {
        let before = self.token(&organisation.id, id).await?;
        let now = self.clock.now();
        for other in [&before.replaces, &before.replaced_by].into_iter().flatten() {
            let other = self.registry.token(other, Consistency::Strong).await?;
            if let Some(other) = other.filter(|other| other.is_live(now)) {
                return Err(AdministrationError::RotationInProgress(other.id));
            }
        }
        let successor_expires_at = successor_end(input.end, before.expires_at).map_err(AdministrationError::Input)?;
        self.check_token_of_session(actor, before.role, successor_expires_at, now)?;
        let overlap_end = now.plus(input.overlap);
        let expires_at = before.expires_at.map_or(overlap_end, |end| end.min(overlap_end));
        let successor = TokenInput { name: before.name.clone(), role: before.role, expires_at: successor_expires_at };
        let (token, text) = self.new_token(organisation, successor, now);
        let token = Token { replaces: Some(before.id.clone()), ..token };
        let replaced = Token { expires_at: Some(expires_at), replaced_by: Some(token.id.clone()), ..before.clone() };
        let event = Recorded {
            action: "ROTATE",
            kind: "token.rotate",
            entity: entity(&before),
            before: Some(state(&before)),
            after: Some(state(&replaced)),
            payload: Some(json!({"successor": {"id": token.id.as_str(), "expiresAt": token.expires_at}})),
        };
        let end = Replaced { id: before.id.clone(), replaced_by: before.replaced_by, expires_at };
        self.add(organisation, &token, Some(end), event, actor, now).await?;
        self.known.forget(|token| token.id == replaced.id);
        Ok(Rotation { token, text, replaced })
    }

    /// Returns an organisation's tokens, the oldest first. Expired tokens are included until they are deleted to make
    /// room for new ones.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn tokens(&self, organisation: &OrganisationId) -> Result<Vec<Token>, AdministrationError> {
        let mut tokens = self.registry.tokens(organisation).await?;
        tokens.sort_by(|one, other| (one.created_at, one.id.as_str()).cmp(&(other.created_at, other.id.as_str())));
        Ok(tokens)
    }

    /// # Errors
    /// Returns [`AdministrationError::NotFound`] if the organisation has no such token.
    pub async fn token(&self, organisation: &OrganisationId, id: &TokenId) -> Result<Token, AdministrationError> {
        let token = self.registry.token(id, Consistency::Strong).await?;
        token.filter(|token| token.organisation == *organisation).ok_or(AdministrationError::NotFound)
    }

    /// Ends a token at once.
    ///
    /// # Errors
    /// Returns [`AdministrationError::NotFound`] if the organisation has no such token.
    pub async fn revoke_token(
        &self,
        organisation: &Organisation,
        id: &TokenId,
        actor: &Actor,
    ) -> Result<(), AdministrationError> {
        let token = self.token(&organisation.id, id).await?;
        let event = Recorded {
            action: "DELETE",
            kind: "token.revoke",
            entity: entity(&token),
            before: Some(state(&token)),
            after: None,
            payload: None,
        };
        let change = Change::RevokeToken(organisation.id.clone(), id.clone());
        let result = self.record(organisation, event, actor, change).await;
        // Forget it even after an error, because the token may have been revoked.
        self.known.forget(|token| token.id == *id);
        result
    }

    fn check_token_of_session(
        &self,
        actor: &Actor,
        role: Role,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), AdministrationError> {
        match actor.caller {
            Caller::Session(_) => self.console_tokens.check(role, expires_at, now).map_err(AdministrationError::Input),
            Caller::Platform | Caller::PlatformToken(_) | Caller::Token(_) => Ok(()),
        }
    }

    fn new_token(&self, organisation: &Organisation, input: TokenInput, now: Timestamp) -> (Token, TokenText) {
        let (id, text) = TokenText::generate(&*self.entropy);
        let token = Token {
            id,
            hash: text.hash(),
            organisation: organisation.id.clone(),
            name: input.name,
            role: input.role,
            created_at: now,
            expires_at: input.expires_at,
            last_used_at: None,
            replaces: None,
            replaced_by: None,
        };
        (token, text)
    }

    /// Adds a token. Deletes expired tokens if there is no room.
    async fn add(
        &self,
        organisation: &Organisation,
        token: &Token,
        replaced: Option<Replaced>,
        event: Recorded,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<(), AdministrationError> {
        let change = |cleared| Change::CreateToken {
            token: Box::new(token.clone()),
            limit: MAX_TOKENS,
            replaced: replaced.clone().map(Box::new),
            cleared,
            now,
        };
        match self.record(organisation, event.clone(), actor, change(Vec::new())).await {
            Err(AdministrationError::Conflict(Conflict::TokenLimit)) => {}
            result => return result,
        }
        let kept = |id: &TokenId| replaced.as_ref().is_some_and(|replaced| replaced.id == *id);
        let ended = self.registry.tokens(&organisation.id).await?.into_iter();
        let ended = ended.filter(|token| !token.is_live(now) && !kept(&token.id)).map(|token| token.id);
        let ended: Vec<TokenId> = ended.take(CLEARED_AT_ONCE).collect();
        if ended.is_empty() {
            return Err(AdministrationError::Conflict(Conflict::TokenLimit));
        }
        self.record(organisation, event, actor, change(ended)).await
    }
}

fn entity(token: &Token) -> Entity {
    Entity { id: token.id.to_string(), name: token.name.clone(), entity_type: "API_KEY" }
}

fn state(token: &Token) -> Value {
    json!({"name": token.name, "role": token.role.as_str(), "expiresAt": token.expires_at})
}
