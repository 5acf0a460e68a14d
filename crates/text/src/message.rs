//! One turn of a conversation, with what chat templates ask for.

use std::fmt;
use std::sync::Arc;

/// Who speaks.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// Standing instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool, answering a call of the model.
    Tool,
}

impl Role {
    /// The name that templates compare with.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// An encoded picture (PNG, JPEG, ...), as the person sent it. Cheap to clone.
#[derive(Clone, Eq, PartialEq)]
pub struct Image {
    encoded: Arc<[u8]>,
    name: Option<Arc<str>>,
}

impl Image {
    /// A picture from its file's bytes.
    pub fn new(encoded: impl Into<Arc<[u8]>>) -> Self {
        Self { encoded: encoded.into(), name: None }
    }

    /// The same with a name, by which errors call it.
    #[must_use]
    pub fn named(self, name: impl Into<Arc<str>>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.encoded
    }

    /// Its name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({} bytes)", self.encoded.len())
    }
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Words.
    Text(String),
    /// A picture; the template prints the model's placeholder for it, in order.
    Image(Image),
}

/// The model's wish to have a tool called.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// Names this call in the tool's answer.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments: an object, as templates expect, not a string that holds one.
    pub arguments: serde_json::Value,
}

/// What one speaker said in one turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// By whom.
    pub role: Role,
    /// Words and pictures, in order. Neighbouring texts stand beside each other without a separator.
    pub content: Vec<Part>,
    /// The thinking that came before the answer, without its tags.
    pub reasoning: Option<String>,
    /// The tools to be called (assistant).
    pub tool_calls: Vec<ToolCall>,
    /// The call that is answered (tool).
    pub tool_call_id: Option<String>,
    /// The tool that answers, or the speaker's name.
    pub name: Option<String>,
}

impl Message {
    /// A message of words alone.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            content: vec![Part::Text(text.into())],
            reasoning: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            name: None,
        }
    }

    /// Standing instructions.
    pub fn system(text: impl Into<String>) -> Self {
        Self::new(Role::System, text)
    }

    /// The person's words.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::User, text)
    }

    /// The model's words.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new(Role::Assistant, text)
    }

    /// A tool's answer to the call `id`.
    pub fn tool(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self { tool_call_id: Some(id.into()), ..Self::new(Role::Tool, text) }
    }

    /// The words, joined; pictures left out.
    pub fn text(&self) -> String {
        self.content
            .iter()
            .map(|part| if let Part::Text(text) = part { text.as_str() } else { "" })
            .collect()
    }

    /// The pictures, in order.
    pub fn images(&self) -> impl Iterator<Item = &Image> {
        self.content
            .iter()
            .filter_map(|part| if let Part::Image(image) = part { Some(image) } else { None })
    }
}
