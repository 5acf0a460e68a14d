//! Content streams, as far as they place text, straight lines and images.
//!
//! Colours, patterns, shadings, masks and outlines are none of our business here, which makes this
//! small and fast and lets every limit be kept from inside: a stream that asks for too much is cut
//! off with a warning instead of bringing the process down.

use hayro_font::FontCache;
use hayro_syntax::content::{Instruction, UntypedIter};
use hayro_syntax::object::{Array, Dict, Name, Object, Rect as PdfRect, Stream};
use hayro_syntax::page::{Page, Resources};

use super::document::Shared;
use super::face::Meaning;
use super::layers::Layers;
use super::strokes::Path;
use super::text_string;
use crate::geometry::Affine;
use crate::layout::{Content, Glyph, GlyphText, Style, Warning, warn};
use crate::{Limits, Rect};

/// Graphics states saved at once.
const STATES: usize = 512;
/// Images kept for a page.
const IMAGES: usize = 10_000;
/// A replacement text longer than this is a description, not the text as it stands on the page.
const ACTUAL_TEXT: usize = 16;
/// How far outside the page, in points, a glyph may begin.
const MARGIN: f32 = 2.0;

/// The graphics state, as far as text needs it.
#[derive(Clone)]
struct State {
    ctm: Affine,
    face: Option<usize>,
    size: f64,
    char_space: f64,
    word_space: f64,
    stretch: f64,
    leading: f64,
    rise: f64,
    mode: i64,
}

/// What a marked-content sequence means to us.
enum Mark {
    Nothing,
    HiddenLayer,
    /// Text that stands in place of the glyphs; taken by the first of them.
    Actual(Option<String>),
}

/// Reads one page.
pub(super) struct Interpreter<'s, 'a> {
    shared: &'s mut Shared<'a>,
    fonts: &'s FontCache<'a>,
    layers: &'s Layers,
    limits: &'s Limits,
    out: Content,
    state: State,
    saved: Vec<State>,
    matrix: Affine,
    line_matrix: Affine,
    path: Path,
    marks: Vec<Mark>,
    hidden_layers: usize,
    operators: u64,
    bytes: u64,
    depth: usize,
}

impl<'s, 'a> Interpreter<'s, 'a> {
    pub(super) fn new(
        page: &Page<'a>,
        shared: &'s mut Shared<'a>,
        fonts: &'s FontCache<'a>,
        layers: &'s Layers,
        limits: &'s Limits,
    ) -> Self {
        let (width, height) = page.render_dimensions();
        let ctm = Affine(page.initial_transform(true).as_coeffs());
        let out = Content {
            width,
            height,
            rotation: super::document::degrees(page),
            ..Content::default()
        };
        Self {
            shared,
            fonts,
            layers,
            limits,
            out,
            state: State {
                ctm,
                face: None,
                size: 1.0,
                char_space: 0.0,
                word_space: 0.0,
                stretch: 1.0,
                leading: 0.0,
                rise: 0.0,
                mode: 0,
            },
            saved: Vec::new(),
            matrix: Affine::IDENTITY,
            line_matrix: Affine::IDENTITY,
            path: Path::default(),
            marks: Vec::new(),
            hidden_layers: 0,
            operators: 0,
            bytes: 0,
            depth: 0,
        }
    }

    /// Reads the page's content and its annotations.
    pub(super) fn page(mut self, page: &Page<'a>) -> Content {
        match page.page_stream() {
            Some(stream) => self.run(stream, page.resources()),
            None if page.raw().contains_key("Contents") => self.warn(Warning::Stream),
            None => {}
        }
        self.annotations(page);
        self.out
    }

    fn warn(&mut self, warning: Warning) {
        warn(&mut self.out.warnings, warning);
    }

    /// Interprets one content stream.
    fn run(&mut self, data: &[u8], resources: &Resources<'a>) {
        self.bytes = self.bytes.saturating_add(data.len() as u64);
        if self.bytes > self.limits.content_bytes_per_page {
            self.warn(Warning::Content);
            return;
        }
        let saved = self.saved.len();
        let outer = self.state.clone();
        let marks = self.marks.len();
        let mut iter = UntypedIter::new(data);
        while let Some(instruction) = iter.next() {
            self.operators += 1;
            if self.operators > self.limits.operators_per_page {
                self.warn(Warning::Operators);
                break;
            }
            self.operator(&instruction, resources, saved);
        }
        // What a stream leaves open does not reach beyond it.
        self.saved.truncate(saved);
        self.state = outer;
        while self.marks.len() > marks {
            self.end_mark();
        }
        self.path.clear();
    }

    fn operator(&mut self, i: &Instruction<'_, '_>, resources: &Resources<'a>, base: usize) {
        let n = Numbers::of(i);
        match &i.operator[..] {
            b"q" => {
                if self.saved.len() < STATES {
                    self.saved.push(self.state.clone());
                }
            }
            b"Q" => {
                if self.saved.len() > base
                    && let Some(state) = self.saved.pop()
                {
                    self.state = state;
                }
            }
            b"cm" => {
                if let Some(m) = n.matrix() {
                    self.state.ctm = self.state.ctm.after(&m);
                }
            }
            b"gs" => self.graphics_state(i, resources),
            b"m" => self.path.move_to(n.at(0), n.at(1)),
            b"l" => self.path.line_to(&self.state.ctm, n.at(0), n.at(1)),
            b"c" => self.path.curve_to(n.at(4), n.at(5)),
            b"v" | b"y" => self.path.curve_to(n.at(2), n.at(3)),
            b"h" => self.path.close(&self.state.ctm),
            b"re" => self.path.rectangle(&self.state.ctm, n.at(0), n.at(1), n.at(2), n.at(3)),
            b"S" => self.paint(true, false),
            b"s" => {
                self.path.close(&self.state.ctm);
                self.paint(true, false);
            }
            b"f" | b"F" | b"f*" => self.paint(false, true),
            b"B" | b"B*" => self.paint(true, true),
            b"b" | b"b*" => {
                self.path.close(&self.state.ctm);
                self.paint(true, true);
            }
            b"n" => self.path.clear(),
            b"Do" => self.x_object(i, resources),
            b"EI" | b"BI" => self.image(),
            b"BMC" => self.marks.push(Mark::Nothing),
            b"BDC" => self.begin_mark(i, resources),
            b"EMC" => self.end_mark(),
            _ => self.text_operator(i, &n, resources),
        }
    }

    fn text_operator(&mut self, i: &Instruction<'_, '_>, n: &Numbers, resources: &Resources<'a>) {
        match &i.operator[..] {
            b"BT" => {
                self.matrix = Affine::IDENTITY;
                self.line_matrix = Affine::IDENTITY;
            }
            b"Tf" => {
                let dict = name(i).and_then(|name| resources.get_font(&name));
                self.state.face = dict.map(|dict| self.face(&dict));
                self.state.size = n.at(0);
            }
            b"Tc" => self.state.char_space = n.at(0),
            b"Tw" => self.state.word_space = n.at(0),
            b"Tz" => self.state.stretch = n.at(0) / 100.0,
            b"TL" => self.state.leading = n.at(0),
            b"Ts" => self.state.rise = n.at(0),
            b"Tr" => self.state.mode = n.at(0) as i64,
            b"Tm" => {
                if let Some(m) = n.matrix() {
                    self.matrix = m;
                    self.line_matrix = m;
                }
            }
            b"Td" => self.next_line(n.at(0), n.at(1)),
            b"TD" => {
                self.state.leading = -n.at(1);
                self.next_line(n.at(0), n.at(1));
            }
            b"T*" => self.next_line(0.0, -self.state.leading),
            b"Tj" => self.show(i),
            b"'" => {
                self.next_line(0.0, -self.state.leading);
                self.show(i);
            }
            b"\"" => {
                self.state.word_space = n.at(0);
                self.state.char_space = n.at(1);
                self.next_line(0.0, -self.state.leading);
                self.show(i);
            }
            b"TJ" => self.show(i),
            _ => {}
        }
    }

    fn paint(&mut self, stroke: bool, fill: bool) {
        if self.hidden_layers == 0 {
            self.path.paint(stroke, fill, &mut self.out.rules);
        } else {
            self.path.clear();
        }
    }

    fn next_line(&mut self, x: f64, y: f64) {
        self.line_matrix = self.line_matrix.after(&Affine::translate(x, y));
        self.matrix = self.line_matrix;
    }

    /// The number of the face of a font dictionary.
    fn face(&mut self, dict: &Dict<'a>) -> usize {
        let (face, new) = self.shared.face(dict, self.fonts);
        if new && !self.shared.faces[face].is_loaded() {
            self.warn(Warning::Font);
        }
        face
    }

    fn graphics_state(&mut self, i: &Instruction<'_, '_>, resources: &Resources<'a>) {
        let font = name(i)
            .and_then(|name| resources.get_ext_g_state(&name))
            .and_then(|dict| dict.get::<Array<'a>>("Font"));
        if let Some(font) = font {
            let mut items = font.flex_iter();
            if let (Some(dict), Some(size)) = (items.next::<Dict<'a>>(), items.next::<f32>()) {
                self.state.face = Some(self.face(&dict));
                self.state.size = f64::from(size);
            }
        }
    }

    fn show(&mut self, i: &Instruction<'_, '_>) {
        for operand in i.operands() {
            if let Object::String(text) = operand {
                self.string(text.as_bytes());
            } else if let Object::Array(items) = operand {
                for item in items.iter::<Object<'_>>() {
                    if let Object::String(text) = item {
                        self.string(text.as_bytes());
                    } else if let Object::Number(by) = item {
                        self.adjust(by.as_f64());
                    }
                }
            }
        }
    }

    /// Moves by thousandths of the em, backwards.
    fn adjust(&mut self, by: f64) {
        let by = -by / 1000.0 * self.state.size;
        let horizontal = self.state.face.is_none_or(|face| self.shared.faces[face].is_horizontal());
        let (x, y) = if horizontal { (by * self.state.stretch, 0.0) } else { (0.0, by) };
        self.matrix = self.matrix.after(&Affine::translate(x, y));
    }

    fn string(&mut self, bytes: &[u8]) {
        let face = match self.state.face {
            Some(face) => face,
            // Text without a font is shown in Helvetica by others: let the widths be rough.
            None => self.face(&Dict::empty()),
        };
        let horizontal = self.shared.faces[face].is_horizontal();
        let mut at = 0;
        while at < bytes.len() {
            let (code, length) = self.shared.faces[face].code(bytes, at);
            at += length;
            let known = self.shared.faces[face].look_up(code).clone();
            if self.hidden_layers == 0 {
                self.glyph(face, &known);
            }
            let s = &self.state;
            let mut space = s.char_space;
            if code == 32 && length == 1 {
                space += s.word_space;
            }
            let (x, y) = if horizontal {
                ((known.advance.0 * s.size + space) * s.stretch, 0.0)
            } else {
                (0.0, known.advance.1 * s.size + space)
            };
            self.matrix = self.matrix.after(&Affine::translate(x, y));
        }
    }

    fn glyph(&mut self, face: usize, known: &super::face::Known) {
        let s = &self.state;
        let map = s.ctm.after(&self.matrix).after(&Affine([
            s.size * s.stretch,
            0.0,
            0.0,
            s.size,
            0.0,
            s.rise,
        ]));
        let mut text = match &known.meaning {
            Meaning::Text(text) => text.clone(),
            Meaning::Guess(c) => {
                let c = *c;
                self.warn(Warning::NoUnicode);
                GlyphText::Char(c)
            }
            Meaning::Unreadable => {
                self.warn(Warning::Unreadable);
                return;
            }
        };
        if !map.is_finite() {
            self.warn(Warning::Coordinates);
            return;
        }
        let (x, y) = map.apply(known.origin.0, known.origin.1);
        let (x1, y1) =
            map.apply(known.origin.0 + known.advance.0, known.origin.1 + known.advance.1);
        let size = map.0[2].hypot(map.0[3]) * self.shared.faces[face].em();
        let on_page = x as f32 >= -MARGIN
            && x as f32 <= self.out.width + MARGIN
            && y as f32 >= -MARGIN
            && y as f32 <= self.out.height + MARGIN;
        if !on_page || !(0.2..=5000.0).contains(&size) {
            return;
        }
        if let Some(Mark::Actual(actual)) = self.marks.last_mut() {
            text = GlyphText::Str(actual.take().unwrap_or_default().into());
        }
        if self.out.glyphs.len() >= self.limits.glyphs_per_page {
            self.warn(Warning::Glyphs);
            return;
        }
        let mut style = self.shared.faces[face].style;
        style = match self.state.mode {
            // Stroked and filled in black is how word processors make bold of a face without one.
            2 | 6 => style.with(Style::BOLD),
            3 | 7 => style.with(Style::HIDDEN),
            _ => style,
        };
        self.out.glyphs.push(Glyph {
            text,
            x: x as f32,
            y: y as f32,
            dx: (x1 - x) as f32,
            dy: (y1 - y) as f32,
            size: size as f32,
            style,
        });
    }

    /// Notes an image, which is the unit square.
    fn image(&mut self) {
        let bbox = self.state.ctm.apply_box(0.0, 0.0, 1.0, 1.0);
        let page = Rect::new(0.0, 0.0, self.out.width, self.out.height);
        if self.hidden_layers == 0
            && self.out.images.len() < IMAGES
            && let Some(seen) = bbox.intersection(&page)
        {
            self.out.images.push(seen);
        }
    }

    fn x_object(&mut self, i: &Instruction<'_, '_>, resources: &Resources<'a>) {
        let Some(stream) = name(i).and_then(|name| resources.get_x_object(&name)) else {
            return;
        };
        let dict = stream.dict();
        if dict.contains_key("OC") && !self.layers.is_shown(dict, b"OC") {
            return;
        }
        match dict.get::<Name<'_>>("Subtype").as_deref() {
            Some(b"Image") => self.image(),
            Some(b"Form") => self.form(&stream, Affine::IDENTITY, resources),
            _ => {}
        }
    }

    /// Interprets a form, placed by `place` in the current space.
    fn form(&mut self, stream: &Stream<'a>, place: Affine, resources: &Resources<'a>) {
        if self.depth >= self.limits.form_depth {
            self.warn(Warning::Depth);
            return;
        }
        if self.bytes > self.limits.content_bytes_per_page
            || self.operators > self.limits.operators_per_page
        {
            return;
        }
        let Ok(data) = stream.decoded_data() else {
            self.warn(Warning::Stream);
            return;
        };
        let dict = stream.dict();
        let own = dict.get::<Dict<'a>>("Resources").map(Resources::new);
        let matrix = Affine(dict.get::<[f64; 6]>("Matrix").unwrap_or(Affine::IDENTITY.0));
        let outer = self.state.clone();
        let (text, line) = (self.matrix, self.line_matrix);
        self.state.ctm = self.state.ctm.after(&place).after(&matrix);
        self.depth += 1;
        self.run(&data, own.as_ref().unwrap_or(resources));
        self.depth -= 1;
        self.state = outer;
        (self.matrix, self.line_matrix) = (text, line);
    }

    /// The appearances of annotations and form fields, and the links.
    fn annotations(&mut self, page: &Page<'a>) {
        let Some(annotations) = page.raw().get::<Array<'a>>("Annots") else {
            return;
        };
        let page_map = Affine(page.initial_transform(true).as_coeffs());
        for annotation in annotations.iter::<Dict<'a>>().take(IMAGES) {
            let flags = annotation.get::<u32>("F").unwrap_or(0);
            // Hidden, or not shown on screens.
            if flags & (1 << 1 | 1 << 5) != 0 {
                continue;
            }
            let Some(rect) = annotation.get::<PdfRect>("Rect") else {
                continue;
            };
            let subtype = annotation.get::<Name<'_>>("Subtype");
            match subtype.as_deref() {
                Some(b"Link") => {
                    let bbox = page_map.apply_box(rect.x0, rect.y0, rect.x1, rect.y1);
                    self.out.links.extend(super::links::link(&annotation, bbox));
                    continue;
                }
                Some(b"Popup") => continue,
                _ => {}
            }
            if let Some(form) = appearance(&annotation) {
                self.state.ctm = page_map;
                if let Some(place) = placement(&form, &rect) {
                    self.form(&form, place, page.resources());
                }
            }
        }
    }

    fn begin_mark(&mut self, i: &Instruction<'_, '_>, resources: &Resources<'a>) {
        let mut operands = i.operands();
        let tag = operands.next();
        let properties = operands.next();
        let is_layer = matches!(tag, Some(Object::Name(tag)) if tag.as_ref() == b"OC");
        if is_layer && let Some(Object::Name(key)) = properties {
            if self.layers.is_shown(&resources.properties, key.as_ref()) {
                self.marks.push(Mark::Nothing);
            } else {
                self.hidden_layers += 1;
                self.marks.push(Mark::HiddenLayer);
            }
            return;
        }
        let actual = match properties {
            Some(Object::Dict(dict)) => actual_text(dict),
            Some(Object::Name(key)) => {
                resources.properties.get::<Dict<'_>>(key.as_ref()).and_then(|d| actual_text(&d))
            }
            _ => None,
        };
        self.marks.push(match actual {
            Some(text) if text.chars().count() <= ACTUAL_TEXT => Mark::Actual(Some(text)),
            _ => Mark::Nothing,
        });
    }

    fn end_mark(&mut self) {
        if let Some(Mark::HiddenLayer) = self.marks.pop() {
            self.hidden_layers -= 1;
        }
    }
}

/// The numbers among the operands, the first six.
struct Numbers([f64; 6], usize);

impl Numbers {
    fn of(instruction: &Instruction<'_, '_>) -> Self {
        let mut numbers = Self([0.0; 6], 0);
        for operand in instruction.operands() {
            if let Object::Number(number) = operand
                && let Some(slot) = numbers.0.get_mut(numbers.1)
            {
                let value = number.as_f64();
                *slot = if value.is_finite() { value } else { 0.0 };
                numbers.1 += 1;
            }
        }
        numbers
    }

    fn at(&self, index: usize) -> f64 {
        self.0[index]
    }

    fn matrix(&self) -> Option<Affine> {
        (self.1 == 6).then_some(Affine(self.0))
    }
}

/// The first name among the operands.
fn name<'a>(instruction: &Instruction<'_, 'a>) -> Option<Name<'a>> {
    instruction.operands().find_map(|operand| {
        if let Object::Name(name) = operand { Some(name.clone()) } else { None }
    })
}

/// The text that stands in place of a marked sequence.
fn actual_text(properties: &Dict<'_>) -> Option<String> {
    let text = properties.get::<hayro_syntax::object::String<'_>>("ActualText")?;
    Some(text_string(&text))
}

/// The stream that draws an annotation.
fn appearance<'a>(annotation: &Dict<'a>) -> Option<Stream<'a>> {
    let normal = annotation.get::<Dict<'a>>("AP")?.get::<Object<'a>>("N")?;
    if let Object::Stream(stream) = normal {
        return Some(stream);
    }
    let state = annotation.get::<Name<'_>>("AS")?;
    normal.into_dict()?.get::<Stream<'a>>(state.as_ref())
}

/// The map that puts a form's box, turned by its matrix, over an annotation's rectangle.
fn placement(form: &Stream<'_>, rect: &PdfRect) -> Option<Affine> {
    let dict = form.dict();
    let bbox = dict.get::<PdfRect>("BBox")?;
    let matrix = Affine(dict.get::<[f64; 6]>("Matrix").unwrap_or(Affine::IDENTITY.0));
    let turned = matrix.apply_box(bbox.x0, bbox.y0, bbox.x1, bbox.y1);
    let (w, h) = (f64::from(turned.width()), f64::from(turned.height()));
    if w <= 0.0 || h <= 0.0 {
        return None;
    }
    let (sx, sy) = (rect.width() / w, rect.height() / h);
    let (x, y) = (f64::from(turned.x0), f64::from(turned.y0));
    Some(Affine([sx, 0.0, 0.0, sy, rect.x0 - sx * x, rect.y0 - sy * y]))
}
