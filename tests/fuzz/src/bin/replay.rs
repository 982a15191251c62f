//! Runs inputs through a target, without the fuzzer: `replay TARGET FILE...`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_default();
    let Some(target) = kprof_fuzz::target(&name) else {
        let names: Vec<&str> = kprof_fuzz::TARGETS.iter().map(|t| t.name).collect();
        eprintln!("usage: replay TARGET FILE...; targets: {}", names.join(" "));
        return ExitCode::from(2);
    };
    for path in words {
        let data = match std::fs::read(&path) {
            Ok(data) => data,
            Err(error) => {
                eprintln!("{path}: {error}");
                return ExitCode::from(2);
            }
        };
        let cost = target.run(&data);
        println!(
            "{path}: {} bytes: {} us, {} KiB",
            data.len(),
            cost.cpu.as_micros(),
            cost.peak / 1024
        );
    }
    ExitCode::SUCCESS
}
