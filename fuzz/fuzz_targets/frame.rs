//! Frames and the messages in them: an accepted frame is the only frame of its message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onionbalance_proto::wire::frame::Message;
use onionbalance_proto::wire::{Header, Reply, Request, frame};

fuzz_target!(|input: &[u8]| {
    check::<Request>(input);
    check::<Reply>(input);
});

fn check<M: Message>(input: &[u8]) {
    let Some((header, body)) = input.split_first_chunk::<{ Header::LENGTH }>() else { return };
    let promised = Header::decode::<M>(*header).ok().map(Header::body_length);
    assert!(promised.is_none_or(|length| length <= M::MAX_LENGTH));
    if let Ok(message) = frame::decode::<M>(body) {
        let written = frame::encode(&message).expect("as long as the frame was");
        let (header, rest) = written.split_first_chunk().expect("a header");
        assert_eq!(rest, body);
        assert_eq!(Header::decode::<M>(*header).expect("our own").body_length(), body.len());
    }
}
