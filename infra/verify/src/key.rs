//! Which keys Annals writes. Nothing else in a key is trusted: only an object's content says which events it contains.

/// The object that the connection test writes.
pub const TEST_OBJECT: &str = "test-wiremock-cloud-integration.txt";

/// The kind of an object, by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyKind {
    /// Delivered events.
    Delivery { is_replay: bool },
    /// The object that the connection test writes.
    Test,
    /// The empty object that represents a folder in the S3 console.
    Folder,
    /// Not written by Annals.
    Foreign,
}

impl KeyKind {
    /// Classifies a key with any prefix. The key of a delivery is `[replay/ID/]YYYY-MM/DD/TIME-SUFFIX.json`, with
    /// `dt=YYYY-MM-DD/hour=HH/` as the folders in the Hive layout, and with `.gz` appended if it is compressed. The folders
    /// must match the time.
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
        Self::Delivery { is_replay: id.is_some() && parts.next() == Some("replay") }
    }
}

/// Returns the time in the name of a delivered object, `YYYY-MM-DDTHH-mm-ss-SSSZ`.
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

    #[test]
    fn every_layout_is_recognised_after_any_prefix() {
        for key in [
            "2026-11/22/2026-11-22T10-10-00-000Z-k3x9a0bq.json",
            "2026-11/22/2026-11-22T10-10-00-000Z-k3x9a0bq.json.gz",
            "dt=2026-11-22/hour=10/2026-11-22T10-10-00-000Z-k3x9a0bq.json.gz",
            "audit/annals/2026-11/22/2026-11-22T10-10-00-000Z-k3x9a0bq.json",
        ] {
            assert_eq!(KeyKind::of(key), KeyKind::Delivery { is_replay: false }, "{key}");
        }
        for key in [
            "replay/7/2026-11/22/2026-11-22T10-10-00-000Z-k3x9a0bq.json",
            "audit/replay/7/dt=2026-11-22/hour=10/2026-11-22T10-10-00-000Z-k3x9a0bq.json.gz",
        ] {
            assert_eq!(KeyKind::of(key), KeyKind::Delivery { is_replay: true }, "{key}");
        }
    }

    #[test]
    fn the_test_object_and_folders_are_recognised() {
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
