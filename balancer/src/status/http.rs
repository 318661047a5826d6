//! The requests of readers that speak HTTP/1, such as Prometheus behind a proxy and `curl --unix-socket`.
//!
//! A reader of Onionbalance's socket connects and sends nothing, and its silence alone distinguishes it: a
//! reader that sends nothing within [`SILENCE`] gets the form of the socket. A client of HTTP sends its
//! request at once. A reader that closes its sending side, as `onionbalance status` does, need not wait.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// The time after which a reader without a word gets the form of the socket. A request that a proxy passes on
/// comes within some milliseconds.
pub(super) const SILENCE: Duration = Duration::from_millis(250);
/// The longest wait for the rest of a request that has begun.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest head of a request, in bytes.
const LONGEST: usize = 8 << 10;
/// The content type of Prometheus's text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// The wish of a reader.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wish {
    /// The status in the form of the socket, without HTTP.
    Form,
    /// `GET /status`: the JSON object.
    Status,
    /// `GET /metrics`: the metrics for Prometheus.
    Metrics,
    /// Another path.
    Elsewhere,
    /// Another method than GET.
    Otherwise,
}

impl Wish {
    /// Reads what a reader sends first. One that sends nothing for the time `silence` wishes the form.
    pub(super) async fn read(reader: &mut (impl AsyncRead + Unpin), silence: Duration) -> Self {
        let mut head = Vec::with_capacity(512);
        match timeout(silence, reader.read_buf(&mut head)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) | Err(_) => return Self::Form,
        }
        // A request that does not end is judged by its first line.
        let _ = timeout(PATIENCE, read_on(reader, &mut head)).await;
        Self::of(&head)
    }

    fn of(head: &[u8]) -> Self {
        let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match request(line) {
            None => Self::Form,
            Some(("GET", path)) => match path.split('?').next() {
                Some("/status") => Self::Status,
                Some("/metrics") => Self::Metrics,
                _ => Self::Elsewhere,
            },
            Some(_) => Self::Otherwise,
        }
    }
}

/// Reads until the head of a request has ended, or cannot be one.
async fn read_on(reader: &mut (impl AsyncRead + Unpin), head: &mut Vec<u8>) {
    while head.len() < LONGEST && !is_whole(head) {
        if !matches!(reader.read_buf(head).await, Ok(1..)) {
            return;
        }
    }
}

/// True if nothing has to follow: the first line is not that of a request, or an empty line has come.
fn is_whole(head: &[u8]) -> bool {
    let mut lines = head.split_inclusive(|byte| *byte == b'\n');
    let Some(first) = lines.next() else { return false };
    if !first.ends_with(b"\n") {
        return !first.iter().next().is_some_and(u8::is_ascii_uppercase);
    }
    request(first).is_none() || lines.any(|line| line == b"\n" || line == b"\r\n")
}

/// The method and the target of a request line; `None` if it is not one.
fn request(line: &[u8]) -> Option<(&str, &str)> {
    let line = std::str::from_utf8(line).ok()?.trim_end();
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    (words.next().is_none() && is_method && target.starts_with('/') && version.starts_with("HTTP/1."))
        .then_some((method, target))
}

/// The head of the response with a body of this length, after which the connection is closed; empty without
/// HTTP.
pub(super) fn head(wish: Wish, length: usize) -> String {
    let (status, content) = match wish {
        Wish::Form => return String::new(),
        Wish::Status => ("200 OK", "application/json"),
        Wish::Metrics => ("200 OK", METRICS),
        Wish::Elsewhere => ("404 Not Found", TEXT),
        Wish::Otherwise => ("405 Method Not Allowed\r\nAllow: GET", TEXT),
    };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};
    use tokio::time::{Instant, sleep};

    use super::*;

    /// The wish of a reader that sends these pieces, a second apart, and keeps the connection; and the time
    /// until it is known.
    async fn wish(pieces: &[&str]) -> (Wish, Duration) {
        let (mut ours, mut theirs) = duplex(64 << 10);
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect();
        let sender = tokio::spawn(async move {
            for piece in pieces {
                theirs.write_all(&piece).await.unwrap();
                sleep(Duration::from_secs(1)).await;
            }
            sleep(Duration::from_secs(60)).await;
        });
        let began = Instant::now();
        let wish = Wish::read(&mut ours, SILENCE).await;
        sender.abort();
        (wish, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_answered_when_it_has_ended() {
        let at_once = Duration::ZERO;
        for (request, wanted) in [
            ("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", Wish::Metrics),
            ("GET /metrics?x=1 HTTP/1.0\n\n", Wish::Metrics),
            ("GET /status HTTP/1.1\r\n\r\n", Wish::Status),
            ("GET / HTTP/1.1\r\n\r\n", Wish::Elsewhere),
            ("POST /status HTTP/1.1\r\n\r\n", Wish::Otherwise),
        ] {
            assert_eq!(wish(&[request]).await, (wanted, at_once), "{request}");
        }
        let pieces = ["GET /me", "trics HTTP/1.1\r\nHost: a\r\n", "\r\n"];
        assert_eq!(wish(&pieces).await, (Wish::Metrics, Duration::from_secs(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn other_readers_get_the_form_of_the_socket() {
        assert_eq!(wish(&[]).await, (Wish::Form, SILENCE));
        for text in ["\n", "status\n", "GET /metrics\n", "HELLO\n", "GET metrics HTTP/1.1\n", "\u{0}"] {
            assert_eq!(wish(&[text]).await, (Wish::Form, Duration::ZERO), "{text:?}");
        }
        let (mut ours, theirs) = duplex(1);
        drop(theirs);
        assert_eq!(Wish::read(&mut ours, SILENCE).await, Wish::Form);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_has_a_longest_time_and_a_longest_head() {
        assert_eq!(wish(&["GET /metrics HTTP/1.1\r\n"]).await, (Wish::Metrics, PATIENCE));
        assert_eq!(wish(&["GET "]).await, (Wish::Form, PATIENCE));
        let long = format!("GET /metrics HTTP/1.1\r\nX: {}", "a".repeat(2 * LONGEST));
        assert_eq!(wish(&[&long]).await, (Wish::Metrics, Duration::ZERO));
    }

    #[test]
    fn a_response_tells_the_length_of_its_body() {
        let metrics = head(Wish::Metrics, 4);
        assert!(
            metrics.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"),
            "{metrics}"
        );
        assert!(metrics.ends_with("\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"), "{metrics}");
        assert_eq!(head(Wish::Form, 4), "");
    }
}
