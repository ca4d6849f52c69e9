//! Which kind of policy denied a call, as far as AWS says so. This module owns the phrases of AWS's messages, not the
//! advice.
//!
//! The phrases are from "Troubleshoot access denied error messages" (IAM User Guide) and "Troubleshoot access denied
//! (403 Forbidden) errors in Amazon S3" (Amazon S3 User Guide). S3 uses them within one account or AWS organization only.
//! Other callers get a bare `Access Denied`.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PolicyKind {
    /// Attached to the role, or to Annals' own identity if the call is AssumeRole.
    Identity,
    /// The role's permissions boundary.
    Boundary,
    /// The session policy that Annals sends with AssumeRole.
    Session,
    /// The bucket's policy, the key's policy, or the role's trust policy.
    Resource,
    /// A policy of the AWS organization, for the roles and users of its accounts.
    ServiceControl,
    /// A policy of the AWS organization, for the resources of its accounts.
    ResourceControl,
    /// The policy of the VPC endpoint that the call used.
    VpcEndpoint,
}

/// AWS's names of the kinds.
const NAMES: [(PolicyKind, &str); 8] = [
    (PolicyKind::Identity, "identity-based policy"),
    (PolicyKind::Boundary, "permissions boundary"),
    (PolicyKind::Session, "session policy"),
    (PolicyKind::Resource, "resource-based policy"),
    (PolicyKind::Resource, "role trust policy"),
    (PolicyKind::ServiceControl, "service control policy"),
    (PolicyKind::ResourceControl, "resource control policy"),
    (PolicyKind::VpcEndpoint, "VPC endpoint policy"),
];

/// Why a call was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Denial {
    pub(super) by: PolicyKind,
    pub(super) how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// A statement says `Deny`.
    Explicitly,
    /// No statement says `Allow`.
    Implicitly,
}

impl Denial {
    /// Reads the denial from AWS's `message`. `None` if the message does not name the policy.
    pub(super) fn read(message: &str) -> Option<Self> {
        // The fix for "… in a VPC endpoint policy transitively through a service control policy" is in the service
        // control policy.
        if message.contains("transitively through a service control policy") {
            return Some(Self { by: PolicyKind::ServiceControl, how: How::Explicitly });
        }
        NAMES.iter().find_map(|&(by, name)| {
            let explicit = ["a", "an", "the"]
                .iter()
                .any(|article| message.contains(&format!("explicit deny in {article} {name}")));
            if explicit {
                Some(Self { by, how: How::Explicitly })
            } else {
                message.contains(&format!("because no {name} allows")).then_some(Self { by, how: How::Implicitly })
            }
        })
    }
}

/// Returns the ARN of the denied caller, from `User: arn:… is not authorized …`.
pub(super) fn caller(message: &str) -> Option<&str> {
    let arn = message.strip_prefix("User: ")?.split(' ').next()?;
    arn.starts_with("arn:").then_some(arn)
}

/// Returns the ARN of the KMS key that `message` is about.
pub(super) fn kms_key(message: &str) -> Option<&str> {
    let arn = message.split([' ', '"', '\'', ',']).find(|word| word.starts_with("arn:") && word.contains(":kms:"))?;
    let arn = arn.trim_end_matches('.');
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b":/-_".contains(&byte);
    (arn.len() <= 256 && arn.bytes().all(fits)).then_some(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_phrase_is_recognised() {
        for (by, name) in NAMES {
            for article in ["a", "an", "the"] {
                let message = format!(
                    "User: arn:aws:iam::777788889999:user/MaryMajor is not authorized to perform: s3:PutObject with an \
                     explicit deny in {article} {name}: arn:aws:iam::777788889999:policy/x"
                );
                assert_eq!(Denial::read(&message), Some(Denial { by, how: How::Explicitly }), "{message}");
            }
            let message = format!(
                "User: arn:aws:iam::777788889999:user/MaryMajor is not authorized to perform: s3:PutObject because no \
                 {name} allows the s3:PutObject action"
            );
            assert_eq!(Denial::read(&message), Some(Denial { by, how: How::Implicitly }), "{message}");
        }
        assert_eq!(Denial::read("Access Denied"), None);
    }

    #[test]
    fn the_arn_of_a_key_is_found_in_a_message() {
        let key = "arn:aws-us-gov:kms:us-gov-west-1:444455556666:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        for message in [
            format!("… on resource: {key} because no …"),
            format!("Key '{key}' does not exist"),
            format!("{key} is disabled."),
        ] {
            assert_eq!(kms_key(&message), Some(key));
        }
        assert_eq!(kms_key("… on this resource because the resource does not exist in this Region"), None);
    }
}
