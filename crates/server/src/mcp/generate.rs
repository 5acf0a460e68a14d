//! `generate_with_mlx`.

use manager::Message;
use manager::runtime::GenerateOptions;
use serde_json::{Value, json};

use super::asking::{MODEL, Question, SECONDS, Written, ask, tokens, told_schema};
use super::schema::{Field, Kind};
use super::{Call, Tool, object};
use crate::fault::Fault;

pub(super) const GENERATE: Tool = Tool {
    name: "generate_with_mlx",
    title: "Generate text",
    about: "Answers a prompt or goes on with a conversation, with a model of this machine.",
    takes: &[
        Field::free(
            "prompt",
            Kind::Text { most: 1 << 20 },
            "What to answer. Either this or `messages`.",
        ),
        Field::free(
            "messages",
            Kind::Messages { most: 1024 },
            "A conversation, whose last message is answered.",
        ),
        Field::free("system", Kind::Text { most: 1 << 16 }, "Standing instructions."),
        MODEL,
        tokens(1024),
        Field::free(
            "temperature",
            Kind::Number { range: [0.0, 2.0] },
            "How much chance there is; 0 takes the likeliest token. Default: the model's own.",
        ),
        Field::free(
            "top_p",
            Kind::Number { range: [0.0, 1.0] },
            "Keeps the likeliest tokens that together have this probability.",
        ),
        Field::free(
            "top_k",
            Kind::Whole { range: [0, 100_000], default: None },
            "Keeps so many of the likeliest tokens; 0 keeps all.",
        ),
        Field::free(
            "min_p",
            Kind::Number { range: [0.0, 1.0] },
            "Keeps tokens with this share of the likeliest one's probability.",
        ),
        Field::free(
            "repetition_penalty",
            Kind::Number { range: [0.5, 2.0] },
            "Makes tokens that have occurred less likely; 1 does nothing.",
        ),
        Field::free(
            "seed",
            Kind::Whole { range: [0, 1 << 53], default: None },
            "The same seed gives the same answer. Default: a different one each time.",
        ),
        Field::free(
            "stop",
            Kind::Texts { most: 8 },
            "Texts that end the answer, and are not part of it.",
        ),
        Field::free(
            "thinking",
            Kind::Truth,
            "Whether a model that can think first does so. Default: the model's own.",
        ),
        SECONDS,
    ],
    returns,
    run: |call| Box::pin(async move { run(&call).await.map(Into::into) }),
};

fn returns() -> Value {
    let mut properties = json!({
        "text": {"type": "string", "description": "The answer."},
        "reasoning": {"type": "string", "description": "What the model thought before, where it did."},
    });
    let (told, free) = told_schema();
    if let Value::Object(properties) = &mut properties {
        properties.extend(told);
    }
    object(properties, &[&["reasoning"], free].concat())
}

async fn run(call: &Call) -> Result<Value, Fault> {
    let given = &call.arguments;
    let mut messages = Vec::new();
    messages.extend(given.text("system").map(Message::system));
    let talk = given.messages("messages");
    match (given.text("prompt"), talk.is_empty()) {
        (Some(prompt), true) => messages.push(Message::user(prompt)),
        (None, false) => messages.extend(talk.into_iter().map(|(role, words)| match role {
            "system" => Message::system(words),
            "assistant" => Message::assistant(words),
            _ => Message::user(words),
        })),
        (Some(_), false) => {
            let message = "`prompt` and `messages` exclude each other: give one of them";
            return Err(Fault::field("prompt", message));
        }
        (None, true) => {
            return Err(Fault::field("prompt", "give a `prompt`, or `messages`"));
        }
    }
    let options = GenerateOptions {
        temperature: given.number("temperature"),
        top_p: given.number("top_p"),
        top_k: given.whole("top_k").and_then(|k| usize::try_from(k).ok()),
        min_p: given.number("min_p"),
        repetition_penalty: given.number("repetition_penalty"),
        seed: given.whole("seed"),
        stop: given.texts("stop"),
        ..GenerateOptions::default()
    };
    let thinking = given.truth("thinking");
    let question = Question { messages, tasks: &["fast"], form: None, thinking, options };
    let Written { text, reasoning, told } = ask(call, question).await?;
    let mut answer = json!({"text": text});
    if !reasoning.is_empty() {
        answer["reasoning"] = reasoning.into();
    }
    if let Value::Object(answer) = &mut answer {
        answer.extend(told);
    }
    Ok(answer)
}
