//! Which indices came before. Spec: RFC 3711 §3.3.1, §3.3.2, appendix A.

/// How far behind the highest an index may be.
pub(crate) const WINDOW: u64 = 128;
/// The highest index of RTP: 32 bits of roll-over counter and 16 of sequence number.
const MAX_RTP_INDEX: u64 = (1 << 48) - 1;

/// The indices of one source that came.
#[derive(Clone, Copy, Default)]
pub(crate) struct Window {
    highest: Option<u64>,
    /// Bit i: `highest - i` came.
    seen: u128,
}

impl Window {
    /// Return the index that a sequence number most likely stands for: the one nearest to the highest so far. `None` beyond either end.
    pub(crate) fn index_of(&self, sequence_number: u16) -> Option<u64> {
        let Some(highest) = self.highest else { return Some(u64::from(sequence_number)) };
        // The low 16 bits of an index are its sequence number; half of all numbers are ahead, half behind.
        let ahead = sequence_number.wrapping_sub(highest as u16) as i16;
        let index = highest.checked_add_signed(i64::from(ahead))?;
        (index <= MAX_RTP_INDEX).then_some(index)
    }

    /// Say whether an index is new and not too old.
    pub(crate) fn is_fresh(&self, index: u64) -> bool {
        let Some(highest) = self.highest else { return true };
        index > highest || (highest - index < WINDOW && self.seen & 1 << (highest - index) == 0)
    }

    /// Note an index that is fresh.
    pub(crate) fn note(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => self.seen |= 1 << (highest - index).min(WINDOW - 1),
            before => {
                let moved = before.map_or(WINDOW, |highest| index - highest);
                self.seen = if moved < WINDOW { self.seen << moved | 1 } else { 1 };
                self.highest = Some(index);
            }
        }
    }

    /// Return the highest index.
    pub(crate) const fn highest(&self) -> Option<u64> {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_taken_once_and_not_when_it_is_old() {
        let mut window = Window::default();
        for index in [5, 3, 200, 73, 74] {
            assert!(window.is_fresh(index));
            window.note(index);
            assert!(!window.is_fresh(index), "{index} came");
        }
        assert!(!window.is_fresh(72), "128 behind");
        assert!(window.is_fresh(75));
        assert!(window.is_fresh(201));
        window.note(1 << 40);
        assert!(!window.is_fresh(201));
    }

    #[test]
    fn numbers_that_wrap_go_on() {
        let mut window = Window::default();
        assert_eq!(window.index_of(65_535), Some(65_535));
        window.note(65_535);
        assert_eq!(window.index_of(2), Some(65_538));
        window.note(65_538);
        assert_eq!(window.index_of(65_534), Some(65_534));
        assert_eq!(window.index_of(0), Some(65_536));
        window.note((1 << 48) - 1);
        assert_eq!(window.index_of(0), None, "the key is used up");
        let mut young = Window::default();
        young.note(1);
        assert_eq!(young.index_of(65_535), None, "there was nothing before the first cycle");
    }
}
