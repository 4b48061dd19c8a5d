//! How much later than the bare client's first byte of an answer the stack's first text is there.

use llm::Delivery;

use super::stack::Bench;
use super::wire::Model;
use super::{Fallible, ms, quantile};

/// The first word, a rest, and the others: what is first is not hidden in one read of all.
const MODEL: Model = Model { words: 20, rest_ms: 2 };

/// Measures and prints.
pub(crate) async fn measure(bench: &Bench, calls: usize) -> Fallible<()> {
    println!("first text of a streamed answer, {calls} calls each in turn (aim: at most +0.2 ms)");
    println!("  {:<18} {:>9} {:>9} {:>9} {:>9}", "", "median ms", "p99 ms", "+median", "+p99");
    for wire in bench.wires() {
        let bare = bench.bare(wire, MODEL, Delivery::Streamed);
        let stack = bench.stack(wire, MODEL, Delivery::Streamed)?;
        let (mut bares, mut stacks, mut again) = (Vec::new(), Vec::new(), Vec::new());
        for turn in 0..calls + 20 {
            let (first, _) = bare.call().await?;
            let ours = stack.call(|_| Ok(())).await?;
            let (control, _) = bare.call().await?;
            if turn >= 20 {
                bares.push(ms(first));
                stacks.push(ms(ours));
                again.push(ms(control));
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
