//! The catalogue of failures: AWS's documented answers, replayed over HTTP to the deployed SDK clients, and the
//! failures that users see. `infra/docs/failures.md` is generated from these fixtures.
//!
//! `ANNALS_WRITE_DOCS=1 cargo test -p annals-tests --test end_to_end failures::` generates the page again.
//!
//! A comment above each fixture names its source: pages of AWS's documentation by title. "Error responses" is the
//! Amazon S3 API Reference's, "AssumeRole" and "Common error types" the AWS STS API Reference's; "S3 403" is
//! "Troubleshoot access denied (403 Forbidden) errors in Amazon S3" (Amazon S3 User Guide), "IAM denied" is
//! "Troubleshoot access denied error messages" (IAM User Guide). Where a page gives a code or a form but no message,
//! the message is the one that AWS is known to send, with names filled in.

use std::{collections::BTreeSet, fmt::Write as _, path::Path, sync::Arc, time::Duration};

use annals_aws::{
    s3::{S3ObjectSink, SinkPatience},
    system::SystemClock,
};
use annals_core::{
    destination::{
        RolesWithoutExternalId,
        advice::{Advice, Prose, Span},
        failure::{AWS_MAX_BYTES, Contradiction, Failure, FailureCode, RemediedBy, Withheld},
        sink::{Call, Existing, Object, ObjectSink as _, Reason, SinkError, Stored, Target},
    },
    proof::signer::SignerFault,
};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

const KEY_ARN: &str = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const CALLER: &str = "arn:aws:sts::111122223333:assumed-role/annals-shipper/annals-shipper";
const SESSION: &str = "arn:aws:sts::123456789012:assumed-role/annals/annals-acme";
const OBJECTS: &str = "arn:aws:s3:::amzn-s3-demo-bucket/audit/*";

/// An answer from AWS to one call, and what the message must contain.
struct Fixture {
    code: FailureCode,
    call: Call,
    status: u16,
    aws: &'static str,
    message: String,
    /// Additional headers, each ended by CR LF.
    headers: &'static str,
    /// Additional elements of the error.
    elements: &'static str,
    /// Texts that cause and fix must contain.
    names: &'static [&'static str],
}

fn assume(code: FailureCode, status: u16, aws: &'static str, message: &str) -> Fixture {
    let message = message.replace("{caller}", CALLER).replace("{role}", "arn:aws:iam::123456789012:role/annals");
    Fixture { code, call: Call::AssumeRole, status, aws, message, headers: "", elements: "", names: &[] }
}

fn put(code: FailureCode, status: u16, aws: &'static str, message: &str) -> Fixture {
    let message = message
        .replace("{user}", &format!("User: {SESSION} is not authorized to perform: s3:PutObject"))
        .replace("{object}", "\"arn:aws:s3:::amzn-s3-demo-bucket/audit/2026-11/22/x.json\"")
        .replace("{key}", KEY_ARN)
        .replace("{session}", SESSION);
    Fixture { call: Call::PutObject, message, ..assume(code, status, aws, "") }
}

impl Fixture {
    fn naming(self, names: &'static [&'static str]) -> Self {
        Self { names, ..self }
    }

    /// The HTTP answer.
    fn http(&self) -> String {
        let Self { status, aws, headers, elements, .. } = self;
        let message = self.message.replace('&', "&amp;").replace('<', "&lt;");
        let (kind, id, body) = match self.call {
            Call::AssumeRole => (
                "text/xml",
                "x-amzn-RequestId: c6104cbe-af31-11e0-8154-cbc7ccf896c7",
                format!(
                    "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    \
                     <Type>Sender</Type>\n    <Code>{aws}</Code>\n    <Message>{message}</Message>\n  </Error>\n  \
                     <RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId>\n</ErrorResponse>\n"
                ),
            ),
            Call::PutObject => (
                "application/xml",
                "x-amz-request-id: 4442587FB7D0A2F9\r\nx-amz-id-2: \
                 eftixk72aD6Ap51TnqcoF8eFidJG9Z/2mkiDFu8yU9AS1ed4OpIszj7UDNEHGran\r\nServer: AmazonS3",
                format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{aws}</Code><Message>{message}</Message>\
                     {elements}<RequestId>4442587FB7D0A2F9</RequestId><HostId>eftixk72aD6Ap51TnqcoF8eFidJG9Z/\
                     2mkiDFu8yU9AS1ed4OpIszj7UDNEHGran</HostId></Error>"
                ),
            ),
        };
        let length = body.len();
        format!(
            "HTTP/1.1 {status} Refused\r\nContent-Type: {kind}\r\n{id}\r\n{headers}Content-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )
    }
}

fn fixtures() -> Vec<Fixture> {
    use FailureCode as Code;
    vec![
        // IAM denied (role trust policies); STS documents no code of its own. Across accounts the message ends with the
        // role's ARN: the same where there is no such role, where it does not trust, and where the external id differs
        // ("How to use an external ID when granting access to your AWS resources to a third party", IAM User Guide).
        assume(
            Code::RoleNotAssumable,
            403,
            "AccessDenied",
            "User: {caller} is not authorized to perform: sts:AssumeRole on resource: {role}",
        )
        .naming(&[
            "account 123456789012",
            "--role-name annals",
            r#""AWS":"arn:aws:iam::111122223333:root""#,
            r#""sts:ExternalId":"annals-7f3kq9""#,
        ]),
        // IAM denied, "role trust policies – implicit denial".
        assume(
            Code::RoleNotAssumable,
            403,
            "AccessDenied",
            "User: {caller} is not authorized to perform: sts:AssumeRole because no role trust policy allows the \
             sts:AssumeRole action",
        )
        .naming(&[r#""sts:ExternalId":"annals-7f3kq9""#]),
        // IAM denied, "role trust policies – explicit denial".
        assume(
            Code::RoleNotAssumable,
            403,
            "AccessDenied",
            "User: {caller} is not authorized to perform: sts:AssumeRole with an explicit deny in the role trust policy",
        )
        .naming(&["remove the Deny"]),
        // Common error types, ValidationError; the message from "How do I troubleshoot issues with IAM roles for
        // service accounts" (AWS Knowledge Center).
        assume(Code::RoleArnInvalid, 400, "ValidationError", "Request ARN is invalid")
            .naming(&["arn:aws:iam::123456789012:role/annals", "aws-us-gov (GovCloud)"]),
        // S3 403, "resource control policy – explicit denial", for STS as in "Resource control policies (RCPs)" (AWS
        // Organizations User Guide).
        assume(
            Code::RoleDeniedByResourceControlPolicy,
            403,
            "AccessDenied",
            "User: {caller} is not authorized to perform: sts:AssumeRole on resource: {role} with an explicit deny in a \
             resource control policy",
        )
        .naming(&["management account", r#"{"StringNotEquals":{"aws:PrincipalAccount":"111122223333"}}"#]),
        // AssumeRole, RegionDisabled; the message from "Manage AWS STS in an AWS Region" (IAM User Guide).
        assume(
            Code::StsRegionDisabled,
            403,
            "RegionDisabledException",
            "STS is not activated in this region for account:123456789012. Your account administrator can activate STS in \
             this region using the IAM Console.",
        )
        .naming(&["account 123456789012", "Account settings"]),
        // AssumeRole, PackedPolicyTooLarge.
        assume(Code::SessionPolicyTooLarge, 400, "PackedPolicyTooLarge", "Packed policy consumes 104% of allotted space")
            .naming(&["shorter prefix"]),
        // AssumeRole, MalformedPolicyDocument.
        assume(Code::SessionPolicyMalformed, 400, "MalformedPolicyDocument", "This policy contains invalid Json")
            .naming(&["support"]),
        // Common error types, InvalidClientTokenId.
        assume(
            Code::OperatorNotAuthorized,
            403,
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
        )
        .naming(&["support"]),
        // Common error types, ExpiredTokenException.
        assume(
            Code::OperatorNotAuthorized,
            403,
            "ExpiredToken",
            "The security token included in the request is expired",
        ),
        // IAM denied, "identity-based policies – implicit denial": of the caller, so ours.
        assume(
            Code::OperatorNotAuthorized,
            403,
            "AccessDenied",
            "User: {caller} is not authorized to perform: sts:AssumeRole on resource: {role} because no identity-based \
             policy allows the sts:AssumeRole action",
        ),
        // "Troubleshoot Signature Version 4 request errors" (IAM User Guide).
        assume(
            Code::ClockSkewed,
            403,
            "SignatureDoesNotMatch",
            "Signature expired: 20261122T101000Z is now earlier than 20261122T102500Z (20261122T104000Z - 15 min.)",
        )
        .naming(&["clock"]),
        // Common error types, ThrottlingException; STS answers "Throttling".
        assume(Code::AssumeRoleThrottled, 400, "Throttling", "Rate exceeded").naming(&["Token Service"]),
        // Common error types, ServiceUnavailable.
        assume(Code::AwsUnavailable, 503, "ServiceUnavailable", "Service is unavailable.").naming(&["Token Service"]),
        // Error responses.
        put(
            Code::SessionDenied,
            403,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
        )
        .naming(&["arn:aws:iam::123456789012:role/annals"]),
        put(Code::SessionDenied, 400, "ExpiredToken", "The provided token has expired."),
        put(Code::SessionDenied, 400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
            .naming(&["AWS Regions"]),
        put(Code::BucketMissing, 404, "NoSuchBucket", "The specified bucket does not exist")
            .naming(&["account 123456789012", "aws s3 mb s3://amzn-s3-demo-bucket"]),
        put(Code::BucketNameInvalid, 400, "InvalidBucketName", "The specified bucket is not valid.")
            .naming(&["amzn-s3-demo-bucket"]),
        // Error responses; the region's header is documented at HeadBucket.
        Fixture {
            headers: "x-amz-bucket-region: eu-west-1\r\n",
            ..put(
                Code::WrongRegion,
                301,
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all \
                 future requests to this endpoint.",
            )
        }
        .naming(&["eu-west-1", "saved the region"]),
        // Error responses: without the header, the body's Endpoint, Region or message says where.
        Fixture {
            elements: "<Endpoint>amzn-s3-demo-bucket.s3-eu-west-1.amazonaws.com</Endpoint><Bucket>amzn-s3-demo-bucket\
                       </Bucket>",
            ..put(
                Code::WrongRegion,
                307,
                "TemporaryRedirect",
                "Please re-send this request to the specified temporary endpoint. Continue to use the original request \
                 endpoint for future requests.",
            )
        }
        .naming(&["eu-west-1"]),
        Fixture {
            elements: "<Region>eu-west-1</Region>",
            ..put(
                Code::WrongRegion,
                400,
                "AuthorizationHeaderMalformed",
                "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'",
            )
        }
        .naming(&["eu-west-1"]),
        Fixture {
            elements: "<Endpoint>s3.amazonaws.com</Endpoint>",
            ..put(
                Code::WrongRegion,
                301,
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified endpoint.",
            )
        }
        .naming(&["get-bucket-location --bucket amzn-s3-demo-bucket"]),
        // S3 403, "resource-based policies – implicit denial": within an account none needs to allow, so the bucket is
        // another's ("Cross-account policy evaluation logic", IAM User Guide).
        put(
            Code::BucketOwnerDiffers,
            403,
            "AccessDenied",
            "{user} on resource: {object} because no resource-based policy allows the s3:PutObject action",
        )
        .naming(&["123456789012", r#""Principal":{"AWS":"arn:aws:iam::123456789012:role/annals"}"#, OBJECTS]),
        put(
            Code::BucketAccessDisabled,
            403,
            "AllAccessDisabled",
            "All access to this Amazon S3 resource has been disabled. Contact AWS Support for further assistance.",
        )
        .naming(&["AWS Support"]),
        put(
            Code::AccountProblem,
            403,
            "AccountProblem",
            "There is a problem with your AWS account that prevents the operation from completing successfully. Contact \
             AWS Support for further assistance.",
        )
        .naming(&["AWS Support"]),
        put(Code::AccountProblem, 403, "NotSignedUp", "Your account is not signed up for the Amazon S3 service."),
        // S3 403: what everyone outside the bucket's account and organisation gets. PutObject (Amazon S3 API Reference)
        // documents the same for an owner that is not the expected one.
        put(Code::PutDenied, 403, "AccessDenied", "Access Denied").naming(&[
            "account 123456789012",
            OBJECTS,
            r#""Action":"s3:PutObject""#,
            "file://put.json",
        ]),
        // S3 403, "identity-based policies", both denials.
        put(
            Code::PutDenied,
            403,
            "AccessDenied",
            "{user} on resource: {object} because no identity-based policy allows the s3:PutObject action",
        )
        .naming(&[OBJECTS, "file://put.json", "account 123456789012"]),
        put(
            Code::PutDenied,
            403,
            "AccessDenied",
            "{user} on resource: {object} with an explicit deny in an identity-based policy",
        )
        .naming(&["Find the Deny", OBJECTS]),
        // S3 403, each under its own heading.
        put(
            Code::PutDeniedByPermissionsBoundary,
            403,
            "AccessDenied",
            "{user} on resource: {object} because no permissions boundary allows the s3:PutObject action",
        )
        .naming(&["Permissions boundary", OBJECTS]),
        put(
            Code::PutDeniedByPermissionsBoundary,
            403,
            "AccessDenied",
            "{user} with an explicit deny in a permissions boundary",
        )
        .naming(&["aws:PrincipalArn"]),
        put(
            Code::PutDeniedBySessionPolicy,
            403,
            "AccessDenied",
            "{user} because no session policy allows the s3:PutObject action",
        )
        .naming(&["support"]),
        put(
            Code::PutDeniedByBucketPolicy,
            403,
            "AccessDenied",
            "{user} on resource: {object} with an explicit deny in a resource-based policy",
        )
        .naming(&[
            "Bucket policy",
            "s3:x-amz-acl",
            r#"{"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::123456789012:role/annals"}}"#,
        ]),
        put(
            Code::PutDeniedByServiceControlPolicy,
            403,
            "AccessDenied",
            "{user} with an explicit deny in a service control policy",
        )
        .naming(&["management account", "--target-id 123456789012", "aws:PrincipalArn"]),
        put(
            Code::PutDeniedByServiceControlPolicy,
            403,
            "AccessDenied",
            "{user} because no service control policy allows the s3:PutObject action",
        )
        .naming(&["FullAWSAccess"]),
        put(
            Code::PutDeniedByResourceControlPolicy,
            403,
            "AccessDenied",
            "{user} on resource: {object} with an explicit deny in a resource control policy",
        )
        .naming(&["Resource control policies"]),
        put(
            Code::PutDeniedByVpcEndpointPolicy,
            403,
            "AccessDenied",
            "{user} because no VPC endpoint policy allows the s3:PutObject action",
        )
        .naming(&["support", OBJECTS]),
        // "Troubleshoot access denied … Amazon S3 encryption settings" (S3 403); the message's form is IAM denied's.
        put(
            Code::KmsDenied,
            403,
            "AccessDenied",
            "User: {session} is not authorized to perform: kms:GenerateDataKey on resource: {key} because no \
             identity-based policy allows the kms:GenerateDataKey action",
        )
        .naming(&[
            r#""Action":"kms:GenerateDataKey""#,
            "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "account 123456789012",
        ]),
        // "Key access errors", a key of another account: "Troubleshooting key access" (AWS KMS Developer Guide).
        put(
            Code::KmsDenied,
            403,
            "AccessDenied",
            "User: {session} is not authorized to perform: kms:GenerateDataKey on this resource because the resource does \
             not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly \
             denies access",
        )
        .naming(&["Key policy", r#""Principal":{"AWS":"arn:aws:iam::123456789012:role/annals"}"#, "kms:ViaService"]),
        put(
            Code::KmsDenied,
            403,
            "AccessDenied",
            "User: {session} is not authorized to perform: kms:GenerateDataKey on resource: {key} with an explicit deny in \
             a resource-based policy",
        )
        .naming(&["Deny", "aws:PrincipalArn"]),
        // "Key states of AWS KMS keys" (AWS KMS Developer Guide); S3 puts `KMS.` before KMS's own code.
        put(Code::KmsKeyDisabled, 400, "KMS.DisabledException", "{key} is disabled.")
            .naming(&["aws kms enable-key --key-id arn:aws:kms:eu-central-1:123456789012:key/"]),
        put(Code::KmsKeyMissing, 400, "KMS.NotFoundException", "Key '{key}' does not exist").naming(&["SSE-S3"]),
        put(Code::KmsKeyUnusable, 400, "KMS.KMSInvalidStateException", "{key} is pending deletion.")
            .naming(&["cancel-key-deletion --key-id arn:aws:kms:"]),
        // "Throttling AWS KMS requests" (AWS KMS Developer Guide).
        put(
            Code::Throttled,
            400,
            "ThrottlingException",
            "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.",
        )
        .naming(&["amzn-s3-demo-bucket", "automatically"]),
        // PutObject (Amazon S3 API Reference), Content-MD5 with Object Lock.
        put(
            Code::ObjectLock,
            400,
            "InvalidRequest",
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters",
        )
        .naming(&["Object Lock", "get-object-lock-configuration --bucket amzn-s3-demo-bucket"]),
        // "Controlling ownership of objects and disabling ACLs for your bucket" (Amazon S3 User Guide).
        put(Code::AclNotSupported, 400, "AccessControlListNotSupported", "The bucket does not allow ACLs")
            .naming(&["ACL"]),
        put(
            Code::MethodNotAllowed,
            405,
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
        )
        .naming(&["general purpose bucket"]),
        put(Code::KeyTooLong, 400, "KeyTooLongError", "Your key is too long.").naming(&["shorter prefix"]),
        put(
            Code::ObjectTooLarge,
            400,
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed object size.",
        )
        .naming(&["support"]),
        // Error responses. The delivery fails like this when each key that it tried is taken.
        put(
            Code::KeyTaken,
            412,
            "PreconditionFailed",
            "At least one of the preconditions that you specified did not hold.",
        )
        .naming(&["CloudTrail", OBJECTS]),
        put(
            Code::DamagedOnTheWay,
            400,
            "BadDigest",
            "The Content-MD5 or checksum value that you specified did not match what the server received.",
        )
        .naming(&["automatically"]),
        put(
            Code::Conflict,
            409,
            "OperationAborted",
            "A conflicting conditional operation is currently in progress against this resource. Try again.",
        )
        .naming(&["automatically"]),
        put(
            Code::ClockSkewed,
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        )
        .naming(&["clock", "support"]),
        put(Code::SlowDown, 503, "SlowDown", "Please reduce your request rate.").naming(&["automatically"]),
        put(Code::AwsUnavailable, 500, "InternalError", "We encountered an internal error. Please try again.")
            .naming(&["AWS Health Dashboard"]),
        put(Code::AwsUnavailable, 503, "ServiceUnavailable", "Service is unable to handle request."),
        put(
            Code::TimedOut,
            400,
            "RequestTimeout",
            "Your socket connection to the server was not read from or written to within the timeout period.",
        )
        .naming(&["amzn-s3-demo-bucket"]),
        // Error responses, NotImplemented: one of the many for which there is no entry.
        put(
            Code::Unknown,
            501,
            "NotImplemented",
            "A header that you provided implies functionality that is not implemented.",
        ),
    ]
}

fn target(partition: &str) -> Target {
    Target {
        organisation: "acme".parse().unwrap(),
        bucket: "amzn-s3-demo-bucket".parse().unwrap(),
        prefix: "audit".parse().unwrap(),
        role_arn: format!("arn:{partition}:iam::123456789012:role/annals").parse().unwrap(),
        external_id: "annals-7f3kq9".into(),
        region: None,
        bucket_owner: "123456789012".into(),
    }
}

/// The server at the other end.
enum Server {
    /// STS returns a session and S3 this answer, or STS returns this answer.
    Answers(Call, String),
    /// STS returns a session, and S3 one of these answers to each put. After an empty one it hangs up.
    InTurn(Vec<String>),
    /// STS returns a session, and S3 never answers.
    SilentS3,
    /// Never answers.
    Silent,
    /// Closes the connection without an answer.
    HangsUp,
}

impl Server {
    /// Starts the server and returns its port.
    async fn start(self, tasks: &mut JoinSet<()>) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tasks.spawn(async move {
            let (mut held, mut puts) = (Vec::new(), 0);
            while let Ok((mut stream, _)) = listener.accept().await {
                let put = read_request(&mut stream).await;
                let answer = match &self {
                    Self::Answers(Call::PutObject, answer) if put => answer.as_str(),
                    Self::Answers(Call::AssumeRole, answer) => answer.as_str(),
                    Self::InTurn(answers) if put => {
                        puts += 1;
                        answers[puts - 1].as_str()
                    }
                    Self::Answers(..) | Self::InTurn(_) => SESSION_GIVEN,
                    Self::SilentS3 if !put => SESSION_GIVEN,
                    Self::SilentS3 | Self::Silent => {
                        held.push(stream);
                        continue;
                    }
                    Self::HangsUp => continue,
                };
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        port
    }
}

/// AssumeRole (AWS STS API Reference), "Sample response".
const SESSION_GIVEN: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\n\r\n<AssumeRoleResponse \
    xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><AssumedRoleUser><Arn>arn:aws:sts::\
    123456789012:assumed-role/annals/annals-acme</Arn><AssumedRoleId>AROA123EXAMPLE123:annals-acme</AssumedRoleId>\
    </AssumedRoleUser><Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>wJalrXUtnFEMI/\
    K7MDENG/bPxRfiCYzEXAMPLEKEY</SecretAccessKey><SessionToken>AQoDYXdzEPT</SessionToken><Expiration>2099-07-15T23:28:\
    33.359Z</Expiration></Credentials></AssumeRoleResult><ResponseMetadata><RequestId>c6104cbe-af31-11e0-8154-\
    cbc7ccf896c7</RequestId></ResponseMetadata></AssumeRoleResponse>";

/// Reads a whole request and returns whether it is a PUT.
async fn read_request(stream: &mut TcpStream) -> bool {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request);
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse::<usize>().unwrap())
            });
            if request.len() >= head.len() + 4 + length.unwrap_or(0) {
                return head.starts_with("PUT ");
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return false,
            Ok(count) => request.extend_from_slice(&buffer[..count]),
        }
    }
}

/// The deployed adapter with other time limits and all services at `endpoint`.
fn sink(endpoint: &str, patience: SinkPatience) -> S3ObjectSink {
    let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .build();
    S3ObjectSink::with_patience(&config, Arc::new(SystemClock), patience)
}

/// One attempt, because a second one waits before it, and no time limit that a busy machine reaches.
fn once() -> SinkPatience {
    const LONG: Duration = Duration::from_secs(600);
    SinkPatience { connect: LONG, assume_attempt: LONG, assume: LONG, put_attempt: LONG, put: LONG, attempts: 1 }
}

/// Returns the adapter's error for a put to `endpoint`.
async fn put_to(endpoint: &str, patience: SinkPatience) -> SinkError {
    try_to_put(endpoint, patience).await.unwrap_err()
}

async fn try_to_put(endpoint: &str, patience: SinkPatience) -> Result<Stored, SinkError> {
    let object = Object {
        key: "audit/2026-11/22/x.json".into(),
        content_type: "application/x-ndjson",
        content: "{}\n".into(),
        existing: Existing::Keep,
    };
    sink(endpoint, patience).put(&target("aws"), object).await
}

async fn replay(fixture: &Fixture) -> SinkError {
    let mut tasks = JoinSet::new();
    let port = Server::Answers(fixture.call, fixture.http()).start(&mut tasks).await;
    match try_to_put(&format!("http://127.0.0.1:{port}"), once()).await {
        Err(error) => error,
        Ok(stored) => {
            assert_eq!((fixture.code, stored), (FailureCode::KeyTaken, Stored::Before));
            let reason = Reason::answered(fixture.status, fixture.aws, &fixture.message, None);
            SinkError { request_id: Some("4442587FB7D0A2F9".into()), ..SinkError::new(fixture.call, reason) }
        }
    }
}

async fn replay_all() -> Vec<(Fixture, SinkError)> {
    let fixtures = fixtures();
    let errors = futures_util::future::join_all(fixtures.iter().map(replay)).await;
    fixtures.into_iter().zip(errors).collect()
}

/// The policies and conditions in `text`: each brace begins one. Fails if one is not JSON.
fn policies(text: &str) -> Vec<(std::ops::Range<usize>, serde_json::Value)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find('{').map(|at| at + from) {
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter();
        let value = values.next().unwrap().unwrap_or_else(|error| panic!("{error} in {}", &text[start..]));
        let end = start + values.byte_offset();
        found.push((start..end, value));
        from = end;
    }
    found
}

#[tokio::test]
async fn each_documented_answer_has_its_code_and_a_fix_that_names_what_to_change() {
    for (fixture, error) in replay_all().await {
        let failure = Failure::explain(&error, &target("aws"));
        let context = format!("{} {}: {}\n{failure:#?}", fixture.status, fixture.aws, fixture.message);
        assert_eq!(error.call, fixture.call, "{context}");
        assert_eq!(failure.code, fixture.code, "{context}");
        for name in fixture.names {
            assert!(
                failure.cause.contains(name) || failure.fix.to_string().contains(name),
                "without {name}: {context}"
            );
        }
        let aws = failure.aws.as_deref().unwrap();
        let id = match fixture.call {
            Call::AssumeRole => "(request c6104cbe-af31-11e0-8154-cbc7ccf896c7)",
            Call::PutObject => "(request 4442587FB7D0A2F9)",
        };
        assert!(aws.starts_with(fixture.aws) && aws.ends_with(id), "{context}");
        assert!(aws.contains(&fixture.message), "{context}");
    }
}

#[tokio::test]
async fn every_fix_is_one_line_of_short_sentences_with_valid_policies_in_the_roles_partition() {
    for (fixture, error) in replay_all().await {
        for partition in ["aws", "aws-cn", "aws-eusc", "aws-us-gov"] {
            // AWS's own words name the partition too.
            let mut error = error.clone();
            if let Reason::Answered { message, .. } = &mut error.reason {
                *message = message.replace("arn:aws:", &format!("arn:{partition}:"));
            }
            let Failure { cause, fix, .. } = Failure::explain(&error, &target(partition));
            let fix = fix.to_string();
            let context = format!("{} in {partition}: {cause}\n{fix}", fixture.aws);
            for text in [&cause, &fix] {
                assert!(text.ends_with('.') && !text.contains("..") && !text.contains(",."), "{context}");
                assert!(!text.chars().any(char::is_control) && !text.contains("  "), "{context}");
                let arns = text.match_indices("arn:").map(|(at, _)| &text[at..]);
                for arn in arns {
                    assert!(arn.starts_with(&format!("arn:{partition}:")), "{arn}: {context}");
                }
            }
            assert!(policies(&cause).is_empty(), "{context}");
            for (_, policy) in policies(&fix) {
                let statements = policy.get("Statement").and_then(|statements| statements.as_array());
                match statements {
                    Some(statements) => {
                        assert_eq!(policy["Version"], "2012-10-17", "{context}");
                        assert!(statements.iter().all(|one| one["Effect"] == "Allow"), "{context}");
                    }
                    None => assert!(policy.is_object(), "{context}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_bucket_of_another_partition_is_refused_with_the_reason() {
    let answers = [("aws", "us-gov-west-1"), ("aws-us-gov", "eu-central-1"), ("aws", "cn-north-1")];
    let told = answers.map(|(partition, region)| {
        let reason = Reason::answered(301, "PermanentRedirect", "", Some(region.into()));
        let error = SinkError::new(Call::PutObject, reason);
        let failure = Failure::explain(&error, &target(partition));
        format!("{}: {} {}", failure.code.as_str(), failure.cause, failure.fix)
    });
    insta::assert_snapshot!(told.join("\n"), @r#"
    wrong_region: The bucket amzn-s3-demo-bucket is in us-gov-west-1, in the partition aws-us-gov, but the role is in aws. Save the destination with a bucket in the partition aws, in which we run. A role cannot write to another partition.
    wrong_region: The bucket amzn-s3-demo-bucket is in eu-central-1, in the partition aws, but the role is in aws-us-gov. Save the destination with a bucket in the partition aws-us-gov, in which we run. A role cannot write to another partition.
    wrong_region: The bucket amzn-s3-demo-bucket is in cn-north-1, in the partition aws-cn, but the role is in aws. Save the destination with a bucket in the partition aws, in which we run. A role cannot write to another partition.
    "#);
}

#[tokio::test]
async fn where_the_bucket_is_is_learnt_from_header_and_body() {
    let mut learnt = Vec::new();
    for (fixture, error) in replay_all().await {
        if let Reason::Answered { bucket_region, .. } = error.reason
            && fixture.code == FailureCode::WrongRegion
        {
            learnt.push((fixture.aws, bucket_region));
        }
    }
    let here = Some("eu-west-1".to_owned());
    assert_eq!(
        learnt,
        [
            ("PermanentRedirect", here.clone()),
            ("TemporaryRedirect", here.clone()),
            ("AuthorizationHeaderMalformed", here),
            ("PermanentRedirect", None),
        ]
    );
}

#[tokio::test]
async fn the_messages_of_the_most_common_failures() {
    let told = |wanted: &'static str| async move {
        let fixture = fixtures().into_iter().find(|fixture| fixture.message.contains(wanted)).unwrap();
        let Failure { code, cause, fix, aws } = Failure::explain(&replay(&fixture).await, &target("aws"));
        format!("{}\n{cause}\n{fix}\n{}", code.as_str(), aws.unwrap())
    };
    insta::assert_snapshot!(told("sts:AssumeRole on resource").await, @r#"
    role_not_assumable
    The role arn:aws:iam::123456789012:role/annals cannot be assumed. It does not exist, does not trust us, or requires another external ID; AWS does not say which.
    In account 123456789012, in this order: (1) Does the role annals exist? IAM console, Roles; or: aws iam get-role --role-name annals. Its ARN must be arn:aws:iam::123456789012:role/annals, including any path. (2) Does it trust us? If it requires an external ID, is it annals-7f3kq9? IAM console, Roles, annals, Trust relationships, Edit trust policy: paste exactly this: {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"annals-7f3kq9"}}}]}. Or save it as trust.json and run: aws iam update-assume-role-policy --role-name annals --policy-document file://trust.json. If others use the role too, add the statement to their policy. (3) If all of this is right, a resource control policy of your AWS organization may deny sts:AssumeRole.
    AccessDenied: User: arn:aws:sts::111122223333:assumed-role/annals-shipper/annals-shipper is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/annals (request c6104cbe-af31-11e0-8154-cbc7ccf896c7)
    "#);
    insta::assert_snapshot!(told("The specified bucket does not exist").await, @r#"
    bucket_missing
    There is no bucket amzn-s3-demo-bucket.
    (1) Compare the name: S3 console of account 123456789012, Buckets. If it differs, save the destination with the right name. (2) If the bucket was deleted, create it again: aws s3 mb s3://amzn-s3-demo-bucket. Events wait for it until they expire.
    NoSuchBucket: The specified bucket does not exist (request 4442587FB7D0A2F9)
    "#);
    insta::assert_snapshot!(told("no identity-based policy allows the s3").await, @r#"
    put_denied
    No policy of the role arn:aws:iam::123456789012:role/annals allows it to write to the bucket amzn-s3-demo-bucket.
    In account 123456789012: IAM console, Roles, annals, Permissions, Add permissions, Create inline policy, JSON: paste {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::amzn-s3-demo-bucket/audit/*"}]}. Or save it as put.json and run: aws iam put-role-policy --role-name annals --policy-name annals-put --policy-document file://put.json.
    AccessDenied: User: arn:aws:sts::123456789012:assumed-role/annals/annals-acme is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::amzn-s3-demo-bucket/audit/2026-11/22/x.json" because no identity-based policy allows the s3:PutObject action (request 4442587FB7D0A2F9)
    "#);
    insta::assert_snapshot!(told("explicit deny in a resource-based policy").await, @r#"
    put_denied_by_bucket_policy
    The policy of the bucket amzn-s3-demo-bucket prevents the role arn:aws:iam::123456789012:role/annals from writing.
    In the account that owns the bucket: S3 console, Buckets, amzn-s3-demo-bucket, Permissions, Bucket policy; or: aws s3api get-bucket-policy --bucket amzn-s3-demo-bucket. Find the Deny that applies to s3:PutObject on arn:aws:s3:::amzn-s3-demo-bucket/audit/*, and add this to its Condition: {"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::123456789012:role/annals"}}. Usual reasons: the Deny requires an ACL (s3:x-amz-acl) or an encryption header (s3:x-amz-server-side-encryption), and we send neither: set the bucket's Object Ownership to Bucket owner enforced, and its default encryption, instead. Or it requires your network or organization (aws:SourceIp, aws:SourceVpce, aws:PrincipalOrgID), and we call from ours.
    AccessDenied: User: arn:aws:sts::123456789012:assumed-role/annals/annals-acme is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::amzn-s3-demo-bucket/audit/2026-11/22/x.json" with an explicit deny in a resource-based policy (request 4442587FB7D0A2F9)
    "#);
    insta::assert_snapshot!(told("kms:GenerateDataKey on resource").await, @r#"
    kms_denied
    The role arn:aws:iam::123456789012:role/annals cannot encrypt with the KMS key arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab, which the bucket amzn-s3-demo-bucket requires.
    In account 123456789012: IAM console, Roles, annals, Permissions, Add permissions, Create inline policy, JSON: paste {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:GenerateDataKey","Resource":"arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab","Condition":{"StringLike":{"kms:ViaService":"s3.*.amazonaws.com"}}}]}. If the key is in another account, its key policy must allow the role too.
    AccessDenied: User: arn:aws:sts::123456789012:assumed-role/annals/annals-acme is not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab because no identity-based policy allows the kms:GenerateDataKey action (request 4442587FB7D0A2F9)
    "#);
}

#[tokio::test]
async fn a_host_that_refuses_the_connection_is_told_apart() {
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let error = put_to(&format!("http://{closed}"), once()).await;
    assert_eq!(error, SinkError::new(Call::AssumeRole, Reason::Refused));
}

#[tokio::test]
async fn a_name_without_an_address_is_told_apart() {
    // RFC 6761, 6.4: no name below `invalid` ever has one.
    let error = put_to("http://sts.invalid", once()).await;
    assert_eq!(error, SinkError::new(Call::AssumeRole, Reason::NotResolved));
}

#[tokio::test]
async fn a_host_without_tls_is_told_apart() {
    let mut tasks = JoinSet::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
        }
    });
    let error = put_to(&format!("https://{address}"), once()).await;
    assert_eq!(error, SinkError::new(Call::AssumeRole, Reason::TlsFailed));
}

#[tokio::test]
async fn a_host_that_never_answers_is_told_apart_at_either_call() {
    let short = Duration::from_millis(200);
    let mut tasks = JoinSet::new();
    let sts = Server::Silent.start(&mut tasks).await;
    let s3 = Server::SilentS3.start(&mut tasks).await;
    let impatient_sts = SinkPatience { assume_attempt: short, ..once() };
    let impatient_s3 = SinkPatience { put_attempt: short, ..once() };
    let (sts, s3) = (format!("http://127.0.0.1:{sts}"), format!("http://127.0.0.1:{s3}"));
    let (sts, s3) = futures_util::future::join(put_to(&sts, impatient_sts), put_to(&s3, impatient_s3)).await;
    assert_eq!(sts, SinkError::new(Call::AssumeRole, Reason::TimedOut));
    assert_eq!(s3, SinkError::new(Call::PutObject, Reason::TimedOut));
}

#[tokio::test]
async fn a_host_that_hangs_up_is_unreachable() {
    let mut tasks = JoinSet::new();
    let port = Server::HangsUp.start(&mut tasks).await;
    let error = put_to(&format!("http://127.0.0.1:{port}"), once()).await;
    assert_eq!(error, SinkError::new(Call::AssumeRole, Reason::NotConnected));
}

#[tokio::test]
async fn a_refusal_after_an_attempt_without_an_answer_leaves_open_what_was_written() {
    let answer = |status, aws, message| put(FailureCode::Unknown, status, aws, message).http();
    let taken =
        || answer(412, "PreconditionFailed", "At least one of the preconditions that you specified did not hold");
    let denied = || answer(403, "AccessDenied", "Access Denied");
    let unclear = || answer(500, "InternalError", "We encountered an internal error. Please try again.");
    let conflict = || answer(409, "ConditionalRequestConflict", "A conflict occurred.");
    let hang_up = String::new;
    // The second attempt waits up to a second before it.
    let told = [
        vec![taken()],
        vec![conflict(), taken()],
        vec![unclear(), taken()],
        vec![hang_up(), taken()],
        vec![denied()],
        vec![unclear(), denied()],
        vec![hang_up(), denied()],
        vec![hang_up(), hang_up()],
    ]
    .map(async |answers: Vec<String>| {
        let mut tasks = JoinSet::new();
        let attempts = u32::try_from(answers.len()).unwrap();
        let port = Server::InTurn(answers).start(&mut tasks).await;
        match try_to_put(&format!("http://127.0.0.1:{port}"), SinkPatience { attempts, ..once() }).await {
            Ok(stored) => format!("{stored:?}"),
            Err(error) => format!("{}, {}", FailureCode::of(&error).as_str(), error.is_definite()),
        }
    });
    insta::assert_snapshot!(futures_util::future::join_all(told).await.join("\n"), @r"
    Before
    Before
    Unclear
    Unclear
    put_denied, true
    put_denied, false
    put_denied, false
    unreachable, false
    ");
}

#[tokio::test]
async fn an_answer_that_is_none_of_aws_is_judged_by_its_status() {
    for (status, code) in
        [(502, FailureCode::AwsUnavailable), (429, FailureCode::Throttled), (418, FailureCode::Unknown)]
    {
        let page = "<html><body>Proxy</body></html>";
        let length = page.len();
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}");
        let mut tasks = JoinSet::new();
        let port = Server::Answers(Call::PutObject, answer).start(&mut tasks).await;
        let error = put_to(&format!("http://127.0.0.1:{port}"), once()).await;
        let failure = Failure::explain(&error, &target("aws"));
        assert_eq!(failure.code, code);
        assert_eq!(failure.aws, Some(format!("HTTP status {status}")));
    }
}

#[tokio::test]
async fn what_aws_says_is_bounded_and_keeps_the_requests_id() {
    let message = format!("\u{1b}[31m{}\u{202e}", "ß".repeat(5000));
    let mut fixture = put(FailureCode::PutDenied, 403, "AccessDenied", "");
    // A control character cannot be in XML, but its reference may get through a lenient parser.
    fixture.message = message.replace('\u{1b}', "");
    let failure = Failure::explain(&replay(&fixture).await, &target("aws"));
    let aws = failure.aws.unwrap();
    assert!(aws.len() <= AWS_MAX_BYTES && aws.len() > AWS_MAX_BYTES - 8, "{}", aws.len());
    assert!(aws.ends_with("… (request 4442587FB7D0A2F9)"), "{aws}");

    let reason = Reason::answered(403, "Access\0Denied", &message, None);
    let error = SinkError { request_id: Some("i\r\nd".repeat(9999)), ..SinkError::new(Call::PutObject, reason) };
    let aws = Failure::explain(&error, &target("aws")).aws.unwrap();
    assert!(aws.len() <= AWS_MAX_BYTES && !aws.chars().any(char::is_control), "{aws}");
}

/// Failures in which AWS has no part, for the page.
const CONTRADICTIONS: [Contradiction; 2] =
    [Contradiction::AheadOfLog { next: 151, last: 100 }, Contradiction::LogMismatch { sequence: 150 }];

/// Deliveries that are withheld although nothing has failed, for the page.
const WITHHELD: [Withheld; 4] = [
    Withheld::Unproven(RolesWithoutExternalId::Challenge),
    Withheld::ProofLost(RolesWithoutExternalId::Challenge),
    Withheld::RoleTaken,
    Withheld::BucketTaken,
];

/// Failures without an answer, for the page.
const WITHOUT_ANSWER: [(Reason, &str); 5] = [
    (Reason::TimedOut, "No answer within the time that we give it."),
    (Reason::NotResolved, "The host's name has no address."),
    (Reason::TlsFailed, "No TLS session: wrong certificate or protocol."),
    (Reason::Refused, "The host refuses the connection."),
    (Reason::NotConnected, "The connection fails in another way, or is lost."),
];

#[test]
fn every_code_has_an_entry_and_a_name_of_its_own() {
    let mut entries: BTreeSet<&str> = fixtures().iter().map(|fixture| fixture.code.as_str()).collect();
    entries
        .extend(WITHOUT_ANSWER.map(|(reason, _)| FailureCode::of(&SinkError::new(Call::PutObject, reason)).as_str()));
    entries.extend(CONTRADICTIONS.map(|contradiction| Failure::contradiction(contradiction).code.as_str()));
    entries.extend(WITHHELD.map(|withheld| Failure::withheld(withheld, &target("aws")).code.as_str()));
    let all: BTreeSet<&str> = FailureCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(entries, all);
    assert_eq!(all.len(), FailureCode::ALL.len());
    for code in FailureCode::ALL {
        assert_eq!(FailureCode::named(code.as_str()), *code);
    }
    assert_eq!(FailureCode::named("of a later version"), FailureCode::Unknown);
}

#[tokio::test]
async fn the_page_for_customers_says_what_the_code_says() {
    let page = page(&replay_all().await);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/docs/failures.md");
    if std::env::var_os("ANNALS_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "infra/docs/failures.md is not what the code says: `just docs` regenerates it");
}

/// The page: an entry for each code, with its answers from AWS.
fn page(replayed: &[(Fixture, SinkError)]) -> String {
    let mut page = String::from(
        "# Failures of delivery\n\n\
         The status of a destination, its connection test and the API name each failure by a code that does not change. They \
         say what happened, why, and what to do, and repeat the answer from AWS. This page lists all failures. The names are \
         examples: the account `123456789012` with the role `annals`, the bucket `amzn-s3-demo-bucket`, the prefix `audit`, \
         the external ID `annals-7f3kq9`, and `111122223333`, the account that runs Annals. In China, the European \
         Sovereign Cloud and GovCloud the partition is `aws-cn`, `aws-eusc` or `aws-us-gov`. \"We\" is the operator of Annals.\n\n\
         Events wait for delivery until their retention ends. If any expire, the status and an event say which. Delivery \
         is retried automatically, at least once an hour, and continues where it stopped. After a change, wait a minute \
         for IAM to apply it, and press Test to check it.\n\n\
         S3 names the policy that denies a put only within one account or AWS organization. All others get \
         `Access Denied`, which is [`put_denied`](#put_denied).\n\n\
         | code | action needed by |\n|---|---|\n",
    );
    let who = |code: FailureCode| match code.remedied_by() {
        RemediedBy::Customer => "you, in your AWS account",
        RemediedBy::Operator => "the operator of Annals",
        RemediedBy::Time => "nobody",
    };
    for code in FailureCode::ALL {
        let name = code.as_str();
        writeln!(page, "| [`{name}`](#{name}) | {} |", who(*code)).unwrap();
    }
    for code in FailureCode::ALL {
        let mut texts: Vec<(Failure, Vec<String>)> = Vec::new();
        let mut tell = |error: &SinkError, answer: String| {
            let failure = Failure { aws: None, ..Failure::explain(error, &target("aws")) };
            match texts.iter_mut().find(|(known, _)| *known == failure) {
                Some((_, answers)) => answers.push(answer),
                None => texts.push((failure, vec![answer])),
            }
        };
        for (fixture, error) in replayed.iter().filter(|(fixture, _)| fixture.code == *code) {
            let call = match fixture.call {
                Call::AssumeRole => "AssumeRole",
                Call::PutObject => "PutObject",
            };
            tell(error, format!("{call}, {} `{}`: `{}`", fixture.status, fixture.aws, fixture.message));
        }
        for (reason, answer) in WITHOUT_ANSWER {
            let error = SinkError::new(Call::PutObject, reason);
            if FailureCode::of(&error) == *code {
                tell(&error, answer.to_owned());
            }
        }
        writeln!(page, "\n## {}", code.as_str()).unwrap();
        let withheld = WITHHELD.map(|withheld| Failure::withheld(withheld, &target("aws")));
        let without_aws = CONTRADICTIONS.map(Failure::contradiction).into_iter().chain(withheld);
        for failure in without_aws.filter(|failure| failure.code == *code) {
            writeln!(page, "\n**{}**\n", arns(&failure.cause)).unwrap();
            writeln!(page, "{}", advice(&failure.fix)).unwrap();
        }
        for (failure, answers) in &texts {
            writeln!(page, "\n**{}**\n", arns(&failure.cause)).unwrap();
            writeln!(page, "{}\n", advice(&failure.fix)).unwrap();
            writeln!(page, "The answer from AWS:").unwrap();
            for answer in answers {
                writeln!(page, "- {answer}").unwrap();
            }
        }
    }
    page.push_str(
        "\n# Failures of checkpoints\n\n\
         If a delivery cannot be signed, it continues, and the status says since when it is not signed. The missing checkpoint \
         covers all of it as soon as signing works again, so nothing has to be done about events. A checkpoint that cannot be \
         stored in the bucket has the code of the failed put from above. All others need action by the operator of Annals, who \
         finds them in the runbook; the status gives the cause.\n\n\
         | code | cause |\n|---|---|\n",
    );
    for fault in SignerFault::ALL {
        writeln!(page, "| `{}` | {} |", fault.code(), fault.cause()).unwrap();
    }
    page
}

/// Advice as Markdown: steps are a list.
fn advice(advice: &Advice) -> String {
    let lead = (!advice.lead.0.is_empty()).then(|| prose(&advice.lead) + "\n\n");
    let steps = advice.steps.iter().enumerate().map(|(index, step)| format!("{}. {}", index + 1, prose(step)));
    let text = lead.unwrap_or_default() + &steps.collect::<Vec<_>>().join("\n");
    text.trim_end().to_owned()
}

fn prose(prose: &Prose) -> String {
    let span = |span: &Span| match span {
        Span::Text(text) => arns(text),
        Span::Code(code) => format!("`{code}`"),
        Span::Policy(snippet) => format!("`{}`", snippet.policy),
    };
    prose.0.iter().map(span).collect()
}

/// `text` with its ARNs as code.
fn arns(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let bare = word.trim_end_matches(['.', ',', ':', ';']);
        if bare.starts_with("arn:") { format!("`{bare}`{}", &word[bare.len()..]) } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}
