//! Reading untrusted JSON: every fault is reported with its pointer, and no value is altered or dropped.
//!
//! A value that is only passed on stays the text that was sent, without the white space between its tokens, so numbers
//! keep all their digits, and escapes stay as they were written. This module does not know events.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::{
    fault::{Fault, Faults},
    invisible,
};

/// The maximum nesting of arrays and objects in a body. The outermost counts as 1.
pub const MAX_DEPTH: usize = 64;

/// Returns `key` as a reference token of a JSON Pointer (RFC 6901, section 3).
#[must_use]
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The maximum size of a request body, except for bodies that contain events.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// Returns `body` as text.
///
/// # Errors
/// Returns a fault if `body` is not UTF-8 or begins with a byte order mark (RFC 8259, section 8.1).
pub fn utf8(body: &[u8]) -> Result<&str, Fault> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Fault::at("", format!("is not UTF-8: see its byte {}", error.valid_up_to() + 1)))?;
    if text.starts_with('\u{feff}') {
        return Err(Fault::at("", "is not valid JSON: it begins with a byte order mark, remove it"));
    }
    Ok(text)
}

/// Checks a whole JSON text: syntax, nesting up to [`MAX_DEPTH`], numbers within the range of a double, strings without lone
/// surrogates, no duplicate keys.
///
/// Adds a fault to `faults` for everything that is wrong, with pointers that begin with `pointer`. Returns `None` if the text
/// is not JSON or is nested too deeply.
pub fn check(text: &str, pointer: &str, faults: &mut Vec<Fault>) -> Option<()> {
    let mut walk = Walk { pointer, path: Vec::new(), faults, too_deep: false };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let outcome = Value(&mut walk).deserialize(&mut deserializer).and_then(|()| deserializer.end());
    if let Err(error) = outcome {
        if !walk.too_deep {
            faults.push(Fault::at(pointer, format!("is not valid JSON: {error}")));
        }
        return None;
    }
    Some(())
}

/// Returns the text of `value` without the white space between its tokens.
#[must_use]
pub fn compact(value: &RawValue) -> String {
    let sent = value.get();
    let mut text = String::with_capacity(sent.len());
    // Most producers send no white space, so most values are copied at once.
    let (mut at, mut copied) = (0, 0);
    while let Some(byte) = sent.as_bytes().get(at) {
        match byte {
            b'"' => at = end_of_string(sent.as_bytes(), at),
            b' ' | b'\t' | b'\n' | b'\r' => {
                text.push_str(&sent[copied..at]);
                at += 1;
                copied = at;
            }
            _ => at += 1,
        }
    }
    text.push_str(&sent[copied..]);
    text
}

/// Returns the index after the end of the string that begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return bytes.len(),
        }
    }
}

#[must_use]
pub fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// Returns the [compact] text of an object without the members that are `null` and that `may_be_absent` accepts.
#[must_use]
pub fn without_nulls(value: &RawValue, may_be_absent: impl Fn(&str) -> bool) -> String {
    let members = members(value).unwrap_or_default();
    let is_left_out = |(key, value): &Member<'_>| is_null(value) && may_be_absent(key);
    if members.iter().any(is_left_out) {
        object(members.iter().filter(|member| !is_left_out(member)).map(|(key, value)| (&**key, compact(value))))
    } else {
        compact(value)
    }
}

/// Returns an object with these members, whose values are JSON texts.
pub fn object<'k>(members: impl IntoIterator<Item = (&'k str, String)>) -> String {
    let members: Vec<String> = members.into_iter().map(|(key, value)| format!("{}:{value}", quote(key))).collect();
    format!("{{{}}}", members.join(","))
}

/// Replaces each half of a surrogate pair that stands alone by U+FFFD, so that a text that some program has cut within a
/// character is valid JSON. The length stays.
#[must_use]
pub fn with_whole_characters(text: &str) -> Cow<'_, str> {
    const HIGH: std::ops::RangeInclusive<u16> = 0xd800..=0xdbff;
    const LOW: std::ops::RangeInclusive<u16> = 0xdc00..=0xdfff;
    /// The code unit of an escape `\uXXXX` at the beginning of `bytes`.
    fn unit(bytes: &[u8]) -> Option<u16> {
        let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
        let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u16::from_str_radix(digits, 16).ok()
    }
    let bytes = text.as_bytes();
    let mut whole = String::new();
    let (mut at, mut copied) = (0, 0);
    while let Some(next) = text.get(at..).and_then(|rest| rest.find('\\')) {
        at += next;
        let rest = &bytes[at..];
        at += match unit(rest) {
            None => 2,
            Some(first) if HIGH.contains(&first) && unit(&rest[6..]).is_some_and(|second| LOW.contains(&second)) => 12,
            Some(first) => {
                if HIGH.contains(&first) || LOW.contains(&first) {
                    whole.push_str(&text[copied..at]);
                    whole.push_str("\\ufffd");
                    copied = at + 6;
                }
                6
            }
        };
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    whole.push_str(&text[copied..]);
    Cow::Owned(whole)
}

/// Returns `text` as a JSON string with its quotes.
#[must_use]
pub fn quote(text: &str) -> String {
    // Writing a string does not fail.
    serde_json::to_string(text).unwrap_or_default()
}

/// Reads a string.
///
/// # Errors
/// Returns what the value must be.
pub fn text(value: &RawValue) -> Result<String, String> {
    serde_json::from_str(value.get()).map_err(|_| format!("must be a string, not {}", kind(value)))
}

/// Reads a string that is not blank and has at most `max` characters.
///
/// # Errors
/// Returns what the value must be.
pub fn name(value: &RawValue, max: usize) -> Result<String, String> {
    let text = text(value)?;
    if text.trim().is_empty() {
        return Err("must not be empty".into());
    }
    if text.chars().count() > max {
        return Err(format!("must be at most {max} characters long"));
    }
    Ok(text)
}

/// Reads a [`name`] that people are shown: without hidden characters, so that it cannot look like another name in a
/// list, a log or a terminal.
///
/// # Errors
/// Returns what the value must be.
pub fn display_name(value: &RawValue, max: usize) -> Result<String, String> {
    let text = name(value, max)?;
    match invisible::find_hidden(&text) {
        Some(character) => Err(format!("must not contain the invisible character U+{:04X}", u32::from(character))),
        None => Ok(text),
    }
}

/// Reads a whole number as defined by JSON Schema's `integer`: `7`, `7.0` and `7e0` are the same number.
#[must_use]
pub fn whole_number(value: &RawValue) -> Option<u64> {
    /// Doubles represent all whole numbers up to this one.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let text = value.get();
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        (number.fract() == 0.0 && (0.0..=EXACT).contains(&number)).then_some(number as u64)
    })
}

/// Returns the type of a value for a message, with its article.
#[must_use]
pub fn kind(value: &RawValue) -> &'static str {
    kind_of(value.get())
}

fn kind_of(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Returns the members of an object in their order; `None` if `value` is not an object.
#[must_use]
pub fn members(value: &RawValue) -> Option<Vec<Member<'_>>> {
    members_of(value.get())
}

/// A member of an object: its key and its value.
pub type Member<'a> = (Cow<'a, str>, &'a RawValue);

fn members_of(text: &str) -> Option<Vec<Member<'_>>> {
    struct Object;
    impl<'de> Visitor<'de> for Object {
        type Value = Vec<Member<'de>>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some((Key(key), value)) = map.next_entry()? {
                members.push((key, value));
            }
            Ok(members)
        }
    }
    serde_json::Deserializer::from_str(text).deserialize_map(Object).ok()
}

/// The members of an object. They are taken out one by one; those left at the end are unknown.
#[derive(Debug)]
pub struct Members<'a> {
    pointer: String,
    members: Vec<Member<'a>>,
}

impl<'a> Members<'a> {
    /// [Checks](check) a body and returns the members of its object.
    ///
    /// # Errors
    /// Returns an error if the body is not a JSON object or is longer than [`MAX_BODY_BYTES`].
    pub fn parse_body(body: &'a [u8], faults: &mut Vec<Fault>) -> Result<Self, Faults> {
        if body.len() > MAX_BODY_BYTES {
            return Err(Fault::at("", format!("is larger than {MAX_BODY_BYTES} bytes")).into());
        }
        let text = utf8(body)?;
        if text.trim().is_empty() {
            return Err(Fault::at("", "is empty: send a JSON object").into());
        }
        let members = Self::parse(text, "", faults);
        members.ok_or_else(|| {
            Faults::none_or(std::mem::take(faults)).err().unwrap_or_else(|| Fault::at("", "is not an object").into())
        })
    }

    /// [Checks](check) a text and returns the members of its object.
    pub fn parse(text: &'a str, pointer: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        check(text, pointer, faults)?;
        Self::new(text.trim_start(), pointer, faults)
    }

    fn new(text: &'a str, pointer: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let Some(members) = members_of(text) else {
            faults.push(Fault::at(pointer, format!("must be an object, not {}", kind_of(text))));
            return None;
        };
        Some(Self { pointer: pointer.to_owned(), members })
    }

    /// Returns the members of `value`, which must have been [checked](check). Adds a fault at `pointer` if it is not an object.
    pub fn of(value: &'a RawValue, pointer: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        Self::new(value.get(), pointer, faults)
    }

    /// Returns the pointer of a member.
    #[must_use]
    pub fn pointer(&self, key: &str) -> String {
        format!("{}/{}", self.pointer, escape(key))
    }

    /// Removes a member and returns its value.
    pub fn take(&mut self, key: &str) -> Option<&'a RawValue> {
        let (_, value) = self.members.iter().find(|(name, _)| name == key)?;
        let value = *value;
        self.members.retain(|(name, _)| name != key);
        Some(value)
    }

    /// Removes a member and reads it. Adds a fault if it is absent.
    pub fn required<T>(
        &mut self,
        key: &str,
        faults: &mut Vec<Fault>,
        read: impl FnOnce(&'a RawValue) -> Result<T, String>,
    ) -> Option<T> {
        if self.members.iter().all(|(name, _)| name != key) {
            faults.push(Fault::at(self.pointer(key), "is required"));
            return None;
        }
        self.optional(key, faults, read)
    }

    /// Removes a member, if it is present, and reads it.
    pub fn optional<T>(
        &mut self,
        key: &str,
        faults: &mut Vec<Fault>,
        read: impl FnOnce(&'a RawValue) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.take(key)?;
        read(value).map_err(|detail| faults.push(Fault::at(self.pointer(key), detail))).ok()
    }

    /// Reads every member that is left, and adds a fault for each that cannot be read.
    pub fn each(&self, faults: &mut Vec<Fault>, read: impl Fn(&'a RawValue) -> Result<(), String>) {
        for (key, value) in &self.members {
            if let Err(detail) = read(value) {
                faults.push(Fault::at(self.pointer(key), detail));
            }
        }
    }

    /// Adds a fault for every member that is left.
    pub fn refuse_others(&mut self, faults: &mut Vec<Fault>) {
        for (key, _) in std::mem::take(&mut self.members) {
            faults.push(Fault::at(self.pointer(&key), "is not a known field here"));
        }
    }

    /// Returns whether member `key` is present and was not taken out.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.members.iter().any(|(name, _)| name == key)
    }
}

/// The state of a walk over all values of a document.
struct Walk<'f, 't> {
    /// The document's pointer.
    pointer: &'f str,
    path: Vec<Step<'t>>,
    faults: &'f mut Vec<Fault>,
    too_deep: bool,
}

/// A step from an object or an array to one of its values.
enum Step<'t> {
    Key(Cow<'t, str>),
    Index(usize),
}

impl Walk<'_, '_> {
    fn pointer(&self) -> String {
        let mut pointer = self.pointer.to_owned();
        for step in &self.path {
            pointer.push('/');
            match step {
                Step::Key(key) => pointer.push_str(&escape(key)),
                Step::Index(index) => pointer.push_str(&index.to_string()),
            }
        }
        pointer
    }

    fn check_depth<E: de::Error>(&mut self) -> Result<(), E> {
        if self.path.len() >= MAX_DEPTH {
            self.too_deep = true;
            let pointer = self.pointer();
            self.faults.push(Fault::at(pointer, format!("is nested deeper than {MAX_DEPTH} levels")));
            return Err(E::custom("nested too deep"));
        }
        Ok(())
    }
}

/// The keys of an object.
#[derive(Default)]
struct Keys<'t> {
    few: Vec<Cow<'t, str>>,
    /// All of them, if they are more than a few.
    many: HashSet<Cow<'t, str>>,
}

impl<'t> Keys<'t> {
    /// Up to so many keys, comparing takes less time than hashing.
    const FEW: usize = 16;

    /// Adds a key. Returns whether it is new.
    fn insert(&mut self, key: Cow<'t, str>) -> bool {
        if self.few.len() < Self::FEW {
            let is_new = !self.few.contains(&key);
            self.few.push(key);
            return is_new;
        }
        if self.many.is_empty() {
            self.many.extend(self.few.iter().cloned());
        }
        self.many.insert(key)
    }
}

/// A key, borrowed from the text if it has no escapes.
pub(crate) struct Key<'t>(pub(crate) Cow<'t, str>);

impl<'de: 't, 't> Deserialize<'de> for Key<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Text).map(Key)
    }
}

struct Value<'w, 'f, 't>(&'w mut Walk<'f, 't>);

impl<'de: 't, 't> DeserializeSeed<'de> for Value<'_, '_, 't> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de: 't, 't> Visitor<'de> for Value<'_, '_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.0.check_depth()?;
        for index in 0_usize.. {
            self.0.path.push(Step::Index(index));
            let item = items.next_element_seed(Value(self.0))?;
            self.0.path.pop();
            if item.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.0.check_depth()?;
        let mut seen = Keys::default();
        while let Some(Key(key)) = members.next_key()? {
            self.0.path.push(Step::Key(key.clone()));
            // Faults beyond the maximum are not reported.
            if !seen.insert(key) && self.0.faults.len() < Faults::MAX {
                let pointer = self.0.pointer();
                self.0.faults.push(Fault::at(pointer, "is given twice: readers would disagree on which one counts"));
            }
            members.next_value_seed(Value(self.0))?;
            self.0.path.pop();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(text: &str) -> String {
        let mut faults = Vec::new();
        let _ = check(text, "", &mut faults);
        Faults::none_or(faults).err().map_or_else(String::new, |faults| faults.to_string())
    }

    #[test]
    fn a_compacted_value_keeps_its_digits_and_escapes() {
        let text = "{ \"a\" : [ 1.50 , 12345678901234567890123 ] ,\n\t\"b c\":\"x\\\" \\u00e9 \\\\\" , \"d\" : 1E+2 }";
        let value: &RawValue = serde_json::from_str(text).unwrap();
        assert_eq!(compact(value), r#"{"a":[1.50,12345678901234567890123],"b c":"x\" \u00e9 \\","d":1E+2}"#);
    }

    #[test]
    fn only_halves_of_characters_are_replaced() {
        for (text, whole) in [
            (r#""Ada \ud83d""#, r#""Ada \ufffd""#),
            (r#""\uDE00 \ud83d\ud83d\ude00\ude00""#, r#""\ufffd \ufffd\ud83d\ude00\ufffd""#),
            (r#"{"\ud83d":"\ud83dx\u00e9"}"#, r#"{"\ufffd":"\ufffdx\u00e9"}"#),
            (r#""\ud83d\n\\ud83d\\\ud83d""#, r#""\ufffd\n\\ud83d\\\ufffd""#),
            (r#""\ud83d\ude00 \\ud83d ä""#, r#""\ud83d\ude00 \\ud83d ä""#),
            (r#""\ud8"#, r#""\ud8"#),
            (r#""\ud83d\ude0"#, r#""\ufffd\ude0"#),
            ("\\", "\\"),
            ("", ""),
        ] {
            assert_eq!(with_whole_characters(text), whole);
        }
    }

    #[test]
    fn only_the_given_members_are_left_out_if_they_are_null() {
        let value: &RawValue = serde_json::from_str(r#"{ "a":null, "b\n" : 1.50, "c" : null }"#).unwrap();
        assert_eq!(without_nulls(value, |key| key == "a"), r#"{"b\n":1.50,"c":null}"#);
        assert_eq!(without_nulls(value, |_| true), r#"{"b\n":1.50}"#);
        assert_eq!(without_nulls(value, |_| false), r#"{"a":null,"b\n":1.50,"c":null}"#);
    }

    #[test]
    fn a_whole_number_can_be_written_in_several_ways() {
        let read = |text: &str| whole_number(serde_json::from_str(text).unwrap());
        for (text, number) in [
            ("0", 0),
            ("7.0", 7),
            ("7e0", 7),
            ("0.7e1", 7),
            ("9007199254740992.0", 1 << 53),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(read(text), Some(number), "{text}");
        }
        for text in ["7.5", "-1", "-1.0", "1e-1", "9007199254740994.0", "1e400", "\"7\"", "null", "true", "[7]"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_duplicate_key_is_found_at_any_depth() {
        for keys in [1, Keys::FEW - 1, Keys::FEW, Keys::FEW + 1, 5 * Keys::FEW] {
            let members: Vec<String> = (0..keys).map(|key| format!(r#""k{key}":{key}"#)).collect();
            for key in 0..keys {
                let text = format!(r#"{{{},"\u006b{key}":0}}"#, members.join(","));
                assert_eq!(
                    faults_of(&text),
                    format!("/k{key} is given twice: readers would disagree on which one counts")
                );
            }
            assert_eq!(faults_of(&format!("{{{}}}", members.join(","))), "");
        }
        insta::assert_snapshot!(faults_of(r#"{"a":{"b/c":1,"x":[{"y":1,"y":2}],"b/c":2}}"#), @"/a/x/0/y is given twice: readers would disagree on which one counts; /a/b~1c is given twice: readers would disagree on which one counts");
    }

    #[test]
    fn a_text_that_is_not_json_is_a_fault() {
        for text in ["", "{", "{\"a\":1e999}", r#""\ud800""#, "[1] x", "{\"a\":01}"] {
            assert!(faults_of(text).contains("is not valid JSON"), "{text}: {}", faults_of(text));
        }
    }

    #[test]
    fn nesting_is_allowed_up_to_the_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(faults_of(&nested(MAX_DEPTH)), "");
        assert!(faults_of(&nested(MAX_DEPTH + 1)).ends_with("is nested deeper than 64 levels"));
        assert!(faults_of(&nested(100_000)).ends_with("is nested deeper than 64 levels"));
    }
}
