//! What can go wrong between a model on disk and its answer.

use std::path::PathBuf;

use crate::Kind;

/// A model that cannot be loaded, or a request that it cannot answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The files or the architecture.
    #[error(transparent)]
    Models(#[from] models::Error),
    /// The device.
    #[error("the device cannot be opened")]
    Device(#[from] kernels::Error),
    /// Past tokens cannot be kept as the codes that were asked for.
    #[error("past tokens cannot be kept so")]
    Codes(#[source] kernels::Error),
    /// MLX was asked for, and its library is nowhere.
    #[error("MLX was asked for, but its library is in none of: {}", shown(looked))]
    NoMlx {
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// The folder for pages of caches cannot be used.
    #[error("the folder for pages of caches: {}: {source}", path.display())]
    Shelf {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Another program uses the folder for pages of caches.
    #[error("the folder for pages of caches: {}: another program uses it", path.display())]
    ShelfTaken {
        /// The folder.
        path: PathBuf,
    },
    /// The tokenizer, the chat template, or a conversation that does not fit it.
    #[error("{}", path.display())]
    Text {
        /// The model's folder.
        path: PathBuf,
        /// What is wrong.
        source: text::Error,
    },
    /// There is nothing to make tokens with.
    #[error("{}: there is no tokenizer.json, no tokenizer.model and no vocab.txt", path.display())]
    NoTokenizer {
        /// The model's folder.
        path: PathBuf,
    },
    /// A conversation was given to a model that was not made for any.
    #[error("`{model}` has no chat template")]
    NoTemplate {
        /// The model.
        model: String,
    },
    /// An answer must be a call, and nobody knows how the model writes calls.
    #[error("`{model}` cannot be held to call a tool: its chat template knows no calls")]
    NoCalls {
        /// The model.
        model: String,
    },
    /// The model was asked for what only the other kind can do.
    #[error("`{model}` is {is}, and cannot {asked}")]
    WrongKind {
        /// The model.
        model: String,
        /// What it is.
        is: &'static str,
        /// What was asked for.
        asked: &'static str,
    },
    /// An embedding model without the maps for what was asked of it.
    #[error("`{model}` makes no {kind}: it has no `{file}`")]
    NoSuchVectors {
        /// The model.
        model: String,
        /// What was asked for.
        kind: &'static str,
        /// The file that would make it.
        file: &'static str,
    },
    /// A classifier of several classes was asked for one score.
    #[error("`{model}` tells {labels} classes apart, and gives no one score")]
    NoScore {
        /// The model.
        model: String,
        /// How many classes.
        labels: usize,
    },
    /// The engine will not take the request on.
    #[error("the request cannot be answered")]
    Refused(#[from] engine::Refusal),
    /// An image cannot be decoded.
    #[error("{name} cannot be read")]
    Image {
        /// Its name, or which of the images it is.
        name: String,
        /// What is wrong with it.
        source: documents::picture::PictureFailure,
    },
    /// An image that the model cannot be shown.
    #[error("{name} cannot be shown to the model")]
    ImageShape {
        /// Its name, or which of the images it is.
        name: String,
        /// Why.
        source: Box<models::Error>,
    },
    /// An image without pixels.
    #[error("{name} has no pixels")]
    EmptyImage {
        /// Its name, or which of the images it is.
        name: String,
    },
    /// The words mention more or fewer images than there are.
    #[error("the prompt mentions {mentions} images, but {images} are given")]
    Mentions {
        /// How many there are.
        images: usize,
        /// How many are mentioned.
        mentions: usize,
    },
    /// Sampling parameters that make no sense.
    #[error("`{name}` is {value}, but must be {expected}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A text is longer than the network's context.
    #[error("text {index} has {tokens} tokens, but the model takes at most {limit}")]
    TextTooLong {
        /// Which of the texts, counted from 0.
        index: usize,
        /// Its length.
        tokens: usize,
        /// The most there can be.
        limit: usize,
    },
    /// An image has more tokens than the network's context.
    #[error("image {} has {tokens} tokens, but the model takes at most {limit}", index + 1)]
    ImageTooLong {
        /// Which of the images, counted from 0.
        index: usize,
        /// Its length.
        tokens: usize,
        /// The most there can be.
        limit: usize,
    },
    /// An embedding holds a NaN or an infinity.
    #[error("the embedding of text {index} is not a number")]
    NotANumber {
        /// Which of the texts, counted from 0.
        index: usize,
    },
    /// A schema or grammar that answers cannot be held to.
    #[error("the answer cannot be constrained")]
    Grammar(#[source] text::Error),
    /// The request broke while it was computed.
    #[error(transparent)]
    Failed(#[from] engine::Failure),
    /// The device thread is gone.
    #[error("the thread that computes has ended")]
    Gone,
    /// The model's files cannot be held.
    #[error(transparent)]
    Held {
        /// Why.
        source: Box<crate::Error>,
    },
    /// The model was unloaded while it was in use.
    #[error("`{model}` was unloaded")]
    Unloaded {
        /// The model.
        model: String,
    },
}

impl From<checkpoint::Error> for Error {
    fn from(error: checkpoint::Error) -> Self {
        Self::Models(error.into())
    }
}

impl Error {
    /// Whether what was given is longer than the model, or its cache, takes.
    pub fn is_too_long(&self) -> bool {
        matches!(
            self,
            Self::Refused(engine::Refusal::TooLong { .. })
                | Self::TextTooLong { .. }
                | Self::ImageTooLong { .. }
        )
    }

    /// The same of a text that stands elsewhere among all: `place` tells where.
    pub(super) fn at(mut self, place: impl FnOnce(usize) -> usize) -> Self {
        if let Self::TextTooLong { index, .. }
        | Self::ImageTooLong { index, .. }
        | Self::NotANumber { index } = &mut self
        {
            *index = place(*index);
        }
        self
    }

    /// What a panic said, if it was one.
    pub(crate) fn panicked(&self) -> Option<&str> {
        let Self::Failed(engine::Failure::Panicked { what }) = self else { return None };
        Some(what)
    }

    /// The tokens of the prompt and of the answer, if the cache is too small for both.
    pub(crate) fn too_long(&self) -> Option<(usize, usize)> {
        let Self::Refused(engine::Refusal::TooLong { prompt, max_tokens, .. }) = self else {
            return None;
        };
        Some((*prompt, *max_tokens))
    }

    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Models(error) => match error.kind() {
                models::Kind::Invalid => Kind::Invalid,
                models::Kind::NotFound => Kind::NotFound,
                models::Kind::Overloaded => Kind::Overloaded,
                models::Kind::Unsupported => Kind::Unsupported,
                models::Kind::Internal => Kind::Internal,
            },
            Self::Text { source, .. } | Self::Grammar(source) => match source.kind() {
                text::Kind::Invalid => Kind::Invalid,
                text::Kind::NotFound => Kind::NotFound,
                text::Kind::Overloaded => Kind::Overloaded,
                text::Kind::Unsupported => Kind::Unsupported,
                text::Kind::Internal => Kind::Internal,
            },
            Self::Image { source, .. } => match source.kind() {
                documents::Kind::Invalid => Kind::Invalid,
                documents::Kind::NotFound => Kind::NotFound,
                documents::Kind::Overloaded => Kind::Overloaded,
                documents::Kind::Unsupported => Kind::Unsupported,
                documents::Kind::Internal => Kind::Internal,
            },
            Self::Shelf { .. } | Self::ShelfTaken { .. } => Kind::Invalid,
            Self::EmptyImage { .. } | Self::ImageShape { .. } | Self::Mentions { .. } => {
                Kind::Invalid
            }
            Self::Refused(engine::Refusal::QueueFull { .. }) => Kind::Overloaded,
            Self::NoTokenizer { .. } => Kind::NotFound,
            Self::WrongKind { .. }
            | Self::NoSuchVectors { .. }
            | Self::NoScore { .. }
            | Self::NoTemplate { .. }
            | Self::NoCalls { .. }
            | Self::Refused(_)
            | Self::Parameter { .. }
            | Self::TextTooLong { .. }
            | Self::ImageTooLong { .. } => Kind::Invalid,
            Self::Codes(error) => match error.kind() {
                kernels::Kind::Invalid => Kind::Invalid,
                kernels::Kind::Unsupported => Kind::Unsupported,
                kernels::Kind::Internal => Kind::Internal,
            },
            Self::Device(_) | Self::NoMlx { .. } => Kind::Unsupported,
            // What a constraint makes impossible or too costly, it was given to.
            Self::Failed(
                engine::Failure::NothingAllowed { .. } | engine::Failure::Constraint { .. },
            ) => Kind::Invalid,
            Self::NotANumber { .. } | Self::Failed(_) | Self::Gone => Kind::Internal,
            Self::Held { source } => source.kind(),
            Self::Unloaded { .. } => Kind::Overloaded,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Models(error) => return Some(error.hint()),
            Self::Held { source } => return source.hint(),
            Self::Device(error) => error.hint(),
            Self::Codes(kernels::Error::KvGroups { group_size: 32, .. }) => {
                "leave `--kv-bits` out: there are no smaller groups"
            }
            Self::Codes(kernels::Error::KvGroups { .. }) => {
                "leave `--kv-group-size` out, or try 32"
            }
            Self::Codes(error) => error.hint(),
            Self::NoMlx { .. } => {
                "run `cargo xtask mlx` in folio's source folder, or use `--device cpu`"
            }
            Self::Shelf { .. } => "choose another folder with `--disk-cache-folder`",
            Self::ShelfTaken { .. } => {
                "give each server a folder of its own with `--disk-cache-folder`"
            }
            Self::Failed(engine::Failure::Device { .. }) => {
                "if memory was short, take a smaller model or context; `--device cpu` does without MLX"
            }
            Self::Text { source, .. } | Self::Grammar(source) => {
                return source.hint().map(str::to_owned);
            }
            Self::Image { source, .. } => source.hint(),
            Self::ImageShape { source, .. } => return Some(source.hint()),
            Self::EmptyImage { .. } => "give another image",
            Self::Mentions { .. } => {
                "a text that holds the model's own mention of an image is to be read as letters: leave it out"
            }
            Self::NoTokenizer { .. } => "fetch the model again, with all of its files",
            Self::NoTemplate { .. } => {
                "use an instruct or chat variant, or continue plain text with `--raw`"
            }
            Self::NoCalls { .. } => {
                "use a model that was made for tools, or leave `tool_choice` out"
            }
            Self::NoSuchVectors { .. } => {
                "fetch the model again with all of its files, or name a model that makes them, such as bge-m3"
            }
            Self::NoScore { .. } => "name a reranker: a classifier with a single class",
            Self::WrongKind { asked: "rerank", .. } => {
                "name a reranker; `folio list` shows each model's architecture"
            }
            Self::WrongKind { asked: "embed", .. } => {
                "name an embedding model; `folio list` shows each model's architecture"
            }
            Self::WrongKind { .. } => {
                "name a language model; `folio list` shows each model's architecture"
            }
            Self::Refused(engine::Refusal::TooLong { .. }) => {
                "shorten the prompt, lower max_tokens, or raise the context"
            }
            Self::Refused(engine::Refusal::EmptyPrompt) => {
                "write something for the model to answer"
            }
            Self::Refused(engine::Refusal::NoTokens) => "ask for at least one token",
            Self::Refused(engine::Refusal::Blind { .. }) => {
                "name a vision model; `folio list` shows each model's architecture"
            }
            Self::Refused(engine::Refusal::QueueFull { .. }) => {
                "try again when some of them have been answered, or allow more to wait"
            }
            Self::Refused(engine::Refusal::WornOut) => "load the model again",
            Self::Refused(_) => "the prompt's tokens are not this model's: use its own tokenizer",
            Self::Parameter { name: "document", .. } => "leave it out",
            Self::Parameter { name: "prompt", .. } => "`folio show` lists the prompts of a model",
            Self::Parameter { name: "dimensions", .. } => {
                "`folio show` tells how long embeddings are"
            }
            Self::Parameter { name: "activation_fn", .. } => {
                "ask for logits with `--logits`, or use another model"
            }
            Self::Parameter { .. } => "see `folio run --help` for each parameter's range",
            Self::ImageTooLong { .. } => "show it a smaller image, or use another model",
            Self::TextTooLong { .. } => "split the text, or allow it to be cut with `--truncate`",
            Self::Failed(engine::Failure::NothingAllowed { .. }) => {
                "allow more with the schema or grammar: the model's tokens cannot spell what it asks for"
            }
            Self::Failed(engine::Failure::Constraint { .. }) => {
                "make the schema or grammar simpler"
            }
            Self::NotANumber { .. } | Self::Failed(_) => {
                "the weights may be damaged: fetch the model again; `--exact` tells whether the \
                 fast kernels are at fault"
            }
            Self::Gone => "start again; if it happens twice, report it with the model's name",
            Self::Unloaded { .. } => "ask again: the model is loaded when it is needed",
        };
        Some(hint.to_owned())
    }
}

fn shown(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
