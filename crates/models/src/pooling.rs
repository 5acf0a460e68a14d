//! One vector for a passage, from one vector for each token.

use checkpoint::PoolingMode;
use kernels::{Span, Tensor};

/// One vector for each span of `hidden: [rows, width]`: the results of all `modes`, end to end. An
/// empty span has the zero vector.
pub fn pool(hidden: &Tensor, spans: &[Span], modes: &[PoolingMode]) -> Vec<Vec<f32>> {
    let (data, width) = (hidden.to_vec(), hidden.width());
    let vector = |span: &Span| {
        let rows = &data[span.rows.start * width..span.rows.end * width];
        modes.iter().flat_map(|&mode| pool_one(rows, width, mode)).collect()
    };
    spans.iter().map(vector).collect()
}

fn pool_one(rows: &[f32], width: usize, mode: PoolingMode) -> Vec<f32> {
    let n = (rows.len() / width.max(1)) as f64;
    let mut rows = rows.chunks_exact(width.max(1));
    let one = |row: Option<&[f32]>| row.map_or_else(|| vec![0.0; width], <[f32]>::to_vec);
    match mode {
        PoolingMode::Cls => one(rows.next()),
        PoolingMode::LastToken => one(rows.last()),
        PoolingMode::Mean => weighted(rows, width, |_| 1.0, n),
        PoolingMode::MeanSqrtLength => weighted(rows, width, |_| 1.0, n.sqrt()),
        PoolingMode::WeightedMean => weighted(rows, width, |i| i as f64 + 1.0, n * (n + 1.0) / 2.0),
        PoolingMode::Max => {
            let first = one(rows.next());
            rows.fold(first, |mut max, row| {
                // A NaN must not be hidden, and `f32::max` would hide it.
                for (max, &x) in max.iter_mut().zip(row) {
                    *max = if x > *max || x.is_nan() { x } else { *max };
                }
                max
            })
        }
    }
}

fn weighted<'a>(
    rows: impl Iterator<Item = &'a [f32]>,
    width: usize,
    weight: impl Fn(usize) -> f64,
    total: f64,
) -> Vec<f32> {
    let mut sum = vec![0.0_f64; width];
    for (i, row) in rows.enumerate() {
        for (sum, &x) in sum.iter_mut().zip(row) {
            *sum += weight(i) * f64::from(x);
        }
    }
    sum.into_iter().map(|sum| if total == 0.0 { 0.0 } else { (sum / total) as f32 }).collect()
}

/// Scales a vector to length one; the zero vector stays.
pub fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
}

#[cfg(test)]
mod tests {
    use kernels::{CpuOptions, Device};

    use super::*;

    fn pooled(mode: PoolingMode) -> Vec<Vec<f32>> {
        let device = Device::cpu(CpuOptions { threads: Some(1), ..CpuOptions::default() }).unwrap();
        let hidden = device.tensor(&[4, 2], vec![1.0, 8.0, 3.0, 2.0, 5.0, -7.0, 9.0, 9.0]);
        let span = |rows| Span { rows, ..Span::default() };
        pool(&hidden, &[span(0..3), span(3..4), span(4..4)], &[mode])
    }

    #[test]
    fn each_way_is_what_it_says() {
        let zero = vec![0.0, 0.0];
        let one = vec![9.0, 9.0];
        for (mode, first) in [
            (PoolingMode::Cls, [1.0, 8.0]),
            (PoolingMode::LastToken, [5.0, -7.0]),
            (PoolingMode::Mean, [3.0, 1.0]),
            (PoolingMode::Max, [5.0, 8.0]),
            (PoolingMode::MeanSqrtLength, [5.196_152, 1.732_050_8]),
            (PoolingMode::WeightedMean, [22.0 / 6.0, -9.0 / 6.0]),
        ] {
            assert_eq!(pooled(mode), [first.to_vec(), one.clone(), zero.clone()], "{mode:?}");
        }
    }

    #[test]
    fn normalizing_gives_length_one_or_zero() {
        let mut vector = vec![3.0, 4.0];
        normalize(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
        let mut zero = vec![0.0; 3];
        normalize(&mut zero);
        assert_eq!(zero, [0.0; 3]);
    }
}
