//! The files that commands write are readable for openssl and the signer; the files that they read are not
//! changed.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Stdio;

use onionbalance_proto::v2::PermanentKey;
use onionbalance_proto::v3::OnionAddress;

use crate::harness::{Directory, frontend};

#[test]
fn a_new_key_is_read_by_openssl_and_by_the_signer() {
    let directory = Directory::new();
    for (name, arguments) in
        [("plain.key", &["--plain"][..]), ("encrypted.key", &["--passphrase-file", "new"])]
    {
        let address = directory.done(&[&["new", "-o", name], arguments].concat());
        let der = directory.openssl(&["pkey", "-in", name, "-pubout", "-outform", "DER"]);
        let identity = *der.last_chunk::<32>().unwrap();
        assert_eq!(OnionAddress::from_identity(identity).unwrap().to_string(), address);
        directory.is_read(name, &address);

        let name = &format!("v2-{name}");
        let address = directory.done(&[&["new", "--output", name, "--version", "2"], arguments].concat());
        let der = directory.openssl(&["rsa", "-in", name, "-RSAPublicKey_out", "-outform", "DER"]);
        assert_eq!(der.len(), 140, "of 1024 bits, with the exponent 65537");
        assert_eq!(PermanentKey::from_der(&der).unwrap().address().to_string(), address);
        directory.is_read(name, &address);
    }
    let text = |name: &str| fs::read_to_string(directory.path(name)).unwrap();
    for (name, label) in [("plain.key", "PRIVATE KEY"), ("encrypted.key", "ENCRYPTED PRIVATE KEY")] {
        for name in [name.to_owned(), format!("v2-{name}")] {
            assert!(text(&name).starts_with(&format!("-----BEGIN {label}-----\n")), "{name}");
            let found = fs::metadata(directory.path(&name)).unwrap();
            assert_eq!((found.mode() & 0o7777, found.nlink()), (0o600, 1), "{name}");
        }
    }
}

#[test]
fn a_directory_gets_the_key_under_its_address() {
    let directory = Directory::new();
    fs::create_dir(directory.path("keys")).unwrap();
    for arguments in [
        &["new", "--plain"][..],
        &["new", "--plain", "--version", "2"],
        &["import", "front.hs_ed25519_secret_key", "--plain"],
    ] {
        let address = directory.done(&[arguments, &["-o", "keys/"]].concat());
        directory.is_read(&format!("keys/{}.key", address.strip_suffix(".onion").unwrap()), &address);
    }
    let again = directory.refused(&["import", "front.hs_ed25519_secret_key", "--plain", "-o", "keys"]);
    assert!(again.contains(".key exists, and nothing is ever overwritten"), "{again}");
}

/// The keys of the test data, with their forms, and true if they are encrypted.
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
fn every_readable_key_is_shown_encrypted_and_read_as_the_same_service() {
    let directory = Directory::new();
    for (key, form, encrypted) in KEYS {
        let [address, version, found_form, found_encrypted] = &directory.shown(key)[..] else {
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
        let before = directory.read(key);
        let new = format!("encrypted-{key}.key");
        let passphrases = ["--passphrase-file", "old", "--new-passphrase-file", "new"];
        let printed = directory.done(&[&["encrypt", key, "-o", &new], &passphrases[..]].concat());
        assert_eq!(printed, address);
        assert_eq!(directory.read(key), before);
        let sealed = form.contains("ed25519");
        let lines = directory.shown(&new);
        assert_eq!(lines[0], format!("address: {address}"));
        assert_eq!(
            lines[2..],
            [format!("form: {}", if sealed { "sealed" } else { "PKCS#8" }), "encrypted: yes".into()]
        );
        if !sealed {
            directory.openssl(&["pkey", "-in", &new, "-pubout", "-outform", "DER"]);
        }
        directory.is_read(&new, address);
        let error = directory.refused(&["show", &new, "--passphrase-file", "wrong"]);
        assert!(error.contains("does not open with any passphrase in wrong"), "{error}");
    }
}

#[test]
fn what_is_taken_over_belongs_to_the_address_beside_it() {
    let directory = Directory::new();
    let path = |name: &str| directory.path(name);
    for name in ["v3", "v2", "other", "both", "empty", "circle"] {
        fs::create_dir(path(name)).unwrap();
    }
    let key = fs::read(path("front.hs_ed25519_secret_key")).unwrap();
    let hostname = format!("{}\n", frontend());
    for name in ["v3", "both", "other"] {
        directory.write(&format!("{name}/hs_ed25519_secret_key"), &key);
        directory.write(&format!("{name}/hostname"), &hostname);
    }
    directory.write("both/private_key", "");
    symlink("private_key", path("circle/private_key")).unwrap();
    let rsa = fs::read(path("b2.key")).unwrap();
    fs::copy(path("b2.key"), path("v2/private_key")).unwrap();
    directory.write("v2/hostname", "lijeinqkg3odt3fl.onion dCmx3qIvArbil8A0KM4KgQ # client: one\n");
    directory.write("other/hostname", "lijeinqkg3odt3fl.onion\n");

    directory.write("everybodys", &key);

    let new = ["--new-passphrase-file", "new"];
    for (source, form, address) in [
        ("v3", "sealed", frontend().to_string()),
        ("v3/hs_ed25519_secret_key", "sealed", frontend().to_string()),
        ("v2", "PKCS#8", "lijeinqkg3odt3fl.onion".into()),
        ("front.pem", "PKCS#8", frontend().to_string()),
    ] {
        let output = format!("{}.key", source.replace('/', "-"));
        assert_eq!(directory.done(&[&["import", source, "-o", &output], &new[..]].concat()), address);
        assert_eq!(directory.shown(&output)[2], format!("form: {form}"));
        directory.is_read(&output, &address);
    }
    assert_eq!(directory.done(&["import", "v3", "--plain", "-o", "tor.key"]), frontend().to_string());
    assert_eq!(fs::read(path("tor.key")).unwrap(), key);
    assert_eq!(fs::read(path("v2/private_key")).unwrap(), rsa);

    fs::set_permissions(path("everybodys"), fs::Permissions::from_mode(0o644)).unwrap();
    for (source, wanted) in [
        ("other", "names lijeinqkg3odt3fl.onion: they do not belong together"),
        ("both", "holds the keys of two services"),
        ("empty", "holds neither hs_ed25519_secret_key nor private_key"),
        ("circle", "cannot look for circle/private_key: Too many levels of symbolic links"),
        ("none", "the key file none cannot be read: No such file"),
        ("everybodys", "may be read or changed by others"),
    ] {
        let error = directory.refused(&["import", source, "--plain", "-o", "x.key"]);
        assert!(error.contains(wanted), "{source}: {error}");
    }
}

#[test]
fn nothing_is_overwritten_or_written_half() {
    let directory = Directory::new();
    directory.write("mine", "mine");
    let commands: [&[&str]; 5] = [
        &["new", "--plain"],
        &["encrypt", "front.pem", "--new-passphrase-file", "new"],
        &["import", "front.pem", "--plain"],
        &["export", "front.pem"],
        &["delegate", "--key", "front.pem", "--periods", "1", "--new-passphrase-file", "new"],
    ];
    for command in commands {
        let error = directory.refused(&[command, &["-o", "mine"]].concat());
        assert!(error.contains("mine exists, and nothing is ever overwritten"), "{error}");
        let error = directory.refused(&[command, &["-o", "none/key"]].concat());
        assert!(error.contains("cannot write none/key: No such file"), "{error}");
    }
    assert_eq!(fs::read(directory.path("mine")).unwrap(), b"mine");
}

#[test]
fn a_new_passphrase_is_one_and_not_empty() {
    let directory = Directory::new();
    for (text, wanted) in
        [("", "holds no passphrase"), ("\n\n", "holds no passphrase"), ("a\nb\n", "more than one line")]
    {
        directory.write("passphrase", text);
        let error = directory.refused(&["new", "-o", "x", "--passphrase-file", "passphrase"]);
        assert!(error.contains(wanted), "{text:?}: {error}");
    }
    let mut piped = directory.command(&["new", "-o", "piped.key", "--passphrase-fd", "0"]);
    let mut child = piped.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"fresh").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(directory.shown("piped.key")[3], "encrypted: yes");
}

#[test]
fn each_command_has_its_help_and_wrong_command_lines_are_told() {
    let directory = Directory::new();
    let version = directory.done(&["--version"]);
    assert!(version.starts_with(concat!("onionbalance-key ", env!("CARGO_PKG_VERSION"))), "{version}");
    for arguments in [&[][..], &["--help"], &["-h"]] {
        assert!(directory.done(arguments).starts_with("Makes and keeps the keys"));
    }
    for command in ["new", "show", "encrypt", "import", "export", "delegate"] {
        let output = directory.run(&[command, "--help"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("Usage: onionbalance-key {command} ")), "{text}");
    }
    for (arguments, wanted) in [
        (&["make"][..], "there is no command `make`"),
        (&["--plain"], "invalid option '--plain'"),
        (&["new"], "-o FILE is missing"),
        (&["new", "front.pem", "-o", "x"], "unexpected argument"),
        (&["new", "-o", "x", "--periods", "1"], "invalid option '--periods'"),
        (&["new", "-o", "x", "--version", "1"], "onion services have version 2 or 3"),
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
        let output = directory.run(arguments);
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {log}");
        assert!(log.contains(wanted) && log.lines().count() == 1, "{arguments:?}: {log}");
    }
}
