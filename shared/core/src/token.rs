//! Bearer tokens: their format, their roles, and what is stored of them.

use std::{fmt, str::FromStr, time::Duration};

use sha2::{Digest as _, Sha256};

use crate::{
    entropy::{self, BASE62, Entropy},
    fault::{Fault, Faults},
    input::{self, Choice, Describer, DisplayName, Fields, Future, Input, OrNull, WholeNumber},
    organisation::OrganisationId,
    time::Timestamp,
};

const PREFIX: &str = "annals_";
const PLATFORM_PREFIX: &str = "annals_platform_";
const ID_CHARS: usize = 12;
const SECRET_CHARS: usize = 32;
const CHECKSUM_CHARS: usize = 6;
const PLAIN_CHARS: usize = 43;

/// The most valid tokens of an organisation.
pub const MAX_TOKENS: usize = 100;
/// How long a token stays valid after its rotation, by default.
pub const DEFAULT_OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest overlap of a token and its successor.
pub const MAX_OVERLAP: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The longest name, in characters.
pub(crate) const MAX_NAME_CHARS: usize = 200;

/// The public part of a token: 12 letters and digits. It names the token in lists and events.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenId(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be the id of a token: 12 letters and digits")]
pub struct TokenIdError;

impl TokenId {
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

/// The SHA-256 of a whole token. Nothing else of its secret is stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
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

/// The permissions of an organisation's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Record events.
    Producer,
    /// Read the audit log.
    Auditor,
    /// Read the audit log, manage tokens and destinations.
    Admin,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of producer, auditor, admin")]
pub struct RoleError;

impl Role {
    pub const ALL: &'static [Self] = &[Self::Producer, Self::Auditor, Self::Admin];

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
        Self::ALL.iter().copied().find(|role| role.as_str() == text).ok_or(RoleError)
    }
}

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub id: TokenId,
    pub hash: TokenHash,
    pub organisation: OrganisationId,
    pub name: String,
    pub role: Role,
    pub created_at: Timestamp,
    /// The time from which the token is refused. `None`: it does not expire.
    pub expires_at: Option<Timestamp>,
    /// The time of the last use. The actual last use can be up to an hour later. `None` before the first use.
    pub last_used_at: Option<Timestamp>,
    /// The token that this one replaced in a rotation.
    pub replaces: Option<TokenId>,
    /// The token that replaced this one in a rotation.
    pub replaced_by: Option<TokenId>,
}

impl Token {
    /// Returns whether it has not expired. A revoked token is deleted.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}

/// The text of a token: shown once, never stored, and cannot be printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(String);

impl TokenText {
    /// Creates a new random token and its id: `annals_<id>_<secret><checksum>`. The secret has 190 bits. The checksum
    /// lets secret scanners and Annals recognise a mistyped token without a request.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> (TokenId, Self) {
        Self::generate_with(PREFIX, entropy)
    }

    /// Creates a new random token of the platform and its id: `annals_platform_<id>_<secret><checksum>`.
    #[must_use]
    pub fn generate_for_platform(entropy: &dyn Entropy) -> (TokenId, Self) {
        Self::generate_with(PLATFORM_PREFIX, entropy)
    }

    fn generate_with(prefix: &str, entropy: &dyn Entropy) -> (TokenId, Self) {
        let id = entropy::characters(entropy, BASE62, ID_CHARS);
        let secret = entropy::characters(entropy, BASE62, SECRET_CHARS);
        let text = format!("{prefix}{id}_{secret}");
        let checksum = checksum(&text);
        (TokenId(id), Self(text + &checksum))
    }

    /// Returns the id in `text`. `None` if it is not an organisation's token.
    #[must_use]
    pub fn id_in(text: &str) -> Option<TokenId> {
        Self::id_after(PREFIX, text)
    }

    /// Returns the id in `text`. `None` if it is not a named token of the platform.
    #[must_use]
    pub fn platform_id_in(text: &str) -> Option<TokenId> {
        Self::id_after(PLATFORM_PREFIX, text)
    }

    fn id_after(prefix: &str, text: &str) -> Option<TokenId> {
        let (id, _) = text.strip_prefix(prefix)?.split_once('_')?;
        let (body, given) = text.split_at_checked(text.len().checked_sub(CHECKSUM_CHARS)?)?;
        let length = prefix.len() + ID_CHARS + 1 + SECRET_CHARS + CHECKSUM_CHARS;
        if text.len() == length && given == checksum(body) { id.parse().ok() } else { None }
    }

    /// Creates a new random token without an id, for a portal link or a session: 256 bits.
    #[must_use]
    pub fn generate_plain(entropy: &dyn Entropy) -> Self {
        Self(entropy::characters(entropy, BASE62, PLAIN_CHARS))
    }

    /// Returns the hash of `text`. `None` if it does not have the form of a plain token.
    #[must_use]
    pub fn hash_of_plain(text: &str) -> Option<TokenHash> {
        let fits = text.len() == PLAIN_CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then(|| TokenHash::of(text))
    }

    /// Returns the text, to show it to its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

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

/// Returns the CRC-32 of `text` in six base-62 digits.
fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes()) as usize;
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % BASE62.len()];
        rest /= BASE62.len();
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

/// The body of `POST /organisations/{org}/tokens`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInput {
    pub name: String,
    pub role: Role,
    pub expires_at: Option<Timestamp>,
}

impl TokenInput {
    /// Reads the body of the request.
    ///
    /// # Errors
    /// Returns every fault with its place.
    pub fn parse(body: &[u8], now: Timestamp) -> Result<Self, Faults> {
        input::read(body, |fields| Self::fields(fields, now))
    }

    fn fields<F: Fields>(fields: &mut F, now: Timestamp) -> Option<Self> {
        let name = DisplayName { max_chars: MAX_NAME_CHARS };
        let name = fields.required("name", "The name that its holders know it by.", name);
        let role = Choice { values: Role::ALL, name: Role::as_str };
        let role = fields.required("role", "What its holders may do.", role);
        let expires_at = "When the token expires: a time in the future. Without it, the token does not expire.";
        let expires_at = fields.optional("expiresAt", expires_at, Future { now });
        Some(Self { name: name?, role: role?, expires_at })
    }
}

impl Input for TokenInput {
    const NAME: &'static str = "TokenInput";
    const DESCRIPTION: &'static str = "A token to be created.";

    fn describe(describer: &mut Describer) {
        Self::fields(describer, Timestamp::EPOCH);
    }
}

/// The body of `POST /organisations/{org}/tokens/{token}/rotate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationInput {
    /// How long the token stays valid in addition to its successor.
    pub overlap: Duration,
    pub end: SuccessorEnd,
}

/// When a token's successor expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuccessorEnd {
    /// The request does not say. Never, if the token does not expire either.
    Unspecified,
    Never,
    At(Timestamp),
}

/// Returns when the successor of a token with this end expires.
///
/// # Errors
/// Returns a fault if the token expires and the request does not say when its successor does.
pub(crate) fn successor_end(end: SuccessorEnd, of_token: Option<Timestamp>) -> Result<Option<Timestamp>, Fault> {
    match end {
        SuccessorEnd::At(end) => Ok(Some(end)),
        SuccessorEnd::Never => Ok(None),
        SuccessorEnd::Unspecified if of_token.is_none() => Ok(None),
        SuccessorEnd::Unspecified => {
            let detail = "is required, because the token expires: a date and time, or null for never";
            Err(Fault::at("/expiresAt", detail))
        }
    }
}

impl RotationInput {
    /// Reads the body of the request, which may be empty.
    ///
    /// # Errors
    /// Returns every fault with its place.
    pub fn parse(body: &[u8], now: Timestamp) -> Result<Self, Faults> {
        let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
        input::read(body, |fields| Self::fields(fields, now))
    }

    fn fields<F: Fields>(fields: &mut F, now: Timestamp) -> Option<Self> {
        let overlap = WholeNumber { what: "a whole number of seconds", min: 0, max: MAX_OVERLAP.as_secs() };
        let overlap = fields.optional(
            "overlapSeconds",
            "How long the token stays valid beside its successor; default a day.",
            overlap,
        );
        let end = fields.optional(
            "expiresAt",
            "When the successor expires: a time in the future; null: never. Required if the token itself expires.",
            OrNull(Future { now }),
        );
        let end = end.map_or(SuccessorEnd::Unspecified, |at| at.map_or(SuccessorEnd::Never, SuccessorEnd::At));
        Some(Self { overlap: overlap.map_or(DEFAULT_OVERLAP, Duration::from_secs), end })
    }
}

impl Input for RotationInput {
    const NAME: &'static str = "RotationInput";
    const DESCRIPTION: &'static str = "How a token is replaced.";

    fn describe(describer: &mut Describer) {
        Self::fields(describer, Timestamp::EPOCH);
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
    fn a_token_of_the_platform_has_a_form_of_its_own() {
        let (id, token) = TokenText::generate_for_platform(&Counting(0.into()));
        let text = token.reveal();
        insta::assert_snapshot!(text, @"annals_platform_0123456789AB_CDEFGHIJKLMNOPQRSTUVWXYZabcdefgh0iVosp");
        assert_eq!((TokenText::platform_id_in(text), TokenText::id_in(text)), (Some(id), None));
        let (_, token) = TokenText::generate(&Counting(0.into()));
        assert_eq!(TokenText::platform_id_in(token.reveal()), None);
        for text in ["", "annals_platform_", "annals_platform_x_y", &text[..text.len() - 1]] {
            assert_eq!(TokenText::platform_id_in(text), None, "{text}");
        }
    }

    #[test]
    fn a_plain_token_has_a_form_of_its_own() {
        let token = TokenText::generate_plain(&Counting(0.into()));
        assert_eq!(TokenText::hash_of_plain(token.reveal()), Some(token.hash()));
        assert_eq!(TokenText::id_in(token.reveal()), None);
        for text in ["", "0", &"0".repeat(42), &"0".repeat(44), &"-".repeat(43)] {
            assert_eq!(TokenText::hash_of_plain(text), None, "{text}");
        }
    }

    #[test]
    fn a_token_is_never_printed_by_accident() {
        let (_, token) = TokenText::generate(&Counting(0.into()));
        assert_eq!(format!("{token:?} {:?}", token.hash()), "TokenText(…) TokenHash(…)");
    }

    #[test]
    fn a_rotation_reads_its_overlap_and_needs_none() {
        let now = Timestamp::from_millis(1_795_341_600_000);
        let parse = |body: &str| RotationInput::parse(body.as_bytes(), now);
        for body in ["", " \n", "{}"] {
            assert_eq!(
                parse(body),
                Ok(RotationInput { overlap: DEFAULT_OVERLAP, end: SuccessorEnd::Unspecified }),
                "{body:?}"
            );
        }
        assert_eq!(parse(r#"{"overlapSeconds":0}"#).unwrap().overlap, Duration::ZERO);
        assert_eq!(parse(r#"{"overlapSeconds":604800}"#).unwrap().overlap, MAX_OVERLAP);
        for bad in ["604801", "-1", "1.5", "1e9", "\"60\"", "null", "99999999999999999999"] {
            let faults = parse(&format!(r#"{{"overlapSeconds":{bad}}}"#)).unwrap_err();
            assert_eq!(
                faults.to_string(),
                "/overlapSeconds must be a whole number of seconds from 0 to 604800",
                "{bad}"
            );
        }
        let faults = parse(r#"{"expiresAt":"2026-01-01T00:00:00Z","name":"x"}"#).unwrap_err();
        assert_eq!(faults.to_string(), "/expiresAt must be in the future; /name is not a known field here");
        assert_eq!(parse(r#"{"expiresAt":null}"#).unwrap().end, SuccessorEnd::Never);
        let end = now.plus(Duration::from_millis(1));
        assert_eq!(parse(&format!(r#"{{"expiresAt":"{end}"}}"#)).unwrap().end, SuccessorEnd::At(end));
    }
}
