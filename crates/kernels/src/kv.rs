//! The keys and values of past tokens, in pages.

use std::ops::Range;

use crate::ops::Choice;
use crate::{Device, KvFormat, Tensor, cpu, mlx};

/// What one layer stores for each token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KvLayer {
    /// Key/value heads.
    pub kv_heads: usize,
    /// The width of a key head.
    pub key_dim: usize,
    /// The width of a value head.
    pub value_dim: usize,
}

impl KvLayer {
    /// Bytes for each token.
    pub fn bytes(&self, format: KvFormat) -> usize {
        self.kv_heads * (format.bytes(self.key_dim) + format.bytes(self.value_dim))
    }
}

/// The consecutive rows of a packed batch that belong to one sequence.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Span {
    /// Which rows of the batch.
    pub rows: Range<usize>,
    /// The position in its sequence of the first of them.
    pub start: usize,
    /// The pages of the sequence: position `p` is in slot `p % page_size` of page
    /// `pages[p / page_size]`. A page that a sliding window has left behind may be
    /// [`Span::GONE`].
    pub pages: Vec<u32>,
}

impl Span {
    /// Stands for a page that was given back because no later token looks at it.
    pub const GONE: u32 = u32::MAX;

    /// One past the position of the last row.
    pub fn end(&self) -> usize {
        self.start + self.rows.len()
    }
}

/// Pages of keys and values for every layer of a network, on a device.
///
/// Who owns which page is decided elsewhere; this is only memory. It is committed as pages are
/// first written, in slabs, so a large `pages` costs nothing until it is used.
#[derive(Debug)]
pub struct KvCache {
    pages: Pages,
}

#[derive(Debug)]
enum Pages {
    Cpu(cpu::Pages),
    Mlx(mlx::Pages),
}

impl KvCache {
    /// Room for `pages` pages of `page_size` tokens, stored as `format` says.
    /// [`Device::cache_dtype`] is what suits the device, and codes are what saves memory.
    ///
    /// # Panics
    ///
    /// If the format's type is no float, its codes do not [suit](crate::KvQuantization::check) the
    /// layers, or an extent is zero.
    #[track_caller]
    pub fn new(
        device: &Device,
        layers: &[KvLayer],
        page_size: usize,
        pages: usize,
        format: impl Into<KvFormat>,
    ) -> Self {
        let format = format.into();
        if let Some(Err(error)) = format.quantization.map(|how| how.check(layers)) {
            panic!("a cache that is impossible: {error}");
        }
        let pages = match device {
            Device::Cpu(cpu) => Pages::Cpu(cpu::Pages::new(cpu, layers, page_size, pages, format)),
            Device::Mlx(mlx) => Pages::Mlx(mlx::Pages::new(mlx, layers, page_size, pages, format)),
        };
        Self { pages }
    }

    /// Tokens in a page.
    pub fn page_size(&self) -> usize {
        match &self.pages {
            Pages::Cpu(pages) => pages.page_size(),
            Pages::Mlx(pages) => pages.page_size(),
        }
    }

    /// How many pages there may be.
    pub fn pages(&self) -> usize {
        match &self.pages {
            Pages::Cpu(pages) => pages.capacity(),
            Pages::Mlx(pages) => pages.capacity(),
        }
    }

    /// The bytes of one page over all layers.
    pub fn page_bytes(&self) -> usize {
        match &self.pages {
            Pages::Cpu(pages) => pages.page_bytes(),
            Pages::Mlx(pages) => pages.page_bytes(),
        }
    }

    /// Stores keys `k: [rows, kv_heads, key_dim]` and values `v: [rows, kv_heads, value_dim]` of
    /// `layer` at the positions that `spans` give to the rows.
    ///
    /// # Panics
    ///
    /// If a shape does not fit the layer, or a position has no page.
    #[track_caller]
    pub fn append(&mut self, layer: usize, k: &Tensor, v: &Tensor, spans: &[Span]) {
        match &mut self.pages {
            Pages::Cpu(pages) => pages.append(layer, k, v, spans),
            Pages::Mlx(pages) => pages.append(layer, k, v, spans),
        }
    }

    /// The keys and values of `layer` at positions `0..end`, as `f32`:
    /// `[end, kv_heads, key_dim]` and `[end, kv_heads, value_dim]`; zeros for pages that are
    /// [gone](Span::GONE). Slow; for references and tests.
    #[track_caller]
    pub fn read(&self, layer: usize, pages: &[u32], end: usize) -> (Vec<f32>, Vec<f32>) {
        match &self.pages {
            Pages::Cpu(own) => own.read(layer, pages, end),
            Pages::Mlx(own) => own.read(layer, pages, end),
        }
    }

    /// The bytes of `page` as they lie, which only a cache of the same kind of device, layers, format and page size can
    /// [take back](Self::put_back). Waits for what was appended to be computed. `None` if the device failed, or the page is
    /// none of this cache's, or lies where nothing was ever written.
    pub fn copy_of(&self, page: u32) -> Option<Vec<u8>> {
        match &self.pages {
            Pages::Cpu(pages) => pages.copy_of(page),
            Pages::Mlx(pages) => pages.copy_of(page),
        }
    }

    /// Makes `page` what it was when it, or another, was [copied](Self::copy_of). False, and nothing changed, if `bytes` is no
    /// copy of a page of such a cache, or there is no such page.
    #[must_use]
    pub fn put_back(&mut self, page: u32, bytes: &[u8]) -> bool {
        match &mut self.pages {
            Pages::Cpu(pages) => pages.put_back(page, bytes),
            Pages::Mlx(pages) => pages.put_back(page, bytes),
        }
    }

    /// Computes what was appended: what ends a step on a device that puts work off. Without it, a
    /// step from which nothing is read would be computed with a later one.
    pub fn settle(&mut self) {
        match &mut self.pages {
            Pages::Cpu(_) => {}
            Pages::Mlx(pages) => pages.settle(),
        }
    }

    /// Begins to compute what was appended, and `choice`, without waiting for it; what was appended
    /// before can no longer be [taken back](Self::revert).
    pub fn start(&mut self, choice: Option<&Choice>) {
        match &mut self.pages {
            Pages::Cpu(_) => {}
            Pages::Mlx(pages) => pages.start(choice.map(|choice| choice.outcomes().array())),
        }
    }

    /// Remembers what is stored now, for [`wait`](Self::wait) and [`revert`](Self::revert): what is
    /// appended from here on belongs to a later step.
    pub fn mark(&mut self) {
        match &mut self.pages {
            Pages::Cpu(_) => {}
            Pages::Mlx(pages) => pages.mark(),
        }
    }

    /// Waits for what was [started](Self::start), up to the [mark](Self::mark) if there is one.
    pub fn wait(&self) {
        match &self.pages {
            Pages::Cpu(_) => {}
            Pages::Mlx(pages) => pages.wait(),
        }
    }

    /// Takes back what was appended since the [mark](Self::mark) and not started, without computing
    /// it. On a device that puts nothing off it stays, in pages that nobody reads.
    pub fn revert(&mut self) {
        match &mut self.pages {
            Pages::Cpu(_) => {}
            Pages::Mlx(pages) => pages.revert(),
        }
    }

    /// Gives up what a device that failed has stored. Every page counts as never written.
    pub fn forget(&mut self) {
        match &mut self.pages {
            Pages::Cpu(_) => {}
            Pages::Mlx(pages) => pages.forget(),
        }
    }

    /// What `layer` stores for each token.
    pub(crate) fn layer(&self, layer: usize) -> KvLayer {
        match &self.pages {
            Pages::Cpu(pages) => pages.layer(layer),
            Pages::Mlx(pages) => pages.layer(layer),
        }
    }

    /// The pages of a cache on the CPU.
    #[track_caller]
    pub(crate) fn cpu_pages(&self) -> &cpu::Pages {
        match &self.pages {
            Pages::Cpu(pages) => pages,
            Pages::Mlx(_) => panic!("a cache on MLX in a kernel of the CPU"),
        }
    }

    /// The pages of a cache on MLX.
    #[track_caller]
    pub(crate) fn mlx_pages(&self) -> &mlx::Pages {
        match &self.pages {
            Pages::Mlx(pages) => pages,
            Pages::Cpu(_) => panic!("a cache of the CPU on MLX"),
        }
    }
}
