//! What the platform and an organisation's administrators do. Every change is committed with the event that records it.
//!
//! Organisations are here, tokens in [`tokens`], destinations in [`destinations`], links and sessions in [`portal`].

mod destinations;
pub mod portal;
pub mod tokens;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    admission::known_tokens::KnownTokens,
    change::{Change, Conflict},
    entropy::Entropy,
    event::{Body, Context, Entity, OwnEvent},
    fault::Fault,
    log::{
        Log,
        append::AppendError,
        store::{Consistency, StoreError},
    },
    organisation::{Organisation, OrganisationId, OrganisationInput, RetentionDays},
    registry::Registry,
    time::Clock,
    token::{Caller, TokenId},
};

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AdministrationError {
    /// There is no such thing, or none of the caller's.
    #[error("there is no such thing")]
    NotFound,
    /// The registry does not allow it.
    #[error(transparent)]
    Conflict(Conflict),
    /// The input does not fit what there is.
    #[error("the input does not fit what there is")]
    Input(Fault),
    /// Two tokens of a chain of successors are live already; the other one is this.
    #[error("a rotation is in progress: token {0} is live too")]
    RotationInProgress(TokenId),
    /// Another replay to the same destination is not finished yet.
    #[error("a replay is in progress")]
    ReplayInProgress,
    /// The log holds no event in the range that was asked for.
    #[error("the range holds no event")]
    NothingToReplay,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change could not be recorded, so it did not take place.
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
    /// Who.
    pub caller: Caller,
    /// From where.
    pub context: Context,
}

/// The use cases.
#[derive(Debug, Clone)]
pub struct Administration {
    log: Arc<Log>,
    registry: Arc<dyn Registry>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    known: Arc<KnownTokens>,
    default_retention: RetentionDays,
}

impl Administration {
    /// Administers what `registry` holds, recording into `log`.
    #[must_use]
    pub fn new(log: Arc<Log>, registry: Arc<dyn Registry>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { log, registry, clock, entropy, known: Arc::default(), default_retention: RetentionDays::DEFAULT }
    }

    /// The same, with another retention for new organisations that ask for none.
    #[must_use]
    pub fn with_default_retention(self, default_retention: RetentionDays) -> Self {
        Self { default_retention, ..self }
    }

    /// An organisation.
    ///
    /// # Errors
    /// [`AdministrationError::NotFound`], or where the store fails.
    pub async fn organisation(&self, id: &OrganisationId) -> Result<Organisation, AdministrationError> {
        if let Some(organisation) = self.registry.organisation(id, Consistency::Eventual).await? {
            return Ok(organisation);
        }
        let organisation = self.registry.organisation(id, Consistency::Strong).await?;
        organisation.ok_or(AdministrationError::NotFound)
    }

    /// Organisations by rising id, behind `after`, at most `limit`.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn organisations(
        &self,
        after: Option<&OrganisationId>,
        limit: usize,
    ) -> Result<Vec<Organisation>, AdministrationError> {
        Ok(self.registry.organisations(after, limit).await?)
    }

    /// Creates an organisation, or changes the one there is, and disables or enables destinations as the plan has it.
    /// Asking for what is already so changes and records nothing.
    ///
    /// # Errors
    /// A conflict where somebody else changes it at the same moment, or where the store fails.
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
        self.apply_plan(&after, actor).await?;
        Ok(Put::Updated(after))
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

/// What became of a put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// There was none; this is it.
    Created(Organisation),
    /// There was one; this is it now.
    Updated(Organisation),
}

/// The event of a change, but for who made it.
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
