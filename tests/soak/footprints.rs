//! Memory and file handles of the daemons, over their lives.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Lives shorter than this say nothing: caches and rings still fill.
const LIFE_LEAST: Duration = Duration::from_secs(600);
/// How much more memory the last quarter of a life may show than its second quarter.
const GROWTH_MAX: f64 = 0.1;
/// The same in bytes, of daemons that are small.
const GROWTH_BYTES: u64 = 16 << 20;
const HANDLES_MORE: u64 = 16;

/// What a process held at one moment.
#[derive(Clone, Copy, Debug)]
struct Footprint {
    at: Instant,
    resident: u64,
    handles: u64,
}

/// What the processes held, by their ids.
#[derive(Default)]
pub struct Footprints {
    lives: BTreeMap<u32, Vec<Footprint>>,
    newest: BTreeMap<u32, Footprint>,
}

impl Footprints {
    /// Looks at processes that run.
    pub fn measure(&mut self, processes: &[u32]) {
        self.newest.clear();
        for id in processes {
            let status = std::fs::read_to_string(format!("/proc/{id}/status"));
            let handles = std::fs::read_dir(format!("/proc/{id}/fd"));
            // One that has just ended has neither.
            let (Ok(status), Ok(handles)) = (status, handles) else { continue };
            let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
            let Some(kilobytes) = kilobytes else { continue };
            let resident = kilobytes.trim().parse::<u64>().expect("a number") << 10;
            let footprint = Footprint { at: Instant::now(), resident, handles: handles.count() as u64 };
            self.lives.entry(*id).or_default().push(footprint);
            self.newest.insert(*id, footprint);
        }
    }

    pub fn newest(&self) -> String {
        let each = |(id, f): (&u32, &Footprint)| {
            format!("[{id}: {:.1} MiB, {} handles]", f.resident as f64 / 1_048_576.0, f.handles)
        };
        self.newest.iter().map(each).collect::<Vec<_>>().join(" ")
    }

    /// Medians of the second and the last quarter of each life that is long enough: seconds, memory, handles.
    fn quarters(&self) -> impl Iterator<Item = (u32, f64, [u64; 2], [u64; 2])> {
        self.lives.iter().filter_map(|(id, life)| {
            let lived = life.last()?.at.duration_since(life.first()?.at);
            if lived < LIFE_LEAST {
                return None;
            }
            let quarter = |n: usize| &life[life.len() * n / 4..life.len() * (n + 1) / 4];
            let median = |of: fn(&Footprint) -> u64| {
                [1, 3].map(|n| {
                    let mut values: Vec<u64> = quarter(n).iter().map(of).collect();
                    values.sort_unstable();
                    values[values.len() / 2]
                })
            };
            Some((*id, lived.as_secs_f64(), median(|f| f.resident), median(|f| f.handles)))
        })
    }

    pub fn report(&self) {
        for (id, lived, [early, late], [opened, open]) in self.quarters() {
            println!(
                "soak: daemon {id} lived {lived:.0} s: memory {:.1} -> {:.1} MiB, handles {opened} -> {open}",
                early as f64 / 1_048_576.0,
                late as f64 / 1_048_576.0
            );
        }
    }

    /// Panics where a life shows growth.
    pub fn are_flat(&self) {
        for (id, _, [early, late], [opened, open]) in self.quarters() {
            let limit = early + GROWTH_BYTES.max((early as f64 * GROWTH_MAX) as u64);
            assert!(late <= limit, "daemon {id} has grown from {early} to {late} bytes");
            assert!(open <= opened + HANDLES_MORE, "daemon {id} has {open} handles after {opened}");
        }
    }
}
