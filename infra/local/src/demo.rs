//! Weeks of audit events of an invented company, as its API mocking product would post them: for a demonstration, and
//! for budgets that are stated for realistic events. The data is in `demo/company.json`. The events depend only on a
//! seed, not on a clock.
//!
//! This module does not post the events and does not set `occurredAt`, because only the caller knows when a week
//! begins.

mod company;
pub mod incident;
mod random;
mod script;
mod week;

use std::time::Duration;

use serde_json::Value;

use self::company::{Company, Task};

pub const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The smallest of the [`realistic_events`], in bytes of compact JSON.
pub const REALISTIC_MIN_BYTES: usize = 600;
/// The largest of the [`realistic_events`], in bytes of compact JSON.
pub const REALISTIC_MAX_BYTES: usize = 900;

#[derive(Debug, Clone, PartialEq)]
pub struct DemoEvent {
    /// The time since the first week's start: Monday, midnight UTC.
    pub at: Duration,
    /// The JSON object that the producer posts.
    pub body: Value,
}

/// Returns a week of the company: a few thousand events, in the order in which they happen.
#[must_use]
pub fn week(seed: u64) -> Vec<DemoEvent> {
    weeks(seed).take_while(|event| event.at < WEEK).collect()
}

/// Returns an endless sequence of weeks of the same company.
pub fn weeks(seed: u64) -> impl Iterator<Item = DemoEvent> {
    Weeks { company: Company::new(seed), begun: 0, tasks: Vec::new().into_iter() }
}

/// A week is planned first. Then its tasks are done in chronological order, so that `before` contains the actual earlier state.
struct Weeks {
    company: Company,
    /// The number of weeks that have begun.
    begun: u32,
    /// What is left of the last of them.
    tasks: std::vec::IntoIter<Task>,
}

impl Iterator for Weeks {
    type Item = DemoEvent;

    fn next(&mut self) -> Option<DemoEvent> {
        loop {
            let Some(task) = self.tasks.next() else {
                self.tasks = week::plan(&mut self.company).into_iter();
                self.begun += 1;
                continue;
            };
            if let Some(body) = self.company.act(&task) {
                return Some(DemoEvent { at: WEEK * (self.begun - 1) + Duration::from_millis(task.at_millis), body });
            }
        }
    }
}

/// Returns the first `count` events, without those that are smaller than [`REALISTIC_MIN_BYTES`] or larger than
/// [`REALISTIC_MAX_BYTES`].
#[must_use]
pub fn realistic_events(seed: u64, count: usize) -> Vec<Value> {
    weeks(seed)
        .map(|event| event.body)
        .filter(|body| (REALISTIC_MIN_BYTES..=REALISTIC_MAX_BYTES).contains(&compact_bytes(body)))
        .take(count)
        .collect()
}

fn compact_bytes(body: &Value) -> usize {
    body.to_string().len()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use annals_core::{event, recorded_by::RecordedBy};

    use super::*;

    const SEEDS: [u64; 5] = [0, 1, 7, 2026, u64::MAX];
    const HOUR: u64 = 3600;

    /// Returns the values of a field, by its JSON pointer.
    fn values(week: &[DemoEvent], pointer: &str) -> BTreeSet<String> {
        week.iter().filter_map(|event| event.body.pointer(pointer)?.as_str().map(str::to_owned)).collect()
    }

    fn members(object: &Value) -> BTreeSet<String> {
        object.as_object().into_iter().flat_map(|members| members.keys().cloned()).collect()
    }

    fn set(words: &str) -> BTreeSet<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_week_and_another_seed_another() {
        assert_eq!(week(7), week(7));
        assert_ne!(week(7), week(8));
        assert_eq!(realistic_events(7, 5000), realistic_events(7, 5000));
    }

    #[test]
    fn a_week_is_a_few_thousand_events_in_order_within_seven_days() {
        for seed in SEEDS {
            let week = week(seed);
            assert!((2500..6000).contains(&week.len()), "seed {seed}: {} events", week.len());
            assert!(week.is_sorted_by_key(|event| event.at));
            assert!(week.iter().all(|event| event.at < Duration::from_secs(7 * 24 * HOUR)));
        }
    }

    #[test]
    fn every_kind_action_and_client_type_occurs() {
        for seed in SEEDS {
            let week = week(seed);
            let kinds = set("MOCK_API USER TEAM ORGANISATION API_TEMPLATE API_TEMPLATE_CATALOGUE DATA_SOURCE
                DATABASE_CONNECTION KEY STUB_MAPPING MOCK_API_SETTINGS SUBSCRIPTION OPENAPI_GIT_INTEGRATION API_KEY
                S3_AUDIT_SINK");
            assert_eq!(values(&week, "/entity/entityType"), kinds);
            assert_eq!(values(&week, "/action"), set("CREATE UPDATE DELETE SIGNUP LOGIN ACL_GRANT ACL_REVOKE INVITE"));
            assert_eq!(values(&week, "/clientType"), set("UI API SYSTEM ADMIN CLI"));
        }
    }

    #[test]
    fn sizes_are_those_that_budgets_are_stated_for() {
        for seed in SEEDS {
            let mut sizes: Vec<usize> = week(seed).iter().map(|event| compact_bytes(&event.body)).collect();
            sizes.sort_unstable();
            let median = sizes[sizes.len() / 2];
            let within =
                sizes.iter().filter(|size| (REALISTIC_MIN_BYTES..=REALISTIC_MAX_BYTES).contains(*size)).count();
            assert!((700..=750).contains(&median), "seed {seed}: median {median}");
            assert!(within * 100 >= sizes.len() * 85, "seed {seed}: {within} of {}", sizes.len());
        }
    }

    #[test]
    fn realistic_events_are_as_many_as_asked_and_all_of_the_stated_size() {
        assert!(realistic_events(3, 0).is_empty());
        let events = realistic_events(3, 12_000);
        assert_eq!(events.len(), 12_000);
        assert!(events.iter().all(|body| (REALISTIC_MIN_BYTES..=REALISTIC_MAX_BYTES).contains(&compact_bytes(body))));
    }

    #[test]
    fn the_product_accepts_every_event_of_the_week() {
        for seed in SEEDS {
            for event in week(seed) {
                let text = event.body.to_string();
                let parsed = event::parse(text.as_bytes(), event::Layout::Json, &RecordedBy::Platform);
                if let Err(faults) = parsed {
                    panic!("{faults:?} in {text}");
                }
            }
        }
    }

    #[test]
    fn events_have_only_the_fields_that_a_producer_may_send() {
        let allowed =
            set("action type entity principal parentEntity subject permission before after clientType context
            payload metadata");
        for event in week(1) {
            let fields = members(&event.body);
            assert!(fields.is_subset(&allowed), "{fields:?}");
            assert!(fields.is_superset(&set("action entity principal clientType context")), "{fields:?}");
        }
    }

    #[test]
    fn nights_and_the_weekend_are_quieter_than_working_days() {
        for seed in SEEDS {
            let mut hours: BTreeMap<(u64, u64), usize> = BTreeMap::new();
            for event in week(seed) {
                let seconds = event.at.as_secs();
                *hours.entry((seconds / (24 * HOUR), seconds / HOUR % 24)).or_default() += 1;
            }
            let count = |days: std::ops::Range<u64>, of_day: std::ops::Range<u64>| -> usize {
                days.flat_map(|day| of_day.clone().map(move |hour| (day, hour))).filter_map(|at| hours.get(&at)).sum()
            };
            let (days, nights) = (count(0..5, 8..16), count(0..5, 0..5) + count(0..5, 21..24));
            assert!(nights > 0 && nights * 10 < days, "seed {seed}: {nights} at night, {days} by day");
            let weekend = count(5..7, 0..24);
            assert!(weekend > 0 && weekend * 10 < days, "seed {seed}: {weekend} at the weekend, {days} by day");
        }
    }

    #[test]
    fn work_comes_in_bursts() {
        let week = week(1);
        let busiest = week.iter().map(|event| {
            let end = event.at + Duration::from_secs(10);
            week.iter().filter(|other| (event.at..end).contains(&other.at)).count()
        });
        assert!(busiest.max() >= Some(30));
    }

    #[test]
    fn a_change_shows_the_old_and_the_new_of_the_same_members() {
        for event in week(2) {
            let (Some(before), Some(after)) = (event.body.get("before"), event.body.get("after")) else { continue };
            assert_ne!(before, after, "{}", event.body);
            assert_eq!(members(before), members(after), "{}", event.body);
        }
    }

    #[test]
    fn what_is_created_is_not_changed_before_and_what_is_deleted_not_after() {
        let mut gone = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for event in week(3) {
            let id = |pointer: &str| event.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let entity = (id("/entity/entityType"), id("/entity/id"));
            match id("/action").as_str() {
                "CREATE" => assert!(!seen.contains(&entity), "created twice: {entity:?}"),
                "DELETE" => assert!(gone.insert(entity.clone()), "deleted twice: {entity:?}"),
                _ => assert!(!gone.contains(&entity), "changed after it was deleted: {entity:?}"),
            }
            assert!(!gone.contains(&(id("/parentEntity/entityType"), id("/parentEntity/id"))), "{}", event.body);
            assert!(!gone.contains(&("USER".into(), id("/principal/id"))), "{}", event.body);
            seen.insert(entity);
        }
    }

    #[test]
    fn a_setting_that_is_changed_twice_goes_on_from_where_it_was() {
        let mut settings: BTreeMap<(String, String), Value> = BTreeMap::new();
        let mut continued = 0;
        for event in week(4).iter().filter(|event| event.body["entity"]["entityType"] == "MOCK_API_SETTINGS") {
            let (Some(before), Some(after)) = (event.body["before"].as_object(), event.body["after"].as_object())
            else {
                panic!("a change of settings without before and after: {}", event.body);
            };
            for (name, value) in before {
                let key = (event.body["entity"]["id"].to_string(), name.clone());
                if let Some(known) = settings.insert(key, after[name].clone()) {
                    assert_eq!(known, *value, "{}", event.body);
                    continued += 1;
                }
            }
        }
        assert!(continued > 20);
    }

    #[test]
    fn addresses_are_from_the_ranges_for_documentation() {
        for address in values(&week(5), "/context/ipAddress") {
            let documentation = ["192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:"];
            assert!(documentation.iter().any(|range| address.starts_with(range)), "{address}");
            assert!(address.parse::<std::net::IpAddr>().is_ok(), "{address}");
        }
    }

    #[test]
    fn people_and_things_recur() {
        let week = week(6);
        let (principals, entities) = (values(&week, "/principal/id"), values(&week, "/entity/id"));
        assert!((20..60).contains(&principals.len()), "{} principals", principals.len());
        assert!(entities.len() * 3 < week.len() * 2, "{} entities in {} events", entities.len(), week.len());
    }
}
