//! `onionbalance-key`, which makes and imports the keys: this program never holds one.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use onionbalance_proto::config::Address;

use super::Problem;
use super::deployment::key_file;
use super::plan::Protection;
use crate::cli::HsVersion;
use crate::sibling::sibling;

const PROGRAM: &str = "onionbalance-key";

/// Makes a key in `directory`, in the file `ADDRESS.key`. Returns the address. The program asks for a
/// passphrase at the terminal. Fails if it fails; it has reported the reason then.
pub(super) fn new(directory: &Path, version: HsVersion, protection: &Protection) -> Result<Address, Problem> {
    let mut command = Command::new(sibling(PROGRAM));
    command.args(["new", "--version", if version == HsVersion::V2 { "2" } else { "3" }]);
    match protection {
        Protection::Plain => command.arg("--plain"),
        Protection::Asked => &mut command,
        Protection::File(file) => command.arg("--passphrase-file").arg(file),
    };
    run(&mut command, &directory.join(""))
}

/// Imports the key at `source` into `directory`, as [`new`] makes one. Fails also if its service has another
/// version.
pub(super) fn import(
    source: &Path,
    directory: &Path,
    version: HsVersion,
    protection: &Protection,
) -> Result<Address, Problem> {
    let mut command = Command::new(sibling(PROGRAM));
    command.arg("import");
    match protection {
        Protection::Plain => command.arg("--plain"),
        Protection::Asked => &mut command,
        Protection::File(file) => command.arg("--new-passphrase-file").arg(file),
    };
    // A path that begins with `-` is not an option.
    command.arg("--key").arg(source);
    let address = run(&mut command, &directory.join(""))?;
    match (version, &address) {
        (HsVersion::V2, Address::V2(_)) | (HsVersion::V3, Address::V3(_)) => Ok(address),
        (_, Address::V2(_)) => Err(Problem::new(format_args!(
            "{} is a v2 service's key: give --hs-version v2",
            source.display()
        ))),
        (_, Address::V3(_)) => Err(Problem::new(format_args!(
            "{} is a v3 service's key: leave out --hs-version",
            source.display()
        ))),
    }
}

/// Makes the key of a backend in `directory`, in the form of tor's file `file`: not encrypted, as tor reads
/// it. Returns the address. Fails as [`new`].
pub(super) fn new_for_tor(directory: &Path, version: HsVersion, file: &str) -> Result<Address, Problem> {
    let address = new(directory, version, &Protection::Plain)?;
    let key = directory.join(key_file(&address));
    let mut command = Command::new(sibling(PROGRAM));
    let exported = run(command.arg("export").arg(&key), &directory.join(file));
    // The whole tree is removed if this fails.
    fs::remove_file(&key)
        .map_err(|error| Problem::new(format_args!("cannot remove {}: {error}", key.display())))?;
    exported
}

/// The address that the program prints.
fn run(command: &mut Command, output: &Path) -> Result<Address, Problem> {
    command.arg("-o").arg(output).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| {
        Problem::new(format_args!(
            "cannot start {PROGRAM}, which makes the keys: {error}; install it beside this program"
        ))
    })?;
    if !output.status.success() {
        return Err(Problem::new(format_args!(
            "{PROGRAM} made no key ({}): its message is above",
            output.status
        )));
    }
    let line = String::from_utf8_lossy(&output.stdout);
    line.trim().parse().map_err(|_| Problem::new(format_args!("{PROGRAM} printed no address")))
}
