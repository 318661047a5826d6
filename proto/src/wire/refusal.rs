//! The signer's refusals, with numbers that logs, metrics and tests can rely on. A number is never given
//! again: 4 and 24 were rules of earlier versions of the protocol.
//!
//! Version-3 requests can break the rules 1 to 23, 25, 26 and 33, version-2 requests the rules 1, 3, 7 to 11
//! and 25 to 32.
//!
//! ```
//! use onionbalance_proto::wire::Refusal;
//!
//! let refusal = Refusal::try_from(21)?;
//! assert_eq!(refusal, Refusal::EncCert);
//! assert_eq!(
//!     refusal.to_string(),
//!     "a point's encryption key is not the one its backend certified (refusal 21)"
//! );
//! assert!(Refusal::try_from(24).is_err());
//! # Ok::<(), onionbalance_proto::wire::refusal::UnknownRefusal>(())
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// The rule that a request broke. The balancer learns no more than that: the details are in the
        /// signer's own log.
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
        #[serde(try_from = "u16", into = "u16")]
        #[repr(u16)]
        pub enum Refusal {
            $($(#[$doc])* #[doc = $text] $name = $code,)*
        }

        impl Refusal {
            /// Every refusal, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The rule in words, without a full stop: a part of a sentence.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

refusals! {
    UnknownService = 1, "this signer holds no key for the service";
    PeriodLength = 2, "the period's length is outside 5 to 14400 minutes, or another length was asked for within the last ten minutes";
    Period = 3, "the period is not the present one, nor next to it, by the signer's clock";
    NoSets = 5, "the request contains no set of introduction points";
    TooManySets = 6, "the request contains more sets than a frontend has HSDirs";
    EmptySet = 7, "a set holds no introduction point";
    SetTooLarge = 8, "a set holds more introduction points than clients accept";
    SetMember = 9, "a set lists a point that the request does not contain, or lists one point twice";
    TooManyPoints = 10, "the request contains more points or backends than the sets can hold";
    UnknownBackend = 11, "the signer's configuration does not list the backend for this service";
    BackendPeriod = 12, "the backend's certificate belongs to a period that is neither the frontend's nor next to it";
    BackendCert = 13, "the backend's certificate for its descriptor-signing key is wrong";
    BackendCertExpired = 14, "the backend's certificate for its descriptor-signing key has expired";
    LinkSpecifiers = 15, "a point's link specifiers are malformed";
    OnionKey = 16, "a point's onion key is not usable";
    AuthKey = 17, "a point's authentication key is not usable";
    EncKey = 18, "a point's encryption key is not usable";
    AuthCert = 19, "a point's authentication key is not the one its backend certified";
    AuthCertExpired = 20, "the certificate of a point's authentication key has expired";
    EncCert = 21, "a point's encryption key is not the one its backend certified";
    EncCertExpired = 22, "the certificate of a point's encryption key has expired";
    FlowControl = 23, "the flow-control values are malformed";
    RateLimit = 25, "more signatures were requested than the limit per minute allows";
    TooLong = 26, "the descriptor would be longer than HSDirs keep";
    Replica = 27, "the replica is neither 0 nor 1";
    PublicationTime = 28, "the publication time is not a whole hour, is ahead of the signer's clock, or is more than a day old";
    BackendDescriptor = 29, "a backend's descriptor is malformed, or not signed by the key it names";
    BackendDescriptorPeriod = 30, "a backend's descriptor belongs to a period that ended more than three hours ago or is later than the next, by the signer's clock";
    BackendCookie = 31, "a backend's descriptor does not open with what the signer's configuration has for it";
    ClientAuthorization = 32, "the points of a backend that authorizes its clients would be readable by everyone, or client authorization is requested and no backend has a cookie";
    NotDelegated = 33, "the key is a delegation that does not cover the period: make another on the machine that has the identity key (onionbalance-key delegate)";
}

/// No refusal has this number.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0} is not the number of a refusal")]
pub struct UnknownRefusal(u16);

impl TryFrom<u16> for Refusal {
    type Error = UnknownRefusal;

    /// The refusal with this number.
    ///
    /// # Errors
    /// No refusal has the number.
    fn try_from(code: u16) -> Result<Self, UnknownRefusal> {
        Self::ALL.iter().copied().find(|refusal| u16::from(*refusal) == code).ok_or(UnknownRefusal(code))
    }
}

impl From<Refusal> for u16 {
    fn from(refusal: Refusal) -> u16 {
        refusal as u16
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (refusal {})", self.text(), u16::from(*self))
    }
}

impl std::error::Error for Refusal {}
