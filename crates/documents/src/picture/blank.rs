//! Paper with nothing on it.

use super::Picture;

/// A square of this many pixels is looked at on its own, so that a page may be lit from one side.
const TILE: usize = 16;
/// How much darker than the rest of its square a spot must be to be ink, of 255.
const INK: u16 = 48;

impl Picture {
    /// Whether it is uniform paper: of no square of 16 pixels is any spot much darker or lighter than the rest. A spot
    /// is two by two pixels, averaged, so that the noise of a scanner is none; a single full stop of a page that is 1288
    /// pixels high is one.
    pub fn is_blank(&self) -> bool {
        let spots_across = self.width / 2;
        let spots: Vec<u16> = (0..self.height / 2)
            .flat_map(|y| (0..spots_across).map(move |x| self.spot(x * 2, y * 2)))
            .collect();
        if spots.is_empty() {
            // Too small for a spot, let alone for a letter.
            return self.pixels.chunks_exact(3).all(|pixel| Some(pixel) == self.pixels.get(..3));
        }
        let side = TILE / 2;
        let rows: Vec<&[u16]> = spots.chunks_exact(spots_across).collect();
        rows.chunks(side).all(|band| {
            (0..spots_across).step_by(side).all(|left| {
                let right = (left + side).min(spots_across);
                let tile = || band.iter().flat_map(|row| &row[left..right]);
                let (least, most) = (tile().min(), tile().max());
                // Sums of twelve bytes.
                least.zip(most).is_none_or(|(least, most)| most - least < INK * 12)
            })
        })
    }

    /// The sum of the bytes of two by two pixels.
    fn spot(&self, x: usize, y: usize) -> u16 {
        let row = |y: usize| {
            let at = (y * self.width + x) * 3;
            self.pixels[at..at + 6].iter().copied().map(u16::from).sum::<u16>()
        };
        row(y) + row(y + 1)
    }
}
