//! The end of the log. Parses the response of `GET /audit/tail`, and checkpoints; does not fetch them: that is `api`.

use std::sync::Arc;

use annals_core::{id::EventId, log::segment::LineHash, organisation::OrganisationId};
use serde::Deserialize;

use crate::{line, trust::Note};

/// The end of the log at one moment.
#[derive(Debug, Clone)]
pub struct Tail {
    /// The last event's sequence; 0 for an empty log.
    pub sequence: u64,
    /// The last event's id; `None` for an empty log, and in a checkpoint.
    pub id: Option<EventId>,
    /// The organisation, if the tail names it.
    pub organisation: Option<OrganisationId>,
    /// The hash of the last line.
    pub hash: LineHash,
    /// When the last event was recorded, as the API returned it; the time of a checkpoint.
    pub timestamp: Option<String>,
    pub fetched: Fetched,
    /// The checkpoint that this is.
    pub note: Option<Arc<Note>>,
}

/// When a tail was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// Together with the objects: its last events may not be delivered yet, and no object can contain later events.
    Now,
    /// Earlier: all its events must be delivered by now.
    Earlier,
}

/// Why a text is not a tail.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    #[error("not a response of GET /audit/tail")]
    Json(#[from] serde_json::Error),
    #[error("not a response of GET /audit/tail: {0} is invalid")]
    Field(&'static str),
    #[error("neither a response of GET /audit/tail nor a checkpoint")]
    Neither,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    sequence: u64,
    event_id: Option<String>,
    hash: String,
    timestamp: Option<String>,
}

impl Tail {
    /// Parses what a file contains: a response of `GET /audit/tail`, or a checkpoint. `name` is what users call the file.
    ///
    /// # Errors
    /// Returns an error if it is neither.
    pub fn parse_saved(name: &str, content: &[u8]) -> Result<Self, TailError> {
        if content.trim_ascii_start().starts_with(b"{") {
            return Self::parse(content, Fetched::Earlier);
        }
        let note = Note::parse(name, content);
        let Some(checkpoint) = note.checkpoint() else { return Err(TailError::Neither) };
        Ok(Self {
            sequence: checkpoint.last,
            id: None,
            organisation: Some(checkpoint.organisation.clone()),
            hash: checkpoint.hash,
            timestamp: Some(checkpoint.time.to_string()),
            fetched: Fetched::Earlier,
            note: Some(Arc::new(note)),
        })
    }

    /// Parses a response of `GET /audit/tail`.
    ///
    /// # Errors
    /// Returns an error if it is not such a response.
    pub fn parse(response: &[u8], fetched: Fetched) -> Result<Self, TailError> {
        let response: Response = serde_json::from_slice(response)?;
        let id = match &response.event_id {
            Some(id) => Some(EventId::parse(id).map_err(|_| TailError::Field("eventId"))?),
            None => None,
        };
        if id.map_or(0, EventId::sequence) != response.sequence {
            return Err(TailError::Field("eventId"));
        }
        let hash = line::hash(&response.hash).ok_or(TailError::Field("hash"))?;
        let (sequence, timestamp) = (response.sequence, response.timestamp);
        Ok(Self { sequence, id, organisation: None, hash, timestamp, fetched, note: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_response_of_the_api_is_a_tail() {
        let parse = |text: &str| Tail::parse(text.as_bytes(), Fetched::Now);
        let hash = "ab".repeat(32);
        let id = "01a202b2-c57b-7000-8000-000001e08acc";
        let tail = parse(&format!(r#"{{"sequence":7,"eventId":"{id}","hash":"{hash}","timestamp":"t"}}"#)).unwrap();
        assert_eq!((tail.sequence, tail.hash), (7, LineHash([0xab; 32])));
        assert_eq!(
            parse(&format!(r#"{{"sequence":0,"eventId":null,"hash":"{hash}","timestamp":null}}"#)).unwrap().id,
            None
        );
        for bad in [
            "".to_owned(),
            "{}".to_owned(),
            format!(r#"{{"sequence":8,"eventId":"{id}","hash":"{hash}"}}"#),
            format!(r#"{{"sequence":7,"eventId":null,"hash":"{hash}"}}"#),
            format!(r#"{{"sequence":7,"eventId":"{id}","hash":"AB"}}"#),
        ] {
            assert!(parse(&bad).is_err(), "{bad}");
        }
    }
}
