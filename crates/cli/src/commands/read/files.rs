//! Files on the command line: one text for each, in their order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use documents::pipeline::{Keep, Mode, read, resume};
use documents::worker::Pool;
use documents::workspace::inputs::{Address, Inputs, gather};
use documents::{Document, Error, Source};
use manager::Environment;

use super::form::Form;
use super::gallery::{self, Gallery};
use super::show::Show;
use super::{Read, checkpoints};
use crate::report::{self, Failure, Problem, Result};
use crate::{material, output};

pub(super) fn run(asked: &Read) -> Result<ExitCode> {
    let files = found(&asked.inputs);
    if asked.html && asked.out.is_none() && files.len() > 1 {
        let reason = "each file becomes a page of its own: name a folder for them with `--out`";
        return Err(Problem::Flag { flag: "--html", reason: reason.to_owned() }.into());
    }
    let form = Form::of(asked)?;
    let targets = targets(asked, &form, &files)?;
    if let Some(folder) = &asked.out {
        std::fs::create_dir_all(folder)
            .map_err(|error| Problem::io("make the folder", folder, error))?;
    }
    let limits = asked.limits();
    let mut eyes =
        asked.sight.open(asked.mode(Mode::Auto), asked.pages()?, asked.password.clone())?;
    if asked.keep_headers {
        asked.sight.keep_headers(&mut eyes.options);
    }
    let shown = eyes.options.target_longest_image_dim;
    let texts = asked.out.as_deref().unwrap_or(Path::new("."));
    let gallery =
        asked.figures.as_deref().map(|dir| Gallery::new(dir, texts, shown)).transpose()?;
    let looks = !eyes.world.readers().is_empty();
    // A page that a model looks at leaves the cores to the model: more files keep it busy.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let usual = if looks { cores.max(8) } else { cores };
    let workers = asked.workers.unwrap_or(usual).clamp(1, files.len().max(1));
    let pool = Pool::new(material::worker()?, workers, limits);
    let checkpoints = looks.then(|| checkpoints(&Environment::from_process())).transpose()?;
    let show = Show::new(files.len(), looks, asked.out.is_some(), asked.verbose);

    // Files are read side by side, and come out in the order in which they were given.
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let (sender, finished) = channel();
    let mut outcome = Outcome::default();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let sender = sender.clone();
            let (next, stop, pool, eyes, files, show) = (&next, &stop, &pool, &eyes, &files, &show);
            let (gallery, checkpoints) = (gallery.as_ref(), checkpoints.as_ref());
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(file) = files.get(at) else { return };
                    let document = Source::read(file, limits.file_bytes).map_err(Failure::from);
                    let document = document.and_then(|source| {
                        let mut worker = pool.lease();
                        let mut watch = show.file(file, stop);
                        let (options, world, room) = (&eyes.options, &*eyes.world, &eyes.room);
                        let mut document = match checkpoints {
                            Some(checkpoints) => {
                                let name = &kept_as(file);
                                let keep = Keep { options, checkpoints, name, again: false };
                                let parser = &mut *worker;
                                let read = resume(source, keep, parser, world, room, &mut watch)?;
                                show.known(file, read.known);
                                read.document
                            }
                            None => read(source, options, &mut *worker, world, room, &mut watch)?,
                        };
                        if let Some(gallery) = gallery {
                            let cut = gallery.hang(&mut document, file, &mut *worker)?;
                            show.suspend(|| gallery::tell(&document.name, &cut));
                        }
                        Ok(document)
                    });
                    // Nobody listens only when standard output has failed.
                    if sender.send((at, document)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        for (at, target) in targets.iter().enumerate() {
            let document = loop {
                if let Some(document) = waiting.remove(&at) {
                    break document;
                }
                let Ok((at, document)) = finished.recv() else {
                    unreachable!("a reader ends only after its files")
                };
                waiting.insert(at, document);
                show.ended();
            };
            let done = document.is_ok();
            let mut written =
                show.suspend(|| tell(asked, &form, target, at, document, &mut outcome));
            if let (Some(checkpoints), true, Ok(())) = (&checkpoints, done, &written) {
                written = checkpoints.remove(&kept_as(&files[at])).map_err(Into::into);
            }
            if let Err(failure) = written {
                // No further file is begun, and those under way are given up.
                next.store(files.len(), Ordering::Relaxed);
                stop.store(true, Ordering::Relaxed);
                return Err(failure);
            }
        }
        Ok(())
    })?;
    show.end();
    if outcome.failed > 0 {
        let (failed, all) = (outcome.failed, files.len());
        if all > 1 {
            return Err(Problem::Files { failed, all }.into());
        }
        return Ok(ExitCode::FAILURE);
    }
    Ok(if outcome.pages_failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What a file is called where its pages are kept.
fn kept_as(file: &Path) -> String {
    let path = std::fs::canonicalize(file);
    path.as_deref().unwrap_or(file).to_string_lossy().into_owned()
}

/// What went wrong so far.
#[derive(Default)]
struct Outcome {
    failed: usize,
    pages_failed: usize,
}

/// The files that were named, and those of the folders that were.
pub(crate) fn found(inputs: &[PathBuf]) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut seen = BTreeSet::new();
    let mut add = |path: PathBuf| {
        if seen.insert(path.clone()) {
            out.push(path);
        }
    };
    for input in inputs {
        let nowhere = |address: &Address<'_>| {
            let place = format!("{}://{}", address.scheme, address.bucket);
            Err(Error::Missing { path: place.into() })
        };
        let folder = input.to_str().filter(|_| input.is_dir());
        match folder.map(|folder| gather(&[folder.to_owned()], &nowhere)) {
            Some(Ok(Inputs { documents, skipped, .. })) => {
                for one in skipped {
                    eprintln!("{}: left out, {}", one.path, one.why);
                }
                documents.into_iter().map(PathBuf::from).for_each(&mut add);
            }
            // What is a folder and holds nothing is told when it is read.
            Some(Err(_)) | None => add(input.clone()),
        }
    }
    out
}

/// Where each file's text goes; `None` is standard output.
fn targets(asked: &Read, form: &Form<'_>, files: &[PathBuf]) -> Result<Vec<Option<PathBuf>>> {
    let Some(folder) = &asked.out else { return Ok(vec![None; files.len()]) };
    let extension = form.extension();
    let mut sources: BTreeMap<PathBuf, &Path> = BTreeMap::new();
    let mut targets = Vec::new();
    for file in files {
        let stem = file.file_stem().unwrap_or(file.as_os_str());
        let mut name = stem.to_owned();
        name.push(".");
        name.push(extension);
        let target = folder.join(name);
        if let Some(other) = sources.insert(target.clone(), file) {
            let reason = format!(
                "{} and {} would both become {}",
                other.display(),
                file.display(),
                target.display(),
            );
            return Err(Problem::Flag { flag: "--out", reason }.into());
        }
        targets.push(Some(target));
    }
    Ok(targets)
}

/// Writes what was read, and names what was not.
fn tell(
    asked: &Read,
    form: &Form<'_>,
    target: &Option<PathBuf>,
    at: usize,
    document: Result<Document>,
    outcome: &mut Outcome,
) -> Result<()> {
    let document = match document {
        Ok(document) => document,
        Err(error) => {
            outcome.failed += 1;
            report::print(error);
            return Ok(());
        }
    };
    outcome.pages_failed += material::unread(&document);
    let mut text = form.write(&document)?;
    let Some(target) = target else {
        if asked.inputs.len() > 1 && !form.is_lines() {
            let gap = if at == 0 { "" } else { "\n" };
            text = format!("{gap}<!-- file: {} -->\n\n{text}", document.name);
        }
        return output::write(&text);
    };
    // A file of that name is whole, old or new, at every moment.
    let mut partial = target.clone().into_os_string();
    partial.push(".partial");
    let written = std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, target));
    written.map_err(|error| Problem::io("write", target, error))
}
