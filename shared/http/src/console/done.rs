//! What the last form did, as the address of the page that follows it says: its name and its time. The page shows it for a
//! short while, so that a bookmark or a late reload does not repeat it.

use std::time::Duration;

use annals_core::time::Timestamp;

/// How long a page says what was done.
const RECENT: Duration = Duration::from_secs(2 * 60);

/// Returns the parameters that say that `name` was done at `now`.
#[must_use]
pub fn query(name: &str, now: Timestamp) -> String {
    format!("done={name}&at={}", now.as_millis())
}

/// Returns the name of what was done, if that is recent.
#[must_use]
pub fn recent(query: &str, now: Timestamp) -> Option<String> {
    let value = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let at = Timestamp::from_millis(value("at")?.parse().ok()?);
    // A clock of another instance may be a little ahead.
    let age = now.since(at).max(at.since(now));
    value("done").filter(|_| age <= RECENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_said_for_two_minutes() {
        let now = Timestamp::from_millis(1_795_341_600_000);
        let said = query("saved", now);
        assert_eq!(recent(&said, now.plus(RECENT)).as_deref(), Some("saved"));
        assert_eq!(recent(&said, now.plus(RECENT + Duration::from_millis(1))), None);
        for other in ["", "done=saved", "done=saved&at=", "done=saved&at=x", "done=saved&at=18446744073709551615"] {
            assert_eq!(recent(other, now), None, "{other}");
        }
    }
}
