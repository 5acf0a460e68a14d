//! An open document: its fonts and pages.

use std::collections::{BTreeSet, HashMap};

use hayro_cmap::load_embedded;
use hayro_font::{CMapResolverFn, FontCache, FontQuery, FontResolverFn};
use hayro_syntax::object::Dict;
use hayro_syntax::page::{Page, Rotation};
use hayro_syntax::{DecryptionError, LoadPdfError, Pdf};
use std::sync::Arc;

use super::draw::{Drawing, draw};
use super::face::Face;
use super::form::has_text_fields;
use super::interpret::Interpreter;
use super::layers::Layers;
use super::substitutes::Substitutes;
use super::text_string;
use crate::layout::Content;
use crate::pipeline::{Outline, Raster};
use crate::source::FileBytes;
use crate::{Limits, OpenFailure};

/// Faces that all pages share, by where their dictionary stands in the file.
pub(super) struct Shared<'a> {
    pub(super) faces: Vec<Face<'a>>,
    by_dict: HashMap<(usize, usize), usize>,
    font_resolver: FontResolverFn,
    cmap_resolver: CMapResolverFn,
}

impl<'a> Shared<'a> {
    fn new() -> Self {
        Self {
            faces: Vec::new(),
            by_dict: HashMap::new(),
            font_resolver: Arc::new(|query| match query {
                FontQuery::Standard(font) => Some(font.get_font_data()),
                FontQuery::Fallback(query) => Some(query.pick_standard_font().get_font_data()),
            }),
            cmap_resolver: Arc::new(load_embedded),
        }
    }

    /// The number of the face of a dictionary, and whether it is new.
    pub(super) fn face(&mut self, dict: &Dict<'a>, fonts: &FontCache<'a>) -> (usize, bool) {
        let data = dict.data();
        let key = (data.as_ptr() as usize, data.len());
        if let Some(&face) = self.by_dict.get(&key) {
            return (face, false);
        }
        let font = if dict.is_empty() {
            None
        } else {
            fonts.font(dict, &self.font_resolver, &self.cmap_resolver)
        };
        self.faces.push(Face::new(dict, font));
        let face = self.faces.len() - 1;
        self.by_dict.insert(key, face);
        (face, true)
    }
}

/// Opens a file with the empty password or one of those given.
pub(super) fn open(
    bytes: &Arc<FileBytes>,
    passwords: &[String],
) -> Result<(Pdf, Outline), OpenFailure> {
    let attempts = std::iter::once("").chain(passwords.iter().map(String::as_str));
    for password in attempts {
        match Pdf::new_with_password(Arc::clone(bytes), password) {
            Ok(pdf) => {
                let outline = outline(&pdf);
                return if outline.pages == 0 {
                    Err(OpenFailure::Damaged { bytes: bytes.0.len() as u64 })
                } else {
                    Ok((pdf, outline))
                };
            }
            Err(LoadPdfError::Decryption(DecryptionError::PasswordProtected)) => {}
            Err(LoadPdfError::Decryption(DecryptionError::UnsupportedAlgorithm)) => {
                return Err(OpenFailure::Encryption { broken: false });
            }
            Err(LoadPdfError::Decryption(
                DecryptionError::MissingIDEntry | DecryptionError::InvalidEncryption,
            )) => return Err(OpenFailure::Encryption { broken: true }),
            Err(LoadPdfError::Invalid) => {
                return Err(OpenFailure::Damaged { bytes: bytes.0.len() as u64 });
            }
        }
    }
    Err(match passwords.len() {
        0 => OpenFailure::PasswordRequired,
        tried => OpenFailure::PasswordWrong { tried: u32::try_from(tried).unwrap_or(u32::MAX) },
    })
}

fn outline(pdf: &Pdf) -> Outline {
    let title = pdf.metadata().title.as_deref().map(text_string);
    // The cross-reference table does not say it; the decoded file does not hide it.
    let encrypted = has_encryption(pdf);
    Outline {
        pages: u32::try_from(pdf.pages().len()).unwrap_or(u32::MAX),
        title: title.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()),
        encrypted,
        form: has_text_fields(pdf.xref()),
    }
}

/// Whether an encryption dictionary is among the objects that a trailer of the file names. Only
/// the last 64 KiB and the cross-reference streams' dictionaries are looked at.
fn has_encryption(pdf: &Pdf) -> bool {
    let data: &[u8] = pdf.data().as_ref();
    let holds = |part: &[u8]| part.windows(9).any(|window| window == b"/Encrypt ");
    holds(&data[..data.len().min(4096)]) || holds(&data[data.len().saturating_sub(65536)..])
}

/// The pages of an open document, one at a time.
pub(super) struct Session<'a> {
    pdf: &'a Pdf,
    fonts: FontCache<'a>,
    shared: Shared<'a>,
    layers: Layers,
    limits: Limits,
    /// The pages whose content is decoded, and how many bytes that is.
    read: BTreeSet<u32>,
    hoard: u64,
}

impl<'a> Session<'a> {
    pub(super) fn new(pdf: &'a Pdf, limits: Limits) -> Self {
        Self {
            pdf,
            fonts: FontCache::new(),
            shared: Shared::new(),
            layers: Layers::new(pdf.xref()),
            limits,
            read: BTreeSet::new(),
            hoard: 0,
        }
    }

    /// The bytes of decoded content that the file holds on to, now that page `index` was read too.
    pub(super) fn hoard(&mut self, index: u32) -> u64 {
        if self.read.insert(index)
            && let Some(page) = usize::try_from(index).ok().and_then(|at| self.pdf.pages().get(at))
        {
            self.hoard += page.page_stream().map_or(0, |content| content.len() as u64);
        }
        self.hoard
    }

    /// The content of a page by its index; `None` when there is no such page.
    pub(super) fn page(&mut self, index: u32) -> Option<Content> {
        let page = self.pdf.pages().get(usize::try_from(index).ok()?)?;
        let interpreter =
            Interpreter::new(page, &mut self.shared, &self.fonts, &self.layers, &self.limits);
        Some(interpreter.page(page))
    }

    /// A page by its index, drawn; `None` when there is no such page.
    pub(super) fn draw(
        &self,
        index: u32,
        raster: Raster,
        fonts: &Arc<Substitutes>,
    ) -> Option<Drawing> {
        let page = self.pdf.pages().get(usize::try_from(index).ok()?)?;
        Some(draw(page, raster, fonts))
    }
}

/// A page's rotation in degrees clockwise.
pub(super) fn degrees(page: &Page<'_>) -> u16 {
    match page.rotation() {
        Rotation::None => 0,
        Rotation::Horizontal => 90,
        Rotation::Flipped => 180,
        Rotation::FlippedHorizontal => 270,
    }
}
