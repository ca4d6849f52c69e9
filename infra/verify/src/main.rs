//! `annals-verify`: the command line.

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
    tail::{Asked, Tail},
};
use anyhow::Context as _;
use clap::Parser;

/// Says whether delivered audit events are the whole log, unaltered, or exactly where they are not.
///
/// The exit status is 0 where that is proven, 1 where it is not, and 2 where it could not be checked.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// A folder with the objects, or s3://BUCKET/PREFIX
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Only objects whose keys begin with PREFIX: the destination's
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// The log's end: a saved answer of GET /audit/tail
    #[arg(long, value_name = "FILE", conflicts_with = "tail_url")]
    tail: Option<PathBuf>,
    /// Ask the API at URL for the log's end; the token is in the environment variable ANNALS_TOKEN
    #[arg(long, value_name = "URL")]
    tail_url: Option<String>,
    /// Whose log it should be; a platform's token needs it with --tail-url
    #[arg(long, value_name = "ID")]
    organisation: Option<OrganisationId>,
    /// The sequence that the delivery should begin with
    #[arg(long, value_name = "SEQUENCE", value_parser = clap::value_parser!(u64).range(1..))]
    first: Option<u64>,
    /// The bucket's region
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// The profile of the AWS configuration to read the bucket with
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Report as JSON, with all problems
    #[arg(long)]
    json: bool,
    /// Show at most so many problems
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
    let prefix = folder(options.prefix.as_deref().unwrap_or_default());
    let Some(place) = options.source.strip_prefix("s3://") else {
        let path = Path::new(&options.source);
        anyhow::ensure!(path.is_dir(), "{} is no folder", path.display());
        let misplaced =
            if options.region.is_some() { Some("--region") } else { options.profile.as_ref().map(|_| "--profile") };
        if let Some(option) = misplaced {
            anyhow::bail!("{option} is for a bucket: give s3://BUCKET/PREFIX");
        }
        return judge(options, &Folder::new(path, &prefix));
    };
    let (bucket, path) = place.split_once('/').unwrap_or((place, ""));
    anyhow::ensure!(!bucket.is_empty(), "s3:// must be followed by a bucket's name");
    in_bucket(options, bucket, &format!("{}{prefix}", folder(path)))
}

/// A path as what the keys below it begin with, as a destination keeps its prefix.
fn folder(path: &str) -> String {
    if path.is_empty() || path.ends_with('/') { path.to_owned() } else { format!("{path}/") }
}

#[cfg(feature = "s3")]
fn in_bucket(options: &Options, bucket: &str, prefix: &str) -> anyhow::Result<Report> {
    let source =
        annals_verify::bucket::Bucket::connect(bucket, prefix, options.region.as_deref(), options.profile.as_deref())?;
    judge(options, &source)
}

#[cfg(not(feature = "s3"))]
fn in_bucket(_: &Options, _: &str, _: &str) -> anyhow::Result<Report> {
    anyhow::bail!("this build reads folders only: it was made without the feature s3")
}

/// The tail is asked for before the objects are read, so that a wrong token is known at once; and again where events were
/// delivered meanwhile, for the log must reach at least as far as they do.
fn judge(options: &Options, source: &dyn Source) -> anyhow::Result<Report> {
    let tail = tail(options)?;
    let mut expected = Expectation { organisation: options.organisation.clone(), first: options.first, tail };
    let reading = read(source)?;
    let report = reading.judge(source, &expected)?;
    if options.tail_url.is_none() || report.last_sequence <= report.tail_sequence {
        return Ok(report);
    }
    expected.tail = self::tail(options)?;
    Ok(reading.judge(source, &expected)?)
}

fn tail(options: &Options) -> anyhow::Result<Option<Tail>> {
    if let Some(file) = &options.tail {
        let answer = fs::read(file).with_context(|| format!("cannot read the tail {}", file.display()))?;
        let tail = Tail::parse(&answer, Asked::Earlier);
        return Ok(Some(tail.with_context(|| format!("{} holds no tail", file.display()))?));
    }
    options.tail_url.as_deref().map(|url| ask(url, options.organisation.as_ref())).transpose()
}

#[cfg(feature = "s3")]
fn ask(url: &str, organisation: Option<&OrganisationId>) -> anyhow::Result<Tail> {
    let token =
        std::env::var("ANNALS_TOKEN").context("--tail-url needs a token in the environment variable ANNALS_TOKEN")?;
    Ok(annals_verify::api::tail(url, organisation, &token)?)
}

#[cfg(not(feature = "s3"))]
fn ask(_: &str, _: Option<&OrganisationId>) -> anyhow::Result<Tail> {
    anyhow::bail!("this build asks no API: it was made without the feature s3; save the tail and give it with --tail")
}
