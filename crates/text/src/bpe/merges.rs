//! Which pairs of tokens become one, and in which order: byte-pair encoding of one word.
//!
//! Of all neighbours that are in the list, the pair that stands first in it is merged, the leftmost if there are
//! several; then again, until none is left. Short words are searched anew each time; long ones keep their pairs in a
//! heap, so that a word of a megabyte takes time in proportion to itself (and its logarithm).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::vocabulary::NONE;

/// Words up to so many symbols are searched: their pairs stand in one or two lines of the cache.
const SHORT: usize = 48;

/// As in the vocabulary: a file made to collide is left to the library.
const FARTHEST: usize = 256;

#[derive(Clone, Copy)]
struct Slot {
    left: u32,
    right: u32,
    rank: u32,
    merged: u32,
}

const FREE: Slot = Slot { left: NONE, right: NONE, rank: NONE, merged: NONE };

/// Pairs by their two ids. Open addressing; free slots have no left id.
pub(super) struct Merges {
    slots: Vec<Slot>,
}

/// What [`Merges::apply`] works in; kept between words.
#[derive(Default)]
pub(super) struct Workplace {
    /// The word's symbols.
    pub(super) symbols: Vec<u32>,
    pairs: Vec<(u32, u32)>,
    links: Vec<Link>,
    heap: BinaryHeap<Reverse<(u32, u32)>>,
}

/// A symbol of a long word: its neighbours, and what it makes with the right one.
#[derive(Clone, Copy)]
struct Link {
    left: u32,
    right: u32,
    rank: u32,
    merged: u32,
}

impl Merges {
    pub(super) fn for_pairs(count: usize) -> Self {
        Self { slots: vec![FREE; (count * 8 / 5).next_power_of_two().max(16)] }
    }

    fn home(&self, left: u32, right: u32) -> usize {
        let key = u64::from(left) << 32 | u64::from(right);
        let product = u128::from(key ^ 0x51_7c_c1_b7_27_22_0a_95) * 0x9e37_79b9_7f4a_7c15;
        ((product as u64) ^ (product >> 64) as u64) as usize & (self.slots.len() - 1)
    }

    /// Adds a pair; one that is there already gets the new place in the order. `None` if the table is full just there.
    pub(super) fn insert(&mut self, pair: (u32, u32), rank: u32, merged: u32) -> Option<()> {
        let (left, right) = pair;
        let mut at = self.home(left, right);
        for _ in 0..FARTHEST {
            let slot = &mut self.slots[at];
            if slot.left == NONE || (slot.left, slot.right) == pair {
                *slot = Slot { left, right, rank, merged };
                return Some(());
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        None
    }

    /// The pair's place in the order, and what it becomes; `NONE` twice if it stays.
    fn get(&self, left: u32, right: u32) -> (u32, u32) {
        let mut at = self.home(left, right);
        for _ in 0..FARTHEST {
            let slot = self.slots[at];
            if (slot.left, slot.right) == (left, right) {
                return (slot.rank, slot.merged);
            }
            if slot.left == NONE {
                break;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        (NONE, NONE)
    }

    /// Merges what can be merged of the workplace's symbols.
    pub(super) fn apply(&self, work: &mut Workplace) {
        if work.symbols.len() <= SHORT { self.search(work) } else { self.sort(work) }
    }

    fn search(&self, work: &mut Workplace) {
        let Workplace { symbols, pairs, .. } = work;
        pairs.clear();
        pairs.extend(symbols.windows(2).map(|pair| self.get(pair[0], pair[1])));
        loop {
            let mut best = (NONE, 0);
            for (at, &(rank, _)) in pairs.iter().enumerate() {
                if rank < best.0 {
                    best = (rank, at);
                }
            }
            let (rank, at) = best;
            if rank == NONE {
                return;
            }
            symbols[at] = pairs[at].1;
            symbols.remove(at + 1);
            pairs.remove(at);
            if at > 0 {
                pairs[at - 1] = self.get(symbols[at - 1], symbols[at]);
            }
            if at < pairs.len() {
                pairs[at] = self.get(symbols[at], symbols[at + 1]);
            }
        }
    }

    fn sort(&self, work: &mut Workplace) {
        let Workplace { symbols, links, heap, .. } = work;
        let count = u32::try_from(symbols.len()).unwrap_or(NONE);
        links.clear();
        links.extend((0..count).map(|at| {
            let next = symbols.get(at as usize + 1);
            let (rank, merged) =
                next.map_or((NONE, NONE), |&next| self.get(symbols[at as usize], next));
            let right = if next.is_some() { at + 1 } else { NONE };
            Link { left: at.wrapping_sub(1), right, rank, merged }
        }));
        let pairs = links.iter().zip(0_u32..).filter(|(link, _)| link.rank != NONE);
        // Made at once, which is linear, and in the room that is there.
        let mut room = std::mem::take(heap).into_vec();
        room.clear();
        room.extend(pairs.map(|(link, at)| Reverse((link.rank, at))));
        *heap = room.into();
        while let Some(Reverse((rank, place))) = heap.pop() {
            let at = place as usize;
            let link = links[at];
            // The pair that was put here may have changed since, or be gone.
            if link.rank != rank {
                continue;
            }
            let next = link.right as usize;
            symbols[at] = link.merged;
            symbols[next] = NONE;
            links[next].rank = NONE;
            let right = links[next].right;
            links[at].right = right;
            if right != NONE {
                links[right as usize].left = place;
            }
            for (left, right) in [(link.left, place), (place, right)] {
                if left == NONE {
                    continue;
                }
                let (rank, merged) = match symbols.get(right as usize) {
                    Some(&right) => self.get(symbols[left as usize], right),
                    None => (NONE, NONE),
                };
                links[left as usize].rank = rank;
                links[left as usize].merged = merged;
                if rank != NONE {
                    heap.push(Reverse((rank, left)));
                }
            }
        }
        symbols.retain(|&symbol| symbol != NONE);
    }
}
