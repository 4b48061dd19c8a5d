//! What is read at a scrape, in the form that the registry takes: rows of the table with their values.
//!
//! OpenTelemetry has no instrument for a histogram that is kept elsewhere, and reads each observable by
//! itself; a collector reads once a scrape all that belongs together. Knows no source of values.

use std::collections::HashMap;

use prometheus::core::Desc;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric as Series, MetricFamily, MetricType,
};

use crate::table::{Kind, Metric};

/// What a collector tells the registry of its rows.
pub(crate) fn descriptions(rows: &[Metric]) -> Vec<Desc> {
    let describe = |row: &Metric| {
        Desc::new(row.exported(), row.help.to_owned(), row.exported_labels().collect(), HashMap::new())
    };
    // A row that cannot be described fails the test of the table.
    rows.iter().filter_map(|row| describe(row).ok()).collect()
}

/// A row with its one value.
pub(crate) fn value(row: &Metric, value: f64) -> MetricFamily {
    family(row, vec![series(row, Vec::new(), value)])
}

/// A row with a value for each worker, numbered from 0.
pub(crate) fn by_worker(row: &Metric, values: impl Iterator<Item = f64>) -> MetricFamily {
    let labelled = |(worker, value): (usize, f64)| {
        let mut label = LabelPair::default();
        label.set_name("worker".to_owned());
        label.set_value(worker.to_string());
        series(row, vec![label], value)
    };
    family(row, values.enumerate().map(labelled).collect())
}

/// A histogram's row: for each bucket its upper bound and how many fell into it alone, how many were
/// above all of them, and the sum of all.
#[cfg(any(test, tokio_unstable))]
pub(crate) fn histogram(row: &Metric, buckets: &[(f64, u64)], above: u64, sum: f64) -> MetricFamily {
    let mut count = 0;
    let cumulated = buckets.iter().map(|(bound, number)| {
        count += number;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(cumulated.collect());
    histogram.set_sample_count(count + above);
    histogram.set_sample_sum(sum);
    let mut series = Series::default();
    series.set_histogram(histogram);
    family(row, vec![series])
}

fn series(row: &Metric, labels: Vec<LabelPair>, value: f64) -> Series {
    let mut series = Series::default();
    series.set_label(labels);
    if row.kind == Kind::Counter {
        let mut counter = Counter::default();
        counter.set_value(value);
        series.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        series.set_gauge(gauge);
    }
    series
}

fn family(row: &Metric, series: Vec<Series>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(row.exported());
    family.set_help(row.help.to_owned());
    family.set_field_type(match row.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::UpDownCounter | Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram => MetricType::HISTOGRAM,
    });
    family.set_metric(series);
    family
}

#[cfg(test)]
mod tests {
    use prometheus::{Encoder, TextEncoder};

    use super::{by_worker, descriptions, histogram, value};
    use crate::table;

    #[test]
    fn every_row_can_be_described() {
        assert_eq!(descriptions(table::COLLECTED).len(), table::COLLECTED.len());
    }

    #[test]
    fn rows_are_written_as_prometheus_reads_them() {
        let families = [
            value(&table::ALLOCATOR_ALLOCATED, 7.0),
            by_worker(&table::TOKIO_WORKER_PARKS, [3.0, 4.0].into_iter()),
            histogram(&table::TOKIO_POLL_DURATION, &[(0.001, 5), (0.002, 2)], 1, 0.5),
        ];
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        for line in [
            "# TYPE allocator_allocated_bytes gauge",
            "allocator_allocated_bytes 7",
            "# TYPE tokio_worker_parks_total counter",
            r#"tokio_worker_parks_total{worker="1"} 4"#,
            r#"tokio_poll_duration_seconds_bucket{le="0.001"} 5"#,
            r#"tokio_poll_duration_seconds_bucket{le="0.002"} 7"#,
            r#"tokio_poll_duration_seconds_bucket{le="+Inf"} 8"#,
            "tokio_poll_duration_seconds_sum 0.5",
            "tokio_poll_duration_seconds_count 8",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is missing in\n{text}");
        }
    }
}
