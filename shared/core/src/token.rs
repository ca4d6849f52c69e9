//! Bearer tokens: what they look like, whom they stand for, what they may do.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

use crate::{
    entropy::{self, BASE62, Entropy},
    event::Entity,
    fault::{Fault, Faults},
    json::{self, Members},
    organisation::OrganisationId,
    time::Timestamp,
};

const PREFIX: &str = "annals_";
const ID_CHARS: usize = 12;
const SECRET_CHARS: usize = 32;
const CHECKSUM_CHARS: usize = 6;

/// The public part of a token, 12 letters and digits: names it in lists and events.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenId(String);

/// A text that is no token's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no token's id")]
pub struct TokenIdError;

impl TokenId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenId {
    type Err = TokenIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = text.len() == ID_CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fits { Ok(Self(text.to_owned())) } else { Err(TokenIdError) }
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SHA-256 of a whole token: all that is kept of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// The hash of a token's text.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// 64 hexadecimal digits.
impl FromStr for TokenHash {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

/// What the holder of an organisation's token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Record events.
    Producer,
    /// Read the audit log.
    Auditor,
    /// Read the audit log, manage tokens and destinations.
    Admin,
}

/// A text that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of producer, auditor, admin")]
pub struct RoleError;

impl Role {
    /// Its name, as the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Producer, Self::Auditor, Self::Admin].into_iter().find(|role| role.as_str() == text).ok_or(RoleError)
    }
}

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its public part.
    pub id: TokenId,
    /// Its hash.
    pub hash: TokenHash,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// What its holders call it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// When it was created.
    pub created_at: Timestamp,
    /// From when on it is refused, where it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// The text of a token: shown once, never kept, and never printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(String);

impl TokenText {
    /// A new random token, with its id: `annals_<id>_<secret><checksum>`. The secret has 190 bits; the checksum lets a
    /// scanner of leaked secrets, and us, know a mistyped one without asking.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> (TokenId, Self) {
        let id = entropy::characters(entropy, BASE62, ID_CHARS);
        let secret = entropy::characters(entropy, BASE62, SECRET_CHARS);
        let text = format!("{PREFIX}{id}_{secret}");
        let checksum = checksum(&text);
        (TokenId(id), Self(text + &checksum))
    }

    /// The id in a token's text, where it is one.
    #[must_use]
    pub fn id_in(text: &str) -> Option<TokenId> {
        let (id, _) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let (body, given) = text.split_at_checked(text.len().checked_sub(CHECKSUM_CHARS)?)?;
        let length = PREFIX.len() + ID_CHARS + 1 + SECRET_CHARS + CHECKSUM_CHARS;
        if text.len() == length && given == checksum(body) { id.parse().ok() } else { None }
    }

    /// The text, to hand it to its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(…)")
    }
}

/// CRC-32 of `text` in six base-62 digits.
fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes()) as usize;
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % BASE62.len()];
        rest /= BASE62.len();
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The platform, which acts for every organisation.
    Platform,
    /// The holder of an organisation's token.
    Token(Token),
}

impl Caller {
    /// The principal of the events that the caller causes.
    #[must_use]
    pub fn principal(&self) -> Entity {
        match self {
            Self::Platform => Entity { id: "platform".into(), name: "Platform".into(), entity_type: "PLATFORM" },
            Self::Token(token) => Entity { id: token.id.to_string(), name: token.name.clone(), entity_type: "API_KEY" },
        }
    }
}

/// What `POST /organisations/{org}/tokens` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInput {
    /// What its holders call it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
}

impl TokenInput {
    /// Reads `{"name": …, "role": …, "expiresAt"?: …}`.
    ///
    /// # Errors
    /// Every fault, at its place.
    pub fn parse(body: &[u8], now: Timestamp) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let mut members = Members::parse_body(body, &mut faults)?;
        let name = members.required("name", &mut faults, |value| json::name(value, 200));
        let role = members
            .required("role", &mut faults, |value| json::text(value)?.parse::<Role>().map_err(|e| e.to_string()));
        let expires_at = members.optional("expiresAt", &mut faults, |value| {
            let at = Timestamp::parse(&json::text(value)?).map_err(|e| e.to_string())?;
            if at > now { Ok(at) } else { Err("must lie in the future".into()) }
        });
        members.refuse_others(&mut faults);
        Faults::none_or(faults)?;
        match (name, role) {
            (Some(name), Some(role)) => Ok(Self { name, role, expires_at }),
            _ => Err(Fault::at("", "needs a name and a role").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Counting(std::sync::atomic::AtomicU8);
    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill_with(|| self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        }
    }

    #[test]
    fn a_token_tells_its_id_and_a_mistyped_one_does_not() {
        let (id, token) = TokenText::generate(&Counting(0.into()));
        insta::assert_snapshot!(token.reveal(), @"annals_0123456789AB_CDEFGHIJKLMNOPQRSTUVWXYZabcdefgh2HgjLS");
        assert_eq!(TokenText::id_in(token.reveal()), Some(id));
        let text = token.reveal();
        for index in 0..text.len() {
            let other = if &text[index..=index] == "x" { "y" } else { "x" };
            let mistyped = format!("{}{other}{}", &text[..index], &text[index + 1..]);
            assert_eq!(TokenText::id_in(&mistyped), None, "{mistyped}");
        }
        for text in ["", "annals_", "annals_x_y", "äöüannals_", &text[..text.len() - 1]] {
            assert_eq!(TokenText::id_in(text), None, "{text}");
        }
    }

    #[test]
    fn a_token_is_never_printed_by_accident() {
        let (_, token) = TokenText::generate(&Counting(0.into()));
        assert_eq!(format!("{token:?} {:?}", token.hash()), "TokenText(…) TokenHash(…)");
    }
}
