//! Images for Qwen2.5-VL: resized to whole blocks of patches, in their own shape.

use checkpoint::Config;

use crate::media::{Image, PatchConfig, Patches};
use crate::{Picture, Preprocess, Result};

/// How images are made into patches, and what mentions them.
#[derive(Clone, Debug)]
pub(super) struct Images {
    config: PatchConfig,
    token: u32,
}

impl Images {
    pub(super) fn read(file: &Config, token: u32) -> Result<Self> {
        Ok(Self { config: PatchConfig::read(file.file(), file.value())?, token })
    }

    pub(super) fn config(&self) -> &PatchConfig {
        &self.config
    }

    /// The patches of a picture.
    pub(super) fn patches(&self, picture: &Picture) -> Patches {
        self.config.cut(&picture.parts[0])
    }
}

impl Preprocess for Images {
    fn picture(&self, image: &Image) -> Result<Picture> {
        let resized = self.config.resized(image)?;
        let block = self.config.patch * self.config.merge;
        let grid = [resized.height() / block, resized.width() / block];
        Ok(Picture {
            parts: vec![resized],
            size: [image.width(), image.height()],
            grid,
            tokens: grid[0] * grid[1],
        })
    }

    fn token(&self) -> u32 {
        self.token
    }
}
