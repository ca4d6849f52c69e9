//! The part of CloudWatch that the alarms of `template.yaml` use: metrics by the minute, and the states of alarms
//! (Amazon CloudWatch, "Alarm evaluation" and "Configuring how CloudWatch alarms treat missing data"). Anything else
//! fails.

use std::collections::BTreeMap;

use annals_tests::template::resolved;
use serde_json::Value;

/// A metric's identity: namespace, name, dimensions.
type Identity = (String, String, BTreeMap<String, String>);

/// All values by minute.
#[derive(Debug, Default)]
pub(crate) struct Metrics(BTreeMap<Identity, BTreeMap<u64, Bucket>>);

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    sum: f64,
    max: f64,
    count: u64,
}

impl Bucket {
    fn add(&mut self, other: Self) {
        self.max = if self.count == 0 { other.max } else { self.max.max(other.max) };
        self.sum += other.sum;
        self.count += other.count;
    }
}

impl Metrics {
    /// Adds a value of a metric of AWS.
    pub(crate) fn put(&mut self, minute: u64, namespace: &str, name: &str, dimensions: &[(&str, &str)], value: f64) {
        let dimensions = dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.add((namespace.to_owned(), name.to_owned(), dimensions), minute, value);
    }

    /// Adds the metrics of a log line in the embedded metric format. Ignores other lines.
    pub(crate) fn take_line(&mut self, line: &str, start_ms: u64) {
        let line: Value = serde_json::from_str(line).unwrap();
        let Some(metadata) = line.get("_aws") else { return };
        let minute = (metadata["Timestamp"].as_u64().unwrap() - start_ms) / 60_000;
        for directive in metadata["CloudWatchMetrics"].as_array().unwrap() {
            for dimensions in directive["Dimensions"].as_array().unwrap() {
                let value = |name: &Value| (name.as_str().unwrap().to_owned(), line[name.as_str().unwrap()].clone());
                let dimensions = dimensions.as_array().unwrap().iter().map(value);
                let dimensions: BTreeMap<_, _> =
                    dimensions.map(|(name, value)| (name, value.as_str().unwrap().to_owned())).collect();
                for metric in directive["Metrics"].as_array().unwrap() {
                    let name = metric["Name"].as_str().unwrap();
                    let namespace = directive["Namespace"].as_str().unwrap().to_owned();
                    let value = line[name].as_f64().unwrap_or_else(|| panic!("{name} is no number: {line}"));
                    self.add((namespace, name.to_owned(), dimensions.clone()), minute, value);
                }
            }
        }
    }

    fn add(&mut self, identity: Identity, minute: u64, value: f64) {
        let bucket = Bucket { sum: value, max: value, count: 1 };
        self.0.entry(identity).or_default().entry(minute).or_default().add(bucket);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statistic {
    Sum,
    Maximum,
    /// A percentile. Exact where all values of a period are equal: it is the highest.
    Percentile,
}

/// The state of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InsufficientData,
    Ok,
    Alarm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Breaches,
    BreachesNot,
    /// The state stays.
    Ignored,
}

/// An alarm of the template.
#[derive(Debug, Clone)]
pub(crate) struct Alarm {
    pub(crate) name: String,
    pub(crate) description: String,
    identity: Identity,
    statistic: Statistic,
    period: u64,
    evaluation_periods: u64,
    datapoints_to_alarm: usize,
    breaches: fn(f64, f64) -> bool,
    threshold: f64,
    missing: Missing,
    /// Whether it notifies anybody.
    pub(crate) notifies: bool,
}

impl Alarm {
    /// Parses an alarm of the template.
    pub(crate) fn of(name: &str, resource: &Value) -> Self {
        let properties = resource["Properties"].as_object().unwrap();
        let known = [
            "AlarmDescription",
            "Namespace",
            "MetricName",
            "Dimensions",
            "Statistic",
            "ExtendedStatistic",
            "EvaluateLowSampleCountPercentile",
            "Period",
            "EvaluationPeriods",
            "DatapointsToAlarm",
            "ComparisonOperator",
            "Threshold",
            "TreatMissingData",
            "AlarmActions",
            "OKActions",
            "Tags",
        ];
        for (property, _) in properties {
            assert!(known.contains(&property.as_str()), "{name}: {property} is not known here");
        }
        let text = |property: &str| properties[property].as_str().unwrap().to_owned();
        let number = |property: &str| properties[property].as_u64().unwrap();
        let dimensions = properties["Dimensions"].as_array().unwrap();
        let dimensions = dimensions
            .iter()
            .map(|dimension| (dimension["Name"].as_str().unwrap().to_owned(), resolved(&dimension["Value"])));
        let alarm = Self {
            name: name.to_owned(),
            description: text("AlarmDescription"),
            identity: (text("Namespace"), text("MetricName"), dimensions.collect()),
            statistic: match (properties.get("Statistic"), properties.get("ExtendedStatistic")) {
                (Some(name), None) if name == "Sum" => Statistic::Sum,
                (Some(name), None) if name == "Maximum" => Statistic::Maximum,
                (None, Some(_)) => Statistic::Percentile,
                other => panic!("{other:?} is not known here"),
            },
            period: number("Period"),
            evaluation_periods: number("EvaluationPeriods"),
            datapoints_to_alarm: usize::try_from(number("DatapointsToAlarm")).unwrap(),
            breaches: match text("ComparisonOperator").as_str() {
                "GreaterThanOrEqualToThreshold" => |value, threshold| value >= threshold,
                "GreaterThanThreshold" => |value, threshold| value > threshold,
                "LessThanThreshold" => |value, threshold| value < threshold,
                other => panic!("{other} is not known here"),
            },
            threshold: threshold(&properties["Threshold"]),
            missing: match text("TreatMissingData").as_str() {
                "breaching" => Missing::Breaches,
                "notBreaching" => Missing::BreachesNot,
                "ignore" => Missing::Ignored,
                other => panic!("{other} is not known here"),
            },
            notifies: properties.contains_key("AlarmActions"),
        };
        // PutMetricAlarm.
        let longest = if alarm.period >= 3600 { 604_800 } else { 86_400 };
        assert!(alarm.period.is_multiple_of(60) && alarm.period * alarm.evaluation_periods <= longest, "{alarm:?}");
        alarm
    }

    /// The same with another threshold.
    pub(crate) fn with_threshold(self, threshold: f64) -> Self {
        Self { threshold, ..self }
    }

    /// Namespace and name of its metric.
    pub(crate) fn metric(&self) -> (&str, &str) {
        (&self.identity.0, &self.identity.1)
    }

    /// The minutes up to `end` at which the alarm went into the state ALARM, and at which it left it.
    ///
    /// For missing data points CloudWatch uses `beyond` more data points than it evaluates. It does not document how
    /// many.
    pub(crate) fn changes(&self, metrics: &Metrics, end: u64, beyond: u64) -> Vec<(u64, bool)> {
        changes_of(&self.states(metrics, end, beyond))
    }

    /// The state in each minute up to `end`.
    fn states(&self, metrics: &Metrics, end: u64, beyond: u64) -> Vec<State> {
        let none = BTreeMap::new();
        let data = metrics.0.get(&self.identity).unwrap_or(&none);
        let mut state = State::InsufficientData;
        (0..=end)
            .map(|now| {
                // Evaluates every minute, or every hour for long periods.
                if now.is_multiple_of(if self.period >= 3600 { 60 } else { 1 }) {
                    state = self.state(data, now, beyond).unwrap_or(state);
                }
                state
            })
            .collect()
    }

    /// The state; `None` if it stays.
    fn state(&self, data: &BTreeMap<u64, Bucket>, now: u64, beyond: u64) -> Option<State> {
        let minutes = self.period / 60;
        let point = |back: u64| {
            // The window's last minute and the first minute after it.
            let last = now.checked_sub(back * minutes)?;
            let mut all = Bucket::default();
            data.range((last + 1).saturating_sub(minutes)..=last).for_each(|(_, bucket)| all.add(*bucket));
            match self.statistic {
                _ if all.count == 0 => None,
                Statistic::Sum => Some(all.sum),
                Statistic::Maximum | Statistic::Percentile => Some(all.max),
            }
        };
        let range = self.evaluation_periods + beyond;
        let wanted = usize::try_from(self.evaluation_periods).unwrap();
        let real: Vec<f64> = (0..range).filter_map(point).take(wanted).collect();
        if real.is_empty() && self.missing == Missing::Ignored {
            return None;
        }
        let filled = if self.missing == Missing::Breaches { wanted - real.len() } else { 0 };
        let breaching = real.iter().filter(|value| (self.breaches)(**value, self.threshold)).count();
        Some(if breaching + filled >= self.datapoints_to_alarm { State::Alarm } else { State::Ok })
    }
}

/// The minutes at which the state became ALARM, and at which it became another.
fn changes_of(states: &[State]) -> Vec<(u64, bool)> {
    let mut changes = Vec::new();
    for (minute, state) in (0..).zip(states) {
        let is_in_alarm = *state == State::Alarm;
        if changes.last().map_or(is_in_alarm, |(_, was)| *was != is_in_alarm) {
            changes.push((minute, is_in_alarm));
        }
    }
    changes
}

/// A threshold, or the default of the parameter that has it.
fn threshold(value: &Value) -> f64 {
    let value = match value["!Ref"].as_str() {
        Some(parameter) => annals_tests::template::default(parameter),
        None => value.clone(),
    };
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap()
}

/// An alarm over other alarms: in alarm if the first is, and one of two others has a state (Amazon CloudWatch, "Creating a
/// composite alarm").
#[derive(Debug, Clone)]
pub(crate) struct Composite {
    pub(crate) name: String,
    pub(crate) description: String,
    needed: (String, State),
    either: [(String, State); 2],
}

impl Composite {
    /// Parses a composite alarm of the template.
    pub(crate) fn of(name: &str, resource: &Value) -> Self {
        let properties = resource["Properties"].as_object().unwrap();
        let known = ["AlarmDescription", "AlarmRule", "AlarmActions", "OKActions", "Tags"];
        assert!(properties.keys().all(|property| known.contains(&property.as_str())), "{name}: {properties:?}");
        let rule = properties["AlarmRule"]["!Sub"].as_str().unwrap();
        let (needed, either) = rule.split_once(" AND (").unwrap();
        let (one, other) = either.strip_suffix(')').unwrap().split_once(" OR ").unwrap();
        let term = |term: &str| {
            let (state, name) = term.strip_suffix("}\")").unwrap().split_once("(\"${").unwrap();
            let state = match state {
                "ALARM" => State::Alarm,
                "OK" => State::Ok,
                other => panic!("{other} is not known here"),
            };
            (name.to_owned(), state)
        };
        Self {
            name: name.to_owned(),
            description: properties["AlarmDescription"].as_str().unwrap().to_owned(),
            needed: term(needed),
            either: [term(one), term(other)],
        }
    }

    pub(crate) fn is_about(&self, alarm: &str) -> bool {
        [&self.needed].into_iter().chain(&self.either).any(|(name, _)| name == alarm)
    }

    /// As [`Alarm::changes`]. `alarms` has those that it is about.
    pub(crate) fn changes(&self, alarms: &[Alarm], metrics: &Metrics, end: u64, beyond: u64) -> Vec<(u64, bool)> {
        let holds = |(name, state): &(String, State)| -> Vec<bool> {
            let alarm = alarms.iter().find(|alarm| alarm.name == *name).unwrap_or_else(|| panic!("no alarm {name}"));
            alarm.states(metrics, end, beyond).iter().map(|there| there == state).collect()
        };
        let (needed, one, other) = (holds(&self.needed), holds(&self.either[0]), holds(&self.either[1]));
        let minutes = needed.iter().zip(one.iter().zip(&other));
        let states =
            minutes.map(|(needed, (one, other))| if *needed && (*one || *other) { State::Alarm } else { State::Ok });
        changes_of(&states.collect::<Vec<_>>())
    }
}
