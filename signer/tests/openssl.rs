//! Key files in the variety of practice: the signer reads each one that openssl reads, as the same key.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use onionbalance_key_file::passphrase::Passphrases;
use onionbalance_proto::v2::PermanentKey;
use onionbalance_proto::v3::OnionAddress;
use onionbalance_signer::keys::{self, Secret};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use zeroize::Zeroizing;

const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/testdata");
const KEYS: [&str; 8] = [
    "v3/front.pem",
    "v3/front-aes256.pem",
    "v3/front-scrypt.pem",
    "v2/pem-plain.key",
    "v2/pem-des3.key",
    "v2/pem-aes256.key",
    "v2/pem-pkcs8.key",
    "v2/pem-pkcs8-aes256.key",
];
const CASES: u64 = 400;

fn testdata(name: &str) -> Vec<u8> {
    fs::read(Path::new(TESTDATA).join(name)).unwrap()
}

/// The address of the key in `file`.
fn address(file: &[u8], passphrase: &str) -> Result<String, String> {
    let text = Zeroizing::new(passphrase.as_bytes().to_vec());
    let passphrases = Passphrases::File { path: "pass".into(), text };
    let key = passphrases.open(file, Path::new("key")).map_err(|error| error.to_string())?;
    match keys::secret(&key) {
        Ok(Secret::V2(secret)) => Ok(secret.address().to_string()),
        Ok(Secret::V3(authority)) => Ok(authority.address().to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// openssl, with a directory for the file that it reads.
struct Openssl(TempDir);

impl Openssl {
    fn path(&self) -> PathBuf {
        self.0.path().join("key")
    }

    /// The address of the key in `file`; `None` if openssl finds no key there.
    fn address(&self, file: &[u8], passphrase: &str) -> Option<String> {
        fs::write(self.path(), file).unwrap();
        let mut command = Command::new("openssl");
        command.args(["pkey", "-pubout", "-outform", "DER", "-passin"]).arg(format!("pass:{passphrase}"));
        let output = command.arg("-in").arg(self.path()).output().unwrap();
        output.status.success().then(|| address_of(&output.stdout))
    }
}

/// The address of a public key, which is a `SubjectPublicKeyInfo` in DER.
fn address_of(public: &[u8]) -> String {
    match public.len() {
        44 => OnionAddress::from_identity(*public.last_chunk().unwrap()).unwrap().to_string(),
        // PKCS#1 behind the algorithm's name.
        162 => PermanentKey::from_der(public.get(22..).unwrap()).unwrap().address().to_string(),
        length => panic!("a public key of {length} bytes"),
    }
}

fn lines(key: &str) -> Vec<Vec<u8>> {
    testdata(key).split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// A key file with the traces of editors, mail programs and `cat`.
fn worn(key: &str, rng: &mut StdRng) -> Vec<u8> {
    let mut lines = lines(key);
    for _ in 0..rng.gen_range(0..4) {
        wear(&mut lines, rng);
    }
    lines.join(if rng.gen_bool(0.3) { &b"\r\n"[..] } else { b"\n" })
}

fn wear(file: &mut Vec<Vec<u8>>, rng: &mut StdRng) {
    let any = rng.gen_range(0..file.len());
    let bag = ["Bag Attributes", "    friendlyName: key", ""].map(|line| line.as_bytes().to_vec());
    match rng.gen_range(0..9) {
        0 => file.splice(0..0, bag).for_each(drop),
        1 => file.insert(0, b"# cl\xe9".to_vec()),
        2 => file.extend([&b"the end"[..], b"-----"].map(<[u8]>::to_vec)),
        3 => file.insert(any, Vec::new()),
        4 => file[any].extend(*[&b" "[..], b"\t ", b"\r"].choose(rng).unwrap()),
        5 => file[any].insert(0, b' '),
        6 => file.extend(lines("v2/b2.key")),
        7 => file.splice(0..0, lines("v2/pem-public-spki.pem")).for_each(drop),
        // Lines of another length.
        _ => {
            let next = file.splice(any..file.len().min(any + 2), []).flatten().collect();
            file.insert(any, next);
        }
    }
}

#[test]
fn a_key_that_openssl_reads_is_read() {
    let openssl = Openssl(tempfile::tempdir().unwrap());
    let mut read = 0;
    for seed in 0..CASES {
        let mut rng = StdRng::seed_from_u64(seed);
        let key = KEYS.choose(&mut rng).unwrap();
        let file = worn(key, &mut rng);
        let passphrase = if key.starts_with("v2/") { "onion balance v2" } else { "onion balance v3" };
        let wanted = address(&testdata(key), passphrase);
        // If the key is broken, openssl takes the next one in the file, and the signer refuses the file.
        if openssl.address(&file, passphrase) == wanted.clone().ok() {
            let found = address(&file, passphrase);
            assert_eq!(found, wanted, "seed {seed}:\n{}", String::from_utf8_lossy(&file));
            read += 1;
        }
    }
    assert!(read > CASES / 2, "openssl read {read} of {CASES}");
}
