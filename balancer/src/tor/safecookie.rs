//! SAFECOOKIE: both sides prove that they know the cookie, and neither sends it (control-spec,
//! "AUTHCHALLENGE").
//!
//! The file holds 32 random bytes that tor writes at its start. A process that listens in tor's place learns
//! nothing from a proof, and cannot give one.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use data_encoding::HEXUPPER_PERMISSIVE;
use hmac::{Hmac, Mac};
use nix::fcntl::OFlag;
use sha2::Sha256;

use super::reply::Message;
use super::words::{value, words};

const SERVER_KEY: &[u8] = b"Tor safe cookie authentication server-to-controller hash";
const CLIENT_KEY: &[u8] = b"Tor safe cookie authentication controller-to-server hash";

/// tor's authentication cookie, 32 bytes. A secret: it is never printed.
pub(super) struct Cookie([u8; 32]);

impl Cookie {
    /// Reads the file that tor names in PROTOCOLINFO.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        // Without this flag a named pipe would block until it has a writer.
        let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
        let mut bytes = Vec::with_capacity(33);
        file.take(33).read_to_end(&mut bytes)?;
        <[u8; 32]>::try_from(bytes).map(Self).map_err(|bytes| {
            let has = if bytes.len() > 32 { "more".to_owned() } else { bytes.len().to_string() };
            io::Error::new(io::ErrorKind::InvalidData, format!("a cookie has 32 bytes, the file has {has}"))
        })
    }

    /// The cookie itself, for the COOKIE method.
    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Checks tor's proof, and returns ours, 32 bytes; `None` if the other side does not know the cookie.
    pub(super) fn prove(&self, client_nonce: &[u8; 32], challenge: &Challenge) -> Option<[u8; 32]> {
        let mac = |key| self.mac(key, client_nonce, &challenge.server_nonce);
        // The comparison takes constant time: an impostor must not learn how much of its guess was right.
        mac(SERVER_KEY)?.verify((&challenge.server_hash).into()).ok()?;
        Some(mac(CLIENT_KEY)?.finalize().into_bytes().into())
    }

    fn mac(&self, key: &[u8], client_nonce: &[u8; 32], server_nonce: &[u8; 32]) -> Option<Hmac<Sha256>> {
        let mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        Some(mac.chain_update(self.0).chain_update(client_nonce).chain_update(server_nonce))
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie")
    }
}

/// Tor's answer to AUTHCHALLENGE.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Challenge {
    server_hash: [u8; 32],
    server_nonce: [u8; 32],
}

impl Challenge {
    /// Reads `AUTHCHALLENGE SERVERHASH=… SERVERNONCE=…`; `None` if it is anything else.
    pub(super) fn parse(message: &Message) -> Option<Self> {
        let words = words(&message.lines.first()?.text)?;
        let bytes = |key| {
            let bytes = HEXUPPER_PERMISSIVE.decode(&value(&words, key)?.value).ok()?;
            <[u8; 32]>::try_from(bytes).ok()
        };
        Some(Self { server_hash: bytes("SERVERHASH")?, server_nonce: bytes("SERVERNONCE")? })
    }
}

#[cfg(test)]
mod tests {
    use std::array::from_fn;
    use std::io::Write;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use nix::sys::stat::Mode;

    use super::*;
    use crate::tor::reply::Line;

    // openssl dgst -sha256 -mac HMAC -macopt key:… over the bytes 0 to 95.
    const SERVER_HASH: &str = "3c8780ab52365c0d080750447e5f64dabc00428c6c434579c2043e18c1f85389";
    const CLIENT_HASH: &str = "b47642df2d5abb84f69e6d02d41bed6b44aee33e69562528a82166fc98bc0b1e";

    fn count_from(first: u8) -> [u8; 32] {
        from_fn(|index| first + u8::try_from(index).unwrap())
    }

    fn challenge(server_hash: &str) -> Option<Challenge> {
        let nonce = HEXUPPER_PERMISSIVE.encode(&count_from(64));
        let text = format!("AUTHCHALLENGE SERVERHASH={server_hash} SERVERNONCE={nonce}");
        Challenge::parse(&Message { status: 250, lines: vec![Line { text, data: None }] })
    }

    #[test]
    fn agrees_with_openssl() {
        let proof = Cookie(count_from(0)).prove(&count_from(32), &challenge(SERVER_HASH).unwrap());
        assert_eq!(HEXUPPER_PERMISSIVE.encode(&proof.unwrap()), CLIENT_HASH.to_uppercase());
    }

    #[test]
    fn finds_an_impostor_out() {
        let cookie = Cookie(count_from(0));
        let challenge = challenge(SERVER_HASH).unwrap();
        for position in [0, 31] {
            let mut server_hash = challenge.server_hash;
            server_hash[position] ^= 1;
            let forged = Challenge { server_hash, ..challenge };
            assert_eq!(cookie.prove(&count_from(32), &forged), None);
        }
        assert_eq!(cookie.prove(&count_from(33), &challenge), None);
        assert_eq!(Cookie(count_from(1)).prove(&count_from(32), &challenge), None);
    }

    #[test]
    fn refuses_what_is_no_challenge() {
        assert_eq!(challenge(""), None);
        assert_eq!(challenge(&SERVER_HASH.replacen("3c", "", 1)), None);
        assert_eq!(challenge(&format!("{SERVER_HASH}00")), None);
    }

    #[test]
    fn a_cookie_has_32_bytes() {
        for (length, fits) in [(0, false), (31, false), (32, true), (33, false), (4096, false)] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&vec![7; length]).unwrap();
            assert_eq!(Cookie::read(file.path()).is_ok(), fits, "{length}");
        }
    }

    #[test]
    fn a_pipe_in_its_place_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cookie");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        let (sender, read) = mpsc::channel();
        thread::spawn(move || sender.send(Cookie::read(&path).is_err()));
        assert_eq!(read.recv_timeout(Duration::from_secs(10)), Ok(true));
    }

    #[test]
    fn prints_no_secret() {
        assert_eq!(format!("{:?}", Cookie([7; 32])), "Cookie");
    }
}
