//! Checks delivered objects as a customer would: each is NDJSON, sequences are dense over all of them, and each line
//! has the hash of the line before.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The hash in the first line of a log, which has no line before it.
pub const ORIGIN: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Delivered lines in the order of their sequences.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    pub lines: Vec<Value>,
    /// The hash of the last line, in hex.
    pub hash: String,
}

impl Chain {
    /// The lines of `objects`, whose keys sort in the order of delivery. Ignores keys that are not of deliveries. Fails
    /// if the chain is broken.
    #[track_caller]
    #[must_use]
    pub fn of(objects: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut chain = Self { lines: Vec::new(), hash: String::new() };
        for (key, content) in objects.iter().filter(|(key, _)| is_delivery(key)) {
            let text = std::str::from_utf8(content).unwrap();
            assert!(text.ends_with('\n'), "{key} does not end with a newline");
            assert!(!text.contains('\r') && !text.contains("\n\n"), "{key} is no plain NDJSON");
            for line in text.lines() {
                chain.take(key, line);
            }
        }
        chain
    }

    #[track_caller]
    fn take(&mut self, key: &str, text: &str) {
        let line: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{key}: {error}: {text}"));
        if let Some(before) = self.lines.last() {
            assert_eq!(line["sequence"].as_u64(), before["sequence"].as_u64().map(|n| n + 1), "{key}: not dense");
            assert_eq!(line["previousHash"], self.hash.as_str(), "{key}: not the hash of the line before");
        }
        self.hash = sha256(text.as_bytes());
        self.lines.push(line);
    }

    /// The first and the last sequence.
    #[must_use]
    pub fn range(&self) -> Option<(u64, u64)> {
        let sequence = |line: &Value| line["sequence"].as_u64().unwrap();
        Some((sequence(self.lines.first()?), sequence(self.lines.last()?)))
    }

    /// The types of the events, in order.
    #[must_use]
    pub fn types(&self) -> Vec<&str> {
        self.lines.iter().map(|line| line["type"].as_str().unwrap()).collect()
    }
}

/// SHA-256 in hex, as `sha256sum` prints it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Whether a key, without a destination's prefix, has the layout of WireMock Cloud's deliveries:
/// `YYYY-MM/DD/YYYY-MM-DDTHH-mm-ss-SSSZ-<suffix>.json`, with the folders of the day and a suffix of 7 or 8 of
/// `[0-9a-z]`.
#[must_use]
pub fn is_delivery(key: &str) -> bool {
    let shape: String = key
        .chars()
        .map(|c| match c {
            '0'..='9' => '9',
            'a'..='z' => 'a',
            other => other,
        })
        .collect();
    let Some((time, suffix)) = shape.rsplit_once('-') else { return false };
    let Some(suffix) = suffix.strip_suffix(".aaaa") else { return false };
    let Some((folders, name)) = key.rsplit_once('/') else { return false };
    time == "9999-99/99/9999-99-99T99-99-99-999Z"
        && (7..=8).contains(&suffix.len())
        && suffix.chars().all(|c| c == '9' || c == 'a')
        && key.ends_with(".json")
        && name.starts_with(&folders.replace('/', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_deliveries_are_known_by_their_layout() {
        for good in
            ["2025-02/01/2025-02-01T13-45-12-789Z-wjg0yr69.json", "2025-02/01/2025-02-01T13-45-12-789Z-wjg0yr6.json"]
        {
            assert!(is_delivery(good), "{good}");
        }
        for bad in [
            "test-wiremock-cloud-integration.txt",
            "2025-02/02/2025-02-01T13-45-12-789Z-wjg0yr69.json",
            "2025-02/01/2025-02-01T13-45-12-789Z-wjg0yr690.json",
            "2025-02/01/2025-02-01T13-45-12-789Z-WJG0YR69.json",
            "2025-02/01/2025-02-01T13-45-12Z-wjg0yr69.json",
            "2025-02/01/2025-02-01T13-45-12-789Z-wjg0yr69.text",
            "",
        ] {
            assert!(!is_delivery(bad), "{bad}");
        }
    }
}
