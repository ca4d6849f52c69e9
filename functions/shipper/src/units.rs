//! The log lines and metrics of the shipper's units of work: plan, shipment, maintenance.

use annals_aws::metrics::{self, Appends, Hazards, Level, OperatorFaults, UnitOfWork};
use annals_core::{
    delivery::{
        maintenance::{Division, MaintainReport},
        plan::PlanReport,
        queue::ShipOrder,
        restore::{OrganisationError, RestoreReport},
        ship::{ShipError, ShipOutcome, ShipReport, Signed},
    },
    destination::{Content, Delivery},
    diagnosis,
    log::{Appended, store::StoreError},
    organisation::OrganisationId,
    proof::signer::SignerFault,
    registry::RestoredTables,
};
use serde::Serialize;

use crate::outcome;

/// One planned tick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Plan {
    #[serde(skip_serializing_if = "Option::is_none")]
    planner_runs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_contradictions: Option<u64>,
    /// The tables that are copies, of which no restore is recorded.
    #[serde(rename = "copied_tables", skip_serializing_if = "Option::is_none")]
    copied_tables: Option<RestoredTables>,
    destinations_active: usize,
    destinations_planned: usize,
    destinations_deferred: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy_lag_seconds: Option<u64>,
}

impl Plan {
    #[must_use]
    pub fn of(report: &PlanReport) -> Self {
        Self {
            planner_runs: report.copied_tables.is_none().then_some(1),
            log_contradictions: report.copied_tables.map(|_| 1),
            copied_tables: report.copied_tables,
            destinations_active: report.active,
            destinations_planned: report.planned,
            destinations_deferred: report.deferred,
            healthy_lag_seconds: report.lag_seconds,
        }
    }

    /// Creates the unit of planning the rest of a shard, which is a part of a tick that is counted already.
    #[must_use]
    pub fn of_rest(report: &PlanReport) -> Self {
        Self { planner_runs: None, ..Self::of(report) }
    }
}

impl UnitOfWork for Plan {
    fn message(&self) -> &'static str {
        if self.copied_tables.is_some() { "not planned" } else { "planned" }
    }

    fn level(&self) -> Level {
        if self.copied_tables.is_some() { Level::Error } else { Level::Info }
    }
}

/// The division of a run of maintenance into parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Divided {
    /// With the message that completes a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    maintenance_runs: Option<u64>,
    #[serde(rename = "organisations")]
    organisations: usize,
    #[serde(rename = "parts")]
    parts: u32,
}

impl Divided {
    #[must_use]
    pub fn of(division: &Division) -> Self {
        let Division { organisations, parts, completes_run } = *division;
        Self { maintenance_runs: completes_run.then_some(1), organisations, parts }
    }
}

impl UnitOfWork for Divided {
    fn message(&self) -> &'static str {
        "divided"
    }

    fn level(&self) -> Level {
        Level::Info
    }
}

/// A part of a run of maintenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Maintenance {
    /// With the message that completes a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    maintenance_runs: Option<u64>,
    organisations_maintained: usize,
}

impl Maintenance {
    #[must_use]
    pub fn of(report: &MaintainReport) -> Self {
        let maintenance_runs = report.completes_run.then_some(1);
        Self { maintenance_runs, organisations_maintained: report.organisations }
    }
}

impl UnitOfWork for Maintenance {
    fn message(&self) -> &'static str {
        "maintained"
    }

    fn level(&self) -> Level {
        Level::Info
    }
}

/// One piece of a restore.
#[derive(Debug, Serialize)]
pub struct Restoring {
    organisations: usize,
    failed: Vec<String>,
    /// The first reason that only the operator can end.
    #[serde(flatten)]
    operator: Option<OperatorFaults>,
    /// The reason itself, as AWS says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Restoring {
    #[must_use]
    pub fn of(report: &RestoreReport) -> Self {
        let described = |(organisation, error): &(OrganisationId, OrganisationError)| {
            format!("{organisation}: {}", metrics::chain(error))
        };
        let fault =
            report.failed.iter().find_map(|(_, error)| Some((OperatorFaults::of(error)?, metrics::chain(error))));
        let (operator, error) = fault.unzip();
        Self { organisations: report.restored, failed: report.failed.iter().map(described).collect(), operator, error }
    }
}

impl UnitOfWork for Restoring {
    fn message(&self) -> &'static str {
        "restored"
    }

    fn level(&self) -> Level {
        if self.failed.is_empty() { Level::Info } else { Level::Error }
    }
}

/// An organisation whose log cannot be maintained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NotMaintained {
    #[serde(rename = "organisation")]
    organisation: String,
    #[serde(rename = "error")]
    error: String,
    #[serde(flatten)]
    hazards: Hazards,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable_items: Option<u64>,
}

impl NotMaintained {
    #[must_use]
    pub fn new(organisation: &OrganisationId, error: &StoreError) -> Self {
        Self {
            organisation: organisation.to_string(),
            error: metrics::chain(error),
            hazards: Hazards::of(error),
            unreadable_items: matches!(error, StoreError::Broken(_)).then_some(1),
        }
    }
}

impl UnitOfWork for NotMaintained {
    fn message(&self) -> &'static str {
        "not maintained"
    }

    fn level(&self) -> Level {
        Level::Error
    }
}

/// One message of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Shipment {
    #[serde(rename = "organisation", skip_serializing_if = "Option::is_none")]
    organisation: Option<String>,
    #[serde(rename = "destination", skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    #[serde(rename = "outcome")]
    outcome: &'static str,
    #[serde(rename = "error", skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(flatten)]
    delivered: Option<Delivered>,
    /// The last sequence delivered, which a restore of the registry needs.
    #[serde(rename = "delivered_to", skip_serializing_if = "Option::is_none")]
    delivered_to: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy_lag_seconds: Option<u64>,
    #[serde(flatten)]
    failure: Option<Refused>,
    #[serde(flatten)]
    checkpoint: Option<Checkpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_contradictions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ship_errors: Option<u64>,
    #[serde(flatten)]
    hazards: Hazards,
    #[serde(flatten)]
    operator: Option<OperatorFaults>,
    #[serde(flatten)]
    appends: Option<Appends>,
}

/// What was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Delivered {
    objects_delivered: usize,
    events_delivered: u64,
    bytes_delivered: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_events: Option<u64>,
}

/// Why delivery stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Refused {
    delivery_failures: u64,
    failure_code: &'static str,
}

/// What became of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Checkpoint {
    #[serde(rename_all = "PascalCase")]
    Put { checkpoints_signed: u64, unsigned_seconds: u64 },
    #[serde(rename_all = "PascalCase")]
    Failed {
        checkpoints_failed: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        unsigned_seconds: Option<u64>,
        #[serde(rename = "checkpoint_failure")]
        code: String,
        #[serde(rename = "checkpoint_failure_detail")]
        detail: String,
        #[serde(rename = "checkpoint_failure_answer", skip_serializing_if = "Option::is_none")]
        answer: Option<String>,
    },
}

impl From<&Signed> for Checkpoint {
    fn from(signed: &Signed) -> Self {
        match signed {
            Signed::Put(_) => Self::Put { checkpoints_signed: 1, unsigned_seconds: 0 },
            Signed::Failed { unsigned, seconds, answer } => Self::Failed {
                checkpoints_failed: 1,
                unsigned_seconds: *seconds,
                code: unsigned.code.clone(),
                detail: unsigned.detail.clone(),
                answer: answer.clone(),
            },
        }
    }
}

impl Shipment {
    /// Creates the unit of a shipment. `appended` is what the shipment recorded in audit logs.
    #[must_use]
    pub fn of(order: Option<&ShipOrder>, result: &Result<ShipReport, ShipError>, appended: Appended) -> Self {
        let report = result.as_ref().ok();
        let failing = report.and_then(|report| match report.outcome {
            ShipOutcome::Failing(code) => Some(code),
            _ => None,
        });
        let checkpoint = report.and_then(|report| report.checkpoint.as_ref());
        let refused = report.and_then(|report| report.operator_code);
        let operator = match result {
            Err(error) => OperatorFaults::of(error),
            Ok(_) => refused.or_else(|| checkpoint.and_then(unsigned)).map(OperatorFaults::new),
        };
        // What the customer can end is in the destination's status.
        let answer = match checkpoint {
            _ if refused.is_some() => report.and_then(|report| report.answer.clone()),
            Some(Signed::Failed { answer, .. }) if operator.is_some() => answer.clone(),
            _ => None,
        };
        Self {
            organisation: order.map(|order| order.organisation.clone()),
            destination: order.map(|order| order.destination.clone()),
            outcome: report.map_or("error", |report| outcome(&report.outcome)),
            error: result.as_ref().err().map(|error| metrics::chain(error)).or(answer),
            delivered: report.and_then(|report| delivered(&report.deliveries)),
            delivered_to: report.and_then(|report| {
                let new = report.deliveries.iter().filter(|delivery| delivery.replay.is_none());
                new.map(|delivery| delivery.last).max()
            }),
            healthy_lag_seconds: report.and_then(|report| report.lag_seconds),
            failure: failing.map(|code| Refused { delivery_failures: 1, failure_code: code.as_str() }),
            checkpoint: checkpoint.map(Checkpoint::from),
            log_contradictions: failing.filter(|code| code.is_contradiction()).map(|_| 1),
            ship_errors: result.is_err().then_some(1),
            hazards: result.as_ref().err().map(|error| Hazards::of(error)).unwrap_or_default(),
            operator,
            appends: Appends::of(appended),
        }
    }
}

impl UnitOfWork for Shipment {
    fn message(&self) -> &'static str {
        if self.ship_errors.is_some() { "not shipped" } else { "shipped" }
    }

    fn level(&self) -> Level {
        match (&self.ship_errors, &self.checkpoint) {
            (Some(_), _) => Level::Error,
            (None, _) if self.operator.is_some() || self.log_contradictions.is_some() => Level::Error,
            (None, Some(Checkpoint::Failed { .. })) => Level::Error,
            (None, _) => Level::Info,
        }
    }
}

/// Returns the code of a checkpoint's failure that only the operator can end.
fn unsigned(checkpoint: &Signed) -> Option<&'static str> {
    let Signed::Failed { unsigned, .. } = checkpoint else { return None };
    let fault = SignerFault::ALL.into_iter().find(|fault| fault.code() == unsigned.code)?;
    diagnosis::code_of_signer(fault)
}

/// Sums over the objects whose content is known.
fn delivered(deliveries: &[Delivery]) -> Option<Delivered> {
    let sum =
        |of: fn(&Content) -> u64| deliveries.iter().filter_map(|delivery| delivery.content.as_ref()).map(of).sum();
    // Replayed events are always old, so they do not count as lag.
    let new = || deliveries.iter().filter(|delivery| delivery.replay.is_none());
    (!deliveries.is_empty()).then(|| Delivered {
        objects_delivered: deliveries.len(),
        events_delivered: sum(|content| content.events),
        bytes_delivered: sum(|content| content.bytes),
        lag_seconds: new().map(|delivery| delivery.lag_seconds).max(),
        lag_events: new().map(|delivery| delivery.lag_events).max(),
    })
}
