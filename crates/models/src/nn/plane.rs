//! Positions of images in a plane, beside those of text in a line.
//!
//! A row has three positions: in time, down and across. Text moves on all three at once. All of an image stands at the time at
//! which it comes; its tokens go down and across from there. What follows it begins one past the largest of its positions.
//!
//! Source: Wang et al., "Enhancing Vision-Language Model's Perception of the World at Any Resolution" (2024), for images that stand still.

use crate::ImageSpan;

/// The axes of a row's position.
pub(crate) const AXES: usize = 3;

/// The positions `[rows, 3]` of the tokens `start..start + rows` of a sequence with these `images`, in order.
pub(crate) fn positions(start: usize, rows: usize, images: &[ImageSpan]) -> Vec<u32> {
    let mut out = Vec::with_capacity(rows * AXES);
    let wanted = start..start + rows;
    // The next token, and its position in time.
    let (mut token, mut time) = (0, 0);
    let text = |out: &mut Vec<u32>, from: usize, to: usize, time: usize| {
        for token in from.max(wanted.start)..to.min(wanted.end) {
            out.extend([(time + token - from) as u32; AXES]);
        }
    };
    for image in images {
        let [down, across] = image.grid;
        text(&mut out, token, image.positions.start, time);
        time += image.positions.start - token;
        for at in image.positions.start.max(start)..image.positions.end.min(wanted.end) {
            let within = at - image.positions.start;
            let (row, column) = (within / across.max(1), within % across.max(1));
            out.extend([time, time + row, time + column].map(|position| position as u32));
        }
        (token, time) = (image.positions.end, time + down.max(across));
    }
    text(&mut out, token, wanted.end, time);
    out
}

#[cfg(test)]
mod tests {
    use super::{ImageSpan, positions};

    fn image(at: usize, grid: [usize; 2]) -> ImageSpan {
        ImageSpan { positions: at..at + grid[0] * grid[1], grid, features: None }
    }

    #[test]
    fn images_stand_in_a_plane_and_text_goes_on_behind_them() {
        let images = [image(2, [2, 3]), image(9, [1, 1])];
        let all = positions(0, 12, &images);
        let rows: Vec<_> = all.chunks(3).map(|row| [row[0], row[1], row[2]]).collect();
        let plane = [[2, 2, 2], [2, 2, 3], [2, 2, 4], [2, 3, 2], [2, 3, 3], [2, 3, 4]];
        assert_eq!(rows[..2], [[0; 3], [1; 3]]);
        assert_eq!(rows[2..8], plane);
        assert_eq!(rows[8..], [[5; 3], [6; 3], [7; 3], [8; 3]]);
        // Any part of a sequence has the positions that it has in the whole.
        for from in 0..12 {
            for to in from..=12 {
                assert_eq!(positions(from, to - from, &images), all[3 * from..3 * to]);
            }
        }
    }

    #[test]
    fn text_alone_stands_in_a_line() {
        assert_eq!(positions(5, 2, &[]), [5, 5, 5, 6, 6, 6]);
    }
}
