//! A kernel that keeps fewer frames of a stack than kprof has room for.

use std::time::Duration;

use kprof_tests::burn::Burner;
use kprof_tests::sysctl::Changed;
use kprof_tests::{Outcome, expect_success, folded, live, run, stdout};

kprof_tests::suite![stacks_are_cut_at_the_outer_end_and_say_so];

fn stacks_are_cut_at_the_outer_end_and_say_so() -> Outcome {
    let _live = live()?;
    // The kernel refuses while anyone takes stacks.
    let _lowered = Changed::to("kernel.perf_event_max_stack", 4)?;
    let busy = Burner::start(
        &["kp-deep"],
        Duration::from_millis(50),
        Duration::from_millis(1),
    );
    let tid = busy.tid().to_string();
    // One bucket, so that stacks go through the spill map as well.
    for more in [&[][..], &["--max-stacks", "1"]] {
        let output = run(&[&["--tid", &tid, "-F", "999", "-d", "2"], more].concat());
        expect_success(&output);
        let lines = folded::parse(&stdout(&output));
        let limit = "[stack limit: 4 frames]";
        assert!(folded::through(&lines, limit) > 0, "{lines:?}");
        for line in &lines {
            let cut = line.frames.first().is_some_and(|frame| frame == limit);
            let kept = line.frames.len() - usize::from(cut);
            assert!(kept < 4 && !cut || kept == 4 && cut, "{line:?}");
        }
        // Deeper than four: the innermost is kept.
        assert!(
            lines
                .iter()
                .any(|line| line.frames.last().is_some_and(|frame| frame == "read_zero")),
            "{lines:?}"
        );
    }
    Ok(())
}
