//! Failures, memory, and libraries that are none.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::{Array, MlxOptions};
use crate::ops::conformance::{activations, mlx};
use crate::{DType, Device, Error, KvCache, KvLayer, Span, Tensor, ops};

/// MLX counts the memory of the whole process: who measures it is alone.
static MEASURED: Mutex<()> = Mutex::new(());

#[test]
fn a_failure_spoils_what_follows_until_it_is_asked_for() {
    let Some(device) = mlx() else { return };
    let [a, b] = [2, 3].map(|n| activations(&device, 1, &[n]));
    let dead = Tensor::from_array(&[2], a.array().add(b.array()));
    let sum = ops::add(&dead, &a).reshape(&[2, 1]);
    assert!(sum.to_vec().iter().all(|x| x.is_nan()));
    let what = device.take_failure().expect("a failure");
    assert!(what.contains("broadcast"), "{what}");
    assert_eq!(device.take_failure(), None);
    assert!(ops::add(&a, &a).to_vec().iter().all(|x| x.is_finite()));
    assert_eq!(device.take_failure(), None);
}

#[test]
fn a_cache_that_failed_begins_anew() {
    let Some(device) = mlx() else { return };
    let layer = KvLayer { kv_heads: 1, key_dim: 2, value_dim: 2 };
    let mut cache = KvCache::new(&device, &[layer], 4, 8, DType::F32);
    let good = activations(&device, 1, &[4, 1, 2]);
    let pair = [2, 3].map(|n| activations(&device, 1, &[n]));
    let dead = Tensor::from_array(&[4, 1, 2], pair[0].array().add(pair[1].array()));
    let span = |page| [Span { rows: 0..4, start: 0, pages: vec![page] }];
    cache.append(0, &dead, &good, &span(0));
    cache.settle();
    assert!(cache.read(0, &[0], 4).0.iter().all(|x| x.is_nan()));
    assert!(device.take_failure().is_some());
    cache.forget();
    cache.append(0, &good, &good, &span(1));
    assert_eq!(cache.read(0, &[1], 4).0, good.to_vec());
    assert_eq!(device.take_failure(), None);
}

/// A token is stored where the cache lies: neither a second copy nor a graph that grows.
#[test]
fn a_token_is_stored_in_place() {
    let _alone = MEASURED.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(device) = mlx() else { return };
    let Some(backend) = device.as_mlx() else { return };
    const PAGES: usize = 1024;
    let layer = KvLayer { kv_heads: 4, key_dim: 128, value_dim: 128 };
    let mut cache = KvCache::new(&device, &[layer], 16, PAGES, DType::F32);
    let bytes = (cache.page_bytes() * PAGES) as u64;
    let one = activations(&device, 1, &[1, 4, 128]);
    let mut store = |start| {
        // The last page first, so that there is room for all of them; then two far apart.
        let last = PAGES as u32 - 1;
        let span = |row, page| Span { rows: row..row + 1, start, pages: vec![page] };
        cache.append(0, &one, &one, &[span(0, last)]);
        cache.settle();
        let two = activations(&device, start as u64, &[2, 4, 128]);
        cache.append(0, &two, &two, &[span(0, 7), span(1, last)]);
        cache.settle();
    };
    store(0);
    backend.reset_peak();
    let before = backend.memory();
    assert!(before.active >= bytes, "{before:?}");
    (1..16).for_each(store);
    let after = backend.memory();
    assert!(after.peak < before.active + bytes / 4, "{before:?} {after:?}");
    assert_eq!(device.take_failure(), None);
}

/// A step that is prepared while another runs stores in place, too, and can be taken back.
#[test]
fn a_step_that_is_prepared_ahead_stores_in_place_or_not_at_all() {
    let _alone = MEASURED.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(device) = mlx() else { return };
    let Some(backend) = device.as_mlx() else { return };
    const PAGES: usize = 1024;
    let layer = KvLayer { kv_heads: 4, key_dim: 128, value_dim: 128 };
    let mut cache = KvCache::new(&device, &[layer], 16, PAGES, DType::F32);
    let bytes = (cache.page_bytes() * PAGES) as u64;
    let span = |start: usize, page| Span { rows: 0..1, start, pages: vec![page] };
    let rows: Vec<_> = (0..16).map(|seed| activations(&device, seed, &[1, 4, 128])).collect();
    let store = |cache: &mut KvCache, step: usize| {
        // The last page first, so that there is room for all of them.
        let page = if step == 0 { PAGES as u32 - 1 } else { 7 };
        cache.append(0, &rows[step], &rows[step], &[span(step, page)]);
    };
    store(&mut cache, 0);
    cache.settle();
    store(&mut cache, 1);
    cache.start(None);
    backend.reset_peak();
    let before = backend.memory();
    assert!(before.active >= bytes, "{before:?}");
    for step in 2..15 {
        cache.mark();
        store(&mut cache, step);
        cache.wait();
        cache.start(None);
    }
    let after = backend.memory();
    assert!(after.peak < before.active + bytes / 4, "{before:?} {after:?}");
    // One more, which is not wanted after all.
    cache.mark();
    store(&mut cache, 15);
    cache.wait();
    cache.revert();
    let stored = cache.read(0, &[7], 16).0;
    let expected: Vec<_> = (2..15).flat_map(|step| rows[step].to_vec()).collect();
    assert_eq!(stored[2 * 512..15 * 512], expected);
    assert_eq!(stored[15 * 512..], [0.0; 512]);
    assert_eq!(device.take_failure(), None);
}

#[test]
fn weights_are_copied_once() {
    let _alone = MEASURED.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(device) = mlx() else { return };
    let Some(backend) = device.as_mlx() else { return };
    let bytes = vec![1_u8; 48 << 20];
    let before = backend.memory().active;
    let weight = device.wrap(&[bytes.len() / 4096, 1024], DType::U32, bytes.into());
    let held = backend.memory().active - before;
    assert!((48 << 20..56 << 20).contains(&held), "{held}");
    drop(weight);
    backend.clear_cache();
    assert!(backend.memory().active < before + (24 << 20));
}

#[test]
fn what_is_no_shim_is_not_opened() {
    for path in ["/nowhere/libfolio_mlx.so", "libm.so.6"] {
        let error = Device::mlx(&MlxOptions::new(PathBuf::from(path))).unwrap_err();
        assert!(matches!(error, Error::MlxUnopened { .. }), "{error}");
        assert!(error.hint().contains("cargo xtask mlx"));
    }
}

#[test]
#[should_panic(expected = "a tensor of the CPU on MLX")]
fn devices_do_not_meet() {
    let Some(device) = mlx() else { panic!("a tensor of the CPU on MLX") };
    let cpu = Device::cpu(crate::CpuOptions::default()).unwrap();
    ops::add(&activations(&device, 1, &[2]), &activations(&cpu, 1, &[2]));
}

#[test]
fn rows_are_views_and_blocks_are_gathered() {
    let Some(device) = mlx() else { return };
    let Some(backend) = device.as_mlx() else { return };
    let bytes: Vec<_> = (0..12).flat_map(|x| (x as f32).to_le_bytes()).collect();
    let rows = Array::from_bytes(backend, &[6, 2], DType::F32, &bytes);
    assert_eq!(rows.slice_rows(1, 3).to_f32(4), [2.0, 3.0, 4.0, 5.0]);
    assert_eq!(rows.take_blocks(2, &[2, 0]).to_f32(8), [8., 9., 10., 11., 0., 1., 2., 3.]);
    assert_eq!(rows.as_type(DType::BF16).dtype(), DType::BF16);
    assert_eq!(device.take_failure(), None);
}
