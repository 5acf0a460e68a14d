//! A server over the tiny models of the repository.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use manager::config::{Config, Sources};
use manager::house::{House, HouseOptions};
use manager::runtime::Runtime;
use manager::{CpuOptions, Environment, WeightLayout};
use serde_json::Value;
use server::{Limits, Options, router};
use tower::ServiceExt as _;

/// Where the tiny models are.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models").canonicalize().unwrap()
}

pub(crate) fn open(models: &[&str]) -> Arc<House> {
    open_in(&fixtures(), models)
}

/// A server over one tiny model with positions enough for descriptions of tools, and the folder that it lies in.
pub(crate) fn roomy() -> (Router, tempfile::TempDir) {
    let folder = roomy_folder(4096);
    (router(open_in(folder.path(), &[]), Options::default()), folder)
}

/// A folder with one tiny model in it that has so many positions.
pub(crate) fn roomy_folder(positions: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("qwen3");
    std::fs::create_dir(&model).unwrap();
    for file in std::fs::read_dir(fixtures().join("qwen3")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), model.join(file.file_name())).unwrap();
    }
    let config = model.join("config.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    json["max_position_embeddings"] = positions.into();
    std::fs::write(&config, json.to_string()).unwrap();
    folder
}

/// A house that is kept as a file says.
pub(crate) fn settled(toml: &str) -> Arc<House> {
    furnished(&fixtures(), options(toml), CpuOptions::default())
}

/// The same, with weights that are laid out once and for all.
pub(crate) fn steady(toml: &str) -> Arc<House> {
    let weights = WeightLayout::Panels;
    furnished(&fixtures(), options(toml), CpuOptions { weights, ..CpuOptions::default() })
}

fn options(toml: &str) -> HouseOptions {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("folio.toml");
    std::fs::write(&file, toml).unwrap();
    let config = Config::load(&Sources { file: Some(file), ..Sources::default() }).unwrap();
    HouseOptions { config, ..HouseOptions::default() }
}

pub(crate) fn open_in(folder: &Path, models: &[&str]) -> Arc<House> {
    let models = models.iter().map(|&name| name.to_owned()).collect();
    furnished(folder, HouseOptions { models, ..HouseOptions::default() }, CpuOptions::default())
}

fn furnished(folder: &Path, options: HouseOptions, cpu: CpuOptions) -> Arc<House> {
    let cpu = CpuOptions { threads: Some(1), ..cpu };
    let nowhere = OsString::from("/nowhere");
    let vars = [
        ("FOLIO_MODELS", folder.as_os_str().to_owned()),
        ("HF_HOME", nowhere.clone()),
        ("HOME", nowhere),
    ];
    let environment =
        Environment::from_vars(vars.map(|(name, value)| (OsString::from(name), value)));
    let options = HouseOptions { memory: Some(4 << 30), ..options };
    House::open(Arc::new(Runtime::start(cpu).unwrap()), environment, options)
}

/// A server that offers every tiny model.
pub(crate) fn server() -> Router {
    router(open(&[]), Options::default())
}

/// The same, with a small limit on requests.
pub(crate) fn narrow(body: usize) -> Router {
    router(
        open(&[]),
        Options { limits: Limits { body, ..Limits::default() }, ..Options::default() },
    )
}

/// What comes back: the status, the headers' names and values, and the body.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The data of every event, parsed, without the last `[DONE]`, which must be there.
    pub(crate) fn events(&self) -> Vec<Value> {
        let mut data: Vec<&str> =
            self.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(data.pop(), Some("[DONE]"), "{}", self.body);
        data.into_iter().map(|data| serde_json::from_str(data).unwrap()).collect()
    }
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Reply {
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    Reply { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

pub(crate) async fn post(router: &Router, path: &str, body: &Value) -> Reply {
    let request = Request::post(path).header("content-type", "application/json");
    send(router, request.body(Body::from(body.to_string())).unwrap()).await
}

pub(crate) async fn get(router: &Router, path: &str) -> Reply {
    send(router, Request::get(path).body(Body::empty()).unwrap()).await
}
