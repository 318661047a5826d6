use std::fs;
use std::path::Path;

use curve25519_dalek::{EdwardsPoint, Scalar};
use ed25519_dalek::SigningKey;
use onionbalance_proto::v2::PermanentKey;
use onionbalance_proto::v3::OnionAddress;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/testdata");
const PASSPHRASES: &str = "onion balance v3\nonion balance v2\n";

fn testdata(file: &str) -> Vec<u8> {
    fs::read(Path::new(TESTDATA).join(file)).unwrap()
}

fn text(file: &str) -> String {
    String::from_utf8(testdata(file)).unwrap()
}

/// The address in this file of the test data, without `.onion`.
fn address(file: &str) -> String {
    text(file).trim().trim_end_matches(".onion").to_owned()
}

/// The key in a file. An encrypted one is opened with the first passphrase that fits; `None`: none of them
/// does.
fn open(file: &[u8], passphrases: &str) -> Result<Option<Key>, KeyFileError> {
    match KeyFile::parse(file)? {
        KeyFile::Plain(key) => Ok(Some(key)),
        KeyFile::Encrypted(encrypted) => {
            let mut opened = passphrases.lines().map(|line| encrypted.open(line.as_bytes()));
            opened.find_map(Result::transpose).transpose()
        }
    }
}

/// The address of the service with this key, without `.onion`; `Err`: the message.
fn opened(file: &[u8], passphrases: &str) -> Result<String, String> {
    let v3 = |identity| {
        let address = OnionAddress::from_identity(identity).unwrap().to_string();
        address.trim_end_matches(".onion").to_owned()
    };
    match open(file, passphrases).map_err(|error| error.to_string())? {
        None => Err("no passphrase opens it".to_owned()),
        Some(Key::Rsa(key)) => {
            let key = PermanentKey::new(key.to_public_key()).map_err(|error| error.to_string())?;
            Ok(key.address().without_suffix())
        }
        Some(Key::Seed(seed)) => Ok(v3(SigningKey::from_bytes(&seed).verifying_key().to_bytes())),
        Some(Key::Expanded(key)) => {
            let scalar = Scalar::from_bytes_mod_order(*key.first_chunk().unwrap());
            Ok(v3(EdwardsPoint::mul_base(&scalar).compress().to_bytes()))
        }
        Some(Key::Delegation(bytes)) => Ok(v3(*bytes.first_chunk().unwrap())),
    }
}

fn message(file: &[u8]) -> String {
    opened(file, PASSPHRASES).err().unwrap_or_default()
}

const V2_FORMS: [&str; 11] = [
    "v2/pem-plain.key",
    "v2/pem-pkcs8.key",
    "v2/pem-des.key",
    "v2/pem-des3.key",
    "v2/pem-aes128.key",
    "v2/pem-aes192.key",
    "v2/pem-aes256.key",
    "v2/pem-pkcs8-aes256.key",
    "v2/pem-pkcs8-des3.key",
    "v2/pem-pkcs8-sha1.key",
    "v2/pem-pkcs8-scrypt.key",
];
const V3_FORMS: [&str; 6] = [
    "v3/front.pem",
    "v3/front.hs_ed25519_secret_key",
    "v3/front-aes256.pem",
    "v3/front-scrypt.pem",
    "v3/front-sealed.pem",
    "v3/front-delegation.pem",
];

#[test]
fn every_form_of_one_key_makes_the_same_address() {
    for (forms, wanted) in [(&V2_FORMS[..], "v2/pem-address.txt"), (&V3_FORMS, "v3/front.hostname")] {
        for file in forms {
            assert_eq!(opened(&testdata(file), PASSPHRASES), Ok(address(wanted)), "{file}");
        }
    }
}

#[test]
fn tors_own_keys_of_version_2_are_read() {
    for (file, address) in [("v2/b2.key", "lijeinqkg3odt3fl"), ("v2/onionbalance.key", "jyvfq5umznvka34v")] {
        assert_eq!(opened(&testdata(file), ""), Ok(address.to_owned()));
    }
}

#[test]
fn onionbalances_encrypted_key_is_read() {
    let address = opened(&testdata("v2/onionbalance-des3.key"), "password");
    assert_eq!(address, Ok("jyvfq5umznvka34v".to_owned()));
}

/// One wrong passphrase in 256 yields a good padding.
#[test]
fn no_wrong_passphrase_opens_a_key() {
    let many = |number| (0..number).map(|number| format!("wrong {number}")).collect::<Vec<_>>().join("\n");
    for (file, passphrases) in [
        ("v2/pem-des.key", 600),
        ("v2/pem-des3.key", 600),
        ("v2/pem-aes128.key", 600),
        ("v2/pem-pkcs8-aes256.key", 1),
        ("v3/front-scrypt.pem", 8),
        ("v3/front-sealed.pem", 8),
    ] {
        let error = opened(&testdata(file), &many(passphrases)).unwrap_err();
        assert_eq!(error, "no passphrase opens it", "{file}");
    }
}

/// Text around the key, as `openssl pkcs12` writes it, and changes by editors and copying, are allowed.
#[test]
fn what_surrounds_a_key_is_passed_over() {
    for file in [
        "v2/pem-plain.key",
        "v2/pem-aes256.key",
        "v2/pem-pkcs8-aes256.key",
        "v3/front.pem",
        "v3/front-aes256.pem",
    ] {
        let text = text(file);
        let wanted = opened(text.as_bytes(), PASSPHRASES);
        let public = self::text("v2/pem-public-spki.pem");
        for (kind, changed) in [
            ("text before", format!("# the key\n\nBag Attributes\n    friendlyName: key\n{text}")),
            ("text behind", format!("{text}\nthe end\n")),
            ("a second key", format!("{text}{}", self::text("v2/b2.key"))),
            ("a public key before", format!("{public}{text}")),
            ("spaces behind lines", text.replace('\n', " \t\n")),
            ("carriage returns", text.replace('\n', "\r\n")),
            ("blank line before END", text.replace("-----END", "\n-----END")),
            ("no line end", text.trim_end().to_owned()),
            ("NUL", format!("{text}\0")),
        ] {
            assert_eq!(opened(changed.as_bytes(), PASSPHRASES), wanted, "{file}: {kind}");
        }
    }
    let latin_1 = [b"# cl\xe9\n", &testdata("v3/front.pem")[..]].concat();
    assert_eq!(opened(&latin_1, ""), Ok(address("v3/front.hostname")));
}

#[test]
fn each_wrong_file_is_refused_by_name() {
    let with = |file: &str, from: &str, to: &str| {
        let before = text(file);
        assert!(before.contains(from), "{file}");
        message(before.replacen(from, to, 1).as_bytes())
    };
    let tors = testdata("v3/front.hs_ed25519_secret_key");
    let public = b"== ed25519v1-public: type0 ==\0\0\0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    let base64 = data_encoding::BASE64.encode(&tors);
    let yaml =
        format!("---\nhostname: x.onion\nhs_ed25519_secret_key: {base64}\ntime: 2023-10-24 08:09:29 Z\n");
    let ed25519_der = Pem::find(&testdata("v3/front.pem")).unwrap().decode().unwrap();
    for (message, wanted) in [
        (
            message(&testdata("v2/pem-bad-ec.key")),
            "holds a private key that is neither ed25519, as those of v3",
        ),
        (message(&testdata("v2/pem-bad-der.key")), "is DER: convert it with `openssl pkey -inform DER"),
        (message(&ed25519_der), "is DER: convert it with `openssl pkey -inform DER"),
        (message(&testdata("v2/pem-bad-cut.key")), "holds a key that is cut or damaged"),
        (message(&testdata("v2/pem-public.pem")), "holds a PEM `RSA PUBLIC KEY`, a public key"),
        (message(&testdata("v2/pem-public-spki.pem")), "holds a PEM `PUBLIC KEY`, a public key"),
        (message(b""), "is not a key file"),
        (message(&[0xFF; 96]), "is not a key file"),
        (message(public), "is tor's public key"),
        (message(&tors[..95]), "has tor's header but 95 bytes"),
        (message(base64.as_bytes()), "is tor's key in base64: convert it with `onionbalance-key import"),
        (message(yaml.as_bytes()), "is tor's key in base64: convert it with `onionbalance-key import"),
        (with("v2/pem-plain.key", "MII", "MIJ"), "holds a key that is cut or damaged"),
        (with("v2/pem-pkcs8.key", "MII", "MIJ"), "holds a key that is cut or damaged"),
        (with("v2/pem-pkcs8-aes256.key", "MII", "MIJ"), "holds a key that is cut or damaged"),
        (with("v3/front.pem", "MC4C", "MC5C"), "holds a key that is cut or damaged"),
        (with("v3/front.pem", "\n-----END", ""), "holds a key that is cut or damaged"),
        (with("v3/front.pem", "END PRIVATE", "END PUBLIC"), "holds a key that is cut or damaged"),
        (with("v3/front-sealed.pem", "SEALED KEY", "OPENED KEY"), "holds a PEM `ONIONBALANCE OPENED KEY`"),
        (with("v2/pem-des3.key", "DES-EDE3-CBC", "CAMELLIA-128-CBC"), "is encrypted with CAMELLIA-128-CBC"),
        (with("v2/pem-des3.key", "DEK-Info", "Dek"), "is encrypted, and its DEK-Info header"),
        (with("v2/pem-aes128.key", "AES-128", "DES"), "is encrypted, and its DEK-Info header"),
        (with("v2/pem-plain.key", "BEGIN RSA", "BEGIN EC"), "holds a PEM `EC PRIVATE KEY`"),
        (
            message(&testdata("v2/pem-pkcs8-pbes1.key")),
            "is encrypted with a scheme older than PBES2, which is not supported",
        ),
    ] {
        assert!(message.starts_with(wanted), "{message}\nwanted {wanted}");
    }
}

proptest! {
    #[test]
    fn a_damaged_file_is_refused_or_holds_the_same_key(
        file in prop::sample::select(vec!["v2/pem-plain.key", "v2/pem-pkcs8.key", "v2/pem-des3.key", "v2/pem-aes128.key"]),
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
        if let Ok(found) = opened(&bytes, PASSPHRASES) {
            prop_assert_eq!(found, address("v2/pem-address.txt"));
        }
    }

    #[test]
    fn arbitrary_bytes_are_survived(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        body in "[A-Za-z0-9+/=\n]{0,200}",
        label in prop::sample::select(vec!["RSA PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "ONIONBALANCE SEALED KEY"]),
        header in prop::sample::select(vec!["", "Proc-Type: 4,ENCRYPTED\n", "Proc-Type: 4,ENCRYPTED\nDEK-Info: DES-CBC,00\n\n"]),
    ) {
        prop_assert!(!matches!(open(&bytes, PASSPHRASES), Ok(Some(_))));
        let pem = format!("-----BEGIN {label}-----\n{header}{body}\n-----END {label}-----\n");
        prop_assert!(!matches!(open(pem.as_bytes(), PASSPHRASES), Ok(Some(_))));
    }
}
