//! A TCP proxy in front of one Kafka broker. It reads the frames of Kafka's protocol, so a test can say what happens to
//! each request and each answer: by client, by kind of request, by direction.
//!
//! Every connection of a client is one connection to the broker. A fault is counted where it bites.

#![allow(unsafe_code, reason = "calls of libc")]

use super::process::free_port;
use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest wait for the broker's answer to a request that is delivered late.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Keys of requests, as Kafka's protocol numbers them.
pub mod api {
    pub const PRODUCE: i16 = 0;
    pub const FETCH: i16 = 1;
    pub const LIST_OFFSETS: i16 = 2;
    pub const METADATA: i16 = 3;
    pub const OFFSET_FETCH: i16 = 9;
    pub const FIND_COORDINATOR: i16 = 10;
    pub const JOIN_GROUP: i16 = 11;
    pub const HEARTBEAT: i16 = 12;
    pub const INIT_PRODUCER_ID: i16 = 22;
    pub const ADD_PARTITIONS_TO_TXN: i16 = 24;
    pub const ADD_OFFSETS_TO_TXN: i16 = 25;
    pub const END_TXN: i16 = 26;
    pub const TXN_OFFSET_COMMIT: i16 = 28;
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    Broker,
    Client,
}

/// What a rule sees of a request or an answer.
#[derive(Debug)]
pub struct Frame<'a> {
    pub towards: Towards,
    /// The number of its connection; each is of one client.
    pub connection: usize,
    /// The `client.id` of the request, or of the request that is answered.
    pub client: &'a str,
    /// The key of the request, or of the request that is answered: see [`api`].
    pub api: i16,
    /// Bytes, its length prefix among them.
    pub bytes: usize,
}

/// What happens to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Pass,
    /// It goes on this long after it came. Those behind it wait for it.
    Delay(Duration),
    /// It disappears; the connection stays. All of them: a black hole. Those of one direction: half open.
    Swallow,
    /// It disappears, and both ends see a reset. Of an answer: the request was done, and the client doesn't hear it.
    Reset,
    /// The request is kept for [`Proxy::deliver_held`], and both ends see a reset.
    HoldAndReset,
}

/// How often each fault has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bites {
    pub delayed: usize,
    pub swallowed: usize,
    pub reset: usize,
    pub held: usize,
}

impl Bites {
    pub fn total(&self) -> usize {
        self.delayed + self.swallowed + self.reset + self.held
    }
}

type Rule = Box<dyn FnMut(&Frame<'_>) -> Verdict + Send>;

struct Shared {
    broker: u16,
    rule: Mutex<Rule>,
    bites: Mutex<Bites>,
    held: Mutex<Vec<Vec<u8>>>,
    /// One stream of each pair, to end them.
    streams: Mutex<Vec<TcpStream>>,
    refuses: AtomicBool,
    ends: AtomicBool,
}

/// A proxy before one broker. Dropping it ends its connections.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Before the broker on this port of 127.0.0.1; everything passes until [`rule`](Self::rule) says otherwise.
    pub fn start(broker: u16) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port for the proxy");
        let shared = Arc::new(Shared {
            broker,
            rule: Mutex::new(Box::new(|_| Verdict::Pass)),
            bites: Mutex::default(),
            held: Mutex::default(),
            streams: Mutex::default(),
            refuses: AtomicBool::new(false),
            ends: AtomicBool::new(false),
        });
        let proxy = Self { port, shared: shared.clone() };
        std::thread::spawn(move || {
            let mut connections = 0;
            for client in listener.incoming() {
                if shared.ends.load(Ordering::Acquire) {
                    return;
                }
                let Ok(client) = client else { continue };
                // Where the broker is away, the client sees its connection closed.
                if !shared.refuses.load(Ordering::Acquire) {
                    connections += 1;
                    let _ = connect(&shared, connections, &client);
                }
            }
        });
        proxy
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Decides about every frame from now on.
    pub fn rule(&self, rule: impl FnMut(&Frame<'_>) -> Verdict + Send + 'static) {
        *lock(&self.shared.rule) = Box::new(rule);
    }

    /// Everything passes from now on.
    pub fn heal(&self) {
        self.shared.refuses.store(false, Ordering::Release);
        self.rule(|_| Verdict::Pass);
    }

    /// Resets all connections that are there.
    pub fn cut(&self) {
        for stream in lock(&self.shared.streams).drain(..) {
            reset(&stream);
        }
    }

    /// Resets all connections and refuses new ones until [`heal`](Self::heal).
    pub fn isolate(&self) {
        self.shared.refuses.store(true, Ordering::Release);
        self.cut();
    }

    pub fn bites(&self) -> Bites {
        *lock(&self.shared.bites)
    }

    /// The faults since this was called last.
    pub fn take_bites(&self) -> Bites {
        std::mem::take(&mut *lock(&self.shared.bites))
    }

    /// Requests that are held.
    pub fn held(&self) -> usize {
        lock(&self.shared.held).len()
    }

    /// Delivers the oldest request that is held, on a connection of its own, and returns the broker's answer after the
    /// correlation id: as if the network had kept it until now. Panics when there is none.
    pub fn deliver_held(&self) -> Vec<u8> {
        let request = lock(&self.shared.held).remove(0);
        let mut stream = TcpStream::connect(("127.0.0.1", self.shared.broker)).expect("the broker listens");
        stream.set_read_timeout(Some(ANSWER_LIMIT)).expect("a limit");
        stream.write_all(&request).expect("the broker takes it");
        let answer = read_frame(&mut stream).expect("the broker answers");
        answer[8..].to_vec()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Release);
        self.cut();
        // Wakes the listener's thread.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends a connection with RST.
fn reset(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: the descriptor is open and `linger` lives.
    unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size,
        );
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// A frame with its length prefix.
fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    stream.read_exact(&mut frame)?;
    let bytes = i32::from_be_bytes(frame[..4].try_into().expect("four bytes"));
    frame.resize(4 + usize::try_from(bytes).map_err(io::Error::other)?, 0);
    stream.read_exact(&mut frame[4..])?;
    Ok(frame)
}

/// Which request each correlation id is of: its key and its client.
type Requests = Arc<Mutex<BTreeMap<i32, (i16, String)>>>;

/// Joins a client's connection with one to the broker.
fn connect(shared: &Arc<Shared>, connection: usize, client: &TcpStream) -> io::Result<()> {
    let broker = TcpStream::connect(("127.0.0.1", shared.broker))?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    lock(&shared.streams).extend([client.try_clone()?, broker.try_clone()?]);
    let requests = Requests::default();
    for (towards, from, to) in [(Towards::Broker, client, &broker), (Towards::Client, &broker, client)] {
        let (sender, receiver) = channel();
        let (source, target) = (from.try_clone()?, to.try_clone()?);
        let (from, shared, requests) = (from.try_clone()?, shared.clone(), requests.clone());
        std::thread::spawn(move || {
            // What is under way still arrives; then the writer ends both sides.
            Pipe { shared, connection, towards, from, requests }.read(&sender);
        });
        std::thread::spawn(move || write(&receiver, source, target));
    }
    Ok(())
}

/// What the writer of a pipe does next.
enum Job {
    Write(Instant, Vec<u8>),
    Reset,
}

fn write(jobs: &Receiver<Job>, from: TcpStream, mut to: TcpStream) {
    for job in jobs {
        match job {
            Job::Write(due, frame) => {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if to.write_all(&frame).is_err() {
                    break;
                }
            }
            Job::Reset => {
                reset(&from);
                reset(&to);
                return;
            }
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// One direction of a connection.
struct Pipe {
    shared: Arc<Shared>,
    connection: usize,
    towards: Towards,
    from: TcpStream,
    requests: Requests,
}

impl Pipe {
    /// Reads frames until the connection ends, and hands the writer what becomes of them.
    fn read(mut self, jobs: &Sender<Job>) {
        while let Ok(frame) = read_frame(&mut self.from) {
            let came = Instant::now();
            let Some((api, client)) = self.request(&frame) else { return };
            let (towards, connection) = (self.towards, self.connection);
            let seen = Frame { towards, connection, client: &client, api, bytes: frame.len() };
            let verdict = lock(&self.shared.rule)(&seen);
            let mut bites = lock(&self.shared.bites);
            let job = match verdict {
                Verdict::Pass => Job::Write(came, frame),
                Verdict::Delay(time) => {
                    bites.delayed += 1;
                    Job::Write(came + time, frame)
                }
                Verdict::Swallow => {
                    bites.swallowed += 1;
                    continue;
                }
                Verdict::Reset => {
                    bites.reset += 1;
                    Job::Reset
                }
                Verdict::HoldAndReset => {
                    bites.held += 1;
                    lock(&self.shared.held).push(frame);
                    Job::Reset
                }
            };
            drop(bites);
            if jobs.send(job).is_err() {
                return;
            }
        }
    }

    /// The key and the client of a request, or of the request that this answers. `None` for what is no Kafka frame.
    fn request(&self, frame: &[u8]) -> Option<(i16, String)> {
        let short = |at: usize| Some(i16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
        let long = |at: usize| Some(i32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?));
        if self.towards == Towards::Client {
            return lock(&self.requests).remove(&long(4)?);
        }
        let (api, correlation) = (short(4)?, long(8)?);
        // A null id has the length −1.
        let length = usize::try_from(short(12)?).unwrap_or(0);
        let client = String::from_utf8_lossy(frame.get(14..14 + length)?).into_owned();
        lock(&self.requests).insert(correlation, (api, client.clone()));
        Some((api, client))
    }
}
