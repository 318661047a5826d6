//! Tor's events: the accounted size of an event covers at least the texts that it holds.
//!
//! The first line of an input is the event's line, the rest is its data block.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onionbalance::tor::Event;
use onionbalance::tor::event::{HsDesc, StatusClient};
use onionbalance::tor::reply::{Line, Message};

fuzz_target!(|input: &str| {
    let (text, data) = input.split_once('\n').map_or((input, None), |(text, data)| (text, Some(data)));
    let line = Line { text: text.to_owned(), data: data.map(|data| data.as_bytes().to_owned()) };
    let Some(event) = Event::parse(Message { status: 650, lines: vec![line] }) else { return };
    let texts = match &event {
        Event::HsDescContent(content) => content.text.len() + content.descriptor_id.to_string().len(),
        Event::HsDesc(HsDesc::Failed { reason, .. }) => reason.len(),
        Event::HsDesc(HsDesc::Received { descriptor_id, .. }) => descriptor_id.to_string().len(),
        Event::HsDesc(_) => 0,
        Event::StatusClient(StatusClient::Bootstrap(bootstrap)) => bootstrap.summary.len(),
        Event::StatusClient(_) => 0,
    };
    assert!(event.size() >= size_of::<Event>() + texts);
});
