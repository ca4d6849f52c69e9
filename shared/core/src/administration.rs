//! What the platform and an organisation's administrators do. Every change is committed with the event that records it.
//!
//! Organisations and tokens are here, destinations in [`destinations`].

mod destinations;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    entropy::Entropy,
    event::{Body, Context, Entity, OwnEvent},
    log::{
        Log,
        append::AppendError,
        store::{Consistency, StoreError},
    },
    organisation::{Organisation, OrganisationId, OrganisationInput},
    registry::{Change, Conflict, Registry},
    time::Clock,
    token::{Caller, Token, TokenHash, TokenId, TokenInput, TokenText},
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
}

impl Administration {
    /// Administers what `registry` holds, recording into `log`.
    #[must_use]
    pub fn new(log: Arc<Log>, registry: Arc<dyn Registry>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { log, registry, clock, entropy }
    }

    /// Whom a bearer token stands for: the platform where its hash is `platform`, else an organisation's token that is
    /// neither revoked nor expired.
    ///
    /// # Errors
    /// Where the store fails; `None` for a token that is none.
    pub async fn authenticate(&self, bearer: &str, platform: &TokenHash) -> Result<Option<Caller>, StoreError> {
        let hash = TokenHash::of(bearer);
        if hash == *platform {
            return Ok(Some(Caller::Platform));
        }
        let Some(id) = TokenText::id_in(bearer) else { return Ok(None) };
        let now = self.clock.now();
        // What was created a moment ago may be missed by a cheap read; what is missing is worth a second look.
        let token = match self.registry.token(&id, Consistency::Eventual).await? {
            Some(token) => Some(token),
            None => self.registry.token(&id, Consistency::Strong).await?,
        };
        Ok(token.filter(|token| token.hash == hash && token.expires_at.is_none_or(|at| at > now)).map(Caller::Token))
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
            let organisation = input.create(id.clone(), self.clock.now(), &*self.entropy);
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

    /// Creates a token. Its text is in the answer and nowhere else.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn create_token(
        &self,
        organisation: &Organisation,
        input: TokenInput,
        actor: &Actor,
    ) -> Result<(Token, TokenText), AdministrationError> {
        let (id, text) = TokenText::generate(&*self.entropy);
        let token = Token {
            id,
            hash: text.hash(),
            organisation: organisation.id.clone(),
            name: input.name,
            role: input.role,
            created_at: self.clock.now(),
            expires_at: input.expires_at,
        };
        let event = Recorded {
            action: "CREATE",
            kind: "token.create",
            entity: token_entity(&token),
            before: None,
            after: Some(token_state(&token)),
            payload: None,
        };
        self.record(organisation, event, actor, Change::CreateToken(token.clone())).await?;
        Ok((token, text))
    }

    /// An organisation's tokens, without their texts.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn tokens(&self, organisation: &OrganisationId) -> Result<Vec<Token>, AdministrationError> {
        Ok(self.registry.tokens(organisation).await?)
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
            entity: token_entity(&token),
            before: Some(token_state(&token)),
            after: None,
            payload: None,
        };
        let change = Change::RevokeToken(organisation.id.clone(), id.clone());
        self.record(organisation, event, actor, change).await
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
            client_type: "API",
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

fn token_entity(token: &Token) -> Entity {
    Entity { id: token.id.to_string(), name: token.name.clone(), entity_type: "API_KEY" }
}

fn token_state(token: &Token) -> Value {
    json!({"name": token.name, "role": token.role.as_str(), "expiresAt": token.expires_at})
}
