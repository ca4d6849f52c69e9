//! Event ids: UUIDv7s that contain the position of their event in the log, so an id is also a cursor.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{organisation::OrganisationId, time::Timestamp};

/// The id of one event, a UUIDv7 (RFC 9562, section 5.7).
///
/// From the most significant bit: 48 bits for the segment's time in milliseconds, 4 bits for the version (7), 12 bits for
/// the event's index in its segment, 2 bits for the variant, 40 bits for the segment's first sequence, 22 bits for a hash
/// of the organisation's id. The ids of one organisation sort in log order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; 16]);

/// The text is not an event id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not an event's uuid (22 characters, or 36 with hyphens): take it from an event or a link")]
pub struct EventIdError;

const ORGANISATION_BITS: u32 = 22;

impl EventId {
    /// Returns the id of the event at `index` of the segment that begins at sequence `segment` and was recorded at `at`.
    #[must_use]
    pub fn new(organisation: &OrganisationId, at: Timestamp, segment: u64, index: u16) -> Self {
        SegmentIds::new(organisation, at, segment).at(index)
    }

    /// Parses 22 characters of unpadded base64url, or the canonical 36 characters with hyphens in either case.
    ///
    /// # Errors
    /// Returns an error if the text is neither, or is not a UUIDv7.
    pub fn parse(text: &str) -> Result<Self, EventIdError> {
        let uuid = match text.len() {
            22 => {
                let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| EventIdError)?;
                Uuid::from_slice(&bytes).map_err(|_| EventIdError)?
            }
            36 => Uuid::try_parse(text).map_err(|_| EventIdError)?,
            _ => return Err(EventIdError),
        };
        let (_, low) = uuid.as_u64_pair();
        if uuid.get_version_num() == 7 && low >> 62 == 0b10 { Ok(Self(uuid.into_bytes())) } else { Err(EventIdError) }
    }

    fn halves(self) -> (u64, u64) {
        Uuid::from_bytes(self.0).as_u64_pair()
    }

    /// Returns when the event's segment was recorded.
    #[must_use]
    pub fn recorded_at(self) -> Timestamp {
        Timestamp::from_millis(self.halves().0 >> 16)
    }

    /// Returns the event's index in its segment.
    #[must_use]
    pub fn index(self) -> u16 {
        u16::try_from(self.halves().0 & 0xfff).unwrap_or(u16::MAX)
    }

    /// Returns the first sequence of the event's segment.
    #[must_use]
    pub fn segment(self) -> u64 {
        self.halves().1 >> ORGANISATION_BITS & 0xff_ffff_ffff
    }

    #[must_use]
    pub fn sequence(self) -> u64 {
        self.segment() + u64::from(self.index())
    }

    /// Returns whether this can be an id of `organisation`. About one of four million ids of other organisations passes
    /// this check; the caller then has to compare the id with the event stored at that position.
    #[must_use]
    pub fn is_of(self, organisation: &OrganisationId) -> bool {
        self.halves().1 & ((1 << ORGANISATION_BITS) - 1) == tag(organisation)
    }

    /// Returns the 22 characters that PactFlow's clients expect.
    #[must_use]
    pub fn short(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// The ids of the events of one segment. The hash of the organisation's id is computed once.
#[derive(Debug, Clone, Copy)]
pub struct SegmentIds {
    high: u64,
    low: u64,
}

impl SegmentIds {
    /// Returns the ids of the segment that begins at sequence `segment` and was recorded at `at`.
    #[must_use]
    pub fn new(organisation: &OrganisationId, at: Timestamp, segment: u64) -> Self {
        let low = 0b10 << 62 | (segment & 0xff_ffff_ffff) << ORGANISATION_BITS | tag(organisation);
        Self { high: at.as_millis() << 16 | 0x7 << 12, low }
    }

    /// Returns the id of the event at `index`.
    #[must_use]
    pub fn at(self, index: u16) -> EventId {
        EventId(Uuid::from_u64_pair(self.high | u64::from(index & 0xfff), self.low).into_bytes())
    }
}

fn tag(organisation: &OrganisationId) -> u64 {
    let digest = Sha256::digest(organisation.as_str().as_bytes());
    u64::from(u32::from_be_bytes([0, digest[0], digest[1], digest[2]]) >> (24 - ORGANISATION_BITS))
}

/// The canonical form, 36 characters in lower case.
impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn organisation(id: &str) -> OrganisationId {
        id.parse().unwrap()
    }

    #[test]
    fn an_id_is_a_version_7_uuid_that_shows_its_time() {
        let at = Timestamp::parse("2026-11-22T10:00:00.123Z").unwrap();
        let id = EventId::new(&organisation("acme"), at, 7, 0);
        insta::assert_snapshot!(format!("{id} {}", id.short()), @"01a202b2-c57b-7000-8000-000001e08acc AaICssV7cACAAAAAAeCKzA");
    }

    #[test]
    fn a_text_that_is_not_a_version_7_uuid_is_refused() {
        for text in ["", "x", "16WlpdLpDMzfMYxLTZYXYw", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "ééééééééééé"]
        {
            assert_eq!(EventId::parse(text), Err(EventIdError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_id_contains_the_values_that_it_was_made_from(
            millis in 0u64..253_402_300_800_000, segment in 0u64..1 << 40, index in 0u16..1000,
        ) {
            let acme = organisation("acme");
            let id = EventId::new(&acme, Timestamp::from_millis(millis), segment, index);
            prop_assert_eq!(id.recorded_at().as_millis(), millis);
            prop_assert_eq!(id.segment(), segment);
            prop_assert_eq!(id.index(), index);
            prop_assert_eq!(id.sequence(), segment + u64::from(index));
            prop_assert!(id.is_of(&acme));
            prop_assert!(!id.is_of(&organisation("umbrella")));
            prop_assert_eq!(EventId::parse(&id.short()), Ok(id));
            prop_assert_eq!(EventId::parse(&id.to_string()), Ok(id));
            prop_assert_eq!(EventId::parse(&id.to_string().to_uppercase()), Ok(id));
        }

        #[test]
        fn ids_sort_in_log_order(first in 1u64..1_000_000, steps in proptest::collection::vec((1u64..10_000, 1u16..1000), 1..20)) {
            let acme = organisation("acme");
            let (mut at, mut segment) = (Timestamp::from_millis(1_700_000_000_000), first);
            let mut ids = Vec::new();
            for (millis, count) in steps {
                ids.extend((0..count).map(|index| EventId::new(&acme, at, segment, index)));
                at = at.plus(std::time::Duration::from_millis(millis));
                segment += u64::from(count);
            }
            prop_assert!(ids.is_sorted());
            prop_assert!(ids.windows(2).all(|pair| pair[1].sequence() == pair[0].sequence() + 1));
        }
    }
}
