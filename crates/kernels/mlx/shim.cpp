// A C border around the parts of MLX that folio's operations need.
//
// MLX's own interface is C++ and has no stable binary form, not even between patch versions. This
// file is compiled against one pinned MLX (`cargo xtask mlx`) and opened at run time by
// `crates/kernels/src/mlx/library.rs`, whose `Functions` is the mirror of `struct FolioMlx` below.
//
// The border, version FOLIO_MLX_ABI:
//
//   folio_mlx_abi()      the version that this library was built for; never changes its type
//   folio_mlx()          the table of functions; its layout belongs to that version alone
//
//   - Every function that can fail returns 0, or 1 with a text for `message()` of the same thread.
//     No exception passes; MLX's C++ interface has no handler that exits.
//   - An array is a handle that its taker releases. Arguments are borrowed; `out` is written only
//     on success. An array that may be absent is a null pointer.
//   - Operations build a graph. `eval` and `read` compute; `start` begins to, and `wait` ends it.
//   - Element types are numbers: 0 f32, 1 f16, 2 bf16, 3 u8, 4 u32.
//   - A stream belongs to the thread that made it, so one thread builds and evaluates. MLX's
//     functions are never given a stream: it is the last argument, and its place changes between
//     versions.
//   - `set_wired_limit` is not here: raising it has taken whole machines down.

#include <cstdint>
#include <cstring>
#include <algorithm>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "mlx/fast.h"
#include "mlx/memory.h"
#include "mlx/ops.h"
#include "mlx/stream.h"
#include "mlx/transforms.h"
#include "mlx/version.h"

#define FOLIO_MLX_ABI 5

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define BUILT_WITH \
  TEXT(MLX_VERSION_MAJOR) "." TEXT(MLX_VERSION_MINOR) "." TEXT(MLX_VERSION_PATCH)

namespace mx = mlx::core;

// What Rust holds: a node of the graph.
struct FolioArray {
  mx::array array;
};

namespace {

using Array = const FolioArray*;
using Out = FolioArray**;

thread_local std::string last_message;

void remember(const char* what) noexcept {
  try {
    last_message = what;
  } catch (...) {
    last_message.clear();
  }
}

template <typename Work>
int guarded(Work&& work) noexcept {
  try {
    work();
    return 0;
  } catch (const std::exception& error) {
    remember(error.what());
  } catch (...) {
    remember("MLX threw something that is no std::exception");
  }
  return 1;
}

// Runs `work` and hands its array over.
template <typename Work>
int giving(Out out, Work&& work) noexcept {
  return guarded([&] { *out = new FolioArray{work()}; });
}

mx::Dtype dtype_of(int32_t code) {
  switch (code) {
    case 0:
      return mx::float32;
    case 1:
      return mx::float16;
    case 2:
      return mx::bfloat16;
    case 3:
      return mx::uint8;
    case 4:
      return mx::uint32;
  }
  throw std::invalid_argument("no such element type");
}

mx::Shape shape_of(const int32_t* shape, size_t axes) {
  return mx::Shape(shape, shape + axes);
}

std::optional<mx::array> maybe(Array array) {
  if (array == nullptr) {
    return std::nullopt;
  }
  return array->array;
}

mx::array indices(const uint32_t* values, size_t count) {
  return mx::array(values, mx::Shape{static_cast<int>(count)}, mx::uint32);
}

// `[rows, heads, dim]` as MLX's attention wants it, without moving anything: `[1, heads, rows, dim]`.
mx::array heads_first(const mx::array& x, mx::Dtype dtype) {
  return mx::expand_dims(mx::transpose(mx::astype(x, dtype), {1, 0, 2}), 0);
}

// Whether the query at each of `rows` positions sees the key at each of `keys`, the last of which
// is the last query's own: from `back` before it to `ahead` after it.
mx::array band(int rows, int keys, int64_t back, int64_t ahead) {
  auto row = mx::expand_dims(mx::arange(keys - rows, keys, mx::int32), 1);
  auto key = mx::expand_dims(mx::arange(0, keys, mx::int32), 0);
  auto distance = mx::subtract(key, row);
  auto seen = mx::full({rows, keys}, mx::array(true), mx::bool_);
  if (back >= 0) {
    seen = mx::greater_equal(distance, mx::array(static_cast<int>(-back)));
  }
  if (ahead >= 0) {
    seen = mx::logical_and(seen, mx::less_equal(distance, mx::array(static_cast<int>(ahead))));
  }
  return seen;
}

// --- the device ---

const char* message() noexcept {
  return last_message.c_str();
}

const char* version() noexcept {
  return mx::version();
}

int has_gpu() noexcept {
  try {
    return mx::is_available(mx::Device(mx::Device::gpu)) ? 1 : 0;
  } catch (...) {
    return 0;
  }
}

int open_device(int32_t gpu) noexcept {
  return guarded([&] {
    mx::Device device(gpu != 0 ? mx::Device::gpu : mx::Device::cpu);
    if (!mx::is_available(device)) {
      throw std::runtime_error("MLX cannot use this device");
    }
    mx::set_default_device(device);
  });
}

// The device's name, cut to `room` bytes with the zero, and its memory.
int describe(char* name, size_t room, uint64_t* memory) noexcept {
  return guarded([&] {
    const auto& info = mx::device_info(mx::default_device());
    std::string text;
    if (auto it = info.find("device_name"); it != info.end()) {
      if (auto* value = std::get_if<std::string>(&it->second)) {
        text = *value;
      }
    }
    uint64_t bytes = 0;
    for (const char* key : {"max_recommended_working_set_size", "memory_size", "total_memory"}) {
      if (auto it = info.find(key); it != info.end() && bytes == 0) {
        if (auto* value = std::get_if<size_t>(&it->second)) {
          bytes = *value;
        }
      }
    }
    *memory = bytes;
    if (room > 0) {
      auto length = std::min(room - 1, text.size());
      std::memcpy(name, text.data(), length);
      name[length] = 0;
    }
  });
}

void memory(uint64_t* active, uint64_t* peak, uint64_t* cache) noexcept {
  guarded([&] {
    *active = mx::get_active_memory();
    *peak = mx::get_peak_memory();
    *cache = mx::get_cache_memory();
  });
}

int set_cache_limit(uint64_t bytes) noexcept {
  return guarded([&] { mx::set_cache_limit(bytes); });
}

int clear_cache() noexcept {
  return guarded([] { mx::clear_cache(); });
}

int reset_peak() noexcept {
  return guarded([] { mx::reset_peak_memory(); });
}

// --- arrays ---

void release(FolioArray* array) noexcept {
  delete array;
}

// Copies `bytes`, once.
int from_bytes(
    const void* bytes,
    size_t length,
    const int32_t* shape,
    size_t axes,
    int32_t dtype,
    Out out) noexcept {
  return giving(out, [&] {
    auto data = mx::allocator::malloc(length);
    auto buffer = data.buffer();
    if (length > 0) {
      std::memcpy(buffer.raw_ptr(), bytes, length);
    }
    return mx::array(std::move(data), shape_of(shape, axes), dtype_of(dtype));
  });
}

int zeros(const int32_t* shape, size_t axes, int32_t dtype, Out out) noexcept {
  return giving(out, [&] { return mx::zeros(shape_of(shape, axes), dtype_of(dtype)); });
}

// The element type's number, or -1.
int32_t dtype(Array array) noexcept {
  auto type = array->array.dtype();
  for (int32_t code = 0; code < 5; code++) {
    if (type == dtype_of(code)) {
      return code;
    }
  }
  return -1;
}

int eval(const Array* arrays, size_t count) noexcept {
  return guarded([&] {
    std::vector<mx::array> all;
    for (size_t i = 0; i < count; i++) {
      all.push_back(arrays[i]->array);
    }
    mx::eval(std::move(all));
  });
}

// Begins to compute, and does not wait.
int start(const Array* arrays, size_t count) noexcept {
  return guarded([&] {
    std::vector<mx::array> all;
    for (size_t i = 0; i < count; i++) {
      all.push_back(arrays[i]->array);
    }
    mx::async_eval(std::move(all));
  });
}

// Waits for what was begun.
int wait_for(const Array* arrays, size_t count) noexcept {
  return guarded([&] {
    for (size_t i = 0; i < count; i++) {
      mx::array array = arrays[i]->array;
      array.eval();
    }
  });
}

// Computes, converts to `dtype` and copies `length` bytes to the host.
int read_back(Array array, int32_t dtype, void* out, size_t length) noexcept {
  return guarded([&] {
    mx::array host = array->array;
    host.eval();
    bool in_place = host.dtype() == dtype_of(dtype) && host.flags().row_contiguous;
    if (!in_place) {
      host = mx::contiguous(mx::astype(host, dtype_of(dtype)));
      host.eval();
    }
    if (host.nbytes() != length) {
      throw std::invalid_argument("the array has another size than the place for it");
    }
    if (length > 0) {
      std::memcpy(out, host.data<char>(), length);
    }
  });
}

int reshape(Array a, const int32_t* shape, size_t axes, Out out) noexcept {
  return giving(out, [&] { return mx::reshape(a->array, shape_of(shape, axes)); });
}

int as_type(Array a, int32_t dtype, Out out) noexcept {
  return giving(out, [&] { return mx::astype(a->array, dtype_of(dtype)); });
}

// --- operations ---

int add(Array a, Array b, Out out) noexcept {
  return giving(out, [&] { return mx::add(a->array, b->array); });
}

int multiply(Array a, Array b, Out out) noexcept {
  return giving(out, [&] { return mx::multiply(a->array, b->array); });
}

// Multiplies by a number, in the array's own type.
int scale(Array a, float factor, Out out) noexcept {
  return giving(out, [&] {
    return mx::multiply(a->array, mx::array(factor, a->array.dtype()));
  });
}

int swiglu(Array gate, Array up, Out out) noexcept {
  return giving(out, [&] {
    const auto& x = gate->array;
    return mx::multiply(mx::multiply(x, mx::sigmoid(x)), up->array);
  });
}

// Both operands are kept within `limit`, the gate only from above.
int clamped_swiglu(Array gate, Array up, float alpha, float limit, Out out) noexcept {
  return giving(out, [&] {
    auto number = [&](float value) { return mx::array(value, gate->array.dtype()); };
    auto g = mx::minimum(gate->array, number(limit));
    auto u = mx::clip(up->array, number(-limit), number(limit));
    auto opened = mx::multiply(g, mx::sigmoid(mx::multiply(number(alpha), g)));
    return mx::multiply(opened, mx::add(u, number(1.0f)));
  });
}

// The sums of runs of `each` rows of `x: [count, n]`, weighted.
int weighted_sum(Array x, Array weights, int32_t each, Out out) noexcept {
  return giving(out, [&] {
    int runs = x->array.shape(0) / each;
    auto factors = mx::reshape(mx::astype(weights->array, x->array.dtype()), {runs, each, 1});
    auto cut = mx::reshape(x->array, {runs, each, x->array.shape(1)});
    return mx::sum(mx::multiply(cut, factors), 1);
  });
}

// The experts that each row of `scores: [tokens, experts]` chooses, and their weights, as
// `ops/route` says. `scoring`: 0 a softmax and the largest, 1 these divided by their sum, 2 the
// softmax of the largest. Without groups `groups` is 0.
int route(
    Array scores,
    int32_t chosen,
    int32_t scoring,
    int32_t groups,
    int32_t kept,
    float factor,
    Out out) noexcept {
  return guarded([&] {
    auto x = mx::astype(scores->array, mx::float32);
    int tokens = x.shape(0), experts = x.shape(1);
    auto first = [](const mx::array& a, int n) {
      return mx::slice(a, mx::Shape{0, 0}, mx::Shape{a.shape(0), n});
    };
    if (scoring != 2) {
      x = mx::softmax(x, -1, true);
    }
    if (groups > 0) {
      auto cut = mx::reshape(x, {tokens, groups, experts / groups});
      auto best = first(mx::argsort(mx::negative(mx::max(cut, 2)), 1), kept);
      auto number = mx::reshape(mx::arange(0, groups, mx::int32), {1, 1, groups});
      auto stays = mx::any(
          mx::equal(mx::expand_dims(mx::astype(best, mx::int32), 2), number), 1);
      auto nothing = scoring == 2 ? -std::numeric_limits<float>::infinity() : 0.0f;
      x = mx::reshape(
          mx::where(mx::expand_dims(stays, 2), cut, mx::array(nothing)), {tokens, experts});
    }
    auto order = first(mx::argsort(mx::negative(x), 1), chosen);
    auto weights = mx::take_along_axis(x, order, 1);
    if (scoring == 1) {
      weights = mx::divide(weights, mx::sum(weights, 1, true));
    } else if (scoring == 2) {
      weights = mx::softmax(weights, -1, true);
    }
    weights = mx::multiply(weights, mx::array(factor));
    auto flat = mx::Shape{tokens * chosen};
    std::unique_ptr<FolioArray> made(
        new FolioArray{mx::reshape(mx::astype(order, mx::uint32), flat)});
    out[1] = new FolioArray{mx::reshape(weights, flat)};
    out[0] = made.release();
  });
}

int gelu(Array a, int32_t tanh_form, Out out) noexcept {
  return giving(out, [&] {
    const auto& x = a->array;
    auto number = [&](float value) { return mx::array(value, x.dtype()); };
    auto inner = x;
    if (tanh_form != 0) {
      auto cube = mx::multiply(x, mx::multiply(x, x));
      auto sum = mx::add(x, mx::multiply(number(0.044715f), cube));
      inner = mx::tanh(mx::multiply(number(0.7978845608f), sum));
    } else {
      inner = mx::erf(mx::multiply(x, number(0.7071067812f)));
    }
    auto half = mx::multiply(number(0.5f), x);
    return mx::multiply(half, mx::add(number(1.0f), inner));
  });
}

int rms_norm(Array x, Array weight, float eps, Out out) noexcept {
  return giving(out, [&] { return mx::fast::rms_norm(x->array, weight->array, eps); });
}

int layer_norm(Array x, Array weight, Array bias, float eps, Out out) noexcept {
  return giving(out, [&] {
    return mx::fast::layer_norm(x->array, weight->array, maybe(bias), eps);
  });
}

// Rotates `x: [rows, heads, n]`; `periods` are the reciprocals of the frequencies.
int rope(
    Array x,
    const int32_t* positions,
    Array periods,
    int32_t traditional,
    Out out) noexcept {
  return giving(out, [&] {
    const auto& a = x->array;
    int rows = a.shape(0), heads = a.shape(1), n = a.shape(2);
    auto offsets = mx::array(positions, mx::Shape{rows}, mx::int32);
    int dims = 2 * periods->array.shape(0);
    auto rotated = mx::fast::rope(
        mx::reshape(a, {rows, heads, 1, n}),
        dims,
        traditional != 0,
        std::nullopt,
        1.0f,
        offsets,
        periods->array);
    return mx::reshape(rotated, {rows, heads, n});
  });
}

// `x w^T`, in the type of `x`.
int matmul(Array x, Array w, Out out) noexcept {
  return giving(out, [&] {
    auto type = x->array.dtype();
    return mx::matmul(x->array, mx::transpose(mx::astype(w->array, type)));
  });
}

int quantized_matmul(
    Array x,
    Array w,
    Array scales,
    Array biases,
    int32_t group_size,
    int32_t bits,
    const char* mode,
    Out out) noexcept {
  return giving(out, [&] {
    auto product = mx::quantized_matmul(
        x->array, w->array, scales->array, maybe(biases), true, group_size, bits, mode);
    return mx::astype(product, x->array.dtype());
  });
}

// `x[lhs[i]] w[rhs[i]]^T` for `x: [rows, k]` and `w: [matrices, n, k]`, in the type of `x`.
int gather_mm(
    Array x,
    Array w,
    Array lhs,
    Array rhs,
    Out out) noexcept {
  return giving(out, [&] {
    // MLX's CPU knows this in one type only.
    bool gpu = mx::default_device() == mx::Device(mx::Device::gpu);
    auto own = x->array.dtype(), type = gpu ? own : mx::float32;
    auto stack = mx::swapaxes(mx::astype(w->array, type), 1, 2);
    auto rows = mx::expand_dims(mx::astype(x->array, type), 1);
    auto product = mx::gather_mm(rows, stack, lhs->array, rhs->array);
    return mx::astype(mx::squeeze(product, 1), own);
  });
}

// The same with codes `w: [matrices, n, packed]`, and `scales` and `biases` of as many axes.
int gather_qmm(
    Array x,
    Array w,
    Array scales,
    Array biases,
    int32_t group_size,
    int32_t bits,
    const char* mode,
    Array lhs,
    Array rhs,
    Out out) noexcept {
  return giving(out, [&] {
    auto product = mx::gather_qmm(
        mx::expand_dims(x->array, 1),
        w->array,
        scales->array,
        maybe(biases),
        lhs->array,
        rhs->array,
        true,
        group_size,
        bits,
        mode);
    return mx::astype(mx::squeeze(product, 1), x->array.dtype());
  });
}

int take(Array table, Array rows, int32_t dtype, Out out) noexcept {
  return giving(out, [&] {
    return mx::astype(mx::take(table->array, rows->array, 0), dtype_of(dtype));
  });
}

// Rows of a quantized table, decoded in `dtype`. `scales` and `biases` as `w`.
int quantized_take(
    Array w,
    Array scales,
    Array biases,
    int32_t group_size,
    int32_t bits,
    const char* mode,
    Array rows,
    int32_t dtype,
    Out out) noexcept {
  return giving(out, [&] {
    const auto& picked = rows->array;
    auto type = dtype_of(dtype);
    auto some = mx::take(scales->array, picked, 0);
    std::optional<mx::array> offsets;
    if (biases != nullptr) {
      // Affine: decoded in the type that is asked for, not in that of the scales.
      some = mx::astype(some, type);
      offsets = mx::astype(mx::take(biases->array, picked, 0), type);
    }
    auto decoded = mx::dequantize(
        mx::take(w->array, picked, 0),
        some,
        offsets,
        group_size,
        bits,
        mode,
        std::nullopt,
        type);
    return mx::astype(decoded, type);
  });
}

// The codes, scales and biases of `a` in affine groups along its last axis, to three places.
int quantize(Array a, int32_t group_size, int32_t bits, Out out) noexcept {
  return guarded([&] {
    auto parts = mx::quantize(a->array, group_size, bits);
    if (parts.size() != 3) {
      throw std::runtime_error("MLX made no biases");
    }
    std::unique_ptr<FolioArray> made[3];
    for (size_t i = 0; i < 3; i++) {
      made[i].reset(new FolioArray{parts[i]});
    }
    for (size_t i = 0; i < 3; i++) {
      out[i] = made[i].release();
    }
  });
}

// What `quantize` was given, in the type of the scales.
int dequantize(
    Array codes,
    Array scales,
    Array biases,
    int32_t group_size,
    int32_t bits,
    Out out) noexcept {
  return giving(out, [&] {
    return mx::dequantize(codes->array, scales->array, biases->array, group_size, bits);
  });
}

// Rows `from..to`: a view.
int slice_rows(Array a, int32_t from, int32_t to, Out out) noexcept {
  return giving(out, [&] {
    auto stop = a->array.shape();
    mx::Shape start(stop.size(), 0);
    start[0] = from;
    stop[0] = to;
    return mx::slice(a->array, start, stop);
  });
}

// Elements `from..to` of each row: a view.
int slice_columns(Array a, int32_t from, int32_t to, Out out) noexcept {
  return giving(out, [&] {
    auto stop = a->array.shape();
    mx::Shape start(stop.size(), 0);
    start.back() = from;
    stop.back() = to;
    return mx::slice(a->array, start, stop);
  });
}

// Blocks of `block` rows of `a`, one after the other: a copy.
int take_blocks(
    Array a,
    int32_t block,
    const uint32_t* blocks,
    size_t count,
    Out out) noexcept {
  return giving(out, [&] {
    auto shape = a->array.shape();
    auto rows = shape[0];
    auto width = static_cast<int>(a->array.size() / rows);
    auto tall = mx::reshape(a->array, {rows / block, block * width});
    shape[0] = static_cast<int>(count) * block;
    return mx::reshape(mx::take(tall, indices(blocks, count), 0), shape);
  });
}

// `a` with its rows `slots` replaced by `update`. If nobody else holds `a`, in place.
int store_rows(Array a, Array update, const uint32_t* slots, size_t count, Out out) noexcept {
  return giving(out, [&] {
    auto rows = mx::astype(update->array, a->array.dtype());
    bool in_a_row = true;
    for (size_t i = 1; i < count; i++) {
      in_a_row &= slots[i] == slots[0] + i;
    }
    if (in_a_row && count > 0) {
      auto stop = a->array.shape();
      mx::Shape start(stop.size(), 0);
      start[0] = static_cast<int>(slots[0]);
      stop[0] = static_cast<int>(slots[0] + count);
      return mx::slice_update(a->array, rows, start, stop);
    }
    return mx::scatter(a->array, indices(slots, count), mx::expand_dims(rows, 1), 0);
  });
}

int concatenate(const Array* arrays, size_t count, int32_t axis, Out out) noexcept {
  return giving(out, [&] {
    std::vector<mx::array> all;
    for (size_t i = 0; i < count; i++) {
      all.push_back(arrays[i]->array);
    }
    return mx::concatenate(std::move(all), axis);
  });
}

// `softmax(q k^T scale) v` for `q: [rows, heads, d]`, `k: [keys, kv_heads, d]` and
// `v: [keys, kv_heads, dv]`, to `[rows, heads * dv]`. The last query stands at the last key; a
// query sees the keys from `back` before it to `ahead` after it, each without a bound if negative.
// `sinks: [heads]`, if there are any, are scores without values.
int attention(
    Array q,
    Array k,
    Array v,
    Array sinks,
    float factor,
    int64_t back,
    int64_t ahead,
    Out out) noexcept {
  return giving(out, [&] {
    auto type = q->array.dtype();
    int rows = q->array.shape(0), heads = q->array.shape(1);
    int keys = k->array.shape(0), width = v->array.shape(2);
    bool all = (back < 0 || back >= keys - 1) && (ahead < 0 || rows == 1);
    bool causal = (back < 0 || back >= keys - 1) && ahead == 0;
    std::string mode = all ? "" : causal ? "causal" : "array";
    std::optional<mx::array> mask;
    if (!all && !causal) {
      mask = band(rows, keys, back, ahead);
    }
    auto y = mx::fast::scaled_dot_product_attention(
        heads_first(q->array, type),
        heads_first(k->array, type),
        heads_first(v->array, type),
        factor,
        mode,
        mask,
        sinks == nullptr ? std::nullopt : std::optional(mx::astype(sinks->array, type)));
    return mx::reshape(mx::transpose(mx::squeeze(y, 0), {1, 0, 2}), {rows, heads * width});
  });
}

// `attention` of queries `[1, heads, d]` that see all keys, over codes, scales and biases of keys
// `[keys, kv_heads, ..]` and of values: two products with codes where they lie, for each head.
int coded_attention(
    Array q,
    Array keys,
    Array key_scales,
    Array key_biases,
    Array values,
    Array value_scales,
    Array value_biases,
    float factor,
    int32_t group_size,
    int32_t bits,
    Out out) noexcept {
  return giving(out, [&] {
    const auto& x = q->array;
    int heads = x.shape(1), d = x.shape(2), kv_heads = keys->array.shape(1);
    auto by_head = [](Array a) { return mx::transpose(a->array, {1, 0, 2}); };
    auto queries = mx::reshape(
        mx::multiply(x, mx::array(factor, x.dtype())), {kv_heads, heads / kv_heads, d});
    auto scores = mx::quantized_matmul(
        queries,
        by_head(keys),
        by_head(key_scales),
        by_head(key_biases),
        true,
        group_size,
        bits);
    auto y = mx::quantized_matmul(
        mx::softmax(scores, -1, true),
        by_head(values),
        by_head(value_scales),
        by_head(value_biases),
        false,
        group_size,
        bits);
    auto width = static_cast<int>(y.size()) / heads;
    return mx::astype(mx::reshape(y, {1, heads * width}), x.dtype());
  });
}

// Causal attention of three forms of the queries, `[rows, heads, d]`, the last of which stand at the
// last key. With positions cut into chunks, a key in the query's own chunk is met by `same`, one in
// the chunk before it by `next`, any before that by `far`.
int chunked_attention(
    Array same,
    Array next,
    Array far,
    Array k,
    Array v,
    float factor,
    int32_t chunk,
    Out out) noexcept {
  return giving(out, [&] {
    auto type = same->array.dtype();
    int rows = same->array.shape(0), heads = same->array.shape(1), d = same->array.shape(2);
    int keys = k->array.shape(0), kv_heads = k->array.shape(1), width = v->array.shape(2);
    // `[kv_heads, heads of a group, rows, d]` and `[kv_heads, 1, keys, ..]`.
    auto grouped = [&](Array q) {
      auto split = mx::reshape(mx::transpose(q->array, {1, 0, 2}), {kv_heads, heads / kv_heads, rows, d});
      return mx::multiply(split, mx::array(factor, type));
    };
    auto shared = [&](Array x) {
      return mx::expand_dims(mx::transpose(mx::astype(x->array, type), {1, 0, 2}), 1);
    };
    auto columns = mx::swapaxes(shared(k), 2, 3);
    auto length = mx::array(chunk, mx::int32);
    auto row = mx::expand_dims(mx::arange(keys - rows, keys, mx::int32), 1);
    auto key = mx::expand_dims(mx::arange(0, keys, mx::int32), 0);
    auto behind = mx::subtract(mx::floor_divide(row, length), mx::floor_divide(key, length));
    auto scores = [&](Array q) { return mx::matmul(grouped(q), columns); };
    auto near = mx::where(mx::equal(behind, mx::array(0)), scores(same), scores(next));
    auto all = mx::where(mx::less_equal(behind, mx::array(1)), near, scores(far));
    auto hidden = mx::array(-std::numeric_limits<float>::infinity(), type);
    auto seen = mx::where(mx::less_equal(key, row), all, hidden);
    auto y = mx::matmul(mx::softmax(seen, -1, true), shared(v));
    auto flat = mx::reshape(y, {heads, rows, width});
    return mx::reshape(mx::transpose(flat, {1, 0, 2}), {rows, heads * width});
  });
}

// The first position at which the running sum `sums` of each row exceeds `below`.
mx::array first_above(const mx::array& sums, const mx::array& below) {
  auto passed = mx::less_equal(sums, mx::expand_dims(below, -1));
  auto count = mx::sum(mx::astype(passed, mx::int32), -1);
  return mx::minimum(count, mx::array(sums.shape(-1) - 1));
}

// For each row of `weights: [rows, n]` the position at which its running sum exceeds the share
// `draw` of the whole; where all are 0, the last. Sums are taken over blocks and then over these, so
// that a small weight is not lost beside a large sum.
mx::array drawn(const mx::array& weights, const mx::array& draw) {
  constexpr int block = 256;
  int rows = weights.shape(0), n = weights.shape(1);
  int blocks = (n + block - 1) / block;
  auto padded = mx::pad(weights, {{0, 0}, {0, blocks * block - n}});
  auto inner = mx::cumsum(mx::reshape(padded, {rows, blocks, block}), 2, false, true);
  auto last = mx::squeeze(mx::slice(inner, {0, 0, block - 1}, {rows, blocks, block}), 2);
  auto outer = mx::cumsum(last, 1, false, true);
  // Just below a sum, so that rounding never leads beyond the last weight.
  auto below = mx::array(1.0f - 0x1p-23f);
  auto end = [](const mx::array& sums) {
    int to = sums.shape(1);
    return mx::squeeze(mx::slice(sums, {0, to - 1}, {sums.shape(0), to}), 1);
  };
  auto total = end(outer);
  auto wanted = mx::minimum(mx::multiply(draw, total), mx::multiply(total, below));
  auto which = first_above(outer, wanted);
  auto column = mx::expand_dims(which, 1);
  auto before = mx::subtract(
      mx::squeeze(mx::take_along_axis(outer, column, 1), 1),
      mx::squeeze(mx::take_along_axis(last, column, 1), 1));
  auto sums = mx::squeeze(
      mx::take_along_axis(inner, mx::expand_dims(column, 2), 1), 1);
  auto rest = mx::maximum(mx::subtract(wanted, before), mx::array(0.0f));
  rest = mx::minimum(rest, mx::multiply(end(sums), below));
  auto place = mx::add(mx::multiply(which, mx::array(block)), first_above(sums, rest));
  return mx::minimum(place, mx::array(n - 1));
}

// The next token of each row of `logits: [rows, n]`, as `ops/categorical` says: a token that can be
// used as an index in any case, and an outcome, which is `n` and more where a logit is no number.
// `floors` are what `min_p` leaves below the largest logit.
int categorical(
    Array logits,
    const float* temperatures,
    const float* floors,
    const uint32_t* top_k,
    const float* top_p,
    const float* draws,
    Out out) noexcept {
  return guarded([&] {
    auto x = mx::astype(logits->array, mx::float32);
    int rows = x.shape(0), n = x.shape(1);
    auto column = [&](const float* values) {
      return mx::array(values, mx::Shape{rows, 1}, mx::float32);
    };
    auto nan = mx::isnan(x);
    auto is_nan = mx::any(nan, 1, false);
    auto token = mx::astype(mx::argmax(x, 1), mx::int32);
    bool warm = false, sorted = false;
    for (int row = 0; row < rows; row++) {
      bool drawn = temperatures[row] > 0 && top_k[row] != 1;
      warm |= drawn;
      sorted |= drawn && (top_p[row] < 1 || (top_k[row] > 0 && top_k[row] < uint32_t(n)));
    }
    if (warm) {
      auto temperature = column(temperatures);
      auto largest = mx::max(x, 1, true);
      auto weights = mx::exp(mx::divide(mx::subtract(x, largest), temperature));
      auto kept = mx::greater_equal(x, mx::add(largest, column(floors)));
      weights = mx::where(kept, weights, mx::array(0.0f));
      auto draw = mx::array(draws, mx::Shape{rows}, mx::float32);
      auto choice = token;
      if (sorted) {
        auto order = mx::argsort(mx::negative(weights), 1);
        auto falling = mx::take_along_axis(weights, order, 1);
        auto rank = mx::expand_dims(mx::arange(0, n, mx::int32), 0);
        std::vector<int32_t> most(rows);
        for (int row = 0; row < rows; row++) {
          bool all = top_k[row] == 0 || top_k[row] > uint32_t(n);
          most[row] = all ? n : static_cast<int32_t>(top_k[row]);
        }
        auto few = mx::less(rank, mx::array(most.data(), mx::Shape{rows, 1}, mx::int32));
        falling = mx::where(few, falling, mx::array(0.0f));
        auto share = column(top_p);
        auto before = mx::cumsum(falling, 1, false, false);
        auto enough = mx::multiply(mx::sum(falling, 1, true), share);
        auto head = mx::logical_or(mx::less(before, enough), mx::equal(rank, mx::array(0)));
        // Without `top_p` tokens are drawn in their own order, with it likeliest first.
        auto whole = mx::greater_equal(share, mx::array(1.0f));
        auto own = mx::put_along_axis(mx::zeros_like(falling), order, falling, 1);
        weights = mx::where(
            whole, own, mx::where(head, falling, mx::array(0.0f)));
        choice = drawn(weights, draw);
        auto named = mx::take_along_axis(order, mx::expand_dims(choice, 1), 1);
        named = mx::astype(mx::squeeze(named, 1), mx::int32);
        choice = mx::where(mx::squeeze(whole, 1), choice, named);
      } else {
        choice = drawn(weights, draw);
      }
      std::vector<uint8_t> cold(rows);
      for (int row = 0; row < rows; row++) {
        cold[row] = temperatures[row] <= 0 || top_k[row] == 1;
      }
      auto decided = mx::logical_or(
          mx::astype(mx::array(cold.data(), mx::Shape{rows}, mx::uint8), mx::bool_),
          mx::logical_not(mx::isfinite(mx::squeeze(largest, 1))));
      token = mx::where(decided, token, choice);
    }
    auto first_nan = mx::astype(mx::argmax(nan, 1), mx::int32);
    auto outcome = mx::where(is_nan, mx::add(first_nan, mx::array(n)), token);
    token = mx::where(is_nan, mx::array(0), token);
    std::unique_ptr<FolioArray> made(new FolioArray{mx::astype(token, mx::uint32)});
    out[1] = new FolioArray{mx::astype(outcome, mx::uint32)};
    out[0] = made.release();
  });
}

} // namespace

extern "C" {

struct FolioMlx {
  const char* built_with;
  decltype(&message) message;
  decltype(&version) version;
  decltype(&has_gpu) has_gpu;
  decltype(&open_device) open_device;
  decltype(&describe) describe;
  decltype(&memory) memory;
  decltype(&set_cache_limit) set_cache_limit;
  decltype(&clear_cache) clear_cache;
  decltype(&reset_peak) reset_peak;
  decltype(&release) release;
  decltype(&from_bytes) from_bytes;
  decltype(&zeros) zeros;
  decltype(&dtype) dtype;
  decltype(&eval) eval;
  decltype(&start) start;
  decltype(&wait_for) wait;
  decltype(&read_back) read;
  decltype(&reshape) reshape;
  decltype(&as_type) as_type;
  decltype(&add) add;
  decltype(&multiply) multiply;
  decltype(&scale) scale;
  decltype(&swiglu) swiglu;
  decltype(&clamped_swiglu) clamped_swiglu;
  decltype(&weighted_sum) weighted_sum;
  decltype(&route) route;
  decltype(&gelu) gelu;
  decltype(&rms_norm) rms_norm;
  decltype(&layer_norm) layer_norm;
  decltype(&rope) rope;
  decltype(&matmul) matmul;
  decltype(&quantized_matmul) quantized_matmul;
  decltype(&gather_mm) gather_mm;
  decltype(&gather_qmm) gather_qmm;
  decltype(&take) take;
  decltype(&quantized_take) quantized_take;
  decltype(&quantize) quantize;
  decltype(&dequantize) dequantize;
  decltype(&slice_rows) slice_rows;
  decltype(&slice_columns) slice_columns;
  decltype(&take_blocks) take_blocks;
  decltype(&store_rows) store_rows;
  decltype(&concatenate) concatenate;
  decltype(&attention) attention;
  decltype(&chunked_attention) chunked_attention;
  decltype(&coded_attention) coded_attention;
  decltype(&categorical) categorical;
};

__attribute__((visibility("default"))) uint32_t folio_mlx_abi() {
  return FOLIO_MLX_ABI;
}

__attribute__((visibility("default"))) const FolioMlx* folio_mlx() {
  static const FolioMlx table{
      BUILT_WITH,
      message,
      version,
      has_gpu,
      open_device,
      describe,
      memory,
      set_cache_limit,
      clear_cache,
      reset_peak,
      release,
      from_bytes,
      zeros,
      dtype,
      eval,
      start,
      wait_for,
      read_back,
      reshape,
      as_type,
      add,
      multiply,
      scale,
      swiglu,
      clamped_swiglu,
      weighted_sum,
      route,
      gelu,
      rms_norm,
      layer_norm,
      rope,
      matmul,
      quantized_matmul,
      gather_mm,
      gather_qmm,
      take,
      quantized_take,
      quantize,
      dequantize,
      slice_rows,
      slice_columns,
      take_blocks,
      store_rows,
      concatenate,
      attention,
      chunked_attention,
      coded_attention,
      categorical,
  };
  return &table;
}

}
