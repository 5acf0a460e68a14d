//! Who reads pages without words, where reading is a part of another command's work.

use clap::Args;
use documents::tesseract::Tesseract;
use manager::config::Config;

use crate::report::{Problem, Result};

/// The task whose route reads pages.
const VISION: &str = "vision";

/// Who reads pages without words.
#[derive(Args, Debug)]
pub(crate) struct Vision {
    /// Who reads pages without words: a vision model [default: the route `vision` of the settings, then Tesseract if it is
    /// installed]
    #[arg(long, value_name = "MODEL")]
    vision: Option<String>,
    /// Do not ask Tesseract for pages without words
    #[arg(long, conflicts_with = "ocr_languages")]
    no_ocr_engine: bool,
    /// Languages for Tesseract, as it calls them: eng+deu [default: its own]
    #[arg(long, value_name = "LIST")]
    ocr_languages: Option<String>,
}

impl Vision {
    /// A flag that was given, if one was.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let given = [
            (self.vision.is_some(), "--vision"),
            (self.no_ocr_engine, "--no-ocr-engine"),
            (self.ocr_languages.is_some(), "--ocr-languages"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, flag)| flag)
    }

    /// The model: the one that is named, or the task that the settings have for it.
    pub(crate) fn model(&self, config: &Config) -> Option<String> {
        let routed = || config.routes.contains_key(VISION).then(|| VISION.to_owned());
        self.vision.clone().or_else(routed)
    }

    /// The program of the system, if it is to be asked and is there.
    pub(crate) fn engine(&self) -> Result<Option<Tesseract>> {
        let languages = self.ocr_languages.as_deref();
        let found = if self.no_ocr_engine { None } else { Tesseract::find(languages) };
        if languages.is_some() && found.is_none() {
            let reason = "there is no Tesseract: install it, or leave this out".to_owned();
            return Err(Problem::Flag { flag: "--ocr-languages", reason }.into());
        }
        Ok(found)
    }
}
