//! What the platform and an organisation's administrators do: organisations, tokens, destinations. Every change is
//! committed with the event that records it.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    delivery::{
        Delivery,
        sink::{ObjectSink, Target},
        try_out::{TrialReport, try_out},
    },
    destination::{Destination, DestinationId, DestinationInput, Progress},
    entropy::{self, BASE36, Entropy},
    event::{Body, Context, Entity, OwnEvent},
    log::{Log, append::AppendError, segment::Tail, store::StoreError},
    organisation::{Organisation, OrganisationId, OrganisationInput},
    registry::{Change, Conflict, Registry},
    time::Clock,
    token::{Caller, Token, TokenHash, TokenId, TokenInput, TokenText},
};

/// How far back the first delivery to a new destination reaches (WireMock Cloud's audit events, "lookback window").
pub const LOOKBACK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AdministrationError {
    /// There is no such thing, or none of the caller's.
    #[error("there is no such thing")]
    NotFound,
    /// The registry does not allow it.
    #[error(transparent)]
    Conflict(Conflict),
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
        let token = self.registry.token(&id).await?;
        Ok(token.filter(|token| token.hash == hash && token.expires_at.is_none_or(|at| at > now)).map(Caller::Token))
    }

    /// An organisation.
    ///
    /// # Errors
    /// [`AdministrationError::NotFound`], or where the store fails.
    pub async fn organisation(&self, id: &OrganisationId) -> Result<Organisation, AdministrationError> {
        self.registry.organisation(id).await?.ok_or(AdministrationError::NotFound)
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

    /// Creates an organisation, or changes the one there is. Asking for what is already so changes and records nothing.
    ///
    /// # Errors
    /// A conflict where somebody else changes it at the same moment, or where the store fails.
    pub async fn put_organisation(
        &self,
        id: &OrganisationId,
        input: OrganisationInput,
        actor: &Actor,
    ) -> Result<Put, AdministrationError> {
        let Some(before) = self.registry.organisation(id).await? else {
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
        let token = self.registry.token(id).await?.filter(|token| token.organisation == organisation.id);
        let token = token.ok_or(AdministrationError::NotFound)?;
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

    /// Creates a destination. Its first delivery will begin with the first event of the last seven days.
    ///
    /// # Errors
    /// A conflict where the plan allows no more, or another organisation uses the bucket or the role.
    pub async fn create_destination(
        &self,
        organisation: &Organisation,
        input: DestinationInput,
        actor: &Actor,
    ) -> Result<Destination, AdministrationError> {
        let limit = organisation.plan.destinations();
        if limit == 0 {
            return Err(AdministrationError::Conflict(Conflict::Limit));
        }
        let now = self.clock.now();
        let next_sequence = self.log.first_since(organisation, now.minus(LOOKBACK)).await?;
        let id = entropy::characters(&*self.entropy, BASE36, DestinationId::LENGTH);
        let destination = Destination {
            id: id.parse().map_err(|_| AdministrationError::NotFound)?,
            organisation: organisation.id.clone(),
            bucket: input.bucket,
            role_arn: input.role_arn,
            prefix: input.prefix,
            region: input.region,
            created_at: now,
            next_sequence: next_sequence.max(Tail::ORIGIN.last + 1),
            intent: None,
            progress: Progress::default(),
            version: 1,
        };
        let event = Recorded {
            action: "CREATE",
            kind: "destination.create",
            entity: destination.entity(),
            before: None,
            after: Some(destination_state(&destination)),
            payload: None,
        };
        let change = Change::CreateDestination { destination: Box::new(destination.clone()), limit };
        self.record(organisation, event, actor, change).await?;
        Ok(destination)
    }

    /// An organisation's destinations.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn destinations(&self, organisation: &OrganisationId) -> Result<Vec<Destination>, AdministrationError> {
        Ok(self.registry.destinations(organisation).await?)
    }

    /// One destination.
    ///
    /// # Errors
    /// [`AdministrationError::NotFound`] where the organisation has none with this id.
    pub async fn destination(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Destination, AdministrationError> {
        self.registry.destination(organisation, id).await?.ok_or(AdministrationError::NotFound)
    }

    /// Deletes a destination: nothing more is sent there.
    ///
    /// # Errors
    /// [`AdministrationError::NotFound`] where the organisation has none with this id.
    pub async fn delete_destination(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        actor: &Actor,
    ) -> Result<(), AdministrationError> {
        loop {
            let destination = self.destination(&organisation.id, id).await?;
            let event = Recorded {
                action: "DELETE",
                kind: "destination.delete",
                entity: destination.entity(),
                before: Some(destination_state(&destination)),
                after: None,
                payload: None,
            };
            match self.record(organisation, event, actor, Change::DeleteDestination(Box::new(destination))).await {
                // A delivery came in between: what was decided holds for the destination as it is now.
                Err(AdministrationError::Conflict(Conflict::Changed)) => {}
                other => return other,
            }
        }
    }

    /// The last `limit` deliveries to a destination, the newest first.
    ///
    /// # Errors
    /// [`AdministrationError::NotFound`] where the organisation has no destination with this id.
    pub async fn deliveries(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        limit: usize,
    ) -> Result<Vec<Delivery>, AdministrationError> {
        self.destination(organisation, id).await?;
        Ok(self.registry.deliveries(organisation, id, limit).await?)
    }

    /// Tests a destination through `sink`, writing the object `name`, and records that it was tested.
    ///
    /// # Errors
    /// [`AdministrationError::NotFound`] where the organisation has none with this id. What the test finds wrong is no
    /// error but its result.
    pub async fn test_destination(
        &self,
        sink: &dyn ObjectSink,
        name: &str,
        organisation: &Organisation,
        id: &DestinationId,
        actor: &Actor,
    ) -> Result<TrialReport, AdministrationError> {
        let destination = self.destination(&organisation.id, id).await?;
        let target = Target::of(organisation, &destination);
        let report = try_out(sink, &*self.entropy, self.clock.now(), target, name).await;
        let event = Recorded {
            action: "TEST",
            kind: "destination.test",
            entity: destination.entity(),
            before: None,
            after: None,
            payload: Some(json!({"outcome": if report.passed { "passed" } else { "failed" }, "steps": report.steps})),
        };
        self.log.append(organisation, vec![event.body(actor)], None).await?;
        if let Some(region) = &report.learnt_region {
            let version = destination.version + 1;
            let learnt = Destination { region: Some(region.clone()), version, ..destination };
            // Where this fails, or somebody else changed it meanwhile, the next put learns it anew.
            let _ = self.registry.save_progress(&learnt, None).await;
        }
        Ok(report)
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

fn destination_state(destination: &Destination) -> Value {
    json!({
        "bucket": destination.bucket.as_str(),
        "roleArn": destination.role_arn.as_str(),
        "prefix": destination.prefix.as_str(),
        "region": destination.region.as_ref().map(|region| region.as_str()),
    })
}
