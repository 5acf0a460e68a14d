//! Networks that see, against their references: what becomes of images, and of prompts that show some.

use std::fs;
use std::path::{Path, PathBuf};

use checkpoint::{Adapter, Folder, NewTensor};
use kernels::{Device, Isa, Precision, Tensor, ops};
use models::media::Image;
use models::{
    Batch, Cache, Decoder, Encoder, ImageSpan, Model, Picture, Taps, Vision, token_vectors,
};

use crate::fixture::{self, Fixture, Golden, PAGE, cosine, difference};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/vision")
}

/// The names of all checkpoints, sorted.
pub(crate) fn all() -> Vec<String> {
    let entries = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<_> = entries
        .filter(|entry| entry.path().join("model.safetensors").exists())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Those that continue sequences.
fn decoders() -> Vec<String> {
    let mut names = all();
    names.retain(|name| !name.starts_with(RETRIEVAL));
    names
}

/// What begins the names of those that make a vector of each token.
const RETRIEVAL: &str = "colqwen";

/// What the reference computed of the checkpoint `name`, or of the one whose name it continues.
fn golden(name: &str) -> Golden {
    let has = |name: &&String| root().join(name.as_str()).join("golden.safetensors").exists();
    let all = all();
    let own = all.iter().filter(|other| name.starts_with(other.as_str())).filter(has);
    Golden::at(&root().join(own.max_by_key(|name| name.len()).unwrap()).join("golden.safetensors"))
}

/// The pictures, in the order in which goldens number them.
fn pictures(golden: &Golden) -> Vec<Image> {
    let entries = fs::read_dir(root().join("pictures")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rgb"));
    paths.sort();
    let size = |i: usize| golden.has(&format!("image{i}.size"));
    paths.truncate((0..).take_while(|&i| size(i)).count());
    let read = |(i, path): (usize, &PathBuf)| {
        let size = golden.tokens(&format!("image{i}.size"));
        Image::new(size[0] as usize, size[1] as usize, fs::read(path).unwrap()).unwrap()
    };
    paths.iter().enumerate().map(read).collect()
}

struct Seen {
    picture: Picture,
    features: Tensor,
    taps: Vec<(String, Tensor)>,
}

fn look(vision: &dyn Vision, image: &Image) -> Seen {
    let picture = vision.preprocess().picture(image).unwrap();
    let taps = Taps::recording();
    let features = vision.forward(&picture, &taps);
    Seen { picture, features, taps: taps.recorded() }
}

/// Where the pictures of a prompt stand in it.
fn spans(tokens: &[u32], mention: u32, seen: &[&Seen]) -> Vec<ImageSpan> {
    let mut at = 0;
    let place = |seen: &&Seen| {
        let first = at + tokens[at..].iter().position(|&token| token == mention).unwrap();
        at = first + seen.picture.tokens;
        assert!(tokens[first..at].iter().all(|&token| token == mention));
        let features = Some(seen.features.clone());
        ImageSpan { positions: first..at, grid: seen.picture.grid, features }
    };
    seen.iter().map(place).collect()
}

/// A prompt, computed in parts that end at `cuts`: the hidden states of the last.
fn read(
    decoder: &dyn Decoder,
    cache: &mut Cache,
    (tokens, images): (&[u32], &[ImageSpan]),
    cuts: &[usize],
) -> Tensor {
    let pages: Vec<u32> = (0..tokens.len().div_ceil(PAGE) as u32).collect();
    let (mut from, mut last) = (0, None);
    for &to in cuts {
        let mut batch = Batch::default();
        batch.push(&tokens[from..to], from, pages.clone());
        batch.show(images.to_vec());
        last = Some(decoder.forward(&batch, cache));
        from = to;
    }
    last.unwrap()
}

fn best(logits: &Tensor) -> u32 {
    let rows = logits.to_vec();
    let last = &rows[rows.len() - logits.width()..];
    last.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u32
}

/// Whether a golden's tensor is one of picture `i`.
fn is_of(i: usize, name: &str) -> bool {
    name.strip_prefix(&format!("image{i}.")).is_some()
}

/// Those rows of `ours`, alike for each part of a picture, that a golden of this `shape` kept: all, or every so manieth.
fn kept(ours: &Tensor, shape: &[usize]) -> Vec<f32> {
    let &[parts, some, _] = shape else { return ours.to_vec() };
    let all = ours.rows() / parts;
    let step = (all - 1) / (some - 1);
    let rows = (0..parts).flat_map(|part| (0..some).map(move |row| part * all + row * step));
    ops::take(ours, &rows.map(|row| row as u32).collect::<Vec<_>>()).to_vec()
}

/// All that the golden has of the checkpoint `name`; `near` says how near a tensor must be.
fn compare(name: &str, device: Device, near: impl Fn(&str, &[f32], &[f32])) {
    let golden = golden(name);
    let fixture = Fixture::at(&root().join(name), device);
    let decoder = fixture.decoder().unwrap();
    let vision = decoder.vision().unwrap();
    let images = pictures(&golden);
    let seen: Vec<_> = images.iter().map(|image| look(vision, image)).collect();
    for (i, seen) in seen.iter().enumerate() {
        for (tap, ours) in &seen.taps {
            // A checkpoint may keep its parts in other places than the reference.
            let places = ["visual.", "vision_model.", "vision_tower.", "model."];
            let core = places.iter().find_map(|place| Some(tap.rsplit_once(place)?.1));
            let core = core.unwrap_or(tap);
            let truth = golden.names().find(|name| is_of(i, name) && name.ends_with(core));
            let truth = truth.unwrap_or_else(|| panic!("{name}: the golden has no `{tap}`"));
            near(truth, &kept(ours, golden.shape(truth)), golden.values(truth));
        }
        let others =
            ["size", "grid", "pixels", "features"].map(|other| format!("image{i}.{other}"));
        let recorded = golden.names().filter(|name| is_of(i, name));
        let recorded = recorded.filter(|name| !others.iter().any(|other| other == name));
        assert_eq!(seen.taps.len(), recorded.count(), "{name}: as many taps as the reference has");
        let truth = format!("image{i}.features");
        near(&truth, &seen.features.to_vec(), golden.values(&truth));
        assert_eq!(seen.picture.tokens, seen.features.rows());
    }
    let mention = vision.preprocess().token();
    for p in 0.. {
        let field = |field: &str| format!("prompt{p}.{field}");
        if !golden.has(&field("tokens")) {
            assert!(p > 2, "{name}: {p} prompts");
            break;
        }
        // A reference may mark rows of images by numbers that no token has.
        let marked = golden.values(&field("tokens")).iter();
        let tokens: Vec<u32> =
            marked.map(|&token| if token < 0.0 { mention } else { token as u32 }).collect();
        let shown =
            if golden.has(&field("images")) { golden.tokens(&field("images")) } else { vec![] };
        let shown: Vec<_> = shown.iter().map(|&i| &seen[i as usize]).collect();
        let images = spans(&tokens, mention, &shown);
        let n = tokens.len();
        let pages = (n + 16).div_ceil(PAGE);
        let mut cache = fixture.cache_of(pages);
        let hidden = read(decoder, &mut cache, (&tokens, &images), &[n]);
        let logits = decoder.unembed(&hidden);
        let rows = golden.has(&field("rows")).then(|| golden.tokens(&field("rows")));
        let some = rows.map_or_else(|| logits.clone(), |rows| ops::take(&logits, &rows));
        near(&field("logits"), &some.to_vec(), golden.values(&field("logits")));
        // Token by token, and the prompt in any parts.
        let mut all = tokens.clone();
        let mut next = best(&logits);
        for &truth in &golden.tokens(&field("greedy")) {
            assert_eq!(next, truth, "{name}: the continuation of prompt {p}");
            all.push(next);
            let pages = (0..all.len().div_ceil(PAGE) as u32).collect();
            let mut batch = Batch::default();
            batch.push(&all[all.len() - 1..], all.len() - 1, pages);
            let past = |image: &ImageSpan| ImageSpan { features: None, ..image.clone() };
            batch.show(images.iter().map(past).collect());
            next = best(&decoder.unembed(&decoder.forward(&batch, &mut cache)));
        }
        let whole = logits.to_vec();
        // A long prompt is cut once: it would take long.
        let cuts = [n / 3, 1, n / 2, n - 1];
        for &cut in if n > 256 { &cuts[..1] } else { &cuts[..] } {
            let mut cache = fixture.cache_of(pages);
            let rest = read(decoder, &mut cache, (&tokens, &images), &[cut, n]);
            let rest = decoder.unembed(&rest).to_vec();
            near(
                &format!("{} from {cut}", field("logits")),
                &rest,
                &whole[whole.len() - rest.len()..],
            );
        }
    }
}

#[test]
fn exact_mode_agrees_with_the_reference() {
    for name in decoders() {
        for isa in [Isa::Portable, Isa::best()] {
            compare(&name, fixture::device(isa, Precision::Exact), |what, ours, truth| {
                let difference = difference(ours, truth);
                assert!(difference < 1e-4, "{name}, {isa}: `{what}` is off by {difference:e}");
            });
        }
    }
}

#[test]
fn mlx_agrees_with_the_reference() {
    let Some(device) = fixture::mlx() else { return };
    for name in decoders() {
        compare(&name, device.clone(), |what, ours, truth| {
            let difference = difference(ours, truth);
            assert!(difference < 1e-4, "{name}, MLX: `{what}` is off by {difference:e}");
        });
        assert_eq!(device.take_failure(), None, "{name}");
    }
}

/// Networks of 32 dimensions with weights made by chance spread what is rounded to 16 bits: the reference itself is as far from
/// itself there. What is allowed is about twice what was measured.
#[test]
fn fast_mode_stays_close_to_the_reference() {
    for (precision, least) in [(Precision::Bf16, 0.9965), (Precision::Fast, 0.996)] {
        for name in decoders() {
            compare(&name, fixture::device(Isa::best(), precision), |what, ours, truth| {
                let cosine = cosine(ours, truth);
                assert!(cosine >= least, "{name}, {precision:?}: `{what}`: cosine {cosine}");
            });
        }
    }
}

/// Widths and heights of images, and how many tokens the reference has for them: how much is padding is a matter of rounding.
#[test]
fn an_image_of_any_shape_has_as_many_tokens_as_the_reference_says() {
    let device = fixture::device(Isa::best(), Precision::Exact);
    let fixture = Fixture::at(&root().join("llava_next"), device);
    let vision = fixture.decoder().unwrap().vision().unwrap();
    for ((width, height), tokens) in [
        ((1, 1), 36),
        ((56, 112), 56),
        ((112, 56), 52),
        ((57, 113), 56),
        ((168, 1), 16),
        ((1, 168), 28),
        ((90, 31), 34),
        ((31, 90), 40),
        ((300, 7), 16),
        ((7, 300), 28),
        ((101, 100), 88),
        ((100, 101), 88),
        ((223, 97), 60),
        ((5, 4), 44),
        ((640, 480), 70),
        ((333, 111), 68),
        ((111, 333), 76),
        ((84, 56), 44),
        ((160, 50), 68),
    ] {
        let image = Image::new(width, height, vec![90; width * height * 3]).unwrap();
        let seen = look(vision, &image);
        assert_eq!(seen.picture.tokens, tokens, "{width} x {height}");
        assert_eq!(seen.features.rows(), tokens, "{width} x {height}");
    }
}

/// A checkpoint that makes vectors, with an adapter where it is of no use alone.
fn retrieval(name: &str, device: &Device) -> Model {
    let folder = Folder::open(&root().join(name)).unwrap();
    let adapter = root().join(format!("{name}_adapter"));
    if adapter.exists() {
        let adapter = Adapter::open(&adapter).unwrap();
        return models::load_adapted(&folder, adapter, device).unwrap();
    }
    models::load(&folder, device).unwrap()
}

/// Vectors of each token of one sequence.
fn vectors(encoder: &dyn Encoder, tokens: &[u32], images: Vec<ImageSpan>) -> Vec<Vec<f32>> {
    let mut batch = Batch::default();
    batch.push(tokens, 0, Vec::new());
    batch.show(images);
    let hidden = encoder.forward(&batch);
    let mut vectors = token_vectors(encoder.retrieval().unwrap().vectors, &hidden, &batch, 0);
    vectors.remove(0)
}

/// The sum of each vector's largest product.
fn score(query: &[Vec<f32>], page: &[Vec<f32>]) -> f32 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let best = |q: &Vec<f32>| page.iter().map(|p| product(q, p)).fold(f32::MIN, f32::max);
    query.iter().map(best).sum()
}

fn compare_retrieval(name: &str, device: &Device, near: impl Fn(&str, &[f32], &[f32])) {
    let own = root().join(name).join("golden.safetensors");
    let adapted = root().join(format!("{name}_adapter")).join("golden.safetensors");
    let golden = Golden::at(if own.exists() { &own } else { &adapted });
    let model = retrieval(name, device);
    let encoder = model.network.encoder().unwrap();
    let vision = encoder.vision().unwrap();
    let mention = vision.preprocess().token();
    let seen: Vec<_> = pictures(&Golden::at(&root().join("qwen2_5_vl/golden.safetensors")))
        .iter()
        .map(|image| look(vision, image))
        .collect();
    let (mut pages, mut queries) = (Vec::new(), Vec::new());
    for (i, seen) in seen.iter().enumerate() {
        let tokens = golden.tokens(&format!("page{i}.tokens"));
        let found = vectors(encoder, &tokens, spans(&tokens, mention, &[seen]));
        let truth = format!("page{i}.multi");
        near(&truth, &found.concat(), golden.values(&truth));
        pages.push(found);
    }
    for q in 0..2 {
        let tokens = golden.tokens(&format!("query{q}.tokens"));
        let found = vectors(encoder, &tokens, Vec::new());
        let truth = format!("query{q}.multi");
        near(&truth, &found.concat(), golden.values(&truth));
        queries.push(found);
    }
    let scores = queries.iter().flat_map(|query| pages.iter().map(|page| score(query, page)));
    near("scores", &scores.collect::<Vec<_>>(), golden.values("scores"));
    // Pages in one batch are what they are alone.
    let mut batch = Batch::default();
    for (i, seen) in seen.iter().enumerate() {
        let tokens = golden.tokens(&format!("page{i}.tokens"));
        batch.push(&tokens, 0, Vec::new());
        batch.show(spans(&tokens, mention, &[seen]));
    }
    let hidden = encoder.forward(&batch);
    let together = token_vectors(encoder.retrieval().unwrap().vectors, &hidden, &batch, 0);
    for (alone, together) in pages.iter().zip(&together) {
        near("pages together", &together.concat(), &alone.concat());
    }
}

#[test]
fn vectors_of_pages_and_queries_are_those_of_the_reference() {
    let mut devices = vec![fixture::device(Isa::Portable, Precision::Exact)];
    devices.push(fixture::device(Isa::best(), Precision::Exact));
    devices.extend(fixture::mlx());
    for device in devices {
        for name in all().iter().filter(|name| name.starts_with(RETRIEVAL)) {
            compare_retrieval(name, &device, |what, ours, truth| {
                let difference = difference(ours, truth);
                assert!(difference < 1e-4, "{name}, {device:?}: `{what}` is off by {difference:e}");
            });
        }
    }
}

/// Two programs that people use give images positions in a line. What comes of that must not pass for what the reference gives:
/// an image of one token stands where text would, so that many of them are such a line.
#[test]
fn positions_in_a_line_are_not_those_of_the_reference() {
    let device = fixture::device(Isa::best(), Precision::Exact);
    let name = "colqwen2_5_merged";
    let golden = Golden::at(&root().join(name).join("golden.safetensors"));
    let model = retrieval(name, &device);
    let encoder = model.network.encoder().unwrap();
    let vision = encoder.vision().unwrap();
    let mention = vision.preprocess().token();
    let images = pictures(&Golden::at(&root().join("qwen2_5_vl/golden.safetensors")));
    for (i, image) in images.iter().enumerate() {
        let tokens = golden.tokens(&format!("page{i}.tokens"));
        let whole = spans(&tokens, mention, &[&look(vision, image)]).remove(0);
        let features = whole.features.unwrap();
        let line = whole.positions.enumerate().map(|(row, at)| ImageSpan {
            positions: at..at + 1,
            grid: [1, 1],
            features: Some(ops::take(&features, &[row as u32][..])),
        });
        let found = vectors(encoder, &tokens, line.collect()).concat();
        let truth = golden.values(&format!("page{i}.multi"));
        let (off, cosine) = (difference(&found, truth), cosine(&found, truth));
        assert!(off > 0.1 && cosine < 0.99, "page {i}: off by {off}, cosine {cosine}");
    }
}

#[test]
fn fast_vectors_stay_close_to_the_reference() {
    for name in all().iter().filter(|name| name.starts_with(RETRIEVAL)) {
        let device = fixture::device(Isa::best(), Precision::Fast);
        compare_retrieval(name, &device, |what, ours, truth| {
            let cosine = cosine(ours, truth);
            assert!(cosine > 0.985, "{name}: `{what}`: cosine {cosine}");
        });
    }
}

/// The same below `vlm`, as other programs write it.
#[test]
fn a_retriever_may_have_its_body_in_one_part() {
    let from = root().join("colqwen2_5_merged");
    let to = tempfile::tempdir().unwrap();
    let source = Folder::open(&from).unwrap();
    let weights = source.weights().unwrap();
    let renamed: Vec<_> = source
        .index()
        .unwrap()
        .tensors
        .iter()
        .map(|tensor| {
            let name = match tensor.name.strip_prefix("custom_text_proj.") {
                Some(rest) => format!("embedding_proj_layer.{rest}"),
                None => format!("vlm.{}", tensor.name),
            };
            (name, weights.get(&tensor.name).unwrap())
        })
        .collect();
    let tensors: Vec<_> = renamed
        .iter()
        .map(|(name, tensor)| NewTensor {
            name,
            dtype: tensor.dtype,
            shape: &tensor.shape,
            bytes: &tensor.bytes,
        })
        .collect();
    checkpoint::write(&to.path().join("model.safetensors"), &tensors, &Default::default()).unwrap();
    let config = fs::read(from.join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let config = serde_json::json!({"model_type": "colqwen2", "vlm_config": config});
    fs::write(to.path().join("config.json"), config.to_string()).unwrap();
    let file = "processor_config.json";
    fs::copy(from.join(file), to.path().join(file)).unwrap();
    let device = fixture::device(Isa::best(), Precision::Exact);
    let vectors_of = |path: &Path| {
        let model = models::load(&Folder::open(path).unwrap(), &device).unwrap();
        vectors(model.network.encoder().unwrap(), &[1, 2, 3, 4], Vec::new())
    };
    assert_eq!(vectors_of(to.path()), vectors_of(&from));
}
