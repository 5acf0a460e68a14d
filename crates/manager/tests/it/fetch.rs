//! Pulling from a hub that cuts, lies, redirects and stalls.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use manager::catalog::{Catalog, ModelName};
use manager::fetch::{Hub, Observer, Patience, Progress, Pulled, Selection};
use manager::{AnswerFault, Environment, Error, Kind};

use testkit::hub::{COMMIT, Fault, HubServer};

struct Setup {
    server: HubServer,
    home: tempfile::TempDir,
    environment: Environment,
    events: Arc<Mutex<Vec<Progress>>>,
}

impl Setup {
    /// A hub with a model of two shards, and files that inference does not need.
    fn new() -> Self {
        let server = HubServer::start();
        let index = r#"{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}"#;
        server.put("config.json", br#"{"model_type":"llama"}"#, false);
        server.put("model.safetensors.index.json", index.as_bytes(), false);
        server.put("model-00001-of-00002.safetensors", &content(300_000, 1), true);
        server.put("model-00002-of-00002.safetensors", &content(5_000, 2), true);
        server.put("1_Pooling/config.json", b"{}", false);
        server.put("empty.txt", b"", false);
        server.put("pytorch_model.bin", b"pickle", true);
        let home = tempfile::tempdir().unwrap();
        let environment = environment(&server, home.path(), &[]);
        Self { server, home, environment, events: Arc::default() }
    }

    async fn pull(&self) -> Result<Pulled, Error> {
        self.pull_as("org/tiny", quick()).await
    }

    async fn pull_as(&self, name: &str, patience: Patience) -> Result<Pulled, Error> {
        let hub = Hub::new(&self.environment, patience).unwrap();
        let name: ModelName = name.parse().unwrap();
        hub.pull(&name, Selection::Inference, self.observer()).await
    }

    fn observer(&self) -> Observer {
        let events = Arc::clone(&self.events);
        Arc::new(move |event| events.lock().unwrap().push(event))
    }

    fn blobs(&self) -> std::path::PathBuf {
        self.home.path().join("hub/models--org--tiny/blobs")
    }

    fn assert_whole(&self, pulled: &Pulled) {
        for (name, remote) in self.server.with(|s| s.files.clone()) {
            let path = pulled.path.join(&name);
            if name == "pytorch_model.bin" {
                assert!(!path.exists());
                continue;
            }
            assert_eq!(fs::read(&path).unwrap(), remote.content, "{name}");
            let link = fs::read_link(&path).unwrap();
            assert!(link.is_relative() && link.ends_with(remote.identity()), "{}", link.display());
        }
        let reference = self.home.path().join("hub/models--org--tiny/refs/main");
        assert_eq!(fs::read_to_string(reference).unwrap(), pulled.commit);
        let left: Vec<_> =
            fs::read_dir(self.blobs()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().contains("incomplete")), "{left:?}");
        let catalog = Catalog::scan(&self.environment);
        assert!(catalog.find("tiny").unwrap().is_usable());
    }
}

fn environment(server: &HubServer, home: &Path, more: &[(&str, &str)]) -> Environment {
    let home = home.to_str().unwrap();
    let vars = [("HOME", home), ("HF_HOME", home), ("HF_ENDPOINT", &server.address)];
    Environment::from_vars(vars.iter().chain(more).map(|(k, v)| (k.into(), v.into())))
}

fn quick() -> Patience {
    Patience {
        idle: Duration::from_millis(500),
        first_pause: Duration::from_millis(1),
        attempts: 3,
        ..Patience::default()
    }
}

fn content(size: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..size).map(next).collect()
}

const FIRST: &str = "model-00001-of-00002.safetensors";

#[tokio::test]
async fn a_model_is_pulled_once() {
    let setup = Setup::new();
    let pulled = setup.pull().await.unwrap();
    assert_eq!((pulled.commit.as_str(), pulled.files), (COMMIT, 6));
    setup.assert_whole(&pulled);
    let before = setup.server.requests().len();
    let again = setup.pull().await.unwrap();
    assert_eq!(again, pulled);
    assert_eq!(setup.server.requests().len(), before + 1, "only the list is asked for again");
    let events = setup.events.lock().unwrap();
    assert!(events.iter().any(|e| matches!(e, Progress::Listed { present: 0, files: 6, .. })));
    assert!(
        events
            .iter()
            .any(|e| matches!(e, Progress::Listed { present, bytes, .. } if present == bytes))
    );
    assert!(events.iter().any(
        |e| matches!(e, Progress::Moved { file, done: 300_000, total: 300_000 } if file == FIRST)
    ));
}

#[tokio::test]
async fn cuts_and_refusals_are_repeated_from_where_they_stopped() {
    let setup = Setup::new();
    let cuts = [
        Fault::CutAfter(100_000),
        Fault::Status(500, ""),
        Fault::CutAfter(50_000),
        Fault::Status(503, ""),
        Fault::CutAfter(1000),
    ];
    setup.server.fail(FIRST, &cuts);
    setup.server.fail("", &[Fault::Status(502, ""), Fault::Status(429, "retry-after: 0\r\n")]);
    let pulled = setup.pull().await.unwrap();
    setup.assert_whole(&pulled);
    let ranges = setup.server.ranges(FIRST);
    assert_eq!(ranges.len(), 6);
    assert!(ranges.is_sorted() && ranges[1] > 0, "{ranges:?}");
}

#[tokio::test]
async fn a_server_without_ranges_is_read_from_the_start() {
    let setup = Setup::new();
    setup.server.fail(FIRST, &[Fault::CutAfter(100_000), Fault::NoRange]);
    setup.assert_whole(&setup.pull().await.unwrap());
}

#[tokio::test]
async fn what_an_interrupted_pull_left_is_verified_and_resumed() {
    let setup = Setup::new();
    let (good, name) =
        setup.server.with(|s| (s.files[FIRST].content.clone(), s.files[FIRST].identity()));
    let part = setup.blobs().join(format!("{name}.incomplete"));
    fs::create_dir_all(setup.blobs()).unwrap();
    fs::write(&part, &good[..200_000]).unwrap();
    let found = Catalog::scan(&setup.environment).find("org/tiny").unwrap().usable().unwrap_err();
    assert!(found.to_string().contains("a download stopped after 200.0 kB"), "{found}");
    setup.assert_whole(&setup.pull().await.unwrap());
    assert_eq!(setup.server.ranges(FIRST), [200_000]);
}

#[tokio::test]
async fn a_damaged_part_is_fetched_anew() {
    for damage in [content(200_000, 9), content(300_000, 9), content(400_000, 9)] {
        let setup = Setup::new();
        let name = setup.server.with(|s| s.files[FIRST].identity());
        fs::create_dir_all(setup.blobs()).unwrap();
        fs::write(setup.blobs().join(format!("{name}.incomplete")), &damage).unwrap();
        setup.assert_whole(&setup.pull().await.unwrap());
        assert_eq!(setup.server.ranges(FIRST).last(), Some(&0));
    }
}

#[tokio::test]
async fn a_wrong_hash_leaves_nothing_that_looks_whole() {
    let setup = Setup::new();
    setup.server.fail(FIRST, &[Fault::Damaged, Fault::Damaged]);
    let error = setup.pull().await.unwrap_err();
    assert!(matches!(&error, Error::WrongHash { file, .. } if file == FIRST), "{error:?}");
    assert!(!setup.home.path().join("hub/models--org--tiny/refs").exists());
    assert!(!setup.home.path().join("hub/models--org--tiny/snapshots").join(COMMIT).exists());
    let name = setup.server.with(|s| s.files[FIRST].identity());
    assert!(
        !setup.blobs().join(&name).exists()
            && !setup.blobs().join(format!("{name}.incomplete")).exists()
    );
    assert!(!Catalog::scan(&setup.environment).entries()[0].is_usable());
    setup.assert_whole(&setup.pull().await.unwrap());
}

#[tokio::test]
async fn small_files_are_verified_too() {
    let setup = Setup::new();
    setup.server.fail("config.json", &[Fault::Damaged, Fault::Damaged]);
    assert!(
        matches!(setup.pull().await, Err(Error::WrongHash { file, .. }) if file == "config.json")
    );
}

#[tokio::test]
async fn the_token_goes_to_the_hub_alone() {
    let mut setup = Setup::new();
    let storage = HubServer::start();
    for (name, remote) in setup.server.with(|s| s.files.clone()) {
        storage.put(&name, &remote.content, remote.large);
    }
    setup.server.with(|s| s.storage = Some(storage.address.clone()));
    setup.environment = environment(&setup.server, setup.home.path(), &[]);
    fs::write(setup.home.path().join("token"), "hf_secret\n").unwrap();
    storage.fail(FIRST, &[Fault::CutAfter(10_000), Fault::Status(403, "")]);
    setup.assert_whole(&setup.pull().await.unwrap());
    assert!(
        setup
            .server
            .requests()
            .iter()
            .all(|r| r.authorization.as_deref() == Some("Bearer hf_secret"))
    );
    assert!(storage.requests().len() >= 3);
    assert!(storage.requests().iter().all(|r| r.authorization.is_none()));
}

#[tokio::test]
async fn a_mirror_that_tells_only_names_is_asked_for_each() {
    let setup = Setup::new();
    let storage = HubServer::start();
    for (name, remote) in setup.server.with(|s| s.files.clone()) {
        storage.put(&name, &remote.content, remote.large);
    }
    setup.server.with(|s| (s.bare, s.storage) = (true, Some(storage.address.clone())));
    setup.assert_whole(&setup.pull().await.unwrap());
    assert!(storage.requests().iter().all(|r| r.method == "GET"));
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let cases = [
        (
            "",
            Fault::Status(401, "x-error-code: GatedRepo\r\n"),
            Kind::NotFound,
            "accept the licence",
        ),
        (FIRST, Fault::Status(403, "x-error-code: GatedRepo\r\n"), Kind::NotFound, "HF_TOKEN"),
        ("", Fault::Status(401, ""), Kind::NotFound, "a private model needs HF_TOKEN"),
        ("", Fault::Status(404, "x-error-code: RepoNotFound\r\n"), Kind::NotFound, "spelling"),
        ("", Fault::Status(404, "x-error-code: RevisionNotFound\r\n"), Kind::NotFound, "revision"),
        ("", Fault::Page, Kind::Internal, "log in"),
        ("config.json", Fault::Page, Kind::Internal, "log in"),
        ("", Fault::Status(429, "retry-after: 3600\r\n"), Kind::Overloaded, "wait"),
        ("", Fault::Status(302, "location: ftp://x/\r\n"), Kind::Internal, "HF_ENDPOINT"),
    ];
    for (file, fault, kind, hint) in cases {
        let setup = Setup::new();
        setup.server.fail(file, std::slice::from_ref(&fault));
        let error = setup.pull().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{fault:?}: {error}");
        assert!(error.hint().unwrap().contains(hint), "{fault:?}: {error}: {:?}", error.hint());
    }
}

#[tokio::test]
async fn hostile_answers_end_in_errors() {
    let setup = Setup::new();
    setup.server.with(|s| {
        s.list =
            Some(format!(r#"{{"sha":"{COMMIT}","siblings":[{{"rfilename":"../../evil.json"}}]}}"#));
    });
    assert!(matches!(setup.pull().await, Err(Error::HostileFileName { .. })));
    let huge = format!(
        r#"{{"sha":"{COMMIT}","siblings":[{{"rfilename":"a.safetensors","size":{},"blobId":"{}"}}]}}"#,
        u64::MAX,
        "a".repeat(40)
    );
    setup.server.with(|s| s.list = Some(huge));
    let error = setup.pull().await.unwrap_err();
    assert!(matches!(error, Error::DiskFull { needed: u64::MAX, .. }), "{error:?}");
    setup.server.with(|s| s.list = None);

    setup.server.fail("", &[Fault::EndlessList]);
    let patient = Patience { idle: Duration::from_secs(20), ..quick() };
    let error = setup.pull_as("org/tiny", patient).await.unwrap_err();
    assert!(
        matches!(error, Error::BadAnswer { fault: AnswerFault::TooLarge { .. }, .. }),
        "{error:?}"
    );
    setup.server.fail("", &[Fault::HeaderBomb, Fault::HeaderBomb, Fault::HeaderBomb]);
    assert!(matches!(setup.pull().await, Err(Error::Unreachable { attempts: 3, .. })));
    setup.server.fail(FIRST, &[Fault::CutAfter(100_000), Fault::WrongRange]);
    let error = setup.pull().await.unwrap_err();
    assert!(matches!(error, Error::BadAnswer { fault: AnswerFault::WrongRange, .. }), "{error:?}");
    fs::remove_dir_all(setup.blobs()).unwrap();
    setup.server.fail("config.json", &[Fault::TooLong]);
    assert!(matches!(setup.pull().await, Err(Error::WrongSize { found: 26, expected: 22, .. })));
    assert!(!setup.home.path().join("evil.json").exists());
}

#[tokio::test]
async fn silence_is_an_error_and_a_slow_drip_is_not() {
    let setup = Setup::new();
    let silence = Fault::Silence(Duration::from_millis(300));
    setup.server.fail("", &[silence.clone(), silence.clone(), silence]);
    let hurried = Patience { idle: Duration::from_millis(50), ..quick() };
    assert!(matches!(
        setup.pull_as("org/tiny", hurried).await,
        Err(Error::Stalled { attempts: 3, .. })
    ));
    setup
        .server
        .fail("model-00002-of-00002.safetensors", &[Fault::Drip(500, Duration::from_millis(80))]);
    setup.assert_whole(&setup.pull().await.unwrap());
    assert_eq!(setup.server.ranges("model-00002-of-00002.safetensors"), [0]);
}

#[tokio::test]
async fn a_dropped_pull_is_resumed() {
    let setup = Setup::new();
    setup.server.fail(FIRST, &[Fault::Drip(20_000, Duration::from_millis(30))]);
    let cut = tokio::time::timeout(Duration::from_millis(200), setup.pull()).await;
    assert!(cut.is_err());
    assert!(!setup.home.path().join("hub/models--org--tiny/refs").exists());
    setup.assert_whole(&setup.pull().await.unwrap());
    let ranges = setup.server.ranges(FIRST);
    assert!(ranges.len() == 2 && ranges[1] > 0, "{ranges:?}");
}

#[tokio::test]
async fn two_pulls_at_once_share_the_work() {
    let setup = Setup::new();
    setup.server.fail(FIRST, &[Fault::Drip(50_000, Duration::from_millis(20))]);
    let (a, b) = tokio::join!(setup.pull(), setup.pull());
    assert_eq!(a.unwrap(), b.unwrap());
    assert_eq!(setup.server.ranges(FIRST), [0]);
    assert!(setup.events.lock().unwrap().iter().any(|e| matches!(e, Progress::Waiting { .. })));
}

#[tokio::test]
async fn a_new_commit_shares_blobs_with_the_old() {
    let setup = Setup::new();
    let first = setup.pull().await.unwrap();
    let commit = "f".repeat(40);
    setup.server.with(|s| s.commit = Some(commit.clone()));
    setup.server.put("config.json", br#"{"model_type":"qwen3"}"#, false);
    let second = setup.pull().await.unwrap();
    assert_eq!(second.commit, commit);
    assert_eq!(setup.server.ranges(FIRST), [0]);
    setup.assert_whole(&second);
    assert!(first.path.join("config.json").exists());
}

#[tokio::test]
async fn offline_asks_nobody() {
    let mut setup = Setup::new();
    setup.environment = environment(&setup.server, setup.home.path(), &[("HF_HUB_OFFLINE", "1")]);
    let error = setup.pull().await.unwrap_err();
    assert!(matches!(error, Error::Offline { .. }) && setup.server.requests().is_empty());
}

#[tokio::test]
async fn proxies_are_gone_through_unless_excepted() {
    let mut setup = Setup::new();
    let proxy = HubServer::start();
    let through = [("http_proxy", proxy.address.as_str())];
    setup.environment = environment(&setup.server, setup.home.path(), &through);
    assert!(setup.pull().await.is_err());
    assert!(proxy.requests()[0].path.starts_with(&setup.server.address), "{:?}", proxy.requests());
    let except = [("http_proxy", proxy.address.as_str()), ("NO_PROXY", "127.0.0.1")];
    setup.environment = environment(&setup.server, setup.home.path(), &except);
    setup.assert_whole(&setup.pull().await.unwrap());
}
