//! From what the user typed to a model that answers.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use manager::catalog::{Catalog, Entry, Hold, ModelName, Source};
use manager::fetch::Selection;
use manager::machine::Machine;
use manager::runtime::{LoadOptions, LoadedModel, Runtime, base_of_adapter};
use manager::{Environment, Error, Precision};

use crate::args::{Adapted, Compute, Kept, Weights};
use crate::fetching::{Fetched, INTERRUPTED, fetch};
use crate::report::{Problem, Result};

/// Starts the device.
pub(crate) fn runtime(compute: Compute) -> Result<Arc<Runtime>> {
    let device = compute.backend().open(&Environment::from_process(), compute.cpu())?;
    let of_bytes = device.as_cpu().is_some() && compute.precision() == Precision::Fast;
    if compute.weights == Some(Weights::Panels) && !of_bytes {
        let reason = "panels are for the CPU and `--precision fast`".to_owned();
        return Err(Problem::Flag { flag: "--weights panels", reason }.into());
    }
    Ok(Arc::new(Runtime::on(device)?))
}

/// A device that is started when somebody needs it first.
pub(crate) struct OnDemand {
    compute: Compute,
    started: OnceCell<Arc<Runtime>>,
}

impl OnDemand {
    pub(crate) fn new(compute: Compute) -> Self {
        Self { compute, started: OnceCell::new() }
    }

    pub(crate) fn get(&self) -> Result<Arc<Runtime>> {
        if let Some(started) = self.started.get() {
            return Ok(Arc::clone(started));
        }
        let started = runtime(self.compute)?;
        Ok(Arc::clone(self.started.get_or_init(|| started)))
    }
}

/// Finds `model` (a folder, a name on this machine, or one that the hub has) and loads it.
pub(crate) fn load(model: &str, compute: Compute) -> Result<Arc<LoadedModel>> {
    load_keeping(model, compute, Kept::default())
}

/// The same, with past tokens kept as `kept` says.
pub(crate) fn load_keeping(model: &str, compute: Compute, kept: Kept) -> Result<Arc<LoadedModel>> {
    load_adapted(model, compute, kept, &Adapted::default())
}

/// The same, with what `adapted` names added to it.
pub(crate) fn load_adapted(
    model: &str,
    compute: Compute,
    kept: Kept,
    adapted: &Adapted,
) -> Result<Arc<LoadedModel>> {
    let options = LoadOptions::for_memory(Machine::look().memory_available);
    let options = LoadOptions { kv: kept.codes(), ..options };
    let (path, own) = based(model)?;
    let adapter = match (own, &adapted.adapter) {
        (Some(_), Some(_)) => {
            let reason = format!("`{model}` is an adapter already, and one is added at most");
            return Err(Problem::Flag { flag: "--adapter", reason }.into());
        }
        (own, given) => own.or_else(|| given.clone()),
    };
    Ok(LoadedModel::load_adapted(&runtime(compute)?, &path, adapter.as_deref(), options)?)
}

/// The folder of `model`; and where `model` is the folder of an adapter that names what it was trained on, that of its base, and
/// the adapter's own.
pub(crate) fn based(model: &str) -> Result<(PathBuf, Option<PathBuf>)> {
    let folder = Path::new(model);
    let of_adapter = || -> Result<Option<(PathBuf, PathBuf)>> {
        let kept = || Catalog::scan(&Environment::from_process()).find(model).ok();
        let folder =
            if folder.is_dir() { Some(folder.to_owned()) } else { kept().map(|it| it.path) };
        let Some(folder) = folder else { return Ok(None) };
        Ok(base_of_adapter(&folder)?
            .map(|base| locate(&base))
            .transpose()?
            .map(|base| (base, folder)))
    };
    if let Some((base, adapter)) = of_adapter()? {
        return Ok((base, Some(adapter)));
    }
    match locate(model) {
        Ok(path) => Ok((path, None)),
        // What was pulled meanwhile may be an adapter, which is no whole model.
        Err(failure) => match of_adapter()? {
            Some((base, adapter)) => Ok((base, Some(adapter))),
            None => Err(failure),
        },
    }
}

/// The folder of `model`, which this process holds until it ends, so that nobody removes it. A model of the hub that
/// is not on this machine, or not all of it, is pulled first, in sight of the user.
pub(crate) fn locate(model: &str) -> Result<PathBuf> {
    let environment = Environment::from_process();
    let found = Catalog::scan(&environment).find(model).and_then(Entry::usable);
    let entry = match found {
        Ok(entry) => entry,
        Err(error) => match wanted(model, &error, &environment) {
            Some(name) => pulled(&environment, &name, &error)?,
            None => return Err(error.into()),
        },
    };
    hold(&entry)?;
    Ok(entry.path)
}

/// The name to ask the hub for, if the lack of it is what `error` says, and asking makes sense.
fn wanted(model: &str, error: &Error, environment: &Environment) -> Option<ModelName> {
    let name: ModelName = model.parse().ok()?;
    let (organisation, _) = name.repository().split_once('/')?;
    let lacking = if let Error::IncompleteModel { name, .. } = error {
        // Only what lies in the hub's own cache can be made whole by pulling.
        let entry = Catalog::scan(environment).find(name).ok()?;
        entry.source == Source::HubCache
    } else {
        // A path that does not exist is not a name, though it may look like one.
        matches!(error, Error::ModelNotFound { .. }) && !Path::new(organisation).is_dir()
    };
    (lacking && !environment.offline).then_some(name)
}

#[expect(clippy::exit, reason = "who interrupts a pull does not want the command to go on")]
fn pulled(environment: &Environment, name: &ModelName, lack: &Error) -> Result<Entry> {
    eprintln!("{lack}");
    eprintln!("pulling it from {} (Ctrl-C stops)", environment.endpoint);
    match fetch(environment, name, Selection::Inference)? {
        Fetched::Whole(_) => {}
        Fetched::Stopped => std::process::exit(INTERRUPTED.into()),
    }
    Ok(Catalog::scan(environment).find(&name.to_string())?.usable()?)
}

/// Holds a model until the process ends.
fn hold(entry: &Entry) -> Result<()> {
    static HELD: Mutex<Vec<Hold>> = Mutex::new(Vec::new());
    HELD.lock().unwrap_or_else(PoisonError::into_inner).push(Hold::of(entry)?);
    Ok(())
}
