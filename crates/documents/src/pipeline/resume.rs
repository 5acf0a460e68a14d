//! Reading that goes on where it was ended.

use sha1::{Digest as _, Sha1};

use super::read::{Event, ReadOptions, Watch, read_opened, reading};
use super::room::Room;
use super::{Outline, PageReading, Reader, Render};
use crate::workspace::{Checkpoint, Checkpoints};
use crate::{Document, Error, Source, World, hex};

/// A document that was read, some of it perhaps in an earlier run.
#[derive(Debug)]
pub struct Resumed {
    /// The document.
    pub document: Document,
    /// Pages that an earlier run had read.
    pub known: usize,
}

/// How a document is read, and where its pages are kept meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Keep<'a> {
    /// How it is read.
    pub options: &'a ReadOptions,
    /// Those of all documents.
    pub checkpoints: &'a Checkpoints,
    /// What the document is called there.
    pub name: &'a str,
    /// Whether pages that were read otherwise than was wanted are read once more.
    pub again: bool,
}

/// A file that is open, and what is known of it.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What it is called.
    pub name: String,
    /// What it says of itself.
    pub outline: Outline,
    /// A word for all that decides what is read of it.
    settings: String,
}

impl Keep<'_> {
    /// Opens a file with `parser`, to be read by `world`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(
        &self,
        source: Source,
        parser: &mut dyn Render,
        world: &dyn World,
    ) -> Result<Opened, Error> {
        let settings = settings(self.options, &world.readers(), &source.bytes);
        let name = source.name.clone();
        let outline = parser.open(source, &self.options.passwords)?;
        Ok(Opened { name, outline, settings })
    }
}

/// Reads a document as [`read()`](super::read()) does. A page that somebody looked at is kept as soon as it is read, so that the next call
/// with the same file and options reads only the others. Who has put the document away removes its checkpoint.
///
/// # Errors
/// Those of [`read()`](super::read()), and when a page cannot be kept.
pub fn resume(
    source: Source,
    keep: Keep<'_>,
    parser: &mut dyn Render,
    world: &dyn World,
    room: &Room,
    watch: &mut dyn Watch,
) -> Result<Resumed, Error> {
    let opened = keep.open(source, parser, world)?;
    resume_opened(opened, keep, parser, world, room, watch)
}

/// The same of a file that `parser` has open.
///
/// # Errors
/// Those of [`read_opened()`], and when a page cannot be kept.
pub fn resume_opened(
    opened: Opened,
    keep: Keep<'_>,
    parser: &mut dyn Render,
    world: &dyn World,
    room: &Room,
    watch: &mut dyn Watch,
) -> Result<Resumed, Error> {
    let Keep { options, checkpoints, name, again } = keep;
    let Opened { name: file, outline, settings } = opened;
    let mut checkpoint = checkpoints.open(name, &settings)?;
    let mut options = options.clone();
    for (number, value) in checkpoint.take_pages() {
        let known = PageReading::from_json(&value).filter(|known| known.number == number);
        // A line that says something else is read again, as one that is not there.
        if let Some(known) = known.filter(|known| !(again && known.fallback)) {
            options.known.insert(number, known);
        }
    }
    let known = options.known.len();
    let mut keeper = Keeper { watch, checkpoint, error: None };
    let read = read_opened((file, outline), &options, parser, world, room, &mut keeper);
    match keeper.error {
        Some(error) => Err(error),
        None => Ok(Resumed { document: read?, known }),
    }
}

/// Keeps pages as they are read.
struct Keeper<'w> {
    watch: &'w mut dyn Watch,
    checkpoint: Checkpoint,
    /// Why pages cannot be kept.
    error: Option<Error>,
}

impl Watch for Keeper<'_> {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Page { page, looked: true } = &event
            && let Some(reading) = reading(page)
        {
            let kept = self.checkpoint.add(page.number, &reading.to_json());
            self.error = self.error.take().or(kept.err());
        }
        self.watch.event(event);
    }

    fn stop(&self) -> bool {
        self.error.is_some() || self.watch.stop()
    }
}

/// A word for all that decides what the text of a document's pages is.
fn settings(options: &ReadOptions, readers: &[Reader], bytes: &[u8]) -> String {
    let mut sha1 = Sha1::new();
    let mut add = |bytes: &[u8]| {
        sha1.update((bytes.len() as u64).to_le_bytes());
        sha1.update(bytes);
    };
    // Who comes after the first is asked for what that one failed at, and changes nothing of what it read.
    for reader in readers.iter().take(1) {
        add(reader.kind().as_bytes());
        add(reader.name().as_bytes());
    }
    add(options.mode.name().as_bytes());
    add(options.prompt.as_bytes());
    add(&[u8::from(options.front_matter), u8::from(options.guided)]);
    add(&options.max_tokens.to_le_bytes());
    add(&options.most_tokens.to_le_bytes());
    add(&options.target_longest_image_dim.to_le_bytes());
    add(&options.engine_longest_image_dim.to_le_bytes());
    add(bytes);
    hex(&sha1.finalize())
}
