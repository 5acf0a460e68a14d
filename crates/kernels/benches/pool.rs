//! What a parallel region costs, beside a neighbour that computes all the time and without.
//!
//! `cargo bench -p kernels --bench pool`

use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use divan::Bencher;
use kernels::cpu::Cpu;
use kernels::{CpuOptions, Device};

fn main() {
    divan::main();
}

/// A process that keeps one core busy until it is dropped.
struct Neighbour(Child);

impl Neighbour {
    fn start() -> Self {
        let mut command = Command::new("sh");
        Self(command.args(["-c", "while :; do :; done"]).spawn().expect("a shell"))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // If it is gone already there is nothing to stop.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn regions(bencher: Bencher<'_, '_>, threads: usize, pause: Duration) {
    let options = CpuOptions { threads: Some(threads), ..CpuOptions::default() };
    let device = Device::cpu(options).expect("a device");
    let cpu = device.as_cpu().expect("the CPU");
    let region = |cpu: &Cpu| cpu.empty_region(4 * threads);
    bencher.with_inputs(|| thread::sleep(pause)).bench_local_refs(|()| region(cpu));
}

/// Regions one after the other: the workers are looking for work.
#[divan::bench(args = [1, 2], sample_count = 1000, sample_size = 100)]
fn hot(bencher: Bencher<'_, '_>, threads: usize) {
    regions(bencher, threads, Duration::ZERO);
}

/// A region after a pause: the workers sleep.
#[divan::bench(args = [2], sample_count = 200, sample_size = 1)]
fn after_a_pause(bencher: Bencher<'_, '_>, threads: usize) {
    regions(bencher, threads, Duration::from_millis(2));
}

#[divan::bench(args = [1, 2], sample_count = 1000, sample_size = 100)]
fn hot_beside_a_neighbour(bencher: Bencher<'_, '_>, threads: usize) {
    let neighbour = Neighbour::start();
    regions(bencher, threads, Duration::ZERO);
    drop(neighbour);
}
