//! The effects on the machine that the balancer and its signer share: the clocks, the change of user, the
//! mode of a socket, the directory of a file, the exit status, the version.
//!
//! Each program has its own order of these, and its own messages. The confinement of the two is not shared,
//! because they need different system calls and files.
//!
//! ```
//! use std::path::Path;
//!
//! use onionbalance_process::{directory_of, monotonic, version};
//!
//! let since = monotonic();
//! assert!(version(Some("an example")).contains("(an example"));
//! assert_eq!(directory_of(Path::new("config.yaml")), Path::new("."));
//! assert!(monotonic() >= since);
//! ```

#![forbid(unsafe_code)]

mod clock;
mod path;
mod socket;
mod user;
mod version;

pub use clock::{monotonic, now};
pub use path::directory_of;
pub use socket::with_mode;
pub use user::{become_user, is_root};
pub use version::{commit, version};

/// The exit status of a program that would fail again if it were started again (`EX_CONFIG` of sysexits.h).
pub const BAD_CONFIGURATION: u8 = 78;
