//! Lists and gets the objects of a bucket with the AWS SDK. Reading threads block on the runtime that the SDK needs.

use std::{io, num::NonZero};

use aws_config::{BehaviorVersion, Region, profile::ProfileFileCredentialsProvider};
use aws_sdk_s3::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
};
use tokio::runtime::Runtime;

use crate::source::{Source, SourceError};

/// Objects read in parallel for each core: most of the time a reader waits for the network.
const READERS_PER_CORE: usize = 8;
/// The region to ask for a bucket's region if the environment has none.
const ANY_REGION: Region = Region::from_static("us-east-1");

/// The objects of a bucket whose keys begin with a prefix.
#[derive(Debug)]
pub struct Bucket {
    runtime: Runtime,
    client: Client,
    name: String,
    prefix: String,
}

impl Bucket {
    /// Prepares a client for the bucket `name`.
    ///
    /// Default region: the bucket's, which S3 tells even to those whom it refuses everything else. Default credentials: the
    /// SDK's default chain.
    ///
    /// # Errors
    /// Returns an error if the runtime cannot start its threads.
    pub fn connect(name: &str, prefix: &str, region: Option<&str>, profile: Option<&str>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(profile) = profile {
            // An explicit profile takes precedence over keys in the environment, as in the AWS CLI.
            let credentials = ProfileFileCredentialsProvider::builder().profile_name(profile).build();
            loader = loader.profile_name(profile).credentials_provider(credentials);
        }
        let config = runtime.block_on(loader.load());
        let mut client = Client::new(&config);
        if region.is_none() {
            let config = aws_sdk_s3::config::Builder::from(&config);
            let config = if client.config().region().is_some() { config } else { config.region(ANY_REGION) };
            let bucket_region = runtime.block_on(bucket_region(&Client::from_conf(config.clone().build()), name));
            let config = if let Some(region) = bucket_region { config.region(Region::new(region)) } else { config };
            client = Client::from_conf(config.build());
        }
        Ok(Self { runtime, client, name: name.to_owned(), prefix: prefix.to_owned() })
    }
}

/// Asks S3 for the region of a bucket (AWS, "HeadBucket": the response has the header also if it is a refusal). `None` if it
/// cannot be learnt: then the first read says why.
async fn bucket_region(client: &Client, name: &str) -> Option<String> {
    match client.head_bucket().bucket(name).send().await {
        Ok(response) => response.bucket_region().map(str::to_owned),
        Err(error) => error.raw_response()?.headers().get("x-amz-bucket-region").map(str::to_owned),
    }
}

impl Source for Bucket {
    fn keys(&self) -> Result<Vec<String>, SourceError> {
        let failed = |error: SdkError<_, _>| SourceError::List {
            location: format!("s3://{}/{}", self.name, self.prefix),
            source: describe(&error).into(),
        };
        self.runtime.block_on(async {
            let request = self.client.list_objects_v2().bucket(&self.name).prefix(&self.prefix);
            let mut pages = request.into_paginator().send();
            let mut keys = Vec::new();
            while let Some(page) = pages.next().await {
                let objects = page.map_err(failed)?.contents.unwrap_or_default();
                keys.extend(objects.into_iter().filter_map(|object| object.key));
            }
            Ok(keys)
        })
    }

    fn open(&self, key: &str) -> io::Result<Box<dyn io::Read + Send + '_>> {
        let request = self.client.get_object().bucket(&self.name).key(key);
        let object = self.runtime.block_on(request.send()).map_err(|error| {
            let kind = match error.code() {
                Some("NoSuchKey") => io::ErrorKind::NotFound,
                Some("AccessDenied") => io::ErrorKind::PermissionDenied,
                _ => io::ErrorKind::Other,
            };
            io::Error::new(kind, describe(&error))
        })?;
        Ok(Box::new(Body { runtime: &self.runtime, stream: object.body, chunk: Vec::new(), read: 0 }))
    }

    fn parallel_reads(&self) -> usize {
        READERS_PER_CORE * std::thread::available_parallelism().map_or(1, NonZero::get)
    }
}

/// Reads an object's content as it arrives.
struct Body<'a> {
    runtime: &'a Runtime,
    stream: ByteStream,
    chunk: Vec<u8>,
    read: usize,
}

impl io::Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.chunk.len() {
            let next = self.runtime.block_on(self.stream.next());
            let Some(chunk) = next.transpose().map_err(io::Error::other)? else { return Ok(0) };
            self.chunk = chunk.into();
            self.read = 0;
        }
        let left = self.chunk.get(self.read..).unwrap_or_default();
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.read += count;
        Ok(count)
    }
}

/// Describes an error with S3's own code and message if it responded.
fn describe<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let description = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("S3 responded with {code}: {message}"),
        (Some(code), None) => format!("S3 responded with {code}"),
        _ => describe_no_response(error),
    };
    let region = error.raw_response().and_then(|response| response.headers().get("x-amz-bucket-region"));
    match (error.code(), region) {
        (
            Some("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException"),
            Some(region),
        ) => {
            format!("{description}; the bucket is in {region}: use --region {region}")
        }
        _ => description,
    }
}

/// Describes why there was no response: all causes, and what to do if that is known.
fn describe_no_response(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source()).map(ToString::to_string);
    let description = causes.collect::<Vec<_>>().join(": ");
    let description = description.strip_prefix("other: ").unwrap_or(&description);
    if description.contains("credential") {
        format!("no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use --profile ({description})")
    } else if description.contains("region must be set") {
        "the bucket's region is unknown: use --region".to_owned()
    } else {
        description.to_owned()
    }
}
