//! `folio preview`: what was read, beside how the pages look.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;
use documents::pipeline::Parse as _;
use documents::pipeline::{Mode, lay_out_opened, read};
use documents::preview::{GENERATOR, Look, Shown, Thumbnail, fill, recorded, write};
use documents::worker::{Lease, Pool};
use documents::workspace::Failures;
use documents::workspace::inputs::Address;
use documents::{Document, Limits, PageSet, Source};
use manager::Environment;
use manager::read::store::{Access, Library, workspace};

use super::show::Show;
use super::sight::{How, Sight};
use crate::report::{self, Failure, Problem, Result};
use crate::{material, output};

/// The most bytes of a file of results.
const RESULTS: u64 = 1 << 30;
/// The most bytes of pictures that a page of HTML holds itself.
const INLINE: usize = 12 << 20;

/// Show how pages look beside what was read on them, as one page of HTML.
///
/// `folio preview FILE...` reads files as `folio read` does; `folio preview WORKSPACE` shows what a
/// workspace holds. Where a page was read twice, by a model and from its own text, both are compared
/// and what differs is marked. The page works offline. Its pictures are in it, or, if there are many,
/// in a folder beside it.
#[derive(Args, Debug)]
pub(crate) struct Preview {
    /// PDFs and images, or one workspace: a folder, or s3://BUCKET/PREFIX
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// The page of HTML [default: NAME.preview.html in the working directory]
    #[arg(long, value_name = "FILE", visible_alias = "output")]
    out: Option<PathBuf>,
    /// Which pages of files: 1,3-5,9- [default: all]
    #[arg(long, value_name = "LIST")]
    pages: Option<String>,
    /// Pages that are shown at most
    #[arg(long, value_name = "N", default_value_t = 300)]
    most_pages: usize,
    /// Pixels of the longer side of the pictures
    #[arg(long, value_name = "N", default_value_t = 1100, value_parser = clap::value_parser!(u32).range(100..=4000))]
    pixels: u32,
    /// A password to try on encrypted files (may be given several times)
    #[arg(long, value_name = "TEXT")]
    password: Vec<String>,
    /// Seconds that parsing or drawing one page may take
    #[arg(long, value_name = "N", default_value_t = 60)]
    page_timeout: u64,
    /// Gigabytes that parsing one file may take
    #[arg(long, value_name = "GB", default_value_t = 4)]
    memory_limit: u64,
    /// Tell of each attempt at a page that failed, on standard error
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    sight: Sight,
}

/// What is shown, and the pictures of it, by document and page.
#[derive(Default)]
struct Album {
    shown: Vec<Shown>,
    pictures: BTreeMap<(usize, usize), Thumbnail>,
    pages: usize,
    left_out: usize,
    failed: bool,
}

impl Preview {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let first = &self.inputs[0];
        let remote = first.to_str().is_some_and(|name| Address::of(name).is_some());
        let is_workspace =
            first.join("results").is_dir() || first.join("work_index_list.csv.zstd").is_file();
        if !remote && first.is_dir() && !is_workspace {
            let reason =
                format!("{} is a folder, and no workspace: name its files", first.display());
            return Err(Problem::Flag { flag: "FILE", reason }.into());
        }
        let workspace = remote || is_workspace;
        if workspace && self.inputs.len() > 1 {
            let reason = "one workspace is shown at a time".to_owned();
            return Err(Problem::Flag { flag: "FILE", reason }.into());
        }
        let target = self.target();
        let folder = folder(&target);
        // Before an hour is spent on reading.
        check(&target, &folder)?;
        let limits = Limits {
            page_time: Duration::from_secs(self.page_timeout.max(1)),
            memory_bytes: self.memory_limit.max(1) << 30,
            ..Limits::default()
        };
        let pool = Pool::new(material::worker()?, 1, limits);
        let mut album = Album::default();
        let lost = if workspace {
            self.workspace(&pool, limits, &mut album)?
        } else {
            self.files(&pool, limits, &mut album)?;
            Failures::default()
        };
        if album.left_out > 0 {
            let (most, more) = (self.most_pages, album.left_out);
            eprintln!("{more} pages more than --most-pages {most} are left out");
        }
        hang(&mut album, &target, &folder)?;
        let name = first.file_name().unwrap_or(first.as_os_str()).to_string_lossy();
        let title = match self.inputs.len() {
            1 => name.into_owned(),
            all => format!("{name} and {} more", all - 1),
        };
        let losses: Vec<_> = lost
            .documents()
            .flat_map(|(source, failed)| failed.failures.iter().map(move |one| (source, one)))
            .collect();
        put(&target, write(&title, &album.shown, &losses).as_bytes())?;
        output::line(&target.display().to_string())?;
        Ok(if album.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn target(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| {
            let name = self.inputs[0].file_stem().unwrap_or("pages".as_ref());
            let mut name = name.to_owned();
            name.push(".preview.html");
            name.into()
        })
    }

    /// Reads files and shows them.
    fn files(&self, pool: &Pool, limits: Limits, album: &mut Album) -> Result<()> {
        let mode = match self.sight.mode {
            None | Some(How::Auto) => Mode::Auto,
            Some(How::Text) => Mode::Text,
            Some(How::Ocr) => Mode::Ocr,
        };
        let pages = self.pages.as_deref().map(PageSet::parse).transpose()?.unwrap_or_default();
        let eyes = self.sight.open(mode, pages, self.password.clone())?;
        let looks = !eyes.world.readers().is_empty();
        let show = Show::new(self.inputs.len(), looks, true, self.verbose);
        let stop = AtomicBool::new(false);
        for file in &self.inputs {
            let mut worker = pool.lease();
            let document = Source::read(file, limits.file_bytes).and_then(|source| {
                let mut watch = show.file(file, &stop);
                read(source, &eyes.options, &mut *worker, &*eyes.world, &eyes.room, &mut watch)
            });
            show.ended();
            match document {
                Ok(document) => {
                    album.failed |= show.suspend(|| material::unread(&document)) > 0;
                    self.show(document, Some(&mut worker), None, album);
                }
                Err(error) => {
                    album.failed = true;
                    show.suspend(|| report::print(Failure::from(error)));
                }
            }
        }
        show.end();
        if album.shown.is_empty() {
            return Err(Problem::Files { failed: self.inputs.len(), all: self.inputs.len() }.into());
        }
        Ok(())
    }

    /// Shows what a workspace holds.
    fn workspace(&self, pool: &Pool, limits: Limits, album: &mut Album) -> Result<Failures> {
        let name = self.inputs[0].to_string_lossy();
        let environment = Environment::from_process();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| Problem::io("start", "the event loop".as_ref(), error))?;
        let access = Access::from_process(&environment, runtime.handle().clone())?;
        let store = workspace(&name, None, &access)?;
        let library = Library::new(access, None);
        let failures = Failures::load(&*store)?;
        for entry in store.list("results/")? {
            if !entry.key.ends_with(".jsonl") {
                continue;
            }
            let bytes = store.get(&entry.key, RESULTS)?.unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                let Some(written) = recorded(line) else {
                    eprintln!("{}: a line that is no document", store.address(&entry.key));
                    album.failed = true;
                    continue;
                };
                let failed = failures.of(&written.source).map_or(&[][..], |one| &one.failures);
                if album.pages >= self.most_pages {
                    album.left_out += written.pages.len();
                    continue;
                }
                let mut worker = pool.lease();
                let (mut document, note) =
                    match self.laid_out(&written.source, &library, limits, &mut worker) {
                        Ok(document) => (document, None),
                        Err(why) => {
                            let document = Document {
                                name: written.source.clone(),
                                title: None,
                                encrypted: false,
                                page_count: 0,
                                pages: Vec::new(),
                            };
                            (document, Some(format!("The document itself cannot be shown: {why}")))
                        }
                    };
                fill(&mut document, &written, failed);
                let worker = note.is_none().then_some(&mut worker);
                self.show(document, worker, note, album);
            }
        }
        Ok(failures)
    }

    /// A document with its own text.
    fn laid_out(
        &self,
        source: &str,
        library: &Library,
        limits: Limits,
        worker: &mut Lease<'_>,
    ) -> Result<Document, String> {
        if source.contains("::") {
            return Err("it lies in an archive".to_owned());
        }
        let read = library.read(source, limits.file_bytes).map_err(|error| error.to_string())?;
        let outline = worker.open(read, &self.password).map_err(|error| error.to_string())?;
        let laid = lay_out_opened(source.to_owned(), outline, &PageSet::all(), &mut **worker);
        laid.map_err(|error| error.to_string())
    }

    /// Adds a document, with pictures of its pages if `worker` has it open.
    fn show(
        &self,
        mut document: Document,
        mut worker: Option<&mut Lease<'_>>,
        note: Option<String>,
        album: &mut Album,
    ) {
        let room = self.most_pages.saturating_sub(album.pages);
        album.left_out += document.pages.len().saturating_sub(room);
        document.pages.truncate(room);
        album.pages += document.pages.len();
        let mut looks = Vec::with_capacity(document.pages.len());
        for (at, page) in document.pages.iter().enumerate() {
            let drawn = worker
                .as_mut()
                .map(|worker| Thumbnail::draw(&mut ***worker, page.number, self.pixels));
            looks.push(match drawn {
                Some(Ok(picture)) => {
                    let size = picture.size;
                    album.pictures.insert((album.shown.len(), at), picture);
                    Look::Picture(String::new(), size)
                }
                Some(Err(failure)) => Look::Missing(format!("The page cannot be drawn: {failure}")),
                None => Look::Missing("No picture of this page.".to_owned()),
            });
        }
        album.shown.push(Shown { document, looks, note });
    }
}

/// Gives each page the address of its picture: in the page of HTML itself, or in a folder beside it.
fn hang(album: &mut Album, target: &Path, folder: &Path) -> Result<()> {
    let bytes: usize = album.pictures.values().map(|picture| picture.bytes.len()).sum();
    let beside = bytes > INLINE;
    if beside {
        fs::create_dir_all(folder)
            .map_err(|error| Problem::io("make the folder", folder, error))?;
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    for ((document, page), picture) in &album.pictures {
        let shown = &mut album.shown[*document];
        let number = shown.document.pages[*page].number;
        let Look::Picture(address, _) = &mut shown.looks[*page] else { continue };
        *address = if beside {
            let file = format!("{}-{number}.{}", document + 1, picture.format);
            put(&folder.join(&file), &picture.bytes)?;
            format!("{}/{file}", super::gallery::encoded(&name))
        } else {
            picture.inline()
        };
    }
    if beside {
        eprintln!("{}: the pictures of {}", folder.display(), target.display());
    }
    Ok(())
}

/// The folder for pictures beside a page.
fn folder(target: &Path) -> PathBuf {
    let mut name = target.file_stem().unwrap_or_default().to_owned();
    name.push("_pages");
    target.with_file_name(name)
}

/// An error if a file or a folder that is not ours stands where ours would.
fn check(target: &Path, folder: &Path) -> Result<()> {
    let ours = match fs::read(target) {
        Ok(there) => {
            let head = String::from_utf8_lossy(&there[..there.len().min(4096)]).into_owned();
            Some(head.contains(&format!("content=\"{GENERATOR}\"")))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Problem::io("read", target, error)),
    };
    let taken = match ours {
        Some(true) => return Ok(()),
        Some(false) => target,
        None if folder.exists() => folder,
        None => return Ok(()),
    };
    let reason = format!("{} stands there already, and is no preview", taken.display());
    Err(Problem::Flag { flag: "--out", reason }.into())
}

/// Writes a file that is whole, old or new, at every moment.
fn put(target: &Path, bytes: &[u8]) -> Result<()> {
    let mut partial = target.to_owned().into_os_string();
    partial.push(".partial");
    let written = fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, target));
    written.map_err(|error| Problem::io("write", target, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An album of two pages with pictures of so many bytes.
    fn album(bytes: usize) -> Album {
        let mut album = Album::default();
        let recorded = documents::preview::Recorded {
            source: "a.pdf".to_owned(),
            pages: [4, 9].map(|n| documents::pipeline::PageReading::of_text_layer(n, None)).into(),
        };
        let mut document = Document {
            name: "a.pdf".to_owned(),
            title: None,
            encrypted: false,
            page_count: 9,
            pages: Vec::new(),
        };
        fill(&mut document, &recorded, &[]);
        let looks = vec![Look::Picture(String::new(), [1, 1]); 2];
        album.shown.push(Shown { document, looks, note: None });
        for page in 0..2 {
            let bytes = vec![7; bytes];
            album.pictures.insert((0, page), Thumbnail { bytes, format: "webp", size: [1, 1] });
        }
        album
    }

    #[test]
    fn many_pictures_lie_beside_the_page() {
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("my page.html");
        let folder = folder(&target);
        let mut small = album(10);
        hang(&mut small, &target, &folder).unwrap();
        let address = |album: &Album, at: usize| match &album.shown[0].looks[at] {
            Look::Picture(address, _) => address.clone(),
            Look::Missing(why) => panic!("{why}"),
        };
        assert!(address(&small, 1).starts_with("data:image/webp;base64,") && !folder.exists());
        let mut large = album(INLINE / 2 + 1);
        hang(&mut large, &target, &folder).unwrap();
        assert_eq!(address(&large, 1), "my%20page_pages/1-9.webp");
        assert_eq!(fs::metadata(folder.join("1-4.webp")).unwrap().len(), INLINE as u64 / 2 + 1);
    }

    #[test]
    fn nothing_of_a_strangers_is_written_over() {
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("a.html");
        let folder = folder(&target);
        assert!(check(&target, &folder).is_ok());
        fs::create_dir(&folder).unwrap();
        assert!(check(&target, &folder).is_err(), "a folder of somebody's");
        fs::write(&target, write("t", &[], &[])).unwrap();
        assert!(check(&target, &folder).is_ok(), "both are ours");
        fs::write(&target, "<html>").unwrap();
        assert!(check(&target, &folder).is_err());
    }
}
