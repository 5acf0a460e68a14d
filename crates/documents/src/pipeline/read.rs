//! A document, made into pages of text: by what it holds itself, and by whoever can read pictures.
//!
//! Pages go to the readers of a [`World`] side by side, as many as the [`Room`] has places for, over all documents that
//! are read at the time. What a page is tried with next is decided by a [`Ladder`]; when a reader has failed at a page,
//! the next one gets it, then its text layer is taken, and only then is it reported as unread.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::agreement::compare;
use super::filter::{PAGES, unwanted};
use super::front_matter::{FrontMatter, FrontMatterFault, parse};
use super::ladder::{Attempt, Ladder, LadderOptions, Outcome, Step};
use super::lay_out::laid_out;
use super::room::{Permit, Room};
use super::{MOST_TOKENS, Mode, Need, Outline, PROMPT, PageReading, Raster, Reader, Render};
use crate::markdown::{MarkdownOptions, write_own};
use crate::picture::Picture;
use crate::world::{Answer, Ask, Finish, Heard, Reply, Wanted};
use crate::{Document, Error, Origin, Page, PageFailure, PageSet, Source, World};

/// How a document is read.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadOptions {
    /// Which pages.
    pub pages: PageSet,
    /// Whether lines of text are kept where they stand: boxes of chunks, lines in JSON and captions of figures need them, and they
    /// are most of what a long document takes in memory.
    pub lines: bool,
    /// Whether [`unwanted`] documents are refused, before anybody looks at them.
    pub apply_filter: bool,
    /// Passwords to try on encrypted files; the empty one is always tried first.
    pub passwords: Vec<String>,
    /// Which pages are looked at.
    pub mode: Mode,
    /// What a model is told.
    pub prompt: Arc<str>,
    /// Whether an answer must have a front matter. If not, one without is text from its first letter on.
    pub front_matter: bool,
    /// Whether answers are held to the front matter's form where the reader can do that.
    pub guided: bool,
    /// Tokens of an answer at most.
    pub max_tokens: u32,
    /// Tokens of prompt and answer together beyond which an answer counts as cut off.
    pub most_tokens: u64,
    /// Pixels of the longer side of the picture that is shown.
    pub target_longest_image_dim: u32,
    /// The same for a program that recognises characters.
    pub engine_longest_image_dim: u32,
    /// How often a page is tried, and how.
    pub ladder: LadderOptions,
    /// Whether what may still be tried at the last page that is left is tried at once: it costs tokens, and is sooner done.
    pub at_once: bool,
    /// Pages that were read before: they are taken as they are.
    pub known: BTreeMap<u32, PageReading>,
    /// How long it is tried to reach readers that cannot be reached.
    pub patience: Duration,
    /// The pause after a reader could not be reached, or failed, for the first time; it is doubled each time, to a minute
    /// at most.
    pub pause: Duration,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            pages: PageSet::all(),
            lines: true,
            apply_filter: false,
            passwords: Vec::new(),
            mode: Mode::Auto,
            prompt: PROMPT.into(),
            front_matter: true,
            guided: true,
            max_tokens: 8000,
            most_tokens: MOST_TOKENS,
            target_longest_image_dim: 1288,
            // 300 pixels an inch of a page of letters, for which such programs are made.
            engine_longest_image_dim: 3300,
            ladder: LadderOptions::default(),
            at_once: true,
            known: BTreeMap::new(),
            patience: Duration::from_secs(600),
            pause: Duration::from_secs(1),
        }
    }
}

/// What happens while a document is read.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The file is open and its own text is known.
    LaidOut {
        /// What the file says of itself.
        outline: &'a Outline,
        /// How many pages are wanted.
        pages: usize,
        /// How many of them somebody is to look at.
        to_read: usize,
    },
    /// Somebody is asked to read a page.
    Asked {
        /// The page, from 1.
        page: u32,
        /// Which attempt it is, from 0.
        index: u32,
        /// Who is asked.
        reader: &'a Reader,
    },
    /// An attempt at a page was no success.
    Attempt {
        /// The page, from 1.
        page: u32,
        /// Which attempt, from 0.
        index: u32,
        /// Who made it.
        reader: &'a Reader,
        /// What was wrong.
        fault: &'a str,
    },
    /// Readers cannot be reached; it is tried again.
    Pause {
        /// What they said.
        message: &'a str,
        /// After this time.
        pause: Duration,
    },
    /// A page is done. Each wanted page comes once, in no order.
    Page {
        /// The page.
        page: &'a Page,
        /// Whether it was looked at now, or was tried to be: not one that is its own text, or was read before.
        looked: bool,
    },
}

/// Whoever looks on while a document is read.
pub trait Watch {
    /// Something happened.
    fn event(&mut self, event: Event<'_>);

    /// Whether to give up; asked several times a second.
    fn stop(&self) -> bool {
        false
    }
}

impl Watch for () {
    fn event(&mut self, _: Event<'_>) {}
}

/// How often it is asked whether to give up.
const LOOK: Duration = Duration::from_millis(200);
/// The longest pause.
const MOST_PAUSE: Duration = Duration::from_secs(60);

/// Reads a document. Every wanted page stands in it in the end, read or with the reason why it is not.
///
/// # Errors
/// When the file cannot be opened, a wanted page does not exist, nobody who could read can be used or reached, or
/// `watch` gave up.
pub fn read(
    source: Source,
    options: &ReadOptions,
    parser: &mut dyn Render,
    world: &dyn World,
    room: &Room,
    watch: &mut dyn Watch,
) -> Result<Document, Error> {
    let name = source.name.clone();
    let outline = parser.open(source, &options.passwords)?;
    read_opened((name, outline), options, parser, world, room, watch)
}

/// The same of a file that `parser` has open: its name, and what it says of itself.
///
/// # Errors
/// When a wanted page does not exist, nobody who could read can be used or reached, or `watch` gave up.
pub fn read_opened(
    (name, outline): (String, Outline),
    options: &ReadOptions,
    parser: &mut dyn Render,
    world: &dyn World,
    room: &Room,
    watch: &mut dyn Watch,
) -> Result<Document, Error> {
    let mut document =
        laid_out(name, outline.clone(), &options.pages, (options.mode, options.lines), parser)?;
    if options.apply_filter {
        let first = document.pages.iter().filter(|page| page.number <= PAGES);
        let text = first.filter_map(own_text).collect::<Vec<_>>().join("\n");
        if let Some(why) = unwanted(&outline, &text) {
            return Err(Error::Unwanted { file: document.name, why });
        }
    }
    let readers = world.readers();
    if readers.is_empty() && options.mode == Mode::Ocr {
        return Err(Error::NoReader { file: document.name });
    }
    let mut to_read = VecDeque::new();
    for (at, page) in document.pages.iter_mut().enumerate() {
        if let Some(known) = options.known.get(&page.number) {
            page.origin = Origin::Transcript(Box::new(known.clone()));
        } else if page.need.is_some_and(|need| is_worth(need, &readers)) {
            to_read.push_back(at);
        }
    }
    let pages = document.pages.len();
    watch.event(Event::LaidOut { outline: &outline, pages, to_read: to_read.len() });
    for (at, page) in document.pages.iter_mut().enumerate() {
        // What waits comes in order, so the first one that waits is at the front or further on.
        if to_read.binary_search(&at).is_err() {
            agree(page);
            watch.event(Event::Page { page, looked: false });
        }
    }
    if watch.stop() {
        return Err(Error::Stopped { file: document.name });
    }
    let (sender, receiver) = mpsc::channel();
    let mut eyes = Eyes {
        options,
        parser,
        world,
        room,
        watch,
        name: &document.name,
        pages: &mut document.pages,
        unusable: vec![None; readers.len()],
        readers,
        to_read,
        open: BTreeMap::new(),
        later: BTreeMap::new(),
        sender,
        receiver,
        waits: false,
        away: None,
        troubles: 0,
    };
    eyes.run()?;
    drop(eyes);
    Ok(document)
}

/// Whether any of the readers can make a page better than it is.
fn is_worth(need: Need, readers: &[Reader]) -> bool {
    // What one program recognised, another recognises no better.
    let beyond = |reader: &Reader| need != Need::Hidden || matches!(reader, Reader::Model(_));
    readers.iter().any(beyond)
}

/// Compares a page's own text with what was read.
pub(crate) fn agree(page: &mut Page) {
    let Origin::Transcript(reading) = &page.origin else { return };
    if reading.by == Reader::TextLayer || page.blocks.is_empty() {
        return;
    }
    let own = own_text(page).unwrap_or_default();
    page.agreement = Some(compare(&own, reading.text.as_deref().unwrap_or_default()));
}

/// A page's own text as markdown, without what repeats from page to page unless it is all there is.
fn own_text(page: &Page) -> Option<String> {
    let text = |furniture| {
        let text = write_own(page, MarkdownOptions { furniture, ..MarkdownOptions::default() });
        (!text.trim().is_empty()).then_some(text)
    };
    text(false).or_else(|| text(true))
}

enum Message {
    Answer { page: usize, rung: usize, attempt: u32, answer: Answer },
    Room(Permit),
}

/// The pages of a document that somebody looks at.
struct Eyes<'a> {
    options: &'a ReadOptions,
    parser: &'a mut dyn Render,
    world: &'a dyn World,
    room: &'a Room,
    watch: &'a mut dyn Watch,
    name: &'a str,
    pages: &'a mut Vec<Page>,
    readers: Vec<Reader>,
    /// Why readers can read nothing at all.
    unusable: Vec<Option<(String, Option<String>)>>,
    /// Pages that nobody looks at yet, by their place.
    to_read: VecDeque<usize>,
    open: BTreeMap<usize, Look>,
    /// What is asked again, by when.
    later: BTreeMap<(Instant, usize, u32), Attempt>,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
    /// Whether a place in the room is asked for.
    waits: bool,
    /// Since when nobody can be reached.
    away: Option<Instant>,
    troubles: u32,
}

/// A page that somebody looks at.
struct Look {
    rung: usize,
    ladder: Ladder,
    picture: Arc<Picture>,
    /// The picture turned, and by how many degrees.
    turned: (u16, Arc<Picture>),
    under_way: BTreeMap<u32, (Attempt, Wanted)>,
    heard: BTreeMap<u32, Good>,
    /// Attempts of readers before this one.
    before: u32,
    /// What the last attempt that failed met.
    fault: Option<String>,
    /// How often a reader itself failed.
    stumbles: u32,
    begun: Instant,
    _permit: Permit,
}

/// An answer that could be read.
struct Good {
    heard: Heard,
    front_matter: FrontMatter,
    text: Option<String>,
    turned: u16,
}

impl Eyes<'_> {
    fn run(&mut self) -> Result<(), Error> {
        loop {
            self.begin()?;
            if self.open.is_empty() && self.to_read.is_empty() {
                return Ok(());
            }
            let now = Instant::now();
            let due = self.later.keys().next().map(|(due, ..)| due.saturating_duration_since(now));
            match self.receiver.recv_timeout(due.unwrap_or(LOOK).min(LOOK)) {
                Ok(Message::Room(permit)) => {
                    self.waits = false;
                    self.open_next(permit)?;
                }
                Ok(Message::Answer { page, rung, attempt, answer }) => {
                    self.answered(page, rung, attempt, answer)?;
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if self.watch.stop() {
                return Err(Error::Stopped { file: self.name.to_owned() });
            }
            let now = Instant::now();
            while let Some(entry) = self.later.first_entry().filter(|e| e.key().0 <= now) {
                let ((_, page, _), attempt) = entry.remove_entry();
                self.ask(page, attempt);
            }
        }
    }

    /// Opens as many pages as there are places for.
    fn begin(&mut self) -> Result<(), Error> {
        // Nobody new is sent to where nobody answers.
        while self.away.is_none() && !self.waits && !self.to_read.is_empty() {
            // Drawing takes a while, and nobody may want it any more.
            if self.watch.stop() {
                return Err(Error::Stopped { file: self.name.to_owned() });
            }
            match self.room.try_enter() {
                Some(permit) => self.open_next(permit)?,
                None => {
                    self.waits = true;
                    let sender = self.sender.clone();
                    // Who is gone drops the place, and the next gets it.
                    self.room.enter_later(move |permit| drop(sender.send(Message::Room(permit))));
                }
            }
        }
        Ok(())
    }

    fn open_next(&mut self, permit: Permit) -> Result<(), Error> {
        let Some(page) = self.to_read.pop_front() else { return Ok(()) };
        let picture = match self.draw(page, 0) {
            Ok(picture) => picture,
            Err(failure) => {
                self.without_picture(page, failure);
                return Ok(());
            }
        };
        let (ladder, first) = Ladder::begin(self.ladder(0));
        let look = Look {
            rung: 0,
            ladder,
            turned: (0, Arc::clone(&picture)),
            picture,
            under_way: BTreeMap::new(),
            heard: BTreeMap::new(),
            before: 0,
            fault: None,
            stumbles: 0,
            begun: Instant::now(),
            _permit: permit,
        };
        self.open.insert(page, look);
        match self.usable(0)? {
            Some(0) => self.ask(page, first),
            Some(rung) => self.climb(page, rung),
            None => self.fall(page),
        }
        Ok(())
    }

    fn is_engine(&self, rung: usize) -> bool {
        matches!(self.readers.get(rung), Some(Reader::Engine(_)))
    }

    /// A page's picture for a reader.
    fn draw(&mut self, page: usize, rung: usize) -> Result<Arc<Picture>, PageFailure> {
        let ReadOptions { target_longest_image_dim, engine_longest_image_dim, .. } = *self.options;
        let longest =
            if self.is_engine(rung) { engine_longest_image_dim } else { target_longest_image_dim };
        self.parser.render(self.pages[page].number - 1, Raster { longest }).map(Arc::new)
    }

    /// How often a reader is asked for a page.
    fn ladder(&self, rung: usize) -> LadderOptions {
        let options = self.options.ladder.clone();
        // A program that recognises characters says the same each time.
        if self.is_engine(rung) {
            LadderOptions { max_page_retries: 1, ..options }
        } else {
            options
        }
    }

    /// The first reader from `rung` on that can be used; an error if there is none at all.
    fn usable(&self, rung: usize) -> Result<Option<usize>, Error> {
        if let Some(all) = self.unusable.iter().cloned().collect::<Option<Vec<_>>>() {
            let (message, hint) = all.into_iter().next().unwrap_or_default();
            return Err(Error::Unusable { file: self.name.to_owned(), message, hint });
        }
        Ok((rung..self.readers.len()).find(|at| self.unusable[*at].is_none()))
    }

    fn ask(&mut self, page: usize, attempt: Attempt) {
        let Some(look) = self.open.get_mut(&page) else { return };
        if look.turned.0 != attempt.turned {
            // The ladder turns by quarters only.
            let turned = look.picture.turned(attempt.turned);
            let turned = turned.map_or_else(|| Arc::clone(&look.picture), Arc::new);
            look.turned = (attempt.turned, turned);
        }
        let (reader, index) = (&self.readers[look.rung], look.before + attempt.index);
        self.watch.event(Event::Asked { page: self.pages[page].number, index, reader });
        let wanted = Wanted::default();
        look.under_way.insert(attempt.index, (attempt, wanted.clone()));
        let rung = look.rung;
        let ask = Ask {
            reader: rung,
            picture: Arc::clone(&look.turned.1),
            prompt: Arc::clone(&self.options.prompt),
            max_tokens: self.options.max_tokens,
            temperature: attempt.temperature,
            guided: self.options.guided && self.options.front_matter,
        };
        let sender = self.sender.clone();
        let index = attempt.index;
        let reply = Reply::new(wanted, move |answer| {
            // Nobody hears it any more when the document was given up.
            let _ = sender.send(Message::Answer { page, rung, attempt: index, answer });
        });
        self.world.transcribe(ask, reply);
    }

    fn answered(
        &mut self,
        page: usize,
        rung: usize,
        attempt: u32,
        answer: Answer,
    ) -> Result<(), Error> {
        let Some(look) = self.open.get_mut(&page).filter(|look| look.rung == rung) else {
            return Ok(());
        };
        let Some((made, _)) = look.under_way.remove(&attempt) else { return Ok(()) };
        // Who failed is given a moment: it may be starting again.
        let stumbled = matches!(answer, Answer::Failed { .. });
        let (fault, outcome) = match answer {
            Answer::Unavailable { message, retry_after } => {
                return self.unavailable(page, made, message, retry_after);
            }
            Answer::Unusable { message, hint } => {
                self.unusable[rung] = Some((message.clone(), hint));
                look.fault = Some(message);
                return self.next_reader(page);
            }
            Answer::Refused { message } => {
                self.back();
                self.failed(page, attempt, message);
                return self.next_reader(page);
            }
            Answer::Failed { message } => {
                (Some(message), Outcome { front_matter: None, whole: true })
            }
            Answer::Text(heard) => self.judge(page, made, heard),
        };
        self.back();
        if let Some(fault) = fault {
            self.failed(page, attempt, fault);
        }
        let last = self.to_read.is_empty() && self.open.len() == 1 && self.room.is_last();
        let idle = self.options.at_once && last;
        let Some(look) = self.open.get_mut(&page) else { return Ok(()) };
        match look.ladder.next(attempt, &outcome, idle) {
            Step::Try(attempts) if stumbled => {
                let pause = self.options.pause.saturating_mul(1 << look.stumbles.min(16));
                look.stumbles += 1;
                let due = Instant::now() + pause.min(MOST_PAUSE);
                let later = attempts.into_iter().map(|next| ((due, page, next.index), next));
                self.later.extend(later);
            }
            Step::Try(attempts) => attempts.into_iter().for_each(|next| self.ask(page, next)),
            Step::Take(index) => self.take(page, index),
            Step::Wait => {}
            Step::GiveUp => return self.next_reader(page),
        }
        Ok(())
    }

    /// Somebody answers.
    fn back(&mut self) {
        (self.away, self.troubles) = (None, 0);
    }

    /// What an answer is worth; what is wrong with it, if anything is.
    fn judge(&mut self, page: usize, attempt: Attempt, heard: Heard) -> (Option<String>, Outcome) {
        let engine = self.open.get(&page).is_some_and(|look| self.is_engine(look.rung));
        let parsed = match parse(&heard.text) {
            Err(FrontMatterFault::NoStart) if engine || !self.options.front_matter => {
                let text = heard.text.trim();
                Ok((FrontMatter::default(), (!text.is_empty()).then(|| text.to_owned())))
            }
            parsed => parsed,
        };
        let tokens = heard.input_tokens + heard.output_tokens;
        let whole = heard.finish == Finish::Stop && tokens <= self.options.most_tokens;
        let unwhole = || match &heard.finish {
            Finish::Stop => format!("{tokens} tokens are more than {}", self.options.most_tokens),
            finish @ (Finish::Length | Finish::Repetition | Finish::Other(_)) => finish.to_string(),
        };
        match parsed {
            Err(fault) => {
                // That it was cut off is why its head has no end.
                let said = if whole { fault.to_string() } else { unwhole() };
                (Some(said), Outcome { front_matter: None, whole })
            }
            Ok((front_matter, text)) => {
                let fault = if !whole {
                    Some(unwhole())
                } else if front_matter.is_rotation_valid {
                    None
                } else {
                    let by = front_matter.rotation_correction;
                    Some(format!("the page is turned, by {by} degrees"))
                };
                let outcome = Outcome { front_matter: Some(front_matter.clone()), whole };
                if let Some(look) = self.open.get_mut(&page).filter(|_| whole) {
                    let turned = attempt.turned;
                    look.heard.insert(attempt.index, Good { heard, front_matter, text, turned });
                }
                (fault, outcome)
            }
        }
    }

    fn failed(&mut self, page: usize, attempt: u32, fault: String) {
        let Some(look) = self.open.get_mut(&page) else { return };
        let (index, reader) = (look.before + attempt, &self.readers[look.rung]);
        let number = self.pages[page].number;
        self.watch.event(Event::Attempt { page: number, index, reader, fault: &fault });
        look.fault = Some(fault);
    }

    /// The same is asked again later.
    fn unavailable(
        &mut self,
        page: usize,
        attempt: Attempt,
        message: String,
        retry_after: Option<Duration>,
    ) -> Result<(), Error> {
        let now = Instant::now();
        let since = *self.away.get_or_insert(now);
        if now.duration_since(since) > self.options.patience {
            let waited = now.duration_since(since);
            return Err(Error::Unreachable { file: self.name.to_owned(), message, waited });
        }
        let doubled = self.options.pause.saturating_mul(1 << self.troubles.min(16));
        let pause = retry_after.unwrap_or(doubled).min(MOST_PAUSE);
        self.troubles += 1;
        self.watch.event(Event::Pause { message: &message, pause });
        self.later.insert((now + pause, page, attempt.index), attempt);
        Ok(())
    }

    /// The reader failed at the page, and the next one gets it.
    fn next_reader(&mut self, page: usize) -> Result<(), Error> {
        let Some(look) = self.open.get(&page) else { return Ok(()) };
        match self.usable(look.rung + 1)? {
            Some(rung) => self.climb(page, rung),
            None => self.fall(page),
        }
        Ok(())
    }

    fn climb(&mut self, page: usize, rung: usize) {
        self.later.retain(|(_, waits, _), _| *waits != page);
        let ladder = self.ladder(rung);
        // What a model sees is small for an engine. If it cannot be drawn larger, that is what there is.
        let larger = self.is_engine(rung).then(|| self.draw(page, rung).ok()).flatten();
        let Some(look) = self.open.get_mut(&page) else { return };
        if let Some(picture) = larger {
            look.turned = (0, Arc::clone(&picture));
            look.picture = picture;
        }
        mem::take(&mut look.under_way).values().for_each(|(_, wanted)| wanted.end());
        look.heard.clear();
        look.before += look.ladder.made();
        look.rung = rung;
        let (ladder, first) = Ladder::begin(ladder);
        look.ladder = ladder;
        self.ask(page, first);
    }

    /// Nobody looks at the page any more.
    fn close(&mut self, page: usize) -> Option<Look> {
        self.later.retain(|(_, waits, _), _| *waits != page);
        let look = self.open.remove(&page)?;
        look.under_way.values().for_each(|(_, wanted)| wanted.end());
        Some(look)
    }

    /// Takes the answer of an attempt.
    fn take(&mut self, page: usize, attempt: u32) {
        let Some(mut look) = self.close(page) else { return };
        let Some(good) = look.heard.remove(&attempt) else { return };
        let by = match (&self.readers[look.rung], good.heard.by) {
            (Reader::Model(_), Some(other)) => Reader::Model(other),
            (reader, _) => reader.clone(),
        };
        let fallback = look.rung > 0;
        let reading = PageReading {
            number: self.pages[page].number,
            front_matter: good.front_matter,
            text: good.text,
            by,
            fallback,
            because: look.fault.filter(|_| fallback),
            input_tokens: good.heard.input_tokens,
            output_tokens: good.heard.output_tokens,
            attempt: look.before + attempt,
            turned: good.turned,
            seconds: look.begun.elapsed().as_secs_f64(),
        };
        self.done(page, Origin::Transcript(Box::new(reading)));
    }

    /// Nobody could read the page: its own text is taken, if it has any.
    fn fall(&mut self, page: usize) {
        let Some(look) = self.close(page) else { return };
        let attempts = look.before + look.ladder.made();
        let because = look.fault.unwrap_or_default();
        let origin = match own_text(&self.pages[page]) {
            Some(text) => {
                let number = self.pages[page].number;
                Origin::Transcript(Box::new(PageReading {
                    fallback: true,
                    because: Some(because),
                    attempt: attempts,
                    seconds: look.begun.elapsed().as_secs_f64(),
                    ..PageReading::of_text_layer(number, Some(text))
                }))
            }
            None => Origin::Failed(PageFailure::Unread { attempts, because }),
        };
        self.done(page, origin);
    }

    /// The page cannot be shown to anybody.
    fn without_picture(&mut self, page: usize, failure: PageFailure) {
        let origin = match own_text(&self.pages[page]) {
            Some(text) => Origin::Transcript(Box::new(PageReading {
                fallback: true,
                because: Some(failure.to_string()),
                ..PageReading::of_text_layer(self.pages[page].number, Some(text))
            })),
            None => Origin::Failed(failure),
        };
        self.done(page, origin);
    }

    fn done(&mut self, page: usize, origin: Origin) {
        let page = &mut self.pages[page];
        page.origin = origin;
        agree(page);
        self.watch.event(Event::Page { page, looked: true });
    }
}

impl Drop for Eyes<'_> {
    fn drop(&mut self) {
        for look in self.open.values() {
            look.under_way.values().for_each(|(_, wanted)| wanted.end());
        }
    }
}

/// What of a page is told to whoever keeps pages: a reading, if there is one.
pub fn reading(page: &Page) -> Option<PageReading> {
    match &page.origin {
        Origin::Transcript(reading) => Some((**reading).clone()),
        Origin::TextLayer | Origin::HiddenText => {
            Some(PageReading::of_text_layer(page.number, own_text(page)))
        }
        Origin::Blank => Some(PageReading::of_text_layer(page.number, None)),
        Origin::NoText { .. } | Origin::Failed(_) => None,
    }
}
