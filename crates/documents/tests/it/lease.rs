//! The document that the README reads.

use documents::Source;
use documents::json::{self, JsonOptions};
use documents::markdown::{self, MarkdownOptions};

fn lease() -> documents::Document {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/lease.pdf");
    super::document(Source::read(&path, 1 << 20).expect("the lease is there").bytes)
}

#[test]
fn the_lease_reads_as_a_lawyer_would_have_it() {
    let options = MarkdownOptions { page_markers: true, furniture: false };
    insta::assert_snapshot!(markdown::write(&lease(), options));
}

#[test]
fn the_lease_keeps_its_furniture_where_asked() {
    let document = lease();
    let kinds = |page: usize| -> Vec<&str> {
        let furniture = document.pages[page].blocks.iter().filter(|b| b.kind.is_furniture());
        furniture.map(|b| b.kind.name()).collect()
    };
    for page in 0..3 {
        assert_eq!(kinds(page), ["header", "header", "footer", "page_number"], "page {page}");
    }
    let options = MarkdownOptions { furniture: true, ..Default::default() };
    let with = markdown::write(&document, options);
    assert!(with.contains("CONFIDENTIAL") && with.contains("Page 2 of 3"));
}

#[test]
fn the_lease_as_json_has_boxes_inside_the_page() {
    let value = json::write(&lease(), JsonOptions { lines: true });
    assert_eq!(value["page_count"], 3);
    assert_eq!(value["title"], "Lease Agreement: Unit 4, Harbour Works");
    for page in value["pages"].as_array().unwrap() {
        assert_eq!(page["text_source"], "text_layer");
        let (width, height) = (page["width"].as_f64().unwrap(), page["height"].as_f64().unwrap());
        for block in page["blocks"].as_array().unwrap() {
            let side = |i: usize| block["bbox"][i].as_f64().unwrap();
            assert!(side(0) >= 0.0 && side(1) >= 0.0 && side(2) <= width && side(3) <= height);
            assert!(side(0) < side(2) && side(1) < side(3), "{block}");
        }
    }
    let table = value["pages"][2]["blocks"].as_array().unwrap();
    let table = table.iter().find(|b| b["kind"] == "table").unwrap();
    assert_eq!(table["rows"][5][3]["text"], "£1,688.25");
    assert_eq!(table["has_head"], true);
}
