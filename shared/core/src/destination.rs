//! Destinations: a customer's bucket and the role that opens it, and how far delivery to it has come.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use crate::{
    delivery::failure::Failure,
    event::Entity,
    fault::Faults,
    input::{self, Choice, Describer, Fields, Format, Input, OrNull, Reader, Time, WholeNumber},
    organisation::OrganisationId,
    service::ServiceSettings,
    time::Timestamp,
};

/// A destination's id: 12 lower case letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DestinationId(String);

/// A text that is no destination's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no destination's id")]
pub struct DestinationIdError;

impl DestinationId {
    /// How many characters it has.
    pub const LENGTH: usize = 12;

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DestinationId {
    type Err = DestinationIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if text.len() == Self::LENGTH && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(DestinationIdError)
        }
    }
}

impl fmt::Display for DestinationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a general purpose bucket (Amazon S3, "General purpose bucket naming rules").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketName(String);

impl BucketName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BucketName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let alphanumeric = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if text.contains(':') || text.contains('/') {
            return Err("must be the bucket's name alone, not an ARN, URL or path");
        }
        let fits = (3..=63).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
            && alphanumeric(text.as_bytes().first())
            && alphanumeric(text.as_bytes().last())
            && !text.contains("..")
            && text.parse::<std::net::Ipv4Addr>().is_err();
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be a bucket's name: 3 to 63 lower case letters, digits, hyphens and dots")
        }
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The ARN of an IAM role: `arn:aws:iam::123456789012:role/name`, a path before the name allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleArn(String);

impl RoleArn {
    /// The ARN as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `aws`, `aws-cn` or `aws-us-gov`.
    #[must_use]
    pub fn partition(&self) -> &str {
        self.0.split(':').nth(1).unwrap_or_default()
    }

    /// The twelve digits of the account.
    #[must_use]
    pub fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }

    /// The role's name, without its path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl FromStr for RoleArn {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "must be the ARN of an IAM role, such as arn:aws:iam::123456789012:role/name";
        let parts: Vec<&str> = text.split(':').collect();
        let ["arn", "aws" | "aws-cn" | "aws-us-gov", "iam", "", account, resource] = parts.as_slice() else {
            return Err(WRONG);
        };
        let path = resource.strip_prefix("role/").ok_or(WRONG)?;
        let name = path.rsplit('/').next().unwrap_or_default();
        let fits = account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit())
            && (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b))
            && path.len() <= 512
            && path.bytes().all(|b| (0x21..=0x7e).contains(&b));
        if fits { Ok(Self(text.to_owned())) } else { Err(WRONG) }
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The twelve digits of an AWS account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountId(String);

impl AccountId {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be the 12 digits of an AWS account")
        }
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What all keys begin with: empty, or a path that ends with a slash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyPrefix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.is_empty() {
            return Ok(Self::default());
        }
        // `*` and `?` would widen the session policy that names the prefix, `$` begins a policy variable.
        let fits = text.len() <= 512
            && text.bytes().all(|b| (0x21..=0x7e).contains(&b) && !b"*?$\"\\{}".contains(&b))
            && text.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if fits {
            Ok(Self(format!("{text}/")))
        } else {
            Err("must be a path such as audit/annals, at most 512 printable ASCII characters, without * ? $ \" \\ { }")
        }
    }
}

/// The name of an AWS region, such as `eu-central-1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region(String);

impl Region {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition that it belongs to.
    #[must_use]
    pub fn partition(&self) -> &'static str {
        match self.0.split('-').collect::<Vec<_>>().as_slice() {
            ["cn", ..] => "aws-cn",
            ["us", "gov", ..] => "aws-us-gov",
            _ => "aws",
        }
    }
}

impl FromStr for Region {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('-').collect();
        let fits = match parts.as_slice() {
            [area, middle @ .., number] => {
                area.len() == 2
                    && area.bytes().all(|b| b.is_ascii_lowercase())
                    && (1..=2).contains(&middle.len())
                    && middle.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase()))
                    && number.len() == 1
                    && number.bytes().all(|b| b.is_ascii_digit())
            }
            _ => false,
        };
        if fits { Ok(Self(text.to_owned())) } else { Err("must be an AWS region, such as eu-central-1") }
    }
}

/// Whether objects are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// They are plain NDJSON.
    #[default]
    None,
    /// They are compressed with gzip; their keys end in `.gz`.
    Gzip,
}

impl Compression {
    /// Every way to compress that there is.
    pub const ALL: &'static [Self] = &[Self::None, Self::Gzip];

    /// Its name, as the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
        }
    }
}

impl FromStr for Compression {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            _ => Err("must be none or gzip"),
        }
    }
}

/// How keys are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyLayout {
    /// `YYYY-MM/DD/…`, as WireMock Cloud has it.
    #[default]
    Wiremock,
    /// `dt=YYYY-MM-DD/hour=HH/…`, which Hive, Athena and their kind read as partitions.
    Hive,
}

impl KeyLayout {
    /// Every layout that there is.
    pub const ALL: &'static [Self] = &[Self::Wiremock, Self::Hive];

    /// Its name, as the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wiremock => "wiremock",
            Self::Hive => "hive",
        }
    }
}

impl FromStr for KeyLayout {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "wiremock" => Ok(Self::Wiremock),
            "hive" => Ok(Self::Hive),
            _ => Err("must be wiremock or hive"),
        }
    }
}

/// What a destination's owner may change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// What all keys begin with.
    pub prefix: KeyPrefix,
    /// Where the bucket is, as given or learnt; `None`: where Annals runs.
    pub region: Option<Region>,
    /// Whether objects are compressed.
    pub compression: Compression,
    /// How keys are laid out.
    pub layout: KeyLayout,
    /// The account that must own the bucket; `None`: the role's. Events go to no bucket of anybody else's, be it one that
    /// took the name of a bucket that was deleted.
    pub bucket_owner: Option<AccountId>,
}

/// Events that are delivered once more, on demand, under keys of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Its id, part of its keys.
    pub id: String,
    /// The sequence that is to be delivered next.
    pub next: u64,
    /// The sequence of its last event.
    pub last: u64,
    /// When it was asked for: the time in its keys.
    pub started_at: Timestamp,
    /// The object that was begun and not finished.
    pub intent: Option<Intent>,
}

/// A delivery that was begun: these events, under this key, and no others, whatever happens in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The sequence of its first event.
    pub first: u64,
    /// The sequence of its last event.
    pub last: u64,
    /// The object's key, prefix included.
    pub key: String,
    /// The prefix that was in force: the session that finishes it needs it.
    pub prefix: KeyPrefix,
    /// Whether the object is compressed.
    pub compression: Compression,
    /// What is recorded to have expired of it: ranges of sequences, both ends included.
    pub expired: Vec<RangeInclusive<u64>>,
}

/// How delivery to a destination has been going.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// When an object was last put there.
    pub last_success: Option<Timestamp>,
    /// What is wrong, where the last attempt failed.
    pub failing: Option<Failing>,
    /// What was never delivered, as far as we know, and cannot be any more.
    pub lost: Option<Lost>,
    /// What was recorded before this had to wait for a reason that was not ours, such as a pause or a bucket that refused:
    /// its lag counts from here on. `None`: from its recording.
    pub lag_from: Option<Timestamp>,
}

/// Events that expired before their delivery was confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// How many, in the destination's whole life.
    pub events: u64,
    /// The last stretch of them, both ends included.
    pub last: RangeInclusive<u64>,
    /// When that was noticed.
    pub noticed_at: Timestamp,
}

/// Delivery that does not succeed at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Why.
    pub failure: Failure,
    /// Since when.
    pub since: Timestamp,
    /// How often in a row.
    pub attempts: u32,
    /// Not to be tried again before this time.
    pub retry_at: Timestamp,
}

/// A customer's bucket and the role that opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Which one.
    pub id: DestinationId,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// The bucket.
    pub bucket: BucketName,
    /// The role.
    pub role_arn: RoleArn,
    /// What its owner may change.
    pub settings: Settings,
    /// Whether its owner has paused it.
    pub paused: bool,
    /// Whether the organisation's plan does not include it any more.
    pub disabled: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// The sequence that is to be delivered next: always one at which a segment begins.
    pub next_sequence: u64,
    /// The delivery that was begun and not finished.
    pub intent: Option<Intent>,
    /// What is being delivered once more.
    pub replay: Option<Replay>,
    /// How delivery has been going.
    pub progress: Progress,
    /// How often it was changed; each change is conditional on it.
    pub version: u64,
}

impl Destination {
    /// Whether anything is sent there.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.paused && !self.disabled
    }

    /// The status line, in WireMock Cloud's words where the seed has them.
    #[must_use]
    pub fn status(&self) -> String {
        if self.disabled {
            return "Status: Sending audit events to this destination is disabled, because the organisation's plan does \
                    not include it"
                .into();
        }
        if self.paused {
            return "Status: Sending audit events to this destination is paused; resume it to go on where it stopped"
                .into();
        }
        let mut status = match (&self.progress.failing, self.progress.last_success) {
            (None, None) => "Status: Audit events are yet to be sent to this destination".into(),
            (None, Some(at)) => format!("Status: Audit events were last sent to this destination at {at}"),
            (Some(failing), last) => format!(
                "Status: Audit events could not be sent to this destination since {}: {} {} {}",
                failing.since,
                failing.failure.cause,
                failing.failure.fix,
                match last {
                    Some(at) => format!("They were last sent at {at}."),
                    None => "None has been sent so far.".into(),
                }
            ),
        };
        if let Some(lost) = &self.progress.lost {
            let separator = if status.ends_with('.') { "" } else { "." };
            let Lost { events, last, noticed_at } = lost;
            status += &format!(
                "{separator} Expired before their delivery was confirmed: {events} audit {}, the last of them {}, \
                 noticed at {noticed_at}.",
                if *events == 1 { "event" } else { "events" },
                match (last.start(), last.end()) {
                    (first, last) if first == last => format!("number {first}"),
                    (first, last) => format!("numbers {first} to {last}"),
                },
            );
        }
        status
    }

    /// The account that must own the bucket.
    #[must_use]
    pub fn bucket_owner(&self) -> &str {
        self.settings.bucket_owner.as_ref().map_or_else(|| self.role_arn.account(), AccountId::as_str)
    }

    /// What events about it are about: WireMock Cloud's entity type for an audit destination.
    #[must_use]
    pub fn entity(&self) -> Entity {
        Entity { id: self.id.to_string(), name: self.bucket.to_string(), entity_type: "S3_AUDIT_SINK" }
    }

    /// The word for the status: `pending`, `sent`, `failing`, `paused` or `disabled`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        if self.disabled {
            return "disabled";
        }
        if self.paused {
            return "paused";
        }
        match (&self.progress.failing, self.progress.last_success) {
            (Some(_), _) => "failing",
            (None, Some(_)) => "sent",
            (None, None) => "pending",
        }
    }
}

/// What `POST /organisations/{org}/destinations` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The role.
    pub role_arn: RoleArn,
    /// What may be changed later.
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
        /// 3 to 63 of these characters, no two dots in a row, and not an IP address.
        const BUCKET: &str = r"^(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$";
        const ROLE: &str = r"^arn:(aws|aws-cn|aws-us-gov):iam::\d{12}:role/([!-9;-~]+/)?[A-Za-z0-9+=,.@_-]{1,64}$";
        let bucket = fields.required(
            "bucket",
            "The bucket's name: 3 to 63 lower case letters, digits, hyphens and dots.",
            Format { pattern: BUCKET, parse: str::parse },
        );
        let role_arn = fields.required(
            "roleArn",
            "The role's ARN, in the partition that Annals runs in.",
            Format { pattern: ROLE, parse: str::parse },
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

/// What `PATCH` of a destination asks for. What it leaves out stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettingsPatch {
    prefix: Option<KeyPrefix>,
    region: Option<Option<Region>>,
    compression: Option<Compression>,
    layout: Option<KeyLayout>,
    bucket_owner: Option<Option<AccountId>>,
}

impl SettingsPatch {
    /// Reads the body of the request. The region must be in the partition of `role`.
    ///
    /// # Errors
    /// Returns every fault with its place.
    pub fn parse(body: &[u8], role: &RoleArn) -> Result<Self, Faults> {
        input::read(body, |reader| {
            let patch = Self::fields(reader);
            reader.refuse_others();
            patch.check_partition(role, reader);
            Some(patch)
        })
    }

    fn fields<F: Fields>(fields: &mut F) -> Self {
        /// Segments of some printable ASCII characters between slashes, none of them `.` or `..`.
        const PREFIX: &str =
            r"^$|^/$|^(?!.*//)(?!(.*/)?\.\.?(/|$))(?!/)[!#%&'()+,./0-9:;<=>@A-Z\[\]^_`a-z|~-]{1,512}/?$";
        const REGION: &str = r"^[a-z]{2}(-[a-z]+){1,2}-\d$";
        const ACCOUNT: &str = "^[0-9]{12}$";
        Self {
            prefix: fields.optional("prefix", "The prefix of all keys.", Format { pattern: PREFIX, parse: str::parse }),
            region: fields.optional(
                "region",
                "The bucket's region; null or missing in a new destination: Annals detects it.",
                OrNull(Format { pattern: REGION, parse: str::parse }),
            ),
            compression: fields.optional(
                "compression",
                "The compression of objects; `none` by default.",
                Choice { values: Compression::ALL, name: Compression::as_str },
            ),
            layout: fields.optional(
                "layout",
                "The layout of keys: `wiremock` (default) for `YYYY-MM/DD/…`, `hive` for `dt=YYYY-MM-DD/hour=HH/…`, which \
                 Hive and Athena read as partitions.",
                Choice { values: KeyLayout::ALL, name: KeyLayout::as_str },
            ),
            bucket_owner: fields.optional(
                "bucketOwner",
                "The account that must own the bucket; null or missing in a new destination: the role's account.",
                OrNull(Format { pattern: ACCOUNT, parse: str::parse }),
            ),
        }
    }

    fn check_partition(&self, role: &RoleArn, reader: &mut Reader<'_>) {
        if let Some(Some(region)) = &self.region
            && role.partition() != region.partition()
        {
            let detail = format!("is in the partition {}, but the role is in {}", region.partition(), role.partition());
            reader.fault("region", detail);
        }
    }

    /// `settings` with what this changes.
    #[must_use]
    pub fn apply(self, settings: &Settings) -> Settings {
        Settings {
            prefix: self.prefix.unwrap_or_else(|| settings.prefix.clone()),
            region: self.region.unwrap_or_else(|| settings.region.clone()),
            compression: self.compression.unwrap_or(settings.compression),
            layout: self.layout.unwrap_or(settings.layout),
            bucket_owner: self.bucket_owner.unwrap_or_else(|| settings.bucket_owner.clone()),
        }
    }
}

impl Input for SettingsPatch {
    const NAME: &'static str = "DestinationPatch";
    const DESCRIPTION: &'static str = "Changes of a destination.";

    fn describe(describer: &mut Describer) {
        Self::fields(describer);
    }
}

/// What `POST …/replay` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayInput {
    /// Events by sequence, both ends included.
    Sequences {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// Events by the time at which they were recorded.
    Times {
        /// At this time or later.
        since: Timestamp,
        /// Before this time.
        until: Timestamp,
    },
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
        /region must be an AWS region, such as eu-central-1
        /key is not a known field here
        "#);
    }

    #[test]
    fn a_role_and_a_region_of_different_partitions_are_refused() {
        let body =
            br#"{"bucket":"bucket","roleArn":"arn:aws-us-gov:iam::123456789012:role/x","region":"eu-central-1"}"#;
        insta::assert_snapshot!(DestinationInput::parse(body, &service("us-gov-west-1")).unwrap_err(), @"/region is in the partition aws, but the role is in aws-us-gov");
    }

    #[test]
    fn names_are_judged_as_aws_judges_them() {
        for good in ["abc", "my-company-wiremock-cloud-audit-events", "a.b.c", "0a1"] {
            assert!(good.parse::<BucketName>().is_ok(), "{good}");
        }
        for bad in ["ab", "Abc", "a_b", "-ab", "ab-", "a..b", "192.168.0.1", "s3://abc", &"a".repeat(64)] {
            assert!(bad.parse::<BucketName>().is_err(), "{bad}");
        }
        for good in ["arn:aws:iam::123456789012:role/r", "arn:aws-cn:iam::123456789012:role/path/to/r@x"] {
            assert!(good.parse::<RoleArn>().is_ok(), "{good}");
        }
        for bad in ["", "arn:aws:iam::123456789012:user/r", "arn:aws:iam::123456789012:role/", "arn:aws:s3:::b"] {
            assert!(bad.parse::<RoleArn>().is_err(), "{bad}");
        }
        for good in ["eu-central-1", "us-gov-west-1", "cn-north-1", "ap-southeast-5"] {
            assert!(good.parse::<Region>().is_ok(), "{good}");
        }
        for bad in ["", "eu", "eu-1", "EU-central-1", "eu-central", "eu-central-1.evil.example"] {
            assert!(bad.parse::<Region>().is_err(), "{bad}");
        }
        for (text, prefix) in [("", ""), ("/", ""), ("audit", "audit/"), ("a/b/", "a/b/")] {
            assert_eq!(text.parse::<KeyPrefix>().unwrap().as_str(), prefix);
        }
        for bad in ["/a", "a//b", "..", "a/../b", "a*", "a b", "ä"] {
            assert!(bad.parse::<KeyPrefix>().is_err(), "{bad}");
        }
    }
}
