//! Names of models that are written in guides and that no hub carries.

use crate::catalog::nearest;

/// What was meant by names that do not exist.
const MEANT: &[(&str, &str)] = &[
    ("mlx-embeddings/bge-m3", "BAAI/bge-m3"),
    ("mlx-embeddings/all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
    ("mlx-embeddings/nomic-embed-text-v1.5", "nomic-ai/nomic-embed-text-v1.5"),
];

/// Organizations that have no models on the hub: the names of libraries, taken for those of organizations.
const LIBRARIES: &[&str] = &["mlx-embeddings", "mlx-lm", "mlx-vlm", "mlx-examples"];

/// What a name turns out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// Nothing is known against it.
    Itself,
    /// It is written for this one.
    Other(&'static str),
    /// There is none; the nearest that exists, if any is near.
    Nothing(Option<String>),
}

/// What the model name `name` means, where names that exist are those of `others` and of a small table.
pub fn resolve<'a>(name: &str, others: impl IntoIterator<Item = &'a str>) -> Meant {
    if let Some((_, meant)) = MEANT.iter().find(|(said, _)| said.eq_ignore_ascii_case(name)) {
        return Meant::Other(meant);
    }
    let Some((organization, short)) = name.split_once('/') else { return Meant::Itself };
    if !LIBRARIES.contains(&organization.to_ascii_lowercase().as_str()) {
        return Meant::Itself;
    }
    let mut known: Vec<&str> = MEANT.iter().map(|(_, meant)| *meant).chain(others).collect();
    known.sort_unstable();
    known.dedup();
    let last = |name: &'a str| name.rsplit('/').next().unwrap_or(name);
    let near = nearest(short, known.iter().map(|name| last(name)));
    let near = near.and_then(|near| known.iter().find(|name| last(name) == near));
    Meant::Nothing(near.map(|near| (*near).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_libraries_are_no_organizations() {
        let none = || std::iter::empty::<&str>();
        assert_eq!(resolve("mlx-embeddings/bge-m3", none()), Meant::Other("BAAI/bge-m3"));
        assert_eq!(resolve("mlx-community/Qwen3-0.6B-4bit", none()), Meant::Itself);
        assert_eq!(resolve("/models/mlx-lm/x", none()), Meant::Itself);
        assert_eq!(
            resolve("mlx-embeddings/bge-m2", none()),
            Meant::Nothing(Some("BAAI/bge-m3".to_owned()))
        );
        assert_eq!(
            resolve("mlx-lm/Qwen3-0.6B-4bi", ["mlx-community/Qwen3-0.6B-4bit"]),
            Meant::Nothing(Some("mlx-community/Qwen3-0.6B-4bit".to_owned()))
        );
        assert_eq!(resolve("mlx-vlm/no-such-thing-at-all", none()), Meant::Nothing(None));
    }
}
