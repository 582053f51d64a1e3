use super::*;

#[test]
fn a_missing_topic_and_a_missing_partition_are_absent() {
    on_brokers("names", |ground| {
        let topic = ground.topic("in", 2);
        let mut link = WorkerClients::connect(&ground.config(), 0, std::slice::from_ref(&topic)).unwrap();
        let names = [topic.as_str().into(), "nobody".into()].into();
        let found = link.topics(&names).unwrap();
        let Some(TopicState::Present(Some(id))) = found.of(&tp(&topic, 1)) else { panic!("{found:?}") };
        assert_eq!(
            found.ids().map(|(name, id)| (name.to_string(), id)).collect::<Vec<_>>(),
            [(topic.clone(), id)]
        );
        assert_eq!(found.of(&tp(&topic, 2)), Some(TopicState::Absent));
        assert_eq!(found.of(&tp("nobody", 0)), Some(TopicState::Absent));
        assert_eq!(found.of(&tp("unasked", 0)), None);
        // A partition that was begun with another id is found; one whose id is the same is not.
        link.reads(tp(&topic, 0), TopicState::Present(id.into()));
        link.reads(tp(&topic, 1), TopicState::Present(crate::domain::TopicId::new(1)));
        let until = Instant::now() + PATIENCE;
        loop {
            let remade = link.remade();
            if !remade.is_empty() {
                assert_eq!(remade, [tp(&topic, 1)]);
                break;
            }
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
fn a_commit_for_another_topic_of_the_same_name_is_aborted() {
    on_brokers("another", |ground| {
        let (source, target) = (ground.topic("in", 1), ground.topic("out", 1));
        ground.feed(&source, 1, 10);
        let mut worker = Worker::start(&ground.config(), 0, &source);
        until(&mut [&mut worker], |workers| workers[0].seen.len() == 10);
        // As a worker does at its start. It also finds the broker to ask: without one the controller is asked, which
        // the embedded broker does not have, and the commit would wait for its whole timeout.
        let found = worker.link.topics(&[source.as_str().into()].into()).unwrap();
        worker.link.send(&target, None, None, b"of the former one", &[]).unwrap();
        worker.link.reads(tp(&source, 0), TopicState::Present(crate::domain::TopicId::new(1)));
        let Commit::Aborted(reason) = worker.commit() else { panic!("the topic has another id") };
        assert!(reason.contains("is gone or another one"), "{reason}");
        assert_eq!(worker.link.committed(&[tp(&source, 0)]).unwrap()[0].1, None);
        worker.link.reads(tp(&source, 0), found.of(&tp(&source, 0)).unwrap());
        worker.link.send(&target, None, None, b"of this one", &[]).unwrap();
        worker.link.newest_topics();
        assert_eq!(worker.commit(), Commit::Committed);
        // The answer that the commit got can be read afterwards, once.
        let answer = worker.link.newest_topics();
        assert_eq!(
            (answer.of(&tp(&source, 0)), answer.of(&tp(&source, 1))),
            (found.of(&tp(&source, 0)), Some(TopicState::Absent))
        );
        assert_eq!(answer.of(&tp(&target, 0)), None, "it is not read");
        assert_eq!(worker.link.newest_topics().of(&tp(&source, 0)), None);
        if ground.embedded.is_some() {
            // It shows aborted records to every reader.
            return;
        }
        let read: Vec<_> = read_all(ground, &target).into_iter().filter_map(|r| r.payload).collect();
        assert_eq!(read, [b"of this one".to_vec()]);
    });
}

/// The embedded broker has no controller and can't be asked. It says so, and nobody waits for one: a demo would begin
/// later by that time.
#[test]
fn a_broker_without_a_controller_answers_about_limits_at_once() {
    let broker = EmbeddedBroker::start().unwrap();
    let ground = Ground { brokers: broker.bootstrap_servers(), embedded: Some(broker), name: "l".into() };
    let topic = ground.topic("out", 1);
    let admin = Admin::connect(&ground.config().kafka).unwrap();
    let refused = admin.limits(&[&topic], PATIENCE).expect_err("it does not know the request");
    assert!(refused.to_string().contains("not supported"), "{refused}");
}
