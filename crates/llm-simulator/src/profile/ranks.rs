//! How the quantities of one call go together: an empirical copula. Pure.
//!
//! Each row is a recorded call, each number the rank of one of its quantities among all rows. A draw
//! takes a row, and for each quantity a place anywhere within its rank: every quantity keeps its own
//! distribution exactly, and what was long together stays long together, in the tails too
//! (Deheuvels 1979; Rüschendorf 2009, <https://doi.org/10.1016/j.jspi.2009.05.030>).

use crate::draws::Draws;

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
pub const MOST_ROWS: usize = 1_000;

/// Ranks of calls, from 0. Without any, the quantities are independent of each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranks {
    rows: Vec<[u16; COLUMNS]>,
}

impl Ranks {
    /// The ranks of these calls, of which an even choice is made where they are too many. Each row
    /// holds one call's quantities in any unit that rises with them.
    #[must_use]
    pub fn of(calls: &[[f64; COLUMNS]]) -> Self {
        let wanted = calls.len().min(MOST_ROWS);
        let chosen: Vec<&[f64; COLUMNS]> =
            (0..wanted).filter_map(|i| calls.get(i * calls.len() / wanted)).collect();
        let mut rows = vec![[0; COLUMNS]; chosen.len()];
        for column in 0..COLUMNS {
            let values: Vec<f64> = chosen.iter().filter_map(|row| row.get(column)).copied().collect();
            for (row, rank) in rows.iter_mut().zip(statistics::ranks::distinct(&values)) {
                if let Some(place) = row.get_mut(column) {
                    // A thousand at most.
                    *place = u16::try_from(rank).unwrap_or(u16::MAX);
                }
            }
        }
        Self { rows }
    }

    /// Rows as they were written.
    ///
    /// # Errors
    /// When they are too many, or a column does not hold each rank once.
    pub fn new(rows: Vec<[u16; COLUMNS]>) -> Result<Self, String> {
        if rows.len() > MOST_ROWS {
            return Err(format!("it has {} rows, {MOST_ROWS} are the most", rows.len()));
        }
        for column in 0..COLUMNS {
            let mut ranks: Vec<usize> =
                rows.iter().filter_map(|row| row.get(column)).map(|rank| usize::from(*rank)).collect();
            ranks.sort_unstable();
            if !ranks.into_iter().eq(0..rows.len()) {
                return Err(format!("column {column} does not hold each rank once"));
            }
        }
        Ok(Self { rows })
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[[u16; COLUMNS]] {
        &self.rows
    }

    /// One row; nothing where there are none.
    pub fn draw(&self, draws: &mut Draws) -> Option<&[u16; COLUMNS]> {
        draws.pick(&self.rows)
    }

    /// Where in its distribution a quantity of this row lies, 0 to 1: `within` its rank.
    #[must_use]
    pub fn share(&self, row: Option<&[u16; COLUMNS]>, column: usize, within: f64) -> f64 {
        match row.and_then(|row| row.get(column)) {
            #[expect(clippy::cast_precision_loss, reason = "a thousand rows")]
            Some(rank) => (f64::from(*rank) + within) / self.rows.len() as f64,
            None => within,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, FIRST_TOKEN, MOST_ROWS, OUTPUT_TOKENS, Ranks};
    use crate::draws::{Draws, Quantity};

    fn ranks(n: usize) -> Ranks {
        let calls: Vec<[f64; COLUMNS]> =
            (0..n).map(|i| [i as f64, -(i as f64), 1.0, (i % 7) as f64, (i * 31 % n) as f64]).collect();
        Ranks::of(&calls)
    }

    #[test]
    fn each_column_holds_each_rank_once() {
        for n in [0, 1, 10, 1_000, 4_321] {
            let ranks = ranks(n);
            assert_eq!(ranks.rows().len(), n.min(MOST_ROWS));
            assert_eq!(Ranks::new(ranks.rows().to_vec()), Ok(ranks));
        }
        assert!(Ranks::new(vec![[0; COLUMNS]; 2]).unwrap_err().contains("column 0"));
        assert!(Ranks::new(vec![[9; COLUMNS]]).is_err());
        assert!(Ranks::new(vec![[0; COLUMNS]; 5_000]).unwrap_err().contains("5000 rows"));
    }

    #[test]
    fn what_goes_together_stays_together() {
        let ranks = ranks(500);
        let mut draws = Draws::of(&[1; 32], Quantity::Row);
        for _ in 0..200 {
            let row = ranks.draw(&mut draws);
            let (tokens, first) = (ranks.share(row, OUTPUT_TOKENS, 0.5), ranks.share(row, FIRST_TOKEN, 0.5));
            assert!((tokens + first - 1.0).abs() < 1e-9, "{tokens} {first}");
        }
        assert!((Ranks::default().share(None, 0, 0.3) - 0.3).abs() < 1e-12);
    }
}
