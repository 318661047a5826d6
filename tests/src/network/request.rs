//! One request for a page through a SOCKS port of tor.

use std::io::{Read, Write};

use anyhow::{Context, Result, anyhow, bail, ensure};

/// The longest response, in bytes, with its head.
const PAGE_MAX: u64 = 256 << 20;
/// The first of tor's own status codes (socks-extensions), after which a page may still follow.
const EXTENDED: u8 = 0xF0;

/// Asks `host` for a page through the SOCKS port at the other end of `stream`; returns the HTTP status and
/// the body.
pub(super) fn request(
    stream: &mut (impl Read + Write),
    user: &str,
    host: &str,
    port: u16,
    path: &str,
) -> Result<(u16, Vec<u8>)> {
    let unreachable = || format!("cannot reach {host} through Tor");
    let failure = connect(stream, user, host, port).with_context(unreachable)?;
    let page = get(stream, host, path).with_context(|| format!("no page from {host}"));
    match failure {
        Some(failure) => page.map_err(|_| anyhow!(failure)).with_context(unreachable),
        None => page,
    }
}

/// SOCKS 5 (RFC 1928) with a user name (RFC 1929), by which tor keeps circuits apart (`IsolateSOCKSAuth`).
///
/// Returns the failure of one of tor's own status codes. If the stream is open nevertheless, it is the
/// failure of an earlier attempt, for example at the first HSDir (tor:
/// `connection_ap_handshake_socks_reply`).
fn connect(stream: &mut (impl Read + Write), user: &str, host: &str, port: u16) -> Result<Option<String>> {
    stream.write_all(&[5, 1, 2])?;
    ensure!(read_array(stream)? == [5, 2], "the SOCKS port takes no user name");
    let mut login = vec![1];
    push_short(&mut login, user)?;
    push_short(&mut login, "x")?;
    stream.write_all(&login)?;
    ensure!(read_array(stream)? == [1, 0], "the SOCKS port refused the user name");
    let mut command = vec![5, 1, 0, 3];
    push_short(&mut command, host)?;
    command.extend(port.to_be_bytes());
    stream.write_all(&command)?;
    let [_, status, _, kind] = read_array(stream)?;
    let failure = || format!("tor's SOCKS port answered {}", meaning(status));
    ensure!(status == 0 || status >= EXTENDED, failure());
    ensure!(kind == 1, "tor's SOCKS port answered with an address of kind {kind}");
    // The bound address and port have no meaning for an onion service.
    read_array::<6>(stream)?;
    Ok((status != 0).then(failure))
}

fn push_short(bytes: &mut Vec<u8>, text: &str) -> Result<()> {
    bytes.push(text.len().try_into().context("too long for SOCKS")?);
    bytes.extend(text.as_bytes());
    Ok(())
}

fn read_array<const N: usize>(stream: &mut (impl Read + Write)) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// RFC 1928 and, from 0xF0, tor's `ExtendedErrors` (socks-extensions).
fn meaning(status: u8) -> String {
    let words = match status {
        1 => "general failure",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "time-out",
        0xF0 => "descriptor not found",
        0xF1 => "descriptor invalid",
        0xF2 => "introduction failed",
        0xF3 => "rendezvous failed",
        0xF4 => "client authorization missing",
        0xF5 => "client authorization wrong",
        0xF6 => "bad onion address",
        0xF7 => "introduction timed out",
        _ => "an error",
    };
    format!("{words} (0x{status:02X})")
}

fn get(stream: &mut (impl Read + Write), host: &str, path: &str) -> Result<(u16, Vec<u8>)> {
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(PAGE_MAX).read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("the answer has no head")?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("the answer begins with {head:?}"))?;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    if length.is_some_and(|length| length.parse() != Ok(body.len())) {
        bail!("the page was cut after {} bytes", body.len());
    }
    Ok((status, body))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Cursor};

    use super::*;

    /// A SOCKS port with this answer to every request.
    struct Port(Cursor<Vec<u8>>);

    impl Read for Port {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            self.0.read(bytes)
        }
    }

    impl Write for Port {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const PAGE: &str = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi";

    fn request_answered(status: u8, page: &str) -> Result<(u16, Vec<u8>), String> {
        let mut answer = vec![5, 2, 1, 0, 5, status, 0, 1, 0, 0, 0, 0, 0, 0];
        answer.extend(page.as_bytes());
        let mut port = Port(Cursor::new(answer));
        request(&mut port, "user", "host", 80, "/").map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_page_counts_though_tor_tells_of_an_attempt_that_failed_before() {
        assert_eq!(request_answered(0, PAGE), Ok((200, b"hi".to_vec())));
        assert_eq!(request_answered(0xF0, PAGE), Ok((200, b"hi".to_vec())));
    }

    #[test]
    fn without_a_page_the_failure_is_told() {
        let failed = "cannot reach host through Tor: tor's SOCKS port answered descriptor not found (0xF0)";
        assert_eq!(request_answered(0xF0, ""), Err(failed.into()));
        let failed = "cannot reach host through Tor: tor's SOCKS port answered general failure (0x01)";
        assert_eq!(request_answered(1, ""), Err(failed.into()));
        assert_eq!(request_answered(0, ""), Err("no page from host: the answer has no head".into()));
    }
}
