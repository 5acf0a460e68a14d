//! Networks that panic when a test wants it, by the name of the folder that they are in.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use kernels::Tensor;
use models::{Batch, Cache, Decoder, LayerCache, Vision};

static FAULTS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// Makes the next `passes` passes of the model in the folder `name` panic.
pub(crate) fn inject(name: &str, passes: usize) {
    let mut faults = FAULTS.lock().unwrap_or_else(PoisonError::into_inner);
    faults.insert(name.to_owned(), passes);
}

struct Fragile {
    name: String,
    decoder: Box<dyn Decoder>,
}

/// The same network, which does as it is told by [`inject`].
pub(super) fn fragile(path: &Path, decoder: Box<dyn Decoder>) -> Box<dyn Decoder> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Box::new(Fragile { name, decoder })
}

impl Decoder for Fragile {
    fn layers(&self) -> Vec<LayerCache> {
        self.decoder.layers()
    }

    fn turn(&self) -> Option<usize> {
        self.decoder.turn()
    }

    fn vision(&self) -> Option<&dyn Vision> {
        self.decoder.vision()
    }

    fn forward(&self, batch: &Batch, cache: &mut Cache) -> Tensor {
        let falls = {
            let mut faults = FAULTS.lock().unwrap_or_else(PoisonError::into_inner);
            let left = faults.get_mut(&self.name).filter(|left| **left > 0);
            left.map(|left| *left -= 1).is_some()
        };
        assert!(!falls, "a test wants it");
        self.decoder.forward(batch, cache)
    }

    fn unembed(&self, hidden: &Tensor) -> Tensor {
        self.decoder.unembed(hidden)
    }
}
