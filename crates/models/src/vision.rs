//! What the engine asks of an architecture that sees.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use kernels::Tensor;

use crate::media::Image;
use crate::{Result, Taps};

/// The way from an image to what a network reads, and to how a prompt mentions it.
pub trait Preprocess: Debug + Send + Sync {
    /// Resizes and cuts `image`.
    ///
    /// # Errors
    ///
    /// If no network was trained for its shape.
    fn picture(&self, image: &Image) -> Result<Picture>;

    /// The token that mentions an image. A prompt has one for each, in order; for the network it stands as often as the
    /// [picture](Picture::tokens) has tokens.
    fn token(&self) -> u32;

    /// How the words of a prompt mention an image, where [`token`](Self::token) has no spelling: what stands before its number,
    /// which counts from 1, and what behind.
    ///
    /// Words before, between and behind such mentions are encoded each on their own, as texts from their beginning, with what the
    /// tokenizer puts before one; the token stands between them.
    fn mention(&self) -> Option<[&'static str; 2]> {
        None
    }
}

/// A network from pictures to features, which stand among the embeddings of tokens.
pub trait Vision: Send {
    /// What makes images into pictures for it, on any thread.
    fn preprocess(&self) -> Arc<dyn Preprocess>;

    /// In how many pieces `picture` is looked at, one after the other; at least one. A piece is short enough for others to wait
    /// for it.
    fn pieces(&self, picture: &Picture) -> usize;

    /// What the piece of this number makes of what the one before it left; the first begins with nothing. The last leaves the
    /// features alone, `[tokens, hidden]`.
    ///
    /// # Panics
    ///
    /// If `left` is not what the piece before left of this picture.
    fn piece(&self, picture: &Picture, piece: usize, left: Vec<Tensor>, taps: &Taps)
    -> Vec<Tensor>;

    /// The features of `picture`, `[tokens, hidden]`: all pieces in turn.
    fn forward(&self, picture: &Picture, taps: &Taps) -> Tensor {
        let piece = |left, piece| self.piece(picture, piece, left, taps);
        let mut left = (0..self.pieces(picture)).fold(Vec::new(), piece);
        match left.pop() {
            Some(features) => features,
            None => panic!("no features of a picture"),
        }
    }
}

/// An image as a network reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Picture {
    /// The resized image, or its parts, all of one size.
    pub parts: Vec<Image>,
    /// Width and height before anything was resized.
    pub size: [usize; 2],
    /// Rows and columns: of tokens where the network has positions in a plane, else of parts.
    pub grid: [usize; 2],
    /// How many tokens stand for it.
    pub tokens: usize,
}

impl Picture {
    /// The bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.pixels().len()).sum()
    }
}

/// Where an image stands in a sequence.
#[derive(Clone, Debug)]
pub struct ImageSpan {
    /// The positions of its tokens.
    pub positions: Range<usize>,
    /// See [`Picture::grid`].
    pub grid: [usize; 2],
    /// `[tokens, hidden]`, in place of embeddings. They may be absent if no row of the batch is among its tokens.
    pub features: Option<Tensor>,
}
