//! Moments at which a test kills this program, or looks: before and after each change that it asks of the kernel
//! itself (its network, a mount), which no test can stop from outside as it can stop calls over sockets and other
//! programs. Only in builds with debug
//! assertions; a released program has none.
//!
//! ```text
//!  around("add_address", work) ─▶ "before" ─▶ socket: wait for a line, or be killed ─▶ work ─▶ "after" ─▶ ...
//! ```

/// Where the test listens; unset outside of it.
#[cfg(debug_assertions)]
const SOCKET: &str = "WEAVIATE_PROVISIONER_FAILPOINTS";

/// Does `work`, and stops before and after it where a test wants that.
pub async fn around<T>(call: &str, work: impl Future<Output = T>) -> T {
    stop(call, "before");
    let done = work.await;
    stop(call, "after");
    done
}

#[cfg(debug_assertions)]
fn stop(call: &str, when: &str) {
    use std::io::{Read as _, Write as _};

    let Some(socket) = std::env::var_os(SOCKET) else { return };
    let told = std::os::unix::net::UnixStream::connect(socket).and_then(|mut socket| {
        socket.write_all(format!("kernel:{call}\t{when}\n").as_bytes())?;
        socket.read(&mut [0; 8])
    });
    if let Err(error) = told {
        tracing::warn!(%error, call, "the failpoint {call} reaches nobody: {error}");
    }
}

#[cfg(not(debug_assertions))]
const fn stop(_: &str, _: &str) {}
