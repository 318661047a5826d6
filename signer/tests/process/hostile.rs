//! Peers that try to block the signer: it keeps serving others, and obeys its operator.

use std::fs;
use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use needs_root::needs_root;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, sendmsg,
    setsockopt, socket, sockopt,
};
use onionbalance_process::monotonic;
use onionbalance_proto::wire::frame;

use crate::activation::activated;
use crate::harness::{Client, Directory, NOBODY, Running, SERVICES, without_calls};

/// The time within which a signer that is not blocked answers. It usually answers within milliseconds, but
/// the machine may be busy. Hostile peers would block it for the whole test, or for a minute.
const HELD: Duration = Duration::from_secs(20);

/// Checks that another peer is answered.
fn assert_serves(directory: &Directory) {
    let begun = monotonic();
    assert!(directory.connect().is_answered());
    let took = begun.elapsed();
    assert!(took < HELD, "{took:?}");
}

/// A connection by another user. A thread may have a user of its own (credentials(7)), which the kernel
/// reports to the other end.
fn connect_as(directory: &Directory, uid: u32) -> UnixStream {
    let path = directory.socket();
    let connecting = thread::spawn(move || {
        #[expect(unsafe_code, reason = "the library changes the user of all threads")]
        // SAFETY: the system call changes numbers of this thread, which does nothing else.
        let outcome = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
        assert_eq!(outcome, 0);
        UnixStream::connect(path).unwrap()
    });
    connecting.join().unwrap()
}

/// A TCP socket whose close lingers for a minute: it has more to send than its peer takes, which does not
/// read.
fn lingering() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    setsockopt(&ours, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 60 }).unwrap();
    ours.set_nonblocking(true).unwrap();
    while ours.write(&[0; 4096]).is_ok() {}
    ours.set_nonblocking(false).unwrap();
    (ours, theirs)
}

fn pass(stream: &UnixStream, descriptor: RawFd) -> nix::Result<usize> {
    let descriptors = [descriptor];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(b"O")], &rights, MsgFlags::MSG_NOSIGNAL, None)
}

/// Leaves the close of a lingering socket to the signer, which is stopped until no other process holds the
/// socket. Returns the other end.
fn pass_lingering(signer: &Running, stream: &UnixStream) -> nix::Result<TcpStream> {
    signer.signal(Signal::SIGSTOP);
    let (ours, theirs) = lingering();
    let passed = pass(stream, ours.as_raw_fd());
    if passed.is_err() {
        setsockopt(&ours, sockopt::Linger, &libc::linger { l_onoff: 0, l_linger: 0 }).unwrap();
    }
    drop(ours);
    signer.signal(Signal::SIGCONT);
    passed.map(|_| theirs)
}

/// The kernel skips the byte. Alone, it leaves a connection that is readable without anything to read; inside
/// a frame, it leaves a frame that never becomes whole.
#[test]
fn an_out_of_band_byte_holds_nobody_else() {
    let directory = Directory::new("");
    let signer = directory.serve();
    for before in [&b""[..], b"O", b"OB\0\x04\0\0"] {
        let mut peer = directory.connect();
        peer.send(before);
        send(peer.0.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        assert_serves(&directory);
        signer.signal(Signal::SIGHUP);
        while !signer.line().contains("INFO reloaded config.yaml") {}
        assert!(peer.is_closed());
    }
}

/// Kernels since 6.16 refuse descriptors if the signer asks for that.
#[test]
fn a_passed_socket_that_lingers_holds_nobody_else() {
    let directory = Directory::new("");
    let signer = directory.serve();
    let mut peer = directory.connect();
    signer.expect(&["INFO connected"]);
    match pass_lingering(&signer, &peer.0) {
        Err(errno) => assert_eq!(errno, Errno::EPERM),
        Ok(_theirs) => {
            signer.expect(&["WARN closed the connection", "it passed file descriptors"]);
            assert!(peer.is_closed());
        }
    }
    assert_serves(&directory);
}

/// Kernels before 6.16 do not know the option. The message may be read, or its connection closed unread.
#[needs_root]
#[test]
fn a_passed_socket_that_lingers_holds_nobody_else_on_an_older_kernel() {
    let directory = Directory::new("");
    let command = without_calls(directory.command(), &[libc::SYS_setsockopt]);
    let mut signer = Running::start(command).serving();
    fs::set_permissions(directory.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    for uid in [0, NOBODY] {
        let mut open = Vec::new();
        for _ in 0..5 {
            signer.signal(Signal::SIGSTOP);
            let peer = connect_as(&directory, uid);
            let theirs = pass_lingering(&signer, &peer).unwrap();
            open.push((peer, theirs));
        }
        assert_serves(&directory);
        signer.signal(Signal::SIGHUP);
        while !signer.line().contains("reloaded") {}
    }
    let waiting = [(); 3].map(|()| {
        signer.signal(Signal::SIGSTOP);
        let peer = UnixStream::connect(directory.socket()).unwrap();
        let (ours, theirs) = lingering();
        pass(&peer, ours.as_raw_fd()).unwrap();
        (peer, theirs)
    });
    signer.signal(Signal::SIGTERM);
    signer.signal(Signal::SIGCONT);
    assert!(signer.end().0.success());
    drop(waiting);
}

/// The service manager's socket takes connections and their bytes while no signer runs.
#[test]
fn descriptors_that_were_passed_before_the_start_hold_nobody() {
    let directory = Directory::new("");
    let listener = UnixListener::bind(directory.socket()).unwrap();
    let (ours, _theirs) = lingering();
    let early = UnixStream::connect(directory.socket()).unwrap();
    pass(&early, ours.as_raw_fd()).unwrap();
    drop(ours);
    let begun = monotonic();
    let signer = Running::start(activated(&directory, "1", listener)).serving();
    assert_serves(&directory);
    assert!(begun.elapsed() < Duration::from_secs(30));
    // Both orders of the two connections are possible.
    while !signer.line().contains("it passed file descriptors") {}
}

#[test]
fn a_fresh_balancer_is_served_whatever_others_do() {
    let directory = Directory::new("");
    let _signer = directory.serve();
    // More connections than there are places: silent ones, and some inside a frame.
    let mut held: Vec<Client> = (0..60).map(|_| directory.connect()).collect();
    for client in held.iter_mut().step_by(2) {
        // The first ones may have lost their places already.
        let _ = client.0.write_all(b"OB");
    }
    for _ in 0..20 {
        assert_serves(&directory);
    }
    // The connections that were answered last keep their places.
    let mut live: Vec<Client> = (0..8).map(|_| directory.connect()).collect();
    for client in &mut live {
        assert!(client.is_answered());
    }
    assert_serves(&directory);
    for client in &mut live {
        assert!(client.is_answered());
    }
}

/// Ends the busy peers when dropped, also if the honest one is not served.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn busy_connections_take_turns_with_an_honest_one() {
    // First at the slow pace; then at full speed, with as many peers as there are places.
    for (requests, peers) in [(1, 8), (1_000_000, 48)] {
        assert_takes_turns(&format!("signer-requests-per-minute: {requests}\n"), peers);
    }
}

fn assert_takes_turns(more: &str, peers: usize) {
    let directory = Directory::new(more);
    let _signer = directory.serve();
    let question = frame::encode(&SERVICES).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Over(&over);
        for _ in 0..peers {
            let (directory, question, over) = (&directory, &question, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let mut client = directory.connect();
                    while !over.load(Ordering::Relaxed) {
                        if client.0.write_all(question).is_err() || client.0.read(&mut [0; 4096]).is_err() {
                            break;
                        }
                    }
                }
            });
        }
        for _ in 0..10 {
            assert_serves(&directory);
        }
    });
}

/// A non-blocking connect (as tokio's) fails if the queue of connections is full.
#[test]
fn there_is_room_for_many_that_connect_at_once() {
    let directory = Directory::new("");
    let signer = directory.serve();
    signer.signal(Signal::SIGSTOP);
    let address = UnixAddr::new(&directory.socket()).unwrap();
    let waiting: Vec<_> = (0..128)
        .map(|number| {
            let descriptor =
                socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).unwrap();
            assert_eq!(connect(descriptor.as_raw_fd(), &address), Ok(()), "{number}");
            descriptor
        })
        .collect();
    signer.signal(Signal::SIGCONT);
    assert_serves(&directory);
    drop(waiting);
}

/// A user that is not allowed takes no place.
#[needs_root]
#[test]
fn strangers_make_nobody_give_way() {
    let directory = Directory::new("");
    let signer = directory.serve();
    fs::set_permissions(directory.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    // As many connections as there are places.
    let mut allowed: Vec<Client> = (0..48).map(|_| directory.connect()).collect();
    assert!(allowed.iter_mut().all(Client::is_answered));
    for _ in 0..10 {
        let mut stranger = Client(connect_as(&directory, NOBODY));
        assert!(stranger.is_closed());
    }
    assert!(allowed.iter_mut().all(Client::is_answered));
    while !signer.line().contains("refused a connection") {}
}

#[needs_root]
#[test]
fn a_user_that_is_removed_is_cut_off_by_the_reload() {
    let directory = Directory::new("signer-allowed-uids: [65534]\n");
    let signer = directory.serve();
    fs::set_permissions(directory.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let (mut theirs, mut ours) = (Client(connect_as(&directory, NOBODY)), directory.connect());
    assert!(theirs.is_answered() && ours.is_answered());
    // The signer is stopped, so that their connections and the signal are ready at the same time.
    signer.signal(Signal::SIGSTOP);
    theirs.send(&frame::encode(&SERVICES).unwrap());
    let config = fs::read_to_string(directory.path().join("config.yaml")).unwrap();
    directory.write("config.yaml", config.replace("65534", "7"));
    signer.signal(Signal::SIGHUP);
    signer.signal(Signal::SIGCONT);
    while !signer.line().contains("reloaded") {}
    signer.expect(&["WARN closed the connection", "peer_uid=65534", "its user is no longer allowed"]);
    assert!(theirs.is_closed());
    assert!(ours.is_answered());
}
