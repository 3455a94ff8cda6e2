//! Group commit: one writer thread takes everything that waits, writes it as one group, syncs once, then answers everybody.
//!
//! While it syncs, the next group gathers; nobody who waits is made to wait for a timer. Alone, a change pays one sync; under
//! load, a sync is shared. What nobody waits for rides along with the next group, or is written after a few milliseconds. This is the only place where something becomes durable, so a journal can be put in front of the
//! [`Ledger`] here without anybody noticing.
//!
//! Never here: going on after a failure. A ledger that failed once, or panicked, is not asked again; whoever waits is told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Error;
use super::answers::{Answer, Answers};
use crate::pace::overload::{Ahead, smoothed};
use crate::time::Stopwatch;

/// Jobs in one group: bounds how long the first of a group waits for the others' writing.
const GROUP_JOBS_MAX: usize = 256;
/// Bytes in one group: bounds memory, and the time of a group of large bodies.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Jobs that may wait. Connections and lanes bound them already; this is the last line.
const WAITING_MAX: usize = 16 * 1024;
/// What nobody waits for may wait so long for a group to ride along with: a group of its own costs as much as one of fifty.
const RIDE_TIME: Duration = Duration::from_millis(10);
/// What need not wait for a sync is synced after so long, so that a loss of power repeats few deliveries.
const LAZY_SYNC: Duration = Duration::from_secs(1);

/// What is written to, one group after the other, by one thread.
pub(super) trait Ledger: Send + 'static {
    /// One change.
    type Job: Send;

    /// Whether somebody waits until the job is durable.
    fn is_urgent(job: &Self::Job) -> bool;

    /// Whether something waits until the job is seen, durable or not: it waits for no others to ride along with.
    fn is_awaited(_: &Self::Job) -> bool {
        false
    }

    /// The bytes that the job adds, roughly.
    fn weight(job: &Self::Job) -> usize;

    /// Writes the jobs of one group, in order. What is to be done once they are durable is returned.
    fn write(&mut self, jobs: Vec<Self::Job>) -> Result<Written, Error>;

    /// Makes everything that was written durable. After an error nothing is known, so it is never called again.
    fn sync(&mut self) -> Result<(), Error>;

    /// Is called after a sync, once all that is durable was acted on as well ([`Written::first`]).
    fn seen(&mut self) -> Result<(), Error>;
}

/// What makes a durable group seen.
pub(super) type First = Box<dyn FnOnce() + Send>;

/// What is left to do after a group was written.
#[derive(Default)]
pub(super) struct Written {
    /// To be called first once the group is durable, before another group is written.
    pub(super) first: Option<First>,
    /// To be called behind that.
    pub(super) then: Vec<Box<dyn FnOnce() + Send>>,
    /// To be given behind that.
    pub(super) answers: Vec<Answer>,
    /// Bytes written, roughly.
    pub(super) bytes: usize,
}

/// What a group cost; for metrics.
#[derive(Clone, Copy, Debug)]
pub struct CommitReport {
    /// Jobs in the group.
    pub records: usize,
    /// Bytes written, roughly.
    pub bytes: usize,
    /// How long the sync took; zero where nobody waited for one.
    pub sync: Duration,
}

/// Is told what each group cost.
pub type CommitObserver = Arc<dyn Fn(CommitReport) + Send + Sync>;

/// The way to the writer thread.
pub(super) struct Commit<J> {
    jobs: Mutex<Option<Sender<J>>>,
    weight: fn(&J) -> usize,
    state: Arc<State>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    failed: OnceLock<String>,
    /// Jobs that are queued or in the group that is being written, and their bytes.
    waiting: AtomicUsize,
    waiting_bytes: AtomicUsize,
    since: Stopwatch,
    /// When that group began, in microseconds since then; [`RESTING`] where there is none.
    began_us: AtomicU64,
    /// What a group takes, as of late, in microseconds.
    group_us: AtomicU64,
    answers: Answers,
}

/// No group is being written.
const RESTING: u64 = u64::MAX;

impl State {
    fn new() -> Self {
        Self {
            failed: OnceLock::new(),
            waiting: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            since: Stopwatch::start(),
            began_us: AtomicU64::new(RESTING),
            group_us: AtomicU64::new(0),
            answers: Answers::default(),
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn begins(&self) {
        self.began_us.store(self.now_us(), Ordering::Relaxed);
    }

    /// A group has ended, for which somebody waited or not.
    fn ended(&self, records: usize, bytes: usize, was_awaited: bool) {
        self.waiting.fetch_sub(records, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        let began = self.began_us.swap(RESTING, Ordering::Relaxed);
        if was_awaited {
            let group = Duration::from_micros(self.group_us.load(Ordering::Relaxed));
            let next = smoothed(group, Duration::from_micros(self.now_us().saturating_sub(began)));
            self.group_us.store(u64::try_from(next.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    fn ahead(&self) -> Ahead {
        let groups = self.waiting.load(Ordering::Relaxed) / GROUP_JOBS_MAX;
        let began = self.began_us.load(Ordering::Relaxed);
        Ahead {
            groups: groups.max(self.waiting_bytes.load(Ordering::Relaxed) / GROUP_BYTES_MAX),
            group: Duration::from_micros(self.group_us.load(Ordering::Relaxed)),
            running: Duration::from_micros(self.now_us().saturating_sub(began)),
        }
    }
}

impl<J: Send + 'static> Commit<J> {
    /// Starts the writer thread of `ledger`.
    pub(super) fn start<L: Ledger<Job = J>>(ledger: L, observer: CommitObserver) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let state = Arc::new(State::new());
        let writer = Writer { ledger, receiver, state: state.clone(), observer, unsynced: None };
        let thread = std::thread::Builder::new().name("hookhold-commit".into()).spawn(move || writer.run())?;
        Ok(Self { jobs: Mutex::new(Some(sender)), weight: L::weight, state, thread: Mutex::new(Some(thread)) })
    }

    /// Queues a job.
    pub(super) fn submit(&self, job: J) -> Result<(), Error> {
        if let Some(why) = self.state.failed.get() {
            return Err(Error::Failed(why.clone()));
        }
        if self.state.waiting.load(Ordering::Relaxed) >= WAITING_MAX {
            return Err(Error::Overloaded);
        }
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = jobs.as_ref().ok_or(Error::Closed)?;
        self.state.waiting.fetch_add(1, Ordering::Relaxed);
        self.state.waiting_bytes.fetch_add((self.weight)(&job), Ordering::Relaxed);
        sender.send(job).map_err(|_| self.gone())
    }

    /// How long a job that is queued now waits until it is durable, as far as can be foreseen.
    pub(super) fn wait(&self) -> Duration {
        self.state.ahead().wait()
    }

    /// `Err` says why nothing can be made durable any more.
    pub(super) fn health(&self) -> Result<(), String> {
        match self.state.failed.get() {
            Some(why) => Err(why.clone()),
            None if self.jobs.lock().unwrap_or_else(PoisonError::into_inner).is_none() => Err(Error::Closed.to_string()),
            None => Ok(()),
        }
    }

    /// Why a job that was queued is never answered.
    pub(super) fn gone(&self) -> Error {
        self.state.failed.get().map_or(Error::Closed, |why| Error::Failed(why.clone()))
    }

    /// Waits until everybody has an answer. Call it after [`Self::close`].
    pub(super) async fn answered(&self) {
        self.state.answers.given().await;
    }

    /// Finishes what waits, makes it durable, and ends the thread. Blocks until then.
    pub(super) fn close(&self) -> Result<(), Error> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            return Err(Error::Failed("the writer thread ended unexpectedly".to_owned()));
        }
        self.state.failed.get().map_or(Ok(()), |why| Err(Error::Failed(why.clone())))
    }
}

struct Writer<L: Ledger> {
    ledger: L,
    receiver: Receiver<L::Job>,
    state: Arc<State>,
    observer: CommitObserver,
    /// Since when something is written and not synced.
    unsynced: Option<Stopwatch>,
}

impl<L: Ledger> Writer<L> {
    fn run(mut self) {
        loop {
            let step = catch_unwind(AssertUnwindSafe(|| self.step()));
            match step.unwrap_or_else(|_| Err(Error::Failed("the store failed unexpectedly".to_owned()))) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::error!(%error, "nothing more is accepted until the relay is started again");
                    let why = if let Error::Failed(why) = error { why } else { error.to_string() };
                    let _ = self.state.failed.set(why);
                    // Whoever waits sees the end of its channel; whoever comes is refused by `submit`.
                    return;
                }
            }
        }
    }

    /// One group; `false` once there is none left and all is durable.
    fn step(&mut self) -> Result<bool, Error> {
        let Some(first) = self.first()? else { return Ok(false) };
        let (jobs, weight) = self.gather(first);
        self.state.begins();
        let (records, urgent) = (jobs.len(), jobs.iter().any(L::is_urgent));
        let Written { first, then, answers, bytes } = self.ledger.write(jobs)?;
        let lazy_is_over = self.unsynced.get_or_insert_with(Stopwatch::start).elapsed() >= LAZY_SYNC;
        let is_synced = urgent || lazy_is_over;
        let sync = if is_synced { self.sync()? } else { Duration::ZERO };
        self.state.ended(records, weight, urgent);
        first.into_iter().for_each(|act| act());
        then.into_iter().for_each(|act| act());
        self.state.answers.give(answers);
        (self.observer)(CommitReport { records, bytes, sync });
        if is_synced {
            self.ledger.seen()?;
        }
        Ok(true)
    }

    /// Waits for a job. Syncs what is not, when nothing comes for a while or nothing will.
    fn first(&mut self) -> Result<Option<L::Job>, Error> {
        loop {
            let Some(since) = self.unsynced else { return Ok(self.receiver.recv().ok()) };
            match self.receiver.recv_timeout(LAZY_SYNC.saturating_sub(since.elapsed())) {
                Ok(job) => return Ok(Some(job)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    self.sync()?;
                    self.ledger.seen()?;
                }
            }
        }
    }

    /// The jobs of a group, and their bytes.
    fn gather(&self, first: L::Job) -> (Vec<L::Job>, usize) {
        let watch = Stopwatch::start();
        let is_hurried = |job: &L::Job| L::is_urgent(job) || L::is_awaited(job);
        let (mut bytes, mut hurried) = (L::weight(&first), is_hurried(&first));
        let mut jobs = vec![first];
        let mut yielded = false;
        while jobs.len() < GROUP_JOBS_MAX && bytes < GROUP_BYTES_MAX {
            let next = match self.receiver.try_recv() {
                Ok(job) => Ok(job),
                // Once, whoever is ready to add to the group gets the processor first: where it is busy, that is many.
                Err(_) if hurried && !yielded => {
                    std::thread::yield_now();
                    yielded = true;
                    continue;
                }
                Err(_) if hurried => break,
                Err(_) => self.receiver.recv_timeout(RIDE_TIME.saturating_sub(watch.elapsed())),
            };
            let Ok(job) = next else { break };
            bytes += L::weight(&job);
            hurried |= is_hurried(&job);
            jobs.push(job);
        }
        (jobs, bytes)
    }

    fn sync(&mut self) -> Result<Duration, Error> {
        let watch = Stopwatch::start();
        self.ledger.sync()?;
        self.unsynced = None;
        Ok(watch.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    /// Counts what it is asked, and fails when told to.
    struct Disk {
        syncs: Arc<AtomicUsize>,
        fail_at_sync: usize,
        panic: bool,
    }

    type Waiter = Option<oneshot::Sender<()>>;

    impl Ledger for Disk {
        type Job = Waiter;

        fn is_urgent(job: &Waiter) -> bool {
            job.is_some()
        }

        fn weight(_: &Waiter) -> usize {
            1
        }

        fn write(&mut self, jobs: Vec<Waiter>) -> Result<Written, Error> {
            assert!(!self.panic, "told to");
            let answer =
                |waiter: oneshot::Sender<()>| Box::new(move || waiter.send(()).unwrap_or_default()) as Box<dyn FnOnce() + Send>;
            Ok(Written { then: jobs.into_iter().flatten().map(answer).collect(), ..Written::default() })
        }

        fn sync(&mut self) -> Result<(), Error> {
            let n = self.syncs.fetch_add(1, Ordering::SeqCst);
            if n == self.fail_at_sync { Err(Error::Failed("no space".into())) } else { Ok(()) }
        }

        fn seen(&mut self) -> Result<(), Error> {
            Ok(())
        }
    }

    fn disk(fail_at_sync: usize, panic: bool) -> (Commit<Waiter>, Arc<AtomicUsize>) {
        let syncs = Arc::<AtomicUsize>::default();
        let commit = Commit::start(Disk { syncs: syncs.clone(), fail_at_sync, panic }, Arc::new(|_| {})).unwrap();
        (commit, syncs)
    }

    fn ask(commit: &Commit<Waiter>) -> Result<oneshot::Receiver<()>, Error> {
        let (waiter, answer) = oneshot::channel();
        commit.submit(Some(waiter)).map(|()| answer)
    }

    #[test]
    fn a_failed_sync_is_an_end_and_is_never_tried_again() {
        let (commit, syncs) = disk(1, false);
        assert!(ask(&commit).unwrap().blocking_recv().is_ok());
        assert!(ask(&commit).unwrap().blocking_recv().is_err());
        assert!(commit.close().is_err());
        assert_eq!(commit.health(), Err("no space".to_owned()));
        assert!(matches!(ask(&commit), Err(Error::Failed(_))));
        assert_eq!(syncs.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn what_waits_is_foreseen() {
        let state = State::new();
        assert_eq!(state.ahead().wait(), Duration::ZERO);
        state.group_us.store(10_000, Ordering::Relaxed);
        state.waiting.store(3 * GROUP_JOBS_MAX + 1, Ordering::Relaxed);
        assert_eq!(state.ahead(), Ahead { groups: 3, group: Duration::from_millis(10), running: Duration::ZERO });
        state.waiting_bytes.store(5 * GROUP_BYTES_MAX, Ordering::Relaxed);
        assert_eq!(state.ahead().groups, 5);
        state.begins();
        // A group that takes so long.
        std::thread::sleep(Duration::from_millis(30));
        assert!(state.ahead().wait() >= Duration::from_millis(90));
        state.ended(3 * GROUP_JOBS_MAX + 1, 5 * GROUP_BYTES_MAX, true);
        let ahead = state.ahead();
        assert!(ahead.groups == 0 && ahead.running.is_zero() && ahead.group >= Duration::from_millis(20), "{ahead:?}");
    }

    #[test]
    fn a_panic_is_a_failure() {
        let (commit, _) = disk(9, true);
        assert!(ask(&commit).unwrap().blocking_recv().is_err());
        assert!(commit.close().is_err());
    }

    #[test]
    fn what_nobody_waits_for_is_synced_at_the_end() {
        let (commit, syncs) = disk(9, false);
        commit.submit(None).unwrap();
        commit.close().unwrap();
        assert_eq!(syncs.load(Ordering::SeqCst), 1);
        assert!(matches!(commit.submit(None), Err(Error::Closed)));
    }
}
