//! The use cases of the platform's named tokens: create, rotate, revoke. Only the deployment's own token may use them.
//!
//! They belong to no organisation, so no log records them. The log lines of the functions say who made which call.

use super::{Administration, AdministrationError};
use crate::{
    change::Conflict,
    platform::{MAX_PLATFORM_TOKENS, PlatformToken, PlatformTokenInput, PlatformTokens},
    time::Timestamp,
    token::{RotationInput, TokenId, TokenText, successor_end},
};

/// The most attempts to save a change. An attempt fails only if another change is saved at the same time.
const MAX_SAVES: usize = 5;

/// A named token of the platform and its successor.
#[derive(Debug, Clone)]
pub struct PlatformRotation {
    /// The successor.
    pub token: PlatformToken,
    /// The successor's text, which is not stored.
    pub text: TokenText,
    /// The replaced token, with its new end.
    pub replaced: PlatformToken,
}

impl Administration {
    /// Returns the platform's named tokens, the oldest first. Expired tokens are included until they are deleted to make room
    /// for new ones.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn platform_tokens(&self) -> Result<Vec<PlatformToken>, AdministrationError> {
        Ok(self.registry.platform_tokens().await?.tokens)
    }

    /// Creates a named token of the platform. Its text is returned and not stored.
    ///
    /// # Errors
    /// Returns [`AdministrationError::PlatformTokenLimit`] if [`MAX_PLATFORM_TOKENS`] are valid.
    pub async fn create_platform_token(
        &self,
        input: PlatformTokenInput,
    ) -> Result<(PlatformToken, TokenText), AdministrationError> {
        let now = self.clock.now();
        let (token, text) = self.new_platform_token(input, now);
        self.change_platform_tokens(|tokens| Ok(with_room(tokens, None, now)?.with(token.clone()))).await?;
        Ok((token, text))
    }

    /// Creates a successor of a named token, with the same name and scopes, and sets the end of the token. Both are valid
    /// until then. At most two tokens of a chain are valid at once.
    ///
    /// # Errors
    /// Returns [`AdministrationError::NotFound`] if there is no such token, [`AdministrationError::RotationInProgress`] if its
    /// predecessor or its successor is valid, [`AdministrationError::Input`] if the token expires and the input does not say
    /// when its successor expires, and [`AdministrationError::PlatformTokenLimit`] as for
    /// [`create_platform_token`](Self::create_platform_token).
    pub async fn rotate_platform_token(
        &self,
        id: &TokenId,
        input: RotationInput,
    ) -> Result<PlatformRotation, AdministrationError> {
        let now = self.clock.now();
        let mut rotation = None;
        self.change_platform_tokens(|tokens| {
            let before = tokens.get(id).cloned().ok_or(AdministrationError::NotFound)?;
            let neighbours = [&before.replaces, &before.replaced_by].into_iter().flatten();
            if let Some(other) = neighbours.filter_map(|id| tokens.get(id)).find(|other| other.is_live(now)) {
                return Err(AdministrationError::RotationInProgress(other.id.clone()));
            }
            let expires_at = successor_end(input.end, before.expires_at).map_err(AdministrationError::Input)?;
            let successor = PlatformTokenInput { name: before.name.clone(), scopes: before.scopes.clone(), expires_at };
            let (token, text) = self.new_platform_token(successor, now);
            let token = PlatformToken { replaces: Some(before.id.clone()), ..token };
            let overlap_end = now.plus(input.overlap);
            let expires_at = before.expires_at.map_or(overlap_end, |end| end.min(overlap_end));
            let replaced =
                PlatformToken { expires_at: Some(expires_at), replaced_by: Some(token.id.clone()), ..before };
            let mut changed = with_room(tokens, Some(id), now)?.with(replaced.clone());
            changed.tokens.push(token.clone());
            rotation = Some(PlatformRotation { token, text, replaced });
            Ok(changed)
        })
        .await?;
        rotation.ok_or(AdministrationError::NotFound)
    }

    /// Ends a named token of the platform at once. Other processes refuse it within [`KNOWN_FOR`](crate::known::KNOWN_FOR).
    ///
    /// # Errors
    /// Returns [`AdministrationError::NotFound`] if there is no such token.
    pub async fn revoke_platform_token(&self, id: &TokenId) -> Result<(), AdministrationError> {
        self.change_platform_tokens(|tokens| {
            tokens.get(id).ok_or(AdministrationError::NotFound)?;
            let PlatformTokens { mut tokens, version } = tokens;
            tokens.retain(|token| token.id != *id);
            Ok(PlatformTokens { tokens, version: version + 1 })
        })
        .await
    }

    fn new_platform_token(&self, input: PlatformTokenInput, now: Timestamp) -> (PlatformToken, TokenText) {
        let (id, text) = TokenText::generate_for_platform(&*self.entropy);
        let token = PlatformToken {
            id,
            hash: text.hash(),
            name: input.name,
            scopes: input.scopes,
            created_at: now,
            expires_at: input.expires_at,
            last_used_at: None,
            replaces: None,
            replaced_by: None,
        };
        (token, text)
    }

    async fn change_platform_tokens(
        &self,
        mut change: impl FnMut(PlatformTokens) -> Result<PlatformTokens, AdministrationError> + Send,
    ) -> Result<(), AdministrationError> {
        for _ in 0..MAX_SAVES {
            let changed = change(self.registry.platform_tokens().await?)?;
            let saved = self.registry.save_platform_tokens(&changed).await;
            // Forget them even after an error, because the change may have been saved.
            self.known_platform_tokens.forget(|_| true);
            if saved? {
                return Ok(());
            }
        }
        Err(AdministrationError::Conflict(Conflict::Changed))
    }
}

/// Returns the tokens with room for one more. Deletes expired ones if necessary, but not `kept`.
fn with_room(
    mut tokens: PlatformTokens,
    kept: Option<&TokenId>,
    now: Timestamp,
) -> Result<PlatformTokens, AdministrationError> {
    if tokens.tokens.len() >= MAX_PLATFORM_TOKENS {
        tokens.tokens.retain(|token| token.is_live(now) || Some(&token.id) == kept);
    }
    if tokens.tokens.len() >= MAX_PLATFORM_TOKENS {
        return Err(AdministrationError::PlatformTokenLimit);
    }
    Ok(tokens)
}
