//! The document around the introduction points: the part that HSDirs read and check (rend-spec-v2 §1.3).
//!
//! ```text
//! rendezvous-service-descriptor ID         32 characters of base32
//! version 2
//! permanent-key
//! -----BEGIN RSA PUBLIC KEY-----           140 bytes with the usual exponent
//! secret-id-part HASH                      32 characters of base32
//! publication-time YYYY-MM-DD HH:MM:SS     UTC, a whole hour
//! protocol-versions 2,3
//! introduction-points                      left out by a service without points
//! -----BEGIN MESSAGE-----                  the points, or their encryption
//! signature                                the signed text ends with this line
//! -----BEGIN SIGNATURE-----                128 bytes
//! ```
//!
//! The signature is over the SHA-1 digest of all bytes from the first to the line end after `signature`.
//! Items may come in any order between the first and the last. Unknown items are ignored, as in tor.

use std::fmt::Write;

use sha1::{Digest, Sha1};

use super::{Descriptor, DocumentError, RSA_PUBLIC_KEY, points};
use crate::netdoc::{self, Item, NetdocError, once};
use crate::time::UnixTime;
use crate::v2::keys::LENGTH;
use crate::v2::{Cookie, DescriptorId, PermanentKey, Replica, SecretIdPart, TimePeriod, layer};

const MESSAGE: &str = "MESSAGE";
const SIGNATURE: &str = "SIGNATURE";
/// The last line of the signed text.
const SIGNATURE_LINE: &str = "signature\n";

/// A descriptor without its signature: the text up to the line `signature`, with its line end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unsigned(String);

impl Unsigned {
    /// Renders the document as tor does (tor: `rend_encode_v2_descriptors`). `message` is the list of points,
    /// or its encryption. The id is computed from `key` and `secret_id_part`.
    pub fn new(
        key: &PermanentKey,
        secret_id_part: SecretIdPart,
        published: UnixTime,
        message: &[u8],
    ) -> Self {
        let mut text = String::with_capacity((message.len() / 48 + 1) * 65 + 1024);
        let id = DescriptorId::derive(&key.address(), secret_id_part);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "rendezvous-service-descriptor {id}\nversion 2\npermanent-key");
        netdoc::push_object(&mut text, RSA_PUBLIC_KEY, key.der());
        let _ = write!(
            text,
            "\nsecret-id-part {secret_id_part}\npublication-time {published}\nprotocol-versions 2,3\n\
             introduction-points\n"
        );
        netdoc::push_object(&mut text, MESSAGE, message);
        text.push('\n');
        text.push_str(SIGNATURE_LINE);
        Self(text)
    }

    /// The SHA-1 digest that the permanent key has to sign, without a `DigestInfo`.
    pub fn digest(&self) -> [u8; 20] {
        Sha1::digest(&self.0).into()
    }

    /// The descriptor with `signature`, which is the permanent key's over [`Unsigned::digest`]. The signature
    /// is not verified. The text ends with a line end, as tor's does.
    pub fn finish(mut self, signature: &[u8; LENGTH]) -> String {
        netdoc::push_object(&mut self.0, SIGNATURE, signature);
        self.0.push('\n');
        self.0
    }
}

/// A descriptor that was read except for its introduction points.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outer<'a> {
    /// The id, which determines the HSDirs.
    pub id: DescriptorId,
    /// The service's permanent key.
    pub key: PermanentKey,
    /// The part of the id's hash input besides the permanent id.
    pub secret_id_part: SecretIdPart,
    /// The publication time; tor writes whole hours, and other moments are read, too.
    pub published: UnixTime,
    pub(super) message: Option<Vec<u8>>,
    pub(super) signature: Vec<u8>,
    pub(super) signed_text: &'a str,
}

impl<'a> Outer<'a> {
    /// Reads the document as an HSDir does, and verifies nothing. The length is not checked.
    ///
    /// # Errors
    /// - [`DocumentError::Beginning`]: the text does not begin with `rendezvous-service-descriptor `.
    /// - [`DocumentError::Version`]: the version is not 2.
    /// - [`DocumentError::Key`]: the permanent key is not an RSA key of 1024 bits.
    /// - [`DocumentError::AfterSignature`]: an item follows the signature.
    /// - [`DocumentError::Netdoc`]: an item is missing, repeated or malformed. A missing
    ///   `introduction-points` is not an error here.
    ///
    /// ```
    /// # use onionbalance_proto::v2::document::{DocumentError, outer::Outer};
    /// let text = std::fs::read_to_string("testdata/v2/stealth1.desc")?;
    /// let outer = Outer::decode(&text)?;
    /// outer.verify()?;
    /// assert_eq!(outer.key.address().to_string(), "jhs6drtjibqvl3ew.onion");
    /// assert!(outer.is_encrypted());
    /// assert_eq!(Outer::decode("version 2\n"), Err(DocumentError::Beginning));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn decode(text: &'a str) -> Result<Self, DocumentError> {
        if !text.starts_with("rendezvous-service-descriptor ") {
            return Err(DocumentError::Beginning);
        }
        let mut draft = Draft::default();
        for item in netdoc::items(text) {
            draft.read(&item?)?;
        }
        draft.finish(text)
    }

    /// Verifies the signature and the id, as an HSDir does.
    ///
    /// # Errors
    /// [`DocumentError::Signature`]: the signature is not by [`Outer::key`]. [`DocumentError::Id`]: the id
    /// does not follow from the key and the secret-id-part.
    pub fn verify(&self) -> Result<(), DocumentError> {
        if !self.key.verifies(&Sha1::digest(self.signed_text).into(), &self.signature) {
            return Err(DocumentError::Signature);
        }
        if self.id != DescriptorId::derive(&self.key.address(), self.secret_id_part) {
            return Err(DocumentError::Id);
        }
        Ok(())
    }

    /// The period, among `periods`, and the replica that the secret-id-part was made for; `None`: there is
    /// none. The part is computed with and without `cookie`, because the `client_keys` form of a cookie does
    /// not contain its type.
    pub fn place(&self, periods: &[TimePeriod], cookie: Option<&Cookie>) -> Option<(TimePeriod, Replica)> {
        let places = periods.iter().flat_map(|period| Replica::ALL.map(|replica| (*period, replica)));
        let derives =
            |(period, replica), cookie| SecretIdPart::derive(period, replica, cookie) == self.secret_id_part;
        places
            .into_iter()
            .find(|place| derives(*place, None) || cookie.is_some_and(|cookie| derives(*place, Some(cookie))))
    }

    /// True if the introduction points are encrypted to authorized clients.
    pub fn is_encrypted(&self) -> bool {
        self.message.as_ref().is_some_and(|message| !message.starts_with(layer::BEGINNING))
    }

    /// The whole descriptor. Signature and id are not verified here: the caller has called [`Outer::verify`].
    ///
    /// # Errors
    /// It belongs to none of `periods`, or its introduction points do not decrypt with `cookie`, are
    /// malformed or missing.
    pub fn open(&self, periods: &[TimePeriod], cookie: Option<&Cookie>) -> Result<Descriptor, DocumentError> {
        let (period, replica) = self.place(periods, cookie).ok_or(DocumentError::Period)?;
        let message = self.message.as_ref().ok_or(DocumentError::NoPoints)?;
        let text =
            String::from_utf8(layer::decrypt(message, cookie)?).map_err(|_| DocumentError::Encoding)?;
        Ok(Descriptor { period, replica, published: self.published, points: points::decode(&text)? })
    }
}

/// A document that is being read: each item occurs at most once.
#[derive(Default)]
struct Draft {
    id: Option<DescriptorId>,
    version: Option<()>,
    key: Option<PermanentKey>,
    secret_id_part: Option<SecretIdPart>,
    published: Option<UnixTime>,
    protocol_versions: Option<()>,
    message: Option<Vec<u8>>,
    signature: Option<(Vec<u8>, usize)>,
}

impl Draft {
    fn read(&mut self, item: &Item<'_>) -> Result<(), DocumentError> {
        if self.signature.is_some() {
            return Err(DocumentError::AfterSignature);
        }
        match item.keyword {
            "rendezvous-service-descriptor" => {
                let id = item.arguments.parse().map_err(|_| item.malformed())?;
                once(&mut self.id, "rendezvous-service-descriptor", id)?;
            }
            "version" if item.arguments != "2" => return Err(DocumentError::Version),
            "version" => once(&mut self.version, "version", ())?,
            "permanent-key" => {
                let key = PermanentKey::from_der(&bare_object(item, RSA_PUBLIC_KEY)?)?;
                once(&mut self.key, "permanent-key", key)?;
            }
            "secret-id-part" => {
                let part = item.arguments.parse().map_err(|_| item.malformed())?;
                once(&mut self.secret_id_part, "secret-id-part", part)?;
            }
            "publication-time" => {
                let time = item.arguments.parse().map_err(|_| item.malformed())?;
                once(&mut self.published, "publication-time", time)?;
            }
            "protocol-versions" if item.arguments.split(' ').count() != 1 || item.arguments.is_empty() => {
                return Err(item.malformed().into());
            }
            "protocol-versions" => once(&mut self.protocol_versions, "protocol-versions", ())?,
            "introduction-points" => {
                once(&mut self.message, "introduction-points", bare_object(item, MESSAGE)?)?;
            }
            "signature" => self.signature = Some((bare_object(item, SIGNATURE)?, item.offset)),
            _ => {}
        }
        Ok(())
    }

    fn finish(self, text: &str) -> Result<Outer<'_>, DocumentError> {
        self.version.ok_or(NetdocError::Missing("version"))?;
        self.protocol_versions.ok_or(NetdocError::Missing("protocol-versions"))?;
        let (signature, offset) = self.signature.ok_or(NetdocError::Missing("signature"))?;
        let signed_text = text
            .get(..offset + SIGNATURE_LINE.len())
            .filter(|signed| signed.ends_with(SIGNATURE_LINE))
            .ok_or_else(|| NetdocError::Malformed("signature".into()))?;
        Ok(Outer {
            id: self.id.ok_or(NetdocError::Missing("rendezvous-service-descriptor"))?,
            key: self.key.ok_or(NetdocError::Missing("permanent-key"))?,
            secret_id_part: self.secret_id_part.ok_or(NetdocError::Missing("secret-id-part"))?,
            published: self.published.ok_or(NetdocError::Missing("publication-time"))?,
            message: self.message,
            signature,
            signed_text,
        })
    }
}

/// The object of an item that has no arguments.
fn bare_object(item: &Item<'_>, label: &str) -> Result<Vec<u8>, NetdocError> {
    if item.arguments.is_empty() { item.object(label) } else { Err(item.malformed()) }
}
