//! Token buckets, and early discard at random.

/// A bucket of whole tokens that fills steadily. It holds a second's worth, so that what a stall held back passes in one go.
pub(crate) struct Bucket {
    per_s: u64,
    /// In millionths of a token.
    content: u64,
    /// Likewise: what was taken though it was not there.
    owed: u64,
    at: u64,
}

const TOKEN: u64 = 1_000_000;

impl Bucket {
    /// Begin full, at `now` in microseconds.
    pub(crate) fn new(now: u64, per_s: u64) -> Self {
        Self { per_s, content: per_s * TOKEN, owed: 0, at: now }
    }

    /// Take a token; false where there is none. A clock that went back gives none.
    pub(crate) fn take(&mut self, now: u64) -> bool {
        self.fill(now);
        let enough = self.content >= TOKEN;
        self.content -= if enough { TOKEN } else { 0 };
        enough
    }

    /// Take a token whether there is one or not: what is owed is filled up first. It owes a second's worth at most.
    pub(crate) fn charge(&mut self, now: u64) {
        if !self.take(now) {
            self.owed = (self.owed + TOKEN).min(self.per_s * TOKEN);
        }
    }

    /// How empty it is: 0 where full, 1 000 where not a token is left.
    pub(crate) fn emptiness(&mut self, now: u64) -> u64 {
        self.fill(now);
        1_000 - self.content.saturating_mul(1_000) / (self.per_s * TOKEN)
    }

    fn fill(&mut self, now: u64) {
        let gained = now.saturating_sub(self.at).saturating_mul(self.per_s);
        let paid = gained.min(self.owed);
        self.owed -= paid;
        self.content = self.content.saturating_add(gained - paid).min(self.per_s * TOKEN);
        self.at = now;
    }
}

/// Say whether to discard at a fullness of 0 to 1 000 (Floyd, Jacobson: *Random early detection*, 1993): never up to the half, then ever more likely, always
/// when full. So those who come often lose more, before there is no room for anybody. drawn: at random.
pub(crate) fn discards(fullness: u64, drawn: u32) -> bool {
    u64::from(drawn % 500) < fullness.saturating_sub(500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_rate_and_a_second_at_once() {
        let mut bucket = Bucket::new(5_000_000, 60);
        let mut given = 0;
        for ms in 0..10_000u64 {
            given += u32::from(bucket.take(5_000_000 + ms * 1_000));
        }
        assert!((659..=660).contains(&given), "{given} of 10 000 in 10 s: 60 at once, then 60 a second");
        assert!(!bucket.take(1_000_000), "a clock that goes back gives nothing");
        assert!(bucket.emptiness(1_000_000) >= 980);
        // The time that went back is not counted twice in its favour beyond a full bucket.
        assert_eq!((0..1_000).filter(|_| bucket.take(100_000_000)).count(), 60);
    }

    #[test]
    fn a_steady_stream_within_the_rate_is_never_short() {
        let mut bucket = Bucket::new(0, 60);
        assert!((0..50_000u64).all(|slot| bucket.take(slot * 20_000 + slot * 7_919 % 15_000)));
    }

    #[test]
    fn discarding_begins_at_the_half_and_grows() {
        let share = |fullness| (0..500).filter(|drawn| discards(fullness, *drawn)).count();
        assert_eq!([0, 500, 501, 750, 999, 1_000].map(share), [0, 0, 1, 250, 499, 500]);
    }
}
