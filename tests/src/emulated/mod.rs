//! An emulated machine with another kernel than this one's, and with files of this system.
//!
//! [`Emulated`] collects programs and their files, each under the path that it has here, and
//! [`Emulated::run`] boots them from memory with busybox, runs a script as root, and returns its output. The
//! machine has a loopback interface and no disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::network::Directory;
use crate::process::{last_lines, run};
use crate::programs::Running;
use crate::provision::Emulator;

/// The files of a machine before its boot; dropping it removes them.
#[derive(Debug)]
pub struct Emulated {
    emulator: Emulator,
    directory: Directory,
}

impl Emulated {
    /// A machine with only busybox and the users `root`, `daemon` and `nobody`.
    pub fn new() -> Result<Self> {
        let machine = Self { emulator: Emulator::get()?, directory: Directory::create()? };
        machine.copy(machine.emulator.busybox(), Path::new("/bin/busybox"))?;
        machine.write("/init", INIT)?;
        machine.write("/etc/passwd", PASSWD)?;
        machine.write("/etc/group", GROUP)?;
        Ok(machine)
    }

    /// Adds a program with the libraries that it is linked with.
    pub fn add_program(&self, program: &Path) -> Result<()> {
        self.copy(program, program)?;
        let libraries = run(Command::new("ldd").arg(program), &self.log("ldd"))?;
        for library in absolute_paths(&libraries) {
            self.copy(library, library)?;
        }
        Ok(())
    }

    /// Adds a directory and all regular files below it.
    pub fn add_directory(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(self.inside(directory))?;
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() { self.add_directory(&path)? } else { self.copy(&path, &path)? }
        }
        Ok(())
    }

    /// Boots the machine, runs a script of `sh`, and returns the machine's whole output, with the kernel's
    /// lines. Fails if the script fails, or if the machine is not off in time.
    pub fn run(&self, script: &str, timeout: Duration) -> Result<String> {
        self.write("/script", script)?;
        self.pack()?;
        let mut qemu = self.emulator.qemu();
        qemu.arg("-initrd").arg(self.archive()).args(["-append", KERNEL_OPTIONS]);
        qemu.args(["-m", MEMORY, "-smp", "2", "-serial", "stdio", "-no-reboot"]);
        let machine = Running::start(&mut qemu, &self.log("console"))?;
        machine.wait_exit(timeout)?;
        let console = machine.output()?.replace('\r', "");
        let ended = console.lines().any(|line| line == "the script ended with 0");
        let kernel = self.emulator.kernel().display();
        ensure!(ended, "the script failed under {kernel}:\n{}", last_lines(&console, 60));
        Ok(console)
    }

    fn copy(&self, file: &Path, place: &Path) -> Result<()> {
        let copy = self.inside(place);
        fs::create_dir_all(copy.parent().context("the file is in no directory")?)?;
        fs::copy(file, &copy).with_context(|| format!("cannot copy {}", file.display()))?;
        Ok(())
    }

    /// A file that everybody may read and execute.
    fn write(&self, place: &str, text: &str) -> Result<()> {
        let path = self.inside(Path::new(place));
        fs::create_dir_all(path.parent().context("the file is in no directory")?)?;
        fs::write(&path, text)?;
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
    }

    /// Packs the files into the archive that the kernel unpacks at its start
    /// (`Documentation/driver-api/early-userspace/buffer-format.rst`). All of them belong to root there.
    fn pack(&self) -> Result<()> {
        let mut command = Command::new("sh");
        command.args(["-ec", "find . | \"$1\" cpio -o -H newc -R 0:0 >\"$2\"", "sh"]);
        command.arg(self.emulator.busybox()).arg(self.archive()).current_dir(self.inside(Path::new("/")));
        run(&mut command, &self.log("cpio")).map(|_| ())
    }

    /// The file on this system that will be this path of the machine.
    fn inside(&self, path: &Path) -> PathBuf {
        self.directory.path().join("root").join(path.strip_prefix("/").unwrap_or(path))
    }

    fn archive(&self) -> PathBuf {
        self.directory.path().join("initramfs")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.log"))
    }
}

const INIT: &str = include_str!("init.sh");
const PASSWD: &str =
    "root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n";
const GROUP: &str = "root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n";
/// Before Linux 6.5 secret memory needs a boot parameter. A kernel that panics reboots, which ends QEMU. The
/// check of the timer's interrupt is off, because it fails if a busy machine emulates it too late.
const KERNEL_OPTIONS: &str = "console=ttyS0 loglevel=1 panic=-1 secretmem.enable=1 no_timer_check";
/// The machine's memory, of which the files take a tenth, twice while they are unpacked.
const MEMORY: &str = "1G";

/// The libraries in the output of `ldd`: `libm.so.6 => /lib/libm.so.6 (0x…)` and `/lib64/ld-linux-x86-64.so.2
/// (0x…)`.
fn absolute_paths(ldd: &str) -> impl Iterator<Item = &Path> {
    ldd.split_whitespace().filter(|word| word.starts_with('/')).map(Path::new)
}
