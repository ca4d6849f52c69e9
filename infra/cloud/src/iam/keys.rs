//! KMS keys: their states, policies and aliases. Owns their part of the file. [`kms`](crate::kms) owns the protocol.
//!
//! ```json
//! {
//!   "keys": {"arn:aws:kms:us-east-1:111122223333:key/0f8fad5b-…": {"seed": "…", "state": "enabled"}},
//!   "aliases": {"arn:aws:kms:us-east-1:111122223333:alias/signer": "arn:aws:kms:us-east-1:111122223333:key/0f8fad5b-…"}
//! }
//! ```

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Document, Iam, IamError, Known, parse};
use crate::policy::{self, Policy, PolicyKind};

/// A key of the specification `ECC_NIST_EDWARDS25519`, for signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// `alias/<name>`. Unique in an account and region.
    pub alias: String,
    /// The owner, 12 digits.
    pub account: String,
    pub region: String,
    /// The private key of RFC 8032: 32 random bytes.
    pub seed: [u8; 32],
    /// The key policy, an IAM policy document. `None`: the identity policies of the owner's account decide.
    pub policy: Option<Value>,
}

impl Key {
    /// Creates a key without a key policy of its own.
    #[must_use]
    pub fn new(
        alias: impl Into<String>,
        account: impl Into<String>,
        region: impl Into<String>,
        seed: [u8; 32],
    ) -> Self {
        Self { alias: alias.into(), account: account.into(), region: region.into(), seed, policy: None }
    }
}

/// Does not show the seed.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("alias", &self.alias).field("account", &self.account).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyState {
    #[default]
    Enabled,
    Disabled,
    /// The key is scheduled for deletion.
    PendingDeletion,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct KeyEntry {
    /// 32 bytes in base64.
    seed: String,
    #[serde(default)]
    state: KeyState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<Value>,
}

/// What a KMS request needs of a key.
#[derive(Clone)]
pub(crate) struct OwnedKey {
    pub(crate) arn: String,
    pub(crate) account: String,
    pub(crate) state: KeyState,
    pub(crate) policy: Policy,
    pub(crate) pair: SigningKey,
}

impl Iam {
    /// Creates a key, or finds the one with this alias and replaces its policy. Returns its ARN. The key's id follows from
    /// the seed.
    ///
    /// # Errors
    /// Returns an error if the alias, the account, the region or the policy is invalid, or the file cannot be written.
    pub fn create_key(&self, key: Key) -> Result<String, IamError> {
        let Key { alias, account, region, seed, policy } = key;
        let alias = format!("arn:aws:kms:{region}:{account}:{alias}");
        let fresh = format!("arn:aws:kms:{region}:{account}:key/{}", key_id(&SigningKey::from_bytes(&seed)));
        self.change(|document| {
            let arn = document.aliases.entry(alias).or_insert(fresh).clone();
            let entry = document.keys.entry(arn.clone()).or_insert_with(|| KeyEntry {
                seed: STANDARD.encode(seed),
                state: KeyState::Enabled,
                policy: None,
            });
            entry.policy = policy;
            arn
        })
    }

    /// Enables or disables a key, schedules its deletion or cancels that. Returns whether the key exists.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn set_key_state(&self, arn: &str, state: KeyState) -> Result<bool, IamError> {
        self.change(|document| document.keys.get_mut(arn).map(|entry| entry.state = state).is_some())
    }

    /// Deletes a key with its aliases, as AWS does at the end of the waiting period. Returns whether it existed.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn delete_key(&self, arn: &str) -> Result<bool, IamError> {
        self.change(|document| {
            document.aliases.retain(|_, target| target != arn);
            document.keys.remove(arn).is_some()
        })
    }

    /// Lets the next `requests` requests for a key fail with a `ThrottlingException`. 0 ends it; `u32::MAX` is as good as for
    /// ever. This is not stored.
    pub fn throttle_key(&self, arn: &str, requests: u32) {
        self.shared.lock().throttled_keys.insert(arn.to_owned(), requests);
    }

    /// Returns whether this request for a key is throttled, and counts it.
    pub(crate) fn is_key_throttled(&self, arn: &str) -> bool {
        match self.shared.lock().throttled_keys.get_mut(arn) {
            None | Some(0) => false,
            Some(requests) => {
                *requests -= 1;
                true
            }
        }
    }

    pub(crate) fn key(&self, arn: &str) -> Option<OwnedKey> {
        self.shared.current().known.keys.get(arn).cloned()
    }

    /// Returns the ARN of an alias's key.
    pub(crate) fn aliased_key(&self, alias_arn: &str) -> Option<String> {
        self.shared.current().known.document.aliases.get(alias_arn).cloned()
    }
}

/// Parses the keys of a document, and checks its aliases.
pub(super) fn parse_keys(document: &Document, known: &mut Known) -> Result<(), IamError> {
    for (arn, entry) in &document.keys {
        let account = split(arn, "key/").ok_or_else(|| IamError::Name {
            what: arn.clone(),
            expected: "the ARN of a key, arn:aws:kms:us-east-1:111122223333:key/id",
        })?;
        let seed = STANDARD.decode(&entry.seed).ok().and_then(|seed| <[u8; 32]>::try_from(seed).ok());
        let seed =
            seed.ok_or_else(|| IamError::Name { what: format!("the seed of {arn}"), expected: "32 bytes in base64" })?;
        let default = || json!({"Statement": [{"Effect": "Allow", "Principal": {"AWS": account}, "Action": "kms:*", "Resource": "*"}]});
        let policy = parse(arn, PolicyKind::Key, &entry.policy.clone().unwrap_or_else(default))?;
        let key = OwnedKey {
            arn: arn.clone(),
            account: account.to_owned(),
            state: entry.state,
            policy,
            pair: SigningKey::from_bytes(&seed),
        };
        known.keys.insert(arn.clone(), key);
    }
    for (alias, target) in &document.aliases {
        if split(alias, "alias/").is_none() {
            let expected = "the ARN of an alias, arn:aws:kms:us-east-1:111122223333:alias/name";
            return Err(IamError::Name { what: alias.clone(), expected });
        }
        if !document.keys.contains_key(target) {
            return Err(IamError::Name {
                what: format!("{target}, which {alias} names,"),
                expected: "an existing key",
            });
        }
    }
    Ok(())
}

/// Returns the account in the ARN of a key or an alias.
fn split<'a>(arn: &'a str, resource: &str) -> Option<&'a str> {
    let parts: Vec<&str> = arn.strip_prefix("arn:aws:kms:")?.split(':').collect();
    let [region, account, name] = parts[..] else { return None };
    let name = name.strip_prefix(resource)?;
    let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "/_-".contains(c));
    (is_name(region) && policy::is_account(account) && is_name(name)).then_some(account)
}

/// Returns an id in the form of a UUID. It is derived from the public key, so that tests see the same id in each run.
fn key_id(pair: &SigningKey) -> String {
    let digest = hex::encode(Sha256::digest(pair.verifying_key().as_bytes()));
    format!("{}-{}-4{}-a{}-{}", &digest[..8], &digest[8..12], &digest[13..16], &digest[17..20], &digest[20..32])
}
