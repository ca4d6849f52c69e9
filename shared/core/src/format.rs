//! Formats: how events leave the system other than as PactFlow's pages. Owns media types, what an `Accept` header asks
//! for, and how one [`Line`] is written in each format. It knows no HTTP beyond those two headers' values, and no pages.
//!
//! | format | media type | one event |
//! |---|---|---|
//! | [`Format::Lines`] | `application/x-ndjson` | its line, the bytes that are delivered to a bucket |
//! | [`Format::CloudEvents`] | `application/x-ndjson; profile=cloudevents` | a CloudEvent in structured mode, one a line |
//! | [`Format::Ocsf`] | `application/x-ndjson; profile=ocsf` | an event of the Open Cybersecurity Schema Framework, one a line |
//! | [`Format::Csv`] | `text/csv; charset=utf-8; header=present` | one record, below a header |
//!
//! Nobody has registered a media type for CloudEvents or OCSF events on lines. `application/cloudevents+json` is one
//! event and `application/cloudevents-batch+json` an array (CloudEvents 1.0.2, JSON format, sections 3 and 4), and
//! a receiver takes whatever begins with `application/cloudevents` for one of its own (HTTP protocol binding, section
//! 3): both formats are NDJSON, and a parameter says of what, as RFC 6906 has it for profiles.
//!
//! Architecture invariant: rendering is a pure function of the line, so the same event is the same bytes for ever; and
//! it never fails, so that a page cannot be lost to one event.

mod accept;
mod cloud_events;
mod csv;
mod fields;
mod ocsf;
#[cfg(test)]
mod samples;

use crate::log::segment::Line;

/// A format of exported events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The lines as they are delivered.
    Lines,
    /// CloudEvents 1.0 in NDJSON.
    CloudEvents,
    /// OCSF events in NDJSON, of version [`Format::OCSF_VERSION`].
    Ocsf,
    /// Comma-separated values (RFC 4180) that a spreadsheet can be trusted with.
    Csv,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Lines, Self::CloudEvents, Self::Ocsf, Self::Csv];

    /// The version of the CloudEvents specification.
    pub const CLOUD_EVENTS_VERSION: &'static str = cloud_events::VERSION;

    /// The version of the OCSF schema.
    pub const OCSF_VERSION: &'static str = ocsf::VERSION;

    /// Its media type, as the value of `Content-Type`.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::CloudEvents => "application/x-ndjson; profile=cloudevents",
            Self::Ocsf => "application/x-ndjson; profile=ocsf",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// The format that an `Accept` header asks for; `None` where it prefers the page (`application/hal+json`), does not
    /// say, or names nothing that there is (RFC 9110, section 12.5.1, lets a server disregard such a header).
    ///
    /// The highest `q` wins; among equals what is named in full wins over `text/*` and `*/*`, and then what is named
    /// first. Names and parameters are compared in lower case, and a parameter other than `profile` and `q` is passed
    /// over; a `profile` that is none is not taken for the plain lines.
    #[must_use]
    pub fn negotiate(accept: &str) -> Option<Self> {
        accept::negotiate(accept)
    }

    /// What comes before the first event.
    #[must_use]
    pub fn preamble(self) -> String {
        match self {
            Self::Lines | Self::CloudEvents | Self::Ocsf => String::new(),
            Self::Csv => csv::header(),
        }
    }

    /// Appends the event of `line` to `out`, the end of line included. It holds no other end of line, but for quoted ones
    /// in CSV.
    pub fn write(self, line: &Line, out: &mut String) {
        match self {
            Self::Lines => {
                out.push_str(&line.text);
                out.push('\n');
            }
            Self::CloudEvents => cloud_events::write(line, out),
            Self::Ocsf => ocsf::write(line, out),
            Self::Csv => csv::write(line, out),
        }
    }

    /// All of a document: the preamble, and each event.
    #[must_use]
    pub fn document<'a>(self, lines: impl IntoIterator<Item = &'a Line>) -> String {
        let mut out = self.preamble();
        for line in lines {
            self.write(line, &mut out);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::{samples, *};
    use crate::log::segment::LineHash;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn lines_are_the_bytes_that_are_delivered() {
        let lines = samples::lines(&[samples::RICH, samples::MINIMAL]);
        let delivered: String = lines.iter().map(|line| format!("{}\n", line.text)).collect();
        assert_eq!(Format::Lines.document(&lines), delivered);
    }

    #[test]
    fn an_accept_header_with_a_media_type_asks_for_its_format() {
        for format in Format::ALL {
            assert_eq!(Format::negotiate(format.media_type()), Some(format));
        }
    }

    #[test]
    fn what_is_no_event_renders_all_the_same() {
        let [sample] = samples::lines(&[samples::MINIMAL]).try_into().unwrap();
        for text in ["", "{}", "null", "[1]", "no JSON", r#"{"action":7,"entity":"x","context":[]}"#] {
            let line = Line { text: text.into(), ..sample.clone() };
            for format in [Format::CloudEvents, Format::Ocsf] {
                let rendered = format.document([&line]);
                assert!(serde_json::from_str::<Value>(&rendered).is_ok(), "{text}: {rendered}");
            }
            assert_eq!(samples::records(&Format::Csv.document([&line])).len(), 2, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn every_event_that_is_accepted_reads_back_with_the_same_values(events in samples::events()) {
            let texts: Vec<_> = events.iter().map(Value::to_string).collect();
            let lines = samples::lines(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            for format in [Format::CloudEvents, Format::Ocsf] {
                let document = format.document(&lines);
                prop_assert_eq!(document.matches('\n').count(), lines.len());
                for (line, rendered) in lines.iter().zip(document.lines()) {
                    let rendered: Value = serde_json::from_str(rendered).unwrap();
                    let original: Value = serde_json::from_str(&line.text).unwrap();
                    if format == Format::CloudEvents {
                        prop_assert_eq!(&rendered["data"], &original);
                        prop_assert_eq!(&rendered["id"], &original["eventId"]);
                    } else {
                        prop_assert_eq!(&rendered["raw_data"], &line.text);
                        prop_assert_eq!(&rendered["raw_data_size"], line.text.len());
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
