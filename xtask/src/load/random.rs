//! A small random number generator, the same each time: loads need variety, not secrets.

/// xorshift64* (Marsaglia, Vigna).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        // Any state but zero will do.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number from 0 up to, not including, `limit`. `limit` must not be 0.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % limit
    }

    /// One of the items, which must not be empty.
    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn every_item_comes_up() {
        let mut random = Random::new(0);
        let mut seen = [false; 10];
        for _ in 0..1_000 {
            seen[*random.pick(&[0usize, 1, 2, 3, 4, 5, 6, 7, 8, 9])] = true;
        }
        assert_eq!(seen, [true; 10]);
    }
}
