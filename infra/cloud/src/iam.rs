//! The accounts of the embedded AWS: users with access keys, roles, sessions and buckets. Owns them, and the file they
//! are kept in; decisions are [`access`](super::access)'s and protocols the servers'.
//!
//! The file is `aws.json`, meant to be read and edited by hand: it is looked at again before each use, so a role or a
//! policy that somebody changes counts from the next request on. An edit that cannot be understood is logged and what
//! was known before goes on counting. Sessions are not in it: like a restart of a process, a restart of this cloud
//! makes everybody assume roles anew.
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

use super::{
    access::Principal,
    clock::Clock,
    entropy,
    policy::{self, Policy, PolicyError, PolicyKind},
};

/// What a role allows unless it says otherwise, in seconds.
const DEFAULT_MAX_SESSION_SECONDS: u32 = 3600;

/// Why something cannot be stored, or what is stored cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IamError {
    /// A policy that cannot be evaluated.
    #[error("the policy of {of} is not understood")]
    Policy {
        /// The user, role or bucket.
        of: String,
        /// What is wrong with it.
        source: PolicyError,
    },
    /// An account that is not 12 digits, or a name or ARN that AWS would refuse.
    #[error("{what} is not {expected}")]
    Name {
        /// As it was given.
        what: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// The file cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not the JSON that belongs there.
    #[error("{} is not understood", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The system has no randomness to make a key from.
    #[error("the system has no randomness")]
    Randomness(#[from] getrandom::Error),
}

/// What signs requests: a user's long-term key, or a session's temporary one.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// `AKIA…` or `ASIA…`.
    pub id: String,
    /// 40 characters.
    pub secret: String,
    /// Of a session only.
    pub session_token: Option<String>,
}

impl AccessKey {
    /// A long-term key.
    #[must_use]
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { id: id.into(), secret: secret.into(), session_token: None }
    }

    /// A session's key.
    #[must_use]
    pub fn temporary(id: impl Into<String>, secret: impl Into<String>, session_token: impl Into<String>) -> Self {
        Self { id: id.into(), secret: secret.into(), session_token: Some(session_token.into()) }
    }
}

/// Without the secret.
impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A role that can be assumed.
#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    /// `arn:aws:iam::<account>:role/<name>`, with a path in front of the name where there is one.
    pub arn: String,
    /// Who may assume it, an IAM policy document.
    pub trust_policy: Value,
    /// What it may do, IAM policy documents.
    pub policies: Vec<Value>,
    /// The longest session in seconds, 3,600 to 43,200.
    pub max_session_seconds: u32,
}

impl Role {
    /// A role with sessions of up to an hour.
    #[must_use]
    pub fn new(arn: impl Into<String>, trust_policy: Value, policies: Vec<Value>) -> Self {
        Self { arn: arn.into(), trust_policy, policies, max_session_seconds: DEFAULT_MAX_SESSION_SECONDS }
    }
}

/// A bucket, without its objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// The name, unique among all accounts.
    pub name: String,
    /// The owner, 12 digits.
    pub account: String,
    /// Where it is; requests have to be signed for that region.
    pub region: String,
    /// The bucket policy, an IAM policy document.
    pub policy: Option<Value>,
}

impl Bucket {
    /// A bucket without a bucket policy.
    #[must_use]
    pub fn new(name: impl Into<String>, account: impl Into<String>, region: impl Into<String>) -> Self {
        Self { name: name.into(), account: account.into(), region: region.into(), policy: None }
    }
}

/// Why a key does not authenticate. The protocols have different words for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyFault {
    /// No such key, or a session's key without its token.
    Unknown,
    /// The token is not the session's.
    InvalidToken,
    /// The session is over.
    Expired,
}

/// A session to be opened.
pub(super) struct NewSession {
    pub(super) role_arn: String,
    pub(super) name: String,
    pub(super) policy: Option<Policy>,
    pub(super) expires_millis: u64,
}

/// A role as it counts for `AssumeRole`.
pub(super) struct TrustedRole {
    pub(super) account: String,
    pub(super) trust: Policy,
    pub(super) max_session_seconds: u32,
}

/// A bucket as it counts for S3 requests.
pub(super) struct OwnedBucket {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) document: Option<Value>,
    pub(super) policy: Option<Policy>,
}

/// Handle to the accounts. Clones share them.
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
    /// Where each bucket has a directory.
    objects: PathBuf,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    known: Known,
    /// Of the file as it was last read or written.
    stamp: Option<Stamp>,
    sessions: HashMap<String, Session>,
}

/// When and how long: an edit changes one of the two.
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
}

fn default_max_session_seconds() -> u32 {
    DEFAULT_MAX_SESSION_SECONDS
}

/// A document whose every part has been understood.
#[derive(Default)]
struct Known {
    document: Document,
    user_by_key: HashMap<String, String>,
    user_policies: HashMap<String, Policy>,
    role_policies: HashMap<String, (Policy, Vec<Policy>)>,
    bucket_policies: HashMap<String, Policy>,
}

impl Known {
    fn understand(document: Document) -> Result<Self, IamError> {
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
        known.document = document;
        Ok(known)
    }
}

impl Iam {
    /// Reads `file` where it is given and exists. Without one everything is in memory.
    pub(super) fn open(file: Option<PathBuf>, objects: PathBuf, clock: Clock) -> Result<Self, IamError> {
        let state = State { known: Known::default(), stamp: None, sessions: HashMap::new() };
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

    /// The user's access key, made on the first call. A later call replaces the policy and leaves the key as it is.
    ///
    /// # Errors
    /// [`IamError`] for an account that is not 12 digits, a name that IAM refuses, a policy that is not understood, or
    /// a file that cannot be written.
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

    /// Removes a user, and with it its key. Whether there was one.
    ///
    /// # Errors
    /// [`IamError`] where the file cannot be written.
    pub fn delete_user(&self, account: &str, name: &str) -> Result<bool, IamError> {
        let arn = format!("arn:aws:iam::{account}:user/{name}");
        self.change(|document| document.users.remove(&arn).is_some())
    }

    /// Creates or replaces a role. Its sessions go on with its new policies.
    ///
    /// # Errors
    /// [`IamError`] for an ARN or a policy that is not understood, or a file that cannot be written.
    pub fn put_role(&self, role: Role) -> Result<(), IamError> {
        self.change(|document| {
            let Role { arn, trust_policy, policies, max_session_seconds } = role;
            document.roles.insert(arn, RoleEntry { trust_policy, policies, max_session_seconds });
        })
    }

    /// The role, where there is one.
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

    /// Removes a role and ends its sessions. Whether there was one.
    ///
    /// # Errors
    /// [`IamError`] where the file cannot be written.
    pub fn delete_role(&self, arn: &str) -> Result<bool, IamError> {
        let existed = self.change(|document| document.roles.remove(arn).is_some())?;
        self.shared.lock().sessions.retain(|_, session| session.role_arn != arn);
        Ok(existed)
    }

    /// Creates a bucket, or replaces owner, region and policy of one that exists and keeps its objects.
    ///
    /// # Errors
    /// [`IamError`] for a name, an account or a policy that is not understood, or a file that cannot be written.
    pub fn put_bucket(&self, bucket: Bucket) -> Result<(), IamError> {
        self.change(|document| {
            let Bucket { name, account, region, policy } = bucket;
            document.buckets.insert(name, BucketEntry { account, region, policy });
        })
    }

    /// The bucket, where there is one.
    #[must_use]
    pub fn bucket(&self, name: &str) -> Option<Bucket> {
        let state = self.shared.current();
        let entry = state.known.document.buckets.get(name)?;
        Some(Bucket {
            name: name.to_owned(),
            account: entry.account.clone(),
            region: entry.region.clone(),
            policy: entry.policy.clone(),
        })
    }

    /// Removes a bucket *with its objects*. Whether there was one.
    ///
    /// # Errors
    /// [`IamError`] where the file cannot be written or the objects cannot be removed.
    pub fn delete_bucket(&self, name: &str) -> Result<bool, IamError> {
        let existed = self.change(|document| document.buckets.remove(name).is_some())?;
        let path = self.shared.objects.join(name);
        if existed && path.exists() {
            fs::remove_dir_all(&path).map_err(|source| IamError::File { path, source })?;
        }
        Ok(existed)
    }

    /// The secret behind a key, while the key is good for anything.
    pub(super) fn secret(&self, key_id: &str) -> Option<String> {
        let state = self.shared.current();
        if let Some(session) = state.sessions.get(key_id) {
            return Some(session.secret.clone());
        }
        let arn = state.known.user_by_key.get(key_id)?;
        state.known.document.users.get(arn).map(|user| user.secret_access_key.clone())
    }

    /// Who has this key, with the policies that count now. Whether the request is signed with its secret has to have
    /// been verified.
    pub(super) fn authenticate(&self, key_id: &str, token: Option<&str>) -> Result<Principal, KeyFault> {
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

    /// The role that somebody wants to assume.
    pub(super) fn trusted_role(&self, arn: &str) -> Option<TrustedRole> {
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

    /// Opens a session and hands out its credentials.
    pub(super) fn open_session(&self, session: NewSession) -> Result<AccessKey, IamError> {
        let id = format!("ASIA{}", random_id()?);
        let secret = random_secret()?;
        // Tokens of AWS are opaque and long; this one is long enough that nobody takes it for an identifier.
        let token = format!("FwoGZXIvYXdzE{}", base64_of(&entropy::random::<132>()?));
        let mut state = self.shared.lock();
        let now = self.shared.clock.now_millis();
        // Expired sessions are remembered for a day, to be told apart from keys that never were.
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

    /// The bucket that a request names.
    pub(super) fn owned_bucket(&self, name: &str) -> Option<OwnedBucket> {
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
        let known = Known::understand(document)?;
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

    /// The state, after another look at the file.
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
                        tracing::warn!(%error, cause, "the edited accounts are not understood; the former ones count");
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
        let known = Known::understand(document)?;
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

/// Account and name (path included) of an IAM ARN.
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

/// Account, ARN and user id of a role's session. The ARN has the role's name without its path.
pub(super) fn assumed_role(role_arn: &str, session_name: &str) -> Option<(String, String, String)> {
    let (account, name) = split_arn(role_arn, "role").ok()?;
    let name = name.rsplit('/').next()?;
    Some((
        account.to_owned(),
        format!("arn:aws:sts::{account}:assumed-role/{name}/{session_name}"),
        format!("{}:{session_name}", stable_id("AROA", role_arn)),
    ))
}

/// The id that AWS would have given: 21 characters, here derived from the ARN.
fn stable_id(prefix: &str, arn: &str) -> String {
    format!("{prefix}{}", &base32(&Sha256::digest(arn.as_bytes()))[..17])
}

/// 16 characters, as they follow `AKIA`.
fn random_id() -> Result<String, IamError> {
    Ok(base32(&entropy::random::<10>()?))
}

/// 40 characters.
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

/// Replaces the file as a whole, so that nobody ever reads half of it.
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
        Iam::open(Some(directory.join("aws.json")), directory.join("s3"), Clock::new()).unwrap()
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
    fn what_is_refused_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let iam = iam(directory.path());
        assert!(iam.create_user("1", "shipper", everything()).is_err());
        assert!(iam.create_user("111122223333", "ship per", everything()).is_err());
        assert!(iam.put_role(Role::new("arn:aws:iam::111122223333:user/x", everything(), vec![])).is_err());
        assert!(iam.put_bucket(Bucket::new("No_Bucket", "111122223333", "us-east-1")).is_err());
        let fault = iam.create_user("111122223333", "shipper", json!({})).unwrap_err();
        assert_eq!(fault.to_string(), "the policy of arn:aws:iam::111122223333:user/shipper is not understood");
        assert!(!directory.path().join("aws.json").exists());
    }

    #[test]
    fn an_edit_by_hand_counts_and_one_that_is_not_understood_does_not() {
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
