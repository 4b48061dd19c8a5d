//! A very long answer: every chunk once, alone and in its order, and how fast.

use std::time::Instant;

use llm::Delivery;

use super::stack::Bench;
use super::wire::Model;
use super::{Fallible, cpu};

/// Measures and prints; fails when a chunk is lost, merged or out of order.
pub(crate) async fn measure(bench: &Bench, chunks: usize) -> Fallible<()> {
    println!("one streamed answer of {chunks} numbered chunks");
    println!("  {:<18} {:>12} {:>14} {:>12}", "", "chunks/s", "CPU µs a chunk", "bytes");
    #[expect(clippy::cast_precision_loss, reason = "a million")]
    let number = chunks as f64;
    let model = Model { words: chunks as u64, rest_ms: 0 };
    for wire in bench.wires() {
        let row = |name: &str, took: f64, cpu: f64, bytes: usize| {
            println!("  {name:<18} {:>12.0} {:>14.3} {bytes:>12}", number / took, cpu * 1e6 / number);
        };
        let (begun, before) = (Instant::now(), cpu()?);
        let (_, length) = bench.bare(wire, model, Delivery::Streamed).call().await?;
        let took = (begun.elapsed().as_secs_f64(), cpu()?.saturating_sub(before).as_secs_f64());
        println!(" {}", wire.name());
        row("bare bytes", took.0, took.1, length);

        let stack = bench.stack(wire, model, Delivery::Streamed)?;
        let (begun, before) = (Instant::now(), cpu()?);
        let (mut next, mut length) = (0, 0);
        let mut expected = String::new();
        stack
            .call(|text| {
                use std::fmt::Write;
                expected.clear();
                write!(expected, "{next} ")?;
                if text != expected {
                    return Err(format!("chunk {next} is {text:?}").into());
                }
                next += 1;
                length += text.len();
                Ok(())
            })
            .await?;
        if next != chunks {
            return Err(format!("{next} of {chunks} chunks came").into());
        }
        let took = (begun.elapsed().as_secs_f64(), cpu()?.saturating_sub(before).as_secs_f64());
        row("stack", took.0, took.1, length);
        println!("  {next} of {chunks} chunks, each alone and in its order");
    }
    println!();
    Ok(())
}
