//! What a k6 container is and may do.
//!
//! Owns the whole of it: nothing of it comes from a request but the run's id and bounded values of
//! the environment. No path of the host is mounted; scripts are copied into a volume of the
//! container's own before it starts.

use std::collections::HashMap;
use std::io;

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use url::{Host, Url};
use uuid::Uuid;

use crate::engine::{Launch, arguments, environment, remote_write};
use crate::scenarios::ScriptFile;

/// Where the scripts are.
pub(super) const SCRIPTS: &str = "/scripts";
/// Names the run.
pub(super) const LABEL_RUN: &str = "bookstore.run";
/// Says what the container is for; all of ours have it.
pub(super) const ROLE: &str = "bookstore.role=k6";
/// The user that k6's own image has.
const USER: &str = "12345:12345";
/// How a container reaches its host where it is not in the host's network.
const HOST_NAME: &str = "host.docker.internal";

const MEMORY_BYTES: i64 = 1 << 30;
const CPUS: i64 = 2;
const NANO: i64 = 1_000_000_000;
const PROCESSES: i64 = 256;

/// Which network the container is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// The host's own: its loopback is the container's.
    Host,
    /// One of Docker's, by name; a target on loopback is reached as `host.docker.internal`.
    Named(String),
}

/// The container for a launch, on a host with so many processors.
pub(super) fn container(
    launch: &Launch,
    image: &str,
    network: &Network,
    processors: i64,
) -> ContainerCreateBody {
    let (mode, extra_hosts, target) = match network {
        Network::Host => ("host".to_owned(), None, launch.target.clone()),
        Network::Named(name) => {
            let gateway = format!("{HOST_NAME}:host-gateway");
            (name.clone(), Some(vec![gateway]), seen_from_container(&launch.target))
        }
    };
    let mut variables: Vec<String> =
        environment(launch, &target).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    variables.push("HOME=/tmp".to_owned());
    let outside = extra_hosts.is_some();
    let remote_write =
        launch.remote_write.as_ref().map(|url| if outside { seen_from_container(url) } else { url.clone() });
    let live = remote_write::environment(remote_write.as_ref());
    variables.extend(live.into_iter().map(|(name, value)| format!("{name}={value}")));
    ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(arguments(launch, &format!("{SCRIPTS}/{}", launch.script))),
        env: Some(variables),
        user: Some(USER.to_owned()),
        labels: Some(labels(launch.run)),
        // Without a name it is an anonymous volume, removed with the container.
        volumes: Some(vec![SCRIPTS.to_owned()]),
        stop_signal: Some("SIGINT".to_owned()),
        host_config: Some(HostConfig {
            network_mode: Some(mode),
            extra_hosts,
            readonly_rootfs: Some(true),
            tmpfs: Some(HashMap::from([("/tmp".to_owned(), "rw,noexec,nosuid,nodev,size=16m".to_owned())])),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            privileged: Some(false),
            pids_limit: Some(PROCESSES),
            memory: Some(MEMORY_BYTES),
            // The same again: no swap, which would only make a starved k6 slow instead of dead.
            memory_swap: Some(MEMORY_BYTES),
            nano_cpus: Some(CPUS.min(processors.max(1)) * NANO),
            log_config: Some(HostConfigLogConfig { typ: Some("json-file".to_owned()), config: None }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// The labels of a run's container.
pub(super) fn labels(run: Uuid) -> HashMap<String, String> {
    let (role, k6) = ROLE.split_once('=').unwrap_or((ROLE, ""));
    HashMap::from([(LABEL_RUN.to_owned(), run.to_string()), (role.to_owned(), k6.to_owned())])
}

fn seen_from_container(target: &Url) -> Url {
    let loopback = match target.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let mut seen = target.clone();
    // A name is a valid host of any http URL, so this cannot fail.
    if loopback && seen.set_host(Some(HOST_NAME)).is_err() {
        return target.clone();
    }
    seen
}

/// The scripts as a tar archive, readable by everybody, with no time in it.
pub(super) fn archive(scripts: &[ScriptFile]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for script in scripts {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(script.content.len() as u64);
        archive.append_data(&mut header, &script.path, script.content.as_ref())?;
    }
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;
    use std::sync::Arc;

    use url::Url;
    use uuid::Uuid;

    use super::{Network, archive, container};
    use crate::engine::Launch;
    use crate::scenarios::Scenarios;

    fn launch(target: &str) -> Launch {
        Launch {
            run: Uuid::now_v7(),
            folder: PathBuf::from("/srv/data/runs/x"),
            scripts: Arc::from(Scenarios::embedded().files()),
            script: "scenarios/smoke.js".to_owned(),
            scenario: "smoke".to_owned(),
            target_name: "local".to_owned(),
            target: Url::parse(target).unwrap(),
            environment: vec![("DURATION", "5s".to_owned())],
            secret: None,
            remote_write: None,
        }
    }

    #[test]
    fn the_container_may_do_nothing_but_send_load() {
        let launch = launch("http://127.0.0.1:7002");
        let body = container(&launch, "grafana/k6:1.1.0", &Network::Host, 8);
        let host = body.host_config.clone().unwrap();
        assert_eq!(host.readonly_rootfs, Some(true));
        assert_eq!(host.cap_drop.as_deref(), Some(&["ALL".to_owned()][..]));
        assert_eq!(host.security_opt.as_deref(), Some(&["no-new-privileges".to_owned()][..]));
        assert_eq!((host.nano_cpus, host.pids_limit), (Some(2_000_000_000), Some(256)));
        assert!(host.memory.is_some() && host.memory == host.memory_swap);
        assert_eq!((host.binds, host.mounts, host.cap_add, host.devices), (None, None, None, None));
        assert_eq!(body.user.as_deref(), Some("12345:12345"));
        assert_eq!(body.labels.as_ref().unwrap()["bookstore.run"], launch.run.to_string());
        assert!(!format!("{body:?}").contains("/srv/data"), "a path of the host");
        let env: BTreeSet<_> = body.env.unwrap().into_iter().collect();
        assert!(env.contains("BASE_URL=http://127.0.0.1:7002") && env.contains("DURATION=5s"));
    }

    #[test]
    fn a_small_host_gives_what_it_has() {
        let body = container(&launch("http://x"), "i", &Network::Host, 1);
        assert_eq!(body.host_config.unwrap().nano_cpus, Some(1_000_000_000));
    }

    #[test]
    fn outside_of_the_hosts_network_loopback_is_the_host() {
        let bridge = Network::Named("bridge".to_owned());
        for (target, wanted) in [
            ("http://127.0.0.1:7002", "BASE_URL=http://host.docker.internal:7002"),
            ("http://localhost:7002/shop/", "BASE_URL=http://host.docker.internal:7002/shop"),
            ("https://[::1]:7001", "BASE_URL=https://host.docker.internal:7001"),
            ("http://bookstore-api:7002", "BASE_URL=http://bookstore-api:7002"),
        ] {
            let body = container(&launch(target), "i", &bridge, 4);
            assert!(body.env.unwrap().iter().any(|variable| variable == wanted), "{target}");
            assert!(body.host_config.unwrap().extra_hosts.is_some());
        }
    }

    #[test]
    fn metrics_reach_a_prometheus_on_the_host_under_the_runs_labels() {
        let mut launch = launch("http://127.0.0.1:7002");
        launch.remote_write = Some(Url::parse("http://localhost:9090/api/v1/write").unwrap());
        let body = container(&launch, "i", &Network::Named("bridge".to_owned()), 4);
        let address = "K6_PROMETHEUS_RW_SERVER_URL=http://host.docker.internal:9090/api/v1/write";
        assert!(body.env.unwrap().iter().any(|variable| variable == address));
        let arguments = body.cmd.unwrap().join(" ");
        assert!(arguments.contains("--out experimental-prometheus-rw"), "{arguments}");
        let labels = format!("--tag run={} --tag scenario=smoke --tag target=local", launch.run);
        assert!(arguments.contains(&labels), "{arguments}");
    }

    #[test]
    fn the_archive_holds_every_script() {
        let scenarios = Scenarios::embedded();
        let bytes = archive(scenarios.files()).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let paths: BTreeSet<_> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(paths, scenarios.files().iter().map(|file| file.path.clone()).collect());
    }
}
