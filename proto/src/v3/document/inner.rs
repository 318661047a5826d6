//! The innermost layer: the introduction points (rend-spec-v3 \[HS-DESC-SECOND-LAYER\]).
//!
//! Brackets are around lines that may be missing:
//!
//! ```text
//! create2-formats 2                        handshakes of the service: 2 is ntor
//! [single-onion-service]
//! [flow-control VERSIONS INCREMENT]
//! introduction-point BASE64                link specifiers; from here on for each point
//! onion-key ntor BASE64                    32 bytes
//! auth-key
//! -----BEGIN ED25519 CERT-----             140 bytes, type 09
//! enc-key ntor BASE64                      32 bytes
//! enc-key-cert
//! -----BEGIN ED25519 CERT-----             140 bytes, type 0B
//! ```
//!
//! All other lines are read over. One of them is `pow-params`, which a frontend cannot have: each backend
//! verifies solutions by its own seed and its own blinded key.
//!
//! ```
//! use onionbalance_proto::v3::document::DocumentError;
//! use onionbalance_proto::v3::document::inner::Inner;
//!
//! let text = "create2-formats 2\nsingle-onion-service\nflow-control 1-2 31\n";
//! let inner = Inner::decode(text, 20)?;
//! assert!(inner.single_onion && inner.points.is_empty());
//! assert_eq!(inner.encode(), text);
//! # Ok::<(), DocumentError>(())
//! ```

use std::fmt::Write;

use data_encoding::BASE64;

use super::{CERTIFICATE, DocumentError};
use crate::netdoc::{self, Item, NetdocError, once};
use crate::v3::cert::{CertType, Certificate};
use crate::v3::flow_control::FlowControl;
use crate::v3::keys::{AuthKey, EncKey, OnionKey};
use crate::v3::link::LinkSpecifiers;

/// The ntor handshake's type among `create2-formats` (tor-spec, CREATE2).
const NTOR: &str = "2";

/// The contents of the innermost layer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Inner {
    /// The congestion control that the service supports; `None`: the line is missing.
    pub flow_control: Option<FlowControl>,
    /// True if the service has given up its own anonymity (`single-onion-service`).
    pub single_onion: bool,
    /// The introduction points, in the layer's order. Clients choose one at random with equal chances.
    pub points: Vec<IntroductionPoint>,
}

/// An introduction point as a descriptor lists it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IntroductionPoint {
    /// The addresses and identities of its relay.
    pub link_specifiers: LinkSpecifiers,
    /// The relay's ntor onion key. No certificate covers it.
    pub onion_key: OnionKey,
    /// The point's authentication key. It is read from `auth_cert`, because the layer has no line for it.
    pub auth_key: AuthKey,
    /// The service's encryption key, from the line `enc-key`. [`super::open`] compares it with `enc_cert`.
    pub enc_key: EncKey,
    /// The type-09 certificate: the descriptor-signing key certifies the authentication key.
    pub auth_cert: Certificate,
    /// The type-0B certificate: the descriptor-signing key certifies the encryption key in its ed25519 form.
    pub enc_cert: Certificate,
}

impl Inner {
    /// Renders the layer as tor does (tor: `get_inner_encrypted_layer_plaintext`). A point takes about 900
    /// bytes. The number of points is not checked.
    pub fn encode(&self) -> String {
        // A point takes about 900 bytes.
        let mut text = String::with_capacity(64 + self.points.len() * 1024);
        text.push_str("create2-formats 2\n");
        if self.single_onion {
            text.push_str("single-onion-service\n");
        }
        if let Some(flow_control) = self.flow_control {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "flow-control {flow_control}");
        }
        for point in &self.points {
            point.encode(&mut text);
        }
        text
    }

    /// Reads the layer. Unknown lines are ignored, as in tor. Points with a `legacy-key` (for relays before
    /// 2018) are left out, because the signer renders no `legacy-key-cert`.
    ///
    /// Signatures are not verified, and the certified keys are not compared with the listed ones:
    /// [`super::open`] does both.
    ///
    /// # Errors
    /// - [`DocumentError::TooManyPoints`]: there are more points than `max_points`, so that work and memory
    ///   are bounded.
    /// - [`DocumentError::Netdoc`]: `create2-formats` lacks ntor, or an item of a point is missing, repeated
    ///   or malformed.
    /// - [`DocumentError::Cert`], [`DocumentError::Key`], [`DocumentError::Link`]: a part of a point is
    ///   malformed.
    pub fn decode(text: &str, max_points: usize) -> Result<Self, DocumentError> {
        let mut head = Head::default();
        let mut points = Vec::new();
        let mut draft: Option<Draft> = None;
        for item in netdoc::items(text) {
            let item = item?;
            if item.keyword == "introduction-point" {
                points.extend(draft.take().map(Draft::finish).transpose()?.flatten());
                draft = Some(Draft::begin(&item)?);
            } else if let Some(draft) = &mut draft {
                draft.read(&item)?;
            } else {
                head.read(&item)?;
            }
            if points.len() > max_points {
                return Err(DocumentError::TooManyPoints { most: max_points });
            }
        }
        points.extend(draft.map(Draft::finish).transpose()?.flatten());
        if points.len() > max_points {
            return Err(DocumentError::TooManyPoints { most: max_points });
        }
        if !head.ntor {
            return Err(NetdocError::Missing("create2-formats 2").into());
        }
        Ok(Self { flow_control: head.flow_control, single_onion: head.single_onion, points })
    }
}

/// The lines before the first introduction point.
#[derive(Default)]
struct Head {
    ntor: bool,
    flow_control: Option<FlowControl>,
    single_onion: bool,
}

impl Head {
    fn read(&mut self, item: &Item<'_>) -> Result<(), NetdocError> {
        match item.keyword {
            "create2-formats" => self.ntor = item.words().any(|format| format == NTOR),
            "single-onion-service" => self.single_onion = true,
            "flow-control" => {
                let parsed = item.arguments.parse().map_err(|_| item.malformed())?;
                once(&mut self.flow_control, "flow-control", parsed)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// An introduction point that is being read.
struct Draft {
    link_specifiers: LinkSpecifiers,
    onion_key: Option<OnionKey>,
    auth_cert: Option<Certificate>,
    enc_key: Option<EncKey>,
    enc_cert: Option<Certificate>,
    legacy: bool,
}

impl Draft {
    fn begin(item: &Item<'_>) -> Result<Self, DocumentError> {
        let bytes = item.base64(item.words().next())?;
        Ok(Self {
            link_specifiers: LinkSpecifiers::try_from(bytes)?,
            onion_key: None,
            auth_cert: None,
            enc_key: None,
            enc_cert: None,
            legacy: false,
        })
    }

    fn read(&mut self, item: &Item<'_>) -> Result<(), DocumentError> {
        match item.keyword {
            "onion-key" => once(&mut self.onion_key, "onion-key", OnionKey::try_from(item.key("ntor")?)?)?,
            "auth-key" => once(&mut self.auth_cert, "auth-key", certificate(item, CertType::AuthKey)?)?,
            "enc-key" => once(&mut self.enc_key, "enc-key", EncKey::try_from(item.key("ntor")?)?)?,
            "enc-key-cert" => once(&mut self.enc_cert, "enc-key-cert", certificate(item, CertType::EncKey)?)?,
            "legacy-key" => self.legacy = true,
            _ => {}
        }
        Ok(())
    }

    /// The point; `None` for one with a `legacy-key`.
    fn finish(self) -> Result<Option<IntroductionPoint>, DocumentError> {
        if self.legacy {
            return Ok(None);
        }
        let auth_cert = self.auth_cert.ok_or(NetdocError::Missing("auth-key"))?;
        Ok(Some(IntroductionPoint {
            link_specifiers: self.link_specifiers,
            onion_key: self.onion_key.ok_or(NetdocError::Missing("onion-key"))?,
            auth_key: AuthKey::try_from(auth_cert.claim.certified)?,
            enc_key: self.enc_key.ok_or(NetdocError::Missing("enc-key"))?,
            auth_cert,
            enc_cert: self.enc_cert.ok_or(NetdocError::Missing("enc-key-cert"))?,
        }))
    }
}

fn certificate(item: &Item<'_>, kind: CertType) -> Result<Certificate, DocumentError> {
    Ok(Certificate::decode(&item.object(CERTIFICATE)?, kind)?)
}

impl IntroductionPoint {
    fn encode(&self, text: &mut String) {
        text.push_str("introduction-point ");
        BASE64.encode_append(self.link_specifiers.as_bytes(), text);
        text.push_str("\nonion-key ntor ");
        BASE64.encode_append(self.onion_key.as_bytes(), text);
        text.push_str("\nauth-key\n");
        netdoc::push_object(text, CERTIFICATE, &self.auth_cert.encode());
        text.push_str("\nenc-key ntor ");
        BASE64.encode_append(self.enc_key.as_bytes(), text);
        text.push_str("\nenc-key-cert\n");
        netdoc::push_object(text, CERTIFICATE, &self.enc_cert.encode());
        text.push('\n');
    }
}
