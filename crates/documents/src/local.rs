//! Files of every kind that is read, in this process.

use std::collections::BTreeMap;

use crate::layout::{PageLayout, Warning};
use crate::picture::{Album, Picture};
use crate::pipeline::{Outline, Parse, Raster, Render};
use crate::{Error, FileKind, Limits, PageFailure, Source, pdf};

/// A parser in this process of PDFs and of pictures, for files one trusts and for the worker itself; see
/// [`pdf::Reader`] and [`Album`].
pub struct Local {
    pdf: pdf::Reader,
    album: Album,
    /// Whether the file that is open is one of pictures.
    pictures: bool,
}

impl Local {
    /// A parser with no file open.
    pub fn new(limits: Limits) -> Self {
        Self { pdf: pdf::Reader::new(limits), album: Album::new(), pictures: false }
    }
}

impl Parse for Local {
    fn open(&mut self, source: Source, passwords: &[String]) -> Result<Outline, Error> {
        self.pictures = FileKind::of(&source.bytes).is_picture();
        if self.pictures {
            self.album.open(source, passwords)
        } else {
            self.pdf.open(source, passwords)
        }
    }

    fn page(&mut self, index: u32) -> Result<PageLayout, PageFailure> {
        if self.pictures { self.album.page(index) } else { self.pdf.page(index) }
    }
}

impl Render for Local {
    fn render(&mut self, index: u32, raster: Raster) -> Result<Picture, PageFailure> {
        if self.pictures {
            self.album.render(index, raster)
        } else {
            self.pdf.render(index, raster)
        }
    }

    fn omissions(&self) -> BTreeMap<Warning, u32> {
        if self.pictures { self.album.omissions() } else { self.pdf.omissions() }
    }
}
