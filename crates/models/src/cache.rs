//! What a network remembers of its sequences.

use kernels::ops::Choice;
use kernels::{Device, KvCache, KvFormat, KvLayer};

/// How far back a layer looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Remember {
    /// To the beginning.
    Full,
    /// Over the last so many positions, the current one included.
    Sliding(usize),
}

/// What one layer keeps for each token, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LayerCache {
    /// The heads that are kept.
    pub kv: KvLayer,
    /// How far back the layer looks.
    pub remember: Remember,
}

/// The pages of all layers of a network. Who owns which page is decided by the engine.
#[derive(Debug)]
pub struct Cache {
    pub(crate) kv: Option<KvCache>,
}

impl Cache {
    /// Room for `pages` pages of `page_size` tokens of a network with these `layers`, kept as
    /// `format` says (see [`KvCache::new`]). Memory is committed as pages are first written.
    pub fn new(
        device: &Device,
        layers: &[LayerCache],
        page_size: usize,
        pages: usize,
        format: impl Into<KvFormat>,
    ) -> Self {
        let layers: Vec<_> = layers.iter().map(|layer| layer.kv).collect();
        Self { kv: Some(KvCache::new(device, &layers, page_size, pages, format)) }
    }

    /// A cache that keeps nothing: layers see what is in the batch, and each span begins at 0.
    pub fn nothing() -> Self {
        Self { kv: None }
    }

    /// Tokens in a page.
    pub fn page_size(&self) -> usize {
        self.kv.as_ref().map_or(0, KvCache::page_size)
    }

    /// The bytes of one page over all layers.
    pub fn page_bytes(&self) -> usize {
        self.kv.as_ref().map_or(0, KvCache::page_bytes)
    }

    /// The bytes of `page`: see [`KvCache::copy_of`].
    pub fn copy_of(&self, page: u32) -> Option<Vec<u8>> {
        self.kv.as_ref()?.copy_of(page)
    }

    /// Makes `page` what it was when it was copied: see [`KvCache::put_back`].
    #[must_use]
    pub fn put_back(&mut self, page: u32, bytes: &[u8]) -> bool {
        self.kv.as_mut().is_some_and(|kv| kv.put_back(page, bytes))
    }

    /// Ends a step: computes what the layers stored, on a device that puts work off.
    pub fn settle(&mut self) {
        if let Some(kv) = &mut self.kv {
            kv.settle();
        }
    }

    /// Begins to compute what the layers stored, and `choice`, without waiting.
    pub fn start(&mut self, choice: Option<&Choice>) {
        if let Some(kv) = &mut self.kv {
            kv.start(choice);
        }
    }

    /// What is stored from here on belongs to a later step, which can be [taken back](Self::revert).
    pub fn mark(&mut self) {
        if let Some(kv) = &mut self.kv {
            kv.mark();
        }
    }

    /// Waits for what was started, up to the [mark](Self::mark) if there is one.
    pub fn wait(&self) {
        if let Some(kv) = &self.kv {
            kv.wait();
        }
    }

    /// Takes back what was stored since the [mark](Self::mark) and not started.
    pub fn revert(&mut self) {
        if let Some(kv) = &mut self.kv {
            kv.revert();
        }
    }

    /// Gives up what a device that failed has stored.
    pub fn forget(&mut self) {
        if let Some(kv) = &mut self.kv {
            kv.forget();
        }
    }
}
