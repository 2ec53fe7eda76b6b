//! The server's own log: JSON lines on standard error, in the fields of the real one.

use std::io::Write;

use serde_json::json;

pub fn line(level: &str, action: &str, message: &str) {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let line = json!({
        "action": action, "build_git_commit": "", "build_go_version": "go1.26.8", "build_image_tag": "",
        "build_wv_version": crate::VERSION, "level": level, "msg": message, "time": now,
    });
    // Nobody left to read the log is no reason to stop serving.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
