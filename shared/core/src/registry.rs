//! The port to the registry: organisations, tokens, destinations and deliveries.
//!
//! Changes that people ask for are no methods here: they are [`Change`](crate::change::Change)s that the log commits in one transaction with
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
