//! The use cases of portal links and the sessions that they start. A new link, a sign-in, a sign-out and the end of a session
//! by somebody else are recorded in the same transaction, like any change.

use serde_json::{Value, json};

use super::{Actor, Administration, AdministrationError, Recorded, organisation_entity};
use crate::{
    caller::Caller,
    change::Change,
    event::{Context, Entity},
    fault::Fault,
    log::store::{Consistency, StoreError},
    organisation::Organisation,
    portal::{ConsolePath, LINK_LIFE, PortalLink, PortalLinkInput, Session, User},
    recorded_by::SessionId,
    token::TokenText,
};

/// Why a portal link does not start a session.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("there is no such link")]
    Unknown,
    #[error("the link was used")]
    Used,
    #[error("the link has expired")]
    Expired,
    #[error(transparent)]
    Administration(#[from] AdministrationError),
}

/// What opening a link begins.
#[derive(Debug)]
pub struct Entered {
    pub session: Session,
    /// The session's token.
    pub token: TokenText,
    /// The page that the link leads to.
    pub path: Option<ConsolePath>,
}

impl From<StoreError> for LinkError {
    fn from(error: StoreError) -> Self {
        Self::Administration(error.into())
    }
}

impl Administration {
    /// Creates a link to an organisation's console, valid for [`LINK_LIFE`]. Its token is returned and not stored.
    ///
    /// # Errors
    /// Returns [`AdministrationError::Input`] if the link may not lead back there, or an error if it cannot be stored and
    /// recorded.
    pub async fn create_portal_link(
        &self,
        organisation: &Organisation,
        input: PortalLinkInput,
        actor: &Actor,
    ) -> Result<(PortalLink, TokenText), AdministrationError> {
        if let Some(url) = &input.return_url
            && !self.return_origins.allow(url)
        {
            let detail =
                "does not begin with an origin that may be returned to: the deployment's ReturnOrigins lists them";
            return Err(AdministrationError::Input(Fault::at("/returnUrl", detail)));
        }
        let token = TokenText::generate_plain(&*self.entropy);
        let link = PortalLink {
            hash: token.hash(),
            organisation: organisation.id.clone(),
            role: input.role,
            user: input.user,
            path: input.path,
            return_url: input.return_url,
            expires_at: self.clock.now().plus(LINK_LIFE),
        };
        let event = Recorded {
            action: "CREATE",
            kind: "portal_link.create",
            entity: Entity { id: link.id(), name: link.user.name.clone(), entity_type: "PORTAL_LINK" },
            before: None,
            after: Some(json!({
                "role": link.role.as_str(),
                "user": user_state(&link.user),
                "expiresAt": link.expires_at,
            })),
            payload: None,
        };
        self.record(organisation, event, actor, Change::CreatePortalLink(Box::new(link.clone()))).await?;
        Ok((link, token))
    }

    /// Returns a link that can be opened, and its organisation. Does not use it up.
    ///
    /// # Errors
    /// Returns why the link cannot be opened, or an error if the store fails.
    pub async fn portal_link(&self, token: &str) -> Result<(PortalLink, Organisation), LinkError> {
        let hash = TokenText::hash_of_plain(token).ok_or(LinkError::Unknown)?;
        let Some(link) = self.registry.portal_link(&hash).await? else {
            return Err(if self.registry.is_link_used(&hash).await? { LinkError::Used } else { LinkError::Unknown });
        };
        if !link.is_live(self.clock.now()) {
            return Err(LinkError::Expired);
        }
        let organisation = self.registry.organisation(&link.organisation, Consistency::Strong).await?;
        let organisation = organisation.ok_or(LinkError::Unknown)?;
        Ok((link, organisation))
    }

    /// Opens a link: uses it up, and starts a session. The session's token is returned and not stored.
    ///
    /// # Errors
    /// Returns why the link cannot be opened, or an error if the store fails.
    pub async fn open_portal_link(&self, token: &str, context: Context) -> Result<(Session, TokenText), LinkError> {
        let Entered { session, token, .. } = self.enter(token, context).await?;
        Ok((session, token))
    }

    /// Opens a link as [`open_portal_link`](Self::open_portal_link) does. Also returns the page that it leads to.
    ///
    /// # Errors
    /// Returns why the link cannot be opened, or an error if the store fails.
    pub async fn enter(&self, token: &str, context: Context) -> Result<Entered, LinkError> {
        let (link, organisation) = self.portal_link(token).await?;
        let (hash, link_id, path) = (link.hash, link.id(), link.path.clone());
        let token = TokenText::generate_plain(&*self.entropy);
        let session = Session::start(link, &token, self.clock.now());
        let actor = Actor { caller: Caller::Session(session.clone()), context };
        let payload = json!({"role": session.role.as_str(), "portalLink": link_id, "sessionEndsAt": session.ends_at});
        let event = signing("LOGIN", "console.sign_in", &organisation, payload);
        let change = Change::StartSession { link: hash, session: Box::new(session.clone()) };
        match self.record(&organisation, event, &actor, change).await {
            Ok(()) => Ok(Entered { session, token, path }),
            // Somebody else has opened it since.
            Err(AdministrationError::NotFound) => Err(LinkError::Used),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns an organisation's sessions that have not ended, the oldest first.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn sessions(&self, organisation: &Organisation) -> Result<Vec<Session>, AdministrationError> {
        let now = self.clock.now();
        let mut sessions = self.registry.sessions(&organisation.id).await?;
        sessions.retain(|session| session.is_live(now));
        sessions.sort_by_key(|session| (session.started_at, session.hash.0));
        Ok(sessions)
    }

    /// Ends somebody else's session at once.
    ///
    /// # Errors
    /// Returns [`AdministrationError::NotFound`] if the organisation has no such session, or it has ended.
    pub async fn revoke_session(
        &self,
        organisation: &Organisation,
        id: &SessionId,
        actor: &Actor,
    ) -> Result<(), AdministrationError> {
        let session = self.sessions(organisation).await?.into_iter().find(|session| session.id() == *id);
        let session = session.ok_or(AdministrationError::NotFound)?;
        let event = Recorded {
            action: "DELETE",
            kind: "session.revoke",
            entity: Entity { id: id.to_string(), name: session.user.name.clone(), entity_type: "SESSION" },
            before: Some(json!({
                "role": session.role.as_str(),
                "user": user_state(&session.user),
                "startedAt": session.started_at,
            })),
            after: None,
            payload: None,
        };
        self.record(organisation, event, actor, Change::EndSession(session.hash)).await
    }

    /// Ends the caller's own session at once.
    ///
    /// # Errors
    /// Returns [`AdministrationError::NotFound`] if it has already ended.
    pub async fn end_session(
        &self,
        organisation: &Organisation,
        session: &Session,
        context: Context,
    ) -> Result<(), AdministrationError> {
        let actor = Actor { caller: Caller::Session(session.clone()), context };
        let event = signing("LOGOUT", "console.sign_out", organisation, json!({"role": session.role.as_str()}));
        self.record(organisation, event, &actor, Change::EndSession(session.hash)).await
    }
}

fn user_state(user: &User) -> Value {
    json!({"id": user.id, "name": user.name, "email": user.email})
}

fn signing(action: &'static str, kind: &'static str, organisation: &Organisation, payload: Value) -> Recorded {
    Recorded {
        action,
        kind,
        entity: organisation_entity(organisation),
        before: None,
        after: None,
        payload: Some(payload),
    }
}
