"""The processes themselves: CPU, memory, files, and Tokio as a whole."""

from .panel import Bad, Panel, Query
from .promql import JOB, rate, total_rate

PANELS = (
    Panel(
        title="CPU cores used",
        shows="CPU seconds a second, by service: 1 is one core fully used.",
        bad="As many as the container may use (1 in compose), or as the machine has: then everything waits.",
        do="See whether the rate of requests rose with it. If not, compare the release before by perf-compare; if so, add a replica.",
        unit="short", thresholds=Bad(0.7, 0.95), width=6,
        queries=(Query(total_rate("process_cpu_seconds_total", JOB, by="job"), "{{job}}"),),
    ),
    Panel(
        title="Memory of the processes",
        shows="Resident memory, by service.",
        bad="Near 256 MiB, where compose's limit ends the process; or a line that rises for hours at the same load.",
        do="Compare with the allocator's live bytes beside: if those rise, it is a leak or a cache; if only this, fragmentation.",
        unit="bytes", thresholds=Bad(192 * 2**20, 240 * 2**20), width=6,
        queries=(Query(f"sum by (job) (process_resident_memory_bytes{{{JOB}}})", "{{job}}"),),
    ),
    Panel(
        title="Memory of the allocator",
        shows="Bytes in use by the program, in pages that hold some of them (active), and held from the system (resident).",
        bad="Allocated bytes that rise for hours at the same load: something is kept for ever.",
        do="Note when it began, and compare the two builds by perf-compare; the caches and their bounds are the first suspects.",
        unit="bytes", width=6,
        queries=(
            Query(f"sum by (job) (allocator_allocated_bytes{{{JOB}}})", "{{job}} allocated"),
            Query(f"sum by (job) (allocator_active_bytes{{{JOB}}})", "{{job}} active"),
            Query(f"sum by (job) (allocator_resident_bytes{{{JOB}}})", "{{job}} resident"),
        ),
    ),
    Panel(
        title="Allocator's overhead",
        shows="Share of the allocator's resident memory that the program does not use: fragments, free pages, bookkeeping.",
        bad="Above 70 % for long on a process of more than 100 MiB: memory is lost to fragments. On a small idle one it is normal.",
        do="A burst leaves free pages, which are given back after some seconds. If it lasts, look for many allocations of odd sizes.",
        unit="percentunit", thresholds=Bad(0.7, 0.9), highest=1, width=6,
        queries=(Query(f"1 - sum by (job) (allocator_allocated_bytes{{{JOB}}}) / sum by (job) (allocator_resident_bytes{{{JOB}}})", "{{job}}"),),
    ),
    Panel(
        title="Open files",
        shows="Share of the file descriptors that a process may have which are open: connections, files, pipes.",
        bad="Above 80 %: soon no connection is accepted and no file opened.",
        do="Compare with the requests in flight. Many clients: raise the limit (ulimit -n). Few: connections leak, see the pools.",
        unit="percentunit", thresholds=Bad(0.6, 0.8), highest=1, width=6,
        queries=(Query(f"max by (job) (process_open_fds{{{JOB}}} / process_max_fds{{{JOB}}})", "{{job}}"),),
    ),
    Panel(
        title="Time since the start",
        shows="How long each process runs.",
        bad="Less than ten minutes without a deployment: it restarts. The annotations mark each start.",
        do="Read its log from before the start; a process ended for its memory leaves none: ask Docker for OOMKilled.",
        unit="dtdurations", kind="stat", thresholds=Bad(600, 60, below=True), width=6,
        queries=(Query(f"time() - max by (job) (process_start_time_seconds{{{JOB}}})", "{{job}}"),),
    ),
    Panel(
        title="Tokio's workers busy",
        shows="Share of their time that the worker threads work, by service.",
        bad="Above 80 %: tasks queue, and latency grows before CPU seems full.",
        do="Look at the global queue and the poll times (Threading): long polls mean blocking work on a worker.",
        unit="percentunit", thresholds=Bad(0.6, 0.8), highest=1, width=6,
        queries=(Query(f"{total_rate('tokio_worker_busy_seconds_total', JOB, by='job')} / sum by (job) (tokio_workers{{{JOB}}})", "{{job}}"),),
    ),
    Panel(
        title="Tokio's tasks",
        shows="Tasks alive, and tasks begun a second, by service.",
        bad="Alive tasks that rise and do not fall with the requests in flight: they wait for something that never comes.",
        do="Compare with requests in flight and with the pools. Tasks of background work are bounded: a rising line is a fault of the program.",
        unit="short", width=6,
        queries=(
            Query(f"sum by (job) (tokio_alive_tasks{{{JOB}}})", "{{job}} alive"),
            Query(f"sum by (job) ({rate('tokio_spawned_tasks_total', JOB)})", "{{job}} begun a second"),
        ),
    ),
)
