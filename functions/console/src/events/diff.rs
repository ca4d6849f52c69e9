//! The difference between two states: which members were added, removed, changed or left unchanged, at any depth.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use super::json::Node;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The name of an object's member.
    Member(String),
    /// The index of an array's item.
    Item(usize),
}

/// The path to a nested value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Path(pub(super) Vec<Step>);

impl Path {
    fn to(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

/// `limits.requests[2]`. Names with special characters are quoted: `limits."a b"`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            let dot = if index > 0 { "." } else { "" };
            let is_plain = |key: &str| {
                !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '@' | '/'))
            };
            match step {
                Step::Item(number) => write!(f, "[{number}]")?,
                Step::Member(key) if is_plain(key) => write!(f, "{dot}{key}")?,
                Step::Member(key) => write!(f, "{dot}{}", Node::string(key))?,
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Added(Node),
    Removed(Node),
    /// The old and the new value.
    Changed(Node, Node),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Difference {
    /// The changes, each as deep as possible.
    pub(super) changes: Vec<(Path, Change)>,
    /// The unchanged values, each as large as possible.
    pub(super) unchanged: Vec<(Path, Node)>,
}

impl Difference {
    /// Compares `before` with `after`. If one of them is missing, every member of the other one was removed or added.
    pub(super) fn between(before: Option<&Node>, after: Option<&Node>) -> Self {
        let nothing = Node::Object(Vec::new());
        let mut difference = Self::default();
        difference.compare(Path::default(), before.unwrap_or(&nothing), after.unwrap_or(&nothing));
        difference
    }

    fn compare(&mut self, path: Path, before: &Node, after: &Node) {
        match (before, after) {
            (Node::Object(before), Node::Object(after)) if path.0.is_empty() || before != after => {
                self.compare_members(&path, before, after);
            }
            (Node::Array(before), Node::Array(after)) if before != after => self.compare_items(&path, before, after),
            (before, after) if before == after => self.unchanged.push((path, after.clone())),
            (before, after) => self.changes.push((path, Change::Changed(before.clone(), after.clone()))),
        }
    }

    fn compare_members(&mut self, path: &Path, before: &[(String, Node)], after: &[(String, Node)]) {
        let new_members: HashMap<&str, &Node> = after.iter().map(|(key, node)| (key.as_str(), node)).collect();
        let old_names: HashSet<&str> = before.iter().map(|(key, _)| key.as_str()).collect();
        for (key, old) in before {
            let path = path.to(Step::Member(key.clone()));
            match new_members.get(key.as_str()) {
                Some(new) => self.compare(path, old, new),
                None => self.changes.push((path, Change::Removed(old.clone()))),
            }
        }
        for (key, new) in after.iter().filter(|(key, _)| !old_names.contains(key.as_str())) {
            self.changes.push((path.to(Step::Member(key.clone())), Change::Added(new.clone())));
        }
    }

    /// Skips equal items at both ends and compares the items between them by index. Otherwise one inserted item would make all
    /// items after it look changed.
    fn compare_items(&mut self, path: &Path, before: &[Node], after: &[Node]) {
        let same_at_start = before.iter().zip(after).take_while(|(old, new)| old == new).count();
        let (old, new) = (&before[same_at_start..], &after[same_at_start..]);
        let same_at_end = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
        let (old, new) = (&old[..old.len() - same_at_end], &new[..new.len() - same_at_end]);
        let item = |index: usize| path.to(Step::Item(same_at_start + index));
        for index in 0..old.len().max(new.len()) {
            match (old.get(index), new.get(index)) {
                (Some(old), Some(new)) => self.compare(item(index), old, new),
                (Some(old), None) => self.changes.push((item(index), Change::Removed(old.clone()))),
                (None, Some(new)) => self.changes.push((item(index), Change::Added(new.clone()))),
                (None, None) => {}
            }
        }
        let same = after[..same_at_start].iter().enumerate();
        let end = after.len() - same_at_end;
        let same = same.chain(after[end..].iter().enumerate().map(|(index, node)| (end + index, node)));
        self.unchanged.extend(same.map(|(index, node)| (path.to(Step::Item(index)), node.clone())));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn node(text: &str) -> Node {
        Node::parse(text).unwrap()
    }

    fn differences(before: &str, after: &str) -> Vec<String> {
        let difference = Difference::between(Some(&node(before)), Some(&node(after)));
        let changes = difference.changes.iter().map(|(path, change)| match change {
            Change::Added(new) => format!("+ {path}: {new}"),
            Change::Removed(old) => format!("- {path}: {old}"),
            Change::Changed(old, new) => format!("{path}: {old} -> {new}"),
        });
        changes.chain(difference.unchanged.iter().map(|(path, node)| format!("= {path}: {node}"))).collect()
    }

    #[test]
    fn every_kind_of_change_has_its_path() {
        assert_eq!(
            differences(
                r#"{"name":"Pay","limit":{"rate":1.0,"burst":2},"tags":["a","b","c"],"gone":{"x":1},"kind":"x"}"#,
                r#"{"name":"Pay","limit":{"rate":1.0,"burst":3,"a b":null},"tags":["a","c"],"kind":{"y":[]},"new":[1]}"#,
            ),
            [
                "limit.burst: 2 -> 3",
                "+ limit.\"a b\": null",
                "- tags[1]: \"b\"",
                "- gone: {\"x\": 1}",
                "kind: \"x\" -> {\"y\": []}",
                "+ new: [1]",
                "= name: \"Pay\"",
                "= limit.rate: 1.0",
                "= tags[0]: \"a\"",
                "= tags[1]: \"c\"",
            ]
        );
    }

    #[test]
    fn a_single_state_is_added_or_removed_member_by_member() {
        let state = node(r#"{"a":1,"b":{"c":2}}"#);
        let all = |change: fn(Node) -> Change| {
            ["a", "b"].map(|key| (Path(vec![Step::Member(key.to_owned())]), change(state.member(key).unwrap().clone())))
        };
        assert_eq!(Difference::between(None, Some(&state)).changes, all(Change::Added));
        assert_eq!(Difference::between(Some(&state), None).changes, all(Change::Removed));
        assert_eq!(Difference::between(None, None), Difference::default());
        assert_eq!(Difference::between(Some(&state), Some(&state)).changes, []);
    }

    /// A deterministic generator: the same trees on every run.
    struct Generator(u64);

    impl Generator {
        fn below(&mut self, end: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % end
        }

        fn node(&mut self, depth: u64) -> Node {
            match self.below(if depth == 0 { 2 } else { 4 }) {
                0 => Node::Scalar(self.below(3).to_string()),
                1 => Node::string(["", "x", "y.z"][usize::try_from(self.below(3)).unwrap()]),
                2 => Node::Array((0..self.below(4)).map(|_| self.node(depth - 1)).collect()),
                _ => self.object(depth - 1),
            }
        }

        fn object(&mut self, depth: u64) -> Node {
            let keys = ["a", "b", "c d", "e"].into_iter().filter(|_| self.below(2) == 0).collect::<Vec<_>>();
            Node::Object(keys.into_iter().map(|key| (key.to_owned(), self.node(depth))).collect())
        }
    }

    fn at<'a>(node: &'a Node, path: &[Step]) -> Option<&'a Node> {
        let Some((step, rest)) = path.split_first() else { return Some(node) };
        let inner = match (node, step) {
            (Node::Object(_), Step::Member(key)) => node.member(key)?,
            (Node::Array(items), Step::Item(index)) => items.get(*index)?,
            _ => return None,
        };
        at(inner, rest)
    }

    /// Applies a change. Callers remove items from the end first, and insert items from the front.
    fn apply(node: &mut Node, path: &[Step], change: &Change) {
        let Some((step, rest)) = path.split_first() else {
            let Change::Changed(old, new) = change else { panic!("an added or removed value has a path") };
            assert_eq!(node, old);
            *node = new.clone();
            return;
        };
        match (node, step, rest.is_empty(), change) {
            (Node::Object(members), Step::Member(key), true, Change::Added(new)) => {
                assert!(members.iter().all(|(name, _)| name != key));
                members.push((key.clone(), new.clone()));
            }
            (Node::Object(members), Step::Member(key), true, Change::Removed(_)) => {
                members.retain(|(name, _)| name != key);
            }
            (Node::Array(items), Step::Item(index), true, Change::Added(new)) => items.insert(*index, new.clone()),
            (Node::Array(items), Step::Item(index), true, Change::Removed(old)) => {
                assert_eq!(&items.remove(*index), old);
            }
            (Node::Object(members), Step::Member(key), _, _) => {
                let inner = members.iter_mut().find(|(name, _)| name == key).map(|(_, inner)| inner);
                apply(inner.unwrap(), rest, change);
            }
            (Node::Array(items), Step::Item(index), _, _) => apply(&mut items[*index], rest, change),
            other => panic!("{other:?}"),
        }
    }

    fn sorted(node: &Node) -> Node {
        match node {
            Node::Scalar(_) => node.clone(),
            Node::Array(items) => Node::Array(items.iter().map(sorted).collect()),
            Node::Object(members) => {
                let mut members: Vec<_> = members.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
                members.sort_by(|one, other| one.0.cmp(&other.0));
                Node::Object(members)
            }
        }
    }

    #[test]
    fn applying_the_changes_yields_the_new_state_and_no_path_occurs_twice() {
        let mut generator = Generator(1);
        for _ in 0..5000 {
            let (before, after) = (generator.object(3), generator.object(3));
            let difference = Difference::between(Some(&before), Some(&after));
            let mut state = before.clone();
            let is_removed_item = |(path, change): &&(Path, Change)| {
                matches!((path.0.last(), change), (Some(Step::Item(_)), Change::Removed(_)))
            };
            let (removed_items, others): (Vec<_>, Vec<_>) = difference.changes.iter().partition(is_removed_item);
            for (path, change) in removed_items.into_iter().rev().chain(others) {
                apply(&mut state, &path.0, change);
            }
            assert_eq!(sorted(&state), sorted(&after), "{before} -> {after}: {difference:?}");

            let mut paths = BTreeSet::new();
            for (path, change) in &difference.changes {
                assert!(paths.insert((path.clone(), matches!(change, Change::Removed(_)))), "{path} twice");
                match change {
                    Change::Added(new) => assert_eq!(at(&after, &path.0), Some(new)),
                    Change::Removed(old) => assert_eq!(at(&before, &path.0), Some(old)),
                    Change::Changed(old, new) => {
                        assert_ne!(old, new);
                        assert_eq!((at(&before, &path.0), at(&after, &path.0)), (Some(old), Some(new)));
                    }
                }
            }
            for (path, same) in &difference.unchanged {
                assert_eq!(at(&after, &path.0), Some(same));
            }
            let has_item_change =
                difference.changes.iter().any(|(path, _)| path.0.iter().any(|step| matches!(step, Step::Item(_))));
            assert!(has_item_change || !difference.changes.is_empty() || sorted(&before) == sorted(&after));
        }
    }
}
