//! A normalizer's `precompiled_charsmap`: which bytes become which text.
//!
//! Four bytes with the length of a trie; the trie, a double array of units of four bytes, as the library darts-clone lays
//! it out; then the texts, each ended by a zero. At each place the longest key wins; a character without one stays.

pub(super) struct Charsmap {
    units: Vec<u32>,
    texts: Vec<u8>,
}

impl Charsmap {
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let (trie, texts) = rest.split_at_checked(length)?;
        let (units, odd) = trie.as_chunks::<4>();
        if !odd.is_empty() || units.is_empty() {
            return None;
        }
        let units = units.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
        std::str::from_utf8(texts).ok()?;
        Some(Self { units, texts: texts.to_vec() })
    }

    /// What the beginning of `text` becomes, and how many of its bytes that were; at least a character's.
    pub(super) fn first<'a>(&'a self, text: &'a str) -> Option<(&'a str, usize)> {
        let own = text.chars().next()?.len_utf8();
        let mut best = None;
        let mut at = 0_usize;
        let mut unit = self.units[0];
        for (byte, length) in text.bytes().zip(1..) {
            // The offset of a unit's children.
            at ^= ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize;
            at ^= usize::from(byte);
            unit = match self.units.get(at) {
                // The label, and no bit of a leaf.
                Some(&unit) if unit & (1 << 31 | 0xff) == u32::from(byte) => unit,
                _ => break,
            };
            if unit & 1 << 8 != 0 {
                let leaf = at ^ ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize;
                let Some(&value) = self.units.get(leaf) else { break };
                best = Some(((value & !(1 << 31)) as usize, length));
            }
        }
        let whole = best.filter(|&(_, length)| text.is_char_boundary(length));
        let replaced = whole.and_then(|(from, length)| {
            let rest = self.texts.get(from..)?;
            let end = rest.iter().position(|&byte| byte == 0)?;
            Some((std::str::from_utf8(&rest[..end]).ok()?, length))
        });
        Some(replaced.unwrap_or((&text[..own], own)))
    }
}
