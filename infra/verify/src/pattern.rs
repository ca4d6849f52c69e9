//! Patterns of keys, for objects to ignore.

use std::{convert::Infallible, str::FromStr};

/// A pattern of keys: `*` stands for any characters, `/` included, and `?` for one character. A pattern without `/` is
/// compared with the name behind the key's last `/`, any other with the whole key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl FromStr for Pattern {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl Pattern {
    /// Returns whether the pattern matches a key.
    #[must_use]
    pub fn matches(&self, key: &str) -> bool {
        let text = if self.0.contains('/') { key } else { key.rsplit('/').next().unwrap_or_default() };
        matches(self.0.as_bytes(), text.as_bytes())
    }
}

/// Matches from left to right. After a mismatch, the last `*` takes one character more.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut star = None;
    while place < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(b'?') => (at, place) = (at + 1, next_character(text, place)),
            Some(byte) if *byte == text[place] => (at, place) = (at + 1, place + 1),
            _ => match star {
                Some((after, taken)) => {
                    star = Some((after, taken + 1));
                    (at, place) = (after + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Returns where the UTF-8 character after the one at `place` begins.
fn next_character(text: &[u8], place: usize) -> usize {
    let continued = text[place + 1..].iter().take_while(|byte| **byte & 0xc0 == 0x80).count();
    place + 1 + continued
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_a_name_or_with_a_slash_a_whole_key() {
        let matches = |pattern: &str, key: &str| pattern.parse::<Pattern>().unwrap().matches(key);
        for (pattern, key) in [
            ("notes.txt", "notes.txt"),
            ("notes.txt", "a/b/notes.txt"),
            ("*.txt", "a/b/notes.txt"),
            ("n?tes.*", "a/nötes.txt"),
            ("exports/*", "exports/2026/x.json"),
            ("*/x/*.json", "a/b/x/c/d.json"),
            ("*", "anything"),
            ("a*b*c", "aXbXbXc"),
        ] {
            assert!(matches(pattern, key), "{pattern} {key}");
        }
        for (pattern, key) in [
            ("notes", "notes.txt"),
            ("exports/*", "a/exports/x"),
            ("*.txt", "a.txt/b"),
            ("a?", "a"),
            ("", "a"),
            ("a*b", "ac"),
        ] {
            assert!(!matches(pattern, key), "{pattern} {key}");
        }
    }
}
