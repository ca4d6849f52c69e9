//! Where a destination delivers to, and a change of that which is not in force yet. The old place stays in force until the new
//! one is proven and an object was written there.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    AccountId, BucketName, Destination, Intent, KeyPrefix, Proof, ProvenBy, Region, RoleArn, failure::RemediedBy,
};
use crate::time::Timestamp;

/// How long an unfinished object of the old place can hold up a change that is ready: an outage of AWS must not keep anybody from
/// leaving.
const HELD_UP_FOR: Duration = Duration::from_secs(60 * 60);
/// A change whose place does not work yet is examined again after this time. A test examines it at once.
const EXAMINED_EVERY: Duration = Duration::from_secs(60 * 60);

/// Where a destination delivers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    pub bucket: BucketName,
    pub role_arn: RoleArn,
    pub prefix: KeyPrefix,
    /// The bucket's region, given by the owner or learnt from S3. `None`: the region in which Annals runs.
    pub region: Option<Region>,
    /// The account that must own the bucket. `None`: the role's account.
    pub bucket_owner: Option<AccountId>,
}

impl Place {
    /// Returns the 12 digits of the account that must own the bucket.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.bucket_owner.as_ref().map_or_else(|| self.role_arn.account(), AccountId::as_str)
    }

    /// Returns whether both name the same place. The region does not count: it is a hint, which S3 corrects.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Self { region: None, ..self.clone() } == Self { region: None, ..other.clone() }
    }

    /// Returns what the proof of `self` proves of `other`: everything, if only the way to the bucket differs. Whoever read a code
    /// may read nothing else in the bucket, so a code proves only what lies below the prefix.
    fn proof_for(&self, other: &Self, proof: &Proof) -> Proof {
        let is_kept = (&self.bucket, &self.role_arn) == (&other.bucket, &other.role_arn)
            && (proof.proven.is_none_or(|proven| proven.by != ProvenBy::Code)
                || other.prefix.as_str().starts_with(self.prefix.as_str()));
        match proof.proven {
            Some(_) if is_kept => Proof { claimed: false, challenge: None, ..proof.clone() },
            _ => Proof::default(),
        }
    }
}

/// A change of a destination's place that is not in force yet. It is stored as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingChange {
    pub place: Place,
    /// What is known of its role.
    pub proof: Proof,
    pub requested_at: Timestamp,
    /// When a test object was written there. `None`: not yet.
    pub reached_at: Option<Timestamp>,
    /// When a run of delivery examines it, at the earliest.
    pub examine_at: Timestamp,
}

impl PendingChange {
    /// Returns when the last condition for it was met: its role is proven, and an object was written there. `None`: not yet.
    #[must_use]
    pub fn ready_at(&self) -> Option<Timestamp> {
        let proven = self.proof.proven?;
        self.reached_at.map(|reached| reached.max(proven.at))
    }

    /// Returns whether it should be examined.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        // A time in the far future comes from a clock that was wrong.
        self.ready_at().is_none() && (self.examine_at <= now || self.examine_at > now.plus(EXAMINED_EVERY * 2))
    }

    /// Puts off the next examination.
    #[must_use]
    pub fn examined(self, now: Timestamp) -> Self {
        Self { examine_at: now.plus(EXAMINED_EVERY), ..self }
    }
}

/// A place as it is named in stored results: of the one that a test tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceName {
    pub bucket: String,
    pub role_arn: String,
    pub prefix: String,
    pub bucket_owner: String,
}

impl PlaceName {
    #[must_use]
    pub fn of(place: &Place) -> Self {
        Self {
            bucket: place.bucket.to_string(),
            role_arn: place.role_arn.to_string(),
            prefix: place.prefix.as_str().to_owned(),
            bucket_owner: place.owner().to_owned(),
        }
    }
}

impl Destination {
    /// Returns the place in force.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            bucket: self.bucket.clone(),
            role_arn: self.role_arn.clone(),
            prefix: self.settings.prefix.clone(),
            region: self.settings.region.clone(),
            bucket_owner: self.settings.bucket_owner.clone(),
        }
    }

    /// Returns the place that its owner wants: the pending one, or else the one in force.
    #[must_use]
    pub fn wanted_place(&self) -> Place {
        self.pending.as_ref().map_or_else(|| self.place(), |pending| pending.place.clone())
    }

    /// Returns the name of the place in force.
    #[must_use]
    pub fn place_name(&self) -> PlaceName {
        PlaceName::of(&self.place())
    }

    /// Returns the destination as it would be in `place`, with this proof. What has begun is not moved.
    #[must_use]
    pub fn at(&self, place: Place, proof: Proof) -> Self {
        let mut destination = self.clone();
        let Place { bucket, role_arn, prefix, region, bucket_owner } = place;
        (destination.bucket, destination.role_arn, destination.proof) = (bucket, role_arn, proof);
        let settings = &mut destination.settings;
        (settings.prefix, settings.region, settings.bucket_owner) = (prefix, region, bucket_owner);
        destination.pending = None;
        destination
    }

    /// Returns the destination that a test tests: with the pending change as if it were in force.
    #[must_use]
    pub fn as_wanted(&self) -> Self {
        match &self.pending {
            Some(pending) => self.at(pending.place.clone(), pending.proof.clone()),
            None => self.clone(),
        }
    }

    /// Returns the destination with a request to deliver to `place`, while the place in force is proven. A request for the place in
    /// force withdraws the pending change.
    #[must_use]
    pub fn with_request(&self, place: Place, now: Timestamp) -> Self {
        let mut destination = self.clone();
        let in_force = self.place();
        if place.is_same(&in_force) {
            if destination.pending.take().is_none() {
                destination.settings.region = place.region;
            }
            return destination;
        }
        destination.pending = match self.pending.clone() {
            Some(pending) if pending.place.is_same(&place) => Some(PendingChange { place, ..pending }),
            _ => {
                let proof = in_force.proof_for(&place, &self.proof);
                Some(PendingChange { place, proof, requested_at: now, reached_at: None, examine_at: now })
            }
        };
        destination
    }

    /// Returns whether the pending change is ready, and nothing that has begun holds it up. An object that may have been written to
    /// the old place is finished there, unless the old place refuses it for good.
    #[must_use]
    pub fn can_change_place(&self, now: Timestamp) -> bool {
        let Some(ready_at) = self.pending.as_ref().and_then(PendingChange::ready_at) else { return false };
        let is_refused =
            self.progress.failing.as_ref().is_some_and(|it| it.failure.code.remedied_by() == RemediedBy::Customer);
        let is_over = ready_at.plus(HELD_UP_FOR) <= now;
        self.unclear_intents().all(|intent| {
            let is_at_rest = intent.taken_at.is_none_or(|taken| taken.plus(HELD_UP_FOR) <= now);
            is_at_rest && (is_refused || is_over || self.proof.proven.is_none())
        })
    }

    /// Returns the objects that have begun and may have been written.
    pub fn unclear_intents(&self) -> impl Iterator<Item = &Intent> {
        let replay = self.replay.as_ref().and_then(|replay| replay.intent.as_ref());
        self.intent.iter().chain(replay).filter(|intent| intent.attempted)
    }
}
