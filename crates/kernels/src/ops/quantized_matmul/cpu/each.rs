//! Several products, each of some activations with some weight, in one region of the threads: the
//! tasks of one after those of another.

use super::activations::Rounded;
use super::weights::Weights;
use super::{Product, plan};
use crate::cpu::SharedMut;
use crate::cpu::simd::quantized::Level;
use crate::{QuantizedTensor, Tensor};

/// The product of each pair, with the instructions of `level`, which the machine has.
pub(in crate::ops) fn multiply_each(
    level: Level,
    pairs: &[(&Tensor, &QuantizedTensor)],
) -> Vec<Tensor> {
    let Some((first, _)) = pairs.first() else { return Vec::new() };
    let cpu = first.cpu();
    for (x, w) in pairs {
        if let Some(laid_out) = w.weight.laid_out() {
            laid_out.meet(cpu, w, x.rows());
        }
    }
    let weights: Vec<_> = pairs.iter().map(|(_, w)| Weights::new(w)).collect();
    let both = || pairs.iter().zip(&weights);
    // Activations that meet several weights of one format are rounded once.
    let mut rounded: Vec<(*const f32, Rounded)> = Vec::new();
    let plans = both().map(|((x, _), w)| {
        if x.rows() == 0 {
            return None;
        }
        let plan = plan(cpu.precision(), level, w, x.rows())?;
        let at = x.data().as_ptr();
        let known = rounded.iter().position(|(of, rounded)| *of == at && rounded.plan == plan);
        Some(known.unwrap_or_else(|| {
            rounded.push((at, Rounded::new(cpu, level, plan, x.data())));
            rounded.len() - 1
        }))
    });
    let plans: Vec<Option<usize>> = plans.collect();
    let mut buffers: Vec<_> = both().map(|((x, _), w)| cpu.buffer(x.rows() * w.rows())).collect();
    {
        let outs: Vec<_> = buffers.iter_mut().map(|out| SharedMut::new(out)).collect();
        let of = both().zip(&outs).zip(&plans);
        let products: Vec<_> = of
            .filter(|(((pair, _), _), _)| pair.0.rows() > 0)
            .map(|((((x, _), w), out), plan)| {
                let rounded = plan.map(|plan| &rounded[plan].1);
                Product { level, w, x: x.data(), rounded, m: x.rows(), out }
            })
            .collect();
        let tasks: Vec<_> = products.iter().map(|product| product.tasks(cpu.threads())).collect();
        cpu.pool().run(tasks.iter().map(|(count, _)| count).sum(), |task| {
            let mut task = task;
            for (product, (count, grain)) in products.iter().zip(&tasks) {
                if task < *count {
                    let rows = product.w.rows();
                    return product.run(task * grain..((task + 1) * grain).min(rows));
                }
                task -= count;
            }
        });
    }
    let shapes = both().map(|((x, _), w)| [x.rows(), w.rows()]);
    let shapes: Vec<_> = shapes.collect();
    let outs = shapes.iter().zip(buffers);
    outs.map(|(shape, out)| Tensor::from_buffer(shape, out)).collect()
}
