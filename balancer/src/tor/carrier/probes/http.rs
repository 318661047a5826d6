//! The HTTP request of a probe.
//!
//! Each part of the answer is bounded here, and the caller bounds the time. A backend's answer is the word of
//! a stranger: it is searched for the expected text, and is not kept.

use std::error::Error;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use onionbalance_proto::config::HttpProbe;
use tokio::io::{AsyncReadExt, join, split};

use crate::network::ProbeFailure;
use crate::tor::socks::Stream;

/// The longest head of an answer, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// The most header fields of an answer.
const MAX_FIELDS: usize = 100;
/// The longest body that is searched for the expected text, in bytes.
const MAX_BODY: usize = 256 * 1024;
/// The most bytes that are read in all, with chunk sizes and provisional answers.
const MAX_READ: u64 = 1024 * 1024;

/// The name by which a backend's operator can tell probes from visitors.
const AGENT: &str = "onionbalance";

/// Asks for the page of `probe`, and compares the answer with the one that it wants. `address` is the host
/// where the probe has none.
pub(super) async fn ask<S: Stream>(stream: S, probe: &HttpProbe, address: &str) -> Result<(), ProbeFailure> {
    let (from, to) = split(stream);
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .handshake::<_, String>(TokioIo::new(join(from.take(MAX_READ), to)))
        .await
        .map_err(|error| failure(&error))?;
    let mut connection = pin!(connection);
    let carry = async {
        // Its end reaches the request or the body.
        let _ = connection.as_mut().await;
        pending().await
    };
    tokio::select! {
        answer = compare(sender, probe, address) => answer,
        never = carry => never,
    }
}

async fn compare(
    mut sender: SendRequest<String>,
    probe: &HttpProbe,
    address: &str,
) -> Result<(), ProbeFailure> {
    let request = Request::get(&probe.path)
        .header(HOST, probe.host.as_deref().unwrap_or(address))
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
        .body(String::new())
        // The configuration admits no such path or host.
        .map_err(|error| ProbeFailure::Http(format!("the request is not valid: {error}")))?;
    let response = sender.send_request(request).await.map_err(|error| failure(&error))?;
    let status = response.status().as_u16();
    if !probe.expect.range().contains(&status) {
        return Err(ProbeFailure::Status(status));
    }
    match &probe.body {
        Some(text) => find(text, response).await,
        None => Ok(()),
    }
}

/// Reads the body until the text is found.
async fn find(text: &str, response: Response<Incoming>) -> Result<(), ProbeFailure> {
    let mut body = response.into_body();
    let mut read: Vec<u8> = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(part) = frame.map_err(|error| failure(&error))?.into_data() else { continue };
        let from = read.len().saturating_sub(text.len());
        read.extend_from_slice(&part);
        if read.get(from..).is_some_and(|new| memmem::find(new, text.as_bytes()).is_some()) {
            return Ok(());
        }
        if read.len() > MAX_BODY {
            return Err(ProbeFailure::Http(format!(
                "the first {} KiB of the page do not have the expected text",
                MAX_BODY / 1024
            )));
        }
    }
    Err(ProbeFailure::Body)
}

fn failure(error: &hyper::Error) -> ProbeFailure {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let is_cut_off = cause.is_some_and(|cause| cause.kind() == io::ErrorKind::UnexpectedEof);
    ProbeFailure::Http(if is_cut_off || error.is_incomplete_message() || error.is_canceled() {
        "the connection ended before the answer did".to_owned()
    } else {
        error.to_string()
    })
}
