//! Changes of the registry that are committed in one transaction with the event that records them. Owns what a change
//! requires and why it is refused; storage adapters make it.

use crate::{
    destination::Destination,
    organisation::{Organisation, OrganisationId},
    portal::{PortalLink, Session},
    time::Timestamp,
    token::{Role, Token, TokenHash, TokenId},
};

/// A change that is committed in one transaction with the event that records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Creates an organisation and the anchor of its log. [`Conflict::Exists`] if it exists.
    CreateOrganisation(Organisation),
    /// Replaces an organisation. [`Conflict::Changed`] if the stored version is not the previous one.
    UpdateOrganisation(Organisation),
    /// Creates a token. [`Conflict::TokenLimit`] if the organisation has `limit` tokens, [`Conflict::Changed`] if a
    /// replaced or cleared token was changed since it was read.
    CreateToken {
        token: Box<Token>,
        limit: usize,
        /// The new state of the token that it replaces.
        replaced: Option<Box<Replaced>>,
        /// Tokens that expired before `now`, deleted to make room.
        cleared: Vec<TokenId>,
        now: Timestamp,
    },
    /// Deletes a token. [`Conflict::Missing`] if the organisation has no such token.
    RevokeToken(OrganisationId, TokenId),
    /// Creates a destination. [`Conflict::Limit`] if the organisation has `limit` destinations.
    CreateDestination { destination: Box<Destination>, limit: usize },
    /// Replaces a destination. [`Conflict::Changed`] if the stored version is not the previous one.
    UpdateDestination(Box<Destination>),
    /// Deletes a destination, and keeps what was delivered to it. [`Conflict::Changed`] if the stored version is not this one.
    DeleteDestination(Box<Destination>),
    /// Creates a portal link. [`Conflict::Exists`] if it exists.
    CreatePortalLink(Box<PortalLink>),
    /// Replaces a portal link by a mark that it was used, and creates a session. [`Conflict::Missing`] if the link does not
    /// exist or was used.
    StartSession { link: TokenHash, session: Box<Session> },
    /// Deletes a session. [`Conflict::Missing`] if it does not exist or has ended.
    EndSession(TokenHash),
}

impl Change {
    /// Returns whether it creates a token of an administrator.
    #[must_use]
    pub fn is_of_admin_token(&self) -> bool {
        matches!(self, Self::CreateToken { token, .. } if token.role == Role::Admin)
    }

    /// Returns whether it creates, changes or deletes a destination.
    #[must_use]
    pub fn is_of_destination(&self) -> bool {
        matches!(self, Self::CreateDestination { .. } | Self::UpdateDestination(_) | Self::DeleteDestination(_))
    }
}

/// The new state of a token that gets a successor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    pub id: TokenId,
    /// Its previous successor, which has expired or was revoked.
    pub replaced_by: Option<TokenId>,
    pub expires_at: Timestamp,
}

/// Why a change was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    #[error("it exists already")]
    Exists,
    #[error("it does not exist")]
    Missing,
    #[error("it was changed in the meantime")]
    Changed,
    /// The number of destinations that the plan allows is reached.
    #[error("the plan allows no more")]
    Limit,
    #[error("there are too many tokens")]
    TokenLimit,
}
