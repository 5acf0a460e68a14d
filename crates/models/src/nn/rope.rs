//! Rotary frequencies, from the fields that configurations have for them.
//!
//! Sources: the `rope_scaling` conventions of Hugging Face checkpoints; "linear" is Chen et al.,
//! "Extending Context Window of Large Language Models via Positional Interpolation" (2023);
//! "yarn" is Peng et al., "YaRN" (2023); "llama3" is what Meta published with its version 3.1.

use std::f64::consts::PI;

use kernels::ops::Rope;
use serde::Deserialize;

use crate::{Result, Scope};

/// The widest head that is believed.
const MOST_DIMS: usize = 1 << 16;

/// The fields of a configuration that say how positions are encoded. To be flattened into an
/// architecture's own configuration.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RopeConfig {
    rope_theta: Option<f64>,
    rope_traditional: Option<bool>,
    rope_scaling: Option<Scaling>,
    rope_parameters: Option<Scaling>,
}

/// `rope_scaling`, and the newer `rope_parameters` that replaces it.
#[derive(Clone, Debug, Default, Deserialize)]
struct Scaling {
    rope_type: Option<String>,
    #[serde(rename = "type")]
    old_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    beta_fast: Option<f64>,
    beta_slow: Option<f64>,
    attention_factor: Option<f64>,
    mscale: Option<f64>,
    mscale_all_dim: Option<f64>,
    truncate: Option<bool>,
    partial_rotary_factor: Option<f64>,
}

impl RopeConfig {
    /// The frequencies for heads of `head_dim`; `theta` is the architecture's own base, for a
    /// configuration that names none, and `context` its `max_position_embeddings`.
    ///
    /// # Errors
    ///
    /// If a field is missing or makes no sense, or the kind of scaling is unknown.
    pub fn build(
        &self,
        scope: &Scope<'_>,
        architecture: &'static str,
        head_dim: usize,
        (theta, context): (f64, usize),
    ) -> Result<Rope> {
        let scaling = self.rope_parameters.clone().or_else(|| self.rope_scaling.clone());
        let scaling = scaling.unwrap_or_default();
        let theta = self.rope_theta.or(scaling.rope_theta).unwrap_or(theta);
        let positive = |field, value: f64| {
            scope.expect(value.is_finite() && value > 0.0, field, value, "a number above zero")
        };
        positive("rope_theta", theta)?;
        // Checked before memory is asked for.
        let plausible = head_dim.is_multiple_of(2) && (2..=MOST_DIMS).contains(&head_dim);
        scope.expect(plausible, "head_dim", head_dim, "an even number between 2 and 65536")?;
        if let Some(part) = scaling.partial_rotary_factor.filter(|&part| part != 1.0) {
            return Err(scope.unsupported(architecture, "partial_rotary_factor", part));
        }
        let need = |field, value: Option<f64>| {
            let value = value.unwrap_or(f64::NAN);
            positive(field, value).map(|()| value)
        };
        let dims = head_dim as f64;
        let plain: Vec<f64> =
            (0..head_dim / 2).map(|i| theta.powf(-2.0 * i as f64 / dims)).collect();
        let kind = scaling.rope_type.as_deref().or(scaling.old_type.as_deref());
        let (freqs, scale) = match kind.unwrap_or("default") {
            "default" => (plain, 1.0),
            "linear" => {
                let factor = need("rope_scaling.factor", scaling.factor)?;
                (plain.iter().map(|freq| freq / factor).collect(), 1.0)
            }
            "llama3" => {
                let old = scaling.original_max_position_embeddings;
                let stretch = Stretch {
                    factor: need("rope_scaling.factor", scaling.factor)?,
                    low: need("rope_scaling.low_freq_factor", scaling.low_freq_factor)?,
                    high: need("rope_scaling.high_freq_factor", scaling.high_freq_factor)?,
                    context: need("rope_scaling.original_max_position_embeddings", old)?,
                };
                let apart = stretch.high > stretch.low;
                let field = "rope_scaling.high_freq_factor";
                scope.expect(apart, field, stretch.high, "above low_freq_factor")?;
                (plain.iter().map(|&freq| stretch.apply(freq)).collect(), 1.0)
            }
            "yarn" => {
                let factor = need("rope_scaling.factor", scaling.factor)?;
                let old = scaling.original_max_position_embeddings.unwrap_or(context as f64);
                positive("rope_scaling.original_max_position_embeddings", old)?;
                let yarn = Yarn { theta, dims, context: old, factor };
                let (fast, slow) =
                    (scaling.beta_fast.unwrap_or(32.0), scaling.beta_slow.unwrap_or(1.0));
                let ramp = yarn.ramp(fast, slow, scaling.truncate.unwrap_or(true));
                let scale = match (scaling.attention_factor, scaling.mscale, scaling.mscale_all_dim)
                {
                    (Some(factor), ..) => factor,
                    (None, Some(one), Some(all)) if one != 0.0 && all != 0.0 => {
                        yarn.magnitude(one) / yarn.magnitude(all)
                    }
                    _ => yarn.magnitude(1.0),
                };
                let blend = |(i, freq): (usize, f64)| {
                    let part = ramp(i as f64);
                    freq / factor * part + freq * (1.0 - part)
                };
                (plain.into_iter().enumerate().map(blend).collect(), scale)
            }
            other => return Err(scope.unsupported(architecture, "rope_scaling.rope_type", other)),
        };
        positive("rope_scaling.attention_factor", scale)?;
        Ok(Rope {
            freqs: freqs.into_iter().map(|freq| freq as f32).collect(),
            traditional: self.rope_traditional.unwrap_or(false),
            scale: scale as f32,
        })
    }
}

/// Meta's: long waves are slowed by `factor`, short ones are left, those between are blended.
struct Stretch {
    factor: f64,
    low: f64,
    high: f64,
    context: f64,
}

impl Stretch {
    fn apply(&self, freq: f64) -> f64 {
        let turns = self.context * freq / (2.0 * PI);
        let smooth = ((turns - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        (1.0 - smooth) * freq / self.factor + smooth * freq
    }
}

struct Yarn {
    theta: f64,
    dims: f64,
    context: f64,
    factor: f64,
}

impl Yarn {
    /// The pair that turns `turns` times over the original context.
    fn pair(&self, turns: f64) -> f64 {
        self.dims * (self.context / (turns * 2.0 * PI)).ln() / (2.0 * self.theta.ln())
    }

    /// How far each pair is interpolated, from 0 for the fast ones to 1 for the slow ones.
    fn ramp(&self, fast: f64, slow: f64, whole: bool) -> impl Fn(f64) -> f64 {
        let (mut low, mut high) = (self.pair(fast), self.pair(slow));
        if whole {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, mut high) = (low.max(0.0), high.min(self.dims - 1.0));
        if low == high {
            high += 0.001;
        }
        move |i| ((i - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// How much attention is sharpened to make up for the longer context.
    fn magnitude(&self, weight: f64) -> f64 {
        if self.factor <= 1.0 { 1.0 } else { 0.1 * weight * self.factor.ln() + 1.0 }
    }
}
