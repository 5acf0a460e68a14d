//! The worker process of the integration tests: the real one, and some that misbehave on demand.

use std::process::ExitCode;

fn main() -> ExitCode {
    documents::worker::main()
}
