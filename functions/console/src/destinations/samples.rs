//! A sample of every state that the section can be in.

use annals_core::{
    delivery::{
        Content, Delivery,
        connection_test::{ConnectionTestReport, Step, StepOutcome},
        failure::{AWS_MAX_BYTES, Failure, FailureCode},
        setup::Setup,
    },
    destination::{Destination, Failing, Lost, Progress, Replay, Settings},
    organisation::{Organisation, Plan, RetentionDays},
    service::ServiceSettings,
    time::Timestamp,
};

use super::{
    card::Card,
    confirmation,
    connection_test::ConnectionTest,
    deliveries_page, form,
    history::{ALL, History},
    page::{Done, New, Page, Room},
};
use crate::{every_page::Sample, layout::Section};

const NOW: u64 = 1_795_341_600_000;
const MINUTE: u64 = 60_000;
const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}\0javascript:alert(1)";

fn at(minutes_ago: u64) -> Timestamp {
    Timestamp::from_millis(NOW - minutes_ago * MINUTE)
}

fn organisation(plan: Plan) -> Organisation {
    Organisation {
        id: "acme".parse().unwrap(),
        name: "Acme".into(),
        plan,
        retention: RetentionDays::DEFAULT,
        longest_retention: RetentionDays::DEFAULT,
        external_id: "annals-0123456789abcdefABCDEF0123456789".into(),
        created_at: Timestamp::EPOCH,
        version: 1,
    }
}

/// One that has published its template, or not.
pub(super) fn service(is_published: bool) -> ServiceSettings {
    let url = "https://annals-public.s3.eu-central-1.amazonaws.com/destination.yaml";
    ServiceSettings {
        region: Some("eu-central-1".parse().unwrap()),
        template_url: is_published.then(|| url.parse().unwrap()),
        ..ServiceSettings::of("111122223333".parse().unwrap())
    }
}

/// One that was just saved.
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
        next_sequence: 1,
        intent: None,
        replay: None,
        progress: Progress::default(),
        version: 1,
    }
}

/// Names as long as they may be.
fn longest() -> Destination {
    let path = "!\"'&<>".repeat(70);
    Destination {
        bucket: "b".repeat(63).parse().unwrap(),
        role_arn: format!("arn:aws:iam::444455556666:role/{path}/{}", "r".repeat(64)).parse().unwrap(),
        settings: Settings { prefix: "<'&>".repeat(127).parse().unwrap(), ..Settings::default() },
        ..destination()
    }
}

fn works(destination: Destination) -> Destination {
    let progress = Progress { last_success: Some(at(4)), ..Progress::default() };
    Destination { progress, ..destination }
}

fn fails(destination: Destination, code: FailureCode, fix: &str, aws: &str) -> Destination {
    let failure = Failure { code, cause: "What is wrong.".into(), fix: fix.into(), aws: Some(aws.into()) };
    let failing = Failing { failure, since: at(90), attempts: 12, retry_at: at(0) };
    let progress = Progress { failing: Some(failing), ..destination.progress };
    Destination { progress, ..destination }
}

fn deliveries(destination: &Destination, count: usize) -> Vec<Delivery> {
    let delivery = |index: u64| Delivery {
        organisation: "acme".parse().unwrap(),
        destination: destination.id.clone(),
        first: (1 << 40) - 1 - index * 1000,
        last: (1 << 40) - 1 - index * 1000 + 999,
        key: format!("{}2026-11/22/2026-11-22T10-00-00-000Z-abcdefgh.json.gz", destination.settings.prefix.as_str()),
        replay: (index % 10 == 5).then(|| "abcdefgh".to_owned()),
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

fn step(name: &'static str, outcome: StepOutcome) -> Step {
    Step { name, outcome, detail: "What that means.".into(), fix: None, code: None, aws: None }
}

/// A test that ended like `outcomes`; where it failed, because of `code`.
fn report(outcomes: [StepOutcome; 4], code: FailureCode, fix: &str, aws: &str) -> ConnectionTestReport {
    let names = ["assumeRole", "externalId", "reachBucket", "writeObject"];
    let steps = names.into_iter().zip(outcomes).map(|(name, outcome)| match outcome {
        StepOutcome::Failed => {
            Step { fix: Some(fix.into()), code: Some(code.as_str()), aws: Some(aws.into()), ..step(name, outcome) }
        }
        StepOutcome::Warning => Step { fix: Some("Add {\"StringEquals\":{}}.".into()), ..step(name, outcome) },
        StepOutcome::Passed | StepOutcome::Skipped => step(name, outcome),
    });
    ConnectionTestReport {
        passed: !outcomes.contains(&StepOutcome::Failed),
        steps: steps.collect(),
        key: "test-wiremock-cloud-integration.txt".into(),
        tested_at: at(0),
        learnt_region: None,
    }
}

fn card(destination: &Destination, report: Option<&ConnectionTestReport>, count: usize, is_published: bool) -> Card {
    let organisation = organisation(Plan::Enterprise);
    let setup = Setup::of(&service(is_published), &organisation, destination);
    let connection_test = report.map(|report| ConnectionTest::of(report, destination, &setup));
    let card = Card { connection_test, ..Card::of(&organisation, destination, &setup) };
    card.in_full(destination, &setup, &deliveries(destination, count))
}

fn page(cards: Vec<Card>) -> Page {
    Page { done: None, refused: None, cards, room: Room::Full }
}

pub(crate) fn samples() -> Vec<Sample> {
    use StepOutcome::{Failed, Passed, Skipped, Warning};
    let shell = Shell::sample(Section::Destinations);
    let empty = |plan| Page {
        done: None,
        refused: None,
        cards: Vec::new(),
        room: Room::of(&organisation(plan), 0, &service(true)),
    };
    let mistyped = {
        let mut form = form::creation(&service(true));
        for field in &mut form.fields {
            *field = field.clone().value(&format!("{HOSTILE}{}", "x".repeat(100_000)));
        }
        form.add_fault("bucket", "must be <b>something</b> else");
        form.faults.push(HOSTILE.to_owned());
        let service_account = "111122223333".to_owned();
        Page { room: Room::New(New { form, service_account, external_id: HOSTILE.into() }), ..page(Vec::new()) }
    };
    let fix = format!("(1) Look. (2) Paste {{\"Statement\":[{{\"Action\":\"sts:AssumeRole\"}}]}}. (3) {HOSTILE}");
    let long = format!("{HOSTILE}{}", "<".repeat(AWS_MAX_BYTES - HOSTILE.len()));
    let lost = Lost { events: 12_345_678, last: 5..=7, noticed_at: at(1) };
    let replay = Replay { id: "abcdefgh".into(), next: 1, last: 99_999_999, started_at: at(3), intent: None };
    let everything = Destination {
        replay: Some(replay.clone()),
        progress: Progress { lost: Some(lost.clone()), ..works(longest()).progress },
        ..works(longest())
    };
    let all_passed = report([Passed; 4], FailureCode::Unknown, "", "");
    let no_role =
        report([Failed, Skipped, Skipped, Skipped], FailureCode::RoleNotAssumable, "Mend it.", "AccessDenied");
    let denied = report([Passed, Warning, Passed, Failed], FailureCode::PutDenied, &fix, &long);
    let open = report([Passed, Warning, Passed, Passed], FailureCode::Unknown, "", "");
    let mut refused = card(&works(destination()), None, 1, false);
    if let Some(more) = &mut refused.more {
        for form in [&mut more.settings, &mut more.replay_by_time, &mut more.replay_by_sequence] {
            for field in &mut form.fields {
                *field = field.clone().value(&HOSTILE.repeat(1000));
            }
            form.faults.push("There is no event in this range.".to_owned());
            for name in ["prefix", "until", "firstSequence"] {
                form.add_fault(name, HOSTILE);
            }
        }
    }
    let several = {
        let other = |index: usize| {
            let destination = fails(destination(), FailureCode::BucketMissing, &fix, &long);
            let destination = Destination {
                id: format!("d0000000001{index}").parse().unwrap(),
                bucket: format!("acme-audit-events-{index}").parse().unwrap(),
                ..destination
            };
            Card { more: None, ..card(&destination, None, 0, true) }
        };
        page((1..9).map(other).chain([card(&works(destination()), None, 60, true)]).collect())
    };
    let pages = vec![
        ("destinations: not in the plan", empty(Plan::Free)),
        ("destinations: none yet", empty(Plan::EnterpriseTrial)),
        ("destinations: deleted", Page { done: Some(Done::Deleted), ..empty(Plan::Enterprise) }),
        ("destinations: a new one mistyped", mistyped),
        ("destinations: saved", Page { done: Some(Done::Saved), ..page(vec![card(&destination(), None, 0, true)]) }),
        (
            "destinations: no room for another",
            Page { refused: Some("Nothing was saved."), ..page(vec![card(&destination(), None, 0, true)]) },
        ),
        ("destinations: saved, no link", page(vec![card(&destination(), None, 0, false)])),
        ("destinations: works", page(vec![card(&works(destination()), None, 12, true)])),
        ("destinations: one delivery", page(vec![card(&works(destination()), None, 1, true)])),
        ("destinations: as long as can be", page(vec![card(&everything, Some(&denied), ALL, true)])),
        (
            "destinations: fails",
            page(vec![card(&fails(works(destination()), FailureCode::KmsDenied, &fix, &long), None, 30, true)]),
        ),
        (
            "destinations: fails with the longest names",
            page(vec![card(&fails(works(longest()), FailureCode::RoleNotAssumable, &fix, &long), None, ALL, false)]),
        ),
        (
            "destinations: never worked",
            page(vec![card(&fails(destination(), FailureCode::TimedOut, "Wait.", ""), None, 0, true)]),
        ),
        (
            "destinations: paused",
            page(vec![card(&Destination { paused: true, ..works(destination()) }, None, 3, true)]),
        ),
        (
            "destinations: disabled",
            Page {
                room: Room::of(&organisation(Plan::Team), 1, &service(true)),
                ..page(vec![card(&Destination { disabled: true, ..works(destination()) }, None, 3, true)])
            },
        ),
        (
            "destinations: lost one",
            page(vec![card(
                &Destination {
                    progress: Progress {
                        lost: Some(Lost { events: 1, last: 5..=5, noticed_at: at(1) }),
                        ..Progress::default()
                    },
                    ..destination()
                },
                None,
                0,
                true,
            )]),
        ),
        (
            "destinations: replays",
            page(vec![card(&Destination { replay: Some(replay), ..works(destination()) }, None, 3, true)]),
        ),
        ("destinations: test passed", page(vec![card(&destination(), Some(&all_passed), 0, true)])),
        ("destinations: test passed with a warning", page(vec![card(&destination(), Some(&open), 0, true)])),
        ("destinations: test found no role", page(vec![card(&destination(), Some(&no_role), 0, true)])),
        ("destinations: test was denied", page(vec![card(&works(destination()), Some(&denied), 2, true)])),
        ("destinations: forms refused", page(vec![refused])),
        ("destinations: several", several),
    ];
    let mut samples: Vec<Sample> = pages.into_iter().map(|(name, page)| (name, page.render(&shell))).collect();
    let all = |destination: &Destination| {
        let history = History::all(&deliveries(destination, ALL), destination);
        deliveries_page(destination.bucket.as_str(), &history, &shell)
    };
    samples.push(("deliveries: all", all(&destination())));
    samples.push(("deliveries: all, with the longest keys", all(&longest())));
    let none = History::all(&[], &destination());
    samples.push(("deliveries: none", deliveries_page("acme-audit-events", &none, &shell)));
    samples.push(("delete a destination", confirmation(&longest()).render(&shell)));
    samples
}
