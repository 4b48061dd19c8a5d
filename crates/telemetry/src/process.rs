//! CPU, memory, file descriptors and threads of this process, by the Prometheus client's own collector.
//!
//! It reads `/proc`, so only Linux has these rows; elsewhere they are absent. CPU time is in whole
//! seconds there.

use prometheus::Registry;

/// Shows them where they can be had.
#[cfg(target_os = "linux")]
pub(crate) fn register(registry: &Registry) -> prometheus::Result<()> {
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
}

/// Shows them where they can be had: not here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn register(_: &Registry) -> prometheus::Result<()> {
    Ok(())
}
