//! Which backend computes, and where the library over MLX lies.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernels::{CpuOptions, Device, Mlx, MlxOptions};

use super::error::Error;
use crate::Environment;

/// The backend to compute on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Backend {
    /// MLX on a Mac, if it can be used; else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// MLX, or an error.
    Mlx,
}

/// The file that is looked for.
const LIBRARY: &str =
    if cfg!(target_os = "macos") { "libfolio_mlx.dylib" } else { "libfolio_mlx.so" };

/// Whether MLX can be used, and if not, why.
#[derive(Debug)]
pub enum MlxState {
    /// It can.
    Ready(Arc<Mlx>),
    /// `FOLIO_MLX` is `off`.
    Off,
    /// There is no library in any of these places.
    Missing(Vec<PathBuf>),
    /// There is one, and it is older, newer or broken.
    Unusable(kernels::Error),
}

impl MlxState {
    /// Looks for the library and opens it.
    pub fn look(environment: &Environment, cpu: CpuOptions) -> Self {
        if environment.mlx.as_deref().is_some_and(|named| named == Path::new("off")) {
            return Self::Off;
        }
        let program = std::env::current_exe().and_then(std::fs::canonicalize).ok();
        let places = places(environment, program.as_deref());
        let Some(library) = places.iter().find(|place| place.exists()) else {
            return Self::Missing(places);
        };
        let options = MlxOptions::new(library.clone());
        match Device::mlx(&MlxOptions { precision: cpu.precision, ..options }) {
            Ok(Device::Mlx(mlx)) => Self::Ready(mlx),
            Ok(Device::Cpu(_)) => Self::Off,
            Err(error) => Self::Unusable(error),
        }
    }
}

/// Where the library may be: what `FOLIO_MLX` names and nothing else, or beside the `program`, as
/// archives, a build and Homebrew leave it, or in the user's folder.
fn places(environment: &Environment, program: Option<&Path>) -> Vec<PathBuf> {
    if let Some(named) = &environment.mlx {
        return vec![if named.is_dir() { named.join(LIBRARY) } else { named.clone() }];
    }
    let mut folders = Vec::new();
    if let Some(folder) = program.and_then(Path::parent) {
        folders.push(folder.join("mlx"));
        folders.extend(folder.parent().map(|above| above.join("mlx")));
        folders.extend(folder.parent().map(|above| above.join("lib/folio/mlx")));
    }
    folders.push(environment.data.join("folio/mlx"));
    folders.iter().map(|folder| folder.join(LIBRARY)).collect()
}

impl Backend {
    /// Opens the device.
    ///
    /// # Errors
    ///
    /// If it cannot be had as asked. What [`Backend::Auto`] takes instead is no error.
    pub fn open(self, environment: &Environment, cpu: CpuOptions) -> Result<Device, Error> {
        let look = || MlxState::look(environment, cpu);
        match self {
            Self::Auto if cfg!(target_os = "macos") => match look() {
                MlxState::Ready(mlx) => Ok(Device::Mlx(mlx)),
                MlxState::Off | MlxState::Missing(_) | MlxState::Unusable(_) => {
                    Ok(Device::cpu(cpu)?)
                }
            },
            Self::Auto | Self::Cpu => Ok(Device::cpu(cpu)?),
            Self::Mlx => match look() {
                MlxState::Ready(mlx) => Ok(Device::Mlx(mlx)),
                MlxState::Unusable(error) => Err(error.into()),
                MlxState::Missing(looked) => Err(Error::NoMlx { looked }),
                MlxState::Off => Err(Error::NoMlx { looked: vec!["off (FOLIO_MLX)".into()] }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn environment(vars: &[(&str, &str)]) -> Environment {
        let vars = vars.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Environment::from_vars(vars)
    }

    #[test]
    fn the_library_is_looked_for_where_it_is_put() {
        let shown = |vars: &[(&str, &str)], program: Option<&str>| {
            let places = places(&environment(vars), program.map(Path::new));
            let folders = places.iter().map(|place| {
                assert!(place.ends_with(LIBRARY) || place.starts_with("/named"));
                place.display().to_string().trim_end_matches(LIBRARY).to_owned()
            });
            folders.collect::<Vec<_>>()
        };
        assert_eq!(
            shown(&[("XDG_DATA_HOME", "/data")], Some("/opt/folio/bin/folio")),
            [
                "/opt/folio/bin/mlx/",
                "/opt/folio/mlx/",
                "/opt/folio/lib/folio/mlx/",
                "/data/folio/mlx/"
            ]
        );
        assert_eq!(shown(&[("XDG_DATA_HOME", "/data")], None), ["/data/folio/mlx/"]);
        assert_eq!(shown(&[("FOLIO_MLX", "/named")], Some("/bin/folio")), ["/named"]);
    }

    #[test]
    fn what_is_missing_or_broken_is_told_and_the_cpu_serves() {
        let cpu = CpuOptions { threads: Some(1), ..CpuOptions::default() };
        let missing = environment(&[("FOLIO_MLX", "/nowhere/libfolio_mlx.so")]);
        assert!(matches!(MlxState::look(&missing, cpu), MlxState::Missing(_)));
        let error = Backend::Mlx.open(&missing, cpu).unwrap_err();
        assert!(error.to_string().contains("/nowhere/libfolio_mlx.so"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("cargo xtask mlx")));
        let broken = tempfile::NamedTempFile::new().unwrap();
        let broken = environment(&[("FOLIO_MLX", broken.path().to_str().unwrap())]);
        assert!(matches!(MlxState::look(&broken, cpu), MlxState::Unusable(_)));
        assert!(matches!(Backend::Mlx.open(&broken, cpu), Err(Error::Device(_))));
        for environment in [missing, broken, environment(&[("FOLIO_MLX", "off")])] {
            assert!(Backend::Auto.open(&environment, cpu).unwrap().as_cpu().is_some());
            assert!(Backend::Mlx.open(&environment, cpu).is_err());
        }
    }
}
