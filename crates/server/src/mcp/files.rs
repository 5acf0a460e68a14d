//! Which files tools may read: those under folders that the server's owner has named, and no others.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use axum::http::StatusCode;

use crate::fault::Fault;

/// The files that tools may read.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Folders: what lies under them may be read. None: no file is.
    pub roots: Vec<PathBuf>,
    /// The program and its arguments that strangers' files are parsed in: a `documents` worker. Without it only text is
    /// read.
    pub worker: Vec<OsString>,
}

/// A file that may be read: where it really lies, and under which of the folders.
#[derive(Debug)]
pub(crate) struct Allowed {
    pub(crate) path: PathBuf,
}

impl Files {
    /// Whether the file `asked` may be read, links and `..` followed first. A name without a folder is looked for in each of
    /// the folders.
    ///
    /// # Errors
    ///
    /// If it may not, or there is no such file. Of what lies outside nothing is told, not even whether it is there.
    pub(crate) fn allowed(&self, field: &str, asked: &str) -> Result<Allowed, Fault> {
        if self.roots.is_empty() {
            let message = "this server reads no files: start it with `--allow-root FOLDER` to let it read what lies there";
            return Err(Fault { status: StatusCode::FORBIDDEN, ..Fault::field(field, message) });
        }
        let roots: Vec<PathBuf> =
            self.roots.iter().filter_map(|root| root.canonicalize().ok()).collect();
        let under = |path: &Path| {
            let real = path.canonicalize().ok()?;
            (roots.iter().any(|root| real.starts_with(root)) && real.is_file()).then_some(real)
        };
        let path = Path::new(asked);
        let found = if path.is_absolute() {
            under(path)
        } else {
            roots.iter().find_map(|root| under(&root.join(path)))
        };
        let Some(path) = found else {
            let roots: Vec<_> = self.roots.iter().map(|it| it.display().to_string()).collect();
            let message = format!(
                "there is no file `{asked}` under {}: name one there, or start the server with `--allow-root FOLDER`",
                roots.join(" or "),
            );
            return Err(Fault { status: StatusCode::FORBIDDEN, ..Fault::field(field, message) });
        };
        Ok(Allowed { path })
    }

    /// The text of the file `asked`, of at most `most` bytes.
    ///
    /// # Errors
    ///
    /// If it may not be read, is larger, or is no text.
    pub(super) async fn text(&self, field: &str, asked: &str, most: u64) -> Result<String, Fault> {
        let (files, named) = (self.clone(), asked.to_owned());
        let owned = field.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let file = files.allowed(&owned, &named)?;
            let bytes = bytes(&owned, &named, &file.path, most)?;
            text(&owned, &named, bytes)
        });
        read.await.map_err(|_| {
            Fault::of(StatusCode::INTERNAL_SERVER_ERROR, "the file could not be read")
        })?
    }
}

/// The bytes of a file, at most `most`.
pub(crate) fn bytes(field: &str, asked: &str, path: &Path, most: u64) -> Result<Vec<u8>, Fault> {
    let fail =
        |error: std::io::Error| Fault::field(field, format!("`{asked}` cannot be read: {error}"));
    let mut bytes = Vec::new();
    // It may grow while it is read.
    File::open(path).map_err(fail)?.take(most + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > most {
        return Err(Fault::field(
            field,
            format!("`{asked}` has more than {most} bytes, the most that are read"),
        ));
    }
    Ok(bytes)
}

/// The same as text.
pub(super) fn text(field: &str, asked: &str, bytes: Vec<u8>) -> Result<String, Fault> {
    let text = String::from_utf8(bytes)
        .map_err(|_| Fault::field(field, format!("`{asked}` is not text in UTF-8")))?;
    if text.contains('\0') {
        return Err(Fault::field(field, format!("`{asked}` is not text: it has zero bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_is_read_by_any_road() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("inner"));
        std::fs::create_dir_all(inside.join("deep")).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(inside.join("deep/a.rs"), "fn a() {}").unwrap();
        std::fs::write(outside.join("secret"), "secret").unwrap();
        let files = Files { roots: vec![inside.clone()], ..Files::default() };
        let path = |file: &Path| file.to_str().unwrap().to_owned();
        for good in ["deep/a.rs".to_owned(), path(&inside.join("deep/../deep/a.rs"))] {
            assert!(files.allowed("path", &good).is_ok(), "{good}");
        }
        let mut bad = vec![
            path(&outside.join("secret")),
            "../inner/secret".to_owned(),
            path(&inside.join("../inner/secret")),
            "/etc/passwd".to_owned(),
            "deep".to_owned(),
            "deep/none".to_owned(),
            "a\0b".to_owned(),
            String::new(),
        ];
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(outside.join("secret"), inside.join("link")).unwrap();
            std::os::unix::fs::symlink(&outside, inside.join("folder")).unwrap();
            bad.extend(["link".to_owned(), "folder/secret".to_owned()]);
        }
        for bad in bad {
            let fault = files.allowed("path", &bad).unwrap_err();
            assert_eq!(fault.status, StatusCode::FORBIDDEN, "{bad}");
            assert!(fault.message.contains("--allow-root"), "{}", fault.message);
        }
        let fault = Files::default().allowed("path", "deep/a.rs").unwrap_err();
        assert!(fault.message.contains("--allow-root"), "{}", fault.message);
    }
}
