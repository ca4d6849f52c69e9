//! The words of each failure: its cause, and what to change where. Owns the text alone; what is which failure is decided
//! one level up.
//!
//! For whoever is woken by it: short sentences, the place first, then what to paste, checks in the order in which they
//! are worth making. All of it fits one line, because the status is one.

use crate::delivery::{
    failure::{
        FailureCode,
        denial::{self, Denial, How, PolicyKind},
        policy,
    },
    sink::{Call, Reason, SinkError, Target},
};

/// What is said of a failure.
pub(super) struct Message {
    /// What is wrong.
    pub(super) cause: String,
    /// What to change where.
    pub(super) fix: String,
}

const BY_ITSELF: &str = "Nothing needs to be done. It is tried again by itself, and events wait meanwhile.";
const OURS: &str = "Nothing in your account needs to be changed. This is ours to mend: send our support what AWS said.";

/// What is said of a failure of the kind `code`.
pub(super) fn message(code: FailureCode, error: &SinkError, target: &Target) -> Message {
    let (message, bucket_region) = match &error.reason {
        Reason::Answered { message, bucket_region, .. } => (message.as_str(), bucket_region.as_deref()),
        _ => ("", None),
    };
    let about = About { call: error.call, message, bucket_region, target };
    let (cause, fix) = match code {
        FailureCode::RoleNotAssumable
        | FailureCode::RoleArnInvalid
        | FailureCode::RoleDeniedByResourceControlPolicy
        | FailureCode::StsRegionDisabled
        | FailureCode::SessionPolicyTooLarge
        | FailureCode::SessionPolicyMalformed
        | FailureCode::OperatorNotAuthorized
        | FailureCode::SessionDenied => about.role(code),
        FailureCode::BucketMissing
        | FailureCode::BucketNameInvalid
        | FailureCode::WrongRegion
        | FailureCode::BucketOwnerDiffers
        | FailureCode::BucketAccessDisabled
        | FailureCode::AccountProblem => about.bucket(code),
        FailureCode::PutDenied
        | FailureCode::PutDeniedByPermissionsBoundary
        | FailureCode::PutDeniedBySessionPolicy
        | FailureCode::PutDeniedByBucketPolicy
        | FailureCode::PutDeniedByServiceControlPolicy
        | FailureCode::PutDeniedByResourceControlPolicy
        | FailureCode::PutDeniedByVpcEndpointPolicy => about.denied_put(code),
        FailureCode::KmsDenied
        | FailureCode::KmsKeyDisabled
        | FailureCode::KmsKeyMissing
        | FailureCode::KmsKeyUnusable => about.key(code),
        FailureCode::ObjectLock
        | FailureCode::AclNotSupported
        | FailureCode::MethodNotAllowed
        | FailureCode::KeyTooLong
        | FailureCode::ObjectTooLarge
        | FailureCode::DamagedOnTheWay
        | FailureCode::Conflict => about.object(code),
        FailureCode::ClockSkewed
        | FailureCode::Throttled
        | FailureCode::SlowDown
        | FailureCode::AwsUnavailable
        | FailureCode::TimedOut
        | FailureCode::NameNotResolved
        | FailureCode::TlsFailed
        | FailureCode::ConnectionRefused
        | FailureCode::Unreachable
        | FailureCode::Unknown => about.way(code),
    };
    Message { cause, fix }
}

/// What the words are about.
struct About<'a> {
    call: Call,
    message: &'a str,
    bucket_region: Option<&'a str>,
    target: &'a Target,
}

impl About<'_> {
    /// Failures to open a session.
    fn role(&self, code: FailureCode) -> (String, String) {
        let Target { bucket, role_arn, .. } = self.target;
        let (account, name, partition) = (role_arn.account(), role_arn.name(), role_arn.partition());
        match code {
            FailureCode::RoleArnInvalid => (
                format!("AWS does not take {role_arn} for the ARN of a role that we could assume."),
                format!(
                    "(1) Compare it with the ARN that the IAM console of account {account} shows under Roles, {name}; a \
                     path before the name is part of it. (2) It is in the partition {partition}. A role can be assumed \
                     only from the same partition: aws, aws-cn (China) and aws-us-gov (GovCloud) do not reach each \
                     other. Save the destination with the right role."
                ),
            ),
            FailureCode::RoleDeniedByResourceControlPolicy => (
                format!(
                    "A resource control policy of your AWS organization keeps us from assuming the role {role_arn}."
                ),
                format!(
                    "In the organization's management account: AWS Organizations console, Policies, Resource control \
                     policies. Find the Deny of sts:AssumeRole that applies to account {account} and add to its \
                     condition {}.",
                    policy::except_account(self.our_account().as_deref().unwrap_or("our account"))
                ),
            ),
            FailureCode::StsRegionDisabled => (
                format!(
                    "AWS's Security Token Service is switched off for account {account} in the region where we run."
                ),
                format!(
                    "In account {account}: IAM console, Account settings, Security Token Service (STS), Endpoints. \
                     Activate the region where we run; our support tells which it is. If it is missing there, enable \
                     the region first: Account page, AWS Regions."
                ),
            ),
            FailureCode::SessionPolicyTooLarge => (
                "The policy that narrows our session to your bucket and prefix is too large for AWS.".into(),
                "Save the destination with a shorter prefix.".into(),
            ),
            FailureCode::SessionPolicyMalformed => {
                ("AWS does not take the policy that narrows our session to your bucket and prefix.".into(), OURS.into())
            }
            FailureCode::OperatorNotAuthorized => {
                ("AWS does not accept our own identity, or does not let it assume roles.".into(), OURS.into())
            }
            FailureCode::SessionDenied => (
                format!("The role {role_arn} can be assumed, but S3 does not accept the session."),
                format!(
                    "A new session is opened at the next try; where the role was just replaced, that mends it. If it \
                     stays: (1) If the bucket {bucket} is in a region that must be enabled first, enable it in account \
                     {account}: Account page, AWS Regions. (2) Otherwise send our support what \
                     AWS said."
                ),
            ),
            _ => self.trust(),
        }
    }

    /// The role that cannot be assumed: one answer to several causes, unless AWS says that it is the trust policy.
    fn trust(&self) -> (String, String) {
        let Target { role_arn, external_id, .. } = self.target;
        let (account, name) = (role_arn.account(), role_arn.name());
        let trust = match self.our_account() {
            Some(ours) => format!("exactly this: {}", policy::trust(self.target, &ours)),
            None => {
                let condition = policy::external_id(self.target);
                format!("what the setup of this destination says, with the condition {condition}")
            }
        };
        let paste = format!(
            "IAM console, Roles, {name}, Trust relationships, Edit trust policy: paste {trust}. Or save that as \
             trust.json and run: aws iam update-assume-role-policy --role-name {name} --policy-document \
             file://trust.json. Where others use the role too, add the statement to theirs"
        );
        match Denial::told(self.message).map(|denial| denial.how) {
            Some(How::Explicitly) => (
                format!("A Deny in the trust policy of the role {role_arn} keeps us from assuming it."),
                format!("In account {account}: remove the Deny. {paste}."),
            ),
            Some(How::Implicitly) => (
                format!("The role {role_arn} does not trust us, or requires another external ID than {external_id}."),
                format!("In account {account}: {paste}."),
            ),
            None => (
                format!(
                    "The role {role_arn} cannot be assumed. It does not exist, does not trust us, or requires another \
                     external ID; AWS does not say which."
                ),
                format!(
                    "In account {account}, in this order: (1) Is there the role {name}? IAM console, Roles; or: aws iam \
                     get-role --role-name {name}. Its ARN must be {role_arn}, any path included. (2) Does it trust us, \
                     and if it requires an external ID, is it {external_id}? {paste}. (3) If all of that is right, a \
                     resource control policy of your AWS organization may deny sts:AssumeRole."
                ),
            ),
        }
    }

    /// Failures to find the bucket.
    fn bucket(&self, code: FailureCode) -> (String, String) {
        let Target { bucket, role_arn, region, .. } = self.target;
        let (account, partition) = (role_arn.account(), role_arn.partition());
        match code {
            FailureCode::BucketNameInvalid => (
                format!("S3 does not take {bucket} for the name of a bucket."),
                "Save the destination with the name that the S3 console shows under Buckets: the name alone, neither an \
                 ARN nor the alias of an access point."
                    .into(),
            ),
            FailureCode::WrongRegion => {
                let tried = match region {
                    Some(region) => format!("not in {}, the region that is saved", region.as_str()),
                    None => "not in the region where we run".into(),
                };
                let found = self.bucket_region.and_then(|name| name.parse::<crate::destination::Region>().ok());
                match found {
                    Some(found) if found.partition() != partition => (
                        format!(
                            "The bucket {bucket} is in {}, in the partition {}, but the role is in {partition}.",
                            found.as_str(),
                            found.partition()
                        ),
                        format!(
                            "Save the destination with a bucket of the partition {partition}: partitions do not reach \
                             each other. The role of another partition would not do either, as we are in {partition}."
                        ),
                    ),
                    Some(found) => (
                        format!("The bucket {bucket} is in {}, {tried}.", found.as_str()),
                        format!(
                            "Nothing needs to be done: the region is remembered, and the next try goes there. If this \
                             stays, save the destination with the region {}.",
                            found.as_str()
                        ),
                    ),
                    None => (
                        format!("The bucket {bucket} is {tried}. AWS does not say where it is."),
                        format!(
                            "Save the destination with the bucket's region: S3 console, Buckets, the column AWS Region; \
                             or: aws s3api get-bucket-location --bucket {bucket} (null means us-east-1). Where the \
                             bucket is only a few hours old, AWS's own redirect mends itself."
                        ),
                    ),
                }
            }
            FailureCode::BucketOwnerDiffers => (
                format!("The bucket {bucket} belongs to an account other than {account}, the role's, and does not let it in."),
                format!(
                    "(1) If another account is not intended, save the destination with the bucket's right name. (2) If \
                     it is: save the destination with that account's 12 digits as bucketOwner. (3) In that account, S3 console, Buckets, {bucket}, Permissions, Bucket \
                     policy, Edit. Add this statement to the policy, or paste all of it where there is none: {}. The \
                     objects will belong to the bucket's owner only where Object Ownership is set to Bucket owner \
                     enforced.",
                    policy::bucket(self.target)
                ),
            ),
            FailureCode::BucketAccessDisabled => (
                format!("AWS has disabled all access to the bucket {bucket}."),
                "Ask AWS Support to open it again, from the account that owns the bucket. An unpaid bill can be the \
                 reason: see the Billing console."
                    .into(),
            ),
            FailureCode::AccountProblem => (
                format!("AWS refuses because of a problem with the account that owns the bucket {bucket}."),
                "In that account: see the Billing console, and ask AWS Support. It may be suspended, or not signed up \
                 for S3."
                    .into(),
            ),
            _ => (
                format!("There is no bucket {bucket}."),
                format!(
                    "(1) Compare the name: S3 console of account {account}, Buckets. If it is another, save the \
                     destination with it. (2) If the bucket was deleted, create it again: aws s3 mb s3://{bucket}{}. \
                     Events wait for it; they are kept for your retention.",
                    region.as_ref().map_or_else(String::new, |region| format!(" --region {}", region.as_str()))
                ),
            ),
        }
    }

    /// Policies that keep the object out.
    fn denied_put(&self, code: FailureCode) -> (String, String) {
        let Target { bucket, role_arn, .. } = self.target;
        let (account, name) = (role_arn.account(), role_arn.name());
        let objects = policy::objects(self.target);
        let except_role = policy::except_role(self.target);
        let allow = format!(
            "IAM console, Roles, {name}, Permissions, Add permissions, Create inline policy, JSON: paste {}. Or save that \
             as put.json and run: aws iam put-role-policy --role-name {name} --policy-name annals-put --policy-document \
             file://put.json",
            policy::put(self.target)
        );
        let denial = Denial::told(self.message);
        let explicit = denial.is_some_and(|denial| denial.how == How::Explicitly);
        match code {
            FailureCode::PutDeniedByPermissionsBoundary => (
                format!(
                    "The permissions boundary of the role {role_arn} does not allow writing to the bucket {bucket}."
                ),
                format!(
                    "In account {account}: IAM console, Roles, {name}, Permissions, Permissions boundary. {} The role's \
                     own policies cannot mend it.",
                    if explicit {
                        format!(
                            "A Deny in it applies to s3:PutObject on {objects}: remove it, or add to its condition {except_role}."
                        )
                    } else {
                        format!("The boundary must allow the put as well; it needs: {}.", policy::put(self.target))
                    }
                ),
            ),
            FailureCode::PutDeniedBySessionPolicy => {
                (format!("Our session was not narrowed as it should be: it may not write {objects}."), OURS.into())
            }
            FailureCode::PutDeniedByBucketPolicy => (
                format!("The policy of the bucket {bucket} denies what the role {role_arn} writes."),
                format!(
                    "In the account that owns the bucket: S3 console, Buckets, {bucket}, Permissions, Bucket policy; or: \
                     aws s3api get-bucket-policy --bucket {bucket}. Find the Deny that applies to s3:PutObject on \
                     {objects} and add to its Condition {except_role}. Usual ones: it requires an ACL (s3:x-amz-acl) or \
                     an encryption header (s3:x-amz-server-side-encryption), and we send neither: set the bucket's \
                     Object Ownership to Bucket owner enforced and its default encryption instead. Or it requires a \
                     network or an organization (aws:SourceIp, aws:SourceVpce, aws:PrincipalOrgID), and we call from \
                     ours."
                ),
            ),
            FailureCode::PutDeniedByServiceControlPolicy => (
                format!(
                    "A service control policy of your AWS organization keeps the role {role_arn} from writing to the bucket {bucket}."
                ),
                format!(
                    "In the organization's management account: AWS Organizations console, AWS accounts, {account}, \
                     Policies; or: aws organizations list-policies-for-target --target-id {account} --filter \
                     SERVICE_CONTROL_POLICY. {} Parents' policies count as well.",
                    if explicit {
                        format!("Find the Deny that applies to s3:PutObject and add to its Condition {except_role}.")
                    } else {
                        "Each level, from the root to the account, must allow s3:PutObject: attach FullAWSAccess, or add \
                         {\"Effect\":\"Allow\",\"Action\":\"s3:PutObject\",\"Resource\":\"*\"} to its policy."
                            .to_owned()
                    }
                ),
            ),
            FailureCode::PutDeniedByResourceControlPolicy => (
                format!(
                    "A resource control policy of your AWS organization keeps the role {role_arn} from writing to the bucket {bucket}."
                ),
                format!(
                    "In the organization's management account: AWS Organizations console, Policies, Resource control \
                     policies. Find the Deny that applies to s3:PutObject in the account of the bucket, and add to its \
                     Condition {except_role}."
                ),
            ),
            FailureCode::PutDeniedByVpcEndpointPolicy => (
                format!("The VPC endpoint through which we call S3 does not let us write to the bucket {bucket}."),
                format!("{OURS} The endpoint's policy must allow s3:PutObject on {objects}."),
            ),
            _ if denial.is_some() => {
                if explicit {
                    (
                        format!("A policy of the role {role_arn} denies writing to the bucket {bucket}."),
                        format!(
                            "In account {account}: IAM console, Roles, {name}, Permissions. Find the Deny that applies to \
                             s3:PutObject on {objects} and remove it. If it is AWSRevokeOlderSessions, nothing needs to \
                             be done: a new session is opened at the next try. What the role needs to allow is {}.",
                            policy::put(self.target)
                        ),
                    )
                } else {
                    (
                        format!("No policy of the role {role_arn} allows it to write to the bucket {bucket}."),
                        format!("In account {account}: {allow}."),
                    )
                }
            }
            _ => (
                format!("The role {role_arn} may not write to the bucket {bucket}. AWS does not say why."),
                format!(
                    "S3 keeps the reason to itself where the bucket is not owned by the account that it should be, or lies \
                     outside the role\'s organization. In this order: (1) Is {bucket} in account {owner}, where we expect \
                     it and nowhere else? S3 console of that account, Buckets. If the name is taken by a stranger, save \
                     the destination with your own bucket's. If the bucket is meant to be in another account, save the \
                     destination with its 12 digits as bucketOwner. (2) In account {account}: {allow}. (3) Where the two \
                     accounts differ, the bucket's policy must allow the role as well: S3 console of its account, \
                     Buckets, {bucket}, Permissions, Bucket policy: {}. (4) Look for a Deny that applies to the role, in \
                     the bucket's policy and in that of its KMS key.",
                    policy::bucket(self.target),
                    owner = self.target.bucket_owner,
                ),
            ),
        }
    }

    /// Trouble with the key that the bucket encrypts with.
    fn key(&self, code: FailureCode) -> (String, String) {
        let Target { bucket, role_arn, .. } = self.target;
        let (account, name) = (role_arn.account(), role_arn.name());
        let arn = denial::kms_key(self.message);
        let key = arn.map_or_else(|| "the KMS key".to_owned(), |arn| format!("the KMS key {arn}"));
        let id = arn.unwrap_or("KEY-ID");
        let which = format!("S3 console, Buckets, {bucket}, Properties, Default encryption");
        match code {
            FailureCode::KmsKeyDisabled => (
                format!("The bucket {bucket} encrypts with a KMS key that is disabled."),
                format!(
                    "Enable {key} in the account that owns it: KMS console, Customer managed keys, the key, Key actions, \
                     Enable; or: aws kms enable-key --key-id {id}. The key is named in {which}."
                ),
            ),
            FailureCode::KmsKeyMissing => (
                format!("The bucket {bucket} encrypts with a KMS key that does not exist in its region."),
                format!(
                    "{which}, Edit: choose a key of the bucket's own region, or Amazon S3 managed keys (SSE-S3). A key \
                     of another account must be named by its full ARN."
                ),
            ),
            FailureCode::KmsKeyUnusable => (
                format!("The bucket {bucket} encrypts with a KMS key that cannot be used in its present state."),
                format!(
                    "Look at {key}: KMS console, Customer managed keys; or: aws kms describe-key --key-id {id}. If it is \
                     pending deletion: aws kms cancel-key-deletion --key-id {id}, then aws kms enable-key --key-id {id}. \
                     If its material is pending import, import it. If it is no symmetric encryption key, choose one: \
                     {which}, Edit."
                ),
            ),
            _ => {
                let denial = Denial::told(self.message);
                let attach = format!(
                    "In account {account}: IAM console, Roles, {name}, Permissions, Add permissions, Create inline \
                     policy, JSON: paste {}",
                    policy::encrypt(self.target, arn)
                );
                let admit = format!(
                    "In the account that owns the key: KMS console, Customer managed keys, the key, Key policy, Edit: \
                     add the statement {}",
                    policy::key(self.target)
                );
                let fix = match denial {
                    Some(Denial { by: PolicyKind::Identity, how: How::Implicitly }) => {
                        format!("{attach}. If the key is in another account, its key policy must allow the role too.")
                    }
                    Some(Denial { by: PolicyKind::Session | PolicyKind::VpcEndpoint, .. }) => OURS.into(),
                    Some(Denial { by: PolicyKind::ServiceControl | PolicyKind::ResourceControl, .. }) => format!(
                        "A policy of your AWS organization denies it. In its management account: AWS Organizations \
                         console, Policies. Find the one that applies to kms:GenerateDataKey, and let it pass: for a \
                         Deny, add to its Condition {}.",
                        policy::except_role(self.target)
                    ),
                    Some(Denial { how: How::Explicitly, .. }) => format!(
                        "A Deny applies: in the key's policy (KMS console), or in the role's policies (IAM console, \
                         Roles, {name}). Remove it, or add to its Condition {}.",
                        policy::except_role(self.target)
                    ),
                    _ => format!(
                        "Both sides must allow it. (1) {attach}. (2) {admit}. (3) The key must be enabled, and in the \
                         bucket's region. The key aws/s3 serves its own account only: where the bucket is in another \
                         account than the role, choose a customer managed key: {which}."
                    ),
                };
                (format!("The role {role_arn} may not encrypt with {key}, which the bucket {bucket} requires."), fix)
            }
        }
    }

    /// What S3 has against the object.
    fn object(&self, code: FailureCode) -> (String, String) {
        let Target { bucket, .. } = self.target;
        match code {
            FailureCode::AclNotSupported => (
                format!("The bucket {bucket} takes no ACLs, but one arrived with the object. We send none."),
                OURS.into(),
            ),
            FailureCode::MethodNotAllowed => (
                format!("Objects cannot be put into {bucket}."),
                format!(
                    "Save the destination with the name of a general purpose bucket: S3 console, Buckets. An access \
                     point, an Object Lambda or a vector bucket does not do. If {bucket} is one, tell our support."
                ),
            ),
            FailureCode::KeyTooLong => (
                format!("The key of the object is longer than the 1,024 bytes that S3 allows in {bucket}."),
                "Save the destination with a shorter prefix.".into(),
            ),
            FailureCode::ObjectTooLarge => ("The object is larger than S3 allows.".into(), OURS.into()),
            FailureCode::DamagedOnTheWay => {
                ("The object did not arrive at S3 as it was sent. S3 kept nothing of it.".into(), BY_ITSELF.into())
            }
            FailureCode::Conflict => (
                format!("Another change to the same object, or to the bucket {bucket}, was under way."),
                format!("{BY_ITSELF} If it lasts, see whether the bucket is being deleted or created."),
            ),
            _ => (
                format!("The bucket {bucket} has Object Lock, and does not take the object as it was sent."),
                format!(
                    "In the account that owns the bucket: S3 console, Buckets, {bucket}, Properties, Object Lock; or: \
                     aws s3api get-object-lock-configuration --bucket {bucket}. A default retention is fine: we send the \
                     checksum that it requires, and need no further right. If it says nothing else, send our support \
                     what AWS said."
                ),
            ),
        }
    }

    /// What happened between us and AWS, and what nothing else fits.
    fn way(&self, code: FailureCode) -> (String, String) {
        let Target { bucket, role_arn, .. } = self.target;
        let service = match self.call {
            Call::AssumeRole => "AWS's Security Token Service".to_owned(),
            Call::PutObject => format!("S3, where the bucket {bucket} is,"),
        };
        let network = format!(
            "{BY_ITSELF} If it lasts, see the AWS Health Dashboard, and tell our support: it may be our network."
        );
        let cause = match code {
            FailureCode::ClockSkewed => {
                return ("AWS says that our clock differs too much from its own.".into(), OURS.into());
            }
            FailureCode::Throttled | FailureCode::SlowDown => {
                let who = if self.call == Call::PutObject && code == FailureCode::SlowDown {
                    format!("S3 asks everyone who writes to the bucket {bucket} to slow down.")
                } else {
                    format!("{service} is limiting the rate of calls.")
                };
                let fix = match code {
                    FailureCode::SlowDown => format!(
                        "{BY_ITSELF} If it lasts, something else writes too fast below the same prefix: give us a prefix \
                         of our own."
                    ),
                    _ => match self.call {
                        Call::AssumeRole => format!("{BY_ITSELF} If it lasts, tell our support: it is our quota."),
                        Call::PutObject => {
                            format!("{BY_ITSELF} If it lasts, see the quotas of account {}.", role_arn.account())
                        }
                    },
                };
                return (who, fix);
            }
            FailureCode::AwsUnavailable => {
                let fix = format!("{BY_ITSELF} If it lasts, see the AWS Health Dashboard.");
                return (format!("{service} has trouble of its own at present."), fix);
            }
            FailureCode::TimedOut => format!("{service} did not answer in time."),
            FailureCode::NameNotResolved => format!("The name of the host of {service} could not be resolved."),
            FailureCode::TlsFailed => format!("No secure connection (TLS) to {service} came about."),
            FailureCode::ConnectionRefused => format!("{service} refused the connection."),
            FailureCode::Unreachable => format!("{service} could not be reached."),
            _ => {
                let cause = match self.call {
                    Call::AssumeRole => format!("The role {role_arn} could not be assumed."),
                    Call::PutObject => format!("The bucket {bucket} refused the object."),
                };
                return (
                    format!("{cause} We do not know this answer of AWS's."),
                    "See what AWS said. If that does not help, send it to our support, with the request's ID: AWS can \
                     find the call by it."
                        .into(),
                );
            }
        };
        // A name that ends in a comma reads badly where the sentence goes on.
        (cause.replace(",.", "."), network)
    }

    /// The account that we call from, as AWS names it in its refusal.
    fn our_account(&self) -> Option<String> {
        let account = denial::caller(self.message)?.split(':').nth(4)?;
        let fits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| account.to_owned())
    }
}
