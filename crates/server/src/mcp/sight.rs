//! `read_document` with a vision model.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use ::documents::pipeline::{Mode, ReadOptions};
use ::documents::{Document, FileKind, PageSet, Source};
use axum::http::StatusCode;
use manager::runtime::Priority;
use rmcp::model::ProgressNotificationParam;
use serde_json::Value;

use super::document::{Wish, late, opened, part_of_pages, wanted};
use super::{Call, files};
use crate::documents::{TASK, Told, Work, usual};
use crate::fault::Fault;
use crate::parsing::NotOpened;

/// Who is asked to look at pages; none if nobody is.
///
/// # Errors
///
/// If somebody must be named, or the one who is cannot see.
pub(super) async fn models(call: &Call) -> Result<Option<Vec<String>>, Fault> {
    let given = &call.arguments;
    let (mode, model) = (given.text("mode").unwrap_or("auto"), given.text("model"));
    let model = match (mode, model) {
        ("text", Some(_)) => {
            let message = "`mode` is text, which asks no model: leave `model` out, or use auto";
            return Err(Fault::field("model", message));
        }
        ("text", None) => return Ok(None),
        (_, Some(model)) => model,
        (_, None) if call.house.has_route(TASK) => TASK,
        ("ocr", None) => {
            let message = "`mode` is ocr, which shows every page to a vision model: name one in `model`, of those that `list_mlx_models` tells";
            return Err(Fault::field("model", message));
        }
        (_, None) => return Ok(None),
    };
    call.house.expect_sight(model).await?;
    Ok(Some(vec![model.to_owned()]))
}

/// Whether only a model can read it.
pub(super) fn is_image(kind: FileKind) -> bool {
    matches!(
        kind,
        FileKind::Png
            | FileKind::Jpeg
            | FileKind::Gif
            | FileKind::Tiff
            | FileKind::Webp
            | FileKind::Bmp
    )
}

/// Why a file was not opened.
pub(super) fn not_opened(error: &NotOpened) -> Fault {
    Fault::field("path", error.to_string())
}

/// What is known of a document before it is read.
#[derive(Clone, Debug)]
struct Opening {
    range: RangeInclusive<u32>,
    more: Option<u32>,
    count: u32,
}

pub(super) async fn run(call: &Call, wish: Wish, models: Vec<String>) -> Result<Value, Fault> {
    let place = call.readings.hold()?;
    let (allowed, asked) = (Arc::clone(&call.files), wish.clone());
    let file = tokio::task::spawn_blocking(move || opened(&allowed, &asked)).await;
    let broken = || Fault::of(StatusCode::INTERNAL_SERVER_ERROR, "the file could not be read");
    let (name, bytes) = file.map_err(|_| broken())??;
    let kind = FileKind::of(&bytes);
    let given = &call.arguments;
    if kind == FileKind::Text && given.text("mode") != Some("ocr") {
        let text = files::text("path", &wish.path, bytes)?;
        return super::document::part_of_text(&name, &text, &wish);
    }
    let max_tokens = given.whole("max_tokens").and_then(|tokens| u32::try_from(tokens).ok());
    let options = ReadOptions {
        mode: if given.text("mode") == Some("ocr") { Mode::Ocr } else { Mode::Auto },
        passwords: wish.passwords().to_vec(),
        max_tokens: max_tokens.unwrap_or(8000),
        ..usual()
    };
    let opening = Arc::new(Mutex::new(None));
    let (told_of, called, narrow) = (Arc::clone(&opening), name.clone(), wish.clone());
    let pages = move |count| {
        let (range, more) = wanted(&called, &narrow, count)?;
        let set = PageSet::parse(&format!("{}-{}", range.start(), range.end()));
        *told_of.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Opening { range, more, count });
        set.map_err(|error| Fault::field("first_page", error.to_string()))
    };
    let work = Work {
        source: Source { name: name.clone(), bytes },
        options,
        models,
        pages: Some(Box::new(pages)),
        deadline: Some(wish.deadline.into_std()),
        // Somebody waits for it.
        priority: Priority::Normal,
        client: call.client.number(),
    };
    // Whoever gives up drops this, and pages under way are given up.
    let stop = call.context.ct.child_token();
    let _stopping = stop.clone().drop_guard();
    let mut told = call.readings.start(&call.house, &call.files, work, stop);
    let (mut read, mut sum, mut title) = (BTreeMap::new(), 0, None);
    let end = loop {
        match told.recv().await {
            Some(Told::Begun { pages, title: called, .. }) => (sum, title) = (pages, called),
            Some(Told::Page(page)) => {
                let number = page.number;
                read.insert(number, *page);
                tell(call, read.len(), sum, &format!("page {number} is read")).await;
            }
            Some(Told::Asked { .. } | Told::Attempt { .. } | Told::Paused { .. }) => {}
            Some(Told::End(end)) => break end,
            None => return Err(broken()),
        }
    };
    drop(place);
    let kind = if kind == FileKind::Pdf { "pdf" } else { "image" };
    let opening = opening.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (end, opening) {
        (Ok(document), opening) => {
            part_of_pages(&document, kind, &wish, None, opening.and_then(|it| it.more))
        }
        (Err(_), Some(opening)) if tokio::time::Instant::now() >= wish.deadline => {
            let none_after = opening.range.clone().find(|page| !read.contains_key(page));
            if none_after == Some(wish.first) {
                return Err(late(&wish));
            }
            let document = Document {
                name,
                title,
                encrypted: false,
                page_count: opening.count,
                pages: read.into_values().collect(),
            };
            part_of_pages(&document, kind, &wish, none_after, opening.more)
        }
        (Err(_), None) if tokio::time::Instant::now() >= wish.deadline => Err(late(&wish)),
        (Err(fault), _) => Err(fault),
    }
}

/// Tells how many pages are read.
async fn tell(call: &Call, done: usize, all: usize, message: &str) {
    let Some(token) = call.context.meta.get_progress_token() else { return };
    let told = ProgressNotificationParam::new(token, done as f64)
        .with_total(all.max(done) as f64)
        .with_message(message);
    // Whoever has gone has given up the call as well.
    let _ = call.context.peer.notify_progress(told).await;
}
