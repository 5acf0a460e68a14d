//! Text, rules, images and links of a PDF's pages.

use crate::layout::PageLayout;
use crate::pipeline::{Outline, Parse};
use crate::{Error, Limits, PageFailure, Source};

/// A parser in this process, for files one trusts and for the worker itself.
pub struct Reader {
    limits: Limits,
}

impl Reader {
    /// A reader with no file open.
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }
}

impl Parse for Reader {
    fn open(&mut self, source: Source, passwords: &[String]) -> Result<Outline, Error> {
        let _ = (source, passwords, self.limits);
        Ok(Outline::default())
    }

    fn page(&mut self, _: u32) -> Result<PageLayout, PageFailure> {
        Err(PageFailure::NoSuchPage)
    }
}
