//! What a run is made with: this machine and what was asked for.
//!
//! Owns what is told of the machine, which is nothing that names it. Must not know how it is shown.

use std::num::NonZeroUsize;

use common_models::StartRun;

use crate::results::Environment;

/// The environment of a run that was asked for like this, where that is still known.
#[must_use]
pub fn of(asked: Option<&StartRun>) -> Environment {
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        processors: processors(),
        memory_bytes: memory_bytes(),
        users: asked.and_then(|asked| asked.users),
        duration_seconds: asked.and_then(|asked| asked.duration_seconds),
        provider: asked.and_then(|asked| asked.provider.clone()),
    }
}

fn processors() -> u32 {
    let count = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Where the system says it in a file, as Linux does:
/// <https://www.kernel.org/doc/html/latest/filesystems/proc.html#meminfo>.
fn memory_bytes() -> Option<u64> {
    total(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn memory_is_read_or_not_known() {
        assert_eq!(total("MemFree: 1 kB\nMemTotal:       24684340 kB\n"), Some(24_684_340 * 1024));
        for broken in ["", "MemTotal:", "MemTotal: x kB", "MemTotal: 12", "MemTotal: 99999999999999999999 kB"]
        {
            assert_eq!(total(broken), None, "{broken}");
        }
    }
}
