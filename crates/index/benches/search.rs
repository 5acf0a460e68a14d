//! Late interaction over many pages, beside the speed at which memory is read in the same run: 704
//! vectors of 128 a page, 24 vectors a query. Items are products of vectors.
//!
//! `cargo bench -p index`; `FOLIO_INDEX_PAGES=100000` for another number of pages than 10,000. A page takes 93 kB
//! of memory for `kernel`, of which 11 kB are signs, and 104 kB of the folder for temporary files for `search`.
//!
//! `cargo bench -p index -- dense` compares one dense vector of 1,024 with one of each page, as they lie in the database: 5 kB of
//! the folder for temporary files a page. `read_limit` reads the same bytes from a file, in pieces of a vector.

use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use index::{
    Begun, Encoder, Hash, Index, Limits, NewDocument, NewPage, PageVectors, Profile, Query, Writer,
};
use kernels::cpu::Cpu;
use kernels::late_interaction::{self, Layout, Packed, Page, max_sign_sim, max_sim};
use kernels::{CpuOptions, Device, Isa};

const DIM: usize = 128;
const VECTORS: usize = 704;
const ASKED: usize = 24;

/// Pages with numbers of their own; the others repeat them, elsewhere in memory.
const DISTINCT: usize = 50;

fn main() {
    divan::main();
}

static PAGES: LazyLock<usize> = LazyLock::new(|| {
    std::env::var("FOLIO_INDEX_PAGES").map_or(10_000, |pages| pages.parse().expect("a number"))
});

fn cpu(threads: usize, isa: Option<Isa>) -> Arc<Cpu> {
    let options = CpuOptions { threads: Some(threads), isa, ..CpuOptions::default() };
    Arc::clone(Device::cpu(options).expect("a device").as_cpu().expect("a CPU"))
}

/// Vectors of about length 1.
fn numbers(seed: usize, vectors: usize) -> Vec<f32> {
    let mut state = seed as u64 * 0x9e37_79b9_7f4a_7c15 + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / 8_388_608.0 - 1.0) * 0.15
    };
    (0..vectors * DIM).map(|_| next()).collect()
}

fn layout() -> Layout {
    Layout::new(DIM).expect("a dimension")
}

fn query() -> late_interaction::Query {
    late_interaction::Query::new(layout(), &numbers(99, ASKED))
}

/// The planes of pages with numbers of their own.
static PACKED: LazyLock<Vec<Packed>> = LazyLock::new(|| {
    (0..DISTINCT).map(|seed| Packed::new(layout(), &numbers(seed, VECTORS))).collect()
});

/// A plane of all pages, in memory.
fn plane(of: fn(&Packed) -> &[u8]) -> Vec<u8> {
    PACKED.iter().cycle().take(*PAGES).flat_map(of).copied().collect()
}

static CODES: LazyLock<Vec<u8>> = LazyLock::new(|| plane(|packed| &packed.codes));

static SCALES: LazyLock<Vec<u8>> = LazyLock::new(|| plane(|packed| &packed.scales));

static SIGNS: LazyLock<Vec<u8>> = LazyLock::new(|| plane(|packed| &packed.signs));

fn products() -> ItemsCount {
    ItemsCount::new(*PAGES * VECTORS * ASKED)
}

fn exact(bencher: Bencher<'_, '_>, cpu: &Cpu) {
    let blocks = layout().blocks(VECTORS);
    let pages: Vec<_> = CODES
        .chunks(blocks * layout().code_bytes())
        .zip(SCALES.chunks(blocks * Layout::SCALE_BYTES))
        .map(|(codes, scales)| Page { codes, scales })
        .collect();
    let (query, mut scores) = (query(), vec![0.0; pages.len()]);
    let bytes = BytesCount::new(CODES.len() + SCALES.len());
    bencher.counter(products()).counter(bytes).bench_local(|| {
        max_sim(cpu, black_box(&query), black_box(&pages), &mut scores);
    });
}

fn signs(bencher: Bencher<'_, '_>, cpu: &Cpu) {
    let page = layout().blocks(VECTORS) * layout().sign_bytes();
    let pages: Vec<_> = SIGNS.chunks(page).collect();
    let (query, mut scores) = (query(), vec![0; pages.len()]);
    let bytes = BytesCount::new(SIGNS.len());
    bencher.counter(products()).counter(bytes).bench_local(|| {
        max_sign_sim(cpu, black_box(&query), black_box(&pages), &mut scores);
    });
}

#[divan::bench_group(sample_count = 20, sample_size = 1)]
mod kernel {
    use super::*;

    /// Every byte of the codes is read once, and nothing is computed: what exact scores cannot be
    /// quicker than.
    #[divan::bench(args = [1, 2])]
    fn read_limit(bencher: Bencher<'_, '_>, threads: usize) {
        let codes = &*CODES;
        let part = codes.len().div_ceil(threads);
        bencher.counter(BytesCount::of_slice(codes)).bench_local(|| {
            std::thread::scope(|scope| {
                for part in codes.chunks(part) {
                    scope.spawn(|| black_box(any(part)));
                }
            });
        });
    }

    fn any(bytes: &[u8]) -> u8 {
        let mut lanes = [0; 512];
        for chunk in bytes.as_chunks::<512>().0 {
            for (lane, x) in lanes.iter_mut().zip(chunk) {
                *lane |= x;
            }
        }
        lanes.into_iter().fold(0, |a, b| a | b)
    }

    #[divan::bench(args = [1, 2])]
    fn codes(bencher: Bencher<'_, '_>, threads: usize) {
        exact(bencher, &cpu(threads, None));
    }

    #[divan::bench]
    fn codes_avx2(bencher: Bencher<'_, '_>) {
        if Isa::Avx2.is_available() {
            exact(bencher, &cpu(2, Some(Isa::Avx2)));
        }
    }

    #[divan::bench(args = [1, 2])]
    fn only_signs(bencher: Bencher<'_, '_>, threads: usize) {
        signs(bencher, &cpu(threads, None));
    }

    #[divan::bench]
    fn only_signs_avx2(bencher: Bencher<'_, '_>) {
        if Isa::Avx2.is_available() {
            signs(bencher, &cpu(2, Some(Isa::Avx2)));
        }
    }
}

/// An index of so many pages, which vanishes with the process's last bench.
fn indexed(folder: &Path) -> Profile {
    let encoder = Encoder {
        name: "bench".into(),
        model: Hash([1; 32]),
        prompt: Hash([2; 32]),
        pooling: "none".into(),
        dim: DIM as u32,
    };
    let profile = Profile { vectors: Some(encoder), ..Profile::default() };
    let mut writer = Writer::create(folder, &profile).expect("an index");
    let distinct: Vec<_> = (0..DISTINCT).map(|seed| numbers(seed, VECTORS)).collect();
    let mut first = Vec::new();
    for (number, start) in (0..*PAGES).step_by(1000).enumerate() {
        let count = (*PAGES - start).min(1000);
        let document = NewDocument {
            path: format!("{number}.pdf"),
            hash: Hash([3; 32]),
            pages: count as u32,
            date: None,
            category: None,
            metadata: Default::default(),
            reading: None,
        };
        let Ok(Begun::Open { document, .. }) = writer.begin(&document) else { panic!("begun") };
        let pages: Vec<_> = (0..count)
            .map(|at| NewPage {
                document,
                number: at as u32 + 1,
                hash: Hash([4; 32]),
                looks: None,
                text: "",
                read: None,
                vectors: Some(match first.get(at % DISTINCT) {
                    Some(page) => PageVectors::SameAs(*page),
                    None => PageVectors::New { vectors: &distinct[at % DISTINCT], grid: None },
                }),
                dense: &[],
                sparse: &[],
                preview: None,
                failure: None,
            })
            .collect();
        let done = writer.commit(&pages, &[document]).expect("a commit");
        if first.is_empty() {
            first = done.pages[..DISTINCT.min(count)].to_vec();
        }
    }
    profile
}

#[divan::bench_group(sample_count = 20, sample_size = 1)]
mod search {
    use super::*;

    fn bench(bencher: Bencher<'_, '_>, limits: Limits) {
        let folder = tempfile::tempdir().expect("a folder");
        let profile = indexed(folder.path());
        let index = Index::open(folder.path(), &profile, cpu(2, None), limits).expect("an index");
        let vectors = numbers(99, ASKED);
        let query = Query { vectors: Some(&vectors), limit: 10, ..Query::default() };
        let run = || index.search(&query, &mut |_, _| ()).expect("an answer");
        // Checksums are compared once.
        black_box(run());
        bencher.counter(products()).bench_local(|| black_box(run()));
    }

    #[divan::bench]
    fn exact_2_threads(bencher: Bencher<'_, '_>) {
        bench(bencher, Limits { exact_pages: usize::MAX, ..Limits::default() });
    }

    #[divan::bench]
    fn signs_then_exact_2_threads(bencher: Bencher<'_, '_>) {
        bench(bencher, Limits { exact_pages: 0, ..Limits::default() });
    }
}

/// The length of dense vectors, as of bge-m3.
const DENSE: usize = 1024;

/// An index of pages with a dense vector each, and no words.
fn with_dense(folder: &Path) -> Profile {
    let encoder = Encoder {
        name: "bench".into(),
        model: Hash([1; 32]),
        prompt: Hash([2; 32]),
        pooling: "own".into(),
        dim: DENSE as u32,
    };
    let profile = Profile { dense: Some(encoder), ..Profile::default() };
    let mut writer = Writer::create(folder, &profile).expect("an index");
    for (number, start) in (0..*PAGES).step_by(1000).enumerate() {
        let count = (*PAGES - start).min(1000);
        let document = NewDocument {
            path: format!("{number}.pdf"),
            hash: Hash([3; 32]),
            pages: count as u32,
            date: None,
            category: None,
            metadata: Default::default(),
            reading: None,
        };
        let Ok(Begun::Open { document, .. }) = writer.begin(&document) else { panic!("begun") };
        let dense: Vec<_> = (start..start + count).map(|at| [numbers(at, DENSE / DIM)]).collect();
        let pages: Vec<_> = dense
            .iter()
            .zip(1..)
            .map(|(dense, number)| NewPage {
                document,
                number,
                hash: Hash([4; 32]),
                looks: None,
                text: "",
                read: None,
                vectors: None,
                dense,
                sparse: &[],
                preview: None,
                failure: None,
            })
            .collect();
        writer.commit(&pages, &[document]).expect("a commit");
    }
    profile
}

#[divan::bench_group(sample_count = 20, sample_size = 1)]
mod dense {
    use std::io::Read as _;

    use super::*;

    fn bytes() -> BytesCount {
        BytesCount::new(*PAGES * DENSE * 4)
    }

    /// What a search cannot be quicker than as long as vectors are not kept in memory.
    #[divan::bench]
    fn read_limit(bencher: Bencher<'_, '_>) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("vectors");
        std::fs::write(&path, vec![7_u8; *PAGES * DENSE * 4]).expect("a file");
        let mut piece = vec![0_u8; DENSE * 4];
        bencher.counter(bytes()).bench_local(|| {
            let mut file = std::fs::File::open(&path).expect("the file");
            while file.read(&mut piece).expect("its bytes") > 0 {
                black_box(&piece);
            }
        });
    }

    #[divan::bench]
    fn of_all_pages(bencher: Bencher<'_, '_>) {
        let folder = tempfile::tempdir().expect("a folder");
        let profile = with_dense(folder.path());
        let cpu = cpu(1, None);
        let index = Index::open(folder.path(), &profile, cpu, Limits::default()).expect("an index");
        let vector = numbers(99_999_999, DENSE / DIM);
        let query = Query { dense: Some(&vector), limit: 10, ..Query::default() };
        let run = || index.search(&query, &mut |_, _| ()).expect("an answer");
        black_box(run());
        bencher.counter(bytes()).bench_local(|| black_box(run()));
    }
}
