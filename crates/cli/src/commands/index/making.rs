//! What makes the vectors of an index, as it is asked for.

use clap::Args;
use manager::find::{Encoders, MakeOptions};

use super::{Filling, encoders_on};
use crate::args::Compute;
use crate::models::OnDemand;
use crate::report::{Problem, Result};

/// Why a flag for vectors that are compared one by one is refused.
const FOR_VECTORS: &str = "it is for a model that looks at pages, or for vectors of tokens";

/// What makes vectors, and how.
#[derive(Args, Debug)]
pub(crate) struct Making {
    /// What makes vectors: a model that looks at pages, one that embeds texts, or both (given twice) [default: what made the
    /// index, and for a new one none: pages are then found by their words]
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Vec<String>,
    /// Pages that are encoded and written at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) batch: u16,
    /// Keep one vector for each N of a page, by what is alike on it: a smaller index that finds a little less
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=16))]
    pub(crate) pool: Option<u8>,
    /// Keep vectors of the tokens of texts too, for models that make them (bge-m3): pages are then compared by these exactly
    #[arg(long)]
    token_vectors: bool,
    /// Elements that are kept of each vector of a text, for models that were trained so that these say most
    #[arg(long, value_name = "N")]
    dimensions: Option<usize>,
    /// Files that are parsed at once [default: every usable core]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    #[command(flatten)]
    pub(crate) compute: Compute,
}

impl Making {
    /// What is asked for.
    pub(super) fn options(&self) -> MakeOptions {
        MakeOptions {
            pool: self.pool.map(usize::from),
            dimensions: self.dimensions,
            token_vectors: self.token_vectors,
        }
    }

    /// Loads what is asked for.
    pub(crate) fn encoders(&self) -> Result<Encoders> {
        self.encoders_of(&OnDemand::new(self.compute), &self.model, self.options())
    }

    /// Loads these models instead, onto `device`, to make vectors so.
    pub(super) fn encoders_of(
        &self,
        device: &OnDemand,
        wanted: &[String],
        options: MakeOptions,
    ) -> Result<Encoders> {
        let encoders = encoders_on(device, wanted, options)?;
        refuse_vainly(self.pool.is_some(), "--pool", &encoders)?;
        Ok(encoders)
    }

    /// How documents come into the index. `ending` is told to who interrupts it.
    pub(crate) fn filling(&self, ending: &'static str) -> Filling<'_> {
        Filling {
            batch: usize::from(self.batch),
            workers: self.workers,
            passwords: &[],
            category: None,
            previews: true,
            reading: None,
            ending,
        }
    }
}

/// Refuses a flag that was `given` if there are no vectors that it is for.
pub(super) fn refuse_vainly(given: bool, flag: &'static str, encoders: &Encoders) -> Result<()> {
    if given && !encoders.compares() {
        return Err(Problem::Flag { flag, reason: FOR_VECTORS.to_owned() }.into());
    }
    Ok(())
}
