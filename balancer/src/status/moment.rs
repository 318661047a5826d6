//! Moments in the status.

use onionbalance_proto::time::{TimeError, UnixTime};
use serde::{Deserialize, Serialize};

/// A moment, as `YYYY-MM-DD HH:MM:SS`, UTC: the form of Onionbalance.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(pub UnixTime);

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.0.to_string()
    }
}

impl TryFrom<String> for Moment {
    type Error = TimeError;

    fn try_from(text: String) -> Result<Self, TimeError> {
        text.parse().map(Self)
    }
}
