//! Export formats. Owns media types, content negotiation, and how a [`Line`] is written in each format. It does not know
//! pages, nor HTTP except the values of `Accept` and `Content-Type`.
//!
//! | format | media type | one event |
//! |---|---|---|
//! | [`Format::Lines`] | `application/x-ndjson` | its line, byte for byte as delivered to a bucket |
//! | [`Format::CloudEvents`] | `application/x-ndjson; profile=cloudevents` | a CloudEvent in structured mode, one per line |
//! | [`Format::Ocsf`] | `application/x-ndjson; profile=ocsf` | an event of the Open Cybersecurity Schema Framework, one per line |
//! | [`Format::OcsfSlim`] | `application/x-ndjson; profile=ocsf-slim` | the same without its line and without published names |
//! | [`Format::Csv`] | `text/csv; charset=utf-8; header=present` | a record, after a header |
//!
//! There is no registered media type for newline-separated CloudEvents or OCSF events. `application/cloudevents+json` is
//! one event and `application/cloudevents-batch+json` an array (CloudEvents 1.0.2, JSON format, sections 3 and 4), and
//! receivers treat every type that begins with `application/cloudevents` as one of these (HTTP protocol binding, section
//! 3). So both formats are NDJSON with a parameter `profile` (RFC 6906), and in the media types of one event or of an array
//! they are just that: see [`Representation`].
//!
//! Architecture invariant: rendering is a pure function of the line, so an event always has the same bytes, and it never
//! fails, so one event cannot make a page fail.

mod accept;
mod cloud_events;
mod csv;
mod flat;
mod object;
mod ocsf;
#[cfg(test)]
mod samples;

pub use self::object::{Column, ColumnKind, Recovered};
use crate::log::segment::Line;

/// A format of exported events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The lines as delivered.
    Lines,
    /// CloudEvents 1.0 in NDJSON.
    CloudEvents,
    /// OCSF events in NDJSON, of version [`Format::OCSF_VERSION`].
    Ocsf,
    /// OCSF events without the line and without names that the schema publishes: about as large as the lines.
    OcsfSlim,
    /// Comma-separated values (RFC 4180) that are safe to open in a spreadsheet.
    Csv,
}

impl Format {
    pub const ALL: [Self; 5] = [Self::Lines, Self::CloudEvents, Self::Ocsf, Self::OcsfSlim, Self::Csv];

    pub const CLOUD_EVENTS_VERSION: &'static str = cloud_events::VERSION;

    pub const OCSF_VERSION: &'static str = ocsf::VERSION;

    /// Returns the media type for `Content-Type`.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::CloudEvents => "application/x-ndjson; profile=cloudevents",
            Self::Ocsf => "application/x-ndjson; profile=ocsf",
            Self::OcsfSlim => "application/x-ndjson; profile=ocsf-slim",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// Returns the text before the first event.
    #[must_use]
    pub fn preamble(self) -> String {
        match self {
            Self::Lines | Self::CloudEvents | Self::Ocsf | Self::OcsfSlim => String::new(),
            Self::Csv => csv::header(),
        }
    }

    /// Appends an event to `out`, with the end of its line. It contains no other end of line, except quoted ones in CSV.
    pub fn write(self, line: &Line, out: &mut String) {
        match self {
            Self::Lines => {
                out.push_str(&line.text);
                out.push('\n');
            }
            Self::CloudEvents => cloud_events::write(line, out),
            Self::Ocsf => ocsf::write(line, ocsf::Profile::Full, out),
            Self::OcsfSlim => ocsf::write(line, ocsf::Profile::Slim, out),
            Self::Csv => csv::write(line, out),
        }
    }

    /// Returns a document: the preamble and all events.
    #[must_use]
    pub fn document<'a>(self, lines: impl IntoIterator<Item = &'a Line>) -> String {
        let mut out = self.preamble();
        for line in lines {
            self.write(line, &mut out);
        }
        out
    }
}

/// How events of a format are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    /// One after the other, as [`Format::document`] does.
    Stream,
    /// After a byte order mark, without which Excel does not take CSV for UTF-8.
    Marked,
    /// A JSON object if there is one event, else a JSON array.
    Single,
    /// A JSON array.
    Batch,
}

/// A format as a caller accepts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Representation {
    pub format: Format,
    form: Form,
}

/// The caller accepts nothing that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no accepted media type is offered")]
pub struct NotAcceptable;

impl Representation {
    /// All media types that [`Representation::negotiate`] knows, with their parameters.
    pub const OFFERED: [&str; 11] = [
        "application/hal+json",
        "application/x-ndjson",
        "application/x-ndjson;profile=cloudevents",
        "application/x-ndjson;profile=ocsf",
        "application/x-ndjson;profile=ocsf-slim",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "application/ocsf+json",
        "application/ocsf-batch+json",
        "text/csv",
        "text/csv;bom=present",
    ];
    pub const MARK: &str = "\u{feff}";

    /// Returns the representation that an `Accept` header prefers. Returns `None` if it prefers the page or the event as
    /// `application/hal+json`, or has no preference.
    ///
    /// The highest `q` wins. If several have the same `q`, a full name wins over `text/*`, and `text/*` wins over
    /// `*/*`. Otherwise the first one wins. Names and parameters are compared in lower case. Parameters other than
    /// `profile`, `bom` and `q` are ignored; NDJSON with an unknown `profile` is not offered.
    ///
    /// # Errors
    /// Returns an error if the header accepts only what is not offered.
    pub fn negotiate(accept: &str) -> Result<Option<Self>, NotAcceptable> {
        accept::negotiate(accept)
    }

    /// Returns the media type of several events.
    #[must_use]
    pub fn media_type_of_page(self) -> &'static str {
        match (self.form, self.format) {
            (Form::Single | Form::Batch, Format::CloudEvents) => "application/cloudevents-batch+json",
            (Form::Single | Form::Batch, Format::Ocsf) => "application/ocsf-batch+json",
            (_, format) => format.media_type(),
        }
    }

    /// Returns the media type of one event.
    #[must_use]
    pub fn media_type_of_event(self) -> &'static str {
        match (self.form, self.format) {
            (Form::Single, Format::CloudEvents) => "application/cloudevents+json",
            (Form::Single, Format::Ocsf) => "application/ocsf+json",
            _ => self.media_type_of_page(),
        }
    }

    /// Returns several events, each of which [`Format::write`] has written.
    #[must_use]
    pub fn page(self, written: &[String]) -> String {
        match self.form {
            Form::Stream => self.format.preamble() + &written.concat(),
            Form::Marked => Self::MARK.to_owned() + &self.format.preamble() + &written.concat(),
            Form::Single | Form::Batch => {
                let items: Vec<&str> = written.iter().map(|item| item.trim_end_matches('\n')).collect();
                format!("[{}]", items.join(",\n"))
            }
        }
    }

    /// Returns one event.
    #[must_use]
    pub fn event(self, line: &Line) -> String {
        let mut written = String::new();
        self.format.write(line, &mut written);
        if self.form == Form::Single { written } else { self.page(&[written]) }
    }
}

#[cfg(test)]
mod tests {
    use super::{samples, *};
    use crate::log::segment::LineHash;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn lines_are_the_bytes_that_are_delivered() {
        let lines = samples::lines(&[samples::RICH, samples::MINIMAL]);
        let delivered: String = lines.iter().map(|line| format!("{}\n", line.text)).collect();
        assert_eq!(Format::Lines.document(&lines), delivered);
    }

    #[test]
    fn an_accept_header_with_a_formats_media_type_selects_it() {
        for format in Format::ALL {
            let negotiated = Representation::negotiate(format.media_type()).unwrap().unwrap();
            assert_eq!((negotiated.format, negotiated.media_type_of_page()), (format, format.media_type()));
        }
        for offered in Representation::OFFERED {
            assert!(Representation::negotiate(offered).is_ok(), "{offered}");
        }
    }

    #[test]
    fn one_event_is_an_object_and_a_batch_is_an_array() {
        let lines = samples::lines(&[samples::RICH, samples::MINIMAL]);
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        for (accept, format) in [
            ("application/cloudevents+json", Format::CloudEvents),
            ("application/cloudevents-batch+json", Format::CloudEvents),
            ("application/ocsf+json", Format::Ocsf),
            ("application/ocsf-batch+json", Format::Ocsf),
        ] {
            let representation = Representation::negotiate(accept).unwrap().unwrap();
            let each: Vec<String> = lines.iter().map(|line| format.document([line])).collect();
            let expected: Vec<Value> = each.iter().map(|event| json(event)).collect();
            assert_eq!(json(&representation.page(&each)), Value::from(expected.clone()), "{accept}");
            assert_eq!(representation.page(&[]), "[]");
            let one = json(&representation.event(&lines[0]));
            let expected = if accept.contains("batch") { json!([expected[0]]) } else { expected[0].clone() };
            assert_eq!(one, expected, "{accept}");
        }
    }

    #[test]
    fn csv_has_a_byte_order_mark_if_asked_for() {
        let lines = samples::lines(&[samples::MINIMAL]);
        let plain = Format::Csv.document(&lines);
        let marked = Representation::negotiate("text/csv;bom=present").unwrap().unwrap();
        assert_eq!(marked.event(&lines[0]), format!("\u{feff}{plain}"));
        assert_eq!(Representation::negotiate("text/csv").unwrap().unwrap().event(&lines[0]), plain);
    }

    #[test]
    fn a_line_that_is_not_an_event_is_rendered_too() {
        let [sample] = samples::lines(&[samples::MINIMAL]).try_into().unwrap();
        for text in ["", "{}", "null", "[1]", "no JSON", r#"{"action":7,"entity":"x","context":[]}"#] {
            let line = Line { text: text.into(), ..sample.clone() };
            for format in [Format::CloudEvents, Format::Ocsf, Format::OcsfSlim] {
                let rendered = format.document([&line]);
                assert!(serde_json::from_str::<Value>(&rendered).is_ok(), "{text}: {rendered}");
            }
            assert_eq!(samples::records(&Format::Csv.document([&line])).len(), 2, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn every_accepted_event_has_the_same_values_in_every_format(events in samples::events()) {
            let texts: Vec<_> = events.iter().map(Value::to_string).collect();
            let lines = samples::lines(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            for format in [Format::CloudEvents, Format::Ocsf, Format::OcsfSlim] {
                let document = format.document(&lines);
                prop_assert_eq!(document.matches('\n').count(), lines.len());
                for (line, rendered) in lines.iter().zip(document.lines()) {
                    let rendered: Value = serde_json::from_str(rendered).unwrap();
                    let original: Value = serde_json::from_str(&line.text).unwrap();
                    if format == Format::CloudEvents {
                        prop_assert_eq!(&rendered["data"], &original);
                        prop_assert_eq!(&rendered["id"], &original["eventId"]);
                    } else {
                        if format == Format::Ocsf {
                            prop_assert_eq!(&rendered["raw_data"], &line.text);
                            prop_assert_eq!(&rendered["raw_data_size"], line.text.len());
                        }
                        prop_assert_eq!(&rendered["raw_data_hash"]["value"], &LineHash::of(&line.text).to_string());
                        prop_assert_eq!(&rendered["actor"]["user"]["uid"], &original["principal"]["id"]);
                        prop_assert_eq!(&rendered["metadata"]["uid"], &original["eventId"]);
                    }
                }
            }
            let records = samples::records(&Format::Csv.document(&lines));
            prop_assert_eq!(records.len(), lines.len() + 1);
            for (line, record) in lines.iter().zip(&records[1..]) {
                let original: Value = serde_json::from_str(&line.text).unwrap();
                prop_assert_eq!(record.len(), records[0].len());
                for (column, cell) in records[0].iter().zip(record) {
                    prop_assert_eq!(samples::value_of(column, cell), samples::expected(column, &original, line), "{}", column);
                }
            }
        }
    }
}
