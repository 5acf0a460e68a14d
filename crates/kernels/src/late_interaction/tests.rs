//! Every level against the reference, to the bit; and the layout against what it says of itself.

use super::exact;
use super::layout::BLOCK;
use super::level::{Level, dispatch};
use super::{Layout, Packed, Query, max_sign_sim, max_sim, reference, signs, similarities};
use crate::{CpuOptions, Device};

/// Numbers that are the same on every run: some large, some small, some zero.
fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let number = |bits: u32| match bits % 7 {
        0 => 0.0,
        1 => (bits >> 8) as f32 / 1e3 - 8e3,
        _ => (bits >> 8) as f32 / 16_777_216.0 - 0.5,
    };
    (0..len).map(|_| number(next())).collect()
}

/// Compares all levels on pages of these numbers of vectors.
fn check(dim: usize, queries: usize, pages: &[usize]) {
    let layout = Layout::new(dim).unwrap();
    let query = Query::new(layout, &noise(7 + dim as u32, queries * dim));
    let packed: Vec<_> = pages
        .iter()
        .zip(0..)
        .map(|(&vectors, seed)| Packed::new(layout, &noise(seed, vectors * dim)))
        .collect();
    let codes: Vec<_> = packed.iter().map(Packed::page).collect();
    let planes: Vec<_> = packed.iter().map(|packed| packed.signs.as_slice()).collect();
    let truth: Vec<_> = codes
        .iter()
        .zip(pages)
        .map(|(page, &vectors)| reference::max_sim(&query, page, vectors).to_bits())
        .collect();
    let sign_truth: Vec<_> = planes
        .iter()
        .zip(pages)
        .map(|(page, &vectors)| reference::max_sign_sim(&query, page, vectors))
        .collect();
    for level in Level::all() {
        let what = format!("{dim} x {queries} x {pages:?} on {level:?}");
        let mut scores = vec![f32::NAN; pages.len()];
        dispatch(level, exact::Scores { query: &query, pages: &codes, scores: &mut scores });
        let bits: Vec<_> = scores.iter().map(|score| score.to_bits()).collect();
        assert_eq!(bits, truth, "{what}");
        let mut scores = vec![0; pages.len()];
        dispatch(level, signs::Scores { query: &query, pages: &planes, scores: &mut scores });
        assert_eq!(scores, sign_truth, "{what}");
    }
}

#[test]
fn every_level_gives_the_same_bits() {
    for queries in [0, 1, 2, 5, 6, 7, 13, 24, 25] {
        check(128, queries, &[1, 15, 16, 17, 63, 64, 65, 130]);
    }
    for dim in [1, 3, 4, 5, 63, 64, 65, 100, 127, 129, 200, 320, 1024] {
        check(dim, 6, &[1, 16, 65, 81]);
    }
    check(Layout::MOST, 3, &[17]);
}

/// The largest products there are: nothing saturates, and nothing is lost.
#[test]
fn extremes_are_exact() {
    for dim in [128, 1024, Layout::MOST] {
        let layout = Layout::new(dim).unwrap();
        for (sign, other) in [(1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)] {
            let query = Query::new(layout, &vec![127.0 * sign; 6 * dim]);
            let packed = Packed::new(layout, &vec![127.0 * other; 64 * dim]);
            let one = reference::max_sim(&query, &packed.page(), 64);
            let product = (127 * 127 * dim) as f32 * sign * other;
            assert_eq!(one, 6.0 * product);
            for level in Level::all() {
                let mut scores = [0.0];
                let pages = [packed.page()];
                dispatch(
                    level,
                    exact::Scores { query: &query, pages: &pages, scores: &mut scores },
                );
                assert_eq!(scores[0].to_bits(), one.to_bits(), "{level:?}");
            }
        }
    }
}

/// Many pages of every size on several threads: each score is its own page's.
#[test]
fn threads_write_their_own_scores() {
    let layout = Layout::new(128).unwrap();
    let options = CpuOptions { threads: Some(3), ..CpuOptions::default() };
    let device = Device::cpu(options).unwrap();
    let cpu = device.as_cpu().unwrap();
    let query = Query::new(layout, &noise(1, 9 * 128));
    let sizes: Vec<usize> = (0..300).map(|i| 1 + i * 7 % 90).collect();
    let packed: Vec<_> = sizes
        .iter()
        .zip(10..)
        .map(|(size, seed)| Packed::new(layout, &noise(seed, size * 128)))
        .collect();
    let pages: Vec<_> = packed.iter().map(Packed::page).collect();
    let planes: Vec<_> = packed.iter().map(|packed| packed.signs.as_slice()).collect();
    let (mut scores, mut sign_scores) = (vec![0.0; 300], vec![0; 300]);
    max_sim(cpu, &query, &pages, &mut scores);
    max_sign_sim(cpu, &query, &planes, &mut sign_scores);
    for (i, &size) in sizes.iter().enumerate() {
        assert_eq!(scores[i].to_bits(), reference::max_sim(&query, &pages[i], size).to_bits());
        assert_eq!(sign_scores[i], reference::max_sign_sim(&query, planes[i], size));
    }
}

#[test]
fn a_score_is_the_sum_of_the_greatest_similarities() {
    let layout = Layout::new(20).unwrap();
    let query = Query::new(layout, &noise(3, 4 * 20));
    let packed = Packed::new(layout, &noise(4, 33 * 20));
    let all = similarities(&query, &packed.page(), 33);
    let greatest = |row: &[f32]| row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = all.chunks(33).map(greatest).sum();
    assert_eq!(sum, reference::max_sim(&query, &packed.page(), 33));
}

/// What is stored is within half a step of what was given, and a block's rest repeats its last vector.
#[test]
fn numbers_come_back_within_half_a_step() {
    let layout = Layout::new(70).unwrap();
    let vectors = noise(5, 18 * 70);
    let packed = Packed::new(layout, &vectors);
    assert_eq!(packed.codes.len(), 2 * layout.code_bytes());
    assert_eq!(packed.scales.len(), 2 * Layout::SCALE_BYTES);
    assert_eq!(packed.signs.len(), 2 * layout.sign_bytes());
    let back = packed.page().unpack(layout, 2 * BLOCK);
    for (given, stored) in vectors.chunks(70).zip(back.chunks(70)) {
        let step = given.iter().fold(0.0_f32, |most, x| most.max(x.abs())) / 127.0;
        for (given, stored) in given.iter().zip(stored) {
            assert!((given - stored).abs() <= step * 0.5001, "{given} {stored} {step}");
        }
    }
    assert_eq!(back[17 * 70..18 * 70], back[31 * 70..]);
    // Zeros are zeros, and give no number that is none.
    let zeros = Packed::new(layout, &[0.0; 70]);
    assert_eq!(zeros.page().unpack(layout, 1), [0.0; 70]);
    let query = Query::new(layout, &vectors);
    assert_eq!(reference::max_sim(&query, &zeros.page(), 1), 0.0);
}

/// A vector finds itself, by its codes and by its signs.
#[test]
fn signs_agree_with_themselves() {
    let layout = Layout::new(100).unwrap();
    let vectors: Vec<f32> = noise(6, 5 * 100);
    let query = Query::new(layout, &vectors);
    let packed = Packed::new(layout, &vectors);
    assert_eq!(reference::max_sign_sim(&query, &packed.signs, 5), 5 * 100);
    assert_eq!(query.len(), 5);
    assert!(!query.is_empty() && Query::new(layout, &[]).is_empty());
}

#[test]
fn planes_must_fit() {
    let layout = Layout::new(8).unwrap();
    let packed = Packed::new(layout, &[1.0; 8]);
    let page = packed.page();
    assert_eq!(layout.check(&page), Some(1));
    let empty = super::Page { codes: &[], scales: &[] };
    let short = super::Page { codes: &page.codes[1..], ..page };
    let other = super::Page { scales: &page.scales[1..], ..page };
    for page in [empty, short, other] {
        assert_eq!(layout.check(&page), None);
    }
    assert!(Layout::new(0).is_none() && Layout::new(Layout::MOST + 1).is_none());
}
