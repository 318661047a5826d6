//! Router status entries: tor's answer to `GETINFO ns/all`, in all its versions (dir-spec, "router status").
//!
//! Tor had them on its control port long before it had whole consensuses there (0.4.3), and version 2 of
//! onion services needs no more: the relays with the flag `HSDir`, whatever protocols they list.

use onionbalance_proto::relay::Fingerprint;

use super::{Lines, base64, words};

/// The reason for which a text is not a list of router status entries.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RouterStatusError {
    /// There is no relay: tor has no consensus.
    #[error("tor lists no relays: it has no consensus")]
    Empty,
    /// A relay's identity is not valid; the number of the line, from 1.
    #[error("line {0} of ns/all: the relay's identity is not 20 bytes in base64")]
    Identity(usize),
}

/// The relays with the flag `HSDir`, in the text's order.
///
/// # Errors
/// The list is empty, or a relay has no valid identity.
pub fn hsdirs(text: &[u8]) -> Result<Vec<Fingerprint>, RouterStatusError> {
    let mut hsdirs = Vec::new();
    let mut relay = None;
    for line in Lines::new(text) {
        match line.text {
            [b'r', b' ', ..] => {
                let identity = words(line.text).nth(2).and_then(base64);
                relay = Some(Fingerprint(identity.ok_or(RouterStatusError::Identity(line.number))?));
            }
            [b's', b' ', flags @ ..] if words(flags).any(|flag| flag == b"HSDir") => hsdirs.extend(relay),
            _ => {}
        }
    }
    if relay.is_none() { Err(RouterStatusError::Empty) } else { Ok(hsdirs) }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A testing network of tor 0.4.5.9 with 15 relays.
    const REAL: &str = include_str!("../../../tests/data/ns-all.txt");

    #[test]
    fn finds_every_hsdir_of_a_real_network() {
        let found = hsdirs(REAL.as_bytes()).unwrap();
        assert_eq!(found.len(), 15);
        assert_eq!(found.first().unwrap().to_string(), "0880CABCB9735467FC78DC8C5AE6587BE51B2893");
        // The form in which the control protocol hands it out.
        assert_eq!(hsdirs(REAL.trim_end().as_bytes()), Ok(found));
    }

    #[test]
    fn the_flag_decides() {
        let without = REAL.replacen(" HSDir ", " HSDirectory ", 1);
        assert_eq!(hsdirs(without.as_bytes()).unwrap().len(), 14);
        assert_eq!(hsdirs(REAL.replace(" HSDir ", " ").as_bytes()), Ok(vec![]));
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(hsdirs(b""), Err(RouterStatusError::Empty));
        assert_eq!(hsdirs(b"s HSDir\n"), Err(RouterStatusError::Empty));
        assert_eq!(hsdirs(b"r name AAAA\n"), Err(RouterStatusError::Identity(1)));
        assert_eq!(hsdirs(b"\nr name"), Err(RouterStatusError::Identity(2)));
    }
}
