//! What the benchmark's own checkers said of the same pages, by `fixtures/readbench.py`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::fuzzy::{near_matches, partial_ratio, ratio};
use super::{Bench, Candidate, Rule, judge, math, plain};

fn cases() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/readbench/cases.json");
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn chars(value: &Value) -> Vec<char> {
    value.as_str().unwrap().chars().collect()
}

#[test]
fn texts_become_plain_as_there() {
    for case in cases()["plain"].as_array().unwrap() {
        assert_eq!(plain::normalize(case[0].as_str().unwrap()), case[1], "{case}");
    }
}

#[test]
fn texts_are_as_alike_as_there() {
    for case in cases()["partial_ratio"].as_array().unwrap() {
        let (a, b) = (chars(&case[0]), chars(&case[1]));
        let (part, all) = (case[2].as_f64().unwrap(), case[3].as_f64().unwrap());
        assert!((partial_ratio(&a, &b) - part).abs() < 1e-9, "{case}: {}", partial_ratio(&a, &b));
        assert!((ratio(&a, &b) - all).abs() < 1e-9, "{case}: {}", ratio(&a, &b));
    }
}

#[test]
fn places_are_found_as_there() {
    let mut found = 0;
    for case in cases()["near_matches"].as_array().unwrap() {
        let most = usize::try_from(case[2].as_u64().unwrap()).unwrap();
        let starts = near_matches(&chars(&case[0]), &chars(&case[1]), most);
        let expected = case[3].as_array().unwrap();
        let ends: Vec<usize> =
            starts.iter().min().into_iter().chain(starts.iter().max()).copied().collect();
        assert_eq!(ends.len(), expected.len(), "{case}: {starts:?}");
        found += expected.len();
        // Where edits stand at an end, there are several best places beside each other.
        for (ours, theirs) in ends.iter().zip(expected) {
            let theirs = usize::try_from(theirs.as_u64().unwrap()).unwrap();
            assert!(ours.abs_diff(theirs) <= most, "{case}: {starts:?}");
        }
    }
    assert!(found > 20);
}

#[test]
fn rules_are_kept_as_there() {
    let cases = cases();
    let (mut kept, mut broken) = (0, 0);
    for (index, case) in cases["rules"].as_array().unwrap().iter().enumerate() {
        let mut rule = case[1].clone();
        rule["pdf"] = "a.pdf".into();
        rule["page"] = 1.into();
        rule["id"] = format!("rule{index}").into();
        let rule = Rule::read(&rule.to_string()).unwrap();
        let page = cases["pages"][case[0].as_str().unwrap()].as_str().unwrap();
        let verdict = rule.test(page);
        assert_eq!(verdict.is_ok(), case[2].as_bool().unwrap(), "{case}: {verdict:?}");
        if verdict.is_ok() { kept += 1 } else { broken += 1 }
    }
    assert!(kept > 20 && broken > 20, "{kept} {broken}");
}

#[test]
fn formulas_are_judged_as_those_that_are_drawn() {
    // Where symbols stand too close to tell: above, below or beside, within a root or not, a mark over them or not.
    let only_drawn = ["x_2", "x2", "\\sqrt{x}+1", "\\nabla\\times\\vec{E}"];
    for case in cases()["formulas"].as_array().unwrap() {
        let (wanted, found) = (case[0].as_str().unwrap(), case[1].as_str().unwrap());
        let drawn = case[2].as_bool().unwrap();
        let expected = drawn && !only_drawn.contains(&found);
        assert_eq!(math::holds(found, wanted), expected, "{case}");
    }
}

#[test]
fn what_is_wrong_with_a_rule_is_said() {
    let cases = [
        (json!([]), "is no object"),
        (json!({"pdf": "a.pdf", "page": 1, "type": "present"}), "has no `id`"),
        (json!({"pdf": "a.pdf", "page": 1, "id": "x", "type": "presence"}), "no type `presence`"),
        (
            json!({"pdf": "a.pdf", "page": 1, "id": "x", "type": "present", "text": " "}),
            "`text` is empty",
        ),
        (
            json!({"pdf": "a.pdf", "page": 1, "id": "x", "type": "present", "text": "a", "colour": 1}),
            "colour",
        ),
        (
            json!({"pdf": "a.pdf", "page": 1, "id": "x", "type": "order", "before": "ab", "after": "cd", "max_diffs": 2}),
            "more than half",
        ),
    ];
    for (line, expected) in cases {
        let error = format!("{:#}", Rule::read(&line.to_string()).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}

/// A benchmark of two files, with what two readers made of them.
fn bench(folder: &Path) -> Bench {
    let put = |name: &str, text: &str| {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    put("pdfs/letters/one.pdf", "");
    put("pdfs/two.pdf", "");
    let rule = |id: &str, pdf: &str, text: &str| json!({"id": id, "pdf": pdf, "page": 1, "type": "present", "text": text, "checked": null});
    let rules =
        format!("{}\n\n{}\n", rule("a", "letters/one.pdf", "Dear"), rule("b", "two.pdf", "Sum"));
    put("texts.jsonl", &rules);
    put("good/letters/one_pg1_repeat1.md", "Dear sir");
    put("good/letters/one_pg1_repeat2.md", "Deer sir");
    put("good/letters/one_pg1_repeat3.md", "Dear sir");
    put("good/two_pg1_repeat1.md", "Sum: 12");
    Bench::load(folder, false).unwrap()
}

#[test]
fn most_readings_decide_and_files_of_rules_count_alike() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path());
    assert_eq!(bench.rules.len(), 4);
    let good = Candidate::of_folder(&folder.path().join("good")).unwrap();
    let verdicts = judge(&bench, &good);
    assert!(verdicts.iter().all(super::Verdict::is_kept));
    let shares: Vec<f64> = verdicts.iter().map(|verdict| verdict.share).collect();
    assert_eq!(shares[1..], [1.0, 1.0, 1.0]);
    assert!((shares[0] - 2.0 / 3.0).abs() < 1e-9);
    assert!(!good.has("letters/tw.pdf") && good.has("two.pdf"));
}

#[test]
fn a_workspace_is_read_by_its_spans() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path());
    let results = folder.path().join("work/results");
    fs::create_dir_all(&results).unwrap();
    let document = json!({
        "text": "\u{1f600} Dear sir\nSecond page",
        "metadata": {"Source-File": "/data/pdfs/letters/one.pdf"},
        "attributes": {"pdf_page_numbers": [[0, 11, 1], [11, 22, 2]]},
    });
    fs::write(results.join("output_1.jsonl"), format!("{document}\n")).unwrap();
    let read = Candidate::of_workspace(&folder.path().join("work"), &bench.pdfs).unwrap();
    assert_eq!(read.page("letters/one.pdf", 1), ["\u{1f600} Dear sir\n"]);
    assert_eq!(read.page("letters/one.pdf", 2), ["Second page"]);
    // A document that the workspace does not have is one without text.
    assert_eq!(read.page("two.pdf", 1), [""]);
    let kept: Vec<bool> = judge(&bench, &read).iter().map(super::Verdict::is_kept).collect();
    // The smiling face is of a script that is not expected.
    assert_eq!(kept, [true, false, false, false]);
}

#[test]
fn the_interval_holds_the_score() {
    let groups = vec![vec![1.0, 0.0, 1.0, 1.0], vec![1.0; 9]];
    let (low, high) = super::interval(&groups, 1000);
    assert!(low < 0.875 && 0.875 < high && high <= 1.0, "{low} {high}");
    assert_eq!(super::interval(&[vec![1.0; 5]], 10), (1.0, 1.0));
}
