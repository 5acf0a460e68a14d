//! What an instruction set does with a block of sixteen vectors.
#![expect(unsafe_code, reason = "blocks are read by pointer")]

/// The instructions of one level, sixteen lanes at a time: in one register or in several. A value is
/// the proof that the machine has them.
pub(super) trait Blocks: Copy {
    /// Four codes in each lane, made ready to be multiplied.
    type Codes: Copy;
    /// The same four codes of a query for every lane.
    type Four: Copy;
    /// An integer in each lane.
    type Ints: Copy;
    /// A float in each lane.
    type Floats: Copy;
    /// 64 signs in each lane.
    type Signs: Copy;
    /// A count in each lane.
    type Counts: Copy;

    /// The most query vectors whose sums stay in registers; at most 6.
    const ROWS: usize;

    /// Whether there is room for the sums of four blocks.
    const FOUR_BLOCKS: bool;

    /// Whether [`dot`](Self::dot) takes stored codes for what they are and 128.
    const UNSIGNED: bool;

    /// The most query vectors whose signs and counts stay in registers; 4 or 1.
    const SIGN_ROWS: usize;

    /// # Safety
    ///
    /// 64 bytes can be read at `from`.
    unsafe fn codes(self, from: *const u8) -> Self::Codes;

    /// # Safety
    ///
    /// Four bytes can be read at `from`.
    unsafe fn four(self, from: *const i8) -> Self::Four;

    /// `x` in every lane.
    fn splat(self, x: i32) -> Self::Ints;

    /// Adds the dot product of four codes to each lane, exactly.
    fn dot(self, sums: Self::Ints, codes: Self::Codes, four: Self::Four) -> Self::Ints;

    /// The nearest floats.
    fn floats(self, ints: Self::Ints) -> Self::Floats;

    /// # Safety
    ///
    /// Sixteen `f32` can be read at `from`, which may be any address.
    unsafe fn load(self, from: *const u8) -> Self::Floats;

    /// # Safety
    ///
    /// Sixteen `f32` can be written at `to`.
    unsafe fn store(self, to: *mut f32, floats: Self::Floats);

    /// `a * b`.
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;

    /// The greater of each lane. No lane is NaN.
    fn max(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;

    /// # Safety
    ///
    /// Sixteen words of 64 bits can be read at `from`, which may be any address.
    unsafe fn signs(self, from: *const u8) -> Self::Signs;

    /// `x` in every lane.
    fn count(self, x: u32) -> Self::Counts;

    /// Adds to each lane how many of its signs differ from those of `word`.
    fn differing(self, counts: Self::Counts, signs: Self::Signs, word: u64) -> Self::Counts;

    /// The lesser of each lane.
    fn least(self, a: Self::Counts, b: Self::Counts) -> Self::Counts;

    /// The least of all lanes.
    fn least_lane(self, counts: Self::Counts) -> u32;

    /// Asks for the cache line at an address, which may be any.
    #[inline(always)]
    fn prefetch(self, _address: *const u8) {}
}
