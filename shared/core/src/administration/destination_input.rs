//! The inputs of requests about destinations.

use crate::{
    destination::{
        AccountId, BucketName, Compression, KeyLayout, KeyPrefix, ObjectFormat, Region, Rendering, RoleArn, Settings,
        Shape,
    },
    fault::Faults,
    input::{self, Choice, Describer, Fields, Format, Input, Listed, OrNull, Reader, Time, WholeNumber},
    service::ServiceSettings,
    time::Timestamp,
};

/// 3 to 63 of these characters, no two dots in a row, not an IP address, and not reserved.
pub(super) const BUCKET: &str = r"^(?!xn--|sthree-)(?!.*(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$)(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$";
/// No segment is empty, `.` or `..`.
pub(super) const ROLE: &str = r"^arn:(aws|aws-cn|aws-eusc|aws-us-gov):iam::\d{12}:role/(?!/)(?!.*//)(?!(.*/)?\.\.?(/|$))([!-9;-~]+/)?[A-Za-z0-9+=,.@_-]{1,64}$";

/// The body of `POST /organisations/{org}/destinations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationInput {
    pub bucket: BucketName,
    pub role_arn: RoleArn,
    pub settings: Settings,
}

impl DestinationInput {
    /// Reads the body of the request. `service` must be able to assume the role.
    ///
    /// # Errors
    /// Returns every fault with its place.
    pub fn parse(body: &[u8], service: &ServiceSettings) -> Result<Self, Faults> {
        input::read(body, |reader| {
            let (bucket, role_arn, patch) = Self::fields(reader);
            reader.refuse_others();
            if let Some(role) = &role_arn {
                patch.check_partition(role, reader);
                if let Err(detail) = service.check_role(role) {
                    reader.fault("roleArn", detail);
                }
            }
            Some(Self { bucket: bucket?, role_arn: role_arn?, settings: patch.apply(&Settings::default()) })
        })
    }

    fn fields<F: Fields>(fields: &mut F) -> (Option<BucketName>, Option<RoleArn>, SettingsPatch) {
        let bucket = fields.required(
            "bucket",
            "The name of a general purpose bucket: 3 to 63 lower case letters, digits, hyphens and dots.",
            Format { pattern: BUCKET, parse: BucketName::parse_new },
        );
        let role_arn = fields.required(
            "roleArn",
            "The role's ARN, in the partition that Annals runs in.",
            Format { pattern: ROLE, parse: RoleArn::parse_new },
        );
        (bucket, role_arn, SettingsPatch::fields(fields))
    }
}

impl Input for DestinationInput {
    const NAME: &'static str = "DestinationInput";
    const DESCRIPTION: &'static str = "A destination to be created.";

    fn describe(describer: &mut Describer) {
        Self::fields(describer);
    }
}

/// Changes of a destination's settings. A missing member keeps the setting.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SettingsPatch {
    prefix: Option<KeyPrefix>,
    region: Option<Option<Region>>,
    compression: Option<Compression>,
    layout: Option<KeyLayout>,
    format: Option<ObjectFormat>,
    shape: Option<Shape>,
    bucket_owner: Option<Option<AccountId>>,
}

impl SettingsPatch {
    pub(super) fn fields<F: Fields>(fields: &mut F) -> Self {
        /// Segments of the allowed printable ASCII characters, separated by slashes. No segment is `.` or `..`.
        const PREFIX: &str =
            r"^$|^/$|^(?!.*//)(?!(.*/)?\.\.?(/|$))(?!/)[!#%&'()+,./0-9:;<=>@A-Z\[\]^_`a-z|~-]{1,512}/?$";
        const ACCOUNT: &str = "^[0-9]{12}$";
        Self {
            prefix: fields.optional("prefix", "The prefix of all keys.", Format { pattern: PREFIX, parse: str::parse }),
            region: fields.optional(
                "region",
                "The bucket's region; null or missing in a new destination: Annals detects it.",
                OrNull(Listed { names: Region::names, parse: Region::parse_existing }),
            ),
            compression: fields.optional(
                "compression",
                "The compression of objects; `none` by default.",
                Choice { values: Compression::ALL, name: Compression::as_str },
            ),
            layout: fields.optional(
                "layout",
                "The layout of keys: `wiremock` (default) for `YYYY-MM/DD/…`, `hive` for `dt=YYYY-MM-DD/hour=HH/…`, which \
                 Hive and Athena read as partitions, by when the object is delivered, `hive-recorded` for the same by when \
                 its events were recorded: no object has events of two hours.",
                Choice { values: KeyLayout::ALL, name: KeyLayout::as_str },
            ),
            format: fields.optional(
                "format",
                "The format of events in objects: `native` (default) for the lines of the log, `ocsf` or `cloudevents`, \
                 whose events contain their lines.",
                Choice { values: ObjectFormat::ALL, name: ObjectFormat::as_str },
            ),
            shape: fields.optional(
                "shape",
                "The shape of events in objects: `native` (default) with nested members, `flat` for rows of always the \
                 same columns, each of one type, with nested members as JSON text, for Athena, Glue and DuckDB.",
                Choice { values: Shape::ALL, name: Shape::as_str },
            ),
            bucket_owner: fields.optional(
                "bucketOwner",
                "The account that must own the bucket; null or missing in a new destination: the role's account.",
                OrNull(Format { pattern: ACCOUNT, parse: str::parse }),
            ),
        }
    }

    pub(super) fn check_partition(&self, role: &RoleArn, reader: &mut Reader<'_>) {
        if let Some(Some(region)) = &self.region
            && role.partition() != region.partition()
        {
            let detail = format!("is in the partition {}, but the role is in {}", region.partition(), role.partition());
            reader.fault("region", detail);
        }
    }

    /// Returns whether it contains a region, or null for a region to be detected.
    #[must_use]
    pub(super) fn names_region(&self) -> bool {
        self.region.is_some()
    }

    #[must_use]
    pub(super) fn apply(self, settings: &Settings) -> Settings {
        Settings {
            prefix: self.prefix.unwrap_or_else(|| settings.prefix.clone()),
            region: self.region.unwrap_or_else(|| settings.region.clone()),
            compression: self.compression.unwrap_or(settings.compression),
            layout: self.layout.unwrap_or(settings.layout),
            rendering: Rendering {
                format: self.format.unwrap_or(settings.rendering.format),
                shape: self.shape.unwrap_or(settings.rendering.shape),
            },
            bucket_owner: self.bucket_owner.unwrap_or_else(|| settings.bucket_owner.clone()),
        }
    }
}

/// The body of `POST …/confirm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmInput {
    pub code: String,
}

impl ConfirmInput {
    /// Reads the body of the request.
    ///
    /// # Errors
    /// Returns every fault with its place.
    pub fn parse(body: &[u8]) -> Result<Self, Faults> {
        input::read(body, |reader| {
            let code = Self::fields(reader);
            reader.refuse_others();
            Some(Self { code: code? })
        })
    }

    fn fields<F: Fields>(fields: &mut F) -> Option<String> {
        fn parse(text: &str) -> Result<String, &'static str> {
            if (1..=64).contains(&text.len()) {
                Ok(text.to_owned())
            } else {
                Err("must be the code in the test object")
            }
        }
        let what = "The code in the test object. Hyphens, white space and case do not matter.";
        fields.required("code", what, Format { pattern: r"^[\s\S]{1,64}$", parse })
    }
}

impl Input for ConfirmInput {
    const NAME: &'static str = "ConfirmInput";
    const DESCRIPTION: &'static str = "The proof of a role that accepts any external ID.";

    fn describe(describer: &mut Describer) {
        Self::fields(describer);
    }
}

/// The body of `POST …/replay`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayInput {
    /// Both ends included.
    Sequences { first: u64, last: u64 },
    /// Events recorded at or after `since` and before `until`.
    Times { since: Timestamp, until: Timestamp },
}

impl ReplayInput {
    /// Reads the body of the request.
    ///
    /// # Errors
    /// Returns every fault with its place.
    pub fn parse(body: &[u8]) -> Result<Self, Faults> {
        input::read(body, |reader| {
            let by_sequence = reader.has_any(&["firstSequence", "lastSequence"]);
            if by_sequence == reader.has_any(&["since", "until"]) {
                reader.fault("", "needs either firstSequence and lastSequence, or since and until");
                return None;
            }
            if by_sequence {
                let SequenceRange { first, last } = SequenceRange::fields(reader)?;
                if first > last {
                    reader.fault("lastSequence", "is less than firstSequence");
                }
                return Some(Self::Sequences { first, last });
            }
            let TimeRange { since, until } = TimeRange::fields(reader)?;
            if since >= until {
                reader.fault("until", "must be after since");
            }
            Some(Self::Times { since, until })
        })
    }
}

impl Input for ReplayInput {
    const NAME: &'static str = "ReplayInput";
    const DESCRIPTION: &'static str = "A range of events.";

    fn describe(describer: &mut Describer) {
        describer.alternative::<SequenceRange>();
        describer.alternative::<TimeRange>();
    }
}

struct SequenceRange {
    first: u64,
    last: u64,
}

impl SequenceRange {
    fn fields<F: Fields>(fields: &mut F) -> Option<Self> {
        let sequence = WholeNumber { what: "a sequence, a whole number", min: 1, max: (1 << 40) - 1 };
        let first = fields.required("firstSequence", "The sequence of the first event.", sequence);
        let last = "The sequence of the last event, not less than `firstSequence`.";
        let last = fields.required("lastSequence", last, sequence);
        Some(Self { first: first?, last: last? })
    }
}

impl Input for SequenceRange {
    const NAME: &'static str = "SequenceRange";
    const DESCRIPTION: &'static str = "Events by sequence.";

    fn describe(describer: &mut Describer) {
        Self::fields(describer);
    }
}

struct TimeRange {
    since: Timestamp,
    until: Timestamp,
}

impl TimeRange {
    fn fields<F: Fields>(fields: &mut F) -> Option<Self> {
        let since = fields.required("since", "Events recorded at this time or later.", Time);
        let until = fields.required("until", "Events recorded before this time, which is after `since`.", Time);
        Some(Self { since: since?, until: until? })
    }
}

impl Input for TimeRange {
    const NAME: &'static str = "TimeRange";
    const DESCRIPTION: &'static str = "Events by the time at which they were recorded.";

    fn describe(describer: &mut Describer) {
        Self::fields(describer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(region: &str) -> ServiceSettings {
        let region = Some(region.parse().unwrap());
        ServiceSettings { region, ..ServiceSettings::of("111122223333".parse().unwrap()) }
    }

    #[test]
    fn every_fault_of_a_destination_is_reported_at_its_place() {
        let body = br#"{"bucket":"arn:aws:s3:::b","roleArn":"arn:aws:iam::1:role/x","prefix":"/a//b","region":"Frankfurt","key":1}"#;
        insta::assert_snapshot!(DestinationInput::parse(body, &service("us-east-1")).unwrap_err().to_string().replace("; ", "\n"), @r#"
        /bucket must be the bucket's name alone, not an ARN, URL or path
        /roleArn must be the ARN of an IAM role, such as arn:aws:iam::123456789012:role/name
        /prefix must be a path such as audit/annals, at most 512 printable ASCII characters, without * ? $ " \ { }
        /region must be an AWS region that exists, such as eu-central-1
        /key is not a known field here
        "#);
    }

    #[test]
    fn a_role_and_a_region_of_different_partitions_are_refused() {
        let body =
            br#"{"bucket":"bucket","roleArn":"arn:aws-us-gov:iam::123456789012:role/x","region":"eu-central-1"}"#;
        insta::assert_snapshot!(DestinationInput::parse(body, &service("us-gov-west-1")).unwrap_err(), @"/region is in the partition aws, but the role is in aws-us-gov");
    }
}
