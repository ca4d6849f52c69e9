//! The command line of `annals-verify`.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use annals_core::{
    organisation::OrganisationId,
    proof::{checkpoint::MAX_SEQUENCE, key::VerifierKey},
    time::{Timestamp, TimestampError},
};
use annals_verify::{
    AsOf, Expectation,
    keys::Keys,
    pattern::Pattern,
    read,
    report::{Report, Verdict},
    source::{Folder, Piped, Several, SingleFile, Source},
    state::State,
    tail::Tail,
};
use anyhow::Context as _;
use clap::Parser;

/// Checks whether the audit events in a bucket or in files are the whole log, unaltered, and reports exactly where they are
/// not.
///
/// Exit status:
///   0  proven: no event is missing and none was altered, from a signed or supplied beginning to a signed or supplied end
///   1  not proven: something is wrong
///   2  could not be checked
///   3  consistent, but not proven: nothing is wrong, but nothing signed or supplied confirms some of the events
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Options {
    /// Folders, files, s3://BUCKET/PREFIX, or - for standard input
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<String>,
    /// Check only objects whose keys begin with PREFIX, the destination's prefix
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Do not look at objects whose name matches GLOB, or whose key does if GLOB contains a slash; can be repeated
    #[arg(long, value_name = "GLOB")]
    ignore: Vec<Pattern>,
    /// The public key of the checkpoints: a C2SP verifier key; or a file with such keys, the current one first; or a file
    /// with the response of GET /keys
    #[arg(long, value_name = "KEY|FILE")]
    key: Option<String>,
    /// The end of the log: a saved response of GET /audit/tail or GET /audit/checkpoint, or a checkpoint from the bucket
    #[arg(long, value_name = "FILE", conflicts_with = "tail_url")]
    tail: Option<PathBuf>,
    /// Fetch the end of the log from the API at URL, with the token in the environment variable ANNALS_TOKEN
    #[arg(long, value_name = "URL")]
    tail_url: Option<String>,
    /// The sequence that the delivery must begin with
    #[arg(long, value_name = "SEQUENCE", value_parser = clap::value_parser!(u64).range(1..=MAX_SEQUENCE))]
    first: Option<u64>,
    /// Begin where the last run with this file ended, and store how far this run has proven the log
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The time that the proof must be about, for archives: a date, or an RFC 3339 time; the newest checkpoint must be at
    /// most 26 hours older. Default: now
    #[arg(long, value_name = "TIME", value_parser = time)]
    as_of: Option<Timestamp>,
    /// The organisation whose log this must be; required with --tail-url and the platform token
    #[arg(long, value_name = "ID")]
    organisation: Option<OrganisationId>,
    /// The bucket's region. Default: S3 is asked for it
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

fn time(text: &str) -> Result<Timestamp, TimestampError> {
    Timestamp::parse_leniently(text)
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
        Ok(Verdict::Consistent) => ExitCode::from(3),
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
    let is_bucket = options.sources.iter().any(|source| source.starts_with("s3://"));
    for (option, value) in [("--region", &options.region), ("--profile", &options.profile)] {
        anyhow::ensure!(value.is_none() || is_bucket, "{option} requires a bucket as the source: s3://BUCKET/PREFIX");
    }
    let state = options.state.as_deref().map(read_state).transpose()?.flatten();
    let report = match options.sources.as_slice() {
        [only] => check(options, state.clone(), &*source(options, only)?)?,
        sources => {
            let mut several = Several::default();
            for name in sources {
                several.add(if name == "-" { Piped::KEY } else { name }, source(options, name)?);
            }
            check(options, state.clone(), &several)?
        }
    };
    if let Some(file) = &options.state
        && let Some(state) = report.state(state)
    {
        state.write(file).with_context(|| format!("cannot write the state {}", file.display()))?;
    }
    Ok(report)
}

fn read_state(file: &Path) -> anyhow::Result<Option<State>> {
    State::read(file).with_context(|| format!("cannot use the state {}", file.display()))
}

fn source(options: &Options, name: &str) -> anyhow::Result<Box<dyn Source>> {
    let prefix = as_folder(options.prefix.as_deref().unwrap_or_default());
    if name == "-" {
        return Ok(Box::new(Piped::read(std::io::stdin().lock()).context("cannot read the standard input")?));
    }
    if let Some(location) = name.strip_prefix("s3://") {
        let (bucket, path) = location.split_once('/').unwrap_or((location, ""));
        anyhow::ensure!(!bucket.is_empty(), "s3:// must be followed by the name of a bucket");
        return connect(options, bucket, &format!("{}{prefix}", as_folder(path)));
    }
    let path = Path::new(name);
    if path.is_file() {
        return Ok(Box::new(SingleFile(path.to_owned())));
    }
    anyhow::ensure!(path.is_dir(), "{} is not a folder and not a file", path.display());
    Ok(Box::new(Folder::new(path, &prefix)))
}

/// Appends the slash that ends a destination's prefix.
fn as_folder(path: &str) -> String {
    if path.is_empty() || path.ends_with('/') { path.to_owned() } else { format!("{path}/") }
}

#[cfg(feature = "s3")]
fn connect(options: &Options, bucket: &str, prefix: &str) -> anyhow::Result<Box<dyn Source>> {
    let (region, profile) = (options.region.as_deref(), options.profile.as_deref());
    Ok(Box::new(annals_verify::bucket::Bucket::connect(bucket, prefix, region, profile)?))
}

#[cfg(not(feature = "s3"))]
fn connect(_: &Options, _: &str, _: &str) -> anyhow::Result<Box<dyn Source>> {
    anyhow::bail!("this build does not read buckets: it was built without the feature s3")
}

/// Fetches the tail before it reads the objects, so that an invalid token fails at once. Fetches it again if events were
/// delivered in the meantime, because the log must extend at least as far as they do.
fn check(options: &Options, state: Option<State>, source: &dyn Source) -> anyhow::Result<Report> {
    let mut expected = Expectation {
        organisation: options.organisation.clone(),
        first: options.first,
        tail: tail(options)?,
        keys: options.key.as_deref().map(keys).transpose()?.unwrap_or_default(),
        state,
        as_of: Some(options.as_of.map_or_else(now, AsOf::Time)),
    };
    if expected.keys.is_empty() {
        anyhow::ensure!(
            expected.tail.as_ref().is_none_or(|tail| tail.note.is_none()),
            "a checkpoint as --tail confirms nothing without the key that signed it: pass it with --key"
        );
        anyhow::ensure!(options.as_of.is_none(), "--as-of needs --key: only checkpoints say what was true at a time");
    }
    let delivery = read(source, &options.ignore)?;
    let report = delivery.check(source, &expected)?;
    if options.tail_url.is_none() || report.last_sequence <= report.tail_sequence {
        return Ok(report);
    }
    expected.tail = tail(options)?;
    Ok(delivery.check(source, &expected)?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the only place that asks for the time; the library takes it as a parameter"
)]
fn now() -> AsOf {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    AsOf::Now(Timestamp::EPOCH.plus(since_epoch))
}

fn keys(value: &str) -> anyhow::Result<Keys> {
    if value.parse::<VerifierKey>().is_ok() {
        return Ok(Keys::parse(value)?);
    }
    let text = fs::read_to_string(value).with_context(|| {
        format!("--key is neither a verifier key (NAME+ID+KEY) nor a file that can be read: {value}")
    })?;
    Keys::parse(&text).with_context(|| format!("{value} does not contain verifier keys"))
}

fn tail(options: &Options) -> anyhow::Result<Option<Tail>> {
    if let Some(file) = &options.tail {
        let name = file.display().to_string();
        let content = fs::read(file).with_context(|| format!("cannot read the tail {name}"))?;
        let tail = Tail::parse_saved(&name, &content);
        return Ok(Some(tail.with_context(|| format!("{name} does not contain a tail"))?));
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
