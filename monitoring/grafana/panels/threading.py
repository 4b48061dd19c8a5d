"""Tokio from inside: workers, queues, the blocking pool, the polls of tasks.

Of the workers the busiest and the mean are shown, not each: a machine may have many.
"""

from .panel import Bad, Panel, Query
from .promql import JOB, quantile, rate, total_rate


def of_workers(metric):
    """The busiest worker and the mean of all."""
    each = f"sum by (job, worker) ({rate(metric, JOB)})"
    return (Query(f"max by (job) ({each})", "{{job}} busiest"), Query(f"avg by (job) ({each})", "{{job}} mean"))


PANELS = (
    Panel(
        title="Busy share of workers",
        shows="Share of its time that the busiest worker works, and the mean of all workers.",
        bad="The busiest near 100 % while the mean is low: one task holds a worker, and all that wait on it stand still.",
        do="Look at the poll times: work that computes or blocks for long belongs into the blocking pool.",
        unit="percentunit", thresholds=Bad(0.7, 0.9), highest=1, width=6,
        queries=of_workers("tokio_worker_busy_seconds_total"),
    ),
    Panel(
        title="Parks of workers",
        shows="How often a second a worker lay down because it had nothing to do.",
        bad="None at all under load: the workers never rest, and latency grows.",
        do="With a busy share near 100 % the process needs more CPU or less work; with many parks and slow answers it waits for others.",
        unit="cps", width=6,
        queries=of_workers("tokio_worker_parks_total"),
    ),
    Panel(
        title="Steals between workers",
        shows="Tasks a second that a worker took from another one's queue.",
        bad="As many as polls: tasks wander all the time, and their data leaves the CPU's cache.",
        do="Some are healthy. Many with a low busy share come with very short tasks: do more in one of them.",
        unit="cps", width=6,
        queries=of_workers("tokio_worker_steals_total"),
    ),
    Panel(
        title="Polls of tasks",
        shows="How often a second a worker polled a task.",
        bad="A rise without more requests: something wakes up in a loop without getting on.",
        do="Divide by the requests a second and compare with the build before; a timer of zero or a busy channel is the usual cause.",
        unit="cps", width=6,
        queries=of_workers("tokio_worker_polls_total"),
    ),
    Panel(
        title="Queues of tasks",
        shows="Tasks that wait in the global queue, and in the longest queue of a worker.",
        bad="Above 100 for more than moments: more is ready to run than the workers manage.",
        do="See the busy share and the poll times. Long polls: move the work to the blocking pool. Else more CPU, or fewer requests at once.",
        unit="short", thresholds=Bad(100, 1000), width=6,
        queries=(
            Query(f"sum by (job) (tokio_global_queue_depth{{{JOB}}})", "{{job}} global"),
            Query(f"max by (job) (tokio_worker_local_queue_depth{{{JOB}}})", "{{job}} longest of a worker"),
        ),
    ),
    Panel(
        title="Blocking pool",
        shows="Threads of the blocking pool at work, idle ones, and work that waits for one.",
        bad="Anything that waits: the pool is full (512 threads by default), and files, DNS and the embedded store stand still.",
        do="Threads at work that stay many: a disk or DNS is slow. See the store's p95, and the machine's disk.",
        unit="short", thresholds=Bad(128, 480), width=6,
        queries=(
            Query(f"sum by (job) (tokio_blocking_threads{{{JOB}}} - tokio_blocking_idle_threads{{{JOB}}})", "{{job}} at work"),
            Query(f"sum by (job) (tokio_blocking_idle_threads{{{JOB}}})", "{{job}} idle"),
            Query(f"sum by (job) (tokio_blocking_queue_depth{{{JOB}}})", "{{job}} waiting"),
        ),
    ),
    Panel(
        title="Time of a poll",
        shows="p50 and p99 of how long a task holds its worker at once.",
        bad="p99 above 10 ms: a task computes or blocks on a worker, and all others behind it wait as long.",
        do="Take a profile under load. What takes long, such as hashing, parsing of large bodies or file access, goes to spawn_blocking.",
        unit="s", thresholds=Bad(0.001, 0.01), width=6,
        queries=(
            Query(quantile(0.5, "tokio_poll_duration_seconds", JOB, by="job"), "p50 {{job}}"),
            Query(quantile(0.99, "tokio_poll_duration_seconds", JOB, by="job"), "p99 {{job}}"),
        ),
    ),
    Panel(
        title="Forced yields and threads",
        shows="Tasks a second that used up their budget and were made to yield; and the threads of the process.",
        bad="Yields in the thousands: a task always finds something ready and crowds out others. Threads that rise without end.",
        do="Such a task mostly drains a channel or a socket in a loop: bound what it takes at once. Threads: see the blocking pool.",
        unit="short", width=6,
        queries=(
            Query(total_rate("tokio_budget_forced_yields_total", JOB, by="job"), "{{job}} yields a second"),
            Query(f"sum by (job) (process_threads{{{JOB}}})", "{{job}} threads"),
        ),
    ),
)
