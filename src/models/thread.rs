use std::thread::{Builder, JoinHandle};

/// A thread that works beside its owner until it is asked to end. An ended thread is no error; a panicked one
/// is.
pub(crate) struct BackgroundThread {
    thread: Option<JoinHandle<()>>,
    panicked: bool,
}

impl BackgroundThread {
    pub fn start(name: String, work: impl FnOnce() + Send + 'static) -> std::io::Result<Self> {
        let thread = Builder::new().name(name).spawn(work)?;
        Ok(Self { thread: Some(thread), panicked: false })
    }

    /// Whether the thread has ended, for any reason.
    fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Whether a panic has ended the thread. Does not wait.
    pub fn has_panicked(&mut self) -> bool {
        if self.is_over() {
            self.join();
        }
        self.panicked
    }

    /// Waits for the end that its owner has asked for.
    pub fn join(&mut self) {
        self.panicked |= self.thread.take().is_some_and(|thread| thread.join().is_err());
    }
}

#[cfg(test)]
impl BackgroundThread {
    /// Waits until the thread has ended by itself.
    pub fn wait_over(&self) {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !self.is_over() {
            assert!(std::time::Instant::now() < until, "the thread runs on");
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn an_end_is_no_panic_and_a_panic_is_one() {
        let (go, wait) = channel::<()>();
        let mut ends = BackgroundThread::start("ends".into(), move || assert!(wait.recv().is_err())).unwrap();
        assert!(!ends.has_panicked(), "it runs");
        drop(go);
        ends.wait_over();
        assert!(!ends.has_panicked() && !ends.has_panicked());

        let mut panics = BackgroundThread::start("panics".into(), || panic!("on purpose")).unwrap();
        panics.wait_over();
        assert!(panics.has_panicked() && panics.has_panicked());
    }
}
