use super::*;
use crate::config::Guarantee;

/// Of the whole process, all threads: what other processes do on the machine does not show in it.
fn processor_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the struct that it is given.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(answer, 0);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// What the room itself allows: readings in, a kilobyte of text out for each, nothing in between.
/// `TIDECAST_TEST_BROKERS=… cargo test --release --lib kafka::tests::measure -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn measures_a_bare_copy_loop() {
    for guarantee in [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce] {
        on_real_broker("bare", |ground| {
            let number = |name: &str, default: usize| {
                std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
            };
            let (readings, bytes) = (number("READINGS", 1_500_000), number("BYTES", 1_000));
            let every = number("COMMIT", 50_000);
            let (source, target) = (ground.topic("in", 4), ground.topic("out", 4));
            let mut config = ground.config();
            config.delivery.guarantee = guarantee;
            let mut feeder = Feeder::connect(&config.kafka).unwrap();
            for i in 0..readings {
                let key = format!("meter-{}", i % 10_000);
                let payload = format!("{{\"id\":\"{key}\",\"ts\":{},\"kw\":{}.25}}", T0_MICROS, i % 100);
                feeder.send(&source, None, Some(key.as_bytes()), payload.as_bytes(), None).unwrap();
            }
            feeder.flush(PATIENCE).unwrap();
            let payload: Vec<u8> = b"0.1234,".iter().copied().cycle().take(bytes).collect();

            let mut worker = Worker::start(&config, 0, &source);
            until(&mut [&mut worker], |w| !w[0].seen.is_empty());
            let Worker { mut link, mut positions, seen, .. } = worker;
            let (mut done, mut since_commit) = (seen.len(), 0);
            let (mut commits, mut waits) = (0, Duration::ZERO);
            let (begun, begun_cpu) = (Instant::now(), processor_seconds());
            let mut batch: Vec<(TopicPartition, Offset, Vec<u8>)> = Vec::new();
            let topics: Vec<TopicPartition> = (0..4).map(|p| tp(&source, p)).collect();
            while done < readings {
                batch.clear();
                let n = link
                    .poll(10_000, Duration::from_millis(100), &mut |r| {
                        let tp = topics[r.partition.0 as usize].clone();
                        batch.push((tp, r.offset.next(), r.key.unwrap().to_vec()));
                    })
                    .unwrap();
                for (tp, next, key) in batch.drain(..) {
                    link.send(&target, Some(tp.partition), Some(&key), &payload, &[]).unwrap();
                    positions.insert(tp, next);
                }
                done += n;
                since_commit += n;
                if since_commit >= every || done == readings {
                    let at = Instant::now();
                    let all: Vec<_> = positions.clone().into_iter().collect();
                    assert_eq!(link.commit(&all).unwrap(), Commit::Committed);
                    waits += at.elapsed();
                    commits += 1;
                    since_commit = 0;
                }
            }
            let seconds = begun.elapsed().as_secs_f64();
            println!(
                "{guarantee:?}: {readings} readings, {bytes} bytes out each, commit every {every}: \
                 {:.0} readings/s, {:.2} us of processor each, a commit costs {:.1} ms",
                (readings - seen.len()) as f64 / seconds,
                (processor_seconds() - begun_cpu) * 1e6 / readings as f64,
                waits.as_secs_f64() * 1e3 / f64::from(commits)
            );
            println!("{:?}", link.statistics());
            link.leave().unwrap();
        });
    }
}
