//! The sources of the passphrase of an encrypted key.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use needs_root::needs_root;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::tcgetattr;
use nix::unistd::Pid;
use onionbalance_proto::wire::HeldService;

use crate::harness::{Directory, NOBODY, Running, as_user, log};

const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/testdata/v2");
const PASSPHRASE: &str = "onion balance v2";

/// A v2 service with this key.
fn directory(key: &str) -> Directory {
    let directory = Directory::bare();
    directory.write(key, std::fs::read(Path::new(TESTDATA).join(key)).unwrap());
    directory.write("pass", format!("another\n{PASSPHRASE}\n"));
    directory.write(
        "config.yaml",
        format!(
            "services:\n- key: {key}\n  instances:\n  - address: jyvfq5umznvka34v\n\
             signer-socket-location: socket\n"
        ),
    );
    directory
}

/// The program in a session of its own, so that it cannot use this test's terminal.
fn without_terminal(directory: &Directory) -> Command {
    let program = directory.command();
    let mut command = Command::new("setsid");
    command.arg(program.get_program()).args(program.get_args()).current_dir(directory.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// The program, started by the shell, which can open file descriptors.
fn with_descriptor(directory: &Directory, program: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(r#"cat pass | { exec 7<&0 0</dev/null; exec "$0" -c config.yaml --passphrase-fd 7; }"#);
    command.arg(program).current_dir(directory.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn holds_the_key(directory: &Directory) {
    let address = std::fs::read_to_string(Path::new(TESTDATA).join("pem-address.txt")).unwrap();
    let services = directory.connect().services();
    let [HeldService::V2(held)] = services.as_slice() else { panic!("another service") };
    assert_eq!(held.address.without_suffix(), address.trim());
}

#[test]
fn a_file_gives_it() {
    for key in ["pem-des3.key", "pem-aes128.key", "pem-pkcs8-aes256.key"] {
        let directory = directory(key);
        let mut command = directory.command();
        command.args(["--passphrase-file", "pass"]);
        let signer = Running::start(command);
        signer.expect(&["INFO holding ", ".onion: 1 backend allowed"]);
        signer.expect_serving();
        holds_the_key(&directory);
    }
}

#[test]
fn the_service_managers_credential_gives_it_unless_another_way_is_named() {
    let directory = directory("pem-des3.key");
    std::fs::create_dir(directory.path().join("credentials")).unwrap();
    directory.write("credentials/passphrase", PASSPHRASE);
    directory.write("wrong", "another\n");
    let command = || {
        let mut command = directory.command();
        command.env("CREDENTIALS_DIRECTORY", directory.path().join("credentials"));
        command
    };
    let signer = Running::start(command()).serving();
    holds_the_key(&directory);
    drop(signer);
    let mut named = command();
    named.args(["--passphrase-file", "wrong"]);
    let (status, log) = Running::start(named).end();
    assert_eq!((status.code(), log.len()), (Some(78), 1), "{log:?}");
    assert!(log[0].contains("does not open with any passphrase in wrong"), "{log:?}");
}

#[needs_root]
#[test]
fn a_file_descriptor_gives_it_even_to_a_user_without_rights() {
    let directory = directory("pem-des3.key");
    directory.give_keys_to(NOBODY);
    let program = directory.copy(env!("CARGO_BIN_EXE_onionbalance-signer").as_ref());
    let mut command = as_user(with_descriptor(&directory, &program), NOBODY);
    command.process_group(0);
    let signer = Running::start(command);
    signer.expect(&["INFO holding "]);
    signer.expect(&["INFO listening on"]);
    holds_the_key(&directory);
    let kill = Command::new("sh").arg("-c").arg(format!("kill -TERM -{}", signer.id())).status().unwrap();
    assert!(kill.success());
}

#[test]
fn without_the_right_one_it_does_not_start() {
    for (arguments, wanted) in [
        (&["--passphrase-file", "config.yaml"][..], "does not open with any passphrase in config.yaml"),
        (&["--passphrase-file", "none"], "the passphrase file none cannot be read: No such file"),
        (&["--passphrase-fd", "99"], "the passphrase file /dev/fd/99 cannot be read"),
        (&[], "is encrypted, and there is no terminal to ask for its passphrase"),
    ] {
        let output = without_terminal(&directory("pem-aes256.key")).args(arguments).output().unwrap();
        let log = log(output.stderr);
        assert_eq!(output.status.code(), Some(78), "{log}");
        assert!(log.starts_with("ERROR ") && log.contains(wanted), "{log}\nwanted {wanted}");
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(!log.contains(PASSPHRASE));
    }
}

/// The program at this terminal, started by `starter`.
fn with_terminal(directory: &Directory, starter: &[&str], terminal: OwnedFd) -> Command {
    let program = directory.command();
    let mut command = Command::new("setsid");
    command
        .arg("--ctty")
        .args(starter)
        .arg(program.get_program())
        .args(program.get_args())
        .current_dir(directory.path());
    command.stdin(Stdio::from(terminal)).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// The text on the terminal up to the end of a question.
fn wait_for_question(person: &mut File) -> Vec<u8> {
    let mut seen = Vec::new();
    while !seen.ends_with(b": ") {
        let mut byte = [0];
        person.read_exact(&mut byte).unwrap();
        seen.extend(byte);
    }
    seen
}

/// Starts the program at a terminal and types these lines. Returns the text on the terminal, and the program.
fn at_a_terminal(directory: &Directory, typed: &[&str]) -> (String, Running) {
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut person = File::from(pty.master);
    let running = Running::start(with_terminal(directory, &[], pty.slave));
    let mut seen = Vec::new();
    for line in typed {
        seen.extend(wait_for_question(&mut person));
        seen.push(b'\n');
        person.write_all(line.as_bytes()).unwrap();
    }
    (String::from_utf8(seen).unwrap(), running)
}

#[test]
fn it_is_asked_for_at_the_terminal_three_times() {
    let directory = directory("pem-des.key");
    let (seen, signer) = at_a_terminal(&directory, &["wrong\n", "also wrong\n", "onion balance v2\n"]);
    signer.expect(&["INFO holding "]);
    signer.expect_serving();
    holds_the_key(&directory);
    assert_eq!(seen.matches("Passphrase of the key pem-des.key: ").count(), 3, "{seen}");
    assert!(!seen.contains("wrong") && !seen.contains("onion balance"), "{seen}");

    let (_, mut signer) = at_a_terminal(&directory, &["wrong\n", "again\n", "and again\n"]);
    let (status, log) = signer.end();
    assert_eq!(status.code(), Some(78));
    assert!(log[0].contains("does not open with any of the 3 passphrases that were typed"), "{log:?}");
    let (_, mut signer) = at_a_terminal(&directory, &["\x04"]);
    let (status, log) = signer.end();
    assert_eq!(status.code(), Some(78));
    assert!(log[0].contains("no passphrase was typed"), "{log:?}");
    // SIGINT from the terminal.
    let (_, mut signer) = at_a_terminal(&directory, &["\x03"]);
    let (status, log) = signer.end();
    assert_eq!((status.code(), log.len()), (Some(0), 0), "{log:?}");
}

/// A shell beside the program keeps the terminal: the end of its session would reset the terminal.
#[test]
fn a_signal_ends_it_while_it_asks_and_leaves_the_terminal_as_it_was() {
    let directory = directory("pem-des.key");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let pty = nix::pty::openpty(None, None).unwrap();
        let mut person = File::from(pty.master);
        let before = tcgetattr(&person).unwrap();
        let script = r#""$0" "$@" & echo $! >&2; wait $!; echo ended $? >&2; read line"#;
        let shell = Running::start(with_terminal(&directory, &["sh", "-c", script], pty.slave));
        let signer = Pid::from_raw(shell.line().parse().unwrap());
        wait_for_question(&mut person);
        assert_ne!(tcgetattr(&person).unwrap(), before);
        for signal in [Signal::SIGUSR1, signal] {
            kill(signer, signal).unwrap();
        }
        shell.expect(&["ended 0"]);
        assert_eq!(tcgetattr(&person).unwrap(), before, "{signal}");
    }
}
