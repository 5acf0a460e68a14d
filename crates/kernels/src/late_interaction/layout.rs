//! How vectors lie in memory and on disk, and how they become 8-bit codes.

/// Vectors side by side.
pub const BLOCK: usize = 16;

/// Components that a lane takes at once.
const FOUR: usize = 4;

/// Sizes of what vectors of one dimension are stored in. Everything is little-endian.
///
/// - *codes*: for each block of 16 vectors, for each four components (the last are filled up
///   with zeros), for each vector four bytes, each its code and 128;
/// - *scales*: for each block 16 `f32`;
/// - *signs*: for each block, for each 64 components (filled up likewise), for each vector a word of 64
///   bits, the first component the lowest; a bit is set where a component is above zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Layout {
    dim: usize,
}

impl Layout {
    /// The largest dimension.
    pub const MOST: usize = 4096;

    /// The bytes of a block of scales.
    pub const SCALE_BYTES: usize = BLOCK * size_of::<f32>();

    /// The layout of vectors of `dim` components; none beyond 1 to [`MOST`](Self::MOST).
    pub fn new(dim: usize) -> Option<Self> {
        (1..=Self::MOST).contains(&dim).then_some(Self { dim })
    }

    /// Components of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Blocks that so many vectors take.
    pub fn blocks(&self, vectors: usize) -> usize {
        vectors.div_ceil(BLOCK)
    }

    /// The bytes of a block of codes.
    pub fn code_bytes(&self) -> usize {
        self.row() * BLOCK
    }

    /// The bytes of a block of signs.
    pub fn sign_bytes(&self) -> usize {
        self.words() * size_of::<u64>() * BLOCK
    }

    /// How many blocks a page has; none if its planes do not fit each other or hold nothing.
    pub fn check(&self, page: &Page<'_>) -> Option<usize> {
        let blocks = page.codes.len() / self.code_bytes();
        let fits = blocks > 0
            && blocks * self.code_bytes() == page.codes.len()
            && blocks * Self::SCALE_BYTES == page.scales.len();
        fits.then_some(blocks)
    }

    /// Bytes of a vector's codes.
    pub(super) fn row(&self) -> usize {
        self.dim.next_multiple_of(FOUR)
    }

    /// Words of a vector's signs.
    pub(super) fn words(&self) -> usize {
        self.dim.div_ceil(64)
    }

    /// Where the code of a component lies in a block.
    pub(super) fn place(lane: usize, component: usize) -> usize {
        (component / FOUR * BLOCK + lane) * FOUR + component % FOUR
    }
}

/// A page's vectors as they are stored.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Blocks of codes.
    pub codes: &'a [u8],
    /// Blocks of scales.
    pub scales: &'a [u8],
}

/// The planes of a page; see [`Layout`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Packed {
    /// Blocks of codes.
    pub codes: Vec<u8>,
    /// Blocks of scales.
    pub scales: Vec<u8>,
    /// Blocks of signs.
    pub signs: Vec<u8>,
}

impl Packed {
    /// Stores `vectors`, one after another, with 8 bits: the largest component of a vector becomes
    /// 127 or -127, the others what is nearest, the even one of two.
    ///
    /// # Panics
    ///
    /// If `vectors` is empty or is cut by the dimension.
    #[track_caller]
    pub fn new(layout: Layout, vectors: &[f32]) -> Self {
        let (dim, count) = (layout.dim, vectors.len() / layout.dim);
        let whole = count > 0 && count * dim == vectors.len();
        assert!(whole, "pack: {} numbers are no vectors of {dim}", vectors.len());
        let blocks = layout.blocks(count);
        let mut packed = Self {
            codes: vec![128; blocks * layout.code_bytes()],
            scales: vec![0; blocks * Layout::SCALE_BYTES],
            signs: vec![0; blocks * layout.sign_bytes()],
        };
        let mut row = vec![0; layout.row()];
        for place in 0..blocks * BLOCK {
            // The last one fills its block up.
            let from = place.min(count - 1) * dim;
            let vector = &vectors[from..from + dim];
            let (block, lane) = (place / BLOCK, place % BLOCK);
            let scale = quantize(vector, &mut row);
            let at = place * size_of::<f32>();
            packed.scales[at..at + size_of::<f32>()].copy_from_slice(&scale.to_le_bytes());
            let codes = &mut packed.codes[block * layout.code_bytes()..][..layout.code_bytes()];
            for (component, code) in row.iter().enumerate() {
                codes[Layout::place(lane, component)] = code.cast_unsigned() ^ 0x80;
            }
            let signs = &mut packed.signs[block * layout.sign_bytes()..][..layout.sign_bytes()];
            for (word, part) in vector.chunks(64).enumerate() {
                let at = (word * BLOCK + lane) * size_of::<u64>();
                signs[at..at + size_of::<u64>()].copy_from_slice(&sign_word(part).to_le_bytes());
            }
        }
        packed
    }

    /// The planes that exact scores are computed from.
    pub fn page(&self) -> Page<'_> {
        Page { codes: &self.codes, scales: &self.scales }
    }
}

impl Page<'_> {
    /// The first `count` vectors as numbers, one after another: codes times their scale.
    ///
    /// # Panics
    ///
    /// If there are fewer, or the planes are not what [`Layout::check`] wants.
    #[track_caller]
    pub fn unpack(&self, layout: Layout, count: usize) -> Vec<f32> {
        let blocks = layout.check(self).unwrap_or_default();
        assert!(count <= blocks * BLOCK, "unpack: {count} vectors of {blocks} blocks");
        let mut out = Vec::with_capacity(count * layout.dim);
        for vector in 0..count {
            let scale = self.scale(vector);
            out.extend((0..layout.dim).map(|i| f32::from(self.code(layout, vector, i)) * scale));
        }
        out
    }

    /// A vector's scale.
    pub(super) fn scale(&self, vector: usize) -> f32 {
        let (scales, _) = self.scales.as_chunks();
        f32::from_le_bytes(scales[vector])
    }

    /// A component's code.
    pub(super) fn code(&self, layout: Layout, vector: usize, component: usize) -> i8 {
        let block = vector / BLOCK * layout.code_bytes();
        (self.codes[block + Layout::place(vector % BLOCK, component)] ^ 0x80).cast_signed()
    }
}

/// A query's vectors, ready to be compared with pages.
#[derive(Clone, Debug)]
pub struct Query {
    layout: Layout,
    /// Each vector's codes, filled up to a multiple of four.
    pub(super) codes: Vec<i8>,
    pub(super) scales: Vec<f32>,
    /// What 128 times a vector's codes is to be taken back by, where stored codes are unsigned.
    pub(super) offsets: Vec<i32>,
    /// Each vector's words of signs.
    pub(super) signs: Vec<u64>,
}

impl Query {
    /// Rounds `vectors`, one after another, as [`Packed::new`] does.
    ///
    /// # Panics
    ///
    /// If the dimension cuts `vectors`.
    #[track_caller]
    pub fn new(layout: Layout, vectors: &[f32]) -> Self {
        let dim = layout.dim;
        let whole = vectors.len().is_multiple_of(dim);
        assert!(whole, "query: {} numbers are no vectors of {dim}", vectors.len());
        let count = vectors.len() / dim;
        let mut query = Self {
            layout,
            codes: vec![0; count * layout.row()],
            scales: Vec::with_capacity(count),
            offsets: Vec::with_capacity(count),
            signs: Vec::with_capacity(count * layout.words()),
        };
        for (vector, row) in vectors.chunks(dim).zip(query.codes.chunks_mut(layout.row())) {
            query.scales.push(quantize(vector, row));
            query.offsets.push(-128 * row.iter().map(|&code| i32::from(code)).sum::<i32>());
            query.signs.extend(vector.chunks(64).map(sign_word));
        }
        query
    }

    /// The layout it was made for.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// How many vectors it has.
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }
}

/// Writes the nearest codes of a vector, and answers what they are to be multiplied by: 0 where the
/// vector is 0. Components must be finite.
fn quantize(vector: &[f32], codes: &mut [i8]) -> f32 {
    let most = vector.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let scale = most / 127.0;
    for (code, &x) in codes.iter_mut().zip(vector) {
        // What is too small to have a scale is nothing.
        let nearest = if scale > 0.0 { (x / scale).round_ties_even() } else { 0.0 };
        *code = nearest.clamp(-127.0, 127.0) as i8;
    }
    scale
}

/// The signs of up to 64 components.
fn sign_word(part: &[f32]) -> u64 {
    part.iter().enumerate().fold(0, |word, (bit, &x)| word | u64::from(x > 0.0) << bit)
}
