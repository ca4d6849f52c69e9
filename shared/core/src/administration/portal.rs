//! The use cases of portal links and the sessions that they start. A new link, a sign-in and a sign-out are recorded in the
//! same transaction, like any change.

use serde_json::{Value, json};

use super::{Actor, Administration, AdministrationError, Recorded, organisation_entity};
use crate::{
    caller::Caller,
    change::Change,
    event::{Context, Entity},
    log::store::Consistency,
    organisation::Organisation,
    portal::{LINK_LIFE, PortalLink, PortalLinkInput, SESSION_LIFE, Session},
    token::TokenText,
};

impl Administration {
    /// Creates a link to an organisation's console, valid for [`LINK_LIFE`]. Its token is returned and not stored.
    ///
    /// # Errors
    /// Returns an error if the link cannot be stored and recorded.
    pub async fn create_portal_link(
        &self,
        organisation: &Organisation,
        input: PortalLinkInput,
        actor: &Actor,
    ) -> Result<(PortalLink, TokenText), AdministrationError> {
        let token = TokenText::generate_plain(&*self.entropy);
        let link = PortalLink {
            hash: token.hash(),
            organisation: organisation.id.clone(),
            role: input.role,
            user: input.user,
            expires_at: self.clock.now().plus(LINK_LIFE),
        };
        let event = Recorded {
            action: "CREATE",
            kind: "portal_link.create",
            entity: Entity { id: link.id(), name: link.user.name.clone(), entity_type: "PORTAL_LINK" },
            before: None,
            after: Some(json!({
                "role": link.role.as_str(),
                "user": {"id": link.user.id, "name": link.user.name, "email": link.user.email},
                "expiresAt": link.expires_at,
            })),
            payload: None,
        };
        self.record(organisation, event, actor, Change::CreatePortalLink(Box::new(link.clone()))).await?;
        Ok((link, token))
    }

    /// Opens a link: uses it up, and starts a session of [`SESSION_LIFE`]. The session's token is returned and not stored.
    ///
    /// # Errors
    /// Returns [`AdministrationError::NotFound`] if the link is unknown, used or expired.
    pub async fn open_portal_link(
        &self,
        token: &str,
        context: Context,
    ) -> Result<(Session, TokenText), AdministrationError> {
        let hash = TokenText::hash_of_plain(token).ok_or(AdministrationError::NotFound)?;
        let now = self.clock.now();
        let link = self.registry.portal_link(&hash).await?.filter(|link| link.is_live(now));
        let link = link.ok_or(AdministrationError::NotFound)?;
        let organisation = self.registry.organisation(&link.organisation, Consistency::Strong).await?;
        let organisation = organisation.ok_or(AdministrationError::NotFound)?;
        let link_id = link.id();
        let token = TokenText::generate_plain(&*self.entropy);
        let session = Session {
            hash: token.hash(),
            organisation: link.organisation,
            role: link.role,
            user: link.user,
            expires_at: now.plus(SESSION_LIFE),
        };
        let actor = Actor { caller: Caller::Session(session.clone()), context };
        let payload =
            json!({"role": session.role.as_str(), "portalLink": link_id, "sessionEndsAt": session.expires_at});
        let event = signing("LOGIN", "console.sign_in", &organisation, payload);
        let change = Change::StartSession { link: hash, session: Box::new(session.clone()) };
        self.record(&organisation, event, &actor, change).await?;
        Ok((session, token))
    }

    /// Ends a session at once.
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
