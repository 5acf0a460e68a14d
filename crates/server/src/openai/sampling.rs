//! The fields that say how to continue, shared by the endpoints that continue.

use manager::runtime::GenerateOptions;

use crate::fault::Fault;
use crate::read::OneOrMany;
use crate::state::Limits;

/// Checks `stop`: none of it empty, and not too many.
pub(crate) fn stops(
    stop: Option<OneOrMany<String>>,
    limits: &Limits,
) -> Result<Vec<String>, Fault> {
    let stop = stop.map_or_else(Vec::new, OneOrMany::into_vec);
    if stop.len() > limits.stops {
        let message = format!("`stop` has {} texts, but may have {}", stop.len(), limits.stops);
        return Err(Fault::field("stop", message));
    }
    if stop.iter().any(String::is_empty) {
        return Err(Fault::field("stop", "`stop` has an empty text, which would end every answer"));
    }
    Ok(stop)
}

/// Checks `n`.
pub(crate) fn choices(n: Option<usize>, limits: &Limits) -> Result<usize, Fault> {
    match n.unwrap_or(1) {
        n if (1..=limits.choices).contains(&n) => Ok(n),
        n => {
            Err(Fault::field("n", format!("`n` is {n}, but must be from 1 to {}", limits.choices)))
        }
    }
}

/// The options of answer `index` of several: the same, but for chance.
pub(crate) fn numbered(options: &GenerateOptions, index: usize) -> GenerateOptions {
    let seed = options.seed.map(|seed| seed.wrapping_add(index as u64));
    GenerateOptions { seed, ..options.clone() }
}
