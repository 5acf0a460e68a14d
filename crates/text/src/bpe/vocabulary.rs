//! Tokens by id and ids by token: one string, one list of places in it, one table of slots.

/// An id takes 24 bits of a slot, and the other 8 are of the token's hash: few slots are looked at in vain.
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
    /// Open addressing: 0 is free, else hash bits above an id, plus one.
    slots: Vec<u32>,
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
        let slots = vec![0; (tokens.len() * 2).next_power_of_two().max(16)];
        let mut vocabulary = Self { letters, places, slots, count: tokens.len() };
        for &(id, ..) in tokens {
            vocabulary.insert(id)?;
        }
        Some(vocabulary)
    }

    fn insert(&mut self, id: u32) -> Option<()> {
        let token = self.token(id)?;
        let hash = hash(token.as_bytes());
        let mut at = hash as usize & (self.slots.len() - 1);
        for _ in 0..FARTHEST {
            let slot = self.slots[at];
            if slot == 0 {
                self.slots[at] = tagged(hash, id);
                return Some(());
            }
            let other = (slot - 1) & ((1 << ID_BITS) - 1);
            if slot == tagged(hash, other) && self.token(other) == Some(token) {
                return None;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        None
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
            let id = (slot - 1) & ((1 << ID_BITS) - 1);
            if slot == tagged(hash, id) && self.token(id).is_some_and(|it| it.as_bytes() == token) {
                return Some(id);
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

fn tagged(hash: u64, id: u32) -> u32 {
    // Never 0: ids stop two short of their bits.
    (((hash >> 56) as u32) << ID_BITS | id) + 1
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
