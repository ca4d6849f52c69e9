//! Any bytes as the body of administrative requests: organisations, tokens, portal links, destinations, replays.
//!
//! An accepted input, written in the documented form, parses to the same input. A refusal is short. Except for its depth, a
//! text is JSON here if and only if it is JSON for a general parser.

#![no_main]

use annals_core::{
    administration::{DestinationInput, DestinationPatch, ReplayInput},
    destination::{
        Checkpoints, Compression, Destination, KeyLayout, Place, Progress, Proof, ProvenBy, RoleArn, Settings,
    },
    entropy::Entropy,
    fault::{Fault, Faults},
    json::{self, MAX_DEPTH},
    organisation::{OrganisationInput, Plan, RetentionDays},
    portal::PortalLinkInput,
    service::ServiceSettings,
    time::Timestamp,
    token::{Role, TokenInput},
};
use annals_fuzz::check_refusal;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);

fuzz_target!(|body: &[u8]| {
    check_json(body);
    if let Some(input) = read(body, OrganisationInput::parse) {
        assert!(!input.name.trim().is_empty() && input.name.chars().count() <= 200);
        assert!(input.retention.is_none_or(|retention| (7..=3650).contains(&retention.days())));
        let written = object([
            ("name", Some(input.name.as_str().into())),
            ("plan", input.plan.map(Plan::as_str).map(Value::from)),
            ("retentionDays", input.retention.map(RetentionDays::days).map(Value::from)),
        ]);
        assert_eq!(OrganisationInput::parse(&written), Ok(input));
    }
    if let Some(input) = read(body, |body| TokenInput::parse(body, NOW)) {
        assert!(input.expires_at.is_none_or(|at| at > NOW));
        let written = object([
            ("name", Some(input.name.as_str().into())),
            ("role", Some(input.role.as_str().into())),
            ("expiresAt", input.expires_at.map(|at| at.to_string().into())),
        ]);
        assert_eq!(TokenInput::parse(&written, NOW), Ok(input));
    }
    if let Some(input) = read(body, PortalLinkInput::parse) {
        assert_ne!(input.role, Role::Producer);
        let user = object([
            ("id", Some(input.user.id.as_str().into())),
            ("name", Some(input.user.name.as_str().into())),
            ("email", input.user.email.as_deref().map(Value::from)),
        ]);
        let user = serde_json::from_slice(&user).ok();
        let written = object([
            ("role", Some(input.role.as_str().into())),
            ("user", user),
            ("path", input.path.as_ref().map(|path| path.as_str().into())),
            ("returnUrl", input.return_url.as_ref().map(|url| url.as_str().into())),
        ]);
        assert_eq!(PortalLinkInput::parse(&written), Ok(input));
    }
    for region in ["eu-central-1", "us-gov-west-1"] {
        check_destination(body, region);
    }
    if let Some(input) = read(body, ReplayInput::parse) {
        let written = match input {
            ReplayInput::Sequences { first, last } => {
                assert!(1 <= first && first <= last && last < 1 << 40);
                object([("firstSequence", Some(first.into())), ("lastSequence", Some(last.into()))])
            }
            ReplayInput::Times { since, until } => {
                assert!(since < until);
                object([("since", Some(since.to_string().into())), ("until", Some(until.to_string().into()))])
            }
        };
        assert_eq!(ReplayInput::parse(&written), Ok(input));
    }
});

fn check_destination(body: &[u8], region: &str) {
    let account = "111122223333".parse().expect("it is an account");
    let service = ServiceSettings { region: region.parse().ok(), ..ServiceSettings::of(account) };
    let partition = service.partition();
    if let Some(input) = read(body, |body| DestinationInput::parse(body, &service)) {
        assert_eq!(service.check_role(&input.role_arn), Ok(()));
        let mut members = settings_members(&input.settings);
        members.insert("bucket".into(), input.bucket.as_str().into());
        members.insert("roleArn".into(), input.role_arn.as_str().into());
        assert_eq!(DestinationInput::parse(Value::from(members).to_string().as_bytes(), &service), Ok(input));
    }
    let role: RoleArn = format!("arn:{partition}:iam::123456789012:role/annals").parse().expect("it is a role");
    for proof in [Proof::default(), Proof::of(ProvenBy::ExternalId, NOW)] {
        let before = destination(role.clone(), proof);
        let parse = |body: &[u8]| DestinationPatch::parse(body, &before, &service);
        let Some(patch) = read(body, parse) else { continue };
        let after = patch.apply(&before, NOW, &Zero);
        let Place { bucket, role_arn, prefix, region, bucket_owner } = after.wanted_place();
        assert!(region.as_ref().is_none_or(|region| region.partition() == partition));
        assert_eq!(service.check_role(&role_arn), Ok(()));
        assert!(before.proof.proven.is_none() || after.bucket == before.bucket, "a proven place is left unproven");
        assert_eq!(patch.apply(&after, NOW, &Zero), after, "a second time changes something");
        let mut members = settings_members(&Settings { prefix, region, bucket_owner, ..after.settings.clone() });
        members.insert("bucket".into(), bucket.as_str().into());
        members.insert("roleArn".into(), role_arn.as_str().into());
        let again = parse(Value::from(members).to_string().as_bytes()).map(|patch| patch.apply(&before, NOW, &Zero));
        assert_eq!(again, Ok(after));
    }
}

/// A destination that has delivered nothing.
fn destination(role_arn: RoleArn, proof: Proof) -> Destination {
    Destination {
        id: "d00000000001".parse().expect("it is an id"),
        organisation: "acme".parse().expect("it is an id"),
        bucket: "acme-audit".parse().expect("it is a bucket"),
        role_arn,
        settings: Settings::default(),
        paused: false,
        disabled: false,
        created_at: NOW,
        proof,
        pending: None,
        first_sequence: Some(1),
        next_sequence: 1,
        deliveries: 0,
        intent: None,
        replay: None,
        progress: Progress::default(),
        checkpoints: Checkpoints::default(),
        version: Destination::FIRST_VERSION,
    }
}

/// Nothing has begun, so nothing gets another key.
#[derive(Debug)]
struct Zero;

impl Entropy for Zero {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

fn settings_members(settings: &Settings) -> Map<String, Value> {
    let Settings { prefix, region, compression, layout, rendering, bucket_owner } = settings;
    assert!(["none", "gzip"].contains(&Compression::as_str(*compression)));
    let members = json!({
        "prefix": prefix.as_str(),
        "region": region.as_ref().map(|region| region.as_str()),
        "compression": compression.as_str(),
        "layout": KeyLayout::as_str(*layout),
        "format": rendering.format.as_str(),
        "shape": rendering.shape.as_str(),
        "bucketOwner": bucket_owner.as_ref().map(|owner| owner.as_str()),
    });
    members.as_object().cloned().unwrap_or_default()
}

/// Parses `body` and checks the refusal, if there is one.
fn read<T>(body: &[u8], parse: impl Fn(&[u8]) -> Result<T, Faults>) -> Option<T> {
    parse(body).map_err(|faults| check_refusal(&faults)).ok()
}

/// Returns an object of the members that have a value.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Vec<u8> {
    let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::from(given.collect::<Map<_, _>>()).to_string().into_bytes()
}

/// Compares the check of bodies with a JSON parser that accepts more.
fn check_json(body: &[u8]) {
    let Ok(text) = std::str::from_utf8(body) else { return };
    let mut faults = Vec::new();
    let is_accepted = json::check(text, "", &mut faults).is_some();
    let value = serde_json::from_str::<Value>(text);
    if !is_accepted {
        assert!(!faults.is_empty());
        let too_deep = |fault: &Fault| fault.detail.contains("nested deeper");
        assert!(value.is_err() || faults.iter().any(too_deep), "refused without a reason: {text}");
        return;
    }
    let Ok(value) = value else { panic!("accepted, but not JSON: {text}") };
    assert!(depth(&value) <= MAX_DEPTH);
    let compact = serde_json::from_str(text).map(json::compact).unwrap_or_default();
    assert!(!compact.contains(['\n', '\r', '\t']) && compact.len() <= text.len());
    assert_eq!(serde_json::from_str::<Value>(&compact).ok(), Some(value), "{text}");
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}
