//! What can go wrong between words and tokens.

use std::error::Error as StdError;

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error's nature, for status codes and exit codes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The input is wrong.
    Invalid,
    /// Something named does not exist.
    NotFound,
    /// Too much is asked at once.
    Overloaded,
    /// Understood, but not supported.
    Unsupported,
    /// A defect of this program or of a library beneath it.
    Internal,
}

/// Everything that can go wrong here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `tokenizer.json` cannot be read.
    #[error("tokenizer.json is not a tokenizer that can be read")]
    Tokenizer {
        /// What the parser said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// `tokenizer_config.json` is not JSON.
    #[error("tokenizer_config.json is not a JSON object")]
    Config {
        /// What the parser said; none if it is JSON, but no object.
        source: Option<serde_json::Error>,
    },
    /// `vocab.txt` is not UTF-8.
    #[error("vocab.txt is not UTF-8 at byte {offset}")]
    Vocabulary {
        /// The first byte that is not.
        offset: usize,
    },
    /// `tokenizer.model` cannot be read.
    #[error("tokenizer.model is not a SentencePiece model that can be read: {what}")]
    SentencePiece {
        /// What is wrong.
        what: &'static str,
    },
    /// `tokenizer.model` is of a kind that cannot be followed exactly.
    #[error("tokenizer.model has {part}, which is not supported")]
    SentencePieceKind {
        /// What it has.
        part: &'static str,
    },
    /// The vocabulary lacks a token that the configuration or the model needs.
    #[error("the vocabulary has no token {token:?}")]
    MissingToken {
        /// The token.
        token: String,
    },
    /// An added token of `tokenizer_config.json` has another id than `tokenizer.json` gives it.
    #[error(
        "tokenizer_config.json gives {token:?} the id {declared}, tokenizer.json makes it {found}"
    )]
    TokenId {
        /// The token.
        token: String,
        /// The id in `tokenizer_config.json`.
        declared: u32,
        /// The id by `tokenizer.json`.
        found: u32,
    },
    /// A part of `tokenizer.json` that cannot be followed exactly.
    #[error("tokenizer.json has a {part} of a kind that is not supported")]
    UnsupportedPart {
        /// The field.
        part: &'static str,
    },
    /// Text could not be turned into tokens.
    #[error("a text of {bytes} bytes could not be tokenized")]
    Encode {
        /// Its length.
        bytes: usize,
        /// What the library said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Tokens could not be turned into text.
    #[error("{tokens} tokens could not be turned into text")]
    Decode {
        /// How many.
        tokens: usize,
        /// What the library said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The tokenizer library panicked.
    #[error("the tokenizer library failed on {bytes} bytes of input")]
    Library {
        /// The input's length.
        bytes: usize,
    },
    /// The chat template is not a template.
    #[error("the chat template has a syntax error in line {line}")]
    TemplateSyntax {
        /// The line, from 1; 0 where unknown.
        line: usize,
        /// What the parser said.
        source: Box<minijinja::Error>,
    },
    /// `chat_template` in `tokenizer_config.json` is neither a string nor a list of named templates with a default.
    #[error(
        "chat_template in tokenizer_config.json is neither a string nor a list of named templates"
    )]
    TemplateShape,
    /// The template has tags or sizes that no published one has, and that could fill the memory.
    #[error("the chat template has more operators than a template may, in line {line}")]
    TemplateTooDense {
        /// The line, from 1.
        line: usize,
    },
    /// The template called `raise_exception`: it does not take such a conversation.
    #[error("the model's chat template refuses this conversation: {message}")]
    TemplateRefused {
        /// The template's own words.
        message: String,
    },
    /// Pictures in a conversation with a model whose template knows words alone.
    #[error("the model's chat template does not take images, and the conversation has {images}")]
    TemplateWithoutImages {
        /// How many there are.
        images: usize,
    },
    /// The template failed on this conversation.
    #[error("the chat template failed in line {line}")]
    TemplateFailed {
        /// The line, from 1; 0 where unknown.
        line: usize,
        /// What the engine said.
        source: Box<minijinja::Error>,
    },
    /// The template ran for too long.
    #[error("the chat template ran for more than {instructions} instructions")]
    TemplateTooLong {
        /// The limit.
        instructions: u64,
    },
    /// The template wrote or built too much text.
    #[error("the chat template built a text of more than {bytes} bytes")]
    TemplateTooLarge {
        /// The limit.
        bytes: usize,
    },
    /// `continue_final_message` with no final message, or with one that the template does not print as it is.
    #[error("the final message cannot be continued: the chat template does not print it as it is")]
    NotContinuable,
    /// A grammar larger than is allowed.
    #[error("there are {found} {what}, more than {limit}")]
    GrammarTooLarge {
        /// What was counted.
        what: &'static str,
        /// How many there are; or the first too many.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A JSON Schema that is none.
    #[error("the JSON Schema is wrong at {at}: {what}")]
    Schema {
        /// Where, as a path.
        at: String,
        /// What is wrong.
        what: String,
    },
    /// A part of a JSON Schema that cannot be enforced.
    #[error("the JSON Schema asks for {what} at {at}, which cannot be enforced")]
    SchemaUnsupported {
        /// Where, as a path.
        at: String,
        /// What it asks for.
        what: String,
    },
    /// A grammar that is wrong, or too costly.
    #[error("the {of} is not accepted: {what}")]
    Grammar {
        /// What sort of grammar it is.
        of: &'static str,
        /// What is wrong.
        what: String,
    },
    /// A text cannot be followed through its grammar any further.
    #[error("the grammar cannot be followed: {what}")]
    GrammarFailed {
        /// Why.
        what: String,
    },
    /// A reserved name among the extra variables.
    #[error("the template variable {name:?} is set by the conversation itself")]
    ReservedVariable {
        /// The name.
        name: String,
    },
}

impl Error {
    /// The error's nature.
    pub fn kind(&self) -> Kind {
        match self {
            Self::UnsupportedPart { .. }
            | Self::SentencePieceKind { .. }
            | Self::SchemaUnsupported { .. }
            | Self::TemplateWithoutImages { .. } => Kind::Unsupported,
            Self::Library { .. } => Kind::Internal,
            Self::Tokenizer { .. }
            | Self::Config { .. }
            | Self::Vocabulary { .. }
            | Self::SentencePiece { .. }
            | Self::MissingToken { .. }
            | Self::TokenId { .. }
            | Self::Encode { .. }
            | Self::Decode { .. }
            | Self::TemplateSyntax { .. }
            | Self::TemplateShape
            | Self::TemplateTooDense { .. }
            | Self::TemplateRefused { .. }
            | Self::TemplateFailed { .. }
            | Self::TemplateTooLong { .. }
            | Self::TemplateTooLarge { .. }
            | Self::NotContinuable
            | Self::GrammarTooLarge { .. }
            | Self::Schema { .. }
            | Self::Grammar { .. }
            | Self::GrammarFailed { .. }
            | Self::ReservedVariable { .. } => Kind::Invalid,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Tokenizer { .. }
            | Self::Config { .. }
            | Self::Vocabulary { .. }
            | Self::SentencePiece { .. } => {
                "the file may be truncated or a download's error page: fetch it again"
            }
            Self::MissingToken { .. } | Self::TokenId { .. } => {
                "the tokenizer's files do not belong together: fetch all of them from one revision of the model"
            }
            Self::UnsupportedPart { .. } | Self::SentencePieceKind { .. } => {
                "convert the model's tokenizer with a current release of transformers"
            }
            Self::Encode { .. } | Self::Decode { .. } | Self::Library { .. } => {
                "tokenizer.json is damaged or of a newer kind: fetch it again, and report it if that does not help"
            }
            Self::TemplateSyntax { .. } | Self::TemplateShape | Self::TemplateTooDense { .. } => {
                "take chat_template.jinja from the model's original repository"
            }
            Self::TemplateRefused { .. } => {
                "send the roles in the order that this model was trained with, as its message says"
            }
            Self::TemplateFailed { .. } => {
                "the conversation may hold something that this template does not know (images, tools, a role): leave it out"
            }
            Self::TemplateTooLong { .. } | Self::TemplateTooLarge { .. } => {
                "send a shorter conversation; if it is short, do not trust this model's chat template"
            }
            Self::TemplateWithoutImages { .. } => "use a vision model, or leave the images out",
            Self::NotContinuable => "end the conversation with an assistant message of plain text",
            Self::GrammarTooLarge { .. } | Self::GrammarFailed { .. } => {
                "ask for less with each text: a smaller schema or grammar"
            }
            Self::Schema { .. } | Self::Grammar { .. } => "see docs/structured-output.md",
            Self::SchemaUnsupported { .. } => {
                "leave it out and check the answer yourself; docs/structured-output.md lists what is enforced"
            }
            Self::ReservedVariable { .. } => {
                "give it through the message, tools or options instead"
            }
        })
    }
}
