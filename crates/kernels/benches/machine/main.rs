//! What the machine can do, and what of it each operation uses: the measuring half of
//! `cargo xtask bench` and `cargo xtask instructions`, which read the lines that this prints.
//!
//! `machine limits`, `machine ops GROUP [--quick]`, `machine instructions CASE TIMES`. A line is one
//! JSON object; rates are in operations or bytes a second, times in seconds.
#![expect(unsafe_code, reason = "the limits are measured with vector instructions")]
#![expect(clippy::print_stdout, reason = "what is measured is printed")]

mod formats;
mod instructions;
mod limits;
mod operands;
mod ops;
mod regions;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["limits"] => limits::run(),
        ["ops", group] => ops::run(group, false),
        ["ops", group, "--quick"] => ops::run(group, true),
        ["groups"] => ops::GROUPS.iter().for_each(|group| println!("{group}")),
        ["cases"] => instructions::CASES.iter().for_each(|(name, _)| println!("{name}")),
        ["instructions", case, times] => instructions::run(case, times),
        // What `cargo bench` says to every benchmark.
        ["--bench"] | [] => println!("run by `cargo xtask bench`"),
        other => panic!("unknown arguments {other:?}"),
    }
}
