//! LiteLLM's proxy in front of the same stub, for comparison. It is another hop, which our stack in
//! process is not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use llm::Delivery;
use tokio::task::JoinSet;

use super::stack::{Bare, Bench};
use super::wire::{Model, Wire};
use super::{Fallible, ms, quantile};

/// Calls of one side before it is the other's turn.
const BLOCK: usize = 10;
/// Calls at once, where as many as possible are made.
const AT_ONCE: usize = 16;
/// For how long.
const FULL: Duration = Duration::from_secs(5);

async fn per_second<F>(call: impl Fn() -> F + Send + Sync + 'static) -> Fallible<f64>
where
    F: Future<Output = Fallible<()>> + Send,
{
    let (call, begun) = (Arc::new(call), Instant::now());
    let mut callers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let call = Arc::clone(&call);
        callers.spawn(async move {
            let mut ended = 0_u32;
            while begun.elapsed() < FULL {
                call().await?;
                ended += 1;
            }
            Ok::<u32, Box<dyn std::error::Error + Send + Sync>>(ended)
        });
    }
    let mut ended = 0.0;
    while let Some(calls) = callers.join_next().await {
        ended += f64::from(calls??);
    }
    Ok(ended / begun.elapsed().as_secs_f64())
}

/// Whole and first-byte times of calls.
#[derive(Default)]
struct Side {
    whole: Vec<f64>,
    first: Vec<f64>,
}

impl Side {
    async fn block(&mut self, call: impl AsyncFn() -> Fallible<Duration>) -> Fallible<()> {
        for _ in 0..BLOCK {
            let begun = Instant::now();
            self.first.push(ms(call().await?));
            self.whole.push(ms(begun.elapsed()));
        }
        Ok(())
    }

    fn row(&self, name: &str, rate: f64, bare: &Self) {
        let added = |own: &[f64], other: &[f64], share| quantile(own, share) - quantile(other, share);
        println!(
            "  {name:<18} {:>9.3} {:>9.3} {:>+9.3} {:>+9.3} {:>+9.3} {rate:>9.0}",
            quantile(&self.whole, 0.5),
            quantile(&self.whole, 0.99),
            added(&self.whole, &bare.whole, 0.5),
            added(&self.whole, &bare.whole, 0.99),
            added(&self.first, &bare.first, 0.5),
        );
    }
}

/// Measures and prints, if there is a LiteLLM.
pub(crate) async fn measure(bench: &Bench, url: Option<String>, calls: usize) -> Fallible<()> {
    let Some(url) = url else {
        println!(
            "LiteLLM was not measured: no LITELLM_URL; `make bench-llm` starts one where PyPI can be had"
        );
        return Ok(());
    };
    let model = Model { words: 120, rest_ms: 0 };
    println!(
        "LiteLLM's proxy in front of the same stub, {calls} calls each in turns of {BLOCK}; calls a second are"
    );
    println!(
        "those of {AT_ONCE} callers at once for {} s. Ours is in process, LiteLLM is another hop.",
        FULL.as_secs()
    );
    println!(
        "  {:<18} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "median ms", "p99 ms", "+median", "+p99", "+first", "calls/s"
    );
    for delivery in [Delivery::Whole, Delivery::Streamed] {
        let bare = bench.bare(Wire::OpenAi, model, delivery);
        let stack = bench.stack(Wire::OpenAi, model, delivery)?;
        let proxied = bench.bare_at(&url, Wire::OpenAi, &model.name(), delivery);
        let first = async |bare: &Bare| bare.call().await.map(|(first, _)| first);
        let (mut bares, mut stacks, mut proxies) = (Side::default(), Side::default(), Side::default());
        for round in 0..calls.div_ceil(BLOCK) + 2 {
            if round == 2 {
                // The first ones were to warm up.
                (bares, stacks, proxies) = (Side::default(), Side::default(), Side::default());
            }
            bares.block(async || first(&bare).await).await?;
            stacks.block(async || stack.call(|_| Ok(())).await).await?;
            proxies.block(async || first(&proxied).await).await?;
        }
        let by = |bare: &Bare| {
            let bare = bare.clone();
            move || {
                let bare = bare.clone();
                async move { bare.call().await.map(drop) }
            }
        };
        let by_stack = {
            let stack = stack.clone();
            move || {
                let stack = stack.clone();
                async move { stack.call(|_| Ok(())).await.map(drop) }
            }
        };
        println!(" openai, {delivery:?}");
        bares.row("bare", per_second(by(&bare)).await?, &bares);
        stacks.row("stack", per_second(by_stack).await?, &bares);
        proxies.row("LiteLLM", per_second(by(&proxied)).await?, &bares);
    }
    println!();
    Ok(())
}
