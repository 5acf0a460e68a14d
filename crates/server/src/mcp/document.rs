//! `read_document`.

use std::time::Duration;

use ::documents::markdown::{MarkdownOptions, write_page};
use ::documents::pipeline::Reader;
use ::documents::{Document, FileKind, Origin, PageSet, Source};
use rmcp::model::ProgressNotificationParam;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::schema::{Field, Kind};
use super::{Call, Files, Tool, files, object, sight};
use crate::documents;
use crate::fault::Fault;
use crate::parsing::{Opened, Within, in_words};

/// Bytes of a file.
const MOST_BYTES: u64 = 256 << 20;
/// Bytes of a file of text.
const MOST_TEXT: u64 = 64 << 20;
/// Pages of one call.
const MOST_PAGES: u32 = 100;

pub(super) const READ: Tool = Tool {
    name: "read_document",
    title: "Read a document",
    about: "Reads a PDF or an image as markdown, or a file of text as it is, a part at a time. Pages that hold no text of \
            their own, such as scans, are shown to a vision model where one is named or the server has a route for it; \
            everything else needs no model. Only files under folders that the server's owner has allowed are read.",
    takes: &[
        Field::needed(
            "path",
            Kind::Text { most: 4096 },
            "The file, under a folder that the server's owner has allowed.",
        ),
        Field::free(
            "first_page",
            Kind::Whole { range: [1, 1_000_000], default: Some(1) },
            "The first page of a PDF to read.",
        ),
        Field::free(
            "last_page",
            Kind::Whole { range: [1, 1_000_000], default: None },
            "The last one. At most 100 pages are read at once. Default: as many as there are.",
        ),
        Field::free(
            "offset",
            Kind::Whole { range: [0, 1 << 40], default: Some(0) },
            "Characters of the first page, or of the text, to leave out: `next_offset` of an earlier call.",
        ),
        Field::free(
            "max_characters",
            Kind::Whole { range: [100, 500_000], default: Some(50_000) },
            "The most characters to return. What is left is flagged, with where to go on.",
        ),
        Field::free(
            "max_seconds",
            Kind::Whole { range: [1, 900], default: Some(120) },
            "The most seconds that it may take, loading a model included. Pages that are not read by then are left for another \
             call.",
        ),
        Field::free(
            "mode",
            Kind::OneOf(&["auto", "text", "ocr"]),
            "auto: a page's own text where it is good, a vision model for the others. text: never a model. ocr: a model for \
             every page.",
        ),
        Field::free(
            "model",
            Kind::Text { most: 512 },
            "The vision model, as `list_mlx_models` names it, or a task that the server has a route for. Default: the \
             server's route `vision`, if it has one.",
        ),
        Field::free(
            "max_tokens",
            Kind::Whole { range: [1, 32_768], default: Some(8000) },
            "The most tokens that a model may write for a page.",
        ),
        Field::free(
            "password",
            Kind::Text { most: 1024 },
            "The password of an encrypted document.",
        ),
    ],
    returns,
    run: |call| Box::pin(async move { run(&call).await.map(Into::into) }),
};

fn returns() -> Value {
    let page = json!({"type": "integer", "minimum": 1});
    let count = json!({"type": "integer", "minimum": 0});
    let pages = json!({"type": "array", "items": page});
    object(
        json!({
            "name": {"type": "string", "description": "The file's name."},
            "kind": {"type": "string", "enum": ["pdf", "image", "text"]},
            "title": {"type": "string"},
            "pages": {"type": "integer", "minimum": 1, "description": "Pages that a PDF has."},
            "markdown": {"type": "string", "description": "What was read."},
            "pages_read": {"type": "array", "items": page, "description": "The pages that it is from, wholly or in part."},
            "pages_without_text": {
                "type": "array", "items": page,
                "description": "Those of them that are images only, which no model has read: name one in `model`.",
            },
            "pages_by_model": {"type": "array", "items": page, "description": "Those of them that a model read."},
            "pages_failed": pages,
            "failures": {
                "type": "array", "items": {"type": "object"},
                "description": "Pages that were not read as was wanted: why, and what was taken instead, if anything was.",
            },
            "truncated": {"type": "boolean", "description": "Whether there is more of what was asked for."},
            "cut_by": {
                "type": "array",
                "items": {"type": "string", "enum": ["max_characters", "max_pages", "max_seconds"]},
            },
            "next_page": {"type": "integer", "minimum": 1, "description": "Where to go on: `first_page` of the next call."},
            "next_offset": {"type": "integer", "minimum": 0, "description": "Where to go on: `offset` of the next call."},
            "seconds": {"type": "number", "minimum": 0},
            "characters": count,
        }),
        &[
            "title",
            "pages",
            "pages_read",
            "pages_without_text",
            "pages_by_model",
            "pages_failed",
            "failures",
            "next_page",
            "next_offset",
        ],
    )
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) path: String,
    pub(super) first: u32,
    pub(super) last: Option<u32>,
    offset: usize,
    characters: usize,
    pub(super) deadline: Instant,
    pub(super) seconds: u64,
    passwords: Vec<String>,
}

impl Wish {
    /// What may open the file.
    pub(super) fn passwords(&self) -> &[String] {
        &self.passwords
    }
}

async fn run(call: &Call) -> Result<Value, Fault> {
    let given = &call.arguments;
    let begun = Instant::now();
    let small = |name: &str| given.whole(name).and_then(|n| u32::try_from(n).ok());
    let size = |name: &str| given.whole(name).and_then(|n| usize::try_from(n).ok());
    let seconds = given.whole("max_seconds").unwrap_or(120);
    let wish = Wish {
        path: given.text("path").unwrap_or_default().to_owned(),
        first: small("first_page").unwrap_or(1),
        last: small("last_page"),
        offset: size("offset").unwrap_or(0),
        characters: size("max_characters").unwrap_or(50_000),
        deadline: begun + Duration::from_secs(seconds),
        seconds,
        passwords: given.text("password").map(str::to_owned).into_iter().collect(),
    };
    if wish.last.is_some_and(|last| last < wish.first) {
        let message = format!("`last_page` comes before `first_page` ({})", wish.first);
        return Err(Fault::field("last_page", message));
    }
    if let Some(models) = sight::models(call).await? {
        let mut read = sight::run(call, wish, models).await?;
        read["seconds"] = rounded(begun);
        return Ok(read);
    }
    // Whoever gives up drops this, and no page is begun any more.
    let stop = call.context.ct.child_token();
    let _stopping = stop.clone().drop_guard();
    let (told, pages) = unbounded_channel();
    let files = (*call.files).clone();
    let work = tokio::task::spawn_blocking(move || read(&files, &wish, stop, told));
    let (read, ()) = tokio::join!(work, progress(call, pages));
    let broken =
        || Fault::of(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "the file could not be read");
    let mut read = read.map_err(|_| broken())??;
    read["seconds"] = rounded(begun);
    Ok(read)
}

/// Seconds since then.
fn rounded(begun: Instant) -> Value {
    ((begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0).into()
}

/// A file that may be read: its name, and what it holds.
pub(super) fn opened(files: &Files, wish: &Wish) -> Result<(String, Vec<u8>), Fault> {
    let path = files.allowed("path", &wish.path)?.path;
    let bytes = files::bytes("path", &wish.path, &path, MOST_BYTES)?;
    let name =
        path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok((name, bytes))
}

/// The pages that are read at once, of a file of so many: the first and the last, and the one after if more were asked for.
pub(super) fn wanted(
    name: &str,
    wish: &Wish,
    all: u32,
) -> Result<(std::ops::RangeInclusive<u32>, Option<u32>), Fault> {
    if wish.first > all {
        let message = format!("`first_page` is {}, but `{name}` has {all} pages", wish.first);
        return Err(Fault::field("first_page", message));
    }
    // What is asked for ends where the file does.
    let end = wish.last.unwrap_or(u32::MAX).min(all);
    let last = end.min(wish.first.saturating_add(MOST_PAGES - 1));
    Ok((wish.first..=last, (last < end).then_some(last + 1)))
}

/// Not one page came in time.
pub(super) fn late(wish: &Wish) -> Fault {
    let message =
        format!("not one page was read within `max_seconds` ({}): give more", wish.seconds);
    Fault::field("max_seconds", message)
}

/// Tells of each page, until there are no more.
async fn progress(call: &Call, mut pages: UnboundedReceiver<(u32, u32)>) {
    while let Some((done, all)) = pages.recv().await {
        let Some(token) = call.context.meta.get_progress_token() else { continue };
        let told = ProgressNotificationParam::new(token, f64::from(done))
            .with_total(f64::from(all.max(done)))
            .with_message("reading pages");
        // Whoever has gone has given up the call as well.
        let _ = call.context.peer.notify_progress(told).await;
    }
}

fn read(
    files: &Files,
    wish: &Wish,
    stop: CancellationToken,
    told: UnboundedSender<(u32, u32)>,
) -> Result<Value, Fault> {
    let (name, bytes) = opened(files, wish)?;
    let kind = FileKind::of(&bytes);
    if sight::is_image(kind) {
        let message = format!(
            "`{}` is {kind}, which only a vision model can read: name one in `model`",
            wish.path
        );
        return Err(Fault::field("model", message));
    }
    if kind != FileKind::Pdf {
        if bytes.len() as u64 > MOST_TEXT {
            let message = format!(
                "`{}` has more than {MOST_TEXT} bytes, the most of a file of text",
                wish.path
            );
            return Err(Fault::field("path", message));
        }
        let text = files::text("path", &wish.path, bytes)?;
        return part_of_text(&name, &text, wish);
    }
    let fault = |what: String| Fault::field("path", what);
    let each = Duration::from_secs(wish.seconds).min(Duration::from_secs(60));
    let within = Within { each, deadline: wish.deadline.into_std() };
    let source = Source { name: name.clone(), bytes };
    let opened = Opened::with_passwords(files, source, within, &wish.passwords);
    let opened = opened.map_err(|error| sight::not_opened(&error))?;
    let all = opened.pages();
    let (range, more) = wanted(&name, wish, all)?;
    let last = *range.end();
    let (mut done, sum) = (0, last - wish.first + 1);
    let opened = opened.stopping(stop, move || {
        done += 1;
        // Nobody listens when the call was given up.
        let _ = told.send((done, sum));
    });
    let pages = PageSet::parse(&format!("{}-{last}", wish.first));
    let pages = pages.map_err(|error| fault(in_words(&error)))?;
    let (document, late) = opened.lay_out(&pages).map_err(fault)?;
    let none_after = late.filter(|&page| page <= last);
    if none_after.is_some_and(|page| page <= wish.first) {
        return Err(self::late(wish));
    }
    part_of_pages(&document, "pdf", wish, none_after, more)
}

/// Where to go on, and which budget says so.
type Next = (&'static str, u32, usize);

/// The pages that fit. `late` is the first for which there was no time, `more` the first that is too many.
pub(super) fn part_of_pages(
    document: &Document,
    kind: &str,
    wish: &Wish,
    late: Option<u32>,
    more: Option<u32>,
) -> Result<Value, Fault> {
    let mut next: Option<Next> =
        late.map(|page| ("max_seconds", page, 0)).or(more.map(|page| ("max_pages", page, 0)));
    let (mut text, mut room) = (String::new(), wish.characters);
    let (mut read, mut blank, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let (mut by_model, mut failures) = (Vec::new(), Vec::new());
    let pages = document.pages.iter().filter(|page| late.is_none_or(|late| page.number < late));
    for page in pages {
        let whole = write_page(page, MarkdownOptions::default());
        let offset = if page.number == wish.first { wish.offset } else { 0 };
        let count = whole.chars().count();
        if offset > 0 && offset >= count {
            let message =
                format!("`offset` is {offset}, but page {} has {count} characters", page.number);
            return Err(Fault::field("offset", message));
        }
        let gap = if text.is_empty() || whole.is_empty() { "" } else { "\n\n" };
        if room <= gap.len() && !whole.is_empty() {
            next = Some(("max_characters", page.number, offset));
            break;
        }
        text.push_str(gap);
        room -= gap.len();
        let taken = (count - offset).min(room);
        text.extend(whole.chars().skip(offset).take(taken));
        room -= taken;
        read.push(page.number);
        if matches!(page.origin, Origin::NoText { .. }) {
            blank.push(page.number);
        }
        if matches!(page.origin, Origin::Failed(_)) {
            failed.push(page.number);
        }
        if let Origin::Transcript(reading) = &page.origin
            && matches!(reading.by, Reader::Model(_))
        {
            by_model.push(page.number);
        }
        failures.extend(documents::failure(page));
        if offset + taken < count {
            next = Some(("max_characters", page.number, offset + taken));
            break;
        }
    }
    let mut told = json!({
        "name": document.name,
        "kind": kind,
        "pages": document.page_count,
        "markdown": text,
        "characters": wish.characters - room,
        "pages_read": read,
        "pages_without_text": blank,
        "pages_by_model": by_model,
        "pages_failed": failed,
        "failures": failures,
        "truncated": next.is_some(),
        "cut_by": next.iter().map(|(budget, ..)| *budget).collect::<Vec<_>>(),
    });
    if let Some(title) = &document.title {
        told["title"] = title.as_str().into();
    }
    if let Some((_, page, offset)) = next {
        told["next_page"] = page.into();
        told["next_offset"] = offset.into();
    }
    Ok(told)
}

/// The part of a text that fits.
pub(super) fn part_of_text(name: &str, text: &str, wish: &Wish) -> Result<Value, Fault> {
    if wish.first > 1 || wish.last.is_some_and(|last| last > 1) {
        let message = format!("`{name}` is text, which has no pages: use `offset`");
        return Err(Fault::field("first_page", message));
    }
    let count = text.chars().count();
    if wish.offset > 0 && wish.offset >= count {
        let message = format!("`offset` is {}, but `{name}` has {count} characters", wish.offset);
        return Err(Fault::field("offset", message));
    }
    let taken = (count - wish.offset).min(wish.characters);
    let part: String = text.chars().skip(wish.offset).take(taken).collect();
    let end = wish.offset + taken;
    let cut: &[&str] = if end < count { &["max_characters"] } else { &[] };
    let mut told = json!({
        "name": name,
        "kind": "text",
        "markdown": part,
        "characters": taken,
        "truncated": end < count,
        "cut_by": cut,
    });
    if end < count {
        told["next_offset"] = end.into();
    }
    Ok(told)
}
