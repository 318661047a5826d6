//! The outer document: the part that HSDirs read and check (rend-spec-v3 \[DESC-OUTER\]).
//!
//! ```text
//! hs-descriptor 3
//! descriptor-lifetime 180                  minutes, at most 720
//! descriptor-signing-key-cert
//! -----BEGIN ED25519 CERT-----             140 bytes, type 08
//! revision-counter NUMBER                  0 to 2^64 - 1
//! superencrypted
//! -----BEGIN MESSAGE-----                  the encrypted middle layer
//! signature BASE64                         64 bytes: 86 characters without padding
//! ```
//!
//! The signature is over `Tor onion service descriptor sig v3` and the text before the line `signature`, by
//! the certified key. An HSDir checks the certificate by the key that is in it: it knows no address, and can
//! not tell whether the blinded key is that of a service.

use std::fmt::Write;

use data_encoding::BASE64_NOPAD;
use ed25519_dalek::{Signature, VerifyingKey};

use super::{CERTIFICATE, DocumentError, MESSAGE};
use crate::netdoc::{self, NetdocError, from_base64, once};
use crate::v3::cert::{CertType, Certificate};

/// The prefix of the signed text.
const SIGNATURE_PREFIX: &[u8] = b"Tor onion service descriptor sig v3";
/// The time for which HSDirs keep the descriptor, in minutes (tor: `HS_DESC_DEFAULT_LIFETIME`).
const LIFETIME: u64 = 180;
/// The longest lifetime that HSDirs accept, in minutes (tor: `HS_DESC_MAX_LIFETIME`).
const MAX_LIFETIME: u64 = 720;

/// The outer document without its signature: the text up to the line `signature`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unsigned(String);

impl Unsigned {
    /// Renders the document as tor does (tor: `desc_encode_v3`), with a lifetime of 180 minutes.
    /// `superencrypted` is the result of [`Layer::encrypt`](crate::v3::layer::Layer::encrypt).
    pub fn new(signing_cert: &Certificate, revision: u64, superencrypted: &[u8]) -> Self {
        let mut text = String::with_capacity((superencrypted.len() / 48 + 1) * 65 + 1024);
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "hs-descriptor 3\ndescriptor-lifetime {LIFETIME}\ndescriptor-signing-key-cert");
        netdoc::push_object(&mut text, CERTIFICATE, &signing_cert.encode());
        let _ = writeln!(text, "\nrevision-counter {revision}\nsuperencrypted");
        netdoc::push_object(&mut text, MESSAGE, superencrypted);
        text.push('\n');
        Self(text)
    }

    /// The bytes that the descriptor-signing key has to sign: a prefix of 35 bytes, and the text.
    pub fn signed_bytes(&self) -> Vec<u8> {
        [SIGNATURE_PREFIX, self.0.as_bytes()].concat()
    }

    /// The descriptor with `signature`, which is the descriptor-signing key's over
    /// [`Unsigned::signed_bytes`]. The signature is not verified. The text ends with a line end.
    pub fn finish(mut self, signature: &Signature) -> String {
        self.0.push_str("signature ");
        BASE64_NOPAD.encode_append(&signature.to_bytes(), &mut self.0);
        self.0.push('\n');
        self.0
    }
}

/// An outer document as [`Outer::decode`] read it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outer<'a> {
    /// The type-08 certificate: the blinded key certifies the descriptor-signing key.
    pub signing_cert: Certificate,
    /// The revision counter.
    pub revision: u64,
    /// The encrypted middle layer, for [`Layer::decrypt`](crate::v3::layer::Layer::decrypt).
    pub superencrypted: Vec<u8>,
    signature: Signature,
    signed_text: &'a str,
}

impl<'a> Outer<'a> {
    /// Reads the document as an HSDir or a client does, and verifies nothing. The length is not checked.
    ///
    /// # Errors
    /// - [`DocumentError::Version`]: the version is not 3.
    /// - [`DocumentError::Lifetime`]: the lifetime is longer than 720 minutes.
    /// - [`DocumentError::AfterSignature`]: an item follows the signature.
    /// - [`DocumentError::Cert`]: the certificate is malformed, or not of type 08.
    /// - [`DocumentError::Netdoc`]: an item is missing, repeated or malformed.
    pub fn decode(text: &'a str) -> Result<Self, DocumentError> {
        let (mut version, mut lifetime, mut signing_cert, mut revision) = (None, None, None, None);
        let (mut superencrypted, mut signature) = (None, None);
        for item in netdoc::items(text) {
            let item = item?;
            if signature.is_some() {
                return Err(DocumentError::AfterSignature);
            }
            match item.keyword {
                "hs-descriptor" => once(&mut version, "hs-descriptor", item.number()?)?,
                "descriptor-lifetime" => once(&mut lifetime, "descriptor-lifetime", item.number()?)?,
                "descriptor-signing-key-cert" => {
                    let certificate =
                        Certificate::decode(&item.object(CERTIFICATE)?, CertType::DescriptorSigning)?;
                    once(&mut signing_cert, "descriptor-signing-key-cert", certificate)?;
                }
                "revision-counter" => once(&mut revision, "revision-counter", item.number()?)?,
                "superencrypted" => once(&mut superencrypted, "superencrypted", item.object(MESSAGE)?)?,
                "signature" => {
                    let bytes = from_base64(item.arguments).ok_or_else(|| item.malformed())?;
                    let parsed = Signature::from_slice(&bytes).map_err(|_| item.malformed())?;
                    signature = Some((parsed, item.offset));
                }
                _ => {}
            }
        }
        if version.ok_or(NetdocError::Missing("hs-descriptor"))? != 3 {
            return Err(DocumentError::Version);
        }
        if lifetime.ok_or(NetdocError::Missing("descriptor-lifetime"))? > MAX_LIFETIME {
            return Err(DocumentError::Lifetime);
        }
        let (signature, offset) = signature.ok_or(NetdocError::Missing("signature"))?;
        Ok(Self {
            signing_cert: signing_cert.ok_or(NetdocError::Missing("descriptor-signing-key-cert"))?,
            revision: revision.ok_or(NetdocError::Missing("revision-counter"))?,
            superencrypted: superencrypted.ok_or(NetdocError::Missing("superencrypted"))?,
            signature,
            signed_text: text.get(..offset).unwrap_or_default(),
        })
    }

    /// Verifies the signature. The caller has verified the certificate of this key before.
    ///
    /// # Errors
    /// The signature is not by `signing_key`.
    pub fn verify(&self, signing_key: &VerifyingKey) -> Result<(), DocumentError> {
        let signed = [SIGNATURE_PREFIX, self.signed_text.as_bytes()].concat();
        ed25519_dalek::Verifier::verify(signing_key, &signed, &self.signature)
            .map_err(|_| DocumentError::Signature)
    }
}
