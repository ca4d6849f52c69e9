//! The current state of the demo company: people, services, and what they have in their API mocking product. Owns what
//! a deed changes and how the producer reports it. [`week`](super::week) decides when something is done.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    random::Random,
    script::{Deed, Effect, Member, SCRIPT},
};

#[derive(Clone)]
struct Thing {
    kind: &'static str,
    id: String,
    parent: Value,
    members: Map<String, Value>,
}

impl Thing {
    fn entity(&self) -> Value {
        json!({"id": self.id, "name": self.members["name"], "entityType": SCRIPT.kinds[self.kind].entity_type})
    }

    /// Returns the members that an event shows when the thing is created or deleted.
    fn whole(&self) -> Value {
        let members = &SCRIPT.kinds[self.kind].members;
        let is_shown = |name: &str| matches!(members.get(name), Some(Member::Choice(_) | Member::Preset));
        let shown = self.members.iter().filter(|(name, _)| *name == "name" || is_shown(name));
        shown.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Changes these members. If `names` is empty, changes one or two members that have a choice. Returns the old and
    /// the new values.
    fn change(&mut self, names: &[String], random: &mut Random) -> (Map<String, Value>, Map<String, Value>) {
        let members = &SCRIPT.kinds[self.kind].members;
        let mut names: Vec<&String> = names.iter().collect();
        if names.is_empty() {
            let choices = members.iter().filter(|(_, member)| matches!(member, Member::Choice(_)));
            let mut choices: Vec<&String> = choices.map(|(name, _)| name).collect();
            for _ in 0..if random.percent(40) { 2 } else { 1 } {
                names.push(choices.swap_remove(random.index(choices.len())));
            }
        }
        let before: Map<String, Value> =
            names.iter().map(|name| ((*name).clone(), self.members[*name].clone())).collect();
        for (name, old) in &before {
            let plain = old.as_str().and_then(|text| text.split(" (").next()).unwrap_or_default().to_owned();
            let variables = Map::from_iter([("plain".to_owned(), plain.clone().into())]);
            let new = match value(&members[name], old, &variables, random) {
                new if new == *old => plain.into(),
                new => new,
            };
            self.members.insert(name.clone(), new);
        }
        let after = before.keys().map(|name| (name.clone(), self.members[name].clone())).collect();
        (before, after)
    }
}

/// Returns a new value of a member. A member with a choice gets a value other than `old`.
fn value(member: &Member, old: &Value, variables: &Map<String, Value>, random: &mut Random) -> Value {
    match member {
        Member::Preset => old.clone(),
        Member::Choice(values) => {
            let others: Vec<&Value> = values.iter().filter(|value| *value != old).collect();
            (*random.pick(&others)).clone()
        }
        Member::Counter { add } => (old.as_u64().unwrap_or_default() + random.between(*add)).into(),
        Member::Template(text) => random.fill_text(text, variables).into(),
    }
}

/// A deed that is planned.
pub(super) struct Task {
    pub(super) at_millis: u64,
    /// The id of the actor. `None`: the person who signs up.
    pub(super) actor: Option<String>,
    pub(super) deed: &'static Deed,
    /// The id of the parent of the things that the deed may change. `None`: any parent.
    pub(super) parent: Option<String>,
    /// More fields of the event.
    pub(super) event: Map<String, Value>,
}

pub(super) struct Company {
    pub(super) random: Random,
    things: BTreeMap<&'static str, Vec<Thing>>,
    /// The number of things of each kind that were ever added.
    counts: BTreeMap<&'static str, usize>,
    /// The kind of each id.
    kinds: BTreeMap<String, &'static str>,
    invited: Option<Thing>,
    /// The events that granted rights that have not been revoked.
    grants: Vec<Value>,
}

impl Company {
    pub(super) fn new(seed: u64) -> Self {
        let (things, counts, kinds) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let random = Random::new(seed);
        let mut company = Self { random, things, counts, kinds, invited: None, grants: Vec::new() };
        for (kind, count) in &SCRIPT.beginning {
            for _ in 0..*count {
                company.add(kind, None);
            }
        }
        company
    }

    /// Returns the ids of all things of these kinds.
    pub(super) fn ids(&self, kinds: &[String]) -> Vec<String> {
        let things = kinds.iter().filter_map(|kind| self.things.get(kind.as_str())).flatten();
        things.map(|thing| thing.id.clone()).collect()
    }

    fn find(&self, id: &str) -> Option<&Thing> {
        self.things[self.kinds.get(id)?].iter().find(|thing| thing.id == id)
    }

    /// Chooses one thing of these kinds and with this parent, as kind and index. Older things are chosen more often.
    fn pick(&mut self, kinds: &[String], parent: Option<&str>) -> Option<(&'static str, usize)> {
        let groups = kinds.iter().filter_map(|kind| self.things.get_key_value(kind.as_str()));
        let groups: Vec<(&'static str, Vec<usize>)> = match parent {
            None => groups.map(|(kind, things)| (*kind, (0..things.len()).collect())).collect(),
            Some(parent) => {
                let is_wanted = |things: &Vec<Thing>, index: &usize| things[*index].parent["id"] == parent;
                let wanted = |things: &Vec<Thing>| (0..things.len()).filter(|index| is_wanted(things, index)).collect();
                groups.map(|(kind, things)| (*kind, wanted(things))).collect()
            }
        };
        let count = groups.iter().map(|(_, indices)| indices.len()).sum();
        let mut position = self.random.index(count).min(self.random.index(count));
        for (kind, indices) in groups {
            match indices.get(position) {
                Some(index) => return Some((kind, *index)),
                None => position -= indices.len(),
            }
        }
        None
    }

    fn entity(&mut self, kinds: &[String]) -> Value {
        self.pick(kinds, None).map_or(Value::Null, |(kind, index)| self.things[kind][index].entity())
    }

    /// Adds a new thing with its children.
    fn add(&mut self, kind: &'static str, parent: Option<Value>) -> Thing {
        let spec = &SCRIPT.kinds[kind];
        let parent = parent.unwrap_or_else(|| self.entity(&spec.parents));
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let (name, with) = match spec.names.get(*count - 1) {
            Some(name) => name,
            None => self.random.pick(&spec.names),
        };
        let parent_name = parent["name"].as_str().unwrap_or_default().to_lowercase().replace(' ', "-");
        let variables = Map::from_iter([("parent".to_owned(), parent_name.into())]);
        let random = &mut self.random;
        let specs = spec.members.iter();
        let mut members: Map<String, Value> =
            specs.map(|(name, member)| (name.clone(), value(member, &Value::Null, &variables, random))).collect();
        members.extend(with.iter().map(|(name, value)| (name.clone(), random.fill(value, &variables))));
        members.insert("name".into(), random.fill_text(name, &variables).into());
        let thing = Thing { kind, id: random.fill_text(&spec.id, &variables), parent, members };
        self.kinds.insert(thing.id.clone(), kind);
        self.things.entry(kind).or_default().push(thing.clone());
        for (child, count) in &spec.children {
            for _ in 0..self.random.between(*count) {
                self.add(child, Some(thing.entity()));
            }
        }
        thing
    }

    /// Does the task. Returns the event that the producer posts, or `None` if the actor has left.
    pub(super) fn act(&mut self, task: &Task) -> Option<Value> {
        let mut event = Map::new();
        let actor = match &task.actor {
            Some(id) => self.find(id)?.clone(),
            None => self.sign_up(),
        };
        let deed = task.deed;
        let (action, mut about) = self.perform(deed, &actor, task.parent.as_deref())?;
        event.insert("action".into(), action.into());
        if !deed.subject.is_empty() && about["subject"].is_null() {
            about["subject"] = self.entity(&deed.subject);
        }
        // The person may have changed.
        let actor = self.find(&actor.id).cloned().unwrap_or(actor);
        let mut principal = actor.entity();
        if let Some(email) = actor.members.get("email") {
            principal["email"] = email.clone();
        }
        event.insert("principal".into(), principal);
        let act = self.random.weighted(SCRIPT.kinds[actor.kind].acts.iter().map(|(weight, act)| (*weight, act)))?;
        for fields in [act, &deed.event] {
            event.extend(fields.iter().map(|(name, value)| (name.clone(), self.random.fill(value, &actor.members))));
        }
        event.extend(task.event.clone());
        event.extend(about.as_object().cloned().unwrap_or_default());
        event.retain(|_, value| !value.is_null());
        Some(event.into())
    }

    /// Does a deed. Returns the event's action, and its fields about what has been done.
    fn perform(&mut self, deed: &Deed, actor: &Thing, parent: Option<&str>) -> Option<(&'static str, Value)> {
        let about = |thing: &Thing| json!({"entity": thing.entity(), "parentEntity": thing.parent});
        Some(match deed.effect {
            Effect::Create => {
                let parent = parent.and_then(|id| self.find(id)).map(Thing::entity);
                let (kind, _) = SCRIPT.kinds.get_key_value(deed.to.first()?)?;
                let thing = self.add(kind, parent);
                let mut fields = about(&thing);
                fields["after"] = thing.whole();
                ("CREATE", fields)
            }
            Effect::Change => {
                let (kind, index) = self.pick(&deed.to, parent)?;
                let thing = self.things.get_mut(kind)?.get_mut(index)?;
                let (before, after) = thing.change(&deed.members, &mut self.random);
                let thing = thing.clone();
                if before.contains_key("name") {
                    let children = self.things.values_mut().flatten().filter(|child| child.parent["id"] == thing.id);
                    children.for_each(|child| child.parent = thing.entity());
                }
                let mut fields = about(&thing);
                fields["before"] = before.into();
                fields["after"] = after.into();
                ("UPDATE", fields)
            }
            Effect::Delete => {
                let (kind, index) = self.pick(&deed.to, parent)?;
                let thing = self.things.get_mut(kind)?.swap_remove(index);
                let is_left = |entity: &Value| entity["id"] != thing.id;
                self.things.values_mut().for_each(|things| things.retain(|child| is_left(&child.parent)));
                self.grants.retain(|grant| is_left(&grant["entity"]) && is_left(&grant["subject"]));
                let mut fields = about(&thing);
                fields["before"] = thing.whole();
                ("DELETE", fields)
            }
            Effect::Grant => {
                let (kind, index) = self.pick(&deed.to, parent)?;
                let mut fields = about(&self.things[kind][index]);
                fields["subject"] = self.entity(&deed.subject);
                fields["permission"] = self.random.fill(deed.event.get("permission")?, &Map::new());
                self.grants.push(fields.clone());
                ("ACL_GRANT", fields)
            }
            Effect::Revoke if self.grants.is_empty() => return None,
            Effect::Revoke => ("ACL_REVOKE", self.grants.swap_remove(self.random.index(self.grants.len()))),
            Effect::SignIn => {
                let things = self.things.get_mut(actor.kind)?;
                let person = things.iter_mut().find(|person| person.id == actor.id)?;
                person.change(&deed.members, &mut self.random);
                ("LOGIN", about(person))
            }
            Effect::Invite => {
                let person = self.add("person", None);
                self.things.get_mut("person")?.pop();
                let fields = json!({"entity": person.parent, "subject": person.entity(), "after": person.whole()});
                self.invited = Some(person);
                ("INVITE", fields)
            }
            Effect::SignUp => {
                let mut fields = about(actor);
                fields["after"] = actor.whole();
                ("SIGNUP", fields)
            }
        })
    }

    /// Adds the invited person to the people.
    fn sign_up(&mut self) -> Thing {
        let Some(person) = self.invited.take() else { return self.add("person", None) };
        self.things.entry("person").or_default().push(person.clone());
        person
    }
}
