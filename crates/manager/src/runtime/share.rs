//! What the bytes of a cache are for.

use engine::EngineOptions;
use kernels::{Device, KvFormat};
use models::Decoder;

use super::error::Error;
use super::load::{LoadOptions, Preemption, for_images};

/// How the bytes of a cache are shared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) per_token: u64,
    pub(super) page_size: usize,
    /// Tokens that there can ever be.
    pub(super) most: usize,
    /// Whether features of images have a part.
    pub(super) sees: bool,
    /// Whether copies of sequences that are put aside have one.
    pub(super) preemption: Preemption,
}

/// A cache's tokens, and the bytes that are something else's.
pub(super) struct Divided {
    pub(super) tokens: usize,
    pub(super) images: usize,
    pub(super) copies: usize,
}

impl Share {
    pub(super) fn of(&self, bytes: u64) -> Divided {
        let images = if self.sees { for_images(bytes) } else { 0 };
        let bytes = bytes - images;
        let copies = self.preemption.bytes(bytes);
        let affordable = usize::try_from((bytes - copies) / self.per_token).unwrap_or(usize::MAX);
        let [images, copies] =
            [images, copies].map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        // At least one page: a budget of nothing is refused with words when a request comes.
        Divided { tokens: affordable.min(self.most).max(self.page_size), images, copies }
    }
}

/// Room for as many tokens as the budget allows, and no more than there can be. Memory is committed
/// when it is first written, so a generous budget costs a short conversation nothing.
pub(super) fn engine_options(
    device: &Device,
    decoder: &dyn Decoder,
    context: usize,
    options: LoadOptions,
) -> Result<(EngineOptions, Share), Error> {
    let LoadOptions { cache_bytes, sequences, step_tokens, kv, .. } = options;
    let LoadOptions { waiting, decode_share, prefix_bytes, preemption, .. } = options;
    let prefix_bytes = prefix_bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let layers = decoder.layers();
    let kept: Vec<_> = layers.iter().map(|layer| layer.kv).collect();
    let quantization =
        kv.map(|codes| codes.quantization(&kept)).transpose().map_err(Error::Codes)?;
    let cache_format = KvFormat { dtype: device.cache_dtype(), quantization };
    let base = EngineOptions {
        sequences,
        step_tokens,
        cache_format,
        waiting,
        decode_share,
        prefix_bytes,
        ..EngineOptions::default()
    };
    let per_token = base.cache_bytes_per_token(&layers).max(1) as u64;
    let share = Share {
        per_token,
        page_size: base.page_size,
        most: context.saturating_mul(sequences),
        sees: decoder.vision().is_some(),
        preemption,
    };
    let Divided { tokens: cache_tokens, images: image_bytes, copies: swap_bytes } =
        share.of(cache_bytes);
    let cache_most = share.of(options.cache_most.max(cache_bytes)).tokens;
    let page_bytes = base.cache_bytes_per_token(&layers).saturating_mul(base.page_size);
    let preemption = preemption.of_pages(page_bytes);
    let base = EngineOptions { image_bytes, preemption, swap_bytes, ..base };
    Ok((EngineOptions { cache_tokens, cache_most, ..base }, share))
}
