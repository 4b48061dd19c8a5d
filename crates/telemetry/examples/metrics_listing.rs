//! Prints the listing of all metrics: what `monitoring/metrics.md` holds.

fn main() {
    print!("{}", telemetry::table::listing::markdown());
}
