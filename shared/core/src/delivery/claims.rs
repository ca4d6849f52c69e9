//! Claims: which proven destinations deliver to a bucket and use a role. Two organisations can share a bucket under prefixes
//! of which none begins with the other, and a role that requires the external id of each.
//!
//! A claim is a pointer to a destination. Whether it still holds follows from that destination: it must exist, be proven, and
//! deliver to the bucket with the role, or have a change that is ready to. So nothing has to be released when a destination is
//! deleted, loses its proof, or moves to another bucket. A claim is taken only once an object was
//! written, because a proven role says nothing about a bucket that it cannot write to.

use std::time::Duration;

use crate::{
    destination::{ClaimKey, Claims, Destination, Holder, ProvenBy, failure::Withheld},
    log::store::StoreError,
    registry::Registry,
    time::Timestamp,
};

/// A destination that has failed for this long gives way to another one.
const ABANDONED_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The most attempts to take a claim. An attempt fails only if another destination takes one at the same time.
const MAX_TRIES: usize = 10;

/// Returns why `destination` may not claim its bucket or its role: another organisation's destination holds it.
pub(crate) async fn rival(
    registry: &dyn Registry,
    destination: &Destination,
    now: Timestamp,
) -> Result<Option<Withheld>, StoreError> {
    for key in keys(destination) {
        let claims = registry.claims(&key).await?;
        if still_held(registry, &claims, &key, destination, now).await?.is_none() {
            return Ok(Some(taken(&key)));
        }
    }
    Ok(None)
}

/// Claims the bucket and the role of `destination`, which is stored as proven, or with a change that is ready, and has written an
/// object there. Returns why not.
pub(crate) async fn take(
    registry: &dyn Registry,
    destination: &Destination,
    now: Timestamp,
) -> Result<Option<Withheld>, StoreError> {
    for key in keys(destination) {
        let mut is_taken = false;
        for _ in 0..MAX_TRIES {
            let claims = registry.claims(&key).await?;
            let Some(mut holders) = still_held(registry, &claims, &key, destination, now).await? else {
                return Ok(Some(taken(&key)));
            };
            holders.push(Holder::of(destination));
            is_taken = registry.save_claims(&key, &Claims { holders, version: claims.version + 1 }).await?;
            if is_taken {
                break;
            }
        }
        if !is_taken {
            return Err(StoreError::Unavailable("claims changed all the time".into()));
        }
    }
    Ok(None)
}

fn keys(destination: &Destination) -> [ClaimKey; 2] {
    [ClaimKey::bucket(&destination.bucket), ClaimKey::role(&destination.role_arn)]
}

fn taken(key: &ClaimKey) -> Withheld {
    if key.is_role() { Withheld::RoleTaken } else { Withheld::BucketTaken }
}

/// Returns those of the holders, `destination` not among them, that still hold their claims beside it. `None` if one of them
/// does not let it have the claim.
async fn still_held(
    registry: &dyn Registry,
    claims: &Claims,
    key: &ClaimKey,
    destination: &Destination,
    now: Timestamp,
) -> Result<Option<Vec<Holder>>, StoreError> {
    let mut held = Vec::new();
    for holder in &claims.holders {
        let is_own = (&holder.organisation, &holder.destination) == (&destination.organisation, &destination.id);
        if is_own && (key.is_role() || holder.prefix == destination.settings.prefix) {
            continue;
        }
        let Some(other) = registry.destination(&holder.organisation, &holder.destination).await? else { continue };
        let Some(by) = holds(&other, key, holder, now) else { continue };
        if holder.organisation != destination.organisation && excludes(key, holder, by, destination) {
            if gives_way(by, destination) {
                continue;
            }
            return Ok(None);
        }
        held.push(holder.clone());
    }
    Ok(Some(held))
}

/// Returns how the destination is proven, if it still holds its claim: for the place in force, or for a change that is ready.
fn holds(other: &Destination, key: &ClaimKey, holder: &Holder, now: Timestamp) -> Option<ProvenBy> {
    let claims =
        |place: &Destination| keys(place).contains(key) && (key.is_role() || holder.prefix == place.settings.prefix);
    let is_abandoned =
        other.progress.failing.as_ref().is_some_and(|failing| failing.since.plus(ABANDONED_AFTER) <= now);
    if let Some(proven) = other.proof.proven.filter(|_| claims(other) && !is_abandoned) {
        return Some(proven.by);
    }
    let wanted = other.pending.as_ref().filter(|pending| pending.ready_at().is_some()).map(|_| other.as_wanted())?;
    wanted.proof.proven.filter(|_| claims(&wanted)).map(|proven| proven.by)
}

/// Returns whether two destinations of different organisations cannot both have the claim.
fn excludes(key: &ClaimKey, holder: &Holder, by: ProvenBy, destination: &Destination) -> bool {
    if key.is_role() {
        // Whoever requires the external ids of both means both.
        let is_named = destination.proof.proven.is_some_and(|proven| proven.by == ProvenBy::ExternalId);
        return by != ProvenBy::ExternalId || !is_named;
    }
    let (one, two) = (holder.prefix.as_str(), destination.settings.prefix.as_str());
    one.starts_with(two) || two.starts_with(one)
}

/// Returns whether a claim that rests on no proof by the owner gives way to one that does.
fn gives_way(by: ProvenBy, destination: &Destination) -> bool {
    !by.is_by_the_owner() && destination.proof.proven.is_some_and(|proven| proven.by.is_by_the_owner())
}
