//! The conversation between the balancer and the signer: frames and messages.
//!
//! One stream, one request in flight: the balancer sends a [`Request`], the signer answers it with one
//! [`Reply`]. Either side closes the connection at the first message that it does not understand. This module
//! does no I/O.

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
