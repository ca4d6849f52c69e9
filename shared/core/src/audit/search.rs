//! Full-text search of values: whether one contains a text. Owns what counts as the same text.
//!
//! Texts are compared without regard to upper and lower case (full case folding: `ß` is `ss`) and to how characters are encoded
//! (Unicode normalisation form NFKC: `é` may be one character or two, `ＦＵＬＬ` is `full`). A dot that belongs to a Turkish `İ` does
//! not count, so `istanbul` finds `İstanbul`.

use icu_normalizer::ComposingNormalizerBorrowed;

const DOT_ABOVE: char = '\u{307}';

/// A text to search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchText {
    folded: String,
}

impl SearchText {
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { folded: fold(text) }
    }

    /// Returns whether it consists of characters that a number is printed with. How it is printed may differ from how it was sent.
    pub(super) fn may_be_of_a_number(&self) -> bool {
        self.folded.chars().all(|character| character.is_ascii_digit() || "+-.einfa".contains(character))
    }

    /// Returns whether `text` contains it. ASCII, which most texts are, is compared in place.
    pub(super) fn is_in(&self, text: &str) -> bool {
        if text.is_ascii() {
            contains_ascii(text.as_bytes(), self.folded.as_bytes())
        } else {
            fold(text).contains(&self.folded)
        }
    }
}

/// Returns whether ASCII text contains a text in lower case.
fn contains_ascii(text: &[u8], wanted: &[u8]) -> bool {
    let Some((first, rest)) = wanted.split_first() else { return true };
    let Some(last_place) = text.len().checked_sub(wanted.len()) else { return false };
    (0..=last_place).any(|place| {
        text[place].to_ascii_lowercase() == *first && text[place + 1..place + wanted.len()].eq_ignore_ascii_case(rest)
    })
}

/// Returns the text in a form that is equal for equal texts.
fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let normalizer = ComposingNormalizerBorrowed::new_nfkc();
    let mut folded = String::with_capacity(text.len());
    for character in normalizer.normalize(text).chars() {
        // There and back again is full case folding: `ẞ`, `ß` and `SS` all become `ss`.
        let lower = character.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
        for character in lower {
            if !(character == DOT_ABOVE && folded.ends_with('i')) {
                folded.push(character);
            }
        }
    }
    normalizer.normalize(&folded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_in_any_case_and_any_encoding() {
        for (text, wanted) in [
            ("Zoe\u{308} Meier", "zoë"),
            ("Zoë", "ZOE\u{308}"),
            ("HAUPTSTRASSE 7", "straße"),
            ("Hauptstraße 7", "STRASSE"),
            ("STRAẞE", "strasse"),
            ("İstanbul", "istanbul"),
            ("istanbul", "İSTANBUL"),
            ("ＦＵＬＬ width", "full"),
            ("full", "ｆｕｌｌ"),
            ("ΟΔΟΣ", "οδος"),
            ("ﬁnance", "FINANCE"),
            ("5 K\u{212a}", "kk"),
            ("The /v1/Tills", "/V1/tills"),
            ("é", "É"),
            ("日本語", "本"),
            ("", ""),
            ("x", ""),
        ] {
            assert!(SearchText::new(wanted).is_in(text), "{wanted} in {text}");
        }
        for (text, wanted) in
            [("Zoe", "zoë"), ("short", "longer than it"), ("Zürich", "zurich"), ("ab", "é"), ("aab", "abb"), ("", "a")]
        {
            assert!(!SearchText::new(wanted).is_in(text), "{wanted} in {text}");
        }
    }

    #[test]
    fn ascii_is_compared_as_if_it_were_folded() {
        let texts = ["", "a", "aA", "Hello, World", "aaaaab", "x\0Y", "[{@`~"];
        for text in texts {
            for wanted in texts.into_iter().chain(["lo, w", "AAB", "y", "{"]) {
                assert_eq!(
                    SearchText::new(wanted).is_in(text),
                    fold(text).contains(&fold(wanted)),
                    "{wanted:?} in {text:?}"
                );
            }
        }
    }
}
