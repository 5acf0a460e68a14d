//! The pipeline against a scripted world and a scripted parser.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use documents::layout::{Flow, Line, PageLayout, Region, Style, Word};
use documents::picture::Picture;
use documents::pipeline::{
    Event, Mode, Need, Outline, PageReading, Parse, Raster, ReadOptions, Reader, Render, Room,
    TEMPERATURES, Watch, lay_out, read, reading,
};
use documents::{
    Answer, Ask, Document, Error, Finish, Heard, NoModel, Origin, Page, PageFailure, PageSet, Rect,
    Reply, Source, World,
};
use testkit::seer;

/// Answers with prepared pages; the picture of a page is one row of pixels, its number first and zeros after it.
#[derive(Default)]
struct Scripted {
    pages: Vec<Result<PageLayout, PageFailure>>,
    asked: Vec<u32>,
    /// Pages that cannot be drawn.
    invisible: Vec<u32>,
}

impl Parse for Scripted {
    fn open(&mut self, _: Source, _: &[String]) -> Result<Outline, Error> {
        let pages = u32::try_from(self.pages.len()).expect("few pages");
        Ok(Outline { pages, ..Outline::default() })
    }

    fn page(&mut self, index: u32) -> Result<PageLayout, PageFailure> {
        self.asked.push(index);
        self.pages[index as usize].clone()
    }
}

impl Render for Scripted {
    fn render(&mut self, index: u32, raster: Raster) -> Result<Picture, PageFailure> {
        // What an engine is shown is larger.
        let large = raster.longest == 3300;
        assert!(large || raster.longest == 1288);
        if self.invisible.contains(&(index + 1)) {
            return Err(PageFailure::StackOverflow);
        }
        let number = index as u8 + 1;
        let width = if large { 4 } else { 2 };
        let mut pixels = vec![0; 3 * width];
        pixels[..3].fill(number);
        Ok(Picture { width, height: 1, pixels })
    }
}

/// An attempt as a script sees it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    reader: usize,
    page: u8,
    /// Degrees counter-clockwise, as the picture tells.
    turned: u16,
    temperature: f32,
}

/// Reads by a script: a function of the attempt and of how often its page was tried before.
struct Eyes<F> {
    readers: Vec<Reader>,
    script: F,
    seen: Mutex<Vec<Seen>>,
}

impl<F: Fn(&Seen, usize) -> Answer + Sync> Eyes<F> {
    fn new(readers: &[Reader], script: F) -> Self {
        Self { readers: readers.to_vec(), script, seen: Mutex::default() }
    }
}

impl<F: Fn(&Seen, usize) -> Answer + Sync> World for Eyes<F> {
    fn readers(&self) -> Vec<Reader> {
        self.readers.clone()
    }

    fn transcribe(&self, ask: Ask, reply: Reply) {
        let picture = &ask.picture;
        let is_engine = matches!(self.readers[ask.reader], Reader::Engine(_));
        assert_eq!(picture.width == 4, is_engine);
        let (turned, page) = match (picture.width, picture.pixels[0]) {
            (2, 0) => (180, picture.pixels[3]),
            (2 | 4, page) => (0, page),
            (_, 0) => (90, picture.pixels[3]),
            (_, page) => (270, page),
        };
        let seen = Seen { reader: ask.reader, page, turned, temperature: ask.temperature };
        let answer = {
            let mut all = self.seen.lock().expect("nobody panicked under it");
            let before = all.iter().filter(|s| s.page == page).count();
            all.push(seen.clone());
            (self.script)(&seen, before)
        };
        reply.send(answer);
    }
}

fn model(name: &str) -> Reader {
    Reader::Model(name.to_owned())
}

fn heard(text: &str, finish: Finish) -> Answer {
    Answer::Text(Heard {
        text: text.to_owned(),
        finish,
        input_tokens: 100,
        output_tokens: 10,
        by: None,
    })
}

fn good(text: &str) -> Answer {
    heard(&seer::page(text), Finish::Stop)
}

fn turned(degrees: u16, text: &str) -> Answer {
    heard(&seer::turned(degrees, text), Finish::Stop)
}

fn failed(message: &str) -> Answer {
    Answer::Failed { message: message.to_owned() }
}

fn scan() -> Result<PageLayout, PageFailure> {
    let whole = Rect::new(0.0, 0.0, 600.0, 800.0);
    Ok(PageLayout {
        width: 600.0,
        height: 800.0,
        images: vec![whole],
        image_cover: 1.0,
        ..PageLayout::default()
    })
}

fn blank() -> Result<PageLayout, PageFailure> {
    Ok(PageLayout { width: 600.0, height: 800.0, ..PageLayout::default() })
}

fn text(words: &str) -> Result<PageLayout, PageFailure> {
    let mut line = Line::default();
    for (at, word) in words.split(' ').enumerate() {
        let left = 50.0 + 60.0 * at as f32;
        line.words.push(Word {
            text: word.to_owned(),
            bbox: Rect::new(left, 300.0, left + 50.0, 310.0),
            size: 10.0,
            style: Style::PLAIN,
            spaced: at > 0,
            link: None,
        });
    }
    (line.bbox, line.baseline, line.size) = (Rect::new(50.0, 300.0, 500.0, 310.0), 308.0, 10.0);
    let flow = Flow { lines: vec![line], left: 50.0, right: 550.0, turned: 0 };
    Ok(PageLayout {
        regions: vec![Region::Flow(flow)],
        visible_glyphs: words.len() as u32,
        ..blank()?
    })
}

fn source() -> Source {
    Source { name: "scan.pdf".to_owned(), bytes: Vec::new() }
}

/// Notes what happens.
#[derive(Default)]
struct Notes {
    laid_out: Option<(usize, usize)>,
    pages: Vec<u32>,
    faults: Vec<(u32, u32, String)>,
    pauses: Vec<Duration>,
    stop_after: Option<usize>,
}

impl Watch for Notes {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::LaidOut { pages, to_read, .. } => self.laid_out = Some((pages, to_read)),
            Event::Attempt { page, index, fault, .. } => {
                self.faults.push((page, index, fault.to_owned()));
            }
            Event::Pause { pause, .. } => self.pauses.push(pause),
            Event::Page { page, .. } => self.pages.push(page.number),
            Event::Asked { .. } | _ => {}
        }
    }

    fn stop(&self) -> bool {
        self.stop_after.is_some_and(|pages| self.pages.len() >= pages)
    }
}

fn quick(mode: Mode) -> ReadOptions {
    ReadOptions { mode, pause: Duration::from_millis(1), ..ReadOptions::default() }
}

fn run(
    pages: Vec<Result<PageLayout, PageFailure>>,
    options: &ReadOptions,
    world: &dyn World,
) -> (Result<Document, Error>, Notes) {
    let mut parser = Scripted { pages, ..Scripted::default() };
    let mut notes = Notes::default();
    let document = read(source(), options, &mut parser, world, &Room::new(3), &mut notes);
    (document, notes)
}

fn transcript(page: &Page) -> &PageReading {
    let Origin::Transcript(reading) = &page.origin else { panic!("{:?}", page.origin) };
    reading
}

#[test]
fn only_pages_without_good_text_are_looked_at() {
    let world = Eyes::new(&[model("eyes")], |seen, _| match seen.page {
        1 => good("# Read\n"),
        5 => good(""),
        _ => failed("out of battery"),
    });
    let pages = vec![scan(), blank(), Err(PageFailure::StackOverflow), text("some words"), scan()];
    let (document, notes) = run(pages, &quick(Mode::Auto), &world);
    let document = document.unwrap();
    assert_eq!(notes.laid_out, Some((5, 3)));
    let mut done = notes.pages.clone();
    done.sort_unstable();
    assert_eq!(done, [1, 2, 3, 4, 5]);
    let first = transcript(&document.pages[0]);
    assert_eq!(first.text.as_deref(), Some("# Read"));
    assert_eq!((&first.by, first.fallback, first.attempt), (&model("eyes"), false, 0));
    assert_eq!((first.input_tokens, first.output_tokens), (100, 10));
    assert_eq!(document.pages[1].origin, Origin::Blank);
    let unread = PageFailure::Unread { attempts: 8, because: "out of battery".to_owned() };
    assert_eq!(document.pages[2].origin, Origin::Failed(unread));
    assert_eq!(document.pages[3].origin, Origin::TextLayer);
    assert_eq!(transcript(&document.pages[4]).text, None);
    let needs: Vec<_> = document.pages.iter().map(|page| page.need).collect();
    let scan = Some(Need::NoText);
    assert_eq!(needs, [scan, None, Some(Need::Unparsed), None, scan]);

    let markdown = super::markdown(&document);
    let parts: Vec<&str> = markdown.trim_end().split("\n\n").collect();
    let lost = "<!-- page 3 could not be read: 8 attempts to read it failed, the last because out of battery -->";
    assert_eq!(parts, ["# Read", lost, "some words"]);
    let readings: Vec<_> = document.pages.iter().filter_map(reading).collect();
    assert_eq!(readings.len(), 4);
}

#[test]
fn without_a_model_pages_stay_unread_or_it_is_an_error() {
    let pages = || vec![scan(), text("words")];
    let document = run(pages(), &quick(Mode::Auto), &NoModel).0.unwrap();
    assert_eq!(document.pages[0].origin, Origin::NoText { images: 1, cover: 1.0 });
    let error = run(pages(), &quick(Mode::Ocr), &NoModel).0.unwrap_err();
    assert!(matches!(error, Error::NoReader { .. }), "{error}");
}

#[test]
fn what_fails_is_tried_hotter_and_what_is_turned_is_turned() {
    let world = Eyes::new(&[model("eyes")], |seen, before| match (seen.page, before) {
        (1, 0) => turned(90, "sideways"),
        (1, 1) => turned(270, "upside down"),
        (2, 0) => heard("no front matter", Finish::Stop),
        (2, 1) => heard("---\nprimary_language: en\n", Finish::Length),
        (2, 2) => heard("", Finish::Repetition),
        _ => good("text"),
    });
    let options = quick(Mode::Ocr);
    let (document, notes) = run(vec![scan(), scan()], &options, &world);
    let document = document.unwrap();
    let seen = world.seen.lock().unwrap();
    let of = |page: u8| seen.iter().filter(|s| s.page == page).cloned().collect::<Vec<_>>();
    let turns: Vec<u16> = of(1).iter().map(|s| s.turned).collect();
    assert_eq!(turns, [0, 90, 0]);
    let temperatures: Vec<f32> = of(2).iter().map(|s| s.temperature).collect();
    // When only this page is left, what may still be tried is tried at once.
    assert_eq!(temperatures, TEMPERATURES);
    assert_eq!(transcript(&document.pages[0]).attempt, 2);
    assert_eq!(transcript(&document.pages[1]).attempt, 3);
    let faults: BTreeMap<(u32, u32), &str> =
        notes.faults.iter().map(|(page, index, fault)| ((*page, *index), fault.as_str())).collect();
    assert_eq!(faults[&(1, 0)], "the page is turned, by 90 degrees");
    assert_eq!(faults[&(2, 0)], "the answer does not begin with front matter");
    assert_eq!(faults[&(2, 1)], "the answer was cut off at the most tokens");
    assert_eq!(faults[&(2, 2)], "the answer repeated itself without end");
}

#[test]
fn too_many_tokens_are_a_cut_off_answer() {
    let world = Eyes::new(&[model("eyes")], |_, _| good("text"));
    let options = ReadOptions { most_tokens: 109, ..quick(Mode::Ocr) };
    let (document, notes) = run(vec![scan()], &options, &world);
    assert!(matches!(
        document.unwrap().pages[0].origin,
        Origin::Failed(PageFailure::Unread { attempts: 8, .. })
    ));
    assert_eq!(notes.faults[0].2, "110 tokens are more than 109");
}

#[test]
fn the_next_reader_gets_what_the_first_failed_at_and_then_the_text_layer_is_taken() {
    let engine = Reader::Engine("ocr 5".to_owned());
    let readers = [model("first"), model("second"), engine.clone()];
    let world = Eyes::new(&readers, |seen, _| match (seen.reader, seen.page) {
        (0, 1) => good("by the first"),
        (1, 2) => good("by the second"),
        (2, 3) => heard("by the engine\n", Finish::Stop),
        (0, _) => Answer::Refused { message: "too large".to_owned() },
        _ => failed("no"),
    });
    let mut options = quick(Mode::Ocr);
    options.ladder.max_page_retries = 2;
    let pages = vec![scan(), scan(), scan(), text("own words"), scan()];
    let document = run(pages, &options, &world).0.unwrap();
    let by = |at: usize| transcript(&document.pages[at]);
    assert_eq!((&by(0).by, by(0).fallback), (&readers[0], false));
    assert_eq!((&by(1).by, by(1).fallback, by(1).attempt), (&readers[1], true, 1));
    assert_eq!(by(1).because.as_deref(), Some("too large"));
    assert_eq!((&by(2).by, by(2).text.as_deref()), (&engine, Some("by the engine")));
    assert_eq!((&by(3).by, by(3).fallback), (&Reader::TextLayer, true));
    assert_eq!(by(3).text.as_deref(), Some("own words"));
    // One attempt of the first, two of the second, one of the engine.
    let unread = PageFailure::Unread { attempts: 4, because: "no".to_owned() };
    assert_eq!(document.pages[4].origin, Origin::Failed(unread));
}

#[test]
fn an_engine_alone_reads_scans_and_not_what_another_recognised() {
    let engine = Reader::Engine("ocr 5".to_owned());
    let world = Eyes::new(&[engine], |_, _| heard("recognised\n", Finish::Stop));
    let hidden = text("own words").map(|page| PageLayout {
        visible_glyphs: 0,
        hidden_glyphs: page.visible_glyphs,
        ..page
    });
    let document =
        run(vec![scan(), hidden, text("own words")], &quick(Mode::Auto), &world).0.unwrap();
    let first = transcript(&document.pages[0]);
    assert_eq!((first.text.as_deref(), first.fallback), (Some("recognised"), false));
    assert!(document.pages[1..].iter().all(|page| !matches!(page.origin, Origin::Transcript(_))));
}

#[test]
fn a_page_that_cannot_be_drawn_falls_back_to_its_text() {
    let world = Eyes::new(&[model("eyes")], |_, _| good("seen"));
    let pages = vec![text("own words"), scan(), scan()];
    let mut parser = Scripted { pages, invisible: vec![1, 2], ..Scripted::default() };
    let options = quick(Mode::Ocr);
    let document = read(source(), &options, &mut parser, &world, &Room::new(1), &mut ()).unwrap();
    assert_eq!(transcript(&document.pages[0]).by, Reader::TextLayer);
    assert_eq!(document.pages[1].origin, Origin::Failed(PageFailure::StackOverflow));
    assert_eq!(transcript(&document.pages[2]).text.as_deref(), Some("seen"));
}

#[test]
fn who_cannot_be_reached_is_asked_again_and_no_attempt_is_lost() {
    let world = Eyes::new(&[model("eyes")], |seen, before| match before {
        0 => Answer::Unavailable { message: "busy".to_owned(), retry_after: None },
        1 => Answer::Unavailable {
            message: "busy".to_owned(),
            retry_after: Some(Duration::from_millis(30)),
        },
        _ => good(&format!("page {}", seen.page)),
    });
    let (document, notes) = run(vec![scan()], &quick(Mode::Ocr), &world);
    let document = document.unwrap();
    assert_eq!(transcript(&document.pages[0]).attempt, 0);
    assert_eq!(notes.pauses, [Duration::from_millis(1), Duration::from_millis(30)]);
    assert!(world.seen.lock().unwrap().iter().all(|seen| seen.temperature == 0.1));

    let gone = Eyes::new(&[model("eyes")], |_, _| Answer::Unavailable {
        message: "connection refused".to_owned(),
        retry_after: None,
    });
    let options = ReadOptions { patience: Duration::from_millis(20), ..quick(Mode::Ocr) };
    let error = run(vec![scan(), scan()], &options, &gone).0.unwrap_err();
    assert!(
        matches!(&error, Error::Unreachable { message, .. } if message == "connection refused")
    );
}

#[test]
fn a_reader_that_can_read_nothing_is_not_asked_again() {
    let unusable = |message: &str| Answer::Unusable { message: message.to_owned(), hint: None };
    let world = Eyes::new(&[model("first"), model("second")], |seen, _| match seen.reader {
        0 => unusable("no such model"),
        _ => good("text"),
    });
    let document = run(vec![scan(), scan(), scan(), scan()], &quick(Mode::Ocr), &world).0.unwrap();
    assert!(document.pages.iter().all(|page| transcript(page).fallback));
    let seen = world.seen.lock().unwrap();
    // Three pages were on their way when it was found out.
    assert!(seen.iter().filter(|seen| seen.reader == 0).count() <= 3);

    let nobody = Eyes::new(&[model("first")], |_, _| unusable("no such model"));
    let error = run(vec![text("words"), scan()], &quick(Mode::Ocr), &nobody).0.unwrap_err();
    assert!(matches!(&error, Error::Unusable { message, .. } if message == "no such model"));
}

#[test]
fn both_readings_are_compared_where_there_are_two() {
    let world = Eyes::new(&[model("eyes")], |seen, _| match seen.page {
        1 => good("the sum is **7,500** euros"),
        _ => good("a scan"),
    });
    let pages = vec![text("the sum is 1,500 euros"), scan()];
    let document = run(pages, &quick(Mode::Ocr), &world).0.unwrap();
    let agreement = document.pages[0].agreement.as_ref().unwrap();
    assert_eq!(agreement.only_text_layer, ["1,500"]);
    assert_eq!(agreement.only_model, ["7,500"]);
    assert!((agreement.score() - 0.8).abs() < 1e-6);
    assert_eq!(document.pages[1].agreement, None);
}

#[test]
fn what_was_read_before_is_not_read_again() {
    let world = Eyes::new(&[model("eyes")], |_, _| good("new"));
    let mut options = quick(Mode::Ocr);
    let mut old = PageReading::of_text_layer(2, Some("old".to_owned()));
    old.by = model("eyes");
    options.known.insert(2, old);
    let (document, notes) = run(vec![scan(), scan(), scan()], &options, &world);
    let document = document.unwrap();
    assert_eq!(notes.laid_out, Some((3, 2)));
    let texts: Vec<_> = document.pages.iter().map(|p| transcript(p).text.as_deref()).collect();
    assert_eq!(texts, [Some("new"), Some("old"), Some("new")]);
}

#[test]
fn an_answer_without_front_matter_may_be_allowed() {
    let world = Eyes::new(&[model("eyes")], |_, _| heard("\n# Title\n", Finish::Stop));
    let options = ReadOptions { front_matter: false, ..quick(Mode::Ocr) };
    let document = run(vec![scan()], &options, &world).0.unwrap();
    assert_eq!(transcript(&document.pages[0]).text.as_deref(), Some("# Title"));
}

#[test]
fn whoever_looks_on_may_give_up() {
    let world = Eyes::new(&[model("eyes")], |_, _| good("text"));
    let pages = (0..40).map(|_| scan()).collect();
    let mut parser = Scripted { pages, ..Scripted::default() };
    let mut notes = Notes { stop_after: Some(5), ..Notes::default() };
    let room = Room::new(2);
    let options = quick(Mode::Ocr);
    let error = read(source(), &options, &mut parser, &world, &room, &mut notes).unwrap_err();
    assert!(matches!(error, Error::Stopped { .. }));
    assert!(notes.pages.len() < 10, "{}", notes.pages.len());
    // The room is free again.
    let document = run(vec![scan()], &options, &world).0;
    assert!(document.is_ok());
}

/// Answers from other threads, after a while, unless nobody waits any more.
struct Slow;

impl World for Slow {
    fn readers(&self) -> Vec<Reader> {
        vec![model("slow")]
    }

    fn transcribe(&self, ask: Ask, reply: Reply) {
        let page = ask.picture.pixels[0];
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(u64::from(page * 7 % 5)));
            reply.send(good(&format!("page {page}")));
        });
    }
}

#[test]
fn many_documents_share_a_room() {
    let room = Room::new(4);
    thread::scope(|scope| {
        for _ in 0..5 {
            let room = &room;
            scope.spawn(move || {
                let pages = (0..12).map(|_| scan()).collect();
                let mut parser = Scripted { pages, ..Scripted::default() };
                let options = quick(Mode::Ocr);
                let document = read(source(), &options, &mut parser, &Slow, room, &mut ()).unwrap();
                for page in &document.pages {
                    let expected = format!("page {}", page.number);
                    assert_eq!(transcript(page).text.as_deref(), Some(expected.as_str()));
                }
            });
        }
    });
}

#[test]
fn only_wanted_pages_and_a_few_beside_them_are_parsed() {
    let blanks = (0..20).map(|_| blank()).collect();
    let mut parser = Scripted { pages: blanks, ..Scripted::default() };
    let pages = PageSet::parse("12,1").unwrap();
    let document = lay_out(source(), &pages, &[], &mut parser).unwrap();
    assert_eq!(parser.asked, [0, 1, 2, 9, 10, 11, 12, 13]);
    let numbers: Vec<_> = document.pages.iter().map(|page| page.number).collect();
    assert_eq!((numbers, document.page_count), (vec![1, 12], 20));
    let pages = PageSet::parse("21").unwrap();
    let error = lay_out(source(), &pages, &[], &mut parser).unwrap_err();
    assert!(matches!(error, Error::PageMissing { page: 21, count: 20, .. }), "{error}");
}
