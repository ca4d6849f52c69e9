//! Destinations, deliveries and test reports for the samples and tests of this section.

use annals_core::{
    delivery::setup::Setup,
    destination::{
        Challenge, Checkpoints, Content, Delivery, Destination, Failing, LastCheckpoint, PendingChange, Place,
        Progress, Proof, ProvenBy, Settings, Unsigned,
        advice::{Advice, Prose, Snippet, SnippetKind, Span},
        connection_test::{ConnectionTestReport, Step, StepName, StepOutcome, TEST_OBJECT_NAME},
        failure::{AWS_MAX_BYTES, Failure, FailureCode},
        policy::Policy,
    },
    log::{read::Backlog, segment::LineHash},
    organisation::{Organisation, Plan, RetentionDays},
    proof::key::VerifierKey,
    service::ServiceSettings,
    time::Timestamp,
};

use super::{card::Card, connection_test::ConnectionTest};
use crate::layout::sample_brand;

const NOW: u64 = 1_795_341_600_000;
const MINUTE: u64 = 60_000;
pub(super) const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}\0javascript:alert(1)";

pub(super) fn at(minutes_ago: u64) -> Timestamp {
    Timestamp::from_millis(NOW - minutes_ago * MINUTE)
}

pub(super) fn organisation(plan: Plan) -> Organisation {
    Organisation {
        id: "acme".parse().unwrap(),
        name: "Acme".into(),
        plan,
        retention: RetentionDays::DEFAULT,
        longest_retention: RetentionDays::DEFAULT,
        shortest_retention: RetentionDays::DEFAULT,
        external_id: "annals-0123456789abcdefABCDEF0123456789".into(),
        created_at: Timestamp::EPOCH,
        version: 1,
    }
}

/// `is_published` says whether the CloudFormation template has a public address.
pub(super) fn service(is_published: bool) -> ServiceSettings {
    let url = "https://annals-public.s3.eu-central-1.amazonaws.com/destination.yaml";
    ServiceSettings {
        region: Some("eu-central-1".parse().unwrap()),
        template_url: is_published.then(|| url.parse().unwrap()),
        brand: sample_brand(),
        ..ServiceSettings::of("111122223333".parse().unwrap())
    }
}

/// Returns a destination that was just saved.
pub(super) fn destination() -> Destination {
    Destination {
        id: "d00000000001".parse().unwrap(),
        organisation: "acme".parse().unwrap(),
        bucket: "acme-audit-events".parse().unwrap(),
        role_arn: "arn:aws:iam::444455556666:role/annals-put-audit-events".parse().unwrap(),
        settings: Settings { region: Some("eu-central-1".parse().unwrap()), ..Settings::default() },
        paused: false,
        disabled: false,
        created_at: at(60 * 24 * 3),
        proof: Proof::of(ProvenBy::ExternalId, at(60)),
        pending: None,
        first_sequence: Some(1),
        next_sequence: 1,
        deliveries: 0,
        intent: None,
        replay: None,
        progress: Progress::default(),
        checkpoints: Checkpoints::default(),
        version: 1,
    }
}

/// Returns a destination whose values are as long as possible.
pub(super) fn longest() -> Destination {
    let path = "!\"'&<>".repeat(70);
    Destination {
        bucket: "b".repeat(63).parse().unwrap(),
        role_arn: format!("arn:aws:iam::444455556666:role/{path}/{}", "r".repeat(64)).parse().unwrap(),
        settings: Settings { prefix: "<'&>".repeat(127).parse().unwrap(), ..Settings::default() },
        ..destination()
    }
}

pub(super) fn working(destination: Destination) -> Destination {
    let progress = Progress { last_success: Some(at(4)), ..Progress::default() };
    Destination { progress, ..destination }
}

/// Returns the longest message of AWS that is stored.
pub(super) fn longest_aws_message() -> String {
    format!("{HOSTILE}{}", "<".repeat(AWS_MAX_BYTES - HOSTILE.len()))
}

fn fix() -> Advice {
    let trust = Snippet { kind: SnippetKind::Trust, policy: Policy::trust("aws", "111122223333", HOSTILE) };
    let paste = Prose::from("Paste ") + Span::Policy(trust) + ". Or run " + Span::Code(HOSTILE.to_owned()) + ".";
    Advice::new("", [Prose::from("Look."), paste, Prose::from(HOSTILE)])
}

pub(super) fn failing(destination: Destination, code: FailureCode, aws: &str) -> Destination {
    let failure = Failure { code, cause: "What is wrong.".into(), fix: fix(), aws: Some(aws.into()) };
    let failing = Failing { failure, since: at(90), attempts: 12, retry_at: at(0) };
    let progress = Progress { failing: Some(failing), ..destination.progress };
    Destination { progress, ..destination }
}

/// Returns a destination that awaits the code in the test object.
pub(super) fn unproven(destination: Destination, aws: &str) -> Destination {
    let challenge = Challenge { code: "7KQ2MXW4TR".into(), issued_at: at(1), attempts: 0 };
    let proof = Proof { challenge: Some(challenge), ..Proof::default() };
    Destination { proof, ..failing(destination, FailureCode::ExternalIdNotRequired, aws) }
}

/// Returns a destination with a change to another bucket and role that is not proven yet. `code` says whether the code in the test
/// object is awaited.
pub(super) fn changing(destination: Destination, challenge: Option<Challenge>) -> Destination {
    let place = Place {
        bucket: "b".repeat(63).parse().unwrap(),
        role_arn: format!("arn:aws:iam::444455556666:role/{}", "r".repeat(64)).parse().unwrap(),
        region: None,
        ..destination.place()
    };
    let pending = PendingChange {
        place,
        proof: Proof { challenge, ..Proof::default() },
        requested_at: at(2),
        reached_at: None,
        examine_at: at(2),
    };
    Destination { pending: Some(pending), ..destination }
}

/// Returns a destination to which a delivery succeeded after the test.
pub(super) fn delivered_after(report: &ConnectionTestReport) -> Destination {
    let last_success = Some(report.tested_at.plus(std::time::Duration::from_secs(60)));
    Destination { progress: Progress { last_success, ..Progress::default() }, ..destination() }
}

/// Returns a destination to which a delivery failed after the test.
pub(super) fn failed_after(report: &ConnectionTestReport) -> Destination {
    let mut failed = failing(working(destination()), FailureCode::PutDenied, "");
    if let Some(failing) = &mut failed.progress.failing {
        failing.since = report.tested_at.plus(std::time::Duration::from_secs(60));
        failing.retry_at = report.tested_at.plus(std::time::Duration::from_secs(180));
    }
    failed
}

pub(super) fn deliveries(destination: &Destination, count: usize) -> Vec<Delivery> {
    let delivery = |index: u64| Delivery {
        organisation: "acme".parse().unwrap(),
        destination: destination.id.clone(),
        number: Some(1 + count as u64 - index),
        first: (1 << 40) - 1 - index * 1000,
        last: (1 << 40) - 1 - index * 1000 + 999,
        last_hash: None,
        expired: Vec::new(),
        lost: None,
        key: format!("{}2026-11/22/2026-11-22T10-00-00-000Z-abcdefgh.json.gz", destination.settings.prefix.as_str()),
        bucket: Some(destination.bucket.clone()),
        replay: (index % 10 == 5).then(|| "abcdefgh".to_owned()),
        already_there: index % 7 == 3,
        content: (index % 7 != 3).then(|| Content {
            events: 1000 + index * index,
            bytes: 123_456_789 + index,
            sha256: "0123456789abcdef".repeat(4),
        }),
        lag_seconds: if index % 9 == 4 { 3600 * 24 * 40 } else { 540 + index },
        lag_events: index,
        delivered_at: at(4 + index * 10),
    };
    (0..count as u64).map(delivery).collect()
}

fn step(name: StepName, outcome: StepOutcome) -> Step {
    Step { name, outcome, detail: "What that means.".into(), fix: None, code: None, aws: None }
}

/// `code` and `aws` describe the failed steps.
pub(super) fn test_report(outcomes: [StepOutcome; 4], code: FailureCode, aws: &str) -> ConnectionTestReport {
    let names = [StepName::AssumeRole, StepName::ExternalId, StepName::ReachBucket, StepName::WriteObject];
    let steps = names.into_iter().zip(outcomes).map(|(name, outcome)| match outcome {
        StepOutcome::Failed => {
            Step { fix: Some(fix()), code: Some(code), aws: Some(aws.into()), ..step(name, outcome) }
        }
        StepOutcome::Warning => Step { fix: Some("Add {\"StringEquals\":{}}.".into()), ..step(name, outcome) },
        StepOutcome::Passed | StepOutcome::Skipped => step(name, outcome),
    });
    ConnectionTestReport {
        passed: !outcomes.contains(&StepOutcome::Failed),
        steps: steps.collect(),
        key: if sample_brand().is_shown() { "connection-test.txt" } else { TEST_OBJECT_NAME }.into(),
        tested_at: at(0),
        needs_code: false,
        place: None,
        learnt_region: None,
    }
}

/// Returns the card in full. `count` is the number of deliveries.
pub(super) fn card(
    destination: &Destination,
    report: Option<&ConnectionTestReport>,
    count: usize,
    is_published: bool,
) -> Card {
    let organisation = organisation(Plan::Enterprise);
    let setup = Setup::of(&service(is_published), &organisation, destination);
    let in_force = Setup::in_force(&service(is_published), &organisation, destination);
    let connection_test = report.map(|report| ConnectionTest::of(report, destination, &setup));
    let now = Timestamp::from_millis(NOW);
    let backlog = Backlog { events: count as u64 * 77, since: (count > 0).then(|| at(5)) };
    let card = Card { connection_test, ..Card::of(&organisation, destination, &in_force, now) };
    card.with_health(destination, report, Some(&backlog), now).with_details(
        destination,
        &setup,
        &deliveries(destination, count),
    )
}

/// `destination` with a checkpoint in its bucket.
pub(crate) fn signed(destination: Destination) -> Destination {
    let last = LastCheckpoint {
        deliveries: 3,
        sequence: 7110,
        hash: LineHash::ORIGIN,
        at: at(5),
        key: "annals-checkpoints/2026-11/22/2026-11-22T10-10-00-000Z-k3x9a0bq.checkpoint".into(),
        sha256: LineHash::ORIGIN,
        signer: VerifierKey::ed25519("annals.example.com".parse().unwrap(), &[0; 32]),
        bucket: Some(destination.bucket.clone()),
    };
    Destination { checkpoints: Checkpoints { last: Some(last), ..Checkpoints::default() }, ..destination }
}

/// `destination` with deliveries that could not be signed.
pub(crate) fn unsigned(destination: Destination) -> Destination {
    let mut destination = signed(destination);
    destination.checkpoints.unsigned = Some(Unsigned {
        since: at(5),
        code: "signing_denied".into(),
        detail: HOSTILE.repeat(20),
        attempts: 3,
        retry_at: at(9),
    });
    destination
}
