//! An emulator of a PC, a kernel for it to boot, and the programs of a small system.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::debian::{self, Unpacked};
use super::{Program, in_target};

/// Debian's QEMU, kernel and busybox.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Emulator {
    qemu: Program,
    firmware: [PathBuf; 4],
    kernel: PathBuf,
    busybox: PathBuf,
}

impl Emulator {
    /// Fetches Debian's packages unless they exist. The kernel is the one that `$KERNEL` names, or else that
    /// of the Debian release in this system's apt sources.
    pub fn get() -> Result<Self> {
        let root = in_target(root)?;
        Ok(Self {
            qemu: Program {
                file: root.join("usr/bin/qemu-system-x86_64"),
                libraries: debian::libraries(&root),
            },
            firmware: FIRMWARE.map(|directory| root.join(directory)),
            kernel: match env::var_os("KERNEL") {
                Some(named) => named.into(),
                None => packaged_kernel(&root)?,
            },
            busybox: busybox(&root)?,
        })
    }

    /// A command that boots the kernel in an emulated PC. Its processor is emulated as well, so the machine
    /// needs no root and no support by this one, and is some twenty times slower.
    pub fn qemu(&self) -> Command {
        let mut command = self.qemu.command();
        for directory in &self.firmware {
            command.arg("-L").arg(directory);
        }
        command.args(["-accel", "tcg", "-cpu", "max", "-nodefaults", "-no-user-config", "-display", "none"]);
        command.arg("-kernel").arg(&self.kernel);
        command
    }

    /// The kernel's image.
    pub fn kernel(&self) -> &Path {
        &self.kernel
    }

    /// A statically linked busybox.
    pub fn busybox(&self) -> &Path {
        &self.busybox
    }
}

/// The places in the packages, and on this system for packages that were not fetched because they are
/// installed.
const FIRMWARE: [&str; 4] = ["usr/share/qemu", "usr/share/seabios", "/usr/share/qemu", "/usr/share/seabios"];

const REMEDY: &str =
    "Debian's QEMU and kernel for x86-64 could not be fetched, which takes apt-get with Debian's sources";

/// The directory of the unpacked packages below `directory`; fetches them unless they exist.
fn root(directory: &Path) -> Result<PathBuf> {
    let packages = &["busybox-static", "linux-image-amd64", "qemu-system-x86"];
    let wanted = Unpacked { name: "emulator", packages, remedy: REMEDY };
    wanted.below(directory, |root, _| {
        // The kernel's modules are 400 MB, and nothing here loads one.
        for lib in ["lib", "usr/lib"] {
            let modules = root.join(lib).join("modules");
            if modules.is_dir() {
                fs::remove_dir_all(modules)?;
            }
        }
        Ok(())
    })
}

/// The program in the package, or the system's own if the package was not fetched because it is installed.
fn packaged_kernel(root: &Path) -> Result<PathBuf> {
    let directories = [root.join("boot"), PathBuf::from("/boot")];
    let entries = directories.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten();
    let mut paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    paths.find(|path| path.to_string_lossy().contains("/vmlinuz-")).context("Debian's package has no kernel")
}

/// Up to Debian 12 the package has it in `bin`.
fn busybox(root: &Path) -> Result<PathBuf> {
    let mut places = ["usr/bin/busybox", "bin/busybox"].into_iter().map(|file| root.join(file));
    places.find(|file| file.is_file()).context("Debian's package has no busybox")
}
