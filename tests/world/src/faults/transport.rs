//! What a fault does on the wire: lateness, silence, resets, short and flipped bodies.
//!
//! ```text
//!  hits ─▶ hold (Held) ─▶ wait (Latency, Silent) ─▶ the double acts, or refuses ─▶ deliver (Reset, Truncated, Flipped)
//!                                                                     └─▶ serve: a reset becomes a real RST
//! ```
//!
//! The codes and texts of `Error`, `Throttled` and `Denied` are each service's own and stay with the doubles.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::Effect;

/// Holds the call back as long as its faults want: for some time, or for ever.
pub async fn wait(effects: &[Effect]) {
    for effect in effects {
        match effect {
            Effect::Latency { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Effect::Silent => std::future::pending::<()>().await,
            _ => {}
        }
    }
}

/// Whether a fault takes the answer away, and if so whether the call takes effect all the same.
pub fn reset(effects: &[Effect]) -> Option<bool> {
    effects.iter().find_map(|effect| match effect {
        Effect::Reset { acted } => Some(*acted),
        _ => None,
    })
}

/// Damages the answer as the faults want. Without such a fault it is passed through untouched.
pub async fn deliver(effects: &[Effect], connection: Option<&Connection>, answer: Response) -> Response {
    let mut answer = answer;
    for effect in effects {
        match effect {
            Effect::Reset { .. } => answer = cut(connection),
            Effect::Truncated { bytes } => answer = rewrite(answer, |body| body.truncate(*bytes)).await,
            Effect::Flipped { byte } => {
                answer = rewrite(answer, |body| {
                    if let Some(byte) = body.get_mut(*byte) {
                        *byte ^= 1;
                    }
                })
                .await;
            }
            _ => {}
        }
    }
    answer
}

/// An answer that never leaves: the connection is closed before its first byte, and [`serve`] resets it.
fn cut(connection: Option<&Connection>) -> Response {
    if let Some(Connection(reset)) = connection {
        reset.store(true, Ordering::Relaxed);
    }
    Response::new(Body::from_stream(stream::once(async {
        Err::<Bytes, _>(io::Error::other("reset by a fault"))
    })))
}

/// Changes the body and keeps the length that the headers promised; a body that became shorter ends in an
/// error, so that the server closes the connection.
async fn rewrite(answer: Response, change: impl FnOnce(&mut Vec<u8>)) -> Response {
    let (mut parts, body) = answer.into_parts();
    let Ok(whole) = body.collect().await else { return Response::from_parts(parts, Body::empty()) };
    let mut bytes = whole.to_bytes().to_vec();
    let promised = bytes.len();
    change(&mut bytes);
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(promised));
    let body = if bytes.len() == promised {
        Body::from(bytes)
    } else {
        // One pause before the error: hyper writes out what it has when the body is not ready.
        let end = stream::once(async {
            tokio::task::yield_now().await;
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, "cut by a fault"))
        });
        Body::from_stream(stream::iter([Ok(Bytes::from(bytes))]).chain(end))
    };
    Response::from_parts(parts, body)
}

/// Stands in the extensions of every request that [`serve`] accepts, beside the peer's `SocketAddr`: lets a double reset its connection.
#[derive(Clone, Debug, Default)]
pub struct Connection(Arc<AtomicBool>);

/// Serves `router` until the future is dropped; like `axum::serve`, with real resets.
pub async fn serve(listener: TcpListener, router: Router) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(converse(stream, peer, router.clone()));
    }
}

async fn converse(stream: TcpStream, peer: SocketAddr, router: Router) {
    let connection = Connection::default();
    let socket = Resettable { stream, reset: connection.clone() };
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(connection.clone());
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, %peer, "connection ended");
    }
}

/// A socket that closes with RST instead of FIN once a fault asked for it.
struct Resettable {
    stream: TcpStream,
    reset: Connection,
}

impl Drop for Resettable {
    fn drop(&mut self) {
        if self.reset.0.load(Ordering::Relaxed) {
            // A peer that has gone already needs no reset.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Resettable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Resettable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.0.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(())); // a FIN first would make the RST look like an orderly end
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(effects: Vec<Effect>) -> io::Result<Vec<u8>> {
        let router = Router::new().route(
            "/",
            get(move |request: axum::extract::Request| async move {
                let connection = request.extensions().get::<Connection>().cloned();
                deliver(&effects, connection.as_ref(), Response::new(Body::from("0123456789"))).await
            }),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut client = TcpStream::connect(listener.local_addr()?).await?;
        let server = tokio::spawn(serve(listener, router));
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        let read = client.read_to_end(&mut answer).await;
        server.abort();
        read.map(|_| answer)
    }

    #[tokio::test]
    async fn each_effect_shows_on_the_wire() {
        let whole = String::from_utf8(ask(vec![]).await.unwrap()).unwrap();
        assert!(whole.ends_with("0123456789"), "{whole}");

        let short = String::from_utf8(ask(vec![Effect::Truncated { bytes: 4 }]).await.unwrap()).unwrap();
        assert!(short.contains("content-length: 10") && short.ends_with("0123"), "{short}");

        let flipped = String::from_utf8(ask(vec![Effect::Flipped { byte: 0 }]).await.unwrap()).unwrap();
        assert!(flipped.ends_with("1123456789"), "{flipped}");

        let reset = ask(vec![Effect::Reset { acted: false }]).await.unwrap_err();
        assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test(start_paused = true)]
    async fn latency_is_waited_for_and_silence_never_ends() {
        let start = tokio::time::Instant::now();
        wait(&[Effect::Latency { ms: 40 }, Effect::Latency { ms: 2 }]).await;
        assert_eq!(start.elapsed(), Duration::from_millis(42));
        let silent = tokio::time::timeout(Duration::from_hours(1), wait(&[Effect::Silent])).await;
        assert!(silent.is_err());
    }
}
