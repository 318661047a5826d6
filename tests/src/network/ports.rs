//! Free TCP ports on loopback.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// A port that was free a moment ago. Another process may take it first, so that the caller must be able to
/// try again with a new one. tor picks most of its ports itself (`auto`), which is free of that race.
pub(crate) fn free() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
