//! Images for LLaVA-NeXT: the whole made small, its crops, and which of their patches become tokens.

use std::ops::Range;

use serde_json::Value;

use crate::media::{CropConfig, Image, Planes};
use crate::nn::ClipConfig;
use crate::{Picture, Preprocess, Result, Scope};

/// How images are cut, and what mentions them.
#[derive(Clone, Debug)]
pub(super) struct Images {
    config: CropConfig,
    token: u32,
    patch: usize,
}

impl Images {
    /// Reads the file beside the configuration, which must say what that says: `pinpoints`, and the size of the tower.
    pub(super) fn read(
        scope: &Scope<'_>,
        clip: &ClipConfig,
        token: u32,
        pinpoints: Option<&Value>,
    ) -> Result<Self> {
        let file = scope.preprocessor()?;
        let config = CropConfig::read(file.file(), file.value())?;
        let (side, expected) = (clip.image_size, "as in preprocessor_config.json");
        let value = format!("{side}, not {}", config.side);
        scope.expect(side == config.side, "vision_config.image_size", value, expected)?;
        if let Some(sizes) = pinpoints {
            let same = CropConfig::grids(sizes, side).as_ref() == Some(&config.grids);
            scope.expect(same, "image_grid_pinpoints", sizes, expected)?;
        }
        Ok(Self { config, token, patch: clip.patch_size })
    }

    /// The numbers of all patches of all parts, `[parts * patches, 3 * patch * patch]`.
    pub(super) fn patches(&self, picture: &Picture) -> Vec<f32> {
        let mut out = Vec::new();
        for part in &picture.parts {
            let planes = Planes::of(part, &self.config.normalization);
            planes.cut([0, 0], self.config.side, self.patch, &mut out);
        }
        out
    }

    /// Which patches stand in the sequence, of those of all parts in turn; `newline` stands for the end of a line.
    pub(super) fn order(&self, picture: &Picture, newline: u32) -> Vec<u32> {
        let (across, columns) = (self.across(), picture.grid[1]);
        let area = across * across;
        let [down, along] = self.shown(picture.size, picture.grid);
        let mut out: Vec<u32> = (0..area as u32).collect();
        for row in down {
            let patch = |column: usize| {
                let crop = 1 + row / across * columns + column / across;
                (crop * area + row % across * across + column % across) as u32
            };
            out.extend(along.clone().map(patch));
            out.push(newline);
        }
        out
    }

    /// The side of a crop, in patches.
    fn across(&self) -> usize {
        self.config.side / self.patch
    }

    /// The rows and columns of patches, of those of all crops side by side, that show some of the image and not padding alone.
    fn shown(&self, [width, height]: [usize; 2], grid: [usize; 2]) -> [Range<usize>; 2] {
        let [rows, columns] = grid.map(|crops| crops * self.across());
        // What lacks less than 5e-8 to the next whole number is that: the reference rounds to seven digits first.
        let fit = |edge: usize, scale: f64| (edge as f64 * scale + 5e-8) as usize;
        let inside = |all: usize, shown: usize| {
            let padding = all.saturating_sub(shown) / 2;
            padding..all - padding
        };
        if width as f64 / height as f64 > columns as f64 / rows as f64 {
            let shown = fit(height, columns as f64 / width as f64);
            [inside(rows, shown), 0..columns]
        } else {
            let shown = fit(width, rows as f64 / height as f64);
            [0..rows, inside(columns, shown)]
        }
    }
}

impl Preprocess for Images {
    fn picture(&self, image: &Image) -> Result<Picture> {
        let (parts, grid) = self.config.crops(image)?;
        let size = [image.width(), image.height()];
        let [down, along] = self.shown(size, grid).map(|range| range.len());
        let tokens = self.across().pow(2) + down * (along + 1);
        Ok(Picture { parts, size, grid, tokens })
    }

    fn token(&self) -> u32 {
        self.token
    }
}
