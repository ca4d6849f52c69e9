//! The use cases of the platform and of an organisation's administrators. Every change is committed with the event that
//! records it.
//!
//! This file contains the use cases of organisations. The others are in [`tokens`], [`platform_tokens`], `destinations` and [`portal`]
//! (links and sessions).

mod destination_input;
mod destination_patch;
mod destinations;
mod moving;
pub mod platform_tokens;
pub mod portal;
pub mod tokens;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    admission::{KnownPlatformTokens, KnownTokens},
    brand::Brand,
    caller::Caller,
    change::{Change, Conflict},
    destination::RolesWithoutExternalId,
    entropy::Entropy,
    event::{Body, Context, Entity, OwnEvent},
    fault::Fault,
    known::Known,
    limited::{Limited, with_use_at},
    log::{
        Log,
        append::AppendError,
        store::{Consistency, StoreError},
    },
    organisation::{Organisation, OrganisationId, OrganisationInput, RetentionDays},
    portal::ReturnOrigins,
    registry::Registry,
    service::ConsoleTokens,
    time::Clock,
    token::TokenId,
    usage::{Month, Usage},
};

pub use self::{
    destination_input::{ConfirmInput, DestinationInput, ReplayInput},
    destination_patch::DestinationPatch,
};

/// The most attempts to count a use. An attempt fails only if another use is counted at the same time.
const MAX_COUNTS: usize = 5;
/// What to wait if every attempt failed.
const CONTENDED: Duration = Duration::from_secs(1);

/// Why a use case failed.
#[derive(Debug, thiserror::Error)]
pub enum AdministrationError {
    /// It does not exist, or belongs to another organisation.
    #[error("not found")]
    NotFound,
    #[error(transparent)]
    Conflict(Conflict),
    /// The input contradicts what is stored.
    #[error("the input contradicts what is stored")]
    Input(Fault),
    /// A rotation cannot begin, because this token, the predecessor or successor of the token, is still valid.
    #[error("a rotation is in progress: token {0} is valid too")]
    RotationInProgress(TokenId),
    /// The platform has the most named tokens.
    #[error("too many named tokens of the platform")]
    PlatformTokenLimit,
    /// Another replay to the same destination is unfinished.
    #[error("a replay is in progress")]
    ReplayInProgress,
    /// The log has no event in the requested range.
    #[error("the range holds no event")]
    NothingToReplay,
    /// No code can be entered: there is none, it has expired, or too many wrong ones were entered.
    #[error("there is no code to be entered")]
    NoCode,
    /// The organisation has done it too often: see [`Limited`]. It may do it again after this time.
    #[error("too often")]
    TooOften(Duration),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change could not be recorded, so it was not made.
    #[error("the change could not be recorded")]
    Record(#[source] AppendError),
}

impl From<AppendError> for AdministrationError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict(Conflict::Missing) => Self::NotFound,
            AppendError::Conflict(conflict) => Self::Conflict(conflict),
            error => Self::Record(error),
        }
    }
}

/// Who acts, and from where.
#[derive(Debug, Clone)]
pub struct Actor {
    pub caller: Caller,
    pub context: Context,
}

#[derive(Debug, Clone)]
pub struct Administration {
    log: Arc<Log>,
    registry: Arc<dyn Registry>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    known: Arc<KnownTokens>,
    known_platform_tokens: Arc<KnownPlatformTokens>,
    known_organisations: Arc<Known<OrganisationId, Organisation>>,
    default_retention: RetentionDays,
    console_tokens: ConsoleTokens,
    roles: RolesWithoutExternalId,
    brand: Brand,
    return_origins: ReturnOrigins,
}

impl Administration {
    #[must_use]
    pub fn new(log: Arc<Log>, registry: Arc<dyn Registry>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            log,
            registry,
            clock,
            entropy,
            known: Arc::default(),
            known_platform_tokens: Arc::default(),
            known_organisations: Arc::default(),
            default_retention: RetentionDays::DEFAULT,
            console_tokens: ConsoleTokens::default(),
            roles: RolesWithoutExternalId::default(),
            brand: Brand::default(),
            return_origins: ReturnOrigins::default(),
        }
    }

    /// Sets the name in what is written for customers.
    #[must_use]
    pub fn with_brand(self, brand: Brand) -> Self {
        Self { brand, ..self }
    }

    /// Sets where portal links may lead back to.
    #[must_use]
    pub fn with_return_origins(self, return_origins: ReturnOrigins) -> Self {
        Self { return_origins, ..self }
    }

    /// Sets the retention of new organisations that do not choose one.
    #[must_use]
    pub fn with_default_retention(self, default_retention: RetentionDays) -> Self {
        Self { default_retention, ..self }
    }

    /// Sets which tokens sessions may create.
    #[must_use]
    pub fn with_console_tokens(self, console_tokens: ConsoleTokens) -> Self {
        Self { console_tokens, ..self }
    }

    /// Sets what becomes of roles that accept any external id.
    #[must_use]
    pub fn with_roles_without_external_id(self, roles: RolesWithoutExternalId) -> Self {
        Self { roles, ..self }
    }

    /// # Errors
    /// Returns [`AdministrationError::NotFound`] if there is no such organisation, or an error if the store fails.
    pub async fn organisation(&self, id: &OrganisationId) -> Result<Organisation, AdministrationError> {
        if let Some(organisation) = self.registry.organisation(id, Consistency::Eventual).await? {
            return Ok(organisation);
        }
        let organisation = self.registry.organisation(id, Consistency::Strong).await?;
        organisation.ok_or(AdministrationError::NotFound)
    }

    /// Returns the organisation as it is now or was less than [`KNOWN_FOR`](crate::known::KNOWN_FOR) ago. Recording an event
    /// needs its name and its retention, and waits for nothing else if the caller is known, too.
    ///
    /// # Errors
    /// Returns the same errors as [`organisation`](Self::organisation).
    pub async fn recent_organisation(&self, id: &OrganisationId) -> Result<Organisation, AdministrationError> {
        let begun = self.clock.now();
        if let Some(organisation) = self.known_organisations.get(id, begun) {
            return Ok(organisation);
        }
        let organisation = self.organisation(id).await?;
        self.known_organisations.insert(id.clone(), organisation.clone(), begun);
        Ok(organisation)
    }

    /// Returns at most `limit` organisations whose ids follow `after`, in the order of their ids.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn organisations(
        &self,
        after: Option<&OrganisationId>,
        limit: usize,
    ) -> Result<Vec<Organisation>, AdministrationError> {
        Ok(self.registry.organisations(after, limit).await?)
    }

    /// Returns what an organisation used in a month.
    ///
    /// # Errors
    /// Returns an error if the store fails or the end of the log is unknown.
    pub async fn usage(&self, organisation: &Organisation, month: Month) -> Result<Usage, AdministrationError> {
        let log = self.log.usage(organisation).await?;
        // In this order, a destination that is deleted meanwhile is found at least once.
        let destinations = self.registry.destinations(&organisation.id).await?;
        let deleted = self.registry.deleted_deliveries(&organisation.id).await?;
        let left = destinations.iter().filter(|left| !deleted.iter().any(|(id, _)| *id == left.id));
        let mut delivered: Vec<_> = left.map(|left| left.progress.usage()).collect();
        delivered.extend(deleted.into_iter().map(|(_, delivered)| delivered));
        Ok(Usage::of(month, &log, &delivered, self.clock.now()))
    }

    /// Creates or changes an organisation, and disables or enables its destinations according to its plan. A request
    /// that changes nothing is not recorded.
    ///
    /// # Errors
    /// Returns a conflict if somebody else changes it at the same time, or an error if the store fails.
    pub async fn put_organisation(
        &self,
        id: &OrganisationId,
        input: OrganisationInput,
        actor: &Actor,
    ) -> Result<Put, AdministrationError> {
        let Some(before) = self.registry.organisation(id, Consistency::Strong).await? else {
            let organisation = input.create(id.clone(), self.default_retention, self.clock.now(), &*self.entropy);
            let event = Recorded {
                action: "CREATE",
                kind: "organisation.create",
                entity: organisation_entity(&organisation),
                before: None,
                after: Some(organisation_state(&organisation)),
                payload: None,
            };
            let change = Change::CreateOrganisation(organisation.clone());
            self.record(&organisation, event, actor, change).await?;
            return Ok(Put::Created(organisation));
        };
        let after = input.update(&before);
        if (Organisation { version: before.version, ..after.clone() }) == before {
            self.apply_plan(&before, actor).await?;
            return Ok(Put::Updated(before));
        }
        let event = Recorded {
            action: "UPDATE",
            kind: "organisation.update",
            entity: organisation_entity(&after),
            before: Some(organisation_state(&before)),
            after: Some(organisation_state(&after)),
            payload: None,
        };
        self.record(&after, event, actor, Change::UpdateOrganisation(after.clone())).await?;
        self.known_organisations.forget(|known| known.id == after.id);
        self.apply_plan(&after, actor).await?;
        Ok(Put::Updated(after))
    }

    /// Counts a use.
    ///
    /// # Errors
    /// Returns [`AdministrationError::TooOften`] if the organisation has used it too often.
    async fn count_use(&self, organisation: &OrganisationId, limited: Limited) -> Result<(), AdministrationError> {
        for _ in 0..MAX_COUNTS {
            let before = self.registry.uses(organisation, limited).await?;
            let after = with_use_at(self.clock.now(), &before).map_err(AdministrationError::TooOften)?;
            if self.registry.save_uses(organisation, limited, &before, &after).await? {
                return Ok(());
            }
        }
        Err(AdministrationError::TooOften(CONTENDED))
    }

    async fn record(
        &self,
        organisation: &Organisation,
        event: Recorded,
        actor: &Actor,
        change: Change,
    ) -> Result<(), AdministrationError> {
        self.log.append_change(organisation, event.body(actor), change).await?;
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    Created(Organisation),
    Updated(Organisation),
}

/// The event of a change, without its author.
#[derive(Clone)]
struct Recorded {
    action: &'static str,
    kind: &'static str,
    entity: Entity,
    before: Option<Value>,
    after: Option<Value>,
    payload: Option<Value>,
}

impl Recorded {
    fn body(self, actor: &Actor) -> Body {
        OwnEvent {
            action: self.action,
            kind: self.kind,
            entity: self.entity,
            principal: actor.caller.principal(),
            before: self.before,
            after: self.after,
            client_type: actor.caller.client_type(),
            context: Some(actor.context.clone()),
            payload: self.payload,
        }
        .body()
    }
}

fn organisation_entity(organisation: &Organisation) -> Entity {
    Entity { id: organisation.id.to_string(), name: organisation.name.clone(), entity_type: "ORGANISATION" }
}

fn organisation_state(organisation: &Organisation) -> Value {
    json!({
        "name": organisation.name,
        "plan": organisation.plan.as_str(),
        "retentionDays": organisation.retention.days(),
    })
}
