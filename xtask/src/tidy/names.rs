//! A name is said once. Architectures stand in their own file and in one table; the files of
//! architectures speak of mathematics only.

use super::Breach;
use super::rust::{identifiers, words};
use super::tree::Tree;

/// The one table of architectures.
pub(super) const REGISTRY: &str = "crates/models/src/registry.rs";
const ARCH: &str = "crates/models/src/arch";

/// What an architecture's file says nothing of. Its comments may: they point to references and to
/// checkpoints.
const FOREIGN: &[(&str, &[&str])] = &[
    (
        "a backend",
        &[
            "avx", "avx2", "avx512", "cpu", "cuda", "gpu", "isa", "metal", "mlx", "neon", "simd",
            "thread", "threads", "vnni",
        ],
    ),
    (
        "a bit width",
        &[
            "affine",
            "bits",
            "dequantize",
            "int4",
            "int8",
            "mxfp4",
            "mxfp8",
            "nvfp4",
            "q4",
            "q8",
            "quantization",
            "quantize",
            "quantized",
        ],
    ),
    ("a page", &["page", "paged", "pages", "slot", "slots"]),
    (
        "a request",
        &["prompt", "request", "requests", "sampler", "sampling", "session", "temperature"],
    ),
];

/// Names that others gave and that contain an architecture's: programs, and terms of file formats.
const GIVEN: &[&str] = &[
    "llama.cpp",
    "mistral.rs",
    // `tokenizer.json`: kinds of normalizer, pre-tokenizer and post-processor.
    "bertnormalizer",
    "bertpretokenizer",
    "bertprocessing",
    // Files of sentence-transformers.
    "sentence_bert_config",
    "sentence_xlm-roberta_config",
];

/// Files outside the registry that may name an architecture. Each with its reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("crates/manager/src/self_test.rs", "embeds fixtures, whose folders are named after them"),
    ("crates/models/src/arch/colqwen2_5.rs", "is another network, with a head of its own"),
    ("crates/models/src/arch/llava_next/mod.rs", "shows images to one of two other networks"),
    ("crates/models/src/arch/phi3_v/mod.rs", "shows images to another network"),
];

/// A line of the table.
#[derive(Debug)]
pub(super) struct Entry {
    /// `model_type` of config.json.
    pub(super) model_type: String,
    /// The module that builds it.
    module: String,
    /// The line in the registry, from 1.
    pub(super) line: usize,
}

/// The lines `"model_type" => module,` of the registry; none if there is no registry.
pub(super) fn registry(tree: &Tree) -> Vec<Entry> {
    let source = tree.get(REGISTRY).and_then(|file| file.rust.as_ref());
    let text = source.map_or("", |source| source.text.as_str());
    let entry = |(index, line): (usize, &str)| {
        let (left, right) = line.trim().split_once("=>")?;
        let model_type = left.trim().strip_prefix('"')?.strip_suffix('"')?;
        let module = right.trim().strip_suffix(',')?.trim();
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        };
        (is_name(model_type) && is_name(module)).then(|| Entry {
            model_type: model_type.to_owned(),
            module: module.to_owned(),
            line: index + 1,
        })
    };
    text.lines().enumerate().filter_map(entry).collect()
}

pub(super) fn check(tree: &Tree) -> Vec<Breach> {
    let entries = registry(tree);
    let mut out = Vec::new();
    if entries.is_empty() && tree.get(REGISTRY).is_some() {
        let what = "no line of the form `\"model_type\" => module,` was found";
        out.push(Breach::new(REGISTRY, 1, what, "write the table so, or mend `names::registry`"));
    }
    out.extend(modules(tree, &entries));
    out.extend(foreign_words(tree));
    out.extend(named_elsewhere(tree, &entries));
    out
}

/// The file or folder of `arch/` that a path belongs to.
fn module_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(ARCH)?.strip_prefix('/')?;
    let module = rest.split('/').next()?;
    Some(module.strip_suffix(".rs").unwrap_or(module)).filter(|&module| module != "mod")
}

/// Each entry's module has a file, and each file an entry.
fn modules(tree: &Tree, entries: &[Entry]) -> Vec<Breach> {
    let mut out = Vec::new();
    for entry in entries {
        let (file, folder) =
            (format!("{ARCH}/{}.rs", entry.module), format!("{ARCH}/{}", entry.module));
        if !tree.exists(&file) && !tree.exists(&folder) {
            let what = format!("`{}` has no file {file}", entry.module);
            out.push(Breach::new(REGISTRY, entry.line, what, "write it, or remove the entry"));
        }
    }
    for (path, _) in tree.under(ARCH) {
        let Some(module) = module_of(path) else { continue };
        if !entries.iter().any(|entry| entry.module == module) {
            let what = format!("no entry of the registry is built by `{module}`");
            out.push(Breach::new(path, 1, what, "add its line to registry.rs"));
        }
    }
    out
}

/// `arch/` names no backend, bit width, page or request.
fn foreign_words(tree: &Tree) -> Vec<Breach> {
    let mut out = Vec::new();
    for (path, source) in tree.rust().filter(|(path, _)| module_of(path).is_some()) {
        for (line, identifier) in identifiers(&source.code) {
            for word in words(identifier) {
                let matter = FOREIGN.iter().find(|(_, list)| list.contains(&word.as_str()));
                if let Some((matter, _)) = matter {
                    let what = format!("`{identifier}` speaks of {matter}");
                    let remedy = "move it to nn/ or ops/: an architecture is mathematics only";
                    out.push(Breach::new(path, line, what, remedy));
                }
            }
        }
    }
    out
}

/// An architecture's name stands in its own file and in the registry, nowhere else.
fn named_elsewhere(tree: &Tree, entries: &[Entry]) -> Vec<Breach> {
    let names: Vec<_> = entries
        .iter()
        .flat_map(|entry| [(&entry.model_type, entry), (&entry.module, entry)])
        .map(|(name, entry)| (name, words(name), entry.module.as_str()))
        .collect();
    let mut out = Vec::new();
    for (path, source) in tree.product() {
        let is_table = path == REGISTRY || path == "crates/models/src/arch/mod.rs";
        if is_table || EXCEPTIONS.iter().any(|(file, _)| *file == path) {
            continue;
        }
        let home = module_of(path);
        // One architecture's comments may explain it by another's; its code may not use it.
        let text = if home.is_some() { &source.code } else { &source.text };
        for (index, line) in text.lines().enumerate() {
            let said = words(&without_given(line));
            for (name, spelled, module) in &names {
                if home != Some(module)
                    && said.windows(spelled.len()).any(|window| window == spelled)
                {
                    let what = format!("the architecture `{name}` is named");
                    let remedy = "its name stands in its own file and in registry.rs only; \
                                  say what it does instead";
                    out.push(Breach::new(path, index + 1, what, remedy));
                }
            }
        }
    }
    out.dedup();
    out
}

/// `line` without the names of [`GIVEN`].
fn without_given(line: &str) -> String {
    let mut line = line.to_owned();
    for name in GIVEN {
        while let Some(at) = line.to_ascii_lowercase().find(name) {
            line.replace_range(at..at + name.len(), " ");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::super::testing::{found, none, one};
    use super::*;

    const TABLE: (&str, &str) = (
        REGISTRY,
        "const TABLE: &[(&str, Build)] = table! {\n    \"alpha\" => alpha,\n    \"alpha_v2\" => beta,\n};\n",
    );
    const ALPHA: (&str, &str) = ("crates/models/src/arch/alpha.rs", "struct Alpha;");
    const BETA: (&str, &str) = ("crates/models/src/arch/beta.rs", "//! Alpha with a norm.");

    fn with(path: &str, text: &str) -> Vec<String> {
        found(check, &[TABLE, ALPHA, BETA, (path, text)])
    }

    #[test]
    fn the_table_is_read() {
        let entries = registry(&Tree::of(&[TABLE]));
        let read: Vec<_> =
            entries.iter().map(|e| (e.line, e.model_type.as_str(), e.module.as_str())).collect();
        assert_eq!(read, [(2, "alpha", "alpha"), (3, "alpha_v2", "beta")]);
        one(
            check,
            &[(REGISTRY, "const TABLE: () = ();")],
            "crates/models/src/registry.rs:1: no line",
        );
    }

    #[test]
    fn table_and_files_agree() {
        none(check, &[TABLE, ALPHA, BETA]);
        one(check, &[TABLE, ALPHA], "crates/models/src/registry.rs:3: `beta` has no file");
        let stray = with("crates/models/src/arch/gamma.rs", "");
        assert_eq!(stray.len(), 1, "{stray:?}");
        assert!(stray[0].contains("no entry of the registry is built by `gamma`"));
        let folder = ("crates/models/src/arch/beta/mod.rs", "");
        none(check, &[TABLE, ALPHA, folder, ("crates/models/src/arch/beta/vision.rs", "")]);
    }

    #[test]
    fn a_name_elsewhere_is_found() {
        for (path, text) in [
            ("crates/text/src/a.rs", "let alpha = 1;"),
            ("crates/text/src/a.rs", "struct AlphaTokenizer;"),
            ("crates/text/src/a.rs", "f(\"alpha\");"),
            ("crates/text/src/a.rs", "// as in Alpha"),
            ("crates/models/src/nn/a.rs", "fn alpha_rope() {}"),
            ("crates/models/src/arch/beta/b.rs", "use super::alpha;"),
        ] {
            let found = with(path, text);
            assert!(
                found.len() == 1 && found[0].contains(":1: the architecture `alpha`"),
                "{text}: {found:?}"
            );
        }
        let longer = with("crates/text/src/a.rs", "const ALPHA_V2: u8 = 0;");
        assert!(longer.iter().any(|breach| breach.contains("`alpha_v2`")), "{longer:?}");
    }

    #[test]
    fn a_name_within_a_word_a_test_or_its_own_file_is_none() {
        for (path, text) in [
            ("crates/text/src/a.rs", "let alphabet = romalpha + alpha3;"),
            ("crates/text/src/a.rs", "#[cfg(test)]\nmod tests { fn alpha() {} }"),
            ("crates/text/src/a/tests.rs", "fn alpha() {}"),
            ("crates/text/tests/it/main.rs", "fn alpha() {}"),
            ("crates/testkit/src/lib.rs", "fn alpha() {}"),
            ("crates/models/src/arch/mod.rs", "mod alpha;"),
            ("crates/models/src/arch/alpha/b.rs", "struct Alpha;"),
        ] {
            let found = with(path, text);
            assert!(found.is_empty(), "{text}: {found:?}");
        }
    }

    #[test]
    fn names_that_others_gave_are_free() {
        assert_eq!(words(&without_given("GGUF (Llama.cpp), the llama")), ["gguf", "the", "llama"]);
    }

    #[test]
    fn an_architecture_speaks_of_mathematics_only() {
        let file = "crates/models/src/arch/alpha/b.rs";
        for (text, matter) in [
            ("use kernels::cpu::Pool;", "a backend"),
            ("let bits = 4;", "a bit width"),
            ("struct QuantizedLinear;", "a bit width"),
            ("cache.page(3)", "a page"),
            ("fn f(request: &R) {}", "a request"),
        ] {
            let found = with(file, text);
            assert!(found.len() == 1 && found[0].contains(matter), "{text}: {found:?}");
        }
        let free = with(file, "//! mlx_lm, `x-4bit`\nlet pager = f(\"bits\"); // quantized");
        assert!(free.is_empty(), "{free:?}");
    }
}
