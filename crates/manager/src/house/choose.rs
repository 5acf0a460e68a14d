//! Who answers a request: a model of this machine or a server elsewhere, tried in the order that the settings give.

use std::sync::Arc;
use std::time::{Duration, Instant};

use text::Tokenizer;

use super::{Error, House, apart};
use crate::Kind;
use crate::config::{Candidate, LONG_CONTEXT, Sampling};
use crate::flight::{self, Step};
use crate::remote::Backend;
use crate::route::{Choice, Known, Local, Passed, Receipt, Why, Wish, route};
use crate::runtime::{self, GenerateOptions, Prompt};
use crate::stats::Sample;

/// The remote that is asked for models that are not here.
const OLLAMA: &str = "ollama";
/// So long what a remote has is taken to be the same.
const FRESH: Duration = Duration::from_secs(30);
/// So long the list of a remote's models is waited for: a request waits meanwhile.
const LISTING: Duration = Duration::from_secs(2);

/// Who is asked now.
pub(super) struct Turn {
    pub(super) candidate: Candidate,
    /// Whether somebody else could answer instead.
    pub(super) fallback: bool,
    /// How the route's settings would have it answer.
    pub(super) sampling: Sampling,
    /// Texts at once, if the route or the settings of all say it.
    pub(super) batch_size: Option<u64>,
}

impl Turn {
    /// How many of `all` are taken at once: as many as is said, else all. A pass is bounded by its tokens in any case.
    pub(super) fn at_once(&self, all: usize) -> usize {
        let most = self.batch_size.and_then(|size| usize::try_from(size).ok());
        most.unwrap_or(all).max(1)
    }
}

impl House {
    /// Asks those who can answer one after the other, until one does. `kind` is the task where none was named.
    pub(super) async fn walk<T, F: Future<Output = Result<T, Error>>>(
        self: &Arc<Self>,
        wish: &Wish,
        kind: &str,
        ask: impl Fn(Turn) -> F,
    ) -> Result<(T, Receipt), Error> {
        let begun = Instant::now();
        let mut choice = self.choose(wish).await?;
        loop {
            let (Some(candidate), Some(receipt)) = (choice.current().cloned(), choice.receipt())
            else {
                return Err(Error::NoRoute(choice.nobody()));
            };
            let turn = Turn {
                candidate: candidate.clone(),
                fallback: choice.has_next(),
                sampling: choice.sampling.clone(),
                batch_size: choice.batch_size,
            };
            let error = match ask(turn).await {
                Ok(answer) => {
                    if receipt.is_fallback() {
                        let route = receipt.header();
                        tracing::info!(asked = wish.asked, %route, "another answers");
                    }
                    return Ok((answer, receipt));
                }
                Err(error) => error,
            };
            match passing(&error).filter(|_| choice.has_next()) {
                Some(why) => {
                    flight::note(|| Step::passed(&candidate, &why));
                    choice.pass(why);
                }
                None => {
                    let task = choice.task().unwrap_or(kind).to_owned();
                    let total = begun.elapsed();
                    let sample = Sample { failed: true, total, ..Sample::default() };
                    self.stats().add(&task, &candidate.to_string(), &sample);
                    return Err(error);
                }
            }
        }
    }

    /// Who can answer.
    pub(super) async fn choose(self: &Arc<Self>, wish: &Wish) -> Result<Choice, Error> {
        let settings = self.settings();
        let config = &settings.options.config;
        let mut known = Known::default();
        for candidate in self.candidates(&wish.asked) {
            match candidate {
                Candidate::Local(name) => self.learn_local(name, &mut known).await,
                Candidate::Remote { remote, .. } => self.learn_remote(&remote, &mut known).await,
            }
        }
        let missing = known.local.values().any(Result::is_err);
        if missing && config.fallback.find_ollama && !wish.strict {
            self.learn_remote(OLLAMA, &mut known).await;
        }
        let choice = route(config, wish, &known).map_err(|none| {
            // A name that nobody knows is told as such, with those that are known.
            match self.refused_lookup(&wish.asked, &known) {
                Some(error) => error,
                None => Error::NoRoute(none),
            }
        })?;
        for Passed { candidate, why } in choice.passed() {
            flight::note(|| Step::passed(candidate, why));
        }
        Ok(choice)
    }

    /// Those who might be asked for `asked`.
    fn candidates(&self, asked: &str) -> Vec<Candidate> {
        let settings = self.settings();
        let config = &settings.options.config;
        let of = |task: &str| config.routes.get(task).map(|route| route.candidates.clone());
        let mut all = of(asked).unwrap_or_else(|| {
            let remote =
                asked.split_once(':').filter(|(remote, _)| settings.backends.contains_key(*remote));
            match remote {
                Some((remote, model)) => {
                    vec![Candidate::Remote { remote: remote.to_owned(), model: model.to_owned() }]
                }
                None => {
                    let alias =
                        |model: &&crate::config::Model| model.aliases.iter().any(|a| a == asked);
                    let name = config.models.iter().find(alias).map_or(asked, |model| &model.name);
                    vec![Candidate::Local(name.to_owned())]
                }
            }
        });
        all.extend(of(LONG_CONTEXT).unwrap_or_default());
        all
    }

    async fn learn_local(self: &Arc<Self>, name: String, known: &mut Known) {
        let local = match self.find(&name).await {
            Ok(found) => {
                let set = self.settings().options.config.model(&found.name).context;
                let context = [Some(found.context as u64), set].into_iter().flatten().min();
                Ok(Local {
                    name: found.name.clone(),
                    context,
                    sees: Some(found.sees),
                    no_room: None,
                })
            }
            Err(error) => Err(error.to_string()),
        };
        known.local.insert(name, local);
    }

    async fn learn_remote(&self, name: &str, known: &mut Known) {
        if known.models.contains_key(name) || known.down.contains_key(name) {
            return;
        }
        let settings = self.settings();
        let Some(backend) = settings.backends.get(name) else {
            known.down.insert(name.to_owned(), "there is no such remote".to_owned());
            return;
        };
        if let Some(reason) = backend.down() {
            known.down.insert(name.to_owned(), reason);
            return;
        }
        let fresh = |(at, _): &&(Instant, _)| at.elapsed() < FRESH;
        if let Some((_, models)) = self.listed().get(name).filter(fresh) {
            match models {
                Ok(models) => known.models.insert(name.to_owned(), models.clone()).is_some(),
                Err(reason) => known.down.insert(name.to_owned(), reason.clone()).is_some(),
            };
            return;
        }
        let listed = match tokio::time::timeout(LISTING, backend.models()).await {
            Ok(listed) => listed.map_err(|error| error.to_string()),
            Err(_) => {
                Err(format!("it did not list its models within {} seconds", LISTING.as_secs()))
            }
        };
        match &listed {
            Ok(models) => known.models.insert(name.to_owned(), models.clone()).is_some(),
            Err(reason) => known.down.insert(name.to_owned(), reason.clone()).is_some(),
        };
        self.listed().insert(name.to_owned(), (Instant::now(), listed));
    }

    /// Why a plain name of this machine could not be found, if that is what went wrong.
    fn refused_lookup(&self, asked: &str, known: &Known) -> Option<Error> {
        let plain = !self.settings().options.config.routes.contains_key(asked);
        if plain && known.local.get(asked).is_some_and(Result::is_err) {
            return self.rooms().refused.get(asked).map(|error| Error::Known(Arc::clone(error)));
        }
        None
    }

    /// The tokens of `prompt` as the first model of this machine that might answer counts them, where that decides who does.
    pub(super) async fn measure(self: &Arc<Self>, asked: &str, prompt: &Prompt) -> Option<u64> {
        if !self.settings().options.config.routes.contains_key(LONG_CONTEXT) {
            return None;
        }
        let text = match prompt {
            Prompt::Tokens(tokens) => return Some(tokens.len() as u64),
            Prompt::Text(text) => text.clone(),
            Prompt::Chat(messages, _) => {
                messages.iter().map(text::Message::text).collect::<Vec<_>>().join("\n")
            }
        };
        let (tokenizer, _) = self.counter(asked).await.ok()??;
        apart(move || {
            let encoded = tokenizer.encode(&text, text::Special::OmitLiteral);
            Ok(encoded.map_or(0, |tokens| tokens.len() as u64))
        })
        .await
        .ok()
        .filter(|&tokens| tokens > 0)
    }

    /// How the first model of this machine that might answer to `asked` counts tokens, and how many it takes; nothing if none of
    /// this machine might. It need not be in memory.
    ///
    /// # Errors
    ///
    /// If its tokenizer cannot be read.
    pub async fn counter(
        self: &Arc<Self>,
        asked: &str,
    ) -> Result<Option<(Tokenizer, usize)>, Error> {
        for candidate in self.candidates(asked) {
            let Candidate::Local(name) = candidate else { continue };
            let Ok(found) = self.find(&name).await else { continue };
            let resident = self.rooms().residents.get(&found.name).map(|it| Arc::clone(&it.model));
            return apart(move || {
                let tokenizer = match resident {
                    Some(model) => model.tokenizer().clone(),
                    None => runtime::tokenizer(&found.path)?,
                };
                Ok(Some((tokenizer, found.context)))
            })
            .await;
        }
        Ok(None)
    }

    /// A remote by its name.
    pub(super) fn backend(&self, name: &str) -> Option<Arc<Backend>> {
        self.settings().backends.get(name).map(Arc::clone)
    }
}

/// Why the next is asked where this one failed; `None` where the request itself is at fault, which is so for everybody.
fn passing(error: &Error) -> Option<Why> {
    let reason = error.to_string();
    match (error, error.kind()) {
        (Error::NoRoom(_), _) => Some(Why::NoRoom { reason }),
        (Error::Runtime(error), _) if error.is_too_long() => Some(Why::Failed { reason }),
        (Error::Remote(_), Kind::NotFound | Kind::Unsupported)
        | (Error::NoImagesThere { .. }, _) => Some(Why::Failed { reason }),
        (_, Kind::Overloaded | Kind::Internal) => Some(Why::Failed { reason }),
        (_, Kind::Invalid | Kind::NotFound | Kind::Unsupported) => None,
    }
}

/// `options`, and what `settings` say where they are silent.
pub(super) fn settled(mut options: GenerateOptions, settings: &Sampling) -> GenerateOptions {
    let whole = |value: Option<u64>| value.and_then(|value| usize::try_from(value).ok());
    let single = |value: Option<f64>| value.map(|value| value as f32);
    options.max_tokens = options.max_tokens.or(whole(settings.max_tokens));
    options.temperature = options.temperature.or(single(settings.temperature));
    options.top_p = options.top_p.or(single(settings.top_p));
    options.top_k = options.top_k.or(whole(settings.top_k));
    options.min_p = options.min_p.or(single(settings.min_p));
    options.repetition_penalty = options.repetition_penalty.or(single(settings.repetition_penalty));
    options
}
