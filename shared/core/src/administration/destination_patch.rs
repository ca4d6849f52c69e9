//! The body of a `PATCH` of a destination, and what it does to the destination.

use crate::{
    delivery::moving::moved,
    destination::{BucketName, Destination, Place, Proof, RoleArn, Settings},
    entropy::Entropy,
    fault::Faults,
    input::{self, Describer, Fields, Format, Input},
    service::ServiceSettings,
    time::Timestamp,
};

use super::destination_input::{BUCKET, ROLE, SettingsPatch};

/// The body of a `PATCH` of a destination. A missing member keeps its value: that of the pending change, if there is one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DestinationPatch {
    bucket: Option<BucketName>,
    role_arn: Option<RoleArn>,
    settings: SettingsPatch,
}

impl DestinationPatch {
    /// Reads the body of the request. `service` must be able to assume a new role, and the region must be in the role's partition.
    ///
    /// # Errors
    /// Returns every fault with its place.
    pub fn parse(body: &[u8], destination: &Destination, service: &ServiceSettings) -> Result<Self, Faults> {
        input::read(body, |reader| {
            let patch = Self::fields(reader);
            reader.refuse_others();
            if let Some(role) = &patch.role_arn
                && let Err(detail) = service.check_role(role)
            {
                reader.fault("roleArn", detail);
            }
            let wanted = destination.wanted_place();
            patch.settings.check_partition(patch.role_arn.as_ref().unwrap_or(&wanted.role_arn), reader);
            Some(patch)
        })
    }

    fn fields<F: Fields>(fields: &mut F) -> Self {
        let bucket = fields.optional(
            "bucket",
            "The name of another general purpose bucket. If the current role is proven, the new bucket is used once a test object \
             was written there.",
            Format { pattern: BUCKET, parse: BucketName::parse_new },
        );
        let role_arn = fields.optional(
            "roleArn",
            "The ARN of another role, in the partition that Annals runs in. If the current role is proven, the new one is used once \
             it is proven, too.",
            Format { pattern: ROLE, parse: RoleArn::parse_new },
        );
        Self { bucket, role_arn, settings: SettingsPatch::fields(fields) }
    }

    /// Returns the destination with the changes. Another bucket, role, prefix or bucket owner waits until it is proven, if the place
    /// in force is proven; otherwise it takes over at once.
    #[must_use]
    pub fn apply(&self, destination: &Destination, now: Timestamp, entropy: &dyn Entropy) -> Destination {
        let in_force = destination.place();
        let wanted = destination.wanted_place();
        let place = self.place(destination, wanted.clone());
        let mut changed = destination.clone();
        changed.settings = Settings {
            prefix: in_force.prefix.clone(),
            region: in_force.region.clone(),
            bucket_owner: in_force.bucket_owner.clone(),
            ..self.settings.clone().apply(&destination.settings)
        };
        if place == wanted {
            return changed;
        }
        if destination.proof.proven.is_some() {
            return changed.with_request(place, now);
        }
        if place.is_same(&in_force) {
            changed.settings.region = place.region;
            changed.pending = None;
            return changed;
        }
        let wanted = changed.at(place, Proof::default());
        moved(&changed, &wanted, entropy)
    }

    /// Returns the place that the owner wants from now on.
    fn place(&self, destination: &Destination, wanted: Place) -> Place {
        let Place { bucket, role_arn, prefix, region, bucket_owner } = wanted;
        let settings = Settings { prefix, region, bucket_owner, ..destination.settings.clone() };
        let Settings { prefix, region, bucket_owner, .. } = self.settings.clone().apply(&settings);
        let is_elsewhere = self.bucket.as_ref().is_some_and(|new| *new != bucket);
        Place {
            bucket: self.bucket.clone().unwrap_or(bucket),
            role_arn: self.role_arn.clone().unwrap_or(role_arn),
            prefix,
            // The region of another bucket is not known.
            region: region.filter(|_| !is_elsewhere || self.settings.names_region()),
            bucket_owner,
        }
    }
}

impl Input for DestinationPatch {
    const NAME: &'static str = "DestinationPatch";
    const DESCRIPTION: &'static str = "Changes of a destination.";

    fn describe(describer: &mut Describer) {
        Self::fields(describer);
    }
}
