//! Microdescriptors: the results are those of a reader that copies every text.

#![no_main]

use data_encoding::BASE64_NOPAD;
use libfuzzer_sys::fuzz_target;
use onionbalance::tor::documents::microdesc::{
    Microdescriptor, MicrodescriptorDigest, RelayIdentity, microdescriptors,
};
use sha2::{Digest, Sha256};

fuzz_target!(|text: &[u8]| {
    let found: Vec<Microdescriptor> = microdescriptors(text).collect();
    assert_eq!(found, copied(text));
});

fn copied(text: &[u8]) -> Vec<Microdescriptor> {
    let mut texts: Vec<Vec<u8>> = Vec::new();
    let mut inside = false;
    for line in text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n') {
        if line.starts_with(b"onion-key") {
            texts.push(Vec::new());
            inside = true;
        } else if line.starts_with(b"@") {
            inside = false;
        }
        if let Some(text) = texts.last_mut().filter(|_| inside) {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
    }
    texts.iter().map(|text| read(text)).collect()
}

fn read(text: &[u8]) -> Microdescriptor {
    let keys = text.split(|byte| *byte == b'\n').skip(1).filter_map(|line| line.strip_prefix(b"id ed25519 "));
    let key = keys.last().and_then(|key| BASE64_NOPAD.decode(key).ok()?.try_into().ok());
    Microdescriptor {
        digest: MicrodescriptorDigest(Sha256::digest(text).into()),
        identity: key.map(RelayIdentity),
    }
}
