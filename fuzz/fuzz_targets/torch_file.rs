//! A file that `torch.save` may have written, in either of its layouts.
//!
//! The first byte chooses what stands before the input, so that the fuzzer need not guess magic numbers: nothing, or the
//! beginning of the older layout, after which pickles follow.
#![no_main]

use std::collections::BTreeMap;

use bytes::Bytes;
use checkpoint::Folder;
use libfuzzer_sys::fuzz_target;

const LEGACY: &[u8] =
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s.";

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else { return };
    let file = if choice & 1 == 0 { rest.to_vec() } else { [LEGACY, rest].concat() };
    let files =
        [("config.json", Bytes::from_static(b"{}")), ("pytorch_model.bin", Bytes::from(file))];
    let files = files.map(|(name, bytes)| (name.to_owned(), bytes));
    let folder = Folder::from_files(BTreeMap::from(files)).expect("an empty configuration is one");
    let weights = match folder.weights() {
        Ok(weights) => weights,
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.hint().is_empty());
            return;
        }
    };
    let index = folder.index().expect("what can be loaded can be listed");
    for tensor in &index.tensors {
        let taken = weights.root().take_stored(&tensor.name, &tensor.shape).expect("each once");
        let bits = tensor.shape.iter().product::<usize>() * taken.dtype.bits();
        assert_eq!(taken.bytes.len() * 8, bits, "{taken:?}");
    }
});
