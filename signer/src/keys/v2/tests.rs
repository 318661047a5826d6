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
        (message(&testdata("pem-bad-cut.key")), "holds an RSA key that is cut or damaged"),
        (message(&testdata("pem-public.pem")), "holds a PEM `RSA PUBLIC KEY`, a public key"),
        (message(b""), "is no key file"),
        (message(&[0xFF; 96]), "is no key file"),
        (message(&v3("front.pem")), "holds a private key that is not RSA"),
        (message(&v3("front.hs_ed25519_secret_key")), "is tor's key of a v3 service"),
        (with("pem-plain.key", "MII", "MIJ"), "holds an RSA key that is cut or damaged"),
        (with("pem-pkcs8.key", "MII", "MIJ"), "holds an RSA key that is cut or damaged"),
        (with("pem-pkcs8-aes256.key", "MII", "MIJ"), "holds an RSA key that is cut or damaged"),
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
    let load = |path: &str| load(Path::new(path), &Passphrases::Terminal).err();
    assert!(matches!(load("/nonexistent"), Some(KeyFileError::Read(ReadError::Io(_)))));
    assert!(matches!(load("/dev/zero"), Some(KeyFileError::Read(ReadError::TooLong))));
}
