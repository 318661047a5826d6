//! The web site of a backend: enough HTTP to identify the backend, and to transfer bytes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::lock;

/// Answers `/bytes/N` with N bytes, `/status/CODE` with that status and every other path with its name, until
/// it is dropped.
#[derive(Debug)]
pub struct WebServer {
    name: String,
    address: SocketAddr,
    fails: Arc<AtomicBool>,
    /// `None` while it is killed.
    accepting: Mutex<Option<Accepting>>,
}

/// A thread that accepts connections.
#[derive(Debug)]
struct Accepting {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl WebServer {
    /// Starts a server on a free port of loopback.
    pub fn start(name: &str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (name, fails) = (name.to_owned(), Arc::default());
        let accepting = Mutex::new(Some(Accepting::begin(listener, &name, &fails)?));
        Ok(Self { name, address, fails, accepting })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes its listening socket, as the kernel does when a server is killed: connections are refused.
    pub fn kill(&self) {
        *lock(&self.accepting) = None;
    }

    /// Listens on its address again.
    pub fn revive(&self) -> Result<()> {
        let listener = TcpListener::bind(self.address).context("the web server's port is taken")?;
        *lock(&self.accepting) = Some(Accepting::begin(listener, &self.name, &self.fails)?);
        Ok(())
    }

    /// From now on every page has the status 500, or, if not `fails`, its own.
    pub fn set_failing(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }
}

impl Accepting {
    fn begin(listener: TcpListener, name: &str, fails: &Arc<AtomicBool>) -> Result<Self> {
        let address = listener.local_addr()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let (name, fails, seen) = (name.to_owned(), Arc::clone(fails), Arc::clone(&stopped));
        let thread = thread::Builder::new().name(format!("web of {name}")).spawn(move || {
            for stream in listener.incoming() {
                if seen.load(Ordering::Relaxed) {
                    break;
                }
                if let Ok(stream) = stream {
                    let (name, fails) = (name.clone(), fails.load(Ordering::Relaxed));
                    // A visitor that disconnects is not an error of the site.
                    thread::spawn(move || answer(&stream, &name, fails).ok());
                }
            }
        })?;
        Ok(Self { address, stopped, thread: Some(thread) })
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            // A panic of it was printed.
            let _ = thread.join();
        }
    }
}

/// The longest head of a request, in bytes, and the longest pause within one.
const HEAD_MAX: u64 = 16 * 1024;
const PATIENCE: Duration = Duration::from_mins(1);

fn answer(mut stream: &TcpStream, name: &str, fails: bool) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let path = read_path(stream)?;
    if let Some(count) = path.strip_prefix("/bytes/").and_then(|count| count.parse::<u64>().ok()) {
        write_head(stream, "200", count)?;
        io::copy(&mut io::repeat(b'.').take(count), &mut stream)?;
    } else {
        let own = path.strip_prefix("/status/").unwrap_or("200");
        write_head(stream, if fails { "500" } else { own }, name.len() as u64)?;
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

fn write_head(mut stream: &TcpStream, status: &str, length: u64) -> io::Result<()> {
    write!(stream, "HTTP/1.0 {status} OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n")
}
