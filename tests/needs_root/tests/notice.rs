//! The first lines of `cargo test`: which tests are going to be ignored, and why.

#![expect(clippy::print_stdout, reason = "a notice")]

mod list;

fn main() -> std::io::Result<()> {
    // Arguments select a part of the tests or a list, as for any test program. The notice is for a whole run
    // only.
    if std::env::args().len() > 1 {
        return Ok(());
    }
    list::print(concat!(env!("CARGO_MANIFEST_DIR"), "/../..").as_ref(), "are going to be ignored")
}
