//! How long each link of this node's own making was silent: an uplink with a carrier may lead nowhere (PROTOCOL.md §6.5).

use super::Links;

impl Links {
    /// How many microseconds ago something valid came on each link that this node began, and that stands.
    pub(crate) fn heard(&self, now: u64) -> Vec<(u32, u64)> {
        let begun_here = self.links.iter().filter(|(_, link)| link.stands && !link.incoming);
        begun_here.map(|(&number, link)| (number, now.saturating_sub(link.last_valid_at))).collect()
    }
}
