//! S3: the `s3s` protocol server over files. Owns what `s3s-fs` does not have: accounts and permissions, which buckets
//! exist in which region, listing, conditional reads, and that writes to a key happen one after the other. `s3s-fs`
//! stores the bytes.
//!
//! It has limits that S3 does not have. A key is a file's path, so it cannot have an empty, `.` or `..` segment, cannot
//! be the directory of another key, and cannot be much longer than a hundred characters ([`KEY_NAME_MAX_BYTES`]). A
//! request has at most 256 MiB. There are no versions, access control lists or encryption; [`protection`] says what versioning
//! and Object Lock do without versions.

mod conditions;
mod listing;
mod protection;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use axum::{Router, body::Body, extract::State, response::Response};
use http::{HeaderMap, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use s3s::{
    S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    access::{S3Access, S3AccessContext},
    auth::{S3Auth, SecretKey},
    dto::{self, BucketLocationConstraint},
    s3_error,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use serde_json::Value;

use self::conditions::Conditions;
use super::{
    access::{self, Consent, Decision, Principal},
    entropy,
    iam::{Bucket, Iam, IamError, KeyFault, OwnedBucket},
    policy::Context,
    server,
};

/// Bytes of a request's body.
const BODY_MAX_BYTES: usize = 256 * 1024 * 1024;
/// Bytes in the name of the file where `s3s-fs` keeps an object's metadata: bucket and key in base64, and 30 more. Linux
/// allows 255.
const KEY_NAME_MAX_BYTES: usize = 255;

/// An operation, by its name in `s3s`. All others are denied.
struct Operation {
    name: &'static str,
    action: &'static str,
    on: On,
}

/// The resource of an operation's permission.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    AllBuckets,
    /// A bucket that does not need to exist.
    NewBucket,
    Bucket,
    Object,
}

#[rustfmt::skip]
const OPERATIONS: &[Operation] = &[
    Operation { name: "ListBuckets", action: "s3:ListAllMyBuckets", on: On::AllBuckets },
    Operation { name: "CreateBucket", action: "s3:CreateBucket", on: On::NewBucket },
    Operation { name: "DeleteBucket", action: "s3:DeleteBucket", on: On::Bucket },
    Operation { name: "HeadBucket", action: "s3:ListBucket", on: On::Bucket },
    Operation { name: "ListObjects", action: "s3:ListBucket", on: On::Bucket },
    Operation { name: "ListObjectsV2", action: "s3:ListBucket", on: On::Bucket },
    Operation { name: "GetBucketLocation", action: "s3:GetBucketLocation", on: On::Bucket },
    Operation { name: "GetBucketPolicy", action: "s3:GetBucketPolicy", on: On::Bucket },
    Operation { name: "PutBucketPolicy", action: "s3:PutBucketPolicy", on: On::Bucket },
    Operation { name: "DeleteBucketPolicy", action: "s3:DeleteBucketPolicy", on: On::Bucket },
    Operation { name: "GetBucketVersioning", action: "s3:GetBucketVersioning", on: On::Bucket },
    Operation { name: "PutBucketVersioning", action: "s3:PutBucketVersioning", on: On::Bucket },
    Operation { name: "GetObjectLockConfiguration", action: "s3:GetBucketObjectLockConfiguration", on: On::Bucket },
    Operation { name: "PutObjectLockConfiguration", action: "s3:PutBucketObjectLockConfiguration", on: On::Bucket },
    Operation { name: "GetObject", action: "s3:GetObject", on: On::Object },
    Operation { name: "HeadObject", action: "s3:GetObject", on: On::Object },
    Operation { name: "PutObject", action: "s3:PutObject", on: On::Object },
    Operation { name: "DeleteObject", action: "s3:DeleteObject", on: On::Object },
    Operation { name: "CreateMultipartUpload", action: "s3:PutObject", on: On::Object },
    Operation { name: "UploadPart", action: "s3:PutObject", on: On::Object },
    Operation { name: "CompleteMultipartUpload", action: "s3:PutObject", on: On::Object },
    Operation { name: "AbortMultipartUpload", action: "s3:AbortMultipartUpload", on: On::Object },
    Operation { name: "ListParts", action: "s3:ListMultipartUploadParts", on: On::Object },
];

pub(crate) fn router(iam: Iam, directory: &Path) -> anyhow::Result<Router> {
    let files = FileSystem::new(directory).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let buckets = Buckets { iam: iam.clone(), files, directory: directory.to_owned(), writes: Writes::default() };
    let mut builder = S3ServiceBuilder::new(buckets);
    builder.set_auth(Keys(iam.clone()));
    builder.set_access(Gate(iam.clone()));
    Ok(Router::new().fallback(handle).with_state(Front { iam, service: builder.build() }))
}

/// Redirects to the bucket's region, and passes everything else to the protocol server.
#[derive(Clone)]
struct Front {
    iam: Iam,
    service: S3Service,
}

async fn handle(State(front): State<Front>, request: axum::extract::Request) -> Response {
    let request_id = entropy::request_id();
    let name = bucket_in_path(request.uri().path());
    let bucket = name.as_deref().and_then(|name| front.iam.owned_bucket(name));
    let is_head_bucket = request.method() == Method::HEAD && is_bucket_path(request.uri().path());
    let redirect = match (&name, &bucket) {
        (Some(name), Some(bucket)) => redirect(&request, name, bucket, &request_id),
        _ => None,
    };
    let (parts, body) = request.into_parts();
    // The whole body is read before the response is sent. Most clients would see an earlier refusal as a broken connection.
    let mut response = match axum::body::to_bytes(body, BODY_MAX_BYTES).await {
        Err(_) => error_response(StatusCode::BAD_REQUEST, "EntityTooLarge", "Your proposed upload is too large.", ""),
        Ok(body) => match redirect {
            Some(response) => response,
            None => match front.service.call(http::Request::from_parts(parts, s3s::Body::from(body))).await {
                Ok(response) => response.map(Body::new),
                Err(error) => {
                    tracing::error!(?error, "the S3 server failed");
                    error_response(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "InternalError",
                        "We encountered an internal error.",
                        "",
                    )
                }
            },
        },
    };
    if is_head_bucket && let Some(bucket) = bucket {
        server::set_header(&mut response, "x-amz-bucket-region", &bucket.region);
    }
    server::set_header(&mut response, "x-amz-request-id", &request_id);
    response
}

/// S3's response to a request that is signed for another region than the bucket's. It comes before the signature is checked,
/// and clients learn the region from its header.
fn redirect(request: &axum::extract::Request, name: &str, bucket: &OwnedBucket, request_id: &str) -> Option<Response> {
    let region = signed_region(request)?;
    let query = request.uri().query().unwrap_or_default();
    let is_creation = request.method() == Method::PUT && is_bucket_path(request.uri().path()) && query.is_empty();
    let is_location = query.split('&').any(|part| part == "location" || part == "location=");
    if region == bucket.region || is_creation || is_location {
        return None;
    }
    let details = format!(
        "<Endpoint>{name}.s3.{}.amazonaws.com</Endpoint><Bucket>{name}</Bucket><RequestId>{request_id}</RequestId>",
        bucket.region
    );
    let mut response = error_response(
        StatusCode::MOVED_PERMANENTLY,
        "PermanentRedirect",
        "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future \
         requests to this endpoint.",
        &details,
    );
    server::set_header(&mut response, "x-amz-bucket-region", &bucket.region);
    Some(response)
}

fn error_response(status: StatusCode, code: &str, message: &str, details: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message>{details}</Error>"
    );
    server::respond(status, "application/xml", body)
}

/// Returns the region in the credential scope of the header or of the presigned URL.
fn signed_region(request: &axum::extract::Request) -> Option<String> {
    let scope = match request.headers().get(header::AUTHORIZATION) {
        Some(value) => value.to_str().ok()?.split_once("Credential=")?.1.split(',').next()?.to_owned(),
        None => query_parameter(request.uri(), "X-Amz-Credential")?,
    };
    scope.split('/').nth(2).map(str::to_owned)
}

fn query_parameter(uri: &http::Uri, name: &str) -> Option<String> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(uri.query()?).ok()?;
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn bucket_in_path(path: &str) -> Option<String> {
    let name = path.trim_start_matches('/').split('/').next().filter(|name| !name.is_empty())?;
    percent_decode_str(name).decode_utf8().ok().map(Into::into)
}

fn is_bucket_path(path: &str) -> bool {
    let name = path.trim_matches('/');
    !name.is_empty() && !name.contains('/')
}

struct Keys(Iam);

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, key_id: &str) -> S3Result<SecretKey> {
        self.0.secret(key_id).map(SecretKey::from).ok_or_else(|| key_fault(KeyFault::Unknown))
    }
}

fn key_fault(fault: KeyFault) -> S3Error {
    match fault {
        KeyFault::Unknown => {
            s3_error!(InvalidAccessKeyId, "The AWS Access Key Id you provided does not exist in our records.")
        }
        KeyFault::InvalidToken => s3_error!(InvalidToken, "The provided token is malformed or otherwise invalid."),
        KeyFault::Expired => s3_error!(ExpiredToken, "The provided token has expired."),
    }
}

fn iam_fault(error: IamError) -> S3Error {
    match error {
        IamError::Policy { source, .. } => S3Error::with_message(S3ErrorCode::MalformedPolicy, source.to_string()),
        error => S3Error::internal_error(error),
    }
}

/// The caller who signed a request that was allowed.
#[derive(Clone)]
struct Caller(Option<Principal>);

struct Gate(Iam);

#[async_trait::async_trait]
impl S3Access for Gate {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let caller = match cx.credentials() {
            None => None,
            Some(credentials) => {
                let token = match cx.headers().get("x-amz-security-token") {
                    Some(value) => value.to_str().ok().map(str::to_owned),
                    None => query_parameter(cx.uri(), "X-Amz-Security-Token"),
                };
                Some(self.0.authenticate(&credentials.access_key, token.as_deref()).map_err(key_fault)?)
            }
        };
        let Some(operation) = OPERATIONS.iter().find(|operation| operation.name == cx.s3_op().name()) else {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        };
        let (bucket, key) = (cx.s3_path().get_bucket_name(), cx.s3_path().get_object_key());
        if let (Some(bucket), Some(key)) = (bucket, key) {
            check_key(bucket, key)?;
        }
        let owned = match (operation.on, bucket) {
            (On::AllBuckets | On::NewBucket, _) | (_, None) => None,
            (_, Some(name)) => Some(self.0.owned_bucket(name).ok_or_else(no_such_bucket)?),
        };
        if let (Some(expected), Some(owned)) = (cx.headers().get("x-amz-expected-bucket-owner"), &owned)
            && expected.as_bytes() != owned.account.as_bytes()
        {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        let resource = match (operation.on, bucket, key) {
            (On::Object, Some(bucket), Some(key)) => format!("arn:aws:s3:::{bucket}/{key}"),
            (On::Bucket | On::NewBucket, Some(bucket), _) => format!("arn:aws:s3:::{bucket}"),
            _ => "*".to_owned(),
        };
        let context = context(caller.as_ref(), cx.headers(), cx.uri());
        authorize(caller.as_ref(), operation.action, &resource, owned.as_ref(), &context)?;
        cx.extensions_mut().insert(Caller(caller));
        Ok(())
    }
}

fn context(caller: Option<&Principal>, headers: &HeaderMap, uri: &http::Uri) -> Context {
    let sent = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Context::of(caller)
        .with_some("s3:prefix", query_parameter(uri, "prefix"))
        .with_some("s3:x-amz-acl", sent("x-amz-acl"))
        .with_some("s3:x-amz-server-side-encryption", sent("x-amz-server-side-encryption"))
        .with_some("s3:if-none-match", sent("if-none-match"))
        .with_some("s3:if-match", sent("if-match"))
}

/// Returns an error if the request is not allowed. As on S3, the message has a reason only within an account: a refusal must
/// not reveal another account's policies.
fn authorize(
    caller: Option<&Principal>,
    action: &str,
    resource: &str,
    bucket: Option<&OwnedBucket>,
    context: &Context,
) -> S3Result<()> {
    let caller_account = caller.map(|caller| caller.account.as_str());
    let Some(resource_account) = bucket.map(|bucket| bucket.account.as_str()).or(caller_account) else {
        return Err(s3_error!(AccessDenied, "Access Denied"));
    };
    let request = access::Request {
        principal: caller,
        action,
        resource,
        resource_account,
        resource_policy: bucket.and_then(|bucket| bucket.policy.as_ref()),
        consent: Consent::Optional,
        context,
    };
    match (request.decide(), caller) {
        (Decision::Allowed(_), _) => Ok(()),
        (Decision::Denied(denial), Some(caller)) if caller.account == resource_account => {
            let message = format!(
                "User: {} is not authorized to perform: {action} on resource: \"{resource}\" {}",
                caller.arn,
                denial.because(action)
            );
            Err(S3Error::with_message(S3ErrorCode::AccessDenied, message))
        }
        (Decision::Denied(_), _) => Err(s3_error!(AccessDenied, "Access Denied")),
    }
}

/// Checks that the key is a path below the bucket's directory. `..` would lead into another bucket.
fn check_key(bucket: &str, key: &str) -> S3Result<()> {
    let path = key.strip_suffix('/').unwrap_or(key);
    if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) || key.contains('\0') {
        return Err(s3_error!(
            InvalidArgument,
            "The embedded S3 does not support keys with an empty, '.' or '..' segment."
        ));
    }
    let base64_bytes = |text: &str| (text.len() * 4).div_ceil(3);
    if base64_bytes(bucket) + base64_bytes(key) + 30 > KEY_NAME_MAX_BYTES {
        return Err(s3_error!(KeyTooLongError, "The embedded S3 does not support keys of this length."));
    }
    Ok(())
}

fn no_such_bucket() -> S3Error {
    s3_error!(NoSuchBucket, "The specified bucket does not exist")
}

fn no_such_key() -> S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

/// One writer at a time per key, so that one of two conditional writes succeeds.
#[derive(Default)]
struct Writes(Mutex<HashMap<(String, String), Weak<Turn>>>);

type Turn = tokio::sync::Mutex<()>;

impl Writes {
    async fn begin(&self, bucket: &str, key: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let entry = turns.entry((bucket.to_owned(), key.to_owned())).or_default();
            entry.upgrade().unwrap_or_else(|| {
                let turn = Arc::new(Turn::new(()));
                *entry = Arc::downgrade(&turn);
                turn
            })
        };
        turn.lock_owned().await
    }
}

struct Buckets {
    iam: Iam,
    files: FileSystem,
    directory: PathBuf,
    writes: Writes,
}

impl Buckets {
    fn bucket(&self, name: &str) -> S3Result<Bucket> {
        self.iam.bucket(name).ok_or_else(no_such_bucket)
    }

    fn check_unlocked(&self, bucket: &str, key: &str) -> S3Result<()> {
        let path = self.directory.join(bucket).join(key);
        protection::check_unlocked(&self.bucket(bucket)?, &path, self.iam.now_millis())
    }

    /// Returns whether the key's path is a directory. A directory is not an object.
    fn is_directory(&self, bucket: &str, key: &str) -> bool {
        self.directory.join(bucket).join(key).is_dir()
    }

    /// Reports that a key does not exist only to callers that may list the bucket, as S3 does.
    fn hide_missing<T>(&self, result: S3Result<T>, request: &Asked) -> S3Result<T> {
        match result {
            Err(error) if matches!(error.code(), S3ErrorCode::NoSuchKey) => {
                let bucket = self.iam.owned_bucket(&request.bucket).ok_or_else(no_such_bucket)?;
                let resource = format!("arn:aws:s3:::{}", request.bucket);
                authorize(request.caller.as_ref(), "s3:ListBucket", &resource, Some(&bucket), &request.context)?;
                Err(no_such_key())
            }
            result => result,
        }
    }
}

/// What [`Buckets::hide_missing`] needs of a request that the files have already answered.
struct Asked {
    bucket: String,
    caller: Option<Principal>,
    context: Context,
}

impl Asked {
    fn of<T>(request: &S3Request<T>, bucket: &str) -> Self {
        let caller = caller(request);
        let context = context(caller.as_ref(), &request.headers, &request.uri);
        Self { bucket: bucket.to_owned(), caller, context }
    }
}

fn caller<T>(request: &S3Request<T>) -> Option<Principal> {
    request.extensions.get::<Caller>().and_then(|caller| caller.0.clone())
}

#[async_trait::async_trait]
impl S3 for Buckets {
    async fn list_buckets(
        &self,
        request: S3Request<dto::ListBucketsInput>,
    ) -> S3Result<S3Response<dto::ListBucketsOutput>> {
        let owner = caller(&request).map(|caller| caller.account);
        let mut response = self.files.list_buckets(request).await?;
        if let Some(buckets) = &mut response.output.buckets {
            buckets.retain(|listed| {
                let bucket = listed.name.as_deref().and_then(|name| self.iam.bucket(name));
                bucket.is_some_and(|bucket| Some(&bucket.account) == owner.as_ref())
            });
        }
        Ok(response)
    }

    async fn create_bucket(
        &self,
        request: S3Request<dto::CreateBucketInput>,
    ) -> S3Result<S3Response<dto::CreateBucketOutput>> {
        let account = caller(&request).ok_or_else(|| s3_error!(AccessDenied, "Access Denied"))?.account;
        let name = request.input.bucket.clone();
        if let Some(bucket) = self.iam.bucket(&name) {
            return Err(if bucket.account == account {
                s3_error!(
                    BucketAlreadyOwnedByYou,
                    "Your previous request to create the named bucket succeeded and you already own it."
                )
            } else {
                s3_error!(
                    BucketAlreadyExists,
                    "The requested bucket name is not available. The bucket namespace is shared by all users of the \
                     system. Please select a different name and try again."
                )
            });
        }
        let constraint = request.input.create_bucket_configuration.as_ref();
        let constraint = constraint.and_then(|configuration| configuration.location_constraint.as_ref());
        let region = match (constraint, &request.region) {
            (Some(constraint), _) => constraint.as_str().to_owned(),
            (None, Some(region)) => region.as_str().to_owned(),
            (None, None) => "us-east-1".to_owned(),
        };
        self.iam.put_bucket(Bucket::new(name.clone(), account, region)).map_err(iam_fault)?;
        let output = dto::CreateBucketOutput { location: Some(format!("/{name}")) };
        Ok(S3Response::new(output))
    }

    async fn delete_bucket(
        &self,
        request: S3Request<dto::DeleteBucketInput>,
    ) -> S3Result<S3Response<dto::DeleteBucketOutput>> {
        let name = &request.input.bucket;
        self.bucket(name)?;
        if has_files(&self.directory.join(name)).map_err(S3Error::internal_error)? {
            return Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty"));
        }
        self.iam.delete_bucket(name).map_err(iam_fault)?;
        Ok(S3Response::with_status(dto::DeleteBucketOutput::default(), StatusCode::NO_CONTENT))
    }

    async fn head_bucket(
        &self,
        request: S3Request<dto::HeadBucketInput>,
    ) -> S3Result<S3Response<dto::HeadBucketOutput>> {
        self.bucket(&request.input.bucket)?;
        self.files.head_bucket(request).await
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<dto::GetBucketLocationInput>,
    ) -> S3Result<S3Response<dto::GetBucketLocationOutput>> {
        let region = self.bucket(&request.input.bucket)?.region;
        // us-east-1 has no location constraint.
        let location_constraint = (region != "us-east-1").then(|| BucketLocationConstraint::from(region));
        Ok(S3Response::new(dto::GetBucketLocationOutput { location_constraint }))
    }

    async fn get_bucket_policy(
        &self,
        request: S3Request<dto::GetBucketPolicyInput>,
    ) -> S3Result<S3Response<dto::GetBucketPolicyOutput>> {
        let bucket = self.iam.owned_bucket(&request.input.bucket).ok_or_else(no_such_bucket)?;
        let Some(document) = bucket.document else {
            return Err(s3_error!(NoSuchBucketPolicy, "The bucket policy does not exist"));
        };
        Ok(S3Response::new(dto::GetBucketPolicyOutput { policy: Some(document.to_string()) }))
    }

    async fn put_bucket_policy(
        &self,
        request: S3Request<dto::PutBucketPolicyInput>,
    ) -> S3Result<S3Response<dto::PutBucketPolicyOutput>> {
        let document: Value = serde_json::from_str(&request.input.policy)
            .map_err(|_| s3_error!(MalformedPolicy, "Policies must be valid JSON and the first byte must be '{{'"))?;
        let bucket = Bucket { policy: Some(document), ..self.bucket(&request.input.bucket)? };
        self.iam.put_bucket(bucket).map_err(iam_fault)?;
        Ok(S3Response::with_status(dto::PutBucketPolicyOutput::default(), StatusCode::NO_CONTENT))
    }

    async fn delete_bucket_policy(
        &self,
        request: S3Request<dto::DeleteBucketPolicyInput>,
    ) -> S3Result<S3Response<dto::DeleteBucketPolicyOutput>> {
        let bucket = Bucket { policy: None, ..self.bucket(&request.input.bucket)? };
        self.iam.put_bucket(bucket).map_err(iam_fault)?;
        Ok(S3Response::with_status(dto::DeleteBucketPolicyOutput::default(), StatusCode::NO_CONTENT))
    }

    async fn get_bucket_versioning(
        &self,
        request: S3Request<dto::GetBucketVersioningInput>,
    ) -> S3Result<S3Response<dto::GetBucketVersioningOutput>> {
        let bucket = self.bucket(&request.input.bucket)?;
        Ok(S3Response::new(protection::versioning_output(&bucket)))
    }

    async fn put_bucket_versioning(
        &self,
        request: S3Request<dto::PutBucketVersioningInput>,
    ) -> S3Result<S3Response<dto::PutBucketVersioningOutput>> {
        let bucket = self.bucket(&request.input.bucket)?;
        let bucket = protection::with_versioning(bucket, &request.input.versioning_configuration)?;
        self.iam.put_bucket(bucket).map_err(iam_fault)?;
        Ok(S3Response::new(dto::PutBucketVersioningOutput::default()))
    }

    async fn get_object_lock_configuration(
        &self,
        request: S3Request<dto::GetObjectLockConfigurationInput>,
    ) -> S3Result<S3Response<dto::GetObjectLockConfigurationOutput>> {
        let bucket = self.bucket(&request.input.bucket)?;
        protection::object_lock_output(&bucket).map(S3Response::new)
    }

    async fn put_object_lock_configuration(
        &self,
        request: S3Request<dto::PutObjectLockConfigurationInput>,
    ) -> S3Result<S3Response<dto::PutObjectLockConfigurationOutput>> {
        let bucket = self.bucket(&request.input.bucket)?;
        let bucket = protection::with_object_lock(bucket, request.input.object_lock_configuration.as_ref())?;
        self.iam.put_bucket(bucket).map_err(iam_fault)?;
        Ok(S3Response::new(dto::PutObjectLockConfigurationOutput::default()))
    }

    async fn list_objects(
        &self,
        request: S3Request<dto::ListObjectsInput>,
    ) -> S3Result<S3Response<dto::ListObjectsOutput>> {
        let directory = self.directory.join(&request.input.bucket);
        listing::list(&directory, request.input).await.map(S3Response::new)
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<dto::ListObjectsV2Input>,
    ) -> S3Result<S3Response<dto::ListObjectsV2Output>> {
        let directory = self.directory.join(&request.input.bucket);
        listing::list_v2(&directory, request.input).await.map(S3Response::new)
    }

    async fn get_object(&self, request: S3Request<dto::GetObjectInput>) -> S3Result<S3Response<dto::GetObjectOutput>> {
        let asked = Asked::of(&request, &request.input.bucket);
        let conditions = Conditions::from(&request.input);
        let result = match self.is_directory(&request.input.bucket, &request.input.key) {
            true => Err(no_such_key()),
            false => self.files.get_object(request).await,
        };
        let response = self.hide_missing(result, &asked)?;
        conditions.check(response.output.e_tag.as_ref(), response.output.last_modified.as_ref())?;
        Ok(response)
    }

    async fn head_object(
        &self,
        request: S3Request<dto::HeadObjectInput>,
    ) -> S3Result<S3Response<dto::HeadObjectOutput>> {
        let asked = Asked::of(&request, &request.input.bucket);
        let conditions = Conditions::from(&request.input);
        let result = match self.is_directory(&request.input.bucket, &request.input.key) {
            true => Err(no_such_key()),
            false => self.files.head_object(request).await,
        };
        let response = self.hide_missing(result, &asked)?;
        conditions.check(response.output.e_tag.as_ref(), response.output.last_modified.as_ref())?;
        Ok(response)
    }

    async fn put_object(&self, request: S3Request<dto::PutObjectInput>) -> S3Result<S3Response<dto::PutObjectOutput>> {
        let (bucket, key) = (&request.input.bucket, &request.input.key);
        let _turn = self.writes.begin(bucket, key).await;
        let path = self.directory.join(bucket).join(key);
        if collides(&self.directory.join(bucket), key) {
            return Err(s3_error!(InvalidArgument, "In the embedded S3 a key cannot be the directory of another key."));
        }
        let owned = self.bucket(bucket)?;
        protection::check_checksum(&owned, &request.headers)?;
        // With the header, an object that exists is the reason for another refusal.
        if request.input.if_none_match.is_none() {
            protection::check_unlocked(&owned, &path, self.iam.now_millis())?;
        }
        let existed = path.exists();
        let mut result = self.files.put_object(request).await;
        if let Err(error) = &mut result {
            match error.code() {
                S3ErrorCode::PreconditionFailed => {
                    error.set_message("At least one of the pre-conditions you specified did not hold");
                }
                // `s3s-fs` writes the file before it compares the checksum. S3 would store nothing.
                S3ErrorCode::BadDigest if !existed => {
                    if let Err(error) = std::fs::remove_file(&path) {
                        tracing::warn!(%error, "an object with a wrong checksum could not be removed");
                    }
                }
                _ => {}
            }
        }
        result
    }

    async fn delete_object(
        &self,
        request: S3Request<dto::DeleteObjectInput>,
    ) -> S3Result<S3Response<dto::DeleteObjectOutput>> {
        let _turn = self.writes.begin(&request.input.bucket, &request.input.key).await;
        self.check_unlocked(&request.input.bucket, &request.input.key)?;
        let mut response = self.files.delete_object(request).await?;
        response.status = Some(StatusCode::NO_CONTENT);
        Ok(response)
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<dto::CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::CreateMultipartUploadOutput>> {
        self.files.create_multipart_upload(request).await
    }

    async fn upload_part(
        &self,
        request: S3Request<dto::UploadPartInput>,
    ) -> S3Result<S3Response<dto::UploadPartOutput>> {
        self.files.upload_part(request).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<dto::CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::CompleteMultipartUploadOutput>> {
        let _turn = self.writes.begin(&request.input.bucket, &request.input.key).await;
        if request.input.if_none_match.is_none() {
            self.check_unlocked(&request.input.bucket, &request.input.key)?;
        }
        self.files.complete_multipart_upload(request).await
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<dto::AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::AbortMultipartUploadOutput>> {
        self.files.abort_multipart_upload(request).await
    }

    async fn list_parts(&self, request: S3Request<dto::ListPartsInput>) -> S3Result<S3Response<dto::ListPartsOutput>> {
        self.files.list_parts(request).await
    }
}

/// Returns whether the key is the directory of another key, or another key is one of its directories.
fn collides(bucket: &Path, key: &str) -> bool {
    let ends_of_directories = key.match_indices('/').map(|(end, _)| &key[..end]);
    (!key.ends_with('/') && bucket.join(key).is_dir())
        || ends_of_directories.into_iter().any(|directory| bucket.join(directory).is_file())
}

fn has_files(directory: &Path) -> std::io::Result<bool> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || has_files(&entry.path())? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_in_its_bucket() {
        assert!(check_key("logs", "audit/2026-11/22/a.json").is_ok());
        assert!(check_key("logs", "audit/").is_ok());
        for key in ["../other/a", "a/../../b", "/etc/passwd", "a//b", ".", "a/."] {
            assert!(check_key("logs", key).is_err(), "{key}");
        }
        assert!(check_key("logs", &"a".repeat(163)).is_ok());
        assert!(check_key("logs", &"a".repeat(165)).is_err());
    }

    #[test]
    fn the_bucket_is_the_first_segment() {
        assert_eq!(bucket_in_path("/logs/a/b").as_deref(), Some("logs"));
        assert_eq!(bucket_in_path("/"), None);
        assert!(is_bucket_path("/logs/"));
        assert!(!is_bucket_path("/logs/a"));
    }
}
