//! Authentication at the control port (control-spec, "PROTOCOLINFO", "AUTHENTICATE").

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::command::Command;
use super::connect::connect;
use super::control::{Connection, ControlError};
use super::reply::Message;
use super::safecookie::{Challenge, Cookie};
use super::version::TorVersion;
use super::words::{Word, value, words};
use crate::endpoint::Endpoint;

/// The longest wait for the answer to PROTOCOLINFO at the start. A tor on the same machine takes
/// milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// The password whose hash is tor's `HashedControlPassword`. A secret: it is never printed.
#[derive(Clone, Eq, PartialEq)]
pub struct Password(String);

impl Password {
    /// A password; any text is valid.
    pub fn new(password: String) -> Self {
        Self(password)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// The reason for which authentication failed.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// `HashedControlPassword` is set and `CookieAuthentication` is not.
    #[error(
        "tor's control port wants a password: set `tor-control-password` in the configuration, or \
         `CookieAuthentication 1` in tor's torrc"
    )]
    PasswordWanted,
    /// tor offers none of the methods that can be used.
    #[error(
        "tor's control port offers no usable way to authenticate (it offers: {0}): set `CookieAuthentication 1` in \
         tor's torrc"
    )]
    NoMethod(String),
    /// The file with the cookie cannot be used.
    #[error("cannot read tor's authentication cookie {}: {source}{}", .path.display(), cookie_advice(.source))]
    Cookie {
        /// The file that tor named.
        path: PathBuf,
        /// The error of opening or reading the file.
        source: io::Error,
    },
    /// The other side failed to prove that it knows the cookie.
    #[error(
        "the process at the control port does not know the cookie in {}: it is not the tor that wrote this file",
        .0.display()
    )]
    Impostor(PathBuf),
    /// Tor did not accept the password. Its own text is left out: it has advice on quotes that would mislead
    /// here.
    #[error(
        "tor did not accept the password: it is not the one whose hash is `HashedControlPassword` in tor's torrc"
    )]
    WrongPassword,
    /// Tor did not accept another method.
    #[error("tor did not accept the {method}: {text}")]
    Rejected {
        /// The name of the method, as the message needs it.
        method: &'static str,
        /// The text of tor's reply.
        text: String,
    },
    /// The connection failed.
    #[error(transparent)]
    Control(#[from] ControlError),
}

impl AuthError {
    /// True if the same attempt would fail again until a person changes something.
    pub fn is_permanent(&self) -> bool {
        !matches!(self, Self::Control(_))
    }
}

fn cookie_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; add the user to the group of tor (debian-tor), and set `CookieAuthFileGroupReadable 1` in tor's torrc; if it \
             has another path than when onionbalance was started, restart onionbalance"
        }
        io::ErrorKind::NotFound => "; the file must be visible here under the same path as to tor",
        _ => "",
    }
}

/// Tor's answer to PROTOCOLINFO, which it gives before authentication.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct ProtocolInfo {
    methods: Vec<String>,
    cookie_file: Option<PathBuf>,
    /// The version of tor.
    pub(super) version: TorVersion,
}

impl ProtocolInfo {
    fn parse(message: &Message) -> Option<Self> {
        let lines: Option<Vec<_>> = message.lines.iter().map(|line| words(&line.text)).collect();
        let lines = lines?;
        let line =
            |name: &[u8]| lines.iter().find(|line| line.first().is_some_and(|word| word.value == name));
        let auth = line(b"AUTH")?;
        Some(Self {
            methods: value(auth, "METHODS")?.text().split(',').map(str::to_owned).collect(),
            cookie_file: value(auth, "COOKIEFILE").map(path),
            version: value(line(b"VERSION")?, "Tor")?.text().parse().ok()?,
        })
    }

    /// The file with the cookie; `None` if authentication will not read it.
    pub(super) fn cookie<'a>(&'a self, password: Option<&'a Password>, local: bool) -> Option<&'a Path> {
        match self.choose(password, local) {
            Ok(Method::SafeCookie(path) | Method::Cookie(path)) => Some(path),
            _ => None,
        }
    }

    fn offers(&self, method: &str) -> bool {
        self.methods.iter().any(|offered| offered == method)
    }

    /// The method to use: a configured password first, then a method without a secret, then the cookie.
    ///
    /// COOKIE sends the content of a file to the process that named it. Tor offers SAFECOOKIE wherever it
    /// offers COOKIE. So COOKIE alone is believed only over a socket that nobody but tor can listen at, tor's
    /// AF_UNIX one.
    fn choose<'a>(&'a self, password: Option<&'a Password>, local: bool) -> Result<Method<'a>, AuthError> {
        if let Some(password) = password.filter(|_| self.offers("HASHEDPASSWORD")) {
            return Ok(Method::Password(password));
        }
        if self.offers("NULL") {
            return Ok(Method::Null);
        }
        match &self.cookie_file {
            Some(path) if self.offers("SAFECOOKIE") => Ok(Method::SafeCookie(path)),
            Some(path) if self.offers("COOKIE") && local => Ok(Method::Cookie(path)),
            _ if self.offers("HASHEDPASSWORD") => Err(AuthError::PasswordWanted),
            _ => Err(AuthError::NoMethod(self.methods.join(", "))),
        }
    }
}

fn path(word: &Word) -> PathBuf {
    OsString::from_vec(word.value.clone()).into()
}

#[derive(Debug, Eq, PartialEq)]
enum Method<'a> {
    Password(&'a Password),
    Null,
    SafeCookie(&'a Path),
    Cookie(&'a Path),
}

impl Method<'_> {
    fn failure(&self, error: ControlError) -> AuthError {
        let ControlError::Refused { text, .. } = error else { return error.into() };
        match self {
            Self::Password(_) => AuthError::WrongPassword,
            Self::Null => AuthError::Rejected { method: "lack of a secret", text },
            Self::SafeCookie(_) => AuthError::Rejected { method: "proof of the cookie", text },
            Self::Cookie(_) => AuthError::Rejected { method: "cookie", text },
        }
    }
}

/// The answer at a control port before authentication.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Meeting {
    /// There was no answer within [`ANSWER_WITHIN`].
    Nobody,
    /// Tor answered. It names this file for its cookie, or `None`.
    Tor(Option<PathBuf>),
}

/// Asks a tor for the path of its control port's cookie.
///
/// A host's name is looked up in the calling thread, however long that takes. So everything that the C
/// library loads for it is there before the process is confined, and no earlier thread remains.
pub async fn meet(endpoint: &Endpoint) -> Meeting {
    let Ok(endpoint) = endpoint.resolved() else { return Meeting::Nobody };
    let asking = async {
        let (connection, _events) = connect(&endpoint).await.ok()?;
        Some(connection.protocol_info().await.ok()?.cookie_file)
    };
    timeout(ANSWER_WITHIN, asking).await.ok().flatten().map_or(Meeting::Nobody, Meeting::Tor)
}

impl Connection {
    /// Asks for tor's version and for its methods of authentication.
    pub(super) async fn protocol_info(&self) -> Result<ProtocolInfo, ControlError> {
        let message = self.call(Command::new("PROTOCOLINFO").words("1")).await?;
        ProtocolInfo::parse(&message).ok_or_else(|| ControlError::unexpected("PROTOCOLINFO", &message))
    }

    /// Authenticates. `local` is true for an AF_UNIX connection; `nonce` must be fresh randomness.
    pub(super) async fn authenticate(
        &self,
        info: &ProtocolInfo,
        password: Option<&Password>,
        local: bool,
        nonce: &[u8; 32],
    ) -> Result<(), AuthError> {
        let method = info.choose(password, local)?;
        let command = Command::new("AUTHENTICATE");
        let command = match method {
            Method::Password(Password(password)) => command.hex(password.as_bytes()),
            Method::Null => command,
            Method::SafeCookie(path) => command.hex(&self.prove_cookie(path, nonce).await?),
            Method::Cookie(path) => command.hex(read_cookie(path)?.as_bytes()),
        };
        self.call(command).await.map(drop).map_err(|error| method.failure(error))
    }

    async fn prove_cookie(&self, path: &Path, nonce: &[u8; 32]) -> Result<[u8; 32], AuthError> {
        let cookie = read_cookie(path)?;
        let command = Command::new("AUTHCHALLENGE").words("SAFECOOKIE").hex(nonce);
        let message = self.call(command).await?;
        let challenge =
            Challenge::parse(&message).ok_or_else(|| ControlError::unexpected("AUTHCHALLENGE", &message))?;
        cookie.prove(nonce, &challenge).ok_or_else(|| AuthError::Impostor(path.to_owned()))
    }
}

fn read_cookie(path: &Path) -> Result<Cookie, AuthError> {
    Cookie::read(path).map_err(|source| AuthError::Cookie { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tor::reply::Line;

    fn info(lines: &[&str]) -> Option<ProtocolInfo> {
        let lines = lines.iter().map(|text| Line { text: (*text).to_owned(), data: None }).collect();
        ProtocolInfo::parse(&Message { status: 250, lines })
    }

    fn offering(methods: &str) -> ProtocolInfo {
        let auth = format!(r#"AUTH METHODS={methods} COOKIEFILE="/c""#);
        info(&["PROTOCOLINFO 1", &auth, r#"VERSION Tor="0.4.9.11""#, "OK"]).unwrap()
    }

    #[test]
    fn reads_protocol_info() {
        let auth = r#"AUTH METHODS=COOKIE,SAFECOOKIE,HASHEDPASSWORD COOKIEFILE="/a \"b\"\\\303\251/c""#;
        let version = r#"VERSION Tor="0.4.9.11 (git-0123)" more"#;
        let expected = ProtocolInfo {
            methods: ["COOKIE", "SAFECOOKIE", "HASHEDPASSWORD"].map(str::to_owned).to_vec(),
            cookie_file: Some("/a \"b\"\\é/c".into()),
            version: TorVersion([0, 4, 9, 11]),
        };
        assert_eq!(info(&["PROTOCOLINFO 1", auth, version, "OK"]), Some(expected));
        let null = info(&["AUTH METHODS=NULL", version]).unwrap();
        assert_eq!((null.methods, null.cookie_file), (vec!["NULL".to_owned()], None));
        for broken in [&["OK"][..], &[auth], &[version], &["AUTH", version], &[auth, "VERSION Tor=\"x\""]] {
            assert_eq!(info(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn chooses_a_method() {
        let password = Password::new("secret".to_owned());
        let chosen =
            |methods, password| offering(methods).choose(password, true).map(|m| format!("{m:?}")).ok();
        let all = "NULL,COOKIE,SAFECOOKIE,HASHEDPASSWORD";
        let safe = Some(r#"SafeCookie("/c")"#.to_owned());
        assert_eq!(chosen(all, Some(&password)), Some("Password(Password)".to_owned()));
        assert_eq!(chosen(all, None), Some("Null".to_owned()));
        assert_eq!(chosen("NULL", Some(&password)), Some("Null".to_owned()));
        assert_eq!(chosen("HASHEDPASSWORD,COOKIE,SAFECOOKIE", None), safe);
        assert_eq!(chosen("COOKIE,SAFECOOKIE", Some(&password)), safe);
        assert_eq!(chosen("COOKIE", None), Some(r#"Cookie("/c")"#.to_owned()));
    }

    #[test]
    fn says_why_there_is_no_method() {
        let error = |methods, local| offering(methods).choose(None, local).unwrap_err();
        let wanted = error("HASHEDPASSWORD", true);
        assert!(wanted.to_string().contains("`tor-control-password`") && wanted.is_permanent());
        assert!(error("FOO,BAR", true).to_string().contains("FOO, BAR"));
        assert!(matches!(error("COOKIE", false), AuthError::NoMethod(_)));
        let no_file = info(&["AUTH METHODS=SAFECOOKIE", "VERSION Tor=0.4.9.11"]).unwrap();
        assert!(matches!(no_file.choose(None, true), Err(AuthError::NoMethod(_))));
    }

    #[test]
    fn advises_on_a_cookie_that_cannot_be_read() {
        let text = |kind: io::ErrorKind| {
            AuthError::Cookie { path: "/run/tor/control.authcookie".into(), source: kind.into() }.to_string()
        };
        let denied = text(io::ErrorKind::PermissionDenied);
        assert!(
            denied.contains("debian-tor") && denied.contains("CookieAuthFileGroupReadable 1"),
            "{denied}"
        );
        assert!(denied.contains("/run/tor/control.authcookie"));
        assert!(text(io::ErrorKind::NotFound).contains("same path"));
    }
}
