//! Fewer vectors for a page, and shorter ones.
//!
//! Both are choices of whoever makes an index, and part of what made it: their names stand in
//! [`Encoder::pooling`](crate::Encoder::pooling) and [`Encoder::dim`](crate::Encoder::dim).

use crate::document::check_vectors;
use crate::{Error, Result};

/// The most vectors that are clustered: the time grows with their number's third power.
const MOST: usize = 4096;

/// The name of [`rows_ward`] by a factor.
pub fn rows_ward_name(factor: usize) -> String {
    format!("rows-ward/{factor}")
}

/// Pools vectors of length 1 that are alike: one in `factor` is left, the mean of a cluster, of length 1
/// again.
///
/// Clusters are Ward's, of the rows of `1 - E Eᵀ`, which are taken as points: what SciPy's `linkage`
/// makes of a square matrix, and so the dialect of the first engine that pooled. (Taking `1 - E Eᵀ` as
/// distances gives other clusters.) They come in the order of their first vectors, which no score
/// depends on. Vectors of a cluster that cancel out are represented by the first of them.
///
/// # Errors
///
/// If these are no vectors of `dim` components, or more than 4096, or `factor` is 0.
pub fn rows_ward(vectors: &[f32], dim: usize, factor: usize) -> Result<Vec<f32>> {
    let count = check_vectors("page", vectors, dim.max(1), MOST)?;
    if factor == 0 {
        let value = factor.to_string();
        return Err(Error::Value { what: "pooling factor", value, allowed: "at least 1" });
    }
    if factor == 1 {
        return Ok(vectors.to_vec());
    }
    let labels = clusters(vectors, dim, (count / factor).max(1));
    let clusters = labels.iter().max().map_or(0, |most| most + 1);
    let mut sums = vec![0.0_f64; clusters * dim];
    for (label, vector) in labels.iter().zip(vectors.chunks(dim)) {
        for (sum, x) in sums[label * dim..].iter_mut().zip(vector) {
            *sum += f64::from(*x);
        }
    }
    let mut pooled = Vec::with_capacity(sums.len());
    for (label, sum) in sums.chunks(dim).enumerate() {
        let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length > 1e-9 {
            pooled.extend(sum.iter().map(|x| (x / length) as f32));
        } else {
            let first = labels.iter().position(|&other| other == label).unwrap_or_default();
            pooled.extend(&vectors[first * dim..(first + 1) * dim]);
        }
    }
    Ok(pooled)
}

/// The first `keep` components of each vector, of length 1 again: for encoders that were trained to be cut
/// (Matryoshka). With `normalize` all components are first given mean 0 and variance 1, as some
/// were trained.
///
/// # Errors
///
/// If these are no vectors of `dim` components, `keep` is not between 1 and `dim`, or nothing is left of
/// a vector.
pub fn truncate(vectors: &[f32], dim: usize, keep: usize, normalize: bool) -> Result<Vec<f32>> {
    check_vectors("page", vectors, dim.max(1), usize::MAX)?;
    if keep == 0 || keep > dim {
        let value = keep.to_string();
        return Err(Error::Value { what: "dimension", value, allowed: "one of the encoder's" });
    }
    let mut cut = Vec::with_capacity(vectors.len() / dim * keep);
    for vector in vectors.chunks(dim) {
        let (mut mean, mut scale) = (0.0, 1.0);
        if normalize {
            mean = vector.iter().map(|&x| f64::from(x)).sum::<f64>() / dim as f64;
            let variance = vector.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>();
            scale = 1.0 / (variance / dim as f64 + 1e-5).sqrt();
        }
        let kept = || vector[..keep].iter().map(|&x| (f64::from(x) - mean) * scale);
        let length = kept().map(|x| x * x).sum::<f64>().sqrt();
        cut.extend(kept().map(|x| (x / length) as f32));
    }
    // Zeros divided by their length are no numbers.
    check_vectors("cut page", &cut, keep, usize::MAX)?;
    Ok(cut)
}

/// For each vector the number of its cluster, of at most `most`; numbers in the order of their first vectors.
fn clusters(vectors: &[f32], dim: usize, most: usize) -> Vec<usize> {
    let count = vectors.len() / dim;
    let mut merges = ward(Distances::of_rows(vectors, dim));
    merges.sort_by(|a, b| a.height.total_cmp(&b.height));
    // Each vector's cluster, by one of its vectors.
    let mut parents: Vec<usize> = (0..count).collect();
    let mut left = count;
    let mut last = f64::NEG_INFINITY;
    for Merge { a, b, height } in merges {
        // What is as near as the last pair that had to be joined is joined too.
        if left <= most && height > last {
            break;
        }
        let (a, b) = (root(&mut parents, a), root(&mut parents, b));
        parents[b] = a;
        left -= 1;
        last = height;
    }
    let mut numbers = vec![None; count];
    let mut next = 0;
    (0..count)
        .map(|vector| {
            let root = root(&mut parents, vector);
            *numbers[root].get_or_insert_with(|| {
                next += 1;
                next - 1
            })
        })
        .collect()
}

/// The vector that stands for another's cluster.
fn root(parents: &mut [usize], mut vector: usize) -> usize {
    while parents[vector] != vector {
        parents[vector] = parents[parents[vector]];
        vector = parents[vector];
    }
    vector
}

/// Two clusters, by a vector of each, that are joined, and their squared distance.
struct Merge {
    a: usize,
    b: usize,
    height: f64,
}

/// Squared distances of all pairs.
struct Distances {
    count: usize,
    /// Of each with those before it.
    squares: Vec<f64>,
}

impl Distances {
    /// Of the rows of `1 - E Eᵀ`.
    fn of_rows(vectors: &[f32], dim: usize) -> Self {
        let count = vectors.len() / dim;
        let mut rows = vec![0.0_f64; count * count];
        for (row, a) in rows.chunks_mut(count).zip(vectors.chunks(dim)) {
            for (to, b) in row.iter_mut().zip(vectors.chunks(dim)) {
                // In 32 bits, as those whose clusters these are to be.
                *to = f64::from(1.0 - a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>());
            }
        }
        let mut squares = Vec::with_capacity(count * count.saturating_sub(1) / 2);
        for (i, a) in rows.chunks(count).enumerate() {
            squares.extend(rows.chunks(count).take(i).map(|b| square_distance(a, b)));
        }
        Self { count, squares }
    }

    fn at(a: usize, b: usize) -> usize {
        let (low, high) = (a.min(b), a.max(b));
        high * (high - 1) / 2 + low
    }

    fn get(&self, a: usize, b: usize) -> f64 {
        self.squares[Self::at(a, b)]
    }
}

fn square_distance(a: &[f64], b: &[f64]) -> f64 {
    // Several sums, which do not wait for each other.
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
            *sum += (x - y) * (x - y);
        }
    }
    sums.iter().sum()
}

/// Ward's tree, by chains of nearest neighbours: a pair of which each is the other's nearest is joined, in
/// whatever order; the tree is the same.
fn ward(mut distances: Distances) -> Vec<Merge> {
    let count = distances.count;
    let mut sizes = vec![1.0_f64; count];
    let mut alive: Vec<usize> = (0..count).collect();
    let mut chain: Vec<usize> = Vec::new();
    let mut merges = Vec::with_capacity(count.saturating_sub(1));
    while alive.len() > 1 {
        let last = chain.last().copied().unwrap_or(alive[0]);
        if chain.is_empty() {
            chain.push(last);
        }
        let before = chain.len().checked_sub(2).map(|at| chain[at]);
        // Of two as near the one before is preferred, so that chains end.
        let mut nearest = before.map(|before| (distances.get(last, before), before));
        for &other in alive.iter().filter(|&&other| other != last) {
            let distance = distances.get(last, other);
            if nearest.is_none_or(|(least, _)| distance < least) {
                nearest = Some((distance, other));
            }
        }
        let Some((height, other)) = nearest else { break };
        if before != Some(other) {
            chain.push(other);
            continue;
        }
        chain.truncate(chain.len() - 2);
        merges.push(Merge { a: last, b: other, height });
        alive.retain(|&cluster| cluster != last);
        let (one, two) = (sizes[last], sizes[other]);
        for &third in alive.iter().filter(|&&third| third != other) {
            let size = sizes[third];
            let sum = (one + size) * distances.get(third, last)
                + (two + size) * distances.get(third, other)
                - size * height;
            distances.squares[Distances::at(third, other)] = sum / (one + two + size);
        }
        sizes[other] = one + two;
    }
    merges
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const GOLDEN: &str = include_str!("../../../fixtures/index/token_pooling.json");

    fn numbers(value: &Value) -> Vec<f32> {
        value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
    }

    #[test]
    fn clusters_and_means_are_scipys() {
        let cases: Value = serde_json::from_str(GOLDEN).unwrap();
        let cases = cases.as_array().unwrap();
        assert!(cases.len() > 6);
        for case in cases {
            let vectors = numbers(&case["vectors"]);
            let [dim, factor] = ["dim", "factor"].map(|name| case[name].as_u64().unwrap() as usize);
            let labels: Vec<usize> =
                numbers(&case["labels"]).into_iter().map(|label| label as usize).collect();
            let count = labels.len();
            assert_eq!(clusters(&vectors, dim, (count / factor).max(1)), labels, "{count}");
            let (pooled, truth) =
                (rows_ward(&vectors, dim, factor).unwrap(), numbers(&case["pooled"]));
            assert_eq!(pooled.len(), truth.len());
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
            assert!(pooled.iter().zip(&truth).all(near), "{pooled:?} {truth:?}");
        }
    }

    #[test]
    fn like_vectors_are_one_and_opposite_ones_do_not_vanish() {
        let alike = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0];
        assert_eq!(rows_ward(&alike, 2, 2).unwrap(), [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(rows_ward(&[1.0, 0.0, -1.0, 0.0], 2, 2).unwrap(), [1.0, 0.0]);
        assert_eq!(rows_ward(&alike, 2, 1).unwrap(), alike);
        assert!(rows_ward(&alike, 2, 0).is_err() && rows_ward(&alike, 3, 2).is_err());
        assert!(rows_ward(&[], 2, 2).is_err() && rows_ward(&[], 0, 2).is_err());
        assert!(rows_ward(&vec![1.0; MOST + 1], 1, 2).is_err());
    }

    #[test]
    fn cut_vectors_have_length_one() {
        assert_eq!(
            truncate(&[3.0, 4.0, 9.0, 0.0, 2.0, 1.0], 3, 2, false).unwrap(),
            [0.6, 0.8, 0.0, 1.0]
        );
        // Mean 2, so the first component is as far below it as the third is above.
        let cut = truncate(&[1.0, 2.0, 3.0], 3, 3, true).unwrap();
        let half = std::f32::consts::FRAC_1_SQRT_2;
        assert!(
            (cut[0] + half).abs() < 1e-6 && cut[1].abs() < 1e-6 && (cut[2] - half).abs() < 1e-6
        );
        for (keep, numbers) in
            [(0, &[1.0, 1.0][..]), (3, &[1.0, 1.0]), (1, &[0.0, 1.0]), (1, &[1.0])]
        {
            assert!(truncate(numbers, 2, keep, false).is_err(), "{keep} {numbers:?}");
        }
    }

    proptest! {
        /// As many clusters as are asked for at most, each with a vector, numbered as they begin; and
        /// vectors in another order are clustered alike.
        #[test]
        fn clusters_do_not_depend_on_the_order(
            numbers in prop::collection::vec(-1.0_f32..1.0, 4..90),
            most in 1_usize..8,
            turn in 0_usize..30,
        ) {
            let dim = 2;
            let count = numbers.len() / dim;
            let vectors = &numbers[..count * dim];
            let labels = clusters(vectors, dim, most);
            let mut seen = 0;
            for &label in &labels {
                prop_assert!(label <= seen);
                seen = seen.max(label + 1);
            }
            prop_assert!(seen <= most.max(1) && (1..=count).contains(&seen));
            let turn = turn % count;
            let turned = [&vectors[turn * dim..], &vectors[..turn * dim]].concat();
            let others = clusters(&turned, dim, most);
            let together = |labels: &[usize], a: usize, b: usize| labels[a] == labels[b];
            for a in 0..count {
                for b in 0..a {
                    let place = |i: usize| (i + count - turn) % count;
                    prop_assert_eq!(together(&labels, a, b), together(&others, place(a), place(b)));
                }
            }
        }
    }
}
