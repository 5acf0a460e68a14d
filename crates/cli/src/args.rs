//! The words of the command line that several commands share.

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};
use manager::machine::Machine;
use manager::runtime::{Backend, KvCodes};
use manager::{CpuOptions, KvQuantization, Precision, WeightLayout};

use crate::commands::Command;

/// Run language, vision and embedding models on your own machine, over your own documents.
#[derive(Debug, Parser)]
#[command(name = "folio", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How numbers are computed.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Compute {
    /// Threads that compute [default: every usable core]
    #[arg(long, value_name = "N", env = "FOLIO_THREADS")]
    pub(crate) threads: Option<usize>,
    /// What activations are rounded to before they meet quantized weights: fast takes 8 bits,
    /// bf16 is more precise and slower, exact keeps 32-bit floats, for comparing with a reference
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub(crate) precision: Rounding,
    /// The same as `--precision exact`
    #[arg(long, conflicts_with = "precision")]
    pub(crate) exact: bool,
    /// Where the CPU reads quantized weights: panels are memory of folio's own, laid out while a model
    /// is loaded, which takes a moment; mapped is the file's memory map, which other processes share,
    /// and which multiplies more slowly [default: mapped at first, and panels after some tokens, in
    /// at most half of the memory that is available]
    #[arg(long, value_name = "WHERE", value_enum)]
    pub(crate) weights: Option<Weights>,
    /// Where to compute: auto takes MLX on a Mac if it can be used, and else the CPU
    #[arg(long, value_name = "DEVICE", value_enum, default_value_t, hide_possible_values = true)]
    pub(crate) device: Where,
}

/// `auto`, `cpu` or `mlx`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Where {
    #[default]
    Auto,
    Cpu,
    Mlx,
}

/// `mapped` or `panels`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Weights {
    Mapped,
    Panels,
}

/// `fast`, `bf16` or `exact`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Rounding {
    #[default]
    Fast,
    Bf16,
    Exact,
}

impl Compute {
    /// How activations are rounded.
    pub(crate) fn precision(self) -> Precision {
        if self.exact {
            return Precision::Exact;
        }
        match self.precision {
            Rounding::Fast => Precision::Fast,
            Rounding::Bf16 => Precision::Bf16,
            Rounding::Exact => Precision::Exact,
        }
    }

    /// The backend that was asked for.
    pub(crate) fn backend(self) -> Backend {
        match self.device {
            Where::Auto => Backend::Auto,
            Where::Cpu => Backend::Cpu,
            Where::Mlx => Backend::Mlx,
        }
    }

    /// How the CPU computes; MLX takes the precision from it.
    pub(crate) fn cpu(self) -> CpuOptions {
        let weights = match self.weights {
            Some(Weights::Panels) => WeightLayout::Panels,
            Some(Weights::Mapped) => WeightLayout::InPlace,
            None => {
                let half = Machine::look().memory_available / 2;
                WeightLayout::InTime { room: usize::try_from(half).unwrap_or(usize::MAX) }
            }
        };
        CpuOptions { threads: self.threads, isa: None, precision: self.precision(), weights }
    }
}

/// How past tokens are kept.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Kept {
    /// Keep past tokens as codes of 8 or 4 bits: about half or a quarter of the cache, less exact
    #[arg(long, value_name = "N", visible_alias = "kv_bits", value_parser = parse_bits)]
    kv_bits: Option<usize>,
    /// Numbers that share a scale in these codes [default: 64, or 32 where heads are no multiple]
    #[arg(
        long,
        value_name = "N",
        visible_alias = "kv_group_size",
        requires = "kv_bits",
        value_parser = parse_group_size
    )]
    kv_group_size: Option<usize>,
}

/// What is added to a model.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Adapted {
    /// Add what was trained: a folder with a LoRA adapter as mlx-lm or PEFT writes it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) adapter: Option<PathBuf>,
}

impl Kept {
    /// The codes that were asked for.
    pub(crate) fn codes(self) -> Option<KvCodes> {
        let Self { kv_bits, kv_group_size } = self;
        kv_bits.map(|bits| KvCodes { bits, group_size: kv_group_size })
    }
}

/// Reads a width of codes.
fn parse_bits(text: &str) -> Result<usize, String> {
    one_of(&KvQuantization::BITS, text)
}

/// Reads a size of groups.
fn parse_group_size(text: &str) -> Result<usize, String> {
    one_of(&KvQuantization::GROUP_SIZES, text)
}

fn one_of(numbers: &[usize], text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| numbers.contains(number));
    let shown: Vec<_> = numbers.iter().map(usize::to_string).collect();
    number.ok_or_else(|| format!("there are {}", shown.join(", ")))
}

/// Reads a number of bytes: `16GB`, `7.5 GiB`, `1000`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let bytes = manager::config::parse_bytes(text).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| "write a number with a unit, such as 16GB or 8GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_of_a_few_widths() {
        assert_eq!((parse_bits("8"), parse_bits("4")), (Ok(8), Ok(4)));
        assert_eq!(parse_group_size("128"), Ok(128));
        assert_eq!(parse_bits("6"), Err("there are 8, 4".to_owned()));
        assert!(parse_bits("four").is_err() && parse_group_size("8").is_err());
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(parse_bytes("16GB"), Ok(16_000_000_000));
        assert_eq!(parse_bytes(" 1.5 GiB"), Ok(1_610_612_736));
        assert_eq!(parse_bytes("12"), Ok(12));
        for wrong in ["", "GB", "-1GB", "1.2.3GB", "16XB", "0", "1e30", "99999999999TB"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
