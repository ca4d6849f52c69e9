//! Changes of the registry that the log commits together with the event that records them. Owns what a change asks for
//! and why it can be refused; storage adapters carry it out.

use crate::{
    destination::Destination,
    organisation::{Organisation, OrganisationId},
    portal::{PortalLink, Session},
    time::Timestamp,
    token::{Token, TokenHash, TokenId},
};

/// A change that is committed together with the event that records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new organisation, with the anchor of its log. [`Conflict::Exists`] where there is one.
    CreateOrganisation(Organisation),
    /// An organisation as it is from now on. [`Conflict::Changed`] where the stored version is not the one before.
    UpdateOrganisation(Organisation),
    /// A new token, at most `limit` for its organisation ([`Conflict::TokenLimit`]). [`Conflict::Changed`] where what
    /// it replaces or clears away is not as it was read.
    CreateToken {
        /// The token.
        token: Box<Token>,
        /// How many there may be.
        limit: usize,
        /// The token that it replaces, as that is from now on: with its end, and its successor.
        replaced: Option<Box<Replaced>>,
        /// Tokens that have ended, to make room: deleted, where they have ended at the time that is given.
        cleared: Vec<TokenId>,
        /// The present moment.
        now: Timestamp,
    },
    /// Ends a token. [`Conflict::Missing`] where the organisation has no such token.
    RevokeToken(OrganisationId, TokenId),
    /// A new destination, at most `limit` for its organisation ([`Conflict::Limit`]), its bucket and role claimed for
    /// it ([`Conflict::BucketInUse`], [`Conflict::RoleInUse`]).
    CreateDestination {
        /// The destination.
        destination: Box<Destination>,
        /// How many the plan allows.
        limit: usize,
    },
    /// A destination as it is from now on. [`Conflict::Changed`] where the stored version is not the one before.
    UpdateDestination(Box<Destination>),
    /// Ends a destination and its claims. [`Conflict::Changed`] where the stored version is not this one.
    DeleteDestination(Box<Destination>),
    /// A new portal link. [`Conflict::Exists`] where there is one.
    CreatePortalLink(Box<PortalLink>),
    /// Uses up a portal link for a session. [`Conflict::Missing`] where the link has been used, or is none.
    StartSession {
        /// The link.
        link: TokenHash,
        /// What it is used for.
        session: Box<Session>,
    },
    /// Ends a session. [`Conflict::Missing`] where it has ended, or is none.
    EndSession(TokenHash),
}

/// A token that gets a successor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// Which one.
    pub id: TokenId,
    /// Its successor until now: one that has ended or was revoked.
    pub replaced_by: Option<TokenId>,
    /// From when on it is refused.
    pub expires_at: Timestamp,
}

/// Why a change was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// It is there already.
    #[error("it exists already")]
    Exists,
    /// It is not there.
    #[error("it does not exist")]
    Missing,
    /// Somebody else changed it in the meantime.
    #[error("it was changed in the meantime")]
    Changed,
    /// The plan allows no more of them.
    #[error("the plan allows no more")]
    Limit,
    /// The organisation has as many tokens as it may have.
    #[error("there are too many tokens")]
    TokenLimit,
    /// Another organisation delivers to this bucket.
    #[error("the bucket is in use by another organisation")]
    BucketInUse,
    /// Another organisation uses this role.
    #[error("the role is in use by another organisation")]
    RoleInUse,
}
