//! Where delivered objects are: the port, folders, and objects in memory. Owns reading bytes; what they mean is
//! [`crate::object`]'s.

use std::{
    collections::BTreeMap,
    fs, io,
    num::NonZero,
    path::{Path, PathBuf},
};

/// Objects by key.
pub trait Source: Sync {
    /// All keys, in any order.
    ///
    /// # Errors
    /// Where they cannot be listed.
    fn keys(&self) -> Result<Vec<String>, SourceError>;

    /// The bytes of an object, from the first on.
    ///
    /// # Errors
    /// Where it cannot be opened.
    fn open(&self, key: &str) -> io::Result<Box<dyn io::Read + Send + '_>>;

    /// How many objects are best read at the same time.
    fn at_once(&self) -> usize {
        std::thread::available_parallelism().map_or(1, NonZero::get)
    }
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The keys cannot be listed.
    #[error("cannot list {place}")]
    List {
        /// What was to be listed.
        place: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An object cannot be read.
    #[error("cannot read {key}")]
    Read {
        /// Which.
        key: String,
        /// Why not.
        source: io::Error,
    },
    /// There are no deliveries, and no tail that says that there should be.
    #[error("there is no delivered object here ({foreign} others): is this the right folder, bucket and prefix?")]
    Nothing {
        /// How many other objects there are.
        foreign: usize,
    },
}

/// A folder with objects as files, as `aws s3 sync` makes it.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
    prefix: String,
}

impl Folder {
    /// The files below `root` whose paths in it begin with `prefix`.
    #[must_use]
    pub fn new(root: &Path, prefix: &str) -> Self {
        Self { root: root.to_owned(), prefix: prefix.to_owned() }
    }

    fn walk(&self, folder: &Path, path: &str, keys: &mut Vec<String>) -> Result<(), SourceError> {
        let failed =
            |source: io::Error| SourceError::List { place: folder.display().to_string(), source: source.into() };
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry
                .file_name()
                .into_string()
                .map_err(|name| failed(io::Error::other(format!("the file name {} is no UTF-8", name.display()))))?;
            let key = format!("{path}{name}");
            // A link to a folder is not followed: it may lead back here. It counts as the foreign object that it is.
            if entry.file_type().map_err(failed)?.is_dir() {
                self.walk(&entry.path(), &format!("{key}/"), keys)?;
            } else if key.starts_with(&self.prefix) {
                keys.push(key);
            }
        }
        Ok(())
    }
}

impl Source for Folder {
    fn keys(&self) -> Result<Vec<String>, SourceError> {
        let mut keys = Vec::new();
        self.walk(&self.root, "", &mut keys)?;
        Ok(keys)
    }

    fn open(&self, key: &str) -> io::Result<Box<dyn io::Read + Send + '_>> {
        Ok(Box::new(fs::File::open(self.root.join(key))?))
    }
}

/// Objects in memory.
impl Source for BTreeMap<String, Vec<u8>> {
    fn keys(&self) -> Result<Vec<String>, SourceError> {
        Ok(BTreeMap::keys(self).cloned().collect())
    }

    fn open(&self, key: &str) -> io::Result<Box<dyn io::Read + Send + '_>> {
        let content = self.get(key).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(content.as_slice()))
    }

    /// They are small: a thread costs more than it saves.
    fn at_once(&self) -> usize {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folders_files_are_its_objects() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/c.json"), "x").unwrap();
        fs::write(folder.path().join("d.json"), "y").unwrap();
        let keys = |prefix| {
            let mut keys = Folder::new(folder.path(), prefix).keys().unwrap();
            keys.sort();
            keys
        };
        assert_eq!(keys(""), ["a/b/c.json", "d.json"]);
        assert_eq!(keys("a/"), ["a/b/c.json"]);
        assert_eq!(io::read_to_string(Folder::new(folder.path(), "").open("a/b/c.json").unwrap()).unwrap(), "x");
        assert!(Folder::new(&folder.path().join("nowhere"), "").keys().is_err());
    }
}
