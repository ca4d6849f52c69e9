//! The compression of event bodies: zstd with a dictionary of what most events have in common.
//!
//! The dictionary is prepared once in a process, because preparing it takes longer than compressing or decompressing the
//! segment of a single event. Its contexts are kept by each thread for the same reason.

use std::{cell::RefCell, io, sync::LazyLock};

use zstd::{
    bulk::{Compressor, Decompressor},
    dict::{DecoderDictionary, EncoderDictionary},
};

/// The largest text that is compressed at [`FAST_LEVEL`]. Its segment takes one write unit at either level.
const FAST_BYTES: usize = 4 * 1024;
/// Takes a third of the time of [`SMALL_LEVEL`], and makes the segment of a single event 2 to 3 % larger.
const FAST_LEVEL: i32 = 3;
/// Levels from 15 up compress 1 to 5 % better and take 3 to 20 times as long.
const SMALL_LEVEL: i32 = 9;

static FAST: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(DICTIONARY_1, FAST_LEVEL));
static SMALL: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY_1, SMALL_LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY_1));

thread_local! {
    static FAST_COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// # Errors
/// Returns an error if zstd fails, for instance for want of memory.
pub(super) fn compress(text: &[u8]) -> io::Result<Vec<u8>> {
    if text.len() > FAST_BYTES {
        // Its context is not kept: it takes several megabytes.
        return Compressor::with_prepared_dictionary(&SMALL)?.compress(text);
    }
    FAST_COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => kept.insert(Compressor::with_prepared_dictionary(&FAST)?),
        };
        compressor.compress(text)
    })
}

/// Returns the size of the text of `frame` as the frame claims it.
pub(super) fn claimed_size(frame: &[u8]) -> Option<usize> {
    Decompressor::upper_bound(frame)
}

/// # Errors
/// Returns an error if `frame` is damaged or its text is larger than `size`.
pub(super) fn decompress(frame: &[u8], size: usize) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::with_prepared_dictionary(&DECODER)?),
        };
        decompressor.decompress(frame, size)
    })
}

/// The zstd dictionary: keys and frequent values of events, the most likely ones last.
///
/// It makes the segment of a single event about a third smaller, and reading it about a third cheaper. Stored segments
/// need it, so it must never change. A new dictionary needs a new encoding byte.
const DICTIONARY_1: &[u8] = br#""ADMIN""SYSTEM""CLI""SIGNUP""ACL_GRANT""ACL_REVOKE""INVITE""LOGIN""API_TEMPLATE_CATALOGUE""DATABASE_CONNECTION""OPENAPI_GIT_INTEGRATION""S3_AUDIT_SINK""SUBSCRIPTION""ORGANISATION""DATA_SOURCE""API_KEY""AUDIT_LOG""audit.read","subject":{"id":","permission":"ALL_PERMISSIONS","permission":{"permissions":[{"id":","friendlyId":"metadata":{"occurredAt":"2026-","queryString":"","method":"POST","method":"GET","params":{"status":"description":"enabled":true,"enabled":false,"version":"null,"location":"en-GB","https://www.","email":"@example.com","entityType":"USER","userAgent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/ Safari/537.36 Mozilla/5.0 (Windows NT 10.0; Win64; x64)","requestId":","payload":{"path":"/v1/api/{"action":"DELETE","type":".delete","action":"CREATE","type":".create","action":"UPDATE","type":"mock_api_settings.update","entity":{"id":"","name":"","entityType":"STUB_MAPPING"},"entityType":"MOCK_API"},"principal":{"id":"","name":"","entityType":"USER","email":"parentEntity":{"id":"","name":"","entityType":"TEAM"},"before":{"name":"},"after":{"name":"},"clientType":"UI","clientType":"API","context":{"ipAddress":"192.0.2.","userAgent":"#;

#[cfg(test)]
mod tests {
    use sha2::Digest as _;

    use super::*;

    #[test]
    fn what_was_compressed_at_any_level_with_the_dictionary_is_read() {
        for text in ["", "x", &r#"{"recordedBy":"platform","action":"CREATE","type":"mock_api.create"}"#.repeat(2000)] {
            let of_release_0_1_0 =
                Compressor::with_dictionary(9, DICTIONARY_1).unwrap().compress(text.as_bytes()).unwrap();
            for frame in [compress(text.as_bytes()).unwrap(), of_release_0_1_0] {
                assert_eq!(claimed_size(&frame), Some(text.len()));
                assert_eq!(decompress(&frame, text.len()).unwrap(), text.as_bytes());
            }
        }
    }

    #[test]
    fn a_damaged_frame_leaves_no_trace_in_the_next_one() {
        let text = r#"{"recordedBy":"platform","action":"CREATE","type":"mock_api.create"}"#;
        let frame = compress(text.as_bytes()).unwrap();
        for end in 1..frame.len() {
            decompress(&frame[..end], text.len()).unwrap_err();
            assert_eq!(decompress(&frame, text.len()).unwrap(), text.as_bytes());
            assert_eq!(compress(text.as_bytes()).unwrap(), frame);
        }
    }

    #[test]
    fn the_dictionary_never_changes() {
        insta::assert_snapshot!(hex::encode(sha2::Sha256::digest(DICTIONARY_1)), @"9746e0fa83ebebb3d06cec393830cbfd237447a02510889974e63e9105af7999");
    }
}
