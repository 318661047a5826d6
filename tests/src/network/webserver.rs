//! The web site of a backend: enough HTTP to identify the backend, and to transfer bytes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;

/// Answers `/bytes/N` with N bytes and every other path with its name, until it is dropped.
#[derive(Debug)]
pub struct WebServer {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl WebServer {
    /// Starts a server on a free port of loopback.
    pub fn start(name: &str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let (name, seen) = (name.to_owned(), Arc::clone(&stopped));
        thread::Builder::new().name(format!("web of {name}")).spawn(move || {
            for stream in listener.incoming() {
                if seen.load(Ordering::Relaxed) {
                    break;
                }
                if let Ok(stream) = stream {
                    let name = name.clone();
                    // A visitor that disconnects is not an error of the site.
                    thread::spawn(move || answer(&stream, &name).ok());
                }
            }
        })?;
        Ok(Self { address, stopped })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

/// The longest head of a request, in bytes, and the longest pause within one.
const HEAD_MAX: u64 = 16 * 1024;
const PATIENCE: Duration = Duration::from_mins(1);

fn answer(mut stream: &TcpStream, name: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let path = read_path(stream)?;
    if let Some(count) = path.strip_prefix("/bytes/").and_then(|count| count.parse::<u64>().ok()) {
        write_head(stream, count)?;
        io::copy(&mut io::repeat(b'.').take(count), &mut stream)?;
    } else {
        write_head(stream, name.len() as u64)?;
        stream.write_all(name.as_bytes())?;
    }
    stream.shutdown(Shutdown::Both)
}

fn read_path(stream: &TcpStream) -> io::Result<String> {
    let mut lines = BufReader::new(stream.take(HEAD_MAX)).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    Ok(request.split(' ').nth(1).unwrap_or_default().to_owned())
}

fn write_head(mut stream: &TcpStream, length: u64) -> io::Result<()> {
    write!(stream, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n")
}
