//! Words, sparse and dense vectors, and filters.

use index::{
    Error, Filter, Index, Limits, NewDocument, NewPage, PageId, Place, Preview, Profile, Query,
    Route, Writer,
};

use crate::samples::{bare, begin, cpu, document, encoder};

fn numbers(index: &Index, query: &Query<'_>) -> Vec<(String, u32)> {
    let answer = index.search(query, &mut |_, _| ()).unwrap();
    assert_eq!(answer.route, Route::Lists);
    answer.hits.into_iter().map(|hit| (hit.path, hit.number)).collect()
}

fn paths(index: &Index, filter: Filter) -> Vec<String> {
    let query = Query { words: Some("all"), limit: 100, filter, ..Query::default() };
    let mut paths: Vec<_> = numbers(index, &query).into_iter().map(|(path, _)| path).collect();
    paths.sort();
    paths
}

#[test]
fn words_are_ranked_and_marked() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::default();
    let mut writer = Writer::create(folder.path(), &profile).unwrap();
    let id = begin(&mut writer, &document("a", 1, 4));
    let texts = [
        "The fire exit is behind the stairs.",
        "Exit, exit, EXIT: the Café's fire exit.",
        "Nothing of the kind.",
        "",
    ];
    let pages: Vec<_> = texts.iter().zip(1..).map(|(text, n)| bare(id, n, text)).collect();
    writer.commit(&pages, &[id]).unwrap();
    let index = Index::open(folder.path(), &profile, cpu(), Limits::default()).unwrap();
    let look = |words| numbers(&index, &Query { words: Some(words), limit: 9, ..Query::default() });
    let page = |number| ("a".to_owned(), number);
    assert_eq!(look("exit"), [page(2), page(1)]);
    assert_eq!(look("cafe"), [page(2)]);
    assert_eq!(look("kind OR stairs"), [page(3), page(1)]);
    assert_eq!(look("\" NEAR ("), []);
    let query = Query { words: Some("fire"), limit: 1, ..Query::default() };
    let hit = index.search(&query, &mut |_, _| ()).unwrap().hits.remove(0);
    let marked: Vec<_> =
        hit.snippet.marks.iter().map(|mark| &hit.snippet.text[mark.clone()]).collect();
    assert_eq!(marked, ["fire"]);
    assert_eq!(index.text(hit.page).unwrap(), texts[hit.number as usize - 1]);
}

#[test]
fn sparse_and_dense_vectors_are_compared_and_fused() {
    let folder = tempfile::tempdir().unwrap();
    let profile =
        Profile { dense: Some(encoder(3)), sparse: Some(encoder(100)), ..Profile::default() };
    let mut writer = Writer::create(folder.path(), &profile).unwrap();
    let id = begin(&mut writer, &document("a", 1, 3));
    let dense = [vec![vec![1.0, 0.0, 0.0], vec![0.0, 0.0, 1.0]], vec![vec![0.6, 0.8, 0.0]], vec![]];
    let sparse = [vec![(7, 0.5)], vec![(7, 0.25), (8, 2.0)], vec![(9, 1.0)]];
    let pages: Vec<_> = (0..3)
        .map(|i| NewPage { dense: &dense[i], sparse: &sparse[i], ..bare(id, i as u32 + 1, "") })
        .collect();
    writer.commit(&pages, &[id]).unwrap();
    // Of a document that is not finished nothing is found.
    let other = begin(&mut writer, &document("b", 1, 2));
    writer.commit(&[NewPage { document: other, ..pages[0] }], &[]).unwrap();
    let index = Index::open(folder.path(), &profile, cpu(), Limits::default()).unwrap();
    let found = |query: Query<'_>| -> Vec<u32> {
        numbers(&index, &query).into_iter().map(|(_, number)| number).collect()
    };
    let by_dense = Query { dense: Some(&[0.0, 0.1, 1.0]), limit: 9, ..Query::default() };
    assert_eq!(found(by_dense.clone()), [1, 2]);
    let by_sparse = Query { sparse: Some(&[(7, 1.0), (8, 0.5)]), limit: 9, ..Query::default() };
    assert_eq!(found(by_sparse.clone()), [2, 1]);
    let both = Query {
        sparse: Some(&[(7, 1.0), (8, 0.5), (9, 0.1)]),
        dense: Some(&[0.0, 1.0, 0.0]),
        limit: 9,
        ..Query::default()
    };
    assert_eq!(found(both), [2, 1, 3]);
    let filter = Filter { pages: Some((2, 2)), ..Filter::default() };
    assert_eq!(found(Query { filter: filter.clone(), ..by_dense }), [2]);
    assert_eq!(found(Query { filter, ..by_sparse }), [2]);
}

#[test]
fn filters_leave_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::default();
    let mut writer = Writer::create(folder.path(), &profile).unwrap();
    let day = |text: &str| Some(text.parse().unwrap());
    for (path, date, category, language) in [
        ("in/a.pdf", day("2023-05-01"), Some("letter"), "de"),
        ("in/deep/b.pdf", day("2024-01-31"), Some("bill"), "fr"),
        ("inn/c.pdf", day("2024-02-01"), None, "de"),
        ("in%/d.pdf", None, Some("letter"), "fr"),
    ] {
        let new = NewDocument {
            date,
            category: category.map(str::to_owned),
            metadata: [("language".to_owned(), language.to_owned())].into(),
            ..document(path, 1, 1)
        };
        let id = begin(&mut writer, &new);
        writer.commit(&[bare(id, 1, "all")], &[id]).unwrap();
    }
    let index = Index::open(folder.path(), &profile, cpu(), Limits::default()).unwrap();
    let none = Filter::default;
    let place = |place| Filter { place: Some(place), ..none() };
    assert_eq!(paths(&index, none()).len(), 4);
    assert_eq!(paths(&index, place(Place::At("in/a.pdf".into()))), ["in/a.pdf"]);
    for folder in ["in", "in/"] {
        let below = place(Place::Below(folder.into()));
        assert_eq!(paths(&index, below), ["in/a.pdf", "in/deep/b.pdf"]);
    }
    assert_eq!(paths(&index, place(Place::Below("in%".into()))), ["in%/d.pdf"]);
    assert_eq!(paths(&index, place(Place::Like("in?/*.pdf".into()))), ["in%/d.pdf", "inn/c.pdf"]);
    let named = |name: &str| paths(&index, place(Place::Named(name.into())));
    assert_eq!((named("b.pdf"), named("?.pdf").len()), (vec!["in/deep/b.pdf".to_owned()], 4));
    // Of folders it knows nothing.
    assert!(named("*deep*").is_empty() && named("in/a.pdf").is_empty());
    let from = Filter { from: day("2024-01-31"), ..none() };
    assert_eq!(paths(&index, from.clone()), ["in/deep/b.pdf", "inn/c.pdf"]);
    let within = Filter { to: day("2024-01-31"), ..from };
    assert_eq!(paths(&index, within), ["in/deep/b.pdf"]);
    let letters = Filter { categories: vec!["letter".into(), "x".into()], ..none() };
    assert_eq!(paths(&index, letters.clone()), ["in%/d.pdf", "in/a.pdf"]);
    let german = Filter { metadata: vec![("language".into(), "de".into())], ..letters };
    assert_eq!(paths(&index, german), ["in/a.pdf"]);
    // What is said of a document can change while its content stays.
    let new = NewDocument { category: Some("letter".into()), ..document("inn/c.pdf", 1, 1) };
    assert!(matches!(writer.begin(&new).unwrap(), index::Begun::Unchanged(_)));
    let letters = Filter { categories: vec!["letter".into()], ..none() };
    assert_eq!(paths(&index, letters), ["in%/d.pdf", "in/a.pdf", "inn/c.pdf"]);
}

#[test]
fn what_a_page_holds_is_given_back_to_be_moved() {
    let folder = tempfile::tempdir().unwrap();
    let profile =
        Profile { dense: Some(encoder(3)), sparse: Some(encoder(100)), ..Profile::default() };
    let mut writer = Writer::create(folder.path(), &profile).unwrap();
    let id = begin(&mut writer, &document("a", 1, 2));
    let dense = [vec![1.0, 0.25, -0.5], vec![0.0, 0.75, 0.125]];
    let sparse = [(7, 0.5), (3, 1.5)];
    let whole = NewPage { dense: &dense, sparse: &sparse, ..bare(id, 1, "fire") };
    let failed = NewPage { failure: Some("torn"), ..bare(id, 2, "") };
    let pages = writer.commit(&[whole, failed], &[id]).unwrap().pages;
    let index = Index::open(folder.path(), &profile, cpu(), Limits::default()).unwrap();
    let first = index.content(pages[0]).unwrap();
    assert_eq!((first.text.as_str(), first.hash), ("fire", whole.hash));
    assert_eq!(first.dense, dense);
    // By token.
    assert_eq!(first.sparse, [(3, 1.5), (7, 0.5)]);
    let second = index.content(pages[1]).unwrap();
    assert_eq!(second.failure.as_deref(), Some("torn"));
    assert!(second.dense.is_empty() && second.sparse.is_empty());
    assert!(matches!(index.content(PageId(99)), Err(Error::NoPage { .. })));

    // It is known by the same number to all, and another index by another.
    let number = index.identity().unwrap().unwrap();
    drop(writer);
    drop(Writer::open(folder.path(), &profile).unwrap());
    assert_eq!(index.identity().unwrap(), Some(number));
    let other = tempfile::tempdir().unwrap();
    drop(Writer::create(other.path(), &profile).unwrap());
    let other = Index::open(other.path(), &profile, cpu(), Limits::default()).unwrap();
    assert_ne!(other.identity().unwrap(), Some(number));
}

#[test]
fn previews_and_failures_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::default();
    let mut writer = Writer::create(folder.path(), &profile).unwrap();
    let (one, two) = (
        begin(&mut writer, &document("a", 1, 2)),
        // Of what is not finished nothing is counted.
        begin(&mut writer, &document("b", 2, 2)),
    );
    let preview = Preview { kind: "image/png", bytes: b"small" };
    let pages = [
        NewPage { preview: Some(preview), ..bare(one, 1, "all") },
        NewPage { failure: Some("it is a scan"), ..bare(one, 2, "") },
        NewPage { failure: Some("it is a scan"), ..bare(two, 1, "") },
    ];
    writer.commit(&pages, &[one]).unwrap();
    let index = Index::open(folder.path(), &profile, cpu(), Limits::default()).unwrap();
    let size = index.size().unwrap();
    assert_eq!((size.documents, size.pages, size.failed), (1, 2, 1));
    let [(1, first), (2, second)] = index.pages(one).unwrap()[..] else { panic!("two pages") };
    assert_eq!(index.preview(first).unwrap(), Some(("image/png".to_owned(), b"small".to_vec())));
    assert!(index.has_preview(first).unwrap() && !index.has_preview(second).unwrap());
    assert!(index.pages(two).unwrap().is_empty());
    // Whoever has it open answers from it, and knows that it is gone.
    assert!(index.is_current());
    drop(writer);
    std::fs::remove_dir_all(folder.path()).unwrap();
    assert!(!index.is_current());
    assert_eq!(index.documents(None, 9).unwrap().len(), 1);
}
