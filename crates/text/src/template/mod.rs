//! Chat templates: a conversation made into the one string that a model was trained to continue.
//!
//! The environment is that of Python's `transformers`: Jinja with trimmed blocks and loop controls, Python's methods on
//! strings and dictionaries, `raise_exception`, `strftime_now`, a `tojson` that writes as Python's `json.dumps` does, and
//! `{% generation %}` blocks, which only print their body.
//!
//! A template is a stranger's program. It gets a budget of instructions, of output, and of text held in variables
//! (`bounds`); past any of them rendering fails.

mod bounds;
pub(crate) mod json;
mod manners;
mod methods;
mod rewrite;
mod time;

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::sync::OnceLock;

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, ErrorKind};
use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::message::{Message, Part, Role};
use crate::tokenizer::{parse_config, token_name};

pub use time::LocalTime;

/// How to render a conversation.
#[derive(Clone, Debug, Default)]
pub struct RenderOptions {
    /// Open the assistant's turn at the end, so that the model answers.
    pub add_generation_prompt: bool,
    /// Leave the last message open, so that the model goes on with it; wins over `add_generation_prompt`.
    pub continue_final_message: bool,
    /// The tools, as an array of `{"type": "function", "function": {name, description, parameters}}`.
    pub tools: Option<Json>,
    /// Documents, as an array of `{"title", "text"}`, for templates that know them.
    pub documents: Option<Json>,
    /// Whether a model that can think shall do so; what `None` means is the template's choice.
    pub enable_thinking: Option<bool>,
    /// Further variables for the template (`chat_template_kwargs`).
    pub variables: BTreeMap<String, Json>,
    /// What `strftime_now` tells. Without it the function is undefined, and templates fall back to a date of their own.
    pub now: Option<LocalTime>,
}

impl RenderOptions {
    /// The usual: the assistant is to answer.
    pub fn answer() -> Self {
        Self { add_generation_prompt: true, ..Self::default() }
    }
}

/// The most instructions that one rendering may take. The longest of the usual templates needs about 100 a message.
const INSTRUCTIONS: u64 = 4_000_000;
/// Marks the end of a message that is to be continued; no text holds this.
const CONTINUE: &str = "\u{f8ff}folio-continues-here\u{f8ff}";
/// What the template is asked to print when it is loaded.
const PROBE: &str = "folio-probe";
/// The name under which the one template of an environment is kept.
const NAME: &str = "chat_template";
const NAME_WITH_TOOLS: &str = "chat_template (tool_use)";
const RESERVED: [&str; 4] = ["messages", "tools", "documents", "add_generation_prompt"];

/// A model's chat template, compiled.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    /// A second template for conversations with tools.
    with_tools: bool,
    /// The template takes content as a list of parts alone.
    parts_only: bool,
    /// The template knows content as a list of parts at all, and so may know pictures.
    takes_parts: bool,
    /// What it takes of tools; asked when first needed.
    manners: OnceLock<manners::Manners>,
    source: String,
    /// `bos_token` and its like, by name.
    tokens: BTreeMap<String, Value>,
}

/// What `raise_exception` carries through the engine.
#[derive(Debug)]
struct Refusal(String);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Refusal {}

impl Template {
    /// The template of a checkpoint: `chat_template.jinja`, or else `chat_template` of `tokenizer_config.json`, which is
    /// a string or a list of `{name, template}` (`default`, and `tool_use` for conversations with tools).
    ///
    /// `None` if there is neither: the model is not for conversations.
    ///
    /// # Errors
    /// If the configuration is not a JSON object or the template does not parse.
    pub fn from_parts(
        chat_template_jinja: Option<&str>,
        tokenizer_config: Option<&[u8]>,
    ) -> Result<Option<Self>> {
        let config = parse_config(tokenizer_config)?;
        let (source, tools) = match (chat_template_jinja, config.get("chat_template")) {
            (Some(source), _) => (source.to_owned(), None),
            (None, None | Some(Json::Null)) => return Ok(None),
            (None, Some(Json::String(source))) => (source.clone(), None),
            (None, Some(Json::Array(list))) => {
                let named = |name: &str| {
                    let entry = list
                        .iter()
                        .find(|entry| entry.get("name").and_then(Json::as_str) == Some(name))?;
                    entry.get("template")?.as_str().map(str::to_owned)
                };
                let (default, tools) = (named("default"), named("tool_use"));
                (default.or_else(|| tools.clone()).ok_or(Error::TemplateShape)?, tools)
            }
            (None, Some(_)) => return Err(Error::TemplateShape),
        };
        let tokens = config
            .iter()
            .filter(|(name, _)| name.ends_with("_token") && !name.starts_with("add_"))
            .filter_map(|(name, value)| Some((name.clone(), Value::from(token_name(Some(value))?))))
            .collect();
        let mut environment = environment();
        for (name, source) in [(NAME, Some(&source)), (NAME_WITH_TOOLS, tools.as_ref())] {
            let Some(source) = source else { continue };
            let source = rewrite::prepare(source)
                .map_err(|dense| Error::TemplateTooDense { line: dense.line })?;
            environment.add_template_owned(name, source).map_err(|source| {
                Error::TemplateSyntax { line: source.line().unwrap_or(0), source: Box::new(source) }
            })?;
        }
        let mut template = Self {
            environment,
            with_tools: tools.is_some(),
            parts_only: false,
            takes_parts: false,
            manners: OnceLock::new(),
            source,
            tokens,
        };
        template.takes_parts = template.prints(parts(&[Part::Text(PROBE.into())]));
        template.parts_only = template.takes_parts && !template.prints(PROBE.into());
        Ok(Some(template))
    }

    /// The template's text, as the checkpoint has it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the template prints neither tools nor calls: then both are said in words.
    pub fn ignores_tools(&self) -> bool {
        self.manners().ignorant()
    }

    fn manners(&self) -> &manners::Manners {
        self.manners.get_or_init(|| manners::Manners::of(self))
    }

    /// Words as a message's content.
    fn words(&self, words: &str) -> Value {
        if self.parts_only { parts(&[Part::Text(words.to_owned())]) } else { words.into() }
    }

    /// The conversation as the model's own string, special tokens included; encode it with
    /// [`Special::Omit`](crate::Special::Omit).
    ///
    /// Tools, calls and their answers are given to the template in the shape that it takes, which is asked of the template
    /// itself: arguments as an object or as text, several calls in one message or one in each, ids of nine letters where it
    /// wants them. Tools that it does not print are described in the first message, calls that it does not print are
    /// written as the model would write them, and answers that it does not print become a person's words.
    ///
    /// # Errors
    /// [`Error::TemplateRefused`] with the template's words if it does not take such a conversation (two user turns in a
    /// row, a system message); other variants if it knows no pictures and is given some, fails, runs too long, or does not let the last message be continued.
    pub fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<String> {
        if let Some(name) = options.variables.keys().find(|name| RESERVED.contains(&name.as_str()))
        {
            return Err(Error::ReservedVariable { name: name.clone() });
        }
        let images: usize = messages.iter().map(|message| message.images().count()).sum();
        if images > 0 && !self.takes_parts {
            return Err(Error::TemplateWithoutImages { images });
        }
        if !options.continue_final_message {
            return self.run(messages, options, options.add_generation_prompt);
        }
        let mut messages = messages.to_vec();
        let text = messages.last_mut().and_then(|message| {
            message
                .content
                .iter_mut()
                .rev()
                .find_map(|part| if let Part::Text(text) = part { Some(text) } else { None })
        });
        let Some(text) = text else { return Err(Error::NotContinuable) };
        let trimmed = text.trim().to_owned();
        text.push_str(CONTINUE);
        text.push(' ');
        let mut rendered = self.run(&messages, options, false)?;
        let at = rendered.rfind(CONTINUE).ok_or(Error::NotContinuable)?;
        // A template that trims has trimmed the space after the mark too: then the end before the mark is trimmed.
        let trims = !rendered[at + CONTINUE.len()..].starts_with(' ');
        rendered.truncate(at);
        if trims {
            rendered.truncate(rendered.trim_end().len());
        }
        if rendered.contains(&trimmed) { Ok(rendered) } else { Err(Error::NotContinuable) }
    }

    fn run(&self, messages: &[Message], options: &RenderOptions, open: bool) -> Result<String> {
        let speaks_of_tools =
            |message: &Message| message.role == Role::Tool || !message.tool_calls.is_empty();
        if options.tools.is_none() && !messages.iter().any(speaks_of_tools) {
            let messages = messages.iter().map(|message| self.message(message, None)).collect();
            return self.run_values(messages, options, open);
        }
        let manners = self.manners();
        let tools = options.tools.as_ref();
        let mut messages = manners.shape(messages, tools, &self.source);
        let in_system = manners.in_system(tools);
        let system = |message: &Message| message.role == Role::System;
        if in_system.is_some() && !messages.iter().any(system) {
            messages.insert(0, Message::system(""));
        }
        let first = messages.iter().position(system);
        let values = messages.iter().enumerate().map(|(at, message)| {
            let tools = in_system.as_deref().filter(|_| Some(at) == first);
            self.message(message, Some((manners, tools)))
        });
        self.run_values(values.collect(), options, open)
    }

    fn run_values(
        &self,
        messages: Vec<Value>,
        options: &RenderOptions,
        open: bool,
    ) -> Result<String> {
        let mut context = self.tokens.clone();
        for (name, value) in &options.variables {
            context.insert(name.clone(), json::value(value));
        }
        if let Some(think) = options.enable_thinking {
            context.insert("enable_thinking".into(), think.into());
            // The other name that templates have for it.
            context.entry("thinking".into()).or_insert_with(|| think.into());
        }
        if let Some(now) = options.now {
            context.insert(
                "strftime_now".into(),
                Value::from_function(move |format: &str| now.format(format)),
            );
        }
        let given = |value: &Option<Json>| value.as_ref().map_or(Value::from(()), json::value);
        context.insert("messages".into(), messages.into());
        context.insert("tools".into(), given(&options.tools));
        context.insert("documents".into(), given(&options.documents));
        context.insert("add_generation_prompt".into(), open.into());

        let size = context.values().map(text_size).sum();
        let name = if self.with_tools && options.tools.is_some() { NAME_WITH_TOOLS } else { NAME };
        let limit = bounds::Meter::begin(size);
        let mut out = bounds::Output::new(limit);
        let outcome = self.environment.get_template(name).and_then(|template| {
            template.render_captured_to(Value::from(context), &mut out).map(drop)
        });
        match outcome {
            Ok(()) => Ok(out.into_string()),
            Err(_) if out.overflowed() => Err(Error::TemplateTooLarge { bytes: limit }),
            Err(error) => Err(failure(error, limit)),
        }
    }

    /// A message as the dictionary that templates read; with manners and tools for a system message, if it is about tools.
    fn message(
        &self,
        message: &Message,
        tools: Option<(&manners::Manners, Option<&str>)>,
    ) -> Value {
        let mut entries: Vec<(&str, Value)> = vec![("role", message.role.name().into())];
        let as_parts =
            self.parts_only || message.content.iter().any(|part| matches!(part, Part::Image(_)));
        entries.push((
            "content",
            match tools {
                Some((manners, _)) if manners.null(message) => Value::from(()),
                _ if as_parts => parts(&message.content),
                _ => message.text().into(),
            },
        ));
        if let Some((_, Some(tools))) = tools {
            entries.push(("tools", tools.into()));
        }
        if let Some(reasoning) = &message.reasoning {
            // Some templates read the second name.
            entries.push(("reasoning_content", reasoning.as_str().into()));
            entries.push(("thinking", reasoning.as_str().into()));
        }
        let arguments = |value: &Json| match tools {
            Some((manners, _)) => manners.arguments(value),
            None => json::value(value),
        };
        if !message.tool_calls.is_empty() {
            let calls: Vec<Value> = message
                .tool_calls
                .iter()
                .map(|call| {
                    let function = Value::from_pairs([
                        ("name", Value::from(call.name.as_str())),
                        ("arguments", arguments(&call.arguments)),
                    ]);
                    Value::from_pairs([
                        ("id", Value::from(call.id.as_str())),
                        ("type", "function".into()),
                        ("function", function),
                    ])
                })
                .collect();
            entries.push(("tool_calls", calls.into()));
        }
        if let Some(id) = &message.tool_call_id {
            entries.push(("tool_call_id", id.as_str().into()));
        }
        if let Some(name) = &message.name {
            entries.push(("name", name.as_str().into()));
        }
        Value::from_pairs(entries)
    }

    /// Whether the template prints what it is given as a user's content, asked of the template itself. A list that is
    /// printed as a list was not understood.
    fn prints(&self, content: Value) -> bool {
        let message =
            Value::from_pairs([("role", Value::from(Role::User.name())), ("content", content)]);
        let rendered = self.run_values(vec![message], &RenderOptions::answer(), true);
        rendered.is_ok_and(|text| text.contains(PROBE) && !text.contains("[{"))
    }
}

/// The bytes of all text in a value that the caller made.
fn text_size(value: &Value) -> usize {
    if let Some(text) = value.as_str() {
        return text.len();
    }
    let Ok(items) = value.try_iter() else { return 0 };
    let held = |key: &Value| value.get_item(key).map_or(0, |item| text_size(&item));
    items
        .map(|item| text_size(&item) + if value.kind() == ValueKind::Map { held(&item) } else { 0 })
        .sum()
}

fn parts(content: &[Part]) -> Value {
    content
        .iter()
        .map(|part| match part {
            Part::Text(text) => Value::from_pairs([("type", "text"), ("text", text)]),
            Part::Image(_) => Value::from_pairs([("type", "image")]),
        })
        .collect()
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let mut syntax = minijinja::syntax::SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true);
    if let Ok(syntax) = syntax.build() {
        environment.set_syntax(syntax);
    }
    environment.set_fuel(Some(INSTRUCTIONS));
    environment.set_unknown_method_callback(methods::call);
    environment.add_filter("tojson", json::tojson);
    environment.add_function(
        "raise_exception",
        |message: Value| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, "raise_exception")
                .with_source(Refusal(message.to_string())))
        },
    );
    // As Jinja's, for which whatever has a length and items is a sequence.
    environment.add_test("sequence", |value: &Value| value.len().is_some() || value.is_undefined());
    // And for which None cannot be walked over.
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    bounds::install(&mut environment);
    environment
}

/// The engine's error as ours.
fn failure(error: minijinja::Error, limit: usize) -> Error {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(refusal) = error.downcast_ref::<Refusal>() {
            return Error::TemplateRefused { message: refusal.0.clone() };
        }
        if error.is::<bounds::TooLarge>() {
            return Error::TemplateTooLarge { bytes: limit };
        }
        if error
            .downcast_ref::<minijinja::Error>()
            .is_some_and(|error| error.kind() == ErrorKind::OutOfFuel)
        {
            return Error::TemplateTooLong { instructions: INSTRUCTIONS };
        }
        cause = error.source();
    }
    Error::TemplateFailed { line: error.line().unwrap_or(0), source: Box::new(error) }
}
