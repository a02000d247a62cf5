//! From logits to the probabilities that a token is drawn with.

use crate::error::{Error, Result};

/// How the next token is drawn: from the softmax of `logits / temperature`, cut to the most likely tokens. With both cuts,
/// `top_k` is made first (as in Hugging Face's `generate`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Below 1 the likely tokens become likelier, above 1 less so. 1 by default.
    pub temperature: f64,
    /// Keeps the k most likely tokens (Fan et al. 2018).
    pub top_k: Option<usize>,
    /// Keeps the fewest most likely tokens whose probabilities add up to more than p (nucleus sampling, Holtzman et al.
    /// 2019).
    pub top_p: Option<f64>,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling { temperature: 1.0, top_k: None, top_p: None }
    }
}

impl Sampling {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Config`] that names the setting and what it may be.
    pub fn check(&self) -> Result<()> {
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            let message = format!("must be above 0, but is {}; greedy takes the most likely token", self.temperature);
            return Err(Error::config("temperature", message));
        }
        if self.top_k == Some(0) {
            return Err(Error::config("top_k", "must be at least 1"));
        }
        if self.top_p.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
            return Err(Error::config("top_p", "must lie in [0, 1]"));
        }
        Ok(())
    }

    /// The probability of each token; tokens that are cut off have 0. Of equally likely tokens at a cut the first ones are
    /// kept.
    ///
    /// ```
    /// use wgrad::generate::Sampling;
    /// let logits = [0.5f64, 0.3, 0.2].map(f64::ln);
    /// let kept = Sampling { top_k: Some(2), ..Sampling::default() }.probabilities(&logits);
    /// assert!((kept[0] - 0.625).abs() < 1e-12 && kept[2] == 0.0);
    /// ```
    pub fn probabilities(&self, logits: &[f64]) -> Vec<f64> {
        let scaled: Vec<f64> = logits.iter().map(|x| x / self.temperature).collect();
        let mut probabilities: Vec<f64> = log_softmax(&scaled).into_iter().map(f64::exp).collect();
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
        let mut kept = self.top_k.unwrap_or(usize::MAX).min(order.len());
        if let Some(p) = self.top_p {
            let total: f64 = order[..kept].iter().map(|&token| probabilities[token]).sum();
            let mut sum = 0.0;
            let enough = order[..kept].iter().position(|&token| {
                sum += probabilities[token] / total;
                sum > p
            });
            kept = enough.map_or(kept, |last| last + 1);
        }
        order[kept..].iter().for_each(|&token| probabilities[token] = 0.0);
        let total: f64 = probabilities.iter().sum();
        probabilities.iter_mut().for_each(|p| *p /= total);
        probabilities
    }
}

/// Makes tokens that a sequence already has less likely: positive logits are divided by the penalty, negative ones multiplied
/// (Keskar et al. 2019, CTRL). 1 changes nothing.
pub fn penalise_repetition(logits: &mut [f64], tokens: &[u32], penalty: f64) {
    let mut seen = vec![false; logits.len()];
    for &token in tokens {
        if let Some(seen) = seen.get_mut(token as usize) {
            *seen = true;
        }
    }
    for (logit, _) in logits.iter_mut().zip(seen).filter(|(_, seen)| *seen) {
        *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
    }
}

/// The logarithms of the softmax.
pub(super) fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = logits.iter().map(|x| (x - max).exp()).sum::<f64>().ln() + max;
    logits.iter().map(|x| x - log_sum).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn cuts_keep_the_likeliest() {
        let logits = [0.1f64, 0.4, 0.3, 0.2].map(f64::ln);
        let of = |sampling: Sampling| sampling.probabilities(&logits);
        let close = |got: &[f64], want: &[f64]| got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(close(&of(Sampling::default()), &[0.1, 0.4, 0.3, 0.2]));
        let top_p = |p| of(Sampling { top_p: Some(p), ..Sampling::default() });
        assert!(close(&top_p(0.0), &[0.0, 1.0, 0.0, 0.0]));
        assert!(close(&top_p(0.65), &[0.0, 4.0 / 7.0, 3.0 / 7.0, 0.0]));
        assert!(close(&top_p(0.75), &[0.0, 4.0 / 9.0, 3.0 / 9.0, 2.0 / 9.0]));
        assert!(close(&top_p(1.0), &[0.1, 0.4, 0.3, 0.2]));
        // Of the two that are kept the first has 4/7.
        assert!(close(
            &of(Sampling { top_k: Some(2), top_p: Some(0.5), ..Sampling::default() }),
            &[0.0, 1.0, 0.0, 0.0]
        ));
        assert!(close(&of(Sampling { temperature: 1e-3, ..Sampling::default() }), &[0.0, 1.0, 0.0, 0.0]));
        assert!(close(&Sampling { top_k: Some(1), ..Sampling::default() }.probabilities(&[2.0, 2.0]), &[1.0, 0.0]));
    }

    #[test]
    fn repetition_is_penalised_once() {
        let mut logits = [2.0, -1.0, 0.5];
        penalise_repetition(&mut logits, &[0, 1, 0, 7], 2.0);
        assert_eq!(logits, [1.0, -2.0, 0.5]);
    }

    #[test]
    fn settings_are_checked() {
        for (sampling, name) in [
            (Sampling { temperature: 0.0, ..Sampling::default() }, "temperature"),
            (Sampling { temperature: f64::NAN, ..Sampling::default() }, "temperature"),
            (Sampling { top_k: Some(0), ..Sampling::default() }, "top_k"),
            (Sampling { top_p: Some(1.5), ..Sampling::default() }, "top_p"),
        ] {
            assert!(sampling.check().unwrap_err().to_string().starts_with(name));
        }
    }
}
