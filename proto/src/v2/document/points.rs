//! The introduction points: the document inside a descriptor (rend-spec-v2 §1.3, `introduction-points`).
//!
//! Each point takes up to 640 bytes:
//!
//! ```text
//! introduction-point RELAY                 its RSA identity digest, 32 characters of base32
//! ip-address A.B.C.D
//! onion-port PORT                          1 to 65535
//! onion-key
//! -----BEGIN RSA PUBLIC KEY-----           140 bytes
//! service-key
//! -----BEGIN RSA PUBLIC KEY-----           140 bytes
//! ```
//!
//! Neither HSDirs nor tor at HSPOST read this part. A frontend with a point that clients do not accept would
//! be stored, and reach nobody.
//!
//! ```
//! use onionbalance_proto::v2::TimePeriod;
//! use onionbalance_proto::v2::document::{open_outer, points};
//!
//! let text = std::fs::read_to_string("testdata/v2/b2-replica0.desc")?;
//! let outer = open_outer(&text)?;
//! let period = TimePeriod::at(outer.published, &outer.key.address());
//! let descriptor = outer.open(&[period], None)?;
//!
//! let list = points::encode(&descriptor.points);
//! assert!(list.starts_with("introduction-point ") && list.ends_with("-----\n\n"));
//! assert_eq!(points::decode(&list)?, descriptor.points);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::num::NonZeroU16;

use super::{DocumentError, MAX_POINTS, RSA_PUBLIC_KEY};
use crate::base32::lower_base32;
use crate::netdoc::{self, Item, NetdocError, once};
use crate::relay::Fingerprint;
use crate::v2::PointKey;

/// The longest text of a point, in bytes: the keywords, the longest address and port, two keys.
const POINT_LENGTH: usize = 640;

/// An introduction point as a descriptor lists it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct IntroductionPoint {
    /// The relay's fingerprint, by which alone a client finds the relay.
    pub relay: Fingerprint,
    /// The relay's IPv4 address.
    pub address: Ipv4Addr,
    /// The relay's `ORPort`.
    pub port: NonZeroU16,
    /// The relay's onion key for the TAP handshake.
    pub onion_key: PointKey,
    /// The service's own key at this point. The holder of its secret can answer a client.
    pub service_key: PointKey,
}

/// Renders the points as tor does (tor: `rend_encode_v2_intro_points`), with a second line end at the end.
/// Their number is not checked. The text of no point is that line end alone.
pub fn encode(points: &[IntroductionPoint]) -> String {
    let mut text = String::with_capacity(points.len() * POINT_LENGTH + 1);
    for point in points {
        point.encode(&mut text);
    }
    text.push('\n');
    text
}

/// Reads the points with the checks of tor's clients (tor: `rend_parse_introduction_points`). Unknown items
/// are ignored, as in tor.
///
/// # Errors
/// - [`DocumentError::NoPoints`]: there is no point.
/// - [`DocumentError::TooManyPoints`]: there are more than [`MAX_POINTS`].
/// - [`DocumentError::Key`]: a key does not have 1024 bits and the exponent 65537.
/// - [`DocumentError::Netdoc`]: an item is missing, repeated or malformed, or precedes the first point.
pub fn decode(text: &str) -> Result<Vec<IntroductionPoint>, DocumentError> {
    let mut points = Vec::new();
    let mut draft: Option<Draft> = None;
    for item in netdoc::items(text) {
        let item = item?;
        if item.keyword == "introduction-point" {
            points.extend(draft.take().map(Draft::finish).transpose()?);
            if points.len() == MAX_POINTS {
                return Err(DocumentError::TooManyPoints);
            }
            draft = Some(Draft::begin(&item)?);
        } else {
            // Tor finds no point in a text that begins with another item.
            draft.as_mut().ok_or(NetdocError::Missing("introduction-point"))?.read(&item)?;
        }
    }
    points.extend(draft.map(Draft::finish).transpose()?);
    if points.is_empty() { Err(DocumentError::NoPoints) } else { Ok(points) }
}

/// An introduction point that is being read.
struct Draft {
    relay: Fingerprint,
    address: Option<Ipv4Addr>,
    port: Option<NonZeroU16>,
    onion_key: Option<PointKey>,
    service_key: Option<PointKey>,
}

impl Draft {
    fn begin(item: &Item<'_>) -> Result<Self, NetdocError> {
        let relay = lower_base32().decode(item.arguments.as_bytes()).map_err(|_| item.malformed())?;
        let relay = Fingerprint(relay.try_into().map_err(|_| item.malformed())?);
        Ok(Self { relay, address: None, port: None, onion_key: None, service_key: None })
    }

    fn read(&mut self, item: &Item<'_>) -> Result<(), DocumentError> {
        match item.keyword {
            "ip-address" => {
                let address = item.arguments.parse().map_err(|_| item.malformed())?;
                once(&mut self.address, "ip-address", address)?;
            }
            "onion-port" => {
                let port = u16::try_from(item.number()?).ok().and_then(NonZeroU16::new);
                once(&mut self.port, "onion-port", port.ok_or_else(|| item.malformed())?)?;
            }
            "onion-key" => once(&mut self.onion_key, "onion-key", key(item)?)?,
            "service-key" => once(&mut self.service_key, "service-key", key(item)?)?,
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<IntroductionPoint, NetdocError> {
        Ok(IntroductionPoint {
            relay: self.relay,
            address: self.address.ok_or(NetdocError::Missing("ip-address"))?,
            port: self.port.ok_or(NetdocError::Missing("onion-port"))?,
            onion_key: self.onion_key.ok_or(NetdocError::Missing("onion-key"))?,
            service_key: self.service_key.ok_or(NetdocError::Missing("service-key"))?,
        })
    }
}

fn key(item: &Item<'_>) -> Result<PointKey, DocumentError> {
    if !item.arguments.is_empty() {
        return Err(item.malformed().into());
    }
    Ok(PointKey::from_der(&item.object(RSA_PUBLIC_KEY)?)?)
}

impl IntroductionPoint {
    fn encode(&self, text: &mut String) {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "introduction-point {}\nip-address {}\nonion-port {}\nonion-key\n",
            lower_base32().encode(&self.relay.0),
            self.address,
            self.port
        );
        netdoc::push_object(text, RSA_PUBLIC_KEY, &self.onion_key.to_der());
        text.push_str("\nservice-key\n");
        netdoc::push_object(text, RSA_PUBLIC_KEY, &self.service_key.to_der());
        text.push('\n');
    }
}
