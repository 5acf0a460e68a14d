//! The layout of one page: what crosses the process wall.

use std::collections::BTreeMap;

use crate::Rect;

/// The layout of one page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageLayout {
    /// Width as shown, in points.
    pub width: f32,
    /// Height as shown, in points.
    pub height: f32,
    /// The page's rotation: 0, 90, 180 or 270 degrees clockwise.
    pub rotation: u16,
    /// Text in reading order.
    pub regions: Vec<Region>,
    /// Where images stand.
    pub images: Vec<Rect>,
    /// The part of the page that images cover, 0 to 1.
    pub image_cover: f32,
    /// Visible characters that are not space.
    pub visible_glyphs: u32,
    /// Hidden characters that are not space.
    pub hidden_glyphs: u32,
    /// What the interpreter complained about.
    pub warnings: BTreeMap<Warning, u32>,
}

/// A part of a page that is read as one.
#[derive(Clone, Debug, PartialEq)]
pub enum Region {
    /// Lines below each other.
    Flow(Flow),
    /// Cells.
    Table(TableRegion),
}

/// Lines of one column, top to bottom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flow {
    /// The lines.
    pub lines: Vec<Line>,
    /// Left edge of the column that the lines stand in, in points; ragged lines may be shorter.
    pub left: f32,
    /// Right edge of the column.
    pub right: f32,
    /// Degrees clockwise that the text is turned against the page: 0, 90, 180 or 270. A turned
    /// line's box is where it stands on the page.
    pub turned: u16,
}

/// A table: rows of cells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableRegion {
    /// The rows; all have the same length.
    pub rows: Vec<Vec<TableCell>>,
    /// Around everything, rules included.
    pub bbox: Rect,
    /// Whether lines on the page rule it.
    pub ruled: bool,
}

/// A cell: its lines, top to bottom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableCell {
    /// The lines; none for an empty cell.
    pub lines: Vec<Line>,
}

/// Words on one baseline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// Around the words.
    pub bbox: Rect,
    /// The height of the baseline, in points from the top (in the frame of the text when turned).
    pub baseline: f32,
    /// The font size of most characters, in points.
    pub size: f32,
    /// The words in logical order.
    pub words: Vec<Word>,
}

/// Characters without a space between them, all of one style.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// The characters in logical order.
    pub text: String,
    /// Around the characters.
    pub bbox: Rect,
    /// Font size in points.
    pub size: f32,
    /// How it is set.
    pub style: Style,
    /// Whether a space stands before it.
    pub spaced: bool,
    /// Where it links to.
    pub link: Option<String>,
}

/// How characters are set: a set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Style(u8);

impl Style {
    /// None of the flags.
    pub const PLAIN: Self = Self(0);
    /// Bold.
    pub const BOLD: Self = Self(1);
    /// Italic or oblique.
    pub const ITALIC: Self = Self(1 << 1);
    /// A typewriter face.
    pub const MONO: Self = Self(1 << 2);
    /// Raised, as the mark of a footnote.
    pub const SUPERSCRIPT: Self = Self(1 << 3);
    /// Present but not painted.
    pub const HIDDEN: Self = Self(1 << 4);
    /// Everything but [`Style::HIDDEN`].
    pub(crate) const ALL_FACES: Self = Self(0b1111);
    /// All flags.
    const ALL: u8 = (1 << 5) - 1;

    /// Both sets of flags.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These flags without those.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags as bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The flags of bits; `None` when a bit has no meaning.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits & !Self::ALL == 0 { Some(Self(bits)) } else { None }
    }
}

/// A place that leads elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Where it can be clicked.
    pub bbox: Rect,
    /// A URI, or `#page=N` for a page of the same file.
    pub target: String,
}

/// A straight horizontal or vertical line on the page, or a thin filled box that looks like one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Its extent; the thin side may be 0.
    pub bbox: Rect,
    /// Whether it is horizontal.
    pub horizontal: bool,
}

/// What an interpreter complains about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum Warning {
    /// A font could not be loaded.
    Font = 0,
    /// Characters without a Unicode value; their character code was taken where it is printable.
    NoUnicode = 1,
    /// Characters without a Unicode value whose code means nothing either; dropped.
    Unreadable = 2,
    /// A content stream could not be decoded.
    Stream = 3,
    /// Forms nested too deeply; the inner ones are missing.
    Depth = 4,
    /// More characters than the limit; the rest is missing.
    Glyphs = 5,
    /// More operators than the limit; the rest is missing.
    Operators = 6,
    /// More content bytes than the limit; the rest is missing.
    Content = 7,
    /// Coordinates that are not finite or absurd.
    Coordinates = 8,
    /// The layout was too complex and was read in content order.
    Layout = 9,
    /// An image could not be decoded, and is missing where the page was drawn.
    Image = 10,
    /// An annotation could not be drawn.
    Annotation = 11,
}

impl Warning {
    /// All warnings, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Font,
        Self::NoUnicode,
        Self::Unreadable,
        Self::Stream,
        Self::Depth,
        Self::Glyphs,
        Self::Operators,
        Self::Content,
        Self::Coordinates,
        Self::Layout,
        Self::Image,
        Self::Annotation,
    ];

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Font => "font_not_loaded",
            Self::NoUnicode => "no_unicode_value",
            Self::Unreadable => "unreadable_characters",
            Self::Stream => "stream_not_decoded",
            Self::Depth => "forms_too_deep",
            Self::Glyphs => "too_many_characters",
            Self::Operators => "too_many_operators",
            Self::Content => "too_much_content",
            Self::Coordinates => "absurd_coordinates",
            Self::Layout => "layout_too_complex",
            Self::Image => "image_not_decoded",
            Self::Annotation => "annotation_not_drawn",
        }
    }

    /// Whether part of the page's text may be missing because of it.
    pub fn loses_text(self) -> bool {
        match self {
            Self::Unreadable
            | Self::Stream
            | Self::Depth
            | Self::Glyphs
            | Self::Operators
            | Self::Content
            | Self::Image
            | Self::Annotation => true,
            Self::Font | Self::NoUnicode | Self::Coordinates | Self::Layout => false,
        }
    }
}
