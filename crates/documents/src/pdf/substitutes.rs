//! Fonts for text whose own font is not in the file.
//!
//! For Latin text there are fonts in the program. Those for Chinese, Japanese and Korean are too large for that, and a page
//! without one would be blank where it has text, so the system's are used. Of a system's fonts only a few dozen can serve,
//! which are known by their names; so files are looked for, and nothing but the one that is used is read, where a database
//! of fonts would parse them all in each process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hayro_cmap::CidFamily;
use hayro_font::{FallbackFontQuery, FontData, FontQuery};

/// Where systems keep fonts. The process has no environment, so a user's own are not looked at.
const FOLDERS: [&str; 7] = [
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "/usr/X11R6/lib/X11/fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "/System/Library/AssetsV2/com_apple_MobileAsset_Font7",
    "C:\\Windows\\Fonts",
];
/// How deep folders are searched, and how many entries are looked at in all.
const DEPTH: usize = 5;
const ENTRIES: usize = 20_000;
/// The largest font that is read, in bytes.
const LARGEST: u64 = 64 << 20;

/// The writing systems of Adobe's character collections, in the order of [`FACES`]' columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Japanese,
    Korean,
    Simplified,
    Traditional,
}

/// A font file, and which of its faces is for Japanese, Korean, simplified and traditional Chinese.
type Face = (&'static str, [Option<u32>; 4]);

/// Known fonts, the better first. A file of one face that has the characters of a script can serve for it whatever it was
/// drawn for.
const FACES: [Face; 36] = [
    ("NotoSansCJK-Regular.ttc", [Some(0), Some(1), Some(2), Some(3)]),
    ("NotoSerifCJK-Regular.ttc", [Some(0), Some(1), Some(2), Some(3)]),
    ("NotoSansCJKjp-Regular.otf", [Some(0), None, None, None]),
    ("NotoSansCJKkr-Regular.otf", [None, Some(0), None, None]),
    ("NotoSansCJKsc-Regular.otf", [None, None, Some(0), None]),
    ("NotoSansCJKtc-Regular.otf", [None, None, None, Some(0)]),
    ("NotoSansJP-Regular.otf", [Some(0), None, None, None]),
    ("NotoSansKR-Regular.otf", [None, Some(0), None, None]),
    ("NotoSansSC-Regular.otf", [None, None, Some(0), None]),
    ("NotoSansTC-Regular.otf", [None, None, None, Some(0)]),
    // macOS.
    ("ヒラギノ角ゴシック W3.ttc", [Some(0), None, None, None]),
    ("AppleSDGothicNeo.ttc", [None, Some(0), None, None]),
    ("Hiragino Sans GB.ttc", [None, None, Some(0), None]),
    ("STHeiti Light.ttc", [None, None, Some(1), Some(0)]),
    ("PingFang.ttc", [None, None, Some(0), Some(0)]),
    ("Songti.ttc", [None, None, Some(0), Some(0)]),
    // Windows.
    ("YuGothR.ttc", [Some(0), None, None, None]),
    ("meiryo.ttc", [Some(0), None, None, None]),
    ("msgothic.ttc", [Some(0), None, None, None]),
    ("malgun.ttf", [None, Some(0), None, None]),
    ("msyh.ttc", [None, None, Some(0), None]),
    ("simsun.ttc", [None, None, Some(0), None]),
    ("msjh.ttc", [None, None, None, Some(0)]),
    ("mingliu.ttc", [None, None, None, Some(0)]),
    // Linux.
    ("ipag.ttf", [Some(0), None, None, None]),
    ("TakaoGothic.ttf", [Some(0), None, None, None]),
    ("VL-Gothic-Regular.ttf", [Some(0), None, None, None]),
    ("NanumGothic.ttf", [None, Some(0), None, None]),
    ("UnDotum.ttf", [None, Some(0), None, None]),
    ("baekmuk-dotum.ttf", [None, Some(0), None, None]),
    ("uming.ttc", [None, None, Some(0), Some(1)]),
    ("ukai.ttc", [None, None, Some(0), Some(1)]),
    ("wqy-microhei.ttc", [Some(0); 4]),
    ("wqy-zenhei.ttc", [Some(0); 4]),
    ("DroidSansFallbackFull.ttf", [Some(0), None, Some(0), Some(0)]),
    ("Arial Unicode.ttf", [Some(0); 4]),
];

/// What was found for a script: the font's bytes and the number of its face.
type Found = Option<(FontData, u32)>;

/// The substitutes of one process.
#[derive(Default)]
pub(super) struct Substitutes {
    /// Where files of [`FACES`] lie, in its order.
    files: OnceLock<Vec<(PathBuf, Face)>>,
    /// What was read already.
    read: Mutex<Vec<(Script, Found)>>,
}

impl Substitutes {
    /// A font for a query. `missing` is called when text will not be seen for want of one.
    pub(super) fn find(&self, query: &FontQuery, missing: &dyn Fn()) -> Found {
        let query = match query {
            FontQuery::Standard(font) => return Some(font.get_font_data()),
            FontQuery::Fallback(query) => query,
        };
        let Some(script) = script(query) else {
            return Some(query.pick_standard_font().get_font_data());
        };
        let found = self.of(script);
        if found.is_none() {
            missing();
        }
        found.or_else(|| Some(query.pick_standard_font().get_font_data()))
    }

    /// The font of a script, read when it is first wanted.
    fn of(&self, script: Script) -> Found {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = read.iter().find(|(known, _)| *known == script) {
            return found.clone();
        }
        let files = self.files.get_or_init(|| known_files(FOLDERS.iter().map(Path::new)));
        let found = files.iter().find_map(|(path, (_, faces))| {
            let face = faces[script as usize]?;
            let small = fs::metadata(path).ok()?.len() <= LARGEST;
            let bytes = if small { fs::read(path).ok()? } else { return None };
            Some((Arc::new(bytes) as FontData, face))
        });
        read.push((script, found.clone()));
        found
    }
}

/// The script that a font is for, if it is one that no font in the program has.
fn script(query: &FallbackFontQuery) -> Option<Script> {
    match query.character_collection.as_ref()?.family {
        CidFamily::AdobeJapan1 => Some(Script::Japanese),
        CidFamily::AdobeKorea1 => Some(Script::Korean),
        CidFamily::AdobeGB1 => Some(Script::Simplified),
        CidFamily::AdobeCNS1 => Some(Script::Traditional),
        CidFamily::AdobeIdentity | CidFamily::Custom { .. } => None,
    }
}

/// The files of [`FACES`] under `folders`, in the order of that table.
fn known_files<'a>(folders: impl Iterator<Item = &'a Path>) -> Vec<(PathBuf, Face)> {
    let mut left = ENTRIES;
    let mut found = Vec::new();
    let mut open: Vec<(PathBuf, usize)> = folders.map(|folder| (folder.to_owned(), 0)).collect();
    while let Some((folder, depth)) = open.pop() {
        // A folder that is not there or not ours to read has no fonts for us.
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            let Some(rest) = left.checked_sub(1) else { break };
            left = rest;
            let path = entry.path();
            let known = |(name, _): &&Face| entry.file_name() == **name;
            if let Some(rank) = FACES.iter().position(|face| known(&face)) {
                found.push((rank, path));
            } else if depth < DEPTH && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push((path, depth + 1));
            }
        }
    }
    // The order of a folder's entries is the system's whim.
    found.sort();
    found.into_iter().map(|(rank, path)| (path, FACES[rank])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_name_and_ranked_by_the_table() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("truetype/droid");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("DroidSansFallbackFull.ttf"), b"droid").unwrap();
        fs::write(deep.join("DejaVuSans.ttf"), b"latin").unwrap();
        fs::write(folder.path().join("ipag.ttf"), b"ipa").unwrap();
        let files = known_files([folder.path(), Path::new("/nowhere")].into_iter());
        let names: Vec<_> = files.iter().map(|(_, (name, _))| *name).collect();
        assert_eq!(names, ["ipag.ttf", "DroidSansFallbackFull.ttf"]);

        let fonts = Substitutes { files: files.into(), ..Substitutes::default() };
        let bytes = |script| fonts.of(script).map(|(data, _)| (*data).as_ref().to_vec());
        assert_eq!(bytes(Script::Japanese).unwrap(), b"ipa");
        assert_eq!(bytes(Script::Simplified).unwrap(), b"droid");
        assert_eq!(bytes(Script::Korean), None);
        fs::remove_file(folder.path().join("ipag.ttf")).unwrap();
        assert_eq!(bytes(Script::Japanese).unwrap(), b"ipa", "read once");
    }
}
