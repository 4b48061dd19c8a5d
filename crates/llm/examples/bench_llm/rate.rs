//! An open loop: calls begin at a steady rate whether or not those before have ended, and are timed
//! from when they should have begun.

use std::sync::Arc;
use std::time::{Duration, Instant};

use llm::Delivery;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::stack::Bench;
use super::wire::Model;
use super::{Fallible, cpu, ms, quantile};

/// Calls a second.
const RATES: [u32; 3] = [1_000, 2_000, 4_000];
/// How long one side is measured before it is the other's turn.
const ROUND: Duration = Duration::from_secs(1);
/// An answer as long as a summary.
const MODEL: Model = Model { words: 120, rest_ms: 0 };

#[derive(Default)]
struct Side {
    /// Median and 99th percentile of each round: what holds the machine up for a moment spoils a round.
    medians: Vec<f64>,
    p99s: Vec<f64>,
    /// Calls that ended a second, and the share of the processors that this process had.
    ended: Vec<f64>,
    busy: Vec<f64>,
}

impl Side {
    /// Begins calls at this rate for so long and waits for all of them.
    async fn round<F>(&mut self, rate: u32, call: impl Fn() -> F + Send + 'static) -> Fallible<()>
    where
        F: Future<Output = Fallible<()>> + Send + 'static,
    {
        let runtime = Handle::current();
        let begun = Instant::now() + Duration::from_millis(20);
        let cpu_before = cpu()?;
        let calls = rate * u32::try_from(ROUND.as_secs())?;
        // A thread of its own: the runtime's timers are as coarse as a millisecond.
        let pacer = tokio::task::spawn_blocking(move || {
            let mut under_way = JoinSet::new();
            for call_number in 0..calls {
                let due = begun + Duration::from_secs(1) * call_number / rate;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let call = call();
                let timed = async move {
                    call.await?;
                    Ok::<f64, Box<dyn std::error::Error + Send + Sync>>(ms(due.elapsed()))
                };
                under_way.spawn_on(timed, &runtime);
            }
            under_way
        });
        let mut under_way = pacer.await?;
        let mut times = Vec::new();
        while let Some(ended) = under_way.join_next().await {
            times.push(ended??);
        }
        self.medians.push(quantile(&times, 0.5));
        self.p99s.push(quantile(&times, 0.99));
        let took = begun.elapsed().as_secs_f64();
        self.ended.push(f64::from(calls) / took);
        self.busy.push(cpu()?.saturating_sub(cpu_before).as_secs_f64() / took);
        Ok(())
    }

    fn row(&self, name: &str, against: Option<&Self>) {
        let (median, p99) = (quantile(&self.medians, 0.5), quantile(&self.p99s, 0.5));
        let (ended, busy) = (quantile(&self.ended, 0.5), quantile(&self.busy, 0.5));
        print!("  {name:<18} {ended:>9.0} {median:>9.3} {p99:>9.3} {busy:>7.2}");
        match against {
            None => println!(),
            Some(bare) => println!(
                " {:>+9.3} {:>+9.3}",
                median - quantile(&bare.medians, 0.5),
                p99 - quantile(&bare.p99s, 0.5)
            ),
        }
    }
}

/// Measures and prints.
pub(crate) async fn measure(bench: &Bench, rounds: usize) -> Fallible<()> {
    println!(
        "open loop, {rounds} rounds of {} s each in turn; medians of the rounds' figures",
        ROUND.as_secs()
    );
    println!("(aim: 2,000 a second, p99 under +1 ms)");
    println!(
        "  {:<18} {:>9} {:>9} {:>9} {:>7} {:>9} {:>9}",
        "", "ended/s", "median ms", "p99 ms", "cores", "+median", "+p99"
    );
    for wire in bench.wires() {
        for delivery in [Delivery::Whole, Delivery::Streamed] {
            let bare = Arc::new(bench.bare(wire, MODEL, delivery));
            let stack = Arc::new(bench.stack(wire, MODEL, delivery)?);
            let by_bare = |bare: &Arc<_>| {
                let bare: Arc<super::stack::Bare> = Arc::clone(bare);
                move || {
                    let bare = Arc::clone(&bare);
                    async move { bare.call().await.map(drop) }
                }
            };
            for rate in RATES {
                let (mut bares, mut stacks, mut again) = (Side::default(), Side::default(), Side::default());
                for _ in 0..rounds {
                    bares.round(rate, by_bare(&bare)).await?;
                    let stack = Arc::clone(&stack);
                    let by_stack = move || {
                        let stack = Arc::clone(&stack);
                        async move { stack.call(|_| Ok(())).await.map(drop) }
                    };
                    stacks.round(rate, by_stack).await?;
                    again.round(rate, by_bare(&bare)).await?;
                }
                println!(" {}, {delivery:?}, {rate} a second", wire.name());
                bares.row("bare", None);
                stacks.row("stack", Some(&bares));
                again.row("bare again (A/A)", Some(&bares));
            }
        }
    }
    println!();
    Ok(())
}
