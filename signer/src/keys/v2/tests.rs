use proptest::prelude::*;
use proptest::sample::Index;
use zeroize::Zeroizing;

use super::*;

const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/testdata/v2");
const PASSPHRASE: &str = "onion balance v2";

fn testdata(file: &str) -> Vec<u8> {
    std::fs::read(Path::new(TESTDATA).join(file)).unwrap()
}

fn text(file: &str) -> String {
    String::from_utf8(testdata(file)).unwrap()
}

fn parse_with(bytes: &[u8], passphrases: &str) -> Result<PermanentSecret, KeyFileError> {
    let text = Zeroizing::new(passphrases.as_bytes().to_vec());
    parse(bytes, Path::new("key"), &Passphrases::File { path: "pass".into(), text })
}

fn message(bytes: &[u8]) -> String {
    parse_with(bytes, PASSPHRASE).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn every_form_of_one_key_makes_the_same_address() {
    let address = text("pem-address.txt");
    for file in [
        "pem-plain.key",
        "pem-pkcs8.key",
        "pem-des.key",
        "pem-des3.key",
        "pem-aes128.key",
        "pem-aes192.key",
        "pem-aes256.key",
        "pem-pkcs8-aes256.key",
        "pem-pkcs8-des3.key",
        "pem-pkcs8-sha1.key",
        "pem-pkcs8-scrypt.key",
    ] {
        let secret = parse_with(&testdata(file), PASSPHRASE);
        let secret = secret.unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(secret.address().without_suffix(), address.trim(), "{file}");
    }
}

#[test]
fn tors_own_keys_are_read() {
    for (file, address) in [("b2.key", "lijeinqkg3odt3fl"), ("onionbalance.key", "jyvfq5umznvka34v")] {
        assert_eq!(parse_with(&testdata(file), "").ok().unwrap().address().without_suffix(), address);
    }
}

#[test]
fn onionbalances_encrypted_key_is_read() {
    let secret = parse_with(&testdata("onionbalance-des3.key"), "password").ok().unwrap();
    assert_eq!(secret.address().without_suffix(), "jyvfq5umznvka34v");
}

#[test]
fn the_right_one_of_several_passphrases_is_found() {
    for file in ["pem-des.key", "pem-aes128.key", "pem-pkcs8-aes256.key"] {
        assert!(parse_with(&testdata(file), &format!("wrong\n{PASSPHRASE}\n")).is_ok(), "{file}");
    }
}

/// One wrong passphrase in 256 leaves a good padding behind.
#[test]
fn no_wrong_passphrase_opens_a_key() {
    let many: Vec<String> = (0..600).map(|number| format!("wrong {number}")).collect();
    for file in ["pem-des.key", "pem-des3.key", "pem-aes128.key"] {
        let error = parse_with(&testdata(file), &many.join("\n")).err().unwrap();
        assert!(
            error.to_string().starts_with("does not open with any passphrase in pass"),
            "{file}: {error}"
        );
    }
    let error = parse_with(&testdata("pem-pkcs8-aes256.key"), "wrong").err().unwrap();
    assert!(error.to_string().starts_with("does not open with any passphrase in pass"), "{error}");
}

#[test]
fn each_wrong_file_is_refused_by_name() {
    let with = |file: &str, from: &str, to: &str| {
        let before = text(file);
        assert!(before.contains(from), "{file}");
        message(before.replacen(from, to, 1).as_bytes())
    };
    let v3 = |file: &str| std::fs::read(Path::new(TESTDATA).join("../v3").join(file)).unwrap();
    for (message, wanted) in [
        (message(&testdata("pem-bad-2048.key")), "holds an RSA key of 2048 bits: v2 services have 1024"),
        (message(&testdata("pem-bad-1280.key")), "holds an RSA key of 1280 bits: v2 services have 1024"),
        (message(&testdata("pem-bad-ec.key")), "holds a private key that is not RSA"),
        (message(&testdata("pem-bad-der.key")), "is DER: convert it to PEM with `openssl rsa -inform DER"),
        (message(&testdata("pem-bad-cut.key")), "holds an RSA key that is cut or damaged"),
        (message(&testdata("pem-public.pem")), "holds a PEM `RSA PUBLIC KEY`, a public key"),
        (message(&testdata("pem-public-spki.pem")), "holds a PEM `PUBLIC KEY`, a public key"),
        (message(b""), "is no key file"),
        (message(&[0xFF; 96]), "is no key file"),
        (message(&v3("front.pem")), "holds a private key that is not RSA"),
        (message(&v3("front.hs_ed25519_secret_key")), "is tor's key of a v3 service"),
        (with("pem-plain.key", "MII", "MIJ"), "holds an RSA key that is cut or damaged"),
        (with("pem-pkcs8.key", "MII", "MIJ"), "holds a key that is cut or damaged"),
        (with("pem-pkcs8-aes256.key", "MII", "MIJ"), "holds a key that is cut or damaged"),
        (with("pem-des3.key", "DES-EDE3-CBC", "CAMELLIA-128-CBC"), "is encrypted with CAMELLIA-128-CBC"),
        (with("pem-des3.key", "DEK-Info", "Dek"), "is encrypted, and its DEK-Info header"),
        (with("pem-aes128.key", "AES-128", "DES"), "is encrypted, and its DEK-Info header"),
        (with("pem-plain.key", "BEGIN RSA", "BEGIN EC"), "holds a PEM `EC PRIVATE KEY`"),
        (
            message(&testdata("pem-pkcs8-pbes1.key")),
            "is encrypted with a scheme older than PBES2, which is not supported",
        ),
    ] {
        assert!(message.starts_with(wanted), "{message}\nwanted {wanted}");
    }
}

#[test]
fn a_missing_or_endless_file_is_refused() {
    let load = |path: &str| load(Path::new(path), &Trust::in_this_process(), &Passphrases::Terminal).err();
    assert!(matches!(load("/nonexistent"), Some(KeyFileError::Read(ReadError::Io(_)))));
    assert!(matches!(load("/dev/zero"), Some(KeyFileError::Read(ReadError::Kind(_)))));
}

proptest! {
    #[test]
    fn a_damaged_file_is_refused_or_holds_the_same_key(
        file in prop::sample::select(vec!["pem-plain.key", "pem-pkcs8.key", "pem-des3.key", "pem-aes128.key"]),
        altered in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
        kept in any::<Option<Index>>(),
    ) {
        let mut bytes = testdata(file);
        for (at, byte) in altered {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(kept) = kept {
            bytes.truncate(kept.index(bytes.len()));
        }
        if let Ok(secret) = parse_with(&bytes, PASSPHRASE) {
            let address = text("pem-address.txt");
            prop_assert_eq!(secret.address().without_suffix(), address.trim());
        }
    }

    #[test]
    fn arbitrary_bytes_are_survived(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        body in "[A-Za-z0-9+/=\n]{0,200}",
        label in prop::sample::select(vec!["RSA PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"]),
        header in prop::sample::select(vec!["", "Proc-Type: 4,ENCRYPTED\n", "Proc-Type: 4,ENCRYPTED\nDEK-Info: DES-CBC,00\n\n"]),
    ) {
        prop_assert!(parse_with(&bytes, PASSPHRASE).is_err());
        let pem = format!("-----BEGIN {label}-----\n{header}{body}\n-----END {label}-----\n");
        prop_assert!(parse_with(pem.as_bytes(), PASSPHRASE).is_err());
    }
}
