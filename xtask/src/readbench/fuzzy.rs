//! How alike two texts are, as the benchmark's own libraries count it.

use std::collections::HashMap;

/// A text whose longest common subsequence with others is wanted: for each of its characters, the places where it stands,
/// as bits.
struct Needle {
    places: HashMap<char, Vec<u64>>,
    length: usize,
}

impl Needle {
    fn new(text: &[char]) -> Self {
        let words = text.len().div_ceil(64);
        let mut places = HashMap::new();
        for (index, c) in text.iter().enumerate() {
            let bits: &mut Vec<u64> = places.entry(*c).or_insert_with(|| vec![0; words]);
            bits[index / 64] |= 1 << (index % 64);
        }
        Self { places, length: text.len() }
    }

    /// The length of the longest common subsequence, by H. Hyyrö, "Bit-parallel LCS-length computation revisited": a bit
    /// is cleared where the length grows. `row` is room to work in.
    fn common(&self, other: &[char], row: &mut Vec<u64>) -> usize {
        row.clear();
        row.resize(self.length.div_ceil(64), u64::MAX);
        for c in other {
            let Some(places) = self.places.get(c) else { continue };
            let mut carry = false;
            for (bits, places) in row.iter_mut().zip(places) {
                let matched = *bits & places;
                let (sum, over) = bits.overflowing_add(matched);
                let (sum, again) = sum.overflowing_add(u64::from(carry));
                carry = over || again;
                *bits = sum | (*bits & !matched);
            }
        }
        let ones: usize = row.iter().map(|bits| bits.count_ones() as usize).sum();
        // Bits after the end stay ones.
        row.len() * 64 - ones
    }

    /// From 0 to 100: one minus the insertions and deletions between the two, as a part of both lengths.
    fn ratio(&self, other: &[char], row: &mut Vec<u64>) -> f64 {
        let both = self.length + other.len();
        if both == 0 {
            return 100.0;
        }
        let apart = both - 2 * self.common(other, row);
        (1.0 - apart as f64 / both as f64) * 100.0
    }
}

/// How alike two texts are, 0 to 100 (RapidFuzz's `ratio`).
pub(super) fn ratio(a: &[char], b: &[char]) -> f64 {
    Needle::new(a).ratio(b, &mut Vec::new())
}

/// How alike the shorter text is to the part of the longer that is most like it, 0 to 100 (RapidFuzz's `partial_ratio`).
/// A part is as long as the shorter text, or shorter at either end of the longer.
pub(super) fn partial_ratio(a: &[char], b: &[char]) -> f64 {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short.is_empty() {
        return if long.is_empty() { 100.0 } else { 0.0 };
    }
    let best = best_part(short, long);
    if short.len() == long.len() && best < 100.0 { best.max(best_part(long, short)) } else { best }
}

fn best_part(short: &[char], long: &[char]) -> f64 {
    let needle = Needle::new(short);
    let mut row = Vec::new();
    let length = short.len();
    let whole = long.windows(length);
    let begins = (1..length).map(|length| &long[..length]);
    let ends = (1..length).map(|length| &long[long.len() - length..]);
    let mut best = 0.0_f64;
    for part in whole.chain(begins).chain(ends) {
        best = best.max(needle.ratio(part, &mut row));
        if best >= 100.0 {
            break;
        }
    }
    best
}

/// Where `needle` stands in `text` with at most so many insertions, deletions and replacements: the first character of the
/// best of each group of places that overlap.
pub(super) fn near_matches(needle: &[char], text: &[char], most: usize) -> Vec<usize> {
    if most == 0 {
        let windows = text.windows(needle.len().max(1)).enumerate();
        return windows.filter(|(_, part)| *part == needle).map(|(start, _)| start).collect();
    }
    // Each row's distance to a part that ends here, and where the part begins (P. Sellers, 1980).
    let mut column: Vec<(usize, usize)> = (0..=needle.len()).map(|row| (row, 0)).collect();
    let mut found: Vec<(usize, usize, usize)> = Vec::new();
    for (index, c) in text.iter().enumerate() {
        let mut diagonal = column[0];
        column[0] = (0, index + 1);
        for row in 1..=needle.len() {
            let same = (diagonal.0 + usize::from(needle[row - 1] != *c), diagonal.1);
            let more = (column[row].0 + 1, column[row].1);
            let less = (column[row - 1].0 + 1, column[row - 1].1);
            diagonal = column[row];
            column[row] = same.min(more).min(less);
        }
        let (distance, start) = column[needle.len()];
        if distance <= most {
            found.push((start, index + 1, distance));
        }
    }
    found.sort_unstable();
    let mut starts = Vec::new();
    let mut group: Option<(usize, (usize, usize, usize))> = None;
    for (start, end, distance) in found {
        let rank = (distance, usize::MAX - (end - start), start);
        group = match group {
            Some((reach, best)) if start < reach => Some((reach.max(end), best.min(rank))),
            earlier => {
                starts.extend(earlier.map(|(_, best)| best.2));
                Some((end, rank))
            }
        };
    }
    starts.extend(group.map(|(_, best)| best.2));
    starts
}
