//! Models on disk, as other programs leave them.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use manager::catalog::{Catalog, Entry, Format, Gap, Hold, Removal, Source};
use manager::{Environment, Error};

const OLD: &str = "1111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222";

struct Disk {
    home: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.home.path().join(below)
    }

    fn put(&self, below: &str, content: &str) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A file of a snapshot, as a link to a blob.
    fn link(&self, model: &str, commit: &str, file: &str, blob: &str, content: Option<&str>) {
        if let Some(content) = content {
            self.put(&format!("hub/{model}/blobs/{blob}"), content);
        }
        let path = self.path(&format!("hub/{model}/snapshots/{commit}/{file}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(format!("../../blobs/{blob}"), path).unwrap();
    }

    /// Two revisions that share their weights.
    fn two_revisions(&self) {
        let model = "models--org--pair";
        for (commit, config) in [(OLD, "c-old"), (NEW, "c-new")] {
            self.link(
                model,
                commit,
                "config.json",
                config,
                Some(&format!("{{\"model_type\":\"{config}\"}}")),
            );
            self.link(model, commit, "model.safetensors", "w", Some("12345678"));
        }
        self.put(&format!("hub/{model}/refs/main"), NEW);
        self.put(&format!("hub/{model}/refs/v1"), OLD);
        self.put(&format!("hub/{model}/refs/refs/pr/7"), OLD);
    }

    fn catalog(&self) -> Catalog {
        let home = self.home.path().to_str().unwrap();
        let vars = [("HOME", home), ("HF_HUB_CACHE", "~/hub"), ("FOLIO_MODELS", "~/mine")];
        Catalog::scan(&Environment::from_vars(vars.map(|(k, v)| (k.into(), v.into()))))
    }

    fn find(&self, name: &str) -> Entry {
        self.catalog().find(name).unwrap()
    }
}

#[test]
fn every_folder_is_looked_through() {
    let disk = Disk::new();
    disk.two_revisions();
    for folder in [
        "mine/org/flat",
        "mine/alone",
        ".lmstudio/models/maker/studio",
        ".cache/lm-studio/models/maker/older",
    ] {
        disk.put(
            &format!("{folder}/config.json"),
            r#"{"model_type":"llama","quantization":{"bits":4}}"#,
        );
        disk.put(&format!("{folder}/model.safetensors"), "1234");
    }
    disk.put(".lmstudio/models/maker/other/x.Q4_K_M.gguf", "GGUF");
    disk.put("hub/datasets--org--set/refs/main", NEW);
    let catalog = disk.catalog();
    let names: Vec<(&str, Source, Format)> =
        catalog.entries().iter().map(|e| (e.name.as_str(), e.source, e.format)).collect();
    assert_eq!(
        names,
        [
            ("alone", Source::Folder, Format::Mlx),
            ("org/flat", Source::Folder, Format::Mlx),
            ("org/pair", Source::HubCache, Format::Safetensors),
            ("org/pair@refs/pr/7", Source::HubCache, Format::Safetensors),
            ("maker/other", Source::LmStudio, Format::Gguf),
            ("maker/studio", Source::LmStudio, Format::Mlx),
            ("maker/older", Source::LmStudio, Format::Mlx),
        ]
    );
    assert!(catalog.entries().iter().all(Entry::is_complete));
    let pair: u64 =
        catalog.entries().iter().filter(|e| e.name.starts_with("org/pair")).map(|e| e.bytes).sum();
    let others: u64 =
        catalog.entries().iter().filter(|e| !e.name.starts_with("org/pair")).map(|e| e.bytes).sum();
    assert_eq!(catalog.bytes(), pair + others - 8, "shared weights are counted once");
    assert!(
        matches!(disk.find("maker/other").usable(), Err(Error::UnsupportedFormat { format, .. }) if format.ends_with("GGUF"))
    );
}

#[test]
fn names_are_resolved() {
    let disk = Disk::new();
    disk.two_revisions();
    for name in ["mine/a/Qwen3-0.6B-4bit", "mine/b/Llama", "mine/c/Llama"] {
        disk.put(&format!("{name}/config.json"), "{}");
        disk.put(&format!("{name}/model.safetensors"), "1234");
    }
    let commit = |name: &str| disk.find(name).revision.unwrap().commit;
    assert_eq!(commit("org/pair"), NEW);
    assert_eq!(commit("pair"), NEW);
    assert_eq!(commit("org/pair@main"), NEW);
    assert_eq!(commit("org/pair@v1"), OLD);
    assert_eq!(commit("pair@refs/pr/7"), OLD);
    assert_eq!(commit(&format!("org/pair@{OLD}")), OLD);
    assert_eq!(commit("org/pair@11111111"), OLD);
    assert_eq!(disk.find("qwen3-0.6b-4BIT").name, "a/Qwen3-0.6B-4bit");
    let folder = disk.path("mine/b/Llama");
    assert_eq!(disk.find(folder.to_str().unwrap()).path, folder);

    let catalog = disk.catalog();
    let error = catalog.find("Llama").unwrap_err();
    assert!(
        matches!(&error, Error::AmbiguousName { candidates, .. } if *candidates == ["b/Llama", "c/Llama"]),
        "{error:?}"
    );
    let error = catalog.find("a/Qwen3-0.6B-4bt").unwrap_err();
    assert!(
        matches!(&error, Error::ModelNotFound { suggestions, .. } if *suggestions == ["a/Qwen3-0.6B-4bit"]),
        "{error:?}"
    );
    assert!(error.hint().unwrap().contains("folio pull a/Qwen3-0.6B-4bt"));
    assert!(matches!(catalog.find("org/pair@v9"), Err(Error::ModelNotFound { .. })));
    let error = catalog.find("./no/such/thing").unwrap_err();
    assert!(
        matches!(error, Error::ModelNotFound { .. }) && !error.hint().unwrap().contains("pull")
    );
    assert!(matches!(
        catalog.find(disk.path("mine").to_str().unwrap()),
        Err(Error::NotAModel { .. })
    ));
}

#[test]
fn what_is_not_whole_is_told() {
    let disk = Disk::new();
    disk.link("models--org--broken", NEW, "config.json", "c", Some("{}"));
    disk.link("models--org--broken", NEW, "model.safetensors", "gone", None);
    disk.put("hub/models--org--broken/refs/main", NEW);
    disk.put("hub/models--org--broken/blobs/gone.incomplete", "123");
    disk.put("hub/models--org--lost/refs/main", OLD);
    disk.put("hub/models--org--begun/blobs/x.incomplete", "12345");
    fs::create_dir_all(disk.path("hub/models--org--hollow")).unwrap();
    let catalog = disk.catalog();
    let gaps = |name: &str| catalog.find(name).unwrap().gaps;
    assert_eq!(
        gaps("org/broken"),
        [Gap::BrokenLink { file: "model.safetensors".into() }, Gap::Interrupted { bytes: 3 }]
    );
    assert_eq!(
        gaps("org/lost"),
        [Gap::NoSnapshot { reference: "main".into(), commit: OLD.into() }]
    );
    assert_eq!(gaps("org/begun"), [Gap::NoWeights, Gap::Interrupted { bytes: 5 }]);
    assert_eq!(gaps("org/hollow"), [Gap::NoWeights]);
    let error = catalog.find("org/broken").unwrap().usable().unwrap_err();
    assert!(error.hint().unwrap().contains("folio pull org/broken"));
}

#[test]
fn removing_a_revision_leaves_what_others_use() {
    let disk = Disk::new();
    disk.two_revisions();
    let plan = Removal::of(&disk.find("org/pair@v1"), false).unwrap();
    let before = disk.catalog().bytes();
    let names: Vec<String> = plan
        .items()
        .iter()
        .map(|i| {
            i.path.strip_prefix(disk.path("hub/models--org--pair")).unwrap().display().to_string()
        })
        .collect();
    let snapshot = |file: &str| format!("snapshots/{OLD}/{file}");
    assert_eq!(
        names,
        [
            &snapshot("config.json"),
            &snapshot("model.safetensors"),
            "refs/refs/pr/7",
            "refs/v1",
            "blobs/c-old"
        ]
    );
    assert_eq!(disk.catalog().entries().len(), 2, "a plan changes nothing");
    assert_eq!(plan.bytes(), 22 + 40 + 40);
    plan.execute().unwrap();
    assert_eq!(disk.catalog().entries().len(), 1);
    assert_eq!(disk.catalog().bytes(), before - 22);
    assert!(disk.find("org/pair").is_usable());

    let plan = Removal::of(&disk.find("org/pair"), false).unwrap();
    plan.execute().unwrap();
    assert!(!disk.path("hub/models--org--pair").exists());
    assert!(disk.path("hub").exists());
}

#[test]
fn removing_follows_no_link_out_of_the_cache() {
    let disk = Disk::new();
    disk.two_revisions();
    disk.put("precious/file", "keep");
    symlink(
        disk.path("precious"),
        disk.path("hub/models--org--pair/snapshots").join(NEW).join("out"),
    )
    .unwrap();
    symlink(disk.path("precious/file"), disk.path("hub/models--org--pair/blobs/link")).unwrap();
    Removal::of_repository(&disk.find("org/pair"), false).unwrap().execute().unwrap();
    assert!(!disk.path("hub/models--org--pair").exists());
    assert_eq!(fs::read_to_string(disk.path("precious/file")).unwrap(), "keep");

    disk.two_revisions();
    fs::rename(disk.path("hub/models--org--pair"), disk.path("elsewhere")).unwrap();
    symlink(disk.path("elsewhere"), disk.path("hub/models--org--pair")).unwrap();
    let linked = disk.find("org/pair");
    assert!(matches!(Removal::of_repository(&linked, true), Err(Error::OutsideFolder { .. })));
    assert!(disk.path("elsewhere/blobs/w").exists());

    // A link to another model of the cache stays inside it, and is another model's all the same.
    fs::remove_file(disk.path("hub/models--org--pair")).unwrap();
    fs::rename(disk.path("elsewhere"), disk.path("hub/models--org--real")).unwrap();
    symlink("models--org--real", disk.path("hub/models--org--alias")).unwrap();
    let alias = disk.find("org/alias");
    assert!(matches!(Removal::of_repository(&alias, true), Err(Error::OutsideFolder { .. })));

    // Blobs on another disk: one revision's cannot be told from what else lies there.
    let blobs = disk.path("hub/models--org--real/blobs");
    fs::rename(&blobs, disk.path("blobs")).unwrap();
    symlink(disk.path("blobs"), &blobs).unwrap();
    let old = disk.find("org/real@v1");
    assert!(matches!(Removal::of(&old, true), Err(Error::OutsideFolder { .. })));
    assert!(disk.path("blobs/c-old").exists());
}

#[test]
fn folders_of_others_are_only_removed_by_force() {
    let disk = Disk::new();
    disk.put(".lmstudio/models/maker/model/config.json", "{}");
    disk.put(".lmstudio/models/maker/model/model.safetensors", "1234");
    disk.put(".lmstudio/models/maker/next/x.gguf", "1234");
    let entry = disk.find("maker/model");
    assert!(matches!(Removal::of(&entry, false), Err(Error::NotOwned { .. })));
    assert_eq!(Removal::of(&entry, true).unwrap().execute().unwrap(), 6);
    assert_eq!(disk.catalog().entries().len(), 1);
}

#[test]
fn a_model_in_use_stays() {
    let disk = Disk::new();
    disk.two_revisions();
    let entry = disk.find("org/pair");
    let plan = || Removal::of_repository(&entry, false).unwrap();
    let holds = (Hold::of(&entry).unwrap(), Hold::of(&entry).unwrap());
    assert!(matches!(plan().execute(), Err(Error::InUse { .. })));
    drop(holds);
    let lock = disk.path("hub/.locks/models--org--pair/w.lock");
    let python = File::create(&lock).unwrap();
    python.lock().unwrap();
    assert!(matches!(plan().execute(), Err(Error::InUse { lock: held, .. }) if held == lock));
    drop(python);
    assert!(Path::new(&lock).exists(), "a lock file that nobody holds is no lock");
    plan().execute().unwrap();
    assert_eq!(disk.catalog().entries().len(), 0);
}
