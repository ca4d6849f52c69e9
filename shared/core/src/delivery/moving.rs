//! Moving a destination to another bucket, role or prefix, without losing an event, delivering one twice, or changing their order.
//!
//! A run examines a pending change: whether its role is proven, and whether the test object can be written. Once both are true, the
//! change takes over in one write, conditional on the destination's version and together with the event that records it. Claims of
//! the new place are taken before; claims of the old one end with that write, because they follow from the destination.
//!
//! An object that has begun is finished in the old place, if it may have been written there. If the old place refuses it for good,
//! it is begun again in the new one, and the event names the object that may also be in the old bucket.

use serde_json::{Value, json};

use crate::{
    change::Change,
    destination::{
        BegunCheckpoint, Destination, Intent, KeyPrefix, PendingChange, Proof,
        connection_test::{ConnectionTestReport, Tested, test_connection},
        proof::{RoleCheck, check_role},
        sink::Target,
    },
    entropy::Entropy,
    event::{OwnEvent, Principal},
};

use super::{
    KeySuffix, claims,
    run::{DestinationRun, Stop},
    ship::Shipping,
};

/// Returns `destination` with `place` in force, and what has begun moved there.
#[must_use]
pub(crate) fn moved(destination: &Destination, wanted: &Destination, entropy: &dyn Entropy) -> Destination {
    let mut moved = destination.at(wanted.place(), wanted.proof.clone());
    let prefix = moved.settings.prefix.clone();
    let replay = moved.replay.as_mut().and_then(|replay| replay.intent.as_mut());
    for intent in moved.intent.iter_mut().chain(replay) {
        *intent = begun_again(intent, &prefix, entropy);
    }
    let checkpoints = &mut moved.checkpoints;
    if let Some(last) = &mut checkpoints.last {
        last.bucket.get_or_insert_with(|| destination.bucket.clone());
    }
    // The next one must lead back to it, wherever it is. So it is put again as it is.
    if let Some(BegunCheckpoint { becomes, prefix: old, .. }) = &mut checkpoints.begun {
        becomes.key = key_below(&becomes.key, old, &prefix, entropy);
        *old = prefix;
    }
    // The old place failed, and the new one has not.
    moved.progress.failing = moved.progress.failing.filter(|failing| failing.failure.code.is_contradiction());
    moved
}

/// Returns the intent of the same events for another place.
fn begun_again(intent: &Intent, prefix: &KeyPrefix, entropy: &dyn Entropy) -> Intent {
    Intent {
        key: key_below(&intent.key, &intent.prefix, prefix, entropy),
        prefix: prefix.clone(),
        attempted: false,
        taken_at: None,
        ..intent.clone()
    }
}

/// Returns a key like `key` below another prefix, with another suffix.
fn key_below(key: &str, old: &KeyPrefix, new: &KeyPrefix, entropy: &dyn Entropy) -> String {
    let rest = key.strip_prefix(old.as_str()).unwrap_or(key);
    KeySuffix::random(entropy).replace_in(&format!("{}{rest}", new.as_str()))
}

/// Returns the payload of the event of a move: the objects that may be in the old bucket as well, because nothing has confirmed
/// them. `None` if there are none.
#[must_use]
pub(crate) fn left_behind(before: &Destination, after: &Destination) -> Option<Value> {
    if before.place().is_same(&after.place()) {
        return None;
    }
    let objects: Vec<_> = before
        .unclear_intents()
        .map(|intent| {
            json!({
                "bucket": before.bucket.as_str(),
                "key": intent.key,
                "firstSequence": intent.first,
                "lastSequence": intent.last,
            })
        })
        .collect();
    (!objects.is_empty()).then(|| json!({"unconfirmed": objects}))
}

/// Notes in the pending change what a test found out.
pub(crate) fn note_test(destination: &mut Destination, report: &ConnectionTestReport) {
    let Some(pending) = &mut destination.pending else { return };
    if !report.is_of(&pending.place) {
        return;
    }
    if let Some(region) = &report.learnt_region {
        pending.place.region = Some(region.clone());
    }
    if report.has_written() {
        pending.reached_at = Some(report.tested_at);
    }
}

impl DestinationRun<'_> {
    /// Examines a pending change that is due: proves its role, and writes the test object if it is proven.
    pub(super) async fn examine_change(&mut self) -> Result<(), Stop> {
        let Shipping { registry, sink, entropy, clock, policy, test_object_name, brand, .. } = self.shipping;
        let now = clock.now();
        let Some(pending) = self.destination.pending.clone().filter(|pending| pending.is_due(now)) else {
            return Ok(());
        };
        let target = Target::of(&self.organisation, &self.destination.as_wanted());
        let check = check_role(&**sink, &**entropy, &target).await;
        let mut pending = pending.examined(now);
        pending.proof = pending.proof.after(&check, policy.roles, now);
        let is_proven = pending.proof.proven.is_some();
        let mut destination = self.next_version();
        destination.pending = Some(pending);
        if is_proven && !matches!(check, RoleCheck::NotAssumable(_)) {
            let wanted = destination.as_wanted();
            let tested = Tested {
                target,
                organisation: &self.organisation.name,
                check,
                proof: &wanted.proof,
                roles: policy.roles,
                taken: claims::rival(&**registry, &wanted, now).await?,
                object_name: test_object_name,
                product: brand.name(),
            };
            let report = test_connection(&**sink, now, tested).await;
            registry.save_connection_test(&self.organisation.id, &self.destination.id, &report).await?;
            note_test(&mut destination, &report);
        }
        self.save(destination, None).await
    }

    /// Lets the pending change take over if it is ready. Returns whether it did.
    pub(super) async fn take_over(&mut self) -> Result<bool, Stop> {
        let now = self.shipping.clock.now();
        if !self.destination.can_change_place(now) {
            return Ok(false);
        }
        if self.destination.progress.failing.is_none() && self.destination.proof.proven.is_some() {
            // So that the checkpoints in the old bucket name all its objects.
            self.sign_deliveries().await?;
        }
        let wanted = self.destination.as_wanted();
        let mut destination = moved(&self.next_version(), &wanted, &*self.shipping.entropy);
        if claims::take(&*self.shipping.registry, &destination, now).await?.is_some() {
            let mut destination = self.next_version();
            // The next examination says who has it.
            destination.pending = destination.pending.map(|pending| PendingChange { reached_at: None, ..pending });
            self.save(destination, None).await?;
            return Ok(false);
        }
        destination.proof = Proof { claimed: true, ..destination.proof };
        let event = OwnEvent {
            action: "UPDATE",
            kind: "destination.update",
            entity: destination.entity(),
            principal: Principal::machine("annals", "Annals", "SYSTEM"),
            before: Some(self.destination.recorded_state()),
            after: Some(destination.recorded_state()),
            client_type: "SYSTEM",
            context: None,
            payload: left_behind(&self.destination, &destination),
        };
        let change = Change::UpdateDestination(Box::new(destination.clone()));
        self.record(&event, change).await?;
        self.destination = destination;
        Ok(true)
    }
}
