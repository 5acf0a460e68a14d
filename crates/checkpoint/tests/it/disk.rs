//! Folders on disk: links as in the hub cache, and what may stand in the place of a file.

use std::fs;
use std::path::Path;

use checkpoint::{Error, Folder, Kind};
use testkit::safetensors::{encode, write};

use crate::names;

const CONFIG: &str = r#"{"model_type": "llama"}"#;

#[cfg(unix)]
#[test]
fn weights_come_through_the_links_of_the_hub_cache() {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path();
    let (blobs, snapshot) = (root.join("blobs"), root.join("snapshots/abc"));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(blobs.join("c0"), CONFIG).unwrap();
    // The header has an odd length, so the tensor has no alignment.
    let values: Vec<u8> = (0..64).collect();
    write(&blobs.join("77"), &[("abc.weight", "F32", &[4, 4], &values)], &[("format", "mlx")])
        .unwrap();
    link("../../blobs/c0", &snapshot.join("config.json"));
    link("../../blobs/77", &snapshot.join("model.safetensors"));
    let folder = Folder::open(&snapshot).unwrap();
    assert_eq!(folder.path(), snapshot);
    let weights = folder.weights().unwrap();
    let tensor = weights.root().at("abc").take("weight", &[4, 4]).unwrap();
    weights.finish().unwrap();
    drop(folder);
    // The bytes live on without the folder, also on another thread.
    fs::remove_dir_all(root).unwrap();
    let sum =
        std::thread::spawn(move || tensor.bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>());
    assert_eq!(sum.join().unwrap(), (0..64u32).sum::<u32>());
}

#[cfg(unix)]
fn link(target: &str, path: &Path) {
    std::os::unix::fs::symlink(target, path).unwrap();
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_an_unfinished_download() {
    let temporary = tempfile::tempdir().unwrap();
    fs::write(temporary.path().join("config.json"), CONFIG).unwrap();
    link("../../blobs/77", &temporary.path().join("model.safetensors"));
    let error = Folder::open(temporary.path()).unwrap().weights().unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    names(&error, &["model.safetensors", "blobs/77"]);
    fs::remove_file(temporary.path().join("config.json")).unwrap();
    link("config.json", &temporary.path().join("config.json"));
    names(&Folder::open(temporary.path()).unwrap_err(), &["config.json"]);
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_folder_is_not_a_file() {
    let temporary = tempfile::tempdir().unwrap();
    fs::write(temporary.path().join("config.json"), CONFIG).unwrap();
    let path = temporary.path().join("model.safetensors");
    fs::create_dir(&path).unwrap();
    let folder = Folder::open(temporary.path()).unwrap();
    assert!(matches!(folder.weights(), Err(Error::NotRegular { .. })));
    fs::remove_dir(&path).unwrap();
    // Opening a pipe to read would wait for ever.
    if std::process::Command::new("mkfifo").arg(&path).status().is_ok_and(|status| status.success())
    {
        assert!(matches!(folder.weights(), Err(Error::NotRegular { .. })));
        assert!(matches!(folder.read("model.safetensors"), Err(Error::NotRegular { .. })));
    }
}

#[test]
fn what_is_no_folder_says_what_it_is() {
    let temporary = tempfile::tempdir().unwrap();
    let place = |name: &str| temporary.path().join(name);
    let error = Folder::open(&place("nothing")).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    names(&error, &["nothing"]);
    for (name, part) in [("model.gguf", "GGUF"), ("model.safetensors", "not a model folder")] {
        fs::write(place(name), "x").unwrap();
        names(&Folder::open(&place(name)).unwrap_err(), &[name, part]);
    }
    names(&Folder::open(temporary.path()).unwrap_err(), &["model.gguf", "GGUF"]);
    fs::remove_file(place("model.gguf")).unwrap();
    names(&Folder::open(temporary.path()).unwrap_err(), &["config.json", "missing"]);
}

#[test]
fn a_cut_off_file_says_how_much_is_missing() {
    let temporary = tempfile::tempdir().unwrap();
    fs::write(temporary.path().join("config.json"), CONFIG).unwrap();
    let whole = encode(&[("a", "F32", &[4], &[0; 16]), ("b", "F32", &[4], &[0; 16])], &[]);
    let path = temporary.path().join("model.safetensors");
    for (cut, tensor) in [(1, "b"), (16, "b"), (17, "a"), (32, "a")] {
        fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        let error = folder.weights().unwrap_err();
        assert!(matches!(&error, Error::Truncated { missing, .. } if *missing == cut as u64));
        names(&error, &["model.safetensors", &format!("`{tensor}`")]);
        assert!(matches!(folder.index(), Err(Error::Truncated { .. })));
    }
    for bytes in [&[][..], b"abc"] {
        fs::write(&path, bytes).unwrap();
        let error = Folder::open(temporary.path()).unwrap().weights().unwrap_err();
        assert!(matches!(error, Error::HeaderTruncated { .. }));
    }
}

#[test]
fn side_files_are_read_inside_the_folder_only() {
    let temporary = tempfile::tempdir().unwrap();
    fs::create_dir(temporary.path().join("sub")).unwrap();
    for (name, text) in
        [("config.json", CONFIG), ("chat_template.jinja", "{{ x }}"), ("sub/a.json", "{}")]
    {
        fs::write(temporary.path().join(name), text).unwrap();
    }
    let folder = Folder::open(temporary.path()).unwrap();
    assert_eq!(folder.read("chat_template.jinja").unwrap().unwrap(), b"{{ x }}");
    assert_eq!(folder.read("sub/a.json").unwrap().unwrap(), b"{}");
    assert_eq!(folder.read("tokenizer.json").unwrap(), None);
    for name in ["../config.json", "/etc/hostname", ""] {
        assert!(matches!(folder.read(name), Err(Error::OutsideFolder { .. })), "{name}");
    }
}

#[test]
fn a_large_sparse_file_is_mapped_not_read() {
    let temporary = tempfile::tempdir().unwrap();
    fs::write(temporary.path().join("config.json"), CONFIG).unwrap();
    let path = temporary.path().join("model.safetensors");
    let bytes = 8u64 << 30;
    let header =
        format!(r#"{{"w":{{"dtype":"U8","shape":[{bytes}],"data_offsets":[0,{bytes}]}}}}"#);
    fs::write(&path, testkit::safetensors::raw(&header, &[])).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    if file.set_len(8 + header.len() as u64 + bytes).is_err() {
        return; // a file system without sparse files
    }
    let weights = Folder::open(temporary.path()).unwrap().weights().unwrap();
    let tensor = weights.root().take_stored("w", &[bytes as usize]).unwrap();
    assert_eq!((tensor.bytes.len() as u64, tensor.bytes[bytes as usize - 1]), (bytes, 0));
}
