//! How much later than the bare client's first byte of an answer the stack's first text is there.

use llm::Delivery;

use super::stack::Bench;
use super::wire::Model;
use super::{Fallible, ms, quantile};

/// The first word, a rest, and the others: what is first is not hidden in one read of all.
const MODEL: Model = Model { words: 20, rest_ms: 2 };

/// Calls of one side before it is the other's turn.
const BLOCK: usize = 10;

/// Measures and prints.
pub(crate) async fn measure(bench: &Bench, calls: usize) -> Fallible<()> {
    println!("first text of a streamed answer, {calls} calls each in turn (aim: at most +0.2 ms)");
    println!("  {:<18} {:>9} {:>9} {:>9} {:>9}", "", "median ms", "p99 ms", "+median", "+p99");
    for wire in bench.wires() {
        let bare = bench.bare(wire, MODEL, Delivery::Streamed);
        let stack = bench.stack(wire, MODEL, Delivery::Streamed)?;
        let (mut bares, mut stacks, mut again) = (Vec::new(), Vec::new(), Vec::new());
        let by_bare = async || bare.call().await.map(|(first, _)| ms(first));
        let by_stack = async || stack.call(|_| Ok(())).await.map(ms);
        // The first calls only warm up.
        by_bare().await?;
        by_stack().await?;
        for turn in 0..calls.div_ceil(BLOCK) {
            for place in 0..3 {
                for _ in 0..BLOCK {
                    match (turn + place) % 3 {
                        0 => bares.push(by_bare().await?),
                        1 => stacks.push(by_stack().await?),
                        _ => again.push(by_bare().await?),
                    }
                }
            }
        }
        println!(" {}", wire.name());
        for (name, times) in [("bare", &bares), ("stack", &stacks), ("bare again (A/A)", &again)] {
            let (median, p99) = (quantile(times, 0.5), quantile(times, 0.99));
            println!(
                "  {name:<18} {median:>9.3} {p99:>9.3} {:>+9.3} {:>+9.3}",
                median - quantile(&bares, 0.5),
                p99 - quantile(&bares, 0.99)
            );
        }
    }
    println!();
    Ok(())
}
