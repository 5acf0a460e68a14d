//! Boxes and affine maps of a page.

/// An upright box in points, origin at the top left, `y` growing downwards.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rect {
    /// Left.
    pub x0: f32,
    /// Top.
    pub y0: f32,
    /// Right.
    pub x1: f32,
    /// Bottom.
    pub y1: f32,
}

impl Rect {
    /// The box with these edges, swapped where they are the wrong way round.
    pub fn new(x0: f32, y0: f32, x1: f32, y1: f32) -> Self {
        Self { x0: x0.min(x1), y0: y0.min(y1), x1: x0.max(x1), y1: y0.max(y1) }
    }

    /// Right minus left, in points.
    pub fn width(&self) -> f32 {
        self.x1 - self.x0
    }

    /// Bottom minus top, in points.
    pub fn height(&self) -> f32 {
        self.y1 - self.y0
    }

    /// Width times height.
    pub fn area(&self) -> f32 {
        self.width() * self.height()
    }

    /// The smallest box that holds both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            x0: self.x0.min(other.x0),
            y0: self.y0.min(other.y0),
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
        }
    }

    /// What both hold, if anything.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let x0 = self.x0.max(other.x0);
        let y0 = self.y0.max(other.y0);
        let x1 = self.x1.min(other.x1);
        let y1 = self.y1.min(other.y1);
        (x0 < x1 && y0 < y1).then_some(Self { x0, y0, x1, y1 })
    }

    /// Whether the point is inside or on the edge.
    pub fn contains(&self, x: f32, y: f32) -> bool {
        x >= self.x0 && x <= self.x1 && y >= self.y0 && y <= self.y1
    }

    /// How many points of height the two share; negative is the distance between them.
    pub fn vertical_overlap(&self, other: &Self) -> f32 {
        self.y1.min(other.y1) - self.y0.max(other.y0)
    }

    /// How many points of width the two share; negative is the distance between them.
    pub fn horizontal_overlap(&self, other: &Self) -> f32 {
        self.x1.min(other.x1) - self.x0.max(other.x0)
    }

    /// Both edges moved outwards by `by` points.
    #[must_use]
    pub fn inflate(&self, by: f32) -> Self {
        Self { x0: self.x0 - by, y0: self.y0 - by, x1: self.x1 + by, y1: self.y1 + by }
    }

    /// The union of all, or `None` for an empty list.
    pub fn enclosing<'a>(boxes: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        boxes.into_iter().copied().reduce(|a, b| a.union(&b))
    }
}

/// An affine map: `x' = a x + c y + e`, `y' = b x + d y + f`, the order a PDF writes it in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Affine(pub(crate) [f64; 6]);

impl Affine {
    pub(crate) const IDENTITY: Self = Self([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);

    pub(crate) const fn translate(x: f64, y: f64) -> Self {
        Self([1.0, 0.0, 0.0, 1.0, x, y])
    }

    /// The map that applies `inner` first and `self` second.
    #[must_use]
    pub(crate) fn after(&self, inner: &Self) -> Self {
        let [a, b, c, d, e, f] = self.0;
        let [ia, ib, ic, id, ie, i_f] = inner.0;
        Self([
            a * ia + c * ib,
            b * ia + d * ib,
            a * ic + c * id,
            b * ic + d * id,
            a * ie + c * i_f + e,
            b * ie + d * i_f + f,
        ])
    }

    pub(crate) fn apply(&self, x: f64, y: f64) -> (f64, f64) {
        let [a, b, c, d, e, f] = self.0;
        (a * x + c * y + e, b * x + d * y + f)
    }

    /// The upright box around the image of a box.
    pub(crate) fn apply_box(&self, x0: f64, y0: f64, x1: f64, y1: f64) -> Rect {
        let corners =
            [self.apply(x0, y0), self.apply(x1, y0), self.apply(x0, y1), self.apply(x1, y1)];
        let fold = |pick: fn(&(f64, f64)) -> f64, best: fn(f64, f64) -> f64| {
            corners.iter().map(pick).reduce(best).unwrap_or(0.0) as f32
        };
        Rect {
            x0: fold(|p| p.0, f64::min),
            y0: fold(|p| p.1, f64::min),
            x1: fold(|p| p.0, f64::max),
            y1: fold(|p| p.1, f64::max),
        }
    }

    pub(crate) fn is_finite(&self) -> bool {
        self.0.iter().all(|v| v.is_finite() && v.abs() < 1e9)
    }
}
