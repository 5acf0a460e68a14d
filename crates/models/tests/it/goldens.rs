//! Each architecture and each format against its reference.

use std::path::PathBuf;

use kernels::{Isa, Precision};

use crate::encoders;
use crate::fixture::{self, Fixture, Golden, cosine, difference, logits};
use crate::vision;

/// The likeliest token of the last row, again and again.
fn greedy(fixture: &Fixture, tokens: &[u32], n: usize) -> Vec<u32> {
    let mut tokens = tokens.to_vec();
    let prompt = tokens.len();
    for _ in 0..n {
        let (logits, _) = logits(fixture, &tokens);
        let rows = logits.to_vec();
        let last = &rows[rows.len() - logits.width()..];
        let best = last.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        tokens.push(best.0 as u32);
    }
    tokens.split_off(prompt)
}

#[test]
fn every_architecture_has_a_fixture() {
    let device = fixture::device(Isa::Portable, Precision::Exact);
    let mut folders: Vec<_> =
        fixture::all().iter().map(|name| fixture::root().join(name)).collect();
    folders.extend(vision::all().iter().map(|name| vision::root().join(name)));
    let architecture = |folder: &PathBuf| Fixture::at(folder, device.clone()).model.architecture;
    let loaded: Vec<_> = folders.iter().map(architecture).collect();
    for name in models::architectures() {
        assert!(loaded.contains(&name), "`{name}` has no golden");
    }
}

/// The activations in order of computation, so that a failure names the first module that is wrong,
/// and the logits.
fn compare(fixture: &Fixture, name: &str, how: &str) {
    let golden = Golden::read(name);
    let (logits, taps) = logits(fixture, &golden.tokens("tokens"));
    for (tap, ours) in &taps {
        let difference = difference(&ours.to_vec(), golden.values(tap));
        assert!(difference < 1e-4, "{name}, {how}: `{tap}` is off by {difference:e}");
    }
    let recorded = golden.names().filter(|name| name.contains("model.")).count();
    assert_eq!(taps.len(), recorded, "{name}: as many taps as the reference has");
    let difference = difference(&logits.to_vec(), golden.values("logits"));
    assert!(difference < 1e-4, "{name}, {how}: the logits are off by {difference:e}");
}

fn compare_greedy(fixture: &Fixture, name: &str) {
    let golden = Golden::read(name);
    let ours = greedy(fixture, &golden.tokens("tokens"), 16);
    assert_eq!(ours, golden.tokens("greedy"), "{name}: the greedy continuation");
}

#[test]
fn exact_mode_agrees_with_the_reference() {
    for name in fixture::all() {
        for isa in [Isa::Portable, Isa::best()] {
            let fixture = Fixture::load(&name, isa, Precision::Exact);
            if fixture.decoder().is_some() {
                compare(&fixture, &name, &isa.to_string());
            }
        }
        let fixture = Fixture::load(&name, Isa::best(), Precision::Exact);
        if fixture.decoder().is_some() {
            compare_greedy(&fixture, &name);
        }
    }
}

/// The way that a GPU takes, on MLX's CPU, which sums in 16 bits. What is allowed there is about
/// twice what was measured.
#[test]
fn mlx_of_16_bits_stays_near_the_reference() {
    let Some(device) = fixture::mlx_of_16_bits() else { return };
    let mut worst = (0.0, String::new());
    for name in fixture::all() {
        let fixture = Fixture::on(&name, device.clone());
        if fixture.decoder().is_none() {
            continue;
        }
        let golden = Golden::read(&name);
        let logits = logits(&fixture, &golden.tokens("tokens")).0.to_vec();
        let off = 1.0 - cosine(&logits, golden.values("logits"));
        assert_eq!(device.take_failure(), None, "{name}");
        assert!(!off.is_nan(), "{name}");
        worst = if off > worst.0 { (off, name) } else { worst };
    }
    let (off, name) = worst;
    assert!(off < 4e-3, "{name}: the cosine of the logits is off by {off:e}");
}

/// Nothing is waited for between a batch and its logits, by no architecture.
#[test]
fn a_step_on_mlx_is_one_graph() {
    let Some(device) = fixture::mlx() else { return };
    for name in fixture::all() {
        let fixture = Fixture::on(&name, device.clone());
        if fixture.decoder().is_some() {
            let waits = || device.as_mlx().unwrap().waits();
            let before = waits();
            let (logits, _) = logits(&fixture, &[1, 2, 3]);
            assert_eq!(waits(), before, "{name}");
            assert!(logits.to_vec().iter().all(|x| x.is_finite()));
            assert_eq!(waits(), before + 1, "{name}");
        }
    }
}

#[test]
fn mlx_agrees_with_the_reference() {
    let Some(device) = fixture::mlx() else { return };
    for name in fixture::all() {
        let fixture = Fixture::on(&name, device.clone());
        if fixture.decoder().is_some() {
            compare(&fixture, &name, "mlx");
            compare_greedy(&fixture, &name);
        } else {
            encoders::compare(&fixture, &name, Precision::Exact);
        }
        assert_eq!(device.take_failure(), None, "{name}");
    }
}

#[test]
fn fast_mode_stays_close_to_the_reference() {
    for (precision, least) in [(Precision::Bf16, 0.9999), (Precision::Fast, 0.9995)] {
        for name in fixture::all() {
            let fixture = Fixture::load(&name, Isa::best(), precision);
            if fixture.decoder().is_none() {
                continue;
            }
            let golden = Golden::read(&name);
            let tokens = golden.tokens("tokens");
            let (logits, _) = logits(&fixture, &tokens);
            let cosine = cosine(&logits.to_vec(), golden.values("logits"));
            assert!(cosine >= least, "{name}, {precision:?}: cosine {cosine}");
            let ours = greedy(&fixture, &tokens, 16);
            assert_eq!(ours, golden.tokens("greedy"), "{name}, {precision:?}: the continuation");
        }
    }
}
