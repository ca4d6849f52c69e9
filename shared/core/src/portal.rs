//! Portal links and sessions: the product requests a link, and the person who opens it and confirms gets a session in the
//! console.
//!
//! A link works once, for five minutes. A session is for one organisation and role. It ends half an hour after its last use,
//! at the latest eight hours after its beginning. Only the hashes of their tokens are stored.
//!
//! - [`way`]: which page a link leads to, and which it leads back to

mod way;

use std::time::Duration;

pub use self::way::{ConsolePath, ReturnOrigins, ReturnUrl};
use crate::{
    event::Principal,
    fault::Faults,
    input::{self, Choice, Describer, DisplayName, Fields, Format, Input, ObjectMember, Presence, Schema},
    organisation::OrganisationId,
    recorded_by::SessionId,
    time::Timestamp,
    token::{Role, TokenHash, TokenText},
};

/// How long a portal link works.
pub const LINK_LIFE: Duration = Duration::from_secs(5 * 60);
/// How long a session lasts without being used.
pub const SESSION_LIFE: Duration = Duration::from_secs(30 * 60);
/// How long a session lasts if it is used all the time.
pub const MAX_SESSION_LIFE: Duration = Duration::from_secs(8 * 60 * 60);
/// A session is extended when it was last extended this long ago, so that not every page costs a write.
const SESSION_EXTENDED_AFTER: Duration = Duration::from_secs(5 * 60);
/// The longest name and id of a user, in characters.
const MAX_NAME_CHARS: usize = 200;
/// The longest e-mail address, in characters (RFC 5321, section 4.5.3.1).
const MAX_EMAIL_CHARS: usize = 254;

/// A person, as the product knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The id in the product.
    pub id: String,
    pub name: String,
    pub email: Option<String>,
}

impl User {
    /// Returns the user of a link for which the product names no user.
    #[must_use]
    pub fn unnamed(role: Role) -> Self {
        let name = if role == Role::Admin { "Administrator" } else { "Auditor" };
        Self { id: format!("portal-{}", role.as_str()), name: name.to_owned(), email: None }
    }

    /// Returns the principal of events that the user causes.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal { id: self.id.clone(), name: self.name.clone(), entity_type: "USER", email: self.email.clone() }
    }
}

/// A portal link as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalLink {
    pub hash: TokenHash,
    pub organisation: OrganisationId,
    pub role: Role,
    pub user: User,
    /// The page that it leads to.
    pub path: Option<ConsolePath>,
    /// The product's page that the console leads back to.
    pub return_url: Option<ReturnUrl>,
    pub expires_at: Timestamp,
}

impl PortalLink {
    /// Returns the id in events. It does not reveal the token.
    #[must_use]
    pub fn id(&self) -> String {
        hex::encode(&self.hash.0[..6])
    }

    /// Returns whether it has not expired. Of a used link only a mark is left.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at > now
    }
}

/// A session as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub hash: TokenHash,
    pub organisation: OrganisationId,
    pub role: Role,
    pub user: User,
    pub started_at: Timestamp,
    /// When it ends unless it is used before.
    pub expires_at: Timestamp,
    /// When it ends however much it is used.
    pub ends_at: Timestamp,
    /// The product's page that the console leads back to.
    pub return_url: Option<ReturnUrl>,
}

impl Session {
    /// Returns the session that a link starts.
    #[must_use]
    pub fn start(link: PortalLink, token: &TokenText, now: Timestamp) -> Self {
        Self {
            hash: token.hash(),
            organisation: link.organisation,
            role: link.role,
            user: link.user,
            started_at: now,
            expires_at: now.plus(SESSION_LIFE),
            ends_at: now.plus(MAX_SESSION_LIFE),
            return_url: link.return_url,
        }
    }

    #[must_use]
    pub fn id(&self) -> SessionId {
        SessionId::of(&self.hash)
    }

    /// Returns when the session ends if it is used now. `None` if that is hardly later than it ends without.
    #[must_use]
    pub fn extended(&self, now: Timestamp) -> Option<Timestamp> {
        let expires_at = now.plus(SESSION_LIFE).min(self.ends_at);
        (expires_at.since(self.expires_at) >= SESSION_EXTENDED_AFTER).then_some(expires_at)
    }

    /// Returns whether it has not expired. An ended session is deleted.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at > now
    }
}

/// The body of `POST /organisations/{org}/portal-links`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalLinkInput {
    /// [`Role::Admin`] or [`Role::Auditor`].
    pub role: Role,
    pub user: User,
    /// The page that the link leads to.
    pub path: Option<ConsolePath>,
    /// The product's page that the console leads back to. Whether it may is up to the deployment.
    pub return_url: Option<ReturnUrl>,
}

impl PortalLinkInput {
    /// Reads the body of the request.
    ///
    /// # Errors
    /// Returns every fault with its place.
    pub fn parse(body: &[u8]) -> Result<Self, Faults> {
        input::read(body, Self::fields)
    }

    fn fields<F: Fields>(fields: &mut F) -> Option<Self> {
        const USER: ObjectMember = ObjectMember {
            name: "user",
            description: "The user whom events name. Without it, they name the role.",
            presence: Presence::Optional,
            schema: Schema { name: "UserInput", description: "A user of your product." },
        };
        let role = fields.required(
            "role",
            "The role on the page: an admin manages the destination and tokens and reads the log, an auditor reads the log.",
            Choice { values: &[Role::Admin, Role::Auditor], name: Role::as_str },
        );
        let user = fields.object(USER, |user| {
            let name = DisplayName { max_chars: MAX_NAME_CHARS };
            let id = user.required("id", "The id in your product.", name);
            let name = user.required("name", "The name that people know.", name);
            let email = DisplayName { max_chars: MAX_EMAIL_CHARS };
            let email = user.optional("email", "The email address.", email);
            Some(User { id: id?, name: name?, email })
        });
        let path = fields.optional(
            "path",
            "The page that the link opens, such as `/console/events?outcome=FAILURE`: a path with a query string. It opens only \
             if the role includes it.",
            Format { pattern: ConsolePath::PATTERN, parse: str::parse::<ConsolePath> },
        );
        let return_url = fields.optional(
            "returnUrl",
            "The page of your product that the console leads back to. Its origin must be one of the deployment's `ReturnOrigins`.",
            Format { pattern: ReturnUrl::PATTERN, parse: str::parse::<ReturnUrl> },
        );
        let role = role?;
        Some(Self { role, user: user.unwrap_or_else(|| User::unnamed(role)), path, return_url })
    }
}

impl Input for PortalLinkInput {
    const NAME: &'static str = "PortalLinkInput";
    const DESCRIPTION: &'static str = "Who may open the link.";

    fn describe(describer: &mut Describer) {
        Self::fields(describer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_for_an_administrator_or_an_auditor_and_may_say_who_opens_it() {
        let parse = |body: &str| PortalLinkInput::parse(body.as_bytes());
        let input = parse(r#"{"role":"auditor"}"#).unwrap();
        assert_eq!((input.role, input.user.name.as_str()), (Role::Auditor, "Auditor"));
        let input = parse(r#"{"role":"admin","user":{"id":"7","name":"Ada","email":"ada@example.com"}}"#).unwrap();
        let user = User { id: "7".into(), name: "Ada".into(), email: Some("ada@example.com".into()) };
        assert_eq!(input, PortalLinkInput { role: Role::Admin, user, path: None, return_url: None });
        for (body, expected) in [
            (r"{}", "/role is required"),
            (r#"{"role":"producer"}"#, "/role must be admin or auditor"),
            (r#"{"role":"admin","user":{}}"#, "/user/id is required; /user/name is required"),
            (
                r#"{"role":"admin","user":{"id":"","name":"x","age":3},"to":1}"#,
                "/user/id must not be empty; /user/age is not a known field here; /to is not a known field here",
            ),
            (r#"{"role":"admin","user":7}"#, "/user must be an object, not a number"),
        ] {
            assert_eq!(parse(body).unwrap_err().to_string(), expected, "{body}");
        }
    }
}
