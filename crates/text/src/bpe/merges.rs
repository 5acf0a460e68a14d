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
    heap: BinaryHeap<Reverse<(u32, u32, u32)>>,
}

/// The neighbours of a symbol in a long word. A symbol that was merged into its left neighbour is `gone`.
#[derive(Clone, Copy)]
struct Link {
    left: u32,
    right: u32,
    gone: bool,
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
        links.extend((0..count).map(|at| Link {
            left: at.wrapping_sub(1),
            right: if at + 1 == count { NONE } else { at + 1 },
            gone: false,
        }));
        let pairs = symbols.windows(2).zip(0_u32..).filter_map(|(pair, at)| {
            let (rank, merged) = self.get(pair[0], pair[1]);
            (rank != NONE).then_some(Reverse((rank, at, merged)))
        });
        // Made at once, which is linear, and in the room that is there.
        let mut room = std::mem::take(heap).into_vec();
        room.clear();
        room.extend(pairs);
        *heap = room.into();
        while let Some(Reverse((_, place, merged))) = heap.pop() {
            let at = place as usize;
            let link = links[at];
            if link.gone || link.right == NONE {
                continue;
            }
            let next = link.right as usize;
            // The pair that was put here may have changed since.
            if self.get(symbols[at], symbols[next]).1 != merged {
                continue;
            }
            symbols[at] = merged;
            links[next].gone = true;
            let right = links[next].right;
            links[at].right = right;
            let mut offer = |left: u32, right: u32| {
                let (rank, merged) = self.get(symbols[left as usize], symbols[right as usize]);
                if rank != NONE {
                    heap.push(Reverse((rank, left, merged)));
                }
            };
            if right != NONE {
                links[right as usize].left = place;
                offer(place, right);
            }
            if link.left != NONE {
                offer(link.left, place);
            }
        }
        let mut links = links.iter();
        symbols.retain(|_| links.next().is_some_and(|link| !link.gone));
    }
}
