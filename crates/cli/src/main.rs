//! The command line: one file per command under `commands/`.

fn main() {}
