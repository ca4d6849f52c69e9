//! Every alarm of `template.yaml` goes off at its fault and at no other. The alarms are read from the template and
//! applied to the metrics of simulated days with one fault.

mod cloud_watch;
mod days;

use std::{collections::BTreeSet, path::Path};

use annals_aws::metrics::{METRICS, NAMESPACE};
use annals_tests::{model::in_virtual_time, template};
use serde_json::Value;

use self::{
    cloud_watch::{Alarm, Composite, Metrics},
    days::{BEGIN, Fault},
};

/// CloudWatch does not document how many older data points it uses in place of missing ones. These numbers are tried.
const BEYOND: [u64; 3] = [0, 2, 5];

/// The alarms of each fault, with the most minutes until they go off.
const EXPECTED: &[(Fault, &[(&str, u64)])] = &[
    (Fault::Nothing, &[]),
    (Fault::Quiet, &[]),
    (Fault::PlanningOff, &[("PlanningStoppedAlarm", 26)]),
    (Fault::PlanningFails, &[("PlanningStoppedAlarm", 26)]),
    (Fault::QueueRefuses, &[("PlanningStoppedAlarm", 26)]),
    (Fault::MaintenanceOff, &[("MaintenanceStoppedAlarm", 53 * 60)]),
    (Fault::MaintenanceFails, &[("MaintenanceStoppedAlarm", 53 * 60)]),
    (Fault::TailUnknown, &[("TailUnknownAlarm", 65), ("ApiTailUnknownAlarm", 10), ("ApiErrorsPersistAlarm", 20)]),
    (Fault::EventsMissing, &[("EventsMissingAlarm", 15), ("ApiEventsMissingAlarm", 10), ("ApiErrorsPersistAlarm", 20)]),
    (Fault::ClockAhead, &[("ClockOffAlarm", 15), ("ApiClockOffAlarm", 10), ("ApiErrorsPersistAlarm", 20)]),
    (Fault::QueueNotConsumed, &[("DeliveryLagAlarm", 42)]),
    (Fault::ShipperCrashes, &[("DeadLettersAlarm", 100), ("DeliveryLagAlarm", 42)]),
    (Fault::OurRoleDenied, &[("DeliveryLagAlarm", 80), ("ShipperOperatorFaultAlarm", 12)]),
    (Fault::EveryRoleRefused, &[("ShipperOperatorFaultAlarm", 12)]),
    (Fault::AssumingRolesThrottled, &[("DeliveryLagAlarm", 80), ("ShipperOperatorFaultAlarm", 12)]),
    (Fault::ShipperDeniedTheStore, &[("PlanningStoppedAlarm", 26), ("ShipperOperatorFaultAlarm", 12)]),
    (Fault::ApiDeniedTheStore, &[("ApiErrorsAlarm", 15), ("ApiErrorsPersistAlarm", 20), ("ApiOperatorFaultAlarm", 3)]),
    (Fault::ApiDeniedTheStoreOnce, &[("ApiOperatorFaultAlarm", 3)]),
    (Fault::InstancesDeniedTheStore, &[("ApiInstancesOperatorFaultAlarm", 3)]),
    (Fault::ConsoleDeniedTheStore, &[("ConsoleOperatorFaultAlarm", 3)]),
    (Fault::ConnectionTestsDenied, &[("TestConnectionOperatorFaultAlarm", 3)]),
    (Fault::PoisonOrder, &[("DeadLettersAlarm", 100)]),
    // The lag is known once the log can be read again.
    (Fault::LogUnreadable, &[("DeadLettersAlarm", 100), ("DeliveryLagAlarm", 200)]),
    (Fault::StoreGoneForTheApi, &[("ApiErrorsAlarm", 15), ("ApiErrorsPersistAlarm", 20)]),
    // For callers it is the same.
    (Fault::ApiThrottled, &[("ApiErrorsAlarm", 15), ("ApiErrorsPersistAlarm", 20)]),
    (Fault::ApiCrashes, &[("ApiErrorsAlarm", 15), ("ApiErrorsPersistAlarm", 20)]),
    (Fault::FewApiErrors, &[]),
    (Fault::ApiFailsAtLowTraffic, &[("ApiErrorsPersistAlarm", 35)]),
    (Fault::ApiSlow, &[("ApiSlowAlarm", 25)]),
    (Fault::TokensGuessed, &[("FailedAuthenticationsAlarm", 15)]),
    (Fault::TokensGuessedOnInstances, &[("InstancesFailedAuthenticationsAlarm", 15)]),
    (Fault::AdminTokensCreated, &[("AdminTokensAlarm", 15)]),
    (Fault::AdminTokensCreatedOnPages, &[("ConsoleAdminTokensAlarm", 15)]),
    (Fault::DestinationsChanged, &[("DestinationChangesAlarm", 15)]),
    (Fault::DestinationsChangedOnPages, &[("ConsoleDestinationChangesAlarm", 15)]),
    (Fault::GatewayThrottles, &[("ApiThrottlesAlarm", 15)]),
    (Fault::ShipperThrottled, &[("ShipperThrottlesAlarm", 15)]),
    (Fault::ShipperThrottledOnce, &[]),
    (Fault::LogReadsThrottled, &[("LogReadThrottlesAlarm", 15)]),
    (Fault::LogWritesThrottled, &[("LogWriteThrottlesAlarm", 15)]),
    (Fault::RegistryReadsThrottled, &[("RegistryReadThrottlesAlarm", 15)]),
    (Fault::RegistryWritesThrottled, &[("RegistryWriteThrottlesAlarm", 15)]),
    (Fault::IndexReadsThrottled, &[("PlanningIndexReadThrottlesAlarm", 15)]),
    (Fault::IndexWritesThrottled, &[("PlanningIndexWriteThrottlesAlarm", 15)]),
    (Fault::SigningDenied, &[("CheckpointsFailedAlarm", 130), ("ShipperOperatorFaultAlarm", 12)]),
    (Fault::SigningThrottledOnce, &[]),
    // The new events that take the places of lost ones wait for delivery.
    (Fault::LogRestored, &[("LogContradictedAlarm", 130), ("DeliveryLagAlarm", 200)]),
    (Fault::TablesCopied, &[("LogContradictedAlarm", 15), ("PlanningStoppedAlarm", 26)]),
    (Fault::ItemDamaged, &[("UnreadableItemsAlarm", 15), ("ApiUnreadableItemsAlarm", 15)]),
    (Fault::BucketMissing, &[]),
    (Fault::RoleRevoked, &[]),
    (Fault::BucketHangs, &[]),
    (Fault::S3Outage, &[]),
    (Fault::Paused, &[]),
    (Fault::Backlog, &[]),
    (Fault::Replayed, &[]),
];

/// The alarms of the template.
struct Alarms {
    /// Those on a metric.
    metric: Vec<Alarm>,
    composite: Vec<Composite>,
}

impl Alarms {
    fn read() -> Self {
        let resources = template::resources();
        let of = |kind: &'static str| {
            resources.iter().filter(move |(_, resource)| resource["Type"] == format!("AWS::CloudWatch::{kind}"))
        };
        Self {
            metric: of("Alarm").map(|(name, resource)| Alarm::of(name, resource)).collect(),
            composite: of("CompositeAlarm").map(|(name, resource)| Composite::of(name, resource)).collect(),
        }
    }

    /// The names and descriptions of those that notify somebody.
    fn notifying(&self) -> Vec<(&str, &str)> {
        let metric = self.metric.iter().filter(|alarm| alarm.notifies);
        let metric = metric.map(|alarm| (alarm.name.as_str(), alarm.description.as_str()));
        metric.chain(self.composite.iter().map(|one| (one.name.as_str(), one.description.as_str()))).collect()
    }

    /// When an alarm that notifies somebody went into the state ALARM, and when it left it.
    fn changes(&self, name: &str, metrics: &Metrics, end: u64, beyond: u64) -> Vec<(u64, bool)> {
        match self.composite.iter().find(|composite| composite.name == name) {
            Some(composite) => composite.changes(&self.metric, metrics, end, beyond),
            None => {
                let alarm = self.metric.iter().find(|alarm| alarm.name == name).unwrap();
                alarm.changes(metrics, end, beyond)
            }
        }
    }
}

#[test]
fn each_alarm_goes_off_at_the_fault_that_it_is_for_and_at_nothing_else() {
    let alarms = Alarms::read();
    let mut unused: BTreeSet<&str> = alarms.notifying().into_iter().map(|(name, _)| name).collect();
    // Its threshold is more than anybody makes, until the operator sets it.
    assert!(unused.remove("PlatformTokenAlarm"));
    let mut faults = Vec::new();
    for &(fault, expected) in EXPECTED {
        let (metrics, end) = in_virtual_time(days::live(fault));
        let mut cells = Vec::new();
        for (name, _) in alarms.notifying() {
            let within = expected.iter().find(|(expected, _)| *expected == name).map(|(_, within)| *within);
            if within.is_some() {
                unused.remove(name);
            }
            for beyond in BEYOND {
                let changes = alarms.changes(name, &metrics, end, beyond);
                let first = changes.iter().find(|(_, is_in_alarm)| *is_in_alarm);
                let what = format!("{fault:?}, {name} ({beyond} data points beyond): {changes:?}");
                match (within, first) {
                    (None, None) => {}
                    (None, Some(_)) => faults.push(format!("goes off without a reason: {what}")),
                    (Some(_), None) => faults.push(format!("does not go off: {what}")),
                    (Some(within), Some((minute, _))) => {
                        if !(BEGIN..=BEGIN + within).contains(minute) {
                            faults.push(format!("goes off {minute} min, {BEGIN} + {within} is expected: {what}"));
                        }
                        if beyond == 0 {
                            cells.push(format!("{name} after {} min", minute - BEGIN.min(*minute)));
                        }
                    }
                }
                // Dead letters stay until an operator removes them.
                if name != "DeadLettersAlarm" && changes.last().is_some_and(|(_, is_in_alarm)| *is_in_alarm) {
                    faults.push(format!("does not end: {what}"));
                }
            }
        }
        println!("{:<24} {}", format!("{fault:?}"), if cells.is_empty() { "-".into() } else { cells.join(", ") });
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(unused.is_empty(), "alarms that no fault is for: {unused:?}");
}

#[test]
fn alarms_begin_quietly_and_none_needs_a_run_that_has_not_happened_yet() {
    let alarms = Alarms::read();
    for (name, _) in alarms.notifying() {
        let changes = alarms.changes(name, &Metrics::default(), 3 * 24 * 60, 0);
        assert_eq!(changes, [], "{name}");
    }
    // The evidence of two of them begins in alarm.
    let evidence: Vec<&str> = alarms
        .metric
        .iter()
        .filter(|alarm| !alarm.changes(&Metrics::default(), 3 * 24 * 60, 0).is_empty())
        .map(|alarm| alarm.name.as_str())
        .collect();
    assert_eq!(evidence, ["MaintenanceMissedAlarm", "NothingPlannedAlarm"]);
}

/// A stack on which one of the schedules never ran, from the first minute on.
#[test]
fn a_schedule_that_never_worked_is_noticed_by_the_other_one() {
    let alarms = Alarms::read();
    let end = 4 * 24 * 60;
    let stack = |metric: &str, every: u64| {
        let mut metrics = Metrics::default();
        for minute in (0..end).step_by(usize::try_from(every).unwrap()) {
            metrics.put(minute, NAMESPACE, metric, &[("FunctionName", "ShipperFunction")], 1.0);
        }
        metrics
    };
    let maintained_only = stack("MaintenanceRuns", 1440);
    assert!(!alarms.changes("PlanningStoppedAlarm", &maintained_only, end, 0).is_empty());
    assert_eq!(alarms.changes("MaintenanceStoppedAlarm", &maintained_only, end, 0), []);
    let planned_only = stack("PlannerRuns", 10);
    assert_eq!(alarms.changes("PlanningStoppedAlarm", &planned_only, end, 0), []);
    let missed = alarms.changes("MaintenanceStoppedAlarm", &planned_only, end, 0);
    assert!(matches!(missed[..], [(minute, true)] if minute <= 49 * 60), "{missed:?}");
}

/// The threshold is a parameter. With one request in a quarter of an hour it goes off at the first.
#[test]
fn uses_of_the_platform_token_are_counted_for_the_threshold_that_an_operator_sets() {
    let (metrics, _) = in_virtual_time(days::live(Fault::Nothing));
    let alarms = Alarms::read();
    let alarm = alarms.metric.iter().find(|alarm| alarm.name == "PlatformTokenAlarm").unwrap();
    assert_eq!(alarm.changes(&metrics, BEGIN, 0), []);
    let strict = alarm.clone().with_threshold(1.0);
    let changes = strict.changes(&metrics, BEGIN, 0);
    assert!(changes.iter().any(|(_, is_in_alarm)| *is_in_alarm), "{changes:?}");
}

#[test]
fn alarms_look_at_metrics_that_there_are() {
    let alarms = Alarms::read();
    for alarm in &alarms.metric {
        let (namespace, name) = alarm.metric();
        let is_ours = METRICS.iter().any(|metric| metric.name == name);
        assert_eq!(namespace == NAMESPACE, is_ours, "{}: {namespace} {name}", alarm.name);
        // One that notifies nobody is evidence of another.
        let composites = alarms.composite.iter().any(|composite| composite.is_about(&alarm.name));
        assert_eq!(composites, !alarm.notifies, "{}", alarm.name);
    }
    for (name, description) in alarms.notifying() {
        let anchor = entry_of(name).to_lowercase();
        let link = format!("Runbook: infra/docs/operations.md#{anchor}");
        assert!(description.ends_with(&link), "{name}: {description}");
    }
}

/// The entry of the runbook that an alarm leads to: that of its name, except that the alarms of several functions on one metric
/// have one.
fn entry_of(alarm: &str) -> &str {
    let shared = [
        ("OperatorFaultAlarm", "OperatorFaultAlarms"),
        ("FailedAuthenticationsAlarm", "FailedAuthenticationsAlarms"),
        ("AdminTokensAlarm", "AdminTokensAlarms"),
        ("DestinationChangesAlarm", "DestinationChangesAlarms"),
    ];
    shared.iter().find(|(ending, _)| alarm.ends_with(ending)).map_or(alarm, |(_, entry)| entry)
}

fn document() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/docs/operations.md")).unwrap()
}

#[test]
fn every_alarm_has_an_entry_in_the_runbook_and_every_entry_an_alarm() {
    let document = document();
    let entries: BTreeSet<&str> = document.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let alarms = Alarms::read();
    let alarms: BTreeSet<&str> = alarms.notifying().into_iter().map(|(name, _)| entry_of(name)).collect();
    assert_eq!(entries, alarms);
    for entry in document.split("\n### ").skip(1) {
        let entry = entry.split("\n## ").next().unwrap();
        for part in ["**Means.**", "**Look.**", "**Do.**", "**Over**"] {
            assert!(entry.contains(part), "no {part} in: {entry}");
        }
    }
}

/// `physical NAME` in the runbook's commands asks CloudFormation for the physical ID of a resource.
#[test]
fn commands_of_the_runbook_name_resources_and_log_groups_that_there_are() {
    let resources = template::resources();
    let mut names: BTreeSet<String> = resources.keys().cloned().collect();
    let mut groups = BTreeSet::new();
    for (function, resource) in &resources {
        // SAM names what an event of a function becomes after both.
        let events = resource["Properties"]["Events"].as_object().into_iter().flatten();
        names.extend(events.map(|(event, _)| format!("{function}{event}")));
        groups.extend(
            resource["Properties"]["LogGroupName"]["!Sub"]
                .as_str()
                .map(|name| name.replace("${AWS::StackName}", "$STACK")),
        );
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/docs");
    let document = document() + &std::fs::read_to_string(folder.join("restoring.md")).unwrap();
    // In loops over functions and rules.
    for part in document.split("\nfor ").skip(1) {
        let (_, items) = part.split(';').next().unwrap().split_once(" in ").unwrap();
        for name in items.split(' ').filter(|name| name.starts_with(char::is_uppercase)) {
            assert!(names.contains(name), "{name} is no resource");
        }
    }
    let mut commands = 0;
    for part in document.split("$(physical ").skip(1) {
        let name = part.split(')').next().unwrap();
        assert!(names.contains(name) || name.starts_with("\"$"), "{name} is no resource");
        commands += 1;
    }
    for part in document.split("--log-group-name \"").skip(1) {
        let group = part.split('"').next().unwrap();
        assert!(groups.contains(group), "{group} is no log group");
        commands += 1;
    }
    assert!(commands > 20, "{commands} commands: the runbook is not understood");
    for block in document.split("```sh\n").skip(1) {
        let script = block.split("```").next().unwrap();
        let checked = std::process::Command::new("bash").args(["-n", "-c", script]).status().unwrap();
        assert!(checked.success(), "no shell script: {script}");
    }
}

#[test]
fn every_metric_is_documented_with_its_unit_and_dimensions_and_every_documented_one_is_there() {
    let expected = METRICS.iter().map(|metric| [metric.name, metric.unit, metric.by.unwrap_or_default()]);
    let document = document();
    let section = document.split("\n## Metrics\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let found = rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let ["", name, unit, by, meaning, ""] = cells[..] else { panic!("{row}") };
        assert!(meaning.len() > 10, "{row}");
        [name, unit, by]
    });
    assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[test]
fn every_log_line_of_the_functions_is_documented_and_every_documented_one_is_there() {
    fn sources(folder: &Path, found: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                *found += &std::fs::read_to_string(&path).unwrap();
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut text = String::new();
    let functions =
        ["api", "console", "shipper", "test-connection"].map(|function| format!("functions/{function}/src"));
    for folder in functions.iter().map(String::as_str).chain(["shared/core/src", "shared/http/src"]) {
        sources(&root.join(folder), &mut text);
    }
    // Of the adapters' only what no function of its own says.
    let aws = std::fs::read_to_string(root.join("shared/aws/src/metrics.rs")).unwrap();
    text += aws.split("#[cfg(test)]").next().unwrap();
    let literals = |text: &str| -> Vec<String> {
        text.split('"').skip(1).step_by(2).filter(|literal| !literal.contains('{')).map(str::to_owned).collect()
    };
    let mut said = BTreeSet::new();
    for body in text.split("fn message(&self) -> &'static str").skip(1) {
        said.extend(literals(body.split("fn level").next().unwrap()));
    }
    for call in text.split("tracing::").skip(1).filter(|call| call.contains("!(")) {
        said.extend(literals(call.split(')').next().unwrap()));
    }
    let document = document();
    let section = document.split("\n## Log lines\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")).filter(|line| !line.starts_with("message`"));
    let documented: BTreeSet<String> = rows.map(|row| row.split('`').next().unwrap().to_owned()).collect();
    assert_eq!(documented, said);
}

#[test]
fn the_dashboard_shows_every_metric_and_every_alarm() {
    let resources = template::resources();
    let dashboard = &resources["Dashboard"]["Properties"]["DashboardBody"]["!Sub"];
    // Each variable is what the managed instances add, or nothing.
    let body = |choice: usize| {
        let variables = dashboard[1].as_object().unwrap().iter();
        variables.fold(dashboard[0].as_str().unwrap().to_owned(), |body, (name, value)| {
            let value = &value["!If"][choice];
            let value = value.as_str().or(value["!Sub"].as_str()).unwrap();
            body.replace(&format!("${{{name}}}"), value)
        })
    };
    let (full, body) = (body(1), body(2));
    let parsed: Value = serde_json::from_str(&full).unwrap();
    serde_json::from_str::<Value>(&body).unwrap();
    for metric in METRICS.iter().filter(|metric| metric.name != "OrganisationsMaintained") {
        // Quoted, or quoted within a text.
        let is_shown = ["\"", "\\\""].iter().any(|quote| body.contains(&format!("{quote}{}{quote}", metric.name)));
        assert!(is_shown, "{} is not shown", metric.name);
    }
    let shown: Vec<&str> = parsed["widgets"][0]["properties"]["alarms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alarm| alarm.as_str().unwrap().trim_start_matches("${").trim_end_matches(".Arn}"))
        .collect();
    let shown: BTreeSet<&str> = shown.into_iter().collect();
    let alarms = Alarms::read();
    assert_eq!(shown, alarms.notifying().into_iter().map(|(name, _)| name).collect());
    let mut rest = full.as_str();
    while let Some((_, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').unwrap();
        let name = name.split('.').next().unwrap();
        assert!(name == "AWS::Region" || resources.contains_key(name), "{name} is no resource");
        rest = after;
    }
}

#[test]
fn every_failure_that_only_the_operator_can_end_has_an_entry_and_every_entry_a_failure() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/docs/operator-failures.md");
    let page = std::fs::read_to_string(path).unwrap();
    let entries: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(entries, annals_core::diagnosis::all_codes().collect());
    for entry in page.split("\n### ").skip(1) {
        let entry = entry.split("\n## ").next().unwrap();
        for part in ["**Means.**", "**Do.**", "**Over**"] {
            assert!(entry.contains(part), "no {part} in: {entry}");
        }
    }
    let resources = template::resources();
    for part in page.split("$(physical ").skip(1) {
        let name = part.split(')').next().unwrap();
        assert!(resources.contains_key(name), "{name} is no resource");
    }
}
