//! Indexes made up, and servers that they are moved to.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use manager::CpuOptions;
use manager::find::index::{
    Begun, Encoder, Filter, Grid, Hash, Index, NewDocument, NewPage, PageVectors, Preview, Profile,
    Query, Writer,
};
use manager::find::remote::{Access, Address, Patience, Remote};
use manager::find::{Error, PushNews, PushOptions, PushTotals, PushWatch, Store, push};
use testkit::qdrant::QdrantServer;

use super::weaviate::WeaviateServer;

pub(super) const DIM: usize = 16;
pub(super) const DENSE: usize = 8;

/// Numbers between -1 and 1 that are the same on every run.
pub(super) fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

pub(super) fn encoder(dim: usize) -> Option<Encoder> {
    let (name, pooling) = ("sample".to_owned(), "none".to_owned());
    let dim = dim as u32;
    Some(Encoder { name, model: Hash([1; 32]), prompt: Hash([2; 32]), pooling, dim })
}

/// Everything that there is, with vectors in 16 bits.
pub(super) fn profile() -> Profile {
    let sparse = encoder(1000);
    Profile { vectors: encoder(DIM), dense: encoder(DENSE), sparse, halves: true }
}

/// Puts a document of made-up pages into the index at `path`.
pub(super) fn document(path: &Path, profile: &Profile, name: &str, pages: u32) {
    document_of(path, profile, (name, None), pages);
}

/// The same, of a kind.
pub(super) fn document_of(
    path: &Path,
    profile: &Profile,
    (name, category): (&str, Option<&str>),
    pages: u32,
) {
    let mut writer = match Writer::open(path, profile) {
        Ok(writer) => writer,
        Err(_) => Writer::create(path, profile).unwrap(),
    };
    let seed = name.bytes().fold(u64::from(pages), |sum, byte| (sum * 31 + u64::from(byte)) % 9973);
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&seed.to_le_bytes());
    let new = NewDocument {
        path: name.to_owned(),
        hash: Hash(hash),
        pages,
        date: format!("2024-05-{:02}", 1 + pages % 28).parse().ok(),
        category: category.map(str::to_owned),
        metadata: BTreeMap::from([("title".to_owned(), format!("About {pages}"))]),
        reading: None,
    };
    let Begun::Open { document, .. } = writer.begin(&new).unwrap() else { return };
    let grid = Some(Grid { start: 1, height: 2, width: 3 });
    for first in (1..=pages).step_by(50) {
        let numbers: Vec<u32> = (first..=pages.min(first + 49)).collect();
        let made: Vec<_> = numbers
            .iter()
            .map(|number| {
                let seed = seed * 1000 + u64::from(*number);
                let count = 8 + seed as usize % 5;
                let words = format!("The café of page word{number} is common to {name}");
                let dense = vec![noise(10 * seed + 1, DENSE), noise(10 * seed + 2, DENSE)];
                let sparse = vec![(*number % 1000, 0.5_f32), (999, 0.25)];
                (words, noise(seed, count * DIM), dense, sparse)
            })
            .collect();
        let new: Vec<NewPage<'_>> = numbers
            .iter()
            .zip(&made)
            .map(|(number, (words, vectors, dense, sparse))| NewPage {
                document,
                number: *number,
                hash: Hash([*number as u8; 32]),
                looks: None,
                text: words,
                read: None,
                vectors: profile.vectors.as_ref().map(|_| PageVectors::New { vectors, grid }),
                dense: if profile.dense.is_some() { dense } else { &[] },
                sparse: if profile.sparse.is_some() { sparse } else { &[] },
                preview: Some(Preview { kind: "image/webp", bytes: b"small" }),
                failure: None,
            })
            .collect();
        let finished = [document];
        let last = numbers.last() == Some(&pages);
        writer.commit(&new, if last { &finished } else { &[] }).unwrap();
    }
}

/// A page that failed, and that has no vectors.
pub(super) fn failed(path: &Path, profile: &Profile, name: &str) {
    let mut writer = Writer::open(path, profile).unwrap();
    let hash = Hash([9; 32]);
    let new = NewDocument {
        path: name.to_owned(),
        hash,
        pages: 1,
        date: None,
        category: None,
        metadata: BTreeMap::new(),
        reading: None,
    };
    let Begun::Open { document, .. } = writer.begin(&new).unwrap() else { return };
    let page = NewPage {
        document,
        number: 1,
        hash,
        looks: None,
        text: "",
        read: None,
        vectors: None,
        dense: &[],
        sparse: &[],
        preview: None,
        failure: Some("it is torn"),
    };
    writer.commit(&[page], &[document]).unwrap();
}

pub(super) fn open(path: &Path, profile: &Profile) -> Index {
    let options = CpuOptions { threads: Some(1), ..CpuOptions::default() };
    manager::find::open(path, profile, options).unwrap()
}

/// One of the two.
pub(super) enum Server {
    Qdrant(QdrantServer),
    Weaviate(WeaviateServer),
}

impl Server {
    pub(super) fn both() -> [Self; 2] {
        [Self::Qdrant(QdrantServer::start()), Self::Weaviate(WeaviateServer::start())]
    }

    pub(super) fn address(&self) -> Address {
        let text = match self {
            Self::Qdrant(server) => server.address("Pages"),
            Self::Weaviate(server) => server.address("Pages"),
        };
        Address::read(&text).unwrap()
    }

    pub(super) fn pages(&self) -> usize {
        match self {
            Self::Qdrant(server) => server.pages("Pages"),
            Self::Weaviate(server) => server.pages("Pages"),
        }
    }

    pub(super) fn puts(&self) -> usize {
        match self {
            Self::Qdrant(server) => server.with(|state| state.puts),
            Self::Weaviate(server) => server.with(|state| state.puts),
        }
    }

    pub(super) fn open(&self) -> Remote {
        Remote::open(&self.address(), &access()).unwrap()
    }
}

/// Little patience.
pub(super) fn access() -> Access {
    let patience = Patience {
        connect: Duration::from_secs(5),
        answer: Duration::from_secs(5),
        attempts: 3,
        first_pause: Duration::from_millis(2),
        longest_pause: Duration::from_millis(50),
    };
    Access { key: None, patience }
}

/// Whoever looks on, and ends it after so many batches.
#[derive(Default)]
pub(super) struct Watch {
    pub(super) refused: Vec<(String, u32, String)>,
    pub(super) sent: usize,
    pub(super) begun: Option<(usize, usize)>,
    pub(super) stop_after: Option<usize>,
}

impl PushWatch for Watch {
    fn news(&mut self, news: PushNews<'_>) {
        match news {
            PushNews::Begun { pages, there } => self.begun = Some((pages, there)),
            PushNews::Sent { .. } => self.sent += 1,
            PushNews::Refused { path, number, why } => {
                self.refused.push((path.to_owned(), number, why.to_owned()));
            }
            PushNews::Deleting { .. } | _ => {}
        }
    }

    fn stop(&self) -> bool {
        self.stop_after.is_some_and(|after| self.sent >= after)
    }
}

pub(super) fn options(address: &Address) -> PushOptions {
    let muvera = address.kind() == manager::find::remote::ServerKind::Weaviate;
    PushOptions { muvera, previews: true, ..PushOptions::default() }
}

pub(super) fn pushed(path: &Path, server: &Server) -> Result<PushTotals, Error> {
    pushed_with(path, server, &mut Watch::default())
}

pub(super) fn pushed_with(
    path: &Path,
    server: &Server,
    watch: &mut Watch,
) -> Result<PushTotals, Error> {
    let address = server.address();
    push(path, (&address, &access()), options(&address), watch)
}

/// Paths and numbers of the pages that are found.
pub(super) fn found(store: &dyn Store, query: &Query<'_>) -> Vec<(String, u32)> {
    let answer = store.search(query, &mut |_, _| ()).unwrap();
    answer.hits.into_iter().map(|hit| (hit.path, hit.number)).collect()
}

/// The best pages by the vectors that an index gives away, compared one by one.
pub(super) fn truth(index: &Index, query: &[f32], filter: &Filter) -> Vec<(String, u32)> {
    let rows = |numbers: &[f32]| numbers.chunks(DIM).map(<[f32]>::to_vec).collect::<Vec<_>>();
    let asked = rows(query);
    let mut all = Vec::new();
    for document in index.documents(None, 10_000).unwrap() {
        for (number, page) in index.pages(document.document).unwrap() {
            let Ok((vectors, _)) = index.vectors(page) else { continue };
            let score = testkit::qdrant::max_sim(&asked, &rows(&vectors));
            let within = filter.pages.is_none_or(|(from, to)| (from..=to).contains(&number));
            if within {
                all.push((score, document.path.clone(), number));
            }
        }
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    all.into_iter().map(|(_, path, number)| (path, number)).collect()
}
