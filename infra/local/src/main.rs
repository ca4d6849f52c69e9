//! `cargo run`: starts the whole system in one process and prints how to try it.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use annals_aws::telemetry;
use annals_core::{
    brand::{Accent, Brand, Link, Logo, ProductName, Support},
    destination::{RolesWithoutExternalId, connection_test::TEST_OBJECT_NAME},
    portal::ReturnOrigins,
    token::TokenHash,
};
use annals_http::console::Embedding;
use annals_local::{
    demonstration::{self, Demonstration, History},
    system::{System, SystemOptions},
};
use anyhow::Context as _;
use clap::Parser;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// Runs Annals on this machine, on 127.0.0.1: the API, the schedule, and an embedded AWS in one process
#[derive(Debug, Parser)]
struct Options {
    /// Port of the API; 0 takes any free port
    #[arg(long, value_name = "N", default_value_t = 8700)]
    port: u16,
    /// Directory of the data: dynamodb.sqlite, s3/BUCKET/KEY, aws.json (roles and buckets) and annals.json (tokens)
    #[arg(long, value_name = "DIR", default_value = ".annals")]
    data_dir: PathBuf,
    /// Keep data in memory; it is lost when the program ends
    #[arg(long)]
    in_memory: bool,
    /// Seconds between two runs of the schedule, which ships new events
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    tick_seconds: u64,
    /// Write the printed addresses and tokens to FILE as JSON once everything is ready
    #[arg(long, value_name = "FILE")]
    info_file: Option<PathBuf>,
    /// Origins that may embed the organisation's page, separated by commas
    #[arg(long, value_name = "ORIGINS", default_value = "", value_parser = str::parse::<Embedding>)]
    console_origins: Embedding,
    /// What becomes of customers' roles that accept any external ID, as the parameter RolesWithoutExternalId of a deployment:
    /// challenge, allow or refuse
    #[arg(long, value_name = "RULE", default_value = "challenge", value_parser = str::parse::<RolesWithoutExternalId>)]
    roles_without_external_id: RolesWithoutExternalId,
    /// Name of the product on the organisation's page, as the parameter ProductName of a deployment
    #[arg(long, value_name = "NAME", value_parser = str::parse::<ProductName>)]
    product_name: Option<ProductName>,
    /// Logo on the organisation's page, a data URI of a PNG, WebP or SVG image in base64
    #[arg(long, value_name = "DATA_URI", value_parser = str::parse::<Logo>)]
    product_logo: Option<Logo>,
    /// Colour of links and buttons for light and for dark mode
    #[arg(long, value_name = "COLOURS", default_value = "#2456c5,#8fb3ff", value_parser = str::parse::<Accent>)]
    accent_colour: Accent,
    /// Where the organisation's page leads those who need help, an https or mailto address
    #[arg(long, value_name = "URL", value_parser = str::parse::<Support>)]
    support_url: Option<Support>,
    /// The product's page that opens the organisation's page, for those who are not signed in
    #[arg(long, value_name = "URL", value_parser = str::parse::<Link>)]
    sign_in_url: Option<Link>,
    /// Origins that portal links may lead back to, separated by commas
    #[arg(long, value_name = "ORIGINS", default_value = "", value_parser = str::parse::<ReturnOrigins>)]
    return_origins: ReturnOrigins,
    /// Name of the object that a connection test writes
    #[arg(long, value_name = "NAME", default_value = TEST_OBJECT_NAME)]
    test_object_name: String,
    /// Open the organisation's page in a browser
    #[arg(long)]
    open: bool,
    /// Begin with ten days of a company: its events, and their deliveries, checkpoints and an outage
    #[arg(long)]
    demo: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    telemetry::start_text();
    let options = Options::parse();
    // Other programs wait for this file. A file from an earlier run would mislead them.
    if let Some(file) = options.info_file.as_deref().filter(|file| file.exists()) {
        fs::remove_file(file).with_context(|| format!("cannot replace {}", file.display()))?;
    }
    let data_dir = if options.in_memory {
        None
    } else {
        fs::create_dir_all(&options.data_dir)
            .with_context(|| format!("cannot create {}", options.data_dir.display()))?;
        Some(options.data_dir.canonicalize()?)
    };
    let data_dir = data_dir.as_deref();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let platform_token = demonstration::platform_token(data_dir)?;
    let system = System::start(SystemOptions {
        port: options.port,
        data_dir: data_dir.map(Path::to_owned),
        tick: Duration::from_secs(options.tick_seconds),
        platform: TokenHash::of(&platform_token),
        embedding: options.console_origins,
        roles_without_external_id: options.roles_without_external_id,
        brand: Brand {
            product: options.product_name,
            logo: options.product_logo,
            accent: options.accent_colour,
            support: options.support_url,
            sign_in: options.sign_in_url,
        },
        return_origins: options.return_origins,
        test_object_name: options.test_object_name,
    })
    .await?;
    let history = if options.demo { History::TenDays } else { History::None };
    let is_new = data_dir.is_none_or(|dir| !demonstration::exists_in(dir));
    if options.demo && is_new {
        std::io::stdout().write_all(b"Recording and delivering the last ten days of an invented company.\n")?;
    }
    let demonstration = demonstration::prepare(&system, data_dir, platform_token, history).await?;
    let page = demonstration.portal_link(&system).await?;
    let verifier_key = system.verifier_key().await?;
    let info = info(&system, &demonstration, &page, &verifier_key, data_dir);
    if let Some(file) = &options.info_file {
        write_whole(file, &serde_json::to_string_pretty(&info)?)?;
    }
    std::io::stdout().write_all(
        greeting(&system, &demonstration, &page, &verifier_key, data_dir, options.tick_seconds).as_bytes(),
    )?;

    if options.open
        && let Err(error) = open::that_detached(&page)
    {
        tracing::warn!(%error, "cannot open a browser; open the link to the page yourself");
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    system.stop().await;
    Ok(())
}

/// Writes a file in one step, so that a program that waits for it never reads a half-written file.
fn write_whole(file: &Path, text: &str) -> anyhow::Result<()> {
    let beside = file.with_extension("partial");
    fs::write(&beside, text).with_context(|| format!("cannot write {}", beside.display()))?;
    fs::rename(&beside, file).with_context(|| format!("cannot write {}", file.display()))
}

fn info(
    system: &System,
    demonstration: &Demonstration,
    page: &str,
    verifier_key: &str,
    data_dir: Option<&Path>,
) -> serde_json::Value {
    let endpoints = system.cloud().endpoints();
    json!({
        "api": system.url(),
        "dynamodb": endpoints.dynamodb,
        "s3": endpoints.s3,
        "sts": endpoints.sts,
        "verifyKey": verifier_key,
        "platformToken": demonstration.platform_token,
        "organisation": demonstration.organisation,
        "portalLink": page,
        "tokens": demonstration.tokens,
        "bucket": demonstration.bucket,
        "roleArn": demonstration.role_arn,
        "destination": demonstration.destination,
        "dataDir": data_dir,
    })
}

fn greeting(
    system: &System,
    demonstration: &Demonstration,
    page: &str,
    verifier_key: &str,
    data_dir: Option<&Path>,
    tick_seconds: u64,
) -> String {
    let api = system.url();
    let Demonstration { platform_token, organisation, tokens, bucket, role_arn, destination, is_from_earlier_run } =
        demonstration;
    let found = match (is_from_earlier_run, data_dir) {
        (true, Some(dir)) => format!(
            "\nThe data of an earlier run in {} goes on; nothing was added to it. Delete the directory to begin anew.\n",
            dir.display()
        ),
        _ => String::new(),
    };
    let endpoints = system.cloud().endpoints();
    let token = |role: &str| tokens.get(role).map_or("", String::as_str);
    let (producer, auditor, admin) = (token("producer"), token("auditor"), token("admin"));
    let (data, objects) = match data_dir {
        Some(dir) => (dir.display().to_string(), format!("find '{}' -type f", dir.join("s3").join(bucket).display())),
        None => ("in memory".to_owned(), "# with --in-memory, objects are in a temporary folder".to_owned()),
    };
    let destinations = format!("{api}/organisations/{organisation}/destinations");
    let deliver = match destination {
        Some(id) => format!(
            r"Look at its deliveries to the customer's bucket:

  curl -s {destinations}/{id}/deliveries -H 'Authorization: Bearer {admin}'
"
        ),
        None => format!(
            r#"Deliver it to the customer's bucket. Replace ID in the second command with the id in the first response:

  curl -s {destinations} -H 'Authorization: Bearer {admin}' -H 'Content-Type: application/json' \
    -d '{{"bucket": "{bucket}", "roleArn": "{role_arn}"}}'
  curl -s -X POST {destinations}/ID/test -H 'Authorization: Bearer {admin}'
"#
        ),
    };
    format!(
        r#"
Annals is ready.
{found}
  API            {api}
  DynamoDB       {dynamodb}
  S3             {s3}
  STS            {sts}
  data           {data}
  schedule       every {tick_seconds} s
  checkpoints    signed by {verifier_key}

  platform token {platform_token}
  organisation   {organisation}
    producer     {producer}
    auditor      {auditor}
    admin        {admin}
  customer's account
    bucket       {bucket}
    role         {role_arn}

Open the organisation's page as an administrator: {api}/ leads a browser there. So does this link, once, within five minutes;
the command creates another:

  {page}
  curl -s {api}/organisations/{organisation}/portal-links -H 'Authorization: Bearer {platform_token}' -H 'Content-Type: application/json' -d '{{"role": "admin"}}'

Record an event:

  curl -s {api}/events -H 'Authorization: Bearer {producer}' -H 'Content-Type: application/json' -d '{{
    "action": "CREATE",
    "entity": {{"id": "m-1", "name": "Payments", "entityType": "MOCK_API"}},
    "principal": {{"id": "42", "name": "Ada Bell", "entityType": "USER", "email": "ada.bell@northwindmills.example"}}
  }}'

Read the audit log:

  curl -s {api}/audit -H 'Authorization: Bearer {auditor}'

{deliver}
Ship now instead of waiting for the schedule, and list what has arrived:

  curl -s -X POST {api}/_local/tick
  {objects}

Ctrl-C ends it.
"#,
        dynamodb = endpoints.dynamodb,
        s3 = endpoints.s3,
        sts = endpoints.sts,
    )
}
