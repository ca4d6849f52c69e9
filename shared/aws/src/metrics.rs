//! One line per unit of work, which is both a log line and metrics in CloudWatch's embedded metric format (Amazon
//! CloudWatch, "Specification: Embedded metric format"). This module owns the format and the list of metrics; the functions
//! define their units of work.
//!
//! Members of a line in `PascalCase` are metrics and dimensions; members in `snake_case` are for readers of the log.
//! Organisations and destinations are never dimensions, because each value of a dimension is a metric that costs money.
//!
//! Lines are written at once, because Lambda freezes a process between invocations.

use std::{
    cell::Cell,
    io::Write as _,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use annals_core::{
    diagnosis,
    log::{AppendMeter, Appended, append::AppendError, store::StoreError, tail::Hazard},
    operator::OperatorCode,
    time::{Clock as _, Timestamp},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{settings::SettingError, system::SystemClock};

/// The namespace of all metrics.
pub const NAMESPACE: &str = "Annals";
/// The dimension of all metrics: the function's name, which also distinguishes stacks in one account.
pub const FUNCTION: &str = "FunctionName";
/// The dimension of requests: `2xx`, `4xx` or `5xx`.
pub const STATUS_CLASS: &str = "StatusClass";
/// The dimension of failures: a [`FailureCode`](annals_core::destination::failure::FailureCode).
pub const FAILURE_CODE: &str = "FailureCode";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The name of the metric and of the line's member with its value.
    pub name: &'static str,
    /// CloudWatch's name of the unit.
    pub unit: &'static str,
    /// The second dimension, in addition to the function.
    pub by: Option<&'static str>,
}

const fn metric(name: &'static str, unit: &'static str, by: Option<&'static str>) -> Metric {
    Metric { name, unit, by }
}

/// Every metric. `infra/docs/operations.md` explains them.
pub const METRICS: &[Metric] = &[
    metric("AdminTokensCreated", "Count", None),
    metric("AppendRetries", "Count", None),
    metric("BytesDelivered", "Bytes", None),
    metric("BytesRecorded", "Bytes", None),
    metric("CheckpointsFailed", "Count", None),
    metric("CheckpointsSigned", "Count", None),
    metric("ClocksOff", "Count", None),
    metric("ColdStarts", "Count", None),
    metric("DeliveryFailures", "Count", Some(FAILURE_CODE)),
    metric("DestinationChanges", "Count", None),
    metric("DestinationsActive", "Count", None),
    metric("DestinationsDeferred", "Count", None),
    metric("DestinationsPlanned", "Count", None),
    metric("EventsDelivered", "Count", None),
    metric("EventsMissing", "Count", None),
    metric("EventsRead", "Count", None),
    metric("EventsRecorded", "Count", None),
    metric("FailedAuthentications", "Count", None),
    metric("HealthyLagSeconds", "Seconds", None),
    metric("LagEvents", "Count", None),
    metric("LagSeconds", "Seconds", None),
    metric("LogContradictions", "Count", None),
    metric("MaintenanceRuns", "Count", None),
    metric("ObjectsDelivered", "Count", None),
    metric("OperatorFaults", "Count", None),
    metric("OrganisationsMaintained", "Count", None),
    metric("PagesRead", "Count", None),
    metric("PlannerRuns", "Count", None),
    metric("PlatformTokenUses", "Count", None),
    metric("RateLimited", "Count", None),
    metric("Requests", "Count", Some(STATUS_CLASS)),
    metric("ShipErrors", "Count", None),
    metric("TailsUnknown", "Count", None),
    metric("TestFailures", "Count", Some(FAILURE_CODE)),
    metric("Tests", "Count", None),
    metric("UnreadableItems", "Count", None),
    metric("UnsignedSeconds", "Seconds", None),
];

/// The log level of a unit of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Info,
    /// Annals itself failed.
    Error,
}

/// A unit of work of a function. Its members are the members of its line.
pub trait UnitOfWork: Serialize {
    /// Returns the message of the line: one word or two.
    fn message(&self) -> &'static str;

    fn level(&self) -> Level;
}

/// What a unit of work appended to audit logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Appends {
    events_recorded: u64,
    bytes_recorded: u64,
    append_retries: u64,
    rate_limited: u64,
    #[serde(skip_serializing_if = "is_zero")]
    admin_tokens_created: u64,
    #[serde(skip_serializing_if = "is_zero")]
    destination_changes: u64,
}

impl Appends {
    /// Returns `None` if nothing was appended and no append was attempted.
    #[must_use]
    pub fn of(appended: Appended) -> Option<Self> {
        let Appended { events, bytes, retries, refused, admin_tokens, destination_changes } = appended;
        let appends = Self {
            events_recorded: events,
            bytes_recorded: bytes,
            append_retries: retries,
            rate_limited: refused,
            admin_tokens_created: admin_tokens,
            destination_changes,
        };
        (appended != Appended::default()).then_some(appends)
    }
}

/// The hazards that kept a unit of work from using a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Hazards {
    #[serde(skip_serializing_if = "is_zero")]
    tails_unknown: u64,
    #[serde(skip_serializing_if = "is_zero")]
    events_missing: u64,
    #[serde(skip_serializing_if = "is_zero")]
    clocks_off: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Hazards {
    /// Counts one hazard.
    pub fn add(&mut self, hazard: Hazard) {
        match hazard {
            Hazard::TailUnknown { .. } => self.tails_unknown += 1,
            Hazard::EventsMissing { .. } => self.events_missing += 1,
            Hazard::ClockAhead { .. } | Hazard::ClockBehind { .. } => self.clocks_off += 1,
        }
    }

    /// Counts the hazard with this [code](Hazard::code), if it is one's.
    #[must_use]
    pub fn of_code(code: &str) -> Self {
        let is = |codes: &[&str]| u64::from(codes.contains(&code));
        Self {
            tails_unknown: is(&["tail_unknown"]),
            events_missing: is(&["events_missing"]),
            clocks_off: is(&["clock_ahead", "clock_behind"]),
        }
    }

    /// Counts the hazard among an error and its causes.
    #[must_use]
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut hazards = Self::default();
        let causes = std::iter::successors(Some(error), |error| error.source());
        let found = causes.into_iter().find_map(|error| match error.downcast_ref() {
            Some(hazard) => Some(*hazard),
            // Transparent errors are not among the causes themselves.
            None => match (error.downcast_ref(), error.downcast_ref()) {
                (Some(StoreError::Unsafe(hazard)), _) | (_, Some(AppendError::Unsafe(hazard))) => Some(*hazard),
                _ => None,
            },
        });
        found.into_iter().for_each(|hazard| hazards.add(hazard));
        hazards
    }
}

/// A failure that only the operator can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct OperatorFaults {
    operator_faults: u64,
    /// The name of the entry in `infra/docs/operator-failures.md`.
    #[serde(rename = "operator_code")]
    code: &'static str,
}

impl OperatorFaults {
    #[must_use]
    pub fn new(code: &'static str) -> Self {
        Self { operator_faults: 1, code }
    }

    /// Returns `None` if the failure ends without the operator, or is an error of Annals.
    #[must_use]
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        diagnosis::code_of(error).map(Self::new)
    }
}

/// A process that cannot start because of a setting.
#[derive(Debug, Serialize)]
pub struct CannotStart {
    error: String,
    #[serde(flatten)]
    operator: OperatorFaults,
}

impl CannotStart {
    #[must_use]
    pub fn because(error: &SettingError) -> Self {
        Self { error: error.to_string(), operator: OperatorFaults::new(OperatorCode::SettingInvalid.as_str()) }
    }
}

impl UnitOfWork for CannotStart {
    fn message(&self) -> &'static str {
        "cannot start"
    }

    fn level(&self) -> Level {
        Level::Error
    }
}

/// The length of the ship queue is unknown. Planning goes on as if it were busy.
#[derive(Debug, Serialize)]
pub struct QueueUnknown {
    error: String,
    #[serde(flatten)]
    operator: Option<OperatorFaults>,
}

impl QueueUnknown {
    #[must_use]
    pub fn because(error: &StoreError) -> Self {
        Self { error: chain(error), operator: OperatorFaults::of(error) }
    }
}

impl UnitOfWork for QueueUnknown {
    fn message(&self) -> &'static str {
        "queue unknown"
    }

    fn level(&self) -> Level {
        Level::Error
    }
}

/// A unit of work that failed.
#[derive(Debug, Serialize)]
pub struct NotDone {
    error: String,
    #[serde(flatten)]
    hazards: Hazards,
    #[serde(flatten)]
    operator: Option<OperatorFaults>,
}

impl NotDone {
    #[must_use]
    pub fn because(error: &(dyn std::error::Error + 'static)) -> Self {
        Self { error: chain(error), hazards: Hazards::of(error), operator: OperatorFaults::of(error) }
    }
}

/// An item that a listing leaves out, because this version cannot read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UnreadableItem {
    #[serde(rename = "table")]
    table: String,
    #[serde(rename = "item")]
    item: String,
    #[serde(rename = "error")]
    error: String,
    unreadable_items: u64,
}

impl UnreadableItem {
    /// `item` names the item by its key.
    #[must_use]
    pub fn new(table: &str, item: String, error: &dyn std::error::Error) -> Self {
        Self { table: table.to_owned(), item, error: chain(error), unreadable_items: 1 }
    }
}

impl UnitOfWork for UnreadableItem {
    fn message(&self) -> &'static str {
        "unreadable item"
    }

    fn level(&self) -> Level {
        Level::Error
    }
}

/// Returns an error with all its causes.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl UnitOfWork for NotDone {
    fn message(&self) -> &'static str {
        "not done"
    }

    fn level(&self) -> Level {
        Level::Error
    }
}

/// The name of this process's function, once [`start`] was called.
static THIS_FUNCTION: OnceLock<String> = OnceLock::new();
/// Whether this process has completed a unit of work.
static WARM: AtomicBool = AtomicBool::new(false);

tokio::task_local! {
    static INVOCATION: String;
    static APPENDED: Cell<Appended>;
}

/// Adds the measures of appends to those of the unit of work in whose task they are made.
#[derive(Debug, Clone, Copy, Default)]
pub struct WorkMeter;

impl AppendMeter for WorkMeter {
    fn add(&self, appended: Appended) {
        // An error means that the append belongs to no unit of work.
        let _ = APPENDED.try_with(|sum| {
            let there = sum.get();
            sum.set(Appended {
                events: there.events + appended.events,
                bytes: there.bytes + appended.bytes,
                retries: there.retries + appended.retries,
                refused: there.refused + appended.refused,
                admin_tokens: there.admin_tokens + appended.admin_tokens,
                destination_changes: there.destination_changes + appended.destination_changes,
            });
        });
    }
}

/// Does a unit of work, and returns what it appended to logs with a [`WorkMeter`]. Other units may run at the same time.
pub async fn counted<T>(work: impl Future<Output = T>) -> (T, Appended) {
    let work = async {
        let result = work.await;
        (result, APPENDED.with(Cell::get))
    };
    APPENDED.scope(Cell::default(), work).await
}

/// Makes [`emit`] write to standard output, with the function's name from Lambda's environment.
pub(crate) fn start() {
    THIS_FUNCTION.get_or_init(|| crate::settings::or("AWS_LAMBDA_FUNCTION_NAME", "annals"));
}

/// Runs `work`. Its lines contain `invocation`, Lambda's request id.
pub async fn within<T>(invocation: String, work: impl Future<Output = T>) -> T {
    INVOCATION.scope(invocation, work).await
}

/// Writes the line of a unit of work: on Lambda with metrics to standard output, elsewhere as a usual log line.
pub fn emit(unit: &impl UnitOfWork) {
    let mut fields = fields(unit);
    let Some(function) = THIS_FUNCTION.get() else {
        let text: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        return match unit.level() {
            Level::Info => tracing::info!("{} {}", unit.message(), text.join(" ")),
            Level::Error => tracing::error!("{} {}", unit.message(), text.join(" ")),
        };
    };
    if !WARM.swap(true, Ordering::Relaxed) {
        fields.insert("ColdStarts".to_owned(), 1.into());
    }
    if let Ok(id) = INVOCATION.try_with(Clone::clone) {
        fields.insert("lambda_request_id".to_owned(), id.into());
    }
    let line = render(unit, fields, function, SystemClock.now()) + "\n";
    // If this fails, there is nowhere to report it.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

/// Returns the line of a unit of work of `function` at `at`, without a newline.
#[must_use]
pub fn line(unit: &impl UnitOfWork, function: &str, at: Timestamp) -> String {
    render(unit, fields(unit), function, at)
}

fn fields(unit: &impl UnitOfWork) -> Map<String, Value> {
    match serde_json::to_value(unit) {
        Ok(Value::Object(fields)) => fields,
        // Units are structs, which serialize as objects.
        _ => Map::new(),
    }
}

fn render(unit: &impl UnitOfWork, mut fields: Map<String, Value>, function: &str, at: Timestamp) -> String {
    let level = match unit.level() {
        Level::Info => "INFO",
        Level::Error => "ERROR",
    };
    let directives: Vec<Value> = [None, Some(STATUS_CLASS), Some(FAILURE_CODE)]
        .into_iter()
        .filter_map(|by| {
            let of_it = |metric: &&Metric| metric.by == by && fields.contains_key(metric.name);
            let metrics: Vec<Value> =
                METRICS.iter().filter(of_it).map(|metric| json!({"Name": metric.name, "Unit": metric.unit})).collect();
            let dimensions: Vec<&str> = [FUNCTION].into_iter().chain(by).collect();
            let directive = json!({"Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics});
            (!metrics.is_empty()).then_some(directive)
        })
        .collect();
    fields.insert("level".to_owned(), level.into());
    fields.insert("message".to_owned(), unit.message().into());
    fields.insert(FUNCTION.to_owned(), function.into());
    if !directives.is_empty() {
        fields.insert("_aws".to_owned(), json!({"Timestamp": at.as_millis(), "CloudWatchMetrics": directives}));
    }
    Value::Object(fields).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Shipped {
        #[serde(rename = "organisation")]
        organisation: &'static str,
        events_delivered: u64,
        delivery_failures: u64,
        failure_code: &'static str,
    }

    impl UnitOfWork for Shipped {
        fn message(&self) -> &'static str {
            "shipped"
        }
        fn level(&self) -> Level {
            Level::Info
        }
    }

    #[test]
    fn a_line_is_a_log_line_and_metrics_in_one() {
        let unit =
            Shipped { organisation: "acme", events_delivered: 3, delivery_failures: 1, failure_code: "put_denied" };
        let line = line(&unit, "annals-shipper", Timestamp::from_millis(1_795_341_600_123));
        let directive = |dimensions: Value, name: &str| {
            let metrics = [json!({"Name": name, "Unit": "Count"})];
            json!({"Namespace": "Annals", "Dimensions": [dimensions], "Metrics": metrics})
        };
        assert_eq!(
            serde_json::from_str::<Value>(&line).unwrap(),
            json!({
                "_aws": {
                    "Timestamp": 1_795_341_600_123_u64,
                    "CloudWatchMetrics": [
                        directive(json!(["FunctionName"]), "EventsDelivered"),
                        directive(json!(["FunctionName", "FailureCode"]), "DeliveryFailures"),
                    ],
                },
                "level": "INFO",
                "message": "shipped",
                "FunctionName": "annals-shipper",
                "organisation": "acme",
                "EventsDelivered": 3,
                "DeliveryFailures": 1,
                "FailureCode": "put_denied",
            })
        );
    }

    #[test]
    fn a_line_without_metrics_is_a_log_line() {
        let unit = NotDone::because(&std::io::Error::other("no"));
        assert_eq!(
            line(&unit, "f", Timestamp::EPOCH),
            r#"{"FunctionName":"f","error":"no","level":"ERROR","message":"not done"}"#
        );
    }

    #[tokio::test]
    async fn units_of_work_at_the_same_time_count_only_their_own_appends() {
        let unit = async |events: u64| {
            let appended = Appended { events, bytes: 10 * events, refused: events, ..Appended::default() };
            WorkMeter.add(Appended { admin_tokens: 2 * events, destination_changes: 3 * events, ..appended });
            tokio::task::yield_now().await;
            WorkMeter.add(Appended { retries: events, ..Appended::default() });
        };
        let (one, two) = futures_util::future::join(counted(unit(1)), counted(unit(2))).await;
        WorkMeter.add(Appended {
            events: 7,
            bytes: 7,
            retries: 7,
            refused: 7,
            admin_tokens: 7,
            destination_changes: 7,
        });
        let sum = |events| Appended {
            events,
            bytes: 10 * events,
            retries: events,
            refused: events,
            admin_tokens: 2 * events,
            destination_changes: 3 * events,
        };
        assert_eq!((one.1, two.1), (sum(1), sum(2)));
    }

    #[test]
    fn metrics_are_sorted_and_unique() {
        assert!(METRICS.is_sorted_by(|one, other| one.name < other.name));
    }
}
