//! The disk as a folder of this machine, by FUSE. Mounting needs root.

use super::journal::{Journal, Node, Number};
use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// The kernel keeps nothing: each request comes here.
const TTL: Duration = Duration::ZERO;
/// A longer write comes in pieces, each of which may be lost.
const WRITE_BYTES_MAX: u32 = 4_096;

/// A mounted disk. Dropping it unmounts it.
pub struct Disk {
    journal: Arc<Mutex<Journal>>,
    syncs: Arc<Syncs>,
    _session: BackgroundSession,
    folder: TempDir,
}

impl Disk {
    /// An empty disk; `None`, with a word, where this machine does not let the test mount one.
    pub fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let journal = Arc::new(Mutex::new(Journal::new()));
        let syncs = Arc::<Syncs>::default();
        let files = Files { journal: journal.clone(), syncs: syncs.clone() };
        match fuser::spawn_mount(files, folder.path(), &Config::default()) {
            Ok(session) => Some(Self { journal, syncs, _session: session, folder }),
            Err(cause) => {
                eprintln!(
                    "SKIPPED: a disk of the test's own can't be mounted, which takes root and FUSE: {cause}"
                );
                None
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap()
    }

    /// From now on each sync takes so long. Returns how many syncs were slow before.
    pub fn slow_down(&self, delay: Duration) -> usize {
        self.syncs.delay_ms.store(delay.as_millis() as u64, Ordering::Release);
        self.syncs.slow.load(Ordering::Acquire)
    }
}

/// How long a sync takes, and how many took long.
#[derive(Default)]
struct Syncs {
    delay_ms: AtomicU64,
    slow: AtomicUsize,
}

struct Files {
    journal: Arc<Mutex<Journal>>,
    syncs: Arc<Syncs>,
}

impl Files {
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap()
    }
}

fn attributes(number: Number, node: &Node) -> FileAttr {
    let is_folder = node.names.is_some();
    FileAttr {
        ino: INodeNo(number),
        size: node.content.len() as u64,
        blocks: 1,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: if is_folder { FileType::Directory } else { FileType::RegularFile },
        perm: if is_folder { 0o755 } else { 0o644 },
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4_096,
        flags: 0,
    }
}

/// The name as text, and what it leads to.
fn find(journal: &Journal, folder: INodeNo, name: &OsStr) -> (String, Option<Number>) {
    let name = name.to_str().expect("names are text").to_owned();
    let to = journal.folder(folder.0).get(&name).copied();
    (name, to)
}

macro_rules! admitted {
    ($journal:ident, $reply:ident) => {
        if let Err(error) = $journal.admit() {
            return $reply.error(Errno::from_i32(error));
        }
    };
}

impl Filesystem for Files {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        config
            .set_max_write(WRITE_BYTES_MAX)
            .map(drop)
            .map_err(|most| std::io::Error::other(format!("{most}")))
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let journal = self.journal();
        match find(&journal, parent, name).1 {
            Some(number) => reply.entry(&TTL, &attributes(number, &journal.nodes[&number]), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &attributes(ino.0, &self.journal().nodes[&ino.0]));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut journal = self.journal();
        admitted!(journal, reply);
        if let Some(size) = size {
            journal.set_length(ino.0, size as usize);
        }
        reply.attr(&TTL, &attributes(ino.0, &journal.nodes[&ino.0]));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let mut journal = self.journal();
        admitted!(journal, reply);
        let (name, _) = find(&journal, parent, name);
        let number = journal.make(true);
        journal.name(parent.0, &name, Some(number));
        reply.entry(&TTL, &attributes(number, &journal.nodes[&number]), Generation(0));
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        let mut journal = self.journal();
        admitted!(journal, reply);
        let (name, _) = find(&journal, parent, name);
        let number = journal.make(false);
        journal.name(parent.0, &name, Some(number));
        let attributes = attributes(number, &journal.nodes[&number]);
        reply.created(&TTL, &attributes, Generation(0), FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let journal = self.journal();
        let content = &journal.nodes[&ino.0].content;
        let from = content.len().min(offset as usize);
        reply.data(&content[from..content.len().min(from + size as usize)]);
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut journal = self.journal();
        admitted!(journal, reply);
        journal.write(ino.0, offset as usize, data);
        reply.written(data.len() as u32);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let delay = self.syncs.delay_ms.load(Ordering::Acquire);
        if delay > 0 {
            std::thread::sleep(Duration::from_millis(delay));
            self.syncs.slow.fetch_add(1, Ordering::AcqRel);
        }
        let mut journal = self.journal();
        let outcome = journal.admit();
        journal.sync(ino.0, outcome);
        match outcome {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(Errno::from_i32(error)),
        }
    }

    fn fsyncdir(&self, request: &Request, ino: INodeNo, fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        self.fsync(request, ino, fh, datasync, reply);
    }

    fn link(&self, _: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut journal = self.journal();
        admitted!(journal, reply);
        match find(&journal, parent, name) {
            (_, Some(_)) => reply.error(Errno::EEXIST),
            (name, None) => {
                journal.name(parent.0, &name, Some(ino.0));
                reply.entry(&TTL, &attributes(ino.0, &journal.nodes[&ino.0]), Generation(0));
            }
        }
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut journal = self.journal();
        admitted!(journal, reply);
        let (from, moved) = find(&journal, parent, name);
        let (to, _) = find(&journal, new_parent, new_name);
        journal.name(new_parent.0, &to, moved);
        journal.name(parent.0, &from, None);
        reply.ok();
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut journal = self.journal();
        admitted!(journal, reply);
        let (name, _) = find(&journal, parent, name);
        journal.name(parent.0, &name, None);
        reply.ok();
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut journal = self.journal();
        admitted!(journal, reply);
        match find(&journal, parent, name) {
            (_, Some(number)) if !journal.folder(number).is_empty() => reply.error(Errno::ENOTEMPTY),
            (name, _) => {
                journal.name(parent.0, &name, None);
                reply.ok();
            }
        }
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let journal = self.journal();
        for (at, (name, number)) in journal.folder(ino.0).iter().enumerate().skip(offset as usize) {
            let kind = attributes(*number, &journal.nodes[number]).kind;
            if reply.add(INodeNo(*number), at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}
