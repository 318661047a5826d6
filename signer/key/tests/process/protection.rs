//! The typing of passphrases, and the protection of a key in the program's memory.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use crate::harness::Directory;

/// The terminal's contents after these lines were typed, and the output of the program. While the program
/// waits, it must be protected like a signer.
fn at_a_terminal(directory: &Directory, arguments: &[&str], typed: &[&str]) -> (String, Output) {
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut person = File::from(pty.master);
    let program = directory.command(arguments);
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]).arg(program.get_program()).args(program.get_args());
    command.current_dir(program.get_current_dir().unwrap()).stdin(Stdio::from(pty.slave));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut seen = Vec::new();
    for line in typed {
        while !seen.ends_with(b": ") {
            let mut byte = [0];
            person.read_exact(&mut byte).unwrap();
            seen.extend(byte);
        }
        is_hardened(child.id());
        seen.push(b'\n');
        person.write_all(line.as_bytes()).unwrap();
    }
    (String::from_utf8(seen).unwrap(), child.wait_with_output().unwrap())
}

fn is_hardened(process: u32) {
    let proc = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}")).unwrap();
    let words = |text: String, name: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        line.trim_start_matches(name).split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(words(proc("status"), "NoNewPrivs:"), ["1"]);
    assert!(words(proc("limits"), "Max core file size").starts_with(&["0".to_owned(), "0".to_owned()]));
}

#[test]
fn a_new_passphrase_is_typed_twice() {
    let directory = Directory::new();
    let new = ["new", "-o", "typed.key"];
    let (seen, output) = at_a_terminal(&directory, &new, &["fresh\n", "frsh\n", "fresh\n", "fresh\n"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(seen.matches("New passphrase for typed.key: ").count(), 2, "{seen}");
    assert_eq!(seen.matches("The same once more: ").count(), 2, "{seen}");
    assert!(!seen.contains("fresh"));
    assert_eq!(directory.shown("typed.key")[3], "encrypted: yes");
    for (typed, wanted) in [
        (&["\n"][..], "an empty passphrase protects nothing"),
        (&["\x04"], "no passphrase was typed"),
        (&["a\n", "b\n", "a\n", "b\n", "a\n", "b\n"], "the passphrases differed 3 times"),
    ] {
        let (_, output) = at_a_terminal(&directory, &["new", "-o", "none.key"], typed);
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && log.contains(wanted), "{log}");
        assert!(!directory.path("none.key").try_exists().unwrap());
    }
}

/// The command, run as if the kernel had no `memfd_secret`.
fn without_secret_memory(mut command: Command) -> Command {
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let rules = [(nix::libc::SYS_memfd_secret, Vec::new())].into();
    let missing = SeccompAction::Errno(nix::libc::ENOSYS.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, missing, architecture).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    #[expect(unsafe_code, reason = "`pre_exec` is unsafe: between fork and exec few calls are allowed")]
    // SAFETY: one system call on memory that was prepared before.
    unsafe {
        command.pre_exec(move || apply_filter(&program).map_err(std::io::Error::other));
    }
    command
}

/// Kernels before 6.5 have secret memory only with a boot parameter, and a machine that keeps keys offline
/// may have such a kernel.
#[test]
fn keys_are_made_and_delegated_without_secret_memory() {
    let directory = Directory::new();
    for arguments in [
        &["new", "--plain", "-o", "new.key"][..],
        &["delegate", "--key", "new.key", "--periods", "300", "-o", "d.key", "--new-passphrase-file", "new"],
        &["show", "d.key", "--passphrase-file", "new"],
    ] {
        let output = without_secret_memory(directory.command(arguments)).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
