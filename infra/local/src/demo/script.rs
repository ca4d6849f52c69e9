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
    /// The number of things of each kind at the beginning. Parents come before their children.
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
    /// Names, each with the members that belong to it. The first things get the names in this order.
    pub(super) names: Vec<(String, Map<String, Value>)>,
    /// The possible kinds of the parent.
    #[serde(default)]
    pub(super) parents: Vec<String>,
    #[serde(default)]
    pub(super) members: BTreeMap<String, Member>,
    /// The children of a new thing: their kinds, and the minimum and maximum number of each.
    #[serde(default)]
    pub(super) children: BTreeMap<String, (u64, u64)>,
    /// The event fields that describe the client of an actor of this kind, each set with its relative frequency.
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
    /// Each value exceeds the last one by a number between the bounds. Events that create or delete the thing do not
    /// show it.
    Counter { add: (u64, u64) },
    /// A text with placeholders. Events that create or delete the thing do not show it.
    Template(String),
}

/// An action that is recorded as one event.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deed {
    #[serde(rename = "do")]
    pub(super) effect: Effect,
    /// The kinds of things that the deed acts on.
    #[serde(default)]
    pub(super) to: Vec<String>,
    /// The kinds of the event's subject.
    #[serde(default)]
    pub(super) subject: Vec<String>,
    /// The members that change. If empty, one or two members that have a choice.
    #[serde(default)]
    pub(super) members: Vec<String>,
    /// More fields of the event.
    #[serde(default)]
    pub(super) event: Map<String, Value>,
    /// How often the step `desk` chooses this deed, relative to the other deeds.
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
    /// Done by the person who was invited.
    SignUp,
}

/// What happens every week.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Routine {
    /// The kinds of the actor.
    #[serde(default)]
    pub(super) who: Vec<String>,
    /// Whether all people of these kinds act, not only one of them.
    #[serde(default)]
    pub(super) everyone: bool,
    /// 0 is Monday.
    pub(super) days: Vec<u64>,
    /// The hours in UTC at which it may begin. It begins at most `spread` hours later.
    pub(super) hours: Vec<u64>,
    pub(super) spread: f64,
    /// How often it happens at such an hour.
    #[serde(default = "once")]
    pub(super) runs: (u64, u64),
    /// More fields of its events, the same for a whole run.
    #[serde(default)]
    pub(super) event: Map<String, Value>,
    /// The kind of a parent. All deeds of a run on things with a parent of this kind choose children of the same
    /// parent.
    pub(super) within: Option<String>,
    pub(super) steps: Vec<Step>,
}

/// A part of a routine. Times are in seconds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// The name of a deed. `desk` means any of the deeds with a weight.
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
