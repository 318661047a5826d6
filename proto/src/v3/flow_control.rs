//! The `flow-control` line: the congestion control that a service supports (proposal 324; rend-spec-v3
//! \[HS-DESC-SECOND-LAYER\]).
//!
//! ```text
//! flow-control 1-2 31
//!              |   sendme_inc: the number of cells that one SENDME acknowledges, 1 to 254
//!              versions of FlowCtrl: numbers and ranges from 0 to 63, with commas between them
//! ```
//!
//! Without the line clients use fixed windows, which are slower. With an increment that differs from the
//! consensus's by more than 1, clients refuse the whole descriptor.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Versions of the `FlowCtrl` subprotocol, and the number of cells that one SENDME acknowledges.
///
/// Its serialized form is 9 bytes, which a reader accepts with any values: see
/// [`FlowControl::is_well_formed`].
///
/// ```
/// use onionbalance_proto::v3::FlowControl;
///
/// let (old, new): (FlowControl, FlowControl) = ("1 31".parse()?, "1-2 31".parse()?);
/// assert_eq!(old.common(new), Some(old));
/// assert_eq!(new.common("1-2 100".parse()?), None);
/// assert_eq!(new.to_string(), "1-2 31");
/// # Ok::<(), onionbalance_proto::v3::flow_control::FlowControlError>(())
/// ```
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FlowControl {
    /// One bit per version, version 0 lowest; not zero. Protocol versions run from 0 to 63 (tor-spec,
    /// Subprotocols).
    versions: u64,
    /// `sendme_inc`, in cells, 1 to 254.
    increment: u8,
}

/// The text is not the arguments of a `flow-control` line.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`flow-control` is malformed: expected versions such as 1-2 and an increment from 1 to 254")]
pub struct FlowControlError;

impl FlowControl {
    /// The congestion control that two services have in common, because clients use one line for all
    /// introduction points. `None`: the increments differ or no version is common. Clients then use the fixed
    /// windows, which need no agreement.
    pub fn common(self, other: Self) -> Option<Self> {
        let versions = self.versions & other.versions;
        (self.increment == other.increment && versions != 0).then_some(Self { versions, ..self })
    }

    /// True if the values could have been parsed from a line; for values that came over the wire.
    pub fn is_well_formed(self) -> bool {
        self.versions != 0 && (1..=254).contains(&self.increment)
    }
}

impl FromStr for FlowControl {
    type Err = FlowControlError;

    /// Reads the arguments of a line, and ignores further ones.
    ///
    /// # Errors
    /// The versions or the increment are missing, malformed or out of their bounds, or the end of a range is
    /// below its beginning.
    fn from_str(arguments: &str) -> Result<Self, FlowControlError> {
        let mut words = arguments.split_ascii_whitespace();
        let (ranges, increment) = words.next().zip(words.next()).ok_or(FlowControlError)?;
        let mut versions = 0;
        for range in ranges.split(',') {
            let (low, high) = range.split_once('-').unwrap_or((range, range));
            let low: u32 = low.parse().map_err(|_| FlowControlError)?;
            let high: u32 = high.parse().map_err(|_| FlowControlError)?;
            if low > high || high > 63 {
                return Err(FlowControlError);
            }
            versions |= (low..=high).fold(0, |bits, version| bits | 1_u64 << version);
        }
        let value = Self { versions, increment: increment.parse().map_err(|_| FlowControlError)? };
        if value.is_well_formed() { Ok(value) } else { Err(FlowControlError) }
    }
}

/// The line's arguments in tor's form: `1-2 31`.
impl fmt::Display for FlowControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = |version: u32| version < 64 && self.versions & (1 << version) != 0;
        let mut separator = "";
        let mut version = 0;
        while version < 64 {
            if has(version) {
                let last = (version..64).take_while(|next| has(*next)).last().unwrap_or(version);
                write!(f, "{separator}{version}")?;
                if last > version {
                    write!(f, "-{last}")?;
                }
                separator = ",";
                version = last;
            }
            version += 1;
        }
        write!(f, " {}", self.increment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> FlowControl {
        text.parse().unwrap()
    }

    #[test]
    fn text_comes_back() {
        for text in ["1-2 31", "1 31", "0-63 254", "1,3 31", "1-2,5-9,63 1"] {
            assert_eq!(parsed(text).to_string(), text);
        }
    }

    #[test]
    fn refuses_nonsense() {
        for text in ["", "1-2", "1-2 0", "1-2 255", "2-1 31", "64 31", "1- 31", " 31"] {
            assert_eq!(text.parse::<FlowControl>(), Err(FlowControlError), "{text}");
        }
    }

    #[test]
    fn passes_over_arguments_to_come() {
        assert_eq!(parsed("1-2 31 7"), parsed("1-2 31"));
    }

    #[test]
    fn common_is_the_intersection() {
        assert_eq!(parsed("1-2 31").common(parsed("2-3 31")), Some(parsed("2 31")));
        assert_eq!(parsed("1-2 31").common(parsed("1-2 32")), None);
        assert_eq!(parsed("1 31").common(parsed("2 31")), None);
    }
}
