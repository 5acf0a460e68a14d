//! Which files hold the weights, and whether they and their index agree.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::files::{Files, check_inside};
use crate::safetensors::Header;
use crate::{Error, Result, json};

const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";
/// What `torch.save` wrote before there was safetensors.
const TORCH: &str = "pytorch_model.bin";

/// The most bytes that the index may have: a mixture of 100,000 experts' tensors needs a tenth of it.
const INDEX_LIMIT: u64 = 128 << 20;

/// A file of weights and its header.
#[derive(Debug)]
pub(crate) struct Shard {
    /// The name in the folder.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) header: Header,
}

#[derive(serde::Deserialize)]
struct IndexFile {
    weight_map: BTreeMap<String, String>,
}

/// Finds the weights and reads their headers. Every tensor is in one shard, the one where the index places it.
pub(crate) fn read(files: &Files) -> Result<Vec<Shard>> {
    let Some(bytes) = files.read(INDEX, INDEX_LIMIT)? else {
        let shards = headers(files, &unindexed(files)?)?;
        holders(files, &shards)?;
        return Ok(shards);
    };
    let index = files.path(INDEX);
    let value: Value = json::parse(&index, &bytes)?;
    let places = json::side_file::<IndexFile>(&index, &value)?.weight_map;
    let names: BTreeSet<String> = places.values().cloned().collect();
    if names.is_empty() {
        return Err(Error::NoWeights { path: files.root().into() });
    }
    for shard in &names {
        check_inside(&index, shard)?;
        if let Some(format) = foreign_format(shard) {
            return Err(Error::Format { path: files.path(shard), format });
        }
        if !files.exists(shard) {
            return Err(Error::ShardMissing { index, shard: shard.clone() });
        }
    }
    let names: Vec<String> = names.into_iter().collect();
    let shards = headers(files, &names)?;
    let holders = holders(files, &shards)?;
    for (tensor, shard) in &places {
        if holders.get(tensor.as_str()) != Some(&shard.as_str()) {
            return Err(Error::IndexWrong { tensor: tensor.clone(), shard: shard.clone(), index });
        }
    }
    if let Some((tensor, shard)) = holders.iter().find(|(tensor, _)| !places.contains_key(**tensor))
    {
        return Err(Error::NotIndexed {
            tensor: (*tensor).to_owned(),
            shard: files.path(shard),
            index,
        });
    }
    Ok(shards)
}

fn headers(files: &Files, names: &[String]) -> Result<Vec<Shard>> {
    names.iter().map(|name| Ok(Shard { name: name.clone(), header: files.header(name)? })).collect()
}

/// The shard that holds each tensor.
fn holders<'a>(files: &Files, shards: &'a [Shard]) -> Result<BTreeMap<&'a str, &'a str>> {
    let mut holders = BTreeMap::new();
    for shard in shards {
        for tensor in shard.header.tensors.keys() {
            match holders.entry(tensor.as_str()) {
                Entry::Vacant(place) => {
                    place.insert(shard.name.as_str());
                }
                Entry::Occupied(first) => {
                    return Err(Error::DuplicateTensor {
                        tensor: tensor.clone(),
                        first: files.path(first.get()),
                        second: files.path(&shard.name),
                    });
                }
            }
        }
    }
    Ok(holders)
}

/// The files of weights where there is no index: `model.safetensors`, or a whole set `model-00001-of-00003`, or
/// what PyTorch wrote, or the one safetensors file there is.
fn unindexed(files: &Files) -> Result<Vec<String>> {
    let names = files.names()?;
    if names.iter().any(|name| name == SINGLE) {
        return Ok(vec![SINGLE.to_owned()]);
    }
    let numbered: BTreeMap<(u32, u32), &String> =
        names.iter().filter_map(|name| Some((shard_number(name)?, name))).collect();
    if let Some(&(_, count)) = numbered.keys().next_back() {
        return (1..=count)
            .map(|number| match numbered.get(&(number, count)) {
                Some(name) => Ok((*name).clone()),
                None => Err(Error::ShardMissing {
                    index: files.root().into(),
                    shard: format!("model-{number:05}-of-{count:05}.safetensors"),
                }),
            })
            .collect();
    }
    // A name that says what is in it counts for more than a file that happens to be alone.
    if names.iter().any(|name| name == TORCH) {
        return Ok(vec![TORCH.to_owned()]);
    }
    let mut only =
        names.iter().filter(|name| name.ends_with(".safetensors") && !name.starts_with("adapter"));
    if let (Some(name), None) = (only.next(), only.next()) {
        return Ok(vec![name.clone()]);
    }
    for name in &names {
        if let Some(format) = foreign_format(name) {
            return Err(Error::Format { path: files.path(name), format });
        }
    }
    Err(Error::NoWeights { path: files.root().into() })
}

/// The number and the count in `model-00001-of-00003.safetensors`.
fn shard_number(name: &str) -> Option<(u32, u32)> {
    let (number, count) =
        name.strip_prefix("model-")?.strip_suffix(".safetensors")?.split_once("-of-")?;
    Some((number.parse().ok()?, count.parse().ok()?))
}

/// What sort of weights a file holds that we do not read.
pub(crate) fn foreign_format(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    match extension {
        "gguf" | "ggml" => Some("GGUF (llama.cpp)"),
        "bin" | "pt" | "pth" | "ckpt" => Some("a PyTorch pickle"),
        "npz" => Some("an old MLX archive (npz)"),
        "onnx" => Some("ONNX"),
        "h5" => Some("Keras HDF5"),
        "msgpack" => Some("a Flax archive"),
        "tflite" => Some("TensorFlow Lite"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{foreign_format, shard_number};

    #[test]
    fn names_tell_what_they_are() {
        assert_eq!(shard_number("model-00002-of-00013.safetensors"), Some((2, 13)));
        assert_eq!(shard_number("model.safetensors"), None);
        assert_eq!(shard_number("model-x-of-2.safetensors"), None);
        assert_eq!(foreign_format("pytorch_model-00001-of-00002.bin"), Some("a PyTorch pickle"));
        assert_eq!(foreign_format("model.safetensors"), None);
    }
}
