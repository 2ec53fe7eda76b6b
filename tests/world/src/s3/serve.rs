//! Serves on a listener that was bound elsewhere, such as inside a network namespace.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpStream};

use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Request, Response};

use super::front::{Answer, Reset};

/// A running server. Stops when it is dropped, with all its connections.
#[derive(Debug)]
pub struct Serving {
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Any of the doubles that end a request with [`Reset`] where the script says so.
pub(crate) fn serve<S>(service: S, listener: std::net::TcpListener) -> std::io::Result<Serving>
where
    S: Service<Request<Incoming>, Response = Response<Answer>, Error = Reset> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let listener = TcpListener::from_std(listener)?;
    let task = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                // Cancel-safe: a connection that was not accepted yet stays in the backlog.
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(connection(service.clone(), stream));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    });
    Ok(Serving { address, task })
}

async fn connection<S>(service: S, stream: TcpStream)
where
    S: Service<Request<Incoming>, Response = Response<Answer>, Error = Reset>,
{
    let _ = stream.set_nodelay(true);
    let kept = stream.as_fd().try_clone_to_owned();
    let served =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
    // Every error here is a reset by the script, a body cut off by it, or a client that left.
    if let (Err(error), Ok(kept)) = (served, kept)
        && std::error::Error::source(&error).and_then(|source| source.downcast_ref::<Reset>()).is_some()
    {
        reset(&kept);
    }
}

/// Nothing lingers: closing the last handle sends RST.
fn reset(stream: &OwnedFd) {
    let _ = setsockopt(stream, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 });
}
