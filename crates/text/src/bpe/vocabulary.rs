//! Tokens by id and ids by token: one string, one list of places in it, one table of slots.

/// An id takes 24 bits of a slot.
const ID_BITS: u32 = 24;

/// Slots looked at in a row at the most. A vocabulary made to collide is left to the library, whose hashes have keys.
const FARTHEST: usize = 128;

/// No token has this id.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Default)]
pub(super) struct Vocabulary {
    /// All tokens, one after another, as the file spells them.
    letters: String,
    /// Where each id's token begins and ends in `letters`; an id without a token has `NONE`.
    places: Vec<(u32, u32)>,
    /// Open addressing: 0 is free, else eight bits of the hash, where the token begins, and its id plus one. With the place
    /// in the slot, the letters can be fetched without waiting for `places`.
    slots: Vec<u64>,
    count: usize,
}

impl Vocabulary {
    /// The vocabulary of these tokens, from first to last; `None` if two are spelled alike or have one id, or if their
    /// ids are far apart.
    pub(super) fn new(letters: String, tokens: &[(u32, u32, u32)]) -> Option<Self> {
        let highest = tokens.iter().map(|token| token.0).max()?;
        let most = (1 << ID_BITS) - 2;
        if highest >= most || highest as usize > 2 * tokens.len() + 65_536 {
            return None;
        }
        let mut places = vec![(NONE, NONE); highest as usize + 1];
        for &(id, from, to) in tokens {
            let place = &mut places[id as usize];
            if place.0 != NONE {
                return None;
            }
            *place = (from, to);
        }
        let slots = vec![0; (tokens.len() * 3 / 2).next_power_of_two().max(16)];
        let mut vocabulary = Self { letters, places, slots, count: tokens.len() };
        for &(id, ..) in tokens {
            vocabulary.insert(id)?;
        }
        Some(vocabulary)
    }

    fn insert(&mut self, id: u32) -> Option<()> {
        let (from, to) = *self.places.get(id as usize)?;
        let token = self.letters.get(from as usize..to as usize)?;
        let hash = hash(token.as_bytes());
        let mut at = hash as usize & (self.slots.len() - 1);
        for _ in 0..FARTHEST {
            let slot = self.slots[at];
            if slot == 0 {
                self.slots[at] = tag(hash) | u64::from(from) << ID_BITS | u64::from(id + 1);
                return Some(());
            }
            if self.is(slot, hash, token.as_bytes()) {
                return None;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        None
    }

    /// Whether this slot is that of `token`.
    fn is(&self, slot: u64, hash: u64, token: &[u8]) -> bool {
        let from = (slot >> ID_BITS) as u32 as usize;
        let to = from + token.len();
        slot & TAG == tag(hash)
            && self.letters.as_bytes().get(from..to) == Some(token)
            && self.places[id(slot) as usize].1 as usize == to
    }

    /// How `id` is spelled.
    pub(super) fn token(&self, id: u32) -> Option<&str> {
        let &(from, to) = self.places.get(id as usize)?;
        self.letters.get(from as usize..to as usize)
    }

    /// The id of what is spelled so.
    pub(super) fn id(&self, token: &[u8]) -> Option<u32> {
        let hash = hash(token);
        let mut at = hash as usize & (self.slots.len() - 1);
        for _ in 0..FARTHEST {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if self.is(slot, hash, token) {
                return Some(id(slot));
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        None
    }

    /// How many tokens there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// One more than the highest id.
    pub(super) fn ids(&self) -> u32 {
        // Fewer than 2^24, see `new`.
        u32::try_from(self.places.len()).unwrap_or(NONE)
    }
}

/// The bits of a slot that are of the hash.
const TAG: u64 = 0xff << 56;

fn tag(hash: u64) -> u64 {
    hash & TAG
}

/// The id in a slot that is not free.
fn id(slot: u64) -> u32 {
    (slot as u32 & ((1 << ID_BITS) - 1)) - 1
}

/// A product's two halves folded together, 8 bytes at a time.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |state: u64, word: u64| {
        let product = u128::from(state ^ word) * u128::from(ODD);
        (product as u64) ^ (product >> 64) as u64
    };
    let mut state = (bytes.len() as u64) ^ 0x51_7c_c1_b7_27_22_0a_95;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = mix(state, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(mix(state, u64::from_le_bytes(last)), ODD)
}
