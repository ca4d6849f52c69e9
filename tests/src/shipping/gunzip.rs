//! Gzip read back (RFC 1951, RFC 1952), written without the library that compresses: a second opinion, slow and short.

/// What a gzip file of one member holds, its length and checksum verified; `None` where it is none, or damaged.
#[must_use]
pub fn gunzip(file: &[u8]) -> Option<Vec<u8>> {
    // No name, comment or extra field: what Annals writes has none.
    let body = file.strip_prefix(&[0x1f, 0x8b, 8, 0])?.get(6..)?;
    let (deflated, trailer) = body.split_at_checked(body.len().checked_sub(8)?)?;
    let mut bits = Bits { bytes: deflated, at: 0 };
    let mut text = Vec::new();
    loop {
        let last = bits.take(1)?;
        match bits.take(2)? {
            0 => stored(&mut bits, &mut text)?,
            1 => {
                let lengths: Vec<u8> = (0..288u16)
                    .map(|symbol| match symbol {
                        0..144 => 8,
                        144..256 => 9,
                        256..280 => 7,
                        _ => 8,
                    })
                    .collect();
                inflate(&mut bits, &Code::new(&lengths), &Code::new(&[5; 30]), &mut text)?;
            }
            2 => {
                let (literals, distances) = codes(&mut bits)?;
                inflate(&mut bits, &literals, &distances, &mut text)?;
            }
            _ => return None,
        }
        if last == 1 {
            break;
        }
    }
    let (checksum, length) = trailer.split_at(4);
    let whole = checksum == crc32(&text).to_le_bytes() && length == u32::try_from(text.len()).ok()?.to_le_bytes();
    whole.then_some(text)
}

struct Bits<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<usize> {
        let mut value = 0;
        for index in 0..count {
            let bit = self.bytes.get(self.at / 8)? >> (self.at % 8) & 1;
            value |= usize::from(bit) << index;
            self.at += 1;
        }
        Some(value)
    }
}

/// A canonical Huffman code: how many codes have each length, and their symbols in order.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    fn new(lengths: &[u8]) -> Self {
        let mut counts = [0; 16];
        lengths.iter().filter(|length| **length > 0).for_each(|length| counts[usize::from(*length)] += 1);
        let mut symbols: Vec<usize> = (0..lengths.len()).filter(|symbol| lengths[*symbol] > 0).collect();
        symbols.sort_by_key(|symbol| lengths[*symbol]);
        Self { counts, symbols }
    }

    fn next(&self, bits: &mut Bits<'_>) -> Option<usize> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            code |= bits.take(1)?;
            if code < first + count {
                return self.symbols.get(index + code - first).copied();
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }
}

fn stored(bits: &mut Bits<'_>, text: &mut Vec<u8>) -> Option<()> {
    bits.at = bits.at.next_multiple_of(8);
    let length = bits.take(16)?;
    let complement = bits.take(16)?;
    let from = bits.at / 8;
    text.extend_from_slice(bits.bytes.get(from..from + length)?);
    bits.at += length * 8;
    (length ^ complement == 0xffff).then_some(())
}

fn codes(bits: &mut Bits<'_>) -> Option<(Code, Code)> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let (literals, distances) = (bits.take(5)? + 257, bits.take(5)? + 1);
    let count = bits.take(4)? + 4;
    let mut lengths = [0; 19];
    for place in &ORDER[..count] {
        lengths[*place] = u8::try_from(bits.take(3)?).ok()?;
    }
    let code = Code::new(&lengths);
    let mut lengths: Vec<u8> = Vec::new();
    while lengths.len() < literals + distances {
        let (length, times) = match code.next(bits)? {
            16 => (*lengths.last()?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (u8::try_from(length).ok()?, 1),
        };
        lengths.extend(std::iter::repeat_n(length, times));
    }
    Some((Code::new(&lengths[..literals]), Code::new(lengths.get(literals..literals + distances)?)))
}

fn inflate(bits: &mut Bits<'_>, literals: &Code, distances: &Code, text: &mut Vec<u8>) -> Option<()> {
    loop {
        let symbol = literals.next(bits)?;
        if symbol < 256 {
            text.push(u8::try_from(symbol).ok()?);
            continue;
        }
        let length = match symbol - 256 {
            0 => return Some(()),
            code @ 1..=8 => code + 2,
            29 => 258,
            code @ 9..=28 => {
                let extra = (code - 5) / 4;
                3 + ((4 + (code - 1) % 4) << extra) + bits.take(extra)?
            }
            _ => return None,
        };
        let distance = match distances.next(bits)? {
            code @ 0..=3 => code + 1,
            code @ 4..=29 => {
                let extra = code / 2 - 1;
                1 + ((2 + code % 2) << extra) + bits.take(extra)?
            }
            _ => return None,
        };
        let from = text.len().checked_sub(distance)?;
        for at in from..from + length {
            text.push(text[at]);
        }
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf 'abcabcabcabc' | gzip -n`, without the operating system's byte.
    const FIXED: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 0x4c, 0x4a, 0x4e, 0x84, 0x21, 0];

    fn trailed(body: &[u8], text: &[u8]) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap();
        [body, &crc32(text).to_le_bytes(), &length.to_le_bytes()].concat()
    }

    #[test]
    fn what_gzip_wrote_is_read_back() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let text = b"abcabcabcabc";
        assert_eq!(gunzip(&trailed(FIXED, text)).as_deref(), Some(&text[..]));
        let stored = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 0, 0xfd, 0xff, b'h', b'i'];
        assert_eq!(gunzip(&trailed(&stored, b"hi")).as_deref(), Some(&b"hi"[..]));
    }

    #[test]
    fn what_is_damaged_is_not() {
        let whole = trailed(FIXED, b"abcabcabcabc");
        for at in (0..4).chain(10..whole.len()) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert_eq!(gunzip(&damaged), None, "at {at}");
        }
        assert_eq!(gunzip(&whole[..whole.len() - 1]), None);
        assert_eq!(gunzip(b""), None);
    }
}
