//! Pages as pixels.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hayro::hayro_interpret::{InterpreterSettings, InterpreterWarning};
use hayro::vello_cpu::color::palette::css::WHITE;
use hayro::vello_cpu::{Pixmap, RasterizerSettings, RenderContext, Resources, TargetInit};
use hayro::{RenderCache, RenderSettings, kurbo, render_into};
use hayro_cmap::load_embedded;
use hayro_syntax::page::Page;

use super::substitutes::Substitutes;
use crate::layout::{Warning, warn};
use crate::picture::Picture;
use crate::pipeline::Raster;

/// A page, drawn, and what is missing in it.
pub(super) struct Drawing {
    pub(super) picture: Picture,
    pub(super) omissions: BTreeMap<Warning, u32>,
}

/// Draws a page on white paper.
///
/// Nothing is kept for the next page: a renderer's cache only grows, and thousands of pages of scans would fill any memory.
pub(super) fn draw<'a>(page: &'a Page<'a>, raster: Raster, fonts: &Arc<Substitutes>) -> Drawing {
    let (width, height) = page.render_dimensions();
    let [columns, rows] = raster.size(width, height);
    // Both are at most `Raster::MOST`.
    let (columns, rows) = (columns as u16, rows as u16);
    let to_pixels = kurbo::Affine::scale(raster.scale(width, height))
        * kurbo::Affine::new(page.initial_transform(true).as_coeffs());

    let omissions = Arc::new(Mutex::new(BTreeMap::new()));
    let complain = |into: &Arc<Mutex<BTreeMap<Warning, u32>>>| {
        let into = Arc::clone(into);
        move |warning| warn(&mut into.lock().unwrap_or_else(PoisonError::into_inner), warning)
    };
    let of_fonts = complain(&omissions);
    let of_content = complain(&omissions);
    let fonts = Arc::clone(fonts);
    let settings = InterpreterSettings {
        font_resolver: Arc::new(move |query| fonts.find(query, &|| of_fonts(Warning::Font))),
        cmap_resolver: Arc::new(load_embedded),
        warning_sink: Arc::new(move |warning| match warning {
            InterpreterWarning::UnsupportedFont => of_content(Warning::Font),
            InterpreterWarning::ImageDecodeFailure => of_content(Warning::Image),
            InterpreterWarning::UnresolvedAnnotationAppearance => of_content(Warning::Annotation),
            // Whatever a newer renderer complains about is something that it did not draw.
            _ => of_content(Warning::Stream),
        }),
        ..InterpreterSettings::default()
    };
    let mut context = RenderContext::new(columns, rows);
    render_into(
        page,
        &RenderCache::new(),
        &settings,
        &RenderSettings::default(),
        &mut context,
        to_pixels,
    );
    context.flush();
    let mut paper = Pixmap::new(columns, rows);
    let rasterizer = RasterizerSettings {
        target_init: TargetInit::Clear(WHITE),
        ..RasterizerSettings::default()
    };
    context.render_with(&mut paper, &mut Resources::default(), rasterizer);
    // Paper is opaque, so there is nothing to divide by.
    let pixels = paper.data().iter().flat_map(|p| [p.r, p.g, p.b]).collect();
    let picture = Picture { width: columns.into(), height: rows.into(), pixels };
    let omissions = std::mem::take(&mut *omissions.lock().unwrap_or_else(PoisonError::into_inner));
    Drawing { picture, omissions }
}
