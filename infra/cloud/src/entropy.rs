//! Randomness for keys and identifiers. Owns the only use of the system's random source in this crate.

#[allow(clippy::disallowed_methods, reason = "the one place where the embedded cloud takes randomness")]
pub(crate) fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// 32 hexadecimal digits. They only help to find a request in a log, so they are zeros if the random source fails.
pub(crate) fn request_id() -> String {
    hex::encode(random::<16>().unwrap_or_default())
}

/// Creates a message's identifier, in the form of a UUID.
///
/// # Errors
/// Returns an error if the random source fails: two messages must not have the same identifier.
pub(crate) fn message_id() -> Result<String, getrandom::Error> {
    let id = hex::encode(random::<16>()?);
    Ok(format!("{}-{}-4{}-a{}-{}", &id[..8], &id[8..12], &id[13..16], &id[17..20], &id[20..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_looks_like_a_uuid() {
        let id = message_id().unwrap();
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
    }
}
