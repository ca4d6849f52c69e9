//! The port to the registry: organisations, tokens, destinations and deliveries.
//!
//! Changes that people ask for are no methods here: they are [`Change`]s that the log commits in one transaction with
//! the event that records them, so that there is neither a change without its event nor an event without its change.

#![warn(missing_docs)]

use std::fmt;

use async_trait::async_trait;

use crate::{
    delivery::{Delivery, failure::FailureCode},
    destination::{Destination, DestinationId},
    log::store::{Consistency, StoreError},
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

/// A destination to which deliveries are made, as the plan of a tick sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveDestination {
    /// Whose it is.
    pub organisation: OrganisationId,
    /// Which one.
    pub id: DestinationId,
    /// The sequence that is to be delivered next.
    pub next_sequence: u64,
    /// Whether a delivery was begun and not finished.
    pub pending: bool,
    /// Not before this time, where it is failing.
    pub retry_at: Option<Timestamp>,
    /// Why it is failing, where it is.
    pub failure: Option<FailureCode>,
    /// From when on its lag counts: [`Progress::lag_from`](crate::destination::Progress::lag_from).
    pub lag_from: Option<Timestamp>,
}

/// Where everything but events is kept. Apart from the two calls of the platform itself, every call is for one
/// organisation and can touch no other's.
#[async_trait]
pub trait Registry: fmt::Debug + Send + Sync {
    /// An organisation.
    async fn organisation(
        &self,
        id: &OrganisationId,
        consistency: Consistency,
    ) -> Result<Option<Organisation>, StoreError>;

    /// The platform's call: organisations by rising id, behind `after`, at most `limit`.
    async fn organisations(
        &self,
        after: Option<&OrganisationId>,
        limit: usize,
    ) -> Result<Vec<Organisation>, StoreError>;

    /// A token, whoever it belongs to: it is what tells the organisation.
    async fn token(&self, id: &TokenId, consistency: Consistency) -> Result<Option<Token>, StoreError>;

    /// An organisation's tokens.
    async fn tokens(&self, organisation: &OrganisationId) -> Result<Vec<Token>, StoreError>;

    /// Notes that a token was used at `at`, unless a use later than `unless_after` is noted, or the token is gone. A
    /// token that is not there stays so.
    async fn note_token_use(&self, id: &TokenId, at: Timestamp, unless_after: Timestamp) -> Result<(), StoreError>;

    /// A portal link that has not been used, strongly consistent. It may have expired.
    async fn portal_link(&self, hash: &TokenHash) -> Result<Option<PortalLink>, StoreError>;

    /// A session that nobody has ended, strongly consistent. It may have expired.
    async fn session(&self, hash: &TokenHash) -> Result<Option<Session>, StoreError>;

    /// A destination, strongly consistent.
    async fn destination(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Option<Destination>, StoreError>;

    /// An organisation's destinations, strongly consistent.
    async fn destinations(&self, organisation: &OrganisationId) -> Result<Vec<Destination>, StoreError>;

    /// The platform's call: all active destinations, as they were a moment ago.
    async fn active_destinations(&self) -> Result<Vec<ActiveDestination>, StoreError>;

    /// Saves how far delivery to a destination has come, and with it the delivery that brought it there, on condition
    /// that the stored version is the one before. Says whether it was.
    async fn save_progress(&self, destination: &Destination, delivery: Option<&Delivery>) -> Result<bool, StoreError>;

    /// The last `limit` deliveries to a destination, the newest first.
    async fn deliveries(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError>;
}
