//! What a run has proven, stored for the next one, which may begin there and must reach at least as far.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use annals_core::{
    log::segment::LineHash, organisation::OrganisationId, proof::checkpoint::MAX_SEQUENCE, time::Timestamp,
};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::line;

/// The version of the file's format.
const VERSION: u32 = 1;

/// What earlier runs have proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub organisation: OrganisationId,
    /// The first sequence that was proven.
    pub first: u64,
    /// The last sequence that was proven.
    pub last: u64,
    /// The hash of its line.
    pub hash: LineHash,
    /// The newest checkpoint that was trusted.
    pub checkpoint: Option<SeenCheckpoint>,
}

/// A checkpoint of a destination that a run has trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenCheckpoint {
    pub time: Timestamp,
    /// The last sequence that it covers.
    pub sequence: u64,
    /// In hex, of the whole note.
    pub sha256: String,
    /// `None` for the checkpoint of a log.
    pub destination: Option<String>,
}

/// Why a file is not a state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("cannot read it")]
    Read(#[from] io::Error),
    #[error("it is not a state that annals-verify wrote")]
    Json(#[from] serde_json::Error),
    #[error("it is not a state that annals-verify wrote: {0} is invalid")]
    Field(&'static str),
    #[error("it was written by a newer version of annals-verify")]
    Version,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    version: u32,
    organisation: String,
    first_sequence: u64,
    last_sequence: u64,
    last_hash: String,
    checkpoint: Option<SeenCheckpoint>,
}

impl State {
    /// Reads a state. Returns `None` if there is no such file.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or is not a state.
    pub fn read(path: &Path) -> Result<Option<Self>, StateError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let file: File = serde_json::from_slice(&text)?;
        if file.version != VERSION {
            return Err(StateError::Version);
        }
        let organisation = file.organisation.parse().map_err(|_| StateError::Field("organisation"))?;
        let hash = line::hash(&file.last_hash).ok_or(StateError::Field("lastHash"))?;
        if file.first_sequence < 1 || file.first_sequence > file.last_sequence {
            return Err(StateError::Field("firstSequence"));
        }
        if file.last_sequence > MAX_SEQUENCE {
            return Err(StateError::Field("lastSequence"));
        }
        let (first, last) = (file.first_sequence, file.last_sequence);
        Ok(Some(Self { organisation, first, last, hash, checkpoint: file.checkpoint }))
    }

    /// Replaces the file at once: a reader, also after a crash, finds the old state or the new one.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let file = File {
            version: VERSION,
            organisation: self.organisation.to_string(),
            first_sequence: self.first,
            last_sequence: self.last,
            last_hash: self.hash.to_string(),
            checkpoint: self.checkpoint.clone(),
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut new = NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut new, &file)?;
        new.write_all(b"\n")?;
        new.as_file().sync_all()?;
        new.persist(path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        assert_eq!(State::read(&path).unwrap(), None);
        let mut state = State {
            organisation: "acme".parse().unwrap(),
            first: 1,
            last: 7,
            hash: LineHash([7; 32]),
            checkpoint: None,
        };
        state.write(&path).unwrap();
        assert_eq!(State::read(&path).unwrap().as_ref(), Some(&state));
        state.checkpoint = Some(SeenCheckpoint {
            time: Timestamp::from_millis(1_795_341_600_000),
            sequence: 7,
            sha256: "ab".repeat(32),
            destination: Some("00000000000d".into()),
        });
        state.write(&path).unwrap();
        assert_eq!(State::read(&path).unwrap(), Some(state));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let sound = fs::read_to_string(&path).unwrap();
        for (from, to) in
            [("\"version\": 1", "\"version\": 2"), ("acme", ""), ("0707", "07"), ("Sequence\": 1", "Sequence\": 8")]
        {
            assert!(sound.contains(from), "{from}");
            fs::write(&path, sound.replacen(from, to, 1)).unwrap();
            assert!(State::read(&path).is_err(), "{from} {to}");
        }
    }
}
