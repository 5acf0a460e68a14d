//! Arguments, and bounds of made models.

use super::bound::Bound;
use super::*;

#[test]
fn arguments_are_read() {
    let words = "--model a --model b --threads 1,2 --rounds 3 --ops dense --folio old=/x/folio";
    let mut words: Vec<&str> = words.split(' ').collect();
    words.extend(["--peer", "llama=llama-bench -t {threads}", "--peer-output", "p {prefill}"]);
    let options = Options::parse(&words).unwrap();
    assert_eq!((options.models.len(), options.rounds), (2, 3));
    assert_eq!((options.threads, options.ops), (vec![1, 2], Some(vec!["dense".to_owned()])));
    assert_eq!(options.programs, [("old".to_owned(), PathBuf::from("/x/folio"))]);
    assert_eq!(options.peers[0].output.as_deref(), Some("p {prefill}"));
    assert_eq!(Options::parse(&["--ops", "none"]).unwrap().ops, Some(Vec::new()));
    for (words, said) in [
        (&["--rounds", "0"][..], "no number above 0"),
        (&["--rounds"], "needs a value"),
        (&["--speed", "9"], "unknown option"),
        (&["--peer-output", "x"], "follows a --peer"),
    ] {
        let error = Options::parse(words).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn bounds_follow_from_the_header() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = tempfile::tempdir().unwrap();
    let bound = |name: &str, flags: &[&str]| {
        let path = folder.path().join(name);
        let arguments = [&[name, path.to_str().unwrap()], flags].concat();
        shape::run(&root, &arguments).unwrap();
        Bound::of(&path).unwrap()
    };
    // Two layers: four projections of attention, two with half the heads, and three matrices of
    // 128x256.
    let multiplied = 2 * (2 * 128 * 128 + 2 * 64 * 128 + 3 * 128 * 256);
    let decoder = bound("tiny-decoder", &[]);
    assert_eq!((decoder.multiplied, decoder.peak), (multiplied, "int8"));
    // The table is the head, so a token reads all of it.
    assert_eq!(decoder.token, decoder.file);
    assert!(decoder.is_decoder);
    let encoder = bound("tiny-encoder", &["--mode", "dense", "--dtype", "f32"]);
    assert_eq!(encoder.multiplied, 2 * (4 * 128 * 128 + 2 * 128 * 256));
    assert_eq!((encoder.peak, encoder.is_decoder), ("f32", false));
    assert!(encoder.token < encoder.file);
}
