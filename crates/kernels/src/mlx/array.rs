//! Handles on MLX's arrays, and the shim's functions as safe ones.
//!
//! Nothing here fails: a call that MLX refuses is remembered on the [device](Mlx) and gives a dead
//! array, and so does every call on a dead one, until the owner of the step asks for the failure.
#![expect(unsafe_code, reason = "C functions are called with handles that this module owns")]

use std::ffi::{CStr, c_int};
use std::fmt;
use std::ptr::{null, null_mut};
use std::sync::Arc;

use super::Mlx;
use super::library::{Functions, Given, Handle};
use crate::ops::{Draw, Groups, Routing, Scoring};
use crate::{DType, KvQuantization, QuantizationMode, QuantizedTensor, Tensor};

/// A node of MLX's graph.
pub(crate) struct Array {
    mlx: Arc<Mlx>,
    /// Null if it is dead.
    handle: Handle,
}

// SAFETY: a handle is a counted reference whose count is atomic, and all calls go one at a time.
unsafe impl Send for Array {}
// SAFETY: as above; nothing is changed through a shared handle.
unsafe impl Sync for Array {}

impl Drop for Array {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            let (functions, _turn) = self.mlx.library().turn();
            // SAFETY: the handle is ours and is not used again.
            unsafe { (functions.release)(self.handle) };
        }
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.handle.is_null() { "Array(dead)" } else { "Array" })
    }
}

impl Array {
    /// Calls `call` with the handles of `inputs`, unless one is dead.
    fn build<const N: usize>(
        inputs: [&Self; N],
        call: impl FnOnce(&Functions, [Given; N], &mut Handle) -> c_int,
    ) -> Self {
        let mlx = Arc::clone(&inputs[0].mlx);
        let handles = inputs.map(|input| input.handle.cast_const());
        let mut handle = null_mut();
        if handles.iter().all(|handle| !handle.is_null()) {
            mlx.call(|functions| call(functions, handles, &mut handle));
        }
        Self { mlx, handle }
    }

    fn made(mlx: &Arc<Mlx>, call: impl FnOnce(&Functions, &mut Handle) -> c_int) -> Self {
        let mut handle = null_mut();
        mlx.call(|functions| call(functions, &mut handle));
        Self { mlx: Arc::clone(mlx), handle }
    }

    /// Copies little-endian `bytes`, once.
    pub(crate) fn from_bytes(mlx: &Arc<Mlx>, shape: &[usize], dtype: DType, bytes: &[u8]) -> Self {
        assert_eq!(bytes.len(), shape.iter().product::<usize>() * dtype.size(), "bytes");
        let shape = extents(shape);
        Self::made(mlx, |f, out| {
            let (data, axes) = (bytes.as_ptr().cast(), shape.as_ptr());
            // SAFETY: as many bytes and extents as are said; they are copied.
            unsafe { (f.from_bytes)(data, bytes.len(), axes, shape.len(), code(dtype), out) }
        })
    }

    pub(crate) fn zeros(mlx: &Arc<Mlx>, shape: &[usize], dtype: DType) -> Self {
        let shape = extents(shape);
        // SAFETY: as many extents as are said.
        Self::made(mlx, |f, out| unsafe {
            (f.zeros)(shape.as_ptr(), shape.len(), code(dtype), out)
        })
    }

    pub(crate) fn mlx(&self) -> &Arc<Mlx> {
        &self.mlx
    }

    /// Its element type; `F32` if it is dead or of a type that tensors do not have.
    pub(crate) fn dtype(&self) -> DType {
        if self.handle.is_null() {
            return DType::F32;
        }
        let (functions, _turn) = self.mlx.library().turn();
        // SAFETY: a live handle.
        match unsafe { (functions.dtype)(self.handle) } {
            1 => DType::F16,
            2 => DType::BF16,
            3 => DType::U8,
            4 => DType::U32,
            _ => DType::F32,
        }
    }

    /// Computes its elements, `N` bytes each, converted to `dtype`; `None` if the device failed.
    pub(crate) fn read<const N: usize>(&self, dtype: DType, len: usize) -> Option<Vec<[u8; N]>> {
        assert_eq!(dtype.size(), N, "the width of {dtype:?}");
        if self.handle.is_null() {
            return None;
        }
        let mut out = vec![[0; N]; len];
        self.mlx.count_wait();
        let done = self.mlx.call(|f| {
            let bytes = out.as_flattened_mut();
            // SAFETY: a live handle, and room for as many bytes as are said.
            unsafe { (f.read)(self.handle, code(dtype), bytes.as_mut_ptr().cast(), bytes.len()) }
        });
        done.then_some(out)
    }

    /// Computes its `len` elements as `f32`; NaN if the device failed, so that whoever does not ask
    /// for the failure cannot take them for results.
    pub(crate) fn to_f32(&self, len: usize) -> Vec<f32> {
        match self.read(DType::F32, len) {
            Some(elements) => elements.into_iter().map(f32::from_ne_bytes).collect(),
            None => vec![f32::NAN; len],
        }
    }

    /// Numbers of rows.
    pub(crate) fn indices(mlx: &Arc<Mlx>, indices: &[u32]) -> Self {
        let bytes: Vec<[u8; 4]> = indices.iter().map(|index| index.to_le_bytes()).collect();
        Self::from_bytes(mlx, &[indices.len()], DType::U32, bytes.as_flattened())
    }

    /// Begins to compute all of `arrays`.
    pub(crate) fn start<'a>(mlx: &Mlx, arrays: impl Iterator<Item = &'a Self>) {
        let handles: Vec<Given> = arrays.map(|array| array.handle.cast_const()).collect();
        if handles.iter().all(|handle| !handle.is_null()) {
            // SAFETY: live handles, as many as are said.
            mlx.call(|f| unsafe { (f.start)(handles.as_ptr(), handles.len()) });
        }
    }

    /// Waits for those of `arrays` that are alive.
    pub(crate) fn wait<'a>(mlx: &Mlx, arrays: impl Iterator<Item = &'a Self>) {
        let handles = arrays.map(|array| array.handle.cast_const());
        let handles: Vec<Given> = handles.filter(|handle| !handle.is_null()).collect();
        mlx.count_wait();
        // SAFETY: live handles, as many as are said.
        mlx.call(|f| unsafe { (f.wait)(handles.as_ptr(), handles.len()) });
    }

    /// Computes all of `arrays`.
    pub(crate) fn eval<'a>(mlx: &Mlx, arrays: impl Iterator<Item = &'a Self>) {
        let handles: Vec<Given> = arrays.map(|array| array.handle.cast_const()).collect();
        if handles.iter().all(|handle| !handle.is_null()) {
            // SAFETY: live handles, as many as are said.
            mlx.call(|f| unsafe { (f.eval)(handles.as_ptr(), handles.len()) });
        }
    }

    pub(crate) fn reshape(&self, shape: &[usize]) -> Self {
        let shape = extents(shape);
        Self::build([self], |f, [a], out| {
            // SAFETY: a live handle, and as many extents as are said.
            unsafe { (f.reshape)(a, shape.as_ptr(), shape.len(), out) }
        })
    }

    pub(crate) fn as_type(&self, dtype: DType) -> Self {
        // SAFETY: a live handle.
        Self::build([self], |f, [a], out| unsafe { (f.as_type)(a, code(dtype), out) })
    }

    pub(crate) fn add(&self, other: &Self) -> Self {
        // SAFETY: live handles.
        Self::build([self, other], |f, [a, b], out| unsafe { (f.add)(a, b, out) })
    }

    pub(crate) fn multiply(&self, other: &Self) -> Self {
        // SAFETY: live handles.
        Self::build([self, other], |f, [a, b], out| unsafe { (f.multiply)(a, b, out) })
    }

    pub(crate) fn scale(&self, factor: f32) -> Self {
        // SAFETY: a live handle.
        Self::build([self], |f, [a], out| unsafe { (f.scale)(a, factor, out) })
    }

    pub(crate) fn swiglu(&self, up: &Self) -> Self {
        // SAFETY: live handles.
        Self::build([self, up], |f, [gate, up], out| unsafe { (f.swiglu)(gate, up, out) })
    }

    pub(crate) fn clamped_swiglu(&self, up: &Self, alpha: f32, limit: f32) -> Self {
        Self::build([self, up], |f, [gate, up], out| {
            // SAFETY: live handles.
            unsafe { (f.clamped_swiglu)(gate, up, alpha, limit, out) }
        })
    }

    /// The weighted sums of runs of `each` rows.
    pub(crate) fn weighted_sum(&self, weights: &Self, each: usize) -> Self {
        Self::build([self, weights], |f, [x, weights], out| {
            // SAFETY: live handles.
            unsafe { (f.weighted_sum)(x, weights, each as i32, out) }
        })
    }

    pub(crate) fn gelu(&self, tanh: bool) -> Self {
        // SAFETY: a live handle.
        Self::build([self], |f, [x], out| unsafe { (f.gelu)(x, i32::from(tanh), out) })
    }

    pub(crate) fn rms_norm(&self, weight: &Self, eps: f32) -> Self {
        // SAFETY: live handles.
        Self::build([self, weight], |f, [x, w], out| unsafe { (f.rms_norm)(x, w, eps, out) })
    }

    pub(crate) fn layer_norm(&self, weight: &Self, bias: Option<&Self>, eps: f32) -> Self {
        match bias {
            Some(bias) => Self::build([self, weight, bias], |f, [x, w, b], out| {
                // SAFETY: live handles.
                unsafe { (f.layer_norm)(x, w, b, eps, out) }
            }),
            None => Self::build([self, weight], |f, [x, w], out| {
                // SAFETY: live handles; the bias may be absent.
                unsafe { (f.layer_norm)(x, w, null(), eps, out) }
            }),
        }
    }

    /// Rotates `[rows, heads, n]`; `periods` are the reciprocals of the frequencies.
    pub(crate) fn rope(&self, positions: &[u32], periods: &Self, traditional: bool) -> Self {
        let positions: Vec<i32> = positions.iter().map(|&p| p as i32).collect();
        Self::build([self, periods], |f, [x, periods], out| {
            let traditional = i32::from(traditional);
            // SAFETY: live handles; one position for each row, which the operation has checked.
            unsafe { (f.rope)(x, positions.as_ptr(), periods, traditional, out) }
        })
    }

    /// `self w^T`.
    pub(crate) fn matmul(&self, w: &Self) -> Self {
        // SAFETY: live handles.
        Self::build([self, w], |f, [x, w], out| unsafe { (f.matmul)(x, w, out) })
    }

    /// `self w^T` with a quantized `w`, but for its global scale.
    pub(crate) fn quantized_matmul(&self, w: &QuantizedTensor) -> Self {
        let (group, bits, mode) = (w.group_size as i32, w.bits as i32, mode(w.mode));
        let (codes, scales) = (w.weight.array(), w.scales.array());
        match &w.biases {
            Some(biases) => {
                Self::build([self, codes, scales, biases.array()], |f, [x, w, s, b], out| {
                    // SAFETY: live handles and a static text.
                    unsafe { (f.quantized_matmul)(x, w, s, b, group, bits, mode.as_ptr(), out) }
                })
            }
            None => Self::build([self, codes, scales], |f, [x, w, s], out| {
                // SAFETY: live handles and a static text; biases may be absent.
                unsafe { (f.quantized_matmul)(x, w, s, null(), group, bits, mode.as_ptr(), out) }
            }),
        }
    }

    /// `self[lhs[i]] w[rhs[i]]^T` for each `i`, with a stack `w: [matrices, n, k]`.
    pub(crate) fn gather_mm(&self, w: &Self, lhs: &Self, rhs: &Self) -> Self {
        Self::build([self, w, lhs, rhs], |f, [x, w, lhs, rhs], out| {
            // SAFETY: live handles.
            unsafe { (f.gather_mm)(x, w, lhs, rhs, out) }
        })
    }

    /// The same with a quantized stack of so many matrices, but for its global scale.
    pub(crate) fn gather_qmm(
        &self,
        (w, matrices): (&QuantizedTensor, usize),
        lhs: &Self,
        rhs: &Self,
    ) -> Self {
        let stack = |tensor: &Tensor| {
            tensor.array().reshape(&[matrices, w.rows / matrices, tensor.width()])
        };
        let (group, bits) = (w.group_size as i32, w.bits as i32);
        let call = |f: &Functions, [x, lhs, rhs, w_, s, b]: [Given; 6], out: &mut Handle| {
            let mode = mode(w.mode).as_ptr();
            // SAFETY: live handles but for the biases, which may be absent; a static text.
            unsafe { (f.gather_qmm)(x, w_, s, b, group, bits, mode, lhs, rhs, out) }
        };
        let (codes, scales) = (stack(&w.weight), stack(&w.scales));
        match w.biases.as_ref().map(stack) {
            Some(biases) => Self::build([self, lhs, rhs, &codes, &scales, &biases], call),
            None => Self::build([self, lhs, rhs, &codes, &scales], |f, [x, l, r, w, s], out| {
                call(f, [x, l, r, w, s, null()], out)
            }),
        }
    }

    /// Rows of a table, as `dtype`.
    pub(crate) fn take(&self, rows: &Self, dtype: DType) -> Self {
        Self::build([self, rows], |f, [table, rows], out| {
            // SAFETY: live handles.
            unsafe { (f.take)(table, rows, code(dtype), out) }
        })
    }

    /// Rows of a quantized table decoded as `dtype`, but for its global scale.
    pub(crate) fn quantized_take(w: &QuantizedTensor, rows: &Self, dtype: DType) -> Self {
        let (group, bits) = (w.group_size as i32, w.bits as i32);
        let (codes, scales) = (w.weight.array(), w.scales.array());
        let call = |f: &Functions, [rows, w_, s, b]: [Given; 4], out: &mut Handle| {
            let mode = mode(w.mode).as_ptr();
            // SAFETY: live handles but for the biases, which may be absent; a static text.
            unsafe { (f.quantized_take)(w_, s, b, group, bits, mode, rows, code(dtype), out) }
        };
        match &w.biases {
            Some(biases) => Self::build([rows, codes, scales, biases.array()], call),
            None => Self::build([rows, codes, scales], |f, [rows, w, s], out| {
                call(f, [rows, w, s, null()], out)
            }),
        }
    }

    /// Codes, scales and biases in affine groups along the last axis; scales and biases are of this
    /// array's type.
    pub(crate) fn quantize(&self, how: KvQuantization) -> [Self; 3] {
        let (group, bits) = (how.group_size as i32, how.bits as i32);
        let mut handles = [null_mut(); 3];
        if !self.handle.is_null() {
            // SAFETY: a live handle, and three places for others.
            self.mlx
                .call(|f| unsafe { (f.quantize)(self.handle, group, bits, handles.as_mut_ptr()) });
        }
        handles.map(|handle| Self { mlx: Arc::clone(&self.mlx), handle })
    }

    /// What was [quantized](Self::quantize), in the type of the scales.
    pub(crate) fn dequantize([codes, scales, biases]: [&Self; 3], how: KvQuantization) -> Self {
        let (group, bits) = (how.group_size as i32, how.bits as i32);
        Self::build([codes, scales, biases], |f, [codes, scales, biases], out| {
            // SAFETY: live handles.
            unsafe { (f.dequantize)(codes, scales, biases, group, bits, out) }
        })
    }

    /// Rows `from..to`: a view.
    pub(crate) fn slice_rows(&self, from: usize, to: usize) -> Self {
        // SAFETY: a live handle; MLX checks the bounds.
        Self::build([self], |f, [a], out| unsafe { (f.slice_rows)(a, from as i32, to as i32, out) })
    }

    /// Elements `from..to` of each row: a view.
    pub(crate) fn slice_columns(&self, from: usize, to: usize) -> Self {
        let (from, to) = (from as i32, to as i32);
        // SAFETY: a live handle; MLX checks the bounds.
        Self::build([self], |f, [a], out| unsafe { (f.slice_columns)(a, from, to, out) })
    }

    /// Blocks of `block` rows, one after the other: a copy.
    pub(crate) fn take_blocks(&self, block: usize, blocks: &[u32]) -> Self {
        Self::build([self], |f, [a], out| {
            // SAFETY: a live handle and as many blocks as are said.
            unsafe { (f.take_blocks)(a, block as i32, blocks.as_ptr(), blocks.len(), out) }
        })
    }

    /// With the rows `slots` replaced by those of `update`: in place, if no other handle is left
    /// when it is computed, and nothing that reads this array is still under way.
    pub(crate) fn store_rows(&self, update: &Self, slots: &[u32]) -> Self {
        Self::build([self, update], |f, [a, update], out| {
            // SAFETY: live handles and as many slots as are said.
            unsafe { (f.store_rows)(a, update, slots.as_ptr(), slots.len(), out) }
        })
    }

    /// The rows of `first` and then those of each of `rest`.
    pub(crate) fn concatenate(first: Self, rest: &[Self]) -> Self {
        if rest.is_empty() {
            return first;
        }
        let all: Vec<&Self> = std::iter::once(&first).chain(rest).collect();
        Self::joined(&all, 0)
    }

    /// The rows of all of `parts` side by side.
    pub(crate) fn concatenate_columns(parts: &[&Self]) -> Self {
        Self::joined(parts, -1)
    }

    /// All of `parts`, one after the other along `axis`.
    pub(crate) fn joined(parts: &[&Self], axis: i32) -> Self {
        let all: Vec<Given> = parts.iter().map(|array| array.handle.cast_const()).collect();
        let mlx = &parts[0].mlx;
        if all.iter().any(|handle| handle.is_null()) {
            return Self { mlx: Arc::clone(mlx), handle: null_mut() };
        }
        // SAFETY: live handles, as many as are said.
        Self::made(mlx, |f, out| unsafe { (f.concatenate)(all.as_ptr(), all.len(), axis, out) })
    }

    /// `softmax(q k^T scale) v` for `q: [rows, heads, d]`, to `[rows, heads * dv]`. The last query
    /// stands at the last key; each sees the keys within `reach`: how far back and ahead, without
    /// a bound if absent. A head may have a further score without a value, its sink.
    pub(crate) fn attention(
        [q, k, v]: [&Self; 3],
        sinks: Option<&Self>,
        scale: f32,
        (back, ahead): (Option<usize>, Option<usize>),
    ) -> Self {
        let bound = |reach: Option<usize>| reach.map_or(-1, |reach| reach as i64);
        let (back, ahead) = (bound(back), bound(ahead));
        match sinks {
            Some(sinks) => Self::build([q, k, v, sinks], |f, [q, k, v, sinks], out| {
                // SAFETY: live handles.
                unsafe { (f.attention)(q, k, v, sinks, scale, back, ahead, out) }
            }),
            None => Self::build([q, k, v], |f, [q, k, v], out| {
                // SAFETY: live handles; sinks may be absent.
                unsafe { (f.attention)(q, k, v, null(), scale, back, ahead, out) }
            }),
        }
    }

    /// Causal attention of three forms of `[rows, heads, d]` queries over keys and values: a key is
    /// met by the form that belongs to the distance between its chunk and that of the query.
    pub(crate) fn chunked_attention(
        [same, next, far, k, v]: [&Self; 5],
        scale: f32,
        chunk: usize,
    ) -> Self {
        let chunk = i32::try_from(chunk).unwrap_or(i32::MAX);
        Self::build([same, next, far, k, v], |f, [same, next, far, k, v], out| {
            // SAFETY: live handles.
            unsafe { (f.chunked_attention)(same, next, far, k, v, scale, chunk, out) }
        })
    }
}

impl Array {
    /// What [`ops::categorical`](crate::ops::categorical()) chooses from `[rows, n]` logits, a
    /// [`Draw`] for each row: tokens and outcomes.
    pub(crate) fn categorical(&self, draws: &[Draw]) -> [Self; 2] {
        let each = |of: fn(&Draw) -> f32| draws.iter().map(of).collect::<Vec<_>>();
        let (temperatures, floors) = (each(|draw| draw.temperature), each(Draw::floor));
        let (top_p, uniform) = (each(|draw| draw.top_p), each(|draw| draw.uniform as f32));
        let top_k = draws.iter().map(|draw| u32::try_from(draw.top_k).unwrap_or(0));
        let top_k: Vec<u32> = top_k.collect();
        let mut handles = [null_mut(); 2];
        if !self.handle.is_null() {
            let (out, logits) = (handles.as_mut_ptr(), self.handle);
            // SAFETY: a live handle, a number of each kind for each of its rows, which was checked,
            // and two places for others.
            self.mlx.call(|f| unsafe {
                let [t, m, p, u] = [&temperatures, &floors, &top_p, &uniform].map(|x| x.as_ptr());
                (f.categorical)(logits, t, m, top_k.as_ptr(), p, u, out)
            });
        }
        handles.map(|handle| Self { mlx: Arc::clone(&self.mlx), handle })
    }
}

impl Array {
    /// What [`ops::route`](crate::ops::route()) chooses from `[tokens, experts]` scores.
    pub(crate) fn route(&self, routing: &Routing) -> [Self; 2] {
        let &Routing { chosen, scoring, groups, scale, .. } = routing;
        let scoring = match scoring {
            Scoring::SoftmaxThenTop { normalized: false } => 0,
            Scoring::SoftmaxThenTop { normalized: true } => 1,
            Scoring::TopThenSoftmax => 2,
        };
        let Groups { count, kept } = groups.unwrap_or(Groups { count: 0, kept: 0 });
        let [chosen, count, kept] = [chosen, count, kept].map(|n| n as i32);
        let mut handles = [null_mut(); 2];
        if !self.handle.is_null() {
            let (out, scores) = (handles.as_mut_ptr(), self.handle);
            // SAFETY: a live handle, and two places for others.
            self.mlx
                .call(|f| unsafe { (f.route)(scores, chosen, scoring, count, kept, scale, out) });
        }
        handles.map(|handle| Self { mlx: Arc::clone(&self.mlx), handle })
    }

    /// [`attention`](Self::attention) of queries `[1, heads, d]`, which see all keys, over codes,
    /// scales and biases of keys and of values, `[keys, kv_heads, ..]`.
    pub(crate) fn coded_attention(
        &self,
        [k, v]: [&[Self; 3]; 2],
        scale: f32,
        how: KvQuantization,
    ) -> Self {
        let (group, bits) = (how.group_size as i32, how.bits as i32);
        let all = [self, &k[0], &k[1], &k[2], &v[0], &v[1], &v[2]];
        Self::build(all, |f, [q, k, ks, kb, v, vs, vb], out| {
            // SAFETY: live handles.
            unsafe { (f.coded_attention)(q, k, ks, kb, v, vs, vb, scale, group, bits, out) }
        })
    }
}

/// The shim's number of an element type.
fn code(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => 0,
        DType::F16 => 1,
        DType::BF16 => 2,
        DType::U8 => 3,
        DType::U32 => 4,
    }
}

fn mode(mode: QuantizationMode) -> &'static CStr {
    match mode {
        QuantizationMode::Affine => c"affine",
        QuantizationMode::Mxfp4 => c"mxfp4",
        QuantizationMode::Mxfp8 => c"mxfp8",
        QuantizationMode::Nvfp4 => c"nvfp4",
    }
}

/// Extents as MLX counts them.
#[track_caller]
fn extents(shape: &[usize]) -> Vec<i32> {
    let narrow = |&extent: &usize| {
        i32::try_from(extent).unwrap_or_else(|_| panic!("an extent of {extent} is beyond MLX"))
    };
    shape.iter().map(narrow).collect()
}
