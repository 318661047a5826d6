//! The packages of the repository, and their source files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::source::Source;

/// The folder of the package that is a workspace of its own.
const FUZZ: &str = "fuzz";

/// The folders of a package that hold Rust sources.
const SOURCE_FOLDERS: [&str; 4] = ["src", "tests", "benches", "fuzz_targets"];

/// A package with all of its source files.
pub struct Package {
    /// The folder below the repository's root, such as `signer/key`.
    pub folder: String,
    /// The library's name in a path, such as `onionbalance_key`.
    pub library: String,
    /// All source files, ordered by path.
    pub sources: Vec<Source>,
}

impl Package {
    /// True if the package is part of what is installed.
    pub fn is_delivered(&self) -> bool {
        self.folder != FUZZ && !self.folder.starts_with("tests")
    }
}

/// The repository that this crate is in, by where it was compiled.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Reads all packages: the workspace's members in their order, and the fuzz targets.
///
/// Fails if a file cannot be read, or is not Rust.
pub fn read(root: &Path) -> Result<Vec<Package>> {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).context("reading Cargo.toml")?;
    let (_, members) = manifest.split_once("members = [").context("Cargo.toml lists no members")?;
    let (members, _) = members.split_once(']').context("the list of members has no end")?;
    members.split('"').skip(1).step_by(2).chain([FUZZ]).map(|folder| read_package(root, folder)).collect()
}

fn read_package(root: &Path, folder: &str) -> Result<Package> {
    let manifest = fs::read_to_string(root.join(folder).join("Cargo.toml"))
        .with_context(|| format!("reading {folder}/Cargo.toml"))?;
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = \""));
    let name = name.with_context(|| format!("{folder}/Cargo.toml has no name"))?.trim_end_matches('"');
    let mut paths = Vec::new();
    for inner in SOURCE_FOLDERS {
        find_sources(root, &format!("{folder}/{inner}"), &mut paths)?;
    }
    paths.sort_unstable();
    let mut sources = Vec::new();
    for path in &paths {
        let text = fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"))?;
        sources.push(Source::parse(folder, path, &text).with_context(|| format!("parsing {path}"))?);
    }
    let tests: Vec<Vec<String>> = sources.iter().flat_map(|source| source.test_modules.clone()).collect();
    for source in &mut sources {
        source.is_test |= tests.iter().any(|module| source.module.starts_with(module));
    }
    Ok(Package { folder: folder.into(), library: name.replace('-', "_"), sources })
}

/// Appends the paths of all Rust files at and below a folder that may be missing.
fn find_sources(root: &Path, folder: &str, paths: &mut Vec<String>) -> Result<()> {
    let full = root.join(folder);
    if !full.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(&full).with_context(|| format!("listing {folder}"))? {
        let entry = entry?;
        let name = entry.file_name();
        let path = format!("{folder}/{}", name.to_string_lossy());
        if entry.file_type()?.is_dir() {
            // A folder with a manifest is another package's.
            if !entry.path().join("Cargo.toml").is_file() {
                find_sources(root, &path, paths)?;
            }
        } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}
