//! Homebrew's formula and the list of checksums, from the archives that lie in a folder.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use super::archive::sha256;
use super::{TARGETS, archive_name};

/// An archive: its target and its checksum.
pub(super) type Sum = (&'static str, String);

/// Writes `SHA256SUMS` for the archives of this version in `folder`, as `sha256sum --check` reads it.
pub(super) fn write_sums(folder: &Path, version: &str) -> Result<Vec<Sum>> {
    let mut sums = Vec::new();
    let mut text = String::new();
    for target in TARGETS {
        let name = archive_name(version, target);
        let path = folder.join(&name);
        if path.exists() {
            let sum = sha256(&path)?;
            writeln!(text, "{sum}  {name}")?;
            sums.push((*target, sum));
        }
    }
    ensure!(!sums.is_empty(), "there is no archive of {version} in {}", folder.display());
    let path = folder.join("SHA256SUMS");
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(sums)
}

/// The formula `template` for these archives, which lie under `site`/releases/download/vVERSION.
pub(super) fn formula(template: &str, site: &str, version: &str, sums: &[Sum]) -> Result<String> {
    let site = site.trim_end_matches('/');
    ensure!(
        site.starts_with("https://") && !site.contains(['"', '#', '@', ' ']),
        "`{site}` is no address that a formula can have: it begins with https://"
    );
    let mut out = String::new();
    // The checksum of the block that we are in; none where its archive is not there.
    let mut block: Option<(&str, Option<&str>)> = None;
    for line in template.lines() {
        if let Some(target) = line.trim().strip_prefix("#if ") {
            ensure!(TARGETS.contains(&target), "the formula has a block for `{target}`");
            let sum = sums.iter().find(|(of, _)| *of == target).map(|(_, sum)| sum.as_str());
            block = Some((target, sum));
            continue;
        }
        if line.trim() == "#end" {
            ensure!(block.take().is_some(), "the formula ends a block that it never began");
            continue;
        }
        let mut line = line.replace("@SITE@", site).replace("@VERSION@", version);
        match block {
            Some((_, None)) => continue,
            Some((target, Some(sum))) => {
                let name = archive_name(version, target);
                let url = format!("{site}/releases/download/v{version}/{name}");
                line = line.replace("@URL@", &url).replace("@SHA256@", sum);
            }
            None => {}
        }
        // The comment that explains the template is not part of the formula.
        if !line.starts_with('#') {
            writeln!(out, "{line}")?;
        }
    }
    if let Some(left) =
        ["@SITE@", "@VERSION@", "@URL@", "@SHA256@"].iter().find(|it| out.contains(**it))
    {
        bail!("the formula leaves {left} open");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = include_str!("../../../packaging/folio.rb");

    #[test]
    fn the_formula_has_a_block_for_each_archive() {
        let all: Vec<Sum> = TARGETS.iter().map(|target| (*target, "0".repeat(64))).collect();
        let whole = formula(TEMPLATE, "https://example.org/folio/", "1.2.3", &all).unwrap();
        for target in TARGETS {
            let url = format!(
                "url \"https://example.org/folio/releases/download/v1.2.3/folio-1.2.3-{target}.tar.gz\""
            );
            assert!(whole.contains(&url), "{whole}");
        }
        assert!(!whole.contains('@') && !whole.contains("#if") && whole.starts_with("class Folio"));
        let one = formula(TEMPLATE, "https://example.org/folio", "1.2.3", &all[..1]).unwrap();
        assert_eq!(one.matches("sha256").count(), 1);
        let opened =
            one.lines().filter(|line| line.ends_with(" do") || line.contains("def ")).count();
        let closed = one.lines().filter(|line| line.trim() == "end").count();
        assert_eq!(opened + 1, closed, "{one}");
        assert!(formula(TEMPLATE, "http://example.org", "1", &all).is_err());
        assert!(formula("#if vax\n#end", "https://e.org", "1", &all).is_err());
        assert!(formula("@URL@", "https://e.org", "1", &all).is_err());
    }

    /// What the formula installs is what the archive holds.
    #[test]
    fn the_formula_names_what_is_packed() {
        for part in super::super::PACKED {
            let name = part.trim_end_matches('/');
            assert!(TEMPLATE.contains(name), "{name} is packed and not installed");
        }
    }

    #[test]
    fn sums_are_of_this_version_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write_sums(folder.path(), "1.0").is_err());
        for name in [archive_name("1.0", TARGETS[1]), archive_name("0.9", TARGETS[1])] {
            fs::write(folder.path().join(name), "abc").unwrap();
        }
        let sums = write_sums(folder.path(), "1.0").unwrap();
        assert_eq!(sums.len(), 1);
        let text = fs::read_to_string(folder.path().join("SHA256SUMS")).unwrap();
        assert_eq!(text, format!("{}  folio-1.0-{}.tar.gz\n", sums[0].1, TARGETS[1]));
    }
}
