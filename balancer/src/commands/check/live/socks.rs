//! A visit through tor's SOCKS port, and tor's word for its failure.
//!
//! Tor has status codes of its own for onion services (socks-extensions, "Extended error codes"). It uses
//! them if its `SocksPort` has the flag `ExtendedErrors`. tokio-socks does not know them, so the bytes that
//! it reads are kept.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_socks::tcp::Socks5Stream;

use crate::tor::client_authorization::SocksPort;

/// The time after which a stream that tor has not closed is open. Tor reports the failure of an earlier
/// attempt with an extended code even if a later one succeeds (tor: `connection_ap_handshake_socks_reply`).
const CLOSED_WITHIN: Duration = Duration::from_secs(3);

/// The place of the status code in all that tor sends: after the method (2 bytes), the reply to the user name
/// (2 bytes) and the protocol's version (RFC 1928, RFC 1929).
const CODE_AT: usize = 5;

/// The first of tor's own codes for onion services.
pub(super) const EXTENDED: u8 = 0xF0;

/// The rest of a reply with an IPv4 address, in bytes.
const ADDRESS_LEN: usize = 6;

/// The reason for which a visit failed.
#[derive(Debug)]
pub(super) enum VisitError {
    /// Tor's SOCKS port cannot be reached, or does not speak SOCKS with a user name.
    Port(tokio_socks::Error),
    /// Tor answered with this code.
    Code(u8),
}

/// Connects to a port of an onion service. Tor uses no circuit for it that a visit with another `user` uses
/// (`IsolateSOCKSAuth`, which is the default).
///
/// # Errors
/// Tor's SOCKS port cannot be used, or tor cannot connect.
pub(super) async fn visit(socks: &SocksPort, user: &str, host: &str, port: u16) -> Result<(), VisitError> {
    let refused = |error| VisitError::Port(tokio_socks::Error::Io(error));
    match socks {
        SocksPort::Tcp(address) => {
            visit_over(TcpStream::connect(address).await.map_err(refused)?, user, host, port).await
        }
        SocksPort::Unix(path) => {
            visit_over(UnixStream::connect(path).await.map_err(refused)?, user, host, port).await
        }
    }
}

async fn visit_over<S>(stream: S, user: &str, host: &str, port: u16) -> Result<(), VisitError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = Heard { stream, bytes: Vec::new() };
    let connecting =
        Socks5Stream::connect_with_password_and_socket(&mut stream, (host, port), user, "onionbalance");
    let Err(error) = connecting.await else { return Ok(()) };
    match stream.bytes.get(CODE_AT).copied() {
        Some(code) if code >= EXTENDED && stream.is_open().await => Ok(()),
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
    /// True if tor does not close the stream after the rest of its reply.
    async fn is_open(&mut self) -> bool {
        let mut rest = [0; ADDRESS_LEN + 1];
        let closed = async { self.stream.read_exact(&mut rest).await.is_err() };
        // More bytes than the reply's are the service's own.
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

    /// A SOCKS port that answers the command with this code, and then closes the stream or keeps it.
    async fn answer(mut port: DuplexStream, code: u8, is_kept: bool) -> Option<DuplexStream> {
        let mut greeting = [0; 3];
        port.read_exact(&mut greeting).await.unwrap();
        port.write_all(&[5, 2]).await.unwrap();
        let mut login = [0; 3 + 4 + 12];
        port.read_exact(&mut login).await.unwrap();
        port.write_all(&[1, 0]).await.unwrap();
        let mut command = [0; 4 + 1 + 7 + 2];
        port.read_exact(&mut command).await.unwrap();
        port.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
        is_kept.then_some(port)
    }

    #[tokio::test(start_paused = true)]
    async fn tors_codes_are_told_unless_the_stream_is_open() {
        for (code, is_kept, wanted) in
            [(0, true, None), (4, false, Some(4)), (0xF3, false, Some(0xF3)), (0xF0, true, None)]
        {
            let (ours, theirs) = tokio::io::duplex(1024);
            let (visited, _kept) =
                join!(visit_over(ours, "user", "x.onion", 80), answer(theirs, code, is_kept));
            let told = match visited {
                Ok(()) => None,
                Err(VisitError::Code(code)) => Some(code),
                Err(VisitError::Port(error)) => panic!("{error}"),
            };
            assert_eq!(told, wanted);
        }
    }

    #[tokio::test]
    async fn a_port_that_is_gone_is_told() {
        let (ours, theirs) = tokio::io::duplex(1024);
        drop(theirs);
        let visited = visit_over(ours, "user", "x.onion", 80).await;
        assert!(matches!(visited, Err(VisitError::Port(_))));
    }
}
