//! The rows that are read at a scrape: process, Tokio runtime, allocator.
//!
//! Those of the process are the Prometheus client's own, with its names and help (`process.rs`).

use super::{Kind, Metric};

/// Seconds of polls: powers of two nanoseconds, as the runtime's histogram has them (`runtime.rs`), from
/// 16 µs to 8.6 s.
pub(crate) const POLL_SECONDS: &[f64] = &[
    1.6384e-05,
    3.2768e-05,
    6.5536e-05,
    0.000131072,
    0.000262144,
    0.000524288,
    0.001048576,
    0.002097152,
    0.004194304,
    0.008388608,
    0.016777216,
    0.033554432,
    0.067108864,
    0.134217728,
    0.268435456,
    0.536870912,
    1.073741824,
    2.147483648,
    4.294967296,
    8.589934592,
];

/// CPU time.
pub const PROCESS_CPU: Metric = Metric {
    name: "process.cpu",
    unit: "s",
    kind: Kind::Counter,
    labels: &[],
    help: "Total user and system CPU time spent in seconds.",
    buckets: &[],
};
/// Memory that is really there.
pub const PROCESS_RESIDENT_MEMORY: Metric = Metric {
    name: "process.resident_memory",
    unit: "By",
    kind: Kind::Gauge,
    labels: &[],
    help: "Resident memory size in bytes.",
    buckets: &[],
};
/// Memory that is addressed.
pub const PROCESS_VIRTUAL_MEMORY: Metric = Metric {
    name: "process.virtual_memory",
    unit: "By",
    kind: Kind::Gauge,
    labels: &[],
    help: "Virtual memory size in bytes.",
    buckets: &[],
};
/// File descriptors in use.
pub const PROCESS_OPEN_FDS: Metric = Metric {
    name: "process.open_fds",
    unit: "",
    kind: Kind::Gauge,
    labels: &[],
    help: "Number of open file descriptors.",
    buckets: &[],
};
/// File descriptors that may be in use.
pub const PROCESS_MAX_FDS: Metric = Metric {
    name: "process.max_fds",
    unit: "",
    kind: Kind::Gauge,
    labels: &[],
    help: "Maximum number of open file descriptors.",
    buckets: &[],
};
/// When the process started.
pub const PROCESS_START_TIME: Metric = Metric {
    name: "process.start_time",
    unit: "s",
    kind: Kind::Gauge,
    labels: &[],
    help: "Start time of the process since unix epoch in seconds.",
    buckets: &[],
};
/// Threads.
pub const PROCESS_THREADS: Metric = Metric {
    name: "process.threads",
    unit: "",
    kind: Kind::Gauge,
    labels: &[],
    help: "Number of OS threads in the process.",
    buckets: &[],
};
/// Worker threads.
pub const TOKIO_WORKERS: Metric = Metric {
    name: "tokio.workers",
    unit: "",
    kind: Kind::Gauge,
    labels: &[],
    help: "Worker threads of the Tokio runtime",
    buckets: &[],
};
/// Tasks alive.
pub const TOKIO_ALIVE_TASKS: Metric = Metric {
    name: "tokio.alive_tasks",
    unit: "",
    kind: Kind::Gauge,
    labels: &[],
    help: "Tasks that were spawned and have not ended",
    buckets: &[],
};
/// Tasks that wait for any worker.
pub const TOKIO_GLOBAL_QUEUE_DEPTH: Metric = Metric {
    name: "tokio.global_queue_depth",
    unit: "",
    kind: Kind::Gauge,
    labels: &[],
    help: "Tasks that wait in the queue of all workers",
    buckets: &[],
};
/// Time that workers worked.
pub const TOKIO_WORKER_BUSY: Metric = Metric {
    name: "tokio.worker.busy",
    unit: "s",
    kind: Kind::Counter,
    labels: &["worker"],
    help: "Time that a worker spent with tasks, by worker",
    buckets: &[],
};
/// Times that workers slept.
pub const TOKIO_WORKER_PARKS: Metric = Metric {
    name: "tokio.worker.parks",
    unit: "",
    kind: Kind::Counter,
    labels: &["worker"],
    help: "How often a worker had nothing to do and slept, by worker",
    buckets: &[],
};
/// Polls.
pub const TOKIO_WORKER_POLLS: Metric = Metric {
    name: "tokio.worker.polls",
    unit: "",
    kind: Kind::Counter,
    labels: &["worker"],
    help: "Polls of tasks, by worker",
    buckets: &[],
};
/// Tasks stolen.
pub const TOKIO_WORKER_STEALS: Metric = Metric {
    name: "tokio.worker.steals",
    unit: "",
    kind: Kind::Counter,
    labels: &["worker"],
    help: "Tasks that a worker took from the queue of another, by worker",
    buckets: &[],
};
/// Tasks that wait for one worker.
pub const TOKIO_WORKER_LOCAL_QUEUE_DEPTH: Metric = Metric {
    name: "tokio.worker.local_queue_depth",
    unit: "",
    kind: Kind::Gauge,
    labels: &["worker"],
    help: "Tasks that wait in the queue of one worker, by worker",
    buckets: &[],
};
/// Tasks spawned.
pub const TOKIO_SPAWNED_TASKS: Metric = Metric {
    name: "tokio.spawned_tasks",
    unit: "",
    kind: Kind::Counter,
    labels: &[],
    help: "Tasks that were spawned",
    buckets: &[],
};
/// Threads for what blocks.
pub const TOKIO_BLOCKING_THREADS: Metric = Metric {
    name: "tokio.blocking_threads",
    unit: "",
    kind: Kind::Gauge,
    labels: &[],
    help: "Threads of the pool for work that blocks",
    buckets: &[],
};
/// Idle threads for what blocks.
pub const TOKIO_BLOCKING_IDLE_THREADS: Metric = Metric {
    name: "tokio.blocking_idle_threads",
    unit: "",
    kind: Kind::Gauge,
    labels: &[],
    help: "Threads of the pool for work that blocks that have nothing to do",
    buckets: &[],
};
/// Work that blocks and waits.
pub const TOKIO_BLOCKING_QUEUE_DEPTH: Metric = Metric {
    name: "tokio.blocking_queue_depth",
    unit: "",
    kind: Kind::Gauge,
    labels: &[],
    help: "Work that blocks and waits for a thread",
    buckets: &[],
};
/// Tasks that were made to yield.
pub const TOKIO_BUDGET_FORCED_YIELDS: Metric = Metric {
    name: "tokio.budget_forced_yields",
    unit: "",
    kind: Kind::Counter,
    labels: &[],
    help: "How often a task was made to yield because it had used up its budget",
    buckets: &[],
};
/// How long polls took.
pub const TOKIO_POLL_DURATION: Metric = Metric {
    name: "tokio.poll.duration",
    unit: "s",
    kind: Kind::Histogram,
    labels: &[],
    help: "Duration of polls of tasks; a long one keeps a worker from everything else. Its sum is the time that workers were busy",
    buckets: POLL_SECONDS,
};
/// Bytes in use.
pub const ALLOCATOR_ALLOCATED: Metric = Metric {
    name: "allocator.allocated",
    unit: "By",
    kind: Kind::Gauge,
    labels: &[],
    help: "Bytes that the program has allocated",
    buckets: &[],
};
/// Bytes in pages in use.
pub const ALLOCATOR_ACTIVE: Metric = Metric {
    name: "allocator.active",
    unit: "By",
    kind: Kind::Gauge,
    labels: &[],
    help: "Bytes in pages that hold something allocated",
    buckets: &[],
};
/// Bytes really there.
pub const ALLOCATOR_RESIDENT: Metric = Metric {
    name: "allocator.resident",
    unit: "By",
    kind: Kind::Gauge,
    labels: &[],
    help: "Bytes in pages that the allocator holds in memory, at most",
    buckets: &[],
};
/// Bytes mapped.
pub const ALLOCATOR_MAPPED: Metric = Metric {
    name: "allocator.mapped",
    unit: "By",
    kind: Kind::Gauge,
    labels: &[],
    help: "Bytes in extents that the allocator has mapped",
    buckets: &[],
};
/// Bytes kept back.
pub const ALLOCATOR_RETAINED: Metric = Metric {
    name: "allocator.retained",
    unit: "By",
    kind: Kind::Gauge,
    labels: &[],
    help: "Bytes of address space that the allocator keeps without memory behind it",
    buckets: &[],
};
/// Bytes of the allocator itself.
pub const ALLOCATOR_METADATA: Metric = Metric {
    name: "allocator.metadata",
    unit: "By",
    kind: Kind::Gauge,
    labels: &[],
    help: "Bytes of the allocator's own bookkeeping",
    buckets: &[],
};

/// Of the process, by the Prometheus client; Linux only.
pub const PROCESS: &[Metric] = &[
    PROCESS_CPU,
    PROCESS_RESIDENT_MEMORY,
    PROCESS_VIRTUAL_MEMORY,
    PROCESS_OPEN_FDS,
    PROCESS_MAX_FDS,
    PROCESS_START_TIME,
    PROCESS_THREADS,
];
/// Of the Tokio runtime, by `runtime.rs`.
pub const RUNTIME: &[Metric] = &[
    TOKIO_WORKERS,
    TOKIO_ALIVE_TASKS,
    TOKIO_GLOBAL_QUEUE_DEPTH,
    TOKIO_WORKER_BUSY,
    TOKIO_WORKER_PARKS,
    TOKIO_WORKER_POLLS,
    TOKIO_WORKER_STEALS,
    TOKIO_WORKER_LOCAL_QUEUE_DEPTH,
    TOKIO_SPAWNED_TASKS,
    TOKIO_BLOCKING_THREADS,
    TOKIO_BLOCKING_IDLE_THREADS,
    TOKIO_BLOCKING_QUEUE_DEPTH,
    TOKIO_BUDGET_FORCED_YIELDS,
    TOKIO_POLL_DURATION,
];
/// Of the allocator, by `allocator.rs`.
pub const ALLOCATOR: &[Metric] = &[
    ALLOCATOR_ALLOCATED,
    ALLOCATOR_ACTIVE,
    ALLOCATOR_RESIDENT,
    ALLOCATOR_MAPPED,
    ALLOCATOR_RETAINED,
    ALLOCATOR_METADATA,
];
/// Everything that is read at a scrape.
pub const COLLECTED: &[Metric] = &[
    PROCESS_CPU,
    PROCESS_RESIDENT_MEMORY,
    PROCESS_VIRTUAL_MEMORY,
    PROCESS_OPEN_FDS,
    PROCESS_MAX_FDS,
    PROCESS_START_TIME,
    PROCESS_THREADS,
    TOKIO_WORKERS,
    TOKIO_ALIVE_TASKS,
    TOKIO_GLOBAL_QUEUE_DEPTH,
    TOKIO_WORKER_BUSY,
    TOKIO_WORKER_PARKS,
    TOKIO_WORKER_POLLS,
    TOKIO_WORKER_STEALS,
    TOKIO_WORKER_LOCAL_QUEUE_DEPTH,
    TOKIO_SPAWNED_TASKS,
    TOKIO_BLOCKING_THREADS,
    TOKIO_BLOCKING_IDLE_THREADS,
    TOKIO_BLOCKING_QUEUE_DEPTH,
    TOKIO_BUDGET_FORCED_YIELDS,
    TOKIO_POLL_DURATION,
    ALLOCATOR_ALLOCATED,
    ALLOCATOR_ACTIVE,
    ALLOCATOR_RESIDENT,
    ALLOCATOR_MAPPED,
    ALLOCATOR_RETAINED,
    ALLOCATOR_METADATA,
];
