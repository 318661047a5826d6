//! Microdescriptors: the ed25519 identities of relays, which the consensus names by digests.
//!
//! Reads tor's answer to `GETINFO md/all` (LF line ends). The texts need no trust of their own: each is bound
//! to the consensus by the digest that is computed here.

use std::fmt;

use data_encoding::BASE64_NOPAD;
use sha2::{Digest, Sha256};

use super::{Lines, base64};

/// The SHA-256 of a microdescriptor's text, 32 bytes, by which the consensus names it.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct MicrodescriptorDigest(pub [u8; 32]);

/// A relay's ed25519 identity key, 32 bytes, from its microdescriptor.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct RelayIdentity(pub [u8; 32]);

/// The parts of a microdescriptor that the hash ring needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Microdescriptor {
    /// The digest by which a consensus names it.
    pub digest: MicrodescriptorDigest,
    /// The `id ed25519` line; `None` without one. Tor keeps such a relay off every ring.
    pub identity: Option<RelayIdentity>,
}

/// Reads concatenated microdescriptors, with or without annotations between them.
///
/// Each one reaches from its `onion-key` line to before the next one or an annotation (tor:
/// `find_start_of_next_microdesc`). The control protocol takes the last line's newline off the reply; the
/// last microdescriptor's digest is that of its text with the newline.
pub fn microdescriptors(text: &[u8]) -> impl Iterator<Item = Microdescriptor> {
    let mut lines = Lines::new(text).peekable();
    std::iter::from_fn(move || {
        let first = lines.find(|line| line.text.starts_with(b"onion-key"))?;
        let mut length = first.text.len() + 1;
        let mut identity = None;
        while let Some(line) = lines.next_if(|line| !begins_another(line.text)) {
            length += line.text.len() + 1;
            if let Some(key) = line.text.strip_prefix(b"id ed25519 ") {
                identity = base64(key).map(RelayIdentity);
            }
        }
        Some(Microdescriptor { digest: digest(first.onward, length), identity })
    })
}

fn begins_another(line: &[u8]) -> bool {
    line.starts_with(b"onion-key") || line.starts_with(b"@")
}

/// `length` counts a newline after every line, also after a last line that lost it.
fn digest(onward: &[u8], length: usize) -> MicrodescriptorDigest {
    let hash = match onward.get(..length) {
        Some(whole) => Sha256::digest(whole),
        None => Sha256::new().chain_update(onward).chain_update(b"\n").finalize(),
    };
    MicrodescriptorDigest(hash.into())
}

impl fmt::Debug for MicrodescriptorDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for RelayIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_NOPAD.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tor::documents::consensus::Consensus;

    const CONSENSUS: &[u8] = include_bytes!("../../../tests/data/consensus-microdesc.txt");
    const ALL: &[u8] = include_bytes!("../../../tests/data/md-all.txt");

    fn read(text: &[u8]) -> Vec<Microdescriptor> {
        microdescriptors(text).collect()
    }

    #[test]
    fn finds_every_relay_of_a_real_consensus() {
        assert!(!ALL.ends_with(b"\n"), "as tor leaves it");
        let known = read(ALL);
        let named = Consensus::parse(CONSENSUS).unwrap().hsdirs;
        assert_eq!((known.len(), named.len()), (9, 9));
        for relay in named {
            let found = known.iter().find(|known| known.digest == relay.microdescriptor);
            assert!(found.is_some_and(|known| known.identity.is_some()), "{:?}", relay.fingerprint);
        }
    }

    #[test]
    fn the_last_newline_counts_once() {
        assert_eq!(read(ALL), read(&[ALL, b"\n"].concat()));
        // One more newline makes another document, with another digest.
        let [.., last] = read(&[ALL, b"\n\n"].concat())[..] else { panic!() };
        assert_ne!(Some(&last), read(ALL).last());
    }

    #[test]
    fn annotations_belong_to_no_microdescriptor() {
        let annotated: Vec<u8> =
            [b"@last-listed 2026-11-22 08:00:00\n", ALL, b"\n@last-listed 2026-11-22\n"].concat();
        assert_eq!(read(&annotated), read(ALL));
        let between = String::from_utf8(ALL.to_vec())
            .unwrap()
            .replace("onion-key\n-----BEGIN", "@last-listed 2026-11-22 08:00:00\nonion-key\n-----BEGIN");
        assert_eq!(read(between.as_bytes()), read(ALL));
    }

    #[test]
    fn neither_rsa_key_nor_ascii_nor_identity_is_needed() {
        let bare = b"onion-key\nntor-onion-key x\nfamily \xFF\xFE\n";
        let keyed = [b"onion-key\nid rsa1024 x\nid ed25519 ".as_slice(), &[b'A'; 43], b"\n"].concat();
        let found = read(&[bare.as_slice(), &keyed].concat());
        let expected = [
            Microdescriptor { digest: MicrodescriptorDigest(Sha256::digest(bare).into()), identity: None },
            Microdescriptor {
                digest: MicrodescriptorDigest(Sha256::digest(&keyed).into()),
                identity: Some(RelayIdentity([0; 32])),
            },
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn text_without_microdescriptors_has_none() {
        for text in [b"".as_slice(), b"\n", b"250 OK\n", b"ntor-onion-key x\n"] {
            assert_eq!(read(text), [], "{text:?}");
        }
    }
}
