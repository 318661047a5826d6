//! The parts of a release that are made of the sources: manual pages, completions, programs, and the Debian
//! package.
//!
//! [`help_table`] reads the help texts of the signer and of `onionbalance-key`; the balancer has a definition
//! of its command line. [`manual`] and [`completions`] are made of both. [`release`] builds the programs, and
//! [`debian`] puts everything into a package.

#![forbid(unsafe_code)]

pub mod completions;
pub mod debian;
pub mod help_table;
pub mod manual;
pub mod release;

use std::path::Path;

use clap::Command;

/// The project's directory.
pub fn project() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The names of the programs, which are also those of their packages.
pub const PROGRAMS: [&str; 3] = ["onionbalance", "onionbalance-signer", "onionbalance-key"];

/// The definitions of the programs' command lines.
pub fn command_lines() -> [Command; 3] {
    let mut key = help_table::read("onionbalance-key", onionbalance_key::HELP);
    for (name, help) in onionbalance_key::commands() {
        key = key.subcommand(help_table::read(name, help));
    }
    let signer = help_table::read("onionbalance-signer", onionbalance_signer::help::HELP);
    [onionbalance::cli::definition(), signer, key]
}
