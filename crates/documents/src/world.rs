//! All that the pipelines may ask of the outside.

use crate::Rect;

/// The models a pipeline uses, whoever runs them.
pub trait World {
    /// What can fail.
    type Error: std::error::Error;

    /// The text of a page that has no text layer, as Markdown; `Ok(None)` when there is no model
    /// that could read it, in which case the page is reported as without text.
    ///
    /// # Errors
    /// Whatever the model's runner reports; the page is then marked as failed with that reason
    /// and the other pages go on.
    fn transcribe(&mut self, page: &Untranscribed<'_>) -> Result<Option<Transcript>, Self::Error>;
}

/// A page that needs eyes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Untranscribed<'a> {
    /// The name of the file.
    pub file: &'a str,
    /// The page's number, from 1.
    pub number: u32,
    /// Width as shown, in points.
    pub width: f32,
    /// Height as shown, in points.
    pub height: f32,
    /// Where images stand.
    pub images: &'a [Rect],
}

/// What a model read on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    /// The text, as Markdown.
    pub markdown: String,
    /// The model that read it.
    pub by: String,
}

/// A world without models: every page that has no text layer stays unread.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoModel;

impl World for NoModel {
    type Error = std::convert::Infallible;

    fn transcribe(&mut self, _: &Untranscribed<'_>) -> Result<Option<Transcript>, Self::Error> {
        Ok(None)
    }
}
