//! What the fuzz targets share: an organisation and its segments, told apart from the domain's own rendering, and the
//! rules that every refusal keeps. Owns no target, and nothing that a target is to find out.

use annals_core::{
    fault::{Faults, Place},
    id::EventId,
    log::segment::{AppendId, EncodedBodies, LineHash, Segment},
    organisation::OrganisationId,
    time::Timestamp,
};
use serde_json::{Map, Value};

/// The organisation whose log is fuzzed.
#[must_use]
pub fn organisation() -> OrganisationId {
    "acme".parse().expect("it is an id")
}

/// What that organisation is called: a name that every format has to escape.
pub const ORGANISATION_NAME: &str = "Acme, \"Ltd\"; =1";

/// The sequence of the first event of every segment.
const FIRST: u64 = 7;

/// The segment that has `texts` as its bodies and is stored as `stored`, and the lines that it must give: written down
/// here a second time, because lines that were delivered can never change.
#[must_use]
pub fn segment<'a>(texts: impl IntoIterator<Item = &'a str>, stored: EncodedBodies) -> (Segment, Vec<String>) {
    let organisation = organisation();
    let recorded_at = Timestamp::from_millis(1_795_341_600_123);
    let name = Value::from(ORGANISATION_NAME);
    let mut previous = LineHash::ORIGIN;
    let mut lines = Vec::new();
    for (index, body) in (0..).zip(texts) {
        let id = EventId::new(&organisation, recorded_at, FIRST, index);
        let line = format!(
            concat!(
                r#"{{"sequence":{},"eventId":"{}","timestamp":"{}","previousHash":"{}","#,
                r#""organisation":{{"id":"acme","name":{},"entityType":"ORGANISATION"}},{}"#
            ),
            FIRST + u64::from(index),
            id,
            recorded_at,
            previous,
            name,
            body.strip_prefix('{').unwrap_or(body),
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
        organisation_name: ORGANISATION_NAME.into(),
        bodies: stored,
        expires_at: 2_000_000_000,
    };
    (segment, lines)
}

/// What a refusal may say: at least one fault, no more than are promised, none of them long.
///
/// # Panics
/// Where it says more.
pub fn check_refusal(faults: &Faults) {
    // A pointer is cut at 256 bytes, and an ellipsis added; no detail repeats what was sent.
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

/// The members of the JSON object that `text` is.
///
/// # Panics
/// Where it is none.
#[must_use]
pub fn members(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON object: {error}: {text}"))
}
