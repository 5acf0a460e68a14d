//! Images for Phi-3 vision: a board of crops, the board made small, and the order in which their patches are read.

use checkpoint::Config;

use super::{ACROSS, PATCH, SIDE};
use crate::media::{BoardConfig, Image, Planes};
use crate::{Picture, Preprocess, Result};

/// Blocks of two by two patches across a crop.
const BLOCKS: usize = ACROSS / 2;

/// How images are put on their boards, and what mentions them.
#[derive(Clone, Debug)]
pub(super) struct Images {
    config: BoardConfig,
    token: u32,
}

impl Images {
    pub(super) fn read(file: &Config, token: u32) -> Result<Self> {
        Ok(Self { config: BoardConfig::read(file.file(), file.value(), SIDE)?, token })
    }

    /// The numbers of all patches of the board made small and of each crop, `[(1 + crops) * patches, 3 * patch * patch]`.
    pub(super) fn patches(&self, picture: &Picture) -> Vec<f32> {
        let board = Planes::of(&picture.parts[0], &self.config.normalization);
        let [rows, columns] = picture.grid;
        let mut out = Vec::new();
        board.interpolated(SIDE).cut([0, 0], SIDE, PATCH, &mut out);
        for crop in 0..rows * columns {
            let corner = [crop / columns * SIDE, crop % columns * SIDE];
            board.cut(corner, SIDE, PATCH, &mut out);
        }
        out
    }
}

impl Preprocess for Images {
    fn picture(&self, image: &Image) -> Result<Picture> {
        let (board, grid) = self.config.fitted(image)?;
        let [rows, columns] = grid.map(|crops| crops * BLOCKS);
        let tokens = rows * (columns + 1) + 1 + BLOCKS * (BLOCKS + 1);
        Ok(Picture { parts: vec![board], size: [image.width(), image.height()], grid, tokens })
    }

    /// The last of the vocabulary, which no text has.
    fn token(&self) -> u32 {
        self.token
    }

    fn mention(&self) -> Option<[&'static str; 2]> {
        Some(["<|image_", "|>"])
    }
}

/// The patches of crops, block by block: the four of each behind each other.
pub(super) fn blocks(patches: usize) -> Vec<u32> {
    let of_block = |block: usize| {
        let (crop, within) = (block / (BLOCKS * BLOCKS), block % (BLOCKS * BLOCKS));
        let first = (crop * ACROSS + within / BLOCKS * 2) * ACROSS + within % BLOCKS * 2;
        [first, first + 1, first + ACROSS, first + ACROSS + 1].map(|patch| patch as u32)
    };
    (0..patches / 4).flat_map(of_block).collect()
}

/// The blocks of `grid` crops, the first of which is `crop`, row by row across all of them, with `end` behind each row.
pub(super) fn side_by_side(crop: usize, [rows, columns]: [usize; 2], end: u32) -> Vec<u32> {
    let mut out = Vec::with_capacity(rows * BLOCKS * (columns * BLOCKS + 1));
    for row in 0..rows * BLOCKS {
        out.extend((0..columns * BLOCKS).map(|column| {
            let crop = crop + row / BLOCKS * columns + column / BLOCKS;
            ((crop * BLOCKS + row % BLOCKS) * BLOCKS + column % BLOCKS) as u32
        }));
        out.push(end);
    }
    out
}
