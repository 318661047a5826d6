use std::fs;

use zeroize::Zeroizing;

use super::*;
use crate::system::access_list;

const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/testdata");

fn testdata(file: &str) -> Vec<u8> {
    fs::read(Path::new(TESTDATA).join(file)).unwrap()
}

fn opened(file: &str, passphrases: &str) -> Result<Secret, String> {
    let text = Zeroizing::new(passphrases.as_bytes().to_vec());
    let passphrases = Passphrases::File { path: "pass".into(), text };
    let key = passphrases.open(&testdata(file), Path::new("key")).map_err(|error| error.to_string())?;
    secret(&key).map_err(|error| error.to_string())
}

/// The address in this file of the tests' data.
fn address(file: &str) -> String {
    String::from_utf8(testdata(file)).unwrap().trim().trim_end_matches(".onion").to_owned()
}

#[test]
fn a_key_of_each_kind_makes_the_secret_of_its_service() {
    for (file, wanted) in [
        ("v2/pem-aes256.key", "v2/pem-address.txt"),
        ("v3/front.pem", "v3/front.hostname"),
        ("v3/front-sealed.pem", "v3/front.hostname"),
        ("v3/front-delegation.pem", "v3/front.hostname"),
    ] {
        let found = match opened(file, "wrong\nonion balance v2\nonion balance v3\n") {
            Ok(Secret::V2(secret)) => secret.address().to_string(),
            Ok(Secret::V3(authority)) => authority.address().to_string(),
            Err(error) => panic!("{file} {error}"),
        };
        assert_eq!(found.trim_end_matches(".onion"), address(wanted), "{file}");
    }
}

#[test]
fn each_key_that_cannot_be_used_is_refused_by_name() {
    for (file, wanted) in [
        ("v2/pem-bad-2048.key", "holds an RSA key of 2048 bits: v2 services have 1024"),
        ("v2/pem-bad-1280.key", "holds an RSA key of 1280 bits: v2 services have 1024"),
        ("v2/pem-bad-der.key", "is DER: convert it with `openssl pkey -inform DER"),
        ("v2/pem-pkcs8-pbes1.key", "is encrypted with a scheme older than PBES2, which is not supported"),
        ("v3/front-sealed.pem", "does not open with any passphrase in pass: write each on a line of its own"),
    ] {
        let error = opened(file, "wrong\n").err().unwrap();
        assert!(error.starts_with(wanted), "{error}\nwanted {wanted}");
    }
}

#[test]
fn the_key_of_another_version_than_the_instances_is_refused() {
    let load = |file: &str, instances: &Instances| {
        // A copy, because everybody may read the tests' data, and only its owner a key.
        let copy = tempfile::NamedTempFile::new().unwrap();
        fs::write(copy.path(), testdata(file)).unwrap();
        load(copy.path(), &Trust::in_this_process(access_list::read), &Passphrases::Terminal, instances)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let (v2, v3) = (Instances::V2(Vec::new()), Instances::V3(Vec::new()));
    for (file, right, wrong, versions) in
        [("v2/b2.key", &v2, &v3, [2, 3]), ("v3/front.pem", &v3, &v2, [3, 2])]
    {
        let [key, instances] = versions;
        let refused = format!("holds the key of a v{key} service, but the instances are v{instances}");
        assert!(load(file, wrong).unwrap_err().starts_with(&refused), "{file}");
        assert_eq!(load(file, right), Ok(()));
        assert_eq!(load(file, &Instances::None), Ok(()));
    }
}
