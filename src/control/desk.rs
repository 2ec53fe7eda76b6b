//! The side of `run`: takes requests, one at a time, and says how they go.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;

use super::SOCKET;
use super::error::ControlError;
use super::messages::{Answer, Request};

/// A request is a line of at most so many bytes: names of collections.
const LONGEST: u64 = 1 << 20;
/// Whoever connects says at once what it wants.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
/// Orders that wait their turn.
const WAITING: usize = 8;

/// The backup that an order is about, once that is known; another one, where the first is made anew.
#[derive(Clone, Debug, Default)]
struct About(Arc<Mutex<Option<String>>>);

impl About {
    fn set(&self, id: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.to_owned());
    }

    fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A request that was taken in, and the place for its answers.
#[derive(Debug)]
pub struct Ordered {
    pub request: Request,
    answers: watch::Sender<Option<Answer>>,
    cancel: Arc<Notify>,
    about: About,
}

impl Ordered {
    fn new(request: Request) -> (Self, watch::Receiver<Option<Answer>>) {
        let (answers, told) = watch::channel(None);
        (Self { request, answers, cancel: Arc::default(), about: About::default() }, told)
    }

    /// Names the backup that it is about, for whoever wants just that one to end.
    pub fn is_about(&self, id: &str) {
        self.about.set(id);
    }

    pub fn about(&self) -> Option<String> {
        self.about.get()
    }

    /// Ready when somebody wants it to end.
    pub async fn cancelled(&self) {
        self.cancel.notified().await;
    }

    /// Says how far it is. Who hung up is not told.
    pub fn says(&self, line: String) {
        self.answers.send_replace(Some(Answer::Says(line)));
    }

    /// The end of it: told, before anything else is done, to whoever still waits.
    pub async fn ends(self, answer: Answer) {
        self.answers.send_replace(Some(answer));
        if timeout(PATIENCE, self.answers.closed()).await.is_err() {
            tracing::warn!("whoever asked does not hear the answer");
        }
    }
}

/// Where requests come in.
#[derive(Debug)]
pub struct Desk {
    listener: UnixListener,
    orders: mpsc::Sender<Ordered>,
    queue: mpsc::Receiver<Ordered>,
    at_work: AtWork,
}

/// The order that is being done: how to end it, and what it comes to.
#[derive(Clone, Debug, Default)]
struct AtWork(Arc<Mutex<Option<Current>>>);

#[derive(Clone, Debug)]
struct Current {
    cancel: Arc<Notify>,
    answers: watch::Sender<Option<Answer>>,
    about: About,
}

impl AtWork {
    fn set(&self, current: Option<Current>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = current;
    }

    /// Ends it, and waits until it has ended. Whether there was one, about this backup where one is named.
    async fn cancel(&self, id: Option<&str>) -> bool {
        let current = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(Current { cancel, answers, about }) = current else { return false };
        if id.is_some_and(|id| about.get().as_deref() != Some(id)) {
            return false;
        }
        let mut told = answers.subscribe();
        // Else its end would be waited for from two sides.
        drop(answers);
        cancel.notify_one();
        end(&mut told).await;
        true
    }
}

/// What it comes to; `None` where nobody does it any more.
async fn end(told: &mut watch::Receiver<Option<Answer>>) -> Option<Answer> {
    loop {
        match told.borrow_and_update().clone() {
            None | Some(Answer::Says(_)) => {}
            Some(end) => return Some(end),
        }
        told.changed().await.ok()?;
    }
}

impl Desk {
    /// Opens the socket; one that a run left that was killed is replaced.
    pub fn open(run: &Path) -> Result<Self, ControlError> {
        let path = run.join(SOCKET);
        let failed = |source| ControlError::Socket { path: path.display().to_string(), source };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        // The mode follows the umask, which the unit sets to 0077; the directory is root's in any case.
        let listener = UnixListener::bind(&path).map_err(failed)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).map_err(failed)?;
        let (orders, queue) = mpsc::channel(WAITING);
        Ok(Self { listener, orders, queue, at_work: AtWork::default() })
    }

    /// Where `run` itself gives orders, in turn with all others.
    pub fn orders(&self) -> Orders {
        Orders(self.orders.clone())
    }

    /// Serves for as long as it is asked to: `work` does one request after the other.
    pub async fn serve(self, work: impl AsyncFn(Ordered)) {
        let Self { listener, orders, mut queue, at_work } = self;
        let taking = async {
            let mut talks = FuturesUnordered::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => talks.push(talk(stream, orders.clone(), at_work.clone())),
                        // Too many open files: those that are here end first.
                        Err(error) => {
                            tracing::warn!(%error, "a command could not be heard: {error}");
                            tokio::time::sleep(PATIENCE).await;
                        }
                    },
                    Some(()) = talks.next(), if !talks.is_empty() => {}
                }
            }
        };
        let working = async {
            while let Some(order) = queue.recv().await {
                let (cancel, answers) = (Arc::clone(&order.cancel), order.answers.clone());
                at_work.set(Some(Current { cancel, answers, about: order.about.clone() }));
                work(order).await;
                at_work.set(None);
            }
        };
        tokio::select! {
            () = taking => {}
            () = working => {}
        }
    }
}

/// A way to the desk without the socket.
#[derive(Clone, Debug)]
pub struct Orders(mpsc::Sender<Ordered>);

impl Orders {
    /// The end of it; `None` where nobody serves any more.
    pub async fn place(&self, request: Request) -> Option<Answer> {
        let (order, mut told) = Ordered::new(request);
        self.0.send(order).await.ok()?;
        end(&mut told).await
    }
}

/// One command, from its request to the last line of its answer.
async fn talk(mut stream: UnixStream, orders: mpsc::Sender<Ordered>, at_work: AtWork) {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    let read = timeout(PATIENCE, BufReader::new(reader.take(LONGEST)).read_line(&mut line)).await;
    if !matches!(read, Ok(Ok(_))) {
        return;
    }
    let Ok(request) = serde_json::from_str(&line) else {
        tracing::warn!("a request is not understood");
        return;
    };
    if let Request::Cancel { id } = &request {
        let was = at_work.cancel(id.as_deref()).await;
        if let Ok(mut text) = serde_json::to_vec(&Answer::Cancelled { was }) {
            text.push(b'\n');
            // Who hung up is not told.
            let _ = writer.write_all(&text).await;
        }
        return;
    }
    let (order, mut told) = Ordered::new(request);
    if orders.send(order).await.is_err() {
        return;
    }
    // The newest line is what counts: one that was passed over was older.
    while told.changed().await.is_ok() {
        let Some(answer) = told.borrow_and_update().clone() else { continue };
        let Ok(mut text) = serde_json::to_vec(&answer) else { return };
        text.push(b'\n');
        if writer.write_all(&text).await.is_err() || !matches!(answer, Answer::Says(_)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ask;
    use super::*;
    use crate::backup::{Made, Order};
    use crate::explain::{Class, Failure};

    fn made(id: &str) -> Made {
        let (files, bytes, objects, collections, seconds) = (1, 2, 3, 4, 5);
        Made {
            id: id.to_owned(),
            base: None,
            files,
            bytes,
            objects,
            collections,
            seconds,
            quiesced: false,
            held_back: None,
            unprotected: [("A".to_owned(), ["t".to_owned()].into())].into(),
        }
    }

    #[tokio::test]
    async fn a_request_gets_its_lines_and_its_end() {
        let run = tempfile::tempdir().expect("a folder");
        // Of a run that was killed.
        std::fs::write(run.path().join(SOCKET), "").expect("a file");
        let desk = Desk::open(run.path()).expect("a desk");
        let work = async |order: Ordered| {
            let include = match order.request.clone() {
                Request::Backup(Order { include, .. }) => include,
                Request::Prune { .. }
                | Request::Drill { .. }
                | Request::Restore(_)
                | Request::Cancel { .. } => Vec::new(),
            };
            order.says("half".to_owned());
            tokio::task::yield_now().await;
            match include.first() {
                Some(name) => order.ends(Answer::Made(made(name))).await,
                None => {
                    order
                        .ends(Answer::Failed(Failure {
                            step: "backup".to_owned(),
                            class: Class::Final,
                            reason: "no".to_owned(),
                            remedy: "Stop.".to_owned(),
                            details: Vec::new(),
                        }))
                        .await;
                }
            }
        };
        let asking = async {
            let order = |name: &str| Order { include: vec![name.to_owned()], ..Order::default() };
            // Two at a time: both are answered, each with its own.
            let (a, b) = (Request::Backup(order("a")), Request::Backup(order("b")));
            let both = tokio::join!(ask(run.path(), &a, |_| {}), ask(run.path(), &b, |_| {}));
            assert!(matches!(both.0, Ok(Answer::Made(made)) if made.id == "a"));
            assert!(matches!(both.1, Ok(Answer::Made(made)) if made.id == "b"));
            let refused = ask(run.path(), &Request::Backup(Order::default()), |_| {}).await;
            assert!(matches!(refused, Ok(Answer::Failed(failure)) if failure.reason == "no"));
        };
        tokio::select! {
            () = desk.serve(work) => panic!("it serves for ever"),
            () = asking => {}
        }
        let gone = ask(run.path(), &Request::Backup(Order::default()), |_| {}).await;
        assert!(matches!(gone, Err(ControlError::Absent { .. })), "{gone:?}");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told_apart() {
        let run = tempfile::tempdir().expect("a folder");
        let request = Request::Backup(Order::default());
        let gone = ask(run.path(), &request, |_| {}).await;
        assert!(matches!(gone, Err(ControlError::Absent { .. })), "{gone:?}");
        let listener = UnixListener::bind(run.path().join(SOCKET)).expect("a socket");
        let other = async {
            let (stream, _) = listener.accept().await.expect("somebody");
            drop(stream);
            let (mut stream, _) = listener.accept().await.expect("somebody");
            stream.write_all(b"{\"later\":1}\n").await.expect("said");
            // Held until it was read.
            stream
        };
        let asking = async {
            let hung_up = ask(run.path(), &request, |_| {}).await;
            assert!(matches!(hung_up, Err(ControlError::HungUp)), "{hung_up:?}");
            let strange = ask(run.path(), &request, |_| {}).await;
            assert!(matches!(strange, Err(ControlError::Malformed { .. })), "{strange:?}");
        };
        let _ = tokio::join!(other, asking);
        let nowhere = Desk::open(&run.path().join("absent"));
        assert!(matches!(nowhere, Err(ControlError::Socket { .. })), "{nowhere:?}");
    }

    #[tokio::test]
    async fn who_says_nothing_or_nonsense_holds_nobody_up() {
        let run = tempfile::tempdir().expect("a folder");
        let desk = Desk::open(run.path()).expect("a desk");
        let asking = async {
            let silent = UnixStream::connect(run.path().join(SOCKET)).await.expect("connected");
            let mut babbles = UnixStream::connect(run.path().join(SOCKET)).await.expect("connected");
            babbles.write_all(b"{}\n").await.expect("said");
            let mut rest = Vec::new();
            babbles.read_to_end(&mut rest).await.expect("hung up");
            assert!(rest.is_empty());
            let answer = ask(run.path(), &Request::Backup(Order::default()), |_| {}).await;
            assert!(matches!(answer, Ok(Answer::Made(_))), "{answer:?}");
            drop(silent);
        };
        tokio::select! {
            () = desk.serve(async |order: Ordered| order.ends(Answer::Made(made("x"))).await) => {}
            () = asking => {}
        }
    }
}
