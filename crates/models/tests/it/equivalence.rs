//! One network, many ways to run it: a whole prompt, token by token, packed with strangers, in
//! chunks, and after somebody else's beginning was found in the cache must all give the same.

use kernels::{DType, Device, Isa, KvFormat, KvQuantization, Precision, Span};
use models::{Batch, Cache};

use crate::fixture::{self, Fixture, PAGE, cosine, difference};

/// A stretch of a sequence: its tokens, where they begin, its pages, how long it will be.
type Part<'a> = (&'a [u32], usize, &'a [u32], usize);

/// The hidden states of each part, which run as one batch.
fn run(fixture: &Fixture, cache: &mut Cache, parts: &[Part<'_>]) -> Vec<Vec<f32>> {
    let mut batch = Batch::default();
    for (tokens, start, pages, length) in parts {
        batch.push_part(tokens, *start, pages.to_vec(), *length);
    }
    let hidden = fixture.decoder().unwrap().forward(&batch, cache);
    let (rows, width) = (hidden.to_vec(), hidden.width());
    let part = |span: &Span| rows[span.rows.start * width..span.rows.end * width].to_vec();
    batch.spans.iter().map(part).collect()
}

fn tokens(seed: u32, n: usize, vocabulary: usize) -> Vec<u32> {
    (0..n as u32).map(|i| (seed + i * i * 7 + i * 3) % vocabulary as u32).collect()
}

fn pages(from: u32) -> Vec<u32> {
    // In no order, as a cache that has been in use hands them out.
    (0..8).map(|i| from + (i * 5) % 8).collect()
}

#[test]
fn every_way_to_run_a_decoder_gives_the_same() {
    every_way(&fixture::device(Isa::best(), Precision::Exact));
}

#[test]
fn every_way_to_run_a_decoder_gives_the_same_on_mlx() {
    if let Some(device) = fixture::mlx() {
        every_way(&device);
        assert_eq!(device.take_failure(), None);
    }
}

fn every_way(device: &Device) {
    for name in fixture::all() {
        let fixture = Fixture::on(&name, device.clone());
        if fixture.decoder().is_none() {
            continue;
        }
        let n = 23;
        let ours = tokens(1, n, fixture.model.vocabulary);
        let strangers = [tokens(5, 9, fixture.model.vocabulary), tokens(9, 1, 100)];
        let whole = run(&fixture, &mut fixture.cache(), &[(&ours, 0, &pages(0), n)]).remove(0);
        let width = whole.len() / n;
        let same = |what: &str, other: &[f32]| {
            let difference = difference(other, &whole);
            assert!(difference < 1e-5, "{name}: {what} is off by {difference:e}");
        };

        let mut cache = fixture.cache();
        let mut stepped = Vec::new();
        for i in 0..n {
            let rows = run(&fixture, &mut cache, &[(&ours[i..=i], i, &pages(0), n)]);
            stepped.extend_from_slice(&rows[0]);
        }
        same("token by token", &stepped);

        let parts: [Part<'_>; 3] = [
            (&strangers[0], 0, &pages(8), 9),
            (&ours, 0, &pages(16), n),
            (&strangers[1], 0, &pages(24), 1),
        ];
        same("packed with strangers", &run(&fixture, &mut fixture.cache(), &parts)[1]);

        let mut cache = fixture.cache();
        let mut chunked = Vec::new();
        for (from, to) in [(0, 3), (3, 11), (11, 12), (12, n)] {
            let parts: [Part<'_>; 2] =
                [(&strangers[1], from, &pages(24), 1), (&ours[from..to], from, &pages(0), n)];
            // The stranger only writes to its own pages; its past need not make sense.
            let parts = if from == 0 { &parts[..] } else { &parts[1..] };
            chunked.extend_from_slice(run(&fixture, &mut cache, parts).last().unwrap());
        }
        same("chunked", &chunked);

        // Two whole pages of another sequence with the same beginning are taken over.
        let shared = 2 * PAGE;
        let mut cache = fixture.cache();
        let beginning = [&ours[..shared], &strangers[0][..]].concat();
        run(&fixture, &mut cache, &[(&beginning, 0, &pages(8), n)]);
        let mut mine = pages(0);
        mine[..2].copy_from_slice(&pages(8)[..2]);
        let rest = run(&fixture, &mut cache, &[(&ours[shared..], shared, &mine, n)]).remove(0);
        same("after a prefix was found", &[&whole[..shared * width], &rest[..]].concat());
    }
}

/// A cache of codes gives nearly what one of floats gives. The bounds are on one minus the cosine
/// of all logits; the fixtures are random networks, whose attention forgives least.
#[test]
fn codes_stay_close_to_floats() {
    let cpu = fixture::device(Isa::best(), Precision::Exact);
    for device in [Some(cpu), fixture::mlx()].into_iter().flatten() {
        for name in fixture::all() {
            let fixture = Fixture::on(&name, device.clone());
            let Some(decoder) = fixture.decoder() else { continue };
            let layers = decoder.layers();
            let kept: Vec<_> = layers.iter().map(|layer| layer.kv).collect();
            let ours = tokens(1, 23, fixture.model.vocabulary);
            let logits = |format: KvFormat| {
                let mut cache = Cache::new(&device, &layers, PAGE, 8, format);
                let mut batch = Batch::default();
                batch.push(&ours, 0, pages(0));
                decoder.unembed(&decoder.forward(&batch, &mut cache)).to_vec()
            };
            let dtype = DType::F32;
            let truth = logits(dtype.into());
            for (bits, most) in [(8, 5e-4), (4, 0.12)] {
                let Ok(how) = KvQuantization::for_layers(bits, &kept) else { continue };
                let coded = logits(KvFormat { dtype, quantization: Some(how) });
                let off = 1.0 - cosine(&coded, &truth);
                assert!(off < most, "{name}: {bits} bits are off by {off:e}");
                assert!(coded != truth, "{name}: {bits} bits changed nothing");
            }
        }
    }
}

#[test]
fn an_encoder_sees_no_strangers() {
    for name in fixture::all() {
        let fixture = Fixture::load(&name, Isa::best(), Precision::Exact);
        let Some(encoder) = fixture.encoder() else { continue };
        let ours = tokens(1, 13, fixture.model.vocabulary);
        let forward = |passages: &[&[u32]], at: usize| {
            let mut batch = Batch::default();
            passages.iter().for_each(|tokens| batch.push(tokens, 0, Vec::new()));
            let hidden = encoder.forward(&batch);
            let rows = batch.spans[at].rows.clone();
            hidden.to_vec()[rows.start * hidden.width()..rows.end * hidden.width()].to_vec()
        };
        let alone = forward(&[&ours], 0);
        let stranger = tokens(5, 7, fixture.model.vocabulary);
        let packed = forward(&[&stranger, &[], &ours, &stranger], 2);
        assert!(difference(&packed, &alone) < 1e-5, "{name}");
    }
}
