//! The files of a disk, the journal of their changes, and what is left of them after a power loss.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

pub type Number = u64;
pub const ROOT: Number = 1;

/// A file or a folder.
#[derive(Clone, Default)]
pub struct Node {
    /// The names in a folder; `None` for a file.
    pub names: Option<BTreeMap<String, Number>>,
    pub content: Vec<u8>,
}

/// What happened, in order.
#[derive(Clone)]
enum Event {
    /// A name of a folder leads to another node, or to none.
    Name {
        folder: Number,
        name: String,
        to: Option<Number>,
    },
    Write {
        file: Number,
        at: usize,
        bytes: Vec<u8>,
    },
    Length {
        file: Number,
        length: usize,
    },
    /// Everything before it of this node is durable.
    Synced(Number),
    /// A sync has failed. As on Linux, a later one does not bring to the disk what this one should have of a file.
    /// Names wait in the file system's own journal: it is written later, or the file system stops.
    SyncFailed(Number),
}

/// What the disk does wrong.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The first request that fails, counted from the fault's beginning.
    pub at: usize,
    /// How many requests fail from there on.
    pub times: usize,
    /// The error, as of errno.
    pub error: i32,
}

/// How much survives of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Survival {
    Nothing,
    All,
    /// Each change by itself, and a written piece whole, in part, or as zeros.
    Some,
}

/// A disk's files, and how they came about.
#[derive(Default)]
pub struct Journal {
    pub nodes: HashMap<Number, Node>,
    events: Vec<Event>,
    next: Number,
    fault: Option<Fault>,
    requests: usize,
    /// How often the fault bit.
    pub bites: usize,
}

impl Journal {
    /// An empty disk.
    pub fn new() -> Self {
        let mut journal = Self { next: ROOT + 1, ..Self::default() };
        journal.nodes.insert(ROOT, Node { names: Some(BTreeMap::new()), ..Node::default() });
        journal
    }

    /// How many events there were.
    pub fn length(&self) -> usize {
        self.events.len()
    }

    /// Sets or ends a fault; requests are counted from here.
    pub fn fail(&mut self, fault: Option<Fault>) {
        (self.fault, self.requests) = (fault, 0);
    }

    /// To be asked before each request that changes something or syncs.
    pub fn admit(&mut self) -> Result<(), i32> {
        self.requests += 1;
        match self.fault {
            Some(fault)
                if (fault.at..fault.at.saturating_add(fault.times)).contains(&(self.requests - 1)) =>
            {
                self.bites += 1;
                Err(fault.error)
            }
            _ => Ok(()),
        }
    }

    pub fn folder(&self, number: Number) -> &BTreeMap<String, Number> {
        self.nodes.get(&number).and_then(|node| node.names.as_ref()).expect("a folder")
    }

    /// A new node without a name.
    pub fn make(&mut self, is_folder: bool) -> Number {
        let number = self.next;
        self.next += 1;
        self.nodes.insert(number, Node { names: is_folder.then(BTreeMap::new), content: Vec::new() });
        number
    }

    pub fn name(&mut self, folder: Number, name: &str, to: Option<Number>) {
        let names = self.nodes.get_mut(&folder).and_then(|node| node.names.as_mut()).expect("a folder");
        match to {
            Some(to) => names.insert(name.to_owned(), to),
            None => names.remove(name),
        };
        self.events.push(Event::Name { folder, name: name.to_owned(), to });
    }

    pub fn write(&mut self, file: Number, at: usize, bytes: &[u8]) {
        put(&mut self.nodes.get_mut(&file).expect("a file").content, at, bytes);
        self.events.push(Event::Write { file, at, bytes: bytes.to_vec() });
    }

    pub fn set_length(&mut self, file: Number, length: usize) {
        self.nodes.get_mut(&file).expect("a file").content.resize(length, 0);
        self.events.push(Event::Length { file, length });
    }

    pub fn sync(&mut self, node: Number, outcome: Result<(), i32>) {
        self.events.push(if outcome.is_ok() { Event::Synced(node) } else { Event::SyncFailed(node) });
    }

    /// Whether something was written that a power loss can take.
    pub fn has_unsynced_writes(&self) -> bool {
        let durable = self.durable(self.length());
        self.events
            .iter()
            .zip(durable)
            .any(|(event, durable)| matches!(event, Event::Write { .. }) && !durable)
    }

    /// What is durable of the first `until` events.
    fn durable(&self, until: usize) -> Vec<bool> {
        let mut durable = vec![false; until];
        let mut open: HashMap<Number, Vec<usize>> = HashMap::new();
        for (at, event) in self.events[..until].iter().enumerate() {
            match event {
                Event::Name { folder: node, .. }
                | Event::Write { file: node, .. }
                | Event::Length { file: node, .. } => open.entry(*node).or_default().push(at),
                Event::Synced(node) => {
                    open.remove(node).into_iter().flatten().for_each(|at| durable[at] = true);
                }
                Event::SyncFailed(node) if self.nodes[node].names.is_none() => drop(open.remove(node)),
                Event::SyncFailed(_) => {}
            }
        }
        durable
    }

    /// Puts into an empty folder what a power loss after the first `until` events leaves. Returns how many changes
    /// were lost or torn.
    pub fn leave(&self, until: usize, survival: Survival, rng: &mut ChaCha8Rng, into: &Path) -> usize {
        let durable = self.durable(until);
        let (mut files, mut folders) = (HashMap::<Number, Vec<u8>>::new(), HashMap::new());
        folders.insert(ROOT, BTreeMap::<&str, Number>::new());
        let mut harm = 0;
        for (event, is_durable) in self.events[..until].iter().zip(durable) {
            let survives = is_durable
                || match survival {
                    Survival::Nothing => false,
                    Survival::All => true,
                    Survival::Some => rng.random(),
                };
            let is_change = !matches!(event, Event::Synced(_) | Event::SyncFailed(_));
            harm += usize::from(is_change && !survives);
            match event {
                Event::Name { folder, name, to } if survives => {
                    let names = folders.entry(*folder).or_default();
                    match to {
                        Some(to) => drop(names.insert(name, *to)),
                        None => drop(names.remove(name.as_str())),
                    }
                }
                Event::Write { file, at, bytes } if survives => {
                    let mut piece = bytes.clone();
                    if !is_durable && survival == Survival::Some && !piece.is_empty() {
                        let from = rng.random_range(0..=piece.len());
                        match rng.random_range(0..3) {
                            0 => piece.truncate(from),
                            1 => piece[from..].fill(0),
                            _ => {}
                        }
                        harm += usize::from(piece != *bytes);
                    }
                    put(files.entry(*file).or_default(), *at, &piece);
                }
                Event::Length { file, length } if survives => {
                    files.entry(*file).or_default().resize(*length, 0);
                }
                _ => {}
            }
        }
        self.lay(ROOT, &folders, &files, into);
        harm
    }

    fn lay(
        &self,
        folder: Number,
        folders: &HashMap<Number, BTreeMap<&str, Number>>,
        files: &HashMap<Number, Vec<u8>>,
        into: &Path,
    ) {
        for (name, number) in folders.get(&folder).into_iter().flatten() {
            let path = into.join(name);
            if self.nodes[number].names.is_some() {
                std::fs::create_dir(&path).unwrap();
                self.lay(*number, folders, files, &path);
            } else {
                std::fs::write(path, files.get(number).map_or(&[][..], |content| content)).unwrap();
            }
        }
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    content.resize(content.len().max(at + bytes.len()), 0);
    content[at..at + bytes.len()].copy_from_slice(bytes);
}
