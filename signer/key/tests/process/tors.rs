//! Import from tor's form, and export back to it.

use std::fs;
use std::os::unix::fs::MetadataExt;

use data_encoding::BASE64;

use crate::harness::{Directory, frontend, testdata};

const KEY: &str = "front.hs_ed25519_secret_key";

/// A key as `mkp224o -y` prints it.
fn yaml(hostname: &str) -> String {
    let base64 = BASE64.encode(&testdata("v3/front.hs_ed25519_secret_key"));
    format!("---\nhostname: {hostname}\nhs_ed25519_secret_key: {base64}\ntime: 2023-10-24 08:09:29 Z\n")
}

#[test]
fn a_key_in_base64_is_taken_over() {
    let directory = Directory::new();
    let base64 = BASE64.encode(&directory.read(KEY));
    let (first, second) = base64.split_at(76);
    directory.write("base64", format!("{first}\n{second}\n"));
    directory.write("yaml", yaml(&frontend().to_string()));
    for source in ["base64", "yaml"] {
        let output = format!("{source}.key");
        let plain = ["import", source, "--plain", "-o", &output];
        assert_eq!(directory.done(&plain), frontend().to_string());
        assert_eq!(directory.read(&output), directory.read(KEY));
        let sealed = format!("{source}.sealed.key");
        directory.done(&["import", source, "-o", &sealed, "--new-passphrase-file", "new"]);
        directory.is_read(&sealed, &frontend().to_string());
        assert_eq!(directory.shown(source)[2], "form: tor's hs_ed25519_secret_key, in base64");
    }
    directory.write("another", yaml("lijeinqkg3odt3fl.onion"));
    directory.write("two", yaml("a.onion") + &yaml("b.onion"));
    directory.write("cut", first);
    for (source, wanted) in [
        ("another", "but another names lijeinqkg3odt3fl.onion: they do not belong together"),
        ("two", "the key file two holds the keys of several services"),
        ("cut", "the key file cut holds tor's key in base64 that is cut or damaged"),
    ] {
        let error = directory.refused(&["import", source, "--plain", "-o", "x"]);
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn every_key_goes_back_to_tors_form() {
    let directory = Directory::new();
    directory.done(&["encrypt", KEY, "-o", "sealed.key", "--new-passphrase-file", "new"]);
    for key in ["front.pem", "front-aes256.pem", KEY, "sealed.key"] {
        let exported = format!("{key}.exported");
        let address = directory.done(&["export", key, "-o", &exported, "--passphrase-file", "old"]);
        assert_eq!(address, frontend().to_string());
        // Tor made the original file from the same seed.
        assert_eq!(directory.read(&exported), testdata("v3/front.hs_ed25519_secret_key"), "{key}");
        let found = fs::metadata(directory.path(&exported)).unwrap();
        assert_eq!(found.mode() & 0o7777, 0o600);
    }
    for key in ["b2.key", "onionbalance-des3.key", "pem-aes256.key", "pem-pkcs8-aes256.key"] {
        let exported = format!("{key}.exported");
        let address = directory.done(&["export", key, "-o", &exported, "--passphrase-file", "old"]);
        directory.is_read(&exported, &address);
        assert!(
            directory.shown(&exported)[2..]
                .iter()
                .eq(["form: PKCS#1, as in tor's private_key", "encrypted: no"])
        );
        directory.openssl(&["rsa", "-check", "-noout", "-in", &exported]);
    }
    // Tor 0.4.5 ends the file with a NUL.
    assert_eq!([&directory.read("b2.key.exported")[..], b"\0"].concat(), testdata("v2/b2.key"));
    let error = directory.refused(&["export", "front-delegation.pem", "-o", "x", "--passphrase-file", "old"]);
    assert!(error.contains("a delegation is not the service's key, which tor needs"), "{error}");
}
