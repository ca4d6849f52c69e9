//! The log's end, as `GET /audit/tail` says it. Owns reading that answer; asking for it is `api`'s.

use annals_core::{id::EventId, log::segment::LineHash};
use serde::Deserialize;

use crate::line;

/// The end of the log at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// The last event's sequence; 0 where there was none.
    pub sequence: u64,
    /// The last event's id, where there was one.
    pub id: Option<EventId>,
    /// The hash of the last line.
    pub hash: LineHash,
    /// When the last event was recorded.
    pub timestamp: Option<String>,
    /// When it was asked for.
    pub asked: Asked,
}

/// When a tail was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// With the delivery's reading: its last events may not have been delivered yet, but none beyond it can have been.
    Now,
    /// Earlier: all its events should have been delivered since.
    Earlier,
}

/// Why a text is no tail.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// It is not what the API answers.
    #[error("it is not what GET /audit/tail answers")]
    Json(#[from] serde_json::Error),
    /// A field is not what it should be.
    #[error("its {0} is not what GET /audit/tail answers")]
    Field(&'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    sequence: u64,
    event_id: Option<String>,
    hash: String,
    timestamp: Option<String>,
}

impl Tail {
    /// Reads the API's answer.
    ///
    /// # Errors
    /// [`TailError`] where it is none.
    pub fn parse(answer: &[u8], asked: Asked) -> Result<Self, TailError> {
        let answer: Answer = serde_json::from_slice(answer)?;
        let id = match &answer.event_id {
            Some(id) => Some(EventId::parse(id).map_err(|_| TailError::Field("eventId"))?),
            None => None,
        };
        if id.map_or(0, EventId::sequence) != answer.sequence {
            return Err(TailError::Field("eventId"));
        }
        let hash = line::hash(&answer.hash).ok_or(TailError::Field("hash"))?;
        Ok(Self { sequence: answer.sequence, id, hash, timestamp: answer.timestamp, asked })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_the_api_is_read_and_nothing_else() {
        let parse = |text: &str| Tail::parse(text.as_bytes(), Asked::Now);
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
