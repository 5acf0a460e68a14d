//! What parent and worker say to each other.

use std::collections::BTreeMap;

use super::codec::{Decoder, Encoder};
use crate::layout::{Flow, Line, PageLayout, Region, Style, TableCell, TableRegion, Warning, Word};
use crate::picture::Picture;
use crate::pipeline::{Outline, Raster};
use crate::{Limits, OpenFailure, PageFailure, ProtocolFault};

/// The version of the protocol; both sides are the same program, so it only guards against a
/// wrong program being started.
pub const VERSION: u16 = 3;

/// How the greeting begins.
const MAGIC: &[u8] = b"folio parse\n";

/// The least number of bytes that a list's element takes, so that a count can be checked.
const WORD_BYTES: usize = 1 + 16 + 4 + 1 + 1 + 1;
const LINE_BYTES: usize = 16 + 4 + 4 + 1;
const CELL_BYTES: usize = 1;
const RECT_BYTES: usize = 16;

/// From the parent.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Request {
    /// The first message: what a file may cost.
    Start {
        /// The limits that the worker itself keeps.
        limits: Limits,
    },
    /// A file follows in [`Request::Data`] messages.
    Open {
        /// The size of the file in bytes.
        bytes: u64,
        /// The passwords to try.
        passwords: Vec<String>,
    },
    /// A part of the file.
    Data(Vec<u8>),
    /// Lay out a page.
    Page {
        /// Its index, from 0.
        index: u32,
    },
    /// Draw a page.
    Render {
        /// Its index, from 0.
        index: u32,
        /// How large.
        raster: Raster,
    },
}

/// From the worker.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Response {
    /// The greeting.
    Hello {
        /// [`VERSION`] of the worker.
        version: u16,
    },
    /// The file is open.
    Opened(Outline),
    /// The file is not open.
    OpenFailed(OpenFailure),
    /// A page.
    Page(Box<PageLayout>),
    /// A page, drawn.
    Picture {
        /// The page; no side is longer than [`Raster::MOST`].
        picture: Picture,
        /// What is missing in it.
        omissions: BTreeMap<Warning, u32>,
    },
    /// No page.
    Failed(PageFailure),
}

impl Request {
    /// Its tag and payload.
    pub fn encode(&self) -> (u8, Vec<u8>) {
        let mut out = Encoder::default();
        let tag = match self {
            Self::Start { limits } => {
                out.u64(limits.file_bytes);
                out.u64(limits.memory_bytes);
                out.u64(limits.operators_per_page);
                out.count(limits.glyphs_per_page);
                out.count(limits.form_depth);
                out.u64(limits.content_bytes_per_page);
                1
            }
            Self::Open { bytes, passwords } => {
                out.u64(*bytes);
                out.list(passwords, |out, password| out.str(password));
                2
            }
            Self::Data(bytes) => {
                out.bytes.extend(bytes);
                3
            }
            Self::Page { index } => {
                out.u32(*index);
                4
            }
            Self::Render { index, raster } => {
                out.u32(*index);
                out.u32(raster.longest);
                5
            }
        };
        (tag, out.bytes)
    }

    /// The message of a frame.
    ///
    /// # Errors
    /// For an unknown tag or a payload that is not exactly one message.
    pub fn decode(tag: u8, payload: &[u8]) -> Result<Self, ProtocolFault> {
        let mut from = Decoder::new(payload);
        let size = |value: u64| usize::try_from(value).map_err(|_| ProtocolFault::Malformed);
        let request = match tag {
            1 => Self::Start {
                limits: Limits {
                    file_bytes: from.u64()?,
                    memory_bytes: from.u64()?,
                    operators_per_page: from.u64()?,
                    glyphs_per_page: size(from.u64()?)?,
                    form_depth: size(from.u64()?)?,
                    content_bytes_per_page: from.u64()?,
                    ..Limits::default()
                },
            },
            2 => Self::Open { bytes: from.u64()?, passwords: from.list(1, Decoder::str)? },
            3 => Self::Data(from.take(payload.len())?.to_vec()),
            4 => Self::Page { index: from.u32()? },
            5 => Self::Render { index: from.u32()?, raster: Raster { longest: from.u32()? } },
            tag => return Err(ProtocolFault::UnknownTag { tag }),
        };
        from.finish()?;
        Ok(request)
    }
}

impl Response {
    /// Its tag and payload.
    pub fn encode(&self) -> (u8, Vec<u8>) {
        let mut out = Encoder::default();
        let tag = match self {
            Self::Hello { version } => {
                out.bytes.extend(MAGIC);
                out.u32(u32::from(*version));
                0x81
            }
            Self::Opened(outline) => {
                out.u32(outline.pages);
                out.option_str(outline.title.as_deref());
                out.bool(outline.encrypted);
                out.bool(outline.form);
                0x82
            }
            Self::OpenFailed(failure) => {
                open_failure(&mut out, failure);
                0x83
            }
            Self::Page(page) => {
                layout(&mut out, page);
                0x84
            }
            Self::Failed(failure) => {
                page_failure(&mut out, failure);
                0x85
            }
            Self::Picture { picture, omissions } => {
                out.count(picture.width);
                out.count(picture.height);
                warnings(&mut out, omissions);
                out.bytes.extend(&picture.pixels);
                0x86
            }
        };
        (tag, out.bytes)
    }

    /// The message of a frame.
    ///
    /// # Errors
    /// For an unknown tag or a payload that is not exactly one message.
    pub fn decode(tag: u8, payload: &[u8]) -> Result<Self, ProtocolFault> {
        let mut from = Decoder::new(payload);
        let response = match tag {
            0x81 => {
                if from.take(MAGIC.len()) != Ok(MAGIC) {
                    return Err(ProtocolFault::NotOurs);
                }
                Self::Hello { version: from.u16()? }
            }
            0x82 => Self::Opened(Outline {
                pages: from.u32()?,
                title: from.option_str()?,
                encrypted: from.bool()?,
                form: from.bool()?,
            }),
            0x83 => Self::OpenFailed(read_open_failure(&mut from)?),
            0x84 => Self::Page(Box::new(read_layout(&mut from)?)),
            0x85 => Self::Failed(read_page_failure(&mut from)?),
            0x86 => {
                let (width, height) = (side(&mut from)?, side(&mut from)?);
                let omissions = read_warnings(&mut from)?;
                let pixels = from.take(width * height * 3)?.to_vec();
                Self::Picture { picture: Picture { width, height, pixels }, omissions }
            }
            tag => return Err(ProtocolFault::UnknownTag { tag }),
        };
        from.finish()?;
        Ok(response)
    }
}

/// A side of a picture in pixels: not too many to be multiplied.
fn side(from: &mut Decoder<'_>) -> Result<usize, ProtocolFault> {
    let side = from.u32()?;
    let possible = (1..=Raster::MOST).contains(&side);
    if possible { Ok(side as usize) } else { Err(ProtocolFault::Malformed) }
}

fn warnings(out: &mut Encoder, warnings: &BTreeMap<Warning, u32>) {
    out.count(warnings.len());
    for (warning, count) in warnings {
        out.u8(*warning as u8);
        out.u32(*count);
    }
}

fn read_warnings(from: &mut Decoder<'_>) -> Result<BTreeMap<Warning, u32>, ProtocolFault> {
    let mut warnings = BTreeMap::new();
    for _ in 0..from.count(2)? {
        let number = usize::from(from.u8()?);
        let warning = *Warning::ALL.get(number).ok_or(ProtocolFault::Malformed)?;
        warnings.insert(warning, from.u32()?);
    }
    Ok(warnings)
}

/// The kinds that only a parent can find out ([`OpenFailure::NotPdf`] and the ends of a process)
/// travel as damage and as a panic; a worker never sends them.
fn open_failure(out: &mut Encoder, failure: &OpenFailure) {
    match failure {
        OpenFailure::Damaged { bytes } => {
            out.u8(0);
            out.u64(*bytes);
        }
        OpenFailure::NotPdf { .. } => {
            out.u8(0);
            out.u64(0);
        }
        OpenFailure::Picture { message } => {
            out.u8(5);
            out.str(message);
        }
        OpenFailure::PasswordRequired => out.u8(1),
        OpenFailure::PasswordWrong { tried } => {
            out.u8(2);
            out.u32(*tried);
        }
        OpenFailure::Encryption { broken } => {
            out.u8(3);
            out.bool(*broken);
        }
        OpenFailure::Process(failure) => {
            out.u8(4);
            page_failure(out, failure);
        }
    }
}

fn read_open_failure(from: &mut Decoder<'_>) -> Result<OpenFailure, ProtocolFault> {
    Ok(match from.u8()? {
        0 => OpenFailure::Damaged { bytes: from.u64()? },
        1 => OpenFailure::PasswordRequired,
        2 => OpenFailure::PasswordWrong { tried: from.u32()? },
        3 => OpenFailure::Encryption { broken: from.bool()? },
        4 => OpenFailure::Process(read_page_failure(from)?),
        5 => OpenFailure::Picture { message: from.str()? },
        _ => return Err(ProtocolFault::Malformed),
    })
}

fn page_failure(out: &mut Encoder, failure: &PageFailure) {
    match failure {
        PageFailure::NoSuchPage => out.u8(0),
        PageFailure::StackOverflow => out.u8(2),
        PageFailure::Undecodable => out.u8(3),
        PageFailure::Panic { message } => {
            out.u8(1);
            out.str(message);
        }
        PageFailure::Picture { message } => {
            out.u8(5);
            out.str(message);
        }
        PageFailure::Raster { longest } => {
            out.u8(4);
            out.u32(*longest);
        }
        PageFailure::Memory { .. }
        | PageFailure::Timeout { .. }
        | PageFailure::Died { .. }
        | PageFailure::GivenUp { .. }
        | PageFailure::Unread { .. } => {
            out.u8(1);
            out.str(&failure.to_string());
        }
    }
}

fn read_page_failure(from: &mut Decoder<'_>) -> Result<PageFailure, ProtocolFault> {
    Ok(match from.u8()? {
        0 => PageFailure::NoSuchPage,
        1 => PageFailure::Panic { message: from.str()? },
        2 => PageFailure::StackOverflow,
        3 => PageFailure::Undecodable,
        4 => PageFailure::Raster { longest: from.u32()? },
        5 => PageFailure::Picture { message: from.str()? },
        _ => return Err(ProtocolFault::Malformed),
    })
}

fn layout(out: &mut Encoder, page: &PageLayout) {
    out.f32(page.width);
    out.f32(page.height);
    out.u32(u32::from(page.rotation));
    out.list(&page.regions, region);
    out.list(&page.images, Encoder::rect);
    out.f32(page.image_cover);
    out.u32(page.visible_glyphs);
    out.u32(page.hidden_glyphs);
    warnings(out, &page.warnings);
}

fn read_layout(from: &mut Decoder<'_>) -> Result<PageLayout, ProtocolFault> {
    Ok(PageLayout {
        width: from.f32()?,
        height: from.f32()?,
        rotation: from.u16()?,
        regions: from.list(2, read_region)?,
        images: from.list(RECT_BYTES, Decoder::rect)?,
        image_cover: from.f32()?,
        visible_glyphs: from.u32()?,
        hidden_glyphs: from.u32()?,
        warnings: read_warnings(from)?,
    })
}

fn region(out: &mut Encoder, region: &Region) {
    match region {
        Region::Flow(flow) => {
            out.u8(0);
            out.list(&flow.lines, line);
            out.f32(flow.left);
            out.f32(flow.right);
            out.u32(u32::from(flow.turned));
        }
        Region::Table(table) => {
            out.u8(1);
            out.list(&table.rows, |out, row| {
                out.list(row, |out, cell| out.list(&cell.lines, line));
            });
            out.rect(&table.bbox);
            out.bool(table.ruled);
        }
    }
}

fn read_region(from: &mut Decoder<'_>) -> Result<Region, ProtocolFault> {
    Ok(match from.u8()? {
        0 => Region::Flow(Flow {
            lines: from.list(LINE_BYTES, read_line)?,
            left: from.f32()?,
            right: from.f32()?,
            turned: from.u16()?,
        }),
        1 => Region::Table(TableRegion {
            rows: from.list(1, |from| {
                from.list(CELL_BYTES, |from| {
                    Ok(TableCell { lines: from.list(LINE_BYTES, read_line)? })
                })
            })?,
            bbox: from.rect()?,
            ruled: from.bool()?,
        }),
        _ => return Err(ProtocolFault::Malformed),
    })
}

fn line(out: &mut Encoder, line: &Line) {
    out.rect(&line.bbox);
    out.f32(line.baseline);
    out.f32(line.size);
    out.list(&line.words, |out, word| {
        out.str(&word.text);
        out.rect(&word.bbox);
        out.f32(word.size);
        out.u8(word.style.bits());
        out.bool(word.spaced);
        out.option_str(word.link.as_deref());
    });
}

fn read_line(from: &mut Decoder<'_>) -> Result<Line, ProtocolFault> {
    Ok(Line {
        bbox: from.rect()?,
        baseline: from.f32()?,
        size: from.f32()?,
        words: from.list(WORD_BYTES, |from| {
            Ok(Word {
                text: from.str()?,
                bbox: from.rect()?,
                size: from.f32()?,
                style: Style::from_bits(from.u8()?).ok_or(ProtocolFault::Malformed)?,
                spaced: from.bool()?,
                link: from.option_str()?,
            })
        })?,
    })
}
