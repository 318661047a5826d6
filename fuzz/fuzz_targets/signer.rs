//! The signer's whole loop over a stream: it answers what is whole, and closes after what is no frame.
//!
//! An input is what a balancer sends. In it `<v3>`, `<v2>` and `<?>` stand for whole frames that are honest and of this moment;
//! all else is sent as it is.

#![no_main]

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use libfuzzer_sys::fuzz_target;
use onionbalance_fuzz::conversation::{Script, replies, server};
use onionbalance_proto::wire::Reply;
use onionbalance_signer::serve::Server;

/// So much is sent, and answered, without anyone reading in between.
const MAX_LENGTH: usize = 1024;

thread_local! {
    static SERVER: RefCell<Server> = RefCell::new(server());
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
    SERVER.with_borrow_mut(|server| server.serve_stream(theirs)).expect("served to its end");

    let mut received = Vec::new();
    // A stream that was closed before its end was read is reset, after all that was sent.
    let _ = ours.read_to_end(&mut received);
    let replies = replies(&received);
    match input {
        [b'<', b'v', b'3', b'>', ..] => assert!(matches!(replies.first(), Some(Reply::FrontendV3(_)))),
        [b'<', b'v', b'2', b'>', ..] => assert!(matches!(replies.first(), Some(Reply::FrontendV2(_)))),
        [b'<', b'?', b'>', ..] => assert!(matches!(replies.first(), Some(Reply::Services(_)))),
        _ => {}
    }
});
