//! Who makes a request.

use crate::{event::Principal, platform::PlatformToken, portal::Session, recorded_by::RecordedBy, token::Token};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The platform, with the deployment's own token: may make every call for every organisation.
    Platform,
    /// The platform, with a named token: may make the calls of its scopes for every organisation.
    PlatformToken(PlatformToken),
    Token(Token),
    /// A person in the console.
    Session(Session),
}

impl Caller {
    /// Returns the principal of events that the caller causes.
    #[must_use]
    pub fn principal(&self) -> Principal {
        match self {
            Self::Platform => Principal::machine("platform", "Platform", "PLATFORM"),
            Self::PlatformToken(token) => Principal::machine(token.id.as_str(), &token.name, "PLATFORM"),
            Self::Token(token) => Principal::machine(token.id.as_str(), &token.name, "API_KEY"),
            Self::Session(session) => session.user.principal(),
        }
    }

    /// Returns the `clientType` of events that the caller causes.
    #[must_use]
    pub fn client_type(&self) -> &'static str {
        match self {
            Self::Platform | Self::PlatformToken(_) | Self::Token(_) => "API",
            Self::Session(_) => "UI",
        }
    }

    /// Returns who records the events that the caller sends.
    #[must_use]
    pub fn recorded_by(&self) -> RecordedBy {
        match self {
            Self::Platform => RecordedBy::Platform,
            Self::PlatformToken(token) => RecordedBy::PlatformToken(token.id.clone()),
            Self::Token(token) => RecordedBy::Token(token.id.clone()),
            Self::Session(session) => RecordedBy::Session(session.id()),
        }
    }
}
