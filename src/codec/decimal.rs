//! Numbers with a fixed count of decimals, by integer arithmetic. This is several times faster than the shortest digits
//! that tell a float from its neighbours, most of which would mean nothing.

/// The greatest length of a number: a sign, 16 digits, a point and a zero before it, or what `serde_json` writes for
/// any float.
pub const LEN_MAX: usize = 25;

/// Above this, a float has no fraction that rounding to an integer could lose.
const SCALED_MAX: f64 = 9e15;

const DIGIT_PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
};

/// The two digits of a number below 100.
pub fn two_digits(n: usize) -> [u8; 2] {
    DIGIT_PAIRS[n]
}

/// A count of decimals, at most 15: no float has more.
#[derive(Clone, Copy)]
pub struct Decimals(u8);

impl Decimals {
    pub fn new(count: u8) -> Self {
        Self(count.min(15))
    }

    /// Writes `value` to the start of `out` without trailing zeros, and returns the number of bytes. A value that is
    /// not finite becomes `null`; one too large for integer arithmetic gets all its digits.
    ///
    /// # Panics
    /// When `out` is shorter than [`LEN_MAX`].
    pub fn write(self, value: f64, out: &mut [u8]) -> usize {
        // One function for each count: divisions by constants are several times faster, and loops unroll.
        match self.0 {
            0 => write_fixed::<0>(value, out),
            1 => write_fixed::<1>(value, out),
            2 => write_fixed::<2>(value, out),
            3 => write_fixed::<3>(value, out),
            4 => write_fixed::<4>(value, out),
            5 => write_fixed::<5>(value, out),
            6 => write_fixed::<6>(value, out),
            7 => write_fixed::<7>(value, out),
            8 => write_fixed::<8>(value, out),
            9 => write_fixed::<9>(value, out),
            10 => write_fixed::<10>(value, out),
            11 => write_fixed::<11>(value, out),
            12 => write_fixed::<12>(value, out),
            13 => write_fixed::<13>(value, out),
            14 => write_fixed::<14>(value, out),
            _ => write_fixed::<15>(value, out),
        }
    }

    /// The float next to what [`Self::write`] writes; NaN where that is `null`.
    pub fn round(self, value: f64) -> f64 {
        let power = 10_f64.powi(i32::from(self.0));
        let scaled = value.abs() * power;
        if !matches!(scaled, 0.0..SCALED_MAX) {
            return if value.is_finite() { value } else { f64::NAN };
        }
        // Both are exact, so their quotient is the float that is nearest to the decimal number.
        let digits = (scaled + 0.5) as i64 as f64;
        if digits == 0.0 { 0.0 } else { (digits / power).copysign(value) }
    }
}

fn write_fixed<const COUNT: usize>(value: f64, out: &mut [u8]) -> usize {
    let power = const { 10_u64.pow(COUNT as u32) };
    let out: &mut [u8; LEN_MAX] = out.first_chunk_mut().expect("out has room for LEN_MAX bytes");
    let scaled = value.abs() * power as f64;
    if !matches!(scaled, 0.0..SCALED_MAX) {
        return write_large(value, out);
    }
    let digits = (scaled + 0.5) as i64 as u64;
    out[0] = b'-';
    let start = usize::from(value < 0.0 && digits != 0);
    let (whole, fraction) = (digits / power, digits % power);
    let point = match whole {
        0..10 => {
            out[start] = b'0' + whole as u8;
            start + 1
        }
        10..100 => {
            out[start..start + 2].copy_from_slice(&DIGIT_PAIRS[whole as usize]);
            start + 2
        }
        _ => {
            let point = start + whole.ilog10() as usize + 1;
            write_padded(whole, &mut out[start..point]);
            point
        }
    };
    if fraction == 0 {
        return point;
    }
    out[point] = b'.';
    let mut padded = [0; COUNT];
    write_padded(fraction, &mut padded);
    out[point + 1..point + 1 + COUNT].copy_from_slice(&padded);
    let zeros = padded.iter().rev().take_while(|digit| **digit == b'0').count();
    point + 1 + COUNT - zeros
}

/// The last digits of `n`, as many as `out` is long.
#[inline]
fn write_padded(mut n: u64, out: &mut [u8]) {
    let (odd, pairs) = out.split_at_mut(out.len() % 2);
    for pair in pairs.rchunks_exact_mut(2) {
        pair.copy_from_slice(&DIGIT_PAIRS[(n % 100) as usize]);
        n /= 100;
    }
    if let [first] = odd {
        *first = b'0' + (n % 10) as u8;
    }
}

#[cold]
fn write_large(value: f64, out: &mut [u8]) -> usize {
    let room = out.len();
    let mut rest = out;
    serde_json::to_writer(&mut rest, &value).expect("a number fits into LEN_MAX");
    room - rest.len()
}

/// Appends numbers with commas between them.
pub fn put_numbers(numbers: &[f64], decimals: Decimals, out: &mut Vec<u8>) {
    let start = out.len();
    // Room for all at once: the loop writes into a slice and never grows the vector.
    out.resize(start + numbers.len() * (LEN_MAX + 1), 0);
    let mut at = start;
    for (i, number) in numbers.iter().enumerate() {
        if i > 0 {
            out[at] = b',';
            at += 1;
        }
        at += decimals.write(*number, &mut out[at..]);
    }
    out.truncate(at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(value: f64, decimals: u8) -> String {
        let mut out = [0; LEN_MAX];
        let len = Decimals::new(decimals).write(value, &mut out);
        std::str::from_utf8(&out[..len]).unwrap().to_owned()
    }

    #[test]
    fn numbers_have_the_decimals_that_mean_something() {
        for (value, decimals, want) in [
            (1.28, 2, "1.28"),
            (1.2, 3, "1.2"),
            (-0.004, 2, "0"),
            (-0.0, 0, "0"),
            (-0.006, 2, "-0.01"),
            (0.05, 3, "0.05"),
            (99.995, 1, "100"),
            (1_234_567.891, 3, "1234567.891"),
            (1e15, 0, "1000000000000000"),
            (8.999e15, 0, "8999000000000000"),
            (0.1, 255, "0.1"),
            (1e300, 2, "1e+300"),
            (-1.5e15, 6, "-1500000000000000.0"),
            (f64::NAN, 2, "null"),
            (f64::NEG_INFINITY, 2, "null"),
        ] {
            assert_eq!(written(value, decimals), want, "{value} with {decimals}");
        }
    }

    #[test]
    fn the_longest_float_fits() {
        for value in [f64::MIN, -2.2250738585072014e-308, -1.2345678901234567e-300, -8.999999999999999e15] {
            for decimals in 0..=16 {
                assert!(written(value, decimals).len() <= LEN_MAX);
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_within_half_a_unit(
            value in prop_oneof![any::<f64>(), -1e4..1e4, -1.0..1.0], decimals in 0_u8..20
        ) {
            let text = written(value, decimals);
            let read: Option<f64> = (text != "null").then(|| text.parse().unwrap());
            match read {
                None => prop_assert!(!value.is_finite() && Decimals::new(decimals).round(value).is_nan()),
                Some(read) => {
                    prop_assert_eq!(read.to_bits(), Decimals::new(decimals).round(value).to_bits());
                    let half = 0.5 / 10_f64.powi(i32::from(decimals.min(15)));
                    prop_assert!((read - value).abs() <= half + value.abs() * 4e-16, "{} as {}", value, text);
                }
            }
        }
    }
}
