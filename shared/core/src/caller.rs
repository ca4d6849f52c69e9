//! Who makes a request.

use crate::{event::Principal, portal::Session, recorded_by::RecordedBy, token::Token};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The platform: may act for every organisation.
    Platform,
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
            Self::Token(token) => Principal::machine(token.id.as_str(), &token.name, "API_KEY"),
            Self::Session(session) => session.user.principal(),
        }
    }

    /// Returns the `clientType` of events that the caller causes.
    #[must_use]
    pub fn client_type(&self) -> &'static str {
        match self {
            Self::Platform | Self::Token(_) => "API",
            Self::Session(_) => "UI",
        }
    }

    /// Returns who records the events that the caller sends.
    #[must_use]
    pub fn recorded_by(&self) -> RecordedBy {
        match self {
            Self::Platform => RecordedBy::Platform,
            Self::Token(token) => RecordedBy::Token(token.id.clone()),
            Self::Session(session) => RecordedBy::Session(session.id()),
        }
    }
}
