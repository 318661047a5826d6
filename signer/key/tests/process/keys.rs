//! `onionbalance-signer key`: what it writes, everybody reads; what it is given, it keeps as it is.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use onionbalance_proto::v2::PermanentKey;
use onionbalance_proto::v3::OnionAddress;

use crate::harness::{Directory, Running, frontend};

const V2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/testdata/v2");
/// Of the encrypted keys in the tests' data.
const PASSPHRASES: &str = "onion balance v2\nonion balance v3\npassword\n";

/// A directory with keys of all kinds, `old` with the passphrases that open them, and `new`, the passphrase of new files.
fn directory() -> Directory {
    let directory = Directory::bare();
    directory.write("old", format!("fresh\n{PASSPHRASES}"));
    directory.write("new", "fresh\n");
    directory.write("wrong", "frsh\n");
    for key in ["b2.key", "onionbalance-des3.key", "pem-aes256.key", "pem-pkcs8-aes256.key"] {
        directory.write(key, fs::read(Path::new(V2).join(key)).unwrap());
    }
    directory
}

fn command(directory: &Directory, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onionbalance-signer"));
    command.arg("key").args(arguments).current_dir(directory.path()).stdin(Stdio::null());
    command
}

fn run(directory: &Directory, arguments: &[&str]) -> Output {
    command(directory, arguments).output().unwrap()
}

/// The first line of what it prints, having done what it was asked to do.
pub(crate) fn done(directory: &Directory, arguments: &[&str]) -> String {
    let output = run(directory, arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && log.is_empty(), "{arguments:?}: {log}");
    text.lines().next().unwrap_or_default().to_owned()
}

/// Its one line of complaint, having written nothing.
fn refused(directory: &Directory, arguments: &[&str]) -> String {
    let listing = || {
        let mut names: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = listing();
    let output = run(directory, arguments);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {log}");
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(output.stdout.is_empty());
    assert_eq!(listing(), before);
    log
}

fn shown(directory: &Directory, key: &str) -> Vec<String> {
    let output = run(directory, &["show", key, "--passphrase-file", "old"]);
    assert!(output.status.success(), "{key}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The public half that openssl finds in a key, in DER.
fn openssl(directory: &Directory, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(arguments).args(["-passin", "file:new", "-outform", "DER"]).current_dir(directory.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// That the signer serves this key, for this address.
fn is_served(directory: &Directory, key: &str, address: &str) {
    let backend = if address.len() == 22 {
        "7s4hxwwifcslrus2.onion".to_owned()
    } else {
        onionbalance_proto::fixture::Backend::new(1).address().to_string()
    };
    let config = format!(
        "services:\n- key: {key}\n  instances:\n  - address: {backend}\nsigner-socket-location: socket\n\
         signer-allow-locked-memory: true\n"
    );
    directory.write("config.yaml", config);
    let mut command = directory.command();
    command.args(["--passphrase-file", "old"]);
    let mut signer = Running::start(command);
    let mut line = signer.line();
    if line.contains("locked memory") {
        line = signer.line();
    }
    assert!(line.starts_with(&format!("INFO holding {address} for 1 backends")), "{key}: {line}");
    signer.kill();
}

#[test]
fn a_new_key_is_read_by_openssl_and_by_the_signer() {
    let directory = directory();
    for (name, arguments) in
        [("plain.key", &["--plain"][..]), ("encrypted.key", &["--passphrase-file", "new"])]
    {
        let address = done(&directory, &[&["new", "-o", name], arguments].concat());
        let der = openssl(&directory, &["pkey", "-in", name, "-pubout"]);
        let identity = *der.last_chunk::<32>().unwrap();
        assert_eq!(OnionAddress::from_identity(identity).unwrap().to_string(), address);
        is_served(&directory, name, &address);

        let name = &format!("v2-{name}");
        let address = done(&directory, &[&["new", "--output", name, "--version", "2"], arguments].concat());
        let der = openssl(&directory, &["rsa", "-in", name, "-RSAPublicKey_out"]);
        assert_eq!(der.len(), 140, "of 1024 bits, with the exponent 65537");
        assert_eq!(PermanentKey::from_der(&der).unwrap().address().to_string(), address);
        is_served(&directory, name, &address);
    }
    let text = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    for (name, label) in [("plain.key", "PRIVATE KEY"), ("encrypted.key", "ENCRYPTED PRIVATE KEY")] {
        for name in [name.to_owned(), format!("v2-{name}")] {
            assert!(text(&name).starts_with(&format!("-----BEGIN {label}-----\n")), "{name}");
            let found = fs::metadata(directory.path().join(&name)).unwrap();
            assert_eq!((found.mode() & 0o7777, found.nlink()), (0o600, 1), "{name}");
        }
    }
}

/// Each key of the tests' data, and what it is.
const KEYS: [(&str, &str, bool); 7] = [
    ("front.pem", "PKCS#8", false),
    ("front-aes256.pem", "PKCS#8", true),
    ("front.hs_ed25519_secret_key", "tor's hs_ed25519_secret_key", false),
    ("b2.key", "PKCS#1, as in tor's private_key", false),
    ("pem-aes256.key", "PKCS#1, as in tor's private_key", true),
    ("onionbalance-des3.key", "PKCS#1, as in tor's private_key", true),
    ("pem-pkcs8-aes256.key", "PKCS#8", true),
];

#[test]
fn every_readable_key_is_shown_encrypted_and_served_as_the_same_service() {
    let directory = directory();
    for (key, form, encrypted) in KEYS {
        let [address, version, found_form, found_encrypted] = &shown(&directory, key)[..] else {
            panic!("{key}")
        };
        let address = address.strip_prefix("address: ").unwrap();
        let is_v3 = address.len() == 62;
        assert_eq!(*version, format!("version: {}", if is_v3 { 3 } else { 2 }), "{key}");
        assert_eq!(*found_form, format!("form: {form}"), "{key}");
        assert_eq!(*found_encrypted, format!("encrypted: {}", if encrypted { "yes" } else { "no" }));
        if is_v3 {
            assert_eq!(address, frontend().to_string());
        }
        let before = fs::read(directory.path().join(key)).unwrap();
        let new = format!("encrypted-{key}.key");
        let passphrases = ["--passphrase-file", "old", "--new-passphrase-file", "new"];
        let printed = done(&directory, &[&["encrypt", key, "-o", &new], &passphrases[..]].concat());
        assert_eq!(printed, address);
        assert_eq!(fs::read(directory.path().join(key)).unwrap(), before);
        let sealed = form.contains("ed25519");
        let lines = shown(&directory, &new);
        assert_eq!(lines[0], format!("address: {address}"));
        assert_eq!(
            lines[2..],
            [format!("form: {}", if sealed { "sealed" } else { "PKCS#8" }), "encrypted: yes".into()]
        );
        if !sealed {
            openssl(&directory, &["pkey", "-in", &new, "-pubout"]);
        }
        is_served(&directory, &new, address);
        let error = refused(&directory, &["show", &new, "--passphrase-file", "wrong"]);
        assert!(error.contains("does not open with any passphrase in wrong"), "{error}");
    }
}

#[test]
fn what_is_taken_over_belongs_to_the_address_beside_it() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    for name in ["v3", "v2", "other", "both", "empty"] {
        fs::create_dir(path(name)).unwrap();
    }
    let key = fs::read(path("front.hs_ed25519_secret_key")).unwrap();
    let hostname = format!("{}\n", frontend());
    for name in ["v3", "both", "other"] {
        directory.write(&format!("{name}/hs_ed25519_secret_key"), &key);
        directory.write(&format!("{name}/hostname"), &hostname);
    }
    directory.write("both/private_key", "");
    let rsa = fs::read(path("b2.key")).unwrap();
    fs::copy(path("b2.key"), path("v2/private_key")).unwrap();
    directory.write("v2/hostname", "lijeinqkg3odt3fl.onion dCmx3qIvArbil8A0KM4KgQ # client: one\n");
    directory.write("other/hostname", "lijeinqkg3odt3fl.onion\n");

    let new = ["--new-passphrase-file", "new"];
    for (source, form, address) in [
        ("v3", "sealed", frontend().to_string()),
        ("v3/hs_ed25519_secret_key", "sealed", frontend().to_string()),
        ("v2", "PKCS#8", "lijeinqkg3odt3fl.onion".into()),
        ("front.pem", "PKCS#8", frontend().to_string()),
    ] {
        let output = format!("{}.key", source.replace('/', "-"));
        assert_eq!(done(&directory, &[&["import", source, "-o", &output], &new[..]].concat()), address);
        assert_eq!(shown(&directory, &output)[2], format!("form: {form}"));
        is_served(&directory, &output, &address);
    }
    assert_eq!(done(&directory, &["import", "v3", "--plain", "-o", "tor.key"]), frontend().to_string());
    assert_eq!(fs::read(path("tor.key")).unwrap(), key);
    assert_eq!(fs::read(path("v2/private_key")).unwrap(), rsa);

    for (source, wanted) in [
        ("other", "names lijeinqkg3odt3fl.onion: they do not belong together"),
        ("both", "holds the keys of two services"),
        ("empty", "holds neither hs_ed25519_secret_key nor private_key"),
        ("none", "the key file none cannot be read: No such file"),
        ("config.yaml", "may be read or changed by others"),
    ] {
        let error = refused(&directory, &["import", source, "--plain", "-o", "x.key"]);
        assert!(error.contains(wanted), "{source}: {error}");
    }
}

#[test]
fn nothing_is_overwritten_or_written_half() {
    let directory = directory();
    directory.write("mine", "mine");
    let commands: [&[&str]; 4] = [
        &["new", "--plain"],
        &["encrypt", "front.pem", "--new-passphrase-file", "new"],
        &["import", "front.pem", "--plain"],
        &["delegate", "--key", "front.pem", "--periods", "1", "--new-passphrase-file", "new"],
    ];
    for command in commands {
        let error = refused(&directory, &[command, &["-o", "mine"]].concat());
        assert!(error.contains("mine exists, and nothing is ever overwritten"), "{error}");
        let error = refused(&directory, &[command, &["-o", "none/key"]].concat());
        assert!(error.contains("cannot write none/key: No such file"), "{error}");
    }
    assert_eq!(fs::read(directory.path().join("mine")).unwrap(), b"mine");
}

#[test]
fn a_new_passphrase_is_one_and_not_empty() {
    let directory = directory();
    for (text, wanted) in
        [("", "holds no passphrase"), ("\n\n", "holds no passphrase"), ("a\nb\n", "more than one line")]
    {
        directory.write("passphrase", text);
        let error = refused(&directory, &["new", "-o", "x", "--passphrase-file", "passphrase"]);
        assert!(error.contains(wanted), "{text:?}: {error}");
    }
    let mut piped = command(&directory, &["new", "-o", "piped.key", "--passphrase-fd", "0"]);
    let mut child = piped.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"fresh").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(shown(&directory, "piped.key")[3], "encrypted: yes");
}

/// What a person sees who types these lines, and how it ended. While it waits, it is as well protected as a signer that serves.
fn at_a_terminal(directory: &Directory, arguments: &[&str], typed: &[&str]) -> (String, Output) {
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut person = File::from(pty.master);
    let program = command(directory, arguments);
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]).arg(program.get_program()).args(program.get_args());
    command.current_dir(directory.path()).stdin(Stdio::from(pty.slave));
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
    let directory = directory();
    let new = ["new", "-o", "typed.key"];
    let (seen, output) = at_a_terminal(&directory, &new, &["fresh\n", "frsh\n", "fresh\n", "fresh\n"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(seen.matches("New passphrase for typed.key: ").count(), 2, "{seen}");
    assert_eq!(seen.matches("The same once more: ").count(), 2, "{seen}");
    assert!(!seen.contains("fresh"));
    assert_eq!(shown(&directory, "typed.key")[3], "encrypted: yes");
    for (typed, wanted) in [
        (&["\n"][..], "an empty passphrase protects nothing"),
        (&["\x03"], "no passphrase was typed"),
        (&["a\n", "b\n", "a\n", "b\n", "a\n", "b\n"], "the passphrases differed 3 times"),
    ] {
        let (_, output) = at_a_terminal(&directory, &["new", "-o", "none.key"], typed);
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && log.contains(wanted), "{log}");
        assert!(!directory.path().join("none.key").exists());
    }
}

#[test]
fn each_command_has_its_help_and_wrong_command_lines_are_told() {
    let directory = directory();
    for arguments in [&[][..], &["--help"], &["-h"]] {
        assert!(done(&directory, arguments).starts_with("Makes and keeps the keys"));
    }
    for command in ["new", "show", "encrypt", "import", "delegate"] {
        let output = run(&directory, &[command, "--help"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("Usage: onionbalance-signer key {command} ")), "{text}");
    }
    for (arguments, wanted) in [
        (&["make"][..], "there is no command `key make`"),
        (&["--plain"], "invalid option '--plain'"),
        (&["new"], "-o FILE is missing"),
        (&["new", "front.pem", "-o", "x"], "unexpected argument"),
        (&["new", "-o", "x", "--periods", "1"], "invalid option '--periods'"),
        (&["new", "-o", "x", "--version", "1"], "onion services are of version 2 or 3"),
        (&["show"], "the key file is missing"),
        (&["show", "a", "b"], "unexpected argument"),
        (&["encrypt", "front.pem", "-o", "x", "--plain"], "invalid option '--plain'"),
        (&["delegate", "--key", "front.pem", "-o", "x"], "--periods NUMBER is missing"),
        (
            &["delegate", "--key", "front.pem", "-o", "x", "--periods", "0"],
            "--periods NUMBER is missing, or 0",
        ),
        (&["delegate", "--key", "a", "-o", "x", "--periods", "1", "--from", "May"], "not a time of the form"),
        (
            &["delegate", "--key", "a", "-o", "x", "--periods", "1", "--period-length", "4"],
            "tor allows 5 to 14400",
        ),
    ] {
        let output = run(&directory, arguments);
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {log}");
        assert!(log.contains(wanted) && log.lines().count() == 1, "{arguments:?}: {log}");
    }
}
