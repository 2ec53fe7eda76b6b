//! The probe against servers on loopback, gRPC as bytes on the wire.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::explain::{Class, Explain as _};

async fn rest(ready: u16, meta: u16) -> SocketAddr {
    let answer = |code: u16| move || async move { StatusCode::from_u16(code).expect("a status") };
    let app =
        Router::new().route("/v1/.well-known/ready", get(answer(ready))).route("/v1/meta", get(answer(meta)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("short");
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// Just enough HTTP/2 for one call without TLS: SETTINGS, then `:status 200` (0x88 in HPACK's static table)
/// and the body in one DATA frame, once the request has ended.
async fn grpc(body: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("accepts");
        let mut preface = [0; 24];
        socket.read_exact(&mut preface).await.expect("a preface");
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2 without an upgrade");
        socket.write_all(&frame(4, 0, 0, &[])).await.expect("settings");
        loop {
            let mut head = [0; 9];
            socket.read_exact(&mut head).await.expect("a frame");
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; length];
            socket.read_exact(&mut payload).await.expect("a payload");
            if (head[3], head[4]) == (4, 0) {
                socket.write_all(&frame(4, 1, 0, &[])).await.expect("an acknowledgement");
            }
            if head[3] == 0 && head[4] & 1 == 1 {
                assert_eq!(payload, [0; 5], "an empty message in its frame");
                socket.write_all(&frame(1, 4, 1, &[0x88])).await.expect("headers");
                socket.write_all(&frame(0, 1, 1, body)).await.expect("data");
            }
        }
    });
    address
}

fn question(rest: SocketAddr, grpc: Option<SocketAddr>, anonymous: bool) -> Question {
    Question { rest, grpc, anonymous }
}

#[tokio::test]
async fn a_server_that_asks_for_keys_and_is_healthy_serves() {
    let grpc = grpc(&[0, 0, 0, 0, 2, 8, 1]).await;
    ask(question(rest(200, 401).await, Some(grpc), false)).await.expect("serves");
    ask(question(rest(200, 200).await, None, true)).await.expect("serves everybody, by name");
}

#[tokio::test]
async fn whoever_lets_everybody_in_is_final() {
    let error = ask(question(rest(200, 200).await, None, false)).await.expect_err("no key, no refusal");
    assert!(matches!(error, NetworkError::OpenWithoutKey { status: 200, .. }), "{error}");
    assert_eq!(error.class(), Class::Final);
}

#[tokio::test]
async fn a_server_that_is_not_ready_is_asked_again() {
    for (ready, meta, anonymous) in [(503, 401, false), (200, 503, false), (200, 401, true)] {
        let error = ask(question(rest(ready, meta).await, None, anonymous)).await.expect_err("not yet");
        assert!(matches!(error, NetworkError::Answer { .. }), "{error}");
        assert_eq!(error.class(), Class::Retry);
    }
}

#[tokio::test]
async fn grpc_that_does_not_serve_is_named() {
    for (body, said) in [
        (&[0, 0, 0, 0, 2, 8, 2][..], "NOT_SERVING"),
        (&[0, 0, 0, 0, 0], "status 0"),
        (&[0, 0, 0, 0, 2, 8, 3], "status 3"),
        (b"nonsense", "HTTP status 200 without an answer"),
    ] {
        let error = health(grpc(body).await).await.expect_err(said);
        assert!(matches!(error, NetworkError::Grpc { .. }), "{error}");
        assert!(error.to_string().ends_with(said), "{error}");
    }
}

#[tokio::test]
async fn nobody_at_the_address_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    for error in [ask(question(address, None, false)).await, health(address).await] {
        assert!(matches!(error, Err(NetworkError::Silent { .. })), "{error:?}");
    }
}
