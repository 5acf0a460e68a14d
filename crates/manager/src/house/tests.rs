//! A house with a model in it that panics.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::Kind;
use crate::runtime::fault::inject;
use crate::runtime::{GenerateOptions, Prompt};
use kernels::CpuOptions;

/// A house with two copies of a tiny model.
fn furnished(folder: &Path) -> Arc<House> {
    let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models/llama");
    for name in ["fragile", "steady"] {
        let copy = folder.join(name);
        std::fs::create_dir(&copy).unwrap();
        for file in std::fs::read_dir(&fixture).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
    }
    let nowhere = OsString::from("/nowhere");
    let vars = [("FOLIO_MODELS", folder.into()), ("HF_HOME", nowhere.clone()), ("HOME", nowhere)];
    let vars = vars.map(|(name, value)| (OsString::from(name), value));
    let cpu = CpuOptions { threads: Some(1), ..CpuOptions::default() };
    let runtime = Arc::new(Runtime::start(cpu).unwrap());
    let options = HouseOptions { memory: Some(4 << 30), ..HouseOptions::default() };
    House::open(runtime, Environment::from_vars(vars), options)
}

fn ask(model: &str, tokens: usize) -> Ask {
    Ask {
        model: model.to_owned(),
        prompt: Prompt::Tokens(vec![5, 6, 7]),
        options: GenerateOptions {
            max_tokens: Some(tokens),
            ignore_eos: true,
            ..GenerateOptions::default()
        },
        strict: false,
    }
}

async fn whole(house: &Arc<House>, ask: Ask) -> Result<usize, Error> {
    let mut answer = house.answer(ask).await?;
    while answer.next().await?.is_some() {}
    Ok(answer.usage().completion_tokens)
}

#[tokio::test]
async fn a_model_that_panics_goes_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let house = furnished(folder.path());
    let other = tokio::spawn({
        let house = Arc::clone(&house);
        async move { whole(&house, ask("steady", 60)).await }
    });
    assert_eq!(whole(&house, ask("fragile", 4)).await.unwrap(), 4);
    inject("fragile", 1);
    let error = whole(&house, ask("fragile", 4)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert!(error.to_string().contains("a test wants it"), "{error}");
    assert_eq!(other.await.unwrap().unwrap(), 60);
    // It is gone, and its bytes are back.
    house.until(|rooms| !rooms.residents.contains_key("fragile")).await;
    house.until(|rooms| rooms.residency.ledger().of_owner("fragile") == 0).await;
    assert_eq!(house.unloads().get("broken"), Some(&1));
    assert!(house.account().owners.contains_key("steady"));
    // Whoever asks next has it anew; after some panics in a row, nobody has.
    assert_eq!(whole(&house, ask("fragile", 4)).await.unwrap(), 4);
    inject("fragile", 100);
    for _ in 0..3 {
        let error = whole(&house, ask("fragile", 4)).await.unwrap_err();
        assert!(error.to_string().contains("a test wants it"), "{error}");
    }
    let error = whole(&house, ask("fragile", 4)).await.unwrap_err();
    assert!(matches!(&error, Error::Broken { times: 3, .. }), "{error}");
    assert!(error.to_string().contains("a test wants it") && error.hint().is_some(), "{error}");
    assert_eq!(error.kind(), Kind::Internal);
    assert_eq!(house.unloads().get("broken"), Some(&4));
    assert_eq!(whole(&house, ask("steady", 4)).await.unwrap(), 4);
}
