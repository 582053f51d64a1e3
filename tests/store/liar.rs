//! A proxy before an S3 server that lies: it answers late, in part, with an error, with something old or not at all,
//! whether or not the request was carried out.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lie {
    /// 503; the request was not carried out.
    Unavailable,
    /// 500; it was.
    DoneAndDenied,
    /// No answer; it was.
    DoneAndSilent,
    /// 412 for a conditional put that was carried out.
    DoneAndRefused,
    /// The right answer, late.
    Late,
    /// The first half of the answer, then the end of the connection.
    Cut,
    /// 200 with the first half of an object, as if that were all.
    Short,
    /// The list of a while ago.
    Stale,
    /// 200 with a page of another server.
    Foreign,
}

impl Lie {
    pub const ALL: [Self; 9] = [
        Self::Unavailable,
        Self::DoneAndDenied,
        Self::DoneAndSilent,
        Self::DoneAndRefused,
        Self::Late,
        Self::Cut,
        Self::Short,
        Self::Stale,
        Self::Foreign,
    ];

    fn fits(self, request: &str) -> bool {
        let is_list =
            request.starts_with("GET ") && request.lines().next().unwrap_or_default().contains("list-type");
        let is_object = request.starts_with("GET ") && !is_list;
        match self {
            Self::DoneAndRefused => request.to_ascii_lowercase().contains("\r\nif-none-match: *"),
            Self::Short | Self::Foreign => is_object,
            Self::Stale => is_list,
            _ => true,
        }
    }
}

#[derive(Default)]
struct Plan {
    /// Out of a hundred requests so many are answered by a lie.
    percent: u32,
    told: BTreeMap<Lie, usize>,
    requests: usize,
    /// The lists that were answered, by request line, oldest first.
    lists: HashMap<String, Vec<Vec<u8>>>,
}

/// The proxy.
pub struct Liar {
    pub address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
}

impl Liar {
    pub fn before(server: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Arc::<Mutex<Plan>>::default();
        let (shared, rng) = (plan.clone(), Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed))));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (plan, rng) = (shared.clone(), rng.clone());
                std::thread::spawn(move || serve(client, server, &plan, &rng));
            }
        });
        Self { address, plan }
    }

    /// From now on so many requests out of a hundred get a lie.
    pub fn lie(&self, percent: u32) {
        self.plan.lock().unwrap().percent = percent;
    }

    /// How many requests there were, and how often each lie was told.
    pub fn told(&self) -> (usize, BTreeMap<Lie, usize>) {
        let plan = self.plan.lock().unwrap();
        (plan.requests, plan.told.clone())
    }
}

/// One request on each connection: the answer says that it closes.
fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    plan: &Mutex<Plan>,
    rng: &Mutex<ChaCha8Rng>,
) -> Option<()> {
    let request = whole(&mut client)?;
    let head = String::from_utf8_lossy(&request[..end_of_head(&request)?]).into_owned();
    let line = head.lines().next().unwrap_or_default().to_owned();
    let lie = {
        let (mut plan, mut rng) = (plan.lock().unwrap(), rng.lock().unwrap());
        plan.requests += 1;
        let is_lie = rng.random_range(0..100) < plan.percent;
        let has_old = plan.lists.contains_key(&line);
        let fits = |lie: &Lie| lie.fits(&head) && (*lie != Lie::Stale || has_old);
        // The one that was told the least, so that each has its turn.
        let turn = |lie: &Lie| (plan.told.get(lie).copied().unwrap_or(0), rng.random::<u32>());
        let lie = Lie::ALL.into_iter().filter(fits).min_by_key(turn).filter(|_| is_lie);
        lie.iter().for_each(|lie| *plan.told.entry(*lie).or_default() += 1);
        lie
    };
    if lie == Some(Lie::Unavailable) {
        return answer(&mut client, "503 Slow Down", b"<Error><Code>SlowDown</Code></Error>");
    }
    let mut upstream = TcpStream::connect(server).ok()?;
    let closing = [line.as_bytes(), b"\r\nConnection: close", &request[line.len()..]].concat();
    upstream.write_all(&closing).ok()?;
    let mut truth = Vec::new();
    upstream.read_to_end(&mut truth).ok()?;
    let body = &truth[end_of_head(&truth)?..];
    let old = {
        let mut plan = plan.lock().unwrap();
        let lists = Lie::Stale.fits(&head).then(|| plan.lists.entry(line).or_default());
        lists.and_then(|lists| {
            let old = lists.first().cloned();
            lists.push(truth.clone());
            // The oldest one is told for a while only.
            if lists.len() > 6 {
                lists.remove(0);
            }
            old
        })
    };
    match lie {
        Some(Lie::DoneAndDenied) => answer(&mut client, "500 Internal Server Error", b""),
        Some(Lie::DoneAndSilent) => Some(()),
        Some(Lie::DoneAndRefused) => {
            answer(&mut client, "412 Precondition Failed", b"<Error><Code>PreconditionFailed</Code></Error>")
        }
        Some(Lie::Cut) => client.write_all(&truth[..truth.len() / 2]).ok(),
        Some(Lie::Short) if truth.starts_with(b"HTTP/1.1 200") => answer(
            &mut client,
            "200 OK\r\nLast-Modified: Tue, 14 Nov 2023 22:13:20 GMT",
            &body[..body.len() / 2],
        ),
        Some(Lie::Foreign) => answer(
            &mut client,
            "200 OK\r\nLast-Modified: Tue, 14 Nov 2023 22:13:20 GMT",
            b"<html>Sign in</html>",
        ),
        Some(Lie::Stale) => client.write_all(&old?).ok(),
        lie => {
            if lie == Some(Lie::Late) {
                std::thread::sleep(Duration::from_millis(150));
            }
            client.write_all(&truth).ok()
        }
    }
}

fn answer(client: &mut TcpStream, status: &str, body: &[u8]) -> Option<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    client.write_all(&[head.as_bytes(), body].concat()).ok()
}

/// Where the body begins.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// A whole request; `None` when the connection ends before.
fn whole(client: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 16 << 10]);
    loop {
        if let Some(body) = end_of_head(&bytes) {
            let head = String::from_utf8_lossy(&bytes[..body]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            if bytes.len() >= body + length.unwrap_or(0) {
                return Some(bytes);
            }
        }
        match client.read(&mut piece).ok()? {
            0 => return None,
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
}
