//! Where delivered objects are stored: the port, folders, files, several sources as one, and objects in memory. Reads bytes
//! and does not interpret them.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    num::NonZero,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// Read access to objects by key.
pub trait Source: Sync {
    /// Returns all keys, in any order.
    ///
    /// # Errors
    /// Returns an error if the keys cannot be listed.
    fn keys(&self) -> Result<Vec<String>, SourceError>;

    /// Returns a reader of an object's bytes.
    ///
    /// # Errors
    /// Returns an error if the object cannot be opened.
    fn open(&self, key: &str) -> io::Result<Box<dyn io::Read + Send + '_>>;

    /// Returns how many objects to read in parallel. Default: one for each core.
    fn parallel_reads(&self) -> usize {
        std::thread::available_parallelism().map_or(1, NonZero::get)
    }
}

/// Why a delivery cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot list {location}")]
    List { location: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot read {key}")]
    Read { key: String, source: io::Error },
    /// There are no delivered objects, and no tail says that there should be any. `foreign` counts other objects.
    #[error("no delivered objects here ({foreign} other objects): is this the right folder, bucket and prefix?")]
    Nothing { foreign: usize },
}

/// A folder with objects as files, as `aws s3 sync` creates it.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
    prefix: String,
}

impl Folder {
    /// Selects the files below `root` whose paths relative to it begin with `prefix`.
    #[must_use]
    pub fn new(root: &Path, prefix: &str) -> Self {
        Self { root: root.to_owned(), prefix: prefix.to_owned() }
    }

    fn walk(&self, folder: &Path, path: &str, keys: &mut Vec<String>) -> Result<(), SourceError> {
        let failed =
            |source: io::Error| SourceError::List { location: folder.display().to_string(), source: source.into() };
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry
                .file_name()
                .into_string()
                .map_err(|name| failed(io::Error::other(format!("the file name {} is not UTF-8", name.display()))))?;
            let key = format!("{path}{name}");
            // Links to folders are not followed, because they may form a cycle. Like pipes and devices they count as
            // foreign objects.
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
        let path = self.root.join(key);
        // Opening a pipe waits for whoever writes into it.
        if !fs::metadata(&path)?.is_file() {
            return Ok(Box::new(io::empty()));
        }
        Ok(Box::new(fs::File::open(path)?))
    }
}

/// One file.
#[derive(Debug, Clone)]
pub struct SingleFile(pub PathBuf);

impl Source for SingleFile {
    fn keys(&self) -> Result<Vec<String>, SourceError> {
        Ok(vec![self.0.display().to_string()])
    }

    fn open(&self, _: &str) -> io::Result<Box<dyn io::Read + Send + '_>> {
        Ok(Box::new(fs::File::open(&self.0)?))
    }
}

/// What was read from a pipe, kept in a temporary file because some objects are read twice.
#[derive(Debug)]
pub struct Piped(NamedTempFile);

impl Piped {
    /// The key of the only object.
    pub const KEY: &str = "standard input";

    /// Reads everything.
    ///
    /// # Errors
    /// Returns an error if `reader` fails, or if the file cannot be written.
    pub fn read(mut reader: impl io::Read) -> io::Result<Self> {
        let mut file = NamedTempFile::new()?;
        io::copy(&mut reader, &mut file)?;
        Ok(Self(file))
    }
}

impl Source for Piped {
    fn keys(&self) -> Result<Vec<String>, SourceError> {
        Ok(vec![Self::KEY.to_owned()])
    }

    fn open(&self, _: &str) -> io::Result<Box<dyn io::Read + Send + '_>> {
        Ok(Box::new(self.0.reopen()?))
    }
}

/// Several sources as one. The keys of each begin with its name, unless it consists of one file of that name.
#[derive(Default)]
pub struct Several(Vec<(String, Box<dyn Source>)>);

impl Several {
    /// Adds a source. `name` is what users call it.
    pub fn add(&mut self, name: &str, source: Box<dyn Source>) {
        self.0.push((name.trim_end_matches('/').to_owned(), source));
    }
}

impl fmt::Debug for Several {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Source for Several {
    fn keys(&self) -> Result<Vec<String>, SourceError> {
        let mut keys = Vec::new();
        for (name, source) in &self.0 {
            let own = source.keys()?;
            keys.extend(own.into_iter().map(|key| if key == *name { key } else { format!("{name}/{key}") }));
        }
        // A source can be given twice.
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    fn open(&self, key: &str) -> io::Result<Box<dyn io::Read + Send + '_>> {
        let mut failure = io::ErrorKind::NotFound.into();
        for (name, source) in &self.0 {
            let own =
                if key == name { Some(key) } else { key.strip_prefix(name).and_then(|own| own.strip_prefix('/')) };
            match own.map(|own| source.open(own)) {
                Some(Ok(reader)) => return Ok(reader),
                // One source can be a part of another one.
                Some(Err(error)) => failure = error,
                None => {}
            }
        }
        Err(failure)
    }

    fn parallel_reads(&self) -> usize {
        self.0.iter().map(|(_, source)| source.parallel_reads()).max().unwrap_or(1)
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

    /// Reading from memory is fast: a thread costs more than it saves.
    fn parallel_reads(&self) -> usize {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_folder_are_its_objects() {
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

    #[test]
    #[cfg(unix)]
    fn links_to_folders_and_pipes_are_empty_objects() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let source = Folder::new(folder.path(), "");
        let mut keys = source.keys().unwrap();
        keys.sort();
        assert_eq!(keys, ["link", "pipe"]);
        assert!(keys.iter().all(|key| io::read_to_string(source.open(key).unwrap()).unwrap().is_empty()));
    }

    #[test]
    fn several_sources_are_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("d.json");
        fs::write(&file, "y").unwrap();
        let mut several = Several::default();
        several.add("one/", Box::new(BTreeMap::from([("a/x.json".to_owned(), b"x".to_vec())])));
        several.add(file.to_str().unwrap(), Box::new(SingleFile(file.clone())));
        several.add(Piped::KEY, Box::new(Piped::read(b"z".as_slice()).unwrap()));
        let read = |key: &str| io::read_to_string(several.open(key).unwrap()).unwrap();
        let keys = several.keys().unwrap();
        assert_eq!(keys, [file.to_str().unwrap(), "one/a/x.json", "standard input"]);
        assert_eq!(keys.iter().map(|key| read(key)).collect::<Vec<_>>(), ["y", "x", "z"]);
        assert_eq!(read("standard input"), "z", "again");
        assert!(several.open("two/a/x.json").is_err());
    }
}
