//! The way to an organisation's page: links, and the sessions that they become. That somebody signs in or out is recorded
//! like any change, in the same transaction.

use serde_json::json;

use super::{Actor, Administration, AdministrationError, Recorded, organisation_entity};
use crate::{
    event::Context,
    log::store::Consistency,
    organisation::{Organisation, OrganisationId},
    portal::{LINK_LIFE, PortalLink, PortalLinkInput, SESSION_LIFE, Session, SessionToken},
    registry::Change,
    token::Caller,
};

impl Administration {
    /// A link to an organisation's page, for [`LINK_LIFE`]. Its token is in the answer and nowhere else.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn create_portal_link(
        &self,
        organisation: &OrganisationId,
        input: PortalLinkInput,
    ) -> Result<(PortalLink, SessionToken), AdministrationError> {
        let token = SessionToken::generate(&*self.entropy);
        let link = PortalLink {
            hash: token.hash(),
            organisation: organisation.clone(),
            role: input.role,
            user: input.user,
            expires_at: self.clock.now().plus(LINK_LIFE),
        };
        self.registry.create_portal_link(&link).await?;
        Ok((link, token))
    }

    /// Opens a link: it is used up, a session of [`SESSION_LIFE`] begins, and the log says so. The session's token is in
    /// the answer and nowhere else.
    ///
    /// # Errors
    /// [`AdministrationError::NotFound`] where the link is none, was used or has expired.
    pub async fn open_portal_link(
        &self,
        token: &str,
        context: Context,
    ) -> Result<(Session, SessionToken), AdministrationError> {
        let hash = SessionToken::hash_of(token).ok_or(AdministrationError::NotFound)?;
        let now = self.clock.now();
        let link = self.registry.portal_link(&hash).await?.filter(|link| link.is_live(now));
        let link = link.ok_or(AdministrationError::NotFound)?;
        let organisation = self.registry.organisation(&link.organisation, Consistency::Strong).await?;
        let organisation = organisation.ok_or(AdministrationError::NotFound)?;
        let token = SessionToken::generate(&*self.entropy);
        let session = Session {
            hash: token.hash(),
            organisation: link.organisation,
            role: link.role,
            user: link.user,
            expires_at: now.plus(SESSION_LIFE),
        };
        let actor = Actor { caller: Caller::Session(session.clone()), context };
        let event = signing("LOGIN", "console.sign_in", &organisation, &session);
        let change = Change::StartSession { link: hash, session: Box::new(session.clone()) };
        self.record(&organisation, event, &actor, change).await?;
        Ok((session, token))
    }

    /// Ends a session at once.
    ///
    /// # Errors
    /// [`AdministrationError::NotFound`] where it has ended already.
    pub async fn end_session(
        &self,
        organisation: &Organisation,
        session: &Session,
        context: Context,
    ) -> Result<(), AdministrationError> {
        let actor = Actor { caller: Caller::Session(session.clone()), context };
        let event = signing("LOGOUT", "console.sign_out", organisation, session);
        self.record(organisation, event, &actor, Change::EndSession(session.hash)).await
    }
}

fn signing(action: &'static str, kind: &'static str, organisation: &Organisation, session: &Session) -> Recorded {
    Recorded {
        action,
        kind,
        entity: organisation_entity(organisation),
        before: None,
        after: None,
        payload: Some(json!({"role": session.role.as_str(), "sessionEndsAt": session.expires_at})),
    }
}
