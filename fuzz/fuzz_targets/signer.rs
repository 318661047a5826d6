//! The signer's conversation over a stream: it answers complete frames, and closes the stream after anything
//! else.
//!
//! An input is the bytes of a balancer. `<v3>`, `<v2>` and `<?>` are replaced by complete honest frames of
//! the present moment; all other bytes are sent unchanged.

#![no_main]

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use onionbalance_fuzz::conversation::{Script, replies, services};
use onionbalance_proto::wire::Reply;
use onionbalance_signer::serve::Services;
use onionbalance_signer::serve::connection::Connection;

/// The most bytes that are sent, and answered, without a reader in between.
const MAX_LENGTH: usize = 1024;

thread_local! {
    static SERVICES: RefCell<Services> = RefCell::new(services());
    static SCRIPT: Script = Script::new();
}

fuzz_target!(|input: &[u8]| {
    if input.len() > MAX_LENGTH {
        return;
    }
    let sent = SCRIPT.with(|script| script.spell_out(input));
    let (mut ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    ours.write_all(&sent).expect("room for all of it");
    ours.shutdown(Shutdown::Write).expect("a stream");
    SERVICES.with_borrow_mut(|services| serve(services, theirs));

    let mut received = Vec::new();
    // A stream that is closed before its input is read is reset, after all output.
    let _ = ours.read_to_end(&mut received);
    let replies = replies(&received);
    match input {
        [b'<', b'v', b'3', b'>', ..] => assert!(matches!(replies.first(), Some(Reply::FrontendV3(_)))),
        [b'<', b'v', b'2', b'>', ..] => assert!(matches!(replies.first(), Some(Reply::FrontendV2(_)))),
        [b'<', b'?', b'>', ..] => assert!(matches!(replies.first(), Some(Reply::Services(_)))),
        _ => {}
    }
});

/// Replies to all requests. The stream always has more bytes, an end or an error, so that no read waits.
fn serve(services: &mut Services, stream: UnixStream) {
    let now = Instant::now();
    let mut connection = Connection::new(stream, now).expect("a peer");
    while let Ok(request) = connection.advance(now) {
        let request = request.expect("the rest of a frame, or an end");
        let reply = services.answer(&request, connection.peer);
        if connection.reply(&reply, now).is_err() {
            break;
        }
    }
}
