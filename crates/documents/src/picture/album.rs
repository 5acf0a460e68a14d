//! A file of pictures as a document: every picture is a page.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::frames::{Frames, Header};
use super::{Picture, PictureFailure};
use crate::layout::PageLayout;
use crate::pipeline::{Outline, Parse, Raster, Render};
use crate::{Error, OpenFailure, PageFailure, Rect, Source};

/// A file of pictures, opened in this process: of a TIFF every picture is a page, of other kinds the first is the only one.
///
/// A page is as large as the picture's pixels to the inch make it (96 if the file does not say), and has one image, which
/// covers it, and no text. It is drawn on white, turned as its file says, and resized to what is asked for.
#[derive(Default)]
pub struct Album {
    file: Option<Open>,
}

struct Open {
    bytes: Vec<u8>,
    /// Where the directories of a TIFF are, which may be many.
    directories: Vec<u64>,
}

impl Album {
    /// An album with no file open.
    pub fn new() -> Self {
        Self::default()
    }

    /// Does something with a page of the open file. A decoder's panic is the page's failure.
    fn with<T>(
        &self,
        index: u32,
        look: impl FnOnce(&Frames<'_>, usize) -> Result<T, PictureFailure>,
    ) -> Result<T, PageFailure> {
        let file = self.file.as_ref().ok_or(PageFailure::NoSuchPage)?;
        let index = usize::try_from(index).map_err(|_| PageFailure::NoSuchPage)?;
        let found = catch_unwind(AssertUnwindSafe(|| {
            let frames = Frames::at(&file.bytes, (&file.directories).into())?;
            if index < frames.count() { look(&frames, index).map(Some) } else { Ok(None) }
        }));
        match found {
            Ok(Ok(Some(found))) => Ok(found),
            Ok(Ok(None)) => Err(PageFailure::NoSuchPage),
            Ok(Err(failure)) => Err(PageFailure::Picture { message: failure.reason() }),
            Err(panic) => Err(panicked(&*panic)),
        }
    }
}

/// The failure of a page whose parser panicked.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> PageFailure {
    PageFailure::Panic { message: said(panic) }
}

/// What a panic said.
pub(super) fn said(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

/// Width and height of a page in points.
fn points(header: Header) -> [f32; 2] {
    let Header { size: [width, height], density: [across, down] } = header;
    [width as f32 * 72.0 / across, height as f32 * 72.0 / down]
}

impl Parse for Album {
    fn open(&mut self, source: Source, _: &[String]) -> Result<Outline, Error> {
        let Source { name, bytes } = source;
        self.file = None;
        let found = catch_unwind(AssertUnwindSafe(|| {
            let frames = Frames::new(&bytes)?;
            // A file of which not even the first header can be read is none.
            frames.header(0)?;
            Ok((frames.count(), frames.directories()))
        }));
        let failure = match found {
            Ok(Ok((count, directories))) => {
                self.file = Some(Open { bytes, directories });
                let pages = u32::try_from(count).unwrap_or(u32::MAX);
                return Ok(Outline { pages, ..Outline::default() });
            }
            Ok(Err(PictureFailure::NotPicture { found })) => OpenFailure::NotPdf { found },
            Ok(Err(failure)) => OpenFailure::Picture { message: failure.reason() },
            Err(panic) => OpenFailure::Process(panicked(&*panic)),
        };
        Err(Error::Open { file: name, failure })
    }

    fn page(&mut self, index: u32) -> Result<PageLayout, PageFailure> {
        let [width, height] = points(self.with(index, |frames, index| frames.header(index))?);
        Ok(PageLayout {
            width,
            height,
            images: vec![Rect::new(0.0, 0.0, width, height)],
            image_cover: 1.0,
            ..PageLayout::default()
        })
    }
}

impl Render for Album {
    fn render(&mut self, index: u32, raster: Raster) -> Result<Picture, PageFailure> {
        let raster = raster.check()?;
        self.with(index, |frames, index| {
            let [width, height] = points(frames.header(index)?);
            let [columns, rows] = raster.size(width, height);
            Ok(frames.picture(index)?.resized(columns, rows))
        })
    }
}
