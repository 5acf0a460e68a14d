//! What lies in a workspace besides: checkpoints of pages, failures, tarballs, patterns, and names for Markdown.
#![no_main]

use documents::workspace::inputs::is_tarball;
use documents::workspace::pattern::Pattern;
use documents::workspace::tarball::{Members, TarballLimits};
use documents::workspace::{Failures, MarkdownPaths, checkpoint};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else { return };
    match choice % 5 {
        0 => {
            let restored = checkpoint::restore(rest, "settings");
            let lines = rest.split(|&byte| byte == b'\n').count();
            assert!(restored.pages.len() + restored.damaged.len() <= lines);
        }
        1 => {
            let mut failures = Failures::default();
            failures.read("failures.jsonl", rest);
            // The same said twice is said once.
            let mut twice = failures.clone();
            if rest.ends_with(b"\n") && failures.damaged().is_empty() {
                twice.read("failures.jsonl", rest);
                let _ = twice.summary();
            }
        }
        2 => {
            let limits = TarballLimits { member_bytes: 1 << 16, total_bytes: 1 << 20, members: 100 };
            let members = Members::new(rest, limits).collect::<Vec<_>>();
            assert!(members.len() <= 101);
            // Members as they stand in the archive, without what packs it.
            let members = Members::new(&*stored(rest), limits).collect::<Vec<_>>();
            assert!(members.len() <= 101);
        }
        3 => {
            let Ok(text) = std::str::from_utf8(rest) else { return };
            let (pattern, name) = text.split_once('\n').unwrap_or((text, ""));
            let found = Pattern::of_keys(pattern).matches(name);
            if !pattern.contains(['*', '[']) {
                assert_eq!(found, pattern == name);
            }
            let _ = Pattern::of_names(pattern).matches(name);
        }
        _ => {
            let Ok(text) = std::str::from_utf8(rest) else { return };
            let mut sources: Vec<&str> = text.split('\n').take(50).collect();
            sources.sort_unstable();
            sources.dedup();
            let sources: Vec<&str> = sources.into_iter().filter(|source| !source.contains("::")).collect();
            let paths = MarkdownPaths::new(sources.iter().copied());
            let mut seen = std::collections::BTreeSet::new();
            for source in sources.iter().filter(|source| !is_tarball(source)) {
                let key = paths.key(source);
                let whole = key.split('/').all(|part| !matches!(part, "" | "." | "..") && part.len() < 256);
                assert!(key.starts_with("markdown/") && key.ends_with(".md") && whole, "{key}");
                assert!(seen.insert(key.to_lowercase()), "{key}");
            }
        }
    }
});

/// Bytes as gzip holds them that packs nothing.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let bytes = &bytes[..bytes.len().min(60_000)];
    let length = bytes.len() as u16;
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(bytes);
    out
}
