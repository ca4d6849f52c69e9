//! Points in time with millisecond precision, and the port to the clock. Owns no calendar arithmetic except parsing and
//! printing.

#![warn(missing_docs)]

use std::{fmt, time::Duration};

use async_trait::async_trait;
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// Milliseconds since the Unix epoch, UTC. The latest is the last millisecond of the year 9999, which fits the 48 bits of a
/// UUIDv7 (RFC 9562, section 5.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// The text is not a date and time between the years 1970 and 9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not an RFC 3339 date and time such as 2026-11-22T10:00:00Z between the years 1970 and 9999")]
pub struct TimestampError;

impl Timestamp {
    /// The epoch, which is earlier than every recorded event.
    pub const EPOCH: Self = Self(0);
    const MAX_MILLIS: u64 = 253_402_300_799_999;

    /// Returns the time `millis` milliseconds after the epoch, at most the end of the year 9999.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        if millis > Self::MAX_MILLIS { Self(Self::MAX_MILLIS) } else { Self(millis) }
    }

    /// Returns the milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the seconds since the epoch, rounded up: the unit of DynamoDB's TTL.
    #[must_use]
    pub const fn as_secs_ceil(self) -> u64 {
        self.0.div_ceil(1000)
    }

    /// Returns the time `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns the time `duration` earlier, but not earlier than the epoch.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns the duration since `earlier`, or zero if `earlier` is the later time.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Parses a value of a query string: an RFC 3339 date and time, or a date, which means its beginning in UTC. A space
    /// is accepted for the `+` of the offset, because a `+` that was not escaped arrives as a space.
    ///
    /// # Errors
    /// Returns an error if the text is neither, or is outside the supported years.
    pub fn parse_leniently(text: &str) -> Result<Self, TimestampError> {
        if text.len() == 10 {
            return Self::parse(&format!("{text}T00:00:00Z"));
        }
        match text.rsplit_once(' ') {
            Some((moment, offset)) if moment.len() >= 19 => Self::parse(&format!("{moment}+{offset}")),
            _ => Self::parse(text),
        }
    }

    /// Parses an RFC 3339 date and time. Digits beyond milliseconds are cut off.
    ///
    /// # Errors
    /// Returns an error if the text is not one, or is outside the supported years.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        // The parser would accept any character between date and time.
        if !matches!(text.as_bytes().get(10), Some(b'T' | b't')) {
            return Err(TimestampError);
        }
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)?;
        let millis = moment.unix_timestamp_nanos().div_euclid(1_000_000);
        u64::try_from(millis).ok().filter(|millis| *millis <= Self::MAX_MILLIS).map(Self).ok_or(TimestampError)
    }

    fn to_utc(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
            .to_offset(UtcOffset::UTC)
    }

    /// Returns year, month and day in UTC.
    #[must_use]
    pub fn date(self) -> (i32, u8, u8) {
        let (year, month, day) = self.to_utc().to_calendar_date();
        (year, month.into(), day)
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-11-22T10:00:00.123Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let (hour, minute, second, milli) = self.to_utc().time().as_hms_milli();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The source of the current time.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns the current time.
    fn now(&self) -> Timestamp;

    /// Returns after `duration` has passed.
    async fn sleep(&self, duration: Duration);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_prints_the_text_that_it_was_parsed_from() {
        for text in ["1970-01-01T00:00:00.000Z", "2026-11-22T10:00:00.123Z", "9999-12-31T23:59:59.999Z"] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn offsets_dates_and_unescaped_plus_signs_are_understood() {
        let noon = Timestamp::parse("2026-11-22T12:00:00Z").unwrap();
        assert_eq!(Timestamp::parse("2026-11-22T23:00:00+11:00").unwrap(), noon);
        assert_eq!(Timestamp::parse_leniently("2026-11-22T23:00:00 11:00").unwrap(), noon);
        assert_eq!(Timestamp::parse_leniently("2026-11-22").unwrap().to_string(), "2026-11-22T00:00:00.000Z");
        assert_eq!(
            Timestamp::parse("2026-11-22T12:00:00.0009Z").unwrap(),
            noon,
            "finer than a millisecond is cut, not rounded up"
        );
    }

    #[test]
    fn a_text_that_is_not_a_time_is_refused() {
        for text in ["", "now", "2026-13-01", "2026-11-22T10:00:00", "1969-12-31T23:59:59Z", "20261122", "２０２６"]
        {
            assert_eq!(Timestamp::parse_leniently(text), Err(TimestampError), "{text}");
            assert_eq!(Timestamp::parse(text), Err(TimestampError), "{text}");
        }
        for text in
            ["2026-11-22", "2026-W01-1", "2026-11-22 10:00:00Z", "2026-11-22x10:00:00Z", "2026-11-22T10:00:00 00:00"]
        {
            assert_eq!(Timestamp::parse(text), Err(TimestampError), "{text}");
        }
        assert_eq!(Timestamp::parse_leniently("2026-W01-1"), Err(TimestampError));
    }
}
