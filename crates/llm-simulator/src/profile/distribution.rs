//! One quantity: how it is distributed, and what it depends on. Pure.

use statistics::QuantileTable;

/// What a quantity may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Covariate {
    /// Tokens of the question, estimated as the simulator does.
    InputTokens,
    /// Calls under way, this one included.
    Concurrency,
}

impl Covariate {
    /// Every one of them.
    pub const ALL: [Self; 2] = [Self::InputTokens, Self::Concurrency];

    /// The name in profiles and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InputTokens => "input_tokens",
            Self::Concurrency => "concurrency",
        }
    }
}

/// Under what circumstances a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// Tokens of the question, estimated as the simulator does.
    pub input_tokens: u64,
    /// Calls under way, this one included.
    pub concurrency: usize,
}

impl Circumstances {
    /// One of them as a number, one at least.
    #[must_use]
    pub fn of(&self, covariate: Covariate) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let value = match covariate {
            Covariate::InputTokens => self.input_tokens as f64,
            Covariate::Concurrency => self.concurrency as f64,
        };
        value.max(1.0)
    }
}

/// How a quantity rises or falls with a covariate: a factor at each of a few of its values, straight
/// lines between them where both are on a logarithmic scale, and no further than was observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// On what it depends.
    pub covariate: Covariate,
    /// Values of the covariate, rising, and the factor at each.
    pub factors: Vec<(f64, f64)>,
}

impl Effect {
    /// The factor at a value of the covariate.
    #[must_use]
    pub fn factor(&self, value: f64) -> f64 {
        let above = self.factors.partition_point(|(knot, _)| *knot <= value);
        let before = above.checked_sub(1).and_then(|index| self.factors.get(index));
        match (before, self.factors.get(above)) {
            (Some((low, from)), Some((high, to))) => {
                let way = (value / low).ln() / (high / low).ln();
                from * (to / from).powf(way)
            }
            (Some((_, factor)), None) | (None, Some((_, factor))) => *factor,
            (None, None) => 1.0,
        }
    }
}

/// A quantity: a table of its quantiles, and factors for what it depends on. Where it depends on
/// something, the table is that of the quantity divided by the factors.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// Its quantiles.
    pub table: QuantileTable,
    /// What it depends on.
    pub effects: Vec<Effect>,
}

impl Distribution {
    /// A quantity that depends on nothing.
    #[must_use]
    pub const fn of(table: QuantileTable) -> Self {
        Self { table, effects: Vec::new() }
    }

    /// The product of all factors.
    #[must_use]
    pub fn factor(&self, circumstances: &Circumstances) -> f64 {
        self.effects.iter().map(|effect| effect.factor(circumstances.of(effect.covariate))).product()
    }

    /// The value that belongs to a share from 0 to 1.
    #[must_use]
    pub fn value_at(&self, share: f64, circumstances: &Circumstances) -> f64 {
        self.table.value_at(share) * self.factor(circumstances)
    }
}

#[cfg(test)]
mod tests {
    use statistics::QuantileTable;

    use super::{Circumstances, Covariate, Distribution, Effect};

    #[test]
    fn a_factor_is_interpolated_on_logarithmic_scales_and_ends_where_the_data_end() {
        let covariate = Covariate::Concurrency;
        let effect = Effect { covariate, factors: vec![(1.0, 1.0), (4.0, 2.0), (16.0, 8.0)] };
        for (at, factor) in [(0.5, 1.0), (1.0, 1.0), (2.0, 2.0_f64.sqrt()), (8.0, 4.0), (99.0, 8.0)] {
            assert!((effect.factor(at) - factor).abs() < 1e-12, "{at}");
        }
        let quantity = Distribution { table: QuantileTable::constant(10.0), effects: vec![effect] };
        let at = |concurrency| quantity.value_at(0.5, &Circumstances { input_tokens: 5, concurrency });
        assert!((at(4) - 20.0).abs() < 1e-12 && (at(0) - 10.0).abs() < 1e-12);
    }
}
