//! Marks tests that only root can run: they start programs as other users, or read the memory of other
//! processes.
//!
//! For every other user they are *ignored*, which the test harness counts and shows. libtest makes this
//! decision when a test is compiled, not when it runs, so that the tests are compiled again for another user.

#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::MetadataExt;

use proc_macro::TokenStream;

const IGNORE: &str = "#[ignore = \"needs root\"]";

/// Cargo recompiles code that reads a changed variable. `sudo`, `su -` and containers set at least one of
/// these.
const COMPILED_FOR: &str = "const _: [Option<&str>; 2] = [option_env!(\"USER\"), option_env!(\"HOME\")];";

/// Makes a test ignored unless root compiles it. The attribute goes above `#[test]`.
#[proc_macro_attribute]
pub fn needs_root(_arguments: TokenStream, test: TokenStream) -> TokenStream {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let ignore = if is_root { "" } else { IGNORE };
    [parsed(ignore), test, parsed(COMPILED_FOR)].into_iter().collect()
}

/// The tokens of one of the texts above, which are Rust.
fn parsed(text: &str) -> TokenStream {
    text.parse().unwrap_or_default()
}
