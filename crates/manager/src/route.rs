//! Who answers: from a task or a model's name to an ordered list of candidates that can, and a receipt that says who was
//! passed over and why. A pure function of settings and facts.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use crate::catalog::nearest;
use crate::config::{Candidate, Config, LONG_CONTEXT, Sampling};
use crate::error::Kind;

/// The remote that is asked for models that are not here.
const OLLAMA: &str = "ollama";

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// A task, a model, one of its aliases, or `REMOTE:MODEL`.
    pub asked: String,
    /// Tokens of the input, once they are measured.
    pub tokens: Option<u64>,
    /// Whether there are images in it.
    pub images: bool,
    /// Nobody but the first may answer.
    pub strict: bool,
}

/// What is known of a model of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// Its name in full: that of the catalog.
    pub name: String,
    /// The most tokens that it takes, if known.
    pub context: Option<u64>,
    /// Whether it sees images, if known.
    pub sees: Option<bool>,
    /// Why it cannot be loaded, if it cannot.
    pub no_room: Option<String>,
}

/// What is known of the world: asked only for what matters.
pub trait Facts {
    /// A model of this machine by what it was called; why not, if it is not here or cannot be run.
    fn local(&self, name: &str) -> Result<Local, String>;

    /// Why a remote is not to be asked now, if it is not.
    fn down(&self, remote: &str) -> Option<String>;

    /// The models of a remote, if they are known.
    fn models(&self, remote: &str) -> Option<Vec<String>>;
}

/// Why a candidate does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It is not on this machine, or cannot be run.
    NotHere {
        /// What was found instead.
        reason: String,
    },
    /// The input is too long for it.
    TooLong {
        /// Tokens of the input.
        tokens: u64,
        /// The most that it takes.
        context: u64,
    },
    /// Inputs of this length are answered by another route.
    Long {
        /// Tokens of the input.
        tokens: u64,
        /// The most that are answered here.
        above: u64,
    },
    /// It sees no images.
    Blind,
    /// There is no room for it.
    NoRoom {
        /// Why.
        reason: String,
    },
    /// The remote does not answer now.
    Down {
        /// Why.
        reason: String,
    },
    /// The remote has no such model.
    Unknown,
    /// It was tried, and failed.
    Failed {
        /// How.
        reason: String,
    },
}

impl Why {
    /// Its name in receipts and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotHere { .. } => "not_here",
            Self::TooLong { .. } => "too_long",
            Self::Long { .. } => "long_input",
            Self::Blind => "blind",
            Self::NoRoom { .. } => "no_room",
            Self::Down { .. } => "down",
            Self::Unknown => "unknown",
            Self::Failed { .. } => "failed",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHere { reason }
            | Self::NoRoom { reason }
            | Self::Down { reason }
            | Self::Failed { reason } => f.write_str(reason),
            Self::TooLong { tokens, context } => {
                write!(f, "the input has {tokens} tokens, and it takes at most {context}")
            }
            Self::Long { tokens, above } => {
                write!(
                    f,
                    "the input has {tokens} tokens, and those above {above} go to the route for long inputs"
                )
            }
            Self::Blind => f.write_str("it sees no images"),
            Self::Unknown => f.write_str("the remote has no such model"),
        }
    }
}

/// A candidate that does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The candidate.
    pub candidate: Candidate,
    /// Why.
    pub why: Why,
}

/// Nobody answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoRoute {
    /// The name is that of no task, and empty of any other meaning.
    #[error("there is no task and no model `{asked}`")]
    Unknown {
        /// What was asked for.
        asked: String,
        /// The nearest that there is.
        nearest: Option<String>,
    },
    /// All candidates were passed over.
    #[error("nobody can answer `{asked}`: {}", list(passed))]
    Nobody {
        /// What was asked for.
        asked: String,
        /// Whom, and why; never nobody.
        passed: Vec<Passed>,
        /// Whether others were left out because the request allows none.
        strict: bool,
    },
}

fn list(passed: &[Passed]) -> String {
    let each = passed.iter().map(|passed| format!("{}: {}", passed.candidate, passed.why));
    each.collect::<Vec<_>>().join("; ")
}

impl NoRoute {
    /// What sort of failure it is: that of the last candidate's.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Unknown { .. } => Kind::NotFound,
            Self::Nobody { passed, .. } => match passed.last().map(|passed| &passed.why) {
                Some(Why::TooLong { .. } | Why::Long { .. } | Why::Blind) => Kind::Invalid,
                Some(Why::NotHere { .. } | Why::Unknown) | None => Kind::NotFound,
                Some(Why::NoRoom { .. } | Why::Down { .. }) => Kind::Overloaded,
                Some(Why::Failed { .. }) => Kind::Internal,
            },
        }
    }

    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown { nearest: Some(near), .. } => format!("did you mean `{near}`?"),
            Self::Unknown { .. } => "`folio list` shows which models are here".to_owned(),
            Self::Nobody { strict: true, .. } => "allow fallbacks, or ask for another".to_owned(),
            Self::Nobody { .. } => "`folio config check` says what each route needs".to_owned(),
        }
    }
}

/// Those who can answer, first to be asked first; never nobody.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    asked: String,
    task: Option<String>,
    left: Vec<Candidate>,
    passed: Vec<Passed>,
    /// How the route's settings would have them answer.
    pub sampling: Sampling,
    /// Texts at once, if the route or the settings of all say it.
    pub batch_size: Option<u64>,
}

impl Choice {
    /// Who is to be asked now; `None` if all have failed.
    pub fn current(&self) -> Option<&Candidate> {
        self.left.first()
    }

    /// The task that was asked for, if it was one.
    pub fn task(&self) -> Option<&str> {
        self.task.as_deref()
    }

    /// Who was passed over so far, in order.
    pub fn passed(&self) -> &[Passed] {
        &self.passed
    }

    /// Whether somebody else could answer where the current one does not.
    pub fn has_next(&self) -> bool {
        self.left.len() > 1
    }

    /// Goes on to the next, for the current one does not answer.
    pub fn pass(&mut self, why: Why) {
        if !self.left.is_empty() {
            let candidate = self.left.remove(0);
            self.passed.push(Passed { candidate, why });
        }
    }

    /// The error, when nobody is left.
    pub fn nobody(&self) -> NoRoute {
        NoRoute::Nobody { asked: self.asked.clone(), passed: self.passed.clone(), strict: false }
    }

    /// Says that the current one has answered.
    pub fn receipt(&self) -> Option<Receipt> {
        Some(Receipt {
            asked: self.asked.clone(),
            task: self.task.clone(),
            answered: self.current()?.clone(),
            passed: self.passed.clone(),
        })
    }
}

/// Who answered, and who did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What was asked for.
    pub asked: String,
    /// The task, if that was one.
    pub task: Option<String>,
    /// Who answered.
    pub answered: Candidate,
    /// Who was passed over, in order.
    pub passed: Vec<Passed>,
}

impl Receipt {
    /// Whether another answered than the first that was to.
    pub fn is_fallback(&self) -> bool {
        !self.passed.is_empty()
    }

    /// One line for a header: `org/b; passed=org/a:no_room`. Characters that a header cannot have are left out.
    pub fn header(&self) -> String {
        let mut line = self.answered.to_string();
        if let Some(task) = &self.task {
            line.push_str(&format!("; task={task}"));
        }
        let passed = self.passed.iter().map(|p| format!("{}:{}", p.candidate, p.why.name()));
        let passed = passed.collect::<Vec<_>>().join(",");
        if !passed.is_empty() {
            line.push_str(&format!("; passed={passed}"));
        }
        line.retain(|c| c == ' ' || c.is_ascii_graphic());
        line
    }

    /// The same with the reasons in words, for an answer's body.
    pub fn json(&self) -> Value {
        let passed = |passed: &Passed| {
            json!({
                "model": passed.candidate.to_string(),
                "why": passed.why.name(),
                "reason": passed.why.to_string(),
            })
        };
        let (remote, model) = match &self.answered {
            Candidate::Local(model) => (Value::Null, model),
            Candidate::Remote { remote, model } => (json!(remote), model),
        };
        json!({
            "asked": self.asked,
            "task": self.task,
            "model": model,
            "remote": remote,
            "passed": self.passed.iter().map(passed).collect::<Vec<_>>(),
        })
    }
}

/// Chooses who answers `wish`.
///
/// A task goes to the candidates of its route, in their order. A model goes to itself; where it is not here, the same
/// model of Ollama answers, if that has it. An input of a task that is longer than `above` of the route `long_context`
/// goes there; one that is longer than any of the candidates takes goes there as well.
///
/// # Errors
/// If nobody can.
pub fn route(config: &Config, wish: &Wish, facts: &dyn Facts) -> Result<Choice, NoRoute> {
    let asked = wish.asked.trim();
    let mut passed = Vec::new();
    let mut own = config.routes.get(asked);
    let task = own.map(|_| asked.to_owned());
    let mut candidates = match own {
        Some(route) => route.candidates.clone(),
        None => vec![named(config, asked)?],
    };
    let long = config.routes.get(LONG_CONTEXT).filter(|_| asked != LONG_CONTEXT);
    if let Some((route, tokens, above)) =
        long.and_then(|long| Some((long, wish.tokens?, long.above?)))
        && task.is_some()
        && tokens > above
        && !wish.strict
    {
        let why = Why::Long { tokens, above };
        passed.extend(candidates.drain(..).map(|candidate| Passed { candidate, why: why.clone() }));
        candidates.clone_from(&route.candidates);
        own = Some(route);
    } else if let Some(route) = long.filter(|_| !wish.strict) {
        // For what is too long for all of them.
        let others = route.candidates.iter().filter(|other| !candidates.contains(other));
        let others: Vec<_> = others.filter(|_| wish.tokens.is_some()).cloned().collect();
        let fits = candidates.iter().any(|candidate| judge(candidate, wish, config, facts).is_ok());
        let too_long = candidates
            .iter()
            .any(|c| matches!(judge(c, wish, config, facts), Err(Why::TooLong { .. })));
        if !fits && too_long {
            candidates.extend(others);
        }
    }
    if wish.strict {
        candidates.truncate(1);
    } else if config.fallback.find_ollama {
        ask_ollama_too(&mut candidates, facts);
    }
    let mut left = Vec::new();
    for candidate in candidates {
        match judge(&candidate, wish, config, facts) {
            Ok(known) => left.push(known),
            // Only those before the first that can are in its way.
            Err(why) if left.is_empty() => passed.push(Passed { candidate, why }),
            Err(_) => {}
        }
        if !config.fallback.allow && (!left.is_empty() || !passed.is_empty()) {
            break;
        }
    }
    left.dedup();
    if left.is_empty() {
        let nobody = NoRoute::Nobody { asked: asked.to_owned(), passed, strict: wish.strict };
        return Err(nobody);
    }
    let settings = own.map(|route| (route.sampling.clone(), route.batch_size));
    let (sampling, batch_size) = settings.unwrap_or_default();
    let batch_size = batch_size.or(config.performance.batch_size);
    Ok(Choice { asked: asked.to_owned(), task, left, passed, sampling, batch_size })
}

/// What a name stands for that is no task.
fn named(config: &Config, asked: &str) -> Result<Candidate, NoRoute> {
    if asked.is_empty() {
        return Err(NoRoute::Unknown { asked: asked.to_owned(), nearest: None });
    }
    if let Some((remote, model)) = asked.split_once(':')
        && (remote == OLLAMA || config.remotes.contains_key(remote))
    {
        return Ok(Candidate::Remote { remote: remote.to_owned(), model: model.to_owned() });
    }
    let known = |model: &&crate::config::Model| model.aliases.iter().any(|alias| alias == asked);
    let alias = config.models.iter().find(known);
    if alias.is_none() && crate::config::TASKS.contains(&asked) {
        let nearest = nearest(asked, config.routes.keys().map(String::as_str));
        let nearest = nearest.map(str::to_owned);
        return Err(NoRoute::Unknown { asked: asked.to_owned(), nearest });
    }
    Ok(Candidate::Local(alias.map_or(asked, |model| &model.name).to_owned()))
}

/// Whether a candidate can answer, and what it is called in full.
fn judge(
    candidate: &Candidate,
    wish: &Wish,
    config: &Config,
    facts: &dyn Facts,
) -> Result<Candidate, Why> {
    match candidate {
        Candidate::Local(name) => {
            let local = facts.local(name).map_err(|reason| Why::NotHere { reason })?;
            let set = config.model(&local.name).context;
            let context = [local.context, set].into_iter().flatten().min();
            if let (Some(tokens), Some(context)) = (wish.tokens, context)
                && tokens > context
            {
                return Err(Why::TooLong { tokens, context });
            }
            if wish.images && local.sees == Some(false) {
                return Err(Why::Blind);
            }
            if let Some(reason) = local.no_room {
                return Err(Why::NoRoom { reason });
            }
            Ok(Candidate::Local(local.name))
        }
        Candidate::Remote { remote, model } => {
            if let Some(reason) = facts.down(remote) {
                return Err(Why::Down { reason });
            }
            let there = facts.models(remote);
            let has = |known: &String| known == model || *known == format!("{model}:latest");
            if there.is_some_and(|there| !there.iter().any(has)) {
                return Err(Why::Unknown);
            }
            Ok(candidate.clone())
        }
    }
}

/// Puts the same model of Ollama behind each model of this machine that is not there, if Ollama has it.
fn ask_ollama_too(candidates: &mut Vec<Candidate>, facts: &dyn Facts) {
    let missing = |candidate: &Candidate| match candidate {
        Candidate::Local(name) => facts.local(name).is_err().then(|| name.clone()),
        Candidate::Remote { .. } => None,
    };
    if candidates.iter().all(|candidate| missing(candidate).is_none())
        || facts.down(OLLAMA).is_some()
    {
        return;
    }
    let Some(there) = facts.models(OLLAMA) else { return };
    let mut found = Vec::new();
    for candidate in candidates.drain(..) {
        let alike = missing(&candidate)
            .and_then(|name| there.iter().find(|other| is_same_model(&name, other)).cloned());
        found.push(candidate);
        let other = alike.map(|model| Candidate::Remote { remote: OLLAMA.to_owned(), model });
        found.extend(other.filter(|other| !found.contains(other)).into_iter().collect::<Vec<_>>());
    }
    *candidates = found;
}

/// Whether two names are of the same network at the same size, whatever its number format: one in the hub's way of
/// naming, one in Ollama's.
pub fn is_same_model(hub: &str, other: &str) -> bool {
    let hub = essence(hub.rsplit('/').next().unwrap_or(hub));
    !hub.is_empty() && hub == essence(other.rsplit('/').next().unwrap_or(other))
}

/// Letters and digits of a name, without what says only how its numbers are stored or that it takes instructions.
fn essence(name: &str) -> String {
    const SAID_ANYWAY: [&str; 14] = [
        "instruct", "it", "chat", "latest", "mlx", "gguf", "bf16", "fp16", "f16", "dwq", "text",
        "awq", "mxfp4", "hf",
    ];
    let lower = name.to_lowercase();
    let mut out = String::new();
    let mut after_code = false;
    for part in lower.split(['-', '_', ':', ' ']) {
        let bits = part.strip_suffix("bit").is_some_and(is_number);
        let code =
            part.strip_prefix("iq").or_else(|| part.strip_prefix('q')).is_some_and(is_number);
        let rest = after_code && (is_number(part) || ["k", "m", "s", "l", "xs"].contains(&part));
        after_code = code || rest;
        if !(bits || code || rest || SAID_ANYWAY.contains(&part)) {
            out.extend(part.chars().filter(|c| c.is_alphanumeric()));
        }
    }
    out
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Facts that were found out before: a table.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Models of this machine by all names that may be asked for, with why each cannot be run, if so.
    pub local: BTreeMap<String, Result<Local, String>>,
    /// Why remotes do not answer.
    pub down: BTreeMap<String, String>,
    /// Models of remotes.
    pub models: BTreeMap<String, Vec<String>>,
}

impl Facts for Known {
    fn local(&self, name: &str) -> Result<Local, String> {
        self.local
            .get(name)
            .cloned()
            .unwrap_or_else(|| Err(format!("`{name}` is not on this machine")))
    }

    fn down(&self, remote: &str) -> Option<String> {
        self.down.get(remote).cloned()
    }

    fn models(&self, remote: &str) -> Option<Vec<String>> {
        self.models.get(remote).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    fn config(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("folio.toml");
        std::fs::write(&file, text).unwrap();
        Config::load(&Sources { file: Some(file), ..Sources::default() }).unwrap()
    }

    const ROUTES: &str = "
        [[models]]
        name = 'org/b'
        aliases = ['bee']
        [routes]
        code = ['org/a', 'org/b', 'box:c']
        [routes.long_context]
        models = 'org/long'
        above = 1000
        [routes.vision]
        models = ['org/b', 'org/eyes']
        temperature = 0.5
        [remotes.box]
        kind = 'openai'
        url = 'http://h'
    ";

    fn here(name: &str, context: u64, sees: bool) -> (String, Result<Local, String>) {
        let local = Local {
            name: name.to_owned(),
            context: Some(context),
            sees: Some(sees),
            no_room: None,
        };
        (name.to_owned(), Ok(local))
    }

    fn known() -> Known {
        let local = [
            here("org/b", 2000, false),
            here("org/long", 9000, false),
            here("org/eyes", 4000, true),
        ];
        let models = [("box".to_owned(), vec!["c".to_owned()])];
        Known { local: local.into(), down: BTreeMap::new(), models: models.into() }
    }

    fn wish(asked: &str) -> Wish {
        Wish { asked: asked.to_owned(), ..Wish::default() }
    }

    fn order(choice: &Choice) -> Vec<String> {
        choice.left.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_first_that_can_answers_and_says_who_could_not() {
        let (config, known) = (config(ROUTES), known());
        let mut choice = route(&config, &wish("code"), &known).unwrap();
        assert_eq!(order(&choice), ["org/b", "box:c"]);
        let receipt = choice.receipt().unwrap();
        assert_eq!(receipt.header(), "org/b; task=code; passed=org/a:not_here");
        assert_eq!(receipt.json()["passed"][0]["reason"], "`org/a` is not on this machine");
        assert!(receipt.is_fallback() && choice.has_next());
        choice.pass(Why::Failed { reason: "it broke".to_owned() });
        assert_eq!(
            choice.receipt().unwrap().header(),
            "box:c; task=code; passed=org/a:not_here,org/b:failed"
        );
        assert_eq!(choice.receipt().unwrap().json()["remote"], "box");
        choice.pass(Why::Down { reason: "no answer".to_owned() });
        assert_eq!((choice.receipt(), choice.current()), (None, None));
        let nobody = choice.nobody();
        assert_eq!(nobody.kind(), Kind::Overloaded);
        assert!(nobody.to_string().ends_with("org/b: it broke; box:c: no answer"), "{nobody}");
    }

    #[test]
    fn a_strict_request_takes_nobody_else() {
        let (config, known) = (config(ROUTES), known());
        let strict = Wish { strict: true, ..wish("code") };
        let error = route(&config, &strict, &known).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        let NoRoute::Nobody { passed, strict: true, .. } = error else { panic!("{error}") };
        assert_eq!(passed.len(), 1);
        let strict = Wish { strict: true, ..wish("bee") };
        assert_eq!(order(&route(&config, &strict, &known).unwrap()), ["org/b"]);
        let mut closed = config;
        closed.fallback.allow = false;
        assert!(route(&closed, &wish("code"), &known).is_err());
        assert_eq!(order(&route(&closed, &wish("vision"), &known).unwrap()), ["org/b"]);
    }

    #[test]
    fn length_images_room_and_health_decide() {
        let (config, mut known) = (config(ROUTES), known());
        let of = |wish: &Wish, known: &Known| route(&config, wish, known).map(|c| order(&c));
        let seen = Wish { images: true, ..wish("vision") };
        assert_eq!(of(&seen, &known).unwrap(), ["org/eyes"]);
        assert_eq!(route(&config, &seen, &known).unwrap().sampling.temperature, Some(0.5));
        // A task with a long input goes to the route for long inputs, a model only if it does not take it.
        let long = |asked, tokens| Wish { tokens: Some(tokens), ..wish(asked) };
        assert_eq!(of(&long("code", 1000), &known).unwrap()[0], "org/b");
        assert_eq!(of(&long("code", 1001), &known).unwrap(), ["org/long"]);
        let receipt = route(&config, &long("code", 1001), &known).unwrap().receipt().unwrap();
        assert!(receipt.header().contains("org/b:long_input"), "{}", receipt.header());
        assert_eq!(of(&long("org/b", 1500), &known).unwrap(), ["org/b"]);
        assert_eq!(of(&long("org/b", 2001), &known).unwrap(), ["org/long"]);
        let too_long = of(&long("org/b", 9001), &known).unwrap_err();
        assert_eq!(too_long.kind(), Kind::Invalid);
        assert!(too_long.to_string().contains("9001 tokens, and it takes at most 9000"));
        let strict = Wish { strict: true, ..long("org/b", 2001) };
        assert_eq!(of(&strict, &known).unwrap_err().kind(), Kind::Invalid);
        known.down.insert("box".to_owned(), "resting".to_owned());
        assert_eq!(of(&wish("code"), &known).unwrap(), ["org/b"]);
        assert_eq!(of(&wish("box:c"), &known).unwrap_err().kind(), Kind::Overloaded);
        known.down.clear();
        assert_eq!(of(&wish("box:d"), &known).unwrap_err().kind(), Kind::NotFound);
        if let Some(Ok(local)) = known.local.get_mut("org/b") {
            local.no_room = Some("it needs more".to_owned());
        }
        assert_eq!(of(&wish("code"), &known).unwrap(), ["box:c"]);
    }

    #[test]
    fn ollama_answers_for_a_model_that_is_not_here() {
        let mut known = known();
        known.models.insert("ollama".to_owned(), vec!["qwen2.5:7b-instruct-q4_K_M".to_owned()]);
        let plain = Config::default();
        let choice =
            route(&plain, &wish("mlx-community/Qwen2.5-7B-Instruct-4bit"), &known).unwrap();
        assert_eq!(order(&choice), ["ollama:qwen2.5:7b-instruct-q4_K_M"]);
        assert!(choice.receipt().unwrap().is_fallback());
        assert!(route(&plain, &wish("mlx-community/Qwen2.5-14B-Instruct-4bit"), &known).is_err());
        assert_eq!(order(&route(&plain, &wish("org/b"), &known).unwrap()), ["org/b"]);
        known.down.insert("ollama".to_owned(), "not running".to_owned());
        assert!(route(&plain, &wish("mlx-community/Qwen2.5-7B-Instruct-4bit"), &known).is_err());
        let error = route(&plain, &wish("vision"), &known).unwrap_err();
        assert!(matches!(error, NoRoute::Unknown { .. }));
    }

    #[test]
    fn names_of_one_model_in_two_ways() {
        for (hub, ollama) in [
            ("mlx-community/Qwen2.5-VL-3B-Instruct-4bit", "qwen2.5vl:3b"),
            ("mlx-community/Llama-3.2-3B-Instruct-4bit", "llama3.2:3b"),
            ("BAAI/bge-m3", "bge-m3:latest"),
            ("mlx-community/gemma-3-4b-it-8bit", "gemma3:4b-it-q8_0"),
        ] {
            assert!(is_same_model(hub, ollama), "{hub} {ollama}");
        }
        for (hub, ollama) in [
            ("mlx-community/Qwen2.5-7B-Instruct-4bit", "qwen2.5:14b"),
            ("mlx-community/Qwen2.5-VL-3B-Instruct-4bit", "qwen2.5:3b"),
            ("org/instruct-4bit", "latest"),
        ] {
            assert!(!is_same_model(hub, ollama), "{hub} {ollama}");
        }
    }
}
