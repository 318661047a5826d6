//! A visit through tor's SOCKS port, and tor's word for its failure.
//!
//! Tor has status codes of its own for onion services (socks-extensions, "Extended error codes"). It uses
//! them if its `SocksPort` has the flag `ExtendedErrors`. tokio-socks does not know them, so the bytes that
//! it reads are kept.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rand_core::{OsRng, RngCore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_socks::tcp::Socks5Stream;

use super::{SocksPort, Stream, dial};

/// The time after which a stream that tor has not closed is open. Tor reports the failure of an earlier
/// attempt with an extended code even if a later one succeeds (tor: `connection_ap_handshake_socks_reply`).
const CLOSED_WITHIN: Duration = Duration::from_secs(3);

/// The place of the status code in all that tor sends: after the method (2 bytes), the reply to the user name
/// (2 bytes) and the protocol's version (RFC 1928, RFC 1929).
const CODE_AT: usize = 5;
/// The place of the type of the address, two bytes after the status code.
const ADDRESS_TYPE_AT: usize = 7;
/// The length of all replies before the one with the status code.
const LOGIN_LEN: usize = 4;

/// The first of tor's own codes for onion services.
const EXTENDED: u8 = 0xF0;

/// The reason for which a visit failed.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// Tor's SOCKS port cannot be reached, or does not speak SOCKS with a user name.
    #[error("{0}")]
    Port(tokio_socks::Error),
    /// Tor's SOCKS port does not answer.
    #[error("it does not answer")]
    PortSilent,
    /// Tor answered with this code (RFC 1928 §6; socks-extensions).
    #[error("it answered 0x{0:02X}")]
    Code(u8),
    /// Tor took the request, and has not answered by the end.
    #[error("tor did not reach the service in time")]
    Silent,
}

/// Connects to a port of an onion service through the first of tor's SOCKS ports that accepts a connection,
/// until `end`. Tor uses no circuit for it that another visit uses
/// (`IsolateSOCKSAuth`, which is the default): each visit has a user name of its own.
///
/// # Errors
/// Tor's SOCKS port cannot be used, or tor cannot connect.
pub async fn visit(
    socks: &[SocksPort],
    host: &str,
    port: u16,
    end: Instant,
) -> Result<Box<dyn Stream>, VisitError> {
    let stream = timeout_at(end, dial(socks)).await.map_err(|_| VisitError::PortSilent)?;
    let stream = stream.map_err(|error| VisitError::Port(tokio_socks::Error::Io(error)))?;
    visit_over(stream, host, port, end).await
}

async fn visit_over<S: Stream>(stream: S, host: &str, port: u16, end: Instant) -> Result<S, VisitError> {
    let user = format!("visit-{:016x}", OsRng.next_u64());
    let mut heard = Heard { stream, bytes: Vec::new() };
    let connecting =
        Socks5Stream::connect_with_password_and_socket(&mut heard, (host, port), &user, "onionbalance");
    let connected = timeout_at(end, connecting).await.map(|connected| connected.map(drop));
    let error = match connected {
        Ok(Ok(())) => return Ok(heard.stream),
        Ok(Err(error)) => error,
        Err(_) if heard.bytes.len() < LOGIN_LEN => return Err(VisitError::PortSilent),
        Err(_) => return Err(VisitError::Silent),
    };
    match heard.bytes.get(CODE_AT).copied() {
        Some(code) if code >= EXTENDED && heard.is_open().await => Ok(heard.stream),
        Some(code) if code != 0 => Err(VisitError::Code(code)),
        _ => Err(VisitError::Port(error)),
    }
}

/// A stream that keeps the bytes that were read: the few of a SOCKS handshake.
struct Heard<S> {
    stream: S,
    bytes: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Heard<S> {
    /// True if tor does not close the stream after the rest of its reply, an address and a port.
    async fn is_open(&mut self) -> bool {
        // The address of a client of an AF_UNIX socket counts as IPv6.
        let rest: &mut [u8] = match self.bytes.get(ADDRESS_TYPE_AT) {
            Some(1) => &mut [0; 6],
            Some(4) => &mut [0; 18],
            _ => return false,
        };
        let closed = async {
            let whole = self.stream.read_exact(rest).await;
            // Bytes after the reply are the service's own. A service of HTTP sends none before a request.
            whole.is_err() || matches!(self.stream.read(&mut [0]).await, Ok(0) | Err(_))
        };
        !timeout(CLOSED_WITHIN, closed).await.unwrap_or(false)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.bytes.extend(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, DuplexStream};
    use tokio::join;

    use super::*;

    /// The time within which a visit ends.
    const WITHIN: Duration = Duration::from_secs(20);

    /// A SOCKS port that answers the command with this code and an address of this type, and then closes the
    /// stream or keeps it.
    async fn answer(mut port: DuplexStream, code: u8, is_ipv6: bool, is_kept: bool) -> Option<DuplexStream> {
        log_in(&mut port).await;
        let address: &[u8] = if is_ipv6 { &[4; 19] } else { &[1; 7] };
        port.write_all(&[&[5, code, 0], address].concat()).await.unwrap();
        is_kept.then_some(port)
    }

    /// Answers until the command has come.
    async fn log_in(port: &mut DuplexStream) {
        port.read_exact(&mut [0; 4]).await.unwrap();
        port.write_all(&[5, 2]).await.unwrap();
        port.read_exact(&mut [0; 3 + 22 + 12]).await.unwrap();
        port.write_all(&[1, 0]).await.unwrap();
        port.read_exact(&mut [0; 4 + 1 + 7 + 2]).await.unwrap();
    }

    async fn visit_x(stream: DuplexStream) -> Result<DuplexStream, VisitError> {
        visit_over(stream, "x.onion", 80, Instant::now() + WITHIN).await
    }

    #[tokio::test(start_paused = true)]
    async fn tors_codes_are_told_unless_the_stream_is_open() {
        for (code, is_kept, wanted) in
            [(0, true, None), (4, false, Some(4)), (0xF3, false, Some(0xF3)), (0xF0, true, None)]
        {
            for is_ipv6 in [false, true] {
                let (ours, theirs) = tokio::io::duplex(1024);
                let (visited, _kept) = join!(visit_x(ours), answer(theirs, code, is_ipv6, is_kept));
                let told = match visited {
                    Ok(_) => None,
                    Err(VisitError::Code(code)) => Some(code),
                    Err(error) => panic!("{error}"),
                };
                assert_eq!(told, wanted);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_is_gone_or_silent_is_not_a_silent_service() {
        let (ours, theirs) = tokio::io::duplex(1024);
        drop(theirs);
        assert!(matches!(visit_x(ours).await, Err(VisitError::Port(_))));
        let (ours, _theirs) = tokio::io::duplex(1024);
        assert!(matches!(visit_x(ours).await, Err(VisitError::PortSilent)));
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let (visited, ()) = join!(visit_x(ours), log_in(&mut theirs));
        assert!(matches!(visited, Err(VisitError::Silent)));
    }
}
