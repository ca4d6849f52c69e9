//! The message of each failure: what happened and why (the cause), and what to do (the fix). This module owns the texts
//! alone; its parent decides which failure it is.
//!
//! A message must help somebody who reads it at night: short sentences, the place before the change, text to paste, and
//! checks in the order in which they are worth making. It fits on one line, because the status is one line.

use crate::destination::{
    PARTITIONS, Region,
    advice::{Advice, Prose, SnippetKind, code, snippet},
    failure::{
        Contradiction, FailureCode, Withheld,
        denial::{self, Denial, How, PolicyKind},
    },
    policy::{Condition, Policy, Statement, target_objects},
    proof::RolesWithoutExternalId,
    sink::{Call, Reason, SinkError, Target},
};

pub(super) struct Message {
    pub(super) cause: String,
    pub(super) fix: Advice,
}

fn message(cause: impl Into<String>, fix: impl Into<Advice>) -> Message {
    Message { cause: cause.into(), fix: fix.into() }
}

const RETRIED: &str = "No action is needed. We retry automatically, and events wait meanwhile.";
const OURS: &str = "No change is needed in your account. We have to fix this: send our support the answer from AWS.";

pub(super) fn explain(failure: FailureCode, error: &SinkError, target: &Target) -> Message {
    let (answer, bucket_region) = match &error.reason {
        Reason::Answered { message, bucket_region, .. } => (message.as_str(), bucket_region.as_deref()),
        _ => ("", None),
    };
    let context = Context { call: error.call, answer, bucket_region, target };
    match failure {
        FailureCode::RoleNotAssumable
        | FailureCode::RoleArnInvalid
        | FailureCode::RoleDeniedByResourceControlPolicy
        | FailureCode::StsRegionDisabled
        | FailureCode::SessionPolicyTooLarge
        | FailureCode::SessionPolicyMalformed
        | FailureCode::OperatorNotAuthorized
        | FailureCode::SessionDenied => context.role(failure),
        FailureCode::BucketMissing
        | FailureCode::BucketNameInvalid
        | FailureCode::WrongRegion
        | FailureCode::BucketOwnerDiffers
        | FailureCode::BucketAccessDisabled
        | FailureCode::AccountProblem => context.bucket(failure),
        FailureCode::PutDenied
        | FailureCode::PutDeniedByPermissionsBoundary
        | FailureCode::PutDeniedBySessionPolicy
        | FailureCode::PutDeniedByBucketPolicy
        | FailureCode::PutDeniedByServiceControlPolicy
        | FailureCode::PutDeniedByResourceControlPolicy
        | FailureCode::PutDeniedByVpcEndpointPolicy => context.denied_put(failure),
        FailureCode::KmsDenied
        | FailureCode::KmsKeyDisabled
        | FailureCode::KmsKeyMissing
        | FailureCode::KmsKeyUnusable => context.key(failure),
        FailureCode::ObjectLock
        | FailureCode::AclNotSupported
        | FailureCode::MethodNotAllowed
        | FailureCode::KeyTooLong
        | FailureCode::ObjectTooLarge
        | FailureCode::KeyTaken
        | FailureCode::DamagedOnTheWay
        | FailureCode::Conflict => context.object(failure),
        FailureCode::ClockSkewed
        | FailureCode::AssumeRoleThrottled
        | FailureCode::Throttled
        | FailureCode::SlowDown
        | FailureCode::AwsUnavailable
        | FailureCode::TimedOut
        | FailureCode::NameNotResolved
        | FailureCode::TlsFailed
        | FailureCode::ConnectionRefused
        | FailureCode::Unreachable
        | FailureCode::Unknown => context.network(failure),
        // AWS has no part in these: `contradict` and `withhold` explain them.
        FailureCode::AheadOfLog
        | FailureCode::LogMismatch
        | FailureCode::ExternalIdNotRequired
        | FailureCode::ProofLost
        | FailureCode::RoleTaken
        | FailureCode::BucketTaken => context.network(FailureCode::Unknown),
    }
}

/// Explains a log that contradicts what was delivered.
pub(super) fn contradict(contradiction: Contradiction) -> Message {
    let cause = match contradiction {
        Contradiction::AheadOfLog { next, last } => format!(
            "Events up to sequence {} were delivered, but our log ends with sequence {last}. An earlier copy of the log was \
             restored, and is not complete yet.",
            next - 1
        ),
        Contradiction::LogMismatch { sequence } => format!(
            "The event with sequence {sequence} in our log is not the one that was delivered. An earlier copy of the log was \
             restored, or the log was changed."
        ),
    };
    let fix = "No change is needed in your account. Delivery has stopped, so that nothing wrong is delivered. We have been \
               alerted and have to fix this. What was delivered and signed stays valid.";
    message(cause, fix)
}

/// Explains why delivery to `target` is withheld.
pub(super) fn withhold(withheld: Withheld, target: &Target) -> Message {
    let Target { bucket, role_arn, external_id, .. } = target;
    let (account, name) = (role_arn.account(), role_arn.name());
    let prove = |roles| {
        let condition = Prose::from(format!(
            "In account {account}: IAM console, Roles, {name}, Trust relationships, Edit trust policy: add this to the Condition \
             of the statement that trusts us: "
        )) + Condition::external_id(external_id)
            + ". Then press Test.";
        let code = Prose::from(
            "Or leave the role as it is: press Test, open the object that the test writes to your bucket, and enter the code in \
             it under Confirm.",
        );
        match roles {
            RolesWithoutExternalId::Challenge | RolesWithoutExternalId::Allow => Advice::new("", [condition, code]),
            RolesWithoutExternalId::Refuse => Advice::new("", [condition]),
        }
    };
    match withheld {
        Withheld::Unproven(roles) => message(
            format!(
                "The role {role_arn} accepts any external ID. So we cannot tell whether its owner means this organisation, and \
                 send nothing until that is proven."
            ),
            prove(roles),
        ),
        Withheld::ProofLost(roles) => message(
            format!(
                "The role {role_arn} no longer requires the external ID of this organisation: it was changed or created again. \
                 Delivery has stopped until it is proven that the role is still meant for this organisation. Events wait \
                 meanwhile."
            ),
            prove(roles),
        ),
        Withheld::BucketTaken => message(
            format!(
                "Another destination of this service already delivers to the bucket {bucket}, under a prefix that overlaps \
                 with the one of this destination."
            ),
            "If the bucket is yours, ask who in your company set up the other destination. Save this one with another prefix, \
             of which neither begins with the other, or with another bucket.",
        ),
        Withheld::RoleTaken => message(
            format!("Another destination of this service already uses the role {role_arn}."),
            Prose::from(
                "Create a role for this destination alone. If both shall use one role, its trust policy must require the \
                 external ID of each; for this one: ",
            ) + Condition::external_id(external_id)
                + ".",
        ),
    }
}

/// What a message can refer to.
struct Context<'a> {
    call: Call,
    /// AWS's own message. Empty if there was no answer.
    answer: &'a str,
    bucket_region: Option<&'a str>,
    target: &'a Target,
}

impl Context<'_> {
    /// The role cannot be assumed, or its session is not accepted.
    fn role(&self, failure: FailureCode) -> Message {
        let Target { bucket, role_arn, .. } = self.target;
        let (account, name, partition) = (role_arn.account(), role_arn.name(), role_arn.partition());
        match failure {
            FailureCode::RoleArnInvalid => message(
                format!("AWS rejects {role_arn} as the ARN of a role."),
                Advice::new(
                    "",
                    [
                        Prose::from(format!(
                            "Compare it with the ARN in the IAM console of account {account}, Roles, {name}. A path before \
                             the name is part of the ARN."
                        )),
                        Prose::from(format!(
                            "The ARN is in the partition {partition}. A role can be assumed only from its own partition: \
                             {}. Save the destination with the right role.",
                            partitions()
                        )),
                    ],
                ),
            ),
            FailureCode::RoleDeniedByResourceControlPolicy => message(
                format!(
                    "A resource control policy of your AWS organization prevents us from assuming the role {role_arn}."
                ),
                Prose::from(format!(
                    "In the organization's management account: AWS Organizations console, Policies, Resource control \
                     policies. Find the Deny of sts:AssumeRole that applies to account {account}, and add this to its \
                     Condition: "
                )) + Condition::except_account(self.our_account().as_deref().unwrap_or("OUR_ACCOUNT_ID"))
                    + ".",
            ),
            FailureCode::StsRegionDisabled => message(
                format!(
                    "AWS Security Token Service (STS) is not active for account {account} in the region where we run."
                ),
                format!(
                    "In account {account}: IAM console, Account settings, Security Token Service (STS), Endpoints. \
                     Activate the region where we run; ask our support for its name. If the region is not in the list, \
                     enable it first: Account page, AWS Regions."
                ),
            ),
            FailureCode::SessionPolicyTooLarge => message(
                "Your prefix is too long: the policy that limits our session to it exceeds the limit of AWS.",
                "Save the destination with a shorter prefix.",
            ),
            FailureCode::SessionPolicyMalformed => {
                message("AWS rejects the policy that limits our session to your bucket and prefix.", OURS)
            }
            FailureCode::OperatorNotAuthorized => {
                message("AWS rejects our own identity, or does not allow it to assume roles.", OURS)
            }
            FailureCode::SessionDenied => message(
                format!("The role {role_arn} can be assumed, but S3 rejects its session."),
                Advice::new(
                    "The next attempt opens a new session. This is enough if the role was just replaced. Otherwise:",
                    [
                        Prose::from(format!(
                            "If the bucket {bucket} is in a region that must be enabled first, enable it in account \
                             {account}: Account page, AWS Regions."
                        )),
                        Prose::from("If not, send our support the answer from AWS."),
                    ],
                ),
            ),
            _ => self.trust(),
        }
    }

    /// The role cannot be assumed. AWS gives the same answer for several causes, unless it names the trust policy.
    fn trust(&self) -> Message {
        let Target { role_arn, external_id, .. } = self.target;
        let (account, name) = (role_arn.account(), role_arn.name());
        let trust = match self.our_account() {
            Some(ours) => {
                Prose::from("paste exactly this: ")
                    + snippet(SnippetKind::Trust, Policy::trust(role_arn.partition(), &ours, external_id))
            }
            None => {
                Prose::from("paste the trust policy from the setup of this destination, with the condition ")
                    + Condition::external_id(external_id)
            }
        };
        let command =
            format!("aws iam update-assume-role-policy --role-name {name} --policy-document file://trust.json");
        let paste = Prose::from(format!("IAM console, Roles, {name}, Trust relationships, Edit trust policy: "))
            + trust
            + ". Or save it as trust.json and run: "
            + code(command)
            + ". If others use the role too, add the statement to their policy";
        match Denial::read(self.answer).map(|denial| denial.how) {
            Some(How::Explicitly) => message(
                format!("A Deny in the trust policy of the role {role_arn} prevents us from assuming it."),
                Prose::from(format!("In account {account}: remove the Deny. ")) + paste + ".",
            ),
            Some(How::Implicitly) => message(
                format!("The role {role_arn} does not trust us, or requires another external ID than {external_id}."),
                Prose::from(format!("In account {account}: ")) + paste + ".",
            ),
            None => message(
                format!(
                    "The role {role_arn} cannot be assumed. It does not exist, does not trust us, or requires another \
                     external ID; AWS does not say which."
                ),
                Advice::new(
                    format!("In account {account}, in this order:"),
                    [
                        Prose::from(format!("Does the role {name} exist? IAM console, Roles; or: "))
                            + code(format!("aws iam get-role --role-name {name}"))
                            + ". Its ARN must be "
                            + code(role_arn)
                            + ", including any path.",
                        Prose::from("Does it trust us? If it requires an external ID, is it ")
                            + code(external_id)
                            + "? "
                            + paste
                            + ".",
                        Prose::from(
                            "If all of this is right, a resource control policy of your AWS organization may deny \
                             sts:AssumeRole.",
                        ),
                    ],
                ),
            ),
        }
    }

    /// The bucket cannot be found or used at all.
    fn bucket(&self, failure: FailureCode) -> Message {
        let Target { bucket, role_arn, region, .. } = self.target;
        let account = role_arn.account();
        match failure {
            FailureCode::BucketNameInvalid => message(
                format!("S3 rejects {bucket} as the name of a bucket."),
                "Save the destination with the name that the S3 console shows under Buckets: the name alone, neither an \
                 ARN nor the alias of an access point.",
            ),
            FailureCode::WrongRegion => self.region(),
            FailureCode::BucketOwnerDiffers => message(
                format!(
                    "The bucket {bucket} belongs to another account than {account}, the role's, and does not allow the \
                     role to write."
                ),
                Advice::new(
                    "",
                    [
                        Prose::from(
                            "If the bucket should be in the role's account, save the destination with the right name of \
                             the bucket.",
                        ),
                        Prose::from(
                            "If it should be in another account, save the destination with the 12 digits of that account \
                             as bucketOwner.",
                        ),
                        Prose::from(format!(
                            "In that account: S3 console, Buckets, {bucket}, Permissions, Bucket policy, Edit. Add this \
                             statement, or paste the whole policy if there is none: "
                        )) + snippet(SnippetKind::Bucket, Policy::bucket(self.target))
                            + ". The bucket's owner owns the objects only if Object Ownership is set to Bucket owner \
                               enforced.",
                    ],
                ),
            ),
            FailureCode::BucketAccessDisabled => message(
                format!("AWS has disabled all access to the bucket {bucket}."),
                "From the account that owns the bucket: ask AWS Support to enable access again. An unpaid bill can be the \
                 reason: see the Billing console.",
            ),
            FailureCode::AccountProblem => message(
                format!("AWS reports a problem with the account that owns the bucket {bucket}."),
                "In that account: see the Billing console, and ask AWS Support. The account may be suspended, or not \
                 signed up for S3.",
            ),
            _ => {
                let region =
                    region.as_ref().map_or_else(String::new, |region| format!(" --region {}", region.as_str()));
                message(
                    format!("There is no bucket {bucket}."),
                    Advice::new(
                        "",
                        [
                            Prose::from(format!(
                                "Compare the name: S3 console of account {account}, Buckets. If it differs, save the \
                                 destination with the right name."
                            )),
                            Prose::from("If the bucket was deleted, create it again: ")
                                + code(format!("aws s3 mb s3://{bucket}{region}"))
                                + ". Events wait for it until they expire.",
                        ],
                    ),
                )
            }
        }
    }

    /// The bucket is in another region than expected.
    fn region(&self) -> Message {
        let Target { bucket, role_arn, region, .. } = self.target;
        let partition = role_arn.partition();
        let expected = match region {
            Some(region) => format!("not in {}, the region that is saved", region.as_str()),
            None => "not in the region where we run".to_owned(),
        };
        match self.bucket_region.and_then(|name| name.parse::<Region>().ok()) {
            Some(found) if found.partition() != partition => message(
                format!(
                    "The bucket {bucket} is in {}, in the partition {}, but the role is in {partition}.",
                    found.as_str(),
                    found.partition()
                ),
                format!(
                    "Save the destination with a bucket in the partition {partition}, in which we run. A role cannot \
                     write to another partition."
                ),
            ),
            Some(found) => message(
                format!("The bucket {bucket} is in {}, {expected}.", found.as_str()),
                format!(
                    "No action is needed: we have saved the region, and the next attempt uses it. If this failure stays, \
                     save the destination with the region {}.",
                    found.as_str()
                ),
            ),
            None => message(
                format!("The bucket {bucket} is {expected}. AWS does not say where it is."),
                Prose::from(
                    "Save the destination with the bucket's region: S3 console, Buckets, the column AWS Region; or: ",
                ) + code(format!("aws s3api get-bucket-location --bucket {bucket}"))
                    + " (null means us-east-1). If the bucket is only a few hours old, this failure ends without a change.",
            ),
        }
    }

    /// A policy denies the put.
    fn denied_put(&self, failure: FailureCode) -> Message {
        let Target { bucket, role_arn, .. } = self.target;
        let (account, name) = (role_arn.account(), role_arn.name());
        let objects = code(target_objects(self.target));
        let except_role = Condition::except_role(self.target);
        let put = snippet(
            SnippetKind::Permission,
            Policy::put_objects(role_arn.partition(), bucket.as_str(), self.target.prefix.as_str()),
        );
        let denial = Denial::read(self.answer);
        let is_explicit = denial.is_some_and(|denial| denial.how == How::Explicitly);
        match failure {
            FailureCode::PutDeniedByPermissionsBoundary => message(
                format!(
                    "The permissions boundary of the role {role_arn} does not allow it to write to the bucket {bucket}."
                ),
                Prose::from(format!(
                    "In account {account}: IAM console, Roles, {name}, Permissions, Permissions boundary. "
                )) + if is_explicit {
                    Prose::from("A Deny in it applies to s3:PutObject on ")
                        + objects
                        + ": remove the Deny, or add this to its Condition: "
                        + except_role
                        + "."
                } else {
                    Prose::from("The boundary must allow the put too. It needs: ") + put + "."
                } + " The role's own policies cannot override the boundary.",
            ),
            FailureCode::PutDeniedBySessionPolicy => message(
                format!(
                    "We limited our session to the wrong objects: it cannot write {}.",
                    target_objects(self.target)
                ),
                OURS,
            ),
            FailureCode::PutDeniedByBucketPolicy => message(
                format!("The policy of the bucket {bucket} prevents the role {role_arn} from writing."),
                Prose::from(format!(
                    "In the account that owns the bucket: S3 console, Buckets, {bucket}, Permissions, Bucket policy; or: "
                )) + code(format!("aws s3api get-bucket-policy --bucket {bucket}"))
                    + ". Find the Deny that applies to s3:PutObject on "
                    + objects
                    + ", and add this to its Condition: "
                    + except_role
                    + ". Usual reasons: the Deny requires an ACL (s3:x-amz-acl) or an encryption header \
                       (s3:x-amz-server-side-encryption), and we send neither: set the bucket's Object Ownership to \
                       Bucket owner enforced, and its default encryption, instead. Or it requires your network or \
                       organization (aws:SourceIp, aws:SourceVpce, aws:PrincipalOrgID), and we call from ours.",
            ),
            FailureCode::PutDeniedByServiceControlPolicy => message(
                format!(
                    "A service control policy of your AWS organization prevents the role {role_arn} from writing to the \
                     bucket {bucket}."
                ),
                Prose::from(format!(
                    "In the organization's management account: AWS Organizations console, AWS accounts, {account}, \
                     Policies; or: "
                )) + code(format!(
                    "aws organizations list-policies-for-target --target-id {account} --filter SERVICE_CONTROL_POLICY"
                )) + ". "
                    + if is_explicit {
                        Prose::from("Find the Deny that applies to s3:PutObject, and add this to its Condition: ")
                            + except_role
                            + "."
                    } else {
                        Prose::from(
                            "Each level, from the root to the account, must allow s3:PutObject: attach FullAWSAccess, or \
                             add this statement to its policy: ",
                        ) + Statement::put_any_object()
                            + "."
                    }
                    + " The policies of parent units count too.",
            ),
            FailureCode::PutDeniedByResourceControlPolicy => message(
                format!(
                    "A resource control policy of your AWS organization prevents the role {role_arn} from writing to the \
                     bucket {bucket}."
                ),
                Prose::from(
                    "In the organization's management account: AWS Organizations console, Policies, Resource control \
                     policies. Find the Deny that applies to s3:PutObject in the account of the bucket, and add this to \
                     its Condition: ",
                ) + except_role
                    + ".",
            ),
            FailureCode::PutDeniedByVpcEndpointPolicy => message(
                format!("The VPC endpoint through which we call S3 does not allow us to write to the bucket {bucket}."),
                Prose::from(OURS) + " The endpoint's policy must allow s3:PutObject on " + objects + ".",
            ),
            _ if is_explicit => message(
                format!("A policy of the role {role_arn} prevents it from writing to the bucket {bucket}."),
                Prose::from(format!(
                    "In account {account}: IAM console, Roles, {name}, Permissions. Find the Deny that applies to \
                     s3:PutObject on "
                )) + objects
                    + ", and remove it. If it is AWSRevokeOlderSessions, no action is needed: the next attempt opens a \
                       new session. The role must allow: "
                    + put
                    + ".",
            ),
            _ => {
                let command = format!(
                    "aws iam put-role-policy --role-name {name} --policy-name annals-put --policy-document \
                     file://put.json"
                );
                let allow = Prose::from(format!(
                    "IAM console, Roles, {name}, Permissions, Add permissions, Create inline policy, JSON: paste "
                )) + put
                    + ". Or save it as put.json and run: "
                    + code(command)
                    + ".";
                if denial.is_some() {
                    return message(
                        format!("No policy of the role {role_arn} allows it to write to the bucket {bucket}."),
                        Prose::from(format!("In account {account}: ")) + allow,
                    );
                }
                let owner = &self.target.bucket_owner;
                message(
                    format!("The role {role_arn} cannot write to the bucket {bucket}. AWS does not say why."),
                    Advice::new(
                        "S3 does not give the reason if another account owns the bucket than expected, or if the bucket \
                         is outside the role's organization. In this order:",
                        [
                            Prose::from(format!(
                                "Is {bucket} in account {owner}, the only one in which we accept it? S3 console of that \
                                 account, Buckets. If the name belongs to a stranger, save the destination with the name \
                                 of your own bucket. If the bucket should be in another account, save the destination \
                                 with the 12 digits of that account as bucketOwner."
                            )),
                            Prose::from(format!("In account {account}: ")) + allow,
                            Prose::from(format!(
                                "If the two accounts differ, the bucket's policy must allow the role too: S3 console of \
                                 the bucket's account, Buckets, {bucket}, Permissions, Bucket policy: "
                            )) + snippet(SnippetKind::Bucket, Policy::bucket(self.target))
                                + ".",
                            Prose::from(
                                "Look for a Deny that applies to the role, in the policy of the bucket and in that of its \
                                 KMS key.",
                            ),
                        ],
                    ),
                )
            }
        }
    }

    /// The bucket's KMS key cannot be used.
    fn key(&self, failure: FailureCode) -> Message {
        let Target { bucket, role_arn, .. } = self.target;
        let arn = denial::kms_key(self.answer);
        let key = arn.map_or_else(|| "the KMS key".to_owned(), |arn| format!("the KMS key {arn}"));
        let id = arn.unwrap_or("KEY_ID");
        let setting = format!("S3 console, Buckets, {bucket}, Properties, Default encryption");
        match failure {
            FailureCode::KmsKeyDisabled => message(
                format!("The bucket {bucket} encrypts with a KMS key that is disabled."),
                Prose::from(format!(
                    "Enable {key} in the account that owns it: KMS console, Customer managed keys, the key, Key actions, \
                     Enable; or: "
                )) + code(format!("aws kms enable-key --key-id {id}"))
                    + format!(". To see which key it is: {setting}."),
            ),
            FailureCode::KmsKeyMissing => message(
                format!("The bucket {bucket} encrypts with a KMS key that does not exist in its region."),
                format!(
                    "{setting}, Edit: choose a key in the bucket's region, or Amazon S3 managed keys (SSE-S3). A key of \
                     another account must be given by its full ARN."
                ),
            ),
            FailureCode::KmsKeyUnusable => message(
                format!("The bucket {bucket} encrypts with a KMS key that cannot be used in its present state."),
                Prose::from(format!("Look at {key}: KMS console, Customer managed keys; or: "))
                    + code(format!("aws kms describe-key --key-id {id}"))
                    + ". If the key is pending deletion: "
                    + code(format!("aws kms cancel-key-deletion --key-id {id}"))
                    + ", then "
                    + code(format!("aws kms enable-key --key-id {id}"))
                    + format!(
                        ". If it is pending import, import its key material. If it is not a symmetric encryption key, \
                         choose one: {setting}, Edit."
                    ),
            ),
            _ => message(
                format!("The role {role_arn} cannot encrypt with {key}, which the bucket {bucket} requires."),
                self.denied_key(arn, &setting),
            ),
        }
    }

    /// What to change if a policy denies the use of the KMS key.
    fn denied_key(&self, key: Option<&str>, setting: &str) -> Advice {
        let Target { role_arn, .. } = self.target;
        let (account, name) = (role_arn.account(), role_arn.name());
        let except_role = Condition::except_role(self.target);
        let encrypt = Policy::encrypt(role_arn.partition(), key.unwrap_or("*"));
        let attach = Prose::from(format!(
            "In account {account}: IAM console, Roles, {name}, Permissions, Add permissions, Create inline policy, JSON: \
             paste "
        )) + snippet(SnippetKind::KmsPermission, encrypt)
            + ".";
        match Denial::read(self.answer) {
            Some(Denial { by: PolicyKind::Identity, how: How::Implicitly }) => {
                (attach + " If the key is in another account, its key policy must allow the role too.").into()
            }
            Some(Denial { by: PolicyKind::Session | PolicyKind::VpcEndpoint, .. }) => OURS.into(),
            Some(Denial { by: PolicyKind::ServiceControl | PolicyKind::ResourceControl, .. }) => (Prose::from(
                "A policy of your AWS organization denies it. In the management account: AWS Organizations console, \
                 Policies. Find the policy that applies to kms:GenerateDataKey, and let it allow the role. For a Deny, \
                 add this to its Condition: ",
            ) + except_role
                + ".")
                .into(),
            Some(Denial { how: How::Explicitly, .. }) => (Prose::from(format!(
                "A Deny applies, in the policy of the key (KMS console) or in those of the role (IAM console, Roles, \
                 {name}). Remove it, or add this to its Condition: "
            )) + except_role
                + ".")
                .into(),
            _ => Advice::new(
                "The role and the key must both allow it.",
                [
                    attach,
                    Prose::from(
                        "In the account that owns the key: KMS console, Customer managed keys, the key, Key policy, Edit: \
                         add the statement ",
                    ) + Statement::use_key(self.target)
                        + ".",
                    Prose::from(format!(
                        "The key must be enabled, and in the bucket's region. The key aws/s3 works only in its own \
                         account: if the bucket and the role are in different accounts, choose a customer managed key: \
                         {setting}."
                    )),
                ],
            ),
        }
    }

    /// S3 does not accept the object.
    fn object(&self, failure: FailureCode) -> Message {
        let Target { bucket, .. } = self.target;
        match failure {
            FailureCode::AclNotSupported => message(
                format!("The bucket {bucket} does not accept ACLs, but the object arrived with one. We send none."),
                OURS,
            ),
            FailureCode::MethodNotAllowed => message(
                format!("The bucket {bucket} does not accept objects."),
                format!(
                    "Save the destination with the name of a general purpose bucket: S3 console, Buckets. An access \
                     point, an Object Lambda access point or a vector bucket does not work. If {bucket} is a general \
                     purpose bucket, tell our support."
                ),
            ),
            FailureCode::KeyTooLong => message(
                format!("The object's key is longer than the 1,024 bytes that S3 allows in {bucket}."),
                "Save the destination with a shorter prefix.",
            ),
            FailureCode::ObjectTooLarge => message("The object is larger than S3 allows.", OURS),
            FailureCode::KeyTaken => {
                let owned = code(target_objects(self.target));
                let role = code(&self.target.role_arn);
                message(
                    format!(
                        "Each of the new keys that we tried in the bucket {bucket} had an object already. We did not \
                         write it, and we never replace an object."
                    ),
                    Advice::new(
                        "Keys end in random characters, so somebody puts objects there on purpose.",
                        [
                            Prose::from(format!(
                                "See who does it: CloudTrail, data events of {bucket}, PutObject; or the server access \
                                 logs of the bucket."
                            )),
                            Prose::from("Let nobody but the role ") + role + " write " + owned + ".",
                            Prose::from("The next attempt uses new keys. Events wait for it until they expire."),
                        ],
                    ),
                )
            }
            FailureCode::DamagedOnTheWay => {
                message("The object was damaged on its way to S3. S3 stored nothing.", RETRIED)
            }
            FailureCode::Conflict => message(
                format!("Another change to the same object, or to the bucket {bucket}, was in progress."),
                format!("{RETRIED} If this lasts, check whether the bucket is being created or deleted."),
            ),
            _ => message(
                format!("The bucket {bucket} has Object Lock, and does not accept the object as it was sent."),
                Prose::from(format!(
                    "In the account that owns the bucket: S3 console, Buckets, {bucket}, Properties, Object Lock; or: "
                )) + code(format!("aws s3api get-object-lock-configuration --bucket {bucket}"))
                    + ". A default retention works: we send the checksum that it requires, and need no other permission. \
                       If there is only a default retention, send our support the answer from AWS.",
            ),
        }
    }

    /// The way to AWS failed, or AWS answered something that is not known.
    fn network(&self, failure: FailureCode) -> Message {
        let Target { bucket, role_arn, .. } = self.target;
        let service = match self.call {
            Call::AssumeRole => "AWS Security Token Service (STS)".to_owned(),
            Call::PutObject => format!("S3 in the region of the bucket {bucket}"),
        };
        let cause = match failure {
            FailureCode::ClockSkewed => {
                return message("AWS reports that our clock differs too much from its own.", OURS);
            }
            FailureCode::SlowDown => {
                let cause = match self.call {
                    Call::AssumeRole => format!("{service} limits the rate of calls."),
                    Call::PutObject => format!("S3 asks all writers to the bucket {bucket} to slow down."),
                };
                let fix = "If this lasts, something else writes too fast below the same prefix: use a prefix of its own \
                           for this destination.";
                return message(cause, format!("{RETRIED} {fix}"));
            }
            FailureCode::AssumeRoleThrottled => {
                return message(
                    format!("{service} limits the rate at which we assume roles: our quota is used up."),
                    format!("{RETRIED} If this lasts, tell our support."),
                );
            }
            FailureCode::Throttled => {
                let account = role_arn.account();
                return message(
                    format!("{service} limits the rate of calls."),
                    format!("{RETRIED} If this lasts, see the quotas of account {account}."),
                );
            }
            FailureCode::AwsUnavailable => {
                return message(
                    format!("{service} has an outage or an internal error."),
                    format!("{RETRIED} If this lasts, see the AWS Health Dashboard."),
                );
            }
            FailureCode::TimedOut => format!("{service} did not answer in time."),
            FailureCode::NameNotResolved => format!("The host name of {service} could not be resolved."),
            FailureCode::TlsFailed => format!("A secure connection (TLS) to {service} could not be made."),
            FailureCode::ConnectionRefused => format!("{service} refused the connection."),
            FailureCode::Unreachable => format!("{service} could not be reached."),
            _ => {
                let cause = match self.call {
                    Call::AssumeRole => format!("The role {role_arn} could not be assumed."),
                    Call::PutObject => format!("The bucket {bucket} refused the object."),
                };
                return message(
                    format!("{cause} The answer from AWS is not one that we know."),
                    "Read the answer from AWS. If it does not help, send it to our support with the request ID, by which \
                     AWS can find the call.",
                );
            }
        };
        message(
            cause,
            format!(
                "{RETRIED} If this lasts, see the AWS Health Dashboard, and tell our support: it may be our network."
            ),
        )
    }

    /// Returns the account that we call from, as AWS names it in its refusal.
    fn our_account(&self) -> Option<String> {
        let account = denial::caller(self.answer)?.split(':').nth(4)?;
        let fits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| account.to_owned())
    }
}

/// Returns the names of the partitions, with what people call them.
fn partitions() -> String {
    let names = PARTITIONS.map(|partition| match partition.name {
        "aws" => partition.name.to_owned(),
        name => format!("{name} ({})", partition.title),
    });
    names.join(", ").replace(", aws-us-gov", " or aws-us-gov")
}
