//! What a k6 container is and may do.
//!
//! Owns the whole of it: nothing of it comes from a request but the run's id and bounded values of
//! the environment. No path of the host is mounted; scripts are copied into a volume of the
//! container's own before it starts.

use std::collections::HashMap;
use std::io;

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, SystemInfo};
use url::Url;
use uuid::Uuid;

use super::DockerSettings;
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

/// More than any run writes: an hour of samples is a few gigabytes. There is no word for no limit.
const MOST_OUTPUT: &str = "1000g";

const NANO: i64 = 1_000_000_000;
const MEGABYTE: i64 = 1 << 20;

/// What a container may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Processors; fewer where the host has fewer.
    pub cpus: u32,
    /// Processes and threads.
    pub processes: u32,
}

impl Default for Limits {
    /// The scenarios here need a fraction of it.
    fn default() -> Self {
        Self { memory_mib: 1024, cpus: 2, processes: 256 }
    }
}

/// Which network the container is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// The host's own: its loopback is the container's.
    Host,
    /// One of Docker's, by name; a target on loopback is reached as `host.docker.internal`.
    Named(String),
}

/// What a container's specification depends on of the machine that the daemon runs on.
pub(super) struct Host {
    processors: i64,
    /// Whether a container in the host's network shares the loopback of the user's machine.
    shares_loopback: bool,
}

impl Host {
    /// The host, as its daemon describes it.
    pub(super) fn of(info: &SystemInfo) -> Self {
        // Desktop products run the daemon in a virtual machine, also on Linux. The daemon says so
        // in `OperatingSystem` (https://docs.docker.com/reference/api/engine/version/v1.43/#tag/System/operation/SystemInfo).
        let virtual_machine =
            info.operating_system.as_deref().is_some_and(|name| name.contains("Docker Desktop"));
        Self {
            processors: info.ncpu.unwrap_or(1),
            shares_loopback: cfg!(target_os = "linux") && !virtual_machine,
        }
    }

    pub(super) const fn shares_loopback(&self) -> bool {
        self.shares_loopback
    }

    const fn network(&self) -> Option<&'static str> {
        if self.shares_loopback { None } else { Some("bridge") }
    }
}

/// The container for a launch with this image.
pub(super) fn container(
    launch: &Launch,
    image: &str,
    settings: &DockerSettings,
    host: &Host,
) -> ContainerCreateBody {
    let limits = settings.limits;
    let memory = i64::from(limits.memory_mib) * MEGABYTE;
    let fitting = host.network().map_or(Network::Host, |name| Network::Named(name.to_owned()));
    let (mode, extra_hosts, target) = match settings.network.as_ref().unwrap_or(&fitting) {
        Network::Host => ("host".to_owned(), None, launch.target.clone()),
        Network::Named(name) => {
            let gateway = format!("{HOST_NAME}:host-gateway");
            (name.to_owned(), Some(vec![gateway]), seen_from_container(&launch.target))
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
            pids_limit: Some(i64::from(limits.processes)),
            memory: Some(memory),
            // The same again: no swap, which would only make a starved k6 slow instead of dead.
            memory_swap: Some(memory),
            nano_cpus: Some(i64::from(limits.cpus).min(host.processors.max(1)) * NANO),
            log_config: Some(log_config()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// All that k6 writes is kept until the container is removed, for output is asked for again from its
/// beginning. What is not said here is taken from the daemon's own `log-opts`: a `max-size` would throw
/// the oldest samples away, `mode=non-blocking` whatever does not fit a buffer, and `compress` does not
/// go with one file (https://docs.docker.com/engine/logging/drivers/json-file/#options,
/// https://docs.docker.com/engine/logging/configure/#configure-the-delivery-mode-of-log-messages-from-container-to-log-driver).
fn log_config() -> HostConfigLogConfig {
    let options = [("max-size", MOST_OUTPUT), ("max-file", "1"), ("compress", "false"), ("mode", "blocking")];
    HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(options.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
    }
}

/// The labels of a run's container.
pub(super) fn labels(run: Uuid) -> HashMap<String, String> {
    let (role, k6) = ROLE.split_once('=').unwrap_or((ROLE, ""));
    HashMap::from([(LABEL_RUN.to_owned(), run.to_string()), (role.to_owned(), k6.to_owned())])
}

fn seen_from_container(target: &Url) -> Url {
    let loopback = match target.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
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

    use super::{Host, Limits, Network, archive, container};
    use crate::engine::Launch;
    use crate::engine::docker::DockerSettings;
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

    fn settings(network: Option<Network>) -> DockerSettings {
        let limits = Limits::default();
        DockerSettings { host: None, home: None, image: "k6:1".to_owned(), network, limits }
    }

    const LINUX: Host = Host { processors: 8, shares_loopback: true };

    #[test]
    fn the_container_may_do_nothing_but_send_load() {
        let launch = launch("http://127.0.0.1:7002");
        let body = container(&launch, "sha256:00", &settings(None), &LINUX);
        let host = body.host_config.clone().unwrap();
        assert_eq!(host.readonly_rootfs, Some(true));
        assert_eq!(host.cap_drop.as_deref(), Some(&["ALL".to_owned()][..]));
        assert_eq!(host.security_opt.as_deref(), Some(&["no-new-privileges".to_owned()][..]));
        assert_eq!((host.nano_cpus, host.pids_limit), (Some(2_000_000_000), Some(256)));
        assert!(host.memory.is_some() && host.memory == host.memory_swap);
        let log = host.log_config.unwrap();
        assert_eq!(log.typ.as_deref(), Some("json-file"));
        // Whatever of these is absent is the daemon's to say.
        let told: BTreeSet<_> = log.config.unwrap().into_keys().collect();
        assert_eq!(told, ["compress", "max-file", "max-size", "mode"].map(str::to_owned).into());
        assert_eq!((host.binds, host.mounts, host.cap_add, host.devices), (None, None, None, None));
        assert_eq!((body.image.as_deref(), host.network_mode.as_deref()), (Some("sha256:00"), Some("host")));
        assert_eq!(body.user.as_deref(), Some("12345:12345"));
        assert_eq!(body.labels.as_ref().unwrap()["bookstore.run"], launch.run.to_string());
        assert!(!format!("{body:?}").contains("/srv/data"), "a path of the host");
        let env: BTreeSet<_> = body.env.unwrap().into_iter().collect();
        assert!(env.contains("BASE_URL=http://127.0.0.1:7002") && env.contains("DURATION=5s"));
    }

    #[test]
    fn a_small_host_gives_what_it_has() {
        let body = container(&launch("http://x"), "i", &settings(None), &Host { processors: 1, ..LINUX });
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
            let body = container(&launch(target), "i", &settings(Some(bridge.clone())), &LINUX);
            assert!(body.env.unwrap().iter().any(|variable| variable == wanted), "{target}");
            assert!(body.host_config.unwrap().extra_hosts.is_some());
        }
        // Where nobody chose and the host's network would be that of a virtual machine.
        let desktop = Host { processors: 4, shares_loopback: false };
        let body = container(&launch("http://127.0.0.1:7002"), "i", &settings(None), &desktop);
        assert_eq!(body.host_config.unwrap().network_mode.as_deref(), Some("bridge"));
        assert!(body.env.unwrap().contains(&"BASE_URL=http://host.docker.internal:7002".to_owned()));
    }

    #[test]
    fn metrics_reach_a_prometheus_on_the_host_under_the_runs_labels() {
        let mut launch = launch("http://127.0.0.1:7002");
        launch.remote_write = Some(Url::parse("http://localhost:9090/api/v1/write").unwrap());
        let body = container(&launch, "i", &settings(Some(Network::Named("bridge".to_owned()))), &LINUX);
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
