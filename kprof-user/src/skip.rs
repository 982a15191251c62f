//! Unit tests that can't run on this machine say so.

use std::io::Write as _;

/// Ends a test that can't run here: prints why, on a line of its own that `cargo xtask test` counts. The built-in
/// harness takes the test for passed. With `KPROF_REQUIRE_LIVE` set the test fails instead.
macro_rules! skip {
    ($($why:tt)*) => {{
        // A closure's type is named after the function around it.
        crate::skip::say(std::any::type_name_of_val(&|| ()), format_args!($($why)*));
        return;
    }};
}

pub(crate) use skip;

/// Prints the line, past the harness, which would keep it to itself.
pub(crate) fn say(closure: &str, why: std::fmt::Arguments) {
    assert!(
        std::env::var_os("KPROF_REQUIRE_LIVE").is_none(),
        "can't run: {why}"
    );
    let path = closure.trim_end_matches("::{{closure}}");
    let test = path.split_once("::").map_or(path, |(_, test)| test);
    let _ = writeln!(std::io::stdout(), "\nskipped: {test}: {why}");
}
