//! One call at a time, in blocks by turns: what the stack adds to a call.

use std::time::{Duration, Instant};

use llm::Delivery;

use super::stack::{Bare, Bench, Stack};
use super::wire::Model;
use super::{Fallible, cpu, ms, quantile};

/// Calls of one side before it is the other's turn.
const BLOCK: usize = 25;
/// An answer as long as a summary.
const MODEL: Model = Model { words: 120, rest_ms: 0 };

/// Times of calls in milliseconds, and what they took of the processor.
#[derive(Default)]
struct Side {
    times: Vec<f64>,
    cpu: Duration,
}

impl Side {
    async fn block(&mut self, call: impl AsyncFn() -> Fallible<()>) -> Fallible<()> {
        let cpu_before = cpu()?;
        for _ in 0..BLOCK {
            let begun = Instant::now();
            call().await?;
            self.times.push(ms(begun.elapsed()));
        }
        self.cpu += cpu()?.saturating_sub(cpu_before);
        Ok(())
    }

    fn row(&self, name: &str, against: Option<&Self>) {
        let at = |share| quantile(&self.times, share);
        #[expect(clippy::cast_precision_loss, reason = "some thousand calls")]
        let each = self.cpu.as_secs_f64() * 1e6 / self.times.len() as f64;
        print!("  {name:<18} {:>9.3} {:>9.3} {each:>9.0}", at(0.5), at(0.99));
        match against {
            None => println!(),
            Some(bare) => println!(
                " {:>+9.3} {:>+9.3} {:>8.2}",
                at(0.5) - quantile(&bare.times, 0.5),
                at(0.99) - quantile(&bare.times, 0.99),
                at(0.5) / quantile(&bare.times, 0.5)
            ),
        }
    }
}

async fn compare(bare: &Bare, stack: &Stack, calls: usize) -> Fallible<()> {
    let (mut bares, mut stacks, mut again) = (Side::default(), Side::default(), Side::default());
    let by_stack = async || stack.call(|_| Ok(())).await.map(drop);
    let by_bare = async || bare.call().await.map(drop);
    // Connections are there and caches are warm.
    Side::default().block(by_stack).await?;
    Side::default().block(by_bare).await?;
    for turn in 0..calls.div_ceil(BLOCK) {
        // Whoever comes first in a round is another one each time.
        for place in 0..3 {
            match (turn + place) % 3 {
                0 => bares.block(by_bare).await?,
                1 => stacks.block(by_stack).await?,
                _ => again.block(by_bare).await?,
            }
        }
    }
    bares.row("bare", None);
    stacks.row("stack", Some(&bares));
    again.row("bare again (A/A)", Some(&bares));
    Ok(())
}

/// Measures and prints.
pub(crate) async fn measure(bench: &Bench, calls: usize) -> Fallible<()> {
    println!("one call at a time, {calls} calls each in turns of {BLOCK}, answers of {} words", MODEL.words);
    println!("(aims: median at most +0.20 ms, p99 at most +0.60 ms)");
    println!(
        "  {:<18} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}",
        "", "median ms", "p99 ms", "CPU µs", "+median", "+p99", "ratio"
    );
    for wire in bench.wires() {
        for delivery in [Delivery::Whole, Delivery::Streamed] {
            println!(" {}, {delivery:?}", wire.name());
            let bare = bench.bare(wire, MODEL, delivery);
            compare(&bare, &bench.stack(wire, MODEL, delivery)?, calls).await?;
        }
    }
    println!();
    Ok(())
}
