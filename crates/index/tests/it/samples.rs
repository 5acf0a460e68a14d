//! Documents, pages and encoders to try an index with.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use index::{
    Begun, DocumentId, Encoder, Grid, Hash, Index, Limits, NewDocument, NewPage, PageVectors,
    Profile, Writer,
};
use kernels::cpu::Cpu;
use kernels::{CpuOptions, Device};

pub(crate) const DIM: usize = 8;

pub(crate) fn encoder(dim: usize) -> Encoder {
    Encoder {
        name: "sample".into(),
        model: Hash([1; 32]),
        prompt: Hash([2; 32]),
        pooling: "none".into(),
        dim: dim as u32,
    }
}

/// Late interaction alone.
pub(crate) fn profile() -> Profile {
    Profile { vectors: Some(encoder(DIM)), ..Profile::default() }
}

pub(crate) fn cpu() -> Arc<Cpu> {
    let options = CpuOptions { threads: Some(2), ..CpuOptions::default() };
    Arc::clone(Device::cpu(options).unwrap().as_cpu().unwrap())
}

pub(crate) fn open(path: &Path) -> Index {
    Index::open(path, &profile(), cpu(), Limits::default()).unwrap()
}

/// Numbers between -1 and 1 that are the same on every run.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

pub(crate) fn hash(number: u64) -> Hash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Hash(bytes)
}

pub(crate) fn document(path: &str, version: u64, pages: u32) -> NewDocument {
    NewDocument {
        path: path.into(),
        hash: hash(version),
        pages,
        date: None,
        category: None,
        metadata: BTreeMap::new(),
        reading: None,
    }
}

/// A page whose content follows from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) seed: u64,
    pub(crate) text: String,
    pub(crate) vectors: Vec<f32>,
}

/// How many vectors come before and after the places of a sample's grid, which has 2 rows.
const AROUND: usize = 2;

impl Sample {
    pub(crate) fn new(seed: u64) -> Self {
        let places = 2 * (1 + seed as usize % 17);
        let vectors = noise(seed, (AROUND + places) * DIM);
        Self { seed, text: format!("page word{seed} common"), vectors }
    }

    pub(crate) fn grid(&self) -> Grid {
        let width = (self.vectors.len() / DIM - AROUND) / 2;
        Grid { start: 1, height: 2, width: width as u16 }
    }

    pub(crate) fn page(&self, document: DocumentId, number: u32) -> NewPage<'_> {
        let vectors = PageVectors::New { vectors: &self.vectors, grid: Some(self.grid()) };
        NewPage { vectors: Some(vectors), ..bare(document, number, &self.text) }
    }
}

/// A page of words only.
pub(crate) fn bare(document: DocumentId, number: u32, text: &str) -> NewPage<'_> {
    NewPage {
        document,
        number,
        hash: hash(number.into()),
        looks: None,
        text,
        read: None,
        vectors: None,
        dense: &[],
        sparse: &[],
        preview: None,
        failure: None,
    }
}

/// The document, which must not be there with this content.
pub(crate) fn begin(writer: &mut Writer, document: &NewDocument) -> DocumentId {
    match writer.begin(document).unwrap() {
        Begun::Open { document, .. } => document,
        Begun::Unchanged(_) => panic!("{document:?} is there"),
    }
}

/// Indexes a whole document in one commit.
pub(crate) fn put(writer: &mut Writer, path: &str, version: u64, samples: &[Sample]) -> DocumentId {
    let id = begin(writer, &document(path, version, samples.len() as u32));
    let pages: Vec<_> = samples.iter().zip(1..).map(|(s, number)| s.page(id, number)).collect();
    writer.commit(&pages, &[id]).unwrap();
    id
}
