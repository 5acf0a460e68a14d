//! The tiny checkpoints of the repository, most of them written by MLX.

use std::fs;
use std::path::Path;

use checkpoint::{Folder, Index, Matrix, Mode, Quantization};

/// The checkpoints, sorted by name.
fn all() -> Vec<(String, Folder)> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models");
    let mut names: Vec<String> = fs::read_dir(models.clone())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names.retain(|name| models.join(name).is_dir());
    assert!(names.len() > 10, "{names:?}");
    names
        .into_iter()
        .map(|name| (name.clone(), Folder::open(&models.join(name)).unwrap()))
        .collect()
}

/// The quantization that a name such as `llama_affine_3_g64` or `llama_mxfp4` promises.
fn promised(name: &str) -> Option<Quantization> {
    let modes = [Mode::Mxfp4, Mode::Mxfp8, Mode::Nvfp4];
    if let Some(mode) = modes.into_iter().find(|mode| name.ends_with(mode.name())) {
        return Some(mode.default_parameters());
    }
    let (bits, group_size) = name.split_once("_affine_")?.1.split_once("_g")?;
    Quantization::new(Mode::Affine, bits.parse().ok()?, group_size.parse().ok()?)
}

/// The logical shape of a packed weight: how many matrices, if it is a stack, their rows and columns.
fn logical(index: &Index, place: &str) -> Option<(Quantization, Option<usize>, usize, usize)> {
    let weight = index.get(&format!("{place}.weight"))?;
    let quantization = weight.quantization?;
    let (count, rows, words) = match weight.shape[..] {
        [rows, words] => (None, rows, words),
        [count, rows, words] => (Some(count), rows, words),
        _ => return None,
    };
    Some((quantization, count, rows, words * 32 / quantization.bits as usize))
}

#[test]
fn every_fixture_is_read_to_its_last_tensor() {
    let mut promises = 0;
    for (name, folder) in all() {
        assert!(folder.config().model_type().is_ok(), "{name}");
        let index = folder.index().unwrap();
        let weights = folder.weights().unwrap();
        let mut parameters = 0;
        for tensor in &index.tensors {
            let (place, part) = tensor.name.rsplit_once('.').unwrap_or(("", &tensor.name));
            if let Some(name) = tensor.name.strip_suffix("_blocks") {
                let [count, rows, groups, half] = tensor.shape[..] else { panic!("{name}") };
                let matrix = weights.root().blocks(name, count, rows, groups * 2 * half).unwrap();
                assert_eq!((matrix.rows(), matrix.columns()), (count * rows, groups * 32));
                parameters += matrix.rows() * matrix.columns();
            } else if tensor.name.ends_with("_scales") {
                assert_eq!(tensor.parameters, 0, "{name}: {}", tensor.name);
            } else if let Some((quantization, count, rows, columns)) =
                logical(&index, place).filter(|_| part != "bias")
            {
                if part == "weight" {
                    let here = weights.root().at(place);
                    let matrix = match count {
                        Some(count) => here.stack(count, rows, columns).unwrap(),
                        None => here.matrix(rows, columns).unwrap(),
                    };
                    let Matrix::Quantized(matrix) = matrix else {
                        panic!("{name}: {place} is dense")
                    };
                    assert_eq!(matrix.quantization, quantization, "{name}: {place}");
                    assert_eq!(matrix.rows, count.unwrap_or(1) * rows, "{name}: {place}");
                    parameters += matrix.rows * columns;
                }
            } else {
                let taken = weights.root().at(place).take_stored(part, &tensor.shape).unwrap();
                parameters +=
                    if taken.dtype.is_float() { tensor.shape.iter().product() } else { 0 };
            }
        }
        weights.finish().unwrap();
        assert_eq!(index.parameters(), parameters as u64, "{name}");
        if let Some(promised) = promised(&name) {
            let found: Vec<_> = index.parameters_by_quantization().into_keys().flatten().collect();
            assert_eq!(found, [promised], "{name}");
            promises += 1;
        }
    }
    assert!(promises >= 18 + 3, "{promises}");
}

#[test]
fn the_mixed_fixture_is_what_its_configuration_lists() {
    let (_, folder) = all().into_iter().find(|(name, _)| name == "llama_mixed").unwrap();
    let index = folder.index().unwrap();
    let rules = folder.config().quantization().unwrap();
    assert!(rules.overrides.len() > 5);
    for (place, declared) in rules.overrides {
        let found = index.get(&format!("{place}.weight")).unwrap().quantization;
        assert_eq!(found, declared, "{place}");
    }
}

#[test]
fn embedding_fixtures_say_how_to_pool() {
    let mut pooled = 0;
    for (name, folder) in all().into_iter().filter(|(name, _)| name.starts_with("bert")) {
        if let Some(read) = folder.sentence_transformers().unwrap() {
            assert!(read.modules.len() > 1, "{name}");
            pooled += 1;
        }
    }
    assert!(pooled > 0);
}
