//! Writes the vision model that comes to an end into a folder: `cargo run -p testkit --example reciter FOLDER`.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| std::io::Error::other("name a folder"))?;
    testkit::reciter::write(&folder)
}
