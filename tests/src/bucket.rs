//! Customers' buckets in memory: conditional puts, roles, regions, and what can be wrong with them. Tests also see
//! every object and every put that arrived.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use annals_core::{
    destination::{
        BucketName, Region, RoleArn,
        sink::{Call, Existing, Object, ObjectSink, Reason, SinkError, Stored, Target},
    },
    time::{Clock, Timestamp},
};
use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::entropy::SeededEntropy;

/// How long a writer waits for the answer to a put, as the adapter does.
pub const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// Puts succeed.
    #[default]
    Working,
    /// S3 answers 503 ServiceUnavailable.
    Outage,
    /// S3 answers 503 SlowDown.
    Throttling,
    /// No answer comes, and the object does not arrive.
    Hanging,
    /// No answer comes, but the object arrives after this delay.
    AnswerLost(Duration),
    /// A put takes this long.
    Slow(Duration),
    /// Its policy denies the put.
    Denied,
    /// The bucket is deleted. Its objects return when it does.
    Missing,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// Annals with the external ID of the organisation that delivers.
    #[default]
    OwnExternalId,
    /// Annals, with any external ID.
    AnyExternalId,
    /// Annals with this external ID.
    ExternalId(String),
    Revoked,
}

/// An object in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    pub content: Bytes,
    /// SHA-256 of its content, in hex.
    pub sha256: String,
    pub content_type: &'static str,
    pub stored_at: Timestamp,
}

/// A put that a bucket accepted, or that found the object there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    pub at: Timestamp,
    pub key: String,
    /// The content of the put, which can differ from the stored object.
    pub content: Bytes,
    /// SHA-256 of it, in hex.
    pub sha256: String,
    pub content_type: &'static str,
    pub stored: Stored,
    /// Whether it replaced an object.
    pub replaced: bool,
}

/// A bucket's administrator, who may do anything with its objects, and sees the keys of refused puts.
#[derive(Debug, Clone, Copy)]
pub struct Administrator<'a> {
    pub buckets: &'a MemoryBuckets,
    pub bucket: &'a BucketName,
}

impl Administrator<'_> {
    /// Plants objects under all keys that the last puts revealed. Returns their number.
    pub fn plant(self, entropy: &SeededEntropy) -> u64 {
        let revealed = self.buckets.revealed(self.bucket);
        let newest: Vec<_> = revealed.iter().rev().take(3).collect();
        for key in &newest {
            self.buckets.plant(self.bucket, key, self.content(entropy));
        }
        newest.len() as u64
    }

    /// Replaces an object. Returns 0 if there is none.
    pub fn replace(self, entropy: &SeededEntropy) -> u64 {
        let Some(key) = self.any(entropy) else { return 0 };
        self.buckets.plant(self.bucket, &key, self.content(entropy));
        1
    }

    /// Deletes an object. Returns 0 if there is none.
    pub fn delete(self, entropy: &SeededEntropy) -> u64 {
        let Some(key) = self.any(entropy) else { return 0 };
        self.buckets.delete(self.bucket, &key);
        1
    }

    /// Denies the role's put or allows it again.
    pub fn set_put(self, put: Put) {
        let from_to = match put {
            Put::Denied => (Condition::Working, Condition::Denied),
            Put::Allowed => (Condition::Denied, Condition::Working),
        };
        if self.buckets.condition(self.bucket) == Some(from_to.0) {
            self.buckets.set_condition(self.bucket, from_to.1);
        }
    }

    /// One of the newest objects, which may be under way again.
    fn any(self, entropy: &SeededEntropy) -> Option<String> {
        let arrivals = self.buckets.arrivals(self.bucket);
        let newest: Vec<_> = arrivals.iter().rev().take(3).collect();
        (!newest.is_empty()).then(|| entropy.pick(&newest).key.clone())
    }

    /// Nothing, or a copy of another object.
    fn content(self, entropy: &SeededEntropy) -> Bytes {
        let copy = self.any(entropy).filter(|_| entropy.happens(0.3));
        copy.and_then(|key| self.buckets.object(self.bucket, &key)).map(|object| object.content).unwrap_or_default()
    }
}

/// What a bucket's administrator does with the role's right to put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Denied,
    Allowed,
}

/// Buckets, their regions, and the roles that grant access.
#[derive(Debug)]
pub struct MemoryBuckets {
    clock: Arc<dyn Clock>,
    home: Region,
    world: Mutex<World>,
}

#[derive(Debug, Default)]
struct World {
    buckets: BTreeMap<String, Bucket>,
    roles: HashMap<String, Trust>,
    /// Puts under way, by number. They arrive even if their writers crash.
    under_way: BTreeMap<u64, UnderWay>,
    count: u64,
}

#[derive(Debug)]
struct Bucket {
    region: Region,
    condition: Condition,
    objects: BTreeMap<String, StoredObject>,
    arrivals: Vec<Arrival>,
    /// The keys of puts that were refused or failed, which CloudTrail shows to the owner of the bucket.
    revealed: Vec<String>,
    /// The keys whose objects the bucket's administrator has written or deleted.
    tampered: BTreeSet<String>,
}

#[derive(Debug)]
struct UnderWay {
    due: Timestamp,
    bucket: String,
    object: Object,
}

impl MemoryBuckets {
    /// No buckets yet. The deployment is in the region `home`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, home: Region) -> Arc<Self> {
        Arc::new(Self { clock, home, world: Mutex::default() })
    }

    /// Creates a bucket in `region`, or moves an existing one with its objects.
    pub fn open(&self, bucket: &BucketName, region: Region) {
        let mut world = self.settled();
        let empty = || Bucket {
            region: region.clone(),
            condition: Condition::Working,
            objects: BTreeMap::new(),
            arrivals: Vec::new(),
            revealed: Vec::new(),
            tampered: BTreeSet::new(),
        };
        world.buckets.entry(bucket.to_string()).or_insert_with(empty).region = region.clone();
    }

    pub fn set_condition(&self, bucket: &BucketName, condition: Condition) {
        self.settled().buckets.get_mut(bucket.as_str()).unwrap().condition = condition;
    }

    pub fn set_trust(&self, role: &RoleArn, trust: Trust) {
        self.settled().roles.insert(role.to_string(), trust);
    }

    /// `None` if there was never such a bucket.
    #[must_use]
    pub fn condition(&self, bucket: &BucketName) -> Option<Condition> {
        self.settled().buckets.get(bucket.as_str()).map(|bucket| bucket.condition)
    }

    /// `None` if the role's trust was never changed.
    #[must_use]
    pub fn trust(&self, role: &RoleArn) -> Option<Trust> {
        self.settled().roles.get(role.as_str()).cloned()
    }

    /// The objects of a bucket, by key.
    #[must_use]
    pub fn objects(&self, bucket: &BucketName) -> BTreeMap<String, StoredObject> {
        self.settled().buckets.get(bucket.as_str()).map(|bucket| bucket.objects.clone()).unwrap_or_default()
    }

    /// One object of a bucket.
    #[must_use]
    pub fn object(&self, bucket: &BucketName, key: &str) -> Option<StoredObject> {
        self.settled().buckets.get(bucket.as_str())?.objects.get(key).cloned()
    }

    /// Every put that arrived at a bucket, oldest first.
    #[must_use]
    pub fn arrivals(&self, bucket: &BucketName) -> Vec<Arrival> {
        self.settled().buckets.get(bucket.as_str()).map(|bucket| bucket.arrivals.clone()).unwrap_or_default()
    }

    /// Whether a put of this key wrote its object or found one there.
    #[must_use]
    pub fn has_put(&self, bucket: &BucketName, key: &str) -> bool {
        let world = self.settled();
        world.buckets.get(bucket.as_str()).is_some_and(|bucket| bucket.arrivals.iter().any(|put| put.key == key))
    }

    /// The keys that the bucket's administrator has seen in puts that were refused or failed, oldest first.
    #[must_use]
    pub fn revealed(&self, bucket: &BucketName) -> Vec<String> {
        self.settled().buckets.get(bucket.as_str()).map(|bucket| bucket.revealed.clone()).unwrap_or_default()
    }

    /// The keys whose objects the bucket's administrator has written or deleted.
    #[must_use]
    pub fn tampered(&self, bucket: &BucketName) -> BTreeSet<String> {
        self.settled().buckets.get(bucket.as_str()).map(|bucket| bucket.tampered.clone()).unwrap_or_default()
    }

    /// Writes an object as the bucket's administrator does, who may replace any object.
    pub fn plant(&self, bucket: &BucketName, key: &str, content: Bytes) {
        let now = self.clock.now();
        let sha256 = hex::encode(Sha256::digest(&content));
        let object = StoredObject { content, sha256, content_type: "application/x-ndjson", stored_at: now };
        let mut world = self.settled();
        let bucket = world.buckets.get_mut(bucket.as_str()).unwrap();
        bucket.objects.insert(key.to_owned(), object);
        bucket.tampered.insert(key.to_owned());
    }

    /// Deletes an object as the bucket's administrator does.
    pub fn delete(&self, bucket: &BucketName, key: &str) {
        let mut world = self.settled();
        let bucket = world.buckets.get_mut(bucket.as_str()).unwrap();
        if bucket.objects.remove(key).is_some() {
            bucket.tampered.insert(key.to_owned());
        }
    }

    fn reveal(&self, bucket: &BucketName, key: &str) {
        if let Some(bucket) = self.settled().buckets.get_mut(bucket.as_str()) {
            bucket.revealed.push(key.to_owned());
        }
    }

    /// Locks the state after delivering the puts that are due.
    fn settled(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.settle(self.clock.now());
        world
    }

    /// Lets `object` arrive after `delay`. Returns its number.
    fn send(&self, bucket: &str, object: Object, delay: Duration) -> u64 {
        let mut world = self.settled();
        world.count += 1;
        let number = world.count;
        let due = self.clock.now().plus(delay);
        world.under_way.insert(number, UnderWay { due, bucket: bucket.to_owned(), object });
        number
    }

    /// Lets the put with this number arrive now if it has not yet.
    fn arrive(&self, number: u64, key: &str, bucket: &str) -> Stored {
        let mut world = self.settled();
        if let Some(way) = world.under_way.remove(&number) {
            return world.arrive(way, self.clock.now());
        }
        let arrivals = world.buckets.get(bucket).into_iter().flat_map(|bucket| bucket.arrivals.iter().rev());
        arrivals.into_iter().find(|arrival| arrival.key == key).map_or(Stored::Now, |arrival| arrival.stored)
    }

    fn check_role(&self, target: &Target, external_id: &str) -> Result<(), SinkError> {
        let refused = || {
            let message = format!(
                "User: arn:aws:sts::111122223333:assumed-role/annals/annals is not authorized to perform: sts:AssumeRole \
                 on resource: {}",
                target.role_arn
            );
            Err(answered(Call::AssumeRole, 403, "AccessDenied", &message))
        };
        match self.settled().roles.get(target.role_arn.as_str()) {
            None | Some(Trust::OwnExternalId) if external_id == target.external_id => Ok(()),
            Some(Trust::AnyExternalId) => Ok(()),
            Some(Trust::ExternalId(id)) if id == external_id => Ok(()),
            None | Some(Trust::OwnExternalId | Trust::ExternalId(_) | Trust::Revoked) => refused(),
        }
    }

    /// Returns the bucket's condition, or the error that the put fails with at once.
    fn check_put(&self, target: &Target, object: &Object) -> Result<Condition, SinkError> {
        let world = self.settled();
        let refused = |status, code, message: &str| Err(answered(Call::PutObject, status, code, message));
        let Some(bucket) = world.buckets.get(target.bucket.as_str()) else {
            return refused(404, "NoSuchBucket", "The specified bucket does not exist");
        };
        if target.region.as_ref().unwrap_or(&self.home) != &bucket.region {
            let reason = Reason::answered(
                301,
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified endpoint.",
                Some(bucket.region.as_str().to_owned()),
            );
            return Err(SinkError::new(Call::PutObject, reason));
        }
        if !object.key.starts_with(target.prefix.as_str()) {
            let message = "User is not authorized to perform: s3:PutObject because no session policy allows the action";
            return refused(403, "AccessDenied", message);
        }
        match bucket.condition {
            Condition::Outage => refused(503, "ServiceUnavailable", "Please reduce your request rate."),
            Condition::Throttling => refused(503, "SlowDown", "Please reduce your request rate."),
            Condition::Denied => refused(403, "AccessDenied", "Access Denied"),
            Condition::Missing => refused(404, "NoSuchBucket", "The specified bucket does not exist"),
            condition => Ok(condition),
        }
    }
}

impl World {
    fn settle(&mut self, now: Timestamp) {
        while let Some(number) =
            self.under_way.iter().filter(|(_, way)| way.due <= now).min_by_key(|(_, way)| way.due).map(|(n, _)| *n)
        {
            let Some(way) = self.under_way.remove(&number) else { return };
            let due = way.due;
            self.arrive(way, due);
        }
    }

    fn arrive(&mut self, way: UnderWay, at: Timestamp) -> Stored {
        let Some(bucket) = self.buckets.get_mut(&way.bucket) else { return Stored::Now };
        let Object { key, content_type, content, existing } = way.object;
        let (claimed, content) = (hex::encode(content.sha256()), content.bytes());
        let sha256 = hex::encode(Sha256::digest(&content));
        assert_eq!(claimed, sha256, "S3 refuses an object with another checksum");
        let is_there = bucket.objects.contains_key(&key);
        let stored = if is_there && existing == Existing::Keep { Stored::Before } else { Stored::Now };
        if stored == Stored::Now {
            let object = StoredObject { content: content.clone(), sha256: sha256.clone(), content_type, stored_at: at };
            bucket.objects.insert(key.clone(), object);
        }
        let replaced = is_there && stored == Stored::Now;
        bucket.arrivals.push(Arrival { at, key, content, sha256, content_type, stored, replaced });
        stored
    }
}

fn answered(call: Call, status: u16, code: &str, message: &str) -> SinkError {
    let reason = Reason::answered(status, code, message, None);
    SinkError { request_id: Some("REQUEST".into()), ..SinkError::new(call, reason) }
}

fn timed_out() -> SinkError {
    SinkError::new(Call::PutObject, Reason::TimedOut)
}

#[async_trait]
impl ObjectSink for MemoryBuckets {
    async fn put(&self, target: &Target, object: Object) -> Result<Stored, SinkError> {
        self.check_role(target, &target.external_id)?;
        let condition = self.check_put(target, &object).inspect_err(|_| self.reveal(&target.bucket, &object.key))?;
        let (bucket, key) = (target.bucket.as_str(), object.key.clone());
        match condition {
            Condition::Hanging => {
                self.clock.sleep(PATIENCE).await;
                Err(timed_out())
            }
            Condition::AnswerLost(later) => {
                self.send(bucket, object, later);
                self.clock.sleep(PATIENCE).await;
                Err(timed_out())
            }
            Condition::Slow(time) if time >= PATIENCE => {
                self.send(bucket, object, time);
                self.clock.sleep(PATIENCE).await;
                Err(timed_out())
            }
            Condition::Slow(time) => {
                let number = self.send(bucket, object, time);
                self.clock.sleep(time).await;
                Ok(self.arrive(number, &key, bucket))
            }
            _ => {
                let number = self.send(bucket, object, Duration::ZERO);
                Ok(self.arrive(number, &key, bucket))
            }
        }
    }

    async fn assume(&self, target: &Target, external_id: &str) -> Result<(), SinkError> {
        self.check_role(target, external_id)
    }
}

#[cfg(test)]
mod tests {
    use annals_core::destination::KeyPrefix;

    use super::*;
    use crate::{clock::PausedClock, sample};

    fn target() -> Target {
        let acme = sample::organisation("acme");
        Target { prefix: KeyPrefix::default(), ..Target::of(&acme, &sample::destination(&acme, "1")) }
    }

    fn object(key: &str, content: &str) -> Object {
        let content = content.to_owned().into();
        Object { key: key.into(), content_type: "text/plain", content, existing: Existing::Keep }
    }

    fn region(name: &str) -> Region {
        name.parse().unwrap()
    }

    fn buckets() -> Arc<MemoryBuckets> {
        let buckets = MemoryBuckets::new(PausedClock::new(sample::START), region("eu-central-1"));
        buckets.open(&target().bucket, region("eu-central-1"));
        buckets
    }

    fn text(buckets: &MemoryBuckets, key: &str) -> Option<String> {
        let object = buckets.object(&target().bucket, key)?;
        Some(String::from_utf8(object.content.to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_stays_and_every_put_is_seen() {
        let buckets = buckets();
        assert_eq!(buckets.put(&target(), object("a", "1")).await, Ok(Stored::Now));
        assert_eq!(buckets.put(&target(), object("a", "2")).await, Ok(Stored::Before));
        assert_eq!(text(&buckets, "a").as_deref(), Some("1"));
        let replacing = Object { existing: Existing::Replace, ..object("a", "3") };
        assert_eq!(buckets.put(&target(), replacing).await, Ok(Stored::Now));
        assert_eq!(text(&buckets, "a").as_deref(), Some("3"));
        assert_eq!(buckets.arrivals(&target().bucket).len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_put_whose_answer_is_lost_arrives_when_it_likes() {
        let buckets = buckets();
        buckets.set_condition(&target().bucket, Condition::AnswerLost(PATIENCE * 2));
        assert_eq!(buckets.put(&target(), object("a", "1")).await, Err(timed_out()));
        assert_eq!(text(&buckets, "a"), None);
        buckets.clock.sleep(PATIENCE * 2).await;
        assert_eq!(text(&buckets, "a").as_deref(), Some("1"));
        buckets.set_condition(&target().bucket, Condition::Slow(Duration::from_secs(5)));
        assert_eq!(buckets.put(&target(), object("b", "1")).await, Ok(Stored::Now));
        buckets.set_condition(&target().bucket, Condition::Hanging);
        assert_eq!(buckets.put(&target(), object("c", "1")).await, Err(timed_out()));
        assert_eq!(text(&buckets, "c"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_administrator_sees_refused_keys_and_plants_replaces_and_deletes() {
        let (buckets, bucket) = (buckets(), target().bucket);
        buckets.set_condition(&bucket, Condition::Denied);
        assert!(buckets.put(&target(), object("a", "1")).await.is_err());
        assert_eq!(buckets.revealed(&bucket), ["a"]);
        buckets.set_condition(&bucket, Condition::Working);
        buckets.plant(&bucket, "a", Bytes::new());
        assert_eq!(buckets.put(&target(), object("a", "1")).await, Ok(Stored::Before));
        assert_eq!(buckets.put(&target(), object("b", "1")).await, Ok(Stored::Now));
        buckets.delete(&bucket, "a");
        assert_eq!(buckets.put(&target(), object("a", "1")).await, Ok(Stored::Now));
        assert_eq!(buckets.tampered(&bucket), BTreeSet::from(["a".to_owned()]));
        assert!(buckets.arrivals(&bucket).iter().all(|arrival| !arrival.replaced));
    }

    #[tokio::test(start_paused = true)]
    async fn another_region_is_named_and_roles_and_sessions_are_checked() {
        let buckets = buckets();
        buckets.open(&target().bucket, region("us-east-1"));
        let error = buckets.put(&target(), object("a", "1")).await.unwrap_err();
        assert!(matches!(error.reason, Reason::Answered { bucket_region: Some(region), .. } if region == "us-east-1"));
        let there = Target { region: Some(region("us-east-1")), ..target() };
        assert_eq!(buckets.put(&there, object("a", "1")).await, Ok(Stored::Now));
        let narrowed = Target { prefix: "audit".parse().unwrap(), ..there.clone() };
        assert!(buckets.put(&narrowed, object("a", "1")).await.is_err());
        buckets.set_trust(&there.role_arn, Trust::ExternalId(there.external_id.clone()));
        assert!(buckets.put(&there, object("b", "1")).await.is_ok());
        assert!(buckets.assume(&there, "another").await.is_err());
        buckets.set_trust(&there.role_arn, Trust::Revoked);
        assert_eq!(buckets.put(&there, object("b", "1")).await.unwrap_err().call, Call::AssumeRole);
    }
}
