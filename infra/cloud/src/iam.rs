//! Users with access keys, roles, sessions, buckets and KMS keys of all accounts. Owns them and their file; [`access`](super::access)
//! decides on requests.
//!
//! The file is `aws.json`. It can be edited by hand: a change takes effect at the next request. If an edit is invalid,
//! it is logged, and the previous content stays in effect. Sessions are not in the file: they end with the process.
//!
//! ```json
//! {
//!   "users": {"arn:aws:iam::111122223333:user/shipper": {
//!     "accessKeyId": "AKIA…", "secretAccessKey": "…", "policy": {"Statement": []}}},
//!   "roles": {"arn:aws:iam::444455556666:role/writer": {
//!     "trustPolicy": {"Statement": []}, "policies": [{"Statement": []}], "maxSessionSeconds": 3600}},
//!   "buckets": {"customer-logs": {"account": "444455556666", "region": "eu-west-1", "policy": {"Statement": []}}}
//! }
//! ```
//!
//! [`keys`] shows the entries of KMS keys.

mod keys;

use std::{
    collections::{BTreeMap, HashMap},
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub(crate) use self::keys::OwnedKey;
pub use self::keys::{Key, KeyState};
use super::{
    access::Principal,
    clock::Clock,
    entropy,
    policy::{self, Policy, PolicyError, PolicyKind},
};

const DEFAULT_MAX_SESSION_SECONDS: u32 = 3600;

/// Why an entry cannot be stored or the file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IamError {
    /// `of` is the ARN of a user, a role or a key, or the name of a bucket.
    #[error("the policy of {of} is invalid")]
    Policy { of: String, source: PolicyError },
    /// AWS would refuse this account, name or ARN.
    #[error("{what} is not {expected}")]
    Name { what: String, expected: &'static str },
    #[error("cannot access {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is not a valid file of accounts", path.display())]
    Format { path: PathBuf, source: serde_json::Error },
    #[error("the system's random source failed")]
    Randomness(#[from] getrandom::Error),
}

/// The key that signs requests: a user's long-term key, or a session's temporary one.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// `AKIA…` or `ASIA…`.
    pub id: String,
    pub secret: String,
    /// `None` for a user's long-term key.
    pub session_token: Option<String>,
}

impl AccessKey {
    #[must_use]
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { id: id.into(), secret: secret.into(), session_token: None }
    }

    #[must_use]
    pub fn temporary(id: impl Into<String>, secret: impl Into<String>, session_token: impl Into<String>) -> Self {
        Self { id: id.into(), secret: secret.into(), session_token: Some(session_token.into()) }
    }
}

/// Does not show the secret.
impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    /// `arn:aws:iam::<account>:role/<name>`; a path can precede the name.
    pub arn: String,
    /// An IAM policy document: who may assume the role.
    pub trust_policy: Value,
    /// IAM policy documents: what the role may do.
    pub policies: Vec<Value>,
    /// The longest session in seconds, 3,600 to 43,200.
    pub max_session_seconds: u32,
}

impl Role {
    /// Creates a role with sessions of up to an hour.
    #[must_use]
    pub fn new(arn: impl Into<String>, trust_policy: Value, policies: Vec<Value>) -> Self {
        Self { arn: arn.into(), trust_policy, policies, max_session_seconds: DEFAULT_MAX_SESSION_SECONDS }
    }
}

/// A bucket, without its objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// Unique among all accounts.
    pub name: String,
    /// The owner, 12 digits.
    pub account: String,
    /// Requests have to be signed for this region.
    pub region: String,
    /// An IAM policy document.
    pub policy: Option<Value>,
    pub versioning: Versioning,
    /// The default retention of Object Lock. `None`: no Object Lock.
    pub retention: Option<Retention>,
}

impl Bucket {
    /// Creates a bucket without a bucket policy, versioning and Object Lock.
    #[must_use]
    pub fn new(name: impl Into<String>, account: impl Into<String>, region: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            account: account.into(),
            region: region.into(),
            policy: None,
            versioning: Versioning::Off,
            retention: None,
        }
    }
}

/// The state of a bucket's versioning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Versioning {
    #[default]
    Off,
    Enabled,
    Suspended,
}

/// The default retention of a bucket with Object Lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retention {
    pub mode: RetentionMode,
    /// Counted from when the object was put.
    pub days: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RetentionMode {
    Governance,
    Compliance,
}

/// Why a key does not authenticate. Each protocol has its own codes for this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyFault {
    /// The key does not exist, or it is a session's and the token is missing.
    Unknown,
    /// The token does not belong to the key.
    InvalidToken,
    Expired,
}

pub(crate) struct NewSession {
    pub(crate) role_arn: String,
    pub(crate) name: String,
    pub(crate) policy: Option<Policy>,
    pub(crate) expires_millis: u64,
}

/// What `AssumeRole` needs of a role.
pub(crate) struct TrustedRole {
    pub(crate) account: String,
    pub(crate) trust: Policy,
    pub(crate) max_session_seconds: u32,
}

/// What an S3 request needs of a bucket.
pub(crate) struct OwnedBucket {
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) document: Option<Value>,
    pub(crate) policy: Option<Policy>,
}

/// All accounts. Clones share them.
#[derive(Clone)]
pub struct Iam {
    shared: Arc<Shared>,
}

impl fmt::Debug for Iam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iam").field("file", &self.shared.file).finish_non_exhaustive()
    }
}

struct Shared {
    file: Option<PathBuf>,
    /// The directory with one directory per bucket.
    objects: PathBuf,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    known: Known,
    /// The stamp of the file when it was last read or written.
    stamp: Option<Stamp>,
    sessions: HashMap<String, Session>,
    /// The number of coming requests to throttle, by the key's ARN.
    throttled_keys: HashMap<String, u32>,
}

/// A file's time and length. An edit changes at least one of them.
type Stamp = (SystemTime, u64);

struct Session {
    secret: String,
    token: String,
    role_arn: String,
    name: String,
    policy: Option<Policy>,
    expires_millis: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Document {
    users: BTreeMap<String, UserEntry>,
    roles: BTreeMap<String, RoleEntry>,
    buckets: BTreeMap<String, BucketEntry>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    keys: BTreeMap<String, keys::KeyEntry>,
    /// The ARN of each alias, with that of its key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    aliases: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UserEntry {
    access_key_id: String,
    secret_access_key: String,
    policy: Value,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RoleEntry {
    trust_policy: Value,
    #[serde(default)]
    policies: Vec<Value>,
    #[serde(default = "default_max_session_seconds")]
    max_session_seconds: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BucketEntry {
    account: String,
    region: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<Value>,
    #[serde(default, skip_serializing_if = "is_off")]
    versioning: Versioning,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retention: Option<Retention>,
}

fn is_off(versioning: &Versioning) -> bool {
    *versioning == Versioning::Off
}

fn default_max_session_seconds() -> u32 {
    DEFAULT_MAX_SESSION_SECONDS
}

/// A valid document, with its policies parsed.
#[derive(Default)]
struct Known {
    document: Document,
    user_by_key: HashMap<String, String>,
    user_policies: HashMap<String, Policy>,
    role_policies: HashMap<String, (Policy, Vec<Policy>)>,
    bucket_policies: HashMap<String, Policy>,
    keys: HashMap<String, OwnedKey>,
}

impl Known {
    fn parse(document: Document) -> Result<Self, IamError> {
        let mut known = Self::default();
        for (arn, user) in &document.users {
            split_arn(arn, "user")?;
            known.user_by_key.insert(user.access_key_id.clone(), arn.clone());
            known.user_policies.insert(arn.clone(), parse(arn, PolicyKind::Identity, &user.policy)?);
        }
        for (arn, role) in &document.roles {
            split_arn(arn, "role")?;
            if !(3600..=43200).contains(&role.max_session_seconds) {
                let what = format!("{arn}: maxSessionSeconds {}", role.max_session_seconds);
                return Err(IamError::Name { what, expected: "between 3600 and 43200" });
            }
            let trust = parse(arn, PolicyKind::Trust, &role.trust_policy)?;
            let policies = role.policies.iter().map(|policy| parse(arn, PolicyKind::Identity, policy));
            known.role_policies.insert(arn.clone(), (trust, policies.collect::<Result<_, _>>()?));
        }
        for (name, bucket) in &document.buckets {
            if !s3s::path::check_bucket_name(name) {
                return Err(IamError::Name { what: name.clone(), expected: "a bucket name" });
            }
            check_account(&bucket.account)?;
            if let Some(policy) = &bucket.policy {
                known.bucket_policies.insert(name.clone(), parse(name, PolicyKind::Bucket, policy)?);
            }
        }
        keys::parse_keys(&document, &mut known)?;
        known.document = document;
        Ok(known)
    }
}

impl Iam {
    /// Reads `file` if it exists. `None`: everything is in memory.
    pub(crate) fn open(file: Option<PathBuf>, objects: PathBuf, clock: Clock) -> Result<Self, IamError> {
        let state =
            State { known: Known::default(), stamp: None, sessions: HashMap::new(), throttled_keys: HashMap::new() };
        let iam = Self { shared: Arc::new(Shared { file, objects, clock, state: Mutex::new(state) }) };
        if let Some(path) = &iam.shared.file
            && let Some(stamp) = stamp(path)
        {
            let known = iam.shared.read(path)?;
            let mut state = iam.shared.lock();
            state.known = known;
            state.stamp = Some(stamp);
        }
        Ok(iam)
    }

    /// Creates a user, or replaces the policy of one that exists. Returns its access key, which stays the same.
    ///
    /// # Errors
    /// Returns an error if the account, the name or the policy is invalid, or the file cannot be written.
    pub fn create_user(&self, account: &str, name: &str, policy: Value) -> Result<AccessKey, IamError> {
        let arn = format!("arn:aws:iam::{account}:user/{name}");
        let fresh = AccessKey::new(format!("AKIA{}", random_id()?), random_secret()?);
        self.change(|document| {
            let entry = document.users.entry(arn).or_insert_with(|| UserEntry {
                access_key_id: fresh.id,
                secret_access_key: fresh.secret,
                policy: Value::Null,
            });
            entry.policy = policy;
            AccessKey::new(entry.access_key_id.clone(), entry.secret_access_key.clone())
        })
    }

    /// Creates or replaces a role. Existing sessions continue with the new policies.
    ///
    /// # Errors
    /// Returns an error if the ARN or a policy is invalid, or the file cannot be written.
    pub fn put_role(&self, role: Role) -> Result<(), IamError> {
        self.change(|document| {
            let Role { arn, trust_policy, policies, max_session_seconds } = role;
            document.roles.insert(arn, RoleEntry { trust_policy, policies, max_session_seconds });
        })
    }

    #[must_use]
    pub fn role(&self, arn: &str) -> Option<Role> {
        let state = self.shared.current();
        let entry = state.known.document.roles.get(arn)?;
        Some(Role {
            arn: arn.to_owned(),
            trust_policy: entry.trust_policy.clone(),
            policies: entry.policies.clone(),
            max_session_seconds: entry.max_session_seconds,
        })
    }

    /// Deletes a role and ends its sessions. Returns whether it existed.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn delete_role(&self, arn: &str) -> Result<bool, IamError> {
        let existed = self.change(|document| document.roles.remove(arn).is_some())?;
        self.shared.lock().sessions.retain(|_, session| session.role_arn != arn);
        Ok(existed)
    }

    /// Creates a bucket, or replaces all but the objects of one that exists.
    ///
    /// # Errors
    /// Returns an error if the name, the account or the policy is invalid, or the file cannot be written.
    pub fn put_bucket(&self, bucket: Bucket) -> Result<(), IamError> {
        self.change(|document| {
            let Bucket { name, account, region, policy, versioning, retention } = bucket;
            document.buckets.insert(name, BucketEntry { account, region, policy, versioning, retention });
        })
    }

    #[must_use]
    pub fn bucket(&self, name: &str) -> Option<Bucket> {
        let state = self.shared.current();
        let entry = state.known.document.buckets.get(name)?;
        Some(Bucket {
            name: name.to_owned(),
            account: entry.account.clone(),
            region: entry.region.clone(),
            policy: entry.policy.clone(),
            versioning: entry.versioning,
            retention: entry.retention,
        })
    }

    pub(crate) fn now_millis(&self) -> u64 {
        self.shared.clock.now_millis()
    }

    /// Deletes a bucket *with its objects*. Returns whether it existed.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written or the objects cannot be deleted.
    pub fn delete_bucket(&self, name: &str) -> Result<bool, IamError> {
        let existed = self.change(|document| document.buckets.remove(name).is_some())?;
        let path = self.shared.objects.join(name);
        if existed && path.exists() {
            fs::remove_dir_all(&path).map_err(|source| IamError::File { path, source })?;
        }
        Ok(existed)
    }

    pub(crate) fn secret(&self, key_id: &str) -> Option<String> {
        let state = self.shared.current();
        if let Some(session) = state.sessions.get(key_id) {
            return Some(session.secret.clone());
        }
        let arn = state.known.user_by_key.get(key_id)?;
        state.known.document.users.get(arn).map(|user| user.secret_access_key.clone())
    }

    /// Returns the owner of a key, with its current policies. The caller has to verify the signature.
    pub(crate) fn authenticate(&self, key_id: &str, token: Option<&str>) -> Result<Principal, KeyFault> {
        let state = self.shared.current();
        if let Some(session) = state.sessions.get(key_id) {
            let Some(token) = token else { return Err(KeyFault::Unknown) };
            if token != session.token {
                return Err(KeyFault::InvalidToken);
            }
            if session.expires_millis <= self.shared.clock.now_millis() {
                return Err(KeyFault::Expired);
            }
            let (_, policies) = state.known.role_policies.get(&session.role_arn).ok_or(KeyFault::Unknown)?;
            let (account, arn, user_id) = assumed_role(&session.role_arn, &session.name).ok_or(KeyFault::Unknown)?;
            return Ok(Principal {
                account,
                arn,
                user_id,
                role_arn: Some(session.role_arn.clone()),
                policies: policies.clone(),
                session_policy: session.policy.clone(),
            });
        }
        let arn = state.known.user_by_key.get(key_id).ok_or(KeyFault::Unknown)?;
        if token.is_some() {
            return Err(KeyFault::InvalidToken);
        }
        let (account, _) = split_arn(arn, "user").map_err(|_| KeyFault::Unknown)?;
        Ok(Principal {
            account: account.to_owned(),
            arn: arn.clone(),
            user_id: stable_id("AIDA", arn),
            role_arn: None,
            policies: state.known.user_policies.get(arn).cloned().into_iter().collect(),
            session_policy: None,
        })
    }

    pub(crate) fn trusted_role(&self, arn: &str) -> Option<TrustedRole> {
        let state = self.shared.current();
        let entry = state.known.document.roles.get(arn)?;
        let (trust, _) = state.known.role_policies.get(arn)?;
        let (account, _) = split_arn(arn, "role").ok()?;
        Some(TrustedRole {
            account: account.to_owned(),
            trust: trust.clone(),
            max_session_seconds: entry.max_session_seconds,
        })
    }

    /// Starts a session and returns its credentials.
    pub(crate) fn open_session(&self, session: NewSession) -> Result<AccessKey, IamError> {
        let id = format!("ASIA{}", random_id()?);
        let secret = random_secret()?;
        // The token is as long as one of AWS, so that programs do not use it as an identifier.
        let token = format!("FwoGZXIvYXdzE{}", base64_of(&entropy::random::<132>()?));
        let mut state = self.shared.lock();
        let now = self.shared.clock.now_millis();
        // An expired session is kept for a day, because its error differs from that of an unknown key.
        state.sessions.retain(|_, session| session.expires_millis.saturating_add(86_400_000) > now);
        state.sessions.insert(
            id.clone(),
            Session {
                secret: secret.clone(),
                token: token.clone(),
                role_arn: session.role_arn,
                name: session.name,
                policy: session.policy,
                expires_millis: session.expires_millis,
            },
        );
        Ok(AccessKey::temporary(id, secret, token))
    }

    pub(crate) fn owned_bucket(&self, name: &str) -> Option<OwnedBucket> {
        let state = self.shared.current();
        let entry = state.known.document.buckets.get(name)?;
        Some(OwnedBucket {
            account: entry.account.clone(),
            region: entry.region.clone(),
            document: entry.policy.clone(),
            policy: state.known.bucket_policies.get(name).cloned(),
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Document) -> T) -> Result<T, IamError> {
        let mut state = self.shared.current();
        let mut document = state.known.document.clone();
        let outcome = change(&mut document);
        let known = Known::parse(document)?;
        self.shared.make_directories(&known)?;
        if let Some(path) = &self.shared.file {
            write(path, &known.document)?;
            state.stamp = stamp(path);
        }
        state.known = known;
        Ok(outcome)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the state, read again if the file has changed.
    fn current(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if let Some(path) = &self.file {
            let stamp = stamp(path);
            if stamp.is_some() && stamp != state.stamp {
                state.stamp = stamp;
                match self.read(path) {
                    Ok(known) => state.known = known,
                    Err(error) => {
                        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                        tracing::warn!(%error, cause, "the edited accounts are invalid; the previous ones stay in effect");
                    }
                }
            }
        }
        state
    }

    fn read(&self, path: &Path) -> Result<Known, IamError> {
        let text = fs::read(path).map_err(|source| IamError::File { path: path.to_owned(), source })?;
        let document =
            serde_json::from_slice(&text).map_err(|source| IamError::Format { path: path.to_owned(), source })?;
        let known = Known::parse(document)?;
        self.make_directories(&known)?;
        Ok(known)
    }

    fn make_directories(&self, known: &Known) -> Result<(), IamError> {
        for name in known.document.buckets.keys() {
            let path = self.objects.join(name);
            fs::create_dir_all(&path).map_err(|source| IamError::File { path, source })?;
        }
        Ok(())
    }
}

fn parse(of: &str, kind: PolicyKind, document: &Value) -> Result<Policy, IamError> {
    Policy::parse(kind, document).map_err(|source| IamError::Policy { of: of.to_owned(), source })
}

fn check_account(account: &str) -> Result<(), IamError> {
    if policy::is_account(account) {
        Ok(())
    } else {
        Err(IamError::Name { what: account.to_owned(), expected: "an account of 12 digits" })
    }
}

/// Returns the account and the name, with its path, of an IAM ARN.
fn split_arn<'a>(arn: &'a str, resource: &'static str) -> Result<(&'a str, &'a str), IamError> {
    let parts = || {
        let (account, rest) = arn.strip_prefix("arn:aws:iam::")?.split_once(':')?;
        let name = rest.strip_prefix(resource)?.strip_prefix('/')?;
        let is_name =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c));
        (policy::is_account(account) && name.split('/').all(is_name)).then_some((account, name))
    };
    parts().ok_or_else(|| IamError::Name {
        what: arn.to_owned(),
        expected: if resource == "role" {
            "the ARN of a role, arn:aws:iam::111122223333:role/name"
        } else {
            "the ARN of a user, arn:aws:iam::111122223333:user/name"
        },
    })
}

/// Returns the account, ARN and user id of a role's session. The ARN has the role's name without its path, as on AWS.
pub(crate) fn assumed_role(role_arn: &str, session_name: &str) -> Option<(String, String, String)> {
    let (account, name) = split_arn(role_arn, "role").ok()?;
    let name = name.rsplit('/').next()?;
    Some((
        account.to_owned(),
        format!("arn:aws:sts::{account}:assumed-role/{name}/{session_name}"),
        format!("{}:{session_name}", stable_id("AROA", role_arn)),
    ))
}

/// Returns an id in the form of AWS's, 21 characters. It is derived from the ARN.
fn stable_id(prefix: &str, arn: &str) -> String {
    format!("{prefix}{}", &base32(&Sha256::digest(arn.as_bytes()))[..17])
}

/// Returns the 16 characters after `AKIA`.
fn random_id() -> Result<String, IamError> {
    Ok(base32(&entropy::random::<10>()?))
}

fn random_secret() -> Result<String, IamError> {
    Ok(base64_of(&entropy::random::<30>()?))
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut text, mut pending, mut bits) = (String::new(), 0_u32, 0);
    for byte in bytes {
        pending = (pending << 8 | u32::from(*byte)) & 0xFFF;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[(pending >> bits & 31) as usize]));
        }
    }
    text
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Replaces the file as a whole, so that no reader sees a half-written file.
fn write(path: &Path, document: &Document) -> Result<(), IamError> {
    let fault = |source| IamError::File { path: path.to_owned(), source };
    let mut text =
        serde_json::to_vec_pretty(document).map_err(|source| IamError::Format { path: path.to_owned(), source })?;
    text.push(b'\n');
    let beside = path.with_extension("json.part");
    fs::write(&beside, text).map_err(fault)?;
    fs::rename(&beside, path).map_err(fault)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn everything() -> Value {
        json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
    }

    fn iam(directory: &Path) -> Iam {
        Iam::open(Some(directory.join("aws.json")), directory.join("s3"), Clock::system()).unwrap()
    }

    #[test]
    fn ids_have_the_length_and_alphabet_of_aws() {
        assert_eq!(random_id().unwrap().len(), 16);
        assert_eq!(random_secret().unwrap().len(), 40);
        assert_eq!(base32(b"fooba"), "MZXW6YTB");
        assert_eq!(stable_id("AROA", "arn:aws:iam::111122223333:role/writer").len(), 21);
    }

    #[test]
    fn a_user_keeps_its_key_when_it_is_created_again_and_across_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let first = iam(directory.path()).create_user("111122223333", "shipper", everything()).unwrap();
        let again = iam(directory.path()).create_user("111122223333", "shipper", everything()).unwrap();
        assert_eq!(first, again);
    }

    #[test]
    fn an_invalid_entry_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let iam = iam(directory.path());
        assert!(iam.create_user("1", "shipper", everything()).is_err());
        assert!(iam.create_user("111122223333", "ship per", everything()).is_err());
        assert!(iam.put_role(Role::new("arn:aws:iam::111122223333:user/x", everything(), vec![])).is_err());
        assert!(iam.put_bucket(Bucket::new("No_Bucket", "111122223333", "us-east-1")).is_err());
        let fault = iam.create_user("111122223333", "shipper", json!({})).unwrap_err();
        assert_eq!(fault.to_string(), "the policy of arn:aws:iam::111122223333:user/shipper is invalid");
        assert!(!directory.path().join("aws.json").exists());
    }

    #[test]
    fn an_edit_by_hand_has_an_effect_unless_it_is_invalid() {
        let directory = tempfile::tempdir().unwrap();
        let iam = iam(directory.path());
        let trust = json!({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}});
        let arn = "arn:aws:iam::111122223333:role/writer";
        iam.put_role(Role::new(arn, trust, vec![])).unwrap();

        let file = directory.path().join("aws.json");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("\"maxSessionSeconds\": 3600", "\"maxSessionSeconds\": 43200")).unwrap();
        assert_eq!(iam.role(arn).unwrap().max_session_seconds, 43200);

        fs::write(&file, "{ half an edit").unwrap();
        assert_eq!(iam.role(arn).unwrap().max_session_seconds, 43200);
    }
}
