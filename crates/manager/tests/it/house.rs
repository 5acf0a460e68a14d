//! Models that come and go, under a limit.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use manager::house::{Ask, Error, House, HouseOptions, ModelState, News};
use manager::residency::{Policy, Refusal};
use manager::runtime::{GenerateOptions, LoadOptions, Prompt, Runtime};
use manager::{CpuOptions, Environment, Kind};

fn open(options: HouseOptions) -> Arc<House> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models");
    let models = models.canonicalize().unwrap();
    let nowhere = OsString::from("/nowhere");
    let vars = [("FOLIO_MODELS", models.into()), ("HF_HOME", nowhere.clone()), ("HOME", nowhere)];
    let vars = vars.map(|(name, value)| (OsString::from(name), value));
    let cpu = CpuOptions { threads: Some(1), ..CpuOptions::default() };
    let runtime = Arc::new(Runtime::start(cpu).unwrap());
    House::open(runtime, Environment::from_vars(vars), options)
}

/// A house with room for one model.
fn narrow(options: HouseOptions) -> Arc<House> {
    let policy = Policy { most_loaded: 1, ..Policy::default() };
    open(HouseOptions { memory: Some(4 << 30), policy, ..options })
}

async fn loaded(house: &Arc<House>) -> Vec<String> {
    let models = house.models().await.unwrap().into_iter();
    let loaded = models.filter(|model| matches!(model.state, ModelState::Loaded { .. }));
    loaded.map(|model| model.name).collect()
}

#[tokio::test]
async fn one_goes_for_another() {
    let house = narrow(HouseOptions::default());
    drop(house.lease("llama").await.unwrap());
    assert_eq!(loaded(&house).await, ["llama"]);
    drop(house.lease("qwen3").await.unwrap());
    assert_eq!(loaded(&house).await, ["qwen3"]);
    drop(house.lease("bert").await.unwrap());
    assert_eq!(loaded(&house).await, ["bert"]);
    assert!(house.unload("bert").await.unwrap());
    assert!(!house.unload("bert").await.unwrap());
    assert_eq!(loaded(&house).await, [""; 0]);
}

#[tokio::test]
async fn what_is_in_use_stays_and_others_wait_for_it() {
    let house = narrow(HouseOptions::default());
    let lease = house.lease("llama").await.unwrap();
    let waiting = tokio::spawn({
        let house = Arc::clone(&house);
        async move { house.lease("qwen3").await.map(|lease| lease.name().to_owned()) }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!waiting.is_finished());
    assert_eq!(loaded(&house).await, ["llama"]);
    drop(lease);
    assert_eq!(waiting.await.unwrap().unwrap(), "qwen3");
}

#[tokio::test]
async fn who_waits_for_too_long_is_told_for_whom() {
    let wait = Some(Duration::from_millis(30));
    let house = narrow(HouseOptions { wait, ..HouseOptions::default() });
    let _lease = house.lease("llama").await.unwrap();
    let error = house.lease("qwen3").await.unwrap_err();
    assert!(
        matches!(&error, Error::NoRoom(Refusal::TimedOut { busy, .. }) if busy == &["llama"]),
        "{error}"
    );
    assert_eq!(error.kind(), Kind::Overloaded);
}

#[tokio::test]
async fn a_pinned_model_is_not_sent_away() {
    let house =
        narrow(HouseOptions { pinned: vec!["llama".to_owned()], ..HouseOptions::default() });
    drop(house.lease("llama").await.unwrap());
    let error = house.lease("qwen3").await.unwrap_err();
    assert!(matches!(error, Error::NoRoom(Refusal::NoPlace { .. })), "{error}");
    assert_eq!(loaded(&house).await, ["llama"]);
}

#[tokio::test]
async fn what_cannot_fit_is_refused_with_both_numbers() {
    let house = open(HouseOptions { memory: Some(1 << 20), ..HouseOptions::default() });
    let error = house.lease("llama").await.unwrap_err();
    assert!(matches!(error, Error::NoRoom(Refusal::TooLarge { .. })), "{error}");
    assert!(
        error.to_string().contains("needs") && error.hint().unwrap().contains("--memory"),
        "{error}"
    );
}

/// Models whose caches would take all there is, and need next to nothing of it.
#[tokio::test]
async fn models_that_fit_with_small_caches_all_stay() {
    let load = LoadOptions { sequences: 1 << 20, ..LoadOptions::default() };
    let house = open(HouseOptions { memory: Some(2 << 30), load, ..HouseOptions::default() });
    let (limit, mut held) = (house.account().limit, Vec::new());
    for (model, answers) in [("llama", true), ("qwen3", false), ("mistral", true)] {
        let lease = house.lease(model).await.unwrap();
        if answers {
            let options = GenerateOptions { max_tokens: Some(8), ..GenerateOptions::default() };
            let prompt = Prompt::Tokens(vec![5, 6, 7]);
            let mut generation = lease.model().generate_async(&prompt, &options).await.unwrap();
            while generation.next_piece_async().await.unwrap().is_some() {}
        }
        assert!(house.account().reserved <= limit);
        // One is in use all the time; it cannot lose what it has written.
        held.extend((model == "qwen3").then_some(lease));
    }
    let mut names = loaded(&house).await;
    names.sort();
    assert_eq!(names, ["llama", "mistral", "qwen3"]);
    let caches = house.models().await.unwrap().into_iter();
    let caches = caches.filter_map(|model| Some(model.memory?.grant?.cache));
    assert!(caches.sum::<u64>() > limit / 2, "what is left is not left unused");
    assert_eq!(house.unloads().values().sum::<u64>(), 0);
}

#[tokio::test]
async fn an_idle_model_goes_after_a_while() {
    let ttl = Some(Duration::from_millis(20));
    let house = open(HouseOptions { ttl, memory: Some(4 << 30), ..HouseOptions::default() });
    let lease = house.lease("llama").await.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(loaded(&house).await, ["llama"]);
    drop(lease);
    while !loaded(&house).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn many_who_ask_at_once_are_all_answered() {
    let house = narrow(HouseOptions::default());
    let ask = |model: &str, seed| Ask {
        model: model.to_owned(),
        prompt: Prompt::Tokens(vec![5, 6, 7]),
        options: GenerateOptions {
            max_tokens: Some(8),
            seed: Some(seed),
            ..GenerateOptions::default()
        },
        strict: false,
    };
    let asked = (0..24).map(|n| {
        let (house, ask) =
            (Arc::clone(&house), ask(["llama", "qwen3", "mistral"][n % 3], n as u64));
        tokio::spawn(async move {
            let mut answer = house.answer(ask).await.unwrap();
            let mut ends = 0;
            while let Some(news) = answer.next().await.unwrap() {
                ends += usize::from(matches!(news, News::End(_)));
            }
            assert_eq!((ends, answer.usage().completion_tokens), (1, 8));
        })
    });
    for task in asked.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    house.close();
    house.emptied().await;
    assert!(matches!(house.lease("llama").await.unwrap_err(), Error::Closing));
}

#[tokio::test]
async fn who_gives_up_leaves_no_trace() {
    let house = narrow(HouseOptions::default());
    let lease = house.lease("llama").await.unwrap();
    let waiting = tokio::spawn({
        let house = Arc::clone(&house);
        async move { house.lease("qwen3").await.map(drop) }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    drop(lease);
    house.emptied().await;
    // Nobody waits for the other any more, so nobody has to go.
    drop(house.lease("llama").await.unwrap());
    assert_eq!(loaded(&house).await, ["llama"]);
}
