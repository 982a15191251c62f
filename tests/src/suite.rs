//! Runs the tests of a suite so that one that can't run here counts as skipped.
//!
//! The built-in harness knows only passed and failed. A suite's tests return [`Outcome`] and are listed in
//! [`suite!`](crate::suite!); one that is not listed is dead code, which the lints refuse. Filters and flags are the
//! usual ones. Every skip is a line of its own at the end, `skipped: NAME: REASON`.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Completion, Trial};

/// How a test that did not panic ended.
pub type Outcome = Result<(), Skip>;

/// Why a test can't run here.
#[derive(Clone, Debug)]
pub struct Skip(String);

impl Skip {
    /// Takes the reason, which is told in one line.
    pub fn because(why: impl std::fmt::Display) -> Skip {
        let why = why.to_string();
        Skip(why.lines().map(str::trim).collect::<Vec<_>>().join("; "))
    }
}

/// Makes the `main` of a suite out of its tests.
///
/// `own machine:` before them says that they change the whole machine, as guests of `cargo xtask vm` let them; see
/// [`OWN_MACHINE`].
#[macro_export]
macro_rules! suite {
    (own machine: $($test:ident),* $(,)?) => {
        fn main() -> std::process::ExitCode {
            $crate::suite::run_on_own_machine(&[$((stringify!($test), $test)),*])
        }
    };
    ($($test:ident),* $(,)?) => {
        fn main() -> std::process::ExitCode {
            $crate::suite::run(&[$((stringify!($test), $test)),*])
        }
    };
}

/// A test and its name.
pub type Test = (&'static str, fn() -> Outcome);

/// The variable that says that tests may change the whole machine: nobody else uses it, and it is thrown away.
pub const OWN_MACHINE: &str = "KPROF_OWN_MACHINE";

/// How much of something to take: the second in a guest, whose CPUs are a tenth as fast.
pub fn by_speed<T>(natively: T, in_guest: T) -> T {
    match std::env::var_os(OWN_MACHINE) {
        Some(_) => in_guest,
        None => natively,
    }
}

/// Runs those tests that the command line asks for where they may change the whole machine; else skips them all as one.
pub fn run_on_own_machine(tests: &[Test]) -> ExitCode {
    if std::env::var_os(OWN_MACHINE).is_some() {
        return run(tests);
    }
    let this = std::env::current_exe().unwrap_or_default();
    let name = this.file_name().unwrap_or_default().to_string_lossy();
    let name = name.split('-').next().unwrap_or_default();
    println!(
        "\nskipped: {name}, {} tests: they change the machine; `cargo xtask vm` runs them in guests",
        tests.len()
    );
    ExitCode::SUCCESS
}

/// Runs those tests that the command line asks for.
pub fn run(tests: &[Test]) -> ExitCode {
    let arguments = Arguments::from_args();
    let must_run = std::env::var_os("KPROF_REQUIRE_LIVE").is_some();
    let skipped = Arc::new(Mutex::new(Vec::new()));
    let trials = tests.iter().map(|&(name, test)| {
        let skipped = Arc::clone(&skipped);
        Trial::ignorable_test(name, move || match test() {
            Ok(()) => Ok(Completion::Completed),
            Err(Skip(why)) if must_run => Err(format!("can't run: {why}").into()),
            Err(Skip(why)) => {
                let mut skipped = skipped.lock().unwrap_or_else(PoisonError::into_inner);
                skipped.push(format!("skipped: {name}: {why}"));
                Ok(Completion::ignored_with(why))
            }
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    for line in skipped
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
    {
        println!("{line}");
    }
    conclusion.exit_code()
}
