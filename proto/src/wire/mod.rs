//! The conversation between the balancer and the signer: frames and messages.
//!
//! One stream, one request in flight: the balancer sends a [`Request`], the signer answers it with one
//! [`Reply`]. Either side closes the connection at the first message that it does not understand. This module
//! does no I/O.
//!
//! | request | reply |
//! |---|---|
//! | [`Request::Services`] | [`Reply::Services`]: one page of the list |
//! | [`Request::FrontendV3`] | [`Reply::FrontendV3`]: one text for each set; or [`Reply::Refused`] |
//! | [`Request::FrontendV2`] | [`Reply::FrontendV2`]: one text; or [`Reply::Refused`] |
//! | any | [`Reply::NotReady`], by a signer that cannot start |
//!
//! Frames carry no credentials: the signer knows the user of its peer from the kernel (`SO_PEERCRED`).
//!
//! ```
//! use onionbalance_proto::wire::{Header, Refusal, Reply, Request, frame};
//!
//! // The balancer:
//! let sent = frame::encode(&Request::Services { from: 0 })?;
//!
//! // The signer, which reads the header first:
//! let (header, body) = sent.split_first_chunk().ok_or("a short read")?;
//! assert_eq!(Header::decode::<Request>(*header)?.body_length(), body.len());
//! assert_eq!(frame::decode::<Request>(body)?, Request::Services { from: 0 });
//! let answered = frame::encode(&Reply::Refused(Refusal::RateLimit))?;
//!
//! // Behind the header: variant 3 in 4 bytes, number 25 in 2 bytes.
//! assert_eq!(answered[Header::LENGTH..], *b"\x00\x00\x00\x03\x00\x19");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod frame;
pub mod message;
mod page;
pub mod reason;
pub mod refusal;
pub mod v2;
pub mod v3;

pub use frame::{FrameError, Header, VERSION};
pub use message::{Held, HeldService, Page, Reply, Request};
pub use reason::Reason;
pub use refusal::Refusal;
pub use v3::{BackendProof, CertProof, FrontendRequest, ProvenPoint, SignedFrontend};
