//! Requests and replies about version-2 frontends.
//!
//! A point needs no proof of its own: the request has the backends' signed descriptors, and the signer takes
//! the points out of them. Each descriptor of a frontend (two replicas in one or two periods) is a request.

use serde::{Deserialize, Serialize};

use crate::time::UnixTime;

/// A request to render and sign one descriptor of a frontend.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FrontendRequest {
    /// The frontend's permanent id, 10 bytes.
    pub service: [u8; 10],
    /// The number of the service's present [`TimePeriod`](crate::v2::TimePeriod), or of the next one in the
    /// time of [`OVERLAP`](crate::v2::period::OVERLAP).
    pub period: u32,
    /// Which of the period's two descriptors: 0 or 1.
    pub replica: u8,
    /// The publication time: a whole hour, at most a day old, and not ahead of the signer's clock.
    pub published: UnixTime,
    /// The descriptors of the backends with the chosen points, as the backends signed them: at most 20 480
    /// bytes each, and no more descriptors than points.
    pub backends: Vec<String>,
    /// The points to list, in this order: 1 to 10.
    pub points: Vec<ChosenPoint>,
    /// True: encrypt the points to authorized clients (basic authorization), with the cookies of the signer's
    /// own configuration.
    pub client_authorization: bool,
}

/// An introduction point of a backend.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ChosenPoint {
    /// The backend's index in [`FrontendRequest::backends`], from 0.
    pub backend: u8,
    /// The point's index in that backend's descriptor, from 0.
    pub point: u8,
}

/// A signed descriptor.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SignedFrontend {
    /// The descriptor's text, as it is posted to HSDirs: at most 20 480 bytes.
    pub text: String,
}
