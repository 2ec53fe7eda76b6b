//! The declaration for systemd-networkd, where it runs: it deletes rules and routes that no file of its own
//! names as soon as it reloads (`ManageForeignRoutingPolicyRules=`, networkd.conf(5)).
//!
//! The bridge's route stays with netlink: a `[Route]` belongs to the link of its file, and a file for the
//! bridge would make networkd the owner of Docker's interface.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::NetworkError;
use super::netlink::PROTOCOL;
use super::routes::Wanted;
use crate::host::Roots;
use crate::process;
use crate::state::replace;

/// Sorts before netplan's `10-…` and ec2-net-utils' `70-…`: the first file that matches a link wins.
pub(super) const FILE: &str = "05-weaviate-provisioner.network";

pub(super) const DEADLINE: Duration = Duration::from_secs(15);

/// Whether systemd runs networkd here. `/run/systemd/system` is what sd_booted(3) looks at.
pub(super) async fn runs() -> bool {
    if !Path::new("/run/systemd/system").is_dir() {
        return false;
    }
    let asked =
        process::run("systemctl", &["is-active", "--quiet", "systemd-networkd.service"], None, DEADLINE);
    asked.await.is_ok()
}

/// The file's text. Everything that could come from DHCP is said here, so that no lease can end it.
pub(super) fn render(wanted: &Wanted, mac: &str) -> String {
    let Wanted { address, subnet, gateway, link: _, bridge, table, priority } = wanted;
    let mut text = format!(
        "# Written by weaviate-provisioner; changes are overwritten.\n\
         [Match]\n\
         PermanentMACAddress={mac}\n\
         \n\
         [Link]\n\
         RequiredForOnline=no\n\
         \n\
         [Network]\n\
         DHCP=no\n\
         IPv6AcceptRA=no\n\
         LinkLocalAddressing=no\n\
         Address={address}/32\n\
         \n\
         [Route]\n\
         Destination={subnet}\n\
         Protocol={PROTOCOL}\n\
         Scope=link\n\
         Table={table}\n\
         \n\
         [Route]\n\
         Gateway={gateway}\n\
         GatewayOnLink=yes\n\
         Protocol={PROTOCOL}\n\
         Table={table}\n\
         \n\
         [RoutingPolicyRule]\n\
         From={address}/32\n\
         Table={table}\n\
         Priority={priority}\n"
    );
    if let Some(bridge) = bridge {
        let _ = write!(
            text,
            "\n[RoutingPolicyRule]\nIncomingInterface={}\nTable={table}\nPriority={}\n",
            bridge.name,
            priority + 1
        );
    }
    text
}

/// Priority and table of each rule that the file there declares; none where there is no file of ours.
pub(super) fn declared(directory: &Path) -> Vec<(u32, u32)> {
    let text = std::fs::read_to_string(directory.join(FILE)).unwrap_or_default();
    let number = |part: &str, key: &str| {
        part.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')?.parse::<u32>().ok())
    };
    let rules = text.split("\n[").filter(|part| part.starts_with("RoutingPolicyRule]"));
    rules.filter_map(|rule| Some((number(rule, "Priority")?, number(rule, "Table")?))).collect()
}

/// There from before the file changes until networkd has read it: a run that ends between the two leaves the reload
/// to the next one, to which the file looks as it should. On the tmpfs, because networkd reads everything when it
/// starts.
const PENDING: &str = "networkd-reload-pending";

/// Writes the file if it changed, and lets networkd read it. Whether it had to.
pub(super) async fn declare(roots: &Roots, text: &str) -> Result<bool, NetworkError> {
    let (path, pending) = (roots.networkd.join(FILE), roots.run.join(PENDING));
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |source| NetworkError::Unwritable { path, source }
    };
    if !std::fs::read_to_string(&path).is_ok_and(|found| found == text) {
        std::fs::create_dir_all(&roots.run).map_err(unwritable(&roots.run))?;
        std::fs::write(&pending, "").map_err(unwritable(&pending))?;
        std::fs::create_dir_all(&roots.networkd).map_err(unwritable(&roots.networkd))?;
        // networkd reads it as another user.
        replace(&path, text.as_bytes(), 0o644).map_err(unwritable(&path))?;
    } else if !pending.exists() {
        return Ok(false);
    }
    process::run("networkctl", &["reload"], None, DEADLINE)
        .await
        .map_err(|source| NetworkError::Reload { source })?;
    std::fs::remove_file(&pending).map_err(unwritable(&pending))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::routes::Bridge;

    fn wanted() -> Wanted {
        Wanted {
            address: "10.0.2.15".parse().expect("an address"),
            subnet: "10.0.2.0/24".parse().expect("a network"),
            gateway: "10.0.2.1".parse().expect("an address"),
            link: 3,
            bridge: Some(Bridge {
                link: 4,
                name: "weaviate0".to_owned(),
                subnet: "172.30.254.0/24".parse().expect("a network"),
            }),
            table: 8080,
            priority: 8080,
        }
    }

    #[test]
    fn the_file_declares_the_address_two_routes_and_two_rules() {
        let text = render(&wanted(), "02:00:00:00:02:15");
        for (part, times) in [
            ("PermanentMACAddress=02:00:00:00:02:15\n", 1),
            ("Address=10.0.2.15/32\n", 1),
            ("[Route]\n", 2),
            ("Destination=10.0.2.0/24\n", 1),
            ("Gateway=10.0.2.1\n", 1),
            ("[RoutingPolicyRule]\n", 2),
            ("From=10.0.2.15/32\n", 1),
            ("IncomingInterface=weaviate0\n", 1),
            ("Table=8080\n", 4),
            ("Protocol=87\n", 2),
            ("Priority=8080\n", 1),
            ("Priority=8081\n", 1),
        ] {
            assert_eq!(text.matches(part).count(), times, "{part}{text}");
        }
        let host = render(&Wanted { bridge: None, ..wanted() }, "02:00:00:00:02:15");
        assert_eq!(host.matches("[RoutingPolicyRule]").count(), 1, "{host}");
    }

    #[test]
    fn the_rules_of_the_file_are_known_again() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(declared(directory.path()), []);
        let text = render(&wanted(), "02:00:00:00:02:15");
        std::fs::write(directory.path().join(FILE), &text).expect("writes");
        assert_eq!(declared(directory.path()), [(8080, 8080), (8081, 8080)]);
    }

    fn roots(root: &Path) -> Roots {
        Roots { networkd: root.join("network"), run: root.join("run"), ..Roots::default() }
    }

    #[tokio::test]
    async fn an_unchanged_file_is_not_written_and_nothing_reloads() {
        let root = tempfile::tempdir().expect("a directory");
        let (roots, text) = (roots(root.path()), render(&wanted(), "02:00:00:00:02:15"));
        std::fs::create_dir(&roots.networkd).expect("makes");
        std::fs::write(roots.networkd.join(FILE), &text).expect("writes");
        // Here networkctl would fail: there is no networkd in the tests.
        assert!(!declare(&roots, &text).await.expect("nothing to do"));
    }

    #[test]
    fn what_an_earlier_run_wrote_and_did_not_reload_is_reloaded() {
        use std::os::unix::fs::PermissionsExt;
        let programs = tempfile::tempdir().expect("a directory");
        let networkctl = programs.path().join("networkctl");
        let script = "#!/bin/sh\necho \"$@\" >> \"$0.calls\"\n[ ! -e \"$0.fails\" ]\n";
        std::fs::write(&networkctl, script).expect("writes");
        std::fs::set_permissions(&networkctl, PermissionsExt::from_mode(0o755)).expect("may be run");
        crate::tests::alone::alone("network::networkd::tests::interrupted", &[], Some(programs.path()));
    }

    #[tokio::test]
    #[ignore = "is run with a networkctl of its own by the test above"]
    async fn interrupted() {
        let programs = std::path::PathBuf::from(std::env::var_os("PATH").expect("the test's own"));
        let calls = || std::fs::read_to_string(programs.join("networkctl.calls")).unwrap_or_default();
        let root = tempfile::tempdir().expect("a directory");
        let roots = roots(root.path());
        // As a run leaves it that is killed before the reload: the file and the mark are there.
        std::fs::write(programs.join("networkctl.fails"), "").expect("writes");
        let error = declare(&roots, "one").await.expect_err("it does not reload");
        assert!(matches!(error, NetworkError::Reload { .. }), "{error}");
        std::fs::remove_file(programs.join("networkctl.fails")).expect("removes");
        for (text, reloads, in_all) in
            [("one", true, 2), ("one", false, 2), ("two", true, 3), ("two", false, 3)]
        {
            assert_eq!(declare(&roots, text).await.expect("declares"), reloads, "{text}");
            assert_eq!(calls(), "reload\n".repeat(in_all), "{text}");
            let found = std::fs::read_to_string(roots.networkd.join(FILE)).expect("is there");
            assert_eq!(found, text);
        }
    }
}
