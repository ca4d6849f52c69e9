//! What an object's key says: whether Annals lays out keys so. Believes nothing else that it says; a delivery's content
//! alone tells which events it holds.

/// The object that a destination's test writes.
pub const TEST_OBJECT: &str = "test-wiremock-cloud-integration.txt";

/// What an object is, by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyKind {
    /// Delivered events.
    Delivery {
        /// The replay that it belongs to, where it belongs to one.
        replay: Option<String>,
    },
    /// The object that a destination's test writes.
    Test,
    /// The empty object that stands for a folder in S3's console.
    Folder,
    /// None of Annals'.
    Foreign,
}

impl KeyKind {
    /// Tells by `key`, whatever prefix it has: `[replay/ID/]YYYY-MM/DD/TIME-SUFFIX.json`, or `dt=YYYY-MM-DD/hour=HH/` for
    /// the folders, and `.gz` at the end of what is compressed. The folders must be those of the time.
    #[must_use]
    pub fn of(key: &str) -> Self {
        let mut parts = key.rsplit('/');
        let name = parts.next().unwrap_or_default();
        if name == TEST_OBJECT {
            return Self::Test;
        }
        if name.is_empty() && !key.is_empty() {
            return Self::Folder;
        }
        let (Some(inner), Some(outer), Some(time)) = (parts.next(), parts.next(), time(name)) else {
            return Self::Foreign;
        };
        let wiremock = outer == &time[..7] && inner == &time[8..10];
        let hive = outer.strip_prefix("dt=") == Some(&time[..10]) && inner.strip_prefix("hour=") == Some(&time[11..13]);
        if !wiremock && !hive {
            return Self::Foreign;
        }
        let id = parts.next().filter(|id| !id.is_empty());
        let replay = (parts.next() == Some("replay")).then_some(id).flatten();
        Self::Delivery { replay: replay.map(str::to_owned) }
    }
}

/// The time in the name of an object, `YYYY-MM-DDTHH-mm-ss-SSSZ`, where the name is one that Annals gives.
fn time(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".gz").unwrap_or(name).strip_suffix(".json")?;
    let (time, suffix) = name.rsplit_once('-')?;
    let fits = |pattern: &str, text: &str| {
        pattern.len() == text.len()
            && pattern.bytes().zip(text.bytes()).all(|(pattern, byte)| match pattern {
                b'9' => byte.is_ascii_digit(),
                b'a' => byte.is_ascii_digit() || byte.is_ascii_lowercase(),
                other => byte == other,
            })
    };
    (fits("9999-99-99T99-99-99-999Z", time) && fits("aaaaaaaa", suffix)).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(replay: Option<&str>) -> KeyKind {
        KeyKind::Delivery { replay: replay.map(str::to_owned) }
    }

    #[test]
    fn every_layout_is_known_behind_any_prefix() {
        for key in [
            "2026-11/22/2026-11-22T10-10-00-000Z-k3x9a0bq.json",
            "2026-11/22/2026-11-22T10-10-00-000Z-k3x9a0bq.json.gz",
            "dt=2026-11-22/hour=10/2026-11-22T10-10-00-000Z-k3x9a0bq.json.gz",
            "audit/annals/2026-11/22/2026-11-22T10-10-00-000Z-k3x9a0bq.json",
        ] {
            assert_eq!(KeyKind::of(key), delivery(None), "{key}");
        }
        for key in [
            "replay/7/2026-11/22/2026-11-22T10-10-00-000Z-k3x9a0bq.json",
            "audit/replay/7/dt=2026-11-22/hour=10/2026-11-22T10-10-00-000Z-k3x9a0bq.json.gz",
        ] {
            assert_eq!(KeyKind::of(key), delivery(Some("7")), "{key}");
        }
    }

    #[test]
    fn the_test_object_and_folders_are_nothing_to_wonder_at() {
        assert_eq!(KeyKind::of("audit/test-wiremock-cloud-integration.txt"), KeyKind::Test);
        assert_eq!(KeyKind::of("audit/2026-11/"), KeyKind::Folder);
    }

    #[test]
    fn everything_else_is_foreign() {
        for key in [
            "",
            "README",
            "2026-11-22T10-10-00-000Z-k3x9a0bq.json",
            "2026-11/23/2026-11-22T10-10-00-000Z-k3x9a0bq.json",
            "dt=2026-11-22/hour=11/2026-11-22T10-10-00-000Z-k3x9a0bq.json",
            "2026-11/22/2026-11-22T10-10-00-000Z-k3x9a0b.json",
            "2026-11/22/2026-11-22T10-10-00-000Z-K3X9A0BQ.json",
            "2026-11/22/2026-11-22T10-10-00-000Z-k3x9a0bq.json.bz2",
            "2026-11/22/2026-11-22T10-10-00-000Z-k3x9é0b.json",
        ] {
            assert_eq!(KeyKind::of(key), KeyKind::Foreign, "{key}");
        }
    }
}
