//! `search_documents`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manager::find::index::Candidates;
use manager::find::{Hits, Question};
use rmcp::model::{ContentBlock, ProgressNotificationParam, Resource};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::pages::{Part, uri};
use super::schema::{Field, Kind};
use super::{Call, Returned, Tool, object};
use crate::fault::Fault;
use crate::finding::{self, Narrow, place::name, told};

/// Between two notes of progress.
const PAUSE: Duration = Duration::from_millis(500);
/// Pages whose images are returned for the model to see.
const MOST_IMAGES: u64 = 5;

pub(super) const SEARCH: Tool = Tool {
    name: "search_documents",
    title: "Search documents",
    about: "Finds pages of documents that the server's owner has indexed: by their words, by what they mean, and by how they \
            look, as the index was made. Each hit has its document, its page, how well it fits and some of its words; images \
            of pages are resources, and are shown with `images`.",
    takes: &[
        Field::needed("query", Kind::Text { most: 4000 }, "What is looked for, in words."),
        Field::free(
            "index",
            Kind::Text { most: 512 },
            "The index. May be left out where only one is offered; `resources/list` tells their names.",
        ),
        Field::free(
            "limit",
            Kind::Whole { range: [1, 50], default: Some(10) },
            "Pages that are returned at most.",
        ),
        Field::free(
            "path",
            Kind::Text { most: 4096 },
            "Only documents of this name, with `*` and `?` as a pattern; or under a folder that the server's owner has \
             allowed, with its path.",
        ),
        Field::free("category", Kind::Text { most: 512 }, "Only documents of this category."),
        Field::free(
            "from",
            Kind::Text { most: 10 },
            "Only documents from this day on: 2024-05-31.",
        ),
        Field::free("to", Kind::Text { most: 10 }, "Only documents up to this day."),
        Field::free(
            "first_page",
            Kind::Whole { range: [1, 1_000_000], default: Some(1) },
            "Only pages from this number on.",
        ),
        Field::free(
            "last_page",
            Kind::Whole { range: [1, 1_000_000], default: None },
            "Only pages up to this number.",
        ),
        Field::free("words", Kind::Truth, "Ask no model: look for the words alone."),
        Field::free(
            "fused",
            Kind::Truth,
            "Compare by looks only what words and meaning have found, instead of all pages.",
        ),
        Field::free(
            "rerank",
            Kind::Text { most: 512 },
            "A model that looks at the best hits again: a reranker, as `list_mlx_models` names it.",
        ),
        Field::free(
            "rerank_pages",
            Kind::Whole {
                range: [1, finding::MOST_AGAIN as u64],
                default: Some(finding::USUALLY_AGAIN as u64),
            },
            "Hits that `rerank` looks at.",
        ),
        Field::free("texts", Kind::Truth, "Return all words of each page."),
        Field::free(
            "images",
            Kind::Whole { range: [0, MOST_IMAGES], default: Some(0) },
            "Show the images of so many of the best pages, for whoever sees.",
        ),
        Field::free(
            "max_seconds",
            Kind::Whole { range: [1, 900], default: Some(120) },
            "The most seconds that it may take, loading the models that made the index included.",
        ),
    ],
    returns,
    run: |call| Box::pin(async move { run(&call).await }),
};

fn returns() -> Value {
    let count = json!({"type": "integer", "minimum": 0});
    let text = json!({"type": "string"});
    let number = json!({"type": "number"});
    let snippet = object(
        json!({
            "text": text,
            "marks": {
                "type": "array", "items": {"type": "array", "items": count},
                "description": "Where the words that were looked for stand in it, in characters.",
            },
        }),
        &[],
    );
    let hit = object(
        json!({
            "document": count,
            "name": {"type": "string", "description": "The name of the document's file."},
            "path": {"type": "string", "description": "Where it is, for `read_document`; only under allowed folders."},
            "page": {"type": "integer", "minimum": 1},
            "score": number,
            "relevance": {"type": ["number", "null"], "description": "What `rerank` says of its words, if it has any."},
            "snippet": snippet,
            "text": {"type": "string", "description": "All words of the page, if they were asked for."},
            "image": {"type": "string", "description": "The resource that is an image of the page, if one is kept."},
        }),
        &["path", "text", "image", "relevance"],
    );
    let stage = object(json!({"stage": text, "pages": count, "ms": number}), &[]);
    object(
        json!({
            "index": text,
            "hits": {"type": "array", "items": hit, "description": "The best first."},
            "pages": {"type": "integer", "minimum": 0, "description": "Pages that could have been found."},
            "route": {"type": "string", "description": "The way that was gone."},
            "models": {"type": "array", "items": text, "description": "The models that were asked."},
            "took": {"type": "array", "items": stage},
            "seconds": {"type": "number", "minimum": 0},
        }),
        &[],
    )
}

async fn run(call: &Call) -> Result<Returned, Fault> {
    let begun = Instant::now();
    let given = &call.arguments;
    let owned = |name: &str| given.text(name).map(str::to_owned);
    let small = |name: &str| given.whole(name).and_then(|n| u32::try_from(n).ok());
    let size = |name: &str| given.whole(name).and_then(|n| usize::try_from(n).ok());
    let (words, fused) = (given.truth("words") == Some(true), given.truth("fused") == Some(true));
    if words && fused {
        let message = "`fused` asks models, and `words` none: leave one of them out";
        return Err(Fault::field("fused", message));
    }
    let (first, last) = (small("first_page").unwrap_or(1), small("last_page"));
    if last.is_some_and(|last| last < first) {
        let message = format!("`last_page` comes before `first_page` ({first})");
        return Err(Fault::field("last_page", message));
    }
    let pages = (first > 1 || last.is_some()).then(|| (first, last.unwrap_or(u32::MAX)));
    let narrow = Narrow {
        path: owned("path"),
        categories: owned("category").into_iter().collect(),
        from: owned("from"),
        to: owned("to"),
        pages,
    };
    let text = finding::checked(owned("query").unwrap_or_default())?;
    let (library, offer) = (&call.library, &call.indexes);
    let index = finding::meant(library, offer, owned("index")).await?;
    let spoken = finding::spoken(&call.files).await?;
    let asked = spoken.clone();
    let filter = finding::apart(move || narrow.filter(&asked)).await?;
    let images = size("images").unwrap_or(0);
    let (told, doing) = watch::channel("searching".to_owned());
    let question = Question {
        text,
        candidates: if fused { Candidates::Fused } else { Candidates::All },
        filter,
        limit: size("limit").unwrap_or(10),
        words,
        rerank: owned("rerank").zip(size("rerank_pages")),
        texts: given.truth("texts") == Some(true),
        previews: images > 0,
        told: Some(told),
    };
    let seconds = given.whole("max_seconds").unwrap_or(120);
    let searching = library.search(offer, &index, question);
    let hits = within(call, (begun, seconds), doing, searching).await??;
    let beside = shown(&index, &hits, images);
    let each = told::hits(&hits, &spoken).map(|(mut told, hit, page)| {
        if page.has_preview {
            let image = uri(&index, hit.document.0, hit.number, Part::Image);
            told.insert("image".to_owned(), image.into());
        }
        Value::Object(told)
    });
    let value = json!({
        "index": index,
        "hits": each.collect::<Vec<_>>(),
        "pages": hits.found.answer.pages,
        "route": hits.found.route(),
        "models": hits.models,
        "took": told::took(&hits),
        "seconds": (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
    });
    Ok(Returned { value, beside })
}

/// The images of the best pages, and where those of the others are.
fn shown(index: &str, hits: &Hits, images: usize) -> Vec<ContentBlock> {
    let mut all = Vec::new();
    for (at, (hit, page)) in hits.found.answer.hits.iter().zip(&hits.pages).enumerate() {
        if !page.has_preview {
            continue;
        }
        let called = format!("{} page {}", name(&hit.path), hit.number);
        match &page.preview {
            Some((kind, bytes)) if at < images => {
                all.push(ContentBlock::text(called));
                all.push(ContentBlock::image(STANDARD.encode(bytes), told::media_type(kind)));
            }
            Some(_) | None => {
                let image = uri(index, hit.document.0, hit.number, Part::Image);
                all.push(ContentBlock::resource_link(Resource::new(image, called)));
            }
        }
    }
    all
}

/// What comes of `work` in time, with its progress told in seconds, and what it is `doing`, as soon as that is something else.
async fn within<T>(
    call: &Call,
    (begun, seconds): (Instant, u64),
    mut doing: watch::Receiver<String>,
    work: impl Future<Output = T>,
) -> Result<T, Fault> {
    let deadline = begun + Duration::from_secs(seconds);
    let mut ticks = tokio::time::interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first comes at once.
    ticks.tick().await;
    let mut work = std::pin::pin!(tokio::time::timeout_at(deadline, work));
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                return done.map_err(|_| {
                    let message = format!("nothing was found within `max_seconds` ({seconds}): give more, or look for `words` alone");
                    Fault::field("max_seconds", message)
                });
            }
            // Once nobody tells any more, the work is nearly done.
            Ok(()) = doing.changed() => {}
            _ = ticks.tick() => {}
        }
        let Some(token) = call.context.meta.get_progress_token() else { continue };
        let message = doing.borrow_and_update().clone();
        let note = ProgressNotificationParam::new(token, begun.elapsed().as_secs_f64())
            .with_total(seconds as f64)
            .with_message(message);
        // Whoever has gone has given up the call as well.
        let _ = call.context.peer.notify_progress(note).await;
    }
}
