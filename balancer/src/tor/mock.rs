//! A tor for tests that gives prepared answers, including those that a real one cannot be made to give.

use std::fmt::Debug;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::control::{Connection, Events};

/// Tor's end of a connection.
pub(super) struct Mock(DuplexStream);

impl Mock {
    /// A connection, and tor's end of it.
    pub(super) fn connect() -> (Self, Connection, Events) {
        // The buffer is small, so that long messages arrive in pieces.
        let (ours, theirs) = duplex(4096);
        let (connection, events) = Connection::start(ours);
        (Self(theirs), connection, events)
    }

    /// Waits for exactly these bytes.
    pub(super) async fn expect(&mut self, command: &str) {
        let mut bytes = vec![0; command.len()];
        self.0.read_exact(&mut bytes).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), command);
    }

    /// Sends bytes, which may or may not be read to their end.
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// Waits for a command and answers it.
    pub(super) async fn answer(&mut self, command: impl AsRef<str>, reply: impl AsRef<[u8]>) {
        self.expect(command.as_ref()).await;
        self.send(reply).await;
    }

    /// Waits until the other end is closed; nothing more may come.
    pub(super) async fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

/// The text of an error.
pub(super) fn error_text<T: Debug, E: std::error::Error>(result: Result<T, E>) -> String {
    result.unwrap_err().to_string()
}
