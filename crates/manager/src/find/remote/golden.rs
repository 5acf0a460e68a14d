//! What the official clients said, and the same pages in our words, for tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use index::{Encoder, Grid, Hash, Profile};
use serde_json::Value;

use super::record::{Compression, Key, Made, Narrow, Record};

pub(super) fn read(server: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/stores");
    let text = fs::read_to_string(folder.join(server).with_extension("json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A call of the official client.
pub(super) fn call<'a>(golden: &'a Value, name: &str) -> &'a Value {
    let calls = golden["calls"].as_array().unwrap();
    calls.iter().find(|call| call["name"] == name).unwrap_or_else(|| panic!("no call {name}"))
}

pub(super) fn bytes(hex: &Value) -> Vec<u8> {
    let digits: Vec<u32> = hex.as_str().unwrap().chars().map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// Numbers of rows, one after another.
pub(super) fn numbers(rows: &Value) -> Vec<f32> {
    let rows = rows.as_array().unwrap().iter();
    rows.flat_map(|row| row.as_array().unwrap()).map(|x| x.as_f64().unwrap() as f32).collect()
}

pub(super) fn keys() -> [Key; 2] {
    ["01", "02"].map(|end| Key::read(&format!("11111111-2222-5333-8444-5555555555{end}")).unwrap())
}

pub(super) fn made() -> Made {
    let encoder = |dim| {
        let (name, pooling) = ("sample".to_owned(), "none".to_owned());
        Some(Encoder { name, model: Hash([1; 32]), prompt: Hash([2; 32]), pooling, dim })
    };
    let profile =
        Profile { vectors: encoder(4), dense: encoder(4), sparse: encoder(100), halves: false };
    let compression = Compression::None;
    Made { profile, rounded: false, compression, muvera: true, words: 4.0 }
}

/// The two pages that were put.
pub(super) fn records(server: &str) -> Vec<Record> {
    let golden = read(server);
    let dense = numbers(&golden["dense"]).chunks(4).map(<[f32]>::to_vec).collect();
    let [first, second] = keys();
    let whole = Record {
        key: first,
        path: "/a/b/lease.pdf".to_owned(),
        document: "ab".repeat(32),
        pages: 3,
        date: Some("2024-05-31".to_owned()),
        category: Some("contracts".to_owned()),
        metadata: BTreeMap::from([("title".to_owned(), "A lease".to_owned())]),
        number: 2,
        hash: "cd".repeat(32),
        text: "The tenant pays rent".to_owned(),
        failure: None,
        grid: Some(Grid { start: 1, height: 1, width: 2 }),
        preview: Some(("image/webp".to_owned(), "AAEC".to_owned())),
        with_previews: true,
        source: "00000000000000ff".to_owned(),
        vectors: numbers(&golden["vectors"]),
        dense,
        sparse: vec![(3, 0.5), (7, 1.5)],
    };
    let bare = Record {
        key: second,
        path: "/a/c.pdf".to_owned(),
        document: "ef".repeat(32),
        pages: 1,
        date: None,
        category: None,
        metadata: BTreeMap::new(),
        number: 1,
        hash: "01".repeat(32),
        text: String::new(),
        failure: Some("it is torn".to_owned()),
        grid: None,
        preview: None,
        vectors: Vec::new(),
        dense: Vec::new(),
        sparse: Vec::new(),
        ..whole.clone()
    };
    vec![whole, bare]
}

/// The filter with every condition.
pub(super) fn narrow() -> Narrow {
    Narrow {
        paths: None,
        folder: Some("/a".to_owned()),
        from: Some(20_240_101),
        to: Some(20_241_231),
        categories: vec!["contracts".to_owned(), "letters".to_owned()],
        pages: Some((1, 5)),
        metadata: vec!["title=A lease".to_owned()],
    }
}
