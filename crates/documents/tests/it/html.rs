//! Documents as pages of HTML.

use std::fs;
use std::path::Path;

use documents::html::{HtmlOptions, write};
use documents::pipeline::{FrontMatter, PageReading, Reader};
use documents::{Origin, PageFailure};

use crate::document;

fn lease() -> documents::Document {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/lease.pdf");
    document(fs::read(file).expect("the example"))
}

#[test]
fn a_lease_becomes_a_page() {
    let html = write(&lease(), HtmlOptions::default());
    let main = html.split_once("<main>").expect("a main part").1;
    insta::assert_snapshot!("lease_html", main);
}

#[test]
fn the_head_forbids_everything_from_elsewhere() {
    let mut document = lease();
    document.title = Some("</title><script>x</script>".to_owned());
    let html = write(&document, HtmlOptions::default());
    assert!(html.contains("<title>&lt;/title&gt;&lt;script&gt;"), "{}", &html[..900]);
    assert!(html.contains("default-src &#39;none&#39;") && !html.contains("unsafe"));
    assert!(!html.contains("<script"));
}

#[test]
fn furniture_stands_there_if_it_is_wanted() {
    let with = write(&lease(), HtmlOptions { furniture: true });
    let without = write(&lease(), HtmlOptions { furniture: false });
    assert!(with.contains("class=\"furniture\"") && !without.contains("class=\"furniture\""));
}

#[test]
fn readings_and_failures_stand_beside_each_other() {
    let mut document = lease();
    let text = "# Seen\n\n<table><tr><td colspan=2>a</td></tr></table>".to_owned();
    let language = Some("de".to_owned());
    let reading = PageReading {
        front_matter: FrontMatter { primary_language: language, ..FrontMatter::default() },
        by: Reader::Model("eyes".to_owned()),
        ..PageReading::of_text_layer(1, Some(text))
    };
    document.pages[0].origin = Origin::Transcript(Box::new(reading));
    document.pages[1].origin = Origin::Failed(PageFailure::StackOverflow);
    let html = write(&document, HtmlOptions::default());
    assert!(html.contains("<html lang=\"de\">"));
    assert!(html.contains("<h1 dir=\"auto\">Seen</h1>"), "{html}");
    assert!(html.contains("<td dir=\"auto\" colspan=\"2\">a</td>"));
    assert!(html.contains("<p class=\"lost\" role=\"note\">Page 2 could not be read: "));
}
