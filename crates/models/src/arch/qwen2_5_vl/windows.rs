//! Windows of an image: the patches within which most layers attend, side by side.

use std::iter;
use std::ops::Range;

/// Windows that are computed together.
pub(super) struct Group {
    /// The places of their patches.
    pub(super) rows: Range<usize>,
    /// Each window, counted from the first of these places.
    pub(super) windows: Vec<Range<usize>>,
}

impl Group {
    /// One window alone.
    pub(super) fn of(rows: Range<usize>) -> Self {
        Self { windows: iter::once(0..rows.len()).collect(), rows }
    }
}

/// Patches that are computed together, but for one window more: their activations fit in memory that is used again.
pub(super) const TOGETHER: usize = 256;

/// How the blocks of an image are sorted into windows.
pub(super) struct Windows {
    /// The block of the image that stands at each place.
    order: Vec<u32>,
    /// The place of each block.
    pub(super) place_of_block: Vec<u32>,
    /// The patch that stands at each place.
    pub(super) patch_order: Vec<u32>,
    /// The places of the patches of each window.
    patches: Vec<Range<usize>>,
}

impl Windows {
    /// Of an image of `grid` blocks of `area` patches, in windows of `side` by `side` blocks, which the edge may cut.
    pub(super) fn of([down, across]: [usize; 2], side: usize, area: usize) -> Self {
        let (mut order, mut patches) = (Vec::with_capacity(down * across), Vec::new());
        for top in (0..down).step_by(side) {
            for left in (0..across).step_by(side) {
                let from = order.len();
                for row in top..(top + side).min(down) {
                    let blocks = left..(left + side).min(across);
                    order.extend(blocks.map(|column| (row * across + column) as u32));
                }
                patches.push(from * area..order.len() * area);
            }
        }
        let mut place_of_block = vec![0; order.len()];
        for (place, &block) in (0..).zip(&order) {
            place_of_block[block as usize] = place;
        }
        let patches_of = |&block: &u32| block * area as u32..(block + 1) * area as u32;
        let patch_order = order.iter().flat_map(patches_of).collect();
        Self { order, place_of_block, patch_order, patches }
    }

    /// All windows in their order, a few in each group.
    pub(super) fn groups(&self, together: usize) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for window in &self.patches {
            match groups.last_mut() {
                Some(group) if group.rows.len() < together => {
                    let first = group.rows.start;
                    group.windows.push(window.start - first..window.end - first);
                    group.rows.end = window.end;
                }
                _ => groups.push(Group::of(window.clone())),
            }
        }
        groups
    }

    /// The row and the column of each patch, in the order of windows.
    pub(super) fn positions(&self, [_, across]: [usize; 2], merge: usize) -> Vec<u32> {
        let of_block = |&block: &u32| {
            let (row, column) = (block as usize / across * merge, block as usize % across * merge);
            let patches = (0..merge * merge).map(move |i| [row + i / merge, column + i % merge]);
            patches.flatten().map(|position| position as u32)
        };
        self.order.iter().flat_map(of_block).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Windows;

    /// The reference's own order, for an image of 6 by 5 blocks.
    #[test]
    fn windows_are_cut_by_the_edges() {
        let windows = Windows::of([6, 5], 4, 4);
        let order = [
            0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15, 16, 17, 18, 4, 9, 14, 19, 20, 21, 22, 23,
            25, 26, 27, 28, 24, 29,
        ];
        assert_eq!(windows.order, order);
        assert_eq!(windows.patches, [0..64, 64..80, 80..112, 112..120]);
        for (place, block) in windows.order.iter().enumerate() {
            assert_eq!(windows.place_of_block[*block as usize] as usize, place);
        }
        assert_eq!(windows.patch_order[16 * 4..][..8], [16, 17, 18, 19, 36, 37, 38, 39]);
        let positions = windows.positions([6, 5], 2);
        assert_eq!(positions[..8], [0, 0, 0, 1, 1, 0, 1, 1]);
        assert_eq!(positions[16 * 8..][..4], [0, 8, 0, 9]);
    }

    #[test]
    fn a_page_has_as_many_windows_as_the_reference_says() {
        let windows = Windows::of([46, 36], 4, 4);
        assert_eq!(windows.patches.len(), 108);
        let ends: Vec<_> = windows.patches.iter().rev().take(3).map(|window| window.end).collect();
        assert_eq!(ends, [6624, 6592, 6560]);
        assert_eq!(windows.order[..5], [0, 1, 2, 3, 36]);
        let groups = windows.groups(1024);
        assert_eq!(
            (groups.len(), groups[0].rows.clone(), groups[0].windows.len()),
            (7, 0..1024, 16)
        );
        assert_eq!(groups[6].rows, 6144..6624);
        assert_eq!(groups[6].windows.last(), Some(&(448..480)));
        assert!(groups.windows(2).all(|pair| pair[0].rows.end == pair[1].rows.start));
    }
}
