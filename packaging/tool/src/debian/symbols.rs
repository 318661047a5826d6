//! The package of the symbols, which the package of the programs lacks. Debuggers find them by the programs'
//! build ids.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Package, Tree, VERSION};
use crate::PROGRAMS;
use crate::release::output;

impl Package {
    /// Builds the package of the symbols into the directory `to` and returns its path: `onionbalance-dbgsym`,
    /// as Debian's tools would name it.
    ///
    /// # Errors
    /// A program has no build id, a tool of binutils or dpkg-dev fails, or `to` cannot be written to.
    pub fn build_symbols(&self, to: &Path) -> Result<PathBuf> {
        let tree = Tree::create()?;
        let mut ids = Vec::with_capacity(PROGRAMS.len());
        for program in PROGRAMS {
            let program = self.programs.join(program);
            let id = build_id(&program)?;
            let (directory, name) = id.split_at_checked(2).context("the build id is too short")?;
            let symbols = tree
                .directory(&format!("usr/lib/debug/.build-id/{directory}"))?
                .join(format!("{name}.debug"));
            let options = ["--only-keep-debug", "--compress-debug-sections"];
            output(Command::new("objcopy").args(options).arg(&program).arg(&symbols))?;
            set_permissions(&symbols, Permissions::from_mode(0o644))?;
            ids.push(id);
        }
        let documents = tree.directory("usr/share/doc")?;
        symlink("onionbalance", documents.join("onionbalance-dbgsym"))?;
        tree.source(&super::read("control")?, &self.changelog()?)?;
        self.describe(&tree, "", &fields(&ids))?;
        self.pack(&tree, to)
    }
}

/// The options of `dpkg-gencontrol` that make the description of the programs' package that of the symbols.
fn fields(ids: &[String]) -> Vec<String> {
    let kept = ["Recommends", "Suggests"].map(|field| format!("-U{field}"));
    let set = [
        ("Package", "onionbalance-dbgsym".to_owned()),
        ("Auto-Built-Package", "debug-symbols".to_owned()),
        ("Section", "debug".to_owned()),
        ("Depends", format!("onionbalance (= {VERSION})")),
        ("Description", "debug symbols for onionbalance".to_owned()),
        ("Build-Ids", ids.join(" ")),
    ];
    kept.into_iter().chain(set.map(|(field, value)| format!("-D{field}={value}"))).collect()
}

/// The build id of a program, which the linker computes of its contents: 40 hexadecimal digits.
fn build_id(program: &Path) -> Result<String> {
    let notes = output(Command::new("readelf").arg("--notes").arg(program).env("LC_ALL", "C"))?;
    let id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: "));
    Ok(id.with_context(|| format!("{} has no build id", program.display()))?.to_owned())
}
