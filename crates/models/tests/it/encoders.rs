//! Encoders, what is made of their hidden states, and what judges them, against their references.

use checkpoint::Folder;
use kernels::{Isa, Precision, Tensor};
use models::{Batch, EmbeddingHead, TokenHeads};

use crate::fixture::{self, Fixture, Golden, cosine, difference};

#[test]
fn encoders_agree_with_the_reference() {
    for name in fixture::all() {
        for precision in [Precision::Exact, Precision::Bf16, Precision::Fast] {
            compare(&Fixture::load(&name, Isa::best(), precision), &name, precision);
        }
    }
}

/// Whether `ours` is what the reference computed, as well as `precision` can have it.
#[track_caller]
fn agree(what: &str, ours: &[f32], truth: &[f32], precision: Precision) {
    if precision == Precision::Exact {
        let difference = difference(ours, truth);
        assert!(difference < 1e-4, "{what} is off by {difference:e}");
    } else {
        let cosine = cosine(ours, truth);
        assert!(cosine >= 0.9995, "{what}, {precision:?}: cosine {cosine}");
    }
}

/// Two passages in one batch, and a pair: activations, last hidden states, and what heads make of them.
pub(crate) fn compare(fixture: &Fixture, name: &str, precision: Precision) {
    let Some(encoder) = fixture.encoder() else { return };
    let golden = Golden::read(name);
    let mut tokens = &golden.tokens("tokens")[..];
    let mut batch = Batch::default();
    for length in golden.tokens("lengths") {
        let (passage, rest) = tokens.split_at(length as usize);
        batch.push(passage, 0, Vec::new());
        tokens = rest;
    }
    batch.record();
    let hidden = encoder.forward(&batch);
    heads(fixture, name, &golden, (&hidden, &batch), precision);
    if precision == Precision::Exact {
        let taps = batch.recorded();
        let expected = |tap: &&str| tap.starts_with("encoder.") || tap.starts_with("layers.");
        assert!(taps.len() > golden.names().filter(expected).count(), "{name}: too few taps");
        for (tap, ours) in taps {
            agree(&format!("{name}: `{tap}`"), &ours.to_vec(), golden.values(&tap), precision);
        }
    }
    let truth = golden.values("last_hidden_state");
    agree(&format!("{name}: the hidden states"), &hidden.to_vec(), truth, precision);

    let mut pair = Batch::default();
    pair.push_pair(&golden.tokens("pair.tokens"), &golden.tokens("pair.token_types"));
    let hidden = encoder.forward(&pair);
    let truth = golden.values("pair.last_hidden_state");
    agree(&format!("{name}: the pair"), &hidden.to_vec(), truth, precision);
    if let Some(classifier) = fixture.classifier() {
        let logits = classifier.classify(&hidden, &pair.spans).to_vec();
        judged(name, &logits, golden.values("pair.logits"), precision);
    }
}

/// What is made of the hidden states of two passages.
fn heads(
    fixture: &Fixture,
    name: &str,
    golden: &Golden,
    (hidden, batch): (&Tensor, &Batch),
    precision: Precision,
) {
    if let Some(classifier) = fixture.classifier() {
        let logits = classifier.classify(hidden, &batch.spans);
        assert_eq!(logits.shape(), [2, classifier.labels()]);
        return judged(name, &logits.to_vec(), golden.values("logits"), precision);
    }
    let folder = Folder::open(&fixture::root().join(name)).unwrap();
    let (encoder, width) = (fixture.encoder().unwrap(), hidden.width());
    let head = EmbeddingHead::load(&folder, &fixture.device, encoder, width).unwrap();
    let mut ours = head.apply(hidden, &batch.spans);
    if golden.has("embedding") {
        // Where no file says that vectors have length one, ours do all the same.
        let mut truth: Vec<_> =
            golden.values("embedding").chunks(width).map(<[f32]>::to_vec).collect();
        if folder.sentence_transformers().unwrap().is_none() {
            truth.iter_mut().for_each(|vector| models::normalize(vector));
        }
        agree(&format!("{name}: the embedding"), &ours.concat(), &truth.concat(), precision);
    }
    let cut = golden.names().find_map(|name| name.strip_prefix("embedding.")?.parse().ok());
    if let Some(dimensions) = cut {
        ours.iter_mut().for_each(|vector| head.cut(vector, dimensions));
        let truth = golden.values(&format!("embedding.{dimensions}"));
        agree(&format!("{name}: the cut embedding"), &ours.concat(), truth, precision);
    }
    let heads = TokenHeads::load(&folder, &fixture.device, width).unwrap();
    assert_eq!(heads.has_sparse(), golden.has("sparse.0.tokens"), "{name}");
    for (i, ours) in heads.sparse(hidden, batch, &[0, 1, 2, 3]).into_iter().enumerate() {
        let (tokens, weights): (Vec<_>, Vec<_>) = ours.into_iter().unzip();
        let truth = golden.tokens(&format!("sparse.{i}.tokens"));
        // A weight near zero may vanish when numbers are rounded.
        if precision == Precision::Exact {
            assert_eq!(tokens, truth, "{name}");
            let truth = golden.values(&format!("sparse.{i}.weights"));
            agree(&format!("{name}: weights of tokens"), &weights, truth, precision);
        }
    }
    assert_eq!(heads.has_multi(), golden.has("multi"), "{name}");
    if heads.has_multi() {
        let ours = heads.multi(hidden, batch).concat().concat();
        agree(&format!("{name}: vectors of tokens"), &ours, golden.values("multi"), precision);
    }
}

/// Logits are few, so that a cosine says nothing of them.
fn judged(name: &str, ours: &[f32], truth: &[f32], precision: Precision) {
    let most = if precision == Precision::Exact { 1e-4 } else { 2e-2 };
    let difference = difference(ours, truth);
    assert!(difference < most, "{name}, {precision:?}: the logits are off by {difference:e}");
}
