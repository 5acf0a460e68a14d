//! Finished pages come back, whatever befell the file.

use serde_json::json;

use super::*;

fn checkpoints() -> (tempfile::TempDir, Checkpoints) {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of_workspace(folder.path());
    (folder, checkpoints)
}

fn page(number: u32) -> Value {
    json!({ "text": format!("page {number}\nü \u{2028} \"\u{1d4b3}\""), "tokens": number })
}

fn pages(numbers: impl Iterator<Item = u32>) -> BTreeMap<u32, Value> {
    numbers.map(|number| (number, page(number))).collect()
}

#[test]
fn pages_come_back_to_whoever_reads_with_the_same_settings() {
    let (folder, checkpoints) = checkpoints();
    let mut first = checkpoints.open("s3://b/a.pdf", "one").unwrap();
    assert!(first.take_pages().is_empty());
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing is made before a page is finished"
    );
    for number in [3, 1, 2] {
        first.add(number, &page(number)).unwrap();
    }
    first.add(2, &json!("again")).unwrap();
    let mut other = checkpoints.open("s3://b/a.pdf", "two").unwrap();
    assert!(other.take_pages().is_empty());
    other.add(1, &json!("otherwise")).unwrap();
    let mut second = checkpoints.open("s3://b/a.pdf", "one").unwrap();
    let mut expected = pages(1..=3);
    expected.insert(2, json!("again"));
    assert_eq!(second.take_pages(), expected);
    assert!(second.damaged().is_empty() && second.take_pages().is_empty());
    assert!(checkpoints.open("s3://b/b.pdf", "one").unwrap().take_pages().is_empty());
    checkpoints.remove("s3://b/a.pdf").unwrap();
    checkpoints.remove("s3://b/a.pdf").unwrap();
    assert!(checkpoints.open("s3://b/a.pdf", "one").unwrap().take_pages().is_empty());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn what_nobody_goes_on_with_is_forgotten() {
    let (folder, checkpoints) = checkpoints();
    assert_eq!(checkpoints.forget(SystemTime::now()).unwrap(), 0, "there is no folder yet");
    checkpoints.open("a", "s").unwrap().add(1, &page(1)).unwrap();
    let other = folder.path().join("page_checkpoints/notes.txt");
    fs::write(&other, "somebody else's").unwrap();
    let hour = std::time::Duration::from_secs(3600);
    assert_eq!(checkpoints.forget(SystemTime::now() - hour).unwrap(), 0);
    assert_eq!(checkpoints.open("a", "s").unwrap().take_pages().len(), 1);
    assert_eq!(checkpoints.forget(SystemTime::now() + hour).unwrap(), 1);
    assert!(checkpoints.open("a", "s").unwrap().take_pages().is_empty());
    assert!(other.exists());
}

#[test]
fn a_file_cut_anywhere_loses_the_last_page_at_most() {
    let (_folder, checkpoints) = checkpoints();
    let mut checkpoint = checkpoints.open("a", "s").unwrap();
    for number in 1..=3 {
        checkpoint.add(number, &page(number)).unwrap();
    }
    let whole = fs::read(checkpoint.path()).unwrap();
    let line = whole.len() / 3;
    for end in 0..=whole.len() {
        let restored = restore(&whole[..end], "s");
        let finished = u32::try_from(end / line).unwrap();
        assert_eq!(restored.pages, pages(1..=finished), "{end}");
        assert!(restored.damaged.is_empty(), "{end}");
        // The next process adds a page behind it.
        fs::write(checkpoint.path(), &whole[..end]).unwrap();
        let mut next = checkpoints.open("a", "s").unwrap();
        next.add(9, &page(9)).unwrap();
        let restored = restore(&fs::read(next.path()).unwrap(), "s");
        // Where only the line break was lost, it is put there again.
        let finished = u32::try_from((end + 1) / line).unwrap();
        let mut expected = pages(1..=finished);
        expected.insert(9, page(9));
        assert_eq!(restored.pages, expected, "{end}");
    }
}

#[test]
fn a_byte_that_changed_is_noticed_and_named() {
    let mut bytes = Vec::new();
    for number in 1..=3 {
        bytes.extend_from_slice(line("s", number, &page(number)).as_bytes());
    }
    let length = bytes.len() / 3;
    for place in 0..bytes.len() {
        let mut other = bytes.clone();
        other[place] ^= 1;
        let restored = restore(&other, "s");
        let hit = u32::try_from(place / length).unwrap() + 1;
        for (number, content) in &restored.pages {
            assert_eq!(content, &page(*number), "{place}");
        }
        assert!(!restored.pages.contains_key(&hit), "{place}");
        // Where the end of the last line is hit, it is one that was cut short.
        let last = place == bytes.len() - 1;
        assert_eq!(restored.damaged.first(), (!last).then_some(&u64::from(hit)), "{place}");
    }
}

#[test]
fn two_who_work_at_one_document_keep_each_others_pages() {
    let (_folder, checkpoints) = checkpoints();
    std::thread::scope(|scope| {
        for worker in 0..4_u32 {
            let mut checkpoint = checkpoints.open("a", "s").unwrap();
            scope.spawn(move || {
                for number in 0..10 {
                    checkpoint.add(worker * 10 + number, &page(worker * 10 + number)).unwrap();
                }
            });
        }
    });
    assert_eq!(checkpoints.open("a", "s").unwrap().take_pages(), pages(0..40));
}

#[cfg(unix)]
#[test]
fn a_folder_of_this_machine_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("read/pages");
    Checkpoints::private(&place).unwrap();
    assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o700);
}
