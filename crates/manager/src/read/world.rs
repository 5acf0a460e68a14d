//! A world for the pipelines of `documents`: its readers are models of a house, servers elsewhere, and a program of the
//! system that recognises characters.

use std::sync::Arc;

use documents::pipeline::{GUIDED_REGEX, Reader, Repetition};
use documents::tesseract::Tesseract;
use documents::{Answer, Ask, Finish, Heard, Reply, World, picture};
use text::grammar::Grammar;
use text::{Image, Message, Part};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::flight::{self, Flight};
use crate::house::{self, House, News};
use crate::remote::{self, Backend, Fragment, Question};
use crate::runtime::{FinishReason, GenerateOptions, Priority, Prompt, Usage};
use crate::{Kind, chain};

/// Somebody who reads pages.
#[derive(Clone, Debug)]
enum Seer {
    /// A model, a task or `REMOTE:MODEL` of a house.
    House(Arc<House>, String),
    /// A model of a server elsewhere.
    Backend(Arc<Backend>, String),
    /// A program of the system.
    Engine(Arc<Tesseract>),
}

/// Who reads pages, the first choice first.
#[derive(Clone, Debug)]
pub struct Seers {
    handle: Handle,
    seers: Vec<Seer>,
    priority: Priority,
    client: u64,
    flight: Option<Flight>,
}

impl Seers {
    /// Nobody yet. Work is done on `handle`.
    pub fn new(handle: Handle) -> Self {
        Self { handle, seers: Vec::new(), priority: Priority::Batch, client: 0, flight: None }
    }

    /// The same, and a model, a task or `REMOTE:MODEL` of `house`.
    #[must_use]
    pub fn and_of_house(mut self, house: &Arc<House>, model: &str) -> Self {
        self.seers.push(Seer::House(Arc::clone(house), model.to_owned()));
        self
    }

    /// The same, and a model of a server elsewhere. What it cannot take now is asked again by the pipeline, which tells of
    /// it; so `backend` itself should not try again.
    #[must_use]
    pub fn and_elsewhere(mut self, backend: &Arc<Backend>, model: &str) -> Self {
        self.seers.push(Seer::Backend(Arc::clone(backend), model.to_owned()));
        self
    }

    /// The same, and a program that recognises characters.
    #[must_use]
    pub fn and_engine(mut self, engine: Tesseract) -> Self {
        self.seers.push(Seer::Engine(Arc::new(engine)));
        self
    }

    /// The same, with pages so urgent, on behalf of a client.
    #[must_use]
    pub fn urgent(self, priority: Priority, client: u64) -> Self {
        Self { priority, client, ..self }
    }

    /// The same, which note down in `flight` what becomes of each page that they are shown.
    #[must_use]
    pub fn recorded(self, flight: Flight) -> Self {
        Self { flight: Some(flight), ..self }
    }
}

impl World for Seers {
    fn readers(&self) -> Vec<Reader> {
        let reader = |seer: &Seer| match seer {
            Seer::House(_, model) => Reader::Model(model.clone()),
            Seer::Backend(backend, model) => Reader::Model(format!("{}:{model}", backend.name())),
            Seer::Engine(engine) => Reader::Engine(engine.name()),
        };
        self.seers.iter().map(reader).collect()
    }

    fn transcribe(&self, ask: Ask, reply: Reply) {
        let Some(seer) = self.seers.get(ask.reader).cloned() else {
            let message = format!("there is no reader number {}", ask.reader);
            return reply.send(Answer::Unusable { message, hint: None });
        };
        if let Seer::Engine(engine) = seer {
            self.handle.spawn_blocking(move || {
                let wanted = reply.wanted().clone();
                let answer = match engine.read(&ask.picture, || wanted.is_over()) {
                    Ok(text) => {
                        let heard = Hearing { text, ..Hearing::default() };
                        Answer::Text(heard.end(Finish::Stop, Usage::default()))
                    }
                    Err(message) => Answer::Failed { message },
                };
                reply.send(answer);
            });
            return;
        }
        let (gone, over) = oneshot::channel::<()>();
        reply.wanted().when_over(move || drop(gone));
        let (priority, client) = (self.priority, self.client);
        let flight = self.flight.clone();
        let asking = async move {
            let look = async {
                let (message, options) = match question(ask, priority, client).await {
                    Ok(question) => question,
                    Err(answer) => return answer,
                };
                match seer {
                    Seer::House(house, model) => here(&house, model, message, options).await,
                    Seer::Backend(backend, model) => {
                        elsewhere(&backend, model, message, options).await
                    }
                    Seer::Engine(_) => Answer::Failed { message: "it is no model".to_owned() },
                }
            };
            tokio::select! {
                answer = look => reply.send(answer),
                // Dropping the look ends it.
                _ = over => {}
            }
        };
        match flight {
            Some(flight) => drop(self.handle.spawn(flight::recorded(flight, asking))),
            None => drop(self.handle.spawn(asking)),
        }
    }
}

/// An answer that is being listened to.
#[derive(Default)]
struct Hearing {
    text: String,
    watch: Repetition,
}

impl Hearing {
    /// Takes a piece of the answer. There is an end if it has begun to go in circles.
    fn hear(&mut self, more: &str) -> Option<Finish> {
        self.text.push_str(more);
        self.watch.push(more).then_some(Finish::Repetition)
    }

    fn end(self, finish: Finish, usage: Usage) -> Heard {
        Heard {
            text: self.text,
            finish,
            input_tokens: usage.prompt_tokens as u64,
            output_tokens: usage.completion_tokens as u64,
            by: None,
        }
    }
}

/// An answer that stopped in silence.
fn silent() -> Finish {
    Finish::Other("it ended without saying why".to_owned())
}

/// What a model is asked: the words first, then the picture.
async fn question(
    ask: Ask,
    priority: Priority,
    client: u64,
) -> Result<(Message, GenerateOptions), Answer> {
    let Ask { picture, prompt, max_tokens, temperature, guided, .. } = ask;
    // Compressing a page takes some ten milliseconds.
    let encoded = tokio::task::spawn_blocking(move || picture::png(&picture)).await;
    let Ok(encoded) = encoded else {
        return Err(Answer::Failed { message: "the picture could not be written".to_owned() });
    };
    let content = vec![Part::Text(prompt.to_string()), Part::Image(Image::new(encoded))];
    let message = Message { content, ..Message::user("") };
    let options = GenerateOptions {
        max_tokens: Some(max_tokens as usize),
        temperature: Some(temperature),
        constraint: guided.then(|| Grammar::Regex(GUIDED_REGEX.to_owned())),
        priority,
        client,
        ..GenerateOptions::default()
    };
    Ok((message, options))
}

/// Asks a model of a house. A server that has no word for the form of an answer is asked without: what
/// it says is held against that form all the same.
async fn here(
    house: &Arc<House>,
    model: String,
    message: Message,
    options: GenerateOptions,
) -> Answer {
    let free = GenerateOptions { constraint: None, ..options.clone() };
    let heard = match hear(house, &model, message.clone(), options).await {
        Err(error) if lacks_form(&error) => hear(house, &model, message, free).await,
        heard => heard,
    };
    heard.map_or_else(|error| sorted(&error), Answer::Text)
}

/// Whether a server has no word for the form that an answer should have.
fn lacks_form(error: &house::Error) -> bool {
    matches!(error, house::Error::Remote(remote::Error::Unsupported { field: "regex", .. }))
}

/// Listens to a model of a house until it ends.
async fn hear(
    house: &Arc<House>,
    model: &str,
    message: Message,
    options: GenerateOptions,
) -> Result<Heard, house::Error> {
    let prompt = Prompt::Chat(vec![message], Box::default());
    let ask = house::Ask { model: model.to_owned(), prompt, options, strict: false };
    let mut answer = house.answer(ask).await?;
    let mut hearing = Hearing::default();
    let by = answer.model().to_owned();
    let finish = loop {
        match answer.next().await? {
            Some(News::Text(more)) => {
                if let Some(finish) = hearing.hear(&more) {
                    break finish;
                }
            }
            Some(News::End(end)) => break ended(&end.reason),
            Some(_) => {}
            None => break silent(),
        }
    };
    Ok(Heard { by: (by != model).then_some(by), ..hearing.end(finish, answer.usage()) })
}

/// Asks a model of a server elsewhere.
async fn elsewhere(
    backend: &Arc<Backend>,
    model: String,
    message: Message,
    options: GenerateOptions,
) -> Answer {
    let question = Question { model, messages: vec![message], options, ..Question::default() };
    let heard = async {
        let mut answer = backend.chat(&question).await?;
        let (mut hearing, mut usage) = (Hearing::default(), Usage::default());
        let finish = loop {
            match answer.next().await? {
                Some(Fragment::Text(more)) => {
                    if let Some(finish) = hearing.hear(&more) {
                        break finish;
                    }
                }
                Some(Fragment::Usage(told)) => usage = told,
                Some(Fragment::End(remote::Finish::Stop)) => break Finish::Stop,
                Some(Fragment::End(remote::Finish::Length)) => break Finish::Length,
                Some(Fragment::End(remote::Finish::Calls)) => {
                    break Finish::Other("it calls tools".to_owned());
                }
                Some(Fragment::End(remote::Finish::Incomplete(why))) => break Finish::Other(why),
                Some(_) => {}
                None => break silent(),
            }
        };
        Ok(hearing.end(finish, usage))
    };
    heard.await.map_or_else(
        |error: remote::Error| {
            let message = chain(&error);
            of_remote(&error, message)
        },
        Answer::Text,
    )
}

fn ended(reason: &FinishReason) -> Finish {
    match reason {
        FinishReason::Stop | FinishReason::StopString(_) => Finish::Stop,
        FinishReason::Length | FinishReason::Unfinished => Finish::Length,
        FinishReason::Cancelled => Finish::Other("it was cancelled".to_owned()),
    }
}

/// What an error means for the page, and for those after it.
fn sorted(error: &house::Error) -> Answer {
    let message = chain(error);
    let hint = error.hint();
    match error {
        house::Error::Remote(remote) => of_remote(remote, message),
        house::Error::Known(known) => sorted(known),
        house::Error::Incomplete { .. } => Answer::Failed { message },
        house::Error::Runtime(_) => match error.kind() {
            _ if error.is_too_long() => Answer::Refused { message },
            Kind::Unsupported | Kind::NotFound => Answer::Unusable { message, hint },
            Kind::Invalid => Answer::Refused { message },
            Kind::Overloaded => Answer::Unavailable { message, retry_after: None },
            Kind::Internal => Answer::Failed { message },
        },
        house::Error::Catalog(_)
        | house::Error::NotOffered { .. }
        | house::Error::TwoAdapters { .. }
        | house::Error::Load { .. }
        | house::Error::Broken { .. }
        | house::Error::NotElsewhere { .. }
        | house::Error::NoImagesThere { .. }
        | house::Error::TooManyVectors { .. }
        | house::Error::Closing => Answer::Unusable { message, hint },
        // What has no room now and will have none is not waited for.
        house::Error::NoRoom(refusal) if !refusal.is_passing() => {
            Answer::Unusable { message, hint }
        }
        house::Error::NoRoom(_) | house::Error::NoRoute(_) => match error.kind() {
            Kind::Overloaded => Answer::Unavailable { message, retry_after: None },
            Kind::Invalid | Kind::NotFound | Kind::Unsupported | Kind::Internal => {
                Answer::Unusable { message, hint }
            }
        },
        house::Error::Lost => Answer::Failed { message },
    }
}

fn of_remote(error: &remote::Error, message: String) -> Answer {
    let hint = Some(error.hint());
    match error {
        remote::Error::Busy { wait, .. } => Answer::Unavailable { message, retry_after: *wait },
        remote::Error::Resting { wait, .. } => {
            Answer::Unavailable { message, retry_after: Some(*wait) }
        }
        // A gateway says so while what is behind it starts.
        remote::Error::Unreachable { .. }
        | remote::Error::Failed { status: Some(502 | 504), .. } => {
            Answer::Unavailable { message, retry_after: None }
        }
        remote::Error::Silent { .. }
        | remote::Error::Failed { .. }
        | remote::Error::Garbage { .. }
        | remote::Error::TooLarge { .. }
        | remote::Error::Cut { .. } => Answer::Failed { message },
        remote::Error::Refused { status: 401 | 403, .. }
        | remote::Error::Unsupported { .. }
        | remote::Error::Key { .. }
        | remote::Error::Client { .. }
        | remote::Error::NoModel { .. } => Answer::Unusable { message, hint },
        remote::Error::Refused { .. } => Answer::Refused { message },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::residency::Refusal;

    #[test]
    fn what_will_never_have_room_is_not_waited_for() {
        let model = || "eyes".to_owned();
        let large = Refusal::TooLarge { model: model(), needed: 9, most: 5, kept: Vec::new() };
        let answer = sorted(&house::Error::NoRoom(large));
        assert!(matches!(answer, Answer::Unusable { hint: Some(_), .. }), "{answer:?}");
        let late =
            Refusal::TimedOut { model: model(), waited: Duration::from_secs(1), busy: Vec::new() };
        let answer = sorted(&house::Error::NoRoom(late));
        assert!(matches!(answer, Answer::Unavailable { .. }), "{answer:?}");
    }
}
