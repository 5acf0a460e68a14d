//! Images in prompts: where they stand, how often they are seen, and who shares what was computed of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::{Engine, EngineOptions, Event, Finish, Id, PromptImage, Refusal, Request, SightStats};
use kernels::{CpuOptions, DType, Device, KvLayer, Tensor};
use models::media::Image;
use models::{
    Batch, Cache, Decoder, LayerCache, Picture, Preprocess, Remember, Result, Taps, Vision,
};

const VOCABULARY: usize = 100;
const MENTION: u32 = 7;

/// A network that answers with what it saw last: the sum of the last row before the end, one further.
struct Onlooker {
    device: Device,
    eye: Eye,
}

struct Eye {
    device: Device,
    looks: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Whole;

impl Preprocess for Whole {
    fn picture(&self, image: &Image) -> Result<Picture> {
        let tokens = image.width() * image.height();
        let grid = [image.height(), image.width()];
        let size = [image.width(), image.height()];
        Ok(Picture { parts: vec![image.clone()], size, grid, tokens })
    }

    fn token(&self) -> u32 {
        MENTION
    }
}

impl Vision for Eye {
    fn preprocess(&self) -> Arc<dyn Preprocess> {
        Arc::new(Whole)
    }

    /// Row `i` is the red of pixel `i`.
    fn forward(&self, picture: &Picture, _: &Taps) -> Tensor {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let pixels = picture.parts[0].pixels().chunks(3).map(|pixel| f32::from(pixel[0]));
        self.device.tensor(&[picture.tokens, 1], pixels.collect())
    }
}

impl Decoder for Onlooker {
    fn layers(&self) -> Vec<LayerCache> {
        let kv = KvLayer { kv_heads: 1, key_dim: 2, value_dim: 2 };
        vec![LayerCache { kv, remember: Remember::Full }]
    }

    fn vision(&self) -> Option<&dyn Vision> {
        Some(&self.eye)
    }

    fn forward(&self, batch: &Batch, _: &mut Cache) -> Tensor {
        let rows = batch.tokens.iter().map(|&token| {
            assert!((token as usize) < VOCABULARY, "the network knows no token {token}");
            token as f32
        });
        let rows = rows.collect();
        batch.with_images(&self.device.tensor(&[batch.tokens.len(), 1], rows))
    }

    fn unembed(&self, hidden: &Tensor) -> Tensor {
        let mut logits = Vec::new();
        for row in hidden.to_vec() {
            let mut of_row = vec![0.0; VOCABULARY];
            of_row[(row as usize + 1) % VOCABULARY] = 1.0;
            logits.extend(of_row);
        }
        self.device.tensor(&[hidden.rows(), VOCABULARY], logits)
    }
}

fn engine(image_bytes: usize) -> (Engine, Arc<AtomicUsize>) {
    let options = CpuOptions { threads: Some(1), ..CpuOptions::default() };
    let device = Device::cpu(options).unwrap();
    let options = EngineOptions {
        step_tokens: 5,
        sequences: 4,
        page_size: 4,
        cache_tokens: 256,
        cache_format: DType::F32.into(),
        image_bytes,
        ..EngineOptions::default()
    };
    let looks = Arc::new(AtomicUsize::new(0));
    let eye = Eye { device: device.clone(), looks: Arc::clone(&looks) };
    let decoder = Box::new(Onlooker { device: device.clone(), eye });
    (Engine::new(&device, decoder, (64, VOCABULARY), options), looks)
}

/// An image of `n` pixels, the red of which is `red`, and one more in each next one.
fn image(n: usize, red: u8, at: usize) -> PromptImage {
    let pixels = (0..n).flat_map(|i| [red + i as u8, 0, 0]).collect();
    let picture = Whole.picture(&Image::new(n, 1, pixels).unwrap()).unwrap();
    let mut digest = [0; 32];
    digest[..2].copy_from_slice(&[n as u8, red]);
    PromptImage { positions: at..at + n, picture: Arc::new(picture), digest }
}

fn ask(engine: &mut Engine, id: u64, prompt: Vec<u32>, images: Vec<PromptImage>) -> Vec<u32> {
    let request = Request { prompt, images, max_tokens: 2, ..Request::default() };
    engine.add(Id(id), request).unwrap();
    let mut tokens = Vec::new();
    while !engine.is_idle() {
        for event in engine.step() {
            match event {
                Event::Token(_, token) => tokens.push(token),
                Event::Finished(_, finish) => assert_eq!(finish, Finish::Length),
                Event::Begun(..) | Event::Likely(..) | Event::Progress(..) => {}
            }
        }
    }
    tokens
}

/// A prompt of two tokens, an image of `n` rows, and nothing after it.
fn prompt(n: usize) -> Vec<u32> {
    [vec![1, 2], vec![MENTION; n]].concat()
}

#[test]
fn an_image_is_seen_once_in_all_parts_of_a_prompt_and_by_the_next_request() {
    let (mut engine, looks) = engine(1 << 20);
    // Longer than three steps: its last row is 30 + 15.
    assert_eq!(ask(&mut engine, 1, prompt(16), vec![image(16, 30, 2)]), [46, 47]);
    assert_eq!(looks.load(Ordering::Relaxed), 1);
    let before = engine.status().prefix.found;
    assert_eq!(ask(&mut engine, 2, prompt(16), vec![image(16, 30, 2)]), [46, 47]);
    assert_eq!(looks.load(Ordering::Relaxed), 1);
    assert_eq!(engine.status().prefix.found - before, 16, "four pages of the same beginning");
    let SightStats { asked, found } = engine.sight();
    assert!(asked > 1 && found == asked - 1, "{asked} {found}");
}

#[test]
fn another_image_of_the_same_shape_shares_only_what_is_before_it() {
    let (mut engine, looks) = engine(1 << 20);
    assert_eq!(ask(&mut engine, 1, prompt(16), vec![image(16, 30, 2)]), [46, 47]);
    let before = engine.status().prefix.found;
    assert_eq!(ask(&mut engine, 2, prompt(16), vec![image(16, 50, 2)]), [66, 67]);
    assert_eq!(engine.status().prefix.found, before, "no page is without the image");
    assert_eq!(looks.load(Ordering::Relaxed), 2);
}

#[test]
fn features_stay_within_their_budget() {
    // Room for one image of 14 rows.
    let (mut engine, looks) = engine(100);
    for (id, red) in [(1, 10), (2, 30), (3, 10)] {
        // The text after the image differs, so that the end is computed anew.
        let tokens = [prompt(14), vec![id as u32]].concat();
        assert_eq!(ask(&mut engine, id, tokens, vec![image(14, red, 2)])[0], id as u32 + 1);
    }
    assert_eq!(looks.load(Ordering::Relaxed), 2, "the third shares pages with the first");
    let (mut engine, looks) = self::engine(100);
    for (id, red) in [(1, 10), (2, 30), (3, 10)] {
        let tokens = [vec![id as u32], prompt(14)].concat();
        ask(&mut engine, id, tokens, vec![image(14, red, 3)]);
    }
    assert_eq!(looks.load(Ordering::Relaxed), 3, "the first made room for the second");
}

#[test]
fn two_images_stand_where_they_are_said_to() {
    let (mut engine, _) = engine(1 << 20);
    let tokens = [vec![1], vec![MENTION; 3], vec![4], vec![MENTION; 2]].concat();
    let images = vec![image(3, 10, 1), image(2, 20, 5)];
    assert_eq!(ask(&mut engine, 1, tokens.clone(), images), [22, 23]);
    let images = vec![image(3, 10, 1), image(2, 40, 5)];
    assert_eq!(ask(&mut engine, 2, tokens, images), [42, 43]);
}

#[test]
fn images_that_do_not_fit_are_refused() {
    let (mut engine, _) = engine(1 << 20);
    let mut refused = |images: Vec<PromptImage>| {
        let request = Request { prompt: prompt(4), images, max_tokens: 1, ..Request::default() };
        matches!(engine.add(Id(1), request), Err(Refusal::ImagePlace { .. }))
    };
    assert!(refused(vec![image(5, 0, 2)]), "beyond the end");
    assert!(refused(vec![image(2, 0, 2), image(2, 0, 3)]), "over each other");
    let short = PromptImage { positions: 2..4, ..image(4, 0, 2) };
    assert!(refused(vec![short]), "fewer tokens than it has");
    let unknown = Request { prompt: vec![100], max_tokens: 1, ..Request::default() };
    assert!(matches!(engine.add(Id(2), unknown), Err(Refusal::UnknownToken { token: 100, .. })));
}
