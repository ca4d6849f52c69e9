//! What the fuzz targets share: an organisation, its segments and the lines expected of them, written independently of the
//! domain's rendering, and the rules for refusals.

use annals_core::{
    fault::{Faults, Place},
    id::EventId,
    log::{
        rate::RateState,
        segment::{AppendId, EncodedBodies, LineHash, Segment},
    },
    organisation::OrganisationId,
    time::Timestamp,
};
use serde_json::{Map, Value};

/// Returns the organisation whose log is fuzzed.
#[must_use]
pub fn organisation() -> OrganisationId {
    "acme".parse().expect("it is an id")
}

/// The organisation's name, which every format has to escape.
pub const ORGANISATION_NAME: &str = "Acme, \"Ltd\"; =1";

/// The sequence of the first event of every segment.
const FIRST: u64 = 7;

/// Returns a segment with the bodies `texts`, stored as `stored`, and the expected lines. They are rendered here a second
/// time, because delivered lines must never change.
#[must_use]
pub fn segment<'a>(texts: impl IntoIterator<Item = &'a str>, stored: EncodedBodies) -> (Segment, Vec<String>) {
    let organisation = organisation();
    let recorded_at = Timestamp::from_millis(1_795_341_600_123);
    let name = Value::from(ORGANISATION_NAME);
    let mut previous = LineHash::ORIGIN;
    let mut lines = Vec::new();
    for (index, body) in (0..).zip(texts) {
        let id = EventId::new(&organisation, recorded_at, FIRST, index);
        // Any other beginning is a body of a version that did not store who recorded it.
        let recorded_by = body.find(r#"","#).filter(|_| body.starts_with(r#"{"recordedBy":""#));
        let (recorded_by, event) = match recorded_by {
            Some(end) => (&body[1..end + 2], &body[end + 2..]),
            None => ("", body.strip_prefix('{').unwrap_or(body)),
        };
        let line = format!(
            concat!(
                r#"{{"sequence":{},"eventId":"{}","timestamp":"{}","previousHash":"{}",{}"#,
                r#""organisation":{{"id":"acme","name":{},"entityType":"ORGANISATION"}},{}"#
            ),
            FIRST + u64::from(index),
            id,
            recorded_at,
            previous,
            recorded_by,
            name,
            event,
        );
        previous = LineHash::of(&line);
        lines.push(line);
    }
    let segment = Segment {
        first: FIRST,
        count: lines.len().try_into().unwrap_or(u16::MAX),
        recorded_at,
        previous_hash: LineHash::ORIGIN,
        hash: previous,
        append: AppendId([7; 16]),
        rate: RateState::FULL,
        usage: None,
        claimed: Vec::new(),
        organisation_name: ORGANISATION_NAME.into(),
        bodies: stored,
        resumes_after: None,
        expires_at: 2_000_000_000,
    };
    (segment, lines)
}

/// Checks that a refusal has at least one fault, not more than the maximum, and none that is long.
///
/// # Panics
/// Panics if it does not.
pub fn check_refusal(faults: &Faults) {
    // A pointer is cut to 256 bytes plus an ellipsis. A detail does not repeat the input.
    const MAX_PLACE_BYTES: usize = 259;
    const MAX_DETAIL_BYTES: usize = 300;
    let faults = faults.as_slice();
    assert!((1..=Faults::MAX).contains(&faults.len()), "{} faults", faults.len());
    for fault in faults {
        let (Place::Pointer(place) | Place::Parameter(place)) = &fault.place;
        assert!(place.len() <= MAX_PLACE_BYTES, "a place of {} bytes", place.len());
        assert!((1..=MAX_DETAIL_BYTES).contains(&fault.detail.len()), "a detail of {} bytes", fault.detail.len());
    }
}

/// Returns the members of a JSON object.
///
/// # Panics
/// Panics if `text` is not a JSON object.
#[must_use]
pub fn members(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("not a JSON object: {error}: {text}"))
}
