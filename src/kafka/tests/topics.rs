use super::*;

#[test]
fn a_name_without_a_topic_and_a_partition_too_many_are_told_from_those_that_are_there() {
    on_brokers("names", |ground| {
        let topic = ground.topic("in", 2);
        let mut link = Link::connect(&ground.config(), 0, std::slice::from_ref(&topic)).unwrap();
        let names = [topic.as_str().into(), "nobody".into()].into();
        let found = link.topics(&names).unwrap();
        let Some(Topic::Present(Some(id))) = found.of(&tp(&topic, 1)) else { panic!("{found:?}") };
        assert_eq!(
            found.ids().map(|(name, id)| (name.to_string(), id)).collect::<Vec<_>>(),
            [(topic.clone(), id)]
        );
        assert_eq!(found.of(&tp(&topic, 2)), Some(Topic::Absent));
        assert_eq!(found.of(&tp("nobody", 0)), Some(Topic::Absent));
        assert_eq!(found.of(&tp("unasked", 0)), None);
        // What was begun as another topic is found out by itself; what is as it was is not.
        link.reads(tp(&topic, 0), Topic::Present(id.into()));
        link.reads(tp(&topic, 1), Topic::Present(crate::domain::TopicId::new(1)));
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
        worker.link.send(&target, None, None, b"of the former one", &[]).unwrap();
        worker.link.reads(tp(&source, 0), Topic::Present(crate::domain::TopicId::new(1)));
        assert!(matches!(worker.commit(), Commit::Aborted(_)));
        assert_eq!(worker.link.committed(&[tp(&source, 0)]).unwrap()[0].1, None);
        let found = worker.link.topics(&[source.as_str().into()].into()).unwrap();
        worker.link.reads(tp(&source, 0), found.of(&tp(&source, 0)).unwrap());
        worker.link.send(&target, None, None, b"of this one", &[]).unwrap();
        worker.link.newest_topics();
        assert_eq!(worker.commit(), Commit::Committed);
        // What the commit was told is there for others, once.
        let told = worker.link.newest_topics();
        assert_eq!(
            (told.of(&tp(&source, 0)), told.of(&tp(&source, 1))),
            (found.of(&tp(&source, 0)), Some(Topic::Absent))
        );
        assert_eq!(told.of(&tp(&target, 0)), None, "it is not read");
        assert_eq!(worker.link.newest_topics().of(&tp(&source, 0)), None);
        if ground.embedded.is_some() {
            // It shows what was aborted to everybody.
            return;
        }
        let read: Vec<_> = read_all(ground, &target).into_iter().filter_map(|r| r.payload).collect();
        assert_eq!(read, [b"of this one".to_vec()]);
    });
}
