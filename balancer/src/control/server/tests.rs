use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::sync::watch;

use super::*;
use crate::confinement::Lacking;

async fn bind(path: &Path, is_named: bool) -> Result<ControlSocket, ControlError> {
    ControlSocket::bind(Some(ControlPlace { path: path.to_owned(), is_named })).await
}

/// Runs `client` while the socket at a path is served for a balancer without services.
async fn while_served<F: Future<Output = ()>>(client: impl FnOnce(PathBuf) -> F) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let control = bind(&path, true).await.unwrap();
    let (_signer, trouble) = watch::channel(None);
    let (board, memory) = (StatusBoard::new(trouble, Lacking::default()), Memory::default());
    tokio::select! {
        () = client(path) => {}
        () = control.serve(&board, &memory) => unreachable!("it serves forever"),
    }
}

/// The answer to a text; the client goes on listening.
async fn answer_to(path: &Path, text: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    // The other end may have closed before all of it is written.
    let _ = stream.write_all(text).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn the_socket_is_its_users_alone_and_one_balancers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let first = bind(&path, false).await.unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let error = bind(&path, true).await.err().unwrap().to_string();
    let wanted = format!("another onionbalance (pid {}) answers at ", std::process::id());
    assert!(error.starts_with(&wanted), "{error}");
    assert!(bind(&path, false).await.unwrap().socket.is_none());
    drop(first);
    assert!(!path.try_exists().unwrap());

    let missing = directory.path().join("missing/control.sock");
    assert!(bind(&missing, false).await.unwrap().socket.is_none());
    let error = bind(&missing, true).await.err().unwrap().to_string();
    assert!(error.starts_with("cannot create the control socket "), "{error}");
    assert!(ControlSocket::bind(None).await.unwrap().socket.is_none());
}

#[tokio::test]
async fn whatever_a_client_sends_it_gets_one_line() {
    while_served(|path| async move {
        for (text, wanted) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "this is not a request: "),
            (b"\xff\xff\n", "this is not a request: "),
            (b"\n", "this is not a request: "),
            (b"{\"backend\":\"a\",\"command\":\"start\"}\n", "this is not a request: unknown variant"),
            (&[b'['; 10_000], "the request has more than 4096 bytes"),
            (b"{\"backend\":\"web1\",\"command\":\"enable\"}\n", "onionbalance balances no service yet"),
        ] {
            let answer = answer_to(&path, text).await;
            assert!(
                answer.starts_with(&format!("{{\"refused\":\"{wanted}")) && answer.ends_with("\"}\n"),
                "{answer}"
            );
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn clients_that_say_nothing_hold_up_the_others_for_seconds_only() {
    while_served(|path| async move {
        let mut silent = Vec::new();
        for _ in 0..MOST {
            silent.push(UnixStream::connect(&path).await.unwrap());
        }
        let began = Instant::now();
        let answer = answer_to(&path, b"{\"backend\":\"web1\",\"command\":\"enable\"}\n").await;
        assert!(answer.starts_with("{\"refused\":\"onionbalance balances no service"), "{answer}");
        assert!(began.elapsed() >= PATIENCE && began.elapsed() < PATIENCE * 2, "{:?}", began.elapsed());
    })
    .await;
}
