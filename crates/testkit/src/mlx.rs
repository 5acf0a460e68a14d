//! Where tests find the library over MLX, and how they say that they did not.

use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// The file's name.
pub const LIBRARY: &str =
    if cfg!(target_os = "macos") { "libfolio_mlx.dylib" } else { "libfolio_mlx.so" };

/// What `open` makes of the library, if it is where `FOLIO_MLX` says or `cargo xtask mlx` puts it.
/// Where it is not, or cannot be opened, standard error says once that MLX is not tested.
///
/// # Panics
///
/// If `FOLIO_MLX` names a library and it cannot be opened: whoever names it wants it tested.
pub fn opened<T, E: Display>(open: impl FnOnce(&Path) -> Result<T, E>) -> Option<T> {
    let named = std::env::var_os("FOLIO_MLX").filter(|named| !named.is_empty() && named != "off");
    let wanted = named.is_some();
    let inside = |named: PathBuf| if named.is_dir() { named.join(LIBRARY) } else { named };
    let library = named.map(|named| inside(named.into())).or_else(beside);
    let opened = match library {
        Some(library) => open(&library).map_err(|error| error.to_string()),
        None => Err("it is not installed: run `cargo xtask mlx`".to_owned()),
    };
    match opened {
        Ok(opened) => Some(opened),
        Err(error) if wanted => panic!("MLX: {error}"),
        Err(error) => {
            static TOLD: Once = Once::new();
            // Past the capture of tests: what was not tested must be seen.
            TOLD.call_once(|| drop(writeln!(std::io::stderr(), "MLX is not tested: {error}")));
            None
        }
    }
}

/// `target/mlx`, seen from a test's program.
fn beside() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let mut folders = program.ancestors().skip(1).map(|folder| folder.join("mlx").join(LIBRARY));
    folders.find(|library| library.exists())
}
