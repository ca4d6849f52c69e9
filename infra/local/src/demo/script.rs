//! The data of the demo: `company.json`. In its texts, `<…>` is a placeholder, see
//! [`Random::fill`](super::random::Random::fill).

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use serde_json::{Map, Value};

#[expect(clippy::expect_used, reason = "the file is part of the program, and tests read it")]
pub(super) static SCRIPT: LazyLock<Script> =
    LazyLock::new(|| serde_json::from_str(include_str!("company.json")).expect("company.json is valid"));

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    pub(super) kinds: BTreeMap<String, Kind>,
    /// How many things of each kind there are in the beginning; parents come first.
    pub(super) beginning: Vec<(String, usize)>,
    pub(super) deeds: BTreeMap<String, Deed>,
    pub(super) routines: Vec<Routine>,
}

/// A kind of people, things or services.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Kind {
    pub(super) entity_type: String,
    pub(super) id: String,
    /// Names, each with the members that belong to it. The first things get them in this order.
    pub(super) names: Vec<(String, Map<String, Value>)>,
    /// The kinds of which one is the parent.
    #[serde(default)]
    pub(super) parents: Vec<String>,
    #[serde(default)]
    pub(super) members: BTreeMap<String, Member>,
    /// What a new thing has inside: kinds, and how many of each.
    #[serde(default)]
    pub(super) children: BTreeMap<String, (u64, u64)>,
    /// The fields of an event that say from where an actor of this kind acts, with their relative frequency.
    #[serde(default)]
    pub(super) acts: Vec<(usize, Map<String, Value>)>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Member {
    /// Its value comes with the name and never changes.
    Preset,
    /// One of these values.
    Choice(Vec<Value>),
    /// Each value exceeds the last one by a number between the bounds. Creating and deleting does not show it.
    Counter { add: (u64, u64) },
    /// Not shown either.
    Template(String),
}

/// Something that is done, recorded as one event.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deed {
    #[serde(rename = "do")]
    pub(super) effect: Effect,
    /// The kinds of things that it is done to.
    #[serde(default)]
    pub(super) to: Vec<String>,
    /// The kinds of the event's subject.
    #[serde(default)]
    pub(super) subject: Vec<String>,
    /// The members that change. None: one or two of those with a choice.
    #[serde(default)]
    pub(super) members: Vec<String>,
    /// More fields of the event.
    #[serde(default)]
    pub(super) event: Map<String, Value>,
    /// How often it is done at a desk, relative to the other deeds.
    #[serde(default)]
    pub(super) weight: usize,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Effect {
    Create,
    Change,
    Delete,
    Grant,
    Revoke,
    SignIn,
    Invite,
    /// Done by whoever was invited.
    SignUp,
}

/// What happens every week.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Routine {
    /// The kinds of the actor.
    #[serde(default)]
    pub(super) who: Vec<String>,
    /// All of these kinds act, not one of them.
    #[serde(default)]
    pub(super) everyone: bool,
    /// 0 is Monday.
    pub(super) days: Vec<u64>,
    /// The hours UTC at which it may begin, and how many hours later it begins at most.
    pub(super) hours: Vec<u64>,
    pub(super) spread: f64,
    /// How often it happens at such an hour.
    #[serde(default = "once")]
    pub(super) runs: (u64, u64),
    /// More fields of its events, the same for a whole run.
    #[serde(default)]
    pub(super) event: Map<String, Value>,
    /// The kind of the one thing to whose children all is done that has a parent of this kind.
    pub(super) within: Option<String>,
    pub(super) steps: Vec<Step>,
}

/// A part of a routine. Times are in seconds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// `desk` is any of the deeds with a weight.
    pub(super) deed: String,
    #[serde(default = "once")]
    pub(super) times: (u64, u64),
    /// The pause before the first.
    #[serde(default)]
    pub(super) wait: (f64, f64),
    /// The pause after each.
    #[serde(default)]
    pub(super) gap: (f64, f64),
}

fn once() -> (u64, u64) {
    (1, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_deed_that_is_named_exists_and_every_choice_has_two_values() {
        let kinds = SCRIPT.kinds.values().flat_map(|kind| kind.parents.iter().chain(kind.children.keys()));
        let deeds = SCRIPT.deeds.values().flat_map(|deed| deed.to.iter().chain(&deed.subject));
        let routines = SCRIPT.routines.iter().flat_map(|routine| routine.who.iter().chain(&routine.within));
        for name in kinds.chain(deeds).chain(routines).chain(SCRIPT.beginning.iter().map(|(kind, _)| kind)) {
            assert!(SCRIPT.kinds.contains_key(name), "{name}");
        }
        for step in SCRIPT.routines.iter().flat_map(|routine| &routine.steps) {
            assert!(step.deed == "desk" || SCRIPT.deeds.contains_key(&step.deed), "{}", step.deed);
        }
        for (kind, spec) in &SCRIPT.kinds {
            assert!(!spec.names.is_empty(), "{kind}");
            for (name, member) in &spec.members {
                assert!(!matches!(member, Member::Choice(values) if values.len() < 2), "{kind} {name}");
            }
        }
        for deed in SCRIPT.deeds.values() {
            for (kind, member) in deed.to.iter().flat_map(|kind| deed.members.iter().map(move |member| (kind, member)))
            {
                assert!(SCRIPT.kinds[kind].members.contains_key(member), "{kind} {member}");
            }
        }
    }
}
