//! The server's ports among those that the kernel gives to connections of its own.
//!
//! 50051 lies in the range from which Linux takes the local ports of outgoing connections (32768 to 60999 by
//! default). A connection that got it would lose its answers at the closed door, which drops what comes in for that
//! port, and would keep the server from listening. `ip_local_reserved_ports` takes ports out of the range
//! (ip-sysctl.rst); who asks for one by its number still gets it.

use std::path::Path;

use super::door::PORTS;

/// Adds ours to those that are reserved. A machine whose settings cannot be written is only told of: one
/// connection in thousands would meet the port.
pub(super) fn reserve(proc: &Path) {
    let path = proc.join("sys/net/ipv4/ip_local_reserved_ports");
    let done = std::fs::read_to_string(&path).and_then(|there| match with_ours(there.trim()) {
        Some(text) => std::fs::write(&path, text),
        None => Ok(()),
    });
    if let Err(error) = done {
        tracing::warn!(%error, "the server's ports are not reserved in {}: {error}", path.display());
    }
}

/// The list (`8080,9148-9150`) with our ports in it; `None` when they are.
fn with_ours(there: &str) -> Option<String> {
    let covers = |part: &str, port: u16| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u16>().ok();
        number(first).zip(number(last)).is_some_and(|(first, last)| (first..=last).contains(&port))
    };
    let missing: Vec<String> = PORTS
        .iter()
        .filter(|port| !there.split(',').any(|part| covers(part, **port)))
        .map(ToString::to_string)
        .collect();
    let parts = [there.to_owned()].into_iter().filter(|text| !text.is_empty()).chain(missing.clone());
    (!missing.is_empty()).then(|| parts.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::with_ours;

    #[test]
    fn the_list_of_others_is_kept() {
        for (there, expected) in [
            ("", Some("8080,50051")),
            ("9148", Some("9148,8080,50051")),
            ("8000-8100", Some("8000-8100,50051")),
            ("8080,50051", None),
            ("1,8080,50000-51000", None),
        ] {
            assert_eq!(with_ours(there).as_deref(), expected, "{there}");
        }
    }
}
