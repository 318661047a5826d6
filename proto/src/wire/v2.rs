//! What is asked and answered about the frontends of version 2.

use serde::{Deserialize, Serialize};

use crate::time::UnixTime;

/// One descriptor of a frontend.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FrontendRequest {
    /// The frontend's permanent id.
    pub service: [u8; 10],
    /// The time period's number.
    pub period: u32,
    /// Which of the period's two descriptors: 0 or 1.
    pub replica: u8,
    /// The publication time: a whole hour.
    pub published: UnixTime,
    /// The descriptors of the backends that the points belong to, as the backends signed them.
    pub backends: Vec<String>,
    /// The points to list, in this order.
    pub points: Vec<ChosenPoint>,
    /// Whether to encrypt the points to authorized clients (basic authorization). Their cookies are in the signer's own
    /// configuration.
    pub client_authorization: bool,
}

/// An introduction point of a backend.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ChosenPoint {
    /// Index in [`FrontendRequest::backends`].
    pub backend: u8,
    /// Index among the points of that backend's descriptor.
    pub point: u8,
}

/// A signed descriptor.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SignedFrontend {
    /// The text.
    pub text: String,
}
