//! Who recorded an event. Annals sets it and producers cannot, so an event that is not Annals' own cannot pass for one,
//! and the events of a stolen token can be found.

use std::{fmt, str::FromStr};

use crate::token::{TokenHash, TokenId};

/// Who recorded an event: `annals`, `platform`, `platform/<id>`, `token/<id>` or `session/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RecordedBy {
    /// Annals itself: the event is one of its own.
    Annals,
    /// The platform, with the deployment's own token.
    Platform,
    /// The platform, with a named token.
    PlatformToken(TokenId),
    /// A producer, with a token of the organisation.
    Token(TokenId),
    /// A person in the console.
    Session(SessionId),
}

impl RecordedBy {
    /// The text of [`RecordedBy::Annals`].
    pub const ANNALS: &'static str = "annals";
    const PLATFORM: &'static str = "platform";
    const PLATFORM_TOKEN: &'static str = "platform/";
    const TOKEN: &'static str = "token/";
    const SESSION: &'static str = "session/";
}

impl fmt::Display for RecordedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Annals => f.write_str(Self::ANNALS),
            Self::Platform => f.write_str(Self::PLATFORM),
            Self::PlatformToken(id) => write!(f, "{}{id}", Self::PLATFORM_TOKEN),
            Self::Token(id) => write!(f, "{}{id}", Self::TOKEN),
            Self::Session(id) => write!(f, "{}{id}", Self::SESSION),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be annals, platform, platform/ or token/ and the id of a token (12 letters and digits), or session/ and the id of \
     a session (12 hexadecimal digits)"
)]
pub struct RecordedByError;

impl FromStr for RecordedBy {
    type Err = RecordedByError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            Self::ANNALS => return Ok(Self::Annals),
            Self::PLATFORM => return Ok(Self::Platform),
            _ => {}
        }
        let of = |prefix, make: fn(TokenId) -> Self| text.strip_prefix(prefix)?.parse().ok().map(make);
        let token = of(Self::TOKEN, Self::Token).or_else(|| of(Self::PLATFORM_TOKEN, Self::PlatformToken));
        let session = || text.strip_prefix(Self::SESSION).and_then(|id| id.parse().ok()).map(Self::Session);
        token.or_else(session).ok_or(RecordedByError)
    }
}

/// The id of a session: 12 hexadecimal digits, the beginning of the hash of its token. It does not reveal the token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionId(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be the id of a session: 12 hexadecimal digits in lower case")]
pub struct SessionIdError;

impl SessionId {
    /// Returns the id of the session whose token has this hash.
    #[must_use]
    pub fn of(hash: &TokenHash) -> Self {
        Self(hex::encode(&hash.0[..6]))
    }
}

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = text.len() == 12 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if fits { Ok(Self(text.to_owned())) } else { Err(SessionIdError) }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_five_forms_and_each_is_read_as_it_is_written() {
        for text in ["annals", "platform", "platform/0123456789AB", "token/0123456789AB", "session/0123456789ab"] {
            assert_eq!(text.parse::<RecordedBy>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn nothing_else_is_accepted() {
        for text in [
            "",
            "Annals",
            "annals ",
            "token",
            "token/",
            "token/0123456789A",
            "token/0123456789ABC",
            "token/0123456789A\"",
            "token/annals",
            "session/0123456789AB",
            "session/0123456789abc",
            "session/token/012345",
            "annals/0123456789AB",
            "platform/",
            "platform/0123456789A",
            "user/0123456789AB",
        ] {
            assert_eq!(text.parse::<RecordedBy>(), Err(RecordedByError), "{text}");
        }
    }
}
