//! Rotary frequencies, from the fields that configurations have for them.
//!
//! Sources: the `rope_scaling` conventions of Hugging Face checkpoints; "linear" is Chen et al.,
//! "Extending Context Window of Large Language Models via Positional Interpolation" (2023);
//! "yarn" is Peng et al., "YaRN" (2023); "llama3" is what Meta published with its version 3.1;
//! "longrope" is Ding et al., "LongRoPE" (2024).

use std::f64::consts::PI;

use kernels::ops::{Gather, Rope};
use kernels::{Tensor, ops};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::{Map, Value};

use super::plane::AXES;
use crate::{Batch, Error, Result, Scope};

/// The widest head that is believed.
const MOST_DIMS: usize = 1 << 16;

/// The fields of a configuration that say how positions are encoded. To be flattened into an
/// architecture's own configuration.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RopeConfig {
    rope_theta: Option<f64>,
    rope_traditional: Option<bool>,
    rope_scaling: Option<Scaling>,
    rope_parameters: Option<Parameters>,
    partial_rotary_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

/// `rope_parameters`: for all layers, or for each kind of layer.
#[derive(Clone, Debug)]
enum Parameters {
    ByKind { full_attention: Option<Box<Scaling>>, sliding_attention: Option<Box<Scaling>> },
    Whole(Box<Scaling>),
}

impl<'de> Deserialize<'de> for Parameters {
    /// The keys decide: a field of the wrong type does not make it the other form.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::deserialize(deserializer)?;
        let kinds = ["full_attention", "sliding_attention"];
        if !kinds.iter().any(|kind| fields.contains_key(*kind)) {
            let whole = serde_json::from_value(Value::Object(fields));
            return whole.map(Self::Whole).map_err(|error| in_parameters("", &error));
        }
        let mut take = |kind| {
            let own = serde_json::from_value(fields.remove(kind).unwrap_or_default());
            own.map_err(|error| in_parameters(kind, &error))
        };
        let [full_attention, sliding_attention] = kinds.map(&mut take);
        let (full_attention, sliding_attention) = (full_attention?, sliding_attention?);
        if let Some((other, _)) = fields.iter().find(|(_, value)| !value.is_null()) {
            let text = format!("rope_parameters: `{other}` beside those of kinds of layers");
            return Err(D::Error::custom(text));
        }
        Ok(Self::ByKind { full_attention, sliding_attention })
    }
}

fn in_parameters<E: serde::de::Error>(kind: &str, error: &serde_json::Error) -> E {
    let dot = if kind.is_empty() { "" } else { "." };
    E::custom(format!("rope_parameters{dot}{kind}: {error}"))
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
    short_factor: Option<Vec<f64>>,
    long_factor: Option<Vec<f64>>,
    mrope_section: Option<Vec<usize>>,
    mrope_interleaved: Option<bool>,
}

/// How the heads of a layer are rotated.
#[derive(Clone, Debug)]
pub struct Rotation {
    rope: Rope,
    /// The length of a sequence beyond which it is rotated otherwise, all of it.
    beyond: Option<(usize, Rope)>,
}

impl Rotation {
    /// The length beyond which a sequence is rotated otherwise, if there is one.
    pub fn turn(&self) -> Option<usize> {
        self.beyond.as_ref().map(|(length, _)| *length)
    }

    /// How a sequence is rotated that is no longer than [`turn`](Self::turn).
    pub fn rope(&self) -> &Rope {
        &self.rope
    }

    /// The same with neighbours as pairs.
    #[must_use]
    pub fn of_neighbours(mut self) -> Self {
        self.rope.traditional = true;
        if let Some((_, long)) = &mut self.beyond {
            long.traditional = true;
        }
        self
    }

    /// Rotates `x: [rows, heads, n]`, each row as the length of its sequence asks for.
    pub fn apply(&self, x: &Tensor, batch: &Batch) -> Tensor {
        let Some((turn, long)) = &self.beyond else {
            let in_plane = self.rope.axes() > 1;
            let positions = if in_plane { batch.in_plane() } else { &batch.positions };
            return ops::rope(x, positions, &self.rope);
        };
        let of_span = |(span, length): (&kernels::Span, &usize)| {
            std::iter::repeat_n(u32::from(length > turn), span.rows.len())
        };
        let form: Vec<u32> = batch.spans.iter().zip(&batch.lengths).flat_map(of_span).collect();
        let forms = [&self.rope, long];
        if let Some(&first) = form.first()
            && form.iter().all(|&form| form == first)
        {
            return ops::rope(x, &batch.positions, forms[first as usize]);
        }
        let &[rows, heads, n] = x.shape() else { panic!("rotation: shape {:?}", x.shape()) };
        let all: Vec<u32> = (0..rows as u32).collect();
        let gather = Gather { lhs_indices: &all, rhs_indices: &form };
        let flat = x.reshape(&[rows, heads * n]);
        let rotated = ops::gather_each(&flat, (2, heads * n), gather, |which, some| {
            let positions = batch.positions.iter().zip(&form);
            let positions = positions.filter(|(_, form)| **form == which as u32);
            let positions: Vec<u32> = positions.map(|(position, _)| *position).collect();
            let heads = some.reshape(&[positions.len(), heads, n]);
            ops::rope(&heads, &positions, forms[which]).reshape(some.shape())
        });
        rotated.reshape(x.shape())
    }
}

impl RopeConfig {
    /// The rotation of whole heads of `head_dim`, in one way for every length; `theta` is the
    /// architecture's own base, for a configuration that names none, and `context` its
    /// `max_position_embeddings`.
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
    ) -> Result<Rotation> {
        self.refuse_sections(scope, architecture)?;
        self.uniform(scope, architecture, head_dim, (theta, context))
    }

    /// The fields for the layers of one kind, where a configuration has some for each: those that
    /// look back over a window only, if `sliding`, whose base is `local` if it names none.
    #[must_use]
    pub fn of_kind(&self, sliding: bool, local: f64) -> Self {
        match &self.rope_parameters {
            Some(Parameters::ByKind { full_attention, sliding_attention }) => {
                let own = if sliding { sliding_attention } else { full_attention };
                let theta = if sliding { Some(local) } else { self.rope_theta };
                let Some(own) = own else {
                    // As if there were no such fields for its kind.
                    let plain = Self { rope_parameters: None, ..self.clone() };
                    return plain.of_kind(sliding, local);
                };
                let theta = own.rope_theta.or(theta);
                let rope_parameters = Some(Parameters::Whole(own.clone()));
                Self { rope_theta: theta, rope_parameters, ..Self::default() }
            }
            _ if sliding => Self { rope_theta: Some(local), ..Self::default() },
            _ => self.clone(),
        }
    }

    /// A factor of the scores, for networks that sharpen attention there and not in the rotation:
    /// the square of what `mscale_all_dim` gives.
    pub fn sharpness(&self) -> f64 {
        let scaling = self.scaling().unwrap_or_default();
        let kind = scaling.rope_type.as_deref().or(scaling.old_type.as_deref());
        match (kind.unwrap_or("default"), scaling.factor, scaling.mscale_all_dim) {
            ("default", ..) | (_, None, _) | (.., None) => 1.0,
            (_, Some(factor), Some(weight)) => magnitude(factor, weight).powi(2),
        }
    }

    /// Whether the kind of scaling is said, be it that there is none.
    pub(crate) fn names_kind(&self) -> bool {
        self.scaling().is_none_or(|scaling| scaling.rope_type.or(scaling.old_type).is_some())
    }

    /// The part of a head that is rotated.
    fn part(&self) -> Option<f64> {
        self.scaling()?.partial_rotary_factor.or(self.partial_rotary_factor)
    }

    fn scaling(&self) -> Option<Scaling> {
        match &self.rope_parameters {
            Some(Parameters::Whole(scaling)) => Some((**scaling).clone()),
            Some(Parameters::ByKind { .. }) => None,
            None => Some(self.rope_scaling.clone().unwrap_or_default()),
        }
    }

    /// As [`build`](Self::build), but a head may be rotated in part, and long sequences otherwise
    /// than short ones.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn build_any(
        &self,
        scope: &Scope<'_>,
        architecture: &'static str,
        head_dim: usize,
        (theta, context): (f64, usize),
    ) -> Result<Rotation> {
        self.refuse_sections(scope, architecture)?;
        self.rotation(scope, architecture, head_dim, (theta, context))
    }

    fn refuse_sections(&self, scope: &Scope<'_>, architecture: &'static str) -> Result<()> {
        if self.scaling().is_some_and(|scaling| scaling.mrope_section.is_some()) {
            let value = "set, for positions in a plane";
            return Err(scope.unsupported(architecture, "rope_scaling.mrope_section", value));
        }
        Ok(())
    }

    /// The rotation of whole heads in one way for every length.
    fn uniform(
        &self,
        scope: &Scope<'_>,
        architecture: &'static str,
        head_dim: usize,
        (theta, context): (f64, usize),
    ) -> Result<Rotation> {
        if let Some(part) = self.part().filter(|&part| part != 1.0) {
            return Err(scope.unsupported(architecture, "partial_rotary_factor", part));
        }
        let rotation = self.rotation(scope, architecture, head_dim, (theta, context))?;
        if rotation.beyond.is_some() {
            return Err(scope.unsupported(architecture, "rope_scaling.rope_type", "longrope"));
        }
        Ok(rotation)
    }

    /// As [`build`](Self::build), of heads whose pairs go by positions in time, down and across:
    /// `mrope_section` says how many by each.
    ///
    /// # Errors
    ///
    /// As there, and if the sections do not make up a head.
    pub fn build_in_plane(
        &self,
        scope: &Scope<'_>,
        architecture: &'static str,
        head_dim: usize,
        (theta, context): (f64, usize),
    ) -> Result<Rotation> {
        let scaling = self.scaling().unwrap_or_default();
        if scaling.mrope_interleaved == Some(true) {
            let field = "rope_scaling.mrope_interleaved";
            return Err(scope.unsupported(architecture, field, true));
        }
        if self.rope_traditional == Some(true) {
            return Err(scope.unsupported(architecture, "rope_traditional", true));
        }
        let sections = scaling.mrope_section.unwrap_or_default();
        let pairs = sections.iter().try_fold(0usize, |sum, section| sum.checked_add(*section));
        let fits = sections.len() == AXES && pairs == Some(head_dim / 2);
        let expected = "three numbers that add up to half of a head";
        scope.expect(fits, "rope_scaling.mrope_section", format!("{sections:?}"), expected)?;
        let mut rotation = self.uniform(scope, architecture, head_dim, (theta, context))?;
        let axes = (0u8..).zip(sections);
        rotation.rope.axes =
            axes.flat_map(|(axis, section)| std::iter::repeat_n(axis, section)).collect();
        Ok(rotation)
    }

    fn rotation(
        &self,
        scope: &Scope<'_>,
        architecture: &'static str,
        head_dim: usize,
        (theta, context): (f64, usize),
    ) -> Result<Rotation> {
        let Some(scaling) = self.scaling() else {
            let by_kind = "one for each kind of layer";
            return Err(scope.unsupported(architecture, "rope_parameters", by_kind));
        };
        let theta = self.rope_theta.or(scaling.rope_theta).unwrap_or(theta);
        let positive = |field, value: f64| {
            scope.expect(value.is_finite() && value > 0.0, field, value, "a number above zero")
        };
        positive("rope_theta", theta)?;
        let part = self.part().unwrap_or(1.0);
        scope.expect((0.0..=1.0).contains(&part), "partial_rotary_factor", part, "at most 1")?;
        let head_dim = (head_dim as f64 * part) as usize;
        // Checked before memory is asked for.
        let plausible = head_dim.is_multiple_of(2) && (2..=MOST_DIMS).contains(&head_dim);
        scope.expect(plausible, "head_dim", head_dim, "an even number between 2 and 65536")?;
        let need = |field, value: Option<f64>| {
            let value = value.unwrap_or(f64::NAN);
            positive(field, value).map(|()| value)
        };
        let dims = head_dim as f64;
        let plain: Vec<f64> =
            (0..head_dim / 2).map(|i| theta.powf(-2.0 * i as f64 / dims)).collect();
        let kind = scaling.rope_type.as_deref().or(scaling.old_type.as_deref());
        let mut beyond = None;
        let (freqs, scale) = match kind.unwrap_or("default") {
            // The oldest files say "su", and some "yarn" where they mean the same.
            "longrope" | "su" | "yarn" if kind != Some("yarn") || scaling.long_factor.is_some() => {
                let old = scaling.original_max_position_embeddings;
                let old = old.or(self.original_max_position_embeddings);
                let old = need("rope_scaling.original_max_position_embeddings", old)?;
                let factor = scaling.factor.unwrap_or(context as f64 / old);
                positive("rope_scaling.factor", factor)?;
                let usual = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / old.ln()).sqrt() };
                let stretched = |field, factors: &Option<Vec<f64>>| {
                    let factors = factors.as_deref().unwrap_or_default();
                    let enough = factors.len() == plain.len();
                    scope.expect(enough, field, factors.len(), "one number for each pair")?;
                    factors.iter().try_for_each(|&factor| positive(field, factor))?;
                    let freqs = plain.iter().zip(factors).map(|(freq, factor)| freq / factor);
                    Ok::<Vec<f64>, Error>(freqs.collect())
                };
                let long = stretched("rope_scaling.long_factor", &scaling.long_factor)?;
                beyond = Some((old as usize, long));
                let short = stretched("rope_scaling.short_factor", &scaling.short_factor)?;
                (short, scaling.attention_factor.unwrap_or(usual))
            }
            // "mrope" says no more than its sections do.
            "default" | "mrope" => (plain, 1.0),
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
                let yarn = Yarn { theta, dims, context: old };
                let (fast, slow) =
                    (scaling.beta_fast.unwrap_or(32.0), scaling.beta_slow.unwrap_or(1.0));
                let ramp = yarn.ramp(fast, slow, scaling.truncate.unwrap_or(true));
                let scale = match (scaling.attention_factor, scaling.mscale, scaling.mscale_all_dim)
                {
                    (Some(factor), ..) => factor,
                    (None, Some(one), Some(all)) if one != 0.0 && all != 0.0 => {
                        magnitude(factor, one) / magnitude(factor, all)
                    }
                    _ => magnitude(factor, 1.0),
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
        let rope = |freqs: Vec<f64>| Rope {
            freqs: freqs.into_iter().map(|freq| freq as f32).collect(),
            traditional: self.rope_traditional.unwrap_or(false),
            scale: scale as f32,
            axes: Vec::new(),
        };
        let beyond = beyond.map(|(length, freqs)| (length, rope(freqs)));
        Ok(Rotation { rope: rope(freqs), beyond })
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
}

/// How much attention is sharpened to make up for a context that is `factor` times as long.
fn magnitude(factor: f64, weight: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::RopeConfig;

    #[test]
    fn each_kind_of_layer_has_its_own_base_or_the_usual_one() {
        let parameters = |fields| json!({"rope_theta": 5.0, "rope_parameters": fields});
        for (fields, full, sliding) in [
            (json!(null), 5.0, 7.0),
            (json!({"full_attention": {"rope_theta": 3.0}}), 3.0, 7.0),
            (json!({"sliding_attention": {"rope_theta": 3.0}}), 5.0, 3.0),
            (json!({"full_attention": {}, "sliding_attention": null}), 5.0, 7.0),
            (json!({"full_attention": {"rope_theta": 3.0}, "sliding_attention": {}}), 3.0, 7.0),
        ] {
            let config: RopeConfig = serde_json::from_value(parameters(fields)).unwrap();
            let base = |slides| config.of_kind(slides, 7.0).rope_theta;
            assert_eq!((base(false), base(true)), (Some(full), Some(sliding)), "{config:?}");
        }
    }
}
