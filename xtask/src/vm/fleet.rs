//! Several guests, some of them at a time.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::Context as _;

use super::guest::{self, End, Machine, Outcome, Work};
use super::kernels::Image;
use super::tools::Qemu;
use crate::host::say;

/// Guests at a time.
const AT_A_TIME: usize = 2;

/// All that guests are made of.
pub(super) struct Fleet {
    pub(super) qemu: Qemu,
    /// The archive with the programs.
    pub(super) base: PathBuf,
    /// Where guests leave their logs.
    pub(super) logs: PathBuf,
    pub(super) images: Vec<Image>,
}

impl Fleet {
    /// Runs a guest for each kernel. `line` gets each line that a guest prints, and what `start` made for that guest;
    /// the latter comes back with the guest's outcome.
    pub(super) fn run<T: Send>(
        &self,
        options: &super::Options,
        work: impl Fn(&Image) -> Work + Sync,
        start: impl Fn() -> T + Sync,
        line: impl Fn(&Image, &mut T, &str) + Sync,
    ) -> anyhow::Result<Vec<(Image, Outcome, T)>> {
        let machine = Machine {
            qemu: &self.qemu,
            base: &self.base,
            logs: &self.logs,
            limit: options.timeout(),
            accel: &options.accel,
            append: &options.append,
        };
        let waiting: Mutex<VecDeque<&Image>> = Mutex::new(self.images.iter().collect());
        let ended = Mutex::new(Vec::new());
        let worker = || {
            loop {
                let next = waiting.lock().expect("no guest panics").pop_front();
                let Some(image) = next else {
                    return anyhow::Ok(());
                };
                let mut own = start();
                let cpus = options.cpus_of(&image.kernel);
                let outcome = guest::run(&machine, image, cpus, &work(image), |text| {
                    line(image, &mut own, text);
                })
                .with_context(|| format!("kernel {}", image.kernel))?;
                if let End::Lost(why) = &outcome.end {
                    tell_lost(image, why, &outcome);
                }
                let mut ended = ended.lock().expect("no guest panics");
                ended.push((image.clone(), outcome, own));
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_A_TIME.min(self.images.len()))
                .map(|_| scope.spawn(worker))
                .collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().expect("a guest's thread does not panic"))
        })?;
        Ok(ended.into_inner().expect("no guest panics"))
    }
}

fn tell_lost(image: &Image, why: &str, outcome: &Outcome) {
    say(format_args!("kernel {} was stopped: {why}", image.kernel));
    for line in &outcome.console {
        eprintln!("[{} console] {line}", image.kernel);
    }
    say(format_args!("its logs are in {}", outcome.logs.display()));
}
