//! Listing objects, in both versions of the operation. Owns prefixes, delimiters, positions and pages; an object is a file
//! below its bucket's directory.

use std::{io, path::Path, time::SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{
    S3Error, S3Result,
    dto::{
        CommonPrefix, EncodingType, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
        Object, ObjectStorageClass,
    },
    s3_error,
};

/// Objects and common prefixes in a page.
const PAGE_MAX: i32 = 1000;
/// The characters that `encoding-type=url` does not encode.
const UNENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

#[derive(Debug, Clone)]
struct Entry {
    key: String,
    size_bytes: u64,
    modified: SystemTime,
}

#[derive(Debug, Default)]
struct Page {
    entries: Vec<Entry>,
    prefixes: Vec<String>,
    /// The last key or common prefix, if there are more.
    next: Option<String>,
}

/// The parameters of a listing. An empty text means the same as a missing one.
#[derive(Debug, Default)]
struct Query {
    prefix: String,
    delimiter: String,
    /// The key or common prefix that the page begins after.
    after: String,
    max_keys: i32,
    is_encoded: bool,
}

impl Query {
    fn new(
        prefix: Option<String>,
        delimiter: Option<String>,
        max_keys: Option<i32>,
        encoding: Option<&EncodingType>,
    ) -> S3Result<Self> {
        let max_keys = max_keys.unwrap_or(PAGE_MAX);
        if max_keys < 0 {
            return Err(s3_error!(InvalidArgument, "Argument maxKeys must be an integer between 0 and 2147483647"));
        }
        let is_encoded = match encoding.map(EncodingType::as_str) {
            None | Some("") => false,
            Some(EncodingType::URL) => true,
            Some(_) => return Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
        };
        Ok(Self {
            prefix: prefix.unwrap_or_default(),
            delimiter: delimiter.unwrap_or_default(),
            after: String::new(),
            max_keys: max_keys.min(PAGE_MAX),
            is_encoded,
        })
    }

    /// Returns the part of the key up to the first delimiter after the prefix, if there is one.
    fn common_prefix<'a>(&self, key: &'a str) -> Option<&'a str> {
        let rest = key.strip_prefix(&self.prefix).filter(|_| !self.delimiter.is_empty())?;
        let end = self.prefix.len() + rest.find(&self.delimiter)? + self.delimiter.len();
        key.get(..end)
    }

    fn page(&self, mut entries: Vec<Entry>) -> Page {
        entries.sort_by(|one, other| one.key.cmp(&other.key));
        let mut page = Page::default();
        let mut last = "";
        for entry in &entries {
            if !entry.key.starts_with(&self.prefix) || entry.key <= self.after {
                continue;
            }
            let common_prefix = self.common_prefix(&entry.key);
            if common_prefix.is_some_and(|prefix| prefix == last || prefix == self.after) {
                continue;
            }
            if page.entries.len() + page.prefixes.len() == self.max_keys as usize {
                page.next = (self.max_keys > 0).then(|| last.to_owned());
                break;
            }
            last = common_prefix.unwrap_or(&entry.key);
            match common_prefix {
                Some(prefix) => page.prefixes.push(prefix.to_owned()),
                None => page.entries.push(entry.clone()),
            }
        }
        page
    }

    fn shown(&self, text: &str) -> String {
        if self.is_encoded { utf8_percent_encode(text, &UNENCODED).to_string() } else { text.to_owned() }
    }

    fn objects(&self, entries: Vec<Entry>) -> Vec<Object> {
        let object = |entry: Entry| Object {
            key: Some(self.shown(&entry.key)),
            size: i64::try_from(entry.size_bytes).ok(),
            last_modified: Some(entry.modified.into()),
            storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
            ..Object::default()
        };
        entries.into_iter().map(object).collect()
    }

    fn common_prefixes(&self, prefixes: &[String]) -> Vec<CommonPrefix> {
        prefixes.iter().map(|prefix| CommonPrefix { prefix: Some(self.shown(prefix)) }).collect()
    }

    fn shown_unless_empty(&self, text: &str) -> Option<String> {
        (!text.is_empty()).then(|| self.shown(text))
    }
}

pub(super) async fn list(directory: &Path, input: ListObjectsInput) -> S3Result<ListObjectsOutput> {
    let mut query = Query::new(input.prefix, input.delimiter, input.max_keys, input.encoding_type.as_ref())?;
    query.after = input.marker.unwrap_or_default();
    let page = query.page(entries(directory).await?);
    Ok(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(query.shown(&query.prefix)),
        delimiter: query.shown_unless_empty(&query.delimiter),
        marker: Some(query.shown(&query.after)),
        max_keys: Some(query.max_keys),
        encoding_type: input.encoding_type,
        is_truncated: Some(page.next.is_some()),
        // Without a delimiter the last key is the next marker.
        next_marker: page.next.filter(|_| !query.delimiter.is_empty()).map(|next| query.shown(&next)),
        contents: Some(query.objects(page.entries)),
        common_prefixes: Some(query.common_prefixes(&page.prefixes)),
        ..ListObjectsOutput::default()
    })
}

pub(super) async fn list_v2(directory: &Path, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let mut query = Query::new(input.prefix, input.delimiter, input.max_keys, input.encoding_type.as_ref())?;
    query.after = match &input.continuation_token {
        Some(token) => read_token(token)?,
        None => input.start_after.clone().unwrap_or_default(),
    };
    let page = query.page(entries(directory).await?);
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(query.shown(&query.prefix)),
        delimiter: query.shown_unless_empty(&query.delimiter),
        start_after: query.shown_unless_empty(input.start_after.as_deref().unwrap_or_default()),
        max_keys: Some(query.max_keys),
        key_count: i32::try_from(page.entries.len() + page.prefixes.len()).ok(),
        encoding_type: input.encoding_type,
        is_truncated: Some(page.next.is_some()),
        continuation_token: input.continuation_token,
        next_continuation_token: page.next.map(|next| URL_SAFE_NO_PAD.encode(next)),
        contents: Some(query.objects(page.entries)),
        common_prefixes: Some(query.common_prefixes(&page.prefixes)),
        ..ListObjectsV2Output::default()
    })
}

fn read_token(token: &str) -> S3Result<String> {
    let position = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    position
        .filter(|position| !position.is_empty())
        .ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

async fn entries(directory: &Path) -> S3Result<Vec<Entry>> {
    let directory = directory.to_owned();
    let walk = move || {
        let mut entries = Vec::new();
        walk(&directory, "", &mut entries).map(|()| entries)
    };
    let walked = tokio::task::spawn_blocking(walk).await.map_err(S3Error::internal_error)?;
    walked.map_err(S3Error::internal_error)
}

fn walk(directory: &Path, prefix: &str, entries: &mut Vec<Entry>) -> io::Result<()> {
    for file in directory.read_dir()? {
        let file = file?;
        let Ok(name) = file.file_name().into_string() else { continue };
        let key = format!("{prefix}{name}");
        match file.metadata() {
            Ok(metadata) if metadata.is_dir() => walk(&file.path(), &format!("{key}/"), entries)?,
            Ok(metadata) => {
                entries.push(Entry { key, size_bytes: metadata.len(), modified: metadata.modified()? });
            }
            // The object has been deleted since the directory was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 6] = ["a", "b/1", "b/2", "c", "d::e", "d::f"];

    fn query(prefix: &str, delimiter: &str, after: &str, max_keys: i32) -> Query {
        let (prefix, delimiter, after) = (prefix.to_owned(), delimiter.to_owned(), after.to_owned());
        Query { prefix, delimiter, after, max_keys, is_encoded: false }
    }

    /// Keys, common prefixes and the position of the next page.
    fn page(query: &Query) -> (Vec<String>, Vec<String>, Option<String>) {
        let entry = |key: &str| Entry { key: key.to_owned(), size_bytes: 1, modified: SystemTime::UNIX_EPOCH };
        let page = query.page(KEYS.iter().rev().map(|key| entry(key)).collect());
        (page.entries.into_iter().map(|entry| entry.key).collect(), page.prefixes, page.next)
    }

    #[test]
    fn keys_are_listed_in_order_and_grouped_by_the_delimiter() {
        for (prefix, delimiter, after, keys, prefixes) in [
            ("", "", "", &KEYS[..], &[][..]),
            ("", "/", "", &["a", "c", "d::e", "d::f"], &["b/"]),
            ("", "::", "", &["a", "b/1", "b/2", "c"], &["d::"]),
            ("b/", "/", "", &["b/1", "b/2"], &[]),
            ("b", "/", "", &[], &["b/"]),
            ("", "", "b/1", &["b/2", "c", "d::e", "d::f"], &[]),
            ("", "/", "b/", &["c", "d::e", "d::f"], &[]),
            ("", "/", "b/1", &["c", "d::e", "d::f"], &["b/"]),
            ("/", "", "", &[], &[]),
        ] {
            let (found, groups, next) = page(&query(prefix, delimiter, after, 1000));
            assert_eq!((found, groups, next), (owned(keys), owned(prefixes), None), "{prefix} {delimiter} {after}");
        }
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn pages_of_any_size_have_everything_once() {
        for delimiter in ["", "/", "::"] {
            let (all_keys, all_prefixes, _) = page(&query("", delimiter, "", 1000));
            for max_keys in 1..7 {
                let (mut keys, mut prefixes, mut after) = (Vec::new(), Vec::new(), String::new());
                loop {
                    let (found, groups, next) = page(&query("", delimiter, &after, max_keys));
                    assert!(found.len() + groups.len() <= max_keys as usize);
                    keys.extend(found);
                    prefixes.extend(groups);
                    let Some(next) = next else { break };
                    after = next;
                }
                assert_eq!((&keys, &prefixes), (&all_keys, &all_prefixes), "{delimiter} {max_keys}");
            }
        }
        assert_eq!(page(&query("", "", "", 0)), (vec![], vec![], None), "an empty page has no next one");
    }
}
