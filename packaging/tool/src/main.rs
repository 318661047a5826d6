//! `cargo xtask`: manual pages, completions, release programs, and the Debian packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Parser;
use onionbalance_packaging::debian::{Compression, Package};
use onionbalance_packaging::release::{Build, Profile, Source};
use onionbalance_packaging::{PROGRAMS, completions, manual, project};

/// Makes what a release has besides the sources.
#[derive(Parser)]
enum Task {
    /// Write the manual pages into a directory
    Man {
        /// The directory
        directory: PathBuf,
    },
    /// Write the completions for bash, zsh and fish below a directory, as below /usr/share
    Completions {
        /// The directory
        directory: PathBuf,
    },
    /// Build the programs so that they are the same in every directory, below target/package/release
    Release,
    /// Build the programs and the Debian packages of them and of their symbols, below target/package
    Deb {
        /// Package the programs of this directory instead
        #[arg(long, value_name = "DIRECTORY")]
        programs: Option<PathBuf>,
    },
}

fn main() -> Result<()> {
    let task = Task::parse();
    let source = Source::find()?;
    let target = project().join("target/package");
    let build = Build { sources: project(), programs: &PROGRAMS, profile: Profile::Release };
    match task {
        Task::Man { directory } => {
            fs::create_dir_all(&directory)?;
            for (name, page) in manual::pages(&project().join("packaging/man"), &source.date)? {
                let path = directory.join(name);
                fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        Task::Completions { directory } => completions::write(&directory)?,
        Task::Release => say(&build.run(&source, &target)?)?,
        Task::Deb { programs } => {
            let programs = programs.map_or_else(|| build.run(&source, &target), Ok)?;
            let dpkg_dev = |tool: &str| Ok(Command::new(tool));
            let package = Package { source, programs, compression: Compression::Xz, dpkg_dev };
            say(&package.build(&target)?)?;
            say(&package.build_symbols(&target)?)?;
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the path is the program's output")]
fn say(path: &Path) -> Result<()> {
    println!("{}", path.canonicalize()?.display());
    Ok(())
}
