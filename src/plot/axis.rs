//! Axes: their range, the values they mark, and how those are written.
//!
//! Laid out here, because plotters' own choice of ticks loops or panics on the extreme ranges of a diverging run.

/// Values are clamped to this magnitude, so that ranges stay finite.
const LARGEST: f64 = 1e30;
/// The ends of a logarithmic axis.
const LOG_RANGE: (f64, f64) = (1e-300, 1e300);

/// A value that an axis can show: finite, and limited in size.
fn drawable(value: f64) -> Option<f64> {
    Some(value).filter(|v| v.is_finite()).map(|v| v.clamp(-LARGEST, LARGEST))
}

/// The same for a logarithmic axis: positive too.
fn drawable_in_log(value: f64) -> Option<f64> {
    Some(value).filter(|v| v.is_finite() && *v > 0.0).map(|v| v.clamp(LOG_RANGE.0, LOG_RANGE.1))
}

/// What is asked of an axis.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct AxisSettings {
    pub(super) label: String,
    pub(super) range: Option<(f64, f64)>,
    pub(super) log: bool,
    /// Steps of an integer: no value between two is marked, and the range ends at the data.
    pub(super) whole: bool,
    /// Names in place of numbers, at 0, 1, 2, …
    pub(super) categories: Vec<String>,
    /// Whether values are marked at all.
    pub(super) hidden: bool,
}

/// The range of an axis, with the distance between its ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    step: f64,
    log: bool,
}

impl Axis {
    /// The axis of any number of values, with about `ticks` ticks.
    pub(super) fn new(settings: &AxisSettings, values: impl Iterator<Item = f64>, ticks: f64) -> Self {
        if settings.log {
            return Self::logarithmic(settings.range, values.filter_map(drawable_in_log));
        }
        let values = values.filter_map(drawable);
        let limit = |(low, high): (f64, f64)| (low.clamp(-LARGEST, LARGEST), high.clamp(-LARGEST, LARGEST));
        if let Some((low, high)) = settings.range.map(limit).filter(|(low, high)| low < high) {
            let step = nice(high - low, ticks);
            return Axis { low, high, step: if settings.whole { step.max(1.0) } else { step }, log: false };
        }
        if settings.whole {
            let (low, high) = ends(values);
            let (low, high) = if low > high { (1.0, 1.0) } else { (low, high) };
            let (low, high) = if high - low < 1.0 { (low - 0.5, high + 0.5) } else { (low, high) };
            return Axis { low, high, step: nice(high - low, ticks).max(1.0), log: false };
        }
        Self::around(values, ticks)
    }

    /// A range around any number of finite values.
    pub(super) fn around(values: impl Iterator<Item = f64>, ticks: f64) -> Self {
        let (low, high) = ends(values);
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let size = low.abs().max(high.abs());
        // Nearly equal values get a range relative to their magnitude, instead of showing rounding errors.
        let span = (high - low).max(if size > 0.0 { 0.01 * size } else { 1.0 });
        let middle = 0.5 * (low + high);
        let (low_edge, high_edge) = (middle - 0.55 * span, middle + 0.55 * span);
        // A range of non-negative values that comes near 0 starts at 0.
        let low_edge = if low >= 0.0 && low_edge < 0.3 * high { 0.0 } else { low_edge };
        Axis { low: low_edge, high: high_edge, step: nice(high_edge - low_edge, ticks), log: false }
    }

    /// Powers of ten around the positive values. `low` and `high` are exponents.
    fn logarithmic(range: Option<(f64, f64)>, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = match range {
            Some(range) => range,
            None => ends(values),
        };
        let (low, high) =
            if low > high || high <= 0.0 { (0.1, 10.0) } else { (low.max(LOG_RANGE.0), high.max(LOG_RANGE.0)) };
        let (low, high) =
            if range.is_some() { (low.log10(), high.log10()) } else { (low.log10() - 0.05, high.log10() + 0.05) };
        let (low, high) = if high - low < 1.0 && range.is_none() { (low.floor(), high.ceil()) } else { (low, high) };
        Axis { low, high, step: ((high - low) / 8.0).ceil().max(1.0), log: true }
    }

    /// A value as this axis can show it; `None` leaves a gap.
    pub(super) fn shown(&self, value: f64) -> Option<f64> {
        if self.log { drawable_in_log(value) } else { drawable(value) }
    }

    /// Whether a value is within the range.
    pub(super) fn shows(&self, value: f64) -> bool {
        (-1e-9..=1.0 + 1e-9).contains(&self.position(value))
    }

    /// The relative position of a value, from 0 at the low end to 1 at the high end; beyond them for what lies outside.
    pub(super) fn position(&self, value: f64) -> f64 {
        let value = if self.log { value.max(LOG_RANGE.0).log10() } else { value };
        (value - self.low) / (self.high - self.low)
    }

    /// The values that are marked.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step - 1e-6).ceil();
        let last = (self.high / self.step + 1e-6).floor();
        // The count is small by construction; the limit is only a safeguard.
        let steps = (0..20).map(|k| first + f64::from(k)).take_while(|&k| k <= last).map(|k| k * self.step);
        steps.map(|v| if self.log { 10f64.powf(v) } else { v }).collect()
    }

    pub(super) fn label(&self, value: f64) -> String {
        if self.log {
            let exponent = value.log10().round();
            return if (-3.0..=4.0).contains(&exponent) { format!("{value}") } else { format!("1e{exponent}") };
        }
        let size = self.high.abs().max(self.low.abs());
        if size >= 1e5 || self.step < 1e-4 {
            let digits = (size / self.step).log10().ceil().clamp(0.0, 12.0) as usize;
            return if value == 0.0 { "0".into() } else { format!("{value:.digits$e}") };
        }
        let decimals = (-self.step.log10()).ceil().clamp(0.0, 6.0) as usize;
        let text = format!("{value:.decimals$}");
        // A tick at -0.0 is 0.
        if text.trim_start_matches('-').chars().all(|c| c == '0' || c == '.') { text.replace('-', "") } else { text }
    }
}

fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::MAX, f64::MIN), |(low, high), v| (v.min(low), v.max(high)))
}

/// The step, 1, 2 or 5 times a power of ten, that results in about `ticks` ticks.
fn nice(span: f64, ticks: f64) -> f64 {
    let raw = span / ticks;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().map(|m| m * power).find(|&s| s >= raw * 0.999);
    step.unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let labels = |axis: Axis| axis.ticks().iter().map(|&t| axis.label(t)).collect::<Vec<_>>();
        let around = |values: &[f64]| Axis::around(values.iter().copied(), 8.0);
        assert_eq!(labels(around(&[0.01, 2.3])), ["0.0", "0.5", "1.0", "1.5", "2.0"]);
        assert_eq!(labels(around(&[3.0, 89.0])), ["0", "20", "40", "60", "80"]);
        assert_eq!(labels(around(&[-1.0, 1.0])), ["-1.0", "-0.5", "0.0", "0.5", "1.0"]);
        let whole = AxisSettings { whole: true, ..AxisSettings::default() };
        let epochs = |last: usize| labels(Axis::new(&whole, (1..=last).map(|e| e as f64), 10.0));
        assert_eq!(epochs(1), ["1"]);
        assert_eq!(epochs(3), ["1", "2", "3"]);
        assert_eq!(epochs(50), ["5", "10", "15", "20", "25", "30", "35", "40", "45", "50"]);
        let log = AxisSettings { log: true, ..AxisSettings::default() };
        assert_eq!(
            labels(Axis::new(&log, [0.002, 5000.0].into_iter(), 8.0)),
            ["0.01", "0.1", "1", "10", "100", "1000"]
        );
        for values in [&[1e30, -1e30][..], &[1e15, 1e15 + 1.0], &[0.0], &[7.0], &[1e-320]] {
            let count = around(values).ticks().len();
            assert!((2..=14).contains(&count), "{values:?}: {count}");
        }
    }
}
