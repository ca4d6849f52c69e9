//! The public keys to check checkpoints with, as the caller supplies them.

use annals_core::{proof::key::VerifierKey, time::Timestamp};
use serde::Deserialize;

/// The keys that the caller trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// The newest checkpoint must be signed by one of these.
    pub current: Vec<VerifierKey>,
    pub past: Vec<PastKey>,
}

/// A key that has a successor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastKey {
    pub key: VerifierKey,
    /// When it was replaced. `None` if the caller did not say.
    pub until: Option<Timestamp>,
}

/// Why a text does not contain keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("not the JSON of GET /keys")]
    Json(#[from] serde_json::Error),
    #[error("{text:?} {reason}")]
    Key { text: String, reason: &'static str },
    #[error("there is no current key")]
    NoCurrentKey,
}

#[derive(Deserialize)]
struct Response {
    keys: Vec<ResponseKey>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseKey {
    verifier_key: String,
    until: Option<Timestamp>,
}

impl Keys {
    /// Parses verifier keys, one a line, the current one first; or the response of `GET /keys`, where the keys without
    /// `until` are current. Lines that begin with `#` are comments.
    ///
    /// # Errors
    /// Returns an error if the text is neither.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let key = |text: &str| {
            text.parse::<VerifierKey>()
                .map_err(|reason| KeysError::Key { text: text.chars().take(80).collect(), reason })
        };
        // Some editors begin a file with a byte order mark.
        let text = text.trim_start_matches('\u{feff}');
        let mut keys = Self::default();
        if text.trim_start().starts_with('{') {
            let response: Response = serde_json::from_str(text)?;
            for ResponseKey { verifier_key, until } in response.keys {
                let key = key(&verifier_key)?;
                match until {
                    None => keys.current.push(key),
                    until => keys.past.push(PastKey { key, until }),
                }
            }
        } else {
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
                let key = key(line)?;
                match keys.current.is_empty() {
                    true => keys.current.push(key),
                    false => keys.past.push(PastKey { key, until: None }),
                }
            }
        }
        if keys.current.is_empty() { Err(KeysError::NoCurrentKey) } else { Ok(keys) }
    }

    /// Returns whether the caller supplied none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.current.is_empty()
    }

    /// Returns all keys, the current ones first.
    pub fn all(&self) -> impl Iterator<Item = &VerifierKey> {
        self.current.iter().chain(self.past.iter().map(|past| &past.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a key: 1 or 3, because not every number is a point of the curve.
    fn key(byte: u8) -> VerifierKey {
        VerifierKey::ed25519("annals.example.com".parse().unwrap(), &[byte; 32])
    }

    #[test]
    fn keys_are_lines_or_the_response_of_the_api() {
        let past = |until| vec![PastKey { key: key(3), until }];
        let text = format!("\u{feff}# the key of our audit log\n{}\n\n{}\n", key(1), key(3));
        assert_eq!(Keys::parse(&text).unwrap(), Keys { current: vec![key(1)], past: past(None) });
        let until = "2026-11-22T10:10:00.000Z";
        let json = format!(
            r#"{{"keys":[{{"verifierKey":"{}","since":"{until}"}},{{"verifierKey":"{}","since":"{until}","until":"{until}"}}],"_links":{{}}}}"#,
            key(1),
            key(3)
        );
        let until = Some(Timestamp::parse(until).unwrap());
        assert_eq!(Keys::parse(&json).unwrap(), Keys { current: vec![key(1)], past: past(until) });
        for wrong in ["", "# nothing\n", "no key", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"verifierKey":"a"}]}"#] {
            assert!(Keys::parse(wrong).is_err(), "{wrong}");
        }
    }
}
