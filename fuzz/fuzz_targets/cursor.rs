//! Any text as an event's id, and any ids in a log.
//!
//! An id has exactly two text forms, and both parse to it. Ids sort by their contents, and the ids of a log in log order.

#![no_main]

use std::time::Duration;

use annals_core::{id::EventId, time::Timestamp};
use annals_fuzz::organisation;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(id) = EventId::parse(text)
    {
        assert!(text == id.short() || text.eq_ignore_ascii_case(&id.to_string()), "{text} is a third form of {id}");
        check(id);
    }
    let Some((first, rest)) = data.split_first_chunk::<16>() else { return };
    let one = id_of(*first);
    check(one);
    if let Some((second, _)) = rest.split_first_chunk::<16>() {
        let other = id_of(*second);
        assert_eq!(one.cmp(&other), bits(*first).cmp(&bits(*second)));
        assert_eq!(one.cmp(&other), one.to_string().cmp(&other.to_string()));
        check_log(*first, *second);
    }
});

/// Returns `bytes` with the version and the variant of a UUIDv7.
fn bits(bytes: [u8; 16]) -> u128 {
    u128::from_be_bytes(bytes) & !(0xf << 76 | 0b11 << 62) | 0x7 << 76 | 0b10 << 62
}

fn id_of(bytes: [u8; 16]) -> EventId {
    let digits = format!("{:032x}", bits(bytes));
    let groups = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    EventId::parse(&groups.join("-")).expect("it is a UUIDv7")
}

fn check(id: EventId) {
    assert_eq!(EventId::parse(&id.short()), Ok(id));
    assert_eq!(EventId::parse(&id.to_string()), Ok(id));
    assert_eq!(EventId::parse(&id.to_string().to_uppercase()), Ok(id));
    let (short, long) = (id.short(), id.to_string());
    assert_eq!((short.len(), long.len()), (22, 36));
    assert!(long[14..].starts_with('7') && long[19..].starts_with(['8', '9', 'a', 'b']), "{long} is not a UUIDv7");
    assert_eq!(id.sequence(), id.segment() + u64::from(id.index()));
    let again = EventId::new(&organisation(), id.recorded_at(), id.segment(), id.index());
    assert_eq!((again.segment(), again.index()), (id.segment(), id.index()));
    assert_eq!(again.recorded_at(), id.recorded_at());
    assert!(again.is_of(&organisation()));
}

/// Checks the ids of two consecutive segments whose positions and sizes come from the bytes.
fn check_log(first: [u8; 16], second: [u8; 16]) {
    let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let organisation = organisation();
    let at = Timestamp::from_millis(number(&first[..6]) % 253_402_300_000_000);
    let later = at.plus(Duration::from_millis(1 + number(&second[..2])));
    let begin = 1 + number(&first[6..10]);
    let count = 1 + number(&first[10..12]) % 1000;
    let last = u16::try_from(count - 1).expect("at most 999");
    let index = u16::try_from(number(&second[2..4]) % 1000).expect("at most 999");
    let earlier = EventId::new(&organisation, at, begin, last);
    let next = EventId::new(&organisation, later, begin + count, 0);
    let after = EventId::new(&organisation, later, begin + count, index);
    assert_eq!(next.sequence(), earlier.sequence() + 1);
    assert!(earlier < next && next <= after, "{earlier} {next} {after}");
    assert_eq!(earlier.recorded_at(), at);
    assert_eq!(after.sequence() - next.sequence(), u64::from(index));
}
