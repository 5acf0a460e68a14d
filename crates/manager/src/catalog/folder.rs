//! One model's folder: what format its files have, how large they are, and whether all of them are there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Entry, Format, Gap, Source};

/// The largest JSON file read here: indices of the largest models are a few MB.
const LARGEST_JSON: u64 = 32 << 20;
/// How deep the files of a model may lie.
const DEEPEST: usize = 6;
/// The most files looked at.
const MOST_FILES: usize = 20_000;

/// The files of a folder, by name within it, with `/` between parts.
#[derive(Debug, Default)]
pub(super) struct Files {
    present: BTreeMap<String, Metadata>,
    broken: Vec<String>,
    unreadable: Vec<(String, String)>,
}

impl Files {
    /// Walks the folder. Links are followed to files (as the hub cache has them), never to folders.
    pub(super) fn walk(root: &Path) -> Self {
        let mut files = Self::default();
        let mut waiting = vec![(root.to_owned(), String::new(), 0)];
        while let Some((folder, prefix, depth)) = waiting.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) => {
                    files.unreadable.push((
                        if prefix.is_empty() { ".".to_owned() } else { prefix },
                        error.to_string(),
                    ));
                    continue;
                }
            };
            for entry in entries.flatten() {
                let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() {
                    if depth < DEEPEST && entry.file_name() != ".git" {
                        waiting.push((entry.path(), format!("{name}/"), depth + 1));
                    }
                    continue;
                }
                match fs::metadata(entry.path()) {
                    Ok(metadata) if metadata.is_file() => {
                        files.present.insert(name, metadata);
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        files.broken.push(name);
                    }
                    Err(error) => files.unreadable.push((name, error.to_string())),
                }
                if files.present.len() + files.broken.len() > MOST_FILES {
                    files
                        .unreadable
                        .push((".".to_owned(), format!("more than {MOST_FILES} files")));
                    return files;
                }
            }
        }
        files.broken.sort();
        files
    }

    /// Sizes by device and inode.
    pub(super) fn identities(&self) -> BTreeMap<(u64, u64), u64> {
        self.present.values().map(|m| ((m.dev(), m.ino()), m.len())).collect()
    }

    fn has(&self, name: &str) -> bool {
        self.present.contains_key(name)
    }

    fn top(&self) -> impl Iterator<Item = &str> {
        let broken = self.broken.iter().map(String::as_str);
        self.present.keys().map(String::as_str).chain(broken).filter(|name| !name.contains('/'))
    }

    fn any_ends(&self, ends: &[&str]) -> bool {
        self.present
            .keys()
            .chain(&self.broken)
            .any(|name| ends.iter().any(|end| name.ends_with(end)))
    }
}

/// The file of weights that PyTorch wrote before there was safetensors.
const TORCH: &str = "pytorch_model.bin";

/// Whether a folder holds a model or the remains of one, so that it is listed and not searched further.
pub(super) fn looks_like_model(path: &Path) -> bool {
    let Ok(entries) = fs::read_dir(path) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name == "config.json"
            || name == "model_index.json"
            || [".safetensors", ".gguf", ".onnx", ".safetensors.index.json"]
                .iter()
                .any(|end| name.ends_with(end))
            || name == TORCH
    })
}

/// The entry of a plain folder.
pub(super) fn entry(name: String, path: PathBuf, source: Source, root: &Path) -> Entry {
    let files = Files::walk(&path);
    let found = inspect(&path, &files);
    let identities = files.identities();
    Entry {
        name,
        revision: None,
        source,
        bytes: identities.values().fold(0, |sum, bytes| sum.saturating_add(*bytes)),
        format: found.format,
        model_type: found.model_type,
        gaps: found.gaps,
        files: identities,
        home: path.clone(),
        path,
        root: root.to_owned(),
    }
}

/// What the files of a folder tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) format: Format,
    pub(super) model_type: Option<String>,
    pub(super) gaps: Vec<Gap>,
}

#[derive(Deserialize, Default)]
struct Config {
    model_type: Option<String>,
    quantization: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Looks at names, at `config.json`, at the index of the shards and at the first bytes of one of them.
pub(super) fn inspect(root: &Path, files: &Files) -> Found {
    let mut gaps: Vec<Gap> =
        files.broken.iter().map(|file| Gap::BrokenLink { file: file.clone() }).collect();
    gaps.extend(
        files.unreadable.iter().cloned().map(|(file, reason)| Gap::Unreadable { file, reason }),
    );

    let mut config = Config::default();
    if files.has("config.json") {
        match json::<Config>(&root.join("config.json")) {
            Ok(read) => config = read,
            Err(reason) => gaps.push(Gap::Unreadable { file: "config.json".to_owned(), reason }),
        }
    }
    let format = format(root, files, &config);
    if format.supported() {
        if !files.has("config.json") && !files.broken.iter().any(|name| name == "config.json") {
            gaps.push(Gap::Missing { file: "config.json".to_owned() });
        }
        gaps.extend(missing_shards(root, files));
    }
    Found { format, model_type: config.model_type, gaps }
}

fn format(root: &Path, files: &Files, config: &Config) -> Format {
    let weights: Vec<&str> = files.top().filter(|name| name.ends_with(".safetensors")).collect();
    let adapter =
        weights.iter().all(|name| name.starts_with("adapter")) && files.has("adapter_config.json");
    if adapter {
        return Format::Adapter;
    }
    if files.has("model_index.json") {
        return Format::Pipeline;
    }
    let index = files.top().any(|name| name.ends_with(".safetensors.index.json"));
    if !weights.is_empty() || index {
        let marked = || weights.iter().any(|name| marked_mlx(&root.join(name)));
        return if config.quantization.is_some() || marked() {
            Format::Mlx
        } else {
            Format::Safetensors
        };
    }
    if files.has(TORCH) {
        Format::PyTorch
    } else if files.any_ends(&[".gguf"]) {
        Format::Gguf
    } else if files.any_ends(&[".bin", ".pt", ".pth"]) {
        Format::PyTorchParts
    } else if files.any_ends(&[".onnx"]) {
        Format::Onnx
    } else if files.has("config.json") {
        // A configuration alone is what an interrupted download leaves: the weights are a gap, not another format.
        Format::Safetensors
    } else {
        Format::Unknown
    }
}

/// MLX writes `{"__metadata__":{"format":"mlx"}` at the head of its files; only that much is read.
fn marked_mlx(path: &Path) -> bool {
    let mut head = Vec::new();
    let Ok(file) = File::open(path) else { return false };
    if file.take(1024).read_to_end(&mut head).is_err() {
        return false;
    }
    let text: String =
        String::from_utf8_lossy(head.get(8..).unwrap_or_default()).split_whitespace().collect();
    let Some((_, metadata)) = text.split_once("\"__metadata__\":{") else { return false };
    metadata.split('}').next().is_some_and(|inner| inner.contains("\"format\":\"mlx\""))
}

fn missing_shards(root: &Path, files: &Files) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut wanted = BTreeSet::new();
    for name in
        files.top().filter(|name| name.ends_with(".safetensors.index.json") && files.has(name))
    {
        match json::<Index>(&root.join(name)) {
            Ok(index) => wanted.extend(index.weight_map.into_values()),
            Err(reason) => gaps.push(Gap::Unreadable { file: name.to_owned(), reason }),
        }
    }
    // Without an index the shards' own names tell how many there are.
    wanted.extend(files.top().filter_map(shard).flat_map(|(stem, total)| {
        (1..=total).map(move |n| format!("{stem}-{n:05}-of-{total:05}.safetensors"))
    }));
    let absent = wanted.into_iter().filter(|name| !files.has(name) && !files.broken.contains(name));
    gaps.extend(absent.map(|file| Gap::Missing { file }));
    let weights = files.any_ends(&[".safetensors"]) || files.has(TORCH);
    if !weights && gaps.is_empty() {
        gaps.push(Gap::NoWeights);
    }
    gaps
}

/// `model-00001-of-00003.safetensors`: the stem and how many shards there are. Absurd numbers are no shards.
fn shard(name: &str) -> Option<(&str, u32)> {
    let (front, total) = name.strip_suffix(".safetensors")?.rsplit_once("-of-")?;
    let (stem, number) = front.rsplit_once('-')?;
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(total) || !digits(number) {
        return None;
    }
    let total = total.parse().ok().filter(|&n| n <= 10_000)?;
    Some((stem, total))
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| e.to_string())?;
    file.take(LARGEST_JSON + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > LARGEST_JSON {
        return Err(format!("it is larger than {LARGEST_JSON} bytes"));
    }
    serde_json::from_slice(&bytes).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Found {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        inspect(root.path(), &Files::walk(root.path()))
    }

    #[test]
    fn formats_are_told_apart() {
        let format = |files: &[(&str, &str)]| found(files).format;
        let quantized = r#"{"model_type":"llama","quantization":{"bits":4}}"#;
        assert_eq!(format(&[("config.json", quantized), ("model.safetensors", "")]), Format::Mlx);
        let head = "........{ \"__metadata__\" : {\"format\": \"mlx\"}, \"w\": {}}";
        assert_eq!(format(&[("config.json", "{}"), ("model.safetensors", head)]), Format::Mlx);
        let other = "........{\"__metadata__\":{\"format\":\"pt\"},\"format\":\"mlx\"}";
        assert_eq!(
            format(&[("config.json", "{}"), ("model.safetensors", other)]),
            Format::Safetensors
        );
        assert_eq!(format(&[("x.Q4_K_M.gguf", "")]), Format::Gguf);
        assert_eq!(format(&[("config.json", "{}"), ("pytorch_model.bin", "")]), Format::PyTorch);
        let part = "pytorch_model-00001-of-00002.bin";
        assert_eq!(format(&[("config.json", "{}"), (part, "")]), Format::PyTorchParts);
        assert_eq!(format(&[("config.json", "{}"), ("onnx/model.onnx", "")]), Format::Onnx);
        assert_eq!(
            format(&[("adapter_config.json", "{}"), ("adapter_model.safetensors", "")]),
            Format::Adapter
        );
        assert_eq!(
            format(&[("model_index.json", "{}"), ("unet/m.safetensors", "")]),
            Format::Pipeline
        );
        assert_eq!(format(&[("notes.txt", "")]), Format::Unknown);
    }

    #[test]
    fn missing_shards_are_named() {
        let index = r#"{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}"#;
        let gaps = found(&[
            ("config.json", "{}"),
            ("model.safetensors.index.json", index),
            ("model-00001-of-00002.safetensors", ""),
        ])
        .gaps;
        assert_eq!(gaps, [Gap::Missing { file: "model-00002-of-00002.safetensors".into() }]);
        let gaps = found(&[("config.json", "{}"), ("m-00003-of-00003.safetensors", "")]).gaps;
        assert_eq!(gaps.len(), 2);
        assert_eq!(found(&[("config.json", "{}"), ("m-00003-of-99999.safetensors", "")]).gaps, []);
    }

    #[test]
    fn other_gaps_are_named() {
        assert_eq!(found(&[("config.json", "{}")]).gaps, [Gap::NoWeights]);
        assert_eq!(
            found(&[("model.safetensors", "")]).gaps,
            [Gap::Missing { file: "config.json".into() }]
        );
        let gaps = found(&[("config.json", "{"), ("model.safetensors", "")]).gaps;
        assert!(
            matches!(&gaps[..], [Gap::Unreadable { file, .. }] if file == "config.json"),
            "{gaps:?}"
        );
        let gaps = found(&[("config.json", "{}"), ("model.safetensors.index.json", "[]")]).gaps;
        assert!(matches!(&gaps[..], [Gap::Unreadable { .. }]), "{gaps:?}");
    }
}
