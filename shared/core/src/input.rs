//! Inputs: what callers send, each described once.
//!
//! The description of an input is a function over [`Fields`] that lists every member with its documentation and its
//! [`Kind`]. A [`Reader`] runs it over a body, and collects the value and all faults. A [`Describer`] runs it without a
//! body, and collects the JSON schema. So the parser and the schema cannot differ.
//!
//! Architecture invariant: a reader uses neither documentation nor schemas, so functions do not link them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    fault::{Fault, Faults},
    invisible,
    json::{self, Members},
    time::Timestamp,
};

/// The JSON object in a request's body.
pub trait Input {
    /// The name of its schema.
    const NAME: &'static str;
    const DESCRIPTION: &'static str;

    fn describe(describer: &mut Describer);
}

/// The members of an object, each of which is read or described.
pub trait Fields: Sized {
    /// Reads or describes a required member.
    fn required<K: Kind>(&mut self, name: &'static str, description: &'static str, kind: K) -> Option<K::Value>;

    /// Reads or describes an optional member.
    fn optional<K: Kind>(&mut self, name: &'static str, description: &'static str, kind: K) -> Option<K::Value>;

    /// Reads or describes a member that is an object and has only the members that `read` reads.
    fn object<T>(&mut self, member: ObjectMember, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T>;

    /// Reads or describes a member that is an object and may have more members than `read` reads. Also returns its
    /// text. `null` is the same as absent.
    fn open_object<T>(
        &mut self,
        member: ObjectMember,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<(T, String)>;

    /// Reads or describes a member that is an object of strings, numbers and booleans. Returns its text, with the digits as
    /// they were sent. `null` is the same as absent, as the whole and as a value.
    fn scalar_map(&mut self, name: &'static str, description: &'static str) -> Option<String>;
}

/// A member that is an object.
#[derive(Debug, Clone, Copy)]
pub struct ObjectMember {
    pub name: &'static str,
    pub description: &'static str,
    pub presence: Presence,
    pub schema: Schema,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Required,
    Optional,
}

/// The name and the description of the schema of an object.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    pub name: &'static str,
    pub description: &'static str,
}

/// A set of values: how they are read, and the JSON schema of what is accepted.
pub trait Kind {
    type Value;

    /// # Errors
    /// Returns what is wrong and what would be right, as the rest of a sentence that begins with the place.
    fn read(&self, value: &RawValue) -> Result<Self::Value, String>;

    fn schema(&self) -> Value;
}

/// Reads `body`, which must be a JSON object.
///
/// # Errors
/// Returns every fault with its place.
pub fn read<'a, T>(body: &'a [u8], read: impl FnOnce(&mut Reader<'a>) -> Option<T>) -> Result<T, Faults> {
    let mut reader = Reader::of_body(body)?;
    let value = read(&mut reader);
    reader.finish(value)
}

/// Reads the members of one object.
#[derive(Debug)]
pub struct Reader<'a> {
    members: Members<'a>,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    fn of_body(body: &'a [u8]) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        Ok(Self { members: Members::parse_body(body, &mut faults)?, faults })
    }

    /// Reads `members`, which may already have these faults.
    #[must_use]
    pub fn new(members: Members<'a>, faults: Vec<Fault>) -> Self {
        Self { members, faults }
    }

    /// Returns whether one of these members is present and was not read yet.
    #[must_use]
    pub fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.members.contains(name))
    }

    /// Adds a fault at the member `name`, or, if that is empty, of the whole object.
    pub fn fault(&mut self, name: &str, detail: impl Into<String>) {
        let pointer = if name.is_empty() { String::new() } else { self.members.pointer(name) };
        self.faults.push(Fault::at(pointer, detail));
    }

    /// Adds a fault for each member that was not read.
    pub fn refuse_others(&mut self) {
        self.members.refuse_others(&mut self.faults);
    }

    #[must_use]
    pub fn into_faults(mut self) -> Vec<Fault> {
        self.refuse_others();
        self.faults
    }

    fn finish<T>(self, value: Option<T>) -> Result<T, Faults> {
        Faults::none_or(self.into_faults())?;
        value.ok_or_else(|| Fault::at("", "is incomplete").into())
    }

    fn nested<T>(
        &mut self,
        member: ObjectMember,
        read: impl FnOnce(&mut Self) -> Option<T>,
        may_have_others: bool,
    ) -> Option<(T, &'a RawValue)> {
        let value = self.members.take(member.name).filter(|value| !(may_have_others && json::is_null(value)));
        let Some(value) = value else {
            if member.presence == Presence::Required {
                self.fault(member.name, "is required");
            }
            return None;
        };
        let count = self.faults.len();
        let inner = Members::of(value, &self.members.pointer(member.name), &mut self.faults)?;
        let outer = std::mem::replace(&mut self.members, inner);
        let read = read(self);
        if !may_have_others {
            self.refuse_others();
        }
        self.members = outer;
        read.filter(|_| self.faults.len() == count).map(|read| (read, value))
    }
}

impl Fields for Reader<'_> {
    fn required<K: Kind>(&mut self, name: &'static str, _: &'static str, kind: K) -> Option<K::Value> {
        self.members.required(name, &mut self.faults, |value| kind.read(value))
    }

    fn optional<K: Kind>(&mut self, name: &'static str, _: &'static str, kind: K) -> Option<K::Value> {
        self.members.optional(name, &mut self.faults, |value| kind.read(value))
    }

    fn object<T>(&mut self, member: ObjectMember, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.nested(member, read, false).map(|(read, _)| read)
    }

    fn open_object<T>(
        &mut self,
        member: ObjectMember,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<(T, String)> {
        self.nested(member, read, true).map(|(read, value)| (read, json::compact(value)))
    }

    fn scalar_map(&mut self, name: &'static str, _: &'static str) -> Option<String> {
        let value = self.members.take(name).filter(|value| !json::is_null(value))?;
        let scalars = Members::of(value, &self.members.pointer(name), &mut self.faults)?;
        scalars.each(&mut self.faults, |value| match value.get().as_bytes().first() {
            Some(b'{' | b'[') => {
                Err(format!("must be a string, a number or a boolean, not {}: put it into payload", json::kind(value)))
            }
            _ => Ok(()),
        });
        Some(json::without_nulls(value, |_| true))
    }
}

/// Collects the schema of one object, and the schemas that it refers to.
#[derive(Debug, Default)]
pub struct Describer {
    properties: Map<String, Value>,
    required: Vec<&'static str>,
    alternatives: Vec<Value>,
    definitions: BTreeMap<&'static str, Value>,
}

impl Describer {
    /// Returns the schema of `I`, and the schemas that it refers to, by their names. References begin with
    /// `#/components/schemas/`.
    #[must_use]
    pub fn describe<I: Input>() -> (Value, BTreeMap<&'static str, Value>) {
        let mut describer = Self::default();
        I::describe(&mut describer);
        describer.finish(I::DESCRIPTION, false)
    }

    /// Adds an alternative: the object is one of those that were added.
    pub fn alternative<I: Input>(&mut self) {
        let (schema, definitions) = Self::describe::<I>();
        self.definitions.extend(definitions);
        let reference = self.define(I::NAME, schema);
        self.alternatives.push(reference);
    }

    fn define(&mut self, name: &'static str, schema: Value) -> Value {
        self.definitions.insert(name, schema);
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    fn property(&mut self, name: &'static str, description: &'static str, presence: Presence, mut schema: Value) {
        schema["description"] = description.into();
        self.properties.insert(name.to_owned(), schema);
        if presence == Presence::Required {
            self.required.push(name);
        }
    }

    fn nested<T>(&mut self, member: ObjectMember, read: impl FnOnce(&mut Self) -> Option<T>, may_have_others: bool) {
        let mut inner = Self::default();
        read(&mut inner);
        let (schema, definitions) = inner.finish(member.schema.description, may_have_others);
        self.definitions.extend(definitions);
        let mut schema = self.define(member.schema.name, schema);
        if may_have_others && member.presence == Presence::Optional {
            schema = json!({"oneOf": [schema, {"type": "null"}]});
        }
        self.property(member.name, member.description, member.presence, schema);
    }

    fn finish(self, description: &str, may_have_others: bool) -> (Value, BTreeMap<&'static str, Value>) {
        if !self.alternatives.is_empty() {
            return (json!({"description": description, "anyOf": self.alternatives}), self.definitions);
        }
        let mut schema = json!({"description": description, "type": "object", "properties": self.properties});
        if !self.required.is_empty() {
            schema["required"] = self.required.into();
        }
        if !may_have_others {
            schema["additionalProperties"] = false.into();
        }
        (schema, self.definitions)
    }
}

impl Fields for Describer {
    fn required<K: Kind>(&mut self, name: &'static str, description: &'static str, kind: K) -> Option<K::Value> {
        self.property(name, description, Presence::Required, kind.schema());
        None
    }

    fn optional<K: Kind>(&mut self, name: &'static str, description: &'static str, kind: K) -> Option<K::Value> {
        self.property(name, description, Presence::Optional, kind.schema());
        None
    }

    fn object<T>(&mut self, member: ObjectMember, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.nested(member, read, false);
        None
    }

    fn open_object<T>(
        &mut self,
        member: ObjectMember,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<(T, String)> {
        self.nested(member, read, true);
        None
    }

    fn scalar_map(&mut self, name: &'static str, description: &'static str) -> Option<String> {
        let or_null = |schema: Value| json!({"oneOf": [schema, {"type": "null"}]});
        let scalar = or_null(json!({"type": ["string", "number", "boolean"]}));
        let schema = or_null(json!({"type": "object", "additionalProperties": scalar}));
        self.property(name, description, Presence::Optional, schema);
        None
    }
}

/// Any string.
#[derive(Debug, Clone, Copy)]
pub struct Text;

impl Kind for Text {
    type Value = String;

    fn read(&self, value: &RawValue) -> Result<String, String> {
        json::text(value)
    }

    fn schema(&self) -> Value {
        json!({"type": "string"})
    }
}

/// A string that is not blank.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    pub max_chars: usize,
}

impl Kind for Name {
    type Value = String;

    fn read(&self, value: &RawValue) -> Result<String, String> {
        json::name(value, self.max_chars)
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "minLength": 1, "maxLength": self.max_chars, "pattern": r"\S"})
    }
}

/// A string that is not blank, without characters that people cannot see.
#[derive(Debug, Clone, Copy)]
pub struct DisplayName {
    pub max_chars: usize,
}

impl Kind for DisplayName {
    type Value = String;

    fn read(&self, value: &RawValue) -> Result<String, String> {
        json::display_name(value, self.max_chars)
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "minLength": 1, "maxLength": self.max_chars, "pattern": invisible::visible_text_pattern()})
    }
}

/// A string in a format that a type parses, with a pattern of that format.
#[derive(Debug)]
pub struct Format<T> {
    pub pattern: &'static str,
    pub parse: fn(&str) -> Result<T, &'static str>,
}

impl<T> Kind for Format<T> {
    type Value = T;

    fn read(&self, value: &RawValue) -> Result<T, String> {
        Ok((self.parse)(&json::text(value)?)?)
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": self.pattern})
    }
}

/// A string that is one of many names. Errors do not list them.
#[derive(Debug)]
pub struct Listed<T> {
    pub names: fn() -> Vec<&'static str>,
    pub parse: fn(&str) -> Result<T, &'static str>,
}

impl<T> Kind for Listed<T> {
    type Value = T;

    fn read(&self, value: &RawValue) -> Result<T, String> {
        Ok((self.parse)(&json::text(value)?)?)
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "enum": (self.names)()})
    }
}

/// One of several values, each with the name that stands for it.
#[derive(Debug)]
pub struct Choice<T: 'static> {
    pub values: &'static [T],
    pub name: fn(T) -> &'static str,
}

impl<T: Copy> Choice<T> {
    fn names(&self) -> Vec<&'static str> {
        self.values.iter().map(|value| (self.name)(*value)).collect()
    }
}

impl<T: Copy> Kind for Choice<T> {
    type Value = T;

    fn read(&self, value: &RawValue) -> Result<T, String> {
        let text = json::text(value)?;
        let found = self.values.iter().copied().find(|value| (self.name)(*value) == text);
        found.ok_or_else(|| match self.names().as_slice() {
            [one, other] => format!("must be {one} or {other}"),
            names => format!("must be one of {}", names.join(", ")),
        })
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "enum": self.names()})
    }
}

/// A list of one or more of several values, each with the name that stands for it. Repetitions count once.
#[derive(Debug)]
pub struct Several<T: 'static> {
    pub values: &'static [T],
    pub name: fn(T) -> &'static str,
}

impl<T: Copy> Several<T> {
    fn names(&self) -> Vec<&'static str> {
        self.values.iter().map(|value| (self.name)(*value)).collect()
    }
}

impl<T: Copy> Kind for Several<T> {
    /// In the order of [`Several::values`].
    type Value = Vec<T>;

    fn read(&self, value: &RawValue) -> Result<Vec<T>, String> {
        let names = self.names();
        let given: Option<Vec<String>> = serde_json::from_str(value.get()).ok();
        let given = given.filter(|given| !given.is_empty() && given.iter().all(|name| names.contains(&name.as_str())));
        let Some(given) = given else {
            return Err(format!("must be a list of one or more of {}", names.join(", ")));
        };
        let is_given = |value: &T| given.iter().any(|name| name == (self.name)(*value));
        Ok(self.values.iter().copied().filter(is_given).collect())
    }

    fn schema(&self) -> Value {
        json!({"type": "array", "items": {"type": "string", "enum": self.names()}, "minItems": 1})
    }
}

/// A time in RFC 3339 with any offset, between the years 1970 and 9999.
#[derive(Debug, Clone, Copy)]
pub struct Time;

impl Kind for Time {
    type Value = Timestamp;

    fn read(&self, value: &RawValue) -> Result<Timestamp, String> {
        Timestamp::parse(&json::text(value)?).map_err(|error| error.to_string())
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "format": "date-time", "pattern": r"^(19[7-9]\d|[2-9]\d{3})-"})
    }
}

/// A time after `now`.
#[derive(Debug, Clone, Copy)]
pub struct Future {
    pub now: Timestamp,
}

impl Kind for Future {
    type Value = Timestamp;

    fn read(&self, value: &RawValue) -> Result<Timestamp, String> {
        let time = Time.read(value)?;
        if time > self.now { Ok(time) } else { Err("must be in the future".into()) }
    }

    fn schema(&self) -> Value {
        Time.schema()
    }
}

/// A whole number, however it is written: `7`, `7.0` or `7e0`.
#[derive(Debug, Clone, Copy)]
pub struct WholeNumber {
    /// What the number is, such as "a whole number of days".
    pub what: &'static str,
    pub min: u64,
    pub max: u64,
}

impl Kind for WholeNumber {
    type Value = u64;

    fn read(&self, value: &RawValue) -> Result<u64, String> {
        let number = json::whole_number(value).filter(|number| (self.min..=self.max).contains(number));
        number.ok_or_else(|| format!("must be {} from {} to {}", self.what, self.min, self.max))
    }

    fn schema(&self) -> Value {
        let mut schema = json!({"type": "integer", "minimum": self.min, "maximum": self.max});
        // Without this format, generated clients use 32 bits.
        if self.max > i32::MAX as u64 {
            schema["format"] = "int64".into();
        }
        schema
    }
}

/// `null`, or a value of another kind.
#[derive(Debug, Clone, Copy)]
pub struct OrNull<K>(pub K);

impl<K: Kind> Kind for OrNull<K> {
    type Value = Option<K::Value>;

    fn read(&self, value: &RawValue) -> Result<Option<K::Value>, String> {
        if json::is_null(value) { Ok(None) } else { self.0.read(value).map(Some) }
    }

    fn schema(&self) -> Value {
        json!({"oneOf": [self.0.schema(), {"type": "null"}]})
    }
}

/// Any object. Its value is its text.
#[derive(Debug, Clone, Copy)]
pub struct AnyObject;

impl Kind for AnyObject {
    type Value = String;

    fn read(&self, value: &RawValue) -> Result<String, String> {
        if value.get().starts_with('{') {
            Ok(json::compact(value))
        } else {
            Err(format!("must be an object, not {}", json::kind(value)))
        }
    }

    fn schema(&self) -> Value {
        json!({"type": "object"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Pet {
        name: String,
        legs: Option<u64>,
        owner: Option<String>,
    }

    impl Pet {
        fn fields<F: Fields>(fields: &mut F) -> Option<Self> {
            let name = fields.required("name", "What people call it.", Name { max_chars: 5 });
            let legs = WholeNumber { what: "a whole number", min: 0, max: 8 };
            let legs = fields.optional("legs", "How many legs it has.", legs);
            let owner = fields.object(
                ObjectMember {
                    name: "owner",
                    description: "Who feeds it.",
                    presence: Presence::Optional,
                    schema: Schema { name: "Owner", description: "A person." },
                },
                |owner| owner.required("name", "The person's name.", Text),
            );
            Some(Self { name: name?, legs, owner })
        }
    }

    impl Input for Pet {
        const NAME: &'static str = "Pet";
        const DESCRIPTION: &'static str = "A pet.";

        fn describe(describer: &mut Describer) {
            Self::fields(describer);
        }
    }

    #[test]
    fn a_description_reads_a_body() {
        let parse = |body: &str| read(body.as_bytes(), Pet::fields);
        let rex = Pet { name: "Rex".into(), legs: Some(4), owner: Some("Ada".into()) };
        assert_eq!(parse(r#"{"name":"Rex","legs":4.0,"owner":{"name":"Ada"}}"#), Ok(rex));
        assert_eq!(parse(r#"{"name":"Rex"}"#), Ok(Pet { name: "Rex".into(), legs: None, owner: None }));
        insta::assert_snapshot!(
            parse(r#"{"legs":9,"owner":{"name":7,"age":9},"colour":"red"}"#).unwrap_err().to_string().replace("; ", "\n"),
            @r"
        /name is required
        /legs must be a whole number from 0 to 8
        /owner/name must be a string, not a number
        /owner/age is not a known field here
        /colour is not a known field here
        "
        );
    }

    #[test]
    fn the_same_description_makes_the_schema() {
        let (schema, definitions) = Describer::describe::<Pet>();
        assert_eq!(
            schema,
            json!({
                "description": "A pet.",
                "type": "object",
                "properties": {
                    "name": {
                        "description": "What people call it.",
                        "type": "string",
                        "minLength": 1,
                        "maxLength": 5,
                        "pattern": r"\S",
                    },
                    "legs": {"description": "How many legs it has.", "type": "integer", "minimum": 0, "maximum": 8},
                    "owner": {"description": "Who feeds it.", "$ref": "#/components/schemas/Owner"},
                },
                "required": ["name"],
                "additionalProperties": false,
            })
        );
        assert_eq!(
            Value::from_iter(definitions),
            json!({"Owner": {
                "description": "A person.",
                "type": "object",
                "properties": {"name": {"description": "The person's name.", "type": "string"}},
                "required": ["name"],
                "additionalProperties": false,
            }})
        );
    }
}
