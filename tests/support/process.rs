//! Child processes that never outlive the test, and whose log is printed when it fails.

#![allow(unsafe_code, reason = "calls of libc")]

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::marker::PhantomData;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// The last lines of a log that a failed test prints.
const LOG_LINES_MAX: usize = 200;

/// The longest wait for a moment in which a thread works.
const FREEZE_LIMIT: Duration = Duration::from_secs(20);

/// A running child whose output goes to `log`. Dropping it kills it; if the test is failing, its log is
/// printed.
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; its output is appended to `log`.
    pub fn spawn(name: &'static str, mut command: Command, log: &Path) -> io::Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // SAFETY: prctl is async-signal-safe and accesses no memory of this process.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        Ok(Self { name, child: spawn_for_life(command)?, log: log.to_owned() })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the child has written so far.
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// `None` while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait for a child")
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(&mut self) {
        // An error means that the child has ended by itself.
        let _ = self.child.kill();
        self.child.wait().expect("wait for a child");
    }

    pub fn signal(&mut self, signal: i32) {
        if self.exit_status().is_none() {
            // SAFETY: the child is not reaped yet, so the id is still its own.
            unsafe { libc::kill(self.child.id() as i32, signal) };
        }
    }

    /// Stops one thread of the child by its name while it works, not while it waits; the others run on.
    pub fn freeze(&self, thread: &str) -> Frozen {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.id())).expect("the child's threads");
        let named = |task: &PathBuf| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == thread)
        };
        let task = tasks.map(|t| t.expect("a thread").path()).find(named);
        let task = task.unwrap_or_else(|| panic!("{} has no thread {thread}", self.name));
        let id: i32 = task.file_name().and_then(|n| n.to_str()?.parse().ok()).expect("a thread's number");
        let until = Instant::now() + FREEZE_LIMIT;
        loop {
            let frozen = Frozen::new(id);
            // The number of its system call; −1 in none.
            let call = std::fs::read_to_string(task.join("syscall")).expect("what the thread does");
            if call.starts_with("-1") {
                return frozen;
            }
            drop(frozen);
            assert!(Instant::now() < until, "{thread} only waits: {call}");
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Waits until it has ended; panics with its log after `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let until = Instant::now() + limit;
        loop {
            match self.exit_status() {
                Some(status) => return status,
                None if Instant::now() > until => panic!("{} runs on after {limit:?}", self.name),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

/// A thread that is stopped until this is dropped. Only the thread that stopped it can resume it.
pub struct Frozen {
    id: i32,
    tracer: PhantomData<*const ()>,
}

impl Frozen {
    fn new(id: i32) -> Self {
        for request in [libc::PTRACE_SEIZE, libc::PTRACE_INTERRUPT] {
            // SAFETY: neither request reads or writes memory of this process.
            let done = unsafe { libc::ptrace(request, id, 0, 0) };
            assert_eq!(done, 0, "ptrace: {}", io::Error::last_os_error());
        }
        let mut status = 0;
        // SAFETY: `status` lives; this thread traces that one.
        let stopped = unsafe { libc::waitpid(id, &raw mut status, libc::__WALL) };
        assert_eq!(stopped, id, "the thread does not stop: {}", io::Error::last_os_error());
        Self { id, tracer: PhantomData }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // SAFETY: the request reads and writes no memory of this process; the thread may have ended.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.id, 0, 0) };
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = match self.exit_status() {
            None => "was running".to_owned(),
            Some(status) => match status.signal() {
                Some(signal) => format!("ended by signal {signal}"),
                None => format!("exited with {:?}", status.code()),
            },
        };
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LOG_LINES_MAX)..];
            eprintln!("---- {} ({ended}), the end of its log:\n{}\n----", self.name, tail.join("\n"));
        }
    }
}

/// Linux sends the death signal when the *thread* that started a child ends, and each test has its own thread. So all
/// children are started by one thread that lives as long as the test process.
fn spawn_for_life(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                reply.send(command.spawn()).expect("the caller waits");
            }
        });
        Mutex::new(orders)
    });
    let (reply, answer) = channel();
    spawner.lock().unwrap().send((command, reply)).expect("the spawner lives");
    answer.recv().expect("the spawner answers")
}

/// A fresh directory for one child under `target/tmp`.
pub fn fresh_dir(name: &str) -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix(&format!("{name}-"))
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .expect("a directory under target/tmp")
}

/// A port on which no process listens. It is below the range of the kernel's ports for outgoing connections, because a
/// client that reconnects to a dead server could otherwise occupy the port itself.
pub fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    (0..COUNT)
        .map(|_| FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT)
        .find(|&port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok())
        .expect("a free port")
}

/// Writes `text` to `dir/name` and returns the path.
pub fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    File::create(&path).expect("create a file").write_all(text.as_bytes()).expect("write a file");
    path
}
