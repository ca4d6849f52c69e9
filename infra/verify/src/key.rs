//! What a key says about an object: which keys Annals writes, and which ones tools leave in buckets and folders. Nothing
//! else in a key is trusted: only an object's content says which events it contains.

use annals_core::proof::checkpoint::{ENTRIES_EXTENSION, EXTENSION, FOLDER};

/// The object that the connection test writes.
pub const TEST_OBJECT: &str = "test-wiremock-cloud-integration.txt";

/// Names of files that operating systems and tools write beside data.
const JUNK_NAMES: [&str; 5] = [".DS_Store", ".localized", "Thumbs.db", "desktop.ini", "_SUCCESS"];
/// Folders that services and tools write beside data.
const JUNK_FOLDERS: [&str; 9] = [
    "AWSLogs",
    "__MACOSX",
    ".Spotlight-V100",
    ".Trashes",
    ".fseventsd",
    "$RECYCLE.BIN",
    "System Volume Information",
    "@eaDir",
    "_temporary",
];

/// The kind of an object, by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyKind {
    /// Delivered events.
    Delivery { is_replay: bool },
    /// The object that the connection test writes.
    Test,
    /// The empty object that represents a folder in the S3 console.
    Folder,
    /// A checkpoint.
    Checkpoint,
    /// The entries of a checkpoint, in a file of their own.
    Entries,
    /// What a well-known tool or service leaves behind; who does.
    Junk(&'static str),
    /// Anything else: only its content can say what it is.
    Other,
}

impl KeyKind {
    /// Classifies a key with any prefix. The key of a delivery is `[replay/ID/]YYYY-MM/DD/TIME-SUFFIX.json`, with
    /// `dt=YYYY-MM-DD/hour=HH/` as the folders in the Hive layouts, and with `.gz` appended if it is compressed. The folders
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
        if let (Some(inner), Some(outer), Some(time)) = (parts.next(), parts.next(), time(name)) {
            let wiremock = outer == &time[..7] && inner == &time[8..10];
            let hive =
                outer.strip_prefix("dt=") == Some(&time[..10]) && inner.strip_prefix("hour=") == Some(&time[11..13]);
            if wiremock || hive {
                let id = parts.next().filter(|id| !id.is_empty());
                return Self::Delivery { is_replay: id.is_some() && parts.next() == Some("replay") };
            }
        }
        let is_below = |folder: &str| key.split('/').rev().skip(1).any(|part| part == folder.trim_end_matches('/'));
        if is_below(FOLDER) && name.ends_with(EXTENSION) {
            return Self::Checkpoint;
        }
        if is_below(FOLDER) && name.ends_with(ENTRIES_EXTENSION) {
            return Self::Entries;
        }
        if JUNK_FOLDERS.into_iter().any(is_below) {
            return Self::Junk("files of other services and of operating systems");
        }
        junk(name).map_or(Self::Other, Self::Junk)
    }
}

/// Returns who writes files with such a name, if that is known.
fn junk(name: &str) -> Option<&'static str> {
    if JUNK_NAMES.contains(&name) || name.starts_with("._") || name.ends_with("_$folder$") {
        return Some("files of operating systems and tools");
    }
    // Athena names the results of statements without rows by the query's id alone. Other texts are not its own.
    let of_athena = name.strip_suffix(".metadata").unwrap_or(name);
    let is_result = of_athena.ends_with(".csv") || of_athena.strip_suffix(".txt").is_some_and(is_uuid);
    is_result.then_some("results of Athena")
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
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
    fn checkpoints_and_their_entries_are_recognised_in_their_folder() {
        let name = "2026-11/22/2026-11-22T10-10-00-000Z";
        assert_eq!(KeyKind::of(&format!("audit/annals-checkpoints/{name}.checkpoint")), KeyKind::Checkpoint);
        assert_eq!(KeyKind::of(&format!("annals-checkpoints/{name}.entries")), KeyKind::Entries);
        assert_eq!(KeyKind::of(&format!("elsewhere/{name}.checkpoint")), KeyKind::Other);
    }

    #[test]
    fn what_tools_leave_behind_is_recognised() {
        for key in [
            ".DS_Store",
            "audit/2026-11/22/.DS_Store",
            "Thumbs.db",
            "audit/desktop.ini",
            "audit/._2026-11-22T10-10-00-000Z-k3x9a0bq.json",
            "audit/_SUCCESS",
            "audit_$folder$",
            "audit/AWSLogs/111122223333/CloudTrail/us-east-1/2026/11/22/x.json.gz",
            "results/2f1a3c4e-0000-4000-8000-000000000000.csv",
            "results/2f1a3c4e-0000-4000-8000-000000000000.csv.metadata",
            "results/2f1a3c4e-0000-4000-8000-000000000000.txt",
            "results/query.csv",
        ] {
            assert!(matches!(KeyKind::of(key), KeyKind::Junk(_)), "{key}");
        }
        let prefix_like_a_service = "AWSLogs/2026-11/22/2026-11-22T10-10-00-000Z-k3x9a0bq.json";
        assert_eq!(KeyKind::of(prefix_like_a_service), KeyKind::Delivery { is_replay: false });
        assert_eq!(KeyKind::of("notes.txt"), KeyKind::Other);
    }

    #[test]
    fn of_everything_else_only_the_content_can_tell() {
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
            assert_eq!(KeyKind::of(key), KeyKind::Other, "{key}");
        }
    }
}
