//! Runs the committed inputs through their targets, without the fuzzer.

use std::panic::catch_unwind;

use kprof_fuzz::{TARGETS, Target, corpus};
use kprof_tests::{Outcome, Skip};

kprof_tests::suite![
    every_target_has_inputs_and_every_folder_a_target,
    every_input_keeps_the_laws,
];

/// Where the sources are not, as on another machine, the inputs aren't either.
fn corpus_is_here() -> Result<(), Skip> {
    match corpus::folder().is_dir() || std::env::var_os("CARGO").is_some() {
        true => Ok(()),
        false => Err(Skip::because("the inputs are not on this machine")),
    }
}

fn every_target_has_inputs_and_every_folder_a_target() -> Outcome {
    corpus_is_here()?;
    let mut targets: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    targets.sort();
    assert_eq!(corpus::names().expect("list the corpus"), targets);
    for target in TARGETS {
        assert!(!inputs(target).is_empty(), "{} has no input", target.name);
    }
    Ok(())
}

fn every_input_keeps_the_laws() -> Outcome {
    corpus_is_here()?;
    let mut broken = Vec::new();
    for target in TARGETS {
        for (path, data) in inputs(target) {
            // Its panic says what is wrong; all inputs are tried.
            if catch_unwind(|| target.run(&data)).is_err() {
                broken.push(path);
            }
        }
        target.run(&[]);
    }
    assert!(broken.is_empty(), "laws are broken by {broken:#?}");
    Ok(())
}

fn inputs(target: &Target) -> Vec<corpus::Input> {
    corpus::inputs(target.name).unwrap_or_else(|error| panic!("{}: {error}", target.name))
}
