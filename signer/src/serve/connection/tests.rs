use std::io::{Read, Write};
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessage, MsgFlags, send, sendmsg};
use onionbalance_process::monotonic;
use onionbalance_proto::wire::Page;

use super::*;

const SERVICES: Request = Request::Services { from: 0 };

fn pair() -> (Connection, UnixStream, Instant) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let now = monotonic();
    (Connection::new(ours, now).unwrap(), theirs, now)
}

fn question() -> Vec<u8> {
    frame::encode(&SERVICES).unwrap()
}

fn large_reply() -> Reply {
    let version = "x".repeat(500_000);
    Reply::Services(Page { version, edition: 1, total: 0, services: vec![] })
}

/// The reason for which a connection ended.
fn reason<T: std::fmt::Debug>(outcome: Result<T, Ended>) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn a_frame_in_pieces_becomes_a_request_and_the_next_one_waits_for_the_reply() {
    let (mut connection, mut peer, now) = pair();
    assert_eq!(connection.deadline(), None);
    for byte in question().iter().take(question().len() - 1) {
        peer.write_all(&[*byte]).unwrap();
        assert!(matches!(connection.advance(now), Ok(None)));
    }
    assert_eq!(connection.deadline(), Some(now + PATIENCE));
    peer.write_all(&[&question()[question().len() - 1..], &question()].concat()).unwrap();
    for _ in 0..2 {
        assert_eq!(connection.advance(now).unwrap(), Some(SERVICES));
        connection.reply(&Reply::Refused(Refusal::Period), now).unwrap();
        assert_eq!((connection.deadline(), connection.waits_for()), (None, PollFlags::POLLIN));
    }
}

#[test]
fn a_frame_has_five_seconds_from_its_first_byte_on() {
    let (mut connection, mut peer, now) = pair();
    assert!(connection.check_time(now + 10 * PATIENCE).is_ok(), "silence is no crime");
    peer.write_all(&question()[..1]).unwrap();
    assert!(matches!(connection.advance(now), Ok(None)));
    peer.write_all(&question()[1..2]).unwrap();
    assert!(matches!(connection.advance(now + PATIENCE / 2), Ok(None)));
    assert!(connection.check_time(now + PATIENCE.mul_f32(0.99)).is_ok());
    assert_eq!(reason(connection.check_time(now + PATIENCE)), STALLED.to_string());
}

/// Each byte that is taken makes room for more, but gives no more time.
#[test]
fn a_reply_has_five_seconds_however_slowly_it_is_taken() {
    let (mut connection, mut peer, now) = pair();
    connection.reply(&large_reply(), now).unwrap();
    for tenth in 0..50 {
        assert_eq!(connection.waits_for(), PollFlags::POLLOUT);
        let later = now + Duration::from_millis(100 * tenth);
        assert!(connection.check_time(later).is_ok());
        let _ = peer.read(&mut [0; 100]).unwrap();
        assert!(matches!(connection.advance(later), Ok(None)));
    }
    assert_eq!(reason(connection.check_time(now + PATIENCE)), NOT_TAKEN.to_string());
}

#[test]
fn a_reply_goes_out_in_as_many_parts_as_it_takes() {
    let (mut connection, mut peer, now) = pair();
    connection.reply(&large_reply(), now).unwrap();
    let wanted = frame::encode(&large_reply()).unwrap();
    let mut taken = vec![0; wanted.len()];
    let mut filled = 0;
    while filled < taken.len() {
        filled += peer.read(&mut taken[filled..]).unwrap();
        // The rest of the reply; after it, a request that has not come.
        if connection.waits_for() == PollFlags::POLLOUT {
            connection.advance(now).unwrap();
        }
    }
    assert!(taken == wanted);
    assert_eq!(connection.waits_for(), PollFlags::POLLIN);
}

/// `poll` reports the socket as readable although there is nothing to read.
#[test]
fn an_out_of_band_byte_ends_it_at_once() {
    for before in [&b""[..], b"O", &question()[..9]] {
        let (mut connection, mut peer, now) = pair();
        peer.write_all(before).unwrap();
        assert!(before.is_empty() || matches!(connection.advance(now), Ok(None)));
        send(peer.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        assert_eq!(reason(connection.advance(now)), "it sent out-of-band bytes");
    }
}

#[test]
fn descriptors_end_it_at_once() {
    let (mut connection, peer, now) = pair();
    let passed = [peer.as_raw_fd()];
    let parts = [io::IoSlice::new(b"O")];
    let rights = [ControlMessage::ScmRights(&passed)];
    sendmsg::<()>(peer.as_raw_fd(), &parts, &rights, MsgFlags::empty(), None).unwrap();
    assert_eq!(reason(connection.advance(now)), "it passed file descriptors");
}

#[test]
fn an_end_is_told_from_a_break() {
    for (bytes, is_clean) in [(0, true), (1, false), (8, false), (9, false)] {
        let (mut connection, mut peer, now) = pair();
        peer.write_all(&question()[..bytes]).unwrap();
        drop(peer);
        let end = if is_clean { Ended::Closed } else { STALLED };
        assert_eq!(reason(connection.advance(now)), end.to_string(), "{bytes}");
    }
}
