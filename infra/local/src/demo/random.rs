//! The demo's random choices. They make data look real and are not a source of secrets.

use serde_json::{Map, Value};

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number between the bounds, both included.
    pub(super) fn between(&mut self, (from, to): (u64, u64)) -> u64 {
        from + self.next() % (to.saturating_sub(from) + 1)
    }

    /// Returns an index into `length` items, of which there is at least one.
    pub(super) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.next() % length.max(1) as u64).unwrap_or_default()
    }

    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }

    pub(super) fn pick<'a, T>(&mut self, choice: &'a [T]) -> &'a T {
        &choice[self.index(choice.len())]
    }

    /// Chooses one of the items, each as often as its weight says.
    pub(super) fn weighted<'a, T>(
        &mut self,
        mut choice: impl Iterator<Item = (usize, &'a T)> + Clone,
    ) -> Option<&'a T> {
        let mut left = self.index(choice.clone().map(|(weight, _)| weight).sum());
        choice.find_map(|(weight, item)| match left.checked_sub(weight) {
            Some(rest) => {
                left = rest;
                None
            }
            None => Some(item),
        })
    }

    /// Replaces the placeholders in all texts of `template`. A text that consists only of `<1-9>` becomes a number.
    pub(super) fn fill(&mut self, template: &Value, variables: &Map<String, Value>) -> Value {
        match template {
            Value::String(text) => match text.strip_prefix('<').and_then(|rest| range(rest.strip_suffix('>')?)) {
                Some(range) => self.between(range).into(),
                None => self.fill_text(text, variables).into(),
            },
            Value::Array(items) => items.iter().map(|item| self.fill(item, variables)).collect(),
            Value::Object(members) => {
                Value::Object(members.iter().map(|(name, value)| (name.clone(), self.fill(value, variables))).collect())
            }
            other => other.clone(),
        }
    }

    /// Replaces placeholders: the names of `variables`, `<uuid>`, `<hex:8>`, `<id:8>`, `<1-9>` and `<one|another>`.
    pub(super) fn fill_text(&mut self, template: &str, variables: &Map<String, Value>) -> String {
        let (mut text, mut rest) = (String::new(), template);
        while let Some((before, (placeholder, after))) =
            rest.split_once('<').and_then(|(before, tail)| Some((before, tail.split_once('>')?)))
        {
            text.push_str(before);
            text.push_str(&self.replacement(placeholder, variables));
            rest = after;
        }
        text + rest
    }

    fn replacement(&mut self, placeholder: &str, variables: &Map<String, Value>) -> String {
        if let Some(Value::String(value)) = variables.get(placeholder) {
            return value.clone();
        }
        if placeholder == "uuid" {
            // RFC 9562, version 4.
            return self.fill_text("<hex:8>-<hex:4>-4<hex:3>-<8|9|a|b><hex:3>-<hex:12>", &Map::new());
        }
        if let Some((kind @ ("hex" | "id"), length)) = placeholder.split_once(':') {
            let alphabet = if kind == "hex" { 16 } else { 36 };
            let digits = &b"0123456789abcdefghijklmnopqrstuvwxyz"[..alphabet];
            return (0..length.parse().unwrap_or(8)).map(|_| char::from(*self.pick(digits))).collect();
        }
        match range(placeholder) {
            Some(range) => self.between(range).to_string(),
            None => (*self.pick(&placeholder.split('|').collect::<Vec<_>>())).to_owned(),
        }
    }
}

fn range(text: &str) -> Option<(u64, u64)> {
    let (from, to) = text.split_once('-')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}
