//! The partitions of AWS that Annals can run in, and their regions. A role cannot reach another partition.

/// A partition: a group of regions with its own accounts and its own domain names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// The name in ARNs.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// How the names of its services end.
    pub dns_suffix: &'static str,
    /// The domain of its consoles, behind the region.
    pub console: &'static str,
    /// The region of its global services.
    pub main_region: &'static str,
    /// Every region, as the AWS SDKs list them; `.ci/regions.py` compares.
    pub regions: &'static [&'static str],
}

/// The partition of all regions that no other one has.
const AWS: Partition = Partition {
    name: "aws",
    title: "AWS",
    dns_suffix: "amazonaws.com",
    console: "console.aws.amazon.com",
    main_region: "us-east-1",
    regions: &[
        "af-south-1",
        "ap-east-1",
        "ap-east-2",
        "ap-northeast-1",
        "ap-northeast-2",
        "ap-northeast-3",
        "ap-south-1",
        "ap-south-2",
        "ap-southeast-1",
        "ap-southeast-2",
        "ap-southeast-3",
        "ap-southeast-4",
        "ap-southeast-5",
        "ap-southeast-6",
        "ap-southeast-7",
        "ca-central-1",
        "ca-west-1",
        "eu-central-1",
        "eu-central-2",
        "eu-north-1",
        "eu-south-1",
        "eu-south-2",
        "eu-west-1",
        "eu-west-2",
        "eu-west-3",
        "il-central-1",
        "me-central-1",
        "me-south-1",
        "me-west-1",
        "mx-central-1",
        "sa-east-1",
        "sa-west-1",
        "us-east-1",
        "us-east-2",
        "us-west-1",
        "us-west-2",
    ],
};

/// All partitions with public regions.
pub const PARTITIONS: [Partition; 4] = [
    AWS,
    Partition {
        name: "aws-cn",
        title: "China",
        dns_suffix: "amazonaws.com.cn",
        console: "console.amazonaws.cn",
        main_region: "cn-north-1",
        regions: &["cn-north-1", "cn-northwest-1"],
    },
    Partition {
        name: "aws-eusc",
        title: "European Sovereign Cloud",
        dns_suffix: "amazonaws.eu",
        console: "console.amazonaws-eusc.eu",
        main_region: "eusc-de-east-1",
        regions: &["eusc-de-east-1"],
    },
    Partition {
        name: "aws-us-gov",
        title: "GovCloud",
        dns_suffix: "amazonaws.com",
        console: "console.amazonaws-us-gov.com",
        main_region: "us-gov-west-1",
        regions: &["us-gov-east-1", "us-gov-west-1"],
    },
];

impl Partition {
    /// Returns the partition with a name; `None` if there is none that Annals can run in.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        PARTITIONS.into_iter().find(|partition| partition.name == name)
    }

    /// Returns the partition of a region. AWS opens regions, so a region that is in no list is recognised by the beginning
    /// of its name.
    #[must_use]
    pub fn of_region(region: &str) -> Self {
        let begins_like = |partition: &Self| {
            let beginning = match partition.name {
                "aws-us-gov" => "us-gov-",
                "aws-cn" => "cn-",
                "aws-eusc" => "eusc-",
                _ => return false,
            };
            region.starts_with(beginning)
        };
        PARTITIONS.into_iter().find(begins_like).unwrap_or(AWS)
    }
}
