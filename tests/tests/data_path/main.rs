//! Faults on the way of a sample: maps that are full, drains that are late, a kprof that is killed, threads that come,
//! go and change. After each the accounting must be exact: nothing is counted twice, and what is lost has its reason.

mod churn;
mod full_maps;
mod killed;
mod late;
mod two;

use churn::*;
use full_maps::*;
use killed::*;
use late::*;
use two::*;

kprof_tests::suite![
    a_full_counts_map_is_told_and_answered_by_earlier_drains,
    a_full_stack_map_loses_nothing,
    a_full_spill_map_is_told_and_answered_by_earlier_drains,
    drains_late_by_30_s_lose_what_finds_no_room_and_nothing_else,
    two_captures_do_not_change_each_others_counts,
    sigkill_leaves_nothing_in_the_kernel,
    sigkill_leaves_whole_files_or_none,
    ten_thousand_short_lived_threads_keep_their_names,
    names_that_change_1000_times_a_second_are_seen_whole,
];
