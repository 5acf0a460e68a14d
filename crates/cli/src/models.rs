//! From what the user typed to a model that answers.

use std::sync::Arc;

use manager::runtime::{LoadOptions, LoadedModel, Runtime};
use manager::{CpuOptions, Precision};

use crate::args::Compute;
use crate::report::Result;

/// Starts the device.
pub(crate) fn runtime(compute: Compute) -> Result<Arc<Runtime>> {
    let precision = if compute.exact { Precision::Exact } else { Precision::Fast };
    let options = CpuOptions { threads: compute.threads, isa: None, precision };
    Ok(Arc::new(Runtime::start(options)?))
}

/// Finds `model` (a folder, or a name on this machine) and loads it.
pub(crate) fn load(model: &str, compute: Compute) -> Result<LoadedModel> {
    let entry = locate(model)?;
    Ok(LoadedModel::load(&runtime(compute)?, &entry, LoadOptions::default())?)
}

/// The folder of `model`.
pub(crate) fn locate(model: &str) -> Result<std::path::PathBuf> {
    let catalog = manager::catalog::Catalog::scan(&manager::Environment::from_process());
    Ok(catalog.find(model)?.usable()?.path)
}
