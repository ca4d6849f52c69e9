//! The names of buckets, roles, accounts, key prefixes and regions. Each type holds only what AWS accepts.

use std::{fmt, str::FromStr};

use super::partition::{PARTITIONS, Partition};

/// The name of a general purpose bucket (Amazon S3, "General purpose bucket naming rules").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketName(String);

impl BucketName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses the name of a general purpose bucket that a customer can own: none that AWS reserves for access points, for
    /// directory buckets or for its own use.
    ///
    /// # Errors
    /// Returns the rule if `text` breaks it.
    pub fn parse_new(text: &str) -> Result<Self, &'static str> {
        const PREFIXES: [&str; 2] = ["xn--", "sthree-"];
        const SUFFIXES: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
        let name: Self = text.parse()?;
        let is_reserved = PREFIXES.iter().any(|prefix| text.starts_with(prefix))
            || SUFFIXES.iter().any(|suffix| text.ends_with(suffix));
        if is_reserved {
            return Err(
                "must be a general purpose bucket: names that begin with xn-- or sthree-, or end with -s3alias, \
                        --ol-s3, .mrap, --x-s3 or --table-s3, belong to access points and other kinds of buckets",
            );
        }
        Ok(name)
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

/// The ARN of an IAM role: `arn:aws:iam::123456789012:role/name`. A path can precede the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleArn(String);

impl RoleArn {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses the ARN of a role that can exist in IAM: its path has no empty segment, and none that is `.` or `..`.
    ///
    /// # Errors
    /// Returns the rule if `text` breaks it.
    pub fn parse_new(text: &str) -> Result<Self, &'static str> {
        let role: Self = text.parse()?;
        let path = text.split_once(":role/").map_or("", |(_, path)| path);
        if path.split('/').any(|segment| segment.is_empty() || segment == "." || segment == "..") {
            return Err("must be the role's ARN as IAM shows it: no part between slashes is empty, . or ..");
        }
        Ok(role)
    }

    /// Returns what identifies the role: partition, account, and the name in lower case. IAM distinguishes names neither by
    /// case nor by their path (IAM User Guide, "IAM and AWS STS quotas", "IAM object quotas").
    #[must_use]
    pub fn identity(&self) -> String {
        format!("{}:{}:{}", self.partition(), self.account(), self.name().to_ascii_lowercase())
    }

    /// Returns the partition's name, such as `aws`.
    #[must_use]
    pub fn partition(&self) -> &str {
        self.0.split(':').nth(1).unwrap_or_default()
    }

    /// Returns the 12 digits of the account.
    #[must_use]
    pub fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }

    /// Returns the role's name, without its path.
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
        let ["arn", partition, "iam", "", account, resource] = parts.as_slice() else {
            return Err(WRONG);
        };
        Partition::named(partition).ok_or(WRONG)?;
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

/// The 12 digits of an AWS account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountId(String);

impl AccountId {
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

/// The prefix of every object key: empty, or a path that ends with a slash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPrefix(String);

impl KeyPrefix {
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
        // `*` and `?` would widen the session policy that contains the prefix; `$` starts a policy variable.
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

macro_rules! serde_as_text {
    ($($type:ty),+) => {
        $(
            impl serde::Serialize for $type {
                fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.serialize_str(&self.0)
                }
            }

            impl<'de> serde::Deserialize<'de> for $type {
                fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    <String as serde::Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
                }
            }
        )+
    };
}

serde_as_text!(BucketName, RoleArn, AccountId, KeyPrefix, Region);

/// The name of an AWS region, such as `eu-central-1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region(String);

impl Region {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the partition's name, such as `aws`.
    #[must_use]
    pub fn partition(&self) -> &'static str {
        Partition::of_region(&self.0).name
    }

    /// Returns the names of all regions that exist.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        PARTITIONS.iter().flat_map(|partition| partition.regions).copied().collect()
    }

    /// Parses the name of a region that exists.
    ///
    /// # Errors
    /// Returns the rule if `text` is no region that a partition has.
    pub fn parse_existing(text: &str) -> Result<Self, &'static str> {
        if Self::names().contains(&text) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be an AWS region that exists, such as eu-central-1")
        }
    }
}

/// Accepts what looks like a region, because AWS names regions in its answers that are newer than this program.
impl FromStr for Region {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('-').collect();
        let fits = match parts.as_slice() {
            [area, middle @ .., number] => {
                (2..=4).contains(&area.len())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_aws() {
        for good in ["abc", "my-company-wiremock-cloud-audit-events", "a.b.c", "0a1"] {
            assert!(good.parse::<BucketName>().is_ok(), "{good}");
        }
        for bad in ["ab", "Abc", "a_b", "-ab", "ab-", "a..b", "192.168.0.1", "s3://abc", &"a".repeat(64)] {
            assert!(bad.parse::<BucketName>().is_err(), "{bad}");
        }
        for good in ["arn:aws-us-gov:iam::123456789012:role/r", "arn:aws-cn:iam::123456789012:role/path/to/r@x"] {
            assert!(good.parse::<RoleArn>().is_ok(), "{good}");
        }
        assert_eq!("arn:aws-eusc:iam::123456789012:role/r".parse::<RoleArn>().unwrap().partition(), "aws-eusc");
        for bad in [
            "arn:aws-iso:iam::123456789012:role/r",
            "",
            "arn:aws:iam::123456789012:user/r",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:s3:::b",
        ] {
            assert!(bad.parse::<RoleArn>().is_err(), "{bad}");
        }
        for good in ["eu-central-1", "us-gov-west-1", "cn-north-1", "ap-southeast-5", "eusc-de-east-1"] {
            assert_eq!(Region::parse_existing(good), good.parse(), "{good}");
        }
        for unknown in ["us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "xx-foo-1", "eu-mars-1", "us-east-9"] {
            assert!(unknown.parse::<Region>().is_ok() && Region::parse_existing(unknown).is_err(), "{unknown}");
        }
        let alias = "point-0123456789-s3alias";
        for reserved in [alias, "b--use1-az4--x-s3", "b--ol-s3", "xn--b", "b.mrap", "sthree-b", "b--table-s3"] {
            assert!(reserved.parse::<BucketName>().is_ok() && BucketName::parse_new(reserved).is_err(), "{reserved}");
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

    #[test]
    fn each_region_is_in_its_partition() {
        for partition in PARTITIONS {
            assert!(partition.regions.contains(&partition.main_region));
            assert!(partition.regions.is_sorted(), "{}", partition.name);
            for region in partition.regions {
                assert_eq!(Region::parse_existing(region).unwrap().partition(), partition.name);
                assert!(region.parse::<Region>().is_ok(), "{region}");
            }
        }
    }

    #[test]
    fn a_role_has_one_identity_however_its_name_is_written() {
        let identity = |arn: &str| arn.parse::<RoleArn>().unwrap().identity();
        let victim = identity("arn:aws:iam::123456789012:role/victim-audit");
        for same in ["VICTIM-audit", "/victim-audit", "x/../victim-audit", "path/Victim-Audit"] {
            assert_eq!(identity(&format!("arn:aws:iam::123456789012:role/{same}")), victim, "{same}");
        }
        assert_ne!(identity("arn:aws:iam::123456789013:role/victim-audit"), victim);
        assert_ne!(identity("arn:aws-cn:iam::123456789012:role/victim-audit"), victim);
        for odd in ["/victim-audit", "x/../victim-audit", "./victim-audit", "x//victim-audit", "..", "x/."] {
            assert!(RoleArn::parse_new(&format!("arn:aws:iam::123456789012:role/{odd}")).is_err(), "{odd}");
        }
        for usual in ["victim-audit", "service-role/annals", "a.b/..c/...", "-"] {
            assert!(RoleArn::parse_new(&format!("arn:aws:iam::123456789012:role/{usual}")).is_ok(), "{usual}");
        }
    }

    #[test]
    fn an_account_has_12_digits() {
        assert!("111122223333".parse::<AccountId>().is_ok());
        for bad in ["", "11112222333", "1111222233334", "11112222333a"] {
            assert!(bad.parse::<AccountId>().is_err(), "{bad}");
        }
    }
}
