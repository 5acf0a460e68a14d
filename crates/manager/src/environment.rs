//! The process's environment, read once into plain values that the rest of the crate is given.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// The hub that is asked when `HF_ENDPOINT` names no other.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// An access token. Its `Debug` form never shows the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token from its text; surrounding white space is dropped. `None` when nothing is left or when a character
    /// could not stand in a header.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let legal = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
        legal.then(|| Self(text.to_owned()))
    }

    /// The secret itself, for the one header that carries it.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The proxies of `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, as written there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http://` addresses.
    pub http: Option<String>,
    /// For `https://` addresses.
    pub https: Option<String>,
    /// Hosts that are reached directly, separated by commas.
    pub except: Option<String>,
}

/// Where models are, which hub is asked, and with which token.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The hub cache: `HF_HUB_CACHE`, else `HF_HOME/hub`, else below `XDG_CACHE_HOME` or `~/.cache`.
    pub hub_cache: PathBuf,
    /// LM Studio's model folders, whether they exist or not.
    pub lm_studio: Vec<PathBuf>,
    /// The user's own model folders: `FOLIO_MODELS`, separated as `PATH` is.
    pub folders: Vec<PathBuf>,
    /// The hub's address, without a slash at the end.
    pub endpoint: String,
    /// `HF_TOKEN`, when it is set.
    pub token: Option<Token>,
    /// The file that holds a token when [`Environment::token`] is `None`.
    pub token_file: PathBuf,
    /// `HF_HUB_OFFLINE`: nothing is asked of the network.
    pub offline: bool,
    /// The proxies to go through.
    pub proxies: Proxies,
    /// `FOLIO_MLX`: the library over MLX, or its folder, or `off`.
    pub mlx: Option<PathBuf>,
    /// The folder for what programs keep for their user: `XDG_DATA_HOME`, else `~/.local/share`, or
    /// `~/Library/Application Support` on a Mac.
    pub data: PathBuf,
}

impl Environment {
    /// The environment of this process.
    pub fn from_process() -> Self {
        Self::from_vars(std::env::vars_os())
    }

    /// Where folio keeps what is its own, below [`data`](Self::data).
    pub fn state(&self) -> PathBuf {
        self.data.join("folio")
    }

    /// Where the indexes are that go by a name.
    pub fn indexes(&self) -> PathBuf {
        self.state().join("indexes")
    }

    /// The file of sums of models' files.
    pub fn model_sums(&self) -> PathBuf {
        self.state().join("model_sums.json")
    }

    /// The environment that these variables describe. An empty variable counts as unset.
    pub fn from_vars<I>(vars: I) -> Self
    where
        I: IntoIterator<Item = (OsString, OsString)>,
    {
        let vars: BTreeMap<OsString, OsString> =
            vars.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let vars = Vars {
            home: vars.get(&OsString::from("HOME")).map(PathBuf::from).unwrap_or_default(),
            vars,
        };

        let hf_home = vars.path("HF_HOME").unwrap_or_else(|| {
            let caches = vars.path("XDG_CACHE_HOME").unwrap_or_else(|| vars.home.join(".cache"));
            caches.join("huggingface")
        });
        let hub_cache = vars
            .path("HF_HUB_CACHE")
            .or_else(|| vars.path("HUGGINGFACE_HUB_CACHE"))
            .unwrap_or_else(|| hf_home.join("hub"));
        let folders =
            vars.vars.get(&OsString::from("FOLIO_MODELS")).map_or_else(Vec::new, |value| {
                std::env::split_paths(value)
                    .filter(|p| !p.as_os_str().is_empty())
                    .map(|p| vars.expand(p))
                    .collect()
            });
        let endpoint = vars.text("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let token = vars.text("HF_TOKEN").or_else(|| vars.text("HUGGING_FACE_HUB_TOKEN"));
        let either = |lower: &str, upper: &str| vars.text(lower).or_else(|| vars.text(upper));
        let all = either("all_proxy", "ALL_PROXY");
        Self {
            hub_cache,
            lm_studio: vec![
                vars.home.join(".lmstudio/models"),
                vars.home.join(".cache/lm-studio/models"),
            ],
            folders,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: token.and_then(|text| Token::new(&text)),
            token_file: vars.path("HF_TOKEN_PATH").unwrap_or_else(|| hf_home.join("token")),
            offline: vars.flag("HF_HUB_OFFLINE") || vars.flag("TRANSFORMERS_OFFLINE"),
            proxies: Proxies {
                http: either("http_proxy", "HTTP_PROXY").or_else(|| all.clone()),
                https: either("https_proxy", "HTTPS_PROXY").or(all),
                except: either("no_proxy", "NO_PROXY"),
            },
            mlx: vars.path("FOLIO_MLX"),
            data: vars.path("XDG_DATA_HOME").unwrap_or_else(|| {
                let mac = cfg!(target_os = "macos");
                vars.home.join(if mac { "Library/Application Support" } else { ".local/share" })
            }),
        }
    }

    /// The token to send: the variable's, else the token file's. An unreadable file counts as no token.
    /// Reads a file: not for the async executor.
    pub fn token(&self) -> Option<Token> {
        self.token.clone().or_else(|| read_token(&self.token_file))
    }
}

fn read_token(path: &Path) -> Option<Token> {
    Token::new(&std::fs::read_to_string(path).ok()?)
}

struct Vars {
    vars: BTreeMap<OsString, OsString>,
    home: PathBuf,
}

impl Vars {
    fn text(&self, name: &str) -> Option<String> {
        let value = self.vars.get(&OsString::from(name))?.to_str()?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.vars.get(&OsString::from(name)).map(|value| self.expand(PathBuf::from(value)))
    }

    fn flag(&self, name: &str) -> bool {
        self.text(name)
            .is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"))
    }

    /// A leading `~` is the home folder, as Python's hub client reads it.
    fn expand(&self, path: PathBuf) -> PathBuf {
        match path.strip_prefix("~") {
            Ok(rest) => self.home.join(rest),
            Err(_) => path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(vars: &[(&str, &str)]) -> Environment {
        let home = [("HOME", "/h")];
        Environment::from_vars(
            home.iter().chain(vars).map(|(k, v)| (OsString::from(k), OsString::from(v))),
        )
    }

    #[test]
    fn the_hub_cache_is_found_in_the_order_python_uses() {
        let cache = |vars: &[(&str, &str)]| environment(vars).hub_cache.display().to_string();
        assert_eq!(cache(&[]), "/h/.cache/huggingface/hub");
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x")]), "/x/huggingface/hub");
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/hf")]), "/h/hf/hub");
        assert_eq!(cache(&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/c")]), "/c");
        assert_eq!(cache(&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "")]), "/hf/hub");
    }

    #[test]
    fn tokens_flags_and_folders() {
        let e = environment(&[
            ("HF_TOKEN", " hf_abc\n"),
            ("HF_HUB_OFFLINE", "True"),
            ("FOLIO_MODELS", "/a::~/b"),
            ("HF_ENDPOINT", "http://mirror/"),
        ]);
        assert_eq!(e.token, Token::new("hf_abc"));
        assert!(e.offline);
        assert_eq!(e.folders, [PathBuf::from("/a"), PathBuf::from("/h/b")]);
        assert_eq!(e.endpoint, "http://mirror");
        assert!(!format!("{e:?}").contains("hf_abc"));
        assert_eq!(environment(&[("HF_HOME", "/hf")]).token_file, PathBuf::from("/hf/token"));
        assert!(!environment(&[("HF_HUB_OFFLINE", "0")]).offline);
        assert_eq!(Token::new("a\nb"), None);
    }
}
