//! The allocator of the binaries, jemalloc, and what it says of itself.
//!
//! Each `main.rs` declares [`Allocator`] as its `#[global_allocator]`. One that does not has these rows
//! too, at next to nothing.

use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use tikv_jemalloc_ctl::{epoch, stats};

use crate::families::{descriptions, value};
use crate::table::{self, Metric};

pub use tikv_jemallocator::Jemalloc as Allocator;

/// Shows them.
pub(crate) fn register(registry: &Registry) -> prometheus::Result<()> {
    registry.register(Box::new(AllocatorCollector { descriptions: descriptions(table::ALLOCATOR) }))
}

struct AllocatorCollector {
    descriptions: Vec<Desc>,
}

impl Collector for AllocatorCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let shown = |(row, bytes): &(Metric, usize)| value(row, *bytes as f64);
        // It has always been able to tell; should it not be, nothing is better than zeros.
        read().map(|rows| rows.iter().map(shown).collect()).unwrap_or_default()
    }
}

/// The figures of one moment: jemalloc keeps them as they were when its epoch last advanced.
fn read() -> tikv_jemalloc_ctl::Result<[(Metric, usize); 6]> {
    epoch::advance()?;
    Ok([
        (table::ALLOCATOR_ALLOCATED, stats::allocated::read()?),
        (table::ALLOCATOR_ACTIVE, stats::active::read()?),
        (table::ALLOCATOR_RESIDENT, stats::resident::read()?),
        (table::ALLOCATOR_MAPPED, stats::mapped::read()?),
        (table::ALLOCATOR_RETAINED, stats::retained::read()?),
        (table::ALLOCATOR_METADATA, stats::metadata::read()?),
    ])
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::register;
    use crate::table;

    #[test]
    fn it_tells_all_that_the_table_lists() {
        let registry = Registry::new();
        register(&registry).unwrap();
        let shown: Vec<String> = registry.gather().iter().map(|family| family.name().to_owned()).collect();
        let mut listed: Vec<String> = table::ALLOCATOR.iter().map(table::Metric::exported).collect();
        listed.sort();
        assert_eq!(shown, listed);
    }
}
