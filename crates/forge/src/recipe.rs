//! Which matrix gets how many bits.

use checkpoint::{Care, Dtype, MatrixUse, Mode, Quantization};

/// An exception from a recipe's rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The places it is for: a name such as `lm_head`, in which `*` stands for any letters.
    pub place: String,
    /// What to do there; `None` leaves a matrix as it is.
    pub quantization: Option<Quantization>,
}

/// What is to be done with a network's matrices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    /// For every matrix without an exception; `None` leaves them as they are.
    pub quantization: Option<Quantization>,
    /// Exceptions; the last that fits counts.
    pub overrides: Vec<Override>,
    /// The type of what stays a float; as it is stored if absent.
    pub dtype: Option<Dtype>,
}

impl Recipe {
    /// What to do with the `matrix` at `place`. Groups that do not fill its rows leave it as it is, as in mlx-lm; and as
    /// there, what decides which experts are asked has eight bits, or none, unless an exception speaks of it.
    pub(crate) fn choose(&self, place: &str, matrix: &MatrixUse) -> Option<Quantization> {
        let whole = |how: &Quantization| {
            matrix.columns != 0 && matrix.columns.is_multiple_of(how.group_size)
        };
        let exception = self.overrides.iter().rev().find(|exception| fits(&exception.place, place));
        if matrix.care == Care::Coded {
            return None;
        }
        if let Some(exception) = exception {
            return exception.quantization.filter(whole);
        }
        let usual = self.quantization.filter(whole)?;
        match matrix.care {
            Care::Usual => Some(usual),
            Care::High => Quantization::new(Mode::Affine, 8, 64).filter(whole),
            Care::Float | Care::Coded => None,
        }
    }

    /// The exceptions that fit none of `places`.
    pub(crate) fn idle<'a>(&self, places: impl Iterator<Item = &'a str> + Clone) -> Option<&str> {
        let idle =
            |exception: &&Override| !places.clone().any(|place| fits(&exception.place, place));
        self.overrides.iter().find(idle).map(|exception| exception.place.as_str())
    }
}

/// Whether `pattern`, in which `*` stands for any letters, is `name`.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let (middle, end) =
        rest.rsplit_once('*').map_or((None, rest), |(middle, end)| (Some(middle), end));
    // Taking each piece as early as it comes leaves most for those after it.
    for piece in middle.into_iter().flat_map(|middle| middle.split('*')) {
        let Some(at) = name.find(piece) else { return false };
        name = &name[at + piece.len()..];
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_letters() {
        for (pattern, name) in [
            ("lm_head", "lm_head"),
            ("*", "anything"),
            ("*.v_proj", "model.layers.0.self_attn.v_proj"),
            ("model.layers.0.*", "model.layers.0.mlp.up_proj"),
            ("*.layers.*.mlp.*", "model.layers.3.mlp.up_proj"),
            ("a*b*b", "aXbb"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("lm_head", "lm_head2"),
            ("*.v_proj", "v_proj"),
            ("model.layers.0.*", "model.layers.10.mlp"),
            ("a*b*b", "ab"),
            ("", "a"),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn the_last_exception_counts_and_uneven_rows_stay() {
        let how = |bits| Quantization::new(Mode::Affine, bits, 64);
        let exception =
            |place: &str, quantization| Override { place: place.to_owned(), quantization };
        let recipe = Recipe {
            quantization: how(4),
            overrides: vec![exception("*.v_proj", how(8)), exception("a.*", None)],
            dtype: None,
        };
        let choose = |place, columns, care| {
            let matrix = MatrixUse { count: None, rows: 2, columns, quantization: None, care };
            recipe.choose(place, &matrix)
        };
        assert_eq!(choose("b.v_proj", 128, Care::Usual), how(8));
        assert_eq!(choose("a.v_proj", 128, Care::Usual), None);
        assert_eq!(choose("b", 128, Care::Usual), how(4));
        assert_eq!(choose("b", 100, Care::Usual), None);
        assert_eq!(choose("b", 128, Care::High), how(8));
        assert_eq!(choose("b", 128, Care::Float), None);
        assert_eq!(choose("b.v_proj", 128, Care::Float), how(8));
        assert_eq!(recipe.idle(["b.v_proj"].into_iter()), Some("a.*"));
        assert_eq!(recipe.idle(["b.v_proj", "a.x"].into_iter()), None);
    }
}
