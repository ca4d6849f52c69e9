//! Texts of events as a page shows them: nothing in them is hidden, none is longer than there is room for.

use super::json::is_hidden;
use crate::ui::html_bytes;

/// A text, or its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Cut {
    /// What is shown.
    pub(super) text: String,
    /// Whether there is more.
    pub(super) is_cut: bool,
}

impl Cut {
    /// `text`, up to `max` bytes of HTML.
    pub(super) fn to(text: &str, max: usize) -> Self {
        let mut left = max;
        for (index, character) in text.char_indices() {
            match left.checked_sub(html_bytes(character)) {
                Some(rest) => left = rest,
                None => return Self { text: format!("{}…", text[..index].trim_end()), is_cut: true },
            }
        }
        Self { text: text.to_owned(), is_cut: false }
    }
}

/// A text on one line, cut to `max` characters and to what twice as many plain ones take in HTML; what could not be seen is
/// replaced.
pub(super) fn short(text: &str, max: usize) -> String {
    let visible: String = text.chars().take(max + 1).map(visible).collect();
    let cut = Cut::to(&visible, 2 * max);
    if cut.is_cut || visible.chars().count() <= max {
        return cut.text;
    }
    visible.chars().take(max).chain(['…']).collect()
}

/// A character that can be seen in place of one that cannot.
fn visible(character: char) -> char {
    match character {
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(character)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\u{7f}' => '\u{2421}',
        character if is_hidden(character) => char::REPLACEMENT_CHARACTER,
        character => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_seen_and_what_is_long_is_cut() {
        assert_eq!(short("plain", 10), "plain");
        assert_eq!(short("abcdefghij", 10), "abcdefghij");
        assert_eq!(short("abcdefghijk", 10), "abcdefghij…");
        assert_eq!(short("a\0b\u{202e}c\nd\u{7f}", 10), "a␀b\u{fffd}c␊d␡");
        assert_eq!(short(&"\"".repeat(10), 10), "\"\"\"…", "quotes take six bytes each");
        assert_eq!(Cut::to("a<b", 6), Cut { text: "a<b".to_owned(), is_cut: false });
        assert_eq!(Cut::to("a<b", 5), Cut { text: "a<…".to_owned(), is_cut: true });
    }
}
