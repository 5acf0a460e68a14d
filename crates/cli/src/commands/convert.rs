//! `folio convert`: a model in fewer bits.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::{Args, ValueEnum};
use forge::{Conversion, Dtype, Error, Mode, Override, Quantization, Recipe};
use serde_json::json;

use crate::fetching::INTERRUPTED;
use crate::progress::moving;
use crate::report::{Problem, Result};
use crate::{models, output};

/// Write a model in fewer bits, in MLX's formats.
///
/// Every matrix whose rows are whole groups is quantized; the rest, and the files beside the weights, are copied. A
/// conversion that was stopped goes on with the same command.
#[derive(Args, Debug)]
pub(crate) struct Convert {
    /// A folder, a name that `folio list` shows, or ORG/NAME of the hub, which is pulled first
    model: String,
    /// The folder to write, which must not exist yet
    to: PathBuf,
    /// Bits of a code: 2, 3, 4, 5, 6 or 8 [default: 4, or what the mode has]
    #[arg(long, value_name = "N")]
    bits: Option<u64>,
    /// Elements that share a scale: 32, 64 or 128 [default: 64, or what the mode has]
    #[arg(long, value_name = "N")]
    group_size: Option<u64>,
    /// How codes become numbers
    #[arg(long, value_enum, default_value_t)]
    mode: ModeName,
    /// The type of what stays a float [default: as it is stored]
    #[arg(long, value_enum)]
    dtype: Option<DtypeName>,
    /// An exception: bits for the matrices at a place, or `keep`; * stands for any letters. `--override lm_head=8
    /// --override '*.v_proj=6'`. The last that fits counts
    #[arg(long = "override", value_name = "PLACE=BITS")]
    overrides: Vec<String>,
    /// Leave matrices as they are, but for what --dtype and --override say
    #[arg(long, conflicts_with_all = ["bits", "group_size"])]
    keep: bool,
    /// Tell what would be written, and write nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ModeName {
    /// scale * code + bias
    #[default]
    Affine,
    /// 4-bit floats in groups of 32
    Mxfp4,
    /// 8-bit floats in groups of 32
    Mxfp8,
    /// 4-bit floats in groups of 16
    Nvfp4,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DtypeName {
    #[value(name = "float32", alias = "f32")]
    F32,
    #[value(name = "float16", alias = "f16")]
    F16,
    #[value(name = "bfloat16", alias = "bf16")]
    Bf16,
}

impl Convert {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let recipe = self.recipe()?;
        let source = models::locate(&self.model)?;
        let conversion = Conversion::plan(&source, recipe)?;
        let (quantized, kept) = conversion.matrices();
        let object = json!({
            "folder": self.to,
            "bytes": conversion.bytes(),
            "bits_per_weight": conversion.bits_per_weight(),
            "quantized": quantized,
            "kept": kept,
            "written": !self.dry_run,
        });
        if !self.dry_run && !self.write(&conversion)? {
            return Ok(ExitCode::from(INTERRUPTED));
        }
        if self.json {
            output::line(&object.to_string())?;
        } else {
            let would = if self.dry_run { "would be " } else { "" };
            let rest = if kept == 0 { String::new() } else { format!(", {kept} kept") };
            output::line(&format!(
                "{}: {would}{}, {:.2} bits a weight ({quantized} matrices quantized{rest})",
                self.to.display(),
                output::bytes(conversion.bytes()),
                conversion.bits_per_weight(),
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// False if Ctrl-C came first.
    fn write(&self, conversion: &Conversion) -> Result<bool> {
        let interrupted = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&interrupted);
        // Without an event loop Ctrl-C ends the program at once, and the next run goes on all the same.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if runtime.is_ok_and(|runtime| runtime.block_on(tokio::signal::ctrl_c()).is_ok()) {
                heard.store(true, Ordering::Relaxed);
            }
        });
        let bar = moving(!self.json, conversion.bytes());
        let written = conversion.write(&self.to, &mut |progress| {
            bar.set_position(progress.done);
            bar.set_message(progress.tensor.clone());
            if interrupted.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        bar.finish_and_clear();
        match written {
            Ok(()) => Ok(true),
            Err(Error::Stopped) => {
                eprintln!("stopped; the same command goes on");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn recipe(&self) -> Result<Recipe> {
        let mode = match self.mode {
            ModeName::Affine => Mode::Affine,
            ModeName::Mxfp4 => Mode::Mxfp4,
            ModeName::Mxfp8 => Mode::Mxfp8,
            ModeName::Nvfp4 => Mode::Nvfp4,
        };
        let usual = mode.default_parameters();
        let group_size = self.group_size.unwrap_or(usual.group_size as u64);
        let quantization = |flag, bits: u64| {
            let reason = || match mode {
                Mode::Affine => {
                    format!(
                        "{bits} bits in groups of {group_size}: there are 2, 3, 4, 5, 6 and 8, in 32, 64 and 128"
                    )
                }
                Mode::Mxfp4 | Mode::Mxfp8 | Mode::Nvfp4 => {
                    format!("{mode} has {} bits in groups of {}", usual.bits, usual.group_size)
                }
            };
            Quantization::new(mode, bits, group_size)
                .ok_or_else(|| Problem::Flag { flag, reason: reason() })
        };
        let overrides = self.overrides.iter().map(|text| {
            let wrong = || Problem::Flag {
                flag: "--override",
                reason: format!("`{text}` is not PLACE=BITS or PLACE=keep"),
            };
            let (place, what) = text.rsplit_once('=').ok_or_else(wrong)?;
            let quantization = match what {
                "keep" => None,
                // Exceptions of a mode with fixed bits are affine.
                bits => {
                    let bits = bits.parse().map_err(|_| wrong())?;
                    let affine = || Quantization::new(Mode::Affine, bits, 64);
                    let own = quantization("--override", bits);
                    Some(if mode == Mode::Affine {
                        own?
                    } else {
                        own.ok().or_else(affine).ok_or_else(wrong)?
                    })
                }
            };
            Ok(Override { place: place.to_owned(), quantization })
        });
        let bits = self.bits.unwrap_or(usual.bits.into());
        Ok(Recipe {
            quantization: if self.keep { None } else { Some(quantization("--bits", bits)?) },
            overrides: overrides.collect::<Result<_, Problem>>()?,
            dtype: self.dtype.map(|dtype| match dtype {
                DtypeName::F32 => Dtype::F32,
                DtypeName::F16 => Dtype::F16,
                DtypeName::Bf16 => Dtype::BF16,
            }),
        })
    }
}
