//! Tokens: created, replaced by successors, revoked.

use serde_json::{Value, json};

use super::{Actor, Administration, AdministrationError, Recorded};
use crate::{
    admission::{Admission, rate_limiter::RateLimits},
    change::{Change, Conflict, Replaced},
    event::Entity,
    fault::Fault,
    log::store::Consistency,
    organisation::{Organisation, OrganisationId},
    time::Timestamp,
    token::{MAX_TOKENS, RotationInput, SuccessorEnd, Token, TokenHash, TokenId, TokenInput, TokenText},
};

/// So many tokens that have ended are cleared away at once, where there is no room for a new one.
const CLEARED_AT_ONCE: usize = 20;

/// A token and its successor.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The successor.
    pub token: Token,
    /// Its text: it is here and nowhere else.
    pub text: TokenText,
    /// The token that it replaces, as it is from now on.
    pub replaced: Token,
}

impl Administration {
    /// Lets callers in by the tokens that are administered here: what is revoked here is refused there at once, and in
    /// other processes within [`KNOWN_FOR`](crate::admission::KNOWN_FOR).
    #[must_use]
    pub fn admission(&self, platform: TokenHash, limits: RateLimits) -> Admission {
        Admission::new(self.registry.clone(), self.clock.clone(), self.known.clone(), platform, limits)
    }

    /// Creates a token. Its text is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`Conflict::TokenLimit`] where the organisation has [`MAX_TOKENS`] that have not ended.
    pub async fn create_token(
        &self,
        organisation: &Organisation,
        input: TokenInput,
        actor: &Actor,
    ) -> Result<(Token, TokenText), AdministrationError> {
        let now = self.clock.now();
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

    /// Creates a successor of a token, with its name and role, and gives the token its end. Until then both are live, so
    /// that whoever holds the one can change over to the other without a gap; of a chain of successors no more than two
    /// ever are.
    ///
    /// # Errors
    /// [`AdministrationError::NotFound`] where the organisation has none with this id,
    /// [`AdministrationError::RotationInProgress`] where its predecessor or its successor is live,
    /// [`AdministrationError::Input`] where it has an end, and nothing was said of its successor's,
    /// [`Conflict::TokenLimit`] as for [`create_token`](Self::create_token).
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
        let successor_expires_at = match input.end {
            SuccessorEnd::At(end) => Some(end),
            SuccessorEnd::Never => None,
            SuccessorEnd::Unsaid if before.expires_at.is_none() => None,
            SuccessorEnd::Unsaid => {
                let detail = "is required, because the token has an end: a date and time, or null for none";
                return Err(AdministrationError::Input(Fault::at("/expiresAt", detail)));
            }
        };
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
        self.known.forget(&replaced.id);
        Ok(Rotation { token, text, replaced })
    }

    /// An organisation's tokens, the oldest first, without their texts; those that have ended are among them until room
    /// is needed.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn tokens(&self, organisation: &OrganisationId) -> Result<Vec<Token>, AdministrationError> {
        let mut tokens = self.registry.tokens(organisation).await?;
        tokens.sort_by(|one, other| (one.created_at, one.id.as_str()).cmp(&(other.created_at, other.id.as_str())));
        Ok(tokens)
    }

    /// One of an organisation's tokens.
    ///
    /// # Errors
    /// [`AdministrationError::NotFound`] where the organisation has none with this id.
    pub async fn token(&self, organisation: &OrganisationId, id: &TokenId) -> Result<Token, AdministrationError> {
        let token = self.registry.token(id, Consistency::Strong).await?;
        token.filter(|token| token.organisation == *organisation).ok_or(AdministrationError::NotFound)
    }

    /// Ends a token at once.
    ///
    /// # Errors
    /// [`AdministrationError::NotFound`] where the organisation has none with this id.
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
        // Whatever was answered: it may have been revoked all the same.
        self.known.forget(id);
        result
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

    /// Adds a token; where there is no room, in the place of those that have ended.
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
