//! The events in delivered objects: how each [`Rendering`] writes a line, and how the line is found again in what it wrote.
//!
//! Whoever has an object can compute the hash of each line in it, whatever the rendering, and so check the chain: CloudEvents
//! have the line in `data`, byte for byte, OCSF events have it in `raw_data`, and a flat row has its members, from which
//! the line follows. What else a rendering writes, it derives from the line, so it can be compared.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Format, cloud_events, flat, ocsf};
use crate::{
    destination::{ObjectFormat, Rendering, Shape},
    json,
    log::segment::{Line, LineHash},
};

impl ObjectFormat {
    fn format(self) -> Format {
        match self {
            Self::Native => Format::Lines,
            Self::Ocsf => Format::Ocsf,
            Self::CloudEvents => Format::CloudEvents,
        }
    }
}

/// The line in an event of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The text of the line.
    pub text: String,
    pub rendering: Rendering,
}

impl Rendering {
    /// Appends an event to `out`, with a newline.
    pub fn write(self, line: &Line, out: &mut String) {
        match (self.format, self.shape) {
            (format, Shape::Native) => format.format().write(line, out),
            (ObjectFormat::Native, Shape::Flat) => flat::write(line, out),
            (ObjectFormat::CloudEvents, Shape::Flat) => write_row(self.format, &cloud_events::ATTRIBUTES, line, out),
            (ObjectFormat::Ocsf, Shape::Flat) => write_row(self.format, &ocsf::ATTRIBUTES, line, out),
        }
    }

    /// Returns the columns of a flat object, in order.
    #[must_use]
    pub fn columns(format: ObjectFormat) -> Vec<Column> {
        let hash = Column { name: "hash", kind: ColumnKind::Text };
        let row = |attributes: &[(&'static str, ColumnKind)]| {
            let columns = attributes.iter().map(|(name, kind)| Column { name, kind: *kind });
            columns.chain([hash]).collect()
        };
        match format {
            ObjectFormat::Native => flat::columns(),
            ObjectFormat::CloudEvents => row(&cloud_events::ATTRIBUTES),
            ObjectFormat::Ocsf => row(&ocsf::ATTRIBUTES),
        }
    }

    /// Returns the line in an event that a rendering other than the native one wrote. `None` if `event`, which has no
    /// newline, is no such event.
    #[must_use]
    pub fn recover(event: &str) -> Option<Recovered> {
        let recovered = |text: String, format, shape| Some(Recovered { text, rendering: Self { format, shape } });
        if event.starts_with(r#"{"specversion":"#) {
            let data = serde_json::from_str::<CloudEvent<'_>>(event).ok()?.data.get();
            if data.starts_with('{') {
                return recovered(data.to_owned(), ObjectFormat::CloudEvents, Shape::Native);
            }
            return recovered(serde_json::from_str(data).ok()?, ObjectFormat::CloudEvents, Shape::Flat);
        }
        if event.starts_with(r#"{"metadata":"#) {
            let Ocsf { metadata, raw_data } = serde_json::from_str(event).ok()?;
            let shape = if metadata.get().starts_with('{') { Shape::Native } else { Shape::Flat };
            return recovered(raw_data.into_owned(), ObjectFormat::Ocsf, shape);
        }
        recovered(flat::line_text(event)?, ObjectFormat::Native, Shape::Flat)
    }
}

/// A column of a flat object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// In lower case, because Hive and Athena know no other.
    pub name: &'static str,
    pub kind: ColumnKind,
}

/// What a column has, unless it is `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ColumnKind {
    Text,
    /// A whole number of at most 64 bits.
    Number,
    Flag,
    /// A JSON document as text.
    Json,
}

#[derive(Deserialize)]
struct CloudEvent<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Ocsf<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
    #[serde(borrow)]
    raw_data: Cow<'a, str>,
}

/// Writes an event as a row: its attributes in the order of `columns`, and the hash of its line.
fn write_row(format: ObjectFormat, columns: &[(&str, ColumnKind)], line: &Line, out: &mut String) {
    let mut event = String::new();
    format.format().write(line, &mut event);
    let members = serde_json::from_str::<&RawValue>(&event).ok().and_then(json::members).unwrap_or_default();
    // Both are in the same order.
    let mut members = members.into_iter().peekable();
    let mut separator = '{';
    for (name, kind) in columns {
        out.push(std::mem::replace(&mut separator, ','));
        out.extend(["\"", name, "\":"]);
        match members.next_if(|(member, _)| member == name) {
            None => out.push_str("null"),
            Some((_, value)) if *kind == ColumnKind::Json => out.push_str(&json::quote(value.get())),
            Some((_, value)) => out.push_str(value.get()),
        }
    }
    out.extend([",\"hash\":\"", &LineHash::of(&line.text).to_string(), "\"}\n"]);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;
    use crate::format::samples;

    const ALL: [Rendering; 6] = [
        Rendering { format: ObjectFormat::Native, shape: Shape::Native },
        Rendering { format: ObjectFormat::Native, shape: Shape::Flat },
        Rendering { format: ObjectFormat::Ocsf, shape: Shape::Native },
        Rendering { format: ObjectFormat::Ocsf, shape: Shape::Flat },
        Rendering { format: ObjectFormat::CloudEvents, shape: Shape::Native },
        Rendering { format: ObjectFormat::CloudEvents, shape: Shape::Flat },
    ];

    fn written(rendering: Rendering, line: &Line) -> String {
        let mut out = String::new();
        rendering.write(line, &mut out);
        let event = out.strip_suffix('\n').unwrap();
        assert!(!event.contains('\n'));
        event.to_owned()
    }

    #[test]
    fn the_native_rendering_is_the_line() {
        for line in samples::all() {
            assert_eq!(written(Rendering::default(), &line), line.text);
            assert_eq!(Rendering::recover(&line.text), None);
        }
    }

    #[test]
    fn the_line_is_found_again_in_every_rendering() {
        for line in samples::all() {
            for rendering in ALL.into_iter().filter(|rendering| !rendering.is_native()) {
                let recovered = Rendering::recover(&written(rendering, &line));
                assert_eq!(recovered, Some(Recovered { text: line.text.clone(), rendering }));
            }
        }
        for event in ["", "{}", r#"{"specversion":1}"#, r#"{"metadata":{}}"#, r#"{"sequence":7,"event_id":"x"}"#] {
            assert_eq!(Rendering::recover(event), None, "{event}");
        }
    }

    #[test]
    fn a_flat_row_has_always_the_same_columns_each_of_one_type() {
        for line in samples::all() {
            for rendering in ALL.into_iter().filter(|rendering| rendering.shape == Shape::Flat) {
                let columns = Rendering::columns(rendering.format);
                let row = written(rendering, &line);
                let members = json::members(serde_json::from_str(&row).unwrap()).unwrap();
                assert!(members.iter().map(|(name, _)| &**name).eq(columns.iter().map(|column| column.name)));
                for ((name, value), Column { kind, .. }) in members.iter().zip(&columns) {
                    let value: Value = serde_json::from_str(value.get()).unwrap();
                    let fits = match kind {
                        ColumnKind::Text => value.is_string(),
                        ColumnKind::Number => value.is_u64(),
                        ColumnKind::Flag => value.is_boolean(),
                        ColumnKind::Json => {
                            value.as_str().is_some_and(|json| serde_json::from_str::<&RawValue>(json).is_ok())
                        }
                    };
                    assert!(fits || value.is_null(), "{name} is {value}");
                }
                // Nothing that the rendering writes is left out.
                let nested = written(Rendering { shape: Shape::Native, ..rendering }, &line);
                let nested = json::members(serde_json::from_str(&nested).unwrap()).unwrap();
                if rendering.format != ObjectFormat::Native {
                    assert!(nested.iter().all(|(name, _)| columns.iter().any(|column| column.name == name)));
                    let filled = members.iter().filter(|(_, value)| !json::is_null(value)).count();
                    assert_eq!(filled, nested.len() + 1);
                }
            }
        }
    }

    #[test]
    fn the_names_of_columns_are_read_by_every_tool() {
        for format in ObjectFormat::ALL {
            let columns = Rendering::columns(*format);
            let names: HashSet<String> = columns.iter().map(|column| column.name.to_lowercase()).collect();
            assert_eq!(names.len(), columns.len());
            for Column { name, .. } in columns {
                let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
                assert!(name.bytes().all(fits) && name.as_bytes()[0].is_ascii_lowercase(), "{name}");
            }
        }
    }
}
