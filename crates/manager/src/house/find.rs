//! From a name to what lies on disk, and what it needs in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use checkpoint::Folder;
use kernels::KvFormat;

use super::{Error, House, apart};
use crate::catalog::{Catalog, Entry, Hold};
use crate::describe::{NetworkFacts, WeightFacts};
use crate::plan::Demand;
use crate::residency::{Need, Terms};
use crate::runtime::{self, KvCodes, LoadOptions, ModelKind, base_of_adapter};

/// Spellings of names whose models are kept.
const MOST_KNOWN: usize = 4096;
/// Names that stand for nothing, of which is kept why.
const MOST_REFUSED: usize = 64;

/// What a name stands for.
#[derive(Debug)]
pub(super) struct Found {
    /// The name it goes by.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) adapter: Option<PathBuf>,
    /// Positions that it was trained for.
    pub(super) context: usize,
    pub(super) sees: bool,
    /// Whether it writes text.
    pub(super) writes: bool,
    entry: Entry,
}

impl Found {
    /// Where its files are: its own, and those of its adapter.
    pub(super) fn folders(&self) -> Vec<&Path> {
        [Some(self.path.as_path()), self.adapter.as_deref()].into_iter().flatten().collect()
    }

    /// Marks its files as in use.
    pub(super) fn hold(&self) -> Result<Hold, crate::Error> {
        Hold::of(&self.entry)
    }
}

impl House {
    /// Forgets what names stood for: something on disk has changed.
    pub fn look_again(&self) {
        self.rooms().known.clear();
    }

    /// The name that `asked` goes by, and where its files are: its own folder, and that of its adapter. Nothing of a model that
    /// writes, of which no vectors are made.
    ///
    /// # Errors
    ///
    /// If there is no such model.
    pub(crate) async fn encoder(
        self: &Arc<Self>,
        asked: &str,
    ) -> Result<Option<(String, Vec<PathBuf>)>, Error> {
        let found = self.find(asked).await?;
        let folders = found.folders().into_iter().map(Path::to_owned).collect();
        Ok((!found.writes).then(|| (found.name.clone(), folders)))
    }

    /// What `asked` stands for, among what is offered; from then on the residency knows it.
    pub(super) async fn find(self: &Arc<Self>, asked: &str) -> Result<Arc<Found>, Error> {
        if let Some(found) = self.rooms().known.get(asked) {
            return Ok(Arc::clone(found));
        }
        let (house, name) = (Arc::clone(self), asked.to_owned());
        let looked = apart(move || {
            let mut found = house.adapted(house.look_up(&name)?)?;
            let terms = house.terms(&mut found)?;
            Ok((Arc::new(found), terms))
        })
        .await;
        let mut rooms = self.rooms();
        let (found, terms) = match looked {
            Ok(found) => found,
            Err(error) => {
                let error = Arc::new(error);
                // Strangers' words again: of those that stand for nothing only the last few are kept.
                if rooms.refused.len() >= MOST_REFUSED {
                    rooms.refused.clear();
                }
                rooms.refused.insert(asked.to_owned(), Arc::clone(&error));
                return Err(Error::Known(error));
            }
        };
        // Names are strangers' words: only those that stand for something are kept, and of all their spellings not too many.
        if rooms.known.len() >= MOST_KNOWN {
            rooms.known.clear();
        }
        rooms.known.insert(asked.to_owned(), Arc::clone(&found));
        rooms.found.insert(found.name.clone(), Arc::clone(&found));
        rooms.residency.know(&found.name, terms);
        Ok(found)
    }

    /// The same, with the adapter that the settings put over it.
    fn adapted(&self, found: Found) -> Result<Found, Error> {
        let Some(adapter) = self.settings().options.config.model(&found.name).adapter else {
            return Ok(found);
        };
        if found.adapter.is_some() {
            return Err(Error::TwoAdapters { model: found.name, adapter });
        }
        let entry = Catalog::scan(&self.environment).find(&adapter)?;
        Ok(Found { adapter: Some(entry.path), ..found })
    }

    /// What a model needs, and what holds for it.
    fn terms(&self, found: &mut Found) -> Result<Terms, Error> {
        let model = found.name.clone();
        let fail =
            |source: runtime::Error| Error::Load { model: model.clone(), source: Arc::new(source) };
        let settings = self.settings();
        let options = &settings.options;
        let set = options.config.model(&found.name);
        let folder = Folder::open(&found.path).map_err(|error| fail(error.into()))?;
        let index = folder.index().map_err(|error| fail(error.into()))?;
        let network = NetworkFacts::of(&folder, &index).map_err(fail)?;
        (found.context, found.sees) = (network.context, network.sees);
        found.writes = network.kind == ModelKind::Language;
        let load = self.load_options(&found.name);
        let quantization = match load.kv {
            Some(codes) if !network.layers.is_empty() => {
                let codes = codes.quantization(&network.kept());
                Some(codes.map_err(|error| fail(runtime::Error::Codes(error)))?)
            }
            Some(_) | None => None,
        };
        let dtype = self.runtime.device().cache_dtype();
        let cache = KvFormat { dtype, quantization };
        let demand = Demand::of(&WeightFacts::of(&index), &network, load.step_tokens as u64, cache);
        let share = options.cache_share;
        let need = Need::of(&demand, set.context, load.sequences as u64, share, self.limit());
        let need = if network.sees && !network.layers.is_empty() { need.seeing() } else { need };
        let adapter: u64 = found.adapter.as_deref().map_or(0, folder_bytes);
        let beside = adapter.saturating_add(tokenizer_bytes(&found.path));
        let need = Need { weights: need.weights.saturating_add(beside), ..need };
        let pinned = options.pinned.iter().any(|name| offer_name(name) == found.name);
        Ok(Terms {
            need,
            priority: set.priority,
            pinned: pinned || set.pinned,
            ttl: options.ttl.or(set.ttl),
        })
    }

    /// How a model is loaded, but for its cache.
    pub(super) fn load_options(&self, name: &str) -> LoadOptions {
        let settings = self.settings();
        let options = &settings.options;
        let set = options.config.model(name);
        let whole = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let codes = |bits| KvCodes { bits: whole(bits), group_size: set.kv_group_size.map(whole) };
        let load = options.load;
        let preemption = options.config.performance.preemption;
        LoadOptions { kv: set.kv_bits.map(codes).or(load.kv), preemption, ..load }
    }

    /// Looks at the disk.
    fn look_up(&self, asked: &str) -> Result<Found, Error> {
        let catalog = Catalog::scan(&self.environment);
        let settings = self.settings();
        let offered = &settings.options.models;
        if offered.is_empty() {
            // A path is a file of this machine, which is for its owner to offer, not for a client to name.
            let listed = |entry: &Entry| catalog.entries().iter().any(|e| e.path == entry.path);
            return match catalog.find(asked) {
                Ok(entry) if listed(&entry) => found(&catalog, entry),
                Err(error @ crate::Error::AmbiguousName { .. }) => Err(error.into()),
                missing => {
                    let mut offered = match missing {
                        Err(crate::Error::ModelNotFound { suggestions, .. }) => suggestions,
                        Ok(_) | Err(_) => Vec::new(),
                    };
                    // The nearest first.
                    let usable = catalog.entries().iter().filter(|entry| entry.is_usable());
                    let others = usable.map(|entry| entry.name.clone());
                    let others: Vec<_> = others.filter(|name| !offered.contains(name)).collect();
                    offered.extend(others);
                    Err(Error::NotOffered { name: asked.to_owned(), offered })
                }
            };
        }
        let called = |offer: &&String| offer_name(offer) == asked || offer.as_str() == asked;
        if let Some(offer) = offered.iter().find(called) {
            return offer_found(&catalog, offer);
        }
        // The short name of one that is offered.
        let short = |offer: &&String| {
            let name = offer_name(offer);
            name.rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case(asked))
        };
        match offered.iter().find(short) {
            Some(offer) => offer_found(&catalog, offer),
            None => Err(Error::NotOffered {
                name: asked.to_owned(),
                offered: offered.iter().map(|offer| offer_name(offer)).collect(),
            }),
        }
    }
}

/// The name that an offer goes by: a folder's own name, or the name itself.
pub(super) fn offer_name(offer: &str) -> String {
    let path = Path::new(offer);
    match path.file_name() {
        Some(name) if path.is_dir() => name.to_string_lossy().into_owned(),
        _ => offer.to_owned(),
    }
}

fn offer_found(catalog: &Catalog, offer: &str) -> Result<Found, Error> {
    let found = found(catalog, catalog.find(offer)?)?;
    Ok(Found { name: offer_name(offer), ..found })
}

/// The model of `entry`; for an adapter, its base with the adapter on it.
fn found(catalog: &Catalog, entry: Entry) -> Result<Found, Error> {
    let name = entry.name.clone();
    let of = |source: runtime::Error| Error::Load { model: name.clone(), source: Arc::new(source) };
    if let Some(base) = base_of_adapter(&entry.path).map_err(of)? {
        let base = catalog.find(&base)?.usable()?;
        let (path, adapter) = (base.path.clone(), Some(entry.path.clone()));
        let name = entry.name.clone();
        return Ok(Found {
            name,
            path,
            adapter,
            context: 0,
            sees: false,
            writes: false,
            entry: base,
        });
    }
    let entry = entry.usable()?;
    let (name, path) = (entry.name.clone(), entry.path.clone());
    Ok(Found { name, path, adapter: None, context: 0, sees: false, writes: false, entry })
}

/// Bytes that a tokenizer takes in memory at most, as an estimate: eight times its file.
fn tokenizer_bytes(path: &Path) -> u64 {
    let file = |name: &str| std::fs::metadata(path.join(name)).map_or(0, |file| file.len());
    let largest = ["tokenizer.json", "tokenizer.model", "vocab.txt"].map(file).into_iter().max();
    largest.unwrap_or(0).saturating_mul(8)
}

/// Bytes of the files of a folder.
fn folder_bytes(path: &Path) -> u64 {
    let files = std::fs::read_dir(path).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}
