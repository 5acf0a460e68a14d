//! Pages that are read before they are indexed, as it is asked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use documents::pipeline::{Mode, ReadOptions};
use documents::tesseract::Tesseract;
use manager::Environment;
use manager::config::Config;
use manager::find::Encoders;
use manager::house::House;

use crate::args::Kept;
use crate::commands::read::{Eyes, offered};
use crate::commands::serve::furnished;
use crate::models::OnDemand;
use crate::report::{Problem, Result};
use crate::settings::Settings;
use crate::vision::Vision;

/// Who reads pages.
#[derive(Args, Debug)]
pub(super) struct Reads {
    /// Have pages read whose own words are missing or bad, as `folio read` does, and find them by what was read; with
    /// `--read=ocr` every page is read
    #[arg(
        long,
        value_name = "HOW",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "auto"
    )]
    read: Option<Which>,
    #[command(flatten)]
    vision: Vision,
    /// Read settings from this file [default: where `folio serve` finds them]
    #[arg(long, value_name = "FILE", requires = "read")]
    config: Option<PathBuf>,
}

/// `auto` or `ocr`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Which {
    Auto,
    Ocr,
}

/// Those who are to read, before any of them is in memory.
pub(super) struct Named {
    mode: Mode,
    config: Config,
    model: Option<String>,
    engine: Option<Tesseract>,
}

impl Reads {
    /// Who is to read, if anybody is. What is not on this machine is pulled.
    pub(super) fn named(&self) -> Result<Option<Named>> {
        let Some(which) = self.read else {
            if let Some(flag) = self.vision.given() {
                let reason = "it says who reads pages, and `--read` that they are read".to_owned();
                return Err(Problem::Flag { flag, reason }.into());
            }
            return Ok(None);
        };
        let mode = match which {
            Which::Auto => Mode::Auto,
            Which::Ocr => Mode::Ocr,
        };
        let config = Settings::of(self.config.clone(), Vec::new()).load()?;
        let model = self.vision.model(&config).map(|model| {
            // A folder is the same reader from wherever folio is called.
            let folder = Path::new(&model).is_dir().then(|| std::path::absolute(&model).ok());
            folder.flatten().map_or(model, |folder| folder.display().to_string())
        });
        let engine = self.vision.engine()?;
        if model.is_none() && engine.is_none() {
            let reason = "nobody is here who could read: name a model that sees with `--vision`, set the route `vision`, or install Tesseract";
            return Err(Problem::Flag { flag: "--read", reason: reason.to_owned() }.into());
        }
        offered(model.as_slice(), &config)?;
        Ok(Some(Named { mode, config, model, engine }))
    }
}

impl Named {
    /// Makes them ready on `device`, beside `encoders`, before which the process took `before` bytes. Models are loaded when
    /// the first page is shown to them.
    pub(super) fn open(
        self,
        device: &OnDemand,
        (encoders, before): (&Encoders, u64),
    ) -> Result<Eyes> {
        let Self { mode, config, model, engine } = self;
        let options = ReadOptions { mode, ..ReadOptions::default() };
        let house = || -> Result<Arc<House>> {
            let mut furnished = furnished(&config, &Kept::default());
            furnished.models.extend(offered(model.as_slice(), &config)?);
            // What encodes may not have touched all of its weights yet, and they are its own all the same.
            let touched = manager::current_rss().unwrap_or(before).saturating_sub(before);
            let beside = encoders.bytes().saturating_sub(touched);
            furnished.memory = furnished.memory.map(|limit| limit.saturating_sub(beside));
            Ok(House::open(device.get()?, Environment::from_process(), furnished))
        };
        Eyes::at_home(model.as_slice(), engine, options, house)
    }
}
