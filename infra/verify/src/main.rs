//! The command line of `annals-verify`.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use annals_core::organisation::OrganisationId;
use annals_verify::{
    Expectation, read,
    report::{Report, Verdict},
    source::{Folder, Source},
    tail::{Fetched, Tail},
};
use anyhow::Context as _;
use clap::Parser;

/// Checks whether the delivered audit events are the whole log, unaltered, and reports exactly where they are not.
///
/// Exit status: 0 if that is proven, 1 if it is not, 2 if it could not be checked.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// A folder with the objects, or s3://BUCKET/PREFIX
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Check only objects whose keys begin with PREFIX, the destination's prefix
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// The end of the log: a saved response of GET /audit/tail
    #[arg(long, value_name = "FILE", conflicts_with = "tail_url")]
    tail: Option<PathBuf>,
    /// Fetch the end of the log from the API at URL, with the token in the environment variable ANNALS_TOKEN
    #[arg(long, value_name = "URL")]
    tail_url: Option<String>,
    /// The organisation whose log this must be; required with --tail-url and the platform token
    #[arg(long, value_name = "ID")]
    organisation: Option<OrganisationId>,
    /// The sequence that the delivery must begin with
    #[arg(long, value_name = "SEQUENCE", value_parser = clap::value_parser!(u64).range(1..))]
    first: Option<u64>,
    /// The bucket's region
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// The AWS profile to read the bucket with
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Print the report as JSON, with all problems
    #[arg(long)]
    json: bool,
    /// Print at most N problems
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = run(&options).and_then(|report| {
        print(&report, &options)?;
        Ok(report.verdict)
    });
    match outcome {
        Ok(Verdict::Proven) => ExitCode::SUCCESS,
        Ok(Verdict::Behind | Verdict::Broken) => ExitCode::from(1),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "Could not be checked: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn print(report: &Report, options: &Options) -> anyhow::Result<()> {
    let text = if options.json { serde_json::to_string_pretty(report)? + "\n" } else { report.to_text(options.limit) };
    std::io::stdout().write_all(text.as_bytes()).context("cannot write the report")
}

fn run(options: &Options) -> anyhow::Result<Report> {
    let prefix = as_folder(options.prefix.as_deref().unwrap_or_default());
    let Some(location) = options.source.strip_prefix("s3://") else {
        let path = Path::new(&options.source);
        anyhow::ensure!(path.is_dir(), "{} is not a folder", path.display());
        for (option, value) in [("--region", &options.region), ("--profile", &options.profile)] {
            anyhow::ensure!(value.is_none(), "{option} requires a bucket as the source: s3://BUCKET/PREFIX");
        }
        return check(options, &Folder::new(path, &prefix));
    };
    let (bucket, path) = location.split_once('/').unwrap_or((location, ""));
    anyhow::ensure!(!bucket.is_empty(), "s3:// must be followed by the name of a bucket");
    check_bucket(options, bucket, &format!("{}{prefix}", as_folder(path)))
}

/// Appends the slash that ends a destination's prefix.
fn as_folder(path: &str) -> String {
    if path.is_empty() || path.ends_with('/') { path.to_owned() } else { format!("{path}/") }
}

#[cfg(feature = "s3")]
fn check_bucket(options: &Options, bucket: &str, prefix: &str) -> anyhow::Result<Report> {
    let source =
        annals_verify::bucket::Bucket::connect(bucket, prefix, options.region.as_deref(), options.profile.as_deref())?;
    check(options, &source)
}

#[cfg(not(feature = "s3"))]
fn check_bucket(_: &Options, _: &str, _: &str) -> anyhow::Result<Report> {
    anyhow::bail!("this build reads only folders: it was built without the feature s3")
}

/// Fetches the tail before it reads the objects, so that an invalid token fails at once. Fetches it again if events were
/// delivered in the meantime, because the log must extend at least as far as they do.
fn check(options: &Options, source: &dyn Source) -> anyhow::Result<Report> {
    let mut expected =
        Expectation { organisation: options.organisation.clone(), first: options.first, tail: tail(options)? };
    let delivery = read(source)?;
    let report = delivery.check(source, &expected)?;
    if options.tail_url.is_none() || report.last_sequence <= report.tail_sequence {
        return Ok(report);
    }
    expected.tail = tail(options)?;
    Ok(delivery.check(source, &expected)?)
}

fn tail(options: &Options) -> anyhow::Result<Option<Tail>> {
    if let Some(file) = &options.tail {
        let response = fs::read(file).with_context(|| format!("cannot read the tail {}", file.display()))?;
        let tail = Tail::parse(&response, Fetched::Earlier);
        return Ok(Some(tail.with_context(|| format!("{} does not contain a tail", file.display()))?));
    }
    options.tail_url.as_deref().map(|url| fetch_tail(url, options.organisation.as_ref())).transpose()
}

#[cfg(feature = "s3")]
fn fetch_tail(url: &str, organisation: Option<&OrganisationId>) -> anyhow::Result<Tail> {
    let token =
        std::env::var("ANNALS_TOKEN").context("--tail-url needs a token in the environment variable ANNALS_TOKEN")?;
    Ok(annals_verify::api::fetch_tail(url, organisation, &token)?)
}

#[cfg(not(feature = "s3"))]
fn fetch_tail(_: &str, _: Option<&OrganisationId>) -> anyhow::Result<Tail> {
    anyhow::bail!("this build cannot call the API: it was built without the feature s3; save the tail and use --tail")
}
