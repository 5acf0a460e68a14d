//! What a parallel region costs that computes nothing.

use std::time::{Duration, Instant};

use kernels::{CpuOptions, Device};

/// Prints a line for regions one after the other, and one for a region after a pause.
pub(crate) fn run(threads: usize) {
    let options = CpuOptions { threads: Some(threads), ..CpuOptions::default() };
    let device = Device::cpu(options).expect("a device");
    let cpu = device.as_cpu().expect("the CPU");
    for (what, pause, count) in [("one after the other", 0, 2000), ("after 2 ms", 2, 100)] {
        let mut samples: Vec<f64> = (0..count)
            .map(|_| {
                if pause > 0 {
                    std::thread::sleep(Duration::from_millis(pause));
                }
                let begun = Instant::now();
                cpu.empty_region(4 * threads);
                begun.elapsed().as_secs_f64()
            })
            .collect();
        samples.sort_by(f64::total_cmp);
        let at = |part: usize| samples[(samples.len() - 1) * part / 4];
        println!(
            "{{\"op\":\"region\",\"what\":\"{what}\",\"threads\":{threads},\"seconds\":{:.4e},\
             \"quartiles\":[{:.4e},{:.4e}],\"memory\":0,\"operations\":0,\"peak\":\"\",\
             \"cached\":0}}",
            at(2),
            at(1),
            at(3),
        );
    }
}
