//! A destination's state as events record it.

use serde_json::{Value, json};

use super::{Destination, Region};

impl Destination {
    /// Returns the state before or after a change, for the event that records the change.
    #[must_use]
    pub(crate) fn recorded_state(&self) -> Value {
        let mut state = json!({
            "bucket": self.bucket.as_str(),
            "roleArn": self.role_arn.as_str(),
            "prefix": self.settings.prefix.as_str(),
            "region": self.settings.region.as_ref().map(Region::as_str),
            "compression": self.settings.compression.as_str(),
            "layout": self.settings.layout.as_str(),
            "format": self.settings.rendering.format.as_str(),
            "shape": self.settings.rendering.shape.as_str(),
            "bucketOwner": self.bucket_owner(),
            "proven": self.proof.proven.map(|proven| proven.by.as_str()),
            "state": self.state().as_str(),
            "replay": self.replay.as_ref().map(|replay| {
                json!({"id": replay.id, "firstSequence": replay.next, "lastSequence": replay.last})
            }),
        });
        if let Some(pending) = &self.pending {
            let place = &pending.place;
            state["pendingChange"] = json!({
                "bucket": place.bucket.as_str(),
                "roleArn": place.role_arn.as_str(),
                "prefix": place.prefix.as_str(),
                "bucketOwner": place.owner(),
                "proven": pending.proof.proven.map(|proven| proven.by.as_str()),
            });
        }
        state
    }
}
