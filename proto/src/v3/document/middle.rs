//! The middle layer: the authorized clients' lines around the encrypted inner layer
//! (rend-spec-v3 \[HS-DESC-FIRST-LAYER\]).
//!
//! ```text
//! desc-auth-type x25519
//! desc-auth-ephemeral-key BASE64           32 bytes
//! auth-client ID IV COOKIE                 8, 16 and 16 bytes in base64 without padding; 16 such lines
//! encrypted
//! -----BEGIN MESSAGE-----                  the encrypted inner layer
//! -----END MESSAGE-----                    no line end; then NULs up to a multiple of 10 000 bytes
//! ```
//!
//! The lines are there without authorized clients, too, so that HSDirs with the address cannot tell the two
//! kinds of services apart.
//!
//! ```
//! use onionbalance_proto::v3::document::middle::{self, ClientLines};
//!
//! let text = ClientLines::made_up(&mut rand_core::OsRng).encode(b"the inner layer");
//! assert_eq!(text.len(), 10_000);
//! assert_eq!(text.matches("\nauth-client ").count(), 16);
//! // Decryption cuts the text at the first NUL.
//! assert_eq!(middle::decode(text.trim_end_matches('\0'))?, b"the inner layer");
//! # Ok::<(), onionbalance_proto::v3::document::DocumentError>(())
//! ```

use data_encoding::{BASE64, BASE64_NOPAD};
use rand_core::CryptoRngCore;

use super::{DocumentError, MESSAGE};
use crate::netdoc::{self, NetdocError, once};

/// The number of made-up clients that a service without authorized clients lists (tor:
/// `HS_DESC_AUTH_CLIENT_MULTIPLE`).
const CLIENTS: usize = 16;
/// The layer is padded to a multiple of this, in bytes, which hides the number of points (tor:
/// `HS_DESC_SUPERENC_PLAINTEXT_PAD_MULTIPLE`).
const PADDING: usize = 10_000;

/// The lines in the place of authorized clients: random bytes, different in each descriptor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientLines {
    /// A public x25519 key with a discarded secret.
    ephemeral_key: [u8; 32],
    clients: [ClientLine; CLIENTS],
}

/// Identity, initialization vector, encrypted cookie.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct ClientLine {
    id: [u8; 8],
    iv: [u8; 16],
    cookie: [u8; 16],
}

impl ClientLines {
    /// Lines that no client can use and no observer can tell from real ones. `rng` has to be a cryptographic
    /// one: real lines are encrypted.
    pub fn made_up(rng: &mut impl CryptoRngCore) -> Self {
        let secret = x25519_dalek::EphemeralSecret::random_from_rng(&mut *rng);
        let ephemeral_key = x25519_dalek::PublicKey::from(&secret).to_bytes();
        let mut clients = [ClientLine { id: [0; 8], iv: [0; 16], cookie: [0; 16] }; CLIENTS];
        for client in &mut clients {
            rng.fill_bytes(&mut client.id);
            rng.fill_bytes(&mut client.iv);
            rng.fill_bytes(&mut client.cookie);
        }
        Self { ephemeral_key, clients }
    }

    /// Renders the layer around the encrypted inner one, padded with NULs to a multiple of 10 000 bytes.
    pub fn encode(&self, encrypted: &[u8]) -> String {
        // A base64 line of 65 characters holds 48 bytes; the rest is for the clients' lines and the padding.
        let mut text = String::with_capacity((encrypted.len() / 48 + 1) * 65 + 2048 + PADDING);
        text.push_str("desc-auth-type x25519\ndesc-auth-ephemeral-key ");
        BASE64.encode_append(&self.ephemeral_key, &mut text);
        for client in &self.clients {
            text.push_str("\nauth-client ");
            BASE64_NOPAD.encode_append(&client.id, &mut text);
            text.push(' ');
            BASE64_NOPAD.encode_append(&client.iv, &mut text);
            text.push(' ');
            BASE64_NOPAD.encode_append(&client.cookie, &mut text);
        }
        text.push_str("\nencrypted\n");
        netdoc::push_object(&mut text, MESSAGE, encrypted);
        let padded = text.len().next_multiple_of(PADDING);
        text.extend(std::iter::repeat_n('\0', padded - text.len()));
        text
    }
}

/// Reads the encrypted inner layer from the middle layer's text. The clients' lines are ignored: without
/// restricted discovery they are made up, and with it the inner layer does not decrypt.
///
/// # Errors
/// [`DocumentError::Netdoc`]: `encrypted` or `desc-auth-type x25519` is missing, repeated or malformed.
pub fn decode(text: &str) -> Result<Vec<u8>, DocumentError> {
    let (mut kind, mut encrypted) = (None, None);
    for item in netdoc::items(text) {
        let item = item?;
        match item.keyword {
            "desc-auth-type" if item.arguments != "x25519" => return Err(item.malformed().into()),
            "desc-auth-type" => once(&mut kind, "desc-auth-type", ())?,
            "encrypted" => once(&mut encrypted, "encrypted", item.object(MESSAGE)?)?,
            _ => {}
        }
    }
    kind.ok_or(NetdocError::Missing("desc-auth-type"))?;
    Ok(encrypted.ok_or(NetdocError::Missing("encrypted"))?)
}
