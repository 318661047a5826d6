//! Requests and replies about version-2 frontends.

use serde::{Deserialize, Serialize};

use crate::time::UnixTime;

/// A request to render and sign one descriptor of a frontend.
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
    /// The descriptors of the backends with the chosen points, as the backends signed them.
    pub backends: Vec<String>,
    /// The points to list, in this order.
    pub points: Vec<ChosenPoint>,
    /// True: encrypt the points to authorized clients (basic authorization), with the cookies of the signer's
    /// own configuration.
    pub client_authorization: bool,
}

/// An introduction point of a backend.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ChosenPoint {
    /// The backend's index in [`FrontendRequest::backends`].
    pub backend: u8,
    /// The point's index in that backend's descriptor.
    pub point: u8,
}

/// A signed descriptor.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SignedFrontend {
    /// The descriptor's text.
    pub text: String,
}
