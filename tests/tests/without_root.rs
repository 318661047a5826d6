//! The last lines of `cargo test`, by its name: which tests were ignored, and why.

#![expect(clippy::print_stdout, reason = "a notice")]

#[path = "../needs_root/tests/list/mod.rs"]
mod list;

fn main() -> std::io::Result<()> {
    // Arguments select a part of the tests or a list, as for any test program. The notice is for a whole run
    // only.
    if std::env::args().len() > 1 {
        return Ok(());
    }
    list::print(concat!(env!("CARGO_MANIFEST_DIR"), "/..").as_ref(), "were ignored")
}
