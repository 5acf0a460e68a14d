//! A stranger's safetensors file, from its first byte to its tensors.
//!
//! The input is the header's JSON; its length and enough data are put around it in a way that the first byte chooses,
//! so that the fuzzer need not guess eight bytes right before it sees anything.
#![no_main]

use std::collections::BTreeMap;

use bytes::Bytes;
use checkpoint::{Folder, Weights};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((choice, header)) = input.split_first() else { return };
    let file = if choice & 1 == 0 {
        // Length, header and up to 127 bytes of data.
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header);
        file.resize(file.len() + usize::from(choice >> 1), 7);
        file
    } else {
        header.to_vec()
    };
    let files =
        [("config.json", Bytes::from_static(b"{}")), ("model.safetensors", Bytes::from(file))];
    let files = files.map(|(name, bytes)| (name.to_owned(), bytes));
    let folder = Folder::from_files(BTreeMap::from(files)).expect("an empty configuration is one");
    let index = folder.index();
    let weights = folder.weights();
    let (Ok(weights), Ok(index)) = (&weights, &index) else {
        for error in [weights.err(), index.err()].into_iter().flatten() {
            assert!(!error.to_string().is_empty() && !error.hint().is_empty());
        }
        return;
    };
    walk(weights, index);
});

/// Takes every tensor, as a matrix first, and finds each as long as its shape says.
fn walk(weights: &Weights, index: &checkpoint::Index) {
    let root = weights.root();
    let _ = index.bits_per_weight();
    for tensor in &index.tensors {
        let place = tensor.name.strip_suffix(".weight").unwrap_or(&tensor.name);
        let rows = tensor.shape.first().copied().unwrap_or(1);
        for columns in [tensor.shape.last().copied().unwrap_or(0), 64, 256, 0, usize::MAX] {
            let _ = root.at(place).matrix(rows, columns);
        }
    }
    for tensor in &index.tensors {
        if let Ok(taken) = root.take_stored(&tensor.name, &tensor.shape) {
            let bits = tensor.shape.iter().product::<usize>() * taken.dtype.bits();
            assert_eq!(taken.bytes.len() * 8, bits, "{taken:?}");
        }
    }
}
