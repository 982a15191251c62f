//! What changes under a capture: CPUs that come and go, memory that runs out, a clock that is set, a limit that falls.

mod capture;
mod clock;
mod cpus;
mod hotplug;
mod limit;
mod memory;

use clock::{
    a_capture_is_as_long_as_its_events_were_on,
    a_clock_that_is_set_moves_neither_lengths_nor_the_start,
};
use cpus::every_cpu_is_sampled_as_often_as_is_due;
use hotplug::{
    a_cpu_that_comes_and_goes_all_the_time_costs_no_sample,
    a_cpu_that_goes_and_returns_is_sampled_again,
    a_cpu_that_is_asked_for_before_it_is_online_is_sampled_once_it_is,
    a_cpu_that_was_away_for_a_moment_is_sampled_again, a_tracepoint_outlives_the_first_of_its_cpus,
};
use limit::a_limit_of_samples_that_falls_is_told;
use memory::{
    a_capture_outlives_memory_that_runs_out, a_memory_limit_is_kept_or_told,
    when_it_is_killed_for_memory_nothing_stays_attached,
};

kprof_tests::suite![own machine:
    a_cpu_that_goes_and_returns_is_sampled_again,
    a_cpu_that_is_asked_for_before_it_is_online_is_sampled_once_it_is,
    a_cpu_that_was_away_for_a_moment_is_sampled_again,
    a_tracepoint_outlives_the_first_of_its_cpus,
    a_cpu_that_comes_and_goes_all_the_time_costs_no_sample,
    every_cpu_is_sampled_as_often_as_is_due,
    a_memory_limit_is_kept_or_told,
    when_it_is_killed_for_memory_nothing_stays_attached,
    a_capture_outlives_memory_that_runs_out,
    a_clock_that_is_set_moves_neither_lengths_nor_the_start,
    a_capture_is_as_long_as_its_events_were_on,
    a_limit_of_samples_that_falls_is_told,
];
