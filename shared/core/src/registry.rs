//! The port to the registry: organisations, tokens, destinations and deliveries.
//!
//! Changes that people request are not methods of the registry. They are [`Change`](crate::change::Change)s, which the
//! log commits in one transaction with the event that records them. So a change is never stored without its event, and
//! an event never without its change.

#![warn(missing_docs)]

use std::{fmt, ops::RangeInclusive};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    destination::{
        ClaimKey, Claims, Delivery, Destination, DestinationId, connection_test::ConnectionTestReport,
        failure::FailureCode,
    },
    limited::Limited,
    log::store::{Consistency, StoreError},
    organisation::{Organisation, OrganisationId},
    platform::PlatformTokens,
    portal::{PortalLink, Session},
    time::Timestamp,
    token::{Token, TokenHash, TokenId},
    usage::DeliveredMonths,
};

/// An active destination, with what planning needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveDestination {
    /// The organisation of the destination.
    pub organisation: OrganisationId,
    /// The destination.
    pub id: DestinationId,
    /// The sequence to deliver next.
    pub next_sequence: u64,
    /// Whether a delivery has begun and is not finished.
    pub pending: bool,
    /// When a checkpoint is due, if none is delivered until then. Unknown while `pending`.
    pub checkpoint_due: Option<Timestamp>,
    /// The earliest time of the next attempt, if it is failing.
    pub retry_at: Option<Timestamp>,
    /// Why it is failing, if it is.
    pub failure: Option<FailureCode>,
    /// The time from which its lag counts: [`Progress::lag_from`](crate::destination::Progress::lag_from).
    pub lag_from: Option<Timestamp>,
}

/// Which of the two tables were restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestoredTables {
    /// The table of the logs.
    Log,
    /// The table of the registry.
    Registry,
    /// Both tables.
    Both,
}

/// The number of parts of the index of active destinations. Each is read and planned on its own.
pub const ACTIVE_SHARDS: u16 = 8;

/// Returns the shard of a destination, below [`ACTIVE_SHARDS`].
#[must_use]
pub fn shard_of(id: &DestinationId) -> u16 {
    let sum: u64 = id.as_str().bytes().map(u64::from).sum();
    u16::try_from(sum % u64::from(ACTIVE_SHARDS)).unwrap_or_default()
}

/// A position in a shard of the index of active destinations, which is in the order of these texts: `ORGANISATION#ID`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ActivePosition(String);

impl ActivePosition {
    /// Returns the position of a destination.
    #[must_use]
    pub fn of(organisation: &OrganisationId, id: &DestinationId) -> Self {
        Self(format!("{organisation}#{id}"))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ActivePosition {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl ActiveDestination {
    /// Returns the position in its shard.
    #[must_use]
    pub fn position(&self) -> ActivePosition {
        ActivePosition::of(&self.organisation, &self.id)
    }
}

/// A page of a shard of the index of active destinations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActivePage {
    /// The destinations, in the order of their positions.
    pub destinations: Vec<ActiveDestination>,
    /// The position behind which the next page begins; `None` if there are no more.
    pub next: Option<ActivePosition>,
}

/// A stretch of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// It begins behind this position; `None`: at the beginning of the shard.
    pub after: Option<ActivePosition>,
    /// It ends with this position; `None`: at the end of the shard.
    pub until: Option<ActivePosition>,
}

impl Stretch {
    /// Returns the stretches of a whole shard that is read from behind `after`.
    #[must_use]
    pub fn round_from(after: Option<ActivePosition>) -> Vec<Self> {
        let mut round = vec![Self { after: after.clone(), until: None }];
        if after.is_some() {
            round.push(Self { after: None, until: after });
        }
        round
    }
}

/// How far planning has come in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanPass {
    /// The shard.
    pub shard: u16,
    /// When the tick began.
    pub tick: Timestamp,
    /// What was not planned yet. A later tick that finds something here begins with it.
    pub rest: Vec<Stretch>,
}

/// A step of a run of maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaintenanceStep {
    /// The run was divided into so many parts, which are counted from 1.
    Divided {
        /// The number of parts.
        parts: u32,
    },
    /// A part is finished.
    Finished {
        /// The number of the part.
        part: u32,
    },
}

/// How far a run of maintenance has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MaintenanceProgress {
    /// The number of parts. `None` while the run is being divided.
    pub parts: Option<u32>,
    /// The number of parts that are finished.
    pub finished: u32,
}

impl MaintenanceProgress {
    /// Returns whether all parts are finished.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.parts.is_some_and(|parts| self.finished >= parts)
    }
}

/// The store of everything except events. Every call is for one organisation and cannot touch the data of another
/// organisation, except for the platform's own calls.
#[async_trait]
pub trait Registry: fmt::Debug + Send + Sync {
    /// Returns which tables are copies that a restore made, as long as [`adopt_tables`](Self::adopt_tables) was not called
    /// since: a table has the mark of the one that it is a copy of. Marks tables without one.
    async fn copied_tables(&self) -> Result<Option<RestoredTables>, StoreError>;

    /// Marks both tables as the deployment's own.
    async fn adopt_tables(&self) -> Result<(), StoreError>;

    /// Returns the organisation with this id.
    async fn organisation(
        &self,
        id: &OrganisationId,
        consistency: Consistency,
    ) -> Result<Option<Organisation>, StoreError>;

    /// Returns at most `limit` organisations whose ids follow `after`, in the order of their ids. Only the platform
    /// needs it.
    async fn organisations(
        &self,
        after: Option<&OrganisationId>,
        limit: usize,
    ) -> Result<Vec<Organisation>, StoreError>;

    /// Returns the ids of at most `limit` organisations behind `after`, in their order, eventually consistent. Returns fewer
    /// only if there are no more.
    async fn organisation_ids(
        &self,
        after: Option<&OrganisationId>,
        limit: usize,
    ) -> Result<Vec<OrganisationId>, StoreError>;

    /// Returns a token of any organisation. The token determines the organisation.
    async fn token(&self, id: &TokenId, consistency: Consistency) -> Result<Option<Token>, StoreError>;

    /// Returns all tokens of an organisation.
    async fn tokens(&self, organisation: &OrganisationId) -> Result<Vec<Token>, StoreError>;

    /// Saves that a token was used at `at`, unless a use after `unless_after` is already saved. Does nothing if the
    /// token does not exist.
    async fn note_token_use(&self, id: &TokenId, at: Timestamp, unless_after: Timestamp) -> Result<(), StoreError>;

    /// Returns the platform's named tokens, strongly consistent.
    async fn platform_tokens(&self) -> Result<PlatformTokens, StoreError>;

    /// Saves the platform's named tokens, on condition that the stored version is the previous one. Returns whether they were
    /// saved.
    async fn save_platform_tokens(&self, tokens: &PlatformTokens) -> Result<bool, StoreError>;

    /// Returns a portal link that has not been used, strongly consistent. It can be expired. The store may delete it a day
    /// after that.
    async fn portal_link(&self, hash: &TokenHash) -> Result<Option<PortalLink>, StoreError>;

    /// Returns whether a portal link was used, strongly consistent. The store may forget it a day later.
    async fn is_link_used(&self, hash: &TokenHash) -> Result<bool, StoreError>;

    /// Returns a session that has not been ended, strongly consistent. It can be expired.
    async fn session(&self, hash: &TokenHash) -> Result<Option<Session>, StoreError>;

    /// Returns an organisation's sessions that have not been ended, eventually consistent. They can be expired. Leaves out
    /// those that version 0.1 started.
    async fn sessions(&self, organisation: &OrganisationId) -> Result<Vec<Session>, StoreError>;

    /// Saves a later end of a session. Does nothing if the session was ended.
    async fn extend_session(&self, hash: &TokenHash, expires_at: Timestamp) -> Result<(), StoreError>;

    /// Returns a destination, strongly consistent.
    async fn destination(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Option<Destination>, StoreError>;

    /// Returns all destinations of an organisation, strongly consistent.
    async fn destinations(&self, organisation: &OrganisationId) -> Result<Vec<Destination>, StoreError>;

    /// Returns at most `limit` active destinations of a shard behind the position `after`, in the order of their
    /// positions, eventually consistent.
    async fn active_destinations(
        &self,
        shard: u16,
        after: Option<&ActivePosition>,
        limit: usize,
    ) -> Result<ActivePage, StoreError>;

    /// Returns how far planning has come in the shards for which it was saved, strongly consistent.
    async fn plan_passes(&self) -> Result<Vec<PlanPass>, StoreError>;

    /// Saves how far planning has come in a shard, unless that of a later tick is saved. Returns whether it was saved.
    async fn save_plan_pass(&self, pass: &PlanPass) -> Result<bool, StoreError>;

    /// Notes a step of the run of maintenance that began at `run`. To note it again changes nothing. Returns the progress with
    /// this step and all that were noted before it.
    async fn note_maintenance(&self, run: Timestamp, step: MaintenanceStep) -> Result<MaintenanceProgress, StoreError>;

    /// Saves a destination, together with a delivery if there was one, on condition that the stored version is the
    /// previous one. Returns whether the destination was saved.
    async fn save_progress(&self, destination: &Destination, delivery: Option<&Delivery>) -> Result<bool, StoreError>;

    /// Returns the last `limit` deliveries to a destination, the newest first.
    async fn deliveries(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// Returns the regular delivery to a destination that contains the event `sequence`, which was recorded at
    /// `recorded_at`, eventually consistent. `None` if it is not delivered, or the record has expired.
    async fn delivery_of(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        sequence: u64,
        recorded_at: Timestamp,
    ) -> Result<Option<Delivery>, StoreError>;

    /// Returns the deliveries to a destination whose [numbers](Delivery::number) are in `range`, in the order of their
    /// numbers, strongly consistent. Leaves out deliveries whose records have expired. Reads back in time until all
    /// are found, so recent ones are found fastest.
    async fn deliveries_numbered(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        range: RangeInclusive<u64>,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// Saves the result of a destination's connection test, unless a later one is saved. The store may delete it after
    /// 30 days, and deletes it with the destination.
    async fn save_connection_test(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        report: &ConnectionTestReport,
    ) -> Result<(), StoreError>;

    /// Returns the result of a destination's last connection test, strongly consistent.
    async fn last_connection_test(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Option<ConnectionTestReport>, StoreError>;

    /// Returns the destinations, of any organisation, that claim a bucket or a role, strongly consistent. Version 0 if none
    /// ever did.
    async fn claims(&self, key: &ClaimKey) -> Result<Claims, StoreError>;

    /// Saves who claims a bucket or a role, on condition that the stored version is the previous one. Returns whether it was
    /// saved.
    async fn save_claims(&self, key: &ClaimKey, claims: &Claims) -> Result<bool, StoreError>;

    /// Returns what was delivered to destinations of the organisation that were deleted, strongly consistent.
    async fn deleted_deliveries(
        &self,
        organisation: &OrganisationId,
    ) -> Result<Vec<(DestinationId, DeliveredMonths)>, StoreError>;

    /// Returns the times of an organisation's last uses of what is limited, in any order, strongly consistent. The store may
    /// delete them a day after the last one.
    async fn uses(&self, organisation: &OrganisationId, limited: Limited) -> Result<Vec<Timestamp>, StoreError>;

    /// Replaces the times of an organisation's last uses, `before`, with `after`. Returns whether they were still `before`.
    async fn save_uses(
        &self,
        organisation: &OrganisationId,
        limited: Limited,
        before: &[Timestamp],
        after: &[Timestamp],
    ) -> Result<bool, StoreError>;
}
