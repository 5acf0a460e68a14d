//! The pipeline against a scripted world and a scripted parser.

use std::collections::VecDeque;
use std::fmt;

use documents::layout::PageLayout;
use documents::pipeline::{Outline, Parse, ReadOptions, read};
use documents::{
    Error, Origin, PageFailure, PageSet, Rect, Source, Transcript, Untranscribed, World,
};

/// Answers with prepared pages.
struct Scripted {
    pages: Vec<Result<PageLayout, PageFailure>>,
    asked: Vec<u32>,
}

impl Parse for Scripted {
    fn open(&mut self, _: Source, _: &[String]) -> Result<Outline, Error> {
        let pages = u32::try_from(self.pages.len()).expect("few pages");
        Ok(Outline { pages, title: None, encrypted: false })
    }

    fn page(&mut self, index: u32) -> Result<PageLayout, PageFailure> {
        self.asked.push(index);
        self.pages[index as usize].clone()
    }
}

#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of battery")
    }
}

impl std::error::Error for Broken {}

/// Reads pages from a script and notes which ones it was given.
struct Eyes {
    script: VecDeque<Result<Option<&'static str>, Broken>>,
    seen: Vec<u32>,
}

impl World for Eyes {
    type Error = Broken;

    fn transcribe(&mut self, page: &Untranscribed<'_>) -> Result<Option<Transcript>, Broken> {
        self.seen.push(page.number);
        let text = self.script.pop_front().expect("no page more than scripted")?;
        Ok(text.map(|t| Transcript { markdown: t.to_owned(), by: "eyes".to_owned() }))
    }
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

fn source() -> Source {
    Source { name: "scan.pdf".to_owned(), bytes: Vec::new() }
}

#[test]
fn only_pages_without_text_are_offered_to_the_world() {
    let mut parser = Scripted {
        pages: vec![scan(), blank(), Err(PageFailure::StackOverflow), scan(), scan()],
        asked: Vec::new(),
    };
    let script = VecDeque::from([Ok(Some("# Read\n")), Ok(None), Err(Broken)]);
    let mut world = Eyes { script, seen: Vec::new() };
    let document = read(source(), &ReadOptions::default(), &mut parser, &mut world).unwrap();
    assert_eq!(world.seen, [1, 4, 5]);
    let origins: Vec<&Origin> = document.pages.iter().map(|p| &p.origin).collect();
    assert_eq!(
        origins[0],
        &Origin::Transcript { by: "eyes".to_owned(), markdown: "# Read\n".to_owned() }
    );
    assert_eq!(origins[1], &Origin::Blank);
    assert_eq!(origins[2], &Origin::Failed(PageFailure::StackOverflow));
    assert_eq!(origins[3], &Origin::NoText { images: 1, cover: 1.0 });
    assert!(matches!(origins[4], Origin::Failed(PageFailure::Transcription { .. })));

    let markdown = super::markdown(&document);
    let parts: Vec<&str> = markdown.trim_end().split("\n\n").collect();
    assert_eq!(
        parts,
        [
            "# Read",
            "<!-- page 3 could not be read: the parser ran out of stack (too deep a nesting) -->",
            "<!-- page 4 has no text layer: 1 image covers 100 % of it; reading it needs a vision \
             model -->",
            "<!-- page 5 could not be read: the model failed: out of battery -->",
        ]
    );
}

#[test]
fn only_wanted_pages_and_a_few_beside_them_are_parsed() {
    let blanks = (0..20).map(|_| blank()).collect();
    let mut parser = Scripted { pages: blanks, asked: Vec::new() };
    let pages = PageSet::parse("12,1").unwrap();
    let options = ReadOptions { pages, ..ReadOptions::default() };
    let document = read(source(), &options, &mut parser, &mut documents::NoModel).unwrap();
    assert_eq!(parser.asked, [0, 1, 2, 9, 10, 11, 12, 13]);
    let numbers: Vec<_> = document.pages.iter().map(|page| page.number).collect();
    assert_eq!((numbers, document.page_count), (vec![1, 12], 20));
    let options = ReadOptions { pages: PageSet::parse("21").unwrap(), ..ReadOptions::default() };
    let error = read(source(), &options, &mut parser, &mut documents::NoModel).unwrap_err();
    assert!(matches!(error, Error::PageMissing { page: 21, count: 20, .. }), "{error}");
}
