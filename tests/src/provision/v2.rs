//! The newest tor with v2 onion services and with its source in a package registry: 0.4.5.9, in a crate that
//! wraps it for clients. The crate's Rust is not compiled; tor's own `configure` and `make` build the source.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use super::debian::{self, Packages};
use super::{Program, search};
use crate::owned::Owned;
use crate::process::run;

const CRATE: &str = "libtor-sys";
const VERSION: &str = "=45.9.0";

const REMEDY: &str = "tor 0.4.5.9 could not be built, which the tests of v2 onion services need: \
    install a C compiler, make, libssl-dev, zlib1g-dev and libevent-dev, or set TOR_V2=/path/to/tor with tor-gencert beside it";

/// A requirement of the build: a header, and the Debian package that contains it.
const HEADERS: [(&str, &str); 3] =
    [("event2/event.h", "libevent-dev"), ("openssl/ssl.h", "libssl-dev"), ("zlib.h", "zlib1g-dev")];

/// The tor in `directory`, built unless it is there.
pub(super) fn built(directory: &Path) -> Result<Program> {
    let root = directory.join("v2");
    if !root.is_dir() {
        build(directory, &root).context(REMEDY)?;
    }
    Ok(program(&root))
}

fn program(root: &Path) -> Program {
    Program { file: root.join("tor"), libraries: debian::libraries(&root.join("needed")) }
}

/// Builds in a temporary directory, which becomes `root` after tor has run.
fn build(directory: &Path, root: &Path) -> Result<()> {
    let owned = Owned::create(directory.join(format!("build-{}", process::id())))?;
    let work = owned.path();
    let result = work.join("result");
    fs::create_dir(&result)?;
    let needed = result.join("needed");
    fetch_missing(work, &needed)?;
    let source = fetch_source(work)?;
    // make would run the autotools, which may be missing, for files that seem older than their sources.
    set_mtimes(&source, SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 50))?;
    configure(&source, &needed, work)?;
    make(&source, &needed, work)?;
    fs::copy(source.join("src/app/tor"), result.join("tor"))?;
    run(program(&result).command().arg("--version"), &work.join("version.log")).context("it does not run")?;
    Ok(fs::rename(&result, root)?)
}

/// Unpacks into `needed` those packages that the system lacks.
fn fetch_missing(work: &Path, needed: &Path) -> Result<()> {
    let headers = HEADERS.iter().filter(|(header, _)| !has_header(header)).map(|(_, package)| *package);
    let make = search("make").is_none().then_some("make");
    let missing: Vec<&str> = headers.chain(make).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = Packages::new(work)?;
    packages.fetch(&missing)?;
    Ok(fs::rename(packages.unpack()?, needed)?)
}

/// True if compilers find the header: some are in a directory named after the processor.
fn has_header(header: &str) -> bool {
    include_directories(Path::new("/")).iter().any(|directory| directory.join(header).is_file())
}

fn include_directories(root: &Path) -> [PathBuf; 2] {
    let include = root.join("usr/include");
    [include.join(format!("{}-linux-gnu", env::consts::ARCH)), include]
}

/// Fetches the crate by cargo; returns the directory of tor's source.
fn fetch_source(work: &Path) -> Result<PathBuf> {
    let package = work.join("source");
    fs::create_dir_all(package.join("src"))?;
    // A workspace of its own, because it is below the project's.
    let manifest = format!(
        "[package]\nname = \"tor-source\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\
         [dependencies]\n{CRATE} = \"{VERSION}\"\n[workspace]\n"
    );
    fs::write(package.join("Cargo.toml"), manifest)?;
    fs::write(package.join("src/lib.rs"), "")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    run(
        Command::new(cargo).args(["vendor", "--quiet", "vendor"]).current_dir(&package),
        &work.join("cargo.log"),
    )
    .with_context(|| format!("cargo could not fetch the crate {CRATE}"))?;
    Ok(package.join("vendor").join(CRATE).join("tor-src"))
}

fn set_mtimes(directory: &Path, time: SystemTime) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            set_mtimes(&path, time)?;
        } else {
            File::options().append(true).open(&path)?.set_modified(time)?;
        }
    }
    Ok(())
}

/// The options of configure: without the parts that a test network does not use.
const WITHOUT: [&str; 10] = [
    "--disable-asciidoc",
    "--disable-manpage",
    "--disable-html-manual",
    "--disable-systemd",
    "--disable-lzma",
    "--disable-zstd",
    "--disable-seccomp",
    "--disable-libscrypt",
    "--disable-unittests",
    "--disable-tool-name-check",
];
/// Replaces the autotools by a command that does nothing.
const NOTHING: [&str; 4] = ["ACLOCAL=:", "AUTOCONF=:", "AUTOMAKE=:", "AUTOHEADER=:"];

fn configure(source: &Path, needed: &Path, work: &Path) -> Result<()> {
    let mut command = Command::new("sh");
    command.arg("configure").arg("--quiet").args(WITHOUT).args(NOTHING).current_dir(source);
    let libraries = debian::libraries(needed);
    if !libraries.is_empty() {
        command.env("CPPFLAGS", flags("-I", &include_directories(needed)));
        command.env("LDFLAGS", flags("-L", &libraries));
        // configure runs the programs that it links.
        command.env("LD_LIBRARY_PATH", env::join_paths(&libraries)?);
    }
    run(&mut command, &work.join("configure.log"))?;
    Ok(())
}

fn flags(option: &str, directories: &[PathBuf]) -> String {
    let flags: Vec<_> = directories.iter().map(|path| format!("{option}{}", path.display())).collect();
    flags.join(" ")
}

fn make(source: &Path, needed: &Path, work: &Path) -> Result<()> {
    let fetched = needed.join("usr/bin/make");
    let make = if fetched.is_file() { fetched } else { PathBuf::from("make") };
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    let mut command = Command::new(make);
    command.arg(format!("-j{jobs}")).arg("src/app/tor").args(NOTHING).current_dir(source);
    run(&mut command, &work.join("make.log"))?;
    Ok(())
}
