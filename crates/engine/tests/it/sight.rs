//! Images in prompts: where they stand, how often they are seen, and who shares what was computed of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::{
    Engine, EngineOptions, Event, Failure, Finish, Id, Priority, PromptImage, Refusal, Request,
    SightStats,
};
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
    pieces: usize,
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

    fn pieces(&self, _: &Picture) -> usize {
        self.pieces
    }

    /// Row `i` is the red of pixel `i`; until then, how many pieces were done.
    fn piece(&self, picture: &Picture, piece: usize, left: Vec<Tensor>, _: &Taps) -> Vec<Tensor> {
        if piece == 0 {
            self.looks.fetch_add(1, Ordering::Relaxed);
        }
        let before: Vec<_> = left.iter().flat_map(Tensor::to_vec).collect();
        let expected = if piece == 0 { vec![] } else { vec![piece as f32; picture.tokens] };
        assert_eq!(before, expected, "what the piece before left");
        let pixels = picture.parts[0].pixels().chunks(3).map(|pixel| f32::from(pixel[0]));
        let pixels: Vec<_> = pixels.collect();
        assert!(pixels[0] < 200.0 || piece == 0, "a picture that cannot be seen");
        let last = piece + 1 == self.pieces;
        let rows = if last { pixels } else { vec![piece as f32 + 1.0; picture.tokens] };
        vec![self.device.tensor(&[picture.tokens, 1], rows)]
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
    seeing(3, EngineOptions { image_bytes, ..options() })
}

fn options() -> EngineOptions {
    EngineOptions {
        step_tokens: 5,
        sequences: 4,
        page_size: 4,
        cache_tokens: 8192,
        cache_format: DType::F32.into(),
        image_bytes: 1 << 20,
        ..EngineOptions::default()
    }
}

/// An engine whose network looks in so many pieces.
fn seeing(pieces: usize, options: EngineOptions) -> (Engine, Arc<AtomicUsize>) {
    let cpu = CpuOptions { threads: Some(1), ..CpuOptions::default() };
    let device = Device::cpu(cpu).unwrap();
    let looks = Arc::new(AtomicUsize::new(0));
    let eye = Eye { device: device.clone(), looks: Arc::clone(&looks), pieces };
    let decoder = Box::new(Onlooker { device: device.clone(), eye });
    (Engine::new(&device, decoder, (8192, VOCABULARY), options), looks)
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

/// Runs an engine in virtual time, in which a pass takes 30 ms and a piece of a look `look` seconds, until request `until` says
/// something or all is over: when the tokens of request 1 came.
fn watch(engine: &mut Engine, look: f64, until: u64) -> Vec<f64> {
    let (mut now, mut tokens) = (0.0, Vec::new());
    while !engine.is_idle() {
        let events = engine.step();
        // A pass has news of those that are in it.
        let seconds = if events.is_empty() { look } else { 0.03 };
        engine.took(seconds);
        now += seconds;
        for event in events {
            match event {
                Event::Token(Id(1), _) => tokens.push(now),
                Event::Token(Id(id), _) if id == until => return tokens,
                Event::Begun(..)
                | Event::Likely(..)
                | Event::Progress(..)
                | Event::Token(..)
                | Event::Finished(..) => {}
            }
        }
    }
    tokens
}

fn stream(priority: Priority) -> Request {
    Request { prompt: vec![5], max_tokens: 4000, priority, ..Request::default() }
}

/// A request that is shown an image from its first token on.
fn shown(red: u8) -> Request {
    let images = vec![image(4, red, 0)];
    Request { prompt: vec![MENTION; 4], images, max_tokens: 1, ..Request::default() }
}

#[test]
fn a_watched_stream_keeps_its_floor_while_an_image_is_looked_at() {
    for look in [0.005, 0.1, 0.4] {
        let (mut engine, _) = seeing(40, EngineOptions { decode_share: 0.8, ..options() });
        engine.add(Id(1), stream(Priority::Interactive)).unwrap();
        for _ in 0..5 {
            engine.step();
            engine.took(0.03);
        }
        engine.add(Id(2), Request { max_tokens: 1, ..shown(30) }).unwrap();
        let times = watch(&mut engine, look, 2);
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        let longest = gaps.fold(0.0, f64::max);
        // What was spared before the image came may be spent at once.
        assert!(longest < 0.031 + f64::max(look, 0.04), "{longest} with {look}");
        let share = times.len() as f64 * 0.03 / times.last().unwrap();
        assert!(share > 0.8, "{share} with {look}");
        let seen = 40.0 * look / times.last().unwrap();
        assert!(seen > 0.12 || look < 0.01, "{seen} with {look}: the image had too little");
    }
}

#[test]
fn a_stream_that_nobody_watches_goes_on_half_as_fast_at_least() {
    let (mut engine, _) = seeing(40, options());
    engine.add(Id(1), stream(Priority::Normal)).unwrap();
    engine.step();
    engine.took(0.03);
    engine.add(Id(2), shown(30)).unwrap();
    let times = watch(&mut engine, 0.1, 2);
    let share = times.len() as f64 * 0.03 / times.last().unwrap();
    assert!((0.45..0.6).contains(&share), "{share}");
}

#[test]
fn an_image_that_two_wait_for_is_looked_at_once() {
    let (mut engine, looks) = seeing(7, options());
    for id in [1, 2] {
        engine.add(Id(id), shown(30)).unwrap();
    }
    let request = Request { invariant: true, ..shown(30) };
    engine.add(Id(3), request).unwrap();
    let mut told = BTreeMap::new();
    while !engine.is_idle() {
        for event in engine.step() {
            if let Event::Token(id, token) = event {
                told.insert(id, token);
            }
        }
    }
    assert_eq!(told, BTreeMap::from([(Id(1), 34), (Id(2), 34), (Id(3), 34)]));
    assert_eq!(looks.load(Ordering::Relaxed), 1);
}

#[test]
fn a_look_that_fails_ends_who_waits_for_it_and_nobody_else() {
    let (mut engine, _) = seeing(7, options());
    for (id, red) in [(1, 210), (2, 30), (3, 210)] {
        engine.add(Id(id), shown(red)).unwrap();
    }
    let mut ends = BTreeMap::new();
    while !engine.is_idle() {
        for event in engine.step() {
            if let Event::Finished(id, finish) = event {
                ends.insert(id, finish);
            }
        }
    }
    let failed = |id| matches!(&ends[&Id(id)], Finish::Failed(Failure::Panicked { what }) if what.contains("cannot be seen"));
    assert!(failed(1) && failed(3) && ends.len() == 3, "{ends:?}");
    assert_eq!(ends[&Id(2)], Finish::Length);
}

#[test]
fn a_look_that_nobody_waits_for_any_more_is_given_up() {
    let (mut engine, looks) = seeing(7, options());
    engine.add(Id(1), stream(Priority::Normal)).unwrap();
    engine.add(Id(2), shown(30)).unwrap();
    while looks.load(Ordering::Relaxed) == 0 {
        engine.step();
    }
    assert_eq!(engine.cancel(Id(2)), Some(Event::Finished(Id(2), Finish::Cancelled)));
    engine.step();
    engine.took(0.01);
    engine.add(Id(3), shown(30)).unwrap();
    watch(&mut engine, 0.01, 3);
    assert_eq!(looks.load(Ordering::Relaxed), 2, "it was begun anew");
}

#[test]
fn who_is_more_urgent_has_its_image_looked_at_first() {
    let (mut engine, looks) = seeing(7, options());
    engine.add(Id(1), Request { priority: Priority::Batch, ..shown(30) }).unwrap();
    while looks.load(Ordering::Relaxed) == 0 {
        engine.step();
    }
    engine.add(Id(2), Request { priority: Priority::Interactive, ..shown(50) }).unwrap();
    let mut order = Vec::new();
    while !engine.is_idle() {
        for event in engine.step() {
            if let Event::Finished(id, _) = event {
                order.push(id);
            }
        }
        engine.took(0.01);
    }
    assert_eq!(order, [Id(2), Id(1)]);
    assert_eq!(looks.load(Ordering::Relaxed), 2, "what was begun is kept meanwhile");
}
