//! How the quantities of one call go together, and how that changes with the circumstances: an
//! empirical copula. Pure.
//!
//! Each row is a recorded call, each number the rank of one of its quantities among all rows. A draw
//! takes a row, of a call made under like circumstances where they matter, and for each quantity a
//! place anywhere within its rank: every quantity keeps its own distribution, and what was long
//! together stays long together, in the tails too (Deheuvels 1979; Rüschendorf 2009,
//! <https://doi.org/10.1016/j.jspi.2009.05.030>). What an effect says of the middle of a quantity,
//! the rows of like calls say of its spread.

use crate::draws::Draws;
use crate::profile::distribution::{Circumstances, Covariate};

/// How many quantities a row has.
pub const COLUMNS: usize = 5;
/// The column of an answer's tokens.
pub const OUTPUT_TOKENS: usize = 0;
/// The column of the time to the first token.
pub const FIRST_TOKEN: usize = 1;
/// The column of the mean gap.
pub const GAP: usize = 2;
/// The column of the time from the last chunk to the end.
pub const ENDING: usize = 3;
/// The column of the tokens in a chunk.
pub const TOKENS_PER_CHUNK: usize = 4;
/// Most rows.
pub const MOST_ROWS: usize = 2_000;
/// Fewest rows of like calls, but for a remainder.
const LIKE: usize = 60;

/// One recorded call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Under what circumstances it was made.
    pub circumstances: Circumstances,
    /// Ranks of its quantities among those of all rows, from 0.
    pub ranks: [u16; COLUMNS],
}

/// Ranks of calls. Without any, the quantities are independent of each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranks {
    rows: Vec<Row>,
    by: Vec<Covariate>,
    like: Like,
}

/// Rows of like calls.
#[derive(Clone, Debug, PartialEq)]
enum Like {
    /// These.
    Rows(Vec<Row>),
    /// Those up to each of these values of a covariate, the last part also beyond.
    Parts(Covariate, Vec<(f64, Like)>),
}

impl Default for Ranks {
    fn default() -> Self {
        Self { rows: Vec::new(), by: Vec::new(), like: Like::Rows(Vec::new()) }
    }
}

impl Ranks {
    /// The ranks of these calls, of which an even choice is made where they are too many. Each holds
    /// its quantities in any unit that rises with them. `by` are the circumstances that matter.
    #[must_use]
    pub fn of(calls: &[(Circumstances, [f64; COLUMNS])], by: &[Covariate]) -> Self {
        let wanted = calls.len().min(MOST_ROWS);
        let chosen: Vec<&(Circumstances, [f64; COLUMNS])> =
            (0..wanted).filter_map(|i| calls.get(i * calls.len() / wanted)).collect();
        let mut rows: Vec<Row> = chosen
            .iter()
            .map(|(circumstances, _)| Row { circumstances: *circumstances, ranks: [0; COLUMNS] })
            .collect();
        for column in 0..COLUMNS {
            let values: Vec<f64> = chosen.iter().filter_map(|(_, row)| row.get(column)).copied().collect();
            for (row, rank) in rows.iter_mut().zip(statistics::ranks::distinct(&values)) {
                if let Some(place) = row.ranks.get_mut(column) {
                    // Two thousand at most.
                    *place = u16::try_from(rank).unwrap_or(u16::MAX);
                }
            }
        }
        Self::sorted(rows, by.to_vec())
    }

    /// Rows as they were written.
    ///
    /// # Errors
    /// When they are too many, a column does not hold each rank once, or a covariate comes twice.
    pub fn new(rows: Vec<Row>, by: Vec<Covariate>) -> Result<Self, String> {
        if rows.len() > MOST_ROWS {
            return Err(format!("it has {} rows, {MOST_ROWS} are the most", rows.len()));
        }
        if by.len() > Covariate::ALL.len() || matches!(by.as_slice(), [a, b] if a == b) {
            return Err("it names a covariate twice".to_owned());
        }
        for column in 0..COLUMNS {
            let mut ranks: Vec<usize> =
                rows.iter().filter_map(|row| row.ranks.get(column)).map(|rank| usize::from(*rank)).collect();
            ranks.sort_unstable();
            if !ranks.into_iter().eq(0..rows.len()) {
                return Err(format!("column {column} does not hold each rank once"));
            }
        }
        Ok(Self::sorted(rows, by))
    }

    fn sorted(rows: Vec<Row>, by: Vec<Covariate>) -> Self {
        let like = Like::of(rows.clone(), &by);
        Self { rows, by, like }
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The circumstances that matter.
    #[must_use]
    pub fn by(&self) -> &[Covariate] {
        &self.by
    }

    /// The row of a call made under like circumstances; nothing where there are none.
    pub fn draw(&self, draws: &mut Draws, circumstances: &Circumstances) -> Option<&Row> {
        let mut like = &self.like;
        loop {
            match like {
                Like::Rows(rows) => return draws.pick(rows),
                Like::Parts(covariate, parts) => {
                    let value = circumstances.of(*covariate);
                    let at = parts.partition_point(|(upper, _)| *upper < value).min(parts.len() - 1);
                    like = &parts.get(at)?.1;
                }
            }
        }
    }

    /// Where in its distribution a quantity of this row lies, 0 to 1: `within` its rank.
    #[must_use]
    pub fn share(&self, row: Option<&Row>, column: usize, within: f64) -> f64 {
        match row.and_then(|row| row.ranks.get(column)) {
            #[expect(clippy::cast_precision_loss, reason = "two thousand rows")]
            Some(rank) => (f64::from(*rank) + within) / self.rows.len() as f64,
            None => within,
        }
    }
}

impl Like {
    /// Parts of about equal size by the first covariate, each again by the next. Calls of the same
    /// value stay together.
    fn of(mut rows: Vec<Row>, by: &[Covariate]) -> Self {
        let Some((covariate, rest)) = by.split_first() else { return Self::Rows(rows) };
        let value = |row: &Row| row.circumstances.of(*covariate);
        rows.sort_by(|a, b| value(a).total_cmp(&value(b)));
        // As many parts by this covariate as by those that follow.
        let cells = rows.len() / LIKE;
        let parts = if rest.is_empty() { cells } else { cells.isqrt() };
        let size = rows.len().div_ceil(parts.max(1)).max(1);
        let mut cut: Vec<Vec<Row>> = Vec::new();
        for equal in rows.chunk_by(|a, b| value(a) == value(b)) {
            match cut.last_mut() {
                // Half of what comes next is nearer to the size wanted than nothing of it.
                Some(part) if part.len() + equal.len() / 2 < size => part.extend_from_slice(equal),
                _ => cut.push(equal.to_vec()),
            }
        }
        if cut.last().is_some_and(|last| last.len() < size / 2)
            && let Some(small) = cut.pop()
        {
            match cut.last_mut() {
                Some(last) => last.extend(small),
                None => cut.push(small),
            }
        }
        if cut.is_empty() {
            return Self::Rows(rows);
        }
        let uppers: Vec<f64> = cut
            .iter()
            .zip(cut.iter().skip(1))
            .filter_map(|(one, next)| Some(f64::midpoint(value(one.last()?), value(next.first()?))))
            .chain([f64::INFINITY])
            .collect();
        let parts = uppers.into_iter().zip(cut.into_iter().map(|part| Self::of(part, rest))).collect();
        Self::Parts(*covariate, parts)
    }
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, Circumstances, Covariate, FIRST_TOKEN, GAP, MOST_ROWS, OUTPUT_TOKENS, Ranks, Row};
    use crate::draws::{Draws, Quantity};

    fn at(input_tokens: u64, concurrency: usize) -> Circumstances {
        Circumstances { input_tokens, concurrency }
    }

    /// Calls whose tokens rise and first tokens fall, with the gap that of the concurrency.
    fn ranks(n: usize, by: &[Covariate]) -> Ranks {
        let calls: Vec<(Circumstances, [f64; COLUMNS])> = (0..n)
            .map(|i| {
                let (x, concurrency) = (i as f64, 1 + i % 4);
                let row = [x, -x, concurrency as f64, (i % 7) as f64, (i * 31 % n) as f64];
                (at(10 + (i * 17 % 900) as u64, concurrency), row)
            })
            .collect();
        Ranks::of(&calls, by)
    }

    #[test]
    fn each_column_holds_each_rank_once() {
        for n in [0, 1, 10, 1_000, 4_321] {
            let ranks = ranks(n, &Covariate::ALL);
            assert_eq!(ranks.rows().len(), n.min(MOST_ROWS));
            assert_eq!(Ranks::new(ranks.rows().to_vec(), ranks.by().to_vec()), Ok(ranks));
        }
        let row = |rank| Row { circumstances: at(1, 1), ranks: [rank; COLUMNS] };
        assert!(Ranks::new(vec![row(0); 2], Vec::new()).unwrap_err().contains("column 0"));
        assert!(Ranks::new(vec![row(9)], Vec::new()).is_err());
        assert!(Ranks::new(vec![row(0); 5_000], Vec::new()).unwrap_err().contains("5000 rows"));
        assert!(Ranks::new(vec![row(0)], vec![Covariate::Concurrency; 2]).unwrap_err().contains("twice"));
        assert!(Ranks::new(vec![row(0)], vec![Covariate::Concurrency; 3]).is_err());
    }

    #[test]
    fn what_goes_together_stays_together() {
        let ranks = ranks(500, &[]);
        let mut draws = Draws::of(&[1; 32], Quantity::Row);
        for _ in 0..200 {
            let row = ranks.draw(&mut draws, &at(20, 1));
            let (tokens, first) = (ranks.share(row, OUTPUT_TOKENS, 0.5), ranks.share(row, FIRST_TOKEN, 0.5));
            assert!((tokens + first - 1.0).abs() < 1e-9, "{tokens} {first}");
        }
        assert!((Ranks::default().share(None, 0, 0.3) - 0.3).abs() < 1e-12);
        assert_eq!(Ranks::default().draw(&mut draws, &at(20, 1)), None);
    }

    #[test]
    fn like_circumstances_have_like_rows() {
        let mut draws = Draws::of(&[1; 32], Quantity::Row);
        let ranks = ranks(2_000, &[Covariate::Concurrency, Covariate::InputTokens]);
        for (concurrency, quarter) in [(0, 0.0), (1, 0.0), (2, 0.25), (3, 0.5), (4, 0.75), (400, 0.75)] {
            for _ in 0..100 {
                let row = ranks.draw(&mut draws, &at(300, concurrency));
                let share = ranks.share(row, GAP, 0.5);
                assert!((quarter..quarter + 0.25).contains(&share), "{concurrency}: {share}");
                assert!(row.unwrap().circumstances.input_tokens.abs_diff(300) < 150, "{row:?}");
            }
        }
    }
}
