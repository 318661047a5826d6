//! The variable by which a program finds out that systemd's journal reads its standard error.
//!
//! systemd sets `JOURNAL_STREAM=DEVICE:INODE`. The variable is inherited by programs whose standard error was
//! redirected meanwhile, so that its presence proves nothing: the program compares both numbers with those of
//! its own stream. This module reads the text only.

use std::str::FromStr;

/// The stream that `$JOURNAL_STREAM` names (systemd.exec(5)). A program's standard error goes to the journal
/// if it is this one.
///
/// ```
/// use onionbalance_proto::journal::JournalStream;
///
/// let stream: JournalStream = "8:1234".parse()?;
/// assert_eq!((stream.device, stream.inode), (8, 1234));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct JournalStream {
    /// The device, as in `st_dev` of fstat(2).
    pub device: u64,
    /// The inode, as in `st_ino` of fstat(2).
    pub inode: u64,
}

/// The text is not two decimal numbers with a colon between them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a device and an inode, such as 8:1234")]
pub struct JournalStreamError;

impl FromStr for JournalStream {
    type Err = JournalStreamError;

    /// Reads `DEVICE:INODE`, two decimal numbers below 2^64.
    ///
    /// # Errors
    /// The text has another form, or a number is 2^64 or more.
    fn from_str(text: &str) -> Result<Self, JournalStreamError> {
        let (device, inode) = text.split_once(':').ok_or(JournalStreamError)?;
        let number = |digits: &str| digits.parse().map_err(|_| JournalStreamError);
        Ok(Self { device: number(device)?, inode: number(inode)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_device_and_an_inode() {
        assert_eq!("8:1234".parse(), Ok(JournalStream { device: 8, inode: 1234 }));
        for text in ["", ":", "8", "8:", ":8", "8:x", "-1:8", "8:1:2"] {
            assert_eq!(text.parse::<JournalStream>(), Err(JournalStreamError), "{text}");
        }
    }
}
