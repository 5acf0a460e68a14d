//! Paths as people write them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::*;
use crate::workspace::{Change, Entry};

/// A bucket of empty objects.
#[derive(Debug)]
struct Bucket(Vec<&'static str>);

impl Store for Bucket {
    fn address(&self, key: &str) -> String {
        format!("s3://b/{key}")
    }
    fn get(&self, _: &str, _: u64) -> Result<Option<Vec<u8>>, Error> {
        unreachable!("objects are not read to be named")
    }
    fn put(&self, _: &str, _: &[u8]) -> Result<(), Error> {
        unreachable!("inputs are not written")
    }
    fn put_new(&self, _: &str, _: &[u8]) -> Result<bool, Error> {
        unreachable!("inputs are not written")
    }
    fn change(&self, _: &str, _: u64, _: &mut Change<'_>) -> Result<(), Error> {
        unreachable!("inputs are not written")
    }
    fn append(&self, _: &str, _: &[u8]) -> Result<(), Error> {
        unreachable!("inputs are not written")
    }
    fn grows(&self) -> bool {
        false
    }

    fn delete(&self, _: &str) -> Result<(), Error> {
        unreachable!("inputs are not written")
    }
    fn list(&self, prefix: &str) -> Result<Vec<Entry>, Error> {
        let keys = self.0.iter().filter(|key| key.starts_with(prefix));
        let entry = |key: &&str| Entry {
            key: (*key).to_owned(),
            bytes: 1,
            modified: SystemTime::UNIX_EPOCH,
        };
        Ok(keys.map(entry).collect())
    }
    fn modified(&self, key: &str) -> Result<Option<SystemTime>, Error> {
        Ok(self.0.contains(&key).then_some(SystemTime::UNIX_EPOCH))
    }
    fn entry(&self, key: &str) -> Result<Option<Entry>, Error> {
        Ok(self.list(key)?.into_iter().find(|entry| entry.key == key))
    }
}

fn find(arguments: &[&str]) -> Result<Inputs, Error> {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    gather(&arguments, &|address| {
        assert_eq!((address.scheme, address.bucket), ("s3", "b"));
        Ok(Arc::new(Bucket(vec![
            "a/1.pdf",
            "a/2.pdf",
            "a/b/3.pdf",
            "a/set.tgz",
            "a/[x].pdf",
            "q?.pdf",
        ])))
    })
}

fn documents(arguments: &[&str]) -> Vec<String> {
    find(arguments).unwrap().documents.into_iter().collect()
}

/// A folder with these files, and its path.
fn folder(files: &[(&str, &[u8])]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let path = folder.path().to_str().unwrap().to_owned();
    (folder, path)
}

const FILES: [(&str, &[u8]); 9] = [
    ("b.pdf", b"%PDF-1.4"),
    ("a.PDF", b"\n%PDF-1.4"),
    ("deep/er/c.png", b"\x89PNG\r\n\x1a\n"),
    ("deep/d.jpeg", b"\xff\xd8\xff\xe0"),
    ("deep/set.tar.gz", b"\x1f\x8b"),
    ("not.pdf", b"<html>"),
    ("empty.pdf", b""),
    ("note.md", b"words"),
    (".hidden/x.pdf", b"%PDF-1.4"),
];

#[test]
fn a_folder_means_all_that_can_be_read_in_it() {
    let (_folder, path) = folder(&FILES);
    let found = find(&[&path]).unwrap();
    let documents: Vec<String> = ["a.PDF", "b.pdf", "deep/d.jpeg", "deep/er/c.png"]
        .iter()
        .map(|f| format!("{path}/{f}"))
        .collect();
    assert_eq!(found.documents.into_iter().collect::<Vec<_>>(), documents);
    assert_eq!(found.tarballs.into_iter().collect::<Vec<_>>(), [format!("{path}/deep/set.tar.gz")]);
    let skipped: BTreeMap<String, Why> =
        found.skipped.into_iter().map(|s| (s.path, s.why)).collect();
    assert_eq!(skipped[&format!("{path}/not.pdf")], Why::Kind(FileKind::Html));
    assert_eq!(skipped[&format!("{path}/empty.pdf")], Why::Empty);
    assert_eq!(skipped.len(), 2);
    // A slash at the end changes no path.
    assert_eq!(self::documents(&[&format!("{path}/")]), documents);
}

#[test]
fn files_and_lists_are_taken_as_they_are_written() {
    let (_folder, path) = folder(&FILES);
    let list = format!("{path}/list.txt");
    fs::write(&list, "\u{feff}  s3://b/x.pdf \r\n\n/no/such.pdf\nset.TGZ\n").unwrap();
    let odd = format!("{path}/deep/../b.pdf");
    let found = find(&[&list, &odd]).unwrap();
    let documents: Vec<String> = found.documents.into_iter().collect();
    assert_eq!(documents, ["/no/such.pdf", &*odd, "s3://b/x.pdf"]);
    assert_eq!(found.tarballs.into_iter().collect::<Vec<_>>(), ["set.TGZ"]);
    let error = |argument: &str| find(&[argument]).unwrap_err().to_string();
    assert!(error(&format!("{path}/note.md")).contains("no kind of file"));
    assert!(error(&format!("{path}/none.pdf")).contains("no such file"));
    fs::write(&list, b"a.pdf\n\xff\n").unwrap();
    assert!(error(&list).contains("line 2 is not UTF-8"));
}

#[test]
fn patterns_mean_files_where_no_shell_did() {
    let (_folder, path) = folder(&FILES);
    let names = |pattern: &str| -> Vec<String> {
        let found = documents(&[&format!("{path}/{pattern}")]);
        found.iter().map(|found| found[path.len() + 1..].to_owned()).collect()
    };
    assert_eq!(names("*.[pP][dD][fF]"), ["a.PDF", "b.pdf"]);
    assert_eq!(names("?.pdf"), ["b.pdf"]);
    assert_eq!(names("*/*.jpeg"), ["deep/d.jpeg"]);
    assert_eq!(names("**/*"), ["a.PDF", "b.pdf", "deep/d.jpeg", "deep/er/c.png"]);
    assert_eq!(names("**/er/c.png"), ["deep/er/c.png"]);
    let none = find(&[&format!("{path}/*.webp")]).unwrap_err();
    assert!(none.to_string().ends_with("nothing matches"), "{none}");
}

#[test]
fn objects_are_named_or_matched_as_olmocr_does() {
    assert_eq!(
        documents(&["s3://b/a/1.pdf", "s3://b//a/2.pdf"]),
        ["s3://b/a/1.pdf", "s3://b/a/2.pdf"]
    );
    let all = find(&["s3://b/a/*"]).unwrap();
    assert_eq!(all.documents.len(), 4);
    assert_eq!(all.tarballs.into_iter().collect::<Vec<_>>(), ["s3://b/a/set.tgz"]);
    assert_eq!(documents(&["s3://b/a/[!2x].pdf"]), ["s3://b/a/1.pdf"]);
    // A question mark is part of a key.
    assert_eq!(documents(&["s3://b/q?.pdf"]), ["s3://b/q?.pdf"]);
    let error = |argument: &str| find(&[argument]).unwrap_err();
    for prefix in ["s3://b/a", "s3://b/a/", "s3://b", "s3://b/"] {
        let error = error(prefix);
        assert!(error.to_string().contains("folder of objects"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("*.pdf")));
    }
    assert!(error("s3://b/none.pdf").to_string().contains("no such object"));
    assert!(error("s3://b/none/*.pdf").to_string().contains("nothing matches"));
}

#[test]
fn a_group_has_as_many_documents_as_make_its_pages() {
    let names = |count: usize| Inputs {
        documents: (0..count).map(|n| format!("{n:05}.pdf")).collect(),
        ..Inputs::default()
    };
    let per_group = |count, each: Option<u32>| {
        let mut asked = 0;
        let most = names(count).per_group(500, &mut |_| {
            asked += 1;
            each
        });
        (most, asked)
    };
    assert_eq!(per_group(30, Some(10)), (50, 30));
    assert_eq!(per_group(30, Some(600)), (1, 30));
    assert_eq!(per_group(30, Some(499)), (1, 30));
    assert_eq!(per_group(30, None), (50, 30), "ten pages where nobody knows");
    assert_eq!(per_group(0, None), (50, 0));
    let (most, asked) = per_group(12_345, Some(7));
    assert_eq!(most, 71);
    assert!((90..=100).contains(&asked), "{asked}");
    // What cannot be opened does not count.
    let mut odd = false;
    let most = names(10).per_group(500, &mut |_| {
        odd = !odd;
        odd.then_some(100)
    });
    assert_eq!(most, 5);
}

#[test]
fn documents_are_grouped_and_tarballs_are_not() {
    let mut inputs = Inputs::default();
    inputs.documents.extend(["a.pdf", "b.pdf", "c.pdf"].map(str::to_owned));
    inputs.tarballs.extend(["x.tgz", "y.tgz"].map(str::to_owned));
    let mut index = Index::default();
    assert_eq!(inputs.add_to(&mut index, 2).unwrap(), 5);
    let sizes: Vec<usize> = index.groups().iter().map(|group| group.paths.len()).collect();
    assert_eq!(sizes, [2, 1, 1, 1]);
    assert_eq!(inputs.add_to(&mut index, 5).unwrap(), 0);
}
