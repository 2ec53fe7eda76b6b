//! The program in the test's image: says that it is ready, or ends as it is told. Built by the test with rustc.

use std::io::{Read, Write};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| arguments.iter().skip_while(|a| *a != name).nth(1).cloned().unwrap_or_default();
    let config = std::fs::read_to_string(after("--config-file")).unwrap_or_default();
    println!("{{\"msg\":\"starts with {}\"}}", config.trim());
    if let Ok(code) = std::env::var("TEST_EXIT") {
        std::process::exit(code.parse().unwrap_or(9));
    }
    if std::env::var("TEST_MUTE").is_ok() {
        std::thread::sleep(std::time::Duration::from_secs(600));
    }
    let listener = std::net::TcpListener::bind(format!("{}:{}", after("--host"), after("--port"))).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
}
