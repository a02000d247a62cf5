//! NumPy's legacy `RandomState`: the Mersenne Twister MT19937 and NumPy's distributions on top of it, bit for bit.
//!
//! MNIST-1D and many published experiments are defined by these streams, so they are reproduced exactly. Other random
//! numbers of wgrad do not use them.

use serde::{Deserialize, Serialize};

/// The state size of MT19937 in words.
const N: usize = 624;
/// The offset of the recurrence's second term.
const M: usize = 397;

/// `numpy.random.RandomState(seed)`.
///
/// ```
/// use wgrad::data::RandomState;
/// let mut rng = RandomState::new(42);
/// assert_eq!(rng.rand(), 0.3745401188473625);
/// assert_eq!(RandomState::new(42).randn(), 0.4967141530112327);
/// ```
#[derive(Debug, Clone)]
pub struct RandomState {
    key: [u32; N],
    position: usize,
    /// The second value of the last pair of the polar method; the next `randn` returns it.
    cached_gauss: Option<f64>,
}

/// The state of a [`RandomState`], as NumPy's `get_state` gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RandomStateParts {
    key: Vec<u32>,
    position: usize,
    cached_gauss: Option<f64>,
}

impl RandomStateParts {
    /// The generator with this state; `None` if no generator can have it.
    pub fn to_state(&self) -> Option<RandomState> {
        let key = <[u32; N]>::try_from(&self.key[..]).ok()?;
        (self.position <= N).then_some(RandomState { key, position: self.position, cached_gauss: self.cached_gauss })
    }
}

impl RandomState {
    /// The current state.
    pub fn parts(&self) -> RandomStateParts {
        RandomStateParts { key: self.key.to_vec(), position: self.position, cached_gauss: self.cached_gauss }
    }

    /// The generator of `numpy.random.RandomState(seed)`. NumPy's seeds are exactly the 32-bit integers.
    pub fn new(seed: u32) -> Self {
        let mut key = [0u32; N];
        key[0] = seed;
        for i in 1..N {
            let previous = key[i - 1];
            key[i] = 1_812_433_253u32.wrapping_mul(previous ^ (previous >> 30)).wrapping_add(i as u32);
        }
        RandomState { key, position: N, cached_gauss: None }
    }

    fn regenerate(&mut self) {
        for i in 0..N {
            let y = (self.key[i] & 0x8000_0000) | (self.key[(i + 1) % N] & 0x7fff_ffff);
            let twist = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.key[i] = self.key[(i + M) % N] ^ (y >> 1) ^ twist;
        }
        self.position = 0;
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.position == N {
            self.regenerate();
        }
        let mut y = self.key[self.position];
        self.position += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// The next 64 random bits: two 32-bit words, the high half first.
    pub fn next_u64(&mut self) -> u64 {
        let high = u64::from(self.next_u32());
        (high << 32) | u64::from(self.next_u32())
    }

    /// `rand()`: uniform in `[0, 1)` with 53 random bits.
    pub fn rand(&mut self) -> f64 {
        let a = f64::from(self.next_u32() >> 5);
        let b = f64::from(self.next_u32() >> 6);
        (a * 67_108_864.0 + b) / 9_007_199_254_740_992.0
    }

    /// `uniform(low, high)`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.rand()
    }

    /// `randn()`: standard normal, by Marsaglia's polar method.
    ///
    /// Values are computed in pairs. As in NumPy, the second one is kept for the next call, even if other
    /// distributions are drawn in between.
    pub fn randn(&mut self) -> f64 {
        if let Some(value) = self.cached_gauss.take() {
            return value;
        }
        loop {
            let x1 = 2.0 * self.rand() - 1.0;
            let x2 = 2.0 * self.rand() - 1.0;
            let r2 = x1 * x1 + x2 * x2;
            if r2 < 1.0 && r2 != 0.0 {
                let f = (-2.0 * r2.ln() / r2).sqrt();
                self.cached_gauss = Some(f * x1);
                return f * x2;
            }
        }
    }

    /// `normal(loc, scale)`.
    pub fn normal(&mut self, loc: f64, scale: f64) -> f64 {
        loc + scale * self.randn()
    }

    /// A uniform integer in `0..=max`, by masking and rejection. Draws nothing if `max` is 0.
    pub fn bounded(&mut self, max: u64) -> u64 {
        if max == 0 {
            return 0;
        }
        let mask = u64::MAX >> max.leading_zeros();
        loop {
            // Where 32 bits are enough, NumPy draws one 32-bit word per try.
            let bits = if max <= u64::from(u32::MAX) { u64::from(self.next_u32()) } else { self.next_u64() };
            if bits & mask <= max {
                return bits & mask;
            }
        }
    }

    /// `choice(n)` and `randint(n)`: a uniform integer in `0..n`, or `None` if `n` is 0.
    pub fn choice(&mut self, n: usize) -> Option<usize> {
        n.checked_sub(1).map(|max| self.bounded(max as u64) as usize)
    }

    /// `shuffle(values)`: Fisher–Yates from the end.
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            let j = self.bounded(i as u64) as usize;
            values.swap(i, j);
        }
    }

    /// `permutation(n)`: `0..n` in random order.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn streams() -> Vec<Value> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/numpy_legacy_rng.json");
        let text = std::fs::read_to_string(path).unwrap();
        let golden: Value = serde_json::from_str(&text).unwrap();
        golden["streams"].as_array().unwrap().clone()
    }

    /// Every number of a nested list, in order.
    fn flat(value: &Value) -> Vec<f64> {
        match value {
            Value::Array(list) => list.iter().flat_map(flat).collect(),
            other => vec![other.as_f64().unwrap()],
        }
    }

    fn draw(seed: u32, count: usize, mut f: impl FnMut(&mut RandomState) -> f64) -> Vec<f64> {
        let mut rng = RandomState::new(seed);
        (0..count).map(|_| f(&mut rng)).collect()
    }

    #[test]
    fn streams_equal_numpys_to_the_last_bit() {
        for stream in streams() {
            let seed = stream["seed"].as_u64().unwrap() as u32;
            let check = |name: &str, f: &mut dyn FnMut(&mut RandomState) -> f64| {
                let expected = flat(&stream[name]);
                assert_eq!(draw(seed, expected.len(), f), expected, "seed {seed}, {name}");
            };
            check("u32", &mut |r| f64::from(r.next_u32()));
            check("random_sample", &mut RandomState::rand);
            check("random_3x4_then_4x1", &mut RandomState::rand);
            check("randn", &mut RandomState::randn);
            check("normal_loc1.5_scale2", &mut |r| r.normal(1.5, 2.0));
            check("uniform_-2_3", &mut |r| r.uniform(-2.0, 3.0));
            check("choice48_x10", &mut |r| r.choice(48).unwrap() as f64);
            check("choice33_x10", &mut |r| r.choice(33).unwrap() as f64);
            check("randint10_x10", &mut |r| r.choice(10).unwrap() as f64);
        }
    }

    #[test]
    fn permutations_equal_numpys() {
        for stream in streams() {
            let seed = stream["seed"].as_u64().unwrap() as u32;
            let permutation = |n| RandomState::new(seed).permutation(n).iter().map(|&v| v as f64).collect::<Vec<_>>();
            assert_eq!(permutation(30), flat(&stream["permutation30"]));
            assert_eq!(permutation(12), flat(&stream["shuffle_list12"]));
            let (long, ends) = (permutation(5000), flat(&stream["permutation5000_first10_last10"]));
            assert_eq!([&long[..10], &long[4990..]].concat(), ends);
        }
    }

    #[test]
    fn the_cached_normal_survives_other_draws() {
        for stream in streams() {
            let mut rng = RandomState::new(stream["seed"].as_u64().unwrap() as u32);
            let mut got: Vec<f64> = (0..3).map(|_| rng.randn()).collect();
            got.push(rng.rand());
            got.extend((0..2).map(|_| rng.randn()));
            assert_eq!(got, flat(&stream["randn3_then_rand1_then_randn2"]));
        }
    }

    #[test]
    fn the_draws_of_one_mnist1d_example_equal_numpys() {
        for stream in streams() {
            let mut rng = RandomState::new(stream["seed"].as_u64().unwrap() as u32);
            let golden = &stream["mnist1d_first_example_draws"];
            assert_eq!(rng.rand(), golden["rand_pad"].as_f64().unwrap());
            assert_eq!(rng.rand(), golden["rand_scale"].as_f64().unwrap());
            assert_eq!(rng.choice(48).unwrap() as u64, golden["choice48"].as_u64().unwrap());
            for name in ["randn72_corr", "randn72_iid"] {
                assert_eq!((0..72).map(|_| rng.randn()).collect::<Vec<_>>(), flat(&golden[name]));
            }
            assert_eq!(rng.rand(), golden["rand_shear"].as_f64().unwrap());
        }
    }

    #[test]
    fn empty_and_single_ranges_draw_nothing() {
        let mut rng = RandomState::new(1);
        assert_eq!((rng.choice(0), rng.choice(1), rng.bounded(0)), (None, Some(0), 0));
        assert_eq!((rng.permutation(0), rng.permutation(1)), (vec![], vec![0]));
        assert_eq!(rng.next_u32(), RandomState::new(1).next_u32());
    }

    #[test]
    fn wide_ranges_equal_numpys() {
        // np.random.RandomState(3).randint(n, dtype=np.int64) for n = 2**32 twice, 2**40 three times, 2**32 + 1 twice.
        let mut rng = RandomState::new(3);
        let got: Vec<u64> = [u64::from(u32::MAX); 2]
            .into_iter()
            .chain([(1 << 40) - 1; 3])
            .chain([1 << 32; 2])
            .map(|m| rng.bounded(m))
            .collect();
        assert_eq!(got, WIDE);
    }

    const WIDE: [u64; 7] =
        [2_365_658_986, 303_761_048, 1_073_054_410_371, 790_795_084_744, 2_445_173_525, 80_522_091, 1_064_672_149];
}
