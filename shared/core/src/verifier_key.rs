//! The names and public keys of those who sign checkpoints. Owns the text of a verifier key; which key is used is decided in
//! [`proof`](crate::proof).

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// The byte before the public key that names the algorithm Ed25519 (C2SP, "signed-note", section "Signatures").
const ED25519: u8 = 1;
/// The longest name of a signer, in bytes. A checkpoint contains it twice, and a message to sign has at most 4,096 bytes.
const NAME_MAX_BYTES: usize = 256;

/// The name of a deployment's signing key: 1 to 256 printable ASCII characters without a space or `+`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SignerName(String);

impl SignerName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SignerName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=NAME_MAX_BYTES).contains(&text.len())
            && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'+');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be 1 to 256 printable ASCII characters without a space or +")
        }
    }
}

impl fmt::Display for SignerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A signer's public key as a C2SP verifier key: `NAME+ID+KEY`, with the id in eight hexadecimal digits and the algorithm's
/// byte and the key in base64.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: SignerName,
    id: u32,
    text: String,
}

impl VerifierKey {
    /// Returns the verifier key of a signer with the Ed25519 public key `public`.
    #[must_use]
    pub fn ed25519(name: SignerName, public: &[u8; 32]) -> Self {
        let mut key = vec![ED25519];
        key.extend_from_slice(public);
        let id = signed_note::key_id(name.as_str(), &key);
        Self { text: format!("{name}+{id:08x}+{}", STANDARD.encode(&key)), name, id }
    }

    #[must_use]
    pub fn name(&self) -> &SignerName {
        &self.name
    }

    /// Returns the first four bytes of the key's hash, which a signature carries to name its key.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for VerifierKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use signed_note::Verifier as _;
        const WRONG: &str = "must be a C2SP verifier key with an Ed25519 key: NAME+ID+KEY";
        let verifier = signed_note::StandardVerifier::new(text).map_err(|_| WRONG)?;
        Ok(Self { name: verifier.name().parse().map_err(|_| WRONG)?, id: verifier.key_id(), text: text.to_owned() })
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl serde::Serialize for VerifierKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for VerifierKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <String as serde::Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_key_is_parsed_from_its_text() {
        // The key of the Go checksum database (sum.golang.org), from the documentation of its client.
        let text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
        let key: VerifierKey = text.parse().unwrap();
        assert_eq!((key.name().as_str(), key.id()), ("sum.golang.org", 0x033d_e0ae));
        let public: [u8; 32] = STANDARD.decode(&text[24..]).unwrap()[1..].try_into().unwrap();
        assert_eq!(VerifierKey::ed25519("sum.golang.org".parse().unwrap(), &public), key);
    }

    #[test]
    fn other_texts_are_no_verifier_keys() {
        for text in [
            "",
            "sum.golang.org",
            "sum.golang.org+033de0ae",
            "other.example+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
            "sum.golang.org+33de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
            "sum golang+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        ] {
            assert!(text.parse::<VerifierKey>().is_err(), "{text}");
        }
        for name in ["", "a b", "a+b", "é", &"a".repeat(257)] {
            assert!(name.parse::<SignerName>().is_err(), "{name}");
        }
    }
}
