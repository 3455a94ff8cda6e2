//! The answers of a commit group. Each is given where it is waited for: all that are waited for on one runtime by one task there, so that a
//! group wakes each thread once, however many wait on it.

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

/// The way to whoever waits for a change.
pub(super) struct Reply<T> {
    sender: oneshot::Sender<T>,
    runtime: Option<Handle>,
}

/// An answer, to be given once it is true.
pub(super) struct Answer {
    runtime: Option<Handle>,
    give: Box<dyn FnOnce() + Send>,
}

/// Answers that are on their way.
#[derive(Debug, Default)]
pub(super) struct Answers(TaskTracker);

/// Both ends, for whoever waits on this runtime.
pub(super) fn pair<T>() -> (Reply<T>, oneshot::Receiver<T>) {
    let (sender, answer) = oneshot::channel();
    (Reply { sender, runtime: Handle::try_current().ok() }, answer)
}

impl<T: Send + 'static> Reply<T> {
    /// What it shall be.
    pub(super) fn with(self, answer: T) -> Answer {
        // Nobody may be waiting any more.
        let give = move || drop(self.sender.send(answer));
        Answer { runtime: self.runtime, give: Box::new(give) }
    }
}

impl Answers {
    /// Gives them.
    pub(super) fn give(&self, all: Vec<Answer>) {
        let mut by_runtime: Vec<(Option<Handle>, Vec<_>)> = Vec::new();
        for Answer { runtime, give } in all {
            let id = |runtime: &Option<Handle>| runtime.as_ref().map(Handle::id);
            match by_runtime.iter_mut().find(|(known, _)| id(known) == id(&runtime)) {
                Some((_, given)) => given.push(give),
                None => by_runtime.push((runtime, vec![give])),
            }
        }
        for (runtime, given) in by_runtime {
            let give = move || given.into_iter().for_each(|give| give());
            match runtime {
                Some(runtime) => drop(self.0.spawn_on(async move { give() }, &runtime)),
                None => give(),
            }
        }
    }

    /// Waits until all were given. There must be none that are new.
    pub(super) async fn given(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_is_given_where_it_is_waited_for() {
        let answers = Answers::default();
        let (here, answer) = pair();
        let (nowhere, mut at_once) = std::thread::spawn(pair).join().unwrap();
        answers.give(vec![here.with(1), nowhere.with(2)]);
        assert_eq!(at_once.try_recv(), Ok(2), "without a runtime it is given here");
        answers.given().await;
        assert_eq!(answer.await, Ok(1));
    }
}
