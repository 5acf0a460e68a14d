//! The vision tower of Qwen2.5-VL.
//!
//! Patches are rows, those of a block of `spatial_merge_size` squared side by side. They are sorted into windows of
//! `window_size` pixels, within which most layers attend; those of `fullatt_block_indexes` attend over the whole image. Half of
//! the pairs of a head are rotated by the row of a patch, half by its column. At the end each block becomes one row, and the
//! order of the image is restored.

use std::ops::Range;
use std::slice;
use std::sync::Arc;

use kernels::ops::Rope;
use kernels::{Device, Tensor, ops};

use super::layers::{Layer, Merger, VisionConfig};
use super::preprocess::Images;
use super::windows::{TOGETHER, Windows};
use crate::nn::pieces::Halfway;
use crate::nn::{Weight, refuse_unknown};
use crate::{Picture, Preprocess, Result, Scope, Taps, Vision};

const ROPE_BASE: f32 = 10_000.0;

/// About what a head does over 2000 patches.
const LOOKS: usize = 1 << 22;

/// Patches to features.
#[derive(Debug)]
pub(crate) struct Tower {
    name: String,
    device: Device,
    patch_embed: Weight,
    blocks: Vec<Layer>,
    merger: Merger,
    rope: Rope,
    /// The side of a window, in blocks.
    window: usize,
    /// The side of a block, in patches.
    merge: usize,
    /// Patches from which on a group of windows is closed.
    together: usize,
    /// How many pairs of patches the heads of a piece look at, at least those of one head.
    looks: usize,
    images: Arc<Images>,
}

impl Tower {
    /// Loads what lies at `scope`; `width` is that of the features.
    pub(super) fn load(
        scope: &Scope<'_>,
        c: VisionConfig,
        width: usize,
        images: Images,
    ) -> Result<Self> {
        refuse_unknown(scope, "qwen2_5_vl", &c.rest)?;
        c.hidden_act.expect_silu(scope)?;
        for channels in [c.in_channels, c.in_chans].into_iter().flatten() {
            scope.expect(channels == 3, "vision_config.in_channels", channels, "3")?;
        }
        let out = c.out_hidden_size.unwrap_or(width);
        scope.expect(out == width, "vision_config.out_hidden_size", out, "hidden_size")?;
        // A file beside the configuration says the same once more.
        let patches = images.config();
        for (field, own, other) in [
            ("vision_config.patch_size", c.patch_size, patches.patch),
            ("vision_config.spatial_merge_size", c.spatial_merge_size, patches.merge),
            ("vision_config.temporal_patch_size", c.temporal_patch_size, patches.frames),
        ] {
            let expected = "as in preprocessor_config.json";
            scope.expect(
                own == other && own > 0,
                field,
                format!("{own}, not {other}"),
                expected,
            )?;
        }
        let head_dim = c.hidden_size / c.num_heads.max(1);
        let fits = c.num_heads > 0 && c.hidden_size.is_multiple_of(c.num_heads);
        scope.expect(fits, "vision_config.num_heads", c.num_heads, "a divisor of hidden_size")?;
        let fits = head_dim > 0 && head_dim.is_multiple_of(4) && head_dim <= 1 << 12;
        scope.expect(
            fits,
            "vision_config.num_heads",
            c.num_heads,
            "for heads of four times a number",
        )?;
        let block = c.patch_size.saturating_mul(c.spatial_merge_size);
        let window = c.window_size / block;
        scope.expect(window > 0, "vision_config.window_size", c.window_size, "at least a block")?;
        let frame = [c.temporal_patch_size, c.patch_size, c.patch_size];
        let blocks = scope.at("blocks");
        let tower = Self {
            name: scope.name().to_owned(),
            device: scope.device().clone(),
            patch_embed: scope.at("patch_embed.proj").patches(c.hidden_size, 3, &frame)?,
            blocks: (0..c.depth)
                .map(|i| Layer::load(&blocks.at(i), &c, i))
                .collect::<Result<_>>()?,
            merger: Merger::load(&scope.at("merger"), &c, width)?,
            rope: in_two_axes(head_dim, c.rope_parameters.rope_theta.unwrap_or(ROPE_BASE)),
            window,
            merge: c.spatial_merge_size,
            together: TOGETHER,
            looks: LOOKS,
            images: Arc::new(images),
        };
        scope.note_floats();
        Ok(tower)
    }
}

/// Half of the pairs go by rows, half by columns, with the same frequencies.
fn in_two_axes(head_dim: usize, base: f32) -> Rope {
    let half = Rope::new(head_dim / 2, base);
    let pairs = half.freqs.len();
    let axes = [vec![0; pairs], vec![1; pairs]].concat();
    Rope { freqs: half.freqs.repeat(2), axes, ..half }
}

impl Vision for Tower {
    fn preprocess(&self) -> Arc<dyn Preprocess> {
        Arc::clone(&self.images) as Arc<dyn Preprocess>
    }

    fn pieces(&self, picture: &Picture) -> usize {
        self.course(&self.windows(picture)).len()
    }

    fn piece(
        &self,
        picture: &Picture,
        piece: usize,
        left: Vec<Tensor>,
        taps: &Taps,
    ) -> Vec<Tensor> {
        let tap = |name: &str, value| taps.tap(&format!("{}.{name}", self.name), value);
        let area = self.merge * self.merge;
        let windows = self.windows(picture);
        let groups = windows.groups(self.together);
        let rows: Vec<_> = groups.iter().map(|group| group.rows.clone()).collect();
        let step = &self.course(&windows)[piece];
        if matches!(step, Step::Embed) {
            let patches = self.images.patches(picture);
            let rows = patches.grid[0] * patches.grid[1];
            let width = patches.values.len() / rows.max(1);
            let x = self.device.tensor(&[rows, width], patches.values);
            let x = tap("patch_embed", self.patch_embed.matmul(&x));
            return vec![ops::take(&x, &windows.patch_order)];
        }
        let positions = windows.positions(picture.grid, self.merge);
        // A layer that attends over the whole image keeps what it began with beside what it works on.
        let mut left = left;
        let keeps = matches!(step, Step::See(..) | Step::Close(..));
        let begun = keeps.then(|| left.remove(0));
        let halfway = Halfway::of(left);
        let of_group = |group: &Range<usize>| Halfway::rows(&halfway.x, group);
        match step {
            Step::Embed => unreachable!("it was done above"),
            Step::Windows(layer, group) => {
                let (layer, group) = (&self.blocks[*layer], &groups[*group]);
                let positions = &positions[2 * group.rows.start..2 * group.rows.end];
                let x = of_group(&group.rows);
                let x = layer.attend(&x, positions, &self.rope, &group.windows);
                layer.made(halfway.with(layer.feed(&x), &rows), taps).left()
            }
            Step::Project(layer, group) => {
                let layer = &self.blocks[*layer];
                let x = of_group(&rows[*group]);
                let qkv = layer.project(&x);
                let begun = halfway.x.clone();
                let halfway = halfway.with(qkv, &rows);
                if halfway.is_whole() { vec![begun, halfway.x] } else { halfway.left() }
            }
            Step::See(layer, heads, last) => {
                let heads = (heads.clone(), &positions[..], &self.rope);
                let all = 0..halfway.x.rows();
                let seen = self.blocks[*layer].see(&halfway.x, heads, slice::from_ref(&all));
                let mut left = [vec![], begun.into_iter().collect(), halfway.left()].concat();
                left.push(seen);
                if *last {
                    let seen = ops::concatenate(&left[2..].iter().collect::<Vec<_>>());
                    left.truncate(1);
                    left.push(seen);
                }
                left
            }
            Step::Close(layer, group) => {
                let (layer, group) = (&self.blocks[*layer], &rows[*group]);
                let begun = begun.unwrap_or_else(|| halfway.x.clone());
                let x = layer.close(&Halfway::rows(&begun, group), &of_group(group));
                let halfway = halfway.with(layer.feed(&x), &rows);
                if halfway.is_whole() {
                    return layer.made(halfway, taps).left();
                }
                [vec![begun], halfway.left()].concat()
            }
            Step::Merge(group) => {
                let merged = self.merger.forward(&of_group(&rows[*group]), area);
                let blocks: Vec<_> =
                    rows.iter().map(|rows| rows.start / area..rows.end / area).collect();
                let halfway = halfway.with(merged, &blocks);
                if !halfway.is_whole() {
                    return halfway.left();
                }
                vec![ops::take(&tap("merger", halfway.x), &windows.place_of_block)]
            }
        }
    }
}

/// One piece of the way through the tower.
#[derive(Debug)]
enum Step {
    /// Patches become rows.
    Embed,
    /// A layer, for a group of windows.
    Windows(usize, usize),
    /// A layer that attends over the whole image: queries, keys and values of a group of rows.
    Project(usize, usize),
    /// What some of its heads see, and whether they are the last.
    See(usize, Range<usize>, bool),
    /// The rest of it, for a group of rows.
    Close(usize, usize),
    /// Blocks of a group become features.
    Merge(usize),
}

impl Tower {
    fn windows(&self, picture: &Picture) -> Windows {
        Windows::of(picture.grid, self.window, self.merge * self.merge)
    }

    /// All pieces, in order.
    fn course(&self, windows: &Windows) -> Vec<Step> {
        let groups = windows.groups(self.together);
        let (rows, groups) = (groups.last().map_or(0, |group| group.rows.end), groups.len());
        let mut steps = vec![Step::Embed];
        for (i, layer) in self.blocks.iter().enumerate() {
            if !layer.whole {
                steps.extend((0..groups).map(|group| Step::Windows(i, group)));
                continue;
            }
            // Each head looks from every row at every row.
            let some = (self.looks / (rows * rows).max(1)).clamp(1, layer.heads);
            let heads = (0..layer.heads).step_by(some).map(|first| {
                let end = (first + some).min(layer.heads);
                Step::See(i, first..end, end == layer.heads)
            });
            steps.extend((0..groups).map(|group| Step::Project(i, group)));
            steps.extend(heads);
            steps.extend((0..groups).map(|group| Step::Close(i, group)));
        }
        steps.extend((0..groups).map(Step::Merge));
        steps
    }
}

#[cfg(test)]
mod tests {
    use checkpoint::Folder;
    use kernels::{CpuOptions, Device, Precision};

    use super::super::preprocess::Images;
    use super::Tower;
    use crate::media::Image;
    use crate::{Scope, Taps, Vision as _};

    /// Whatever stands together, each window is computed alike.
    #[test]
    fn groups_of_any_size_make_the_same_features() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/vision/qwen2_5_vl");
        let options = CpuOptions { precision: Precision::Exact, ..CpuOptions::default() };
        let device = Device::cpu(options).unwrap();
        let folder = Folder::open(path.as_ref()).unwrap();
        let features = |(together, looks): (usize, usize)| {
            let weights = folder.weights().unwrap();
            let root = Scope::new(weights.root(), folder.config(), &device).of(&folder);
            let images = Images::read(&root.preprocessor().unwrap(), 1).unwrap();
            let config = folder.config().part("vision_config").unwrap().unwrap();
            let config = config.parse("qwen2_5_vl").unwrap();
            let tower = Tower::load(&root.at("visual"), config, 64, images).unwrap();
            let tower = Tower { together, looks, ..tower };
            // Nine windows, five of them cut.
            let pixels = (0..300 * 280 * 3).map(|i| (i * 31 % 251) as u8).collect();
            let image = Image::new(300, 280, pixels).unwrap();
            let picture = tower.preprocess().picture(&image).unwrap();
            tower.forward(&picture, &Taps::default()).to_vec()
        };
        let all = features((usize::MAX, usize::MAX));
        assert_eq!(all.len(), 110 * 64);
        for together in [1, 64, 100, 200] {
            for looks in [0, 1 << 18, usize::MAX] {
                assert_eq!(features((together, looks)), all, "{together} {looks}");
            }
        }
    }
}
